"""Weights that must not be transformed, since the error would be larger than promised; told from their sums alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

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
    weighed = _weighed(problem, variant)
    squares, sizes = sums[:, :-1].astype(np.float64), sums[:, -1]
    totals = squares.sum(1)
    # NaN is not less than anything.
    if not (totals < np.inf).all() or (totals[sizes > 0] < (SCALE * LEAST) ** 2).any():
        return True
    errors, met = squares @ weighed.growths, squares @ weighed.met
    return bool((errors > weighed.limit * met).any())


class _Weighed(NamedTuple):
    """How the squares of an input channel's taps count at each kind of place, (taps, kinds): `planning.edges`."""

    growths: Array
    met: Array
    # The square of what the error may be, in units of what is met.
    limit: float


@lru_cache(maxsize=256)
def _weighed(problem: Convolution, variant: str) -> _Weighed:
    sides = [[np.array(each, np.float64) for each in zip(*kinds, strict=True)] for kinds in kinds_of(problem, variant)]
    growths, met = (np.ascontiguousarray(np.kron(sides[0][i], sides[1][i]).T) for i in range(2))
    return _Weighed(growths, met, (any_error(problem, variant) / (MARGIN * 2.0**-24)) ** 2)
