"""The sums of one block of outputs, which stay in registers from the first tap to the store.

Taps are taken by columns of the kernel, one or a few at a time; under these each row of inputs is read once and used
for all rows of the block that meet it. The order of the terms of a sum is the same wherever its output stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from striderule.algorithms.depthwise.inputs import Apart, Border, Reader, Side
from striderule.algorithms.depthwise.structure import NOWHERE, Block, Place, Rows, Structure, Unrolled
from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.codegen.tile import Condition, Pointer, Register, Routine, Size, Vector
from striderule.planning.planes import CHAIN

Tile = list[list[Register]]
# Activations that are a few instructions; others are written once for all vectors of a block.
SHORT = ("relu", "leaky_relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "threshold")


class Sums:
    """Writes blocks of one routine."""

    def __init__(self, r: Routine, structure: Structure, parameters: list[Vector]) -> None:
        self.r, self.s, self.size, self.parameters = r, structure, r.size, parameters
        self.is_long = bool(structure.activation) and structure.activation[0] not in SHORT
        # Rolled sums wait in the result for a long activation, unless they would lose digits there.
        self.waits = self.is_long and structure.rolled and structure.written == structure.dtype
        count = structure.rows * structure.vectors * r.lanes
        self.room = r.scratch(count) if self.is_long and not structure.rolled else None
        self.totals = r.scratch(count) if structure.chained else None

    # Where inputs stand ---------------------------------------------------------------------------------------------

    def rows(self, first: Size) -> Rows:
        """Return the rows of the block whose first output row is `first`."""
        if self.s.down.parts:
            return Rows(first, None, self.r.whole(self.s.rows))
        # Found once for all columns and channels, and kept as one number each.
        found = self.inputs(first, self.r.whole(0), self.s.down.taps)
        offsets = [self.r.choose(exists, offset, NOWHERE) for exists, offset in found]
        found_rows = tuple((~offset.equals(NOWHERE), offset) for offset in offsets)
        return Rows(first, found_rows, self.r.whole(self.s.rows))

    def inputs(self, first: Size, tap: Size, taps: int) -> list[tuple[Condition, Size]]:
        """Return for every input row under a block, from a row tap on, whether it exists, and its offset."""
        size = self.size
        row = first * size("row_stride") + size("row_dilation") * tap - size("row_before")
        found = []
        for _ in range((self.s.rows - 1) * self.s.step + taps):
            shown = self.shown(row, "row")
            found.append((shown.above(-1) & shown.below(size("row_size")), shown * size("x_row")))
            row = row + size("input_gap")
        return found

    def shown(self, position: Size, axis: str) -> Size:
        """Return the index of the element that a position of an axis shows, one outside the axis if there is none."""
        r, length = self.r, self.size(f"{axis}_size")
        if not self.s.reached:
            return position
        # The table begins with its last index, then come the positions before the axis, then those behind it.
        table, behind = r.table(f"beyond_{axis}s"), position.above(-1)
        index = r.choose(behind, position - length, position) + self.size(f"{axis}_before").larger(0)
        found = r.count(position)
        with r.when(~(behind & position.below(length))):
            # What lies further behind is under no output.
            found.set(r.entry(table, index.smaller(r.entry(table, 0)).larger(0) + 1))
        return found.value

    # Sums -----------------------------------------------------------------------------------------------------------

    def block(self, place: Place, rows: Rows, block: Block) -> None:
        """Form the sums of one block and store them."""
        r, s, size = self.r, self.s, self.size
        zero = r.constant(0.0, lanes=block.lanes)
        sums = [[r.register(zero) for _ in range(block.vectors)] for _ in range(s.rows)]
        end = _Chain(r, sums, self.totals) if self.totals else None
        with r.loop(size("depth")) as c, r.loop(size("outer_taps")) as z:
            shift = r.entry(r.table("outer"), place.outer * size("outer_taps") + z)
            with r.when(~shift.equals(NOWHERE)):
                plane = place.x.skip(c * size("x_channel") + shift)
                tap = (c * size("outer_taps") + z) * size("row_taps") * size("column_taps")

                def columns(t: Size, count: int) -> None:
                    self.columns(plane, place.w + (tap + t) * size("w_step"), rows, t, count, block, sums, end)

                self.in_parts(s.over, size("column_taps"), columns)
        if end is not None:
            end.all()
        self.finish(place, rows, block, sums)

    def in_parts(self, unrolled: Unrolled, taps: Size, write: Callable[[Size, int], None]) -> None:
        """Write all taps of an axis: what is unrolled, in a loop where that is but a part, and then the rest."""
        r = self.r
        if not unrolled.parts:
            write(r.whole(0), unrolled.taps)
            return
        with r.loop(taps - unrolled.rest, step=unrolled.taps) as i:
            write(i, unrolled.taps)
        if unrolled.rest:
            write(taps - unrolled.rest, unrolled.rest)

    def columns(
        self,
        plane: Pointer,
        weight: Pointer,
        rows: Rows,
        t: Size,
        count: int,
        block: Block,
        sums: Tile,
        end: _Chain | None,
    ) -> None:
        """Add the products of some columns of taps."""
        reader = self.reader(plane, t, count, block)

        def part(u: Size, taps: int) -> None:
            inputs = rows.inputs or self.inputs(rows.first, u, taps)
            here = weight + u * self.size("column_taps") * self.size("w_step")
            self.products(reader, here, inputs, (taps, count), block, sums)
            if end is not None:
                end.after(taps * count)

        self.in_parts(self.s.down, self.size("row_taps"), part)

    def reader(self, plane: Pointer, t: Size, count: int, block: Block) -> Reader:
        """Return what reads the inputs under `count` columns of taps."""
        r, s, size = self.r, self.s, self.size
        position = block.column * size("column_stride") + t * size("column_dilation") - size("column_before")
        if block.kind == "inside":
            return Side(r, s.column_step, count, block.vectors, plane + position)
        if block.kind == "border":
            x, whole = plane + position, size("column_size")
            return Border(r, s.column_step, count, block.vectors, x, position, whole)
        taps: list[tuple[Pointer, Condition | None]] = []
        for _ in range(count):
            inside = None
            shown = position
            if block.kind != "across":
                shown = self.shown(position, "column")
                inside = shown.above(-1) & shown.below(size("column_size"))
            taps.append((plane.skip(shown * size("x_column")), inside))
            position = position + size("column_dilation")
        apart = [size("column_stride") * size("x_column") * v for v in range(block.vectors)]
        return Apart(r, taps, apart, block.lanes, block.mask(0))

    def products(
        self,
        reader: Reader,
        weight: Pointer,
        inputs: Sequence[tuple[Condition, Size]],
        taps: tuple[int, int],
        block: Block,
        sums: Tile,
    ) -> None:
        """Add the products of taps below each other and side by side."""
        r, s, size = self.r, self.s, self.size
        down, over = taps
        weights = [
            [self.of_channel(weight + (size("column_taps") * u + t) * size("w_step"), block) for t in range(over)]
            for u in range(down)
        ]
        for q, (exists, offset) in enumerate(inputs):
            meets = [(p, q - p * s.step) for p in range(s.rows) if 0 <= q - p * s.step < down]
            with r.when(exists):
                for t, v, value, lanes in reader.read(offset):
                    for p, u in meets:
                        total = sums[p][v]
                        added = r.multiply_add(weights[u][t], value, total.value)
                        total.set(added if lanes is None else r.select(lanes, added, total.value))

    def of_channel(self, where: Pointer, block: Block) -> Vector:
        """Return a number of the channel, or of each channel of the vector."""
        if block.of_channels:
            return self.r.load(where, block.mask(0), lanes=block.lanes)
        return self.r.broadcast(where, lanes=block.lanes)

    # The end --------------------------------------------------------------------------------------------------------

    def finish(self, place: Place, rows: Rows, block: Block, sums: Tile) -> None:
        """Store the sums of a block, with bias, residual and activation."""
        r, s = self.r, self.s
        if self.room is None:
            for p in range(s.rows):
                self.store(place, rows.first + self.size("row_gap") * p, block, [one.value for one in sums[p]])
            return
        for i, one in enumerate(_flat(sums)):
            r.store(one.value, self.room + i * block.lanes)
        with r.loop(s.rows) as row:
            here = self.room + row * (block.vectors * block.lanes)
            values = [r.load(here + v * block.lanes, lanes=block.lanes) for v in range(block.vectors)]
            self.store(place, rows.first + self.size("row_gap") * row, block, values)

    def store(self, place: Place, row: Size, block: Block, sums: list[Vector]) -> None:
        """Store one row of a block, if there is such a row."""
        with self.r.when(row.below(self.size("rows"))):
            self.store_row(place, row, block, sums)

    def store_row(self, place: Place, row: Size, block: Block, sums: list[Vector]) -> None:
        """Store one row of a block that exists; where it `waits`, the activation is left to `activate_row`."""
        r, s, size = self.r, self.s, self.size
        for v, total in enumerate(sums):
            column = block.column + (v if block.kind == "across" else v * block.lanes)
            value = total
            if s.bias:
                value = value + self.of_channel(r.pointer("bias") + place.channel, block)
            if s.residual:
                where = place.residual.skip(row * size("r_row") + column * size("r_column"))
                value = value + self.read(where, place, column, block, v)
            where = place.y.skip(row * size("y_row") + column * size("y_column"))
            value = value if self.waits else self.activated(value, block)
            self.write(value, where, place, column, block, v)

    def activate_row(self, place: Place, row: Size, block: Block) -> None:
        """Replace one row of outputs by its activation."""
        r, size = self.r, self.size
        for v in range(block.vectors):
            column = block.column + v * block.lanes
            where = place.y.skip(row * size("y_row") + column * size("y_column"))
            if self.s.compact:
                value = r.load(where, block.mask(v), lanes=block.lanes)
            else:
                value = r.gather(where, size("y_step"), self.existing(place, column, block), lanes=block.lanes)
            self.write(self.activated(value, block), where, place, column, block, v)

    def activated(self, value: Vector, block: Block) -> Vector:
        """Return the activation of a vector."""
        if not self.s.activation:
            return value
        word, *further = self.s.activation
        numbers = [self.r.shuffle(one, one, [0] * block.lanes) for one in self.parameters]
        return ACTIVATIONS[word](self.r, value, *numbers, *further)

    def existing(self, place: Place, column: Size, block: Block) -> Size:
        """Return how many lanes from the first one on exist, or more."""
        return self.size("channels") - place.channel if block.of_channels else self.size("last") - column

    def read(self, where: Pointer, place: Place, column: Size, block: Block, v: int) -> Vector:
        """Return the residual of a vector of outputs."""
        if self.s.compact or block.lanes == 1:
            found = self.r.load(where, block.mask(v), lanes=block.lanes)
        else:
            existing = self.existing(place, column, block)
            found = self.r.gather(where, self.size("r_step"), existing, lanes=block.lanes)
        return self.r.convert(found, self.r.element)

    def write(self, value: Vector, where: Pointer, place: Place, column: Size, block: Block, v: int) -> None:
        """Write a vector of outputs."""
        value = self.r.convert(value, where.element or self.r.element)
        if self.s.compact or block.lanes == 1:
            self.r.store(value, where, block.mask(v))
        else:
            self.r.scatter(value, where, self.size("y_step"), self.existing(place, column, block))


class _Chain:
    """Adds full chains of terms to totals, which wait in memory."""

    def __init__(self, r: Routine, sums: Tile, room: Pointer) -> None:
        self.r, self.sums = r, [one for row in sums for one in row]
        self.lanes = self.sums[0].value.lanes
        self.places = [room + i * self.lanes for i in range(len(self.sums))]
        self.zero = r.constant(0, lanes=self.lanes)
        self.count = r.count(0)
        for place in self.places:
            r.store(self.zero, place)

    def after(self, terms: int) -> None:
        """Count `terms` more; end the chain if as many again would be too many."""
        count = self.count.value + terms
        self.count.set(count)
        with self.r.when(count.above(CHAIN - terms)):
            for one, place in zip(self.sums, self.places, strict=True):
                self.r.store(self.r.load(place, lanes=self.lanes) + one.value, place)
                one.set(self.zero)
            self.count.set(0)

    def all(self) -> None:
        """Let the sums be those of all chains."""
        for one, place in zip(self.sums, self.places, strict=True):
            one.set(self.r.load(place, lanes=self.lanes) + one.value)


def _flat(tile: Tile) -> list[Register]:
    return [one for row in tile for one in row]
