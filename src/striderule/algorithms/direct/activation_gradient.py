"""Gradients of activations in the tile language: x, or the result, and the gradient of the result in, that of x out.

At kinks the conventions are PyTorch's; where x is NaN at a kink the gradient goes through. The formulas are turned so
that nothing cancels where the gradient vanishes. Parameters are as in `activation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from striderule.algorithms.direct.activation import SELU_ALPHA, SELU_SCALE, Parameter
from striderule.codegen import vmath
from striderule.codegen.tile import Routine, Vector


def _relu(r: Routine, x: Vector, g: Vector) -> Vector:
    return r.select(x.less_equal(0), g.like(0), g)


def _leaky_relu(r: Routine, x: Vector, g: Vector, slope: Parameter) -> Vector:
    return r.select(x.greater(0), g, g * slope)


def _inside(r: Routine, x: Vector, g: Vector, low: Parameter, high: Parameter) -> Vector:
    return r.select(x.less_equal(low) | x.greater_equal(high), g.like(0), g)


def _hardswish(r: Routine, x: Vector, g: Vector) -> Vector:
    slope = r.multiply_add(x, x.like(1 / 3), x.like(0.5))
    return r.select(x.less_equal(-3), g.like(0), r.select(x.less(3), g * slope, g))


def _hardsigmoid(r: Routine, x: Vector, g: Vector) -> Vector:
    return r.select(x.greater(-3) & x.less(3), g * (1 / 6), g.like(0))


def _shrunk(r: Routine, x: Vector, g: Vector, limit: Parameter) -> Vector:
    least = -limit
    return r.select(x.greater_equal(least) & x.less_equal(limit), g.like(0), g)


def _threshold(r: Routine, x: Vector, g: Vector, limit: Parameter, _: Parameter) -> Vector:
    return r.select(x.less_equal(limit), g.like(0), g)


def _softsign(r: Routine, x: Vector, g: Vector) -> Vector:
    below = r.absolute(x) + 1
    return g / (below * below)


def _elu(r: Routine, x: Vector, g: Vector, alpha: Parameter) -> Vector:
    return r.select(x.less_equal(0), g * (vmath.exp_of_negative(r, r.at_most(x, 0)) * alpha), g)


def _selu(r: Routine, x: Vector, g: Vector) -> Vector:
    return _elu(r, x, g, SELU_ALPHA) * SELU_SCALE


def _celu(r: Routine, x: Vector, g: Vector, alpha: Parameter) -> Vector:
    return r.select(x.less_equal(0), g * vmath.exp(r, r.at_most(x, 0) / alpha), g)


def _sigmoid(r: Routine, x: Vector, g: Vector) -> Vector:
    # s (1 - s) = e / (1 + e)^2 with e = exp(-|x|)
    small = vmath.exp_of_negative(r, -r.absolute(x))
    whole = small + 1
    return g * (small / (whole * whole))


def _sigmoid_of_result(_: Routine, y: Vector, g: Vector) -> Vector:
    return g * (y * (1 - y))


def _tanh(r: Routine, x: Vector, g: Vector) -> Vector:
    # 1 - tanh(x)^2 = 4 e / (1 + e)^2 with e = exp(-2 |x|)
    size = r.absolute(x)
    small = vmath.exp_of_negative(r, -(size + size))
    whole = small + 1
    return g * (small * 4 / (whole * whole))


def _tanh_of_result(_: Routine, y: Vector, g: Vector) -> Vector:
    return g * (1 - y * y)


def _parts(r: Routine, x: Vector) -> tuple[Vector, Vector]:
    """Return sigmoid(x) and sigmoid(-x)."""
    small = vmath.exp_of_negative(r, -r.absolute(x))
    share = 1 / (small + 1)
    rest = small * share
    below = x.less(0)
    return r.select(below, rest, share), r.select(below, share, rest)


def _silu(r: Routine, x: Vector, g: Vector) -> Vector:
    part, rest = _parts(r, x)
    return g * (part * r.multiply_add(x, rest, x.like(1)))


def _gelu(r: Routine, x: Vector, g: Vector, approximate: str) -> Vector:
    if approximate == "none":
        return g * r.multiply_add(x, vmath.bell(r, r.absolute(x)) * (1 / math.sqrt(2 * math.pi)), vmath.normal(r, x))
    # Beyond these limits the slope is 0 or 1, and squares must not overflow.
    near = r.at_least(r.at_most(x, 30), -30)
    twice, square = 2 * math.sqrt(2 / math.pi), near * near
    part, rest = _parts(r, near * r.multiply_add(square, x.like(twice * 0.044715), x.like(twice)))
    slope = near * r.multiply_add(square, x.like(twice * 3 * 0.044715), x.like(twice))
    return g * (part * r.multiply_add(slope, rest, x.like(1)))


def _mish(r: Routine, x: Vector, g: Vector) -> Vector:
    # With e = exp(x) and n = e (e + 2) the gate is n / (n + 2), and x sigmoid(x) (1 - gate^2) is
    # 4 x e (1 + e) / (n + 2)^2.
    near = r.at_most(x, 20 if x.element.itemsize == 4 else 40)
    e = vmath.exp(r, near)
    gate = e * (e + 2)
    share = 1 / (gate + 2)
    return g * ((gate + near * 4 * (e * (e + 1)) * share) * share)


def _softplus(r: Routine, x: Vector, g: Vector, beta: Parameter, threshold: Parameter) -> Vector:
    scaled = x * beta
    return r.select(scaled.greater(threshold), g, vmath.weighted_sigmoid(r, g, scaled))


def _logsigmoid(r: Routine, x: Vector, g: Vector) -> Vector:
    return vmath.weighted_sigmoid(r, g, -x)


def _tanhshrink(r: Routine, x: Vector, g: Vector) -> Vector:
    share = vmath.tanh(r, x)
    return g * (share * share)


def _slope(r: Routine, x: Vector, g: Vector) -> Vector:
    return r.select(x.greater(0), g.like(0), x * g)


GRADIENTS: dict[str, Callable[..., Vector]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "relu6": lambda r, x, g: _inside(r, x, g, 0, 6),
    "hardtanh": _inside,
    "hardswish": _hardswish,
    "hardsigmoid": _hardsigmoid,
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "gelu": _gelu,
    "sigmoid": _sigmoid,
    "sigmoid_of_result": _sigmoid_of_result,
    "tanh": _tanh,
    "tanh_of_result": _tanh_of_result,
    "silu": _silu,
    "mish": _mish,
    "softplus": _softplus,
    "softsign": _softsign,
    "logsigmoid": _logsigmoid,
    "tanhshrink": _tanhshrink,
    "hardshrink": _shrunk,
    "softshrink": _shrunk,
    "threshold": _threshold,
    # Of prelu, what each element adds to the gradient of its slope.
    "slope": _slope,
}
"""The gradients by the names of the activations: called with the routine, x, the gradient, and the parameters."""

# Formulas that wait for memory.
LIGHT = frozenset(
    (
        "relu",
        "leaky_relu",
        "relu6",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "hardshrink",
        "softshrink",
        "threshold",
        "sigmoid_of_result",
        "tanh_of_result",
        "prelu",
        "slope",
    )
)
