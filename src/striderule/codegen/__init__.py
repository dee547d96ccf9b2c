"""Machine code: vectors, loops and tiles, made for the processor at hand. Nothing here knows what a convolution is."""
