"""Pooling of small planes: as many at a time as a vector has lanes, one plane to a lane.

Where a row has fewer outputs than lanes, vectors along it would be mostly empty. So planes are turned: the numbers at
one position of some planes stand side by side, each is widened once, and windows are reduced over rows and then along
them without a shuffle. The results are turned back.
"""

from __future__ import annotations

from striderule.algorithms.direct.pooling.pool import BLOCK, Part, Pool, Row
from striderule.algorithms.direct.pooling.running import Running
from striderule.algorithms.direct.pooling.structure import POSITIONS, Structure
from striderule.codegen.target import Target
from striderule.codegen.tile import INT64, Pointer, Size, Vector


class AcrossPlanes(Pool):
    """Lanes across planes, which are compact and have few positions and fewer outputs; only sums, of two axes."""

    def __init__(self, target: Target, s: Structure) -> None:
        super().__init__(target, s)
        self._turned = self.r.scratch(POSITIONS * self.lanes, s.work)
        self._row = self.r.scratch(POSITIONS * self.lanes, s.work)
        self._results = self.r.scratch(POSITIONS * self.lanes, self.y)

    def compute(self, planes: Part, rows: Part, columns: Part) -> None:
        """Compute these planes, and all of their rows and columns."""
        r, size, lanes = self.r, self.r.size, self.lanes
        with r.loop(planes.count, step=lanes) as done:
            first, left = planes.first + done, planes.count - done
            # Where there are fewer planes the last is read again, and not written.
            x = r.pointer("x", self.x) + first * size("x_inner")
            self._turn([x + (left - 1).smaller(number) * size("x_inner") for number in range(lanes)])
            with r.loop(rows.count) as i:
                self._row_of(i, columns.count)
            self._turn_back(r.pointer("y", self.y) + first * size("y_inner"), left, rows.count * columns.count)

    def _turn(self, sources: list[Pointer]) -> None:
        """Bring the numbers at each position of all planes side by side; the last block overlaps the one before."""
        r, lanes, end = self.r, self.lanes, self.r.size("positions") - self.lanes
        with r.loop(end + lanes, step=lanes) as i:
            at = i.smaller(end)
            square = r.transpose([r.load(source + at, lanes=lanes) for source in sources])
            for number, vector in enumerate(square):
                r.store(self.worked(vector), self._turned + (at + number) * lanes)

    def _row_of(self, i: Size, columns: Size) -> None:
        """Compute one row of outputs: windows are reduced over their rows, then along them."""
        r, s, size, lanes = self.r, self.s, self.r.size, self.lanes
        start, count = self.window(self.table(1, self.zero), i)
        source, width = self._turned + start * size("x1") * lanes, size("n2")

        def some(first: Size, number: int) -> None:
            runs = [Running(r, s) for _ in range(number)]

            def take(distance: Size, _: Size, alone: bool) -> None:
                for k, run in enumerate(runs):
                    (run.put if alone else run.take)(r.load(source + (distance + first + k) * lanes))

            self.taps([count], take)
            for k, run in enumerate(runs):
                r.store(run.value, self._row + (first + k) * lanes)

        with r.either(width.above(BLOCK - 1)) as (wide, narrow):
            with wide, r.loop(width, step=BLOCK) as k:
                some(k.smaller(width - BLOCK), BLOCK)
            with narrow, r.loop(width) as column:
                some(column, 1)
        factor = r.broadcast(r.pointer("scale1", s.work) + i)
        row = Row(source, self._results, r.pointer("where", INT64), [count], start, factor, self.table(2, self.zero), i)
        with r.loop(columns) as j:
            self._along(row, j, (i * columns + j) * lanes)

    def _along(self, row: Row, j: Size, at: Size) -> None:
        """Reduce one window along its row."""
        r, lanes = self.r, self.lanes
        first, length = self.window(row.windows, j)
        run = Running(r, self.s)
        if self.s.taps:  # so many in every window
            for number in range(self.s.taps):
                (run.take if number else run.put)(r.load(self._row + (first + number) * lanes))
        else:
            with r.loop(length) as tap:
                run.take(r.load(self._row + (first + tap * r.size("d2")) * lanes))
        scale = self.scales(row, j, 1)
        scale = None if scale is None else r.shuffle(scale, scale, [0] * lanes)
        self.store(run, row, (at, at), scale, None)

    def _turn_back(self, y: Pointer, planes: Size, outputs: Size) -> None:
        """Write the results of some planes, as many as there are."""
        r, lanes = self.r, self.lanes
        with r.loop(outputs, step=lanes) as at:
            # Behind the last result stands what is not written.
            square = r.transpose([r.load(self._results + (at + k) * lanes, lanes=lanes) for k in range(lanes)])
            here = (outputs - at).smaller(lanes)
            with r.either(here.equals(lanes)) as (full, few):
                with full:
                    self._write_planes(square, y + at, planes, None)
                with few:
                    self._write_planes(square, y + at, planes, here)

    def _write_planes(self, square: list[Vector], y: Pointer, planes: Size, count: Size | None) -> None:
        r = self.r
        for number, vector in enumerate(square):
            with r.when(planes.above(number)):
                mask = None if count is None else r.first_lanes(count, len(square))
                r.store(vector, y + r.size("y_inner") * number, mask)
