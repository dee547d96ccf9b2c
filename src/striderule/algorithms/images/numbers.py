"""Pixels on their way from the type in which they stand in memory to that of the arithmetic, and back, in registers."""

from __future__ import annotations

from striderule.codegen.tile import (
    FLOAT32,
    INT32,
    INT64,
    Element,
    Mask,
    Pointer,
    Routine,
    Vector,
)


def loaded(r: Routine, where: Pointer, work: Element, lanes: int, mask: Mask | None = None) -> Vector:
    """Return the pixels at `where` as numbers of `work`."""
    return r.convert(r.load(where, mask, lanes=lanes), work)


def limits(element: Element) -> tuple[float, float]:
    """Return the smallest and the largest number of an integer element.

    >>> limits(INT32)
    (-2147483648.0, 2147483647.0)
    """
    bits = 8 * element.itemsize
    return (0.0, 2.0**bits - 1) if element.kind == "u" else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


def fits(work: Element, result: Element) -> bool:
    """Tell whether `narrowed` knows the way from `work` to `result`."""
    if result.name == "bool":
        return False
    return result.kind in "fs" or result.itemsize <= (2 if work == FLOAT32 else 4)


def narrowed(r: Routine, value: Vector, result: Element, *, whole: bool = False, inside: bool = False) -> Vector:
    """Return floats in the type of the result: integers are rounded half to even and saturated, and know no NaN.

    `whole` says that they are whole numbers that the result holds, `inside` that it holds them once they are rounded.

    Adding 1.5 * 2**23 (2**52 for float64) to a small number leaves its nearest whole number, half to even, in the low
    bits of the sum: its last place is then one.
    """
    work = value.element
    if result == work:
        return value
    if result.kind in "fs" or whole:
        return r.convert(value, result)
    limited = value
    if not inside:
        low, high = limits(result)
        limited = r.at_most(r.at_least(value, low), high)
    bits, magic = (INT32, 1.5 * 2.0**23) if work == FLOAT32 else (INT64, 1.5 * 2.0**52)
    return r.convert(r.bits(limited + magic, bits), result)
