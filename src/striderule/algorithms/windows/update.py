"""Steps of optimisers in NumPy: piece by piece, so that what a step needs of a piece fits the second-level cache.

With the value p, its gradient g, and what is kept of it:

- sgd: p -= lr * d, where d = g + decay * p
- momentum: v = momentum * v + share * d and p -= lr * v; nesterov: p -= lr * (d + momentum * v)
- adamw: p *= shrink; m += (1 - b1) * (g - m); s = b2 * s + (1 - b2) * g^2; p -= rate * m / (sqrt(s) / root + eps)

Numbers are the same for all parameters, but `share`, `root` and `rate`, which each has for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Elements of a piece: with a gradient, two averages and two rooms it takes 384 KiB in float32.
PIECE = 1 << 14
# The numbers of each rule, those that each parameter has for itself, and how many arrays are kept of it.
NUMBERS = {
    "sgd": ("lr", "decay"), "momentum": ("lr", "decay", "momentum"), "nesterov": ("lr", "decay", "momentum"),
    "adamw": ("shrink", "first", "second", "rest", "eps"),
}  # fmt: skip
OWN = {"sgd": (), "momentum": ("share",), "nesterov": ("share",), "adamw": ("root", "rate")}
KEPT = {"sgd": 0, "momentum": 1, "nesterov": 1, "adamw": 2}


class Part(NamedTuple):
    """A parameter: flat arrays without gaps of one type, all but the gradient to be changed, and its own numbers."""

    value: Array
    gradient: Array
    kept: tuple[Array, ...]
    own: tuple[float, ...]


def step(rule: str, parts: Sequence[Part], numbers: tuple[float, ...]) -> None:
    """Change all parameters, and what is kept of them, in place."""
    with np.errstate(all="ignore"):
        for value, gradient, kept, own in parts:
            for start in range(0, value.size, PIECE):
                piece = slice(start, start + PIECE)
                others = [one[piece] for one in kept]
                if rule == "adamw":
                    _adamw(value[piece], gradient[piece], others, numbers, own)
                else:
                    _descent(rule, value[piece], gradient[piece], others, numbers, own)


def _descent(
    rule: str, value: Array, gradient: Array, kept: list[Array], numbers: tuple[float, ...], own: tuple[float, ...]
) -> None:
    lr, decay, *more = numbers
    direction = gradient
    if decay:
        direction = value * decay
        direction += gradient
    if kept:
        (speed,), (momentum,), (share,) = kept, more, own
        speed *= momentum
        speed += direction * share
        direction = speed * momentum + direction if rule == "nesterov" else speed
    value -= direction * lr


def _adamw(
    value: Array, gradient: Array, kept: list[Array], numbers: tuple[float, ...], own: tuple[float, ...]
) -> None:
    (mean, square), (shrink, first, second, rest, eps), (root, rate) = kept, numbers, own
    value *= shrink
    mean += (gradient - mean) * first
    square *= second
    square += (gradient * gradient) * rest
    size = np.sqrt(square)
    size /= root
    size += eps
    np.divide(mean, size, out=size)
    size *= rate
    value -= size
