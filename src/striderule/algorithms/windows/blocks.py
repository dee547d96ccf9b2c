"""Work in pieces, so that no temporary array is larger than a few megabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Half a mebibyte of float64 fits the second-level cache of current processors beside its result.
BLOCK_ELEMENTS = 65_536


def planes(shape: tuple[int, ...]) -> Iterator[tuple[int, slice]]:
    """Yield (image, channels) that cut an array (batch, channels, ...) into blocks of about `BLOCK_ELEMENTS`."""
    batch, channels = shape[:2]
    step = max(1, BLOCK_ELEMENTS // max(1, prod(shape[2:])))
    for n in range(batch):
        for first in range(0, channels, step):
            yield n, slice(first, first + step)


def elementwise(function: Callable[[Array], Array], x: Array, dtype: np.dtype[Any]) -> Array:
    """Return function(x) computed in `dtype`, block after block; the memory order of x is kept.

    Signals of the processor (overflow, invalid) raise no warning: the values say it.
    """
    result = np.empty_like(x, dtype=dtype, subok=False)
    if x.size == 0:
        return result
    steps = np.nditer(
        [x, result],
        flags=["external_loop", "buffered", "zerosize_ok", "growinner"],
        op_flags=[["readonly"], ["writeonly"]],
        op_dtypes=[dtype, dtype],
        casting="unsafe",
        order="K",
        buffersize=BLOCK_ELEMENTS,
    )
    with np.errstate(all="ignore"), steps:
        for source, target in steps:
            for first in range(0, source.size, BLOCK_ELEMENTS):
                piece = slice(first, first + BLOCK_ELEMENTS)
                target[piece] = function(source[piece])
    return result
