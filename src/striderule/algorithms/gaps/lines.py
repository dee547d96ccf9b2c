"""Lines laid out around gaps: with 0 where a pixel is missing, and behind each what is there, 1 or 0."""

from __future__ import annotations

from striderule.algorithms.gaps.structure import Gapped
from striderule.algorithms.stencil.structure import OUTSIDE
from striderule.codegen.tile import ELEMENTS, UINT8, Mask, Pointer, Routine, Size, Vector


class Lines:
    """Writes how lines are laid out, and notes which of them have gaps."""

    def __init__(self, r: Routine, gapped: Gapped) -> None:
        self.r, self.g, self.size = r, gapped, r.size
        self.source = ELEMENTS[gapped.plain.source]
        self.blank, self.there = r.pointer("blank", self.source), r.pointer("there", UINT8)
        self.met = r.register(r.constant(0))

    def band(
        self,
        image: tuple[Pointer, Pointer],
        outer: tuple[Pointer, Pointer],
        base: Size,
        rows: Size,
        part: tuple[Size, Size],
        room: tuple[Pointer, Pointer],
    ) -> None:
        """Lay out the lines of a band: `rows` of them from `base` on in the table, for every outer tap.

        `image` and `outer` are those of pixels and mask, `room` is where the lines go, and whether each has gaps.
        `part` is their first element and how many are laid out of each phase.
        """
        r, size = self.r, self.size
        (x, mask), (lines, gaps) = image, room
        with r.loop(size("outer_taps")) as tap:
            far, mask_far = (r.entry(one, tap) for one in outer)
            with r.loop(rows) as row:
                at = base + row * size("row_gap")
                near = r.entry(r.table("row_sources"), at)
                number = tap * size("band_rows") + row
                line = lines + number * size("pitch")
                self.met.set(r.constant(0))
                with r.either(far.above(OUTSIDE) & near.above(OUTSIDE)) as (inside, outside):
                    with inside:
                        beside = mask.skip(mask_far + r.entry(r.table("mask_rows"), at)) if self.g.masked else mask
                        self.line(x.skip(far + near), beside, line, part)
                    with outside:
                        self.empty(line)
                gone = r.any(self.met.value.greater(0.5))
                r.enter(r.choose(gone, 1, 0), gaps, number)

    def empty(self, line: Pointer) -> None:
        """Lay out a line that does not exist."""
        r = self.r
        fill = r.broadcast(r.pointer("blank_line"))
        there = r.convert(r.broadcast(self.there), r.element)
        with r.loop(r.whole(self.g.behind), step=r.lanes) as i:
            r.store(fill, line + i)
            r.store(there, line + (i + self.g.behind))
        self.met.set(1.0 - there)

    def line(self, x: Pointer, mask: Pointer, line: Pointer, part: tuple[Size, Size]) -> None:
        """Lay out the elements of a part of the line at x."""
        r, size, (first, count) = self.r, self.size, part
        if not self.g.plain.compact:
            with r.loop(size("phases")) as phase:
                start = phase * size("phase_size") + first
                self.one_by_one(x, mask, line + phase * size("phase_pitch"), start, r.whole(0), count)
            return
        head = (size("inner_first") - first).larger(0).smaller(count)
        stop = (size("inner_last") - first).larger(head).smaller(count)
        start = first - size("inner_first")
        whole = (stop - head) // r.lanes * r.lanes
        with r.loop(whole, step=r.lanes) as i:
            self.several(x + start, mask + start, line, head + i, r.lanes)
        rest = stop - head - whole
        with r.when(rest.above(0)), r.either(whole.above(0)) as (enough, few):
            with enough:  # a whole vector ends with the last element
                self.several(x + start, mask + start, line, stop - r.lanes, r.lanes)
            with few, r.loop(rest) as i:
                self.several(x + start, mask + start, line, head + whole + i, 1)
        self.one_by_one(x, mask, line, first, r.whole(0), head)
        self.one_by_one(x, mask, line, first, stop, count)

    def several(self, x: Pointer, mask: Pointer, line: Pointer, at: Size, lanes: int) -> None:
        """Lay out elements that stand side by side."""
        valid = self.r.load(mask + at, lanes=lanes).differs(0) if self.g.masked else None
        self.laid(self.r.load(x + at, lanes=lanes), valid, line + at)

    def one_by_one(self, x: Pointer, mask: Pointer, line: Pointer, first: Size, start: Size, stop: Size) -> None:
        """Lay out elements that the tables tell of, which begin with `first`."""
        r = self.r
        with r.loop(stop - start) as i:
            found = r.entry(r.table("line_sources"), first + start + i)
            exists = found.above(OUTSIDE)
            beside = r.entry(r.table("mask_line"), first + start + i)
            inside = mask.skip(beside) if self.g.masked else self.there + 1
            valid = r.load(r.nearer(exists, inside, self.there), lanes=1).differs(0)
            self.laid(r.load(r.nearer(exists, x.skip(found), self.blank), lanes=1), valid, line + (start + i))

    def laid(self, pixels: Vector, valid: Mask | None, line: Pointer) -> None:
        """Lay out pixels, which are missing where they are not `valid`, or NaN if that is missing."""
        r = self.r
        values = r.convert(pixels, r.element)
        zero, one = values.like(0), values.like(1)
        # Without a mask, in an image of integers, all that is not outside is there.
        there = zero.equals(0) if valid is None else valid
        if self.g.nan:
            there = there & ~values.is_nan()
        r.store(r.select(there, values, zero), line)
        r.store(r.select(there, one, zero), line + self.g.behind)
        met = self.met.value
        gone = r.select(there, zero, one)
        if values.lanes == r.lanes:
            self.met.set(r.at_least(met, gone))
        else:
            self.met.set(r.at_least(met, r.shuffle(gone, gone, [0] * r.lanes)))
