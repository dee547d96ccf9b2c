"""Local statistics of second order: how much the elements under a window differ from one another.

The variance is not formed as mean(x^2) - mean(x)^2, which loses all digits where the mean is large. Windows are merged
from smaller ones instead, each with its number n of elements, its mean m and its sum S of squared deviations
(T. F. Chan, G. H. Golub and R. J. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
1979, equations 2.1):

    n = n1 + n2
    m = m1 + (m2 - m1) n2 / n
    S = S1 + S2 + (m2 - m1)^2 n1 n2 / n

Windows of 1, 2, 4, 8 ... elements along an axis come from pairs of the one before, and a window of any length from one
of each binary digit of it: about 2 log2(length) merges for all elements at once, along each axis in turn. Sums of small
integers and of their squares are exact in float64; from those the variance comes in one pass of generated code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack, cast

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.windows.extend import extend
from striderule.filters.differentiable import differentiable
from striderule.filters.formulas import Deviations
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import tracing
from striderule.functional.standin import stand_in
from striderule.kernels.arguments import sizes_per_axis

# Elements that are worked on at a time: about ten arrays of them, in float64, stay in the second cache.
BLOCK = 1 << 14


@differentiable
@public
def variance(image: Any, size: int | Sequence[int], **keywords: Unpack[Keywords]) -> Array:
    """Return the variance of the window around every element: the mean of (x - mean)^2 over its elements.

    Not corrected for the number of elements (``numpy.var`` with ``ddof=0``). Exact to the last digits however large the
    mean is.

    Parameters
    ----------
    image : ndarray of any rank
    size : int or one int for each filtered axis
        Length of the window in elements, at least 1; centred as in `box`.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape, never negative
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type (real for complex
        images). Missing pixels are left out of the window; where all are missing the result is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> variance(np.array([1e9, 1e9 + 3, 1e9]), 3)
    array([2., 2., 2.])
    """
    return _answer("variance", image, size, keywords, root=False)


@differentiable
@public
def std(image: Any, size: int | Sequence[int], **keywords: Unpack[Keywords]) -> Array:
    """Return the standard deviation of the window around every element: the root of `variance`.

    Parameters
    ----------
    image : ndarray of any rank
    size : int or one int for each filtered axis
        Length of the window in elements, at least 1; centred as in `box`.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape and, as `variance`, of float type

    Examples
    --------
    >>> import numpy as np
    >>> std(np.array([[0, 0, 6, 6]], np.uint8), (1, 2))
    array([[0., 0., 3., 0.]], dtype=float32)
    """
    return _answer("std", image, size, keywords, root=True)


def _answer(name: str, image: Any, size: Any, keywords: Keywords, *, root: bool) -> Array:
    request = Request.of(name, image, keywords)
    request.refuse(name, "algorithm", "precision")
    sizes = sizes_per_axis(size, request.rank)
    request = request.settle(request.length_type)
    tracing.note(Deviations(request, sizes, root))
    made = _of_integers(request, sizes, root=root)
    if made is not None:
        return request.finish(made)
    deviations, share = _local(request, sizes)
    result = request.finish(np.sqrt(deviations) if root else deviations)
    return cast(Array, (result, share)) if request.confidence else result


def _of_integers(request: Request, sizes: Sequence[int], *, root: bool) -> Array | None:
    """Return the result of integers whose sums are exact, from one reading of the image; None where merging is due."""
    plain = not request.confidence and request.missing is None and request.fill is not None
    x = request.image
    if not plain or request.only_planned or request.axes != (x.ndim - 2, x.ndim - 1):
        return None
    code = table.generated("deviations.call")
    if code is None:
        return None
    return cast("Array | None", code.deviations(x, tuple(sizes), request.boundary, request.fill, root=root))


@dataclass(frozen=True)
class Group:
    """For every position, the elements of some window: how many, their mean, their sum of squared deviations."""

    count: Any  # one number, or an array where elements may be missing
    mean: Array
    deviations: Array

    def along(self, axis: int, start: int, length: int) -> Group:
        """Return `length` positions of an axis, from `start` on."""
        here = (slice(None),) * axis + (slice(start, start + length),)
        count = self.count[here] if isinstance(self.count, np.ndarray) else self.count
        return Group(count, self.mean[here], self.deviations[here])

    def merged(self, other: Group) -> Group:
        """Return the two groups at every position as one."""
        count = self.count + other.count
        if isinstance(count, np.ndarray):
            share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        else:
            share = other.count / count
        apart = other.mean - self.mean
        squares = apart.real**2 + apart.imag**2 if apart.dtype.kind == "c" else apart * apart
        return Group(
            count, self.mean + apart * share, self.deviations + other.deviations + squares * (self.count * share)
        )


def _local(request: Request, sizes: Sequence[int]) -> tuple[Array, Array]:
    """Return the variance, and which share of the window's elements was there."""
    if request.only_planned:  # windows are merged block by block, which leaves no choice
        return stand_in(request.image.shape, request.length_type), stand_in(request.image.shape, request.length_type)
    last = tuple(range(-request.rank, 0))
    x = np.moveaxis(request.image, request.axes, last)
    gaps = None if request.missing is None else np.moveaxis(request.missing, request.axes, last)
    if gaps is None and request.fill is None:
        gaps = np.zeros(x.shape, bool)
    sides = tuple((k // 2, k - k // 2 - 1) for k in sizes)
    fill = 0 if request.fill is None else request.fill
    wide = extend(x, sides, request.boundary, fill)
    wide_gaps = None if gaps is None else extend(gaps, sides, request.boundary, request.fill is None)
    result = np.empty(x.shape, request.length_type)
    share = np.ones(x.shape, np.float32 if request.length_type == np.float16 else request.length_type)
    total = math.prod(sizes)
    for here, read in _blocks(x.shape, sizes):
        values = wide[read].astype(np.complex128 if wide.dtype.kind == "c" else np.float64)
        count: Any = 1.0
        if wide_gaps is not None:
            gone = wide_gaps[read]
            values[gone] = 0
            count = (~gone).astype(np.float64)
        group = Group(count, values, np.zeros(values.shape))
        for axis, length in enumerate(sizes, start=values.ndim - request.rank):
            group = _windows(group, axis, length)
        if isinstance(group.count, np.ndarray):
            group.deviations[group.count == 0] = np.nan
            share[here] = group.count / total
        result[here] = group.deviations / np.maximum(group.count, 1)
    # Rounding may leave nothing below zero: only sums of squares are added.
    return np.moveaxis(result, last, request.axes), np.moveaxis(share, last, request.axes)


def _windows(group: Group, axis: int, length: int) -> Group:
    """Return the groups of windows of `length` along an axis, from the one that starts at the first position on."""
    outputs = group.mean.shape[axis] - length + 1
    found, offset, power = None, 0, 1
    while True:
        if length & power:
            here = group.along(axis, offset, outputs)
            found = here if found is None else found.merged(here)
            offset += power
        if 2 * power > length:
            assert found is not None  # the highest digit of the length is never 0
            return found
        positions = group.mean.shape[axis] - power
        group = group.along(axis, 0, positions).merged(group.along(axis, power, positions))
        power *= 2


def _blocks(shape: tuple[int, ...], sizes: Sequence[int]) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield (outputs, what they read of the extended image), cut along the first axis that is filtered."""
    outer = len(shape) - len(sizes)
    rows = shape[outer]
    across = max(1, math.prod(n + k - 1 for n, k in zip(shape[outer + 1 :], sizes[1:], strict=True)))
    # What a block reads beyond its own rows is read again by the next: at least as many rows as that.
    step = max(1, sizes[0], BLOCK // across)
    for plane in np.ndindex(shape[:outer]):
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            yield (*plane, slice(start, stop)), (*plane, slice(start, stop + sizes[0] - 1))
