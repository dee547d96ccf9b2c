"""`pad` on generated code: one copy, rows moved in vectors and borders looked up in tables."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import copying, giving_way, proof
from striderule.algorithms.direct.copying import Plan, Source, Walk
from striderule.algorithms.direct.native import Call
from striderule.algorithms.windows import padding as windows
from striderule.geometry.extension import Extension
from striderule.geometry.padding import source_index

Array = npt.NDArray[Any]
# Positions beyond the borders of all axes that are looked up; more are left to NumPy.
MOST_BORDER = 1 << 16


def pad(problem: Extension, x: Array, fill: Any, out: Array | None = None) -> Array:
    """Return the extended array: `out`, or a new one in the memory order of x."""
    result = memory.empty_like(x, problem.output_shape, x.dtype) if out is None else out
    if result.size == 0:
        return result
    call = giving_way.attempt(bind, problem, x, fill, result)
    if call is None:
        return giving_way.given(out, windows.pad(problem, x, fill))
    call.run(x, result)
    return result


def bind(problem: Extension, x: Array, fill: Any, result: Array) -> Call | None:
    """Return what extends arrays like x into arrays like `result`, or None where that is left to NumPy.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    if result.size == 0 or sum(abs(side) for pair in problem.padding for side in pair) > MOST_BORDER:
        return None
    plan = _plan(problem, x.strides, result.strides, x.itemsize)
    return plan.call(copying.fill_words(fill, x.dtype), lambda: proof.agree(pad, windows.pad, problem, x, fill))


@lru_cache(maxsize=64)
def _plan(problem: Extension, x_steps: tuple[int, ...], y_steps: tuple[int, ...], itemsize: int) -> Plan:
    sources = []
    axes = zip(problem.shape, problem.crop, problem.padding, x_steps, strict=True)
    for n, (first, last), (before, after), step in axes:
        size = n - first - last
        places = [*range(-max(before, 0), 0), *range(size, size + max(after, 0))]
        border = tuple(source_index(place, size, problem.boundary) for place in places)
        sources.append(Source(size, step, -before, max(before, 0), border))
    walks = [Walk(n, step, axis) for axis, (n, step) in enumerate(zip(problem.output_shape, y_steps, strict=True))]
    start = sum(first * step for (first, _), step in zip(problem.crop, x_steps, strict=True))
    return copying.plan_of(itemsize, sources, walks, start)
