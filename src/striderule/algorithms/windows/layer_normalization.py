"""Layer normalisation in NumPy: lines along the middle axis of (outer, length, inner), block after block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.blocks import BLOCK_ELEMENTS

Array = npt.NDArray[Any]


def layer(
    x: Array, weight: Array | None, bias: Array | None, eps: float, out: Array, statistics: Array | None = None
) -> None:
    """Write (x - mean) / sqrt(var + eps) * weight + bias to `out`, which may be x, with mean and variance of each line.

    And mean and 1 / sqrt(var + eps) to `statistics`, of the shape (2, outer, inner).
    """
    with np.errstate(all="ignore"):
        for part in pieces(x.shape):
            block = x[part].astype(np.float64)
            mean = block.mean(axis=1, keepdims=True)
            block -= mean
            factor = 1 / np.sqrt(np.einsum("olp,olp->op", block, block)[:, None] / x.shape[1] + eps)
            block *= factor
            if weight is not None:
                block *= weight[:, None]
            if bias is not None:
                block += bias[:, None]
            out[part] = block
            if statistics is not None:
                statistics[0][part[::2]], statistics[1][part[::2]] = mean[:, 0], factor[:, 0]


def pieces(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """Yield what cuts (outer, length, inner) into blocks of whole lines, of about `BLOCK_ELEMENTS`."""
    outer, length, inner = shape
    wide = max(1, min(inner, BLOCK_ELEMENTS // max(1, length)))
    high = max(1, BLOCK_ELEMENTS // max(1, length * wide))
    for first in range(0, outer, high):
        for start in range(0, inner, wide):
            yield slice(first, first + high), slice(None), slice(start, start + wide)
