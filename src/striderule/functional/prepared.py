"""Convolutions of layers, from checked arguments to the result: prepared once, carried out for every call alike.

`prepare` checks and plans; what it finds is a `ConvolutionRecipe`, which needs only the arrays. Where the planned
algorithm can be bound (see `striderule.algorithms.binding`) one call of it does everything, epilogue included; else it
makes the sums, and `layers.Epilogue` does the rest in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any, ClassVar

import numpy as np

from striderule.algorithms import memory, table
from striderule.algorithms.binding import ArrayInfo, Bound
from striderule.errors import InvalidArgument
from striderule.functional import bfloat16, door, recipes, tracing
from striderule.functional.door import Array
from striderule.functional.layers import (
    Axes,
    Epilogue,
    Types,
    bias_of,
    bound_of_any,
    integer_bound,
    integer_fill,
    type_bound,
)
from striderule.functional.planned import noted, perform, plan_for
from striderule.functional.precision import standing
from striderule.functional.standin import stand_in
from striderule.geometry.problem import Convolution
from striderule.planning import Plan, dots
from striderule.planning.schedule import sums_type

# What stands for the fill value of operations that know no boundary.
NO_BOUNDARY = object()
FAMILY = "convolution"
# How algorithms call what binds an operation; see `striderule.algorithms.binding`.
BINDS = {"convolution": "bind", "transposed_convolution": "bind_transposed"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of convolution: its function in the algorithms, its problem, the axes of weight that a sum runs over."""

    operation: str
    problem: Callable[..., Any]
    fan_in: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A bound call that does everything, between arrays with the axes that they came with."""

    bound: Bound
    make: Callable[[], Array]
    # Whether `out`, if there is one, is written by the call itself, and not copied from a result of its own.
    in_place: bool
    # How x, residual and the result are seen; None where they have all axes in their order.
    canonical: Callable[[Array], Array] | None
    weight_shape: tuple[int, ...]
    # The type to bring the bias to; None where it is as it has to be.
    bias: np.dtype[Any] | None

    def __call__(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array | None) -> Array:
        """Return the result."""
        result = out if out is not None and self.in_place else self.make()
        if weight.ndim != len(self.weight_shape):
            weight = weight.reshape(self.weight_shape)
        if self.bias is not None and bias is not None:
            bias = np.ascontiguousarray(bias, self.bias).reshape(-1)
        canonical = self.canonical
        if canonical is None:
            self.bound.run(x, weight, bias, residual, result)
        else:
            seen = None if residual is None else canonical(residual)
            self.bound.run(canonical(x), weight, bias, seen, canonical(result))
        if out is None or self.in_place:
            return result
        np.copyto(out, result)
        return out

    def of_x(self, weight: Array, bias: Array | None, residual: Array | None) -> Callable[[Array, Array | None], Array]:
        """Return the call as a function of x and out."""
        if self.canonical is not None or not self.in_place:
            return lambda x, out: self(x, weight, bias, residual, out)
        run, make = self.bound.run, self.make
        if self.bias is not None and bias is not None:
            bias = np.ascontiguousarray(bias, self.bias).reshape(-1)

        def call(x: Array, out: Array | None) -> Array:
            result = make() if out is None else out
            run(x, weight, bias, residual, result)
            return result

        return call


@dataclass(frozen=True, slots=True)
class ConvolutionRecipe(recipes.Recipe):
    """The rest of a convolution of layers."""

    roles: ClassVar[tuple[str, ...]] = ("x", "weight", "bias", "residual", "out")
    kind: Kind
    axes: Axes
    problem: Any
    # Whether exact integers need a limit of their sums that depends on what the arrays hold.
    measured: bool
    plan: Plan
    outside: tuple[Any, ...]
    epilogue: Epilogue
    weight_shape: tuple[int, ...]
    bias_shape: tuple[int, ...] | None
    # What the algorithm is bound to: the whole call, or its sums.
    whole: Whole | None = None
    sums: Bound | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result, with the axes that the operand came with."""
        return self.axes.given(self.problem.output_shape)

    def run(
        self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array | None
    ) -> Array | None:
        """Return the result, or None if `out` needs a closer look."""
        if out is not None and not recipes.clear_of(out, x, weight, bias, same=residual):
            return None
        return self.perform(x, weight, bias, residual, out)

    def perform(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array | None) -> Array:
        """Return the result of arrays that are checked; under `explain` a stand-in, and the plan is noted."""
        if self.whole is not None and x.flags.aligned and weight.flags.aligned and _aligned(bias, residual, out):
            return self.whole(x, weight, bias, residual, out)
        image, taps = self.axes.canonical(x), weight.reshape(self.weight_shape)
        problem = self.proved(x, taps, bias, residual) if self.measured else self.problem
        if self.sums is not None and x.flags.aligned and weight.flags.aligned:
            sums = memory.empty(problem.output_shape, sums_type(problem))
            self.sums.run(image, taps, None, None, sums)
        else:
            # The algorithms know what NumPy does.
            image, taps = (one.astype(np.float32) if bfloat16.holds(one.dtype) else one for one in (image, taps))
            where = {"shape": problem.output_shape, "dtypes": (self.epilogue.types.arithmetic,)}
            sums = perform(self.plan, FAMILY, self.kind.operation, problem, image, taps, *self.outside, **where)
        if noted.get() is not None:
            return stand_in(self.shape, self.epilogue.dtype)
        if bias is not None and self.bias_shape is not None:
            bias = bias.reshape(self.bias_shape)
        residual = None if residual is None else self.axes.canonical(residual)
        return self.epilogue.apply(sums, self.axes, bias, residual, out)

    def unbound(self) -> ConvolutionRecipe:
        """Return the same for arrays of any strides."""
        return replace(self, whole=None, sums=None)

    def proved(self, x: Array, weight: Array, bias: Array | None, residual: Array | None) -> Any:
        """Return the problem with a proved limit of its integer sums; raise `UnprovenRange` if there is none."""
        addends = [addend for addend in (bias, residual) if addend is not None]
        return self.problem.bounded(integer_bound(x, weight, self.kind.fan_in, self.outside, addends))

    def packed(self, weight: Array) -> ConvolutionRecipe:
        """Return the same with this weight packed, if the algorithm packs it; `run` ignores the one it is given."""
        taps = weight.reshape(self.weight_shape)
        if self.whole is not None:
            return replace(self, whole=replace(self.whole, bound=self.whole.bound.packed(taps)))
        return self if self.sums is None else replace(self, sums=self.sums.packed(taps))

    def fixed(self, *between: Any) -> Callable[[Array, Array | None], Any]:
        """Return `run` as a function of x and out; the weight is packed if the algorithm packs it."""
        weight, bias, residual = between
        taps = weight.reshape(self.weight_shape)
        packed = self.packed(weight)
        whole = packed.whole
        if whole is None or not _aligned(weight, bias, residual):
            return lambda x, out: packed.run(x, weight, bias, residual, out)
        carry_out = whole.of_x(taps, bias, residual)

        def call(x: Array, out: Array | None) -> Array | None:
            # The others are not in anyone's hands, so out can overlap x alone.
            if not x.flags.aligned or (out is not None and (not out.flags.behaved or np.may_share_memory(out, x))):
                return packed.run(x, weight, bias, residual, out)
            return carry_out(x, out)

        return call


def _aligned(first: Array | None, second: Array | None, third: Array | None = None) -> bool:
    """Tell whether elements stand at multiples of their size, as machine code takes them to do."""
    return (
        (first is None or first.flags.aligned)
        and (second is None or second.flags.aligned)
        and (third is None or third.flags.aligned)
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A convolution that is checked and planned: the recipe, and the arrays of this call."""

    recipe: ConvolutionRecipe
    arrays: tuple[Array, Array, Array | None, Array | None, Array | None]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result, with the axes that the operand came with."""
        return self.recipe.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the result."""
        return self.recipe.epilogue.dtype

    def refuse_unproven(self) -> None:
        """Raise `UnprovenRange` if integer sums may be too large, before something else is computed."""
        if self.recipe.measured:
            x, weight, bias, residual, _ = self.arrays
            self.recipe.proved(x, weight, bias, residual)

    def bound(self) -> ConvolutionRecipe:
        """Return the recipe for arrays like these, bound to the algorithm if it can be; not under `explain`."""
        recipe, (x, _, bias, residual, out) = self.recipe, self.arrays
        bind = getattr(table.family(FAMILY, recipe.plan.algorithm), BINDS.get(recipe.kind.operation, ""), None)
        if bind is None or recipe.measured or (bias is not None and bias.size != recipe.problem.out_channels):
            return recipe
        epilogue, axes = recipe.epilogue, recipe.axes
        image = ArrayInfo.of(axes.canonical(x))
        variant = table.in_variant(recipe.plan.variant)
        bind = partial(bind, recipe.problem, *recipe.outside, x=image, weight=self._taps, **variant)
        words = {
            "bias": bias is not None,
            "residual": None if residual is None else ArrayInfo.of(axes.canonical(residual)),
            "activation": None if epilogue.activation is None else epilogue.activation.words,
        }
        # What is written, in order of preference: out, a result in the memory order of x, one in rows of each channel.
        makers = [maker(axes, recipe.shape, epilogue.dtype, last=last) for last in {_channels_last(image): 0, False: 0}]
        for make in makers if out is None else [lambda: out, *makers]:
            bound = bind(**words, out=ArrayInfo.of(axes.canonical(make())))
            if bound is not None:
                own = make in makers  # else it would hold on to out
                whole = self._whole(bound, make if own else makers[0], in_place=out is None or not own)
                return replace(recipe, whole=whole)
        sums = ArrayInfo.of(memory.empty(recipe.problem.output_shape, sums_type(recipe.problem)))
        return replace(recipe, sums=bind(bias=False, residual=None, activation=None, out=sums))

    @property
    def _taps(self) -> ArrayInfo:
        return ArrayInfo.of(self.arrays[1].reshape(self.recipe.weight_shape))

    def _whole(self, bound: Bound, make: Callable[[], Array], *, in_place: bool) -> Whole:
        axes, bias = self.recipe.axes, self.arrays[2]
        kind = np.dtype(sums_type(self.recipe.problem))
        ready = bias is None or (bias.ndim == 1 and bias.dtype == kind and bias.flags.c_contiguous)
        canonical = axes.canonical if axes.missing or axes.last else None
        return Whole(bound, make, in_place, canonical, self.recipe.weight_shape, None if ready else kind)

    def compute(self) -> Array:
        """Run the chosen algorithm and apply the epilogue."""
        recipe = self.recipe if noted.get() is not None else self.bound()
        return recipe.perform(*self.arrays)


def _channels_last(image: ArrayInfo) -> bool:
    """Tell whether the channels of (batch, channels, *spatial) stand next to each other, and positions do not."""
    steps = [abs(step) for n, step in zip(image.shape[2:], image.strides[2:], strict=True) if n > 1]
    return image.shape[1] > 1 and 0 < abs(image.strides[1]) < min(steps, default=0)


def maker(axes: Axes, shape: tuple[int, ...], dtype: np.dtype[Any], *, last: bool) -> Callable[[], Array]:
    """Return what makes results of a shape (of the axes of the operand), with the channels last in memory or first."""
    # What `memory.empty` leaves to NumPy is left to it here, without asking.
    empty = np.empty if prod(shape) * dtype.itemsize < memory.LEAST else memory.empty
    if axes.missing == 2 or last == axes.last:
        return lambda: empty(shape, dtype)
    lead, end = len(shape) - 1 - axes.rank, len(shape) - 1
    first, spatial = range(lead), range(lead, end)
    if last:
        order, turn = (*first, *range(lead + 1, end + 1), lead), (*first, end, *spatial)
    else:
        order, turn = (*first, end, *spatial), (*first, *range(lead + 1, end + 1), lead)
    inside = tuple(shape[axis] for axis in order)
    return lambda: empty(inside, dtype).transpose(turn)


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
    bias = None if bias is None else door.stored(bias, prefix + "bias")
    residual = None if residual is None else door.stored(residual, "residual")
    addends = [operand for operand in (bias, residual) if operand is not None]
    types = types or Types.of([x, weight, *addends], door.dtype_word(dtype, bfloat=True))
    outside = () if fill is NO_BOUNDARY else (integer_fill(fill, types.arithmetic),)
    problem = kind.problem(axes.canonical(x).shape, weight.shape, **words, dtype=str(types.arithmetic))
    if isinstance(problem, Convolution) and {x.dtype.name, weight.dtype.name} <= dots.STORED:
        problem = replace(problem, stored=(x.dtype.name, weight.dtype.name))
    inputs = [x, weight] if bias is None else [x, weight, bias]
    shaped = bias_of(bias, problem, prefix + "bias")
    measured = door.is_integer(types.arithmetic)
    if measured:
        limit = type_bound([x, weight], prod(weight.shape[axis] for axis in kind.fan_in), outside, addends)
        if limit is None and standing().packed:  # nothing but x will change
            limit = bound_of_any(x.dtype, weight, kind.fan_in, outside, addends)
        measured = limit is None
        problem = problem if limit is None else problem.bounded(limit)
    plan = plan_for(problem, precision, algorithm)
    epilogue = Epilogue.of(types, activation, prefix + "activation")
    given = axes.given(problem.output_shape)
    if residual is not None and residual.shape != given:
        raise InvalidArgument(f"residual must have the shape of the result {given}, got {residual.shape}")
    door.check_out(out, given, epilogue.dtype, inputs)
    if residual is not None:
        door.check_out(out, given, epilogue.dtype, [residual], same=True)
    bias_shape = None if shaped is None else shaped.shape
    recipe = ConvolutionRecipe(kind, axes, problem, measured, plan, outside, epilogue, weight.shape, bias_shape)
    return Prepared(recipe, (x, weight, bias, residual, out))


def run(kind: Kind, axes: Axes, x: Array, weight: Array, words: dict[str, Any], **rest: Any) -> Array:
    """Check everything, run the chosen algorithm and apply the epilogue: what every convolution of layers does."""
    ready = prepare(kind, axes, x, weight, words, **rest)
    tracing.note(ready.recipe)
    if noted.get() is not None:
        return ready.compute()
    result: Array = recipes.carried_out(ready.bound(), *ready.arrays)
    return result
