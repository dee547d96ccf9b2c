"""An image with what a boundary puts around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.figures.canvas import PADDING, board, cell_points
from striderule.figures.cells import labels, outline, paint, real_array, scale_for, tint, write
from striderule.figures.numerals import texts
from striderule.figures.pictures import unit_colours
from striderule.geometry.padding import Sides, Words, boundary_indices, parse_boundary, parse_padding

# How far what lies outside fades towards the colour of padding.
FADED = 0.5


def surroundings(
    array: ArrayLike,
    padding: Any = 2,
    *,
    boundary: Any = "symmetric",
    fill: float = 0,
    ax: Axes | None = None,
    title: str | None = None,
    values: bool | str = "auto",
) -> Axes:
    """Draw an image and, paler, what lies outside it: the positions that a filter meets beyond its border.

    Parameters
    ----------
    array
        Shape (rows, columns), or (rows, columns, 3 or 4) for colours.
    padding
        How many positions outside are drawn: one number, or one entry for rows and one for columns, each a number or a
        (before, after) pair. Default 2.
    boundary
        ``"symmetric"`` (default), ``"mirror"``, ``"edge"``, ``"wrap"`` or ``"constant"``; or a tuple with one entry for
        rows and one for columns, each a word or a (before, after) pair.
    fill
        The value outside for ``"constant"``. Default 0.
    ax, title, values
        As for `image`.

    Returns
    -------
    Axes
        Cell (i, j) of the image is the unit square around x = j, y = i; outside, i and j are negative or beyond.

    Raises
    ------
    InvalidArgument, InvalidType
        For other shapes, empty or complex arrays, unknown words, and padding that crops.

    Examples
    --------
    >>> ax = surroundings([[1, 2, 3]], ((0, 0), (2, 2)), boundary="mirror")
    >>> [text.get_text() for text in ax.texts]
    ['3', '2', '1', '2', '3', '2', '1']
    """
    drawn = real_array(array, "array")
    if drawn.ndim != 2 and not (drawn.ndim == 3 and drawn.shape[-1] in (3, 4)):
        raise InvalidArgument(
            f"array must have the shape (rows, columns) or (rows, columns, 3 or 4), got {drawn.shape}"
        )
    size = drawn.shape[:2]
    pads = parse_padding(padding, size=size, kernel=(1, 1), stride=(1, 1), dilation=(1, 1))
    if any(side < 0 for pair in pads for side in pair):
        raise InvalidArgument(f"padding must be at least 0 on every side to be drawn, got {padding!r}")
    whole = extended(drawn, pads, parse_boundary(boundary, 2), fill)
    (top, bottom), (left, right) = pads
    ax = board(
        ax,
        columns=(-left - 0.52, size[1] + right - 0.48),
        rows=(-top - 0.52, size[0] + bottom - 0.48),
        cell=0.56,
        widest=5.0,
        title=title,
    )
    colours = unit_colours(whole) if whole.ndim == 3 else scale_for(whole).paint(whole)
    inside = slice(top, top + size[0]), slice(left, left + size[1])
    paler = tint(colours, PADDING, FADED)
    paler[inside] = colours[inside]
    paint(ax, paler, (-top, -left))
    strings = None if whole.ndim == 3 else labels(values, whole.shape, cell_points(ax), lambda: texts(whole))
    if strings is not None:
        write(ax, strings, paler, (-top, -left))
    outline(ax, (0, 0), size)
    return ax


def extended(array: NDArray[Any], pads: Sides, words: Words, fill: float) -> NDArray[Any]:
    """Return the array with what lies outside on its first two axes."""
    for axis, ((before, after), pair) in enumerate(zip(pads, words, strict=True)):
        found = boundary_indices(array.shape[axis], before, after, pair)
        wide = np.take(array, [index or 0 for index in found], axis=axis)
        outside = [place for place, index in enumerate(found) if index is None]
        wide[(slice(None),) * axis + (outside,)] = fill
        array = wide
    return array
