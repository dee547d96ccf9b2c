"""Resampling and its gradient in NumPy: axis after axis, the last first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.geometry.interpolation import Resampling

Array = npt.NDArray[Any]


def resample(problem: Resampling, x: Array, dtype: np.dtype[Any]) -> Array:
    """Return x with its spatial axes resampled, computed in `dtype`."""
    result = x.astype(dtype, copy=False)
    for axis in reversed(range(len(problem.output_size))):
        result = _along(problem, result, axis)
    return result.copy() if np.may_share_memory(result, x) else result


def _along(problem: Resampling, x: Array, axis: int) -> Array:
    lower, upper, share = problem.taps(axis)
    if share is None and lower == tuple(range(x.shape[2 + axis])):
        return x
    low = np.take(x, lower, axis=2 + axis)
    if share is None:
        return low
    part = _beside(share, x, axis)
    with np.errstate(all="ignore"):
        low *= 1 - part
        high = np.take(x, upper, axis=2 + axis)
        high *= part
        low += high
    return low


def _beside(share: tuple[float, ...], x: Array, axis: int) -> Array:
    """Return one number for each place of a spatial axis, in the arithmetic of x."""
    real = np.zeros(0, x.dtype).real.dtype
    return np.array(share, real).reshape((-1,) + (1,) * (x.ndim - 3 - axis))


def gradient(problem: Resampling, g: Array) -> Array:
    """Return the transpose of `resample`: what each result got is added to the elements that it came from."""
    for axis in range(len(problem.output_size)):
        lower, upper, share = problem.taps(axis)
        size = problem.shape[2 + axis]
        if share is None:
            g = _spread(g, lower, size, axis)
        else:
            part = _beside(share, g, axis)
            with np.errstate(all="ignore"):
                found = _spread(g * (1 - part), lower, size, axis)
                found += _spread(g * part, upper, size, axis)
            g = found
    return g


def _spread(g: Array, places: tuple[int, ...], size: int, axis: int) -> Array:
    """Return the sums of what belongs to each of `size` places; places do not fall."""
    if places == tuple(range(size)):
        return g
    present, first = np.unique(places, return_index=True)
    sums = g if len(present) == len(places) else np.add.reduceat(g, first, axis=2 + axis)
    result = np.zeros((*g.shape[: 2 + axis], size, *g.shape[3 + axis :]), g.dtype)
    result[(slice(None),) * (2 + axis) + (present,)] = sums
    return result
