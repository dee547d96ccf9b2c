"""The door: what comes in is checked and made plain here, and what goes out is cast here.

Below the door every array is a native NumPy array of a known kind, and nothing checks again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from striderule.algorithms import casting
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import bfloat16
from striderule.functional.standin import StandIn

Array = npt.NDArray[Any]
Overflow = casting.Overflow
# The element types that are taken as they are.
_TAKEN = frozenset(map(np.dtype, ["?", *"bhilqBHILQ", *"efdFD"]))

P = ParamSpec("P")
R = TypeVar("R")

_WAYS_OUT = {
    "torch": "pass tensor.detach().cpu().numpy()",
    "dask": "compute it first (x.compute()), or apply the function to its blocks with dask.array.map_overlap",
    "xarray": "pass its values (x.values), or use xarray.apply_ufunc",
    "cupy": "copy it to the host first: cupy.asnumpy(x)",
    "jax": "pass numpy.asarray(x)",
    "tensorflow": "pass x.numpy()",
    "PIL": "pass numpy.asarray(image)",
    "pandas": "pass x.to_numpy()",
    "zarr": "read the part you need: x[...]",
    "h5py": "read the part you need: x[...]",
    "striderule": "striderule.Array stands for an array only in striderule.explain and striderule.compile",
}


def accepts_input(function: Callable[P, R]) -> Callable[P, R]:
    """Let the first argument be given by PyTorch's keyword `input` as well."""
    first = function.__code__.co_varnames[0]

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if "input" in kwargs:
            if args or first in kwargs:
                raise InvalidType(f"{function.__name__} got both {first!r} and 'input', which name the same argument")
            kwargs[first] = kwargs.pop("input")
        return function(*args, **kwargs)

    return wrapper


def _refuse_foreign(value: Any, argument: str) -> None:
    if isinstance(value, np.ma.MaskedArray):
        raise InvalidType(
            f"{argument} is a masked array, whose mask would be lost; pass {argument}.filled(value), or its data with "
            "mask=~numpy.ma.getmaskarray(x) where the function has a mask argument"
        )
    if isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
        return
    if isinstance(value, list | tuple):
        for entry in value:
            _refuse_foreign(entry, f"an entry of {argument}")
        return
    package = type(value).__module__.split(".")[0]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "__cuda_array_interface__") and package not in _WAYS_OUT:
        way_out = "copy it to the host as a NumPy array first"
    elif package in _WAYS_OUT:
        way_out = _WAYS_OUT[package]
    elif hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        way_out = "convert it yourself with numpy.asarray(x), knowing that it is loaded whole"
    else:
        way_out = "pass a NumPy array or nested lists of numbers"
    raise InvalidType(
        f"{argument} must be a NumPy array, got {kind}: lazy and foreign arrays are not loaded; {way_out}"
    )


def stored(value: Any, argument: str) -> Array:
    """Return an array as `array` does, for functions that know bfloat16, too."""
    return array(value, argument, bfloat=True)


def array(value: Any, argument: str, *, bfloat: bool = False) -> Array:
    """Return `value` as a NumPy array in native byte order: a view where that is possible.

    Accepts NumPy arrays (memory maps included), numbers and nested lists of numbers.

    Raises
    ------
    InvalidType
        For lazy and foreign arrays, masked arrays, and element types other than booleans, integers, floats of 16 to 64
        bits and complex numbers of 64 and 128 bits.
    """
    if type(value) is np.ndarray and value.dtype in _TAKEN:
        return value
    _refuse_foreign(value, argument)
    try:
        result = value if isinstance(value, StandIn) else np.asarray(value)
    except ValueError:
        raise InvalidArgument(f"{argument} must be rectangular: its nested lists have different lengths") from None
    dtype = result.dtype
    if bfloat16.holds(dtype) and bfloat:
        return result
    if dtype.kind not in "biufc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        known = ", which the functions of networks alone know" if bfloat16.holds(dtype) else ""
        raise InvalidType(
            f"{argument} has the element type {dtype}{known}; use booleans, integers, float16 to float64, complex64 or "
            f"complex128, for example {argument}.astype(numpy.float64)"
        )
    if not dtype.isnative:
        result = result.astype(dtype.newbyteorder("="))
    return result


def number(value: Any, argument: str) -> int | float | complex:
    """Return `value` as a plain Python number."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, int | float | complex):
        return int(value) if isinstance(value, bool) else value
    raise InvalidType(f"{argument} must be a number, got {value!r}")


def is_integer(*dtypes: np.dtype[Any]) -> bool:
    """Tell whether all types are integers or booleans."""
    return all(dtype.kind in "biu" for dtype in dtypes)


def float_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type of results that leave the integers: float32 up to 16 bits, else float64; floats stay."""
    if dtype.kind not in "biu":
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)


def arithmetic_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type to compute a result of type `dtype` in: floats of 16 bits in float32, integers in int64."""
    if dtype.kind in "biu":
        return np.dtype(np.int64)
    return np.dtype(np.float32) if dtype.kind in "fV" and dtype.itemsize == 2 else dtype


def result_type(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of a sum of products: NumPy's promotion, but int32 or int64 for integers (section: Numbers).

    Integer with integer gives int32 for operands of up to 16 bits, else int64.
    """
    if is_integer(*dtypes):
        return np.dtype(np.int32 if all(dtype.itemsize <= 2 for dtype in dtypes) else np.int64)
    return bfloat16.promoted(*dtypes)


def dtype_word(dtype: Any, *, bfloat: bool = False) -> np.dtype[Any] | None:
    """Return the type that the user asked for, in native byte order, or None; bfloat16 where it is known.

    Raises
    ------
    InvalidType
        For other types.
    MissingExtra
        If bfloat16 is asked for, and ml_dtypes is not installed.
    """
    if dtype is None:
        return None
    try:
        asked = bfloat16.dtype_of_package() if isinstance(dtype, str) and dtype == bfloat16.NAME else np.dtype(dtype)
    except TypeError:
        raise InvalidType(f"dtype must be a NumPy type, got {dtype!r}") from None
    if bfloat and bfloat16.holds(asked):
        return asked
    if asked.kind not in "biufc" or asked.itemsize > (16 if asked.kind == "c" else 8):
        raise InvalidType(f"dtype must be bool, an integer, float16 to float64 or a complex type, got {asked}")
    native: np.dtype[Any] = asked.newbyteorder("=")
    return native


def type_magnitude(dtype: np.dtype[Any]) -> int:
    """Return the largest absolute value that an integer type holds."""
    if dtype.kind == "b":
        return 1
    info = np.iinfo(dtype)
    return max(-int(info.min), int(info.max))


def largest_magnitude(values: Array) -> int:
    """Return the largest absolute value of an integer array, as a Python int (0 when it is empty).

    Types of up to 16 bits answer by their range, so that nothing is read.
    """
    if values.size == 0:
        return 0
    if values.dtype.itemsize <= 2:
        return type_magnitude(values.dtype)
    return max(-int(values.min()), int(values.max()))


def check_out(
    out: Any,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    inputs: Sequence[Array],
    *,
    same: bool = False,
    others: Sequence[Any] = (),
) -> None:
    """Refuse an `out` that the result cannot be written to; None is fine.

    With `same`, `out` may be exactly one of the inputs (elementwise operations); any other overlap is refused, and any
    with `others`, of which what is no array is passed over.
    """
    if out is None:
        return
    if not isinstance(out, np.ndarray):
        raise InvalidType(f"out must be a NumPy array, got {type(out).__name__}")
    if out.shape != tuple(shape):
        raise InvalidArgument(f"out must have the shape of the result {tuple(shape)}, got {out.shape}")
    if out.dtype != dtype:
        raise InvalidArgument(
            f"out must have the type of the result {dtype}, got {out.dtype}; pass one of that type or none"
        )
    if not out.flags.writeable:
        raise InvalidArgument("out is read-only; pass an array that can be written, or leave it away")
    if not out.flags.c_contiguous and _overlaps_itself(out):
        raise InvalidArgument(
            "out overlaps itself: several of its elements share memory; pass an array of its own memory"
        )
    apart = [(other, False) for other in others if isinstance(other, np.ndarray)]
    for operand, alike in (*((one, same) for one in inputs), *apart):
        if not np.may_share_memory(out, operand) or (alike and (out is operand or _identical(out, operand))):
            continue
        if _overlap(out, operand):
            raise InvalidArgument(
                "out overlaps an input, which would be overwritten while it is read; pass another array"
            )


def _overlaps_itself(a: Array) -> bool:
    """Tell whether two elements share memory. Exact: where sorted strides do not decide, addresses are compared."""
    axes = sorted((abs(step), n) for step, n in zip(a.strides, a.shape, strict=True) if n > 1)
    if a.size == 0:
        return False
    span = a.itemsize
    apart = True
    for step, n in axes:
        apart = apart and step >= span
        span += step * (n - 1)
    if apart:
        return False
    if any(step < a.itemsize for step, _ in axes) or span // a.itemsize < a.size:  # more elements than room
        return True
    starts = np.zeros(1, np.int64)
    for step, n in axes:
        starts = (starts[:, None] + step * np.arange(n)).ravel()
    return bool((np.diff(np.sort(starts)) < a.itemsize).any())


def _identical(a: Array, b: Array) -> bool:
    where_a, where_b = a.__array_interface__["data"][0], b.__array_interface__["data"][0]
    return bool(where_a == where_b and a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype)


def _overlap(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=100_000)  # type: ignore[arg-type]  # the stub knows only 0 and -1
    except np.exceptions.TooHardError:
        return True


def cast(result: Array, dtype: np.dtype[Any], overflow: Overflow = "saturate") -> Array:
    """Return `result` in `dtype`, as `striderule.algorithms.casting.cast` does; a stand-in gives one.

    Raises
    ------
    InvalidArgument
        If NaN would become an integer, infinity would wrap, or a complex number would lose its imaginary part.
    UnprovenRange
        If a value does not fit and `overflow` is "refuse".
    """
    if isinstance(result, StandIn) and result.dtype.kind != "c":
        return result.astype(dtype)
    return casting.cast(result, dtype, overflow)


def overflow_word(overflow: Any) -> Overflow:
    """Return the word that says what happens to values that do not fit."""
    if overflow == "saturate":
        return "saturate"
    if overflow == "wrap":
        return "wrap"
    raise InvalidArgument(f"overflow must be 'saturate' or 'wrap', got {overflow!r}")


def finish(result: Array, dtype: np.dtype[Any], overflow: Overflow = "saturate", out: Array | None = None) -> Array:
    """Return `result` cast to `dtype`, written into `out` when there is one (checked before by `check_out`)."""
    final = cast(result, dtype, overflow)
    if out is None or final is out or isinstance(final, StandIn):  # nothing is computed where a call is explained
        return final
    np.copyto(out, final)
    return out
