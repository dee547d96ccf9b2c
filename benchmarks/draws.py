"""Problems of random geometry, for the report on the cost model: none of them from a list.

Sizes are drawn evenly on a logarithmic scale, so that small ones come as often as large ones. What would take long, or
lies below the size where the planner has its way, is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import striderule as sr

# Multiply-adds (or elements, where nothing is multiplied) of one problem, and elements of the operands.
LEAST, MOST, ELEMENTS = 2e4, 3e8, 1 << 23


@dataclass(frozen=True, slots=True)
class Case:
    """A call: the function's name, the shapes and the type of its arrays, and its other words."""

    family: str
    operation: str
    shapes: tuple[tuple[int, ...], ...]
    words: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"


class Draw:
    """Random numbers for geometry."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def size(self, least: int, most: int) -> int:
        """Return a number from `least` to `most`, the small ones as often as the large ones by their logarithm."""
        return round(math.exp(self.random.uniform(math.log(least), math.log(most))))

    def of(self, *values: int) -> int:
        """Return one of some numbers."""
        return int(self.random.choice(values))


def dense(draw: Draw, rank: int = 2, dtype: str = "float32") -> Case:
    """Dense convolution of any kernel, stride and dilation."""
    kernel = draw.of(2, 3, 3, 3, 4, 5, 7, 9 if rank < 3 else 3)
    channels, out = draw.size(4, 512), draw.size(4, 512)
    words = {"stride": draw.of(1, 1, 2), "padding": draw.of(0, kernel // 2), "dilation": draw.of(1, 1, 1, 2)}
    x = (draw.of(1, 1, 4), channels, *_sizes(draw, rank))
    return Case("", f"conv{rank}d", (x, (out, channels, *(kernel,) * rank)), words, dtype)


def pointwise(draw: Draw) -> Case:
    """1x1 convolution."""
    channels, out, rank = draw.size(8, 1024), draw.size(8, 1024), draw.of(1, 2, 2, 3)
    x = (draw.of(1, 1, 4), channels, *_sizes(draw, rank))
    return Case("", f"conv{rank}d", (x, (out, channels, *(1,) * rank)), {"stride": draw.of(1, 1, 1, 2)})


def depthwise(draw: Draw) -> Case:
    """Each channel alone."""
    channels, kernel, rank = draw.size(8, 1024), draw.of(3, 3, 5, 7, 11), draw.of(1, 2, 2, 3)
    words = {"stride": draw.of(1, 1, 2), "padding": kernel // 2, "dilation": draw.of(1, 1, 2), "groups": channels}
    x = (draw.of(1, 1, 4), channels, *_sizes(draw, rank))
    return Case("", f"conv{rank}d", (x, (channels, 1, *(kernel,) * rank)), words)


def grouped(draw: Draw) -> Case:
    """Few or many groups of a few channels each."""
    groups, inputs, out, kernel = draw.size(2, 64), draw.size(2, 32), draw.size(2, 32), draw.of(1, 3, 3, 5)
    words = {"stride": draw.of(1, 1, 2), "padding": kernel // 2, "groups": groups}
    x = (draw.of(1, 1, 4), groups * inputs, *_sizes(draw, 2))
    return Case("", "conv2d", (x, (groups * out, inputs, kernel, kernel)), words)


def first(draw: Draw) -> Case:
    """First layers: few channels in, large images."""
    channels, kernel, rank = draw.size(1, 4), draw.of(3, 5, 7, 11, 16), draw.of(1, 2, 2)
    x = (draw.of(1, 1, 8), channels, *(draw.size(28, 320 if rank == 2 else 20_000) for _ in range(rank)))
    words = {"stride": draw.of(1, 2, 4), "padding": draw.of(0, kernel // 2)}
    return Case("", f"conv{rank}d", (x, (draw.size(8, 128), channels, *(kernel,) * rank)), words)


def long(draw: Draw) -> Case:
    """Long kernels of one axis."""
    channels, kernel = draw.size(1, 64), draw.size(32, 8000)
    length = kernel + draw.size(64, 50_000)
    groups = draw.of(1, channels)
    return Case("", "conv1d", ((1, channels, length), (channels, channels // groups, kernel)), {"groups": groups})


def transposed(draw: Draw) -> Case:
    """Transposed convolution."""
    kernel, rank, channels = draw.of(2, 3, 4, 4, 5, 8), draw.of(1, 2, 2, 3), draw.size(4, 256)
    words = {"stride": draw.of(1, 2, 2, 4), "padding": draw.of(0, kernel // 2)}
    x = (draw.of(1, 1, 4), channels, *_sizes(draw, rank))
    return Case("", f"conv_transpose{rank}d", (x, (channels, draw.size(4, 256), *(kernel,) * rank)), words)


def pooling(draw: Draw) -> Case:
    """Largest values and means of windows."""
    kernel, rank = draw.of(2, 3, 3, 5, 7), draw.of(1, 2, 2, 3)
    name = ("max_pool", "avg_pool")[draw.of(0, 1)]
    words = {"kernel_size": kernel, "stride": draw.of(1, 2, kernel), "padding": draw.of(0, kernel // 2)}
    return Case("", f"{name}{rank}d", ((draw.of(1, 1, 4), draw.size(4, 512), *_sizes(draw, rank)),), words)


def images(draw: Draw) -> Case:
    """Kernels over pictures and volumes."""
    rank = draw.of(2, 2, 3)
    sizes = tuple(draw.size(32, 1500 if rank == 2 else 128) for _ in range(rank))
    return Case("", "correlate", (sizes, tuple(draw.size(1, 13) for _ in range(rank))), {"boundary": "mirror"})


FAMILIES: dict[str, Callable[[Draw], Case]] = {
    "dense": dense,
    "dense, 1-D": lambda draw: dense(draw, 1),
    "dense, 3-D": lambda draw: dense(draw, 3),
    "dense, float64": lambda draw: dense(draw, 2, "float64"),
    "dense, int8": lambda draw: dense(draw, 2, "int8"),
    "pointwise": pointwise,
    "depthwise": depthwise,
    "grouped": grouped,
    "first layers": first,
    "long kernels": long,
    "transposed": transposed,
    "pooling": pooling,
    "images": images,
}


def cases(seed: int, count: int) -> list[Case]:
    """Return `count` problems of each family; the same seed gives the same ones."""
    found = []
    for number, (family, make) in enumerate(FAMILIES.items()):
        draw, kept = Draw(1000 * seed + number), 0
        while kept < count:
            case = make(draw)
            if _fits(case):
                found.append(Case(family, case.operation, case.shapes, case.words, case.dtype))
                kept += 1
    return found


def _sizes(draw: Draw, rank: int) -> tuple[int, ...]:
    return tuple(draw.size(*{1: (32, 16_000), 2: (7, 160), 3: (4, 40)}[rank]) for _ in range(rank))


def _fits(case: Case) -> bool:
    """Return whether a call is valid, neither too small nor too large."""
    if sum(math.prod(shape) for shape in case.shapes) > ELEMENTS:
        return False
    try:
        plan = sr.explain(
            getattr(sr, case.operation), *(sr.Array(shape, case.dtype) for shape in case.shapes), **case.words
        )
    except sr.errors.StrideruleError:  # the kernel is larger than the padded data
        return False
    passes = getattr(plan, "passes", ())
    return bool(passes) and LEAST <= sum(one.work.operations for one in passes) <= MOST
