"""Softmax on generated code: which lines there are, and the call."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.elementwise import Axis, aligned, merged, shared
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.softmax_routine import POINTERS, SIZES, Form, softmax_routine
from striderule.algorithms.windows import normalization as windows
from striderule.codegen.target import current
from striderule.errors import CompilationFailed

Array = npt.NDArray[Any]

SERVED = ("float32", "float64", "float16")
# Numbers of a task.
TASK = 1 << 14
# Lines that begin side by side: fewer than these leave most lanes idle, and this many are a unit of tasks.
FEW, UNIT = 4, 64


def softmax(x: Array, axis: int, logarithm: bool, out: Array | None = None) -> Array:
    """Return exp(x - m) / sum exp(x - m), or its logarithm x - m - log(sum exp(x - m)), with m the largest on the axis.

    Written to `out`, which may be x and may be of another float type; else new, like x. float16 is computed in float32.
    """
    if x.dtype.name not in SERVED or (out is not None and not _writes(x, out)):
        return giving_way.given(out, windows.softmax(x, axis, logarithm))
    result = memory.empty_like(x, x.shape, x.dtype) if out is None else out
    if result.size == 0:
        return result
    source, target = aligned(x), aligned(result)
    back = target
    try:
        call = bind_softmax(source, axis, logarithm, target)
        if call is None:
            # Nothing stands side by side: a copy is put in order, and its results brought back.
            source = np.moveaxis(x, axis, -1).copy()
            target = memory.empty(source.shape, result.dtype)
            back = np.moveaxis(target, -1, axis)
            call = bind_softmax(source, x.ndim - 1, logarithm, target)
            assert call is not None
    except CompilationFailed as failure:
        giving_way.warn(failure)
        return giving_way.given(out, windows.softmax(x, axis, logarithm))
    call.run(source, target)
    if back is not result:
        np.copyto(result, back)
    return result


def bind_softmax(x: Array, axis: int, logarithm: bool, result: Array) -> Call | None:
    """Return what computes `softmax` of arrays like x into arrays like `result`, both aligned.

    None where they must be put in order first, or NumPy computes.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    if x.dtype.name not in SERVED or not _writes(x, result) or not x.size:
        return None
    if not (x.flags.aligned and result.flags.aligned):
        return None
    return _call(x.shape, x.strides, result.strides, x.dtype.name, result.dtype.name, axis, logarithm, current().name)


def _writes(x: Array, out: Array) -> bool:
    """Tell whether results can be written to `out` in its own type."""
    return out.dtype == x.dtype or (out.dtype.name, x.dtype.name) == ("float16", "float32")


@lru_cache(maxsize=256)
def _call(
    shape: tuple[int, ...],
    x_strides: tuple[int, ...],
    y_strides: tuple[int, ...],
    source: str,
    result: str,
    axis: int,
    logarithm: bool,
    _target: str,
) -> Call | None:
    """Return the call, or None where neither lines nor the beginnings of lines stand side by side."""
    x_size, y_size = np.dtype(source).itemsize, np.dtype(result).itemsize
    axes = [Axis(n, (y // y_size, x // x_size)) for n, x, y in zip(shape, x_strides, y_strides, strict=True)]
    along = axes.pop(axis)
    rest = merged([one for one in axes if one.size > 1])
    kind: Literal["run", "across"]
    lines: Axis | None
    if along.size == 1 or along.steps == (1, 1):
        kind, lines = "run", rest[0] if rest else Axis(1, (0, 0))
    else:
        kind, lines = "across", next((one for one in rest if one.steps == (1, 1) and one.size >= FEW), None)
    if lines is None:
        return None
    outer = [one for one in rest if one is not lines]
    target = current()
    form = Form(kind, source, result, "float64" if source == "float64" else "float32", logarithm)
    routine = proof.compiled(form.title, form, lambda: softmax_routine(form, target), target, lambda: _trial(form))
    tasks, task_lines = shared(lines.size, max(1, TASK // along.size), 1 if kind == "run" else UNIT)
    table = np.array([word for one in outer for word in (one.size, *one.steps)] or [0], np.int64)
    words = array("q", [0, 0, memory.address(table), len(outer), lines.size, task_lines, tasks, along.size])
    words.extend((*lines.steps, *along.steps))
    assert len(words) == len(POINTERS) + len(SIZES)
    places = math.prod(one.size for one in outer)
    return Call(routine.address, words, places * tasks, 1 if math.prod(shape) <= TASK else None, table)


def _trial(form: Form) -> bool:
    """Compute a few lines of small integers here and in NumPy."""
    x = np.zeros((3, 37) if form.kind == "run" else (3, 37, 19), form.source)
    found = np.empty(x.shape, form.result)
    return proof.agree(softmax, _in_type, x, 1, form.logarithm, out=found)


def _in_type(x: Array, axis: int, logarithm: bool, out: Array) -> Array:
    return windows.softmax(x, axis, logarithm).astype(out.dtype)
