"""What is computed with vectors, lane by lane and across lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striderule.codegen import ir, storage
from striderule.codegen.values import INT32, Condition, Element, Mask, Vector
from striderule.codegen.writer import Writer


class Arithmetic(Writer):
    """The part of `tile.Routine` that knows arithmetic."""

    def maximum(self, a: Vector, b: Vector) -> Vector:
        """Return the larger number in every lane; NaN where either is NaN, and of zeros of both signs any."""
        if a.element.kind != "f":
            return self.select(a.greater(b), a, b)
        return self._of("llvm.maximum", a, b, flags=("nsz",))

    def minimum(self, a: Vector, b: Vector) -> Vector:
        """Return the smaller number in every lane; NaN where either is NaN, and of zeros of both signs any."""
        if a.element.kind != "f":
            return self.select(a.less(b), a, b)
        return self._of("llvm.minimum", a, b, flags=("nsz",))

    def at_least(self, a: Vector, low: Vector | float) -> Vector:
        """Return a, or `low` where a is less. One instruction, which keeps NaN of a."""
        limit = low if isinstance(low, Vector) else a.like(low)
        return self.select(limit.greater(a), limit, a)

    def at_most(self, a: Vector, high: Vector | float) -> Vector:
        """Return a, or `high` where a is greater. One instruction, which keeps NaN of a."""
        limit = high if isinstance(high, Vector) else a.like(high)
        return self.select(limit.less(a), limit, a)

    def select(self, mask: Mask | Condition, a: Vector, b: Vector) -> Vector:
        """Return a where the mask holds, else b; with a condition one of them whole."""
        return Vector(self, self.build.select(mask.value, a.value, b.value), a.element)

    def absolute(self, a: Vector) -> Vector:
        """Return a without its sign."""
        if a.element.kind != "f":
            return self.select(a.less(0), -a, a)
        return self._of("llvm.fabs", a)

    def copy_sign(self, size: Vector, sign: Vector) -> Vector:
        """Return `size` with the sign of `sign`."""
        return self._of("llvm.copysign", size, sign)

    def square_root(self, a: Vector) -> Vector:
        """Return the square root of floats."""
        return self._of("llvm.sqrt", a)

    def scale(self, a: Vector, exponent: Vector) -> Vector:
        """Return floats times 2 to the power of whole floats, rounded once: for whole vectors of AVX-512 alone."""
        kind, lanes = a.element, a.lanes
        letter = "ps" if kind.itemsize == 4 else "pd"
        every = ir.constant(ir.integer(lanes), -1)
        arguments = [a.value, exponent.value, a.value, every, ir.constant(INT32.type, 4)]  # 4: rounded as everything is
        name = f"llvm.x86.avx512.mask.scalef.{letter}.512"
        return Vector(self, self.call(name, a.value.type, arguments), kind)

    def bits(self, a: Vector, element: Element) -> Vector:
        """Return the same bits as lanes of another element of the same size."""
        return Vector(self, self.build.bitcast(a.value, ir.vector(element.type, a.lanes)), element)

    def words(self, a: Vector, element: Element) -> Vector:
        """Return the same bits as fewer lanes of a larger element: the first of those that it holds is its lowest."""
        lanes = a.lanes * a.element.itemsize // element.itemsize
        return Vector(self, self.build.bitcast(a.value, ir.vector(element.type, lanes)), element)

    def nearest(self, a: Vector) -> Vector:
        """Return floats rounded to whole numbers, half to even; those that are whole already stay, as NaN does."""
        # Above 2**23 (2**52) all floats are whole; adding and taking that much away rounds the others.
        large = 2.0 ** (23 if a.element.itemsize == 4 else 52)
        size = self.absolute(a)
        return self.select(size.less(large), self.copy_sign(size + large - large, a), a)

    def convert(self, a: Vector, element: Element) -> Vector:
        """Return the numbers in another element.

        Integers become narrower by losing their upper bits; floats must fit the integer, and lose what is behind the
        point. float16 and bfloat16 come from and go to float32, rounded half to even.
        """
        build, before = self.build, a.element
        vector = ir.vector(element.type, a.lanes)
        if before == element or (before.kind in "iu" and element.kind in "iu" and before.itemsize == element.itemsize):
            return Vector(self, a.value, element)
        if "s" in (before.kind, element.kind):
            return storage.converted(self, a, element)
        if before.kind == "f" and element.kind == "f":
            change = build.fpext if element.itemsize > before.itemsize else build.fptrunc
        elif before.kind == "f":
            change = build.fptosi if element.kind == "i" else build.fptoui
        elif element.kind == "f":
            change = build.sitofp if before.kind == "i" else build.uitofp
        elif element.itemsize < before.itemsize:
            change = build.trunc
        else:
            change = build.sext if before.kind == "i" else build.zext
        return Vector(self, change(a.value, vector), element)

    def any(self, mask: Mask) -> Condition:
        """Return whether the mask holds in some lane."""
        bits = self.build.bitcast(mask.value, ir.integer(mask.value.type.count))
        return Condition(self, self.build.icmp_unsigned("!=", bits, ir.constant(bits.type, 0)))

    # Across lanes -----------------------------------------------------------------------------------------------------

    def shuffle(self, a: Vector, b: Vector, pattern: Sequence[int]) -> Vector:
        """Return the lanes that `pattern` names, those of b counted on behind those of a."""
        return Vector(self, self.build.shuffle_vector(a.value, b.value, pattern), a.element)

    def folded(self, a: Vector, combine: Any) -> Vector:
        """Return what `combine` makes of all lanes, in every lane: halves with halves, always in the same order."""
        half = a.lanes // 2
        while half:
            a = combine(a, self.shuffle(a, a, [i ^ half for i in range(a.lanes)]))
            half //= 2
        return a

    def sum(self, a: Vector) -> Vector:
        """Return the sum of all lanes, in every lane."""
        return self.folded(a, lambda one, other: one + other)

    def transpose(self, rows: Sequence[Vector]) -> list[Vector]:
        """Return the columns of a square of as many vectors as each has lanes."""
        square, half = list(rows), len(rows) // 2
        lanes = len(rows)
        while half:
            # Swap the off-diagonal blocks of `half` x `half` within blocks of twice that.
            for i in (i for i in range(lanes) if not i & half):
                a, b = square[i], square[i + half]
                square[i] = self.shuffle(a, b, [j if not j & half else lanes + j - half for j in range(lanes)])
                square[i + half] = self.shuffle(a, b, [j + half if not j & half else lanes + j for j in range(lanes)])
            half //= 2
        return square
