"""`pad` in NumPy: one copy, whatever stands in the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.extend import extend
from striderule.geometry.extension import Extension

Array = npt.NDArray[Any]


def pad(problem: Extension, x: Array, fill: Any) -> Array:
    """Return the extended array; always a new one."""
    inner = x[tuple(slice(before, n - after) for n, (before, after) in zip(x.shape, problem.crop, strict=True))]
    result = extend(inner, problem.padding, ((problem.boundary,) * 2,) * x.ndim, fill)
    return result.copy() if np.may_share_memory(result, x) else result
