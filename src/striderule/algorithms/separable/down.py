"""The vertical pass: lines[i, j] = sum over t of w[t] * x[rows[i * stride + t * dilation], j], in the type of the sums.

Rows are read where they stand, in whatever type, and converted in registers; several rows of outputs share what is
read. What lies beyond the upper and lower border is only another entry of the table of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.algorithms.images.numbers import loaded
from striderule.algorithms.separable.folding import Folding
from striderule.algorithms.separable.spans import spans
from striderule.algorithms.separable.structure import Structure
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size, Vector

# Entry of the table of rows where the fill value stands.
BLANK = -(2**62)
# What forms the sums of a block of rows in some vectors of lanes from a column on: a list of vectors for each row.
Former = Callable[[Size, int, int], list[list[Vector]]]


@dataclass(frozen=True, slots=True)
class Room:
    """Where a thread's lines stand: those of a block of rows, two of running sums, and the sums from a row on."""

    lines: Pointer
    state: Pointer
    suffix: Pointer
    sums: Pointer


class Down:
    """Writes the vertical pass of a block of rows."""

    # What a size of the call is; of a part of a line, its own.
    size: Callable[[str], Size]

    def __init__(self, r: Routine, s: Structure, room: Room) -> None:
        self.r, self.s, self.room, self.size = r, s, room, r.size
        self.source, self.held = ELEMENTS[s.source], ELEMENTS[s.held]
        self.blank = r.pointer("blank", self.source)

    def row(self, plane: Pointer, index: Size) -> Pointer:
        """Return where the row stands that a position of the extended image shows."""
        r = self.r
        distance = r.entry(r.table("rows"), index)
        return r.nearer(distance.equals(BLANK), self.blank, plane.skip(distance))

    def line(self, number: Size | int, term: Size | int = 0) -> Pointer:
        """Return where the inside of a line begins: behind room for what stands beyond the left border."""
        step = self.size("line")
        place = number * step if isinstance(number, Size) else step * number
        return self.room.lines + (place + term * (step * self.s.down.rows) + self.size("before"))

    def read(self, row: Pointer, column: Size, vectors: int, lanes: int) -> list[Vector]:
        """Return vectors of a row, in the type of the sums."""
        return [loaded(self.r, row + (column + v * lanes), self.held, lanes) for v in range(vectors)]

    def block(self, plane: Pointer, first: Size) -> None:
        """Form the lines of the rows of outputs from `first` on, for every term."""
        r = self.r
        with r.loop(self.size("terms") if self.s.terms else 1) as term:
            sums = self.former(plane, first, term)

            def body(column: Size, vectors: int, lanes: int, term: Size = term, sums: Former = sums) -> None:
                for number, row in enumerate(sums(column, vectors, lanes)):
                    for v, value in enumerate(row):
                        r.store(value, self.line(number, term) + (column + v * lanes))

            spans(r, self.size("width"), self.s.down.vectors, body)

    def former(self, plane: Pointer, first: Size, term: Size) -> Former:
        """Return what forms the sums of the rows of outputs from `first` on, of a term."""
        weights = self.r.pointer("down") + term * self.size("taps_down")
        ways = {"few": self._few, "many": self._many, "folded": self._folded}
        return ways[self.s.down.kind](plane, first, weights)

    def _folded(self, plane: Pointer, first: Size, weights: Pointer) -> Former:
        """Add rows at equal distances from the middle before they are multiplied."""
        r, down = self.r, self.s.down

        def body(column: Size, vectors: int, lanes: int) -> list[list[Vector]]:
            assert vectors == 1  # more do not stay in registers

            def read(index: Size) -> Vector:
                (value,) = self.read(self.row(plane, first + index), column, 1, lanes)
                return value * 0.5 if down.halved else value

            found = Folding(r, down.fold, down.rows, read).sums(weights, self.size("taps_down"), lanes)
            return [[one] for one in found]

        return body

    def _few(self, plane: Pointer, first: Size, weights: Pointer) -> Former:
        """Write all taps out: every row is read once, and added to all sums that it belongs to."""
        r, down = self.r, self.s.down
        meets: dict[int, list[tuple[int, int]]] = {}
        for row in range(down.rows):
            for tap in down.kept:
                meets.setdefault(row * down.stride + tap * down.dilation, []).append((row, tap))
        rows = {offset: self.row(plane, first * down.stride + offset) for offset in sorted(meets)}

        def body(column: Size, vectors: int, lanes: int) -> list[list[Vector]]:
            taps = {tap: r.broadcast(weights + tap, lanes) for tap in (() if down.ones else down.kept)}
            sums: dict[tuple[int, int], Vector] = {}
            for offset, row in rows.items():
                for v, value in enumerate(self.read(row, column, vectors, lanes)):
                    for number, tap in meets[offset]:
                        before = sums.get((number, v))
                        if down.ones:
                            after = value if before is None else before + value
                        else:
                            after = value * taps[tap] if before is None else r.multiply_add(value, taps[tap], before)
                        sums[number, v] = after
            return [[sums[number, v] for v in range(vectors)] for number in range(down.rows)]

        return body

    def _many(self, plane: Pointer, first: Size, weights: Pointer) -> Former:
        """Write a loop over taps, in chains that are added up."""
        r, down = self.r, self.s.down
        stride, dilation = self.size("stride_down"), self.size("dilation_down")
        chunks = r.table("chunks")

        def body(column: Size, vectors: int, lanes: int) -> list[list[Vector]]:
            zero = r.constant(0.0, lanes=lanes)
            totals, sums = ([[r.register(zero) for _ in range(vectors)] for _ in range(down.rows)] for _ in range(2))

            def turn(begin: Size, at: Size, numbers: range) -> None:
                # Rows of outputs are shared among neighbours alone, whose taps are then one apart.
                row = self.row(plane, first * stride + (begin + at) * dilation)
                values = self.read(row, column, vectors, lanes)
                for number in numbers:
                    tap = r.broadcast(weights + (begin + at - number), lanes)
                    for v, value in enumerate(values):
                        sums[number][v].add_product(value, tap)

            with r.loop(self.size("chunks_down")) as chunk:
                begin = r.entry(chunks, chunk)
                length = r.entry(chunks, chunk + 1) - begin
                for register in (one for each in sums for one in each):
                    register.set(zero)
                for early in range(down.rows - 1):
                    turn(begin, r.whole(early), range(early + 1))
                with r.loop(length - (down.rows - 1)) as i:
                    turn(begin, i + (down.rows - 1), range(down.rows))
                for late in range(down.rows - 1):
                    turn(begin, length + late, range(late + 1, down.rows))
                for total, one in zip(totals, sums, strict=True):
                    for v in range(vectors):
                        total[v].set(total[v].value + one[v].value)
            return [[total.value for total in row] for row in totals]

        return body
