"""The complementary error function, vectorised.

M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity",
Mathematics of Computation 36 (1981), 249-253: one series in y = (x - 3.75) / (x + 3.75) for the whole half line. The
coefficients below were computed anew from the definition with 50 digits (80 Chebyshev nodes) and agree with theirs.

The error of erfc is at most 5e-16 with all coefficients and 1e-8 with the first twelve, measured against 50 digits on
4001 points of [0, 6].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

COEFFICIENTS = (
    1.1775789345674017541,
    -0.0045900545806464773309,
    -0.084249133366517915584,
    0.059209939998191890498,
    -0.026658668435305752277,
    0.0090749976707052650939,
    -0.0024131635404176081909,
    0.00049077583652580863229,
    -0.000069169733025012063671,
    4.1390279860730101675e-6,
    7.7403830661984906686e-7,
    -2.1886401049234395661e-7,
    1.0764999465670910377e-8,
    4.5219598112182868979e-9,
    -7.7544002088313511065e-10,
    -6.3180883408866844944e-11,
    2.8687950109306698981e-11,
    1.945586854577734723e-13,
    -9.6546967484334389059e-13,
    3.2525481481487398415e-14,
    3.3478119482868053878e-14,
    -1.8645628804193131015e-15,
    -1.2507950530688647085e-15,
    7.418235256624043463e-17,
    5.0681489047961113168e-17,
    -2.2370566594359995974e-18,
)
# Enough for results of 24 bits.
SINGLE = 14
# Beyond this erfc is below the least double.
LARGEST = 30.0


def erfc_positive(x: Array, terms: int = len(COEFFICIENTS)) -> Array:
    """Return erfc(x) for a float64 array x >= 0, by Clenshaw's recurrence over the first `terms` coefficients."""
    x = np.minimum(x, LARGEST)
    y = (x - 3.75) / (x + 3.75)
    twice = 2 * y
    b1, b2 = np.zeros_like(x), np.zeros_like(x)
    for coefficient in COEFFICIENTS[terms - 1 : 0 : -1]:
        b1, b2 = coefficient + twice * b1 - b2, b1
    series = COEFFICIENTS[0] + y * b1 - b2
    result: Array = series / (1 + 2 * x) * np.exp(-x * x)
    return result
