"""The vertical sums of equal taps: as many additions an element at any length of the window.

Exact numbers run: what enters the window is added to its sum, and what leaves it is taken away. Floats would drift, and
NaN would never leave; their windows are cut where a band of outputs ends (van Herk, "A fast algorithm for local minimum
and maximum filters on rectangular and octagonal kernels", Pattern Recognition Letters 13, 1992): of k rows from i on

    window[i] = suffix[i] + prefix[i],  suffix[i] = x[i] + ... + x[first + k - 2],  prefix[i] = x[first + k - 1] + ...

where `first` is the first output of the band, so that all windows of a band share the rows in their middle.
"""

from __future__ import annotations

from collections.abc import Callable

from striderule.algorithms.separable.down import Down
from striderule.algorithms.separable.spans import spans
from striderule.codegen.tile import Pointer, Register, Size
from striderule.planning.passes import RUN

# Vectors of columns that a band of sums begins with together, so that much of a row is read at once; of floats there
# are two sums of each.
WIDE, WIDE_FLOATS = 8, 4


class Windows(Down):
    """Writes the vertical pass of equal taps."""

    @property
    def runs(self) -> bool:
        """Whether sums are exact, so that what leaves a window is taken away."""
        return self.s.down.kind == "run"

    def begin(self, plane: Pointer, first: Size) -> None:
        """Write what a band of outputs from row `first` on starts with."""
        body = self._started(plane, first) if self.runs else self._cut(plane, first)
        spans(self.r, self.size("width"), WIDE if self.runs else WIDE_FLOATS, body, self.lanes)

    @property
    def lanes(self) -> int:
        """Lanes of a vector of the sums down the rows."""
        return self.r.lanes * (self.r.element.itemsize // self.held.itemsize)

    def lines(self, plane: Pointer, first: Size, turn: Size) -> None:
        """Form the lines of block `turn` of a band, whose outputs begin at row `first`."""
        r, down = self.r, self.s.down
        last = self.size("taps_down") - 1
        enter = [self.row(plane, first + (last + number)) for number in range(down.rows)]
        leave = [self.row(plane, first + number) for number in range(down.rows if self.runs else 0)]
        # Sums are read and written in turns, for where blocks of columns overlap the same is done twice.
        odd = turn % 2
        before, after = (self.room.state + which * self.size("line") for which in (odd, 1 - odd))
        suffix = [self._suffix(turn * down.rows + number) for number in range(down.rows)]

        def body(column: Size, vectors: int, lanes: int) -> None:
            at = [column + v * lanes for v in range(vectors)]
            sums = [r.load(before + place, lanes=lanes) for place in at]
            for number, row in enumerate(enter):
                sums = [one + new for one, new in zip(sums, self.read(row, column, vectors, lanes), strict=True)]
                for one, place in zip(sums, at, strict=True):
                    whole = one if self.runs else one + r.load(suffix[number] + place, lanes=lanes)
                    r.store(whole, self.line(number) + place)
                if self.runs:
                    old = self.read(leave[number], column, vectors, lanes)
                    sums = [one - gone for one, gone in zip(sums, old, strict=True)]
            for one, place in zip(sums, at, strict=True):
                r.store(one, after + place)

        spans(r, self.size("width"), down.vectors, body, self.lanes)

    def _suffix(self, row: Size) -> Pointer:
        """Return where the sums from a row of the band on stand."""
        return self.room.suffix + row * self.size("line")

    def _started(self, plane: Pointer, first: Size) -> Callable[[Size, int, int], None]:
        """Return what sums all rows of the first window but its last."""
        r = self.r

        def body(column: Size, vectors: int, lanes: int) -> None:
            sums = [r.register(r.constant(0.0, self.held, lanes)) for _ in range(vectors)]
            with r.loop(self.size("taps_down") - 1) as t:
                self._add(sums, plane, first + t, column, lanes)
            for v, one in enumerate(sums):
                r.store(one.value, self.room.state + (column + v * lanes))

        return body

    def _cut(self, plane: Pointer, first: Size) -> Callable[[Size, int, int], None]:
        """Return what sums the rows that all windows of the band share, and on from there to the band's first."""
        r, band = self.r, self.size("band")
        shared = self.size("taps_down") - band

        def body(column: Size, vectors: int, lanes: int) -> None:
            zero = r.constant(0.0, lanes=lanes)
            totals, sums = ([r.register(zero) for _ in range(vectors)] for _ in range(2))
            with r.loop((shared + (RUN - 1)) // RUN) as run:
                for one in sums:
                    one.set(zero)
                with r.loop((shared - run * RUN).smaller(RUN)) as i:
                    self._add(sums, plane, first + (band - 1) + run * RUN + i, column, lanes)
                for total, one in zip(totals, sums, strict=True):
                    total.set(total.value + one.value)

            def store(row: Size) -> None:
                for v, total in enumerate(totals):
                    r.store(total.value, self._suffix(row) + (column + v * lanes))

            store(band - 1)
            with r.loop(band - 1) as i:
                row = band - 2 - i
                self._add(totals, plane, first + row, column, lanes)
                store(row)
            for v in range(vectors):
                r.store(zero, self.room.state + (column + v * lanes))

        return body

    def _add(self, sums: list[Register], plane: Pointer, index: Size, column: Size, lanes: int) -> None:
        """Add a row to sums."""
        values = self.read(self.row(plane, index), column, len(sums), lanes)
        for one, value in zip(sums, values, strict=True):
            one.set(one.value + value)
