"""What all layers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from numpy.typing import ArrayLike, NDArray


class Layer(ABC):
    """A function of an array that may hold arrays of its own: its parameters.

    A layer defines `forward`; calling it is the same. Its parameters are the attributes named in `parameter_names`.
    """

    parameter_names: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Return the layer's output for the input `x`."""

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """Return ``forward(x)``."""
        return self.forward(x)

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return the layer's own arrays by name: not copies, so changing one in place changes the layer."""
        return {name: getattr(self, name) for name in self.parameter_names}
