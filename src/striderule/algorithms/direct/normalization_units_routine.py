"""A whole normalisation, and its whole gradient, in the tile language, unit by unit: what shares a mean and a variance.

A unit of batch normalisation is a channel of all images, one of group normalisation some channels of one image. With
d = x - mean and f = 1 / sqrt(var + eps) the result is y = d * f * weight + bias. With g = gy * weight its gradient is
gx = f * g - f * (mean of g) - d * f**3 * (mean of g * d), and there are the sums of gy and of gy * d * f of every
channel of a unit. A task has whole units: it reads them two or three times, from the second time on from a cache. Sums
are in float64, so that nothing overflows; see `normalization_bend`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from striderule.algorithms.direct.normalization_bend import bend_of, sums_of, write_bent
from striderule.algorithms.direct.normalization_routine import UnitWriter, in_double, in_single, slope_of
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, FLOAT64, Mask, Pointer, Routine, Size, Vector

POINTERS = ("x", "gy", "weight", "means", "factors", "gx", "plain", "products")
# What values of a unit are counted from, for their mean: one of its own where that is finite.
NORMALIZED_POINTERS = ("x", "starts", "weight", "bias", "y", "means", "squares")
# Units, those of a task, and after how many weights begin again; elements from one unit to the next. A unit has so many
# channels in so many planes, `image_step` elements apart, of `length` values; channels follow each other.
SIZES = ("units", "task_units", "weight_units", "unit_step", "channels", "images", "image_step", "length")


def units_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine as LLVM IR."""
    element = FLOAT64 if dtype == "float64" else FLOAT32
    return Gradient(Routine(name, target, element, pointers=POINTERS, sizes=SIZES), dtype).text()


def normalized_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine of the normalisation itself as LLVM IR."""
    element = FLOAT64 if dtype == "float64" else FLOAT32
    routine = Routine(name, target, element, pointers=NORMALIZED_POINTERS, sizes=SIZES, numbers=("eps",))
    return Normalized(routine, dtype).text()


class _Units(UnitWriter):
    def _values(self, channel: Size, body: Callable[[Size, Size | None], None]) -> None:
        """Write `body` for all vectors of a channel of a unit, told how many values the last of a plane has."""
        self.values(channel * self.r.size("length"), self.r.size("images"), body)


class Gradient(_Units):
    """The routine of a gradient."""

    # The type of the numbers of channels, and where the gradient of the result stands once its sums are made.
    numbers, kept = FLOAT64, "gy"

    def _unit(self, unit: Size) -> None:
        r = self.r
        start, channels = unit * r.size("unit_step"), r.size("channels")
        mean, factor = (r.broadcast(r.pointer(word, FLOAT64) + unit) for word in ("means", "factors"))
        weights = r.pointer("weight", self.numbers) + unit % r.size("weight_units") * channels
        x, gy, gx = (r.pointer(word, self.stored) + start for word in ("x", self.kept, "gx"))
        whole_plain, whole_products = (r.register(r.constant(0.0, FLOAT64)) for _ in range(2))
        with r.loop(channels) as c:
            plain, products = sums_of(self, x, partial(self.gradient, start), mean, partial(self._values, c))
            weight, at = r.convert(r.broadcast(weights + c), FLOAT64), unit * channels + c
            whole_plain.add_product(plain, weight)
            whole_products.add_product(products, weight)
            for word, value in (("plain", plain), ("products", products * factor)):
                r.store_first(r.convert(value, self.numbers), r.pointer(word, self.numbers) + at)
        both = r.shuffle(whole_plain.value, whole_products.value, [0, r.lanes])
        means = both / r.spread(channels * r.size("images") * r.size("length"), FLOAT64, 2)
        plain_mean, products_mean = (r.shuffle(means, means, [i] * r.lanes) for i in range(2))
        shift, steep = -(plain_mean * factor), -(products_mean * factor * factor * factor)
        with r.loop(channels) as c:
            bend = bend_of(r, mean, r.convert(r.broadcast(weights + c), FLOAT64) * factor, steep, shift)
            write_bent(self, bend, x, gy, gx, partial(self._values, c))

    def gradient(self, start: Size, at: Size, rest: Size | None) -> Vector:
        """Return values of the gradient of the result, in float64, where they are met first."""
        return self.wide(self.r.pointer("gy", self.stored) + start + at, rest)


class Normalized(_Units):
    """The routine of a normalisation."""

    def _unit(self, unit: Size) -> None:
        r = self.r
        start, channels = unit * r.size("unit_step"), r.size("channels")
        x = r.pointer("x", self.stored) + start
        count = r.spread(channels * r.size("images") * r.size("length"), FLOAT64)
        pivot = self.pivot(unit, x)
        mean = pivot + self._total(x, pivot, squared=False) / count
        squares = self._total(x, mean, squared=True)
        self.tell(unit, mean, squares, count)
        first = unit % r.size("weight_units") * channels
        with r.loop(channels) as c:
            weight, bias = (self.number(word, first + c) for word in ("weight", "bias"))
            slope = slope_of(r, mean, squares / count, weight, bias)
            with r.either(r.any(~slope.safe)) as (double, single):
                for form, where in ((in_double, double), (in_single, single)):
                    with where:
                        self._scaled(start, c, partial(form, r, slope=slope))

    def pivot(self, unit: Size, x: Pointer) -> Vector:  # noqa: ARG002 - `x` is where the values of the unit begin
        """Return what the values of a unit are counted from."""
        return self.r.broadcast(self.r.pointer("starts", FLOAT64) + unit)

    def number(self, word: str, at: Size) -> Vector:
        """Return a number of a channel, in every lane."""
        return self.r.broadcast(self.r.pointer(word, FLOAT64) + at)

    def tell(self, unit: Size, mean: Vector, squares: Vector, count: Vector) -> None:  # noqa: ARG002 - not all is told
        """Write the statistics of a unit of `count` values."""
        self.r.store_first(mean, self.r.pointer("means", FLOAT64) + unit)
        self.r.store_first(squares, self.r.pointer("squares", FLOAT64) + unit)

    def finished(self, values: Vector, at: Size, mask: Mask | None) -> Vector:  # noqa: ARG002 - nothing comes behind
        """Return what is written for normalised values."""
        return values

    def _scaled(self, start: Size, channel: Size, form: Callable[[Vector], Vector]) -> None:
        r = self.r
        x, y = (r.pointer(word, self.stored) + start for word in ("x", "y"))

        def write(at: Size, rest: Size | None) -> None:
            mask = None if rest is None else r.first_lanes(rest)
            r.store(self.finished(form(r.load(x + at, mask)), start + at, mask), y + at, mask)

        self._values(channel, write)

    def _total(self, x: Pointer, middle: Vector, *, squared: bool) -> Vector:
        """Return the sum of x - middle over a unit, or that of its squares, in every lane."""
        r = self.r
        total = r.register(r.constant(0.0, FLOAT64))

        def add(at: Size, rest: Size | None) -> None:
            apart = self.wide(x + at, rest) - middle
            if rest is not None:
                apart = r.select(r.first_lanes(rest), apart, r.constant(0.0, FLOAT64))
            if squared:
                total.add_product(apart, apart)
            else:
                total.set(total.value + apart)

        with r.loop(r.size("channels")) as c:
            self._values(c, add)
        return r.sum(total.value)
