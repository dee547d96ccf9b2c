"""Layer normalisation and its gradient in the tile language, along the middle axis of (outer, length, inner).

In a line whose values are side by side (inner is 1) lanes are values ("run"), else they are lines that begin side by
side ("across"). A task is a block of lines, which are read again while they stand in a cache. All arithmetic is in
float64, so that nothing overflows; but the gradients of x of runs, see `normalization_bend`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from striderule.algorithms.direct.normalization_bend import Bend, bend_of
from striderule.algorithms.direct.normalization_routine import SAFE
from striderule.codegen.target import Target
from striderule.codegen.tile import (
    ELEMENTS,
    FLOAT32,
    FLOAT64,
    Condition,
    Mask,
    Pointer,
    Register,
    Routine,
    Size,
    Vector,
)

Kind = Literal["run", "across"]

POINTERS = ("x", "y", "weight", "bias", "means", "factors")
GRADIENT_POINTERS = ("x", "gy", "weight", "means", "factors", "gx", "sums", "narrow")
# A run has `outer` lines, `block` of them in a task. Across, the `inner` lines of each of the outer ones are cut into
# `blocks` of `block`.
SIZES = ("outer", "length", "inner", "block", "blocks")
# Vectors across that go on together, in the result and in the gradient: as many as registers hold the sums of.
TOGETHER, TOGETHER_BACK = 4, 2
# Of runs several lines go on together in the gradient: each takes so many registers, for its numbers or its sums.
REGISTERS_A_ROW = 16
# Between their inverses and it, products of weights and factors are safe numbers of float32.
ROOT = SAFE**0.5


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the type of the values, where lanes lie, and which gradients are wanted."""

    dtype: str
    kind: Kind
    by_x: bool = True
    by_parameters: bool = True

    def name(self, word: str) -> str:
        """What the routine that does `word` is called."""
        return f"{word}_{self.dtype}_{self.kind}{'_x' * self.by_x}{'_w' * self.by_parameters}"


class _Writer:
    """What all share."""

    def __init__(self, form: Form, word: str, target: Target, pointers: Sequence[str], numbers: Sequence[str]) -> None:
        element = FLOAT64 if form.dtype == "float64" else FLOAT32
        self.form, self.stored = form, ELEMENTS[form.dtype]
        self.r = Routine(form.name(word), target, element, pointers=pointers, sizes=SIZES, numbers=numbers)

    def mask(self, rest: Size | None) -> Mask | None:
        """Return the mask of the lanes that count."""
        return None if rest is None else self.r.first_lanes(rest)

    def read(self, where: Pointer, rest: Size | None) -> Vector:
        """Return values as float64, zeros behind the rest."""
        return self.r.convert(self.r.load(where, self.mask(rest)), FLOAT64)

    def write(self, value: Vector, where: Pointer, rest: Size | None) -> None:
        """Write float64 as what is stored."""
        r = self.r
        if self.stored.kind == "s":  # by way of float32, as it is read
            value = r.convert(value, FLOAT32)
        r.store(r.convert(value, self.stored), where, self.mask(rest))

    def zeros(self, count: int) -> list[Register]:
        """Return registers of zeros."""
        return [self.r.register(self.r.constant(0.0, FLOAT64)) for _ in range(count)]

    def length(self) -> Vector:
        """Return the length of a line as float64."""
        return self.r.spread(self.r.size("length"), FLOAT64)

    def one(self, word: str, at: Size) -> Vector:
        """Return a number that all lanes share."""
        return self.r.broadcast(self.r.pointer(word, FLOAT64) + at)

    def vectors(self, count: Size, together: int, body: Callable[[list[Size], Size | None], None]) -> None:
        """Write `body` for several vectors at a time, then for one, then for the rest."""
        r = self.r
        width = together * r.lanes
        whole, full = count // width * width, count // r.lanes * r.lanes
        with r.loop(whole, step=width) as i:
            body([i + v * r.lanes for v in range(together)], None)
        if together > 1:
            with r.loop(full - whole, step=r.lanes) as i:
                body([whole + i], None)
        with r.when(count.above(full)):
            body([full], count - full)

    def rows(self, task: Size) -> tuple[Size, Size]:
        """Return the first line of a task of runs, and how many it has."""
        first = task * self.r.size("block")
        return first, (self.r.size("outer") - first).smaller(self.r.size("block"))

    def pixels(self, task: Size) -> tuple[Size, Size, Size]:
        """Return where a task across begins in values and in lines, and how many lines it has."""
        r = self.r
        block, outer = task % r.size("blocks"), task // r.size("blocks")
        first, inner = block * r.size("block"), r.size("inner")
        return outer * r.size("length") * inner + first, outer * inner + first, (inner - first).smaller(r.size("block"))


def layer_routine(form: Form, target: Target) -> str:
    """Return the routine of (x - mean) / sqrt(var + eps) * weight + bias, and of mean and 1 / sqrt(var + eps)."""
    return _Layer(form, "layer", target, POINTERS, ("eps",)).text()


class _Layer(_Writer):
    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            x, y = (r.pointer(word, self.stored) for word in ("x", "y"))
            if self.form.kind == "run":
                first, count = self.rows(task)
                with r.loop(count) as k:
                    at = (first + k) * r.size("length")
                    self._run(x + at, y + at, first + k)
            else:
                start, line, count = self.pixels(task)
                self.vectors(count, TOGETHER, lambda at, rest: self._across(x + start, y + start, line, at, rest))
        return r.finish()

    def _factor(self, squares: Vector) -> Vector:
        r = self.r
        return 1 / r.square_root(squares / self.length() + r.number("eps", FLOAT64))

    def _run(self, x: Pointer, y: Pointer, line: Size) -> None:
        r = self.r
        total, squares = self.zeros(2)

        def add(at: list[Size], rest: Size | None) -> None:
            total.set(total.value + self.read(x + at[0], rest))

        self.vectors(r.size("length"), 1, add)
        mean = r.sum(total.value) / self.length()

        def square(at: list[Size], rest: Size | None) -> None:
            found = self.read(x + at[0], rest) - mean
            found = found if rest is None else r.select(r.first_lanes(rest), found, found.like(0.0))
            squares.add_product(found, found)

        self.vectors(r.size("length"), 1, square)
        factor = self._factor(r.sum(squares.value))

        def finish(at: list[Size], rest: Size | None) -> None:
            weight, bias = (r.load(r.pointer(word, FLOAT64) + at[0], self.mask(rest)) for word in ("weight", "bias"))
            found = r.multiply_add((self.read(x + at[0], rest) - mean) * factor, weight, bias)
            self.write(found, y + at[0], rest)

        self.vectors(r.size("length"), 1, finish)
        for word, value in (("means", mean), ("factors", factor)):
            r.store_first(value, r.pointer(word, FLOAT64) + line)

    def _across(self, x: Pointer, y: Pointer, line: Size, places: list[Size], rest: Size | None) -> None:
        r = self.r
        length, inner = r.size("length"), r.size("inner")
        totals, squares = self.zeros(len(places)), self.zeros(len(places))
        with r.loop(length) as c:
            for at, total in zip(places, totals, strict=True):
                total.set(total.value + self.read(x + c * inner + at, rest))
        means = [total.value / self.length() for total in totals]
        with r.loop(length) as c:
            for at, mean, total in zip(places, means, squares, strict=True):
                distance = self.read(x + c * inner + at, rest) - mean
                total.add_product(distance, distance)
        factors = [self._factor(total.value) for total in squares]
        with r.loop(length) as c:
            weight, bias = self.one("weight", c), self.one("bias", c)
            for at, mean, factor in zip(places, means, factors, strict=True):
                found = r.multiply_add((self.read(x + c * inner + at, rest) - mean) * factor, weight, bias)
                self.write(found, y + c * inner + at, rest)
        for word, values in (("means", means), ("factors", factors)):
            for at, value in zip(places, values, strict=True):
                r.store(value, r.pointer(word, FLOAT64) + line + at, self.mask(rest))


def gradient_routine(form: Form, target: Target) -> str:
    """Return the routine of the gradients of x, and of weight and bias, summed over the lines of each task.

    With d = x - mean, f = 1 / sqrt(var + eps) and g = gy * weight: gx = f * g - f * (mean of g) - d * f**3 * (mean of
    g * d); the others are the sums of gy * d * f and of gy.
    """
    return _Gradient(form, "layer_gradient", target, GRADIENT_POINTERS, ()).text()


class _Row:
    """One line of the gradient: where it stands, and its numbers."""

    def __init__(self, writer: _Gradient, line: Size) -> None:
        r = writer.r
        at = line * r.size("length")
        self.x, self.gy, self.gx = (r.pointer(word, writer.stored) + at for word in ("x", "gy", "gx"))
        self.mean, self.factor = writer.one("means", line), writer.one("factors", line)
        # The sums of g and of g * (x - mean).
        self.plain, self.products = writer.zeros(2)


class _Gradient(_Writer):
    def text(self) -> str:
        r = self.r
        run = self.form.kind == "run"
        with r.tasks() as task:
            if self.form.by_parameters:
                self._clear(task, 1 if run else r.target.lanes(8))
            if run:
                single = self.form.by_x and r.element == FLOAT32
                narrow = self._narrowed(task) if single else None
                first, count = self.rows(task)
                together = r.target.registers // REGISTERS_A_ROW
                whole = count // together * together
                with r.loop(whole, step=together) as k:
                    self._rows([first + k + i for i in range(together)], task, narrow)
                with r.loop(count - whole) as k:
                    self._rows([first + whole + k], task, narrow)
            else:
                start, line, count = self.pixels(task)
                arrays = [r.pointer(word, self.stored) + start for word in ("x", "gy", "gx")]
                self.vectors(count, TOGETHER_BACK, lambda at, rest: self._across(arrays, at, rest, line, task))
        return r.finish()

    def _clear(self, task: Size, lanes: int) -> None:
        """Begin the sums of a task."""
        r = self.r
        count = r.size("length") * (2 * lanes)
        where, zeros = r.pointer("sums", FLOAT64) + task * count, r.constant(0.0, FLOAT64)
        self.vectors(count, 1, lambda at, rest: r.store(zeros, where + at[0], self.mask(rest)))

    def _narrowed(self, task: Size) -> tuple[Pointer, Condition]:
        """Return the weights in float32, which are written behind all sums, and whether that serves them."""
        r = self.r
        length, unsafe = r.size("length"), r.count(0)
        # Tasks write the same numbers to places of their own.
        narrow = r.pointer("narrow", FLOAT32) + task * length

        def convert(places: list[Size], rest: Size | None) -> None:
            (at,), mask = places, self.mask(rest)
            weight = r.load(r.pointer("weight", FLOAT64) + at, mask)
            size = r.absolute(weight)
            safe = (size.less(ROOT) & size.greater(1 / ROOT)) | size.equals(0.0)
            with r.when(r.any(~safe)):
                unsafe.set(1)
            r.store(r.convert(weight, FLOAT32), narrow + at, mask)

        self.vectors(length, 1, convert)
        return narrow, unsafe.value.equals(0)

    def _ends(self, plain: Vector, products: Vector, factor: Vector) -> tuple[Vector, Vector]:
        """Return what is taken from f * g, and what times x - mean is, of the sums of g and of g * (x - mean)."""
        return plain / self.length() * factor, products / self.length() * factor * factor * factor

    def _rows(self, lines: list[Size], task: Size, narrow: tuple[Pointer, Condition] | None) -> None:
        """Do some lines: their sums and what they add to those of the task, and then, while near, their values.

        Weights and sums of the task are read once for all of them.
        """
        r = self.r
        rows, length = [_Row(self, line) for line in lines], r.size("length")
        sums = [r.pointer("sums", FLOAT64) + (task * 2 + i) * length for i in range(2)]

        def add(places: list[Size], rest: Size | None) -> None:
            (at,), mask = places, self.mask(rest)
            if len(rows) > 1:  # the processor guesses no lines that are read by turns
                for where in (one + at for row in rows for one in (row.x, row.gy)):
                    r.prefetch(where + length * len(rows))
            read = [(self.read(row.gy + at, rest), self.read(row.x + at, rest) - row.mean) for row in rows]
            if self.form.by_x:
                weight = r.load(r.pointer("weight", FLOAT64) + at, mask)
                for (gradient, distance), row in zip(read, rows, strict=True):
                    row.plain.add_product(gradient, weight)
                    row.products.add_product(gradient * weight, distance)
            if self.form.by_parameters:
                products, plain = (r.load(one + at, mask) for one in sums)
                for (gradient, distance), row in zip(read, rows, strict=True):
                    products = r.multiply_add(gradient, distance * row.factor, products)
                    plain = plain + gradient
                for value, where in zip((products, plain), sums, strict=True):
                    r.store(value, where + at, mask)

        self.vectors(length, 1, add)
        if not self.form.by_x:
            return
        bends = [self._bend(row) for row in rows]
        if narrow is None:
            self._finish(rows, bends, None)
            return
        safe = narrow[1]
        for bend in bends:
            few = r.shuffle(bend.slope, bend.slope, [0, 1])
            inside = few.less(ROOT) & few.greater(1 / ROOT) & bend.safe(r, together=True)
            safe = safe & ~r.any(~inside)
        with r.either(safe) as (single, double):
            with single:
                self._finish(rows, bends, narrow[0])
            with double:
                self._finish(rows, bends, None)

    def _bend(self, row: _Row) -> Bend:
        """Return the line through the values of a row, but for the weights, of its sums: see `_ends`."""
        r = self.r
        both = r.shuffle(r.sum(row.plain.value), r.sum(row.products.value), [0, r.lanes])
        means = both / r.spread(r.size("length"), FLOAT64, 2)
        plain, products = (r.shuffle(means, means, [i] * r.lanes) for i in range(2))
        steep = -(products * row.factor * row.factor * row.factor)
        return bend_of(r, row.mean, row.factor, steep, -(plain * row.factor))

    def _finish(self, rows: list[_Row], bends: list[Bend], narrow: Pointer | None) -> None:
        """Write the gradients of x: in float32 with weights in it, or without these in float64."""
        r = self.r

        def finish(places: list[Size], rest: Size | None) -> None:
            (at,), mask = places, self.mask(rest)
            weight = r.load((r.pointer("weight", FLOAT64) if narrow is None else narrow) + at, mask)
            for row, bend in zip(rows, bends, strict=True):
                x, gy = r.load(row.x + at, mask), r.load(row.gy + at, mask)
                found = bend.double(r, x, gy, weight) if narrow is None else bend.single(r, x, gy, weight)
                r.store(found, row.gx + at, mask)

        self.vectors(r.size("length"), 1, finish)

    def _write(
        self, steep: Vector, distance: Vector, factor: Vector, ends: Sequence[Vector], gx: Pointer, rest: Size | None
    ) -> None:
        r = self.r
        self.write(r.multiply_add(steep, factor, r.multiply_add(distance, -ends[1], -ends[0])), gx, rest)

    def _across(self, arrays: list[Pointer], places: list[Size], rest: Size | None, line: Size, task: Size) -> None:
        r = self.r
        x, gy, gx = arrays
        length, inner = r.size("length"), r.size("inner")
        means, factors = (
            [r.load(r.pointer(word, FLOAT64) + line + at, self.mask(rest)) for at in places]
            for word in ("means", "factors")
        )
        ends: list[tuple[Vector, Vector]] = []
        if self.form.by_x:
            plain, products = self.zeros(len(places)), self.zeros(len(places))
            with r.loop(length) as c:
                weight = self.one("weight", c)
                for at, mean, one, other in zip(places, means, plain, products, strict=True):
                    gradient = self.read(gy + c * inner + at, rest) * weight
                    one.set(one.value + gradient)
                    other.add_product(gradient, self.read(x + c * inner + at, rest) - mean)
            pairs = zip(plain, products, factors, strict=True)
            ends = [self._ends(one.value, other.value, factor) for one, other, factor in pairs]
        with r.loop(length) as c:
            sums: list[Vector] = []
            for v, (at, mean, factor) in enumerate(zip(places, means, factors, strict=True)):
                gradient = self.read(gy + c * inner + at, rest)
                distance = self.read(x + c * inner + at, rest) - mean
                if self.form.by_parameters:
                    here = [gradient * (distance * factor), gradient]
                    sums = here if not sums else [one + other for one, other in zip(sums, here, strict=True)]
                if self.form.by_x:
                    self._write(gradient * self.one("weight", c), distance, factor, ends[v], gx + c * inner + at, rest)
            for i, total in enumerate(sums):
                self._add(total, (task * 2 + i) * length + c)

    def _add(self, total: Vector, number: Size) -> None:
        """Add to the sums of one weight, which stay apart in as many lanes as a register holds."""
        r = self.r
        few = r.target.lanes(8)
        while total.lanes > few:
            half = total.lanes // 2
            total = r.shuffle(total, total, range(half)) + r.shuffle(total, total, range(half, 2 * half))
        where = r.pointer("sums", FLOAT64) + number * few
        r.store(r.load(where, lanes=few) + total, where)
