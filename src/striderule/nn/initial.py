"""Random weights to start from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.errors import InvalidArgument, InvalidType

INITS = ("he", "he_uniform", "xavier", "xavier_uniform", "normal")


def random_weight(
    shape: tuple[int, ...], init: Any = "he", seed: Any = None, *, fans: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Return random float32 weights of the shape (out, in, *kernel), with mean 0.

    Parameters
    ----------
    shape
        That of the weights.
    init
        ``"he"`` draws normally with the variance 2 / fan_in, which keeps the size of a signal through ReLU from layer
        to layer (He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", arXiv:1502.01852, equation 10);
        ``"xavier"`` with 2 / (fan_in + fan_out), which keeps it through layers near the identity, forward and backward
        alike (Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010,
        equation 12). ``"he_uniform"`` and ``"xavier_uniform"`` draw evenly with the same variances; ``"normal"`` has
        variance 1. A function is called as ``init(shape, generator)``.
    seed
        An integer, a `numpy.random.Generator` (which goes on), or None for weights that differ every time.
    fans
        How many products an output sums, and how many outputs an input goes to: fan_in and fan_out. Default: in * taps
        and out * taps.

    Returns
    -------
    numpy.ndarray
        float32.

    Raises
    ------
    InvalidArgument, InvalidType
        For unknown words and seeds, and functions that give another shape.

    Examples
    --------
    >>> random_weight((8, 2, 3, 3), "he", seed=0).shape
    (8, 2, 3, 3)
    >>> round(float(abs(random_weight((100, 50), "xavier_uniform", seed=0)).max()), 2)  # sqrt(6 / 150)
    0.2
    """
    generator = generator_of(seed)
    if callable(init):
        return _drawn_by(init, shape, generator)
    if not isinstance(init, str) or init not in INITS:
        raise InvalidArgument(
            f"init must be one of {', '.join(map(repr, INITS))} or a function of shape and generator, got {init!r}"
        )
    taps = math.prod(shape[2:])
    fan_in, fan_out = fans or (math.prod(shape[1:]), shape[0] * taps)
    spread = {"he": fan_in / 2, "xavier": (fan_in + fan_out) / 2, "normal": 1.0}[init.removesuffix("_uniform")]
    deviation = 1 / math.sqrt(spread)
    if init.endswith("_uniform"):
        limit = deviation * math.sqrt(3)  # numbers drawn evenly from -limit to limit have the variance limit^2 / 3
        return (generator.random(shape, dtype=np.float32) * 2 - 1) * np.float32(limit)
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def _drawn_by(
    init: Callable[[tuple[int, ...], np.random.Generator], Any], shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.float32]:
    found = np.asarray(init(shape, generator), np.float32)
    if found.shape != shape:
        raise InvalidArgument(f"init must give weights of the shape {shape}, got {found.shape}")
    return found


def generator_of(seed: Any) -> np.random.Generator:
    """Return the generator of a seed: an integer of at least 0, a generator itself, or None."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        kind = InvalidArgument if isinstance(seed, int) else InvalidType
        raise kind(f"seed must be an integer of at least 0, a numpy.random.Generator or None, got {seed!r}") from None
