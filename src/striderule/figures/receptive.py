"""The receptive field of a chain of layers as a pyramid of units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Polygon

from striderule.errors import InvalidArgument, InvalidType
from striderule.figures.canvas import BLUE, FAINT, HERE, INK, ORANGE, PAPER, board, caption, check_axes, text_points
from striderule.figures.numerals import MINUS
from striderule.geometry.arguments import integer, per_axis
from striderule.geometry.receptive import Window
from striderule.geometry.receptive import receptive_field as field_of
from striderule.geometry.window import side_pairs

# Beyond this a row of units is drawn as a bar, and the links between two rows as their hull.
MOST_UNITS = 64
MOST_LAYERS = 64
MOST_POSITIONS = 4096
ACROSS = 14.0


@dataclass(frozen=True)
class Row:
    """The units of one level that the output at position 0 depends on, placed in coordinates of the input."""

    units: tuple[int, ...]
    jump: int
    centre: float

    def x(self, unit: int) -> float:
        """Return the centre of what a unit sees, in positions of the input."""
        return self.centre + unit * self.jump


def receptive_field(
    chain: Iterable[Window], *, axis: int = 0, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw what one output of a chain of layers sees, from the input (bottom) to the output (top), on one axis.

    Filled units are those that the output at position 0 depends on; hollow ones lie between them but are skipped by
    dilation or stride. Each level is labelled with its layer and with what one of its units sees in the input.

    Parameters
    ----------
    chain
        `striderule.geometry.Window` values, first layer first; at most 64.
    axis
        Which axis to draw where the layers have several.
    ax, title
        As for `image`.

    Returns
    -------
    Axes
        Its last text says in a sentence what one output sees.

    Raises
    ------
    InvalidArgument, InvalidType
        For too many layers, an axis that is not there, and entries that are not Window values.

    Examples
    --------
    >>> ax = receptive_field([Window(3), Window(3, stride=2)])
    >>> ax.texts[-1].get_text()
    'One output sees 5 positions of the input, 0 to 4; the next one begins 2 further on.'
    """
    check_axes(ax)
    windows = _windows(chain)
    chosen = _axis(windows, axis)
    rows = levels(windows, chosen)
    low, span = rows[0].units[0] - 0.5, rows[0].units[-1] - rows[0].units[0] + 1
    step = min(1.0, ACROSS / span)
    wide = max(span * step, 6.0)
    labels_at = wide + 0.8
    height = 1.35 * (len(rows) - 1)
    ax = board(ax, columns=(-0.4, labels_at + 9.0), rows=(-0.7, height + 1.7), cell=0.42, title=title)
    shift = (wide - span * step) / 2 - low * step

    def place(row: Row, unit: int) -> float:
        return row.x(unit) * step + shift

    points = text_points(ax)
    for level, row in enumerate(rows):
        y = height - 1.35 * level
        if level:
            below = rows[level - 1]
            _links(ax, windows[level - 1], chosen, (row, below), y, place)
        _units(ax, row, y, level, len(rows), place)
        caption(ax, labels_at, y, _label(windows, level, chosen), points=points, within=9.0, ha="left")
    _ends(ax, rows[0], height, place, points)
    caption(ax, 0, height + 1.35, _sentence(windows, chosen), points=points, within=labels_at + 9.0, ha="left")
    return ax


def _windows(chain: Any) -> list[Window]:
    try:
        windows = list(chain)
    except TypeError:
        raise InvalidType(f"chain must be a sequence of Window values, got {type(chain).__name__}") from None
    for window in windows:
        if not isinstance(window, Window):
            raise InvalidType(f"chain must hold striderule.geometry.Window values, got {window!r}; write Window(3)")
    if len(windows) > MOST_LAYERS:
        raise InvalidArgument(f"chain must have at most {MOST_LAYERS} layers to be drawn, got {len(windows)}")
    widest = max(field_of(windows).size)
    if widest > MOST_POSITIONS:
        raise InvalidArgument(
            f"chain must see at most {MOST_POSITIONS} positions to be drawn, got {widest}; draw its first layers, "
            "chain[:5]"
        )
    return windows


def _axis(windows: list[Window], axis: Any) -> int:
    rank = len(field_of(windows).size)
    chosen = integer(axis, "axis")
    if not -rank <= chosen < rank:
        raise InvalidArgument(f"axis must be one of the {rank} axes of the chain, got {chosen}")
    return chosen % rank


def one_axis(window: Window, rank: int, axis: int) -> tuple[int, int, int, int]:
    """Return kernel, stride, dilation and the padding before, on one axis."""
    kernel, stride, dilation = (
        per_axis(value, rank, name, 1)[axis]
        for name, value in (("kernel", window.kernel), ("stride", window.stride), ("dilation", window.dilation))
    )
    return kernel, stride, dilation, side_pairs(window.padding, rank)[axis][0]


def levels(windows: list[Window], axis: int) -> list[Row]:
    """Return the rows of the pyramid, the input first."""
    rank = len(field_of(windows).size)
    units: tuple[int, ...] = (0,)
    rows = []
    for level in range(len(windows), -1, -1):
        field = field_of(windows[:level])
        at = axis if len(field.size) > 1 else 0
        centre = field.offset[at] + (field.size[at] - 1) / 2
        rows.append(Row(units, field.stride[at], centre))
        if level:
            kernel, stride, dilation, before = one_axis(windows[level - 1], rank, axis)
            units = tuple(sorted({u * stride - before + t * dilation for u in units for t in range(kernel)}))
    return rows[::-1]


def _links(ax: Axes, window: Window, axis: int, pair: tuple[Row, Row], y: float, place: Any) -> None:
    row, below = pair
    if len(below.units) > MOST_UNITS:
        corners = [
            (place(row, row.units[0]), y),
            (place(row, row.units[-1]), y),
            (place(below, below.units[-1]), y + 1.35),
            (place(below, below.units[0]), y + 1.35),
        ]
        ax.add_patch(Polygon(corners, closed=True, facecolor=HERE, alpha=0.15, linewidth=0))
        return
    rank = len(field_of([window]).size)
    kernel, stride, dilation, before = one_axis(window, rank, axis if rank > 1 else 0)
    lines = [
        [(place(row, u), y), (place(below, u * stride - before + t * dilation), y + 1.35)]
        for u in row.units
        for t in range(kernel)
    ]
    ax.add_collection(LineCollection(lines, colors=HERE, linewidths=0.9, alpha=0.6, zorder=1))


def _units(ax: Axes, row: Row, y: float, level: int, count: int, place: Any) -> None:
    """Draw the units of one level."""
    colour = BLUE if level == 0 else ORANGE if level == count - 1 else HERE
    first, last = row.units[0], row.units[-1]
    if len(row.units) > MOST_UNITS:
        ax.plot([place(row, first), place(row, last)], [y, y], color=colour, linewidth=5, solid_capstyle="round")
        return
    gap = abs(place(row, first + 1) - place(row, first)) * 30
    size = max(2.5, min(9.0, 0.7 * gap))
    skipped = sorted(set(range(first, last + 1)) - set(row.units))
    style = {"linestyle": "none", "marker": "o", "markersize": size}
    if len(skipped) <= 4 * MOST_UNITS:
        places = [place(row, u) for u in skipped]
        ax.plot(places, [y] * len(places), markerfacecolor=PAPER, markeredgecolor=FAINT, zorder=2, **style)
    places = [place(row, u) for u in row.units]
    ax.plot(places, [y] * len(places), color=colour, markeredgecolor=INK, markeredgewidth=0.4, zorder=3, **style)


def _label(windows: list[Window], level: int, axis: int) -> str:
    if level == 0:
        return "input"
    window = windows[level - 1]
    rank = len(field_of(windows).size)
    kernel, stride, dilation, _ = one_axis(window, rank, axis)
    field = field_of(windows[:level])
    at = axis if len(field.size) > 1 else 0
    words = f"layer {level}: kernel {kernel}"
    words += f", stride {stride}" if stride > 1 else ""
    words += f", dilation {dilation}" if dilation > 1 else ""
    return f"{words}; sees {field.size[at]}, step {field.stride[at]}"


def _ends(ax: Axes, row: Row, y: float, place: Any, points: float) -> None:
    """Write the first and the last position of the input below it."""
    first, last = row.units[0], row.units[-1]
    for unit in sorted({first, last}):
        words = str(unit).replace("-", MINUS)
        caption(ax, place(row, unit), y + 0.6, words, points=0.9 * points, muted=True)


def _sentence(windows: list[Window], axis: int) -> str:
    field = field_of(windows)
    first, after = field.interval(axis, 0)
    span = f"{first} to {after - 1}".replace("-", MINUS)
    size, step = field.size[axis], field.stride[axis]
    positions = "position" if size == 1 else "positions"
    outside = ", beginning in the padding" if first < 0 else ""
    return f"One output sees {size} {positions} of the input, {span}{outside}; the next one begins {step} further on."
