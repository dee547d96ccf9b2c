"""Every activation, in one place."""

from __future__ import annotations

from striderule.functional.exponential import celu, elu, selu
from striderule.functional.gates import gelu, hardswish, mish, silu
from striderule.functional.rectifiers import hardtanh, leaky_relu, prelu, relu, relu6
from striderule.functional.shrinks import hardshrink, softshrink, tanhshrink, threshold
from striderule.functional.sigmoids import hardsigmoid, logsigmoid, sigmoid, softplus, softsign, tanh
from striderule.functional.softmax import log_softmax, softmax, softmin

# Those that treat every element by itself with numbers for parameters, so that a layer may name them as its activation.
ELEMENTWISE = (
    "celu",
    "elu",
    "gelu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
)

__all__ = [
    "ELEMENTWISE",
    "celu",
    "elu",
    "gelu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]
