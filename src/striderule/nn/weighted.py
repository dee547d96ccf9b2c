"""What layers of convolutions have in common: channels, groups and kernels that are checked, and weights drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.functional import door
from striderule.functional.layers import activation_of
from striderule.geometry.arguments import integer, per_axis
from striderule.nn.initial import random_weight
from striderule.nn.layer import Operation
from striderule.nn.parameter import Held
from striderule.planning import precision_word

Array = NDArray[Any]

# The axes behind batch and channels, in words.
SPATIAL = ("", "length", "rows, columns", "planes, rows, columns")


class Weighted(Operation):
    """What layers with learned weights have in common: what is checked of them, and how they are drawn."""

    rank: ClassVar[int] = 2
    function: ClassVar[Callable[..., Any]]
    # The attributes that the function gets under their own names, beside weight and bias.
    _NAMES: ClassVar[tuple[str, ...]] = ("stride", "padding", "dilation", "groups", "activation", "precision")
    weight = Held()
    bias = Held()

    def _keep(
        self, in_channels: int, out_channels: int, groups: int, kernel_size: Any, activation: Any, precision: str | None
    ) -> None:
        """Keep what is asked for; all of it is checked here, where it is written, not at the first input."""
        self.in_channels, self.out_channels = count(in_channels, "in_channels"), count(out_channels, "out_channels")
        self.groups = groups_of(groups, self.in_channels, self.out_channels)
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size", 1)
        self.activation, self.precision = activation, precision
        activation_of(activation)
        precision_word(precision)

    def _draw(self, shape: tuple[int, ...], init: Any, seed: Any, fan_in: float, bias: bool) -> None:
        """Draw the weights of a shape for `fan_in` products in a sum."""
        fans = (fan_in, self.out_channels // self.groups * math.prod(self.kernel_size))
        self.weight = random_weight(shape, init, seed, fans=fans)
        self.bias = np.zeros(self.out_channels, np.float32) if bias else None

    def forward(self, x: ArrayLike) -> Array:
        """Return the output for a batch, (batch, in_channels, *spatial), or for one of it."""
        return super().forward(checked(x, self.in_channels, self.rank))

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function, and its arguments behind x."""
        words = {name: getattr(self, name) for name in self._NAMES}
        return type(self).function, {"weight": self.weight, "bias": self.bias, **words}


def checked(x: ArrayLike, channels: int, rank: int) -> Array:
    """Return an input as an array; refuse axes and channels that a layer is not made for."""
    image = door.array(x, "x")
    if image.ndim not in (rank + 1, rank + 2) or image.shape[-1 - rank] != channels:
        axes = SPATIAL[rank]
        raise InvalidArgument(
            f"x must be (batch, {channels}, {axes}) or ({channels}, {axes}) for this layer, got the shape {image.shape}"
        )
    return image


def count(value: Any, argument: str) -> int:
    """Return a number of channels, at least 1."""
    found = integer(value, argument)
    if found < 1:
        raise InvalidArgument(f"{argument} must be at least 1, got {found}")
    return found


def groups_of(value: Any, in_channels: int, out_channels: int) -> int:
    """Return a number of groups that divides both counts of channels."""
    groups = count(value, "groups")
    if in_channels % groups or out_channels % groups:
        raise InvalidArgument(
            f"groups must divide in_channels and out_channels, got groups={groups}, in_channels={in_channels} and "
            f"out_channels={out_channels}"
        )
    return groups
