"""Pixel shuffle, written as its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import every

Array = npt.NDArray[Any]


def pixel_shuffle(x: Array, factor: int) -> Array:
    """out[..., c, i, j] = x[..., c r r + (i mod r) r + j mod r, i // r, j // r]."""
    *lead, channels, height, width = x.shape
    result = np.empty((*lead, channels // factor**2, height * factor, width * factor), x.dtype)
    for *index, c, i, j in every(result.shape):
        channel = c * factor**2 + i % factor * factor + j % factor
        result[(*index, c, i, j)] = x[(*index, channel, i // factor, j // factor)]
    return result


def pixel_unshuffle(x: Array, factor: int) -> Array:
    """out[..., c r r + i r + j, y, z] = x[..., c, y r + i, z r + j]."""
    *lead, channels, height, width = x.shape
    result = np.empty((*lead, channels * factor**2, height // factor, width // factor), x.dtype)
    for *index, channel, y, z in every(result.shape):
        c, place = divmod(channel, factor**2)
        i, j = divmod(place, factor)
        result[(*index, channel, y, z)] = x[(*index, c, y * factor + i, z * factor + j)]
    return result
