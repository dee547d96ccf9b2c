"""The routine of image correlation around gaps, in the tile language: that of `stencil`, over lines laid out in pairs.

Blocks whose lines have no gap get the plain sums. In others what is missing is made up for, where something is:
see `functional.normalized` for the formula, and `weighing` for the sums.
"""

from __future__ import annotations

from functools import reduce

from striderule.algorithms.direct.native import followed
from striderule.algorithms.gaps.lines import Lines
from striderule.algorithms.gaps.structure import NUMBERS, POINTERS, SIZES, Gapped
from striderule.algorithms.gaps.weighing import Weighed, WeighedInLoops, Weights
from striderule.algorithms.stencil.routine import Stencil, Task
from striderule.algorithms.stencil.structure import BAND, PART
from striderule.algorithms.stencil.sums import Block
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, UINT8, Mask, Pointer, Register, Routine, Size, Vector


def gapped_routine(name: str, target: Target, gapped: Gapped) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(name, target, ELEMENTS[gapped.plain.work], pointers=POINTERS, sizes=SIZES)
    flags = r.table("flags")
    slot = r.claim(flags, r.size("threads"))
    room = r.table("room").skip(slot * r.size("room_size"))
    routine = _Gapped(r, gapped, room)
    with r.tasks() as number:
        routine.task(number, room)
    r.give_back(flags, slot)
    return r.finish()


class _Gapped(Stencil):
    """Writes a task. In its room stand addresses of lines, those of what is there, whether lines have gaps, lines."""

    def __init__(self, r: Routine, gapped: Gapped, room: Pointer) -> None:
        super().__init__(r, gapped.plain)
        self.g, self.pairs = gapped, Lines(r, gapped)
        self.words = -(-self.lines // 8) * 8
        self.weighed = Weighed(r, gapped) if gapped.plain.loads else None
        self.in_loops = WeighedInLoops(r, gapped)
        self.gap = r.count(0)
        numbers = r.pointer("numbers")
        self.numbers = [
            {word: r.broadcast(numbers + (k * len(NUMBERS) + i)) for i, word in enumerate(NUMBERS)}
            for k in range(gapped.plain.kernels)
        ]
        self.nowhere = r.broadcast(numbers + gapped.plain.kernels * len(NUMBERS))
        self.whole = self._whole(room)

    def _whole(self, room: Pointer) -> list[Register]:
        """Return what the magnitudes of each kernel come to where nothing is missing, rounded as they are."""
        r, ones = self.r, self.r.pointer("ones")
        if self.weighed is None:
            with r.loop(r.whole(self.lines)) as line:
                r.enter(ones.address, room, line)
            sums = self.in_loops.pixels(room, r.whole(0), 1)
            found = self.in_loops.weights(room, room, r.whole(0), 1, sums)
        else:
            lines = [ones] * self.lines
            sums = self.weighed.pixels(lines, r.whole(0), 1)
            found = self.weighed.weights(lines, lines, r.whole(0), 1, sums)
        return [r.register(kernel[0][0].v) for kernel in found]

    def task(self, number: Size, room: Pointer) -> None:
        """Write a task: blocks of rows, one below the other."""
        r, s, size = self.r, self.s, self.size
        task, image, outer = self.pair(number, room)
        rows = (task.height - 1) * s.step + s.row_taps
        gaps = room + 2 * self.words
        self.pairs.band(image, outer, task.base, rows, (task.first, task.laid), (task.room, gaps))
        blocks = (task.height + (s.rows - 1)) // s.rows
        with r.loop(blocks) as block:
            # The last block begins earlier, where there are too few rows left: they are computed twice, alike.
            row = (block * s.rows).smaller(task.height - s.rows)
            self.gap.set(0)
            with r.loop(s.outer_taps) as tap, r.loop(s.slots) as slot:
                line = tap * size("band_rows") + row * s.step + slot
                here, place = task.room + line * size("pitch"), tap * s.slots + slot
                r.enter(here.address, room, place)
                r.enter((here + self.g.behind).address, room, self.words + place)
                self.gap.set(self.gap.value + r.entry(gaps, line))
            self.across(task, task.y.skip(row * size("out_gap")))

    def pair(self, number: Size, room: Pointer) -> tuple[Task, tuple[Pointer, Pointer], tuple[Pointer, Pointer]]:
        """Find out what task `number` is, and where its pixels and mask, and their outer taps, are found."""
        r, size = self.r, self.size
        (part, band, outer), plane = r.digits(number, ("part_count", "band_count", "outers"))
        x, m, y = followed(r, plane, 0, 0, 0)
        parts, bands, places = r.table("parts") + part * PART, r.table("bands") + band * BAND, r.table("outer")
        first, outputs, laid, place = (r.entry(parts, i) for i in range(PART))
        base, row, count = (r.entry(bands, i) for i in range(BAND))
        # Behind the places of all outer taps stand those of the outputs.
        y = y + r.entry(places, size("outers") * size("outer_taps") + outer) + row * size("y_row") + place
        pixels = r.pointer("x", ELEMENTS[self.s.source]).skip(x)
        taps = outer * size("outer_taps")
        lines = r.pointed((room + size("lines_at")).address, r.element)
        task = Task(
            pixels, r.pointer("y", ELEMENTS[self.s.final]).skip(y), places + taps,
            base, count, first, outputs, laid, room, lines,
        )  # fmt: skip
        return task, (pixels, r.pointer("mask", UINT8).skip(m)), (places + taps, r.table("mask_outer") + taps)

    def across(self, task: Task, y: Pointer) -> None:
        """Write the blocks of a part of lines: as many vectors as are held at a time, then single ones."""
        r, s = self.r, self.s
        wide = s.vectors * r.lanes
        many = task.outputs // wide * wide
        with r.loop(many, step=wide) as at:
            self.block(task, y, (at, s.vectors), None, r.whole(wide))
        with r.loop(task.outputs - many, step=r.lanes) as at:
            left = task.outputs - many - at
            self.block(task, y, (many + at, 1), r.first_lanes(left), left)

    def block(self, task: Task, y: Pointer, part: tuple[Size, int], mask: Mask | None, count: Size) -> None:
        """Write a block of vectors from an element on: its plain sums, and what becomes of them where a line has gaps.

        Where lines are is looked up for every block: addresses that stay the same over a loop LLVM keeps and moves on
        one by one, and there are more of them than registers.
        """
        r, s, places, (at, vectors) = self.r, self.s, task.addresses, part
        if self.weighed is None:
            sums = self.in_loops.pixels(places, at, vectors)
        else:
            lines = [r.pointed(r.entry(places, slot), r.element) for slot in range(self.lines)]
            sums = self.weighed.pixels(lines, at, vectors)
        with r.either(self.gap.value.above(0)) as (gap, whole):
            with gap:
                if self.weighed is None:
                    found = self.in_loops.weights(places, places + self.words, at, vectors, sums)
                else:
                    behind = [line + self.g.behind for line in lines]
                    found = self.weighed.weights(lines, behind, at, vectors, sums)
                self.stored(self.mended(sums, found), y, at, mask, count)
                if self.g.shared:
                    self.shares([[[each.v for each in row] for row in one] for one in found], y, at, mask, count)
            with whole:
                self.stored(sums, y, at, mask, count)
                if self.g.shared:
                    self.shares([[[one.value] * vectors] * s.rows for one in self.whole], y, at, mask, count)

    def mended(self, sums: Block, found: list[list[list[Weights]]]) -> Block:
        """Return sums corrected by what is missing, where something is."""
        r = self.r

        def mend(kernel: int, s: Vector, w: Weights) -> Vector:
            numbers = self.numbers[kernel]
            corrected = s + w.a / w.v * (numbers["total"] - w.u)
            value = r.select(w.v.less(self.whole[kernel].value), corrected, s)
            return r.select(w.v.less_equal(numbers["none"]), self.nowhere, value)

        return [
            [[mend(k, s, w) for s, w in zip(*row, strict=True)] for row in zip(*block, strict=True)]
            for k, block in enumerate(zip(sums, found, strict=True))
        ]

    def shares(self, there: Block, y: Pointer, at: Size, mask: Mask | None, count: Size) -> None:
        """Store the share of all kernels' magnitudes that is there, where the results stand in an array of its own."""
        r, s, size = self.r, self.s, self.size
        item = ELEMENTS[s.final].itemsize
        total = reduce(Vector.__add__, (one.value for one in self.whole))
        far = (y.address - r.pointer("y").address) // item
        shares = r.pointer("shares") + far
        scratch = None if s.side_by_side else r.scratch(r.lanes)
        for row in range(s.rows):
            for v in range(len(there[0][row])):
                share = reduce(Vector.__add__, (one[row][v] for one in there)) / total
                line = shares + size("out_gap") * row // item
                here = at + v * r.lanes
                if scratch is None:
                    r.store(share, line + here, mask)
                    continue
                r.store(share, scratch)
                step = size("y_line") // item
                with r.loop(count.smaller(r.lanes)) as i:
                    r.store(r.load(scratch + i, lanes=1), line + (here + i) * step)
