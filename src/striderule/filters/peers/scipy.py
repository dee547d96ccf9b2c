"""The filters of ``scipy.ndimage``: float64 sums along lines, stored in the image's type after every pass.

Integers are truncated towards 0 and wrap around; ``constant`` puts the same value outside in every pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.errors import InvalidArgument
from striderule.filters.peers.lines import Words, correlate_lines, mean_lines
from striderule.filters.request import Request
from striderule.functional import door
from striderule.geometry.arguments import per_axis
from striderule.kernels.arguments import reals_per_axis, sizes_per_axis
from striderule.kernels.derivatives import DIFFERENCE, PREWITT_SMOOTH, SOBEL_SMOOTH
from striderule.kernels.smoothing import gaussian_profile

Array = npt.NDArray[Any]
Line = Callable[[Array, complex], Array]

# A standard deviation below this leaves the axis alone.
TINY_SIGMA = 1e-15


def stored(values: Array, dtype: np.dtype[Any], overflow: str = "wrap") -> Array:
    """Return float64 values in `dtype` as a C cast stores them: integers truncated, then wrapped around.

    C leaves open what becomes of values that no 32-bit integer holds (64-bit for uint32 and wider types); here they
    become its smallest one, as on x86 processors.
    """
    if dtype.kind not in "biu":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    whole = np.trunc(values)
    if dtype.kind == "b":
        return np.asarray(whole != 0)
    if overflow == "saturate":
        return door.cast(whole, dtype, "saturate")
    if dtype == np.uint64:
        return _unsigned_64(whole)
    return _signed(whole, 64 if dtype in (np.uint32, np.int64) else 32).astype(dtype)


def _signed(whole: Array, bits: int) -> npt.NDArray[np.int64]:
    """Return whole floats as signed integers, those that do not fit `bits` bits as the smallest one."""
    limit = 2.0 ** (bits - 1)
    return np.where((whole >= -limit) & (whole < limit), whole, -limit).astype(np.int64)


def _unsigned_64(whole: Array) -> npt.NDArray[np.uint64]:
    """Return whole floats as uint64: the upper half by way of the signed type, negative ones as complements."""
    size = np.abs(whole)
    upper = size >= 2.0**63
    top_bit = np.where(upper, np.uint64(2**63), np.uint64(0))
    bits = _signed(np.where(upper, size - 2.0**63, size), 64).view(np.uint64) ^ top_bit
    return np.where(whole < 0, ~bits + np.uint64(1), bits)


def run(request: Request, passes: list[tuple[int, Line]], x: Array | None = None) -> Array:
    """Apply passes (axis, function of lines and fill) one after the other, storing each in the result's type."""
    result = request.image if x is None else x
    dtype = result.dtype if request.dtype is None else request.dtype
    overflow = request.overflow if request.gives("overflow") else "wrap"
    if not passes:
        return stored(result.astype(np.float64), dtype, overflow) if dtype != result.dtype else result.copy()
    for _, line in passes:
        if result.dtype.kind == "c":
            parts = line(result.real, request_fill(request).real), line(result.imag, request_fill(request).imag)
            result = (parts[0] + 1j * parts[1]).astype(np.result_type(dtype, np.complex64))
        else:
            result = stored(line(result, request_fill(request)), dtype, overflow)
    return result


def request_fill(request: Request) -> complex:
    """Return what stands outside; the table lets no missing outside through."""
    return 0 if request.fill is None else request.fill


def _correlation(request: Request, position: int, weights: Array) -> tuple[int, Line]:
    axis, words = request.axes[position], request.boundary[position]
    return axis, lambda x, fill: correlate_lines(x, weights, axis, words, fill)


def _mean(size: int, axis: int, words: Words) -> tuple[int, Line]:
    return axis, lambda x, fill: mean_lines(x, size, axis, words, fill)


def gaussian_passes(
    request: Request, sigma: Any, order: Any = 0, truncate: float = 4.0, size: Any = None
) -> list[tuple[int, Line]]:
    """Return the passes of a Gaussian filter over the axes of the request."""
    sigmas = reals_per_axis(sigma, request.rank, "sigma")
    orders = per_axis(order, request.rank, "order", 0)
    sizes = (None,) * request.rank if size is None else sizes_per_axis(size, request.rank)
    if any(length is not None and length % 2 == 0 for length in sizes):
        raise InvalidArgument(f"size must be odd for scipy.ndimage.gaussian_filter, got {size}")
    passes = []
    for position, (one, n, length) in enumerate(zip(sigmas, orders, sizes, strict=True)):
        if one > TINY_SIGMA:
            weights = gaussian_profile(one, length, truncate=truncate)
            if n:
                weights = derivative_factor(one, len(weights), n) * weights
            passes.append(_correlation(request, position, weights))
    return passes


def derivative_factor(sigma: float, size: int, order: int) -> Array:
    """Return the polynomial that turns Gaussian weights into those of a derivative, evaluated in SciPy's order.

    With p the polynomial of one derivative, that of the next is p' - x p / sigma^2; a correlation reads it backwards.
    """
    coefficients = np.zeros(order + 1)
    coefficients[0] = 1.0
    for _ in range(order):
        slope = np.append(coefficients[1:] * np.arange(1, order + 1), 0.0)
        raised = np.insert(coefficients[:-1], 0, 0.0) * (1.0 / -(sigma * sigma))
        coefficients = slope + raised
    x = np.arange(-(size // 2), size // 2 + 1)
    powers = x[:, np.newaxis] ** np.arange(order + 1)
    factor: Array = powers.dot(coefficients)[::-1]
    return factor


def gaussian(request: Request, *, sigma: Any, order: Any, truncate: float, size: Any = None) -> Array:
    """Follow ``gaussian_filter``; an odd `size` stands for its ``radius``."""
    return run(request, gaussian_passes(request, sigma, order, truncate, size))


def box(request: Request, *, size: Any) -> Array:
    """Follow ``uniform_filter``: running means, whose rounding depends on all that came before on the line."""
    sizes = sizes_per_axis(size, request.rank)
    axes = zip(sizes, request.axes, request.boundary, strict=True)
    return run(request, [_mean(length, axis, words) for length, axis, words in axes if length > 1])


def _edge(request: Request, smooth: tuple[int, ...], axis: Any) -> Array:
    position = request.single_position(axis, "scipy")
    order = [position, *(i for i in range(request.rank) if i != position)]
    weights = [np.array(DIFFERENCE if i == position else smooth, np.float64) for i in order]
    return run(request, [_correlation(request, i, w) for i, w in zip(order, weights, strict=True)])


def sobel(request: Request, *, axis: Any) -> Array:
    """Follow ``sobel``: the difference first, then (1, 2, 1) on the other axes."""
    return _edge(request, SOBEL_SMOOTH, axis)


def prewitt(request: Request, *, axis: Any) -> Array:
    """Follow ``prewitt``: the difference first, then (1, 1, 1) on the other axes."""
    return _edge(request, PREWITT_SMOOTH, axis)


def _sum(parts: list[Array]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total += part  # in the stored type, where integers wrap
    return total


def laplace(request: Request) -> Array:
    """Follow ``laplace``: second differences along every axis, added in the result's type."""
    weights = np.array([1.0, -2.0, 1.0])
    return _sum([run(request, [_correlation(request, i, weights)]) for i in range(request.rank)])


def _derivatives(request: Request, sigma: Any, order: int, truncate: float) -> list[Array]:
    parts = []
    for position in range(request.rank):
        orders = [order if i == position else 0 for i in range(request.rank)]
        parts.append(run(request, gaussian_passes(request, sigma, orders, truncate)))
    return parts


def log(request: Request, *, sigma: Any, truncate: float) -> Array:
    """Follow ``gaussian_laplace``."""
    return _sum(_derivatives(request, sigma, 2, truncate))


def gradient_magnitude(request: Request, *, sigma: Any, truncate: float) -> Array:
    """Follow ``gaussian_gradient_magnitude``: squares, sums and root in the result's type."""
    total = _sum([part * part for part in _derivatives(request, sigma, 1, truncate)])
    with np.errstate(invalid="ignore"):  # squares of integers wrap, also to negative ones
        np.sqrt(total, out=total, casting="unsafe")
    return total
