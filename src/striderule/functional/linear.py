"""The linear layer's product, under PyTorch's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import door, prepared
from striderule.functional.door import Array
from striderule.functional.layers import Axes
from striderule.functional.planned import noted
from striderule.functional.recipes import Recipe, carried_out, clear_of, remembered_with_bfloat16
from striderule.functional.standin import stand_in
from striderule.geometry.problem import Convolution

# The most elements of a vector, and so many vectors of positions from which on none is summed in another way: between
# one and these, rows are filled up with zeros to whole vectors, so that sums do not depend on how many rows there are.
LANES, VECTORS = 16, 13


@dataclass(frozen=True, slots=True)
class LinearRecipe(Recipe):
    """The rest of a linear layer: a convolution of kernel 1 along its rows, of which there are `lines` with zeros."""

    roles: ClassVar[tuple[str, ...]] = ("x", "weight", "bias", "out")
    product: prepared.ConvolutionRecipe
    rows: int
    lines: int
    shape: tuple[int, ...]

    def run(self, *arrays: Any) -> Array | None:
        """Return the result, or None if `out` needs a closer look."""
        *operands, out = arrays
        return self.perform(*arrays) if clear_of(out, *operands) else None

    def perform(self, *arrays: Any) -> Array:
        """Return the result of arrays that are checked."""
        x, weight, bias, out = arrays
        result: Array = self.product.perform(filled(x, self.rows, self.lines), weight, bias, None, None)
        found: Array = result[: self.rows].reshape(self.shape)
        if out is not None:
            np.copyto(out, found)
            found = out
        return found

    def fixed(self, *between: Any) -> Callable[[Array, Array | None], Any]:
        """Return `run` as a function of x and out; the weight is packed if the algorithm packs it."""
        packed = replace(self, product=self.product.packed(between[0]))
        return lambda x, out: packed.run(x, *between, out)


def filled(x: Array, rows: int, lines: int) -> Array:
    """Return x as a matrix of so many rows, with rows of zeros behind them up to `lines`."""
    matrix = x.reshape(rows, x.shape[-1])
    if rows == lines:
        return matrix
    whole = np.zeros((lines, x.shape[-1]), x.dtype)
    whole[:rows] = matrix
    return whole


def lines_of(rows: int) -> int:
    """Return the rows that are computed where there are so many."""
    whole = -(-rows // LANES) * LANES
    return whole if 1 < rows < VECTORS * LANES else max(rows, 1)


@remembered_with_bfloat16
@door.accepts_input
def linear(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Mix the features of every row: the product of a fully connected layer.

    out[..., o] = bias[o] + sum over c of weight[o, c] * x[..., c]

    Parameters
    ----------
    x
        (..., features): any axes may lead, or none.
    weight
        (out features, features).
    bias
        (out features,), added to every row. Default: none.
    dtype, precision, algorithm
        As in `conv2d`. Floats take ``"direct"`` where code can be made, whatever the number of rows.
    out
        Array to write the result to; it must not overlap an operand.

    Returns
    -------
    numpy.ndarray
        (..., out features). What a row gives does not depend on the others.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    The formula is that of torch.nn.Linear: Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.1.

    Examples
    --------
    >>> linear([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, -1.0], [0.0, 1.0]], [0.0, 0.0, 10.0])
    array([[ 3., -1., 12.],
           [ 7., -1., 14.]])
    """
    x, weight = door.stored(x, "x"), door.stored(weight, "weight")
    if weight.ndim != 2:
        raise InvalidArgument(f"linear needs a weight (out features, features), got the shape {weight.shape}")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise InvalidArgument(
            f"weight has {weight.shape[1]} features, so the last axis of x must have as many, got the shape {x.shape}"
        )
    shape = (*x.shape[:-1], weight.shape[0])
    rows = prod(shape[:-1])
    lines = lines_of(rows)
    compiles = table.generated("direct.convolution") is not None
    if algorithm is None and compiles and "f" in (x.dtype.kind, weight.dtype.kind):
        algorithm = "direct"
    kind = prepared.Kind("convolution", Convolution.from_shapes, (1, 2))
    axes, matrix = Axes(1, 1, last=True), filled(x, rows, lines)
    words: dict[str, Any] = {"fill": 0, "dtype": dtype, "precision": precision, "algorithm": algorithm}
    ready = prepared.prepare(kind, axes, matrix, weight[:, :, None], {}, bias=bias, **words)
    operands = [one for one in (x, weight, ready.arrays[2]) if one is not None]
    door.check_out(out, shape, ready.dtype, operands)
    if noted.get() is not None:
        ready.compute()
        return stand_in(shape, ready.dtype)
    recipe = LinearRecipe(ready.bound(), rows, lines, shape)
    result: Array = carried_out(recipe, x, weight, ready.arrays[2], out)
    return result
