"""Sums of a few neighbours down the rows and along them, in the tile language: one pass over the image.

y[i, j] = sum over k, l of v[i, k] * h[j, l] * x[p[i] + k, q[j] + l]

Schedule: a task is as many rows of results as a vector has lanes. They are summed down the columns where the rows
stand, in strips of a few vectors, and turned in squares, so that a line stands on end: a vector for each column. Along
it sums are whole vectors again, wherever they begin and whatever their weights; squares of results are turned back on
their way out. Without sums along the rows a task's rows are written at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.images.numbers import loaded, narrowed
from striderule.algorithms.images.tables import FILL
from striderule.algorithms.separable.spans import spans
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size, Vector

POINTERS = (
    "x", "y", "work", "flags", "blank", "rows", "down", "down_weights", "extras", "across", "across_weights",
)  # fmt: skip
SIZES = (
    "threads", "room", "bands", "height", "width", "pixel", "size", "columns", "extra", "x_plane", "y_plane", "y_row",
    "squares_at", "results_at",
)  # fmt: skip
NUMBERS = ("fill",)
# Vectors of a strip: of bytes less than a cache line each is read several times.
STRIP = 4
FIELDS = 3
# Rows of which the next strip is fetched ahead, and bytes of a cache line.
AHEAD, LINE = 2, 64
# Entry of the table of rows where the fill value stands.
BLANK = -(2**62)


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the types in memory and of the sums, and whether there are sums along the rows."""

    source: str
    work: str
    result: str
    across: bool

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"resampling_{self.source}_{self.work}_{self.result}_{'both' if self.across else 'down'}"


def resampling_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    return _Writer(form, target).text()


class _Writer:
    def __init__(self, form: Form, target: Target) -> None:
        self.form, self.element = form, ELEMENTS[form.work]
        self.source, self.result = ELEMENTS[form.source], ELEMENTS[form.result]
        self.r = Routine(form.name, target, self.element, pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)
        self.lanes, self.size = self.r.lanes, self.r.size

    def text(self) -> str:
        r = self.r
        slot = r.claim(r.table("flags"), r.size("threads"))
        self.line = r.pointer("work") + slot * r.size("room")
        self.squares, self.results = self.line + r.size("squares_at"), self.line + r.size("results_at")
        with r.tasks() as task:
            plane, first = task // r.size("bands"), task % r.size("bands") * self.lanes
            x = r.pointer("x", self.source).skip(plane * r.size("x_plane"))
            y = r.pointer("y", self.result).skip(plane * r.size("y_plane"))
            count = (r.size("height") - first).smaller(self.lanes)
            if self.form.across:
                self._turn_down(x, first)
                self._extend()
                self._along(y, first, count)
            else:
                with r.loop(count) as i:
                    self._straight(x, y, first + i)
        r.give_back(r.table("flags"), slot)
        return r.finish()

    def _entry(self, table: str, number: Size) -> list[Size]:
        """Return the first cell of an output, where its weights begin, and their number."""
        return [self.r.entry(self.r.table(table), number * FIELDS + field) for field in range(FIELDS)]

    def _down(self, x: Pointer, row: Size, column: Size, vectors: int, lanes: int) -> list[Vector]:
        """Return vectors of a row of results, from a column on."""
        r = self.r
        first, begin, count = self._entry("down", row)
        weights, blank = r.pointer("down_weights") + begin, r.pointer("blank", self.source)
        sums = [r.register(r.constant(0.0, lanes=lanes)) for _ in range(vectors)]

        def row_of(tap: Size) -> Pointer:
            distance = r.entry(r.table("rows"), first + tap)
            return r.nearer(distance.equals(BLANK), blank, x.skip(distance)) + column

        ahead = vectors * lanes
        for late in range(AHEAD):
            # The next strips of rows that no row before this one had: no processor knows that they will be wanted.
            place = row_of((count - (1 + late)).larger(0)) + ahead
            for line in range(max(1, ahead * self.source.itemsize // LINE)):
                r.prefetch(place + line * (LINE // self.source.itemsize))
        with r.loop(count) as k:
            place = row_of(k)
            weight = r.broadcast(weights + k, lanes)
            for v, one in enumerate(sums):
                one.add_product(loaded(r, place + v * lanes, self.element, lanes), weight)
        return [one.value for one in sums]

    def _straight(self, x: Pointer, y: Pointer, row: Size) -> None:
        """Write a row of results where there are no sums along it."""
        r, target = self.r, y.skip(row * self.size("y_row"))

        def body(column: Size, vectors: int, lanes: int) -> None:
            for v, value in enumerate(self._down(x, row, column, vectors, lanes)):
                r.store(narrowed(r, value, self.result), target + (column + v * lanes))

        spans(r, self.size("width"), STRIP, body)

    def _turn_down(self, x: Pointer, first: Size) -> None:
        """Form the line of as many rows as there are lanes; behind the last row of the image that one again."""
        r, lanes = self.r, self.lanes
        last = self.size("height") - 1

        def body(column: Size, vectors: int, wide: int) -> None:
            with r.loop(lanes) as i:
                found = self._down(x, (first + i).smaller(last), column, vectors, wide)
                if wide < lanes:
                    r.store(found[0], self.line + (column * lanes + i))
                else:
                    for v, value in enumerate(found):
                        r.store(value, self.squares + (i + v * lanes) * lanes)
            if wide == lanes:
                with r.loop(vectors) as number:
                    self._lay(self.squares + number * (lanes * lanes), self.line + (column + number * lanes) * lanes)

        spans(r, self.size("width"), STRIP, body)

    def _turned(self, square: Pointer) -> list[Vector]:
        """Return the columns of a square."""
        return self.r.transpose([self.r.load(square + i * self.lanes) for i in range(self.lanes)])

    def _lay(self, square: Pointer, place: Pointer) -> None:
        for i, value in enumerate(self._turned(square)):
            self.r.store(value, place + i * self.lanes)

    def _extend(self) -> None:
        """Write the cells behind a line: copies of others, and the fill value."""
        r, lanes, pixel = self.r, self.lanes, self.size("pixel")
        with r.loop(self.size("extra")) as i:
            source = r.entry(r.table("extras"), i)
            with r.loop(pixel) as c:
                place = self.line + ((self.size("size") + i) * pixel + c) * lanes
                with r.either(source.equals(FILL)) as (outside, inside):
                    with outside:
                        r.store(r.number("fill"), place)
                    with inside:
                        r.store(r.load(self.line + (source * pixel + c) * lanes), place)

    def _along(self, y: Pointer, first: Size, count: Size) -> None:
        """Write the results of a line, as many columns at a time as there are lanes."""
        r, lanes, columns, pixel = self.r, self.lanes, self.size("columns"), self.size("pixel")
        many = columns.smaller(lanes)
        elements = many * pixel
        with r.loop((columns + (lanes - 1)) // lanes) as block:
            begin = (block * lanes).smaller(columns - many)
            with r.loop(many) as j:
                self._sums(begin + j, self.results + j * pixel * lanes)
            with r.loop((elements + (lanes - 1)) // lanes) as piece:
                target = (y + (begin * pixel + piece * lanes)).skip(first * self.size("y_row"))
                self._write(self.results + piece * (lanes * lanes), target, count, elements - piece * lanes)

    def _sums(self, column: Size, place: Pointer) -> None:
        """Write the sums of a column, those of a channel behind those of the one before."""
        r, lanes, pixel = self.r, self.lanes, self.size("pixel")
        first, begin, count = self._entry("across", column)
        weights = r.pointer("across_weights") + begin
        with r.loop(pixel) as c:
            here, total = self.line + (first * pixel + c) * lanes, r.register(r.constant(0.0))
            with r.loop(count) as k:
                total.add_product(r.load(here + k * pixel * lanes), r.broadcast(weights + k))
            r.store(total.value, place + c * lanes)

    def _write(self, square: Pointer, target: Pointer, rows: Size, width: Size) -> None:
        """Write a square of results, of which some rows and columns may not be wanted."""
        r, lanes, step = self.r, self.lanes, self.size("y_row")
        found = self._turned(square)
        with r.either(rows.above(lanes - 1) & width.above(lanes - 1)) as (full, less):
            with full:
                for i, value in enumerate(found):
                    r.store(narrowed(r, value, self.result), target.skip(step * i))
            with less:
                for i, value in enumerate(found):
                    r.store(value, self.squares + i * lanes)
                with r.loop(rows) as row, r.loop(width.smaller(lanes)) as column:
                    value = r.load(self.squares + (row * lanes + column), lanes=1)
                    r.store(narrowed(r, value, self.result), target.skip(step * row) + column)
