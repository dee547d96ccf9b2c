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
    """Return the correlation along `axis` with an odd number of weights, as ``scipy.ndimage.correlate1d`` sums it.

    The weights are symmetric or antisymmetric, as those of all its named filters. The line is folded first,
    (x[-i] + x[i]) w[i] or (x[-i] - x[i]) w[i], and added to the middle term from the outermost pair inwards.
    """
    half, length = len(weights) // 2, x.shape[axis]
    lines = extended(x, axis, half, half, words, fill)
    symmetric = bool((np.abs(weights - weights[::-1]) <= EPSILON).all())

    def shifted(offset: int) -> Array:
        return lines[..., half + offset : half + offset + length]

    total = shifted(0) * weights[half]
    for i in range(half, 0, -1):
        pair = shifted(-i) + shifted(i) if symmetric else shifted(-i) - shifted(i)
        total += pair * weights[half - i]
    return np.moveaxis(total, -1, axis)


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
