"""What gradients of normalisations do with the values of a channel, in the tile language: two sums, and then a line.

The sums of gy and of gy * (x - mean) are in float64. The line is slope * gy + steep * (x - mean) + shift: in float64 by
the definition, or in float32 where that errs by a few units in the last place of what is added up, in half the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from striderule.algorithms.direct.normalization_routine import SAFE
from striderule.codegen.tile import FLOAT32, FLOAT64, Mask, Pointer, Routine, Size, Vector

Line = Callable[[Routine, Vector, Vector], Vector]

# Writes a body for all vectors of a channel; see `PlaneWriter.values`.
Values = Callable[[Callable[[Size, Size | None], None]], None]
# Gives a vector of values, as float64, from where it begins and how many there are, if not all.
Read = Callable[[Size, Size | None], Vector]


class Wide(Protocol):
    """What writes a routine, and reads values as float64: `PlaneWriter`, for one."""

    r: Routine

    def wide(self, where: Pointer, rest: Size | None) -> Vector:
        """Return values as float64, zeros behind the rest."""


@dataclass(frozen=True, slots=True)
class Bend:
    """The numbers of one channel, in every lane of float64, or of a vector of channels; and what float32 takes.

    There the mean is `high`, its first digits, so that what is left of x is exact wherever x is close to it; the others
    go into `level`. `safe` says where that neither overflows nor vanishes before the result does. A routine of float64
    has no use for these.
    """

    mean: Vector
    slope: Vector
    steep: Vector
    shift: Vector
    high: Vector
    level: Vector

    def double(self, r: Routine, x: Vector, gy: Vector, weight: Vector | None = None) -> Vector:
        """Return the line through values of the routine's type by the definition, in float64; slope times weight."""
        x, gy = (r.convert(one, FLOAT64) for one in (x, gy))
        gy = gy if weight is None else gy * weight
        bent = r.multiply_add(x - self.mean, self.steep, self.shift)
        return r.convert(r.multiply_add(gy, self.slope, bent), r.element)

    def single(self, r: Routine, x: Vector, gy: Vector, weight: Vector | None = None) -> Vector:
        """Return the line through values in float32."""
        slope, steep, level = (r.convert(one, FLOAT32) for one in (self.slope, self.steep, self.level))
        slope = slope if weight is None else slope * weight
        return r.multiply_add(gy, slope, r.multiply_add(x - self.high, steep, level))

    def safe(self, r: Routine, *, together: bool) -> Mask:
        """Return which channels are safe in float32; of one channel, `together`, some lanes that say it."""
        factors, others = [self.slope, self.steep], [self.mean, self.level]
        if together:
            factors, others = ([r.shuffle(one, two, [0, r.lanes])] for one, two in (factors, others))
        factors, others = ([r.absolute(one) for one in some] for some in (factors, others))
        below = [one.less(SAFE) for one in (*factors, *others)]
        return reduce(r.both, below + [one.greater(1 / SAFE) | one.equals(0.0) for one in factors])


def bend_of(r: Routine, mean: Vector, slope: Vector, steep: Vector, shift: Vector) -> Bend:
    """Return the numbers of one channel, or of a vector of channels."""
    high = r.convert(mean, FLOAT32)
    level = shift - (mean - r.convert(high, FLOAT64)) * steep
    return Bend(mean, slope, steep, shift, high, level)


def write_bent(w: Wide, bend: Bend, x: Pointer, gy: Pointer, y: Pointer, values: Values) -> None:
    """Write the line for all values of one channel, which `values` goes over."""
    r = w.r

    def write(line: Line) -> None:
        def body(at: Size, rest: Size | None) -> None:
            mask = None if rest is None else r.first_lanes(rest)
            r.store(line(r, r.load(x + at, mask), r.load(gy + at, mask)), y + at, mask)

        values(body)

    if r.element == FLOAT64:
        write(bend.double)
        return
    with r.either(r.any(~bend.safe(r, together=True))) as (double, single):
        with double:
            write(bend.double)
        with single:
            write(bend.single)


def sums_of(w: Wide, x: Pointer, gy: Pointer | Read, mean: Vector, values: Values) -> tuple[Vector, Vector]:
    """Return the sums of gy and of gy * (x - mean) of one channel, in every lane of float64.

    gy may be what gives its values in that type.

    Of float32 the second is that of gy * x, whose products are exact, less the mean times the first: what this loses of
    float64, 2^-53 of the mean, is less than float32 holds of x.
    """
    r = w.r
    plain, products = (r.register(r.constant(0.0, FLOAT64)) for _ in range(2))
    later = r.element != FLOAT64

    def add(at: Size, rest: Size | None) -> None:
        gradient = w.wide(gy + at, rest) if isinstance(gy, Pointer) else gy(at, rest)
        value = w.wide(x + at, rest)
        plain.set(plain.value + gradient)
        products.add_product(gradient, value if later else value - mean)

    values(add)
    total, found = r.sum(plain.value), r.sum(products.value)
    return total, r.multiply_add(total, -mean, found) if later else found
