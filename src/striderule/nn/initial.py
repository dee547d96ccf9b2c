"""Random weights to start from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.errors import InvalidArgument, InvalidType

INITS = ("he", "normal")


def random_weight(shape: tuple[int, ...], init: Any, seed: Any) -> NDArray[np.float32]:
    """Return normally distributed float32 weights of the shape (out, in, *kernel).

    Parameters
    ----------
    init
        ``"he"``: variance 2 / (in * taps). ``"normal"``: variance 1.
    seed
        An integer, a `numpy.random.Generator`, or None for weights that differ every time.

    Raises
    ------
    InvalidArgument, InvalidType
        For unknown words and seeds.

    Examples
    --------
    >>> random_weight((8, 2, 3, 3), "he", seed=0).shape
    (8, 2, 3, 3)
    """
    if init not in INITS:
        raise InvalidArgument(f"init must be one of {', '.join(map(repr, INITS))}, got {init!r}")
    # He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", arXiv:1502.01852, equation 10: ReLU keeps half of the
    # variance, so a variance of 2 / fan_in keeps that of the signal from layer to layer.
    deviation = math.sqrt(2 / math.prod(shape[1:])) if init == "he" else 1.0
    return _generator(seed).standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def _generator(seed: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        kind = InvalidArgument if isinstance(seed, int) else InvalidType
        raise kind(f"seed must be an integer of at least 0, a numpy.random.Generator or None, got {seed!r}") from None
