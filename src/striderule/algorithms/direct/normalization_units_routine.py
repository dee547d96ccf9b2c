"""The whole gradient of a normalisation in the tile language, unit by unit: what shares a mean and a variance.

A unit of batch normalisation is a channel of all images, one of group normalisation some channels of one image. With
d = x - mean, f = 1 / sqrt(var + eps) and g = gy * weight: gx = f * g - f * (mean of g) - d * f**3 * (mean of g * d),
and of every channel of a unit the sums of gy and of gy * d * f. A task has whole units: it reads them twice, the second
time from a cache. All arithmetic is in float64: memory takes longer, and nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT32, FLOAT64, Pointer, Routine, Size, Vector

POINTERS = ("x", "gy", "weight", "means", "factors", "gx", "plain", "products")
# Units, those of a task, and after how many weights begin again; elements from one unit to the next. A unit has so many
# channels in so many planes, `image_step` elements apart, of `length` values; channels follow each other.
SIZES = ("units", "task_units", "weight_units", "unit_step", "channels", "images", "image_step", "length")


def units_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine as LLVM IR."""
    element = FLOAT64 if dtype == "float64" else FLOAT32
    return _Units(Routine(name, target, element, pointers=POINTERS, sizes=SIZES), dtype).text()


class _Units:
    def __init__(self, r: Routine, dtype: str) -> None:
        self.r, self.stored = r, ELEMENTS[dtype]

    def text(self) -> str:
        r = self.r
        with r.tasks() as task:
            first = task * r.size("task_units")
            with r.loop((r.size("units") - first).smaller(r.size("task_units"))) as number:
                self._unit(first + number)
        return r.finish()

    def _unit(self, unit: Size) -> None:
        r = self.r
        start, channels = unit * r.size("unit_step"), r.size("channels")
        mean, factor = (r.broadcast(r.pointer(word, FLOAT64) + unit) for word in ("means", "factors"))
        weights = r.pointer("weight", FLOAT64) + unit % r.size("weight_units") * channels
        x, gy, gx = (r.pointer(word, self.stored) + start for word in ("x", "gy", "gx"))
        whole_plain, whole_products = (r.register(r.constant(0.0, FLOAT64)) for _ in range(2))
        with r.loop(channels) as c:
            plain, products = self._sums(x, gy, c, mean)
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
            slope = r.broadcast(weights + c) * factor

            def write(at: Size, rest: Size | None, slope: Vector = slope) -> None:
                bent = r.multiply_add(self._wide(x + at, rest) - mean, steep, shift)
                found = r.convert(r.multiply_add(self._wide(gy + at, rest), slope, bent), self.stored)
                r.store(found, gx + at, None if rest is None else r.first_lanes(rest))

            self._values(c, write)

    def _sums(self, x: Pointer, gy: Pointer, channel: Size, mean: Vector) -> tuple[Vector, Vector]:
        """Return the sums of gy and of gy * (x - mean) of one channel, in every lane."""
        r = self.r
        plain, products = (r.register(r.constant(0.0, FLOAT64)) for _ in range(2))

        def add(at: Size, rest: Size | None) -> None:
            gradient = self._wide(gy + at, rest)
            plain.set(plain.value + gradient)
            products.add_product(gradient, self._wide(x + at, rest) - mean)

        self._values(channel, add)
        return r.sum(plain.value), r.sum(products.value)

    def _wide(self, where: Pointer, rest: Size | None) -> Vector:
        """Return values as float64, zeros behind the rest."""
        r = self.r
        return r.convert(r.load(where, None if rest is None else r.first_lanes(rest)), FLOAT64)

    def _values(self, channel: Size, body: Callable[[Size, Size | None], None]) -> None:
        """Write `body` for all vectors of a channel of a unit, told how many values the last of a plane has."""
        r = self.r
        length = r.size("length")
        whole = length // r.lanes * r.lanes
        with r.loop(r.size("images")) as image:
            at = image * r.size("image_step") + channel * length
            with r.loop(whole, step=r.lanes) as i:
                body(at + i, None)
            with r.when(length.above(whole)):
                body(at + whole, length - whole)
