"""Pixel shuffle in NumPy: axes split, exchanged and joined."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def pixel_shuffle(x: Array, factor: int) -> Array:
    """(*, c r r, h, w) -> (*, c, r, r, h, w) -> (*, c, h, r, w, r) -> (*, c, h r, w r)."""
    *lead, channels, height, width = x.shape
    out = channels // factor**2
    split = x.reshape(*lead, out, factor, factor, height, width)
    moved = np.moveaxis(split, (-4, -3, -2, -1), (-3, -1, -4, -2))
    return moved.copy().reshape(*lead, out, height * factor, width * factor)


def pixel_unshuffle(x: Array, factor: int) -> Array:
    """(*, c, h r, w r) -> (*, c, h, r, w, r) -> (*, c, r, r, h, w) -> (*, c r r, h, w)."""
    *lead, channels, height, width = x.shape
    rows, columns = height // factor, width // factor
    split = x.reshape(*lead, channels, rows, factor, columns, factor)
    moved = np.moveaxis(split, (-4, -3, -2, -1), (-2, -4, -1, -3))
    return moved.copy().reshape(*lead, channels * factor**2, rows, columns)
