"""Activations in NumPy, block after block.

Exponentials are only taken of numbers that are not positive, so nothing overflows on the way to a finite result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.blocks import elementwise
from striderule.algorithms.windows.erf import COEFFICIENTS, SINGLE, erfc_positive

Array = npt.NDArray[Any]

# Klambauer et al., "Self-Normalizing Neural Networks" (arXiv:1706.02515).
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _relu(x: Array) -> Any:
    return np.maximum(x, x.dtype.type(0))


def _leaky_relu(x: Array, slope: float) -> Any:
    return np.where(x > 0, x, slope * x)


def _clip(x: Array, low: float, high: float) -> Any:
    return np.minimum(np.maximum(x, x.dtype.type(low)), x.dtype.type(high))


def _elu(x: Array, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _selu(x: Array) -> Any:
    return SELU_SCALE * _elu(x, SELU_ALPHA)


def _celu(x: Array, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _gelu(x: Array, approximate: str) -> Any:
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + np.tanh(inner))
    wide = x.astype(np.float64)
    terms = len(COEFFICIENTS) if x.dtype == np.float64 else SINGLE
    # Phi(x) = erfc(-x / sqrt 2) / 2; the tail keeps its digits where 1 + erf(x / sqrt 2) would cancel.
    tail = 0.5 * erfc_positive(np.abs(wide) / math.sqrt(2), terms)
    return wide * np.where(wide > 0, 1 - tail, tail)


def _sigmoid(x: Array) -> Any:
    if x.dtype.kind == "c":
        small = np.exp(np.where(x.real > 0, -x, x))
        return np.where(x.real > 0, 1, small) / (1 + small)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def _silu(x: Array) -> Any:
    return x * _sigmoid(x)


def _log1p_exp(x: Array) -> Any:
    """Return log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _mish(x: Array) -> Any:
    return x * np.tanh(_log1p_exp(x))


def _hardswish(x: Array) -> Any:
    return x * _clip(x + 3, 0, 6) / 6


def _hardsigmoid(x: Array) -> Any:
    return _clip(x + 3, 0, 6) / 6


def _softplus(x: Array, beta: float, threshold: float) -> Any:
    scaled = x * beta
    return np.where(scaled > threshold, x, _log1p_exp(scaled) / beta)


def _logsigmoid(x: Array) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _softshrink(x: Array, limit: float) -> Any:
    return np.where(x > limit, x - limit, np.where(x < -limit, x + limit, np.where(np.isnan(x), x, 0)))


_BLOCKS: dict[str, Callable[..., Any]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "relu6": lambda x: _clip(x, 0, 6),
    "hardtanh": _clip,
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "gelu": _gelu,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "silu": _silu,
    "mish": _mish,
    "hardswish": _hardswish,
    "hardsigmoid": _hardsigmoid,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "logsigmoid": _logsigmoid,
    "tanhshrink": lambda x: x - np.tanh(x),
    "hardshrink": lambda x, limit: np.where((x >= -limit) & (x <= limit), x.dtype.type(0), x),
    "softshrink": _softshrink,
    "threshold": lambda x, limit, value: np.where(x <= limit, x.dtype.type(value), x),
}


def apply(name: str, x: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...] = ()) -> Array:
    """Return the activation `name` of every element, computed in `dtype`."""
    function = _BLOCKS[name]
    return elementwise(lambda block: function(block, *parameters), dtype, x)


def length(x: Array, other: Array, out: Array | None = None) -> Array:
    """Return sqrt(x^2 + other^2), which overflows only where the result does."""
    with np.errstate(all="ignore"):
        return np.asarray(np.hypot(x, other, out=out))


def direction(y: Array, x: Array, out: Array | None = None) -> Array:
    """Return arctan2(y, x)."""
    return np.asarray(np.arctan2(y, x, out=out))


def prelu(x: Array, weight: Array, dtype: np.dtype[Any]) -> Array:
    """Return x where positive, elsewhere weight * x; the weight is broadcast to x."""
    return elementwise(lambda block, slope: np.where(block > 0, block, slope * block), dtype, x, weight)
