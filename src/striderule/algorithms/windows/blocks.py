"""Work in pieces, so that no temporary array is larger than a few megabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, Literal

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


def elementwise(function: Callable[..., Array], dtype: np.dtype[Any], x: Array, *others: Array) -> Array:
    """Return function(x, *others) computed in `dtype`, block after block; the shape and memory order are those of x.

    `others` are broadcast to x. Signals of the processor (overflow, invalid) raise no warning: the values say it.
    """
    result = np.empty_like(x, dtype=dtype, subok=False)
    if x.size == 0:
        return result
    operands = [x, *others, result]
    access: list[list[Literal["readonly", "writeonly"]]] = [["readonly"] for _ in operands[1:]]
    steps = np.nditer(
        operands,
        flags=["external_loop", "buffered"],
        op_flags=[*access, ["writeonly"]],
        op_dtypes=[dtype] * len(operands),
        casting="unsafe",
        order="K",
        buffersize=BLOCK_ELEMENTS,
    )
    with np.errstate(all="ignore"), steps:
        for *sources, target in steps:
            target[...] = function(*sources)
    return result
