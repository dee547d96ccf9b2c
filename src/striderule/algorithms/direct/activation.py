"""Every elementwise activation in the tile language: a vector in, a vector out.

Routines that write an output take their activation from `ACTIVATIONS`. The formulas are those of `functional`, turned
so that nothing cancels and nothing overflows on the way to a finite result. Each parameter is a vector, or a Python
number where it is part of the routine's structure. NaN stays NaN.

Errors, in units in the last place: those of `vmath`, and at most two more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from striderule.codegen import vmath
from striderule.codegen.tile import Routine, Vector

Parameter = Vector | float

# Klambauer et al., "Self-Normalizing Neural Networks" (arXiv:1706.02515).
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


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


# With exponentials ---------------------------------------------------------------------------------------------------


def _elu(r: Routine, x: Vector, alpha: Parameter) -> Vector:
    return r.select(x.greater(0), x, vmath.expm1(r, x) * alpha)


def _selu(r: Routine, x: Vector) -> Vector:
    return r.select(x.greater(0), x * SELU_SCALE, vmath.expm1(r, x) * (SELU_SCALE * SELU_ALPHA))


def _celu(r: Routine, x: Vector, alpha: Parameter) -> Vector:
    return r.select(x.greater(0), x, vmath.expm1(r, x / alpha) * alpha)


def _gelu(r: Routine, x: Vector, approximate: str) -> Vector:
    if approximate == "none":
        # x Phi(x) = max(x, 0) - |x| Phi(-|x|), but no number for minus infinity, which meets a Phi of zero.
        negative = r.at_most(x, 0)
        positive = r.at_least(x, 0) + (negative - negative)
        return positive - vmath.normal_tail(r, r.absolute(x), weighted=True)
    # (1 + tanh(u)) / 2 = sigmoid(2 u)
    twice = 2 * math.sqrt(2 / math.pi)
    inner = x * r.multiply_add(x * x, x.like(twice * 0.044715), x.like(twice))
    return vmath.weighted_sigmoid(r, x, inner)


def _silu(r: Routine, x: Vector) -> Vector:
    return vmath.weighted_sigmoid(r, x, x)


def _mish(r: Routine, x: Vector) -> Vector:
    # tanh(log(1 + e)) = ((1 + e)^2 - 1) / ((1 + e)^2 + 1) with e = exp(x), which is 1 from the limit on.
    e = vmath.exp(r, r.at_most(x, 20 if x.element.itemsize == 4 else 40))
    square = e * (e + 2)
    return x * (square / (square + 2))


def _softplus(r: Routine, x: Vector, beta: Parameter, threshold: Parameter) -> Vector:
    scaled = x * beta
    return r.select(scaled.greater(threshold), x, vmath.log1p_exp(r, scaled) / beta)


def _logsigmoid(r: Routine, x: Vector) -> Vector:
    return -vmath.log1p_exp(r, -x)


def _tanhshrink(r: Routine, x: Vector) -> Vector:
    small = r.absolute(x).less(vmath.TANH_SMALL)
    return r.select(small, -vmath.tanh_rest(r, x), x - vmath.tanh_large(r, x))


ACTIVATIONS: dict[str, Callable[..., Vector]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "relu6": _relu6,
    "hardtanh": _clip,
    "hardswish": _hardswish,
    "hardsigmoid": _hardsigmoid,
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "gelu": _gelu,
    "sigmoid": vmath.sigmoid,
    "tanh": vmath.tanh,
    "silu": _silu,
    "mish": _mish,
    "softplus": _softplus,
    "softsign": _softsign,
    "logsigmoid": _logsigmoid,
    "tanhshrink": _tanhshrink,
    "hardshrink": _hardshrink,
    "softshrink": _softshrink,
    "threshold": _threshold,
}
"""The activations by the names that `functional` has for them: called with the routine, the vector, the parameters.

The only parameter that is no number is that of gelu, the word "none" or "tanh".
"""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "leaky_relu": ("slope",),
    "hardtanh": ("low", "high"),
    "elu": ("alpha",),
    "celu": ("alpha",),
    "softplus": ("beta", "threshold"),
    "hardshrink": ("limit",),
    "softshrink": ("limit",),
    "threshold": ("limit", "value"),
}
"""The numbers that an activation takes, in their order; those that are not named take none."""
