"""Layer normalisation, written as its definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import wide

Array = npt.NDArray[Any]


def layer(
    x: Array, weight: Array | None, bias: Array | None, eps: float, out: Array, statistics: Array | None = None
) -> None:
    """Write (x - mean) / sqrt(var + eps) * weight + bias to `out`, along the middle one of three axes.

    And mean and 1 / sqrt(var + eps) to `statistics`, of the shape (2, outer, inner).
    """
    numbers, length = wide(x), x.shape[1]
    steep = [1.0] * length if weight is None else [float(one) for one in weight]
    shift = [0.0] * length if bias is None else [float(one) for one in bias]
    for n in range(x.shape[0]):
        for p in range(x.shape[2]):
            values = [float(one) for one in numbers[n, :, p]]
            mean = sum(values) / length
            spread = sum((value - mean) * (value - mean) for value in values) / length + eps
            factor = math.inf if spread == 0 else 1 / math.sqrt(spread)
            for c, value in enumerate(values):
                with np.errstate(over="ignore"):
                    out[n, c, p] = (value - mean) * factor * steep[c] + shift[c]
            if statistics is not None:
                statistics[0, n, p], statistics[1, n, p] = mean, factor
