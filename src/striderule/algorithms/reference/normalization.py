"""Softmax and normalisations, written as their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import every, wide

Array = npt.NDArray[Any]


def softmax(x: Array, axis: int, logarithm: bool) -> Array:
    """Return exp(x) / sum of exp(x) along the axis, or its logarithm, both shifted by the largest on the axis."""
    result = np.empty(x.shape, np.float64)
    lines, out = np.moveaxis(wide(x), axis, -1), np.moveaxis(result, axis, -1)
    for index in every(lines.shape[:-1]):
        line = [float(number) for number in lines[index]]
        out[index] = _softmax_line(line, logarithm)
    return result


def _softmax_line(line: list[float], logarithm: bool) -> list[float]:
    if not line:
        return []
    largest = max(line)
    if math.isinf(largest) or any(map(math.isnan, line)):
        return [math.nan] * len(line)  # infinity minus infinity stands in the definition, or NaN stood in the line
    total = math.fsum(math.exp(number - largest) for number in line)
    if logarithm:
        return [number - largest - math.log(total) for number in line]
    return [math.exp(number - largest) / total for number in line]


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Return the mean of each channel over batch and space, and the sum of the squares of what is left."""
    means, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    numbers = wide(x)
    for c in range(x.shape[1]):
        values = [float(number) for number in numbers[:, c].ravel()]
        mean = sum(values) / len(values)
        means[c], squares[c] = mean, sum((value - mean) * (value - mean) for value in values)
    return means, squares


def normalize(x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Return (x - mean) / sqrt(var + eps) * weight + bias for each channel (axis 1)."""
    result = np.empty(x.shape, np.float64)
    channels = x.shape[1]
    weights = np.ones(channels) if weight is None else weight
    numbers, means, spreads, scales = wide(x), wide(mean), wide(var), wide(weights)
    shifts = wide(np.zeros(channels) if bias is None else bias)
    for n, c, *rest in every(x.shape):
        slope = _quotient(float(scales[c]), float(spreads[c]) + eps, 0.5)
        result[(n, c, *rest)] = (float(numbers[(n, c, *rest)]) - means[c]) * slope + shifts[c]
    return result


def local_response(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Return x / (k + alpha / size * sum of x**2 over `size` neighbouring channels) ** beta."""
    result = np.empty(x.shape, np.float64)
    numbers = wide(x)
    for n, c, *rest in every(x.shape):
        first, last = max(0, c - size // 2), min(x.shape[1] - 1, c + (size - 1) // 2)
        total = sum(float(numbers[(n, near, *rest)]) ** 2 for near in range(first, last + 1))
        result[(n, c, *rest)] = _quotient(float(numbers[(n, c, *rest)]), k + alpha / size * total, beta)
    return result


def _quotient(x: float, base: float, beta: float) -> float:
    """Return x / base ** beta as floating-point arithmetic defines it where base is zero or negative."""
    if base < 0 and beta != int(beta):
        return math.nan
    at_zero = 0.0 if beta > 0 else math.inf if beta < 0 else 1.0
    power = base**beta if base else at_zero
    if power == 0:
        return math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x)
    return x / power
