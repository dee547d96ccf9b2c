"""Pooling in generated code: the same functions as `algorithms.windows.pooling`, with results written where they go.

`structure` says what a routine is specialised on, `routine` writes it in the tile language, `recipe` makes a problem
into the words that it is called with.
"""

from __future__ import annotations

import warnings
from functools import cache
from math import inf, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.pooling import recipe as recipes
from striderule.algorithms.direct.pooling.recipe import KEPT, Recipe, empty_like_order, layout_of
from striderule.algorithms.direct.pooling.routine import pooling_routine
from striderule.algorithms.windows import pooling as windows
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.errors import CompilationFailed
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling, Unpooling

Array = npt.NDArray[Any]
Windowed = Pooling | AdaptivePooling | FractionalPooling

NORMS = {1.0: "sum", 2.0: "root", inf: "most", -inf: "least"}
"""The norms that are computed without a power."""


def max_pool(
    problem: Pooling | AdaptivePooling, x: Array, indices: bool, out: Array | None = None, places: Array | None = None
) -> tuple[Array, Array | None]:
    """Return the largest value of every window, and with `indices` its flat place in the plane."""
    answer = _pooled("argmax" if indices else "max", problem, x, x.dtype, out, places)
    return windows.max_pool(problem, x, indices) if answer is None else answer


def average_pool(
    problem: Pooling | AdaptivePooling, x: Array, dtype: np.dtype[Any], out: Array | None = None
) -> Array:
    """Return the averages, formed in float64 and rounded to `dtype` at the end."""
    answer = _pooled("sum", problem, x, dtype, out)
    return windows.average_pool(problem, x, dtype) if answer is None else answer[0]


def lp_pool(problem: Pooling, x: Array, dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """Return the norms of all windows, formed in float64; cut windows are scaled up to the full number of taps."""
    kind = NORMS.get(problem.norm or 1.0)
    answer = None if kind is None else _pooled(kind, problem, x, dtype, out)
    return windows.lp_pool(problem, x, dtype) if answer is None else answer[0]


def fractional_max_pool(
    problem: FractionalPooling,
    x: Array,
    samples: Array,
    indices: bool,
    out: Array | None = None,
    places: Array | None = None,
) -> tuple[Array, Array | None]:
    """As `max_pool`, with windows that start where the samples (batch, channels, axes) of each channel say."""
    starts = None
    if 0 not in problem.output_shape:
        starts = [windows.fractional_starts(problem, axis, samples) for axis in range(problem.rank)]
    answer = _pooled("argmax" if indices else "max", problem, x, x.dtype, out, places, starts)
    return windows.fractional_max_pool(problem, x, samples, indices) if answer is None else answer


def unpool(problem: Unpooling, x: Array, indices: Array) -> Array:
    """Return zeros with x put to the flat places; of several values for one place the last stays."""
    return windows.unpool(problem, x, indices)


def _serves(problem: Windowed, kind: str, x: Array, dtype: np.dtype[Any]) -> bool:
    """Tell whether generated code serves these types, sizes and addresses."""
    aligned = not any(step % x.itemsize for step in x.strides) and x.ctypes.data % x.itemsize == 0
    plain = x.dtype.kind in "biuf" and dtype.kind in ("biuf" if kind in ("max", "argmax") else "f")
    ranked = 1 <= problem.rank <= 3 and 0 not in problem.output_shape
    # Places are counted in 32 bits where numbers have no more.
    counted = kind != "argmax" or x.itemsize == 8 or prod(problem.size) < 2**31 - 2**12
    return aligned and plain and ranked and counted


def _pooled(
    kind: str,
    problem: Windowed,
    x: Array,
    dtype: np.dtype[Any],
    out: Array | None = None,
    places: Array | None = None,
    starts: list[Array] | None = None,
) -> tuple[Array, Array | None] | None:
    """Return values and places, or None where NumPy has to compute."""
    if not _serves(problem, kind, x, dtype):
        return None
    steps = tuple(step // x.itemsize for step in x.strides)
    layout = layout_of(x.shape, steps, any_order=kind == "max" and starts is None)
    if starts is not None:
        layout = recipes.Layout(layout.order, None)
    shape = problem.output_shape
    values = empty_like_order(shape, layout, dtype, memory.empty) if out is None else out
    where = None
    if kind == "argmax":
        where = empty_like_order(shape, layout, np.dtype(np.int64), memory.empty) if places is None else places
    try:
        recipe, address = _prepared(kind, problem, x, steps, values, where, layout, starts)
    except CompilationFailed as failure:
        _warn_once(str(failure))
        return None
    words = recipe.words.copy()
    words[0], words[1] = x.ctypes.data, values.ctypes.data
    if where is not None:
        words[2] = where.ctypes.data
    workers.run(address, words.ctypes.data, recipe.tasks)
    return values, where


def _prepared(
    kind: str,
    problem: Windowed,
    x: Array,
    steps: tuple[int, ...],
    values: Array,
    where: Array | None,
    layout: recipes.Layout,
    starts: list[Array] | None,
) -> tuple[Recipe, int]:
    """Return the recipe and the address of its routine."""
    target = current()
    result_steps = tuple(step // values.itemsize for step in values.strides)
    place_steps = result_steps if where is None else tuple(step // 8 for step in where.strides)
    key = (kind, problem, (x.dtype.name, values.dtype.name), (steps, result_steps, place_steps), layout, target)
    keep = starts is None and sum(problem.output_size) <= KEPT
    recipe = recipes.kept_recipe(*key) if keep else recipes.recipe_of(*key, starts)
    s = recipe.structure
    routine = proof.compiled(
        s.name, s, lambda: pooling_routine(target, s), target, lambda: _agrees(kind, problem, x, values.dtype)
    )
    return recipe, routine.address


def _agrees(kind: str, problem: Windowed, x: Array, dtype: np.dtype[Any]) -> bool:
    raise NotImplementedError


@cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"no machine code can be made, so NumPy computes instead: {reason}", RuntimeWarning, stacklevel=6)
