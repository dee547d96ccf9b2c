"""The room of a task of `spread.routine`, and the tables that it looks places up in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.direct.spread.form import most_together
from striderule.geometry.problem import TransposedConvolution
from striderule.planning.spreading import Axis, Spreading, inner_axes

Array = npt.NDArray[Any]
Table = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows of sums, one for each remainder of the output column: elements before the first, and from row to row."""

    margin: int
    pitch: int

    @classmethod
    def of(cls, plan: Spreading, columns: Axis, lanes: int) -> Sums:
        """Return rows long enough for all that the taps of a block of columns spread, inside and beyond its outputs."""
        shifts = [(tap * columns.dilation - columns.before) // columns.stride for tap in range(columns.kernel)]
        margin = end = 0
        for one in plan.columns:
            turn = one.first // columns.stride
            margin = max(margin, turn - one.start - min(shifts))
            end = max(end, one.start - turn + max(shifts) + one.count, -(-one.end // columns.stride) - turn)
        return cls(margin, _up(margin + end + 2 * lanes, lanes))


@dataclass(frozen=True, slots=True)
class Room:
    """Where things begin in the room of a thread, and the distances between planes and rows of products."""

    plane: int
    pitch: int
    products: int
    panel: int
    sums: int
    line: int
    all: int
    # Tiles whose weights are copied together.
    together: int


def room_of(plan: Spreading, sums: Sums, stride: int, lanes: int, size: int) -> Room:
    """Return the room of a thread for elements of `size` bytes."""
    height, vectors = plan.tile
    # A tile of positions may begin in any vector; distances in an odd number of cache lines use all sets of a cache.
    pitch = _odd(_up(plan.positions, lanes) + lanes)
    rows = _up(plan.products, height)
    products = _up(plan.chunk * pitch + vectors * lanes, 64)
    panel = products + _up(rows * pitch + vectors * lanes, 64)
    together = min(rows // height, most_together(height, size))
    sums_at = panel + _up(together * plan.chunk * height + 2 * lanes, 64)
    line = sums_at + _up(2 * stride * sums.pitch, 64)
    end = line + _up(stride * (sums.pitch + lanes) + lanes, 64)
    return Room(pitch, pitch, products, panel, sums_at, line, end, together)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _odd(count: int) -> int:
    lines = -(-count // 16)
    return 16 * (lines + 1 - lines % 2)


def tables_of(problem: TransposedConvolution, plan: Spreading, sums: Sums, steps: list[int]) -> tuple[Table, ...]:
    """Return the tables of blocks, of taps that meet at rows, of where those of columns go, and of outer pairs."""
    outer, rows, columns = inner_axes(problem, rows_inside=plan.rows_inside)
    row_blocks = [word for one in plan.rows for word in (one.first, one.end, one.start, one.count)]
    column_blocks = []
    for one in plan.columns:
        turn, rest = divmod(one.first, columns.stride)
        column_blocks += [one.first, one.end, one.start, one.count, one.start - turn, rest]
    row_taps = []
    for place in range(rows.outputs):
        pairs = rows.pairs(place)
        row_taps += [len(pairs), pairs[0][1], pairs[0][0]] if pairs else [0, 0, 0]
    column_taps = []
    for tap in range(columns.kernel):
        shift, remainder = divmod(tap * columns.dilation - columns.before, columns.stride)
        column_taps.append(remainder * sums.pitch + sums.margin + shift)
    starts, pairs_at = _outer_pairs(problem, outer, steps)
    lists = (row_blocks, column_blocks, row_taps, column_taps, starts, pairs_at)
    return tuple(np.array(entries, np.int64) for entries in lists)


def _outer_pairs(problem: TransposedConvolution, outer: list[Axis], steps: list[int]) -> tuple[list[int], list[int]]:
    """Return where the pairs of every outer position begin, and the distances to the input and the tap of each."""
    met = []
    for number, axis in enumerate(outer):
        step, taps = steps[2 + number], prod(problem.kernel[number + 1 :])
        met.append([[(i * step, tap * taps) for i, tap in axis.pairs(place)] for place in range(axis.outputs)])
    starts, pairs_at = [0], []
    for lists in product(*met):
        for combination in product(*lists):
            pairs_at += [sum(i for i, _ in combination), sum(tap for _, tap in combination)]
        starts.append(len(pairs_at) // 2)
    return starts, pairs_at or [0, 0]
