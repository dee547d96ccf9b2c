"""What all poolings in the tile language share: planes, rows, the taps of a window, reading and writing.

Positions outside the input never cost a comparison: tables hold the part of every window that is inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from striderule.algorithms.direct.pooling.running import Running, nothing, nowhere
from striderule.algorithms.direct.pooling.structure import POINTERS, SIZES, Structure
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, INT64, Condition, Pointer, Routine, Size, Vector

# Vectors that are computed together, where there are as many.
BLOCK = 4

Take = Callable[[Size, Size, bool], None]
Body = Callable[[list[Size], "Size | None"], None]


@dataclass(frozen=True, slots=True)
class Part:
    """Some planes, rows or columns: where they begin, and how many they are."""

    first: Size
    count: Size


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a plane begins in the input, the values and the places; its number, and how many lanes it has."""

    x: Pointer
    y: Pointer
    where: Pointer
    number: Size
    lanes: Size


@dataclass(frozen=True, slots=True)
class Row:
    """Some outputs with the same windows on all axes but the last: where they and their inputs begin.

    `counts` are the lengths of these windows, `place` the flat place where they begin, `scale` what their sums are
    multiplied with or divided by.
    """

    x: Pointer
    y: Pointer
    where: Pointer
    counts: list[Size]
    place: Size
    scale: Vector | None
    windows: Pointer
    lanes: Size


class Pool(ABC):
    """A routine while it is written, and the structure that it is written for."""

    def __init__(self, target: Target, s: Structure) -> None:
        self.s = s
        self.r = Routine(s.name, target, s.work, pointers=POINTERS, sizes=SIZES)
        self.x, self.y = ELEMENTS[s.x], ELEMENTS[s.y]
        self.lanes = self.r.lanes
        self.zero, self.full = self.r.whole(0), self.r.whole(self.lanes)
        self.nothing = nothing(s.work, s.sums)
        self.outer = range(2 - s.outer, 2)

    @abstractmethod
    def compute(self, planes: Part, rows: Part, columns: Part) -> None:
        """Compute these planes, rows and columns of outputs."""

    # Pieces -----------------------------------------------------------------------------------------------------------

    def part(self, number: Size, piece: str, whole: str) -> Part:
        """Return where a piece of a task begins, and how much it has."""
        first = number * self.r.size(piece)
        return Part(first, (self.r.size(whole) - first).smaller(self.r.size(piece)))

    @contextmanager
    def planes(self, part: Part) -> Iterator[Plane]:
        """Run the body for some planes. Counting them takes less time than dividing their numbers."""
        r, size = self.r, self.r.size
        outer, inner = r.count(part.first // size("inner")), r.count(part.first % size("inner"))
        with r.loop(part.count) as number:
            yield self._plane(part.first + number, outer.value, inner.value)
            following = inner.value + 1
            over = following.equals(size("inner"))
            inner.set(r.choose(over, 0, following))
            outer.set(outer.value + r.choose(over, 1, 0))

    def _plane(self, number: Size, outer: Size, inner: Size) -> Plane:
        r, size = self.r, self.r.size
        x = r.pointer("x", self.x) + outer * size("x_outer") + inner * size("x_inner")
        y = r.pointer("y", self.y) + outer * size("y_outer") + inner * size("y_inner")
        where = r.pointer("where", INT64) + outer * size("where_outer") + inner * size("where_inner")
        lanes = (size("lanes") - inner * size("plane_lanes")).smaller(size("plane_lanes"))
        return Plane(x, y, where, number, lanes)

    def row(self, plane: Plane, number: Size) -> Row:
        """Return a row of outputs of a plane."""
        r, size = self.r, self.r.size
        x, y, where = plane.x, plane.y, plane.where
        numbers = {1: number}
        if self.s.outer == 2:
            numbers = {0: number // size("outputs1"), 1: number % size("outputs1")}
        counts, place, scale = [], self.zero, None
        for axis in self.outer:
            j = numbers[axis]
            start, count = self.window(self.table(axis, plane.number), j)
            counts.append(count)
            place = place + start * size(f"place{axis}")
            x, y = x + start * size(f"x{axis}"), y + j * size(f"y{axis}")
            where = where + j * size(f"where{axis}")
            if self.s.sums:
                factor = r.broadcast(r.pointer(f"scale{axis}", FLOAT64) + j)
                scale = factor if scale is None else scale * factor
        return Row(x, y, where, counts, place, scale, self.table(2, plane.number), plane.lanes)

    def table(self, axis: int, plane: Size) -> Pointer:
        """Return the windows of an axis: pairs of a start and a length."""
        return self.r.table(f"windows{axis}") + plane * self.r.size(f"plane{axis}")

    def window(self, table: Pointer, j: Size) -> tuple[Size, Size]:
        """Return where the window of an output begins, and its length, both of what is inside the input."""
        return self.r.entry(table, j * 2), self.r.entry(table, j * 2 + 1)

    def taps(self, counts: list[Size], body: Take) -> None:
        """Run the body for every tap of the axes before the last: body(distance in x, in flat places, whether first).

        Only the first tap of windows that are never empty is told to be the first.
        """
        r, size = self.r, self.r.size
        distance = place = self.zero
        with ExitStack() as loops:
            for axis, count in zip(self.outer, counts, strict=True):
                if axis == 1 and self.s.rows:
                    break
                tap = loops.enter_context(r.loop(count)) * size(f"d{axis}")
                distance, place = distance + tap * size(f"x{axis}"), place + tap * size(f"place{axis}")
            if not self.s.rows:
                body(distance, place, self.s.filled and not counts)
            for number in range(self.s.rows):
                tap = size("d1") * number
                far = distance + tap * size("x1"), place + tap * size("place1")
                if self.s.filled and number == 0:
                    body(*far, len(counts) == 1)
                else:
                    with r.when(counts[-1].above(number)):
                        body(*far, False)

    def blocks(self, count: Size, body: Body, widths: Sequence[int] = (BLOCK, 2)) -> None:
        """Run body(starts, None) for vectors that cover `count` elements, none of them reaching behind the last.

        There are as many starts at a time as the first of `widths` where there are enough, then as the next, then one.
        Where all are less than a vector holds, body([0], count) once.
        """
        r, lanes = self.r, self.lanes
        with r.either(count.above(lanes - 1)) as (full, few):
            with full:
                vectors, end = (count + (lanes - 1)) // lanes, count - lanes

                def some(first: Size, number: int) -> None:
                    body([((first + v) * lanes).smaller(end) for v in range(number)], None)

                done = self.zero
                for width in widths:
                    # One vector too many costs less than one turn more.
                    whole = (vectors - done + width // 4).larger(0) // width
                    with r.loop(whole) as block:
                        some(done + block * width, width)
                    done = done + whole * width
                with r.loop(vectors - done) as block:
                    some(done + block, 1)
            with few:
                body([self.zero], count)

    # Elements ---------------------------------------------------------------------------------------------------------

    def fetch(self, where: Pointer, step: Size, count: Size | None = None, lanes: int | None = None) -> Vector:
        """Return lanes of the input as they are computed with; those behind `count` are zero."""
        r = self.r
        if self.s.x_apart and lanes is None:
            found = r.gather(where, step, self.full if count is None else count)
        else:
            found = r.load(where, None if count is None else r.first_lanes(count), lanes)
        return self.worked(found)

    def worked(self, found: Vector) -> Vector:
        """Return numbers of the input as they are computed with."""
        r = self.r
        value = r.convert(found, self.s.work)
        if self.s.kind == "root":
            return value * value
        if self.s.kind in ("most", "least"):
            value = r.absolute(value)
            return -value if self.s.kind == "least" else value
        return value

    def store(self, run: Running, row: Row, moves: tuple[Size, Size], scale: Vector | None, count: Size | None) -> None:
        """Write what windows have come to; `moves` are the distances from the row in y and in the places."""
        r, s = self.r, self.s
        value = run.value
        if s.sums and scale is not None:
            scale = r.shuffle(scale, scale, [0]) if value.lanes == 1 < scale.lanes else scale
            # A sum of negative zeros is zero, so zero is added: to a product for nothing, if that is one instruction.
            value = (value + 0.0) / scale if s.divides else r.multiply_add(value, scale, value.like(0.0))
        value = r.square_root(value) if s.kind == "root" else -value if s.kind == "least" else value
        self._write(r.convert(value, self.y), row.y + moves[0], r.size(self._step("y")), count)
        if s.places:
            where = r.convert(run.where, INT64)
            if not s.filled:
                where = r.select(run.where.equals(nowhere(s.place)), where.like(-1), where)
            self._write(where, row.where + moves[1], r.size(self._step("where")), count)

    def _write(self, value: Vector, where: Pointer, step: Size, count: Size | None) -> None:
        r = self.r
        if value.lanes == 1:
            r.store(value, where)
        elif self.s.y_apart:
            r.scatter(value, where, step, self.full if count is None else count)
        else:
            r.store(value, where, None if count is None else r.first_lanes(count))

    def _step(self, word: str) -> str:
        return {"across": f"{word}_lane", "whole": f"{word}_inner"}.get(self.s.mode, f"{word}2")

    def nonempty(self, counts: list[Size]) -> Condition | None:
        """Return whether all of the windows have elements."""
        found = None
        for count in counts:
            some = count.above(0)
            found = some if found is None else found & some
        return found

    def first_places(self, place: Size, numbers: Vector | None, counts: list[Size]) -> Vector:
        """Return the place of the first element, and `nowhere` where there is none."""
        r, kind = self.r, self.s.place
        first = r.spread(place, kind)
        first = first if numbers is None else first + numbers
        some = self.nonempty(counts)
        if some is None or self.s.filled:
            return first
        return r.select(r.spread(r.choose(some, 1, 0), kind).equals(1), first, first.like(nowhere(kind)))

    def scales(self, row: Row, j: Size, lanes: int | None = None) -> Vector | None:
        """Return the scales of the outputs from `j` on."""
        r = self.r
        if not self.s.sums:
            return None
        last = r.load(r.pointer("scale2", FLOAT64) + j * r.size("scale_step"), lanes=lanes)
        if row.scale is None:
            return last
        return last * (r.shuffle(row.scale, row.scale, [0]) if lanes == 1 else row.scale)
