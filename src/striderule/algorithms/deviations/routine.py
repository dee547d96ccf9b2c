"""The variance of windows of small integers, in the tile language: two sums in one reading, and their quotient.

With s and q the sums of n elements and of their squares, which float64 holds without error, the variance is

    (n q - s s) / (n n)

whose numerator is exact, too. A task is a band of rows. It keeps both sums of every column down the window: the row
that enters is added, and the one that leaves is taken away. Each row of sums is extended as the boundary says, and
summed along.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.images.numbers import loaded
from striderule.algorithms.images.tables import FILL
from striderule.algorithms.separable.spans import spans
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, Pointer, Routine, Size, Vector

POINTERS = ("x", "y", "work", "flags", "blank", "rows", "beyond")
SIZES = ("threads", "room", "bands", "band", "height", "width", "down", "across", "before", "line", "around", "x_plane")
# What a column of the outside sums to, and its squares; the elements of a window.
NUMBERS = ("fill", "square", "count")
# Entry of the table of rows where the fill value stands.
BLANK = -(2**62)
# Vectors that are summed together.
DOWN, ALONG = 4, 4
# An entry of the table of what stands beyond is a place, and where its sums are found.
FIELDS = 2


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the elements of the image and of the result, and whether its root is taken."""

    source: str
    result: str
    root: bool

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"deviations_{self.source}_{self.result}_{'root' if self.root else 'square'}"


def deviations_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    return _Writer(form, target).text()


class _Writer:
    def __init__(self, form: Form, target: Target) -> None:
        self.form, self.source, self.result = form, ELEMENTS[form.source], ELEMENTS[form.result]
        self.r = Routine(form.name, target, FLOAT64, pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)
        self.size = self.r.size

    def text(self) -> str:
        r = self.r
        slot = r.claim(r.table("flags"), r.size("threads"))
        sums = r.pointer("work") + slot * r.size("room")
        self.lines = sums, sums + r.size("line")
        self.numbers = r.scratch(3 * r.lanes)
        for place, word in enumerate(NUMBERS):
            r.store(r.number(word), self.numbers + place * r.lanes)
        with r.tasks() as task:
            plane, first = task // r.size("bands"), task % r.size("bands") * r.size("band")
            x = r.pointer("x", self.source).skip(plane * r.size("x_plane"))
            y = r.pointer("y", self.result) + plane * (r.size("height") * r.size("width"))
            self._begin(x, first)
            with r.loop((r.size("height") - first).smaller(r.size("band"))) as i:
                self._enter(x, first + i)
                self._extend()
                self._along(y + (first + i) * r.size("width"))
        r.give_back(r.table("flags"), slot)
        return r.finish()

    def _row(self, x: Pointer, index: Size) -> Pointer:
        distance = self.r.entry(self.r.table("rows"), index)
        return self.r.nearer(distance.equals(BLANK), self.r.pointer("blank", self.source), x.skip(distance))

    def _read(self, row: Pointer, column: Size, vectors: int, lanes: int) -> list[Vector]:
        return [loaded(self.r, row + (column + v * lanes), FLOAT64, lanes) for v in range(vectors)]

    def _begin(self, x: Pointer, first: Size) -> None:
        """Sum the rows of the window above the first one: as the rows go down, its first leaves."""
        r = self.r

        def body(column: Size, vectors: int, lanes: int) -> None:
            zero = r.constant(0.0, lanes=lanes)
            plain, squares = ([r.register(zero) for _ in range(vectors)] for _ in range(2))
            with r.loop(self.size("down")) as t:
                for v, value in enumerate(self._read(self._row(x, first + t), column, vectors, lanes)):
                    plain[v].set(plain[v].value + value)
                    squares[v].add_product(value, value)
            for line, found in zip(self.lines, (plain, squares), strict=True):
                for v, one in enumerate(found):
                    r.store(one.value, line + (self.size("before") + column + v * lanes))

        spans(r, self.size("width"), DOWN, body)

    def _enter(self, x: Pointer, row: Size) -> None:
        """Move the sums of columns down to the window of a row of results."""
        r = self.r
        new, old = self._row(x, row + self.size("down")), self._row(x, row)

        def body(column: Size, lanes: int) -> None:
            (value,), (gone,) = (self._read(one, column, 1, lanes) for one in (new, old))
            plain, squares = (line + (self.size("before") + column) for line in self.lines)
            r.store(r.load(plain, lanes=lanes) + (value - gone), plain)
            r.store(r.load(squares, lanes=lanes) + (value * value - gone * gone), squares)

        # No column may be done twice.
        whole = self.size("width") // r.lanes
        with r.loop(whole) as i:
            body(i * r.lanes, r.lanes)
        with r.loop(self.size("width") - whole * r.lanes) as i:
            body(whole * r.lanes + i, 1)

    def _extend(self) -> None:
        """Write the sums of the columns beyond both borders."""
        r, table = self.r, self.r.table("beyond")
        with r.loop(self.size("around")) as i:
            place, source = (r.entry(table, i * FIELDS + field) for field in range(FIELDS))
            for number, line in enumerate(self.lines):
                with r.either(source.equals(FILL)) as (outside, inside):
                    with outside:
                        r.store(r.load(self.numbers + number * r.lanes, lanes=1), line + place)
                    with inside:
                        r.store(r.load(line + source, lanes=1), line + place)

    def _along(self, y: Pointer) -> None:
        """Write a row of results."""
        r = self.r

        def body(column: Size, vectors: int, lanes: int) -> None:
            zero = r.constant(0.0, lanes=lanes)
            plain, squares = ([r.register(zero) for _ in range(vectors)] for _ in range(2))
            with r.loop(self.size("across")) as t:
                for line, found in zip(self.lines, (plain, squares), strict=True):
                    for v, one in enumerate(found):
                        one.set(one.value + r.load(line + (column + v * lanes + t), lanes=lanes))
            count = r.load(self.numbers + 2 * r.lanes, lanes=lanes)
            for v in range(vectors):
                s = plain[v].value
                value = (squares[v].value * count - s * s) / (count * count)
                value = r.square_root(value) if self.form.root else value
                r.store(r.convert(value, self.result), y + (column + v * lanes))

        spans(r, self.size("width"), ALONG, body)
