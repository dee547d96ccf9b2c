"""What becomes of sums: lengths and directions of gradients, rounding half to even, saturation, and the store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from striderule.algorithms.casting import limits
from striderule.algorithms.stencil.structure import Structure
from striderule.codegen import vmath
from striderule.codegen.tile import BOOL, ELEMENTS, INT32, INT64, Mask, Pointer, Routine, Size, Vector

# Beyond these squares of float32 and float64, or sums of a few, might not be normal numbers: powers of two.
_LARGE = {4: 2.0**60, 8: 2.0**500}


class Storing:
    """Writes how sums are finished and stored."""

    def __init__(self, r: Routine, structure: Structure) -> None:
        self.r, self.s = r, structure
        self.final = ELEMENTS[structure.final]
        self.room = None if structure.side_by_side else r.scratch(r.lanes, self.final)

    def store(self, sums: Sequence[Vector], y: Pointer, count: Size, mask: Mask | None) -> None:
        """Store the sums of all kernels of some outputs, of which `count` exist, from y on."""
        for number, value in enumerate(self.results(sums)):
            place = y.skip(self.r.entry(self.r.table("results"), number)) if number else y
            if self.s.refuses:
                self.refuse(value, mask)
            made = self.finished(value)
            if self.s.streamed and mask is None:
                self.r.stream(made, place)
            elif self.room is None:
                self.r.store(made, place, mask)
            else:
                self.scatter(made, self.room, place, count)

    def results(self, sums: Sequence[Vector]) -> list[Vector]:
        """Return what is written of the sums of all kernels."""
        found: list[Vector] = []
        for word in self.s.results:
            if word == "length":
                found.append(self.length(sums))
            elif word == "direction":  # of the second axis' derivative to the right, and of the first's down
                found.append(vmath.arctan2(self.r, sums[0], sums[1]))
            else:
                found.extend(sums)
        return found

    def scatter(self, vector: Vector, room: Pointer, y: Pointer, count: Size) -> None:
        """Write lanes to places apart."""
        r = self.r
        r.store(vector, room)
        with r.loop(count.smaller(vector.lanes)) as i:
            r.store(r.load(room + i, lanes=1), y.skip(i * r.size("y_line")))

    def length(self, sums: Sequence[Vector]) -> Vector:
        """Return the root of the sum of squares; floats that might overflow or vanish on the way are scaled."""
        r = self.r
        if ELEMENTS[self.s.source].kind != "f":
            return r.square_root(
                reduce(lambda total, one: r.multiply_add(one, one, total), sums[1:], sums[0] * sums[0])
            )
        sizes = [r.absolute(one) for one in sums]
        most = reduce(r.at_least, sizes)
        large = _LARGE[r.element.itemsize]
        scale = r.select(most.less(1 / large), most.like(large), most.like(1.0))
        scale = r.select(most.greater(large), most.like(1 / large), scale)
        back = r.select(most.less(1 / large), most.like(1 / large), most.like(1.0))
        back = r.select(most.greater(large), most.like(large), back)
        scaled = [one * scale for one in sizes]
        squares = reduce(lambda total, one: r.multiply_add(one, one, total), scaled[1:], scaled[0] * scaled[0])
        return r.square_root(squares) * back

    def refuse(self, value: Vector, mask: Mask | None) -> None:
        """Tell the caller of a NaN."""
        r = self.r
        wrong = value.is_nan() if mask is None else value.is_nan() & mask
        with r.when(r.any(wrong)):
            r.store(r.constant(1, INT64, 1), r.table("status"))

    def finished(self, value: Vector) -> Vector:
        """Return sums in the type of the result."""
        r, final = self.r, self.final
        if value.element == final:
            return value
        if final.kind not in "iu":
            return r.convert(value, final)
        low, high = limits(np.dtype(self.s.final))
        if value.element.kind == "f":
            return self.rounded(value, low, high)
        if self.s.overflow == "wrap":
            return r.convert(value & 1 if final == BOOL else value, final)
        own_low, own_high = limits(np.dtype(value.element.name))
        if low > own_low:
            value = r.at_least(value, low)
        if high < own_high:
            value = r.at_most(value, high)
        return r.convert(value, final)

    def rounded(self, value: Vector, low: int, high: int) -> Vector:
        """Return floats as the nearest integers, half to even, and what is beyond the type as its limits."""
        r, final, size = self.r, self.final, value.element.itemsize
        if final.itemsize <= 2:
            inside = r.at_most(r.at_least(value, low), high)
            # Added to so large a number, nothing is left behind the point; the lowest bits are those of the integer.
            bits = r.bits(inside + (1.5 * 2.0**23 if size == 4 else 1.5 * 2.0**52), INT32 if size == 4 else INT64)
            return r.convert(bits & 1 if final == BOOL else bits, final)
        whole = r.nearest(value)
        too_high, too_low = whole.greater_equal(float(high + 1)), whole.less(float(low))
        inside = r.convert(r.select(too_high | too_low | whole.is_nan(), whole.like(0), whole), final)
        inside = r.select(too_high, inside.like(high), inside)
        return r.select(too_low, inside.like(low), inside)
