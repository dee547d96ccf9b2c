"""From sums of products to correlation coefficients, in the tile language.

With S and Q the sum and the sum of squares of a window of n elements, p its sum of products with the template, whose
sum is T and whose squared deviations sum to P:  (p - S T / n) / sqrt((Q - S^2 / n) P).

Algorithm: sums down the columns are kept from row to row, the row that enters added and the one that leaves taken away,
in float64; every band of rows begins anew, so that nothing drifts. Along a row, windows of 1, 2, 4 ... columns come
from pairs of the one before, and a window of any length from one of each binary digit of it.

Schedule: a task is a band of rows of a strip of columns; its column sums stay in the first cache. The products are read
and replaced by the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, Pointer, Routine, Size

POINTERS = ("x", "y", "work", "flags")
SIZES = (
    # Of the result; bytes from row to row of the image and of the result; the window's.
    "height", "width", "x_row", "y_row", "rows", "columns",
    "band", "strip", "strips", "line", "room", "threads",
)  # fmt: skip
# What is taken from every element before it is summed; T, 1 / n and P; below which part of Q a spread is rounding; and
# the product of norms up to which a window is constant.
NUMBERS = ("middle", "total", "share", "power", "noise", "floor")
# Lines of a task's room: sums and squares down the columns, and two of each for the windows along a row.
LINES = 6


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the elements of the image and of the products, whose places the coefficients take."""

    source: str
    products: str

    @property
    def result(self) -> str:
        """The elements of the coefficients."""
        return "float32" if self.products == "int32" else self.products

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"coefficients_{self.source}_{self.products}"


def coefficients_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    return _Writer(form, target).text()


class _Writer:
    def __init__(self, form: Form, target: Target) -> None:
        self.form = form
        self.r = Routine(form.name, target, FLOAT64, pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)

    def text(self) -> str:
        r = self.r
        slot = r.claim(r.table("flags"), r.size("threads"))
        base, line = r.pointer("work") + slot * r.size("room"), r.size("line")
        self.downs = [base, base + line]
        self.levels = [base + line * 2, base + line * 3]
        self.totals = [base + line * 4, base + line * 5]
        with r.tasks() as task:
            self._task(task)
        r.give_back(r.table("flags"), slot)
        return r.finish()

    def _along(self, count: Size, body: Callable[[Size], None]) -> None:
        with self.r.loop(count, step=self.r.lanes) as c:
            body(c)

    def _task(self, task: Size) -> None:
        r = self.r
        first = task % r.size("strips") * r.size("strip")
        top = task // r.size("strips") * r.size("band")
        self.count = (r.size("width") - first).smaller(r.size("strip"))
        self.wide = self.count + r.size("columns") - 1
        rows = (r.size("height") - top).smaller(r.size("band"))
        x = r.pointer("x", ELEMENTS[self.form.source]) + first
        zero = r.constant(0.0)
        for line in self.downs:
            self._along(self.wide, lambda c, line=line: r.store(zero, line + c))  # type: ignore[misc]
        with r.loop(r.size("rows") - 1) as k:
            self._change(x.skip((top + k) * r.size("x_row")), None)
        with r.loop(rows) as i:
            row = top + i
            entering = x.skip((row + r.size("rows") - 1) * r.size("x_row"))
            self._change(entering, None)
            self._windows()
            skip = row * r.size("y_row")
            products, result = (
                r.pointer("y", ELEMENTS[kind]).skip(skip) + first for kind in (self.form.products, self.form.result)
            )
            self._coefficients(products, result)
            self._change(None, x.skip(row * r.size("x_row")))

    def _change(self, entering: Pointer | None, leaving: Pointer | None) -> None:
        """Add a row to the sums down the columns, or take one away."""
        r = self.r
        row = entering or leaving
        assert row is not None

        def body(c: Size) -> None:
            here = r.first_lanes(self.wide - c)
            value = r.convert(r.load(row + c, here), FLOAT64) - r.number("middle")
            for line, change in zip(self.downs, (value, value * value), strict=True):
                before = r.load(line + c)
                r.store(before + change if entering else before - change, line + c)

        self._along(self.wide, body)

    def _windows(self) -> None:
        """Write the sums of the windows along the row."""
        r = self.r
        for down, level, total in zip(self.downs, self.levels, self.totals, strict=True):
            left, power, offset = r.count(r.size("columns")), r.count(1), r.count(0)

            def begin(c: Size, down: Pointer = down, level: Pointer = level, total: Pointer = total) -> None:
                r.store(r.load(down + c), level + c)
                r.store(r.constant(0.0), total + c)

            self._along(self.wide, begin)
            with r.during(left):
                with r.when((left.value % 2).equals(1)):
                    start = level + offset.value

                    def add(c: Size, start: Pointer = start, total: Pointer = total) -> None:
                        r.store(r.load(total + c) + r.load(start + c), total + c)

                    self._along(self.count, add)
                    offset.set(offset.value + power.value)
                left.set(left.value // 2)
                with r.when(left.value.above(0)):
                    step = power.value

                    def double(c: Size, level: Pointer = level, step: Size = step) -> None:
                        r.store(r.load(level + c) + r.load(level + step + c), level + c)

                    self._along(self.wide - step, double)
                power.set(power.value * 2)

    def _coefficients(self, products: Pointer, result: Pointer) -> None:
        """Write the coefficients of a row."""
        r = self.r
        share = r.number("share")

        def body(c: Size) -> None:
            here = r.first_lanes(self.count - c)
            total, squares = (r.load(line + c) for line in self.totals)
            product = r.convert(r.load(products + c, here), FLOAT64)
            # The sum of the elements, of which the middle was taken away, over their number.
            product = product - (total * share + r.number("middle")) * r.number("total")
            spread = squares - total * total * share
            norm = r.square_root(r.at_least(spread, 0.0) * r.number("power"))
            flat = spread.less_equal(squares * r.number("noise")) | norm.less_equal(r.number("floor"))
            value = r.at_most(r.at_least(product / norm, -1.0), 1.0)
            value = r.select(flat, r.constant(0.0), value)
            r.store(r.convert(value, ELEMENTS[self.form.result]), result + c, here)

        self._along(self.count, body)
