"""Gradients of softmax and its logarithm in NumPy: sums in float64, piece after piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.normalization import _PIECE

Array = npt.NDArray[Any]


def softmax(y: Array, g: Array, axis: int, logarithm: bool, negative: bool) -> Array:
    """Return y * (g - sum of g * y) along the axis, for logarithms g - exp(y) * sum of g; minus that if `negative`.

    `y` is what softmax, or its logarithm, gave; `g` is the gradient with respect to it, of the same type.
    """
    result = np.empty_like(y, subok=False)
    across = next((other for other in range(y.ndim) if other != axis and y.shape[other] > 1), None)
    if across is None or y.size <= _PIECE:
        result[...] = _softmax(y, g, axis, logarithm, negative)
        return result
    step = max(1, _PIECE * y.shape[across] // y.size)
    for first in range(0, y.shape[across], step):
        piece = (slice(None),) * across + (slice(first, first + step),)
        result[piece] = _softmax(y[piece], g[piece], axis, logarithm, negative)
    return result


def _softmax(y: Array, g: Array, axis: int, logarithm: bool, negative: bool) -> Array:
    with np.errstate(all="ignore"):
        terms = g if logarithm else g * y
        total = np.add.reduce(terms, axis=axis, dtype=np.float64, keepdims=True).astype(y.dtype)
        found: Array = g - np.exp(y) * total if logarithm else y * (g - total)
        if negative:
            np.negative(found, out=found)
        return found
