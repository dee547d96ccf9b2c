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


def gradients(smoothed: Array) -> tuple[Array, Array, Array]:
    """Return Sobel's derivatives along rows' and columns' axis, and the length of both, in the precision of the image.

    The difference comes first, then (1, 2, 1) along the other axis; outside the image is symmetric.
    """
    dtype = smoothed.dtype
    wide = np.pad(smoothed, 1, mode="edge").astype(np.float64)  # one element beside: symmetric is edge

    def stored(values: Array) -> Array:
        return values.astype(dtype).astype(np.float64)

    with np.errstate(all="ignore"):
        across = stored(wide[1:-1] * 0.0 + (wide[:-2] - wide[2:]) * -1.0)
        along = stored(wide[:, 1:-1] * 0.0 + (wide[:, :-2] - wide[:, 2:]) * -1.0)
        down = (across[:, 1:-1] * 2.0 + (across[:, :-2] + across[:, 2:])).astype(dtype)
        right = (along[1:-1] * 2.0 + (along[:-2] + along[2:])).astype(dtype)
        magnitude = down * down
        magnitude += right * right
        np.sqrt(magnitude, out=magnitude)
    return down, right, magnitude
