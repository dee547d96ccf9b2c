"""Both passes down whole vectors: rows are gathered in strips as wide as a vector, and lines stand on end.

A strip holds the rows that a block of results needs, in the type of the sums; a line holds a vector for each column,
with as many rows as there are lanes, and there may be a `stack` of them. So nothing is shifted, taps and outputs may be
any distance apart, and what a stride leaves out is never formed. Squares of numbers are turned in registers on their
way into the lines, and turned back on their way out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.algorithms.separable.across import Across
from striderule.algorithms.separable.down import Down, Room
from striderule.algorithms.separable.folding import Folding
from striderule.algorithms.separable.sides import FIELDS
from striderule.algorithms.separable.spans import spans
from striderule.algorithms.separable.structure import SHORT, Fold, Structure
from striderule.codegen.tile import Pointer, Register, Routine, Size, Vector
from striderule.planning.passes import CHAIN

# Strips that are gathered together: of bytes a whole cache line.
STRIP, LINE = 4, 64


@dataclass(frozen=True, slots=True)
class Taps:
    """How a pass goes down vectors: where its taps are, how many elements they and its outputs are apart.

    `kept` are those written out, if not `loop`; `chains` is the table of where chains begin, if there is one.
    """

    weights: Pointer
    count: Size
    gap: Size
    step: Size
    fold: Fold
    kept: tuple[int, ...]
    loop: bool
    chains: Pointer | None


class Turning(Across):
    """Writes both passes of as many rows as a vector has lanes."""

    def __init__(self, r: Routine, s: Structure, room: Room) -> None:
        super().__init__(r, s, room)
        self.lanes, self.together = r.lanes, s.across.vectors
        self.square = room.sums
        self.strips = room.sums + self.lanes * self.lanes
        self.results = self.strips + self.size("strip") * (STRIP * self.lanes)

    def rows(self, x: Pointer, y: Pointer, row: Size, count: Size) -> None:
        """Write `count` rows of results from `row` on, at most `stack` times as many as there are lanes."""
        r, lanes, columns = self.r, self.lanes, self.size("columns")
        self._down(x, row)
        with r.loop((count + (lanes - 1)) // lanes) as level:
            with r.loop(self.size("terms") if self.s.terms else 1) as term:
                self.extend(self._line(level, term), term)
            here, some = row + level * lanes, (count - level * lanes).smaller(lanes)
            with r.loop((columns + (lanes - 1)) // lanes) as block:
                self._across(level, (block * lanes).smaller(columns - lanes), y, here, some)

    def _line(self, level: Size, term: Size) -> Pointer:
        """Return where the line of a term begins, with what stands beyond the left border."""
        return self.room.lines + (level * self.size("terms") + term) * (self.size("line") * self.lanes)

    def _down(self, x: Pointer, row: Size) -> None:
        """Form the lines of all terms."""
        r, lanes, stack = self.r, self.lanes, self.size("stack")

        def body(column: Size, vectors: int, _: int) -> None:
            self._gather(x, row, column, vectors)
            terms = r.loop(self.size("terms") if self.s.terms else 1)
            with r.loop(vectors) as v, r.loop(stack) as level, terms as term:
                taps = self._taps_down(term)
                strip = self.strips + v * (self.size("strip") * lanes) + level * (taps.step * lanes)
                with r.loop(lanes // self.together) as part:
                    begin = part * self.together
                    for number, one in enumerate(self._sums(strip + begin * taps.step, taps)):
                        r.store(one, self.square + (begin + number) * lanes)
                place = self._line(level, term) + (self.size("before") + column + v * lanes) * lanes
                for k, value in enumerate(self._turned(self.square)):
                    r.store(value, place + k * lanes)

        spans(r, self.size("width"), STRIP, body)

    def _gather(self, x: Pointer, row: Size, column: Size, vectors: int) -> None:
        """Fill strips with the rows of the image that results from `row` on need."""
        r, lanes, down = self.r, self.lanes, Down(self.r, self.s, self.room)
        first = row * self.size("stride_down")
        with r.loop(self.size("strip")) as i:
            place = down.row(x, first + i) + column
            # The next strips of this row, of which no processor knows that they will be wanted.
            for line in range(max(1, vectors * lanes * down.source.itemsize // LINE)):
                r.prefetch(place + (vectors * lanes + line * (LINE // down.source.itemsize)))
            for v, value in enumerate(down.read(place, r.whole(0), vectors, lanes)):
                half = value * 0.5 if self.s.down.halved else value
                r.store(half, self.strips + (self.size("strip") * v + i) * lanes)

    def _turned(self, square: Pointer) -> list[Vector]:
        """Return the columns of a square."""
        r, lanes = self.r, self.lanes
        return r.transpose([r.load(square + i * lanes) for i in range(lanes)])

    def extend(self, line: Pointer, term: Size) -> None:
        """Fill in what stands beyond both borders, as `sides` has it, in whole vectors."""
        r, lanes, pixel = self.r, self.lanes, self.size("pixel")
        outside = r.broadcast(r.pointer("fills") + term)
        table = r.table("beyond")
        with r.loop(self.size("pieces")) as number:
            target, source, count, step = (r.entry(table, number * FIELDS + field) for field in range(FIELDS))
            with r.either(source.below(0)) as (fill, copied):
                with fill, r.loop(count * pixel) as i:
                    r.store(outside, line + (target + i) * lanes)
                with copied, r.loop(count) as i, r.loop(pixel) as c:
                    place = line + (source + i * step * pixel + c) * lanes
                    r.store(r.load(place), line + (target + i * pixel + c) * lanes)

    def _across(self, level: Size, first: Size, y: Pointer, row: Size, count: Size) -> None:
        """Write as many columns of results as there are lanes, from `first` on."""
        r, lanes, pixel = self.r, self.lanes, self.size("pixel")
        step = self.size("y_row")
        with r.loop(count) as ahead:
            r.prefetch((y + (first + lanes) * pixel).skip((row + ahead) * step))
        with r.loop(pixel) as channel, r.loop(lanes // self.together) as part:
            begin = part * self.together
            for number, one in enumerate(self._products_across(level, first + begin, channel)):
                r.store(one, self.results + ((begin + number) * pixel + channel) * lanes)
        with r.loop(pixel) as piece:
            found = self._turned(self.results + piece * (lanes * lanes))
            target = (y + (first * pixel + piece * lanes)).skip(row * step)
            with r.either(count.above(lanes - 1)) as (full, less):
                with full:
                    for place, one in enumerate(found):
                        self.store(one, target.skip(step * place))
                with less:
                    for place, one in enumerate(found):
                        r.store(one, self.square + place * lanes)
                    with r.loop(count) as left:
                        self.store(r.load(self.square + left * lanes), target.skip(left * step))

    def _products_across(self, level: Size, first: Size, channel: Size) -> list[Vector]:
        """Return the sums of neighbouring results of a channel, over all terms."""
        r = self.r
        place = first * (self.size("stride_across") * self.size("pixel")) + channel
        if not self.s.terms:
            return self._sums(self._line(level, r.whole(0)) + place * self.lanes, self._taps_across(r.whole(0)))
        totals = [r.register(r.constant(0.0)) for _ in range(self.together)]
        with r.loop(self.size("terms")) as term:
            found = self._sums(self._line(level, term) + place * self.lanes, self._taps_across(term))
            for total, one in zip(totals, found, strict=True):
                total.set(total.value + one)
        return [total.value for total in totals]

    def _taps_down(self, term: Size) -> Taps:
        s, size, lanes = self.s.down, self.size, self.lanes
        weights = self.r.pointer("down") + term * size("taps_down")
        gap, step = size("dilation_down") * lanes, size("stride_down") * lanes
        chains = self.r.table("chunks")
        return Taps(weights, size("taps_down"), gap, step, s.fold, s.kept, s.kind == "many", chains)

    def _taps_across(self, term: Size) -> Taps:
        s, size, lanes = self.s.across, self.size, self.lanes
        weights = self.r.pointer("across") + term * size("taps_across")
        gap, step = size("gap") * lanes, size("stride_across") * size("pixel") * lanes
        return Taps(weights, size("taps_across"), gap, step, s.fold, s.kept, s.loop, None)

    def _sums(self, here: Pointer, taps: Taps) -> list[Vector]:
        """Return the sums of neighbouring outputs."""
        r = self.r
        if taps.fold.sign:
            folding = Folding(r, taps.fold, self.together, lambda index: r.load(here + index * taps.gap))
            return folding.sums(taps.weights, taps.count, self.lanes)
        totals, sums = ([r.register(r.constant(0.0)) for _ in range(self.together)] for _ in range(2))

        def add(tap: Size) -> None:
            weight = r.broadcast(taps.weights + tap)
            for number, one in enumerate(sums):
                one.add_product(r.load(here + (tap * taps.gap + taps.step * number)), weight)

        if not taps.loop:
            for tap in taps.kept:
                add(r.whole(tap))
            return [one.value for one in sums]
        self._chains(taps, add, totals, sums)
        return [total.value for total in totals]

    def _chains(self, taps: Taps, add: Callable[[Size], None], totals: list[Register], sums: list[Register]) -> None:
        """Add all taps to totals in the chains that lines of rows have, too."""
        r = self.r

        def chain(begin: Size, length: Size) -> None:
            with r.loop(length) as i:
                add(begin + i)
            for total, one in zip(totals, sums, strict=True):
                total.set(total.value + one.value)
                one.set(r.constant(0.0))

        if taps.chains is not None:
            with r.loop(self.size("chunks_down")) as number:
                begin = r.entry(taps.chains, number)
                chain(begin, r.entry(taps.chains, number + 1) - begin)
            return
        grouped = self.size("groups") * SHORT
        with r.loop((grouped + (CHAIN - 1)) // CHAIN) as number:
            chain(number * CHAIN, (grouped - number * CHAIN).smaller(CHAIN))
        chain(grouped, taps.count - grouped)
