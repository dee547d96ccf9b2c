"""What the pooling functions share: which axes an array has, what the results are written to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.binding import ArrayInfo
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door, recipes, tracing
from striderule.functional.door import Array
from striderule.functional.layers import Axes, spatial_words
from striderule.functional.planned import noted, perform, plan_for
from striderule.geometry.pooling import AdaptivePooling, Pooling, flag


class Problem(Protocol):
    """What is asked of a pooling problem here."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(batch, channels, *output size)."""


def opened(name: str, x: Any, rank: int, *, ordered: bool = False) -> tuple[Array, Array, Axes]:
    """Return the array, its view with the axes (batch, channels, *spatial), and which axes it came with.

    With `ordered`, complex numbers are refused: they have no largest.
    """
    value = door.array(x, "x")
    if not rank <= value.ndim <= rank + 2:
        raise InvalidArgument(
            f"{name} needs an array of {rank + 2} axes (batch, channels, {spatial_words(rank)}), {rank + 1} without "
            f"batch or {rank} spatial ones alone, got {value.ndim} (shape {value.shape})"
        )
    if ordered and value.dtype.kind == "c":
        raise InvalidType(f"{name} of complex numbers is not defined: they have no order; pool abs(x) instead")
    axes = Axes(rank, rank + 2 - value.ndim, False)
    return value, axes.canonical(value), axes


def compute(function: str, problem: Problem, algorithm: Any, image: Array, *rest: Any, dtypes: tuple[Any, ...]) -> Any:
    """Run a pooling function of the algorithm planned for the problem; `dtypes` are those of its results."""
    plan = plan_for(problem, None, algorithm, image.dtype)
    return perform(plan, "pooling", function, problem, image, *rest, shape=problem.output_shape, dtypes=dtypes)


@dataclass(frozen=True, slots=True)
class PoolRecipe(recipes.Recipe):
    """A pooling that is bound to the memory of its arrays; `pair` tells that places are wanted beside values."""

    call: Any
    make: Callable[[], Array]
    make_places: Callable[[], Array] | None
    roles: ClassVar[tuple[str, ...]] = ("x", "out")

    def perform(self, x: Array, out: Any) -> Any:
        """Return values, or (values, places), written to out if there is one."""
        values, places = out if isinstance(out, tuple | list) else (out, None)
        values = self.make() if values is None else values
        if self.make_places is None:
            self.call.write(x, values, None)
            return values
        places = self.make_places() if places is None else places
        self.call.write(x, values, places)
        return values, places

    def run(self, x: Array, out: Array | None) -> Any:
        """As `perform`, or None where out has to be looked at, or elements do not stand at multiples of their size."""
        if not x.flags.aligned:
            return None
        if out is None:
            return self.perform(x, None)
        if not out.flags.aligned or not recipes.clear_of(out, x):
            return None
        self.call.write(x, out, None)
        return out


def _bound(
    problem: Any,
    algorithm: Any,
    x: Array,
    image: Array,
    axes: Axes,
    dtype: np.dtype[Any],
    outs: tuple[Any, Any],
    *,
    pair: bool,
) -> PoolRecipe | None:
    """Return the recipe of a pooling whose algorithm writes results where they go, or None; not under `explain`."""
    if noted.get() is not None:
        return None
    given = [out for out in outs if out is not None]
    plan = plan_for(problem, None, algorithm, image.dtype)
    bind = getattr(table.family("pooling", plan.algorithm), "bind", None)
    if bind is None or not all(array.flags.aligned for array in (x, *given)):
        return None
    infos = [None if out is None else ArrayInfo.of(axes.canonical(out)) for out in outs]
    call = bind(problem, ArrayInfo.of(image), *infos, dtype, indices=pair)
    if call is None:
        return None
    make_places = call.maker(np.dtype(np.int64), axes.missing) if pair else None
    return PoolRecipe(call, call.maker(dtype, axes.missing), make_places)


def _outs(out: Any, pair: bool) -> tuple[Any, Any]:
    """Return the arrays to write values and indices to."""
    if not pair or out is None:
        return out, None
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise InvalidType(f"out must be a pair (values, indices) with return_indices=True, got {type(out).__name__}")
    return out[0], out[1]


def largest(
    function: str,
    problem: Problem,
    x: Array,
    image: Array,
    axes: Axes,
    *more: Any,
    return_indices: Any,
    algorithm: Any,
    out: Any,
) -> Any:
    """Run a max pooling and return the values, or (values, indices)."""
    tracing.note((problem, axes))
    pair = flag(return_indices, "return_indices")
    outs = _outs(out, pair)
    shape = problem.output_shape[axes.missing :]
    door.check_out(outs[0], shape, x.dtype, [x])
    door.check_out(outs[1], shape, np.dtype(np.int64), [x])
    if outs[0] is not None and outs[1] is not None and np.may_share_memory(*outs):
        raise InvalidArgument("out holds the same memory for values and indices; pass two arrays")
    if not more:
        recipe = _bound(problem, algorithm, x, image, axes, x.dtype, outs, pair=pair)
        if recipe is not None:
            return recipes.carried_out(recipe, x, outs if pair else outs[0])
    dtypes = (x.dtype, np.dtype(np.int64))
    values, indices = compute(function, problem, algorithm, image, *more, pair, dtypes=dtypes)
    result = door.finish(axes.restore(values), x.dtype, out=outs[0])
    return (result, door.finish(axes.restore(indices), indices.dtype, out=outs[1])) if pair else result


def averaged(
    function: str,
    problem: Pooling | AdaptivePooling,
    x: Array,
    image: Array,
    axes: Axes,
    *,
    dtype: Any,
    algorithm: Any,
    out: Any,
) -> Array:
    """Run an average or LP pooling: floats, unless `dtype` asks for integers (rounded half to even, saturated)."""
    tracing.note((problem, axes))
    final = door.dtype_word(dtype) or door.float_of(x.dtype)
    if x.dtype.kind == "c" and final.kind != "c":
        raise InvalidArgument(f"dtype={final} would lose the imaginary part; take .real or abs() of the result instead")
    door.check_out(out, problem.output_shape[axes.missing :], final, [x])
    if final.kind == "f":
        recipe = _bound(problem, algorithm, x, image, axes, final, (out, None), pair=False)
        if recipe is not None:
            answer: Array = recipes.carried_out(recipe, x, out)
            return answer
    work = np.dtype(np.float64) if door.is_integer(final) else door.arithmetic_of(final)
    result = compute(function, problem, algorithm, image, work, dtypes=(work,))
    return door.finish(axes.restore(result), final, out=out)
