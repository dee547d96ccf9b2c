"""Batch normalisation in training with residual and activation, step by step in NumPy: the oracle of a trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows import elementwise_gradient, normalization, normalization_gradient

Array = npt.NDArray[Any]
HIGH = {"relu": np.inf, "relu6": 6.0}


def both_ways(x: Array, weight: Array, bias: Array, activation: str | None, residual: bool) -> tuple[Array, ...]:
    """Return activation(normalised x + x), with eps = 4, mean and factor, and the gradients for that of x turned.

    Those are of x, weight, bias and of what comes before the activation.
    """
    y, mean, squares = normalization.normalized_units(x, weight, bias, 4.0)
    factor = 1 / np.sqrt(squares / (x.size // x.shape[1]) + 4.0)
    y = (y + x if residual else y).astype(x.dtype)
    gz = x[::-1]
    if activation is not None:
        y = np.clip(y, 0, HIGH[activation])
        gz = elementwise_gradient.apply(activation, y, gz, x.dtype, ())
    gx, gweight, gbias = normalization_gradient.units(x, gz, weight.astype(np.float64), mean, factor)
    return y, np.stack([mean, factor]), gx, gweight.astype(x.dtype), gbias.astype(x.dtype), gz
