"""Copies on generated code: what is copied where, as walks on sources (see `copy_routine`), and the call."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.copy_routine import BLANK, MOST_SOURCES, POINTERS, SIZES, Copy, copy_routine
from striderule.algorithms.direct.native import Call
from striderule.codegen.target import current

Array = npt.NDArray[Any]

# Bytes that a task writes, about: enough to be worth handing out.
TASK = 1 << 16
# Bytes of output below which the calling thread does it all.
ALONE = 1 << 17
# Bytes up to which what stands at one place of an axis (the channels of a pixel) is one element of a border.
PIXEL = 64


class Source(NamedTuple):
    """An axis of the input.

    `size`, and `step` in bytes; `start`: the position where its walks begin; `border`: which element stands at each of
    `before` positions before the axis, then at each behind it, None for the fill value.
    """

    size: int
    step: int
    start: int = 0
    before: int = 0
    border: tuple[int | None, ...] = ()


class Walk(NamedTuple):
    """An axis of the output: size, step in bytes, the number of its source, and the pace on it, at least 1."""

    size: int
    step: int
    source: int
    pace: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a call needs but the addresses and the fill value."""

    copy: Copy
    words: array[int]
    table: npt.NDArray[np.int64]
    tasks: int
    threads: int | None

    def call(self, fill: tuple[int, int], trial: Callable[[], bool]) -> Call:
        """Return what copies one array to another; `fill` is the fill value's bits in two words.

        Raises
        ------
        CompilationFailed
            There is no machine code to be had, or `trial` found it wrong (see `proof.compiled`).
        """
        target = current()
        routine = proof.compiled(self.copy.name, self.copy, lambda: copy_routine(self.copy, target), target, trial)
        words = self.words[:]
        words[3], words[4] = fill
        return Call(routine.address, words, self.tasks, self.threads, self.table)


def fill_words(fill: Any, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the bits of a number in an array of `dtype`, in two words of which each has as many as an element takes.

    >>> fill_words(1, np.dtype(np.int8)), fill_words(1j, np.dtype(complex))
    ((1, 0), (0, 4607182418800017408))
    """
    if isinstance(fill, int) and fill == 0:
        return 0, 0
    room = np.zeros(2, np.int64)
    room.view(np.uint8)[: dtype.itemsize] = np.array([fill], dtype).view(np.uint8)
    return int(room[0]), int(room[1])


def plan_of(itemsize: int, sources: Sequence[Source], walks: Sequence[Walk], start: int = 0) -> Plan:
    """Return the plan of a copy of elements of 1, 2, 4, 8 or 16 bytes, which begins `start` bytes into the input.

    There is one walk or more for each source, in any order. Every position that the walks on a source add up to must be
    inside it, or have its entry in the border. The walks reach no place of the output twice.
    """
    kept, moving = _merged(itemsize, list(sources), list(walks))
    columns, rows, others = _chosen(itemsize, kept, moving)
    # The first three sources are those of the routine: plain bytes, columns, rows.
    numbers = {columns.source: 1, rows.source: 2}
    for number, source in enumerate(kept):
        if number in numbers:
            continue
        if _is_plain(source, number, moving):
            start += source.start * source.step
        else:
            numbers[number] = len(numbers) + 1
    ordered = [Source(0, 1, start), *(kept[number] for number in numbers)]
    if len(ordered) > MOST_SOURCES:
        raise ValueError(f"a copy from {len(ordered)} sources")  # NumPy has fewer axes
    outer = []
    for walk in others:
        pace = walk.pace if walk.source in numbers else walk.pace * kept[walk.source].step
        outer.append(Walk(walk.size, walk.step, numbers.get(walk.source, 0), pace))
    return _written(itemsize, ordered, outer, rows, columns)


def _is_plain(source: Source, number: int, walks: Sequence[Walk]) -> bool:
    """Tell whether a source has no border and at most one walk: that may as well count bytes."""
    return not source.border and sum(walk.source == number for walk in walks) < 2


def _merged(itemsize: int, sources: list[Source], walks: list[Walk]) -> tuple[list[Source], list[Walk]]:
    """Return walks from the innermost to the outermost in the output, joined where two go on like one."""
    result: list[Walk] = []
    rest = sorted((walk for walk in walks if walk.size != 1), key=lambda walk: abs(walk.step))
    for number, walk in enumerate(rest):
        joined = _joined(itemsize, sources, [*result, *rest[number:]], walk) if result else None
        if joined is None:
            result.append(walk)
        else:
            inner = result[-1].source
            sources[walk.source], result[-1] = joined
            sources[inner] = Source(1, 0)  # nothing is left of it
    return sources, result


def _joined(itemsize: int, sources: list[Source], walks: list[Walk], outer: Walk) -> tuple[Source, Walk] | None:
    """Return the source and the walk that do what two walks do, `outer` and the one before it, or None."""
    inner = walks[walks.index(outer) - 1]
    one, other = sources[inner.source], sources[outer.source]
    step, count = one.step * inner.pace, inner.size
    alone = sum(walk.source == outer.source for walk in walks) == 1
    if one.start or not _is_plain(one, inner.source, walks) or not alone or outer.pace != 1:
        return None
    if outer.step != inner.step * count or other.step != step * count:
        return None
    if other.border and (step != itemsize or count * itemsize > PIXEL):
        return None
    border = tuple(None if at is None else at * count + k for at in other.border for k in range(count))
    source = Source(other.size * count, step, other.start * count, other.before * count, border)
    return source, Walk(outer.size * count, inner.step, outer.source)


def _chosen(itemsize: int, sources: list[Source], walks: list[Walk]) -> tuple[Walk, Walk, list[Walk]]:
    """Return the walks of columns and rows, and the others from the innermost."""
    # Columns and rows walk on sources of their own; where there are too few, on one of a single place.
    first, second = (Walk(1, itemsize, len(sources) + k) for k in range(2))
    sources.extend([Source(1, itemsize)] * 2)
    if not walks:
        return first, second, []
    columns = walks[0]
    free = [walk for walk in walks[1:] if walk.source != columns.source]
    if not free:
        return columns, second, walks[1:]
    # Where columns are not side by side in the input, rows go where the same cache lines are read again.
    strided = sources[columns.source].step * columns.pace != itemsize
    rows = min(free, key=lambda walk: abs(sources[walk.source].step * walk.pace)) if strided else free[0]
    return columns, rows, [walk for walk in walks[1:] if walk is not rows]


def _written(itemsize: int, sources: list[Source], outer: list[Walk], rows: Walk, columns: Walk) -> Plan:
    """Return the plan in words."""
    task_columns = max(1, min(columns.size, 4 * TASK // itemsize))
    task_rows = max(1, min(rows.size, TASK // (task_columns * itemsize)))
    column_tasks, row_tasks = -(-columns.size // task_columns), -(-rows.size // task_rows)
    places = prod(walk.size for walk in outer)
    values = {
        "walks": len(outer), "sources": len(sources),
        "rows": rows.size, "row_pace": rows.pace, "row_step": rows.step, "row_tasks": row_tasks,
        "task_rows": task_rows, "columns": columns.size, "column_pace": columns.pace, "column_step": columns.step,
        "column_tasks": column_tasks, "task_columns": task_columns,
    }  # fmt: skip
    table = _table(sources, outer)
    words = array("q", [values.get(word, 0) for word in (*POINTERS, *SIZES)])
    words[2] = memory.address(table)
    source = sources[1]
    run = columns.step == itemsize and columns.pace * source.step == itemsize
    copy = Copy(itemsize, run, all(index is None for index in source.border))
    alone = places * rows.size * columns.size * itemsize < ALONE
    return Plan(copy, words, table, places * column_tasks * row_tasks, 1 if alone else None)


def _table(sources: list[Source], outer: list[Walk]) -> npt.NDArray[np.int64]:
    """Return what the routine reads in the plan: the walks, the sources, the distances of their borders."""
    walks = [word for walk in outer for word in (walk.size, walk.source, walk.pace, walk.step)]
    first = len(walks) + 5 * len(sources)
    described, distances = [], [0]  # one to read where nothing is looked up
    for source in sources:
        described += [
            source.start,
            source.size,
            source.step,
            source.before,
            first + len(distances) * bool(source.border),
        ]
        distances += [BLANK if index is None else index * source.step for index in source.border]
    words = np.array([*walks, *described, *distances], np.int64)
    words.setflags(write=False)
    return words
