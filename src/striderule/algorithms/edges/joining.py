"""Hysteresis over bands of rows: which weak components of a band are reached through other bands.

A band is linked by itself first. What is weak in it then, and touches its first or its last row, may go on in the bands
beside it: such components are the nodes of a graph, with node 0 for everything that is an edge already, and its edges
are runs of neighbouring rows, of two bands, that touch. A component is an edge where the graph connects it with node 0.
Only runs of the rows at borders are kept, so that what is held does not grow with the rows between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.edges.linking import components, runs

Array = npt.NDArray[Any]
Index = npt.NDArray[np.intp]

# The node of all that is an edge already.
EDGE = 0


@dataclass(frozen=True)
class Line:
    """The runs of one row, from left to right: columns of their first and last elements, and their nodes."""

    first: Index
    last: Index
    node: Index

    def touching(self, below: Line) -> tuple[Index, Index]:
        """Return the pairs of nodes of runs that touch those of the row below, sides and corners counted."""
        low = np.searchsorted(below.last, self.first - 1)
        high = np.searchsorted(below.first, self.last + 1, side="right")
        counts = np.maximum(high - low, 0)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(self.node, counts), below.node[np.repeat(low, counts) + offsets]

    def with_edges(self, row: Array) -> Line:
        """Return the line with the runs of another row as edges that are known."""
        first, last, _ = runs(row[np.newaxis])
        columns = np.concatenate((self.first, first - 1))
        order = np.argsort(columns)
        last = np.concatenate((self.last, last - 1))[order]
        return Line(columns[order], last, np.concatenate((self.node, np.full(len(first), EDGE)))[order])


class Bands:
    """The graph over the borders of bands, which are told from top to bottom."""

    def __init__(self) -> None:
        self._count = 1
        self._pairs: list[tuple[Index, Index]] = []
        self._above: Line | None = None
        self._ends: list[tuple[Line, Line]] = []

    def add(self, edges: Array, pending: Array) -> None:
        """Take in the next band: its edges, and the weak elements of components that touch its first or last row."""
        rows, columns = pending.shape
        first, last, roots = runs(pending)
        names, nodes = np.unique(roots, return_inverse=True)
        nodes += self._count
        self._count += len(names)
        lines = []
        for row in (0, rows - 1):
            here = slice(*np.searchsorted(first, [row * (columns + 2), (row + 1) * (columns + 2)]))
            start = row * (columns + 2) + 1
            lines.append(Line(first[here] - start, last[here] - start, nodes[here]))
        self._ends.append((lines[0], lines[1]))
        if self._above is not None:
            self._pairs.append(self._above.touching(lines[0].with_edges(edges[0])))
        self._above = lines[1].with_edges(edges[-1])

    def reached(self) -> list[tuple[Index, Index]]:
        """Return for every band the columns, in its first and in its last row, from which edges go on into it."""
        if not self._pairs:
            return [(np.empty(0, np.intp),) * 2 for _ in self._ends]
        one, other = (np.concatenate(ends) for ends in zip(*self._pairs, strict=True))
        good = components(self._count, one, other) == EDGE
        return [(top.first[good[top.node]], bottom.first[good[bottom.node]]) for top, bottom in self._ends]
