"""Resampling, written as its definition."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import every, wide
from striderule.geometry.interpolation import Resampling

Array = npt.NDArray[Any]


def resample(problem: Resampling, x: Array, _: np.dtype[Any]) -> Array:
    """Return the sum of the elements around each place, each weighted by how near it is."""
    axes = [problem.taps(axis) for axis in range(len(problem.output_size))]
    if not problem.linear:
        result = np.empty(problem.output_shape, x.dtype)
        for n, c, *place in every(result.shape):
            result[(n, c, *place)] = x[(n, c, *(taps.lower[j] for taps, j in zip(axes, place, strict=True)))]
        return result
    numbers = wide(x)
    result = np.zeros(problem.output_shape, numbers.dtype)
    for n, c, *place in every(result.shape):
        ends = []
        for (lower, upper, share), j in zip(axes, place, strict=True):
            assert share is not None  # in linear modes
            ends.append(((lower[j], 1 - share[j]), (upper[j], share[j])))
        with np.errstate(all="ignore"):
            terms = [
                numbers[(n, c, *(at for at, _ in corner))] * math.prod(near for _, near in corner)
                for corner in product(*ends)
            ]
            result[(n, c, *place)] = sum(terms[1:], terms[0])
    return result
