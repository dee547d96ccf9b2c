"""Weights that must not be transformed, since the error would be larger than promised; told from their sums alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.winograd.weights import SCALE
from striderule.geometry.problem import Convolution
from striderule.planning.edges import kinds_of
from striderule.planning.winograd import MARGIN, any_error

Array = npt.NDArray[Any]

# Weights of an input channel that are all smaller may lose digits to underflow, and are not transformed.
LEAST = 2.0**-62


def refuses(problem: Convolution, variant: str, sums: Array) -> bool:
    """Tell whether weights are better left to the definition's products.

    `sums` are those of `weights`. That is so where a weight is not finite or too large to square, where a channel's
    weights are tiny, and where a border leaves out so many of them that its error might show: `planning.edges`.
    """
    rows, columns = kinds_of(problem, variant)
    taps = (len(rows[0][0]), len(columns[0][0]))
    squares, sizes = sums[:, :-1].astype(np.float64).reshape(-1, *taps), sums[:, -1]
    totals = squares.sum((1, 2))
    # NaN is not less than anything.
    if not (totals < np.inf).all() or (totals[sizes > 0] < (SCALE * LEAST) ** 2).any():
        return True
    (down, down_met), (across, across_met) = (
        (np.array([growth for growth, _ in kinds]), np.array([met for _, met in kinds])) for kinds in (rows, columns)
    )
    errors, met = down @ (squares @ across.T), down_met @ (squares @ across_met.T)
    limit = any_error(problem, variant) / (MARGIN * 2.0**-24)
    return bool((errors > limit**2 * met).any())
