"""The horizontal pass: y[i, j] = sum over t of w[t] * lines[i, j + t * gap], and what comes after the sums.

The line stands in the cache, extended to both sides as the boundary says. With AVX-512 taps between two vectors are
taken from both in registers: loads that cross cache lines take twice as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.algorithms.images.numbers import narrowed
from striderule.algorithms.separable.down import Room
from striderule.algorithms.separable.folding import Folding
from striderule.algorithms.separable.sides import extend
from striderule.algorithms.separable.spans import spans
from striderule.algorithms.separable.structure import SHORT, Structure
from striderule.codegen.tile import ELEMENTS, Pointer, Register, Routine, Size, Vector
from striderule.planning.passes import CHAIN


@dataclass(frozen=True, slots=True)
class Line:
    """A line of every term, where the left extension begins, and where its results go."""

    first: Pointer
    y: Pointer


class Across:
    """Writes the horizontal pass of a line."""

    # What a size of the call is; of a part of a line, its own.
    size: Callable[[str], Size]

    def __init__(self, r: Routine, s: Structure, room: Room) -> None:
        self.r, self.s, self.room, self.size = r, s, room, r.size
        self.result, self.held = ELEMENTS[s.result], ELEMENTS[s.held]
        self.watch: Register | None = r.register(r.constant(0.0)) if s.watched else None

    def extend(self, line: Pointer, term: Size) -> None:
        """Fill in what stands beyond both borders; `line` is where the left extension begins."""
        outside = self.r.broadcast(self.r.pointer("fills") + term, 1)
        extend(self.r, self.s, line, self.r.convert(outside, self.held))

    def line(self, line: Line) -> None:
        """Write the results of a line."""
        target = Line(line.first, self.room.sums) if self.s.across.stepped else line

        def body(start: Size, vectors: int, lanes: int) -> None:
            self.put(self.sums(line, start, vectors, lanes), target.y + start, lanes)

        spans(self.r, self.size("outputs"), self.s.across.vectors, body)
        if self.s.across.stepped:
            self.pick(line.y)

    def pick(self, y: Pointer) -> None:
        """Write every stride-th of the results of a line."""
        r, pixel = self.r, self.size("pixel")
        with r.loop(self.size("columns")) as j, r.loop(pixel) as c:
            value = r.load(self.room.sums + (j * (self.size("stride_across") * pixel) + c), lanes=1)
            self.store(value, y + (j * pixel + c))

    def put(self, sums: list[Vector], y: Pointer, lanes: int) -> None:
        """Write sums where they belong."""
        for v, one in enumerate(sums):
            if self.s.across.stepped:
                self.r.store(one, y + v * lanes)
            else:
                self.store(one, y + v * lanes)

    def store(self, value: Vector, y: Pointer) -> None:
        """Write results: means, if sums are to be divided, in the type of the result."""
        r, s = self.r, self.s
        mean = ELEMENTS[s.mean]
        value = r.convert(value, mean)
        if s.divided:
            divisor, inverse = r.number("divisor", mean), r.number("inverse", mean)
            if value.lanes != r.lanes:
                divisor, inverse = (r.shuffle(one, one, range(value.lanes)) for one in (divisor, inverse))
            if s.divided == "exact" and not r.target.fma:
                value = value / divisor
            else:
                quotient = value * inverse
                # What the quotient leaves, exactly, mends its last place.
                rest = r.multiply_add(-quotient, divisor, value) if s.divided == "exact" else None
                value = quotient if rest is None else r.multiply_add(rest, inverse, quotient)
        if self.watch is not None:
            whole = r.shuffle(value, value, [i % value.lanes for i in range(r.lanes)])
            self.watch.set(r.multiply_add(whole, r.constant(0.0), self.watch.value))
        r.store(narrowed(r, value, self.result, whole=s.whole, inside=s.inside), y)

    def sums(self, line: Line, start: Size, vectors: int, lanes: int, /) -> list[Vector]:
        """Return the sums of some vectors of a line."""
        r, s = self.r, self.s
        zero = r.constant(0.0, lanes=lanes)
        totals = [r.register(zero) for _ in range(vectors)]
        with r.loop(self.size("terms") if s.terms else 1) as term:
            here = line.first + (term * (self.size("line") * s.down.rows) + start)
            weights = r.pointer("across") + term * self.size("taps_across")
            if s.across.fold.sign:
                for total in totals:
                    total.set(total.value + self._folded(here, weights, lanes))
            else:
                self._plain(here, weights, totals, lanes)
        return [total.value for total in totals]

    def _plain(self, here: Pointer, weights: Pointer, totals: list[Register], lanes: int) -> None:
        """Add the sums of taps to totals."""
        r, s = self.r, self.s
        if s.across.loop:
            self._groups(here, weights, totals, lanes)
            done = self.size("groups") * SHORT
            here, weights = here + done * self.gap, weights + done
        sums = [r.register(r.constant(0.0, lanes=lanes)) for _ in totals]
        self._taps(here, weights, s.across.kept, sums, lanes)
        for total, one in zip(totals, sums, strict=True):
            total.set(total.value + one.value)

    def _folded(self, here: Pointer, weights: Pointer, lanes: int) -> Vector:
        """Return the sum of symmetric taps: of lines that are too short to be turned."""
        folding = Folding(
            self.r, self.s.across.fold, 1, lambda index: self.r.load(here + index * self.gap, lanes=lanes)
        )
        return folding.sums(weights, self.size("taps_across"), lanes)[0]

    @property
    def gap(self) -> Size:
        """How many elements taps are apart."""
        known = self.s.across.gap
        return self.r.whole(known) if known else self.size("gap")

    def _groups(self, here: Pointer, weights: Pointer, totals: list[Register], lanes: int) -> None:
        """Add the groups of taps to totals, in chains."""
        r, each = self.r, CHAIN // SHORT
        zero = r.constant(0.0, lanes=lanes)
        sums = [r.register(zero) for _ in totals]
        with r.loop((self.size("groups") + (each - 1)) // each) as chain:
            for one in sums:
                one.set(zero)
            with r.loop((self.size("groups") - chain * each).smaller(each)) as i:
                tap = (chain * each + i) * SHORT
                self._taps(here + tap * self.gap, weights + tap, tuple(range(SHORT)), sums, lanes)
            for total, one in zip(totals, sums, strict=True):
                total.set(total.value + one.value)

    def _taps(self, here: Pointer, weights: Pointer, taps: tuple[int, ...], sums: list[Register], lanes: int) -> None:
        """Add taps that are written out to sums."""
        r, gap = self.r, self.s.across.gap
        shuffled = gap and lanes == r.lanes and r.target.vector_bytes == 64
        found: dict[int, Vector] = {}

        def whole(number: int) -> Vector:
            if number not in found:
                found[number] = r.load(here + number * lanes, lanes=lanes)
            return found[number]

        for tap in taps:
            weight = None if self.s.across.ones else r.broadcast(weights + tap, lanes)
            for v, one in enumerate(sums):
                if shuffled:
                    number, shift = divmod(tap * gap, lanes)
                    number += v
                    low = whole(number)
                    value = low if not shift else r.shuffle(low, whole(number + 1), range(shift, shift + lanes))
                else:
                    value = r.load(here + (self.gap * tap + v * lanes), lanes=lanes)
                if weight is None:
                    one.set(one.value + value)
                else:
                    one.add_product(value, weight)
