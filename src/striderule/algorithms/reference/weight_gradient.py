"""The gradient of a weight, written as its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import every, narrow, value_at, wide, window_position
from striderule.geometry.gradients import WeightGradient

Array = npt.NDArray[Any]


def weight_gradient(problem: WeightGradient, x: Array, gy: Array) -> Array:
    """gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j * stride + t * dilation - before]."""
    plain = problem.plain
    x, gy = wide(x), wide(gy)
    out = np.zeros(problem.output_shape, object)
    per_in, per_out = plain.in_channels // plain.groups, plain.out_channels // plain.groups
    for o, c, *tap in every(problem.output_shape):
        for n, *j in every((plain.batch, *plain.output_size)):
            channel = o // per_out * per_in + c
            value = value_at(x, (n, channel), window_position(tuple(j), tuple(tap), plain), plain, 0)
            if value is not None:
                out[(o, c, *tap)] += gy[(n, o, *j)] * value
    return narrow(out, plain.dtype)
