"""Kernels by name, as arrays.

Every kernel is meant for *correlation* (`striderule.correlate`, `striderule.filters`): it is laid on the image as it
is, so a derivative kernel is negative first and positive last, and answers with a positive number where the image grows
brighter along its axis. `striderule.convolve` flips kernels and so turns the sign of the odd ones.

Kernels of whole numbers (`sobel`, `laplace`, `sharpen`...) come as int16: with images of up to 16 bits they give exact
int32 results. The others come as float64.
"""

from striderule.kernels.derivatives import dog, edge, laplace, log, prewitt, roberts, scharr, sobel
from striderule.kernels.effects import emboss, gabor, sharpen, unsharp
from striderule.kernels.smoothing import box, disk, gaussian, identity, motion

__all__ = [
    "box",
    "disk",
    "dog",
    "edge",
    "emboss",
    "gabor",
    "gaussian",
    "identity",
    "laplace",
    "log",
    "motion",
    "prewitt",
    "roberts",
    "scharr",
    "sharpen",
    "sobel",
    "unsharp",
]
