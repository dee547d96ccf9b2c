"""Canny's edges up to their linking, in the tile language: smoothed, differentiated and thinned row by row.

Algorithm: the definition of `thinning` and of SciPy's passes, in their order of operations: float64 sums, in which
equal taps of both sides are added first, rounded to the image's precision after every pass. No multiplication is fused
with an addition, so that every bit is as there.

Schedule: a task is a band of rows of a strip of columns. It goes down row by row and keeps, in room of its own, the
converted rows under the Gaussian, three smoothed rows and three rows of gradients: all of it stays in the first two
caches, and nothing but the image is read and nothing but the marks is written. With t the row that is smoothed, row
t - 1 is differentiated and row t - 2 thinned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.algorithms.edges.picture import STRONG, WEAK
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT32, FLOAT64, UINT8, Count, Mask, Pointer, Routine, Size, Vector

POINTERS = ("x", "y", "share", "row_taps", "column_taps", "work", "flags")
SIZES = (
    # Of the image; bytes from row to row of the extended image.
    "height", "width", "x_row",
    # Taps on each side of the middle one, along both axes.
    "row_reach", "column_reach",
    # The parts: rows and columns of a task, and how many tasks stand side by side.
    "band", "strip", "strips",
    # Elements of a line of the room, and of the room of a thread; how many threads there are.
    "line", "room", "threads",
    # Rows of the share that stand for one row of the image each, above and from which row on below.
    "share_top", "share_bottom", "share_row",
)  # fmt: skip
NUMBERS = ("scale", "low", "high")

# Columns beside a strip that its outputs depend on, on each side: one for the neighbours, one for the derivative.
SIDE = 2
# Rings of three lines each: smoothed rows, their differences along the row, both components, the length; two single
# lines: the row between the two passes of the Gaussian, and differences across rows.
LINES = 5 * 3 + 2


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the elements of the image, the precision it is computed in, and what comes out.

    `shared` says that the Gaussian is divided by its share inside. `result` is "marks" or "length".
    """

    source: str
    stored: str
    shared: bool
    result: str

    @property
    def name(self) -> str:
        """What the routine is called."""
        return "_".join(("edges", self.source, self.stored, "shared" if self.shared else "whole", self.result))


def detection_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    return _Writer(form, target).text()


class _Writer:
    def __init__(self, form: Form, target: Target) -> None:
        self.form = form
        self.r = Routine(form.name, target, FLOAT64, pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)

    def text(self) -> str:
        r = self.r
        flags = r.table("flags")
        slot = r.claim(flags, r.size("threads"))
        self.base = r.pointer("work") + slot * r.size("room")
        self.line = r.size("line")
        with r.tasks() as task:
            self._task(task)
        r.give_back(flags, slot)
        return r.finish()

    # Lines ------------------------------------------------------------------------------------------------------------

    def _ring(self, number: int, turn: Size) -> Pointer:
        """Return a line of a ring of three: that which is written in a turn."""
        return self.base + (turn % 3 + 3 * number) * self.line

    def _stored(self, value: Vector) -> Vector:
        """Return a value rounded to the precision that rows are kept in."""
        r = self.r
        return value if self.form.stored == "float64" else r.convert(r.convert(value, FLOAT32), FLOAT64)

    def _along(self, count: Size, body: Callable[[Size], None]) -> None:
        """Run a body for every vector of a line; lines have room for the last one to be whole."""
        with self.r.loop(count, step=self.r.lanes) as c:
            body(c)

    # A task -----------------------------------------------------------------------------------------------------------

    def _task(self, task: Size) -> None:
        r = self.r
        strip, band = task % r.size("strips"), task // r.size("strips")
        self.first = strip * r.size("strip")
        top = band * r.size("band")
        self.columns = (r.size("width") - self.first).smaller(r.size("strip"))
        rows = (r.size("height") - top).smaller(r.size("band"))
        self.count = self.columns + 2 * SIDE
        following = r.count((top - SIDE).larger(0))
        # Turns are counted from 3 on, so that those of the two rows before are never negative.
        with r.loop(rows + 2 * SIDE) as k:
            row = (top + k - SIDE).larger(0).smaller(r.size("height") - 1)
            self._convert(row, following)
            turn = k + 3
            self._smooth(row, turn)
            self._differences(turn)
            with r.when(k.above(1)):
                self._gradient(turn)
            if self.form.result == "length":
                with r.when(k.above(2) & k.below(rows + 3)):
                    self._write_length(top + k - 3, turn)
            else:
                with r.when(k.above(3)):
                    self._thin(top + k - 4, turn)

    def _convert(self, row: Size, following: Count) -> None:
        """Bring the rows of the extended image under the Gaussian into the ring, each once, as floats.

        Every row stands in two places, a whole ring apart, so that those of one turn always follow one another.
        """
        r = self.r
        reach = r.size("row_reach")
        taps = reach * 2 + 1
        self.rows = self.base + LINES * self.line
        count = self.count + r.size("column_reach") * 2
        source = ELEMENTS[self.form.source]
        start = following.value
        with r.loop(row + taps - start) as k:
            number = start + k
            here = r.pointer("x", source).skip(number * r.size("x_row")) + self.first
            place = self.rows + number % taps * self.line

            def convert(c: Size, here: Pointer = here, place: Pointer = place) -> None:
                value = r.convert(r.load(here + c), FLOAT64)
                if source.kind in "iu":
                    value = value * r.number("scale")
                if source.kind == "i":
                    value = r.at_least(value, -1.0)
                r.store(value, place + c)
                r.store(value, place + taps * self.line + c)

            self._along(count, convert)
        following.set(start.larger(row + taps))

    # Smoothing --------------------------------------------------------------------------------------------------------

    def _smooth(self, row: Size, turn: Size) -> None:
        """Write the smoothed row: along the columns' axis first, then along the row."""
        r = self.r
        reach, across = r.size("row_reach"), r.size("column_reach")
        begin = self.rows + row % (reach * 2 + 1) * self.line
        between, smoothed = self.base + (LINES - 2) * self.line, self._ring(0, turn)
        self._pass(begin, self.line, reach, "row_taps", between, self.count + across * 2)
        self._pass(between, r.whole(1), across, "column_taps", smoothed, self.count)
        if self.form.shared:
            bottom = (row - r.size("share_bottom")).larger(0)
            number = row.smaller(r.size("share_top")) + bottom
            share = r.pointer("share") + number * r.size("share_row") + self.first
            self._along(
                self.count,
                lambda c: r.store(self._stored(r.load(smoothed + c) / r.load(share + c)), smoothed + c),
            )
        # Beside the image the smoothed rows are symmetric, whatever stands outside of the image itself.
        with r.when(self.first.equals(0)):
            r.store(r.load(smoothed + SIDE, lanes=1), smoothed + (SIDE - 1))
        left = r.size("width") - self.first  # the next strip may have but one column
        with r.when(left.below(self.columns + SIDE)):
            last = smoothed + (left + (SIDE - 1))
            r.store(r.load(last, lanes=1), last + 1)

    def _pass(self, source: Pointer, step: Size, reach: Size, taps: str, result: Pointer, count: Size) -> None:
        """Write one pass of the Gaussian over a line, whose taps stand `step` elements apart, the outermost first."""
        r = self.r
        vectors = 4
        weights = r.pointer(taps)

        def body(c: Size, width: int) -> None:
            starts = [c + v * r.lanes for v in range(width)]
            middle = r.broadcast(weights + reach)
            sums = [r.register(r.load(source + reach * step + at) * middle) for at in starts]
            with r.loop(reach) as k:
                weight = r.broadcast(weights + k)
                before, behind = source + k * step, source + (reach * 2 - k) * step
                for one, at in zip(sums, starts, strict=True):
                    one.set(one.value + (r.load(before + at) + r.load(behind + at)) * weight)
            for one, at in zip(sums, starts, strict=True):
                r.store(self._stored(one.value), result + at)

        whole = count // (vectors * r.lanes)
        with r.loop(whole) as block:
            body(block * (vectors * r.lanes), vectors)
        done = whole * (vectors * r.lanes)
        with r.loop(count - done, step=r.lanes) as rest:
            body(done + rest, 1)

    # Derivatives ------------------------------------------------------------------------------------------------------

    def _difference(self, before: Vector, middle: Vector, behind: Vector) -> Vector:
        """Return behind - before, with the middle tap of 0, which infinity does not pass."""
        return self._stored(middle * 0.0 + (before - behind) * -1.0)

    def _differences(self, turn: Size) -> None:
        """Write the differences along the row just smoothed; no others need more than that row."""
        r = self.r
        row, result = self._ring(0, turn), self._ring(1, turn)
        self._along(
            self.columns + 2,
            lambda c: r.store(
                self._difference(r.load(row + c), r.load(row + c + 1), r.load(row + c + 2)), result + c + 1
            ),
        )

    def _gradient(self, turn: Size) -> None:
        """Write both components and the length of the gradient of the row before."""
        r = self.r
        above, here, below = (self._ring(0, turn - back) for back in (2, 1, 0))
        across = self.base + (LINES - 1) * self.line
        self._along(
            self.count,
            lambda c: r.store(self._difference(r.load(above + c), r.load(here + c), r.load(below + c)), across + c),
        )
        ends = self._ring(1, turn - 2), self._ring(1, turn)
        middle = self._ring(1, turn - 1)
        downs, rights, lengths = (self._ring(number, turn) for number in (2, 3, 4))

        def body(c: Size) -> None:
            sides = r.load(across + c) + r.load(across + c + 2)
            down = self._stored(r.load(across + c + 1) * 2.0 + sides * 1.0)
            sides = r.load(ends[0] + c + 1) + r.load(ends[1] + c + 1)
            right = self._stored(r.load(middle + c + 1) * 2.0 + sides * 1.0)
            squares = self._stored(self._stored(down * down) + self._stored(right * right))
            r.store(down, downs + c + 1)
            r.store(right, rights + c + 1)
            r.store(self._stored(r.square_root(squares)), lengths + c + 1)

        self._along(self.columns + 2, body)

    def _write_length(self, row: Size, turn: Size) -> None:
        r = self.r
        stored = ELEMENTS[self.form.stored]
        lengths = self._ring(4, turn) + SIDE
        result = r.pointer("y", stored) + row * r.size("width") + self.first
        self._along(
            self.columns,
            lambda c: r.store(r.convert(r.load(lengths + c), stored), result + c, r.first_lanes(self.columns - c)),
        )

    # Thinning ---------------------------------------------------------------------------------------------------------

    def _thin(self, row: Size, turn: Size) -> None:
        """Write the marks of a row, whose gradient was found in the turn before."""
        r = self.r
        lines = [self._ring(4, turn - back) + SIDE for back in (2, 1, 0)]
        down, right = self._ring(2, turn - 1) + SIDE, self._ring(3, turn - 1) + SIDE
        result = r.pointer("y", UINT8) + row * r.size("width") + self.first

        def body(c: Size) -> None:
            here = r.first_lanes(self.columns - c)
            length = r.load(lines[1] + c)
            candidate = length.greater_equal(r.number("low"))
            none = r.constant(0, UINT8)
            with r.either(r.any(candidate)) as (some, nothing):
                with some:
                    ridge = candidate & self._ridge([line + c for line in lines], down + c, right + c)
                    strong = ridge & length.greater_equal(r.number("high"))
                    mark = r.select(strong, none.like(STRONG), r.select(ridge, none.like(WEAK), none))
                    r.store(mark, result + c, here)
                with nothing:
                    r.store(none, result + c, here)

        self._along(self.columns, body)

    def _ridge(self, lines: list[Pointer], downs: Pointer, rights: Pointer) -> Mask:
        """Return where a length is no less than its two neighbours on the gradient, interpolated."""
        r = self.r
        length, down, right = r.load(lines[1]), r.load(downs), r.load(rights)
        size_down, size_right = r.absolute(down), r.absolute(right)
        up_first, right_first = down.greater(0.0), right.greater(0.0)
        same = (up_first & right_first) | ~(up_first | right_first)
        steep = size_down.greater(size_right)
        share = self._stored(r.select(steep, size_right, size_down) / r.select(steep, size_down, size_right))
        rest = 1.0 - share
        found = steep | ~steep
        for side in (1, -1):
            with_sign, against = lines[1 + side], lines[1 - side]
            corner = r.select(same, r.load(with_sign + side), r.load(against + side))
            near = r.select(steep, r.select(same, r.load(with_sign), r.load(against)), r.load(lines[1] + side))
            ahead = self._stored(corner * share) + near * rest
            found = found & ahead.less_equal(length)
        return found
