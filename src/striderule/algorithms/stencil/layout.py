"""How an image lies in memory: which of its axes makes the lines, which the rows, and which are gone over one by one.

The lines are those of memory: the axis whose elements lie side by side, joined with the next where that goes on. With
channels last a line is all pixels of a row with their channels, and taps are as many elements apart as a pixel has
channels. Another filtered axis makes the rows, whose sums are formed several at a time; the others are gone over one by
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import NamedTuple

from striderule.algorithms.binding import ArrayInfo
from striderule.geometry.problem import Convolution

Ints = tuple[int, ...]

# A line shorter than this is no line to run vectors along, if there is another axis.
SHORT = 16


class Axis(NamedTuple):
    """An axis of the image: its size and steps in bytes in x and y; `spatial` is its number if it is filtered.

    `mask_step` is that in a mask of the image, if there is one.
    """

    size: int
    outputs: int
    x_step: int
    y_step: int
    spatial: int | None = None
    mask_step: int = 0


class Line(NamedTuple):
    """The lines: their axis, and how many elements side by side make a pixel of it."""

    axis: Axis
    unit: int


class Window(NamedTuple):
    """What slides along an axis."""

    taps: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0

    @classmethod
    def of(cls, problem: Convolution, axis: Axis) -> Window:
        """Return that of an axis; one that is not filtered has a single tap."""
        if axis.spatial is None:
            return cls()
        i = axis.spatial
        return cls(problem.kernel[i], problem.stride[i], problem.dilation[i], problem.padding[i][0])


@dataclass(frozen=True, slots=True)
class Layout:
    """Which axes of an image are which."""

    line: Line
    rows: Axis
    outer: tuple[Axis, ...]
    planes: tuple[Axis, ...]

    @classmethod
    def of(cls, problem: Convolution, x: ArrayInfo, y: ArrayInfo, mask: Ints | None = None) -> Layout:
        """Return the layout of images with any planes before their filtered axes; `mask` are the strides of a mask."""
        first = len(x.shape) - problem.rank
        steps = zip(x.shape, y.shape, x.strides, y.strides, mask or (0,) * len(x.shape), strict=True)
        axes = [Axis(n, m, xs, ys, None if i < first else i - first, ms) for i, (n, m, xs, ys, ms) in enumerate(steps)]
        axes = [axis for axis in axes if axis.spatial is not None or axis.size > 1]
        line, rest = _lines(axes)
        spatial = [axis for axis in rest if axis.spatial is not None]
        # Where nothing is filtered across lines, planes below one another are rows, too.
        several = [axis for axis in spatial if problem.kernel[axis.spatial or 0] > 1] or spatial
        rows = (
            min(several, key=_near) if several else max(rest, key=lambda axis: axis.outputs, default=Axis(1, 1, 0, 0))
        )
        others = [axis for axis in rest if axis is not rows]
        outer = tuple(axis for axis in others if axis.spatial is not None)
        return cls(line, rows, outer, tuple(axis for axis in others if axis.spatial is None))


def _near(axis: Axis) -> int:
    return abs(axis.x_step) or 1 << 62


def _lines(axes: Sequence[Axis]) -> tuple[Line, list[Axis]]:
    """Return the lines and the other axes."""
    found = []
    for axis in sorted(axes, key=_near):
        line, rest = _joined(axis, [other for other in axes if other is not axis])
        if line.axis.outputs * line.unit >= SHORT:
            return line, rest
        found.append((line, rest))
    return max(found, key=lambda pair: pair[0].axis.outputs * pair[0].unit)


def _joined(axis: Axis, others: list[Axis]) -> tuple[Line, list[Axis]]:
    """Return the line of an axis, joined with those that go on where it ends; the last of them may be filtered."""
    while axis.spatial is None:
        steps = tuple(step * axis.size for step in _steps(axis))
        following = next((other for other in others if _steps(other) == steps), None)
        if following is None:
            break
        others = [other for other in others if other is not following]
        if following.spatial is not None:
            return Line(following, axis.size), others
        size = axis.size * following.size
        axis = axis._replace(size=size, outputs=size)
    return Line(axis, 1), others


def _steps(axis: Axis) -> Ints:
    return axis.x_step, axis.y_step, axis.mask_step


@dataclass(frozen=True, slots=True)
class Rows:
    """How rows of outputs are gone over: those of one phase are `gap` apart, and `step` rows of the kernel."""

    window: Window
    outputs: int

    @property
    def gap(self) -> int:
        """Rows of outputs between two that see the same rows of inputs."""
        return self.window.dilation // gcd(self.window.stride, self.window.dilation)

    @property
    def step(self) -> int:
        """How many rows of the kernel two of them lie apart."""
        return self.window.stride // gcd(self.window.stride, self.window.dilation)

    @property
    def fewest(self) -> int:
        """How many rows the smallest phase has; there are no more phases than rows."""
        return max(1, self.outputs // self.gap)

    def bands(self, tall: int) -> list[tuple[int, int, int]]:
        """Return bands of about `tall` rows: first place on the table, first row of outputs, and how many it has.

        None has fewer than the smallest phase or `tall` rows over two.
        """
        found = []
        for phase in range(min(self.gap, self.outputs)):
            count = -(-(self.outputs - phase) // self.gap)
            pieces = -(-count // tall)
            cuts = [count * i // pieces for i in range(pieces + 1)]
            for start, stop in pairwise(cuts):
                row = phase + start * self.gap
                found.append((row * self.window.stride, row, stop - start))
        return found
