"""Gradients that take one pass over the values of every channel, in the tile language.

- "given": of a normalisation whose statistics are given, gx = gy * slope, and the sums of gy and of gy * (x - mean).
- "slopes": of prelu, gx = gy where x > 0 and slope * gy elsewhere, and the sum of x * gy over those others.

A task has whole channels: their planes are `length` values side by side, one in each image. Sums are in float64.
"""

from __future__ import annotations

from striderule.algorithms.direct.normalization_routine import UnitWriter
from striderule.algorithms.direct.normalization_units_routine import SIZES
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, FLOAT64, Routine, Size

GIVEN_POINTERS = ("x", "gy", "mean", "factor", "slope", "gx", "products", "plain")
# There is one slope, or one for each channel, `slope_step` apart.
SLOPES_POINTERS, SLOPES_NUMBERS = ("x", "gy", "slope", "gx", "products"), ("slope_step",)


def given_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine "given" as LLVM IR."""
    element = FLOAT64 if dtype == "float64" else FLOAT32
    return _Given(Routine(name, target, element, pointers=GIVEN_POINTERS, sizes=SIZES), dtype).text()


class _Given(UnitWriter):
    def _unit(self, unit: Size) -> None:
        r, channel = self.r, unit
        x, gy, gx = (r.pointer(word, self.stored) for word in ("x", "gy", "gx"))
        mean, factor, slope = (r.broadcast(r.pointer(word, FLOAT64) + channel) for word in ("mean", "factor", "slope"))
        plain, products = (r.register(r.constant(0.0, FLOAT64)) for _ in range(2))

        def add(at: Size, rest: Size | None) -> None:
            gradient = self.wide(gy + at, rest)
            plain.set(plain.value + gradient)
            products.add_product(gradient, self.wide(x + at, rest) - mean)
            found = r.convert(gradient * slope, self.stored)
            r.store(found, gx + at, None if rest is None else r.first_lanes(rest))

        self.values(channel * r.size("length"), r.size("images"), add)
        r.store_first(r.sum(plain.value), r.pointer("plain", FLOAT64) + channel)
        r.store_first(r.sum(products.value) * factor, r.pointer("products", FLOAT64) + channel)


def slopes_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine "slopes" as LLVM IR."""
    element = FLOAT64 if dtype == "float64" else FLOAT32
    r = Routine(name, target, element, pointers=SLOPES_POINTERS, sizes=(*SIZES, *SLOPES_NUMBERS))
    return _Slopes(r, dtype).text()


class _Slopes(UnitWriter):
    def _unit(self, unit: Size) -> None:
        r, channel = self.r, unit
        x, gy, gx = (r.pointer(word, self.stored) for word in ("x", "gy", "gx"))
        slope = r.broadcast(r.pointer("slope", self.stored) + channel * r.size("slope_step"))
        products = r.register(r.constant(0.0, FLOAT64))

        def add(at: Size, rest: Size | None) -> None:
            mask = None if rest is None else r.first_lanes(rest)
            value, gradient = r.load(x + at, mask), r.load(gy + at, mask)
            above = value.greater(0)
            r.store(r.select(above, gradient, slope * gradient), gx + at, mask)
            products.set(products.value + r.convert(r.select(above, gradient.like(0), value * gradient), FLOAT64))

        self.values(channel * r.size("length"), r.size("images"), add)
        r.store_first(r.sum(products.value), r.pointer("products", FLOAT64) + channel)
