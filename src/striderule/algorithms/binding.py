"""What an algorithm is told when a call is bound once and run many times.

A module of the table may offer ``bind`` beside its functions: told the problem and where the arrays stand, it answers
with a `Bound`, which does the whole call at once, or with None where it does not serve.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class ArrayInfo(NamedTuple):
    """An array without its values: shape, strides in bytes, and element type."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: Array) -> ArrayInfo:
        """Return what is known of an array.

        >>> ArrayInfo.of(np.zeros((2, 3), np.float32)).strides
        (12, 4)
        """
        return cls(array.shape, array.strides, array.dtype)


class Bound(Protocol):
    """A convolution of layers with its epilogue, bound to shapes, strides and types.

    Nothing is checked: the arrays are like those it was bound to. x, residual and out are seen as (batch, channels,
    *spatial), the weight with its canonical axes; bias is (channels,), compact and in the type of the sums.
    """

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Write activation(convolution(x, weight) + bias + residual) to out; out may be the residual."""

    def packed(self, weight: Array) -> Bound:
        """Return the same with this weight copied and packed; it ignores the weight that `run` is given."""
