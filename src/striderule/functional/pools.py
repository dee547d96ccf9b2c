"""What the pooling functions share: which axes an array has, what the results are written to."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door
from striderule.functional.door import Array
from striderule.functional.layers import Axes, spatial_words
from striderule.functional.planned import perform, plan_for
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
    pair = flag(return_indices, "return_indices")
    out_values, out_indices = _outs(out, pair)
    shape = problem.output_shape[axes.missing :]
    door.check_out(out_values, shape, x.dtype, [x])
    door.check_out(out_indices, shape, np.dtype(np.int64), [x])
    if out_values is not None and out_indices is not None and np.may_share_memory(out_values, out_indices):
        raise InvalidArgument("out holds the same memory for values and indices; pass two arrays")
    dtypes = (x.dtype, np.dtype(np.int64))
    values, indices = compute(function, problem, algorithm, image, *more, pair, dtypes=dtypes)
    result = door.finish(axes.restore(values), x.dtype, out=out_values)
    return (result, door.finish(axes.restore(indices), indices.dtype, out=out_indices)) if pair else result


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
    final = door.dtype_word(dtype) or door.float_of(x.dtype)
    if x.dtype.kind == "c" and final.kind != "c":
        raise InvalidArgument(f"dtype={final} would lose the imaginary part; take .real or abs() of the result instead")
    door.check_out(out, problem.output_shape[axes.missing :], final, [x])
    work = np.dtype(np.float64) if door.is_integer(final) else door.arithmetic_of(final)
    result = compute(function, problem, algorithm, image, work, dtypes=(work,))
    return door.finish(axes.restore(result), final, out=out)
