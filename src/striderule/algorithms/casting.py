"""What goes out is cast here: rounded half to even, then saturated, wrapped, or refused where it does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from striderule.errors import InvalidArgument, UnprovenRange

if TYPE_CHECKING:
    from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]
Overflow = Literal["saturate", "wrap", "refuse"]
# Elements that are rounded at a time.
_BLOCK = 1 << 16


def result_type(problem: Convolution) -> np.dtype[Any]:
    """Return the type that the result of an image correlation comes out in: that of its sums, where none is stored."""
    return np.dtype(problem.stored[1] if problem.stored else problem.dtype)


def finished(problem: Convolution, sums: Array, out: Array | None) -> Array:
    """Return the sums of an image correlation in its result's type, written into `out` where there is one."""
    result = cast(sums, result_type(problem), problem.overflow)
    if out is None:
        return result
    np.copyto(out, result)
    return out


def no_integer(dtype: np.dtype[Any]) -> InvalidArgument:
    """Return the error that answers a result with NaN in it, where integers are wanted."""
    return InvalidArgument(f"the result holds NaN, which {dtype} cannot; ask for a float dtype or use nan='normalize'")


def cast(result: Array, dtype: np.dtype[Any], overflow: Overflow = "saturate") -> Array:
    """Return `result` in `dtype`: rounded half to even, then saturated, wrapped, or refused when it does not fit.

    Raises
    ------
    InvalidArgument
        If NaN would become an integer, infinity would wrap, or a complex number would lose its imaginary part.
    UnprovenRange
        If a value does not fit and `overflow` is "refuse".
    """
    if result.dtype == dtype:
        return result
    if result.dtype.kind == "c" and dtype.kind != "c":
        raise InvalidArgument(f"dtype={dtype} would lose the imaginary part; take .real or abs() of the result instead")
    if dtype.kind not in "biu":
        with np.errstate(over="ignore"):
            return result.astype(dtype)
    if result.dtype.kind == "f":
        return _float_to_integer(result, dtype, overflow)
    return _integer_to_integer(result, dtype, overflow)


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the smallest and the largest number of an integer type."""
    if dtype.kind == "b":
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _float_to_integer(result: Array, dtype: np.dtype[Any], overflow: Overflow) -> Array:
    """Round block by block, so that the temporaries stay in the cache; the memory order is kept."""
    order = sorted(range(result.ndim), key=lambda axis: -abs(result.strides[axis]))
    source = result.transpose(order)
    final = np.empty(source.shape, dtype)
    values, target = source.reshape(-1), final.reshape(-1)
    for start in range(0, values.size, _BLOCK):
        target[start : start + _BLOCK] = _rounded(values[start : start + _BLOCK], dtype, overflow)
    return final.transpose(np.argsort(order))


def _rounded(result: Array, dtype: np.dtype[Any], overflow: Overflow) -> Array:
    if np.isnan(result).any():
        raise no_integer(dtype)
    low, high = limits(dtype)
    # float16 reaches only 65504: the limits of wider integers would be infinite in it.
    rounded = np.rint(result.astype(np.float32) if result.dtype == np.float16 else result)
    # The float just above `high`: exact as a power of two even where `high` itself is not.
    too_high, too_low = rounded >= float(high + 1), rounded < float(low)
    if overflow == "wrap":
        if not np.isfinite(rounded).all():
            raise InvalidArgument(f"the result holds infinity, which cannot wrap to {dtype}; use overflow='saturate'")
        return _integer_to_integer(_modulo(rounded), dtype, "wrap")
    if overflow == "refuse" and (too_high.any() or too_low.any()):
        raise UnprovenRange(_does_not_fit(dtype))
    inside = np.where(too_high | too_low, 0, rounded).astype(dtype)
    inside[too_high] = high
    inside[too_low] = low
    return inside


def _modulo(rounded: Array) -> Array:
    """Return whole floats modulo 2**64 as int64."""
    small = np.abs(rounded) < 2.0**63
    wide = np.where(small, rounded, 0).astype(np.int64)
    if not small.all():
        # Floats beyond 2**63 are multiples of 2**11, so these steps are exact.
        rest = np.fmod(rounded[~small].astype(np.float64), 2.0**64)
        wide[~small] = np.where(rest < 0, rest + 2.0**64, rest).astype(np.uint64).view(np.int64)
    return wide


def _integer_to_integer(result: Array, dtype: np.dtype[Any], overflow: Overflow) -> Array:
    low, high = limits(dtype)
    if overflow == "wrap":
        return (result & 1).astype(dtype) if dtype.kind == "b" else result.astype(dtype)
    if result.size == 0:
        return result.astype(dtype)
    smallest, largest = int(result.min()), int(result.max())
    if smallest >= low and largest <= high:
        return result.astype(dtype)
    if overflow == "refuse":
        raise UnprovenRange(_does_not_fit(dtype))
    own_low, own_high = limits(result.dtype)
    return np.clip(result, max(low, own_low), min(high, own_high)).astype(dtype)


def _does_not_fit(dtype: np.dtype[Any]) -> str:
    return (
        f"the exact result does not fit {dtype}; pass dtype=numpy.int64 for exact integers, a float dtype for rounded "
        "ones, or a narrower dtype to saturate"
    )
