"""Lines laid out for a task: in the type of the sums, with what stands around them, phases of a stride one by one."""

from __future__ import annotations

from striderule.algorithms.stencil.structure import OUTSIDE, Structure
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size


class Laying:
    """Writes how lines are laid out."""

    def __init__(self, r: Routine, structure: Structure) -> None:
        self.r, self.s, self.size = r, structure, r.size
        self.source = ELEMENTS[structure.source]
        self.sources = r.table("line_sources")
        self.blank = r.pointer("blank", self.source)

    def band(self, x: Pointer, outer: Pointer, base: Size, rows: Size, part: tuple[Size, Size], room: Pointer) -> None:
        """Lay out the lines of a band: `rows` of them from `base` on in the table, for every outer tap.

        `part` is their first element and how many are laid out of each phase.
        """
        r, size, table = self.r, self.size, self.r.table("row_sources")
        with r.loop(size("outer_taps")) as tap:
            far = r.entry(outer, tap)
            with r.loop(rows) as row:
                near = r.entry(table, base + row * size("row_gap"))
                line = room + (tap * size("band_rows") + row) * size("pitch")
                exists = far.above(OUTSIDE) & near.above(OUTSIDE)
                with r.either(exists) as (inside, outside):
                    with inside:
                        self.line(x.skip(far + near), line, part)
                    with outside:
                        self.empty(line)

    def empty(self, line: Pointer) -> None:
        """Lay out a line that does not exist."""
        r = self.r
        fill = r.broadcast(r.pointer("blank_line"))
        with r.loop(self.size("pitch"), step=r.lanes) as i:
            r.store(fill, line + i)

    def line(self, x: Pointer, line: Pointer, part: tuple[Size, Size]) -> None:
        """Lay out the elements of a part of the line at x."""
        r, size, (first, count) = self.r, self.size, part
        if not self.s.compact:
            with r.loop(size("phases")) as phase:
                start = phase * size("phase_size") + first
                self.one_by_one(x, line + phase * size("phase_pitch"), start, r.whole(0), count)
            return
        head = (size("inner_first") - first).larger(0).smaller(count)
        stop = (size("inner_last") - first).larger(head).smaller(count)
        here = x + (first - size("inner_first"))
        whole = (stop - head) // r.lanes * r.lanes
        with r.loop(whole, step=r.lanes) as i:
            self.vector(here + head + i, line + head + i)
        with r.when((stop - head).above(whole)):
            self.rest(here, line, head + whole, stop, whole)
        self.one_by_one(x, line, first, r.whole(0), head)
        self.one_by_one(x, line, first, stop, count)

    def vector(self, x: Pointer, line: Pointer) -> None:
        """Lay out a vector."""
        self.r.store(self.r.convert(self.r.load(x), self.r.element), line)

    def rest(self, x: Pointer, line: Pointer, start: Size, stop: Size, before: Size) -> None:
        """Lay out the elements from `start` to `stop`, less than a vector.

        Where there are `before` enough before them a whole vector ends with the last of them.
        """
        r = self.r
        with r.either(before.above(0)) as (enough, few):
            with enough:
                self.vector(x + (stop - r.lanes), line + (stop - r.lanes))
            with few, r.loop(stop - start) as i:
                one = r.convert(r.load(x + start + i, lanes=1), r.element)
                r.store(one, line + start + i)

    def one_by_one(self, x: Pointer, line: Pointer, first: Size, start: Size, stop: Size) -> None:
        """Lay out elements that the table tells of, which begins with `first`."""
        r = self.r
        with r.loop(stop - start) as i:
            found = r.entry(self.sources, first + start + i)
            place = r.nearer(found.above(OUTSIDE), x.skip(found), self.blank)
            r.store(r.convert(r.load(place, lanes=1), r.element), line + start + i)
