"""Every elementwise activation in the tile language: a vector in, a vector out.

Routines that write an output take their activation from `ACTIVATIONS`. The formulas are those of `functional`; each
parameter is a vector, or a Python number where it is part of the routine's structure. NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Callable

from striderule.codegen.tile import Routine, Vector

Parameter = Vector | float


def _vector(x: Vector, parameter: Parameter) -> Vector:
    return parameter if isinstance(parameter, Vector) else x.like(parameter)


# Linear in pieces: for integers too where the formula has no division ------------------------------------------------


def _relu(r: Routine, x: Vector) -> Vector:
    return r.at_least(x, 0)


def _clip(r: Routine, x: Vector, low: Parameter, high: Parameter) -> Vector:
    return r.at_most(r.at_least(x, low), high)


def _relu6(r: Routine, x: Vector) -> Vector:
    return _clip(r, x, 0, 6)


def _leaky_relu(r: Routine, x: Vector, slope: Parameter) -> Vector:
    return r.select(x.greater(0), x, x * slope)


def _hardsigmoid(r: Routine, x: Vector) -> Vector:
    # 6 * (1 / 6), each rounded, is 1 in both float types: where the step ends nothing is lost.
    return _clip(r, x + 3, 0, 6) * (1 / 6)


def _hardswish(r: Routine, x: Vector) -> Vector:
    return x * _hardsigmoid(r, x)


def _hardshrink(r: Routine, x: Vector, limit: Parameter) -> Vector:
    least = -limit
    return r.select(x.greater_equal(least) & x.less_equal(limit), x.like(0), x)


def _softshrink(r: Routine, x: Vector, limit: Parameter) -> Vector:
    least = -limit
    inside = r.select(x.is_nan(), x, x.like(0))
    return r.select(x.greater(limit), x - limit, r.select(x.less(least), x + limit, inside))


def _threshold(r: Routine, x: Vector, limit: Parameter, value: Parameter) -> Vector:
    return r.select(x.less_equal(limit), _vector(x, value), x)


def _softsign(r: Routine, x: Vector) -> Vector:
    return x / (r.absolute(x) + 1)


ACTIVATIONS: dict[str, Callable[..., Vector]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "relu6": _relu6,
    "hardtanh": _clip,
    "hardswish": _hardswish,
    "hardsigmoid": _hardsigmoid,
    "softsign": _softsign,
    "hardshrink": _hardshrink,
    "softshrink": _softshrink,
    "threshold": _threshold,
}
"""The activations by the names that `functional` has for them: called with the routine, the vector, the parameters."""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "leaky_relu": ("slope",),
    "hardtanh": ("low", "high"),
    "hardshrink": ("limit",),
    "softshrink": ("limit",),
    "threshold": ("limit", "value"),
}
"""The numbers that an activation takes, in their order; those that are not named take none."""
