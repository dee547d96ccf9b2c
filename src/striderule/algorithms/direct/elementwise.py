"""Activations on generated code: one call over arrays at any strides.

Results are within the errors that `activation` states, so they may differ from those of `windows` in the last digits.
Complex numbers, and machines without generated code, are served by `windows`.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.activation import PARAMETERS
from striderule.algorithms.direct.elementwise_routine import SIZES, Form, elementwise_routine
from striderule.algorithms.direct.native import Call
from striderule.algorithms.windows import elementwise as windows
from striderule.codegen.target import current
from striderule.codegen.tile import ELEMENTS

Array = npt.NDArray[Any]

# Elements of a task: enough to be worth handing to another thread. Smaller ones, down to TASK, where there would
# be fewer than EVEN of them, of which some thread gets one more than another.
TASK_LIGHT, TASK, EVEN = 1 << 16, 1 << 14, 32
# The formulas that keep integers.
INTEGERS = ("relu", "relu6", "hardtanh", "threshold")
# Columns fewer than these are not worth a row of their own.
FEW = 16
_bits = struct.Struct("d"), struct.Struct("q")


def apply(
    name: str, x: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...] = (), out: Array | None = None
) -> Array:
    """Return the activation `name` of every element, computed in `dtype`.

    Written to `out`, which may be x; else new in the memory order of x, of type `dtype`, or float16 for float16.
    """
    kept = x.dtype if x.dtype.char == "e" else dtype
    result = memory.empty_like(x, x.shape, kept) if out is None else out
    if result.size == 0:
        return result
    if not result.flags.aligned:
        return giving_way.given(out, apply(name, x, dtype, parameters))
    source = aligned(x)
    call = giving_way.attempt(bind, name, source, dtype, parameters, result)
    if call is None:
        return giving_way.given(out, windows.apply(name, x, dtype, parameters))
    call.run(source, result)
    return result


def bind(name: str, x: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...], result: Array) -> Call | None:
    """Return what applies an activation to arrays like x, into arrays like `result`; None where that is left to NumPy.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    word, numbers = words_of(name, dtype, parameters)
    form = None if numbers is None else _form(name, word, dtype, result.dtype, x.dtype)
    if form is None or numbers is None or not result.size or not (x.flags.aligned and result.flags.aligned):
        return None
    if x.flags.c_contiguous and result.flags.c_contiguous:
        call = flat_call(form, x.size, current().name)
    else:
        call = call_of(form, x.shape, (result.strides, x.strides), current().name)
    return call.telling(call.words + array("q", numbers)) if numbers else call


def prelu(x: Array, weight: Array, dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """Return x where positive, elsewhere weight * x; the weight is broadcast to x.

    Written to `out`, which may be x; else new in the memory order of x, of type `dtype`.
    """
    result = memory.empty_like(x, x.shape, dtype) if out is None else out
    if result.size == 0:
        return result
    if not result.flags.aligned:
        return giving_way.given(out, prelu(x, weight, dtype))
    source, slopes = aligned(x), aligned(weight.astype(dtype, copy=False))
    call = giving_way.attempt(bind_prelu, source, slopes, dtype, result)
    if call is None:
        return giving_way.given(out, windows.prelu(x, weight, dtype))
    call.run(source, result, slopes)
    return result


def length(x: Array, other: Array, out: Array | None = None) -> Array:
    """Return sqrt(x^2 + other^2) of two arrays of one shape and float type; written to `out`, which may be one of them.

    Overflows only where the result does.
    """
    return _of_two("length", x, other, out)


def direction(y: Array, x: Array, out: Array | None = None) -> Array:
    """Return arctan2(y, x) of two arrays, as `length` does."""
    return _of_two("direction", y, x, out)


def _of_two(name: str, x: Array, other: Array, out: Array | None) -> Array:
    """Return a function of two arrays."""
    result = memory.empty_like(x, x.shape, x.dtype) if out is None else out
    if result.size == 0:
        return result
    if not result.flags.aligned:
        return giving_way.given(out, _of_two(name, x, other, None))
    one, two = aligned(x), aligned(other)
    call = giving_way.attempt(bind_two, name, one, two, result)
    if call is None:
        return giving_way.given(out, getattr(windows, name)(x, other))
    call.run(one, result, two)
    return result


def bind_two(name: str, x: Array, other: Array, result: Array) -> Call | None:
    """Return what computes `length` or `direction` of arrays like these; see `bind`."""
    form = _form(name, "", x.dtype, result.dtype, x.dtype, other.dtype)
    operands = (result, x, other)
    if form is None or x.dtype.kind != "f" or not all(one.flags.aligned and one.shape == x.shape for one in operands):
        return None
    if all(one.flags.c_contiguous for one in operands):
        return flat_call(form, x.size, current().name)
    return call_of(form, x.shape, (result.strides, x.strides, other.strides), current().name)


def bind_prelu(x: Array, weight: Array, dtype: np.dtype[Any], result: Array) -> Call | None:
    """Return what computes `prelu` of arrays like x and `weight`; see `bind`. The weight is read as it is."""
    form = _form("prelu", "", dtype, result.dtype, x.dtype, weight.dtype)
    operands = (result, x, weight)
    if form is None or not result.size or not all(one.flags.aligned for one in operands):
        return None
    strides = (result.strides, x.strides, np.broadcast_to(weight, x.shape).strides)
    return call_of(form, x.shape, strides, current().name)


def words_of(name: str, dtype: np.dtype[Any], parameters: tuple[Any, ...]) -> tuple[str, list[int] | None]:
    """Return the parameter that is no number, and the others as 64-bit words; None where no word can say one."""
    if name == "gelu":
        return parameters[0], []
    if not parameters:
        return "", []
    if dtype.kind == "f":
        double, integer = _bits
        return "", [integer.unpack(double.pack(number))[0] for number in parameters]
    least, most = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    limits = [number if math.isinf(number) else math.floor(number) for number in parameters]
    if min(limits) < least:  # threshold's, below all integers of the type
        return "", None
    # From 2^63 on the words of unsigned integers are negative.
    return "", [(int(min(number, most)) + 2**63) % 2**64 - 2**63 for number in limits]


@lru_cache(maxsize=1024)
def _form(name: str, word: str, dtype: np.dtype[Any], result: np.dtype[Any], *sources: np.dtype[Any]) -> Form | None:
    """Return what the code depends on, or None where it does not serve these types."""
    if any(one.name not in ELEMENTS for one in (dtype, result, *sources)):
        return None
    if result != dtype and (result.name, dtype.name) != ("float16", "float32"):
        return None
    if dtype.kind != "f" and (name not in INTEGERS or sources[0] != dtype):
        return None
    return Form(name, word, tuple(source.name for source in sources), result.name, dtype.name)


def aligned(x: Array) -> Array:
    """Return an array whose elements, and the steps between them, are whole: itself, or a copy."""
    return x if x.flags.aligned else x.copy(order="K")


class Axis(NamedTuple):
    """An axis of all operands at once: its size and the step of each, in elements."""

    size: int
    steps: tuple[int, ...]


@lru_cache(maxsize=1024)
def flat_call(form: Form, size: int, _target: str) -> Call:
    """Return the call for arrays without gaps, without the numbers behind its words."""
    return _planned(form, [Axis(size, (1,) * len(form.operands))])


@lru_cache(maxsize=256)
def call_of(form: Form, shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...], _target: str) -> Call:
    """Return the call without the numbers behind its words; strides in bytes, those of the result first."""
    sizes = [ELEMENTS[kind].itemsize for kind in (form.result, *form.sources)]
    steps = [[step // size for step in one] for one, size in zip(strides, sizes, strict=True)]
    axes = [Axis(n, each) for n, each in zip(shape, zip(*steps, strict=True), strict=True) if n > 1]
    return _planned(form, merged(axes))


def merged(axes: list[Axis]) -> list[Axis]:
    """Return the axes from the innermost in the result to the outermost, joined where two go on like one."""
    result: list[Axis] = []
    for axis in sorted(axes, key=lambda axis: abs(axis.steps[0])):
        inner = result[-1] if result else None
        if inner and axis.steps == tuple(step * inner.size for step in inner.steps):
            result[-1] = Axis(inner.size * axis.size, inner.steps)
        else:
            result.append(axis)
    return result


def _planned(form: Form, axes: list[Axis]) -> Call:
    """Return the call: columns are the innermost axis, or the longest where that is short; rows the next."""
    operands = len(form.operands)
    none = Axis(1, (0,) * operands)
    rest = list(axes)
    columns = none
    if rest:
        columns = rest[0] if rest[0].size >= FEW else max(rest, key=lambda axis: axis.size)
        rest.remove(columns)
    if columns.size == 1:
        columns = Axis(1, (1,) * operands)
    rows, outer = (rest[0], rest[1:]) if rest else (none, [])
    if operands > 2 and columns.steps[-1] == 0:
        form = replace(form, level=True)
    target = current()
    routine = proof.compiled(form.title, form, lambda: elementwise_routine(form, target), target, _trial(form))
    whole = math.prod(axis.size for axis in axes)
    worth = TASK_LIGHT if form.light else TASK
    most = min(worth, max(TASK, whole // EVEN))
    column_tasks, task_columns = shared(columns.size, most, 64)
    row_tasks, task_rows = shared(rows.size, max(1, most // task_columns), 1)
    places = math.prod(axis.size for axis in outer)
    table = np.array([word for axis in outer for word in (axis.size, *axis.steps)] or [0], np.int64)
    steps = [axis.steps[k] for k in range(operands) for axis in (rows, columns)]
    sizes = (len(outer), rows.size, columns.size, task_rows, task_columns, row_tasks, column_tasks)
    assert len(sizes) == len(SIZES)
    words = array("q", [*(0,) * operands, memory.address(table), *sizes, *steps])
    threads = 1 if whole <= worth else None
    return Call(routine.address, words, places * row_tasks * column_tasks, threads, table)


def shared(size: int, most: int, unit: int) -> tuple[int, int]:
    """Return how many tasks of at most about `most` share `size` evenly, and the size of each: whole units."""
    tasks = -(-size // most)
    each = -(-size // (tasks * unit)) * unit
    return -(-size // each), each


def _trial(form: Form) -> Callable[[], bool]:
    """Return the trial of a form: a few rows of small integers, computed here and in NumPy."""

    def agrees() -> bool:
        x, dtype = np.zeros((3, 37), form.sources[0]), np.dtype(form.element)
        if form.gradient:
            from striderule.algorithms.direct import elementwise_gradient  # noqa: PLC0415 - which imports this module

            return elementwise_gradient.agrees(form)
        if form.name == "prelu":
            slope = np.zeros((3, 1) if form.level else 37, form.sources[1])
            return proof.agree(prelu, windows.prelu, x, slope, dtype)
        if form.name in ("length", "direction"):
            return proof.agree(partial(_of_two, form.name, out=None), getattr(windows, form.name), x, x.copy())
        values = [1, 2][: len(PARAMETERS.get(form.name, ()))]
        parameters = (form.word,) if form.word else tuple(values)
        return proof.agree(apply, _converted, form.name, x, dtype, parameters)

    return agrees


def _converted(name: str, x: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...]) -> Array:
    """Return what `windows` gives, in the type that `apply` gives."""
    result = windows.apply(name, x, dtype, parameters)
    return result.astype(x.dtype) if x.dtype == np.float16 else result
