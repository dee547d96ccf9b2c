"""Filters by name: blurs, gradients, sharpening, textures; of any rank, with every border, and around gaps.

``filters.sobel(image, axis=1)`` equals ``correlate(image, kernels.sobel(1))`` but for the type it answers in. All
filters share these keywords:

boundary : str or tuple, default "symmetric"
    What lies outside the image: ``constant``, ``edge``, ``symmetric``, ``mirror``, ``wrap``; one word, or one entry for
    each filtered axis, each a word or a (before, after) pair.
fill : number, default 0
    What ``constant`` puts outside.
axes : int or sequence of int, optional
    The axes of the image to filter; all by default. Arguments with an entry for each axis follow this order.
channel_axis : int, optional
    An axis to leave alone, as it holds channels.
dtype : optional
    The type of the result. By default smoothing and sharpening filters give the image's type, rounded half to even, and
    derivative filters give float32 for integers of up to 16 bits and float64 for wider ones.
overflow : {"saturate", "wrap"}, default "saturate"
    What happens to values that an integer type cannot hold.
mask : ndarray of bool, optional
    True where the image counts. Every other pixel is missing: it stands for the weighted mean of the others under the
    same window, as in `striderule.correlate`.
nan : {"propagate", "normalize"}, default "propagate"
    With ``normalize`` NaN pixels are missing pixels.
precision, algorithm
    As in `striderule.correlate`.
out : ndarray, optional
    Where to write the result.

``like="scipy"``, ``"skimage"`` or ``"opencv"`` gives exactly what that library's function of the same name gives: its
scale, sign, centre, border, window, type and range. Keywords that are given win over that library's defaults.
"""

from striderule.filters.derivatives import (
    dog,
    gradient_magnitude,
    laplace,
    log,
    magnitude,
    prewitt,
    roberts,
    scharr,
    sobel,
)
from striderule.filters.effects import bank, emboss, gabor, sharpen, unsharp_mask
from striderule.filters.smoothing import box, gaussian, mean, motion

__all__ = [
    "bank",
    "box",
    "dog",
    "emboss",
    "gabor",
    "gaussian",
    "gradient_magnitude",
    "laplace",
    "log",
    "magnitude",
    "mean",
    "motion",
    "prewitt",
    "roberts",
    "scharr",
    "sharpen",
    "sobel",
    "unsharp_mask",
]
