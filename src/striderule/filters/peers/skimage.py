"""The filters of ``skimage.filters``: images become floats of range 0 to 1 first, then SciPy's filters are applied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule import kernels
from striderule.filters.peers.floats import as_float, on_floats
from striderule.filters.peers.lines import correlate_all
from striderule.filters.peers.scipy import gaussian_passes, request_fill, run, stored
from striderule.filters.peers.skimage_features import (
    canny,
    corner_harris,
    match_template,
    pyramid_expand,
    pyramid_gaussian,
    pyramid_reduce,
    structure_tensor,
)
from striderule.filters.request import Request
from striderule.kernels.arguments import outer
from striderule.kernels.derivatives import PREWITT_SMOOTH, SCHARR_SMOOTH, SOBEL_SMOOTH, dog_sigmas, gradient_profiles

Array = npt.NDArray[Any]

__all__ = [
    "canny", "corner_harris", "dog", "gabor", "gaussian", "laplace", "match_template", "prewitt", "pyramid_expand",
    "pyramid_gaussian", "pyramid_reduce", "roberts", "scharr", "sobel", "structure_tensor", "unsharp_mask",
]  # fmt: skip


def _correlate(request: Request, kernel: Array) -> Array:
    sums = correlate_all(request.image, kernel, request.axes, request.boundary, request_fill(request))
    return stored(sums, request.image.dtype)


def _masked(request: Request, result: Array) -> Array:
    """Set to 0 what a mask leaves out, and every element beside it; outside the image nothing is left in."""
    if request.mask is None:
        return result
    last = tuple(range(-request.rank, 0))
    keep = np.moveaxis(request.mask, request.axes, last)
    for axis in last:
        wide = np.pad(keep, [(1, 1) if i == axis % keep.ndim else (0, 0) for i in range(keep.ndim)])
        wide = np.moveaxis(wide, axis, -1)
        keep = np.moveaxis(wide[..., :-2] & wide[..., 1:-1] & wide[..., 2:], -1, axis)
    return result * np.moveaxis(keep, last, request.axes)


def gaussian(request: Request, *, sigma: Any, truncate: float) -> Array:
    """Follow ``gaussian``."""
    floats = on_floats(request)
    return run(floats, gaussian_passes(floats, sigma, 0, truncate))


def dog(request: Request, *, sigma1: Any, sigma2: Any, truncate: float) -> Array:
    """Follow ``difference_of_gaussians``."""
    narrow, wide = dog_sigmas(sigma1, sigma2, request.rank)
    return gaussian(request, sigma=narrow, truncate=truncate) - gaussian(request, sigma=wide, truncate=truncate)


def unsharp_mask(request: Request, *, radius: Any, amount: float) -> Array:
    """Follow ``unsharp_mask``: the result is clipped to 0 to 1, or -1 to 1 where the image has negative values."""
    floats = on_floats(request)
    x = floats.image
    blurred = run(floats, gaussian_passes(floats, radius))
    low = -1.0 if bool((x < 0).any()) else 0.0
    return np.asarray(np.clip(x + (x - blurred) * amount, low, 1.0))


def _edge(request: Request, smooth: tuple[int, ...], axis: Any) -> Array:
    """Return the mean slope across two elements, or the root of the mean square over all axes."""
    floats = on_floats(request)
    positions = request.positions(axis)
    total = np.zeros(floats.image.shape, floats.image.dtype)
    for position in positions:
        # The weights beside the difference sum to 1; the difference itself is not halved.
        kernel = 2.0 * outer(gradient_profiles(smooth, position, request.rank, normalize=True))
        part = _correlate(floats, kernel)
        total += part * part if len(positions) > 1 else part
    if len(positions) > 1:
        total = np.sqrt(total) / np.sqrt(request.rank, dtype=total.dtype)
    return _masked(request, total)


def sobel(request: Request, *, axis: Any) -> Array:
    """Follow ``sobel``."""
    return _edge(request, SOBEL_SMOOTH, axis)


def scharr(request: Request, *, axis: Any) -> Array:
    """Follow ``scharr``."""
    return _edge(request, SCHARR_SMOOTH, axis)


def prewitt(request: Request, *, axis: Any) -> Array:
    """Follow ``prewitt``."""
    return _edge(request, PREWITT_SMOOTH, axis)


def roberts(request: Request, *, axis: Any) -> Array:
    """Follow ``roberts``, or with an axis ``roberts_pos_diag`` (0) and ``roberts_neg_diag`` (1).

    They convolve, which centres the 2x2 window on its upper left element.
    """
    floats = on_floats(request)
    parts = []
    for diagonal in (0, 1) if axis is None else (axis,):
        # An empty row and column in front move the centre (index k // 2) of the 2x2 kernel to its first element.
        kernel = np.pad(kernels.roberts(diagonal).astype(np.float64), ((1, 0), (1, 0)))
        parts.append(_masked(request, _correlate(floats, kernel)))
    if axis is not None:
        return parts[0]
    length: Array = np.sqrt(parts[0] ** 2 + parts[1] ** 2) / np.sqrt(2, dtype=parts[0].dtype)
    return length


def laplace(request: Request) -> Array:
    """Follow ``laplace``: the sign is the opposite of ours and of SciPy's."""
    kernel = -kernels.laplace(request.rank).astype(np.float64)
    return _masked(request, _correlate(on_floats(request), kernel))


def gabor(request: Request, **shape: Any) -> tuple[Array, Array]:
    """Follow ``gabor``: convolution with the real and the imaginary part, in the image's own type.

    Integers are not made floats: their results are truncated and wrap around.
    """
    image = request.image
    if image.dtype.kind == "f":
        image = as_float(image)
    precise = np.complex64 if image.dtype == np.float32 else np.complex128
    kernel = kernels.gabor(**shape, dtype=precise)[::-1, ::-1]
    plain = replace(request, image=image)
    dtype = image.dtype if request.dtype is None else request.dtype
    overflow = request.overflow if request.gives("overflow") else "wrap"
    sums = [
        correlate_all(plain.image, part.astype(np.float64), request.axes, request.boundary, request_fill(request))
        for part in (kernel.real, kernel.imag)
    ]
    return stored(sums[0], dtype, overflow), stored(sums[1], dtype, overflow)
