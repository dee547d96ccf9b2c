"""Pooling in generated code: the same functions as `algorithms.windows.pooling`, with results written where they go.

`structure` says what a routine is specialised on, `routine` writes it in the tile language, `recipe` makes a problem
into the words that it is called with, and `call` binds them to arrays.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct.pooling.call import Call, call_for
from striderule.algorithms.windows import pooling as windows
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling, Unpooling

Array = npt.NDArray[Any]
Windowed = Pooling | AdaptivePooling

NORMS = {1.0: "sum", 2.0: "root", inf: "most", -inf: "least"}
"""The norms that are computed without a power."""


def kind_of(problem: Windowed, *, indices: bool) -> str | None:
    """Return what becomes of the windows of a problem (`Structure.kind`), or None where NumPy computes it."""
    if problem.kind == "max":
        return "argmax" if indices else "max"
    if isinstance(problem, Pooling) and problem.norm is not None:
        return NORMS.get(problem.norm)
    return "sum"


def bind(
    problem: Windowed, x: ArrayInfo, out: ArrayInfo | None, places: ArrayInfo | None, dtype: Any, *, indices: bool
) -> Call | None:
    """Return the call that pools arrays like x, or None where NumPy computes.

    `out` and `places` are the arrays that results go to, all seen as (batch, channels, *spatial); where there are none,
    the call's ``order`` is that of the axes of results in memory.
    """
    kind = kind_of(problem, indices=indices)
    if kind is None:
        return None
    return giving_way.attempt(call_for, kind, problem, x, out, places, np.dtype(dtype))


def _run(
    problem: Windowed, x: Array, dtype: Any, out: Array | None = None, places: Array | None = None, *, indices: bool
) -> tuple[Array, Array | None] | None:
    """Return values and places, or None where NumPy has to compute."""
    if not x.flags.aligned:
        return None
    values, where = (None if array is None else ArrayInfo.of(array) for array in (out, places))
    call = bind(problem, ArrayInfo.of(x), values, where, dtype, indices=indices)
    return None if call is None else call.run(x, out, places)


def max_pool(
    problem: Windowed, x: Array, indices: bool, out: Array | None = None, places: Array | None = None
) -> tuple[Array, Array | None]:
    """Return the largest value of every window, and with `indices` its flat place in the plane."""
    answer = _run(problem, x, x.dtype, out, places, indices=indices)
    return windows.max_pool(problem, x, indices) if answer is None else answer


def average_pool(problem: Windowed, x: Array, dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """Return the averages, formed in float64 and rounded to `dtype` at the end."""
    answer = _run(problem, x, dtype, out, indices=False)
    return windows.average_pool(problem, x, dtype) if answer is None else answer[0]


def lp_pool(problem: Pooling, x: Array, dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """Return the norms of all windows, formed in float64; cut windows are scaled up to the full number of taps."""
    answer = _run(problem, x, dtype, out, indices=False)
    return windows.lp_pool(problem, x, dtype) if answer is None else answer[0]


def fractional_max_pool(
    problem: FractionalPooling, x: Array, samples: Array, indices: bool
) -> tuple[Array, Array | None]:
    """As `max_pool`, with windows that start where the samples (batch, channels, axes) of each channel say."""
    if 0 in problem.output_shape or not x.flags.aligned:
        return windows.fractional_max_pool(problem, x, samples, indices)
    starts = [windows.fractional_starts(problem, axis, samples) for axis in range(problem.rank)]
    info, kind = ArrayInfo.of(x), "argmax" if indices else "max"
    call = giving_way.attempt(call_for, kind, problem, info, None, None, x.dtype, starts)
    return windows.fractional_max_pool(problem, x, samples, indices) if call is None else call.run(x, None, None)


def unpool(problem: Unpooling, x: Array, indices: Array) -> Array:
    """Return zeros with x put to the flat places; of several values for one place the last stays."""
    return windows.unpool(problem, x, indices)
