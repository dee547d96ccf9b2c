"""How gradients of convolutions are computed: derived, planned and bound once for all calls alike."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from striderule.algorithms import memory, table
from striderule.algorithms.binding import ArrayInfo, Bound
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.codegen.target import forced
from striderule.functional.door import Array
from striderule.functional.planned import noted, plan_for
from striderule.functional.precision import Standing, standing
from striderule.functional.prepared import BINDS
from striderule.geometry import gradients as geometry
from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning import TRAINED, Plan
from striderule.planning.schedule import sums_type

# Of how many kinds of calls the ways are kept.
KEPT = 512


class InputWay(NamedTuple):
    """The gradient with respect to an input, bound to arrays of certain shapes and strides."""

    bound: Bound
    # Groups of the weight if it is turned before; `seen`: it is read where it stands.
    turned: int | None
    seen: bool
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, g: Array, weight: Array) -> Array:
        """Return the gradient."""
        if self.turned is not None:
            weight = seen_turned(weight) if self.seen else turned(weight, self.turned)
        result = memory.empty(self.shape, self.dtype)
        self.bound.run(g, weight, None, None, result)
        return result


def input_way(problem: Convolution | TransposedConvolution, g: Array, weight: Array) -> InputWay | None:
    """Return how the gradient with respect to the input is computed; None where each call has to look for itself.

    Borders must be zero: see `striderule.geometry.gradients`.
    """
    # Weights of layers are read-only, which `carray` would refuse.
    stands = g.flags.aligned and weight.flags.aligned and weight.flags.c_contiguous
    if not (stands and g.dtype == weight.dtype == problem.dtype) or noted.get() is not None:
        return None
    return _input_way(problem, ArrayInfo.of(g), weight.shape, standing(), forced())


@lru_cache(maxsize=KEPT)
def _input_way(
    problem: Convolution | TransposedConvolution, g: ArrayInfo, shape: tuple[int, ...], _: Standing, __: Any
) -> InputWay | None:
    gradient = geometry.input_gradient(problem)
    if 0 in (*g.shape, *shape, *gradient.output_shape) or sums_type(gradient) != problem.dtype:
        return None
    plan = plan_for(gradient, images=TRAINED)
    operation = "transposed_convolution" if isinstance(gradient, TransposedConvolution) else "convolution"
    family = table.family("convolution", plan.algorithm)
    bind: Any = getattr(family, BINDS[operation], None)
    if bind is None:
        return None
    groups = problem.groups if geometry.is_turned(problem) else None
    kind = np.dtype(problem.dtype)
    weight, out = (np.empty(one, kind) for one in (shape, gradient.output_shape))
    fill = () if operation != "convolution" else (0,)
    words = {"bias": False, "residual": None, "activation": None, **table.in_variant(plan.variant)}

    def bound_to(taps: Array) -> Any:
        return bind(gradient, *fill, x=g, weight=ArrayInfo.of(taps), out=ArrayInfo.of(out), **words)

    bound, seen = None, groups == 1 and getattr(family, "SEES_TURNED", False)
    if seen:
        bound = bound_to(seen_turned(weight))
    if bound is None:
        bound, seen = bound_to(weight if groups is None else turned(weight, groups)), False
    return None if bound is None else InputWay(bound, groups, seen, gradient.output_shape, problem.dtype)


def turned(weight: Array, groups: int) -> Array:
    """Return (out, in / groups, *kernel) as (in, out / groups, *kernel) with every kernel turned around, compact."""
    found: Array = table.family("turned_weights").turned(weight, groups)
    return found


def weight_way(problem: Convolution | TransposedConvolution) -> tuple[geometry.WeightGradient, Plan]:
    """Return what gives the gradient with respect to the weight, and its plan; borders must be zero."""
    if noted.get() is not None:
        gradient = geometry.weight_gradient(problem)
        return gradient, plan_for(gradient, images=TRAINED)
    return _weight_way(problem, standing(), forced())


@lru_cache(maxsize=KEPT)
def _weight_way(
    problem: Convolution | TransposedConvolution, _: Standing, __: Any
) -> tuple[geometry.WeightGradient, Plan]:
    gradient = geometry.weight_gradient(problem)
    return gradient, plan_for(gradient, images=TRAINED)
