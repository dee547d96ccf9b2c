"""What the layer functions share: which axes an array has, in which types to compute, what to do with the sums."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from striderule.errors import InvalidArgument, InvalidType, UnprovenRange
from striderule.functional import bfloat16, door
from striderule.functional.door import Array

_LAST = {"NWC": 1, "NHWC": 2, "NDHWC": 3}
_FIRST = {"NCW": 1, "NCHW": 2, "NCDHW": 3}
_SPATIAL = ("?", "width", "height, width", "depth, height, width")


def channels_last(layout: Any, rank: int) -> bool:
    """Tell whether `layout` puts the channels last; refuse words of another rank."""
    if layout in ("channels_first", "channels_last"):
        return bool(layout == "channels_last")
    words = {**_FIRST, **_LAST}
    if not isinstance(layout, str) or words.get(layout) != rank:
        right = [word for word, axes in words.items() if axes == rank] or ["channels_first", "channels_last"]
        raise InvalidArgument(f"layout must be {' or '.join(right)} for {rank} spatial axes, got {layout!r}")
    return layout in _LAST


def spatial_words(rank: int) -> str:
    """Return the names of the spatial axes for messages."""
    return _SPATIAL[rank] if rank < len(_SPATIAL) else f"{rank} spatial axes"


@dataclass(frozen=True, slots=True)
class Axes:
    """Which axes an operand came with, so that the result gets the same ones back."""

    rank: int
    missing: int
    last: bool

    @classmethod
    def of(cls, x: Array, rank: int, *, bare: bool, last: bool, name: str) -> Axes:
        """Read the axes of x: (batch, channels, *spatial), without batch, or (with `bare`) spatial axes alone."""
        if bare and x.ndim == rank:
            return cls(rank, 2, False)
        if x.ndim in (rank + 1, rank + 2):
            return cls(rank, rank + 2 - x.ndim, last)
        raise InvalidArgument(
            f"{name} needs an input of {rank + 2} axes (batch, channels, {spatial_words(rank)}) or {rank + 1} without "
            f"batch, got {x.ndim} (shape {x.shape}); a bare array without channels needs a weight of the same rank"
        )

    def canonical(self, x: Array) -> Array:
        """Return a view of x with the axes (batch, channels, *spatial)."""
        if self.missing == 2:
            return x[None, None]
        if self.last:
            first = x.ndim - 1 - self.rank
            x = x.transpose(*range(first), x.ndim - 1, *range(first, x.ndim - 1))
        return x[None] if self.missing else x

    def restore(self, result: Array) -> Array:
        """Return a view of a canonical result with the axes that the operand came with."""
        for _ in range(self.missing):
            result = result[0]
        if self.last and self.missing < 2:
            first = result.ndim - 1 - self.rank
            return result.transpose(*range(first), *range(first + 1, result.ndim), first)
        return result

    def given(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a canonical shape as that of the axes that the operand came with."""
        batch, channels, *spatial = shape
        if self.missing == 2:
            return tuple(spatial)
        lead = () if self.missing else (batch,)
        return (*lead, *spatial, channels) if self.last else (*lead, channels, *spatial)


@dataclass(frozen=True, slots=True)
class Types:
    """In which type the operands are multiplied and added, and which type the result has."""

    arithmetic: np.dtype[Any]
    result: np.dtype[Any]
    overflow: door.Overflow

    @classmethod
    def of(cls, operands: list[Array], dtype: np.dtype[Any] | None) -> Types:
        """Promote as NumPy does, integers exactly; an asked `dtype` widens the arithmetic, never narrows it."""
        natural = door.result_type(*(operand.dtype for operand in operands))
        if natural.kind == "c" and dtype is not None and dtype.kind != "c":
            raise InvalidArgument(
                f"dtype={dtype} would lose the imaginary part; take .real or abs() of the result instead"
            )
        if dtype is None:
            return cls(door.arithmetic_of(natural), natural, "refuse")
        wide = natural
        if not door.is_integer(natural) and not door.is_integer(dtype):
            wide = bfloat16.promoted(natural, dtype)
        elif not door.is_integer(natural):
            # A float result that is rounded to integers: at least float32, and wide enough to hold them.
            wide = np.result_type(natural, np.float64 if dtype.itemsize > 2 else np.float32)
        return cls(door.arithmetic_of(wide), dtype, "saturate")


def integer_bound(x: Array, weight: Array, fan_in: tuple[int, ...], fill: tuple[Any, ...], addends: list[Array]) -> int:
    """Return a proved limit of every |sum|: max |x| times the largest sum of |weight| over the terms of one output.

    Raises
    ------
    UnprovenRange
        If the limit does not fit 64 bits, so that no arithmetic here is exact.
    """
    bound = _bound(door.largest_magnitude(x), weight, fan_in, fill, addends)
    if bound >= 2**63:
        raise UnprovenRange(
            f"sums of these integers may reach {bound}, which does not fit 64 bits, so they would not be exact; "
            "scale the operands down or pass them as float64"
        )
    return bound


def _bound(data: int, weight: Array, fan_in: tuple[int, ...], fill: tuple[Any, ...], addends: list[Array]) -> int:
    """Return the limit for inputs of at most `data`."""
    taps = 0
    if weight.size:
        exact = weight.astype(object) if door.largest_magnitude(weight) > 2**31 else weight.astype(np.int64)
        taps = int(np.abs(exact).sum(axis=fan_in).max())
    bound: int = max(data, *map(abs, fill), 0) * taps + sum(door.largest_magnitude(addend) for addend in addends)
    return bound


def bound_of_any(
    dtype: np.dtype[Any], weight: Array, fan_in: tuple[int, ...], fill: tuple[Any, ...], addends: list[Array]
) -> int | None:
    """Return a limit of every |sum| for whatever inputs of a type meet this weight; None if it may not fit 32 bits."""
    if dtype.itemsize > 2:
        return None
    bound = _bound(door.type_magnitude(dtype), weight, fan_in, fill, addends)
    return bound if bound < 2**31 else None


def type_bound(operands: list[Array], terms: int, fill: tuple[Any, ...], addends: list[Array]) -> int | None:
    """Return a limit of every |sum| that holds whatever integers the arrays hold; None if it may not fit 32 bits."""
    if any(array.dtype.itemsize > 2 for array in (*operands, *addends)):
        return None
    data, taps = (door.type_magnitude(array.dtype) for array in operands)
    bound: int = max(data, *map(abs, fill), 0) * taps * terms
    bound += sum(door.type_magnitude(addend.dtype) for addend in addends)
    return bound if bound < 2**31 else None


def integer_fill(fill: Any, dtype: np.dtype[Any]) -> Any:
    """Return the fill value as a number that arrays of `dtype` can hold; refuse what they cannot."""
    value = door.number(fill, "fill")
    if dtype.kind not in "biu":
        if isinstance(value, complex) and dtype.kind != "c":
            raise InvalidArgument(f"fill={fill!r} is complex, but the result is {dtype}; pass a complex input")
        return value
    if isinstance(value, complex) or not math.isfinite(value) or value != int(value):
        raise InvalidArgument(
            f"fill={fill!r} is no integer, but the operands are; pass them as floats, or another fill"
        )
    return int(value)


class Problem(Protocol):
    """What the layers ask of a problem value."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(batch, out channels, *output size)."""


def bias_of(bias: Array | None, problem: Problem, argument: str = "bias") -> Array | None:
    """Return the bias shaped to be added to canonical sums: one value a channel, or one an output of every channel."""
    if bias is None:
        return None
    channels, *spatial = problem.output_shape[1:]
    if bias.ndim == 0 and channels == 1:
        bias = bias[None]
    if bias.shape == (channels,):
        return bias.reshape(channels, *(1,) * len(spatial))
    if getattr(problem, "tile", None) and bias.shape == (channels, *spatial):
        return bias
    raise InvalidArgument(
        f"{argument} must have one value for each of the {channels} output channels, got the shape {bias.shape}"
    )


@dataclass(frozen=True, slots=True)
class Activation:
    """The function of an activation word, with the parameters that were given, and the same by name.

    `words` are the word and all parameters, the usual ones too.
    """

    function: Callable[..., Array]
    parameters: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...]
    words: tuple[Any, ...]

    def __call__(self, values: Array) -> Array:
        """Return the activation of every value."""
        return self.function(values, *self.parameters)


def activation_of(activation: Any, argument: str = "activation") -> Activation | None:
    """Return the activation of a word, ``(word, *parameters)``, or None."""
    if activation is None:
        return None
    from striderule.functional import activation as functions  # noqa: PLC0415 - only layers with an activation need it

    word, parameters = (
        (activation[0], activation[1:]) if isinstance(activation, tuple) and activation else (activation, ())
    )
    if not isinstance(word, str):
        raise InvalidType(f"{argument} must be a word, (word, *parameters) or None, got {activation!r}")
    if word not in functions.ELEMENTWISE:
        raise InvalidArgument(f"{argument} must be one of {', '.join(sorted(functions.ELEMENTWISE))}, got {word!r}")
    function: Callable[..., Array] = getattr(functions, word)
    try:
        bound = inspect.signature(function).bind(None, *parameters)
    except TypeError:
        raise InvalidType(f"{argument} {word!r} does not take the parameters {parameters}") from None
    named = tuple(bound.arguments.items())[1:]
    bound.apply_defaults()
    usual = [name for name in bound.arguments if name not in bound.kwargs and name != "inplace"]
    return Activation(function, parameters, named, (word, *(bound.arguments[name] for name in usual[1:])))


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What happens to the sums before they are stored: bias, residual, activation, cast."""

    types: Types
    dtype: np.dtype[Any]
    activation: Activation | None

    @classmethod
    def of(cls, types: Types, activation: Any, argument: str = "activation") -> Epilogue:
        """Check the activation, and find the type of the result."""
        function = activation_of(activation, argument)
        dtype = types.result
        if function is not None:
            # An activation refuses its parameters, and types that it is not defined for, by an array of nothing.
            natural = door.is_integer(types.arithmetic) and types.overflow == "refuse"
            answer = function(np.empty(0, types.result if natural else types.arithmetic)).dtype
            dtype = answer if natural else dtype
        return cls(types, dtype, function)

    def apply(self, sums: Array, axes: Axes, bias: Array | None, residual: Array | None, out: Array | None) -> Array:
        """Return the result with the axes that the operand came with, from canonical sums and addends."""
        if bias is not None or residual is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN say it themselves
                for addend in (bias, residual):
                    if addend is not None:
                        sums += addend.astype(sums.dtype, copy=False)
        if self.activation is not None:  # of the exact sums: nothing is rounded or narrowed before
            sums = self.activation(sums)
        return door.finish(axes.restore(sums), self.dtype, self.types.overflow, out)
