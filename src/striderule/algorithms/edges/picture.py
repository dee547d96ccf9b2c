"""An image on its way to its edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Words = tuple[str, str]

# Marks: what is left after thinning, and of it what reaches the higher threshold.
WEAK, STRONG = 1, 3


@dataclass(frozen=True)
class Picture:
    """An image of two axes, and how it is smoothed: along each axis by symmetric weights of odd length.

    `scale` turns its integers into floats. `words` say what stands outside, on every side; a constant outside is 0.
    `share` is what the Gaussian of ones comes to, which the smoothed image is divided by: for the first rows, one in
    the middle, and the last ones, so as many as there are weights along the rows' axis (all rows of a lower image).
    """

    image: Array
    scale: float
    words: tuple[Words, Words]
    weights: tuple[Array, Array]
    share: Array | None = None

    @property
    def stored(self) -> str:
        """The precision between the passes."""
        return "float32" if self.image.dtype == np.float32 else "float64"
