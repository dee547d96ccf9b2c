"""What one output of a chain of layers sees: receptive field, effective stride and offset.

For layers l = 1, 2, ... with extent e, stride s and padding p before: the field grows by (e_l - 1) times the product of
the strides before it; the first field starts at minus the sum of the paddings, each times the same product
(Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from striderule.errors import InvalidArgument
from striderule.geometry.arguments import is_sequence, per_axis
from striderule.geometry.window import extent_of, side_pairs


@dataclass(frozen=True, slots=True)
class Window:
    """The geometry of one layer in a chain: a convolution or a pooling.

    Parameters
    ----------
    kernel, stride, dilation
        At least 1; one integer, or one for each axis. Default stride and dilation 1.
    padding
        Positions added to each side; one integer, or for each axis one or a (before, after) pair. Default 0.

    Examples
    --------
    >>> Window(3, stride=2, padding=1)
    Window(kernel=3, stride=2, dilation=1, padding=1)
    """

    kernel: Any
    stride: Any = 1
    dilation: Any = 1
    padding: Any = 0


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What the output at position j of a chain sees on each axis.

    The input positions `offset + j * stride` up to, but not including, `offset + j * stride + size`.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: tuple[int, ...]

    def interval(self, axis: int, position: int) -> tuple[int, int]:
        """Return the first input position seen by output `position` on `axis`, and the one after the last."""
        start = self.offset[axis] + position * self.stride[axis]
        return start, start + self.size[axis]


def _rank(windows: list[Window]) -> int:
    lengths = {
        len(value) for w in windows for value in (w.kernel, w.stride, w.dilation, w.padding) if is_sequence(value)
    } - {1}
    if len(lengths) > 1:
        raise InvalidArgument(f"all layers of a chain must have the same number of axes, got {sorted(lengths)}")
    return lengths.pop() if lengths else 1


def receptive_field(chain: Iterable[Window]) -> ReceptiveField:
    """Return the receptive field of a chain of layers, first layer first.

    Parameters
    ----------
    chain
        `Window` values; an empty chain sees exactly its own position.

    Returns
    -------
    ReceptiveField
        Size, stride and offset, each with one integer for each axis.

    Raises
    ------
    InvalidArgument
        If the layers have different numbers of axes.

    Examples
    --------
    The stem of ResNet: a 7x7 convolution with stride 2, then a 3x3 pooling with stride 2.

    >>> receptive_field([Window(7, 2, padding=3), Window(3, 2, padding=1)])
    ReceptiveField(size=(11,), stride=(4,), offset=(-5,))
    """
    windows = list(chain)
    rank = _rank(windows)
    size, step, offset = [1] * rank, [1] * rank, [0] * rank
    for window in windows:
        kernel = per_axis(window.kernel, rank, "kernel", 1)
        stride = per_axis(window.stride, rank, "stride", 1)
        dilation = per_axis(window.dilation, rank, "dilation", 1)
        pads = side_pairs(window.padding, rank)
        for axis in range(rank):
            size[axis] += (extent_of(kernel[axis], dilation[axis]) - 1) * step[axis]
            offset[axis] -= pads[axis][0] * step[axis]
            step[axis] *= stride[axis]
    return ReceptiveField(tuple(size), tuple(step), tuple(offset))
