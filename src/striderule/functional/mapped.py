"""Arrays that are mapped from files: pages that have been read or written are given back to the system.

They stay in the system's file cache, and what was written is on its way to the disk; only this process stops holding
them. Without that, a process that goes through a file of any size seems to hold all of it.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PAGE = mmap.ALLOCATIONGRANULARITY


def mapping(array: Array) -> mmap.mmap | None:
    """Return the map that an array lies in, or None; private maps ("c") are left alone: theirs is the only copy."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            held = getattr(base, "_mmap", None)
            return held if isinstance(held, mmap.mmap) and base.mode != "c" else None
        base = base.base
    return None


def give_back(array: Array, axis: int, start: int, stop: int) -> None:
    """Give back the pages of the positions from `start` to `stop` along the outermost axis of a mapped array.

    Nothing happens to other arrays, to pages that others share, and where the system knows no such advice.
    """
    held = mapping(array)
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if held is None or advice is None or stop <= start or array.strides[axis] <= 0:
        return
    base = np.frombuffer(held, np.uint8).ctypes.data
    first = array.ctypes.data - base + start * array.strides[axis]
    last = first + (stop - start) * array.strides[axis]
    first, last = -(-first // PAGE) * PAGE, last // PAGE * PAGE
    if first < last:
        with contextlib.suppress(OSError, ValueError):
            held.madvise(advice, first, last - first)
