"""Resampling and its gradient on generated code: the maps of its axes, which `algorithms/resampling` sums by.

The transpose of a map is a map: what each result got of an element, that element gets back of its gradient.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.resampling.call import Step, resampled
from striderule.algorithms.resampling.maps import Map, gathered
from striderule.algorithms.windows import interpolation as windows
from striderule.geometry.interpolation import Resampling

Array = npt.NDArray[Any]

SERVED = ("float32", "float64")


def resample(problem: Resampling, x: Array, dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """Return x with its spatial axes resampled, computed in `dtype`; in `out` where there is one of that type.

    Nearest elements are copied by NumPy.
    """
    # Copies are no sums: 0 + -0 is 0.
    steps = _steps(problem, dtype, back=False) if problem.linear else []
    room = out if out is not None and out.dtype == dtype else None
    found = resampled(x, steps, 0.0, dtype, dtype, room) if steps else None
    return windows.resample(problem, x, dtype) if found is None else found


def gradient(problem: Resampling, g: Array) -> Array:
    """Return the transpose of `resample`: what each result got is added to the elements that it came from."""
    steps = _steps(problem, g.dtype, back=True)
    found = resampled(g, steps, 0.0, g.dtype, g.dtype) if steps else None
    return windows.gradient(problem, g) if found is None else found


def _steps(problem: Resampling, dtype: np.dtype[Any], *, back: bool) -> list[Step]:
    """Return the axes that change, with their maps; none where NumPy has to do it."""
    if dtype.name not in SERVED:
        return []
    axes = [axis for axis, count in enumerate(problem.output_size) if _changes(problem, axis, count)]
    return [(2 + axis, _map(problem.shape[2 + axis], problem, axis, dtype.name, back)) for axis in axes]


def _changes(problem: Resampling, axis: int, count: int) -> bool:
    taps = problem.taps(axis)
    return taps.share is not None or taps.lower != tuple(range(problem.shape[2 + axis])) or count != len(taps.lower)


@lru_cache(maxsize=128)
def _map(size: int, problem: Resampling, axis: int, dtype: str, back: bool) -> Map:
    lower, upper, share = problem.taps(axis)
    results, places, weights = np.arange(len(lower)), np.array(lower), np.ones(len(lower))
    if share is not None:
        near = np.array(share)
        results, places = np.tile(results, 2), np.concatenate([places, np.array(upper)])
        weights = np.concatenate([1 - near, near])
    if back:
        return gathered(len(lower), places, results, weights, size, np.dtype(dtype))
    # Both ends stay terms of their own, be they one element: 0 times infinity is no number.
    return gathered(size, results, places, weights, len(lower), np.dtype(dtype), merged=False)
