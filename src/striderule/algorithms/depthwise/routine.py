"""Sums over the taps of planes, in the tile language.

y[o, e, i, j] = sum over c, z, u, t of w[o, c, z, u, t] * x[c, at(e, z), at(i, u), at(j, t)]

with rows i and columns j, e for the axes before these, and at(i, u) = i * stride + u * dilation - before. Algorithm:
every product of the definition whose input exists; padding of zeros is left out by going over the taps inside alone, so
it meets no weight. Schedule: `Structure`, and the tasks of `schedule.Layout`.

A block of outputs is held in registers: some rows, one below the other, by one or more vectors of columns (or columns
of one vector of channels). Here tasks go over the blocks of a plane; `sums` forms those of one block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from striderule.algorithms.depthwise.rolling import Rolling
from striderule.algorithms.depthwise.structure import POINTERS, SIZES, Block, Place, Rows, Structure
from striderule.algorithms.depthwise.sums import Sums
from striderule.algorithms.direct.activation import PARAMETERS
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Mask, Routine, Size


def plane_routine(name: str, target: Target, structure: Structure) -> str:
    """Return the routine as LLVM IR."""
    parameters = PARAMETERS.get(structure.activation[0], ()) if structure.activation else ()
    element = ELEMENTS[structure.dtype]
    if structure.narrow:  # another name, since whole vectors have instructions of their own
        target = replace(target, name=f"half of {target.name}", vector_bytes=target.vector_bytes // 2)
    r = Routine(name, target, element, pointers=POINTERS, sizes=SIZES, numbers=parameters)
    sums = Sums(r, structure, [r.number(word) for word in parameters])
    if structure.along == "columns":
        _Columns(r, structure, sums).tasks()
    else:
        _Channels(r, structure, sums).tasks()
    return r.finish()


class _Planes(ABC):
    """Tasks, and the blocks of rows of each."""

    def __init__(self, r: Routine, structure: Structure, sums: Sums) -> None:
        self.r, self.s, self.sums, self.size = r, structure, sums, r.size

    def tasks(self) -> None:
        """Write the loop over tasks."""
        r, size = self.r, self.size
        with r.tasks() as task:
            digits, image = r.digits(task, ("column_tasks", "row_tasks", "outers", "channel_tasks"))
            column_task, row_task, outer, channel_task = digits
            first = row_task * size("row_task")
            count = (size("row_blocks") - first).smaller(size("row_task"))
            if self.s.rolled:
                self.band(image, outer, Rows(first, None, count), channel_task, column_task)
            else:
                with r.loop(count) as turn:
                    # Blocks of all phases follow one another.
                    number = first + turn
                    row = number % size("phases") + number // size("phases") * size("row_gap") * self.s.rows
                    self.band(image, outer, self.sums.rows(row), channel_task, column_task)

    @abstractmethod
    def band(self, image: Size, outer: Size, rows: Rows, channel_task: Size, column_task: Size) -> None:
        """Write the columns and channels of a task, for one block of rows."""

    def place(self, image: Size, channel: Size, outer: Size, source: Size, weight: Size) -> Place:
        """Return where the operands of an output channel stand, whose first input channel is `source`."""
        r, size = self.r, self.size
        # Offsets on the outer axes: for every position its taps, then for y, then for the residual.
        table, taps = r.table("outer"), size("outers") * size("outer_taps")
        x = r.pointer("x", ELEMENTS[self.s.read]).skip(image * size("x_image") + source * size("x_channel"))
        y, residual = (r.pointer(word, ELEMENTS[self.s.written]) for word in ("y", "residual"))
        y = y.skip(image * size("y_image") + channel * size("y_channel") + r.entry(table, taps + outer))
        if self.s.residual:
            shift = r.entry(table, taps + size("outers") + outer)
            residual = residual.skip(image * size("r_image") + channel * size("r_channel") + shift)
        return Place(x, r.pointer("w") + weight, y, residual, channel, outer)


class _Columns(_Planes):
    """Vectors run along columns: one channel after the other."""

    def block(self, place: Place, rows: Rows, block: Block) -> None:
        """Write a block of columns."""
        (Rolling(self.sums) if self.s.rolled else self.sums).block(place, rows, block)

    def band(self, image: Size, outer: Size, rows: Rows, channel_task: Size, column_task: Size) -> None:
        r, size = self.r, self.size
        first = channel_task * size("channel_task")
        count = (size("channels") - first).smaller(size("channel_task"))
        with r.loop(count, step=2 if self.s.pairs else 1) as i:
            place = self.of_channel(image, outer, first + i)
            if self.s.pairs:
                paired = (i + 1).below(count)
                other = self.of_channel(image, outer, first + r.choose(paired, i + 1, i))
                place = replace(place, other=other, paired=paired)
            if self.s.singles:
                self.one_by_one(place, rows, column_task)
            if self.s.column_step:
                self.by_vectors(place, rows, column_task)

    def of_channel(self, image: Size, outer: Size, channel: Size) -> Place:
        """Return where the operands of an output channel stand."""
        size = self.size
        source = channel // size("outputs") * size("depth")
        return self.place(image, channel, outer, source, channel * size("terms"))

    def one_by_one(self, place: Place, rows: Rows, task: Size) -> None:
        """Write this task's share of the columns before and behind those of the vectors."""
        r, size = self.r, self.size
        skipped = size("last") - size("first")
        start = task * size("single_task")
        with r.loop((size("columns") - skipped - start).smaller(size("single_task"))) as i:
            number = start + i
            column = r.choose(number.below(size("first")), number, number + skipped)
            self.block(place, rows, Block("single", column, 1, 1))

    def by_vectors(self, place: Place, rows: Rows, task: Size) -> None:
        """Write this task's share of the columns that vectors serve."""
        r, s, size = self.r, self.s, self.size
        start = size("first") + task * size("column_task") * r.lanes
        end = (start + size("column_task") * r.lanes).smaller(size("last"))
        width = s.vectors * r.lanes
        if s.column_step == 1 and (s.rolled or s.over.taps == 1) and s.vectors <= 2:
            # Where the last block would be half empty, a single vector takes its place; without masks all must be full.
            few = (s.vectors // 2) * r.lanes if s.masks else width - 1
            many = (end - start - few + (width - 1)).larger(0) // width
            with r.loop(many) as i:
                self.anywhere(place, rows, start + i * width, end)
            if s.vectors > 1:
                done = start + many * width
                with r.loop(end - done, step=r.lanes) as i:
                    self.single(place, rows, done + i, end)
            return
        # Masks for so much are many: at the border there are single vectors alone, before and behind the blocks.
        before = ((size("inner_first") - start + (r.lanes - 1)).larger(0) // r.lanes * r.lanes).smaller(end - start)
        many = (end.smaller(size("inner_last")) - start - before).larger(0) // width
        with r.loop(many) as i:
            self.block(place, rows, Block("inside", start + before + i * width, s.vectors, r.lanes))
        if s.masks or s.vectors > 1:
            with r.loop(end - start - many * width, step=r.lanes) as i:
                column = r.choose(i.below(before), start + i, start + i + many * width)
                self.single(place, rows, column, end)

    def anywhere(self, place: Place, rows: Rows, column: Size, end: Size) -> None:
        """Write a block of vectors of a share that ends at `end`."""
        r, s, size = self.r, self.s, self.size
        inside = Block("inside", column, s.vectors, r.lanes)
        if not s.masks:
            self.block(place, rows, inside)
            return
        behind = column + s.vectors * r.lanes
        inner = column.above(size("inner_first") - 1) & behind.below(size("inner_last").smaller(end) + 1)
        with r.either(inner) as (within, at_border):
            with within:
                self.block(place, rows, inside)
            with at_border:
                masks = tuple(r.first_lanes(end - column - v * r.lanes) for v in range(s.vectors))
                self.block(place, rows, Block("border", column, s.vectors, r.lanes, masks))

    def single(self, place: Place, rows: Rows, column: Size, end: Size) -> None:
        """Write a single vector of a share that ends at `end`: these are few, so with masks if there are any."""
        r = self.r
        if self.s.masks:
            block = Block("border", column, 1, r.lanes, (r.first_lanes(end - column),))
        else:
            block = Block("inside", column, 1, r.lanes)
        self.block(place, rows, block)


class _Channels(_Planes):
    """Vectors run along channels, each of which has one output: column after column."""

    def band(self, image: Size, outer: Size, rows: Rows, channel_task: Size, column_task: Size) -> None:
        r, s, size = self.r, self.s, self.size
        first = channel_task * size("channel_task") * r.lanes
        end = (first + size("channel_task") * r.lanes).smaller(size("channels"))
        start = column_task * size("column_task")
        stop = (start + size("column_task")).smaller(size("columns"))

        inner = start.larger(size("inner_first")).smaller(stop)
        many = (stop.smaller(size("inner_last")) - inner).larger(0) // s.vectors if s.vectors > 1 else r.whole(0)
        before, after = inner - start, inner + many * s.vectors
        if s.vectors > 1:
            with r.loop(many) as i:
                self.vectors(image, outer, rows, first, end, Block("across", inner + i * s.vectors, s.vectors, r.lanes))
        # The columns before and behind share one loop, for the code of a block is long.
        with r.loop(before + stop - after) as i:
            column = r.choose(i.below(before), start + i, after - before + i)
            self.vectors(image, outer, rows, first, end, Block("channels", column, 1, r.lanes))

    def vectors(self, image: Size, outer: Size, rows: Rows, first: Size, end: Size, block: Block) -> None:
        """Write some columns of the channels from `first` to `end`, which lie side by side."""
        r = self.r

        def one(channel: Size, lanes: int, mask: Mask | None) -> None:
            place = self.place(image, channel, outer, channel, channel)
            self.sums.block(place, rows, replace(block, lanes=lanes, masks=(mask,)))

        if self.s.masks and block.vectors < self.s.vectors:  # these are few, and code is long
            with r.loop(end - first, step=r.lanes) as i:
                one(first + i, r.lanes, r.first_lanes(end - first - i))
            return
        whole = (end - first) // r.lanes * r.lanes
        with r.loop(whole, step=r.lanes) as i:
            one(first + i, r.lanes, None)
        left, rest = end - first - whole, first + whole
        if self.s.masks:
            with r.when(left.above(0)):
                one(rest, r.lanes, r.first_lanes(left))
        else:
            with r.loop(left) as i:
                one(rest + i, 1, None)
