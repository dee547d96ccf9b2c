"""Image correlation in generated machine code: every tap that is not zero, in any layout, type and boundary.

Vectors run along the lines of the image as they lie in memory (channels last with the columns), and the sums of several
rows are formed at a time, so that what is read serves all of them. Lines are read where they stand; where they need a
border, or another type, they are first laid out in a room that stays in the cache.
"""
