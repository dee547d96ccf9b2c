"""The horizontal sums of equal taps: of 1, 2, 4 ... neighbours, each from two sums of half as many.

A window of k = rest + 2**levels * q taps is the sum of windows of as many taps as the digits of k have in binary. Every
sum passes some log2(k) additions, takes nothing away, and reaches no further than the window. The first levels stay in
registers, where the sums of a vector wait for those of the next; those above go over the line again.
"""

from __future__ import annotations

from collections.abc import Callable

from striderule.algorithms.separable.across import Across, Line
from striderule.codegen.tile import Pointer, Size, Vector

# Vectors that a sweep over a line takes at a time, and elements behind each line that it may go beyond its end.
SWEPT = 4


def levels_of(lanes: int, gap: int, taps: int) -> int:
    """Return how many levels stay in registers: those whose distance is shorter than a vector, and than the window.

    >>> levels_of(16, 1, 50), levels_of(16, 3, 50), levels_of(8, 8, 50), levels_of(16, 1, 7)
    (4, 3, 0, 2)
    """
    return sum(gap << level < lanes and 2 << level <= taps for level in range(lanes.bit_length())) if gap else 0


class Doubling(Across):
    """Writes the horizontal pass of equal taps."""

    def line(self, line: Line) -> None:
        """Write the results of a line."""
        self._first_levels(line.first)
        self._later_levels()
        super().line(line)

    def _row(self, number: int) -> Pointer:
        """Return one of the three lines of sums: of windows, of the rest, of the digits so far."""
        return self.room.sums + self.size("line") * (number + 1)

    @property
    def _delay(self) -> int:
        """How many elements behind their places the first levels write."""
        return self.s.across.levels * self.r.lanes

    def _first_levels(self, line: Pointer) -> None:
        """Write the sums of 2**levels taps, and of the rest of the window, for every place of the line."""
        r, across = self.r, self.s.across
        gap, rest, levels = across.gap, across.rest, across.levels
        zero = r.constant(0.0)
        waiting = [r.register(zero) for _ in range(levels)]
        parts = [r.register(zero) for _ in range(levels)]
        with r.loop(self.size("top") + self._delay, step=r.lanes) as i:
            whole: Vector = r.load(line + i)
            part: Vector | None = None
            for level in range(levels):
                before, distance = waiting[level].value, gap << level
                # The sums of the rest so far, of the vector that waits here.
                so_far = parts[level].value if level and rest % (1 << level) else None
                if part is not None:
                    parts[level].set(part)
                part = so_far
                if rest >> level & 1:
                    shift = gap * (rest % (1 << level))
                    own = before if not shift else r.shuffle(before, whole, range(shift, shift + r.lanes))
                    part = own if part is None else part + own
                waiting[level].set(whole)
                whole = before + r.shuffle(before, whole, range(distance, distance + r.lanes))
            r.store(whole, self._row(0) + i)
            if part is not None:
                r.store(part, self._row(1) + i)

    def _later_levels(self) -> None:
        """Double the windows up to the largest of the digits, and add up those of the other digits."""
        r, table = self.r, self.r.table("levels")
        windows, sums = self._row(0) + self._delay, self._row(2)
        begun = r.count(0)
        with r.loop(self.size("level_count")) as level:
            taken, offset, distance = (r.entry(table, level * 3 + field) for field in range(3))
            if self.s.across.several:
                with r.when(taken.equals(1)):
                    with r.either(begun.value.equals(0)) as (fresh, more):
                        with fresh:
                            self._sweep(lambda at, lanes: r.load(windows + (at + offset), lanes=lanes), sums)
                        with more:
                            self._sweep(
                                lambda at, lanes: (
                                    r.load(sums + at, lanes=lanes) + r.load(windows + (at + offset), lanes=lanes)
                                ),
                                sums,
                            )
                    begun.set(1)
            self._sweep(
                lambda at, lanes: (r.load(windows + at, lanes=lanes) + r.load(windows + (at + distance), lanes=lanes)),
                windows,
            )

    def _sweep(self, value: Callable[[Size, int], Vector], target: Pointer) -> None:
        """Write a value at every place of a line, some vectors at a time, which are all read before."""
        r = self.r
        with r.loop(self.size("top"), step=SWEPT * r.lanes) as i:
            found = [value(i + v * r.lanes, r.lanes) for v in range(SWEPT)]
            for v, one in enumerate(found):
                r.store(one, target + (i + v * r.lanes))

    def sums(self, _: Line, start: Size, vectors: int, lanes: int, /) -> list[Vector]:
        """Return the sums of some vectors of a line."""
        r, across = self.r, self.s.across
        entry = self.size("level_count") * 3
        offset = r.entry(r.table("levels"), entry + 1)
        found = []
        for v in range(vectors):
            at = start + v * lanes
            one = r.load(self._row(0) + (at + offset + self._delay), lanes=lanes)
            if across.several:
                one = r.load(self._row(2) + at, lanes=lanes) + one
            if across.rest:
                one = one + r.load(self._row(1) + (at + self.size("rest") + self._delay), lanes=lanes)
            found.append(one)
        return found
