"""Gradients of normalisation by channels in the tile language: two sums of every channel, and the line through them.

Arrays are seen as in `normalization_routine`: lines that are all of one channel ("run"), or of one of each ("across").
x and gy, and the result, stand alike. Sums are in float64; see `normalization_bend`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from striderule.algorithms.direct.normalization_bend import Bend, Line, bend_of, sums_of, write_bent
from striderule.algorithms.direct.normalization_routine import PLACES, Form, LineWriter
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, FLOAT64, Mask, Pointer, Routine, Size, Vector

SUMS_POINTERS = ("x", "gy", "mean", "plain", "products", "walk")
# Elements from one part and from one channel to the next in the results.
SUMS_SIZES = (*PLACES, "channels", "part_step", "channel_step")
LINE_POINTERS = ("x", "gy", "mean", "slope", "steep", "shift", "y", "walk")
# Vectors of channels that are added up at a time: so many lines of memory are read one behind the other.
TOGETHER = 4


class _Channels(LineWriter):
    """What both routines share."""

    def __init__(self, form: Form, word: str, target: Target, pointers: Sequence[str], sizes: Sequence[str]) -> None:
        element = FLOAT64 if form.dtype == "float64" else FLOAT32
        super().__init__(form, Routine(form.name(word), target, element, pointers=pointers, sizes=sizes))

    def started(self, task: Size, *words: str) -> tuple[list[Pointer], Size, Size, Size, Size]:
        """Return where a task's values begin in some arrays, their number, its block, its line, and the channel."""
        r = self.r
        block, number = self.part(task)
        first = block * r.size("block")
        at, _, channel = self.place(number)
        across = self.form.kind == "across"
        count = (r.size("rows" if across else "length") - first).smaller(r.size("block"))
        skipped = at + first * r.size("x_row" if across else "x_step")
        return [r.pointer(word, self.stored).skip(skipped) for word in words], count, block, number, channel

    def wide(self, where: Pointer, rest: Size | None) -> Vector:
        """Return values as float64, zeros behind the rest."""
        return self.r.convert(self.r.load(where, self.mask(rest)), FLOAT64)

    def numbers(self, word: str, at: Size, rest: Size | None) -> Vector:
        """Return the numbers of a vector of channels."""
        return self.r.load(self.r.pointer(word, FLOAT64) + at, self.mask(rest))

    def columns(self, body: Callable[[list[Size], Size | None], None]) -> None:
        """Write `body` for several vectors of channels at a time, then for one, then for the rest."""
        r = self.r
        length, width = r.size("length"), TOGETHER * r.lanes
        whole = length // width * width
        with r.loop(whole, step=width) as i:
            body([i + v * r.lanes for v in range(TOGETHER)], None)
        left = length - whole
        with r.loop(left // r.lanes * r.lanes, step=r.lanes) as i:
            body([whole + i], None)
        full = length // r.lanes * r.lanes
        with r.when(length.above(full)):
            body([full], length - full)


def sums_routine(form: Form, target: Target) -> str:
    """Return the routine of the sums of gy and of gy * (x - mean) of every part of a channel, in float64."""
    return _Sums(form, "gradient_sums", target, SUMS_POINTERS, SUMS_SIZES).text()


class _Sums(_Channels):
    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            (x, gy), count, block, number, channel = self.started(task, "x", "gy")
            if self.form.kind == "across":
                self.columns(lambda at, rest: self._columns(x, gy, at, rest, count, task))
            else:
                self._line(x, gy, count, number // r.size("channels") * r.size("blocks") + block, channel)
        return r.finish()

    def _line(self, x: Pointer, gy: Pointer, count: Size, part: Size, channel: Size) -> None:
        r = self.r
        mean = r.broadcast(r.pointer("mean", FLOAT64) + channel)
        plain, products = sums_of(self, x, gy, mean, partial(self.vectors, count))
        for word, value in (("plain", plain), ("products", products)):
            r.store_first(value, self._result(word, part, channel))

    def _columns(self, x: Pointer, gy: Pointer, places: list[Size], rest: Size | None, rows: Size, part: Size) -> None:
        r = self.r
        sums = [[r.register(r.constant(0.0, FLOAT64)) for _ in range(2)] for _ in places]
        means = [self.numbers("mean", at, rest) for at in places]
        with r.loop(rows) as k:
            x_row, gy_row = x.skip(k * r.size("x_row")), gy.skip(k * r.size("x_row"))
            for at, (plain, products), mean in zip(places, sums, means, strict=True):
                gradient = self.wide(gy_row + at, rest)
                plain.set(plain.value + gradient)
                products.add_product(gradient, self.wide(x_row + at, rest) - mean)
        for at, (plain, products) in zip(places, sums, strict=True):
            r.store(plain.value, self._result("plain", part, at), self.mask(rest))
            r.store(products.value, self._result("products", part, at), self.mask(rest))

    def _result(self, word: str, part: Size, channel: Size) -> Pointer:
        r = self.r
        return r.pointer(word, FLOAT64) + part * r.size("part_step") + channel * r.size("channel_step")


def line_routine(form: Form, target: Target) -> str:
    """Return the routine of slope * gy + steep * (x - mean) + shift."""
    return _Line(form, "gradient_line", target, LINE_POINTERS, PLACES).text()


class _Line(_Channels):
    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            pointers, count, _, _, channel = self.started(task, "x", "gy", "y")
            words = LINE_POINTERS[2:6]
            if self.form.kind == "across":
                self.columns(lambda at, rest: self._columns(pointers, at, rest, count))
            else:
                x, gy, y = pointers
                bend = bend_of(r, *(r.broadcast(r.pointer(word, FLOAT64) + channel) for word in words))
                write_bent(self, bend, x, gy, y, partial(self.vectors, count))
        return r.finish()

    def _columns(self, pointers: list[Pointer], places: list[Size], rest: Size | None, rows: Size) -> None:
        r = self.r
        # The numbers of several vectors would not stay in registers: one behind the other, while the rows are near.
        for at in places:
            bend = bend_of(r, *(self.numbers(word, at, rest) for word in LINE_POINTERS[2:6]))
            if r.element == FLOAT64:
                self._rows(pointers, at, rest, rows, bend.double)
                continue
            mask = self.mask(rest)
            safe = bend.safe(r, together=False)
            safe = safe if mask is None else safe | ~mask

            def either(r: Routine, x: Vector, gy: Vector, bend: Bend = bend, safe: Mask = safe) -> Vector:
                return r.select(safe, bend.single(r, x, gy), bend.double(r, x, gy))

            with r.either(r.any(~safe)) as (some, all_safe):
                for line, where in ((either, some), (bend.single, all_safe)):
                    with where:
                        self._rows(pointers, at, rest, rows, line)

    def _rows(self, pointers: list[Pointer], at: Size, rest: Size | None, rows: Size, line: Line) -> None:
        r, mask = self.r, self.mask(rest)
        with r.loop(rows) as k:
            x, gy, y = (one.skip(k * r.size("x_row")) + at for one in pointers)
            r.store(line(r, r.load(x, mask), r.load(gy, mask)), y, mask)
