"""Weights of convolutions turned around, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def turned(weight: Array, groups: int) -> Array:
    """Return (out, in / groups, *kernel) as (in, out / groups, *kernel) with every kernel turned around, compact."""
    out, per_in, *kernel = weight.shape
    parts = weight.reshape(groups, out // groups, per_in, *kernel).swapaxes(1, 2)
    parts = parts[(slice(None),) * 3 + (slice(None, None, -1),) * len(kernel)]
    return np.ascontiguousarray(parts).reshape(groups * per_in, out // groups, *kernel)


def seen_turned(weight: Array) -> Array:
    """Return the weight of a single group as `turned` gives it, where it stands: not compact, and no copy."""
    return weight.swapaxes(0, 1)[(slice(None),) * 2 + (slice(None, None, -1),) * (weight.ndim - 2)]
