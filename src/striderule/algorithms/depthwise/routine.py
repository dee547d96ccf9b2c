"""Sums over the taps of a plane, in the tile language.

y[o, i, j] = sum over c, e, u, t of w[o, c, e, u, t] * x[c, e(i), i * stride + u * dilation - before, j ... + t ...]

with rows i, columns j, and e for the axes before these. Algorithm: every product of the definition whose input exists;
padding of zeros is left out of the sums by going over the taps inside alone, so it meets no weight. Schedule:
`Structure`, and the blocks of `schedule.Schedule`.

A block of outputs is held in registers: `rows` rows, one below the other, by one or more vectors of columns (or one
vector of channels). Taps are taken column by column of the kernel; within a column each input is loaded once and used
for all rows that meet it. The order of the terms of a sum is the same wherever its output stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from striderule.algorithms.direct.activation import ACTIVATIONS, PARAMETERS
from striderule.codegen.target import Target
from striderule.codegen.tile import (
    ELEMENTS,
    INT32,
    Count,
    Mask,
    Pointer,
    Register,
    Routine,
    Size,
    Vector,
)
from striderule.planning.cost import CHAIN

POINTERS = ("x", "w", "y", "bias", "residual", "outer", "beyond_rows", "beyond_columns")
SIZES = (
    # Tasks, from the fastest to the slowest: bands of columns and of rows, positions on the outer axes, channels.
    "column_tasks", "column_task", "single_task", "row_tasks", "row_blocks", "row_task", "outers", "channels",
    "channel_tasks", "channel_task",
    # Columns: those that vectors serve, those under which no tap leaves the input, and all.
    "first", "last", "inner_first", "inner_last", "columns",
    # Rows: all outputs, phases, distance between two in registers; distance between their inputs, in rows.
    "rows", "phases", "row_gap", "input_gap",
    # Geometry of rows and columns.
    "row_stride", "row_dilation", "row_before", "row_size", "row_taps",
    "column_stride", "column_dilation", "column_before", "column_size", "column_taps",
    # Taps on the outer axes, channels that a sum runs over, outputs of one group of them, weights of one output.
    "outer_taps", "depth", "outputs", "terms", "w_step",
    # Steps in bytes: images, channels, rows and columns of x, y and the residual.
    "x_image", "x_channel", "x_row", "x_column", "y_image", "y_channel", "y_row", "y_column",
    "r_image", "r_channel", "r_row", "r_column",
    # Steps along the lanes, in elements.
    "y_step", "r_step",
)  # fmt: skip
# The offset of what does not exist: those of elements are multiples of their size.
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Structure:
    """What a routine is made for.

    `along` is the axis that vectors run along. `taps` rows of the kernel are unrolled (1: none, any kernel is served
    by loops), `step` is their stride in rows of inputs; `rows` and `vectors` of outputs are held in registers.
    `column_step` is the stride along columns, 0 for any. `masks` says that the target loads parts of vectors, so that
    vectors serve the columns at the border too; `beyond` that some columns are served one by one; `reached` that
    positions outside an axis show elements inside. `chained` says that sums have more than a chain of terms.
    """

    dtype: str
    along: Literal["columns", "channels"]
    taps: int
    step: int
    rows: int
    vectors: int
    column_step: int
    masks: bool
    beyond: bool
    reached: bool
    chained: bool
    compact: bool
    bias: bool
    residual: bool
    activation: str | None

    @property
    def reach(self) -> int:
        """Number of rows of inputs under the rows of a block."""
        return (self.rows - 1) * self.step + self.taps


@dataclass(frozen=True, slots=True)
class Block:
    """Some outputs of a plane: how its columns are read, and the lanes that exist (None: all)."""

    kind: Literal["inside", "masked", "single", "channels"]
    column: Size
    vectors: int
    lanes: int
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the operands of a block stand: one output channel (the first of a vector) of one image."""

    x: Pointer
    w: Pointer
    y: Pointer
    residual: Pointer
    channel: Size
    outer: Size


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a block: the first output, and the offset of every input row of the block, or NOWHERE."""

    first: Size
    offsets: tuple[Size, ...]


def plane_routine(name: str, target: Target, s: Structure) -> str:
    """Return the routine as LLVM IR."""
    return _Writer(name, target, s).text()


class _Writer:
    """Writes one routine."""

    def __init__(self, name: str, target: Target, structure: Structure) -> None:
        words = [f"parameter{i}" for i in range(len(PARAMETERS.get(structure.activation or "", ())))]
        element = ELEMENTS[structure.dtype]
        self.r = Routine(name, target, element, pointers=POINTERS, sizes=SIZES, numbers=words)
        self.s = structure
        self.parameters = [self.r.number(word) for word in words]
        self.itemsize = element.itemsize
        # Terms of a chain, in columns of taps.
        self.chain = CHAIN // structure.taps

    def size(self, word: str) -> Size:
        return self.r.size(word)

    # Tasks ----------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Write everything."""
        r, size = self.r, self.size
        with r.tasks() as task:
            column_task, rest = task % size("column_tasks"), task // size("column_tasks")
            row_task, rest = rest % size("row_tasks"), rest // size("row_tasks")
            outer, rest = rest % size("outers"), rest // size("outers")
            channel_task, image = rest % size("channel_tasks"), rest // size("channel_tasks")
            first_block = row_task * size("row_task")
            blocks = (size("row_blocks") - first_block).smaller(size("row_task"))
            with r.loop(blocks) as turn:
                rows = self.rows_of(first_block + turn)
                if self.s.along == "columns":
                    first = channel_task * size("channel_task")
                    with r.loop((size("channels") - first).smaller(size("channel_task"))) as i:
                        self.columns(self.place(image, first + i, outer), rows, column_task)
                else:
                    self.channels(image, outer, rows, channel_task, column_task)
        return r.finish()

    def place(self, image: Size, channel: Size, outer: Size) -> Place:
        r, size = self.r, self.size
        # Offsets on the outer axes: for every position its taps, then for y, then for the residual.
        table, taps = r.table("outer"), size("outers") * size("outer_taps")
        y = r.pointer("y").skip(image * size("y_image") + channel * size("y_channel") + r.entry(table, taps + outer))
        residual = r.pointer("residual")
        if self.s.residual:
            shift = r.entry(table, taps + size("outers") + outer)
            residual = residual.skip(image * size("r_image") + channel * size("r_channel") + shift)
        group = channel // size("outputs") * size("depth") if self.s.along == "columns" else channel
        x = r.pointer("x").skip(image * size("x_image") + group * size("x_channel"))
        w = r.pointer("w") + channel * (size("terms") if self.s.along == "columns" else 1)
        return Place(x, w, y, residual, channel, outer)

    def rows_of(self, number: Size) -> Rows:
        """Return the rows of block `number`: blocks of all phases follow one another."""
        size = self.size
        phase, turn = number % size("phases"), number // size("phases")
        first = phase + turn * size("row_gap") * self.s.rows
        return Rows(first, self.inputs_of(first, 0))

    def inputs_of(self, first: Size, tap: Size | int) -> tuple[Size, ...]:
        """Return the offsets of the input rows under a block whose first output row is `first`, from a row tap on."""
        size, r = self.size, self.r
        start = first * size("row_stride") - size("row_before")
        start = start + size("row_dilation") * tap
        found = []
        for q in range(self.s.reach):
            row = self.inside(start + size("input_gap") * q, "row")
            exists = row.above(-1) & row.below(size("row_size"))
            found.append(r.choose(exists, row * size("x_row"), NOWHERE))
        return tuple(found)

    def inside(self, position: Size, axis: str) -> Size:
        """Return what stands at a position of an axis: an element's index; outside a boundary of zeros no index."""
        r, length = self.r, self.size(f"{axis}_size")
        if not self.s.reached:
            return position
        # The table has the positions before the axis, then those behind it.
        before = self.size(f"{axis}_before").larger(0)
        behind = position.above(-1)
        index = r.choose(behind, position - length, position) + before
        outside = ~(behind & position.below(length))
        found = r.count(position)
        with r.when(outside):
            # Rows behind the last one that is needed show anything.
            last = r.entry(r.table(f"beyond_{axis}s"), 0)
            found.set(r.entry(r.table(f"beyond_{axis}s"), index.smaller(last).larger(0) + 1))
        return found.value

    # Columns --------------------------------------------------------------------------------------------------------

    def columns(self, place: Place, rows: Rows, task: Size) -> None:
        """Write the columns of one band of rows: by vectors, and one by one where these do not serve."""
        r, s, size = self.r, self.s, self.size
        if s.beyond:
            self.singles(place, rows, task)
        if s.column_step == 0:
            return
        start = size("first") + task * size("column_task") * r.lanes
        end = (start + size("column_task") * r.lanes).smaller(size("last"))
        done = r.count(start)
        if s.vectors > 1:
            width = s.vectors * r.lanes
            inner = start.above(size("inner_first") - 1)
            many = r.choose(inner, end.smaller(size("inner_last")) - start, 0) // width
            with r.when(many.above(0)):
                with r.loop(many) as i:
                    self.block(place, rows, Block("inside", start + i * width, s.vectors, r.lanes))
                done.set(start + many * width)
        first = done.value
        with r.loop(end - first, step=r.lanes) as i:
            self.vector(place, rows, first + i, end)

    def vector(self, place: Place, rows: Rows, column: Size, end: Size) -> None:
        r, size = self.r, self.size
        whole = Block("inside", column, 1, r.lanes)
        if not self.s.masks:
            self.block(place, rows, whole)
            return
        inner = column.above(size("inner_first") - 1) & (column + (r.lanes - 1)).below(size("inner_last"))
        with r.either(inner) as (inside, edge):
            with inside:
                self.block(place, rows, whole)
            with edge:
                self.block(place, rows, Block("masked", column, 1, r.lanes, r.first_lanes(end - column)))

    def singles(self, place: Place, rows: Rows, task: Size) -> None:
        """Write this task's part of the columns before and behind those of the vectors."""
        r, size = self.r, self.size
        skipped = size("last") - size("first")
        start = task * size("single_task")
        with r.loop((size("columns") - skipped - start).smaller(size("single_task"))) as i:
            number = start + i
            column = r.choose(number.below(size("first")), number, number + skipped)
            self.block(place, rows, Block("single", column, 1, 1))

    def channels(self, image: Size, outer: Size, rows: Rows, channel_task: Size, column_task: Size) -> None:
        """Write the columns of one band of rows, for one vector of channels after the other."""
        r, size = self.r, self.size
        first = channel_task * size("channel_task") * r.lanes
        end = (first + size("channel_task") * r.lanes).smaller(size("channels"))
        start = column_task * size("column_task")
        count = (size("columns") - start).smaller(size("column_task"))

        def sweep(channel: Size, lanes: int, mask: Mask | None) -> None:
            place = self.place(image, channel, outer)
            with r.loop(count) as i:
                self.block(place, rows, Block("channels", start + i, 1, lanes, mask))

        whole = (end - first) // r.lanes * r.lanes
        with r.loop(whole, step=r.lanes) as i:
            sweep(first + i, r.lanes, None)
        left = end - first - whole
        if self.s.masks:
            with r.when(left.above(0)):
                sweep(first + whole, r.lanes, r.first_lanes(left))
        else:
            with r.loop(left) as i:
                sweep(first + whole + i, 1, None)

    # Sums -----------------------------------------------------------------------------------------------------------

    def block(self, place: Place, rows: Rows, block: Block) -> None:
        """Form the sums of one block and store them."""
        r, s, size = self.r, self.s, self.size
        zero = r.constant(0.0, lanes=block.lanes)
        sums = [[r.register(zero) for _ in range(block.vectors)] for _ in range(s.rows)]
        totals = [[r.register(zero) for _ in range(block.vectors)] for _ in range(s.rows)] if s.chained else None
        left = r.count(self.chain)
        with r.loop(size("depth")) as c, r.loop(size("outer_taps")) as e:
            shift = r.entry(r.table("outer"), place.outer * size("outer_taps") + e)
            with r.when(~shift.equals(NOWHERE)):
                plane = place.x.skip(c * size("x_channel") + shift)
                tap = (c * size("outer_taps") + e) * size("row_taps") * size("column_taps")
                with self.row_taps(rows) as (u, offsets), r.loop(size("column_taps")) as t:
                    weight = place.w + (tap + u * size("column_taps") + t) * size("w_step")
                    self.line(plane, weight, offsets, t, block, sums)
                    if totals is not None:
                        self.end_chain(sums, totals, left, zero)
        for p in range(s.rows):
            row = rows.first + size("row_gap") * p
            with r.when(row.below(size("rows"))):
                self.store(place, row, block, [self.total(sums, totals, p, v) for v in range(block.vectors)])

    @contextmanager
    def row_taps(self, rows: Rows) -> Iterator[tuple[Size | int, tuple[Size, ...]]]:
        """Go over the rows of the kernel that are not unrolled: none, or all."""
        if self.s.taps > 1:
            yield 0, rows.offsets
            return
        with self.r.loop(self.size("row_taps")) as u:
            yield u, self.inputs_of(rows.first, u)

    def end_chain(
        self, sums: list[list[Register]], totals: list[list[Register]], left: Count, zero: Vector
    ) -> None:
        """Add full chains to the totals, and begin new ones."""
        r = self.r
        left.set(left.value - 1)
        with r.when(left.value.equals(0)):
            left.set(self.chain)
            for one, total in zip(sums, totals, strict=True):
                for part, whole in zip(one, total, strict=True):
                    whole.set(whole.value + part.value)
                    part.set(zero)

    def total(
        self, sums: list[list[Register]], totals: list[list[Register]] | None, p: int, v: int
    ) -> Vector:
        return sums[p][v].value if totals is None else totals[p][v].value + sums[p][v].value

    def line(
        self,
        plane: Pointer,
        weight: Pointer,
        offsets: tuple[Size, ...],
        t: Size,
        block: Block,
        sums: list[list[Register]],
    ) -> None:
        """Add the products of one column of taps."""
        r, s, size = self.r, self.s, self.size
        position = block.column * size("column_stride") + t * size("column_dilation") - size("column_before")
        if block.kind in ("single", "channels"):
            position = self.inside(position, "column")
            with r.when(position.above(-1) & position.below(size("column_size"))):
                self.products(plane.skip(position * size("x_column")), weight, offsets, block, sums, None)
            return
        reader = _Reader(r, s.column_step, position, size("column_size")) if block.kind == "masked" else None
        self.products(plane + position, weight, offsets, block, sums, reader)

    def products(
        self,
        x: Pointer,
        weight: Pointer,
        offsets: tuple[Size, ...],
        block: Block,
        sums: list[list[Register]],
        reader: _Reader | None,
    ) -> None:
        r, s = self.r, self.s
        weights = [self.weight(weight + self.size("column_taps") * self.size("w_step") * u, block) for u in range(s.taps)]
        for q, offset in enumerate(offsets):
            meets = [(p, q - p * s.step) for p in range(s.rows) if 0 <= q - p * s.step < s.taps]
            with r.when(~offset.equals(NOWHERE)):
                row = x.skip(offset)
                for v in range(block.vectors):
                    value = self.input(row + v * r.lanes * max(s.column_step, 1), block, reader)
                    for p, u in meets:
                        total = sums[p][v]
                        added = r.multiply_add(weights[u], value, total.value)
                        total.set(added if reader is None else r.select(reader.lanes, added, total.value))

    def weight(self, where: Pointer, block: Block) -> Vector:
        if block.kind == "channels":
            return self.r.load(where, block.mask, lanes=block.lanes)
        return self.r.broadcast(where, lanes=block.lanes)

    def input(self, where: Pointer, block: Block, reader: _Reader | None) -> Vector:
        r = self.r
        if reader is not None:
            return reader.load(where)
        if block.kind != "inside":
            return r.load(where, block.mask, lanes=block.lanes)
        return r.load_even(where) if self.s.column_step == 2 else r.load(where)

    # The end --------------------------------------------------------------------------------------------------------

    def store(self, place: Place, row: Size, block: Block, sums: list[Vector]) -> None:
        """Store one row of a block: its vectors, with bias, residual and activation."""
        s, size = self.s, self.size
        y = place.y.skip(row * size("y_row") + block.column * size("y_column"))
        residual = place.residual
        if s.residual:
            residual = residual.skip(row * size("r_row") + block.column * size("r_column"))
        existing = size("channels") - place.channel if block.kind == "channels" else size("last") - block.column
        for v, total in enumerate(sums):
            along = v * block.lanes
            if s.bias:
                total = total + self.bias(place, block)
            if s.residual:
                total = total + self.read(residual + size("r_step") * along, block, existing - along)
            self.write(self.activated(total), y + size("y_step") * along, block, existing - along)

    def bias(self, place: Place, block: Block) -> Vector:
        where = self.r.pointer("bias") + place.channel
        return self.weight(where, block)

    def activated(self, total: Vector) -> Vector:
        if self.s.activation is None:
            return total
        r = self.r
        parameters = [r.shuffle(one, one, [0] * total.lanes) for one in self.parameters]
        return ACTIVATIONS[self.s.activation](r, total, *parameters)

    def read(self, where: Pointer, block: Block, existing: Size) -> Vector:
        if self.s.compact or block.lanes == 1:
            return self.r.load(where, block.mask, lanes=block.lanes)
        return self.r.gather(where, self.size("r_step"), existing, lanes=block.lanes)

    def write(self, value: Vector, where: Pointer, block: Block, existing: Size) -> None:
        if self.s.compact or block.lanes == 1:
            self.r.store(value, where, block.mask)
        else:
            self.r.scatter(value, where, self.size("y_step"), existing)


class _Reader:
    """Reads vectors of columns of which some are outside the input: those are zero, and not among `lanes`."""

    def __init__(self, r: Routine, step: int, position: Size, size: Size) -> None:
        self.r, self.step = r, step
        # Lane l stands at position + l * step, which exists from 0 up to the size.
        self.lanes = self._existing(position, size, step)
        self.low = self.lanes if step == 1 else self._existing(position, size, 1)
        self.high = self.lanes if step == 1 else self._existing(position + (r.lanes - 1), size, 1)

    def _existing(self, position: Size, size: Size, step: int) -> Mask:
        r = self.r
        far = 4 * r.lanes
        places = r.numbered(INT32) * step
        low, high = (one.larger(-far).smaller(far) for one in (0 - position, size - position))
        return places.greater_equal(r.spread(low, INT32)) & places.less(r.spread(high, INT32))

    def load(self, where: Pointer) -> Vector:
        r = self.r
        if self.step == 1:
            return r.load(where, self.low)
        low, high = r.load(where, self.low), r.load(where + (r.lanes - 1), self.high)
        return r.shuffle(low, high, [*range(0, r.lanes, 2), *range(r.lanes + 1, 2 * r.lanes, 2)])
