"""What the layer functions share: which axes an array has, in which types to compute, what to do with the sums."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from striderule.errors import InvalidArgument, InvalidType, UnprovenRange
from striderule.functional import door
from striderule.functional.door import Array
from striderule.functional.planned import perform, plan_for
from striderule.functional.standin import StandIn, stand_in
from striderule.planning import Plan

_LAST = {"NWC": 1, "NHWC": 2, "NDHWC": 3}
_FIRST = {"NCW": 1, "NCHW": 2, "NCDHW": 3}
# What stands for the fill value of operations that know no boundary.
NO_BOUNDARY = object()
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
            x = np.moveaxis(x, -1, -1 - self.rank)
        return x[None] if self.missing else x

    def restore(self, result: Array) -> Array:
        """Return a view of a canonical result with the axes that the operand came with."""
        for _ in range(self.missing):
            result = result[0]
        return np.moveaxis(result, -1 - self.rank, -1) if self.last and self.missing < 2 else result


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
        if natural.kind in "fc" and dtype.kind in "fc":
            wide = np.result_type(natural, dtype)
        elif natural.kind in "fc":
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
    data = max(door.largest_magnitude(x), *(abs(value) for value in (*fill, 0)))
    taps = 0
    if weight.size:
        exact = weight.astype(object) if door.largest_magnitude(weight) > 2**31 else weight.astype(np.int64)
        taps = int(np.abs(exact).sum(axis=fan_in).max())
    bound: int = data * taps + sum(door.largest_magnitude(addend) for addend in addends)
    if bound >= 2**63:
        raise UnprovenRange(
            f"sums of these integers may reach {bound}, which does not fit 64 bits, so they would not be exact; "
            "scale the operands down or pass them as float64"
        )
    return bound


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


def activation_of(activation: Any, argument: str = "activation") -> Callable[[Array], Array] | None:
    """Return the function of an activation word, ``(word, *parameters)``, or None."""
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
        inspect.signature(function).bind(None, *parameters)
    except TypeError:
        raise InvalidType(f"{argument} {word!r} does not take the parameters {parameters}") from None
    return lambda values: function(values, *parameters)


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What happens to the sums before they are stored: bias, residual, activation, cast; checked before any sum."""

    types: Types
    dtype: np.dtype[Any]
    bias: Array | None
    residual: Array | None
    activation: Callable[[Array], Array] | None
    out: Array | None

    @classmethod
    def of(
        cls,
        types: Types,
        axes: Axes,
        shape: tuple[int, ...],
        inputs: list[Array],
        *,
        bias: Array | None,
        residual: Array | None,
        activation: Any,
        out: Any,
        prefix: str = "",
    ) -> Epilogue:
        """Check residual, activation and out against the canonical `shape` of the result.

        `inputs` are the operands that out must not overlap; it may be the residual, but not one that is also an input.
        """
        function = activation_of(activation, prefix + "activation")
        dtype = types.result
        if function is not None:
            # An activation refuses its parameters, and types that it is not defined for, by an array of nothing.
            natural = door.is_integer(types.arithmetic) and types.overflow == "refuse"
            answer = function(np.empty(0, types.result if natural else types.arithmetic)).dtype
            dtype = answer if natural else dtype
        given = axes.restore(np.broadcast_to(np.empty((), np.int8), shape)).shape
        if residual is not None and residual.shape != given:
            raise InvalidArgument(f"residual must have the shape of the result {given}, got {residual.shape}")
        door.check_out(out, given, dtype, inputs)
        if residual is not None:
            door.check_out(out, given, dtype, [residual], same=True)
            residual = axes.canonical(residual)
        return cls(types, dtype, bias, residual, function, out)

    def apply(self, sums: Array, axes: Axes) -> Array:
        """Return the result with the axes that the operand came with, from canonical sums."""
        with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN say it themselves
            for addend in (self.bias, self.residual):
                if addend is not None:
                    sums += addend.astype(sums.dtype, copy=False)
        if self.activation is not None:  # of the exact sums: nothing is rounded or narrowed before
            sums = self.activation(sums)
        return door.finish(axes.restore(sums), self.dtype, self.types.overflow, self.out)


class Problem(Protocol):
    """What the layers ask of a problem value."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(batch, out channels, *output size)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of convolution: its function in the algorithms, its problem, the axes of weight that a sum runs over."""

    operation: str
    problem: Callable[..., Any]
    fan_in: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A convolution that is checked and planned, and needs only to be computed."""

    axes: Axes
    problem: Any
    plan: Plan
    operands: tuple[Any, ...]
    operation: str
    epilogue: Epilogue

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result, with the axes that the operand came with."""
        return self.axes.restore(np.broadcast_to(np.empty((), np.int8), self.problem.output_shape)).shape

    def compute(self) -> Array:
        """Run the chosen algorithm and apply the epilogue."""
        where = {"shape": self.problem.output_shape, "dtypes": (self.epilogue.types.arithmetic,)}
        sums = perform(self.plan, "convolution", self.operation, self.problem, *self.operands, **where)
        if isinstance(sums, StandIn):
            return stand_in(self.shape, self.epilogue.dtype)
        return self.epilogue.apply(sums, self.axes)


def prepare(
    kind: Kind,
    axes: Axes,
    x: Array,
    weight: Array,
    words: dict[str, Any],
    *,
    bias: Any = None,
    fill: Any = NO_BOUNDARY,
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: Any = None,
    algorithm: Any = None,
    out: Any = None,
    types: Types | None = None,
    prefix: str = "",
) -> Prepared:
    """Check everything and plan: all that every convolution of layers does before it computes.

    `weight` has its canonical axes; `words` go to the problem; `fill` is left away where there is no
    boundary. `types` replaces what follows from the operands and `dtype`; `prefix` begins the names of bias and
    activation.
    """
    bias = None if bias is None else door.array(bias, prefix + "bias")
    residual = None if residual is None else door.array(residual, "residual")
    addends = [operand for operand in (bias, residual) if operand is not None]
    types = types or Types.of([x, weight, *addends], door.dtype_word(dtype))
    outside = () if fill is NO_BOUNDARY else (integer_fill(fill, types.arithmetic),)
    image = axes.canonical(x)
    problem = kind.problem(image.shape, weight.shape, **words, dtype=str(types.arithmetic))
    inputs = [x, weight] if bias is None else [x, weight, bias]
    bias = bias_of(bias, problem, prefix + "bias")
    plan = plan_for(problem, precision, algorithm)
    words = {"bias": bias, "residual": residual, "activation": activation, "out": out, "prefix": prefix}
    epilogue = Epilogue.of(types, axes, problem.output_shape, inputs, **words)
    if door.is_integer(types.arithmetic):
        problem = problem.bounded(integer_bound(x, weight, kind.fan_in, outside, addends))
    return Prepared(axes, problem, plan, (image, weight, *outside), kind.operation, epilogue)


def run(kind: Kind, axes: Axes, x: Array, weight: Array, words: dict[str, Any], **rest: Any) -> Array:
    """Check everything, run the chosen algorithm and apply the epilogue: what every convolution of layers does."""
    return prepare(kind, axes, x, weight, words, **rest).compute()
