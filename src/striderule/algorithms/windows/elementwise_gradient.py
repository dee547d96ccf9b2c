"""Gradients of activations in NumPy, block after block. At kinks the conventions are PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.blocks import elementwise
from striderule.algorithms.windows.elementwise import SELU_ALPHA, SELU_SCALE, _log1p_exp, _sigmoid
from striderule.algorithms.windows.erf import COEFFICIENTS, SINGLE, erfc_positive

Array = npt.NDArray[Any]


def _inside(x: Array, g: Array, low: float, high: float) -> Any:
    return np.where((x <= low) | (x >= high), 0, g)


def _elu(x: Array, g: Array, alpha: float) -> Any:
    return np.where(x <= 0, g * (alpha * np.exp(np.minimum(x, 0))), g)


def _gelu(x: Array, g: Array, approximate: str) -> Any:
    if approximate == "tanh":
        scale, cubic = math.sqrt(2 / math.pi), 0.044715
        inner = np.tanh(scale * (x + cubic * x * x * x))
        return g * (0.5 * (1 + inner) + 0.5 * x * (1 - inner * inner) * scale * (1 + 3 * cubic * x * x))
    wide = x.astype(np.float64)
    terms = len(COEFFICIENTS) if x.dtype == np.float64 else SINGLE
    tail = 0.5 * erfc_positive(np.abs(wide) / math.sqrt(2), terms)
    density = np.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    return g * (np.where(wide > 0, 1 - tail, tail) + wide * density)


def _silu(x: Array, g: Array) -> Any:
    part = _sigmoid(x)
    return g * (part * (1 + x * (1 - part)))


def _mish(x: Array, g: Array) -> Any:
    gate = np.tanh(_log1p_exp(x))
    return g * (gate + x * _sigmoid(x) * (1 - gate * gate))


def _softplus(x: Array, g: Array, beta: float, threshold: float) -> Any:
    scaled = x * beta
    return np.where(scaled > threshold, g, g * _sigmoid(scaled))


def _softsign(x: Array, g: Array) -> Any:
    below = 1 + np.abs(x)
    return g / (below * below)


def _tanh(x: Array, g: Array) -> Any:
    # 1 - tanh(x)^2 = 4 e / (1 + e)^2 with e = exp(-2 |x|): nothing cancels.
    small = np.exp(-2 * np.abs(x))
    return g * (4 * small / ((1 + small) * (1 + small)))


def _shrunk(x: Array, g: Array, limit: float) -> Any:
    return np.where((x >= -limit) & (x <= limit), 0, g)


# From x, the gradient of the result, and the parameters.
_OF_X: dict[str, Callable[..., Any]] = {
    "relu": lambda x, g: np.where(x <= 0, 0, g),
    "leaky_relu": lambda x, g, slope: np.where(x > 0, g, g * slope),
    "relu6": lambda x, g: _inside(x, g, 0, 6),
    "hardtanh": _inside,
    "elu": _elu,
    "selu": lambda x, g: SELU_SCALE * _elu(x, g, SELU_ALPHA),
    "celu": lambda x, g, alpha: np.where(x <= 0, g * np.exp(np.minimum(x, 0) / alpha), g),
    "gelu": _gelu,
    "sigmoid": lambda x, g: g * (_sigmoid(x) * _sigmoid(-x)),
    "sigmoid_of_result": lambda y, g: g * (y * (1 - y)),
    "tanh": _tanh,
    "tanh_of_result": lambda y, g: g * (1 - y * y),
    "silu": _silu,
    "mish": _mish,
    "hardswish": lambda x, g: np.where(x <= -3, 0, np.where(x < 3, g * (x / 3 + 0.5), g)),
    "hardsigmoid": lambda x, g: np.where((x > -3) & (x < 3), g / 6, 0),
    "softplus": _softplus,
    "softsign": _softsign,
    "logsigmoid": lambda x, g: g * _sigmoid(-x),
    "tanhshrink": lambda x, g: g * np.tanh(x) ** 2,
    "hardshrink": _shrunk,
    "softshrink": _shrunk,
    "threshold": lambda x, g, limit, _: np.where(x <= limit, 0, g),
    # Of prelu, what each element adds to the gradient of its slope.
    "slope": lambda x, g: np.where(x > 0, 0, x * g),
}


def apply(name: str, x: Array, g: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...] = ()) -> Array:
    """Return the gradient of activation `name` with respect to x, from that of its result, computed in `dtype`.

    Names that end in "_of_result" take the result in the place of x.
    """
    function = _OF_X[name]
    return elementwise(lambda block, gradient: function(block, gradient, *parameters), dtype, x, g)


def prelu(x: Array, weight: Array, g: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the gradient of prelu with respect to x, and for every element its part of that of its slope."""
    by_x = elementwise(
        lambda block, slope, gradient: np.where(block > 0, gradient, slope * gradient), dtype, x, weight, g
    )
    return by_x, apply("slope", x, g, dtype)
