"""Local response normalisation in the tile language.

y[c] = x[c] / (k + share * sum of x[near]**2 over near from c - size // 2 to c + (size - 1) // 2) ** beta

All arithmetic is in float64: squares of large float32 numbers do not overflow, and results are rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from striderule.algorithms.direct.native import followed
from striderule.codegen import vmath
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, Mask, Pointer, Routine, Size, Vector

Kind = Literal["run", "steps", "across"]

POINTERS = ("x", "y", "walk")
# The steps of a walk are in x and y, in bytes.
# A line of `length` values, `x_step` and `y_step` bytes apart, is cut into `blocks` of `block`; the channels of a
# line are `x_channel` and `y_channel` bytes apart. Across, the line is one of pixels, whose channels follow each other.
SIZES = (
    "walks", "length", "x_step", "y_step", "block", "blocks", "channels", "x_channel", "y_channel", "before", "after",
)  # fmt: skip
NUMBERS = ("k", "share", "beta")
# base ** beta, by square roots where they say it.
POWERS: dict[float, Callable[[Routine, Vector], Vector]] = {
    1.0: lambda _, base: base,
    0.5: lambda r, base: r.square_root(base),
    0.75: lambda r, base: r.square_root(base) * r.square_root(r.square_root(base)),
}


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: the type of the values, how lines stand, the exponent if it is one of `POWERS`."""

    dtype: str
    kind: Kind
    power: float | None

    @property
    def name(self) -> str:
        """What the routine is called."""
        power = "any" if self.power is None else str(self.power).replace(".", "_")
        return f"response_{self.dtype}_{self.kind}_{power}"


def response_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR. A task is one block of one line."""
    return _Writer(form, target).text()


class _Writer:
    def __init__(self, form: Form, target: Target) -> None:
        self.form, self.stored = form, ELEMENTS[form.dtype]
        self.r = Routine(form.name, target, FLOAT64, pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)

    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            first = task % r.size("blocks") * r.size("block")
            starts = first * r.size("x_step"), first * r.size("y_step")
            places = followed(r, task // r.size("blocks"), *starts)
            source, result = (r.pointer(word, self.stored).skip(at) for word, at in zip("xy", places, strict=True))
            count = (r.size("length") - first).smaller(r.size("block"))
            if self.form.kind == "across":
                with r.loop(count) as k:
                    self._pixel(source.skip(k * r.size("x_step")), result.skip(k * r.size("y_step")))
            else:
                with r.loop(r.size("channels")) as c:
                    self._channel(source, result, c, count)
        return r.finish()

    def _channel(self, x: Pointer, y: Pointer, channel: Size, count: Size) -> None:
        """Do one channel of a block of a line."""
        r = self.r
        first = (channel - r.size("before")).larger(0)
        last = (channel + r.size("after")).smaller(r.size("channels") - 1)
        here, result = x.skip(channel * r.size("x_channel")), y.skip(channel * r.size("y_channel"))

        def body(at: Size, rest: Size | None) -> None:
            total = r.register(r.constant(0.0))
            with r.loop(last - first + 1) as i:
                value = self._read(x.skip((first + i) * r.size("x_channel")), at, rest)
                total.add_product(value, value)
            self._write(self._quotient(self._read(here, at, rest), total.value), result, at, rest)

        self._vectors(count, body)

    def _pixel(self, x: Pointer, y: Pointer) -> None:
        """Do all channels of one pixel: the neighbours of a vector are the vectors that begin around it."""
        r = self.r
        channels = r.size("channels")

        def body(at: Size, rest: Size | None) -> None:
            total = r.register(r.constant(0.0))
            # Vectors that would lie outside altogether have nothing to add.
            first = (at - r.size("before")).larger(1 - r.lanes)
            last = (at + r.size("after")).smaller(channels - 1)
            with r.loop(last - first + 1) as i:
                near = first + i
                mask = r.lanes_from(0 - near) & r.first_lanes(channels - near)
                value = r.convert(r.load(x + near, mask), FLOAT64)
                total.add_product(value, value)
            self._write(self._quotient(self._read(x, at, rest), total.value), y, at, rest)

        self._vectors(channels, body)

    def _quotient(self, value: Vector, total: Vector) -> Vector:
        r = self.r
        # Zero is added so that no zero is negative, which roots would keep.
        base = r.number("k") + r.number("share") * total + 0.0
        if self.form.power is None:
            return value / vmath.exp(r, vmath.log(r, base) * r.number("beta"))
        return value / POWERS[self.form.power](r, base)

    def _vectors(self, count: Size, body: Callable[[Size, Size | None], None]) -> None:
        r = self.r
        whole = count // r.lanes * r.lanes
        with r.loop(whole, step=r.lanes) as i:
            body(i, None)
        with r.when(count.above(whole)):
            body(whole, count - whole)

    def _mask(self, rest: Size | None) -> Mask | None:
        return None if rest is None else self.r.first_lanes(rest)

    def _read(self, x: Pointer, at: Size, rest: Size | None) -> Vector:
        r = self.r
        if self.form.kind != "steps":
            return r.convert(r.load(x + at, self._mask(rest)), FLOAT64)
        step = r.size("x_step")
        return r.convert(r.gather(x.skip(at * step), step // self.stored.itemsize, self._all(rest)), FLOAT64)

    def _write(self, value: Vector, y: Pointer, at: Size, rest: Size | None) -> None:
        r = self.r
        if self.stored.kind == "s":  # by way of float32, as the definition is
            value = r.convert(value, ELEMENTS["float32"])
        stored = r.convert(value, self.stored)
        if self.form.kind != "steps":
            r.store(stored, y + at, self._mask(rest))
        else:
            step = r.size("y_step")
            r.scatter(stored, y.skip(at * step), step // self.stored.itemsize, self._all(rest))

    def _all(self, rest: Size | None) -> Size:
        return self.r.size("length") * 0 + self.r.lanes if rest is None else rest
