"""Batch normalisation in the tile language: statistics of channels, and the line through every channel's values.

An array is seen as lines of values, which are all of one channel ("run": side by side in memory, "steps": apart), or
one of each channel ("across": channels stand side by side, as in images with the channels last). Lines are numbered by
walks: each has a size, a step in x, a step in y and a step in channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from striderule.algorithms.direct.native import followed
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT32, FLOAT64, Mask, Pointer, Routine, Size, Vector

Kind = Literal["run", "steps", "across"]

# The steps of a walk: in x and y in bytes, and in channels.
# A line has `length` values, `x_step` and `y_step` bytes apart, and is cut into `blocks` of `block`. Across, `rows`
# lines are `x_row` and `y_row` bytes apart, and are cut into `blocks` of `block` instead.
PLACES = ("walks", "length", "x_step", "y_step", "rows", "x_row", "y_row", "block", "blocks")
SCALE_POINTERS = ("x", "y", "mean", "var", "weight", "bias", "walk")
STATISTICS_POINTERS = ("x", "means", "squares", "walk")
# Elements from one part and from one channel to the next in the results.
STATISTICS_SIZES = (*PLACES, "channels", "x_channel", "part_step", "channel_step")
# Between its inverse and it, float32 arithmetic neither overflows nor loses what counts.
SAFE = 2.0**100
# Bytes of a cache line.
LINE = 64


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the type of the values, how lines stand, and the type of the numbers of each channel."""

    dtype: str
    kind: Kind
    numbers: str = "float64"

    def name(self, word: str) -> str:
        """What the routine that does `word` is called."""
        return f"{word}_{self.dtype}_{self.kind}_{self.numbers}"


class LineWriter:
    """What all routines share: where lines begin, reading and writing them."""

    def __init__(self, form: Form, r: Routine) -> None:
        self.form, self.r = form, r
        self.stored = ELEMENTS[form.dtype]

    def part(self, task: Size) -> tuple[Size, Size]:
        """Return the block and the line of a task; without a division, where a line is one block."""
        r, blocks = self.r, self.r.size("blocks")
        block, number = r.count(0), r.count(task)
        with r.when(blocks.above(1)):
            block.set(task % blocks)
            number.set(task // blocks)
        return block.value, number.value

    def place(self, number: Size) -> tuple[Size, Size, Size]:
        """Return the bytes into x, the bytes into y and the channel where line `number` begins."""
        x, y, channel = followed(self.r, number, 0, 0, 0)
        return x, y, channel

    def vectors(self, count: Size, body: Callable[[Size, Size | None], None]) -> None:
        """Write `body` for whole vectors, given where they begin, and for the rest, given how many values it has."""
        r = self.r
        whole = count // r.lanes * r.lanes
        with r.loop(whole, step=r.lanes) as i:
            body(i, None)
        with r.when(count.above(whole)):
            body(whole, count - whole)

    def mask(self, rest: Size | None) -> Mask | None:
        """Return the mask of the lanes that count."""
        return None if rest is None else self.r.first_lanes(rest)

    def read(self, x: Pointer, at: Size, rest: Size | None) -> Vector:
        """Return the values of a line from `at` on, zeros behind the rest."""
        r = self.r
        if self.form.kind == "steps":
            step = r.size("x_step")
            found = r.gather(x.skip(at * step), step // self.stored.itemsize, self._all(rest))
        else:
            found = r.load(x + at, self.mask(rest))
        return r.convert(found, r.element)

    def write(self, values: Vector, y: Pointer, at: Size, rest: Size | None) -> None:
        """Write the values of a line from `at` on."""
        r = self.r
        stored = r.convert(values, self.stored)
        if self.form.kind == "steps":
            step = r.size("y_step")
            r.scatter(stored, y.skip(at * step), step // self.stored.itemsize, self._all(rest))
        else:
            r.store(stored, y + at, self.mask(rest))

    def _all(self, rest: Size | None) -> Size:
        return self.r.size("length") * 0 + self.r.lanes if rest is None else rest


class PlaneWriter(ABC):
    """What routines share that go over whole planes: `length` values side by side, `image_step` from image to image."""

    def __init__(self, r: Routine, dtype: str) -> None:
        self.r, self.stored = r, ELEMENTS[dtype]

    @abstractmethod
    def text(self) -> str:
        """Return the routine as LLVM IR."""

    def wide(self, where: Pointer, rest: Size | None) -> Vector:
        """Return values as float64, zeros behind the rest."""
        r = self.r
        return r.convert(r.load(where, None if rest is None else r.first_lanes(rest)), FLOAT64)

    def values(self, start: Size, images: Size, body: Callable[[Size, Size | None], None]) -> None:
        """Write `body` for all vectors of some planes, given where they are and how many values the last one has."""
        r = self.r
        length = r.size("length")
        whole = length // r.lanes * r.lanes
        with r.loop(images) as image:
            at = start + image * r.size("image_step")
            with r.loop(whole, step=r.lanes) as i:
                body(at + i, None)
            with r.when(length.above(whole)):
                body(at + whole, length - whole)


class UnitWriter(PlaneWriter):
    """What routines share whose tasks are some `units`, channels for one, each by itself: `task_units` of them."""

    def text(self) -> str:
        """Return the routine as LLVM IR."""
        r = self.r
        with r.tasks() as task:
            first = task * r.size("task_units")
            with r.loop((r.size("units") - first).smaller(r.size("task_units"))) as number:
                self._unit(first + number)
        return r.finish()

    @abstractmethod
    def _unit(self, unit: Size) -> None:
        """Write what is done for one unit."""


# y = (x - mean) / sqrt(var + eps) * weight + bias --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slope:
    """The numbers of one channel in all lanes, or of a vector of channels: y = (x - mean) * slope + bias.

    In float32 the mean comes in two parts, so that what is left of x is exact to the last digit wherever x is close to
    it. `safe` says where that arithmetic is as good as float64, which the definition is computed in elsewhere.
    """

    mean: Vector
    slope: Vector
    bias: Vector
    safe: Mask
    single: tuple[Vector, Vector, Vector, Vector]


def scale_routine(form: Form, target: Target) -> str:
    """Return the routine of y = (x - mean) / sqrt(var + eps) * weight + bias as LLVM IR."""
    return _Scale(form, target).text()


class _Scale(LineWriter):
    def __init__(self, form: Form, target: Target) -> None:
        element = FLOAT64 if form.dtype == "float64" else FLOAT32
        name = form.name("scale")
        super().__init__(form, Routine(name, target, element, pointers=SCALE_POINTERS, sizes=PLACES, numbers=("eps",)))

    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            block, number = self.part(task)
            first = block * r.size("block")
            x_at, y_at, channel = self.place(number)
            x, y = r.pointer("x", self.stored).skip(x_at), r.pointer("y", self.stored).skip(y_at)
            if self.form.kind == "across":
                rows = (r.size("rows") - first).smaller(r.size("block"))
                x, y = x.skip(first * r.size("x_row")), y.skip(first * r.size("y_row"))
                self.vectors(r.size("length"), lambda at, rest: self._column(x, y, at, rest, rows))
            else:
                count = (r.size("length") - first).smaller(r.size("block"))
                x, y = x.skip(first * r.size("x_step")), y.skip(first * r.size("y_step"))
                slope = self._slope(channel, None, 1)
                if self.form.kind == "steps":
                    self._line(x, y, count, slope)
                else:
                    # Stores that cross cache lines take twice as long: up to the first line of the result apart.
                    before = (0 - (r.size("y") + y_at + first * r.size("y_step"))) % LINE // self.stored.itemsize
                    before = r.choose(count.above(8 * r.lanes), before, 0)
                    self._line(x, y, before, slope)
                    self._line(x + before, y + before, count - before, slope)
        return r.finish()

    def _column(self, x: Pointer, y: Pointer, at: Size, rest: Size | None, rows: Size) -> None:
        """Do a vector of channels in every row."""
        r = self.r
        slope = self._slope(at, rest, r.lanes)

        def row(k: Size, precise: bool) -> None:
            values = self.read(x.skip(k * r.size("x_row")), at, rest)
            found = in_double(r, values, slope) if precise else in_single(r, values, slope)
            if precise and r.element != FLOAT64:
                found = r.select(slope.safe, in_single(r, values, slope), found)
            self.write(found, y.skip(k * r.size("y_row")), at, rest)

        with r.either(r.any(~slope.safe)) as (wide, single):
            with wide, r.loop(rows) as k:
                row(k, True)
            with single, r.loop(rows) as k:
                row(k, False)

    def _line(self, x: Pointer, y: Pointer, count: Size, slope: Slope) -> None:
        """Do a line of one channel."""

        def values(precise: bool) -> Callable[[Size, Size | None], None]:
            form = in_double if precise else in_single
            return lambda at, rest: self.write(form(self.r, self.read(x, at, rest), slope), y, at, rest)

        with self.r.either(self.r.any(~slope.safe)) as (wide, single):
            with wide:
                self.vectors(count, values(True))
            with single:
                self.vectors(count, values(False))

    def _slope(self, channel: Size, rest: Size | None, lanes: int) -> Slope:
        r = self.r
        mask = None if rest is None else r.first_lanes(rest)
        mean, var, weight, bias = (self._number(word, channel, mask, lanes) for word in SCALE_POINTERS[2:6])
        return slope_of(r, mean, var, weight, bias, mask)

    def _number(self, word: str, channel: Size, mask: Mask | None, lanes: int) -> Vector:
        r = self.r
        where = r.pointer(word, ELEMENTS[self.form.numbers]) + channel
        return r.convert(r.load(where, mask, lanes=lanes), FLOAT64)


def slope_of(r: Routine, mean: Vector, var: Vector, weight: Vector, bias: Vector, mask: Mask | None = None) -> Slope:
    """Return what one channel is scaled by, in every lane, or a vector of channels as far as `mask`."""
    lanes = mean.lanes
    eps = r.number("eps", FLOAT64)
    slope = weight / r.square_root(var + r.shuffle(eps, eps, [0] * lanes))
    safe = r.absolute(mean).less(SAFE) & r.absolute(slope).less(SAFE) & r.absolute(bias).less(SAFE)
    safe = safe & (r.absolute(slope).greater(1 / SAFE) | slope.equals(0.0))
    if mask is not None:
        safe = safe | ~mask
    high = r.convert(mean, r.element)
    low = r.convert(mean - r.convert(high, FLOAT64), r.element)
    single = (high, low, r.convert(slope, r.element), r.convert(bias, r.element))
    if lanes == r.lanes:
        return Slope(mean, slope, bias, safe, single)
    mean, slope, bias = (r.shuffle(one, one, [0] * r.lanes) for one in (mean, slope, bias))
    high, low, steep, shift = (r.shuffle(one, one, [0] * r.lanes) for one in single)
    return Slope(mean, slope, bias, safe, (high, low, steep, shift))


def in_single(r: Routine, values: Vector, slope: Slope) -> Vector:
    """Return values of the routine's type scaled where that is safe in their own arithmetic."""
    if r.element == FLOAT64:
        return in_double(r, values, slope)
    high, low, steep, shift = slope.single
    return r.multiply_add(values - high - low, steep, shift)


def in_double(r: Routine, values: Vector, slope: Slope) -> Vector:
    """Return values of the routine's type scaled by the definition, in float64."""
    return r.convert((r.convert(values, FLOAT64) - slope.mean) * slope.slope + slope.bias, r.element)


# Statistics -----------------------------------------------------------------------------------------------------------


def statistics_routine(form: Form, target: Target) -> str:
    """Return the routine of the mean of every part of a channel and its sum of squared distances from that mean.

    A part is what one task sees of a channel: two passes over it, the second while it is near. Means are counted from
    the first value of the channel, so that they keep the digits in which they differ.
    """
    return _Statistics(form, target).text()


class _Statistics(LineWriter):
    def __init__(self, form: Form, target: Target) -> None:
        element = FLOAT64 if form.dtype == "float64" else FLOAT32
        name = form.name("statistics")
        super().__init__(form, Routine(name, target, element, pointers=STATISTICS_POINTERS, sizes=STATISTICS_SIZES))

    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            block, number = self.part(task)
            first = block * r.size("block")
            x_at, _, channel = self.place(number)
            x = r.pointer("x", self.stored).skip(x_at)
            if self.form.kind == "across":
                rows = (r.size("rows") - first).smaller(r.size("block"))
                start = x.skip(first * r.size("x_row"))
                self.vectors(r.size("length"), lambda at, rest: self._column(start, at, rest, rows, task))
            else:
                count = (r.size("length") - first).smaller(r.size("block"))
                part = number // r.size("channels") * r.size("blocks") + block
                self._line(x.skip(first * r.size("x_step")), count, part, channel)
        return r.finish()

    def _line(self, x: Pointer, count: Size, part: Size, channel: Size) -> None:
        r = self.r
        total, squares = r.register(r.constant(0.0, FLOAT64)), r.register(r.constant(0.0, FLOAT64))
        first = r.load(r.pointer("x", self.stored).skip(channel * r.size("x_channel")), lanes=1)
        pivot = self._pivot(r.shuffle(first, first, [0] * r.lanes))

        def distance(at: Size, rest: Size | None, start: Vector) -> Vector:
            found = r.convert(self.read(x, at, rest), FLOAT64) - start
            return found if rest is None else r.select(r.first_lanes(rest), found, found.like(0.0))

        def add(at: Size, rest: Size | None) -> None:
            total.set(total.value + distance(at, rest, pivot))

        self.vectors(count, add)
        mean = r.sum(total.value) / r.spread(count, FLOAT64)
        start = pivot + mean

        def square(at: Size, rest: Size | None) -> None:
            found = distance(at, rest, start)
            squares.add_product(found, found)

        self.vectors(count, square)
        for word, value in (("means", mean), ("squares", r.sum(squares.value))):
            r.store_first(value, self._result(word, part, channel))

    def _column(self, x: Pointer, at: Size, rest: Size | None, rows: Size, part: Size) -> None:
        r = self.r
        total, squares = r.register(r.constant(0.0, FLOAT64)), r.register(r.constant(0.0, FLOAT64))
        pivot = self._pivot(self.read(r.pointer("x", self.stored), at, rest))
        with r.loop(rows) as k:
            value = self.read(x.skip(k * r.size("x_row")), at, rest)
            total.set(total.value + (r.convert(value, FLOAT64) - pivot))
        mean = total.value / r.spread(rows, FLOAT64)
        start = pivot + mean
        with r.loop(rows) as k:
            distance = r.convert(self.read(x.skip(k * r.size("x_row")), at, rest), FLOAT64) - start
            squares.add_product(distance, distance)
        for word, value in (("means", mean), ("squares", squares.value)):
            r.store(value, self._result(word, part, at), self.mask(rest))

    def _pivot(self, first: Vector) -> Vector:
        """Return what is taken away from all values of a channel: its first, if that is a number."""
        r = self.r
        value = r.convert(first, FLOAT64)
        return r.select(r.absolute(value).less(math.inf), value, value.like(0.0))

    def _result(self, word: str, part: Size, channel: Size) -> Pointer:
        r = self.r
        return r.pointer(word, FLOAT64) + part * r.size("part_step") + channel * r.size("channel_step")
