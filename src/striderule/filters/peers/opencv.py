"""The filters of ``cv2``: two axes, channels last, mirror border, results rounded half to even and saturated.

OpenCV blurs 8 and 16 bit images in fixed-point arithmetic, whose rounding is followed to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule import kernels
from striderule.algorithms.windows.extend import extend
from striderule.errors import InvalidArgument
from striderule.filters.peers.opencv_pyramids import pyramid_expand, pyramid_gaussian, pyramid_reduce
from striderule.filters.peers.scipy import request_fill
from striderule.filters.request import Request
from striderule.functional import door
from striderule.kernels.arguments import reals_per_axis, sizes_per_axis
from striderule.kernels.derivatives import SCHARR_SMOOTH, SOBEL_SMOOTH, gradient_profiles
from striderule.kernels.smoothing import gaussian_profile

Array = npt.NDArray[Any]

__all__ = [
    "box", "gaussian", "laplace", "pyramid_expand", "pyramid_gaussian", "pyramid_reduce", "scharr", "sobel",
]  # fmt: skip

# Fraction bits of the fixed-point weights of a Gaussian.
FRACTION_BITS = {"uint8": 8, "uint16": 16}
# The window is cut at this many standard deviations on each side.
REACH = {"uint8": 3}
OTHER_REACH = 4
# Kernels that stand for a Gaussian of a given size when no sigma is given.
SMALL_GAUSSIANS = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
    9: tuple(n / 256 for n in (4, 13, 30, 51, 60, 51, 30, 13, 4)),
}
# Box windows of up to this many elements have 16-bit sums and a fixed-point division in 8-bit images.
LARGEST_16_BIT_BOX = 256
BOX_SHIFT = 23
# Sums are scaled in float32 in blocks of eight along a row, and the rest of the row in float64.
VECTOR = 8


def separable_sums(request: Request, profiles: Sequence[Array], dtype: Any) -> Array:
    """Return the correlation with both profiles, rows first, in `dtype`."""
    x = request.image
    for position in reversed(range(2)):
        profile, axis = profiles[position], request.axes[position]
        lines = np.moveaxis(x, axis, -1)
        k, n = len(profile), x.shape[axis]
        wide = extend(lines, ((k // 2, k - k // 2 - 1),), (request.boundary[position],), request_fill(request), dtype)
        total = np.zeros(lines.shape, dtype)
        for tap, weight in enumerate(profile):
            total += wide[..., tap : tap + n] * weight
        x = np.moveaxis(total, -1, axis)
    return x


def _saturated(request: Request, values: Array) -> Array:
    dtype = request.image.dtype if request.dtype is None else request.dtype
    return door.cast(values, dtype, request.overflow)


def _gaussian_weights(request: Request, sigma: float | None, size: int | None) -> Array:
    """Return the weights along one axis from what is given of sigma and size."""
    kind = request.image.dtype.name
    if size is None:
        if not sigma:
            raise InvalidArgument("cv2.GaussianBlur needs sigma or size; pass sigma=, size= or both")
        size = round(sigma * REACH.get(kind, OTHER_REACH) * 2 + 1) | 1
    if size % 2 == 0:
        raise InvalidArgument(f"size must be odd for cv2.GaussianBlur, got {size}")
    if not sigma and size in SMALL_GAUSSIANS:
        return np.array(SMALL_GAUSSIANS[size])
    return gaussian_profile(sigma or 0.15 * size + 0.35, size)


def fixed_point(weights: Array, bits: int) -> npt.NDArray[np.int64]:
    """Return the weights as multiples of 2**-bits that sum to 1: a rounding error goes to the next weight inwards."""
    half = len(weights) // 2
    scaled = np.zeros(len(weights), np.int64)
    error = 0.0
    for i in range(half):
        wanted = float(weights[i]) * 2.0**bits + error
        scaled[i] = scaled[-1 - i] = round(wanted)
        error = wanted - round(wanted)
    scaled[half] = 2**bits - 2 * int(scaled[:half].sum())
    return scaled


def gaussian(request: Request, *, sigma: Any = None, size: Any = None) -> Array:
    """Follow ``GaussianBlur``."""
    sigmas: Sequence[float | None] = (None, None) if sigma is None else reals_per_axis(sigma, 2, "sigma")
    sizes: Sequence[int | None] = (None, None) if size is None else sizes_per_axis(size, 2)
    weights = [_gaussian_weights(request, one, length) for one, length in zip(sigmas, sizes, strict=True)]
    bits = FRACTION_BITS.get(request.image.dtype.name)
    if bits is None:
        return door.cast(separable_sums(request, weights, np.float64), request.image.dtype)
    sums = separable_sums(request, [fixed_point(each, bits) for each in weights], np.int64)
    return ((sums + (1 << (2 * bits - 1))) >> (2 * bits)).astype(request.image.dtype)


def box(request: Request, *, size: Any) -> Array:
    """Follow ``blur``."""
    sizes = sizes_per_axis(size, 2)
    dtype, area = request.image.dtype, math.prod(sizes)
    ones = [np.ones(length, np.int64 if dtype.kind in "iu" else np.float64) for length in sizes]
    sums = separable_sums(request, ones, ones[0].dtype)
    if dtype.kind == "f" or area == 1:
        return door.cast(sums * (1.0 / area) if area > 1 else sums, dtype)
    if dtype == np.uint8 and area <= LARGEST_16_BIT_BOX:
        return _fixed_division(sums, area).astype(np.uint8)
    scaled = np.rint(sums.astype(np.float32) * np.float32(1.0 / area)).astype(np.int64)
    rest = np.rint(sums * (1.0 / area)).astype(np.int64)
    result: Array = np.where(_in_vectors(request), scaled, rest)
    return door.cast(result, dtype)


def _fixed_division(sums: Array, area: int) -> Array:
    """Return sums / area as (sums + delta) * scale >> 23, scale being 2**23 / area rounded to the nearest."""
    exact = 2.0**BOX_SHIFT / area
    scale, delta = math.floor(exact), area // 2
    if exact - scale < 0.5:
        delta += 1
    else:
        scale += 1
    quotient: Array = (sums + delta) * scale >> BOX_SHIFT
    return quotient


def _in_vectors(request: Request) -> Array:
    """Return which elements of a row are computed in vectors: all but the last ones that do not fill one."""
    rows, columns = request.axes
    channels = [axis for axis in range(request.image.ndim) if axis not in (rows, columns)]
    count = math.prod(request.image.shape[axis] for axis in channels)
    place = np.arange(request.image.shape[columns] * count).reshape(request.image.shape[columns], count)
    whole = place < place.size // VECTOR * VECTOR
    shape = [request.image.shape[axis] for axis in channels]
    ordered = whole.reshape(request.image.shape[columns], *shape)
    return np.expand_dims(np.moveaxis(ordered, 0, columns - (columns > rows)), rows)


def _gradient(request: Request, smooth: tuple[int, ...], axis: Any) -> Array:
    profiles = gradient_profiles(smooth, request.single_position(axis, "opencv"), 2)
    return _saturated(request, separable_sums(request, profiles, np.float64))


def sobel(request: Request, *, axis: Any) -> Array:
    """Follow ``Sobel`` of size 3 with dy=1 (axis 0) or dx=1 (axis 1); dtype is its ddepth, by default -1."""
    return _gradient(request, SOBEL_SMOOTH, axis)


def scharr(request: Request, *, axis: Any) -> Array:
    """Follow ``Scharr`` with dy=1 (axis 0) or dx=1 (axis 1); dtype is its ddepth, by default -1."""
    return _gradient(request, SCHARR_SMOOTH, axis)


def laplace(request: Request) -> Array:
    """Follow ``Laplacian`` of size 1; dtype is its ddepth, by default -1."""
    kernel = kernels.laplace().astype(np.float64)
    moved = np.moveaxis(request.image, request.axes, (-2, -1))
    wide = extend(moved, ((1, 1), (1, 1)), request.boundary, request_fill(request), np.float64)
    rows, columns = moved.shape[-2:]
    total = np.zeros(moved.shape)
    for i, j in np.argwhere(kernel).tolist():
        total += wide[..., i : i + rows, j : j + columns] * kernel[i, j]
    return _saturated(request, np.moveaxis(total, (-2, -1), request.axes))
