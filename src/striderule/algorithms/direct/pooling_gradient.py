"""Gradients of pooling on generated code: what the library calls. See `pooling.gradient_plan`."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.pooling import places_routine
from striderule.algorithms.direct.pooling.gradient_plan import ALONE, POINTERS, SIZES, TASK, plan_of
from striderule.algorithms.direct.pooling.gradient_routine import gradient_routine
from striderule.algorithms.windows import pooling_gradient as windows
from striderule.algorithms.windows.pooling import max_pool
from striderule.codegen.target import Target, current
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling

Array = npt.NDArray[Any]
Windowed = Pooling | AdaptivePooling
Ints = tuple[int, ...]

SERVED = ("float32", "float64")

# Gradients are spread to planes of at most so many bytes, which stay in the second cache, and of no fewer than so many
# planes: each is one thread's. Others are computed position by position.
NEAR, MANY = 1 << 18, 16
# Bytes that are cleared at a time, about, and numbers that a task finds.
CLEARED, FOUND = 1 << 14, 1 << 14


def largest(
    problem: Windowed | FractionalPooling, gy: Array, places: Array, dtype: np.dtype[Any], last: bool = False
) -> Array:
    """Return gx, where gx[n, c, places[n, c, j]] += gy[n, c, j], zero elsewhere; -1 is no place.

    gy and places are (batch, channels, *output size), and places are such that their windows look at them; gx has the
    type `dtype`, and channels `last` in memory or first.
    """
    result = _run(_largest_call(problem, dtype, last), problem, gy, places, dtype, last)
    return windows.largest(problem, gy, places, dtype, last) if result is None else result


def bind_largest(
    problem: Windowed | FractionalPooling, places: Array, shape: Ints, dtype: np.dtype[Any], last: bool
) -> Callable[[Array], Array] | None:
    """Return what computes `largest`, of that shape, for gradients like the places in their order; None if it cannot.

    Gradients are compact and of the type `dtype`; axes of one element may be missing in all of them.
    """
    if last or not (places.flags.c_contiguous and places.flags.aligned and places.dtype == np.int64):
        return None
    return _bound(_largest_call(problem, dtype, last), places, shape, dtype)


def _largest_call(problem: Windowed | FractionalPooling, dtype: np.dtype[Any], last: bool) -> Call | None:
    """Return the call for gy, places and gx, or None where NumPy has to compute."""
    if dtype.name not in SERVED or 0 in problem.output_shape:
        return None
    planes, volume = problem.batch * problem.channels, prod(problem.size)
    size = volume * dtype.itemsize
    if not last and size <= NEAR and (planes >= MANY or planes * size < ALONE):
        shape = (planes, prod(problem.output_size), volume)
        call = giving_way.attempt(_places_call, "spread", shape, dtype.name, current())
        if call is not None:
            return call
    # Fractional windows are other ones in every plane. Places are compared in 32 bits where numbers have no more.
    if isinstance(problem, FractionalPooling) or not (dtype.itemsize == 8 or volume < 2**31):
        return None
    return giving_way.attempt(_call_for, "max", problem, dtype, last, current())


def average(problem: Windowed, gy: Array, dtype: np.dtype[Any], last: bool = False) -> Array:
    """Return gx[n, c, i] = sum over outputs j whose window holds i of gy[n, c, j] * scale[j]; else as `largest`."""
    result = _run(_average_call(problem, dtype, last), problem, gy, None, dtype, last)
    return windows.average(problem, gy, dtype, last) if result is None else result


def bind_average(problem: Windowed, shape: Ints, dtype: np.dtype[Any], last: bool) -> Callable[[Array], Array] | None:
    """Return what computes `average`, as `bind_largest` does."""
    return None if last else _bound(_average_call(problem, dtype, last), None, shape, dtype)


def _average_call(problem: Windowed, dtype: np.dtype[Any], last: bool) -> Call | None:
    if dtype.name not in SERVED or 0 in problem.output_shape:
        return None
    return giving_way.attempt(_call_for, "average", problem, dtype, last, current())


def _bound(
    call: Call | None, places: Array | None, shape: Ints, dtype: np.dtype[Any]
) -> Callable[[Array], Array] | None:
    if call is None:
        return None
    run, make = call.run, memory.maker(np.empty(0), shape, dtype)

    def computed(gradient: Array) -> Array:
        result = make()
        run(gradient, places, result)
        return result

    return computed


def found(gy: Array, places: Array) -> Array:
    """Return gx, where gx[p, j] = gy[p, places[p, j]] for planes p: both are (planes, positions)."""
    call = _found_call(gy, places)
    if call is None:
        return windows.found(gy, places)
    result = memory.empty(places.shape, gy.dtype)
    call.run(result, _compact(places, np.dtype(np.int64), False), _compact(gy, gy.dtype, False))
    return result


def bind_found(gy: Array, places: Array, shape: Ints) -> Callable[[Array], Array] | None:
    """Return what computes `found`, of that shape, for gradients like gy in their order; None if it cannot."""
    stands = all(one.flags.c_contiguous and one.flags.aligned for one in (gy, places))
    call = _found_call(gy, places) if stands and places.dtype == np.int64 else None
    if call is None:
        return None
    run, make = call.run, memory.maker(places, shape, gy.dtype)

    def computed(gradient: Array) -> Array:
        result = make()
        run(result, places, gradient)
        return result

    return computed


def _found_call(gy: Array, places: Array) -> Call | None:
    if not places.size or gy.dtype.name not in SERVED:
        return None
    shape = (len(gy), places.shape[1], gy.shape[1])
    return giving_way.attempt(_places_call, "found", shape, gy.dtype.name, current())


@lru_cache(maxsize=256)
def _places_call(kind: places_routine.Kind, shape: tuple[int, int, int], element: str, target: Target) -> Call:
    """Return the call for so many planes, elements of each in small, and elements of each in large."""
    planes, count, volume = shape
    name = f"pool_places_{kind}_{element}"
    build = lambda: places_routine.places_routine(name, kind, element, target)  # noqa: E731 - as short as can be
    routine = proof.compiled(name, (name,), build, target, lambda: _follows(kind, element))
    size = np.dtype(element).itemsize
    if kind == "spread":
        task_planes, task_count, plane_tasks = max(1, TASK // (volume * size)), count, 1
    else:
        plane_tasks = -(-count // FOUND)
        task_planes, task_count = max(1, FOUND // count), -(-count // plane_tasks)
    tasks = -(-planes // task_planes) * plane_tasks
    cleared = max(2, CLEARED // (volume * size) // 2 * 2)
    words = array("q", (0, 0, 0, planes, count, volume, task_planes, task_count, plane_tasks, cleared))
    assert len(words) == len(places_routine.POINTERS) + len(places_routine.SIZES)
    return Call(routine.address, words, tasks, 1 if planes * volume * size < ALONE else None)


def _follows(kind: places_routine.Kind, element: str) -> bool:
    """Compare a routine of places with NumPy."""
    problem = Pooling.from_shape("max", (1, 3, 9, 8), 2, 1)
    image = np.random.default_rng(0).integers(-9, 9, (1, 3, 9, 8))
    places, gradient = max_pool(problem, image, True)[1], np.zeros(problem.output_shape, element)
    assert places is not None  # they were asked for
    if kind == "spread":
        both = largest, windows.largest
        return proof.agree(*(lambda gy, one=one: one(problem, gy, places, gy.dtype) for one in both), gradient)
    flat = places.reshape(3, -1)
    return proof.agree(
        *(lambda gy, one=one: one(gy, flat) for one in (found, windows.found)), np.zeros((3, 72), element)
    )


def _run(
    call: Call | None,
    problem: Windowed | FractionalPooling,
    gy: Array,
    places: Array | None,
    dtype: np.dtype[Any],
    last: bool,
) -> Array | None:
    """Return the gradient, or None where NumPy has to compute."""
    if call is None:
        return None
    result = windows.made(problem, dtype, last)
    call.run(_compact(gy, dtype, last), None if places is None else _compact(places, np.dtype(np.int64), last), result)
    return result


def _compact(x: Array, dtype: np.dtype[Any], last: bool) -> Array:
    """Return x in the order in which the routine reads it, copied where it stands otherwise."""
    seen = np.moveaxis(x, 1, -1) if last else x
    if seen.dtype is dtype and seen.flags.c_contiguous and seen.flags.aligned:
        return seen
    return np.require(seen, dtype, ("C", "A"))


@lru_cache(maxsize=256)
def _call_for(kind: str, problem: Windowed, dtype: np.dtype[Any], last: bool, target: Target) -> Call:
    plan = plan_of(kind, problem, dtype, last, target.lanes(dtype.itemsize))
    routine = proof.compiled(
        plan.form.name,
        plan.form,
        lambda: gradient_routine(plan.form, target),
        target,
        lambda: _agrees(kind, replace(problem, batch=min(problem.batch, 2)), dtype, last),
    )
    values = {**plan.sizes, **{name: memory.address(table) for name, table in plan.tables.items()}}
    words = array("q", [values.get(word, 0) for word in (*POINTERS, *SIZES)])
    return Call(routine.address, words, plan.tasks, 1 if plan.alone else None, plan.tables)


def _agrees(kind: str, problem: Windowed, dtype: np.dtype[Any], last: bool) -> bool:
    """Compare a routine with NumPy on a few drawn images."""
    gradient = np.zeros(problem.output_shape, dtype)  # the trial draws its values
    if kind == "average":
        pair = average, windows.average
        return proof.agree(*(lambda gy, one=one: one(problem, gy, dtype, last) for one in pair), gradient)
    image = np.random.default_rng(0).integers(-9, 9, (problem.batch, problem.channels, *problem.size))
    places = max_pool(replace(problem, kind="max"), image, True)[1]
    assert places is not None  # they were asked for
    both = largest, windows.largest
    return proof.agree(*(lambda gy, one=one: one(problem, gy, places, dtype, last) for one in both), gradient)
