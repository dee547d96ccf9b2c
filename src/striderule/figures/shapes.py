"""Window geometry drawn: input with padding, the window's first steps, and the output, with the size formula."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from striderule.figures.blocks import (
    INPUT,
    KERNEL,
    OUTPUT,
    TAP,
    TIMES,
    arrow,
    box,
    cells,
    formulas,
    hatched,
    legend,
    legend_entries,
    pads_text,
    runs,
    side_of,
)
from striderule.figures.canvas import HERE, ORANGE, board, caption, check_axes, text_points
from striderule.figures.extents import Shape
from striderule.figures.lines import one_axis

# More are drawn as one block.
MOST_TAPS = 400


def geometry(
    size: Any,
    kernel: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw input, kernel and output of a convolution with padding, stride and dilation, and the output size computed.

    On one axis every window has a line of its own below the input, with its output at the right. On two axes the first
    window is filled and the next ones are dashed.

    Parameters
    ----------
    size, kernel
        Sizes of input and kernel: one integer for one axis, a pair (rows, columns) for two.
    stride, dilation
        At least 1; one integer, or one for each axis.
    padding
        Numbers, (before, after) pairs or words for each axis; negative numbers crop.
    ax, title
        As for `image`.

    Returns
    -------
    Axes
        One unit is one cell, or several where the input has more than 20; its last text is the formula with numbers.

    Raises
    ------
    InvalidArgument
        For more than two axes, and where the window does not fit.

    Examples
    --------
    >>> ax = geometry(5, 3, stride=2, padding=1)
    >>> ax.texts[-1].get_text()
    '⌊(5 + 1 + 1 − 1 · (3 − 1) − 1) / 2⌋ + 1 = 3'
    """
    check_axes(ax)
    shape = Shape.of(size, kernel, stride, padding, dilation)
    return one_axis(shape, ax, title) if len(shape.size) == 1 else _two_axes(shape, ax, title)


def _two_axes(shape: Shape, ax: Axes | None, title: str | None) -> Axes:
    side = side_of(shape)
    (top, bottom), (left, right) = shape.frame(0), shape.frame(1)
    high, wide = (bottom - top) * side, (right - left) * side
    reach = shape.extent(0) * side, shape.extent(1) * side
    result = shape.output[0] * side, shape.output[1] * side
    slot = [max(wide, 5.0), max(reach[1], 5.0), max(result[1], 3.5)]
    tall = max(high, reach[0], result[0])
    across = max(slot[0] + slot[1] + slot[2] + 1.6, 15.0)
    ax = board(ax, columns=(-0.2, across + 0.2), rows=(-1.5, tall + 3.9), cell=0.42, title=title)
    x = (slot[0] - wide) / 2
    _draw_input(ax, shape, x, (tall - high) / 2, side)
    middle = slot[0] + 0.8 + slot[1] / 2
    _draw_kernel(ax, shape, middle - reach[1] / 2, (tall - reach[0]) / 2, side)
    end = slot[0] + slot[1] + 1.6 + slot[2] / 2
    y = (tall - result[0]) / 2
    cells(ax, end - result[1] / 2, y, (shape.output[0], shape.output[1]), side, OUTPUT)
    box(ax, end - result[1] / 2, y, side, side, facecolor=TAP, edgecolor=HERE, linewidth=1.8, zorder=3)
    points = text_points(ax)
    sizes = [f"{a} {TIMES} {b}" for a, b in (shape.size, shape.kernel, shape.output)]
    pads = [pads_text(pair) for pair in shape.pads]
    caption(ax, slot[0] / 2, -1.05, f"input {sizes[0]}", points=points)
    if any(map(any, shape.pads)):
        words = f"padding {pads[0] if pads[0] == pads[1] else ', '.join(pads)}"
        caption(ax, slot[0] / 2, -0.45, words, points=points, muted=True)
    caption(ax, middle, -1.05, f"kernel {sizes[1]}", points=points)
    if max(shape.dilation) > 1:
        d = shape.dilation
        gaps = str(d[0]) if d[0] == d[1] else f"{d[0]}, {d[1]}"
        words = f"dilation {gaps}: reaches {shape.extent(0)} {TIMES} {shape.extent(1)}"
        caption(ax, middle, -0.45, words, points=points, muted=True)
    caption(ax, end, -1.05, f"output {sizes[2]}", points=points)
    legend(ax, 0, tall + 0.75, legend_entries(shape))
    formulas(ax, tall + 1.75, shape)
    return ax


def _draw_input(ax: Axes, shape: Shape, x: float, y: float, side: float) -> None:
    """Draw the input with padding, the first window and the next one on each axis; (x, y) is its upper left corner."""
    (top, bottom), (left, right) = shape.frame(0), shape.frame(1)
    cells(ax, x, y, (bottom - top, right - left), side, "white", dashed=True)
    origin = x - left * side, y - top * side
    cells(ax, *origin, (shape.size[0], shape.size[1]), side, INPUT)
    for first, count in runs(shape.unread(0)):
        hatched(ax, x, origin[1] + first * side, (right - left) * side, count * side)
    for first, count in runs(shape.unread(1)):
        hatched(ax, origin[0] + first * side, y, count * side, (bottom - top) * side)
    row, column = shape.start(0, 0), shape.start(1, 0)
    corner = origin[0] + column * side, origin[1] + row * side
    _taps(ax, shape, corner, side, TAP, HERE)
    extent = shape.extent(1) * side, shape.extent(0) * side
    box(ax, *corner, *extent, fill=False, edgecolor=HERE, linewidth=2.0, zorder=3.5)
    steps = [(shape.stride[1] * side, 0.0)] * (shape.output[1] > 1) + [(0.0, shape.stride[0] * side)] * (
        shape.output[0] > 1
    )
    for right_by, down_by in steps:
        moved = corner[0] + right_by, corner[1] + down_by
        dashes: Any = {"linestyle": (0, (3, 2)), "linewidth": 1.4, "zorder": 3.2}
        box(ax, *moved, *extent, fill=False, edgecolor=ORANGE, **dashes)
        centre = corner[0] + side / 2, corner[1] + side / 2
        if side >= 0.3:
            arrow(ax, centre, (centre[0] + right_by, centre[1] + down_by), ORANGE)


def _taps(ax: Axes, shape: Shape, corner: tuple[float, float], side: float, fill: str, edge: str) -> None:
    """Fill the cells that the taps stand on."""
    if math.prod(shape.kernel) > MOST_TAPS:
        box(ax, *corner, shape.extent(1) * side, shape.extent(0) * side, facecolor=fill, edgecolor=edge, zorder=2.5)
        return
    for u in range(shape.kernel[0]):
        for v in range(shape.kernel[1]):
            place = corner[0] + v * shape.dilation[1] * side, corner[1] + u * shape.dilation[0] * side
            box(ax, *place, side, side, facecolor=fill, edgecolor=edge, linewidth=0.9, zorder=2.5)


def _draw_kernel(ax: Axes, shape: Shape, x: float, y: float, side: float) -> None:
    if max(shape.dilation) > 1:
        cells(ax, x, y, (shape.extent(0), shape.extent(1)), side, "white", dashed=True)
    _taps(ax, shape, (x, y), side, KERNEL, ORANGE)
