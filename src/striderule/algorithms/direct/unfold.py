"""Windows cut out and added back, on generated code: `unfold` is one copy, `fold` adds rows of columns."""

from __future__ import annotations

from array import array
from functools import lru_cache
from itertools import product
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import copying, giving_way, proof
from striderule.algorithms.direct.copying import Plan, Source, Walk
from striderule.algorithms.direct.fold_routine import Fold, Way, fold_routine
from striderule.algorithms.direct.native import Call
from striderule.algorithms.windows import unfold as windows
from striderule.codegen.target import current
from striderule.geometry.padding import source_index
from striderule.geometry.problem import Unfold

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

# Positions in the borders of all axes, or lines of windows, that are looked up; more are left to NumPy.
MOST_BORDER = 1 << 16
# Bytes of columns that a task reads, about, and those below which the calling thread does it all.
TASK, ALONE = 1 << 16, 1 << 17
# Sums of more terms in one chain would err more than is promised.
MOST_TERMS = 128
ADDED = ("float32", "float64", "int64")


def unfold(problem: Unfold, x: Array, fill: Any = 0, out: Array | None = None) -> Array:
    """columns[n, (c, t), j] = x[n, c, j * stride + t * dilation - before], in `out` or a new array."""
    result = memory.empty(problem.columns_shape, x.dtype) if out is None else out
    if result.size == 0:
        return result
    call = giving_way.attempt(bind_unfold, problem, x, fill, result)
    if call is None:
        return giving_way.given(out, windows.unfold(problem, x, fill))
    call.run(x, result)
    return result


def bind_unfold(problem: Unfold, x: Array, fill: Any, result: Array) -> Call | None:
    """Return what cuts the windows of arrays like x into arrays like `result`, or None where that is left to NumPy.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    if result.size == 0 or sum(abs(side) for pair in problem.padding for side in pair) > MOST_BORDER:
        return None
    plan = _copy(problem, x.strides, result.strides, x.itemsize)
    return plan.call(copying.fill_words(fill, x.dtype), lambda: proof.agree(unfold, windows.unfold, problem, x, fill))


@lru_cache(maxsize=64)
def _copy(problem: Unfold, x_steps: Ints, y_steps: Ints, itemsize: int) -> Plan:
    """Return the copy: an axis of the image is walked on by the windows and by their taps."""
    taps, counts = problem.kernel, problem.output_size
    sources = [Source(problem.batch, x_steps[0]), Source(problem.channels, x_steps[1])]
    walks = [Walk(problem.batch, y_steps[0], 0), Walk(problem.channels, y_steps[1] * prod(taps), 1)]
    for axis, (n, (before, after), words) in enumerate(
        zip(problem.size, problem.padding, problem.boundary, strict=True)
    ):
        places = [*range(-max(before, 0), 0), *range(n, n + max(after, 0))]
        border = tuple(source_index(place, n, words[place >= n]) for place in places)
        walks.append(Walk(taps[axis], y_steps[1] * prod(taps[axis + 1 :]), len(sources), problem.dilation[axis]))
        walks.append(Walk(counts[axis], y_steps[2] * prod(counts[axis + 1 :]), len(sources), problem.stride[axis]))
        sources.append(Source(n, x_steps[2 + axis], -before, max(before, 0), border))
    return copying.plan_of(itemsize, sources, walks)


class Addition(NamedTuple):
    """The words of a `fold_routine`, how many tasks, and what the words point to."""

    words: array[int]
    tasks: int
    tables: tuple[npt.NDArray[np.int64], ...]


def fold(problem: Unfold, columns: Array, out: Array | None = None) -> Array:
    """x[n, c, j * stride + t * dilation - before] += columns[n, (c, t), j]; what falls outside is dropped.

    Sums are formed in the order of the taps. `out` of another type than the columns, or without rows side by side,
    receives a copy.
    """
    if columns.strides[2] != columns.itemsize:
        columns = np.ascontiguousarray(columns)
    if out is None or out.dtype != columns.dtype or not out.flags.c_contiguous:
        result = memory.empty((problem.batch, problem.channels, *problem.size), columns.dtype)
    else:
        result = out
    call = giving_way.attempt(bind_fold, problem, columns, result)
    if call is None:
        return giving_way.given(out, windows.fold(problem, columns))
    call.run(columns, result)
    return result if out is None or result is out else giving_way.given(out, result)


def bind_fold(problem: Unfold, columns: Array, result: Array) -> Call | None:
    """Return what adds columns like these into arrays like `result`, or None where that is left to NumPy.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    long = _most_met(problem) > MOST_TERMS or prod(problem.size[:-1]) > MOST_BORDER
    served = columns.dtype.name in ADDED and columns.dtype == result.dtype and result.flags.c_contiguous
    if long or not served or not columns.size or not result.size or columns.strides[2] != columns.itemsize:
        return None
    target = current()
    lanes = target.lanes(columns.itemsize)
    form = Fold(columns.dtype.name, _way(problem, lanes))
    routine = proof.compiled(
        form.name,
        form,
        lambda: fold_routine(form, target),
        target,
        lambda: proof.agree(fold, windows.fold, problem, columns),
    )
    words, tasks, tables = _addition(problem, columns.strides, columns.itemsize)
    return Call(routine.address, words, tasks, 1 if columns.nbytes < ALONE else None, tables)


def _most_met(problem: Unfold) -> int:
    """Return how many windows meet at an element, at most.

    >>> _most_met(Unfold.from_shape((1, 1, 64, 64), 16, stride=16))
    1
    """
    axes = zip(problem.kernel, problem.stride, problem.dilation, strict=True)
    return prod(-(-k // (stride // gcd(stride, dilation))) for k, stride, dilation in axes)


def _way(problem: Unfold, lanes: int) -> Way:
    """Return how the windows of a line are added; see `Fold`."""
    if problem.stride[-1] == 1:
        return "dense"
    # Turning a square of taps and windows pays where most of it is there.
    near = problem.dilation[-1] == 1 and 2 * problem.kernel[-1] >= lanes and problem.output_size[-1] > 1
    return "turned" if near else "strided"


@lru_cache(maxsize=64)
def _addition(problem: Unfold, steps: Ints, itemsize: int) -> Addition:
    taps, length = prod(problem.kernel), problem.size[-1]
    lines, starts = _lines(problem, steps, itemsize)
    inner = []
    for t in range(problem.kernel[-1]):
        shift = problem.padding[-1][0] - t * problem.dilation[-1]
        first = max(0, -(-shift // problem.stride[-1]))
        end = min(problem.output_size[-1], -(-(length + shift) // problem.stride[-1]))
        inner += [first, max(0, end - first), first * problem.stride[-1] - shift]
    tables = tuple(np.array(words or [0], np.int64) for words in (lines, starts, inner))
    rows = prod(problem.size[:-1])
    task_rows = max(1, min(rows, TASK // (length * taps * itemsize)))
    row_tasks = -(-rows // task_rows)
    plane = rows * length * itemsize
    words = [
        0, 0, *map(memory.address, tables),
        problem.channels, steps[0], steps[1] * taps, steps[1],
        plane * problem.channels, plane, length * itemsize,
        rows, length, problem.kernel[-1], problem.stride[-1], problem.output_size[-1], problem.padding[-1][0],
        task_rows, row_tasks,
    ]  # fmt: skip
    return Addition(array("q", words), problem.batch * problem.channels * row_tasks, tables)


def _lines(problem: Unfold, steps: Ints, itemsize: int) -> tuple[list[int], list[int]]:
    """Return where the lines of columns stand that meet each row of the image, and where each row's begin in that."""
    rank = len(problem.size)
    met = []  # for every place of every outer axis: (tap, window) pairs
    for axis in range(rank - 1):
        before, stride, gap = problem.padding[axis][0], problem.stride[axis], problem.dilation[axis]
        reached = [
            [(t, divmod(place + before - t * gap, stride)) for t in range(problem.kernel[axis])]
            for place in range(problem.size[axis])
        ]
        count = problem.output_size[axis]
        met.append([[(t, j) for t, (j, rest) in pairs if rest == 0 and 0 <= j < count] for pairs in reached])
    tap_steps = [steps[1] * prod(problem.kernel[axis + 1 :]) for axis in range(rank - 1)]
    window_steps = [itemsize * prod(problem.output_size[axis + 1 :]) for axis in range(rank - 1)]
    lines: list[int] = []
    starts = [0]
    for row in product(*met):
        for pairs in product(*row):
            places = zip(pairs, tap_steps, window_steps, strict=True)
            lines += [sum(t * tap + j * window for (t, j), tap, window in places)]
        starts.append(len(lines))
    return lines, starts
