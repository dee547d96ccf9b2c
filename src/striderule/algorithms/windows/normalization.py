"""Softmax and normalisations in NumPy: sums in float64, results block after block."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.blocks import BLOCK_ELEMENTS, planes

Array = npt.NDArray[Any]
# Elements whose softmax is taken at a time.
_PIECE = 1 << 18


def softmax(x: Array, axis: int, logarithm: bool) -> Array:
    """Return exp(x - m) / sum exp(x - m), or its logarithm x - m - log(sum exp(x - m)), with m the largest on the axis.

    Shifting by m changes nothing in exact arithmetic and keeps every exponential at most 1. float16 gives float32.
    """
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    if x.size == 0:
        return x.copy()
    across = next((other for other in range(x.ndim) if other != axis and x.shape[other] > 1), None)
    if across is None or x.size <= _PIECE:
        return _softmax(x, axis, logarithm)
    result = np.empty_like(x, subok=False)
    step = max(1, _PIECE * x.shape[across] // x.size)
    for first in range(0, x.shape[across], step):
        piece = (slice(None),) * across + (slice(first, first + step),)
        result[piece] = _softmax(x[piece], axis, logarithm)
    return result


def _softmax(x: Array, axis: int, logarithm: bool) -> Array:
    with np.errstate(all="ignore"):
        shifted: Array = x - x.max(axis=axis, keepdims=True)
        powers = np.exp(shifted) if logarithm else np.exp(shifted, out=shifted)
        total = np.add.reduce(powers, axis=axis, dtype=np.float64, keepdims=True)
        if logarithm:
            return np.subtract(shifted, np.log(total), out=shifted, casting="unsafe")
        return np.divide(shifted, total, out=shifted, casting="unsafe")


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Return the mean of each channel over batch and space, and the sum of the squares of what is left."""
    channels = x.shape[1]
    count = x.size // max(channels, 1)
    mean, squares = np.zeros(channels), np.zeros(channels)
    with np.errstate(all="ignore"):
        for n, part in planes(x.shape):
            mean[part] += x[n, part].reshape(-1, prod(x.shape[2:])).sum(axis=1, dtype=np.float64)
        mean /= count
        for n, part in planes(x.shape):
            rest = x[n, part].reshape(-1, prod(x.shape[2:])).astype(np.float64)
            rest -= mean[part, None]
            squares[part] += np.einsum("cp,cp->c", rest, rest)
    return mean, squares


def normalize(x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Return (x - mean) / sqrt(var + eps) * weight + bias for each channel (axis 1), rounded once."""
    with np.errstate(all="ignore"):
        scale = 1 / np.sqrt(var.astype(np.float64) + eps)
        if weight is not None:
            scale *= weight
    shift = np.zeros(x.shape[1]) if bias is None else bias.astype(np.float64)
    return _scale_shift(x, mean.astype(np.float64), scale, shift)


def normalized_units(
    x: Array, weight: Array | None, bias: Array | None, eps: float, groups: int | None = None
) -> tuple[Array, Array, Array]:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, means, and sums of squared distances from them.

    Means are those of channels over all images, (channels,), or, given a number of `groups`, of these in each image,
    (batch, groups).
    """
    if groups is None:
        mean, squares = batch_statistics(x)
        count = x.size // max(x.shape[1], 1)
        return normalize(x, mean, squares / max(count, 1), weight, bias, eps), mean, squares
    batch, channels = x.shape[:2]
    seen = x.reshape(1, batch * groups, -1)
    mean, squares = batch_statistics(seen)
    each = channels // groups
    means, spreads = (np.repeat(one, each) for one in (mean, squares / max(seen.shape[2], 1)))
    steep, shift = (None if one is None else np.tile(one, batch) for one in (weight, bias))
    result = normalize(x.reshape(1, batch * channels, -1), means, spreads, steep, shift, eps)
    return result.reshape(x.shape), mean.reshape(batch, groups), squares.reshape(batch, groups)


def _scale_shift(x: Array, mean: Array, scale: Array, shift: Array) -> Array:
    result = np.empty(x.shape, np.result_type(x.dtype, np.float32))
    spread = (slice(None),) + (None,) * (x.ndim - 2)
    with np.errstate(all="ignore"):
        for n, part in planes(x.shape):
            block = x[n, part].astype(np.float64)
            block -= mean[part][spread]
            block *= scale[part][spread]
            block += shift[part][spread]
            result[n, part] = block
    return result


def local_response(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Return x / (k + alpha / size * sum of x**2 over `size` neighbouring channels) ** beta."""
    result = np.empty(x.shape, np.result_type(x.dtype, np.float32))
    channels = x.shape[1]
    rest = x.shape[2:]
    # Pieces of the first spatial axis: the sum runs over channels, so those must stay together.
    step = max(1, BLOCK_ELEMENTS // max(1, channels * prod(rest[1:])))
    with np.errstate(all="ignore"):
        for n in range(x.shape[0]):
            for first in range(0, rest[0], step):
                block = x[n, :, first : first + step].astype(np.float64)
                sums = near(block * block, size // 2, (size - 1) // 2)
                result[n, :, first : first + step] = block / (k + alpha / size * sums) ** beta
    return result


def near(values: Array, before: int, after: int) -> Array:
    """Return the sums over the channels (the first axis) c - before to c + after, as far as there are any."""
    sums = np.zeros_like(values)
    channels = len(values)
    for offset in range(max(-before, 1 - channels), min(after, channels - 1) + 1):
        low, high = max(0, -offset), min(channels, channels - offset)
        sums[low:high] += values[low + offset : high + offset]
    return sums
