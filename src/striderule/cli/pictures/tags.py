"""The numbers that TIFF gives to tags, colours, units and compressions."""

DESCRIPTION, ORIENTATION, XMP, ICC = 270, 274, 700, 34675
# How pixels are stored, their smallest and largest value, and pointers to other directories: written anew or dropped.
STORAGE = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 282, 283, 284}
STORAGE |= {288, 289, 290, 291, 292, 293, 296, 301, 317, 318, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336}
STORAGE |= {338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
STORAGE |= {32995, 32996, 32997, 32998, 40965, 50838, 50839}
# Pointers to further directories; tifffile writes none.
DIRECTORIES = {34665: "the EXIF directory", 34853: "the GPS directory"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}
JPEGS = (6, 7)
DEFLATE = 8
UNITS = {2: "inch", 3: "centimetre"}
