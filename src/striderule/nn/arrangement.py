"""Layers that arrange axes, and scale channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.functional.door import array
from striderule.nn.layer import Layer
from striderule.nn.parameter import Held

Array = NDArray[Any]


class Permute(Layer):
    """Axes in another order: a view, nothing is copied.

    Parameters
    ----------
    axes
        For each axis of the result, which axis of the input it is, as for `numpy.transpose`.

    Examples
    --------
    >>> Permute((0, 2, 3, 1))(np.zeros((1, 3, 8, 9), np.float32)).shape
    (1, 8, 9, 3)
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = tuple(int(axis) for axis in axes)
        if sorted(self.axes) != list(range(len(self.axes))):
            raise InvalidArgument(f"axes must name each axis once, from 0 on, got {axes}")

    def forward(self, x: ArrayLike) -> Array:
        """Return the input with its axes in the other order."""
        return array(x, "x").transpose(self.axes)

    def backward(self, gy: ArrayLike) -> Array:
        """Return the gradient with its axes in the order of the input."""
        return np.asarray(gy).transpose(np.argsort(self.axes))

    def __repr__(self) -> str:
        return f"Permute({self.axes})"


class LayerScale(Layer):
    """Every channel times a learned number: y[n, c, ...] = layer_scale[c] * x[n, c, ...].

    Source: Touvron, Cord, Sablayrolles, Synnaeve and Jegou, arXiv:2103.17239, section 2.

    Parameters
    ----------
    channels
        How many.
    start
        What the numbers are at first: small, so that a residual block begins as the identity. Default 1e-6.
    axes
        Spatial axes behind the channels. Default 2.

    Examples
    --------
    >>> float(LayerScale(3, start=0.5)(np.ones((1, 3, 2, 2), np.float32)).sum())
    6.0
    """

    layer_scale = Held()

    def __init__(self, channels: int, start: float = 1e-6, *, axes: int = 2) -> None:
        self.layer_scale = np.full((channels, *(1,) * axes), start, np.float32)
        self._x: Array | None = None

    def forward(self, x: ArrayLike) -> Array:
        """Return the scaled channels."""
        image = array(x, "x")
        self._x = image if self.training else None
        scaled: Array = image * self.layer_scale
        return scaled

    def backward(self, gy: ArrayLike) -> Array | None:
        """Return the scaled gradient, and add that of the numbers up."""
        gradient, x = np.asarray(gy), self._x
        if x is None:
            raise InvalidArgument("backward of LayerScale needs a forward in training mode before each")
        self._x = None
        one = self.held()["layer_scale"]
        assert one is not None  # it always has one
        if one.trained:
            rest = tuple(axis for axis in range(x.ndim) if axis != x.ndim - self.layer_scale.ndim)
            sums = (gradient * x).sum(axis=rest, dtype=np.float64)
            one.add_gradient(sums.reshape(self.layer_scale.shape).astype(self.layer_scale.dtype))
        return gradient * self.layer_scale if self.input_gradient else None

    def release(self) -> None:
        """Forget what the last `forward` kept."""
        self._x = None
