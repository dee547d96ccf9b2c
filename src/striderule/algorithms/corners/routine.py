"""The structure tensor, and Harris' corner measure, in the tile language: one pass over the image.

Algorithm: with s and d the vertical (1, 2, 1) and (-1, 0, 1) of three rows, the derivatives of a row are (-1, 0, 1) of
s along the row, and (1, 2, 1) of d. Their three products are averaged by symmetric weights down the rows, then along
them; equal taps of both sides are added first.

Schedule: a task is a band of rows of a strip of columns. It goes down row by row and keeps the rows of products under
the weights in room of its own, in the second cache; only the image is read, and only the result is written. What lies
outside is looked up: rows in a table, and columns, which are few, element by element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size, Vector

POINTERS = (
    "x", "y0", "y1", "y2", "row_taps", "column_taps", "work", "flags",
    # For every position from -reach (-1) to size + reach - 1 (size): where it is found in the image, or -1.
    "product_rows", "product_columns", "rows", "columns",
)  # fmt: skip
SIZES = (
    "height", "width", "x_row", "row_reach", "column_reach", "band", "strip", "strips", "line", "room",
    "threads",
)  # fmt: skip
# What every derivative is multiplied by; what stands outside; the constants of both measures.
NUMBERS = ("scale", "fill", "k", "eps")
PARTS = 3
# Lines of a task's room beside those of products: s and d, and the products averaged down the rows.
LINES = 2 + PARTS


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the elements of the image, those of the arithmetic and the result, and what comes out.

    `result` is "tensor", "k" or "eps".
    """

    source: str
    element: str
    result: str

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"corners_{self.source}_{self.element}_{self.result}"


def corners_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    return _Writer(form, target).text()


class _Writer:
    def __init__(self, form: Form, target: Target) -> None:
        self.form = form
        element = ELEMENTS[form.element]
        self.r = Routine(form.name, target, element, pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)

    def text(self) -> str:
        r = self.r
        slot = r.claim(r.table("flags"), r.size("threads"))
        self.base, self.line = r.pointer("work") + slot * r.size("room"), r.size("line")
        self.rings = self.base + self.line * LINES
        self.taps = r.size("row_reach") * 2 + 1
        # The scale and the fill value, for vectors of one lane too.
        self.numbers = r.scratch(2 * r.lanes)
        r.store(r.number("scale"), self.numbers)
        r.store(r.number("fill"), self.numbers + r.lanes)
        with r.tasks() as task:
            self._task(task)
        r.give_back(r.table("flags"), slot)
        return r.finish()

    def _along(self, count: Size, body: Callable[[Size], None]) -> None:
        """Run a body for every vector of a line; lines have room for the last one to be whole."""
        with self.r.loop(count, step=self.r.lanes) as c:
            body(c)

    def _ring(self, part: int, slot: Size) -> Pointer:
        """Return a row of products: there are two rings' worth, so that those under the weights follow one another."""
        return self.rings + (self.taps * (2 * part) + slot) * self.line

    def _task(self, task: Size) -> None:
        r = self.r
        reach = r.size("row_reach")
        self.first = task % r.size("strips") * r.size("strip")
        top = task // r.size("strips") * r.size("band")
        self.count = (r.size("width") - self.first).smaller(r.size("strip"))
        rows = (r.size("height") - top).smaller(r.size("band"))
        # Products are wanted from the strip's first column less the reach on: those inside the image, in vectors.
        self.wide = self.count + r.size("column_reach") * 2
        self.start = self.first - r.size("column_reach")
        self.low = self.start.larger(0)
        self.high = (self.start + self.wide).smaller(r.size("width"))
        with r.loop(rows + reach * 2) as k:
            row = r.entry(r.table("product_rows"), top + k)
            slot = k % self.taps
            with r.either(row.below(0)) as (outside, inside):
                with outside:
                    self._no_products(slot)
                with inside:
                    self._sums(row)
                    self._products(slot)
                    self._beside(row, slot)
            with r.when(k.above(reach * 2 - 1)):
                begin = (k - reach * 2) % self.taps
                for part in range(PARTS):
                    self._pass(self._ring(part, begin), self.line, reach, "row_taps", self._down(part), self.wide)
                self._result(top + k - reach * 2)

    def _down(self, part: int) -> Pointer:
        return self.base + self.line * (2 + part)

    # Products ---------------------------------------------------------------------------------------------------------

    def _row(self, row: Size) -> Pointer:
        return self.r.pointer("x", ELEMENTS[self.form.source]).skip(row * self.r.size("x_row"))

    def _three(self, row: Size) -> list[Size]:
        """Return where the rows above, here and below are found, -1 outside."""
        r = self.r
        return [r.entry(r.table("rows"), row + k) for k in range(3)]

    def _sums(self, row: Size) -> None:
        """Write s and d of a row, for the columns inside the image that products need, and one beside each side."""
        r = self.r
        smooth, slope = self.base + 1, self.base + self.line + 1
        first, last = (self.low - 1).larger(0), (self.high + 1).smaller(r.size("width"))
        above, here, below = self._three(row)
        fill = r.number("fill")

        def read(where: Size, at: Size, rest: Size) -> Vector:
            # Where there is no row the image's first one is read, and the fill value taken.
            mask = r.first_lanes(rest)
            value = r.convert(r.load(self._row(where.larger(0)) + at, mask), r.element)
            return r.select(where.below(0), fill, value)

        def body(c: Size) -> None:
            at, rest = first + c, last - first - c
            one, two, three = (
                read(above, at, rest),
                r.convert(r.load(self._row(here) + at, r.first_lanes(rest)), r.element),
                read(below, at, rest),
            )
            place = at - self.low
            r.store(one + three + two * 2.0, smooth + place)
            r.store(three - one, slope + place)

        self._along(last - first, body)
        # The columns -1 and width of the image are looked up.
        for beyond, condition in (
            (r.whole(-1), self.low.equals(0)),
            (r.size("width"), self.high.equals(r.size("width"))),
        ):
            with r.when(condition):
                one, two, three = (self._element(number, beyond) for number in (above, here, below))
                r.store(one + three + two * 2.0, smooth + (beyond - self.low))
                r.store(three - one, slope + (beyond - self.low))

    def _element(self, row: Size, column: Size) -> Vector:
        """Return one element, of a row that was looked up, and of a column from -1 to width that is to be."""
        r = self.r
        where = r.entry(r.table("columns"), column + 1)
        inside = row.above(-1) & where.above(-1)
        value = r.convert(r.load(self._row(row.larger(0)) + where.larger(0), lanes=1), r.element)
        return r.select(inside, value, r.load(self.numbers + r.lanes, lanes=1))

    def _multiplied(self, down: Vector, right: Vector) -> list[Vector]:
        """Return the three products, the derivatives scaled."""
        scale = self.r.load(self.numbers, lanes=down.lanes)
        down, right = down * scale, right * scale
        return [down * down, down * right, right * right]

    def _products(self, slot: Size) -> None:
        """Write the products of the columns inside the image into both places of the ring."""
        r = self.r
        smooth, slope = self.base, self.base + self.line
        offset = self.low - self.start

        def body(c: Size) -> None:
            right = r.load(smooth + c + 2) - r.load(smooth + c)
            down = r.load(slope + c) + r.load(slope + c + 2) + r.load(slope + c + 1) * 2.0
            for part, value in enumerate(self._multiplied(down, right)):
                for again in (0, 1):
                    r.store(value, self._ring(part, slot + self.taps * again) + (offset + c))

        self._along(self.high - self.low, body)

    def _beside(self, row: Size, slot: Size) -> None:
        """Write the products of the columns outside the image, each looked up and computed where it is found."""
        r = self.r
        three = self._three(row)

        def column(c: Size) -> None:
            found = r.entry(r.table("product_columns"), self.start + c + r.size("column_reach"))
            at = found.larger(0)
            values = [[self._element(number, at + k) for k in (-1, 0, 1)] for number in three]
            sums = [values[0][k] + values[2][k] + values[1][k] * 2.0 for k in range(3)]
            slopes = [values[2][k] - values[0][k] for k in range(3)]
            products = self._multiplied(slopes[0] + slopes[2] + slopes[1] * 2.0, sums[2] - sums[0])
            for part, product in enumerate(products):
                value = r.select(found.below(0), product.like(0.0), product)
                for again in (0, 1):
                    r.store(value, self._ring(part, slot + self.taps * again) + c)

        with r.loop(self.low - self.start) as c:
            column(c)
        with r.loop(self.start + self.wide - self.high) as c:
            column(self.high - self.start + c)

    def _no_products(self, slot: Size) -> None:
        """Write the products of a row that lies outside, where nothing changes."""
        r = self.r
        for part in range(PARTS):
            for again in (0, 1):
                line = self._ring(part, slot + self.taps * again)
                self._along(self.wide, lambda c, line=line: r.store(r.constant(0.0), line + c))  # type: ignore[misc]

    # Means ------------------------------------------------------------------------------------------------------------

    def _pass(self, source: Pointer, step: Size, reach: Size, taps: str, result: Pointer, count: Size) -> None:
        """Write the weighted sums down the rows of a ring, which stand `step` elements apart."""
        r = self.r
        vectors = 4

        def body(c: Size, width: int) -> None:
            starts = [c + v * r.lanes for v in range(width)]
            sums = self._weighted([source + at for at in starts], step, reach, taps)
            for value, at in zip(sums, starts, strict=True):
                r.store(value, result + at)

        whole = count // (vectors * r.lanes)
        with r.loop(whole) as block:
            body(block * (vectors * r.lanes), vectors)
        done = whole * (vectors * r.lanes)
        with r.loop(count - done, step=r.lanes) as rest:
            body(done + rest, 1)

    def _weighted(self, places: list[Pointer], step: Size, reach: Size, taps: str) -> list[Vector]:
        """Return the weighted sums of what stands `step` elements apart from each place on."""
        r = self.r
        weights = r.pointer(taps)
        middle = r.broadcast(weights + reach)
        sums = [r.register(r.load(place + reach * step) * middle) for place in places]
        with r.loop(reach) as k:
            weight = r.broadcast(weights + k)
            for one, place in zip(sums, places, strict=True):
                one.add_product(r.load(place + k * step) + r.load(place + (reach * 2 - k) * step), weight)
        return [one.value for one in sums]

    def _result(self, row: Size) -> None:
        """Write a row of the result: the sums along the row, and what is made of them."""
        r = self.r
        place = row * r.size("width") + self.first
        reach = r.size("column_reach")

        def body(c: Size) -> None:
            here = r.first_lanes(self.count - c)
            parts = self._weighted([self._down(part) + c for part in range(PARTS)], r.whole(1), reach, "column_taps")
            if self.form.result == "tensor":
                for part, value in enumerate(parts):
                    r.store(value, r.pointer(f"y{part}") + place + c, here)
                return
            rows, mixed, columns = parts
            determinant, trace = rows * columns - mixed * mixed, rows + columns
            if self.form.result == "k":
                value = determinant - trace * trace * r.number("k")
            else:
                value = determinant * 2.0 / (trace + r.number("eps"))
            r.store(value, r.pointer("y0") + place + c, here)

        self._along(self.count, body)
