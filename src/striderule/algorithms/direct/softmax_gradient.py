"""Gradients of softmax on generated code: which lines there are, and the call."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.elementwise import Axis, aligned, merged, shared
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.softmax import FEW, TASK, UNIT
from striderule.algorithms.direct.softmax_gradient_routine import (
    LONG,
    MOST,
    POINTERS,
    SIZES,
    Form,
    softmax_gradient_routine,
)
from striderule.algorithms.windows import softmax_gradient as windows
from striderule.codegen.target import current

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

SERVED = ("float32", "float64")
# Tasks that are enough for many threads.
ENOUGH = 16


def softmax(y: Array, g: Array, axis: int, logarithm: bool, negative: bool) -> Array:
    """Return y * (g - sum of g * y) along the axis, for logarithms g - exp(y) * sum of g; minus that if `negative`.

    `y` is what softmax, or its logarithm, gave; `g` is the gradient with respect to it, of the same type.
    """
    if y.size == 0 or y.dtype.name not in SERVED:
        return windows.softmax(y, g, axis, logarithm, negative)
    one, other = aligned(y), aligned(g)
    bound = bind(one, other, axis, logarithm, negative)
    if bound is not None:
        return bound(other)
    last = y.ndim - 1
    if axis == last and one.flags.c_contiguous and other.flags.c_contiguous:  # there is no code
        return windows.softmax(y, g, axis, logarithm, negative)
    # Nothing stands side by side: copies are put in order.
    y_lines, g_lines = (np.moveaxis(each, axis, last).copy() for each in (one, other))
    return np.moveaxis(softmax(y_lines, g_lines, last, logarithm, negative), last, axis)


def bind(y: Array, g: Array, axis: int, logarithm: bool, negative: bool) -> Callable[[Array], Array] | None:
    """Return what computes `softmax` for gradients that stand as g does, both aligned; None where it takes copies."""
    if y.size == 0 or y.dtype.name not in SERVED or g.dtype != y.dtype or g.shape != y.shape or not y.flags.aligned:
        return None
    make = memory.maker(y, y.shape, y.dtype)
    words = y.dtype.name, axis, logarithm, negative, current().name
    call = giving_way.attempt(_call, y.shape, (make().strides, y.strides, g.strides), *words)
    if call is None:
        return None
    run = call.run

    def computed(gradient: Array) -> Array:
        result = make()
        run(result, y, gradient)
        return result

    return computed


@lru_cache(maxsize=256)
def _call(
    shape: Ints, strides: tuple[Ints, ...], element: str, axis: int, logarithm: bool, negative: bool, _target: str
) -> Call | None:
    """Return the call, or None where neither lines nor the beginnings of lines stand side by side."""
    size = np.dtype(element).itemsize
    steps = zip(*strides, strict=True)
    axes = [Axis(n, tuple(step // size for step in each)) for n, each in zip(shape, steps, strict=True)]
    along = axes.pop(axis)
    rest = merged([one for one in axes if one.size > 1])
    beside = (1, 1, 1)
    across = next((one for one in rest if one.steps == beside and one.size >= FEW), None)
    run = along.size == 1 or along.steps == beside
    lines = (rest[0] if rest else Axis(1, (0, 0, 0))) if run else across
    if lines is None:
        return None
    form = Form("run" if run else "across", element, logarithm, negative)
    target = current()
    build = lambda: softmax_gradient_routine(form, target)  # noqa: E731 - as short as can be
    routine = proof.compiled(form.title, form, build, target, lambda: _agrees(form))
    outer = [one for one in rest if one is not lines]
    places = math.prod(one.size for one in outer)
    # Lines that have pieces of memory to themselves are read as they stand, where these are enough for many threads.
    whole = not run and along.size >= LONG and set(along.steps) == {lines.size}
    most = lines.size if whole and lines.size <= MOST and places >= ENOUGH else max(1, TASK // along.size)
    tasks, task_lines = shared(lines.size, most, 1 if run else UNIT)
    table = np.array([word for one in outer for word in (one.size, *one.steps)] or [0], np.int64)
    words = array("q", [0, 0, 0, memory.address(table), len(outer), lines.size, task_lines, tasks, along.size])
    words.extend((*lines.steps, *along.steps))
    assert len(words) == len(POINTERS) + len(SIZES)
    return Call(routine.address, words, places * tasks, 1 if math.prod(shape) <= TASK else None, table)


def _agrees(form: Form) -> bool:
    """Try a form on lines of small integers, short and long ones, computed here and in NumPy."""
    axis = 1 if form.kind == "run" else 0
    words = axis, form.logarithm, form.negative

    # Logarithms are no larger than 0.
    def limited(y: Array) -> Array:
        return -np.abs(y) if form.logarithm else y

    ways = [lambda y, g, compute=one: compute(limited(y), g, *words) for one in (softmax, windows.softmax)]
    arrays = [np.zeros((length, 41), form.element) for length in (37, LONG)]
    return all(proof.agree(*ways, y, y.copy()) for y in arrays)
