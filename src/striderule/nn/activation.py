"""Activation layers: the functions of `striderule` as layers, under PyTorch's names.

Each takes the parameters of its function. `inplace` is taken for the sake of code written for PyTorch and changes
nothing: what a gradient needs is kept.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from striderule.errors import InvalidType
from striderule.functional import activation as functions
from striderule.nn.layer import Operation
from striderule.nn.parameter import Held

# What is a matter of the call, not of the mathematics.
_OF_CALLS = ("x", "inplace", "algorithm", "out", "dtype")


class Activation(Operation):
    """A function of every element, or along an axis, that has no weights.

    Parameters
    ----------
    *values, **words
        The parameters of the function, under its names and with its defaults.

    Attributes
    ----------
    parameters_of_function
        By name.
    """

    function: ClassVar[Callable[..., Any]]

    def __init__(self, *values: Any, **words: Any) -> None:
        try:
            bound = inspect.signature(type(self)).bind(*values, **words)
        except TypeError as error:
            raise InvalidType(f"{type(self).__name__} does not take these arguments: {error}") from None
        bound.apply_defaults()
        self.words = {name: value for name, value in bound.arguments.items() if name != "inplace"}

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function and its parameters."""
        return type(self).function, dict(self.words)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.words.items())})"


def _layer(name: str, function: Callable[..., Any]) -> type[Activation]:
    """Return the layer of a function; its signature has the parameters of that."""
    found = inspect.signature(function).parameters.values()
    own = [one for one in found if one.name not in _OF_CALLS or one.name == "inplace"]
    own = [one.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in own]
    words = ", ".join(f"`{one.name}`" for one in own if one.name != "inplace")
    text = f"`striderule.{function.__name__}` as a layer{f', with its {words}' if words else ''}."
    body = {"function": staticmethod(function), "__doc__": text, "__module__": __name__}
    kind = type(name, (Activation,), body)
    kind.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]  # what `inspect` looks for
    return kind


ReLU = _layer("ReLU", functions.relu)
LeakyReLU = _layer("LeakyReLU", functions.leaky_relu)
ReLU6 = _layer("ReLU6", functions.relu6)
ELU = _layer("ELU", functions.elu)
SELU = _layer("SELU", functions.selu)
CELU = _layer("CELU", functions.celu)
GELU = _layer("GELU", functions.gelu)
SiLU = _layer("SiLU", functions.silu)
Mish = _layer("Mish", functions.mish)
Sigmoid = _layer("Sigmoid", functions.sigmoid)
LogSigmoid = _layer("LogSigmoid", functions.logsigmoid)
Tanh = _layer("Tanh", functions.tanh)
Tanhshrink = _layer("Tanhshrink", functions.tanhshrink)
Hardtanh = _layer("Hardtanh", functions.hardtanh)
Hardswish = _layer("Hardswish", functions.hardswish)
Hardsigmoid = _layer("Hardsigmoid", functions.hardsigmoid)
Hardshrink = _layer("Hardshrink", functions.hardshrink)
Softshrink = _layer("Softshrink", functions.softshrink)
Softplus = _layer("Softplus", functions.softplus)
Softsign = _layer("Softsign", functions.softsign)
Threshold = _layer("Threshold", functions.threshold)
Softmax = _layer("Softmax", functions.softmax)
Softmin = _layer("Softmin", functions.softmin)
LogSoftmax = _layer("LogSoftmax", functions.log_softmax)


class PReLU(Operation):
    """x where positive, elsewhere weight * x with learned slopes: `striderule.prelu` as a layer.

    Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", arXiv:1502.01852.

    Parameters
    ----------
    num_parameters
        Slopes: 1 (default), or one for each channel.
    init
        What they are at first. Default: 0.25.

    Examples
    --------
    >>> PReLU()([[-4.0, 4.0]])
    array([[-1.,  4.]])
    """

    weight = Held()

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.weight = np.full(num_parameters, init, np.float32)

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function and its slopes."""
        return functions.prelu, {"weight": self.weight}

    def __repr__(self) -> str:
        return f"PReLU({self.weight.size})"
