"""Sums along one axis in SciPy's order, in float64: the same bits, so that truncated integers are the same too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.extend import extend

Array = npt.NDArray[Any]
Words = tuple[str, str]

# Weights that differ by less count as equal when a kernel is looked at for symmetry, and as 0 in kernels of many axes.
EPSILON = float(np.finfo(np.float64).eps)


def extended(x: Array, axis: int, before: int, after: int, words: Words, fill: complex) -> Array:
    """Return `x` in float64 with `axis` moved to the end and extended there."""
    lines = np.moveaxis(x, axis, -1)
    return extend(lines, ((before, after),), (words,), fill, np.float64)


def correlate_lines(x: Array, weights: Array, axis: int, words: Words, fill: complex) -> Array:
    """Return the correlation along `axis`, centred on k // 2, as ``scipy.ndimage.correlate1d`` sums it.

    Kernels that are symmetric or antisymmetric fold the line first, (x[-i] + x[i]) w[i], after the middle term; others
    start from the last term.
    """
    n = len(weights)
    before, after = n // 2, n - n // 2 - 1
    lines = extended(x, axis, before, after, words, fill)
    length = x.shape[axis]

    def shifted(offset: int) -> Array:
        return lines[..., before + offset : before + offset + length]

    fold = _symmetry(weights)
    if fold:
        total = shifted(0) * weights[before]
        for i in range(-before, 0):
            pair = shifted(i) + shifted(-i) if fold > 0 else shifted(i) - shifted(-i)
            total += pair * weights[before + i]
    else:
        total = shifted(after) * weights[-1]
        for i in range(-before, after):
            total += shifted(i) * weights[before + i]
    return np.moveaxis(total, -1, axis)


def _symmetry(weights: Array) -> int:
    """Return 1 for a symmetric kernel of odd length, -1 for an antisymmetric one, else 0."""
    if len(weights) % 2 == 0:
        return 0
    half = len(weights) // 2
    back, front = weights[:half][::-1], weights[half + 1 :]
    if bool((np.abs(front - back) <= EPSILON).all()):
        return 1
    return -1 if bool((np.abs(front + back) <= EPSILON).all()) else 0


def mean_lines(x: Array, size: int, axis: int, words: Words, fill: complex) -> Array:
    """Return running means along `axis` as ``scipy.ndimage.uniform_filter1d`` forms them."""
    before, after = size // 2, size - size // 2 - 1
    lines = extended(x, axis, before, after, words, fill)
    length = x.shape[axis]
    # A running sum, each from the one before; accumulation adds from left to right, which a plain sum does not promise.
    steps = np.empty((*lines.shape[:-1], length))
    if length:
        steps[..., 0] = np.add.accumulate(lines[..., :size], axis=-1)[..., -1]
        steps[..., 1:] = lines[..., size : size + length - 1] - lines[..., : length - 1]
    sums: Array = np.add.accumulate(steps, axis=-1)
    return np.moveaxis(sums / size, -1, axis)


def correlate_all(x: Array, kernel: Array, axes: tuple[int, ...], boundary: tuple[Words, ...], fill: complex) -> Array:
    """Return the correlation with a kernel over several axes, tap after tap in memory order, centred on k // 2."""
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(x, axes, last)
    sides = tuple((k // 2, k - k // 2 - 1) for k in kernel.shape)
    wide = extend(moved, sides, boundary, fill, np.float64)
    size = moved.shape[moved.ndim - len(axes) :]
    total = np.zeros(moved.shape)
    for tap in np.ndindex(kernel.shape):
        if abs(kernel[tap]) > EPSILON:
            window: tuple[Any, ...] = tuple(slice(t, t + n) for t, n in zip(tap, size, strict=True))
            total += wide[(..., *window)] * kernel[tap]
    return np.moveaxis(total, last, axes)
