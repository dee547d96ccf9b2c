"""Edges of a picture: thinned to lines of one element, and linked by hysteresis (J. Canny, 1986)."""
