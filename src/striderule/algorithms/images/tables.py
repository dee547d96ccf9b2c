"""Where the positions around an image are found in it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FILL = -1


@lru_cache(maxsize=512)
def shown(size: int, start: int, stop: int, words: tuple[str, str]) -> Array:
    """Return which element of an axis stands at each position from `start` up to `stop`; -1: the fill value.

    `words` are the boundaries before and behind the axis, which has at least one element. The array is read-only.

    >>> shown(3, -2, 6, ("mirror", "constant"))
    array([ 2,  1,  0,  1,  2, -1, -1, -1])
    """
    positions = np.arange(start, stop)
    result = positions.copy()
    for word, outside in zip(words, (positions < 0, positions >= size), strict=True):
        result[outside] = _folded(positions[outside], size, word)
    result.setflags(write=False)
    return result


def _folded(positions: Array, size: int, word: str) -> Array | int:
    if word == "constant":
        return FILL
    if word == "edge":
        return np.clip(positions, 0, size - 1)
    if word == "wrap":
        return positions % size
    if word == "mirror" and size == 1:
        return np.zeros_like(positions)
    period, last = (2 * size, 2 * size - 1) if word == "symmetric" else (2 * size - 2, 2 * size - 2)
    folded = positions % period
    return np.where(folded < size, folded, last - folded)
