"""Hysteresis: what touches a strong element, directly or through others that are weak, stays.

Elements touch along rows, columns and diagonals. Rows are cut into runs, and runs of neighbouring rows that touch are
the edges of a graph. Its components are found by hooking every component to the smallest number next to it and
jumping to the root, over and over (Y. Zhang, A. Azad and Z. Hu, FastSV, 2020): about log2(runs) rounds, whatever the
shape; a spiral takes no longer than a line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Index = npt.NDArray[np.intp]


def linked(weak: Array, strong: Array) -> Array:
    """Return the weak elements whose component holds a strong one; every strong element is weak too."""
    rows, columns = weak.shape
    if not weak.size or not strong.any():
        return np.zeros(weak.shape, bool)
    first, last, roots = runs(weak)
    good = np.zeros(len(first), bool)
    at = np.flatnonzero(np.pad(strong, ((0, 0), (1, 1))).ravel())
    good[roots[np.searchsorted(first, at, side="right") - 1]] = True
    kept = good[roots]
    # +1 where a kept run begins and -1 behind its end: the running sum is 1 on it.
    marks = np.zeros(rows * (columns + 2) + 1, np.int8)
    marks[first[kept]] = 1
    marks[last[kept] + 1] = -1
    inside = np.add.accumulate(marks[:-1], dtype=np.int8).reshape(rows, columns + 2)
    return np.asarray(inside[:, 1:-1] != 0)


def runs(weak: Array) -> tuple[Index, Index, Index]:
    """Return the first and the last place of every run within a row, and the smallest run of its component.

    Places count in rows of two elements more, one on each side: with that gap no run goes on into the next row.
    """
    rows, columns = weak.shape
    line = np.zeros((rows, columns + 2), np.int8)
    line[:, 1:-1] = weak
    steps = np.diff(line.ravel())
    first, last = np.flatnonzero(steps == 1) + 1, np.flatnonzero(steps == -1)
    return first, last, components(len(first), *_touching(first, last, columns + 2))


def _touching(first: Index, last: Index, width: int) -> tuple[Index, Index]:
    """Return the pairs (a run, a run in the row below it) that touch, sides and corners counted."""
    # Run r meets, one row down, the runs that end no earlier than one before its start and start no later than one
    # behind its end. Both lists are sorted, and a run beyond the row's end is kept away by the gap of two.
    low = np.searchsorted(last, first + width - 1)
    high = np.searchsorted(first, last + width + 1, side="right")
    counts = np.maximum(high - low, 0)
    above = np.repeat(np.arange(len(first)), counts)
    offsets = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts)
    return above, np.repeat(low, counts) + offsets


def components(count: int, a: Index, b: Index) -> Index:
    """Return, for each of `count` nodes, the smallest node that edges (a, b) connect it with."""
    parent = np.arange(count)
    while True:
        grand = parent[parent]
        smallest = np.minimum(grand[a], grand[b])
        following = grand.copy()
        # The root's root of either end is hung under the smaller of both; the ends themselves too.
        for node in (parent[a], parent[b], a, b):
            np.minimum.at(following, node, smallest)
        following = np.minimum(following, following[following])
        if np.array_equal(following, parent):
            return following
        parent = following
