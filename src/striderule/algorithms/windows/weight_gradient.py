"""Gradients of weights from strided views and matrix products: one product for each tap."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.convolution import chained_matmul, meeting
from striderule.geometry.gradients import WeightGradient

Array = npt.NDArray[Any]


def weight_gradient(problem: WeightGradient, x: Array, gy: Array) -> Array:
    """gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j * stride + t * dilation - before]."""
    plain, dtype = problem.plain, np.dtype(problem.dtype)
    groups = plain.groups
    out = np.zeros(problem.output_shape, dtype)
    if out.size == 0 or problem.terms == 0:
        return out
    sums = out.reshape(groups, plain.out_channels // groups, plain.in_channels // groups, *plain.kernel)
    counts = tuple(slice(0, n) for n in plain.output_size)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for tap in np.ndindex(*plain.kernel):
            axes = zip(tap, plain.dilation, plain.padding, strict=True)
            met = meeting(counts, plain.stride, tuple(t * d - before for t, d, (before, _) in axes), plain.size)
            if met is not None:
                used, reached = met
                left = _matrix(gy[(slice(None), slice(None), *used)], groups, dtype)
                right = _matrix(x[(slice(None), slice(None), *reached)], groups, dtype)
                sums[(..., *tap)] = chained_matmul(left, right.transpose(0, 2, 1))
    return out


def _matrix(part: Array, groups: int, dtype: np.dtype[Any]) -> Array:
    """Return (batch, channels, *positions) as (groups, channels / groups, batch * positions)."""
    batch, channels = part.shape[:2]
    turned = part.reshape(batch, groups, channels // groups, -1).transpose(1, 2, 0, 3)
    return turned.reshape(groups, channels // groups, batch * prod(part.shape[2:])).astype(dtype, copy=False)
