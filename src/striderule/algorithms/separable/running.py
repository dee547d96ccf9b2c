"""The horizontal sums of equal taps, of whole numbers: each from the one before, at the same cost at any length.

    window[i] = window[i - 1] + line[i + k - 1] - line[i - 1]

A vector of windows is the last of the vector before, and the sums of the differences so far, which take log2(lanes)
steps (W. D. Hillis and G. L. Steele, "Data parallel algorithms", Communications of the ACM 29, 1986). Integers are
exact modulo 2**32, so sums on the way may be larger, and nothing drifts.
"""

from __future__ import annotations

from striderule.algorithms.separable.across import Across, Line
from striderule.codegen.tile import Pointer, Size, Vector


class Running(Across):
    """Writes the horizontal pass of equal taps of integers."""

    def line(self, line: Line) -> None:
        """Write the results of a line: whole vectors, then the last, which may overlap the one before."""
        r, lanes = self.r, self.r.lanes
        gap, outputs = self.s.across.gap, self.size("outputs")
        behind = line.first + -gap
        ahead = behind + self.size("taps_across") * gap
        carried = r.register(self._first(behind))
        whole = outputs // lanes

        def windows(start: Size) -> Vector:
            sums = self._so_far(self._read(ahead + start) - self._read(behind + start))
            found = carried.value + sums
            last = self._last()
            if lanes % gap == 0:  # lanes keep their places, and the sum of all need not be waited for
                carried.set(carried.value + r.shuffle(sums, sums, last))
            else:
                carried.set(r.shuffle(found, found, last))
            return found

        latest = r.register(carried.value)
        with r.loop(whole) as i:
            found = windows(i * lanes)
            latest.set(found)
            self.store(found, line.y + i * lanes)
        rest = outputs - whole * lanes
        with r.when(rest.above(0)):
            both = r.scratch(2 * lanes)
            r.store(latest.value, both)
            r.store(windows(whole * lanes), both + lanes)
            with r.either(whole.above(0)) as (wide, narrow):
                with wide:
                    self.store(r.load(both + rest), line.y + (outputs - lanes))
                with narrow, r.loop(rest) as i:
                    self.store(r.load(both + (i + lanes), lanes=1), line.y + i)

    def _read(self, where: Pointer) -> Vector:
        """Return elements of a line as integers of 32 bits."""
        return self.r.convert(self.r.load(where), self.r.element)

    def _last(self) -> list[int]:
        """Return which lane of a vector each lane of the next one goes on from."""
        gap, lanes = self.s.across.gap, self.r.lanes
        return [lanes - gap + lane % gap for lane in range(lanes)]

    def _first(self, behind: Pointer) -> Vector:
        """Return the windows that the first ones go on from, which begin a tap further to the left.

        What stands there is added here and taken away with the first windows, whatever it is.
        """
        r, lanes, gap = self.r, self.r.lanes, self.s.across.gap
        together = lanes // gap
        turns = self.size("taps_across") // together
        rest = self.size("taps_across") - turns * together
        sums = r.register(r.constant(0))
        with r.loop(turns) as i:
            sums.set(sums.value + self._read(behind + i * (together * gap)))
        here = r.first_lanes(rest * gap)
        last = self._read(behind + turns * (together * gap))
        total = sums.value + r.select(here, last, r.constant(0))
        if lanes % gap:
            parts = [r.shuffle(total, total, [f * gap + j % gap for j in range(lanes)]) for f in range(together)]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            return total
        half = together // 2
        while half:
            total = total + r.shuffle(total, total, [(lane + half * gap) % lanes for lane in range(lanes)])
            half //= 2
        return total

    def _so_far(self, new: Vector) -> Vector:
        """Return the sums of every lane and those of its channel before."""
        r, lanes = self.r, self.r.lanes
        zero, shift = r.constant(0), self.s.across.gap
        while shift < lanes:
            moved = [lane if lane < shift else lanes + lane - shift for lane in range(lanes)]
            new, shift = new + r.shuffle(zero, new, moved), 2 * shift
        return new
