"""Layers in training together with what stands behind them: convolutions with an activation, normalisation with both.

A normalisation with residual and activation is one routine each way, which spares the memory between the steps; what a
convolution is cut off at costs nothing. The bits are those of the steps. What each layer needs for a `backward` of its
own is there, too: who calls layers one by one finds what there is without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import activation as functions
from striderule.functional.door import Array
from striderule.functional.gradients.activation import of_input
from striderule.nn.activation import ReLU, ReLU6
from striderule.nn.layer import Layer

# The words of activations that can stand behind, by their functions.
WORDS: dict[Callable[..., Any], str] = {functions.relu: "relu", functions.relu6: "relu6"}


@dataclass(slots=True)
class End:
    """What stands behind the normalisation that a chain of layers may end with, and, if it was one with it, the joint.

    `activation` is one of `WORDS`.
    """

    residual: Array | None = None
    activation: str | None = None
    joint: Joint | Chained | None = None


class Joint:
    """What one forward keeps for one backward.

    Attributes
    ----------
    y
        The result.
    before
        The gradient before the activation, once it was asked for by `take_over` and is known: that of the residual.
    """

    def __init__(self, x: Array, end: End, eps: float, momentum: float, weight: Array | None) -> None:
        self.x, self.activation, self.numbers = x, end.activation, (eps, momentum)
        # What training may change before the backward pass.
        self.weight = None if weight is None else weight.copy()
        self.trained = self._bound(end.activation, residual=end.residual is not None)
        self.y, self.statistics, self.before = x, x, x
        self._whole = self._apart = False

    def _bound(self, activation: str | None, *, residual: bool) -> Any:
        """Return what computes it, or None: see `striderule.algorithms.direct.trained_normalization`."""
        compute = table.generated("direct.trained_normalization")
        return None if compute is None else compute.bound(self.x.shape, activation, residual, *self.numbers)

    def forward(self, residual: Array | None, *numbers: Array | None) -> None:
        """Compute the result; `numbers` are bias, running mean and running variance of the channels."""
        self.y, self.statistics = self.trained.forward(self.x, residual, self.weight, *numbers)

    def take_over(self, *, apart: bool) -> None:
        """Let the normalisation be given the gradient behind the activation; `apart` where `before` is asked for."""
        self._whole, self._apart = True, apart

    def of_normalization(self, gy: Array) -> dict[str, Array | None]:
        """Return the gradients of x, weight and bias."""
        if gy.shape != self.x.shape:
            raise InvalidArgument(f"gy must have the shape of the result {self.x.shape}, got {gy.shape}")
        g = np.ascontiguousarray(gy, np.float32)
        alone = self.activation is not None and not self._whole
        trained = self._bound(None, residual=False) if alone else self.trained
        gx, by_weight, by_bias, self.before = trained.backward(
            self.x, g, self.y, self.weight, self.statistics, apart=self._apart
        )
        return {"x": gx, "weight": by_weight, "bias": by_bias}

    def of_activation(self, gy: Array) -> dict[str, Array | None]:
        """Return the gradient before the activation."""
        return {"x": gy if self.activation is None else of_input(self.activation, self.y, gy)}


class Chained:
    """What one forward of a convolution with an activation keeps for one backward; `y` is the result."""

    def __init__(self, back: Any, y: Array) -> None:
        self._back, self.y = back, y
        self._whole = False

    def take_over(self, *, apart: bool) -> None:  # noqa: ARG002 - there is no residual
        """Let the convolution be given the gradient behind the activation."""
        self._whole = True

    def of_convolution(self, gy: Array) -> dict[str, Array | None]:
        """Return the gradients of x, weight and bias."""
        found: dict[str, Array | None] = self._back(gy) if self._whole else self._back.of_sums(gy)
        return found

    def of_activation(self, gy: Array) -> dict[str, Array | None]:
        """Return the gradient before the activation."""
        return {"x": self._back.before(gy)}


def joint_of(pull: Any) -> Joint | Chained | None:
    """Return the joint that pulls a layer's gradient back, or None."""
    one = getattr(pull, "__self__", None)
    return one if isinstance(one, Joint | Chained) else None


def word_of(layer: Layer) -> str | None:
    """Return the word of a layer in training that is an activation of `WORDS` and nothing else."""
    plain = type(layer) in (ReLU, ReLU6) and layer.training and layer.input_gradient and "forward" not in vars(layer)
    return WORDS[type(layer).function] if plain else None  # type: ignore[attr-defined]  # activations have one
