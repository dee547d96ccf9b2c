"""Sums row by row: every row of inputs is read once, and added to all the rows of outputs that it reaches.

Of a kernel of k rows with stride s, ceil(k / s) rows of outputs are unfinished at any time. Output row i is finished by
the last s rows of inputs under it, which also begin or go on with the rows behind it:

    sums[m] += w[u, t] * x[i * s + k - s + e - before, at(j, t)],    u = k - s + e - m * s,    0 <= e < s

where sums[m] are those of row i + m. Then sums[0] is stored, and the others move up. There is no end to a plane where
registers stand half empty, and what is the same for all rows (masks, weights, addresses) is found once.
"""

from __future__ import annotations

from dataclasses import replace

from striderule.algorithms.depthwise.inputs import Border, Near, Pair, Reader, Side
from striderule.algorithms.depthwise.structure import Block, Place, Rows
from striderule.algorithms.depthwise.sums import Sums
from striderule.codegen.tile import Register, Size, Vector


class Rolling:
    """Writes the rows of some vectors of columns."""

    def __init__(self, sums: Sums) -> None:
        self.sums, self.r, self.s, self.size = sums, sums.r, sums.s, sums.size
        self.step = self.s.step
        self.unfinished = -(-self.s.down.taps // self.step)

    def block(self, place: Place, rows: Rows, block: Block) -> None:
        """Form the sums of a block of columns for some rows, and store them."""
        r, size = self.r, self.size
        zero = r.constant(0.0, lanes=self.lanes(block))
        sums = [[r.register(zero) for _ in range(block.vectors)] for _ in range(self.unfinished)]
        turn = _Turn(self, place, block, sums)
        first, end = rows.first, rows.first + rows.count
        for early in range(self.unfinished - 1, 0, -1):
            turn.inputs(first - early, early, checked=True)
            turn.move_up()
        # Rows that no tap leaves the input from; then those below which it ends.
        inside = (size("inner_rows").smaller(end) - first).larger(0)
        for start, count, checked in ((first, inside, False), (first + inside, rows.count - inside, True)):
            with r.loop(count) as i:
                turn.inputs(start + i, 0, checked=checked)
                for half, there, within in self.halves(place, block):
                    values = [self.part(one.value, half, block) for one in sums[0]]
                    self.sums.store_row(there, start + i, within, values)
                turn.move_up()
        if self.sums.waits:
            with r.loop(rows.count) as i:
                for _, there, within in self.halves(place, block):
                    self.sums.activate_row(there, first + i, within)

    def lanes(self, block: Block) -> int:
        """Return the lanes of a sum."""
        return block.lanes * (2 if self.s.pairs else 1)

    def halves(self, place: Place, block: Block) -> list[tuple[int, Place, Block]]:
        """Return the halves of sums, where they stand, and which of their lanes exist."""
        found = [(0, place, block)]
        if place.other is not None and place.paired is not None:
            left = self.size("last") - block.column
            mask = self.r.first_lanes(self.r.choose(place.paired, left, 0), block.lanes)
            found.append((1, place.other, replace(block, masks=(mask,))))
        return found

    def part(self, value: Vector, half: int, block: Block) -> Vector:
        """Return a half of a sum, or all of it."""
        if not self.s.pairs:
            return value
        return self.r.shuffle(value, value, range(half * block.lanes, (half + 1) * block.lanes))

    def reader(self, place: Place, block: Block) -> Reader:
        """Return what reads the rows of inputs under a block."""
        found = self.of_plane(place, block)
        return found if place.other is None else Pair(self.r, found, self.of_plane(place.other, block))

    def of_plane(self, place: Place, block: Block) -> Reader:
        """Return what reads the rows of inputs of one plane."""
        r, s, size = self.r, self.s, self.size
        position = block.column * size("column_stride") - size("column_before")
        x, taps = place.x + position, s.over.taps
        if s.column_step == 1:
            whole = None if block.kind == "inside" else size("column_size")
            return Near(r, taps, block.vectors, x, position, whole)
        if block.kind == "inside":
            return Side(r, s.column_step, taps, block.vectors, x)
        return Border(r, s.column_step, taps, block.vectors, x, position, size("column_size"))


class _Turn:
    """What one row of outputs takes."""

    def __init__(self, rolling: Rolling, place: Place, block: Block, sums: list[list[Register]]) -> None:
        self.rolling, self.place, self.block, self.sums = rolling, place, block, sums
        s = rolling.s
        self.reader = rolling.reader(place, block)
        taps = [[u * s.over.taps + t for t in range(s.over.taps)] for u in range(s.down.taps)]
        self.weights = [[self.weight(tap) for tap in row] for row in taps]

    def weight(self, tap: int) -> Vector:
        """Return a weight in every lane of its plane."""
        r, lanes = self.rolling.r, self.block.lanes
        one = r.broadcast(self.place.w + tap, lanes=lanes)
        if self.place.other is None:
            return one
        return r.shuffle(one, r.broadcast(self.place.other.w + tap, lanes=lanes), range(2 * lanes))

    def inputs(self, row: Size, early: int, *, checked: bool) -> None:
        """Add the rows of inputs that come with an output row, to the sums from the `early`-th on.

        With `checked` they may be outside the input.
        """
        rolling, r, size = self.rolling, self.rolling.r, self.rolling.size
        taps, step = rolling.s.down.taps, rolling.step
        for new in range(taps - step, taps):
            place = row * step + new - size("row_before")
            reached = [(m, new - m * step) for m in range(early, rolling.unfinished) if new - m * step >= 0]
            if checked:
                with r.when(place.above(-1) & place.below(size("row_size"))):
                    self.add(place, reached)
            else:
                self.add(place, reached)

    def add(self, place: Size, reached: list[tuple[int, int]]) -> None:
        """Add a row of inputs to the sums that it reaches, each with its row of the kernel."""
        r = self.rolling.r
        for t, v, value, lanes in self.reader.read(place * self.rolling.size("x_row")):
            for m, u in reached:
                total = self.sums[m][v]
                added = r.multiply_add(self.weights[u][t], value, total.value)
                total.set(added if lanes is None else r.select(lanes, added, total.value))

    def move_up(self) -> None:
        """Let the sums of every row be those of the next."""
        zero = self.rolling.r.constant(0.0, lanes=self.rolling.lanes(self.block))
        for v in range(self.block.vectors):
            for one, following in zip(self.sums, self.sums[1:], strict=False):
                one[v].set(following[v].value)
            self.sums[-1][v].set(zero)
