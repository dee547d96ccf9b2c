"""Cells: numbers as coloured unit squares with their values written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from striderule.errors import InvalidArgument, InvalidType
from striderule.figures.canvas import FONT, HERE, LINE, cell_points, contrast_ink
from striderule.figures.numerals import number
from striderule.functional import door

NOT_A_NUMBER = "#cbb7d9"
# Blue below zero, orange above: the pair that every common kind of colour vision tells apart.
SIGNED: Colormap = LinearSegmentedColormap.from_list(
    "striderule.signed", ["#0d5293", "#66a6da", "#f8f8f6", "#ea9850", "#9c3f00"], N=255
).with_extremes(bad=NOT_A_NUMBER)

SMALL = 16
WRITTEN_AT_MOST = 64
LEAST_POINTS = 4.5


@dataclass(frozen=True)
class Scale:
    """How numbers become colours."""

    colours: Colormap
    norm: Normalize

    def paint(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the colour of each value, with a last axis of red, green, blue, opacity."""
        return np.asarray(self.colours(self.norm(np.ma.masked_invalid(values.astype(np.float64)))))

    @property
    def mappable(self) -> ScalarMappable:
        """What a colour bar is made from."""
        return ScalarMappable(self.norm, self.colours)


def real_array(value: Any, argument: str) -> NDArray[Any]:
    """Return `value` as an array of real numbers with at least one element."""
    array = door.array(value, argument)
    if array.dtype.kind == "c":
        raise InvalidType(f"{argument} must hold real numbers, got {array.dtype}; draw abs(x), x.real or x.imag")
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.size == 0:
        raise InvalidArgument(f"{argument} must have at least one element to draw, got shape {array.shape}")
    return array


def plane(value: Any, argument: str) -> NDArray[Any]:
    """Return `value` as an array with the axes (rows, columns)."""
    array = real_array(value, argument)
    if array.ndim != 2:
        raise InvalidArgument(
            f"{argument} must have the two axes (rows, columns), got shape {array.shape}; "
            f"{'write x[np.newaxis]' if array.ndim < 2 else 'choose one map, such as x[0]'}"
        )
    return array


def limits(values: NDArray[Any]) -> tuple[float, float]:
    """Return the least and the greatest finite value; (0, 0) where none is finite."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def signed_scale(*arrays: NDArray[Any], bound: float | None = None) -> Scale:
    """Return the blue to orange scale, centred on zero and wide enough for all `arrays`."""
    if bound is None:
        bound = max((max(map(abs, limits(values))) for values in arrays), default=0.0)
    bound = bound or 1.0
    return Scale(SIGNED, Normalize(-bound, bound))


def colour_map(cmap: Any) -> Colormap:
    """Return a colour map by name; "signed" is the library's own."""
    if isinstance(cmap, Colormap):
        return cmap
    if not isinstance(cmap, str):
        raise InvalidType(f"cmap must be the name of a colour map or a matplotlib Colormap, got {cmap!r}")
    if cmap in (SIGNED.name, "signed"):
        return SIGNED
    if cmap not in mpl.colormaps:
        raise InvalidArgument(f"cmap must be 'signed' or a name that matplotlib knows, such as 'gray', got {cmap!r}")
    return mpl.colormaps[cmap].with_extremes(bad=NOT_A_NUMBER)


def scale_for(*arrays: NDArray[Any], cmap: Any = None, vmin: float | None = None, vmax: float | None = None) -> Scale:
    """Return the scale for images: grey from the least value to the greatest, unless told otherwise."""
    colours = colour_map("gray" if cmap is None else cmap)
    lows, highs = zip(*(limits(values) for values in arrays), strict=True)
    low, high = min(lows), max(highs)
    if colours is SIGNED and vmin is None and vmax is None:
        return signed_scale(*arrays)
    if low == high:
        # One value only: zero is black and one is white, so that an image of zeros is not mistaken for one of ones.
        low, high = min(low, 0.0), max(high, 1.0)
    low = low if vmin is None else float(vmin)
    high = high if vmax is None else float(vmax)
    if not low < high:
        raise InvalidArgument(f"vmin must be below vmax, got vmin={number(low)} and vmax={number(high)}")
    return Scale(colours, Normalize(low, high))


def labels(
    values: bool | str, shape: tuple[int, ...], points: float, make: Callable[[], NDArray[Any]]
) -> NDArray[Any] | None:
    """Return the texts to write into the cells, or None.

    "auto" writes them where the array is small and the writing stays readable. `make` is called only if needed.
    """
    if values == "auto" and isinstance(values, str):
        if max(shape) > SMALL:
            return None
        strings = make()
        lines = max(text.count("\n") + 1 for text in strings.flat)
        return strings if fitting_points(points, longest(strings), lines) >= LEAST_POINTS else None
    if not isinstance(values, (bool, np.bool_)):
        raise InvalidArgument(f"values must be 'auto', True or False, got {values!r}")
    if values and max(shape) > WRITTEN_AT_MOST:
        raise InvalidArgument(
            f"values=True writes at most {WRITTEN_AT_MOST} numbers a side, got {shape[0]} x {shape[1]} cells; "
            "draw an excerpt such as x[:16, :16], or leave values='auto'"
        )
    return make() if values else None


def fitting_points(cell: float, longest: int, lines: int = 1) -> float:
    """Return the font size that fits `longest` characters into a cell of `cell` points."""
    # A digit of the font is 0.64 of its size wide, and a line 1.2 high.
    return min(13.0, 0.46 * cell, 0.88 * cell / (0.64 * max(longest, 1)), 0.9 * cell / (1.2 * lines))


def paint(ax: Axes, colours: NDArray[Any], at: tuple[float, float] = (0, 0), *, lines: bool | None = None) -> AxesImage:
    """Draw an array of colours (rows, columns, 3 or 4) as cells whose first has its centre at row, column `at`."""
    rows, columns = colours.shape[:2]
    row, column = at
    view = ax.get_xlim(), ax.get_ylim()
    extent = (column - 0.5, column + columns - 0.5, row + rows - 0.5, row - 0.5)
    drawn = ax.imshow(colours, extent=extent, interpolation="antialiased", aspect="equal")
    # imshow moves the limits to what it drew: the board keeps its own.
    ax.set_xlim(view[0])
    ax.set_ylim(view[1])
    if lines if lines is not None else cell_points(ax) >= 8 and max(rows, columns) <= 40:
        grid_lines(ax, at, (rows, columns))
    return drawn


def grid_lines(ax: Axes, at: tuple[float, float], shape: tuple[int, int], colour: str = LINE) -> None:
    """Draw the borders of cells."""
    row, column = at[0] - 0.5, at[1] - 0.5
    across = [[(column, row + r), (column + shape[1], row + r)] for r in range(shape[0] + 1)]
    down = [[(column + c, row), (column + c, row + shape[0])] for c in range(shape[1] + 1)]
    ax.add_collection(LineCollection(across + down, colors=colour, linewidths=0.8, capstyle="projecting"))


def write(
    ax: Axes,
    strings: NDArray[Any],
    colours: NDArray[Any],
    at: tuple[float, float] = (0, 0),
    *,
    points: float | None = None,
) -> None:
    """Write a text into each cell, black or white by the colour below it."""
    if points is None:
        points = fitting_points(cell_points(ax), longest(strings), max(text.count("\n") + 1 for text in strings.flat))
    for (row, column), text in np.ndenumerate(strings):
        ax.text(
            at[1] + column,
            at[0] + row,
            text,
            ha="center",
            va="center",
            fontsize=max(points, 2.0),
            color=contrast_ink(colours[row, column]),
            fontfamily=FONT,
            linespacing=1.1,
        )


def longest(strings: NDArray[Any]) -> int:
    """Return the number of characters of the longest line."""
    return max(len(line) for text in strings.flat for line in text.split("\n"))


def tint(colours: NDArray[Any], colour: str = HERE, share: float = 0.3) -> NDArray[Any]:
    """Return colours mixed with a share of another one."""
    return (1 - share) * colours + share * np.asarray(to_rgba(colour))[: colours.shape[-1]]


def outline(
    ax: Axes,
    at: tuple[float, float],
    shape: tuple[float, float] = (1, 1),
    *,
    colour: str = HERE,
    width: float = 2.4,
    dashed: bool = False,
) -> None:
    """Draw the border of a block of cells."""
    ax.add_patch(
        Rectangle(
            (at[1] - 0.5, at[0] - 0.5),
            shape[1],
            shape[0],
            fill=False,
            edgecolor=colour,
            linewidth=width,
            linestyle=(0, (3, 2)) if dashed else "solid",
            joinstyle="round",
            zorder=3,
        )
    )
