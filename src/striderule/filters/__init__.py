"""Filters by name: blurs, gradients, sharpening, textures; of any rank, with every border, and around gaps.

``filters.sobel(image, axis=1)`` equals ``correlate(image, kernels.sobel(1))`` but for the type it answers in. All
filters share these keywords:

- ``boundary``, ``fill``: what lies outside the image;
- ``axes``, ``channel_axis``: which axes are filtered;
- ``dtype``, ``overflow``, ``out``: what comes out. By default smoothing and sharpening filters give back the image's
  type, rounded half to even and saturated; derivative filters give floats for integer images;
- ``mask``, ``nan``: which pixels are missing, and are filtered around;
- ``precision``, ``algorithm``: how it is computed.

``like="scipy"``, ``"skimage"`` or ``"opencv"`` gives exactly what that library's function of the same name gives: its
scale, sign, centre, border, window, type and range. Keywords that are given win over that library's defaults.
"""

from striderule.filters.effects import bank, emboss, gabor, sharpen, unsharp_mask
from striderule.filters.gradients import gradient_magnitude, magnitude, prewitt, roberts, scharr, sobel
from striderule.filters.laplacians import dog, laplace, log
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
