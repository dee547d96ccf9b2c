"""What the activations share: types, parameters, and where the result goes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door, moves
from striderule.functional.door import Array


def refuse_inplace(inplace: Any, name: str) -> None:
    """Refuse PyTorch's `inplace=True`, saying what to write instead."""
    if inplace is not False and inplace is not np.False_:
        raise InvalidArgument(f"inplace must be False, got {inplace!r}; to write into x itself call {name}(x, out=x)")


def real(value: Any, argument: str) -> float:
    """Return a parameter as a real number other than NaN."""
    number = door.number(value, argument)
    if isinstance(number, complex) or math.isnan(number):
        raise InvalidArgument(f"{argument} must be a real number, got {value!r}")
    return number


def epsilon(value: Any, *, above: bool = False) -> float:
    """Return what is added to a variance: at least 0, and above 0 in training, of which `above` tells."""
    number = real(value, "eps")
    if number < 0 or (above and number == 0):
        raise InvalidArgument(f"eps must be {'above 0 in training' if above else 'at least 0'}, got {value}")
    return number


def representable(value: Any, dtype: np.dtype[Any], argument: str) -> int | float | complex:
    """Return a number that arrays of `dtype` hold; refuse what would be truncated or overflow."""
    number = door.number(value, argument)
    if dtype.kind == "c":
        return number
    if isinstance(number, complex):
        raise InvalidArgument(f"{argument} must be real for an array of {dtype}, got {value!r}")
    if dtype.kind == "f":
        if math.isfinite(number) and abs(number) > float(np.finfo(dtype).max):
            raise InvalidArgument(f"{argument} does not fit the array's type {dtype}, got {value!r}; use a wider array")
        return number
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if not math.isfinite(number) or number != int(number) or not low <= number <= high:
        raise InvalidArgument(
            f"{argument} must be an integer from {low} to {high} for an array of {dtype}, got {value!r}; "
            "or convert the array to floats"
        )
    return int(number)


def limits_of(dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
    """Return the limits to clip an array to; for integers rounded towards zero, in the range of the type."""
    if dtype.kind not in "biu":
        return low, high
    least, most = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))

    def inside(limit: float) -> int:
        if math.isinf(limit):
            return least if limit < 0 else most
        return min(max(math.trunc(limit), least), most)

    return inside(low), inside(high)


def opened(x: Any, name: str, *, complex_too: bool = False) -> Array:
    """Return the array; complex numbers are refused unless the function is defined for them."""
    value = door.array(x, "x")
    if value.dtype.kind == "c" and not complex_too:
        raise InvalidType(f"{name} of complex numbers is not defined; apply it to x.real and x.imag, or to abs(x)")
    return value


def run(
    name: str,
    x: Any,
    parameters: tuple[Any, ...],
    algorithm: Any,
    out: Any,
    *,
    keeps: bool = False,
    complex_too: bool = False,
) -> Array:
    """Apply an activation element by element; with `keeps` integers stay what they are, else they give floats."""
    value = opened(x, name, complex_too=complex_too)
    dtype = value.dtype if keeps else door.float_of(value.dtype)
    door.check_out(out, value.shape, dtype, [value], same=True)
    compute, work = table.family("elementwise", algorithm), arithmetic(dtype)
    bind = getattr(compute, "bind", None)
    made = bind and (lambda result: bind(name, value, work, parameters, result))
    moves.offer(made, value, value.shape, dtype, out, same=True)
    result = compute.apply(name, value, work, parameters, **table.into(compute, out))
    return door.finish(result, dtype, out=out)


def arithmetic(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type to compute in: integers in their own (nothing grows here), float16 in float32."""
    return dtype if dtype.kind in "biu" else door.arithmetic_of(dtype)
