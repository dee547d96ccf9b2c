"""How arrays of any strides are seen by the passes: planes of rows, and rows of pixels of elements side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import padding
from striderule.algorithms.direct.native import Ints, merged
from striderule.algorithms.images.squares import turn
from striderule.geometry.extension import Extension

Array = npt.NDArray[Any]

# A single axis whose elements are more than so many apart is summed down, and not along.
NEAR = 16


class Layout(NamedTuple):
    """The axes summed down and along (None: there is none), elements of a pixel, pixels of a row, and the others.

    `rows` is the axis that rows are counted on, which need not be summed; `walks` are those over planes.
    """

    down: int | None
    along: int | None
    rows: int | None
    pixel: int
    width: int
    walks: tuple[Ints, ...]


def order_of(x: Array, axes: Sequence[int] = ()) -> list[int]:
    """Return the axes from the outermost in memory to the innermost, but those of `axes` in their own order.

    Sums are formed axis after axis, so their order is part of a result, which must not depend on the memory of images.
    """
    steps = [0] * (x.ndim + 1)
    for axis in reversed(range(x.ndim)):  # an axis of one element goes with the next one
        steps[axis] = abs(x.strides[axis]) if x.shape[axis] > 1 else steps[axis + 1]
    order = sorted(range(x.ndim), key=lambda axis: -steps[axis])
    for place, axis in zip(sorted(order.index(axis) for axis in axes), axes, strict=True):
        order[place] = axis
    return order


def layout_of(x: Array, y: Array, axes: Sequence[int]) -> Layout | None:
    """Return how the passes see x and y, of which `axes` are summed, one or two in this order.

    None if rows are not side by side in memory, or the axes lie in the other order there.
    """
    order = order_of(x, axes)
    if order != order_of(x):
        return None
    places = [order.index(axis) for axis in axes]
    inner = prod(x.shape[axis] for axis in order[places[-1] + 1 :])
    along: int | None
    down: int | None
    if len(axes) == 1 and inner > NEAR:
        along, down = None, order[places[0]]
        begin = places[0] + 1
        while begin < len(order) - 1 and not _side_by_side((x, y), order[begin:]):
            begin += 1
    else:
        along, down = order[places[-1]], order[places[0]] if len(axes) > 1 else None
        begin = places[-1]
    line = order[begin:]
    if not _side_by_side((x, y), line):
        return None
    others = [axis for axis in order[:begin] if axis != down]
    rows = others.pop() if down is None and others else down
    walks = merged((x.shape[axis], x.strides[axis], y.strides[axis]) for axis in others)
    pixel = prod(x.shape[axis] for axis in line[1:]) if along is not None else 1
    width = x.shape[along] if along is not None else prod(x.shape[axis] for axis in line)
    return Layout(down, along, rows, pixel, width, tuple(walks))


def _side_by_side(arrays: Sequence[Array], axes: Sequence[int]) -> bool:
    """Tell whether the elements along these axes, the outermost first, follow one another in all arrays."""
    for one in arrays:
        step = one.itemsize
        for axis in reversed(axes):
            if one.shape[axis] > 1 and one.strides[axis] != step:
                return False
            step *= one.shape[axis]
    return True


def straight(x: Array, axes: Sequence[int]) -> Array:
    """Return a copy of x that `layout_of` can be told of: its elements follow one another in the `order_of` both."""
    copy = straight_like(x, axes)
    move(x, copy)
    return copy


def move(x: Array, y: Array) -> None:
    """Copy x to y, which may lie in another order: in generated code, where it has all threads to do so."""
    if x.size == 0 or not (x.flags.aligned and y.flags.aligned):
        np.copyto(y, x)
        return
    if x.ndim == 2 and x.strides[0] == x.itemsize and y.strides[1] == y.itemsize and turn(x.T, y.T):
        return
    if x.ndim == 2 and x.strides[1] == x.itemsize and y.strides[0] == y.itemsize and turn(x, y):
        return
    none = ((0, 0),) * x.ndim
    padding.pad(Extension(x.shape, none, none, "constant"), x, 0, y)


def straight_like(x: Array, axes: Sequence[int]) -> Array:
    """Return memory that is like the copy `straight` makes, not filled."""
    order = order_of(x, axes)
    return memory.empty([x.shape[axis] for axis in order], x.dtype).transpose(np.argsort(order))
