"""Window geometry on one axis: every window on a line of its own."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from striderule.figures.blocks import (
    INPUT,
    LINES_UP_TO,
    OUTPUT,
    TAP,
    arrow,
    box,
    formulas,
    hatched,
    legend,
    legend_entries,
    pads_text,
    runs,
    side_of,
)
from striderule.figures.canvas import HERE, INK, LINE, ORANGE, board, caption, text_points
from striderule.figures.extents import Shape

SHOWN_LINES = 7
# More are drawn as one block.
MOST_TAPS = 400


def one_axis(shape: Shape, ax: Axes | None, title: str | None) -> Axes:
    """Draw the input, below it the windows, and at their right the outputs."""
    side = side_of(shape)
    first, last = shape.frame(0)
    wide, count = (last - first) * side, shape.output[0]
    shown: list[int | None] = list(range(count))
    if count > SHOWN_LINES:
        shown = [*range(SHOWN_LINES - 2), None, count - 1]
    right = max(wide, 11.0) + 1.6
    tall = 1.7 + 0.95 * len(shown)
    ax = board(ax, columns=(-0.2, right + 1.6), rows=(-1.1, tall + 2.9), cell=0.42, title=title)
    points = text_points(ax)
    x = (right - 1.6 - wide) / 2
    _draw_line_input(ax, shape, x, side, points)
    caption(ax, right + 0.5, -0.6, f"output {count}", points=points)
    for line, j in enumerate(shown):
        y = 1.7 + 0.95 * line
        if j is None:
            caption(ax, right + 0.5, y + 0.35, "\N{VERTICAL ELLIPSIS}", points=1.3 * points)
            continue
        _draw_line_window(ax, shape, x + (shape.start(0, j) - first) * side, y, side)
        if 0 < j == line and side >= 0.3:
            start = x + (shape.start(0, j - 1) - first) * side
            arrow(ax, (start, y + 0.35), (start + shape.stride[0] * side, y + 0.35), ORANGE)
        reached = x + (shape.start(0, j) - first + shape.extent(0)) * side
        ax.plot([reached + 0.15, right - 0.15], [y + 0.35] * 2, color=LINE, linewidth=0.9, linestyle="dotted")
        box(ax, right, y, 1.0, 0.7, facecolor=OUTPUT, edgecolor=HERE, linewidth=0.9)
        caption(ax, right + 0.5, y + 0.35, str(j), points=0.9 * points, color=INK)
    legend(ax, 0, tall + 0.45, legend_entries(shape))
    formulas(ax, tall + 1.45, shape)
    return ax


def _draw_line_input(ax: Axes, shape: Shape, x: float, side: float, points: float) -> None:
    """Draw the input of one axis with the index in each cell."""
    first, last = shape.frame(0)
    high = side if side >= 0.5 else 0.7
    _strip(ax, x, last - first, side, high, "white", dashed=True)
    _strip(ax, x - first * side, shape.size[0], side, high, INPUT)
    for start, count in runs(shape.unread(0)):
        hatched(ax, x + (start - first) * side, 0, count * side, high)
    if side >= 0.6:
        for place in range(shape.size[0]):
            caption(ax, x + (place - first + 0.5) * side, high / 2, str(place), points=0.85 * points, color=INK)
    words = f"input {shape.size[0]}, kernel {shape.kernel[0]}"
    if any(shape.pads[0]):
        words += f", padding {pads_text(shape.pads[0])}"
    if shape.dilation[0] > 1:
        words += f", dilation {shape.dilation[0]} (reaches {shape.extent(0)})"
    caption(ax, x + (last - first) * side / 2, -0.6, words, points=points, within=ax.get_xlim()[1] - 3.5)


def _strip(ax: Axes, x: float, count: int, side: float, high: float, fill: str, dashed: bool = False) -> None:
    style: Any = (0, (2, 2)) if dashed else "solid"
    box(ax, x, 0, count * side, high, facecolor=fill, edgecolor=LINE, linestyle=style, linewidth=0.8)
    if count <= LINES_UP_TO:
        lines = [[(x + c * side, 0), (x + c * side, high)] for c in range(1, count)]
        ax.add_collection(LineCollection(lines, colors=LINE, linewidths=0.8, linestyles=style))


def _draw_line_window(ax: Axes, shape: Shape, x: float, y: float, side: float) -> None:
    """Draw the taps of one window, joined where dilation sets them apart."""
    ax.plot([x + side / 2, x + (shape.extent(0) - 0.5) * side], [y + 0.35] * 2, color=HERE, linewidth=1.4, zorder=1)
    if shape.kernel[0] > MOST_TAPS:
        box(ax, x, y, shape.extent(0) * side, 0.7, facecolor=TAP, edgecolor=HERE, linewidth=0.9, zorder=2)
        return
    for t in range(shape.kernel[0]):
        place = x + t * shape.dilation[0] * side
        box(ax, place, y, side, 0.7, facecolor=TAP, edgecolor=HERE, linewidth=0.9, zorder=2)
