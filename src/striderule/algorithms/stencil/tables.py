"""The tables that the routine looks places up in: sources of rows and elements, outer taps, chains of taps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.stencil.layout import Axis, Line, Window
from striderule.algorithms.stencil.structure import OUTSIDE, Load, Meet
from striderule.geometry.padding import source_index
from striderule.geometry.problem import Convolution
from striderule.planning.schedule import CHAIN

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


def sources(problem: Convolution, axis: Axis) -> Ints:
    """Return where each position of an axis and around it is found in the image; -1 for the fill value."""
    inner = np.arange(axis.size)
    if axis.spatial is None:
        return inner
    before, after = problem.padding[axis.spatial]
    words, size = problem.boundary[axis.spatial], axis.size
    head = [source_index(i, size, words[0]) for i in range(-before, 0)]
    tail = [source_index(i, size, words[1]) for i in range(size, size + after)]
    ends = (np.array([-1 if place is None else place for place in side], np.int64) for side in (head, tail))
    first, last = ends
    return np.concatenate([first, inner, last])


def distances(problem: Convolution, axis: Axis) -> Ints:
    """Return the same as distances in bytes, `OUTSIDE` for the fill value."""
    found = sources(problem, axis)
    return np.where(found < 0, OUTSIDE, found * axis.x_step)


def line_table(problem: Convolution, line: Line, itemsize: int, phases: Sequence[int]) -> Ints:
    """Return the distance of each element of a line as it is laid out: those of each phase of the stride together."""
    found, stride = distances(problem, line.axis), Window.of(problem, line.axis).stride
    count = -(-len(found) // stride)
    channels = np.arange(line.unit) * itemsize
    parts = []
    for phase in phases:
        places = found[phase::stride]
        places = np.concatenate([places, np.full(count - len(places), OUTSIDE)])
        parts.append(np.where(places[:, None] == OUTSIDE, OUTSIDE, places[:, None] + channels).ravel())
    return np.concatenate(parts)


def outer_table(problem: Convolution, axes: Sequence[Axis], taps: Sequence[tuple[int, ...]]) -> Ints:
    """Return, for each position on the outer axes, the distances of its taps; then, for each, that of its outputs."""
    x, y = np.zeros((1, len(taps)), np.int64), np.zeros(1, np.int64)
    for number, axis in enumerate(axes):
        window, found = Window.of(problem, axis), distances(problem, axis)
        at = np.arange(axis.outputs)
        reach = np.array([tap[number] * window.dilation for tap in taps], np.int64)
        near = found[at[:, None] * window.stride + reach]
        both = x[:, None, :] + near
        gone = (x[:, None, :] == OUTSIDE) | (near == OUTSIDE)
        x = np.where(gone, OUTSIDE, both).reshape(-1, len(taps))
        y = (y[:, None] + at * axis.y_step).ravel()
    return np.concatenate([x.ravel(), y])


def chains(loads: Sequence[Load], rows: int, itemsize: int) -> tuple[Ints, Ints, Ints]:
    """Return the tables of taps and segments, and the number of the tap of each weight: see `sums.Looped`.

    Every row meets its taps in the order of the loads, and its chain ends after `CHAIN` of them.
    """
    found = _Chains(rows, itemsize)
    waiting: list[Load] = []
    for load in loads:
        if len(load.meets) < rows:
            waiting.append(load)
            continue
        found.partial(waiting)
        waiting = []
        found.add(load, rows, load.meets)
    found.partial(waiting)
    return tuple(np.array(entries, np.int64) for entries in (found.taps, found.segments, found.weights))  # type: ignore[return-value]


class _Chains:
    """Segments while they are written down."""

    def __init__(self, rows: int, itemsize: int) -> None:
        self.rows, self.itemsize = rows, itemsize
        self.taps: list[int] = []
        self.segments: list[int] = []
        self.weights: list[int] = []
        self.terms = [0] * rows

    def partial(self, loads: list[Load]) -> None:
        """Add loads that only some rows meet, to one row after the other."""
        for row in range(self.rows):
            for load in loads:
                meets = tuple(meet for meet in load.meets if meet.row == row)
                if meets:
                    self.add(load, row, meets)

    def add(self, load: Load, kind: int, meets: tuple[Meet, ...]) -> None:
        """Add a load to the last segment, if that is of its kind, or to a new one."""
        for meet in meets:
            if self.terms[meet.row] == CHAIN:
                self.segments += [0, 0, 0, self.rows + 1 + meet.row]
                self.terms[meet.row] = 0
            self.terms[meet.row] += 1
        if not self.segments or self.segments[-1] != kind:
            self.segments += [len(self.taps) // 2, 0, len(self.weights), kind]
        self.segments[-3] += 1
        self.taps += (load.line, load.offset * self.itemsize)
        self.weights += [meet.weight for meet in meets]
