"""Missing pixels: where they are, images without them, and what their neighbours stand in with."""
