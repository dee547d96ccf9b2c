"""Dot-product instructions: each lane of 32 bits holds a *word* of two or four narrow numbers, and adds their products.

    total + sum over i of a[i] * b[i]        i runs over the numbers of a lane's words

- ``dot8``: four bytes, those of a without a sign, those of b with one; the sum is an int32 (AVX512-VNNI, AVX-VNNI).
- ``dot16``: two int16, both with a sign; the sum is an int32 (SSE2, AVX2, AVX-512). Never the bytes of vpmaddubsw,
  whose sums of two saturate.
- ``bfloat16``: two bfloat16; the sum is a float32 (AVX512-BF16).

A sum of integers is right modulo 2**32, whatever comes between, so it is right if it fits. The instruction of bfloat16
takes numbers below 2**-126 for zero, rounds half to even whatever the mode, and rounds after each of the two products.

Where the processor has no such instruction the same is written in plain vectors: exactly the same integers, and for
bfloat16 the same but for tiny numbers. So whatever stands on these dots can be tested on every target.
"""

from __future__ import annotations

from typing import Any

from striderule.codegen import ir
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, INT16, INT32, UINT32, Element, Routine, Vector

NUMBERS = {"dot8": 4, "dot16": 2, "bfloat16": 2}
"""How many numbers a word holds."""

SUMS: dict[str, Element] = {"dot8": INT32, "dot16": INT32, "bfloat16": FLOAT32}
"""The element of the sums, and of vectors of words, too: what the bits mean is known here alone."""


def is_native(unit: str, target: Target) -> bool:
    """Tell whether a target has the instruction.

    >>> from striderule.codegen.target import named
    >>> is_native("dot16", named("sse2"))
    True
    """
    return unit in target.units


def dot(r: Routine, unit: str, total: Vector, a: Vector, b: Vector) -> Vector:
    """Return total + the sum of the products of the words' numbers, in vectors of the lanes of the routine."""
    if is_native(unit, r.target) and a.lanes == r.target.lanes(4):
        return _NATIVE[unit](r, total, a, b)
    return _PLAIN[unit](r, total, a, b)


def _as(r: Routine, vector: Vector, number: Any, count: int) -> Any:
    """Return the bits of a vector as `count` numbers of LLVM's type."""
    return r.build.bitcast(vector.value, ir.vector(number, count))


def _dot8(r: Routine, total: Vector, a: Vector, b: Vector) -> Vector:
    name = f"llvm.x86.avx512.vpdpbusd.{8 * r.target.vector_bytes}"
    return Vector(r, r.call(name, total.value.type, [total.value, a.value, b.value]), INT32)


def _dot16(r: Routine, total: Vector, a: Vector, b: Vector) -> Vector:
    names = {64: "llvm.x86.avx512.pmaddw.d.512", 32: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.sse2.pmadd.wd"}
    pair = [_as(r, one, INT16.type, 2 * one.lanes) for one in (a, b)]
    return total + Vector(r, r.call(names[r.target.vector_bytes], total.value.type, pair), INT32)


def _bfloat16(r: Routine, total: Vector, a: Vector, b: Vector) -> Vector:
    pair = [_as(r, one, ir.BFLOAT, 2 * one.lanes) for one in (a, b)]
    name = f"llvm.x86.avx512bf16.dpbf16ps.{8 * r.target.vector_bytes}"
    return Vector(r, r.call(name, total.value.type, [total.value, *pair]), FLOAT32)


def _plain8(r: Routine, total: Vector, a: Vector, b: Vector) -> Vector:
    unsigned = r.bits(a, UINT32)
    for i in range(4):
        low = r.bits((unsigned >> 8 * i) & 0xFF, INT32)
        total = total + low * ((b << (24 - 8 * i)) >> 24)
    return total


def _plain16(_: Routine, total: Vector, a: Vector, b: Vector) -> Vector:
    low = ((a << 16) >> 16) * ((b << 16) >> 16)
    return total + low + (a >> 16) * (b >> 16)


def _plain_bfloat16(r: Routine, total: Vector, a: Vector, b: Vector) -> Vector:
    # A bfloat16 is the upper half of a float32. The odd ones are added first, as the instruction does.
    words = [r.bits(one, UINT32) for one in (a, b)]
    odd, other = (r.bits(word & 0xFFFF0000, FLOAT32) for word in words)
    even, next_to_it = (r.bits(word << 16, FLOAT32) for word in words)
    return r.multiply_add(even, next_to_it, r.multiply_add(odd, other, total))


_NATIVE = {"dot8": _dot8, "dot16": _dot16, "bfloat16": _bfloat16}
_PLAIN = {"dot8": _plain8, "dot16": _plain16, "bfloat16": _plain_bfloat16}
