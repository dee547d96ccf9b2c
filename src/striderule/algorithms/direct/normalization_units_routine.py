"""A whole normalisation, and its whole gradient, in the tile language, unit by unit: what shares a mean and a variance.

A unit of batch normalisation is a channel of all images, one of group normalisation some channels of one image. With
d = x - mean and f = 1 / sqrt(var + eps) the result is y = d * f * weight + bias. With g = gy * weight its gradient is
gx = f * g - f * (mean of g) - d * f**3 * (mean of g * d), and there are the sums of gy and of gy * d * f of every
channel of a unit. A task has whole units: it reads them two or three times, from the second time on from a cache. Sums
are in float64, so that nothing overflows; see `normalization_bend`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

from striderule.algorithms.direct.normalization_bend import bend_of, sums_of, write_bent
from striderule.algorithms.direct.normalization_routine import PlaneWriter, in_double, in_single, slope_of
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, FLOAT64, Pointer, Routine, Size, Vector

POINTERS = ("x", "gy", "weight", "means", "factors", "gx", "plain", "products")
# What values of a unit are counted from, for their mean: one of its own where that is finite.
NORMALIZED_POINTERS = ("x", "starts", "weight", "bias", "y", "means", "squares")
# Units, those of a task, and after how many weights begin again; elements from one unit to the next. A unit has so many
# channels in so many planes, `image_step` elements apart, of `length` values; channels follow each other.
SIZES = ("units", "task_units", "weight_units", "unit_step", "channels", "images", "image_step", "length")


def units_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine as LLVM IR."""
    element = FLOAT64 if dtype == "float64" else FLOAT32
    return _Gradient(Routine(name, target, element, pointers=POINTERS, sizes=SIZES), dtype).text()


def normalized_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine of the normalisation itself as LLVM IR."""
    element = FLOAT64 if dtype == "float64" else FLOAT32
    routine = Routine(name, target, element, pointers=NORMALIZED_POINTERS, sizes=SIZES, numbers=("eps",))
    return _Normalized(routine, dtype).text()


class _Units(PlaneWriter):
    @abstractmethod
    def _unit(self, unit: Size) -> None:
        """Write what is done for one unit."""

    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            first = task * r.size("task_units")
            with r.loop((r.size("units") - first).smaller(r.size("task_units"))) as number:
                self._unit(first + number)
        return r.finish()

    def _values(self, channel: Size, body: Callable[[Size, Size | None], None]) -> None:
        """Write `body` for all vectors of a channel of a unit, told how many values the last of a plane has."""
        self.values(channel * self.r.size("length"), self.r.size("images"), body)


class _Gradient(_Units):
    def _unit(self, unit: Size) -> None:
        r = self.r
        start, channels = unit * r.size("unit_step"), r.size("channels")
        mean, factor = (r.broadcast(r.pointer(word, FLOAT64) + unit) for word in ("means", "factors"))
        weights = r.pointer("weight", FLOAT64) + unit % r.size("weight_units") * channels
        x, gy, gx = (r.pointer(word, self.stored) + start for word in ("x", "gy", "gx"))
        whole_plain, whole_products = (r.register(r.constant(0.0, FLOAT64)) for _ in range(2))
        with r.loop(channels) as c:
            plain, products = sums_of(self, x, gy, mean, partial(self._values, c))
            weight, at = r.broadcast(weights + c), unit * channels + c
            whole_plain.add_product(plain, weight)
            whole_products.add_product(products, weight)
            r.store_first(plain, r.pointer("plain", FLOAT64) + at)
            r.store_first(products * factor, r.pointer("products", FLOAT64) + at)
        both = r.shuffle(whole_plain.value, whole_products.value, [0, r.lanes])
        means = both / r.spread(channels * r.size("images") * r.size("length"), FLOAT64, 2)
        plain_mean, products_mean = (r.shuffle(means, means, [i] * r.lanes) for i in range(2))
        shift, steep = -(plain_mean * factor), -(products_mean * factor * factor * factor)
        with r.loop(channels) as c:
            bend = bend_of(r, mean, r.broadcast(weights + c) * factor, steep, shift)
            write_bent(self, bend, x, gy, gx, partial(self._values, c))


class _Normalized(_Units):
    def _unit(self, unit: Size) -> None:
        r = self.r
        start, channels = unit * r.size("unit_step"), r.size("channels")
        x, y = r.pointer("x", self.stored) + start, r.pointer("y", self.stored) + start
        count = r.spread(channels * r.size("images") * r.size("length"), FLOAT64)
        pivot = r.broadcast(r.pointer("starts", FLOAT64) + unit)
        mean = pivot + self._total(x, pivot, squared=False) / count
        squares = self._total(x, mean, squared=True)
        r.store_first(mean, r.pointer("means", FLOAT64) + unit)
        r.store_first(squares, r.pointer("squares", FLOAT64) + unit)
        first = unit % r.size("weight_units") * channels
        with r.loop(channels) as c:
            weight, bias = (r.broadcast(r.pointer(word, FLOAT64) + first + c) for word in ("weight", "bias"))
            slope = slope_of(r, mean, squares / count, weight, bias)
            with r.either(r.any(~slope.safe)) as (double, single):
                for form, where in ((in_double, double), (in_single, single)):
                    with where:
                        self._scaled(x, y, c, partial(form, r, slope=slope))

    def _scaled(self, x: Pointer, y: Pointer, channel: Size, form: Callable[[Vector], Vector]) -> None:
        r = self.r

        def write(at: Size, rest: Size | None) -> None:
            mask = None if rest is None else r.first_lanes(rest)
            r.store(form(r.load(x + at, mask)), y + at, mask)

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
