"""The board that a picture is drawn on: an Axes whose unit is one cell, and the colours of everything beside cells.

Row r and column c of a drawing lie at y = r and x = c, y pointing down, so a cell is the unit square around (c, r): the
coordinates of `Axes.imshow`. Figures are made without pyplot, so none stays registered there; notebooks show those that
are the value of a cell.
"""

from __future__ import annotations

import io
import math
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from striderule.errors import InvalidType

PAPER = "#fdfdfc"
INK = "#1d2430"
MUTED = "#66707f"
CHALK = "#eef1f4"
FAINT = "#a9b2be"
LINE = "#b9c1cc"
PADDING = "#e6ebf2"
# Green stands for "here": blue and orange are taken by the signs of numbers (colours after Okabe and Ito).
HERE = "#009e73"
BLUE = "#0f5c9c"
ORANGE = "#c2530a"

# matplotlib ships this family, and it has the brackets and the minus sign that formulas need.
FONT = "DejaVu Sans"
POINTS = 72.0
# Mean width of a letter of running text, in font sizes.
LETTER = 0.58


class Sheet(Figure):
    """A figure that notebooks show when it is the value of a cell, as they do with those that pyplot made."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


class SheetAxes(Axes):
    """Axes on a `Sheet`, shown by notebooks with the whole sheet."""

    def _repr_png_(self) -> bytes | None:
        sheet = sheet_of(self)
        return sheet._repr_png_() if isinstance(sheet, Sheet) else None


def luminance(colour: Any) -> float:
    """Return the relative luminance of a colour, 0 (black) to 1 (white), by the formula of WCAG 2.1."""
    channels = to_rgba(colour)[:3]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast_ink(colour: Any) -> str:
    """Return black or white, whichever stands out more on `colour`."""
    # WCAG contrast is (lighter + 0.05) / (darker + 0.05); both inks contrast equally where (L + 0.05)^2 = 1.05 * 0.05.
    return "black" if (luminance(colour) + 0.05) ** 2 > 1.05 * 0.05 else "white"


def ink(ax: Axes, *, muted: bool = False) -> str:
    """Return the colour of writing beside the cells: it follows the background of the figure."""
    figure = ax.figure
    background = PAPER if figure is None else figure.get_facecolor()
    dark = to_rgba(background)[3] > 0.5 and contrast_ink(background) == "white"
    if dark:
        return FAINT if muted else CHALK
    return MUTED if muted else INK


def check_axes(ax: Any) -> None:
    """Refuse anything that is not one matplotlib Axes."""
    if ax is not None and not isinstance(ax, Axes):
        hint = "; pass one of them, such as ax[0]" if hasattr(ax, "__getitem__") else ""
        raise InvalidType(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}{hint}")


def wrapped(title: str | None, inches: float, points: float = 11.0) -> list[str]:
    """Return the lines of a title that has to fit into a width."""
    if not title:
        return []
    characters = max(12, int(inches * POINTS / (LETTER * points)))
    return [line for part in title.splitlines() for line in textwrap.wrap(part, characters) or [""]]


def board(
    ax: Axes | None,
    *,
    columns: tuple[float, float],
    rows: tuple[float, float],
    cell: float = 0.5,
    widest: float = 10.0,
    narrowest: float = 2.4,
    title: str | None = None,
    right: float = 0.0,
) -> Axes:
    """Return an Axes that shows the given ranges of columns and rows, in cells, and nothing else.

    Parameters
    ----------
    ax
        Drawn into where given; otherwise a Figure of fitting size is made.
    columns, rows
        First and last coordinate shown.
    cell
        Side of a cell in inches, made smaller where the picture would exceed `widest` inches.
    narrowest
        Least width in inches, so that a title has room over a small picture.
    right
        Inches kept free on the right, for a colour bar.
    """
    check_axes(ax)
    width, height = columns[1] - columns[0], rows[1] - rows[0]
    if ax is None:
        side = min(cell, widest / max(width, height))
        across, down, margin = side * width, side * height, 0.12
        sheet = max(across + right, narrowest) + 2 * margin
        top = margin + 0.21 * len(wrapped(title, sheet - 2 * margin)) + (0.08 if title else 0.0)
        figure = Sheet(figsize=(sheet, down + top + margin), facecolor=PAPER)
        left = (sheet - across - right) / 2
        high = down + top + margin
        ax = figure.add_axes((left / sheet, margin / high, across / sheet, down / high), axes_class=SheetAxes)
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim(columns)
    ax.set_ylim(rows[1], rows[0])
    if title:
        heading(ax, title)
    return ax


def heading(ax: Axes, title: str) -> None:
    """Write a title above an Axes, in as many lines as the width of the figure asks for."""
    figure = ax.figure
    if isinstance(figure, Figure) and len(figure.axes) == 1:
        inches = figure.get_figwidth() - 0.24
    else:
        inches = max(1.2, inches_wide(ax))
    text = "\n".join(wrapped(title, inches))
    ax.set_title(text, fontsize=11, color=ink(ax), fontfamily=FONT, pad=6)


def sheet_of(ax: Axes) -> Figure:
    """Return the whole figure that an Axes stands in, also from within a subfigure."""
    sheet: Figure = ax.figure.figure
    return sheet


def inches_wide(ax: Axes) -> float:
    """Return the width of an Axes in inches, as it stands now."""
    return float(ax.get_window_extent().width) / sheet_of(ax).get_dpi()


def cell_points(ax: Axes) -> float:
    """Return the side of one cell in points, as the Axes stands now."""
    box = ax.get_window_extent()
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    pixels = min(box.width / abs(x1 - x0), box.height / abs(y1 - y0))
    return float(pixels) * POINTS / sheet_of(ax).get_dpi()


def caption(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    points: float = 10.0,
    within: float | None = None,
    muted: bool = False,
    **more: Any,
) -> None:
    """Write a line beside the cells, centred unless told otherwise, and small enough to stay `within` so many cells."""
    if within is not None:
        points = min(points, within * cell_points(ax) / (LETTER * len(text)))
    style = {"ha": "center", "va": "center", "color": ink(ax, muted=muted), "fontfamily": FONT, **more}
    ax.text(x, y, text, fontsize=max(points, 1.0), **style)


def text_points(ax: Axes, largest: float = 10.0) -> float:
    """Return a size for captions that suits the cells: half a cell high, between 4 points and `largest`."""
    return min(largest, max(4.0, math.floor(5.0 * cell_points(ax)) / 10.0))
