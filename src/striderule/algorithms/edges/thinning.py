"""Non-maximum suppression: of an edge's slope only its ridge is kept, one element wide.

An element stays where its magnitude is no less than what stands one step up and one step down the gradient. A step ends
between two of the eight neighbours, in whose magnitudes it is interpolated linearly:

    w = smaller / larger of the two absolute components
    ahead = w * (magnitude of the diagonal neighbour) + (1 - w) * (magnitude of the neighbour along the larger)

The order of operations, and in which of them float32 is left for float64, are those of scikit-image's Canny, so that
ties are decided as it decides them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# What takes the place of a threshold of 0, so that even areas are no edges.
LEAST = 1e-14


def threshold(low: float) -> float:
    """Return the lower threshold as it is compared: as a float32 number, and not 0."""
    return float(np.float32(low)) or float(np.float32(LEAST))


def thinned(down: Array, right: Array, magnitude: Array, keep: Array, low: float) -> Array:
    """Return the magnitude where it is a ridge of at least `low` and `keep` holds, 0 elsewhere.

    `down` and `right` are the components of the gradient along the rows' and the columns' axis, all of one shape and
    float type. Elements on the border are never kept.
    """
    result = np.zeros_like(magnitude)
    if min(magnitude.shape) < 3:
        return result
    candidates = keep & (magnitude >= threshold(low))
    candidates[[0, -1], :] = candidates[:, [0, -1]] = False
    i, j = np.nonzero(candidates)
    a, b, m = down[i, j], right[i, j], magnitude[i, j]
    size_a, size_b = np.abs(a), np.abs(b)
    # Both components of one sign: the step goes along the diagonal down to the right, else along the other.
    same = (a > 0) == (b > 0)
    steep = size_a > size_b
    with np.errstate(all="ignore"):
        w = np.where(steep, size_b / size_a, size_a / size_b)
    across = np.where(same, 1, -1)
    # The neighbour along the larger component, and the one across the corner, on the side where rows or columns grow.
    rows, columns = np.where(steep, across, 0), np.where(steep, 0, 1)
    ridge = np.ones(m.shape, bool)
    for side in (1, -1):
        near = magnitude[i + side * rows, j + side * columns]
        corner = magnitude[i + side * across, j + side]
        ahead = (corner * w).astype(np.float64) + near.astype(np.float64) * (1.0 - w.astype(np.float64))
        ridge &= ahead <= m
    result[i[ridge], j[ridge]] = m[ridge]
    return result
