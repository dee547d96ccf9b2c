"""The numbers of an image filter: which types go in, in which type sums are formed, which type comes out.

The rules, in the order in which they are tried:

- image and kernel of integers or booleans: exact integers, int32 for operands of up to 16 bits, else int64. Nested
  lists are weak: they widen nothing. Where the kernel is so large that a sum might not fit int32, the result is int64.
- image of integers, kernel of floats: float32, float64 for integers of 32 and 64 bits.
- image of floats or complex numbers: NumPy's promotion; a kernel given as nested lists is weak.
- `dtype` has the last word on what comes out. A wider float is also computed wider.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.errors import InvalidArgument, InvalidType, UnprovenRange
from striderule.functional.door import array, float_of, is_integer, largest_magnitude, number

Array = npt.NDArray[Any]
DType = np.dtype[Any]

INT32_LIMIT = 2**31 - 1
INT64_LIMIT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Types:
    """`work` is the real type in which sums are formed, `final` the type of the result."""

    work: DType
    final: DType


def kernel_array(kernel: Any) -> tuple[Array, bool]:
    """Return the kernel as an array, and whether it is weak: nested lists or a number, which widen no type.

    Raises
    ------
    InvalidArgument
        If a tap is NaN or infinite.
    """
    taps = array(kernel, "kernel")
    if taps.dtype.kind in "fc" and not np.isfinite(taps).all():
        raise InvalidArgument("kernel must hold finite numbers, got NaN or infinity among its taps")
    return taps, not isinstance(kernel, np.ndarray | np.generic)


def fill_number(fill: Any, dtype: DType, *, normalize: bool) -> int | float | complex | None:
    """Return the value outside the image, or None where NaN is to mean "missing".

    Raises
    ------
    InvalidArgument
        If the image's type cannot hold the value.
    """
    value = number(fill, "fill")
    if normalize and np.isnan(value):
        return None
    if isinstance(value, complex) and dtype.kind != "c":
        if value.imag:
            raise InvalidArgument(f"fill={value} is complex, the image is {dtype}; pass a real fill or a complex image")
        value = value.real
    if dtype.kind in "biu":
        return _integer_fill(value, dtype)
    parts = (value.real, value.imag)
    largest = float(np.finfo(dtype).max)
    if any(math.isfinite(part) and abs(part) > largest for part in parts):
        raise InvalidArgument(f"fill={value} does not fit the image's type {dtype}, whose largest value is {largest}")
    return value


def _integer_fill(value: Any, dtype: DType) -> int:
    if not math.isfinite(value) or value != int(value):
        hint = " or nan='normalize', where a NaN outside counts as missing" if np.isnan(value) else ""
        raise InvalidArgument(
            f"fill={value} is not a value of an image of {dtype}; pass an integer, or image.astype(numpy.float32){hint}"
        )
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if not low <= value <= high:
        raise InvalidArgument(
            f"fill={value} does not fit the image's type {dtype}, which holds {low} to {high}; pass a value in that "
            "range or a wider image"
        )
    return int(value)


def choose_types(image: Array, taps: Array, *, weak: bool, fill: Any, asked: DType | None, normalized: bool) -> Types:
    """Return the types of a filter by the rules of this module.

    `normalized` results are quotients, so integers give floats there.

    Raises
    ------
    UnprovenRange
        If integer sums might not fit int64.
    InvalidType
        If a real `asked` would lose the imaginary part.
    """
    if is_integer(image.dtype, taps.dtype) and not normalized:
        work, natural = _integer_types(image, taps, weak, fill, asked)
    else:
        natural = _inexact_type(image.dtype, taps.dtype, weak)
        wide = natural if asked is None or asked.kind not in "fc" else np.result_type(natural, asked)
        work = _real_type(np.result_type(wide, np.float32))
    final = natural if asked is None else asked
    if natural.kind == "c" and final.kind != "c":
        raise InvalidType(
            f"dtype={final} would lose the imaginary part of a {natural} result; take .real or abs() of the result"
        )
    return Types(work, final)


def _integer_types(image: Array, taps: Array, weak: bool, fill: Any, asked: DType | None) -> tuple[DType, DType]:
    """Return (work, natural) of integer sums, proved to fit: every |sum| is at most sum |kernel| times max |image|."""
    pixel = max(1, largest_magnitude(image), abs(fill or 0))
    bound = pixel * max(1, sum(abs(int(tap)) for tap in taps.ravel().tolist()))
    small = image.dtype.itemsize <= 2 and (weak or taps.dtype.itemsize <= 2)
    if bound <= INT32_LIMIT:
        return np.dtype(np.int32), np.dtype(np.int32 if small else np.int64)
    if bound <= INT64_LIMIT:
        return np.dtype(np.int64), np.dtype(np.int64)
    if asked is not None and asked.kind in "fc":
        return np.dtype(np.float64), np.dtype(np.float64)
    raise UnprovenRange(
        f"sums of up to {bound} (largest pixel {pixel} times the sum of the kernel's magnitudes) might not fit int64; "
        "pass dtype=numpy.float64 for rounded sums, or smaller numbers"
    )


def _inexact_type(image: DType, taps: DType, weak: bool) -> DType:
    if image.kind in "biu":
        base = float_of(image)
        return np.result_type(base, np.complex64) if taps.kind == "c" else base
    if weak:
        return np.result_type(image, np.complex64) if taps.kind == "c" else image
    return np.result_type(image, taps)


def _real_type(dtype: DType) -> DType:
    """Return the type of the parts of a complex type; real types stay."""
    return np.dtype(np.float32 if dtype == np.complex64 else np.float64) if dtype.kind == "c" else dtype


def in_work_type(taps: Array, work: DType) -> Array:
    """Return the kernel, or both its parts, in the type of the arithmetic.

    Raises
    ------
    InvalidArgument
        If a tap is too large for that type.
    """
    target = work if taps.dtype.kind != "c" else np.result_type(work, np.complex64)
    with np.errstate(over="ignore"):
        cast = taps.astype(target)
    if cast.dtype.kind in "fc" and not np.isfinite(cast).all():
        raise InvalidArgument(
            f"kernel has taps beyond the range of {work}, in which this image is filtered; pass dtype=numpy.float64"
        )
    return cast


def mask_array(mask: Any, image: Array, channel_axis: int | None) -> Array:
    """Return the mask (True: valid) with the image's number of axes; it may leave the channel axis away.

    Raises
    ------
    InvalidType, InvalidArgument
        If it is not boolean, or its shape does not fit.
    """
    valid = array(mask, "mask")
    if valid.dtype.kind != "b":
        raise InvalidType(f"mask must be boolean, True where a pixel is valid, got {valid.dtype}; pass mask != 0")
    if channel_axis is not None:
        if valid.ndim == image.ndim - 1:
            valid = np.expand_dims(valid, channel_axis)
        one = tuple(1 if axis == channel_axis else n for axis, n in enumerate(image.shape))
        if valid.shape == one:
            return np.broadcast_to(valid, image.shape)
    if valid.shape != image.shape:
        way_out = "" if channel_axis is None else ", with or without the channel axis"
        raise InvalidArgument(f"mask must have the shape of the image {image.shape}{way_out}, got {np.shape(mask)}")
    return valid
