"""The structure tensor, and the corner measures made of it."""
