"""Filters by name: blurs, gradients, sharpening, textures; of any rank, with every border, and around gaps.

``filters.sobel(image, axis=1)`` equals ``correlate(image, kernels.sobel(1))`` but for the type it answers in. All
filters share these keywords:

- ``boundary``, ``fill``: what lies outside the image;
- ``axes``, ``channel_axis``: which axes are filtered;
- ``dtype``, ``overflow``, ``out``: what comes out. By default smoothing and sharpening filters give back the image's
  type, rounded half to even and saturated; derivative filters give floats for integer images;
- ``mask``, ``nan``, ``confidence``: which pixels are missing, and are filtered around; how much was there to go by;
- ``precision``, ``algorithm``: how it is computed.

``like="scipy"``, ``"skimage"`` or ``"opencv"`` gives exactly what that library's function of the same name gives: its
scale, sign, centre, border, window, type and range. Keywords that are given win over that library's defaults.
"""

from striderule.filters.canny import canny
from striderule.filters.corners import corner_harris, structure_tensor
from striderule.filters.effects import bank, emboss, gabor, sharpen, unsharp_mask
from striderule.filters.gradients import gradient_magnitude, magnitude, prewitt, roberts, scharr, sobel
from striderule.filters.laplacians import dog, laplace, log
from striderule.filters.polar import gradient
from striderule.filters.pyramids import pyramid_expand, pyramid_gaussian, pyramid_laplacian, pyramid_reduce
from striderule.filters.smoothing import box, gaussian, mean, motion
from striderule.filters.statistics import std, variance
from striderule.filters.templates import match_template

__all__ = [
    "bank",
    "box",
    "canny",
    "corner_harris",
    "dog",
    "emboss",
    "gabor",
    "gaussian",
    "gradient",
    "gradient_magnitude",
    "laplace",
    "log",
    "magnitude",
    "match_template",
    "mean",
    "motion",
    "prewitt",
    "pyramid_expand",
    "pyramid_gaussian",
    "pyramid_laplacian",
    "pyramid_reduce",
    "roberts",
    "scharr",
    "sharpen",
    "sobel",
    "std",
    "structure_tensor",
    "unsharp_mask",
    "variance",
]
