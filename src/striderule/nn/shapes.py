"""Layers that change the shape alone."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.functional import door
from striderule.nn.layer import Array, Layer


class Flatten(Layer):
    """Joins axes to one, in their order: what stands between convolutions and `Linear`.

    Parameters
    ----------
    start_dim, end_dim
        The first and the last of the joined axes. Defaults: 1 and -1, all but the batch.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim
        self._shape: tuple[int, ...] | None = None

    def forward(self, x: ArrayLike) -> Array:
        """Return the array with its axes joined."""
        value = door.array(x, "x")
        first, last = (axis + value.ndim if axis < 0 else axis for axis in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < value.ndim:
            raise InvalidArgument(
                f"start_dim and end_dim must be axes of x in this order, got {self.start_dim} and {self.end_dim} for "
                f"the shape {value.shape}"
            )
        self._shape = value.shape
        return value.reshape(*value.shape[:first], prod(value.shape[first : last + 1]), *value.shape[last + 1 :])

    def backward(self, gy: ArrayLike) -> NDArray[np.generic] | None:
        """Return the gradient in the shape of the last input."""
        if self._shape is None:
            raise InvalidArgument("backward of Flatten needs a forward before")
        return np.asarray(gy).reshape(self._shape)

    def __repr__(self) -> str:
        usual = (self.start_dim, self.end_dim) == (1, -1)
        return "Flatten()" if usual else f"Flatten(start_dim={self.start_dim}, end_dim={self.end_dim})"
