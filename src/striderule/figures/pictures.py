"""One array as a picture: an image, or a kernel with its signs."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.figures.canvas import FONT, board, cell_points, inches_wide, ink, sheet_of
from striderule.figures.cells import (
    Scale,
    labels,
    paint,
    plane,
    real_array,
    scale_for,
    signed_scale,
    write,
)
from striderule.figures.numerals import digits_for, number, texts

COLOUR_BAR = 0.75


def image(
    array: ArrayLike,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    values: bool | str = "auto",
    colorbar: bool = False,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: Any = None,
) -> Axes:
    """Draw an image, with its numbers written into the cells when it is small.

    Parameters
    ----------
    array
        Shape (rows, columns), or (rows, columns, 3 or 4) for colours. Colours are 0 to 1 in floating point and 0 to the
        greatest value of their type in unsigned integers, unless no value exceeds 1; what lies outside is clipped.
    ax
        The Axes to draw into; by default one in a new Figure (``ax.figure``), which pyplot does not know of.
    title
        Written above.
    values
        "auto" writes the numbers into up to 16 x 16 cells if they stay readable; True and False decide.
    colorbar
        Add a colour bar at the right.
    vmin, vmax
        The values drawn black and white; by default the least and the greatest.
    cmap
        A matplotlib colour map or its name instead of grey; "signed" is blue below zero, white at zero, orange above.

    Returns
    -------
    Axes
        Cell (i, j) is the unit square around x = j, y = i.

    Raises
    ------
    InvalidArgument, InvalidType
        For other shapes, empty or complex arrays, unknown colour maps, and vmin not below vmax.

    Examples
    --------
    >>> ax = image([[0, 1], [1, 0]], title="checkers")
    >>> [text.get_text() for text in ax.texts]
    ['0', '1', '1', '0']
    >>> ax.figure.savefig("checkers.png")  # doctest: +SKIP
    """
    drawn = real_array(array, "array")
    if drawn.ndim == 3 and drawn.shape[-1] in (3, 4):
        if colorbar or cmap is not None:
            name = "colorbar" if colorbar else "cmap"
            raise InvalidArgument(f"{name} has no meaning for colours, got shape {drawn.shape}; draw one channel")
        return _rgb(drawn, ax=ax, title=title, values=values, vmin=vmin, vmax=vmax)
    if drawn.ndim != 2:
        hint = "; draw maps that lie one behind the other with feature_maps" if drawn.ndim > 2 else ""
        raise InvalidArgument(
            f"array must have the shape (rows, columns) or (rows, columns, 3 or 4), got {drawn.shape}{hint}"
        )
    scale = scale_for(drawn, cmap=cmap, vmin=vmin, vmax=vmax)
    return _cells(drawn, scale, texts, ax=ax, title=title, values=values, colorbar=colorbar)


def kernel(
    array: ArrayLike,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    values: bool | str = "auto",
    colorbar: bool = False,
) -> Axes:
    """Draw a kernel: blue below zero, white at zero, orange above, with its numbers as fractions or short decimals.

    Parameters
    ----------
    array
        Shape (rows, columns); a kernel of one axis is drawn as one row.
    ax, title, values, colorbar
        As for `image`.

    Returns
    -------
    Axes
        Cell (i, j) is the unit square around x = j, y = i.

    Raises
    ------
    InvalidArgument, InvalidType
        For other shapes, and for empty or complex arrays.

    Examples
    --------
    >>> ax = kernel([[1 / 9] * 3] * 3)
    >>> ax.texts[0].get_text()
    '1/9'
    """
    drawn = real_array(array, "array")
    drawn = plane(drawn[np.newaxis] if drawn.ndim == 1 else drawn, "array")

    def fractions(numbers: NDArray[Any]) -> NDArray[Any]:
        return texts(numbers, fractions=True)

    return _cells(drawn, signed_scale(drawn), fractions, ax=ax, title=title, values=values, colorbar=colorbar)


def _frame(shape: tuple[int, ...], ax: Axes | None, title: str | None, right: float = 0.0) -> Axes:
    rows, columns = shape[:2]
    return board(
        ax,
        columns=(-0.52, columns - 0.48),
        rows=(-0.52, rows - 0.48),
        cell=0.56,
        widest=5.0,
        title=title,
        right=right,
    )


def _cells(
    drawn: NDArray[Any],
    scale: Scale,
    to_texts: Any,
    *,
    ax: Axes | None,
    title: str | None,
    values: bool | str,
    colorbar: bool,
) -> Axes:
    ax = _frame(drawn.shape, ax, title, COLOUR_BAR if colorbar else 0.0)
    colours = scale.paint(drawn)
    paint(ax, colours)
    strings = labels(values, drawn.shape, cell_points(ax), lambda: to_texts(drawn))
    if strings is not None:
        write(ax, strings, colours)
    if colorbar:
        colour_bar(ax, scale)
    return ax


def colour_bar(ax: Axes, scale: Scale, bounds: tuple[float, float, float, float] | None = None) -> None:
    """Add a colour bar inside its own small Axes at the right of `ax`; `bounds` are in fractions of `ax`."""
    if bounds is None:
        inches = max(inches_wide(ax), 0.5)
        bounds = (1 + 0.12 / inches, 0.0, 0.14 / inches, 1.0)
    side = ax.inset_axes(bounds)
    bar = sheet_of(ax).colorbar(scale.mappable, cax=side)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, color=ink(ax, muted=True), labelcolor=ink(ax), labelfontfamily=FONT)


def unit_colours(drawn: NDArray[Any], vmin: float | None = None, vmax: float | None = None) -> NDArray[Any]:
    """Return colours as floating point 0 to 1."""
    if vmin is None and vmax is None and drawn.dtype.kind == "u" and int(drawn.max()) > 1:
        full = float(np.iinfo(drawn.dtype).max)
    elif vmin is None and vmax is None and drawn.dtype.kind == "i" and int(drawn.max()) > 1:
        full = 255.0
    else:
        full = 1.0
    low = 0.0 if vmin is None else float(vmin)
    high = full if vmax is None else float(vmax)
    if not low < high:
        raise InvalidArgument(f"vmin must be below vmax, got vmin={number(low)} and vmax={number(high)}")
    colours = (drawn.astype(np.float64) - low) / (high - low)
    return np.clip(np.nan_to_num(colours, nan=0.5), 0.0, 1.0)


def _rgb(
    drawn: NDArray[Any],
    *,
    ax: Axes | None,
    title: str | None,
    values: bool | str,
    vmin: float | None,
    vmax: float | None,
) -> Axes:
    ax = _frame(drawn.shape, ax, title)
    colours = unit_colours(drawn, vmin, vmax)
    paint(ax, colours)
    strings = labels(values, drawn.shape[:2], cell_points(ax), lambda: _channel_texts(drawn))
    if strings is not None:
        write(ax, strings, colours)
    return ax


def _channel_texts(drawn: NDArray[Any]) -> NDArray[Any]:
    """Return one text a cell, a line for each channel."""
    digits = digits_for(drawn)
    strings = np.empty(drawn.shape[:2], dtype=object)
    for index in np.ndindex(strings.shape):
        strings[index] = "\n".join(number(channel, digits) for channel in drawn[index])
    return strings
