"""The windows of one axis: where each begins inside the input, and how much of it is inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling

Array = npt.NDArray[Any]
Windowed = Pooling | AdaptivePooling | FractionalPooling


@dataclass(frozen=True, slots=True)
class Axis:
    """The windows of one axis: their number, taps, steps, and pairs (first position inside the input, length inside).

    `counted` is how many positions count in an average. `steps` tells whether windows begin at equal distances, the
    first `before` positions outside.
    """

    n: int
    outputs: int
    taps: int
    stride: int
    dilation: int
    before: int
    steps: bool
    windows: npt.NDArray[np.int64]
    counted: npt.NDArray[np.int64]

    @property
    def extent(self) -> int:
        """Positions from the first to the last of the longest window."""
        return (self.longest - 1) * self.dilation + 1

    @property
    def longest(self) -> int:
        """Elements of the longest window."""
        return int(self.windows[:, 1].max(initial=1))


def _regular(n: int, k: int, s: int, d: int, pads: tuple[int, int], outputs: int, include: bool) -> Axis:
    """Return windows at equal distances."""
    start = np.arange(outputs, dtype=np.int64) * s - pads[0]
    skipped = np.maximum(0, -(start // d))
    end = np.minimum(k, -((start - n) // d))
    windows = np.stack([np.minimum(start + skipped * d, n), np.maximum(end - skipped, 0)], axis=1)
    counted = np.minimum(k, -((start - n - pads[1]) // d)) if include else end - skipped
    return Axis(n, outputs, k, s, d, pads[0], True, np.ascontiguousarray(windows), np.maximum(counted, 1))


def _adaptive(n: int, outputs: int) -> Axis:
    """Return windows that cover an axis evenly; at equal distances where they can be."""
    j = np.arange(outputs, dtype=np.int64)
    first = j * n // max(1, outputs)
    windows = np.ascontiguousarray(np.stack([first, -(-(j + 1) * n // max(1, outputs)) - first], axis=1))
    taps = int(windows[:, 1].max(initial=1))
    stride = int(first[1]) if outputs > 1 else taps
    steps = bool((windows[:, 1] == taps).all() and (first == j * stride).all()) and stride > 0
    return Axis(n, outputs, taps, stride, 1, 0, steps, windows, windows[:, 1])


def axes_of(problem: Windowed, starts: list[Array] | None) -> list[Axis]:
    """Return the windows of every axis; `starts` (batch, channels, outputs) are those of a fractional pooling."""
    if isinstance(problem, AdaptivePooling):
        return [_adaptive(n, o) for n, o in zip(problem.size, problem.output_size, strict=True)]
    if isinstance(problem, Pooling):
        return [
            _regular(
                problem.size[a],
                problem.kernel[a],
                problem.stride[a],
                problem.dilation[a],
                problem.padding[a],
                problem.output_size[a],
                problem.count_include_pad,
            )
            for a in range(problem.rank)
        ]
    axes = []
    for n, k, o, first in zip(problem.size, problem.kernel, problem.output_size, starts or [], strict=True):
        flat = first.reshape(-1).astype(np.int64)
        windows = np.stack([flat, np.full_like(flat, k)], axis=1)
        axes.append(Axis(n, o, k, k, 1, 0, False, windows, windows[:o, 1]))
    return axes
