"""`pad`, written as its definition: every position asks what stands there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import every
from striderule.geometry.extension import Extension
from striderule.geometry.padding import source_index

Array = npt.NDArray[Any]


def pad(problem: Extension, x: Array, fill: Any) -> Array:
    """out[i] = x[source of i - before], or the fill value where there is no source."""
    result = np.full(problem.output_shape, fill, x.dtype)
    axes = list(zip(x.shape, problem.crop, problem.padding, strict=True))
    for index in every(problem.output_shape):
        sources = [
            source_index(i - before, n - first - last, problem.boundary)
            for i, (n, (first, last), (before, _)) in zip(index, axes, strict=True)
        ]
        if None not in sources:
            kept = zip(sources, problem.crop, strict=True)
            result[index] = x[tuple((source or 0) + first for source, (first, _) in kept)]
    return result
