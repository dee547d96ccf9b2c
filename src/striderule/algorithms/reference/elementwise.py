"""Activations, written as their definitions for one Python number."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import every, wide

Array = npt.NDArray[Any]

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _clip(x: Any, low: Any, high: Any) -> Any:
    if x < low:
        return low
    return min(x, high)  # NaN first: min keeps it


def _expm1(x: float) -> float:
    """Return exp(x) - 1, infinite where it overflows."""
    return math.inf if x > 709 else math.expm1(x)


def _elu(x: float, alpha: float) -> float:
    return x if x > 0 else alpha * _expm1(x)


def _normal(x: float) -> float:
    """Return the share of the normal distribution below x: (1 + erf(x / sqrt 2)) / 2."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _gelu(x: float, approximate: str) -> float:
    if approximate == "tanh":
        return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * _normal(x)


def _sigmoid(x: Any) -> Any:
    if isinstance(x, complex):
        return 1 / (1 + cmath.exp(-x)) if x.real > 0 else cmath.exp(x) / (1 + cmath.exp(x))
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _log1p_exp(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def _softplus(x: float, beta: float, threshold: float) -> float:
    return x if x * beta > threshold else _log1p_exp(x * beta) / beta


def _softshrink(x: float, limit: float) -> float:
    if x > limit:
        return x - limit
    if x < -limit:
        return x + limit
    return x if math.isnan(x) else 0.0


def _tanh(x: Any) -> Any:
    return cmath.tanh(x) if isinstance(x, complex) else math.tanh(x)


_SCALARS: dict[str, Callable[..., Any]] = {
    "relu": lambda x: type(x)(0) if x < 0 else x,
    "leaky_relu": lambda x, slope: x if x > 0 else slope * x,
    "relu6": lambda x: _clip(x, 0, 6),
    "hardtanh": _clip,
    "elu": _elu,
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "celu": lambda x, alpha: x if x > 0 else alpha * _expm1(x / alpha),
    "gelu": _gelu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * math.tanh(_log1p_exp(x)),
    "hardswish": lambda x: x * _clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x: _clip(x + 3, 0, 6) / 6,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "logsigmoid": lambda x: -_log1p_exp(-x),
    "tanhshrink": lambda x: x - _tanh(x),
    "hardshrink": lambda x, limit: type(x)(0) if -limit <= x <= limit else x,
    "softshrink": _softshrink,
    "threshold": lambda x, limit, value: value if x <= limit else x,
}


def apply(name: str, x: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...] = ()) -> Array:
    """Return the activation `name` of every element; floats are computed in 64 bits."""
    function, kind = _SCALARS[name], dtype.kind
    result = np.empty(x.shape, np.complex128 if kind == "c" else np.float64 if kind == "f" else dtype)
    numbers = wide(x)
    for index in every(x.shape):
        number = numbers[index]
        result[index] = function(float(number) if kind == "f" else number, *parameters)
    return result


def prelu(x: Array, weight: Array, dtype: np.dtype[Any]) -> Array:
    """Return x where positive, elsewhere weight * x; the weight is broadcast to x."""
    result = np.empty(x.shape, np.result_type(dtype, np.float64))
    numbers, slopes = wide(x), wide(np.broadcast_to(weight, x.shape))
    for index in every(x.shape):
        number = float(numbers[index])
        result[index] = number if number > 0 else float(slopes[index]) * number
    return result
