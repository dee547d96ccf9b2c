"""The floats of 16 bits, which are only stored: to float32 and back, in integer arithmetic that every target has.

bfloat16 is the upper half of a float32. float16 has 5 bits of exponent and 10 of fraction (IEEE 754-2019, binary16):
moved into the places of a float32 its exponent is off by 127 - 15 = 112, which a multiplication by 2**112 mends, for
the denormal numbers too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from striderule.codegen.values import BFLOAT16, FLOAT32, UINT16, UINT32, Element, Vector

if TYPE_CHECKING:
    from striderule.codegen.arithmetic import Arithmetic

_INFINITY = 0x7F800000


def converted(r: Arithmetic, a: Vector, element: Element) -> Vector:
    """Return float32 from a stored float, or the stored float nearest to a float32 (half to even)."""
    if a.element.kind == "s":
        stored = r.convert(Vector(r, a.value, UINT16), UINT32)
        wide = r.bits(stored << 16, FLOAT32) if a.element == BFLOAT16 else _from_half(r, stored)
        return r.convert(wide, element)
    single = r.convert(a, FLOAT32)
    stored = _to_bfloat(r, single) if element == BFLOAT16 else _to_half(r, single)
    return Vector(r, r.convert(stored, UINT16).value, element)


def _from_half(r: Arithmetic, stored: Vector) -> Vector:
    size = (stored & 0x7FFF) << 13
    number = r.bits(r.bits(size, FLOAT32) * 2.0**112, UINT32)
    # An exponent of all ones is infinity or NaN, here as there.
    special = (size & 0x0F800000).equals(0x0F800000)
    number = r.select(special, size | _INFINITY, number)
    return r.bits(number | ((stored & 0x8000) << 16), FLOAT32)


def _to_half(r: Arithmetic, single: Vector) -> Vector:
    bits = r.bits(single, UINT32)
    sign, size = (bits >> 16) & 0x8000, bits & 0x7FFFFFFF
    # Rounding: half of the last place kept, less one where that place is even; a carry moves on into the exponent.
    normal = (size + 0xFFF + ((size >> 13) & 1) - (112 << 23)) >> 13
    # Below 2**-14 the last place is 2**-24: adding 0.5, whose last place that is, rounds.
    small = r.bits(r.bits(size, FLOAT32) + 0.5, UINT32) - 0x3F000000
    half = r.select(size.less(113 << 23), small, normal)
    half = r.select(size.greater_equal(0x477FF000), half.like(0x7C00), half)  # 65520 and more
    # NaN keeps the upper bits of what it carries, and becomes quiet.
    half = r.select(size.greater(_INFINITY), ((size >> 13) & 0x3FF) | 0x7E00, half)
    return half | sign


def _to_bfloat(r: Arithmetic, single: Vector) -> Vector:
    bits = r.bits(single, UINT32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return r.select(single.is_nan(), (bits >> 16) | 0x40, rounded)
