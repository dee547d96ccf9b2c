"""Gradients of pooling in NumPy: what each output hands back to the positions that it looked at."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.windows.blocks import planes
from striderule.algorithms.windows.pooling import Sweep, _counts, _sweep
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling

Array = npt.NDArray[Any]
Windowed = Pooling | AdaptivePooling


def channels_stand_last(x: Array) -> bool:
    """Tell whether neighbouring channels of x (batch, channels, *spatial) are neighbours in memory, and pixels not."""
    return x.shape[1] > 1 and x.strides[1] == x.itemsize and not x.flags.c_contiguous


def made(problem: Windowed | FractionalPooling, dtype: np.dtype[Any], last: bool) -> Array:
    """Return an uninitialised gradient (batch, channels, *size), with channels `last` in memory or first."""
    if last:
        return np.moveaxis(memory.empty((problem.batch, *problem.size, problem.channels), dtype), -1, 1)
    return memory.empty((problem.batch, problem.channels, *problem.size), dtype)


def scales_of(problem: Windowed) -> list[Array]:
    """Return for each axis what its outputs are multiplied with: their products are those of the windows.

    One over the number of elements that count, or over the divisor that replaces it; for norms how many taps a window
    has for each that is inside.
    """
    if isinstance(problem, Pooling) and problem.divisor_override is not None:
        ones = [np.ones(count) for count in problem.output_size]
        return [ones[0] / problem.divisor_override, *ones[1:]]
    taps = problem.kernel if isinstance(problem, Pooling) and problem.kind == "lp" else (1,) * problem.rank
    counts = [np.maximum(np.array(count, np.float64), 1) for count in _counts(problem)]
    return [many / count for many, count in zip(taps, counts, strict=True)]


def largest(
    problem: Windowed | FractionalPooling, gy: Array, places: Array, dtype: np.dtype[Any], last: bool = False
) -> Array:
    """Return gx, where gx[n, c, places[n, c, j]] += gy[n, c, j], zero elsewhere; -1 is no place.

    gy and places are (batch, channels, *output size); gx has the type `dtype`, and channels `last` in memory or first.
    """
    result, volume = made(problem, dtype, last), prod(problem.size)
    with np.errstate(all="ignore"):
        for n, channels in planes(result.shape):
            part = places[n, channels]
            inside = part >= 0
            first = np.arange(len(part)).reshape(-1, *(1,) * problem.rank) * volume
            count = len(part) * volume
            sums = np.bincount((part + first)[inside], gy[n, channels][inside], count)
            result[n, channels] = sums.reshape(len(part), *problem.size)
    return result


def found(gy: Array, places: Array) -> Array:
    """Return gx, where gx[p, j] = gy[p, places[p, j]] for planes p: both are (planes, positions)."""
    return np.take_along_axis(gy, places, 1)


def average(problem: Windowed, gy: Array, dtype: np.dtype[Any], last: bool = False) -> Array:
    """Return gx[n, c, i] = sum over outputs j whose window holds i of gy[n, c, j] * scale[j]; else as `largest`."""
    result, scales = made(problem, dtype, last), scales_of(problem)
    sizes = list(zip(problem.output_size, problem.size, strict=True))
    if 0 in problem.output_size:
        result[...] = 0
        return result
    sweeps = [_sweep(problem, axis, (0, outputs), (0, n)) for axis, (outputs, n) in enumerate(sizes)]
    with np.errstate(all="ignore"):
        for n, channels in planes(result.shape):
            block = gy[n, channels].astype(np.float64)
            for axis, sweep in enumerate(sweeps, 1):
                block = _spread(np.moveaxis(block, axis, 0), scales[axis - 1], sweep, problem.size[axis - 1])
                block = np.moveaxis(block, 0, axis)
            result[n, channels] = block
    return result


def _spread(block: Array, scale: Array, sweep: Sweep, size: int) -> Array:
    """Add what each output along axis 0 gives, times its scale, to all positions of its window."""
    scaled = block * scale.reshape(-1, *(1,) * (block.ndim - 1))
    result = np.zeros((size, *block.shape[1:]))
    for outputs, positions in sweep.moves:
        if isinstance(positions, slice):
            result[positions] += scaled[outputs]
        else:
            np.add.at(result, positions, scaled[outputs])  # windows may begin at one position
    return result
