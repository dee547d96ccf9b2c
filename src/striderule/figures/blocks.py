"""What drawings of geometry are made of: blocks of cells, hatched parts, arrows, the legend, the formula.

A place (x, y) is in units of the board; a cell has `side` units.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch, Rectangle

from striderule.figures.canvas import HERE, LETTER, LINE, MUTED, ORANGE, caption, cell_points, text_points
from striderule.figures.extents import FORMULA, Shape
from striderule.figures.numerals import MINUS

INPUT = "#cfe0f1"
OUTPUT = "#c4e6da"
KERNEL = "#f6d8ba"
TAP = "#5fc4a4"
TIMES = "\N{MULTIPLICATION SIGN}"
# Beyond this the cells of a panel shrink, and beyond LINES_UP_TO they are drawn without borders.
FULL_SIZE_UP_TO = 20
SHRUNK_TO = 14.0
LINES_UP_TO = 48


def box(ax: Axes, x: float, y: float, wide: float, high: float, **style: Any) -> None:
    """Draw a rectangle from its upper left corner."""
    ax.add_patch(Rectangle((x, y), wide, high, **style))


def cells(ax: Axes, x: float, y: float, shape: tuple[int, int], side: float, fill: str, dashed: bool = False) -> None:
    """Draw rows x columns of cells from their upper left corner."""
    rows, columns = shape
    box(ax, x, y, columns * side, rows * side, facecolor=fill, edgecolor="none", zorder=1)
    style: Any = (0, (2, 2)) if dashed else "solid"
    inner = max(rows, columns) <= LINES_UP_TO
    across = [
        [(x, y + r * side), (x + columns * side, y + r * side)] for r in (range(rows + 1) if inner else (0, rows))
    ]
    down = [
        [(x + c * side, y), (x + c * side, y + rows * side)] for c in (range(columns + 1) if inner else (0, columns))
    ]
    ax.add_collection(LineCollection(across + down, colors=LINE, linewidths=0.8, linestyles=style, zorder=1.5))


def runs(places: list[int]) -> list[tuple[int, int]]:
    """Return runs of neighbouring places as (first, count)."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and place == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((place, 1))
    return runs


def hatched(ax: Axes, x: float, y: float, wide: float, high: float) -> None:
    """Hatch what no window reads."""
    style = {"facecolor": "#ffffff66", "edgecolor": "#8a94a3", "hatch": "////", "linewidth": 0}
    box(ax, x, y, wide, high, zorder=2, **style)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    """Draw an arrow."""
    style: Any = {"arrowstyle": "-|>", "mutation_scale": 10, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.6}
    ax.add_patch(FancyArrowPatch(start, end, color=colour, zorder=4, **style))


def side_of(shape: Shape) -> float:
    """Return the side of a cell: 1, or less where there are many."""
    longest = max(last - first for first, last in map(shape.frame, range(len(shape.size))))
    return 1.0 if longest <= FULL_SIZE_UP_TO else SHRUNK_TO / longest


def pads_text(pads: tuple[int, int]) -> str:
    """Return the padding of an axis as one number, or as before + after."""
    before, after = (str(side).replace("-", MINUS) for side in pads)
    return before if before == after else f"{before} + {after}"


def legend(ax: Axes, x: float, y: float, entries: list[tuple[str, dict[str, Any]]]) -> None:
    """Draw small boxes with their meaning in a row; an entry without a style is an arrow."""
    points = text_points(ax, 9.0)
    letter = LETTER * points / cell_points(ax)
    for words, style in entries:
        if style:
            box(ax, x, y - 0.25, 0.5, 0.5, **style)
        else:
            arrow(ax, (x, y), (x + 0.5, y), ORANGE)
        caption(ax, x + 0.65, y, words, points=points, ha="left")
        x += 1.35 + letter * len(words)


def legend_entries(shape: Shape) -> list[tuple[str, dict[str, Any]]]:
    """Return the words and the box of everything that occurs in a drawing."""
    first = "first window" if len(shape.size) > 1 else "window"
    entries: list[tuple[str, dict[str, Any]]] = [(first, {"facecolor": TAP, "edgecolor": HERE})]
    if any(side > 0 for pair in shape.pads for side in pair):
        entries.append(("padding", {"facecolor": "white", "edgecolor": MUTED, "linestyle": "dashed"}))
    if max(shape.output) > 1:
        strides = set(shape.stride)
        step = str(shape.stride[0]) if len(strides) == 1 else f"{shape.stride[0]}, {shape.stride[1]}"
        dashes = {"facecolor": "none", "edgecolor": ORANGE, "linestyle": "dashed"}
        entries.append((f"stride {step}", dashes if len(shape.size) > 1 else {}))
    if any(shape.unread(axis) for axis in range(len(shape.size))):
        entries.append(("not read", {"facecolor": "white", "edgecolor": MUTED, "hatch": "/////", "linewidth": 0.6}))
    return entries


def formulas(ax: Axes, y: float, shape: Shape) -> None:
    """Write the formula in words and, last, with its numbers."""
    points, room = text_points(ax), ax.get_xlim()[1]
    caption(ax, 0, y, FORMULA, points=points, within=room, ha="left", muted=True)
    names = [""] if len(shape.size) == 1 else ["rows: ", "columns: "]
    for axis, name in enumerate(names):
        words = name + shape.formula(axis)
        caption(ax, 0, y + 0.75 * (axis + 1), words, points=points, within=room, ha="left")
