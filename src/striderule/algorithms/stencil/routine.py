"""The routine of image correlation, in the tile language: tasks, lines, blocks of rows. See `structure`.

y[k, p, o, i, e] = sum over z, u, t of w[k, z, u, t] * x[p, at(o, z), at(i, u), at(e, t)]

with planes p, outer axes o, rows i, elements e of a line, and at(i, u) = i * stride + u * dilation - before, followed
by what the boundary shows there. A task is a band of rows by a part of their lines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from striderule.algorithms.direct.native import followed
from striderule.algorithms.stencil.laying import Laying
from striderule.algorithms.stencil.storing import Storing
from striderule.algorithms.stencil.structure import BAND, OUTSIDE, PART, POINTERS, SIZES, Structure
from striderule.algorithms.stencil.sums import Block, Looped, Written
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Mask, Pointer, Routine, Size


class Task(NamedTuple):
    """The operands of a task: where its planes stand, its entries of the table of outer taps, its band and its part."""

    x: Pointer
    y: Pointer
    outer: Pointer
    base: Size
    height: Size
    first: Size
    outputs: Size
    laid: Size
    # Where the addresses of lines are kept, and lines that are laid out.
    addresses: Pointer
    room: Pointer


def stencil_routine(name: str, target: Target, structure: Structure) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(name, target, ELEMENTS[structure.work], pointers=POINTERS, sizes=SIZES)
    flags = r.table("flags")
    slot = r.claim(flags, r.size("threads"))
    room = r.table("room").skip(slot * r.size("room_size"))
    stencil = Stencil(r, structure)
    with r.tasks() as number:
        stencil.task(number, room)
    r.give_back(flags, slot)
    return r.finish()


class Stencil:
    """Writes a task."""

    def __init__(self, r: Routine, structure: Structure) -> None:
        self.r, self.s, self.size = r, structure, r.size
        self.laying, self.storing = Laying(r, structure), Storing(r, structure)
        self.lines = structure.slots * structure.outer_taps
        self.written = Written(r, structure) if structure.loads else None
        self.looped = Looped(r, structure)

    def task(self, number: Size, room: Pointer) -> None:
        """Write a task: blocks of rows, one below the other."""
        r, s = self.r, self.s
        task = self.found(number, room)
        if s.laid:
            rows = (task.height - 1) * s.step + s.row_taps
            with r.when(task.laid.above(0)):
                self.laying.band(task.x, task.outer, task.base, rows, (task.first, task.laid), task.room)
        blocks = (task.height + (s.rows - 1)) // s.rows
        with r.loop(blocks) as block:
            # The last block begins earlier, where there are too few rows left: they are computed twice, alike.
            row = (block * s.rows).smaller(task.height - s.rows)
            self.addresses(task, row)
            self.across(task, task.y.skip(row * self.size("out_gap")))
        if s.streamed:
            r.settle()

    def found(self, number: Size, room: Pointer) -> Task:
        """Find out what task `number` is: parts of lines vary first, then bands, outer axes, planes."""
        r, size = self.r, self.size
        (part, band, outer), plane = r.digits(number, ("part_count", "band_count", "outers"))
        x, y = followed(r, plane, 0, 0)
        source, final = ELEMENTS[self.s.source], ELEMENTS[self.s.final]
        parts, bands, places = r.table("parts") + part * PART, r.table("bands") + band * BAND, r.table("outer")
        first, outputs, laid, place = (r.entry(parts, i) for i in range(PART))
        base, row, count = (r.entry(bands, i) for i in range(BAND))
        # Behind the places of all outer taps stand those of the outputs.
        y = y + r.entry(places, size("outers") * size("outer_taps") + outer) + row * size("y_row") + place
        return Task(
            r.pointer("x", source).skip(x), r.pointer("y", final).skip(y), places + outer * size("outer_taps"),
            base, count, first, outputs, laid, room, r.pointed((room + -(-self.lines // 8) * 8).address, r.element),
        )  # fmt: skip

    def addresses(self, task: Task, row: Size) -> None:
        """Write down where the lines under a block of rows are, at the first element that its part reads."""
        r, s, size = self.r, self.s, self.size
        table, places = r.table("row_sources"), task.addresses
        with r.loop(s.outer_taps) as tap:
            far = r.entry(task.outer, tap)
            with r.loop(s.slots) as slot:
                number = row * s.step + slot
                found = task.room + (tap * size("band_rows") + number) * size("pitch")
                if s.in_place:
                    near = r.entry(table, task.base + number * size("row_gap"))
                    inner = task.x.skip(far + near) + (task.first - size("inner_first"))
                    standing = r.nearer(far.above(OUTSIDE) & near.above(OUTSIDE), inner, r.pointer("blank_line"))
                    found = r.nearer(task.laid.above(0), found, standing) if s.laid else standing
                r.enter(found.address, places, tap * s.slots + slot)

    def across(self, task: Task, y: Pointer) -> None:
        """Write the blocks of a part of lines: as many vectors as are held at a time, then single ones."""
        r, s = self.r, self.s
        wide = s.vectors * r.lanes
        compute = self.sums(task)
        start, most = self.aligned(task, y)
        many = most // wide * wide
        with r.loop(many, step=wide) as at:
            self.stored(compute(start + at, s.vectors), y, start + at, None, r.whole(wide))
        # The vector before them and those behind them. Where there is one before, the last one ends with the part, as
        # lines may: some elements are computed twice, alike.
        heads = start.smaller(1)
        tails = (task.outputs - start - many + (r.lanes - 1)) // r.lanes
        last = task.outputs - r.lanes * heads
        with r.loop(heads + tails) as number:
            behind = (start + many + (number - heads) * r.lanes).smaller(last)
            at = r.choose(number.below(heads), 0, behind)
            left = task.outputs - at
            self.stored(compute(at, 1), y, at, r.first_lanes(left), left)

    def aligned(self, task: Task, y: Pointer) -> tuple[Size, Size]:
        """Return the first element from which on whole blocks are stored, and how many elements there are, at most.

        What is streamed begins where vectors are aligned, and there is none where the elements themselves are not.
        """
        r, s = self.r, self.s
        if not s.streamed:
            return r.whole(0), task.outputs
        itemsize = ELEMENTS[s.final].itemsize
        wide = itemsize * r.lanes
        first = (0 - y.address) % wide // itemsize
        first = r.choose(task.outputs.above((s.vectors + 1) * r.lanes), first, 0)
        return first, r.choose(((y + first).address % wide).equals(0), task.outputs - first, 0)

    def sums(self, task: Task) -> Callable[[Size, int], Block]:
        """Return what writes the sums of a block from an element on."""
        r, written = self.r, self.written
        if written is None:
            return lambda at, vectors: self.looped.block(task.addresses, at, vectors)
        lines = [r.pointed(r.entry(task.addresses, slot), r.element) for slot in range(self.lines)]
        return lambda at, vectors: written.block(lines, at, vectors)

    def stored(self, sums: Block, y: Pointer, at: Size, mask: Mask | None, count: Size) -> None:
        """Store a block."""
        r, s, size = self.r, self.s, self.size
        for row in range(s.rows):
            line = y.skip(size("out_gap") * row)
            for v in range(len(sums[0][row])):
                here = at + v * r.lanes
                place = line + here if s.side_by_side else line.skip(here * size("y_line"))
                self.storing.store([one[row][v] for one in sums], place, count, mask)
