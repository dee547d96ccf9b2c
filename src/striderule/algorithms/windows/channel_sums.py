"""Sums of channels in NumPy: the gradient of a bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def channel_sums(g: Array) -> Array:
    """Sum over n and j of g[n, c, j]: one float64 a channel."""
    return np.asarray(g.sum(axis=tuple(range(2, g.ndim))).sum(axis=0, dtype=np.float64))
