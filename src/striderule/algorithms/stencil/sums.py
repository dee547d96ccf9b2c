"""Sums of a block: some rows of outputs by some vectors of a line, for every kernel.

Algorithm: out[i, e] = sum over the taps (o, u, t) of a kernel of w * line[o, i * step + u][e + offset(t)], in the order
of the kernel's axes, whatever the layout of the image; beyond `CHAIN` terms a new chain begins, and chains are added in
their order. Schedule: a vector of a line is read once and added to all rows of the block that it meets.
"""

from __future__ import annotations

from collections.abc import Sequence

from striderule.algorithms.stencil.structure import Meet, Structure
from striderule.codegen.tile import Pointer, Register, Routine, Size, Vector

Block = list[list[list[Vector]]]


class Written:
    """Sums of taps that are written out: no more than a chain.

    Weights that are not held in registers are read where they are used, each row's from a place of its own: else the
    compiler would read them once, and from where it then keeps them again for every vector.
    """

    def __init__(self, r: Routine, structure: Structure) -> None:
        self.r, self.s = r, structure
        self.count = 1 + max(meet.weight for load in structure.loads for meet in load.meets)
        self.table = r.pointer("weights")
        self.held = [r.broadcast(self.table + number) for number in range(self.count)] if structure.held else []

    def block(self, lines: Sequence[Pointer], at: Size, vectors: int) -> Block:
        """Return the sums of all kernels, rows and vectors from element `at` of the lines under the block on."""
        r, s = self.r, self.s
        zero = r.constant(0)
        sums = [[[zero] * vectors for _ in range(s.rows)] for _ in range(s.kernels)]
        for load in s.loads:
            here = lines[load.line] + at + load.offset
            values = [r.load(here + v * r.lanes) for v in range(vectors)]
            for meet in load.meets:
                row, weight = sums[meet.kernel][meet.row], self.weight(meet)
                row[:] = [r.multiply_add(weight, value, one) for value, one in zip(values, row, strict=True)]
        return sums

    def weight(self, meet: Meet) -> Vector:
        """Return the weight of a tap under a row."""
        if self.held:
            return self.held[meet.weight]
        return self.r.broadcast(self.table + meet.row * self.count + meet.weight)


class Looped:
    """Sums of taps in loops: segments of taps that all rows of the block meet, or that one row does.

    The table of segments has the first tap, the number of taps, where their weights begin, and the row; as many as
    there are rows stand for all, and what is more for the row whose chain ends. The table of taps has a line and an
    offset in bytes. A tap of all rows has a weight for each.
    """

    def __init__(self, r: Routine, structure: Structure, weights: str = "weights") -> None:
        self.r, self.s, self.weights = r, structure, r.pointer(weights)

    def block(self, lines: Pointer, at: Size, vectors: int) -> Block:
        """Return the sums of all rows and vectors; `lines` is the table of addresses of the lines under the block."""
        r, s, segments = self.r, self.s, self.r.table("segments")
        zero = r.constant(0)
        sums, totals = ([[r.register(zero) for _ in range(vectors)] for _ in range(s.rows)] for _ in range(2))
        with r.loop(r.size("segment_count")) as number:
            first, count, weights, kind = (r.entry(segments, number * 4 + i) for i in range(4))
            part = first, count, weights
            with r.when(kind.equals(s.rows)):
                self.segment(lines, at, part, sums)
            with r.when(kind.below(s.rows)):
                for row in range(s.rows if s.rows > 1 else 0):
                    with r.when(kind.equals(row)):
                        self.segment(lines, at, part, sums[row : row + 1])
            with r.when(kind.above(s.rows)):
                for row in range(s.rows):
                    with r.when(kind.equals(s.rows + 1 + row)):
                        for one, total in zip(sums[row], totals[row], strict=True):
                            total.set(total.value + one.value)
                            one.set(zero)
        pairs = [zip(*each, strict=True) for each in zip(totals, sums, strict=True)]
        return [[[total.value + one.value for total, one in row] for row in pairs]]

    def segment(self, lines: Pointer, at: Size, part: tuple[Size, Size, Size], sums: list[list[Register]]) -> None:
        """Add a segment to the sums of the rows that it meets."""
        r, taps, (first, count, start) = self.r, self.r.table("taps"), part
        weights = self.weights + start
        with r.loop(count) as i:
            line = r.pointed(r.entry(lines, r.entry(taps, (first + i) * 2)), r.element)
            here = line.skip(r.entry(taps, (first + i) * 2 + 1)) + at
            values = [r.load(here + v * r.lanes) for v in range(len(sums[0]))]
            for row, chain in enumerate(sums):
                weight = r.broadcast(weights + (i * len(sums) + row))
                for one, value in zip(chain, values, strict=True):
                    one.add_product(weight, value)
