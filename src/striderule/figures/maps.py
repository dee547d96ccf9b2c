"""Feature maps side by side in one Axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.figures.canvas import FONT, board, cell_points, inches_wide, ink, wrapped
from striderule.figures.cells import SMALL, Scale, labels, limits, paint, plane, real_array, scale_for, write
from striderule.figures.numerals import MINUS, number, texts
from striderule.figures.pictures import COLOUR_BAR, colour_bar
from striderule.geometry.arguments import integer

MOST_MAPS = 256
TITLE_POINTS = 9.0


def feature_maps(
    maps: ArrayLike | Sequence[ArrayLike],
    *,
    ax: Axes | None = None,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
    shared_scale: bool = False,
    values: bool | str = "auto",
    cmap: Any = None,
) -> Axes:
    """Draw feature maps in a grid, each in a small Axes of its own inside one Axes.

    Parameters
    ----------
    maps
        Shape (maps, rows, columns), or a sequence of arrays (rows, columns) of any sizes, at most 256.
    ax
        The Axes to draw into; by default one in a new Figure.
    columns
        Maps a row; by default all in one row up to four, else as square as possible.
    titles
        One for each map.
    shared_scale
        Give all maps the same scale, shown by one colour bar; otherwise each map uses the full scale by itself and its
        least and greatest values are written below it.
    values
        "auto" writes the numbers into small maps; True and False decide.
    cmap
        As for `image`; by default grey, or "signed" if any value is negative.

    Returns
    -------
    Axes
        The outer one; `ax.child_axes` holds the maps in order, then the colour bar if there is one.

    Raises
    ------
    InvalidArgument, InvalidType
        For no maps or too many, other shapes, and titles that do not match.

    Examples
    --------
    >>> ax = feature_maps([[[0, 1], [2, 3]], [[4, 5], [6, 7]]], titles=["first", "second"])
    >>> [text.get_text() for text in ax.child_axes[1].texts][:4]
    ['4', '5', '6', '7']
    """
    planes = _planes(maps)
    across = _columns(columns, len(planes))
    names = _titles(titles, len(planes))
    if cmap is None:
        cmap = "signed" if any(limits(values_of)[0] < 0 for values_of in planes) else "gray"
    common = scale_for(*planes, cmap=cmap) if shared_scale else None
    written = values is True or (values == "auto" and max(max(one.shape) for one in planes) <= SMALL)
    with_range = not (written or shared_scale)
    outer, places = _grid(ax, planes, across, names, with_range=with_range, with_bar=shared_scale)
    for drawn, name, place in zip(planes, names, places, strict=True):
        inner = outer.inset_axes(place, transform=outer.transData)
        scale = common or scale_for(drawn, cmap=cmap)
        _one_map(inner, drawn, scale, name, values=values, with_range=with_range)
    if common is not None:
        bottom, top = outer.get_ylim()
        lowest, highest = max(place[1] + place[3] for place in places), min(place[1] for place in places)
        height = (lowest - highest) / (bottom - top)
        inches = inches_wide(outer)
        colour_bar(outer, common, (1 + 0.1 / inches, (bottom - lowest) / (bottom - top), 0.14 / inches, height))
    return outer


def _planes(maps: Any) -> list[NDArray[Any]]:
    if isinstance(maps, np.ndarray) and maps.ndim != 3:
        hint = "; take one image of the batch: maps[0]" if maps.ndim == 4 else ""
        raise InvalidArgument(f"maps must have the shape (maps, rows, columns), got {maps.shape}{hint}")
    planes = [plane(real_array(one, f"maps[{k}]"), f"maps[{k}]") for k, one in enumerate(maps)]
    if not 1 <= len(planes) <= MOST_MAPS:
        raise InvalidArgument(f"maps must be 1 to {MOST_MAPS} feature maps, got {len(planes)}; draw some: maps[:16]")
    return planes


def _columns(columns: Any, count: int) -> int:
    if columns is None:
        return count if count <= 4 else math.ceil(math.sqrt(count))
    chosen = integer(columns, "columns")
    if chosen < 1:
        raise InvalidArgument(f"columns must be at least 1, got {chosen}")
    return min(chosen, count)


def _titles(titles: Sequence[str] | None, count: int) -> list[str]:
    if titles is None:
        return [""] * count
    if isinstance(titles, str) or len(titles) != count:
        shown = titles if isinstance(titles, str) else list(titles)
        raise InvalidArgument(f"titles must be one for each of the {count} maps, got {shown!r}")
    return list(titles)


def _grid(
    ax: Axes | None, planes: list[NDArray[Any]], across: int, names: list[str], *, with_range: bool, with_bar: bool
) -> tuple[Axes, list[tuple[float, float, float, float]]]:
    """Return the outer Axes and the place (x, y, width, height) of each map, in inches of a fresh figure."""
    down = -(-len(planes) // across)
    side = min(2.6 if len(planes) <= 4 else 2.0, 10.0 / across)
    highest = max(p.shape[0] / max(p.shape) for p in planes)
    lines = max(len(wrapped(name, side * 0.95, TITLE_POINTS)) for name in names)
    above, below, gap = 0.17 * lines + 0.06 * bool(lines), 0.24 if with_range else 0.04, min(0.14, side * 0.08)
    tall = above + side * highest + below
    outer = board(
        ax,
        columns=(0, across * side + (across - 1) * gap),
        rows=(0, down * tall + (down - 1) * gap),
        cell=1.0,
        widest=40.0,
        right=COLOUR_BAR if with_bar else 0.0,
    )
    places = []
    for k, drawn in enumerate(planes):
        row, column = divmod(k, across)
        high, wide = (side * n / max(drawn.shape) for n in drawn.shape)
        x = column * (side + gap) + (side - wide) / 2
        y = row * (tall + gap) + above + (side * highest - high) / 2
        places.append((x, y, wide, high))
    return outer, places


def _one_map(
    inner: Axes, drawn: NDArray[Any], scale: Scale, name: str, *, values: bool | str, with_range: bool
) -> None:
    rows, columns = drawn.shape
    board(inner, columns=(-0.52, columns - 0.48), rows=(-0.52, rows - 0.48))
    colours = scale.paint(drawn)
    paint(inner, colours)
    strings = labels(values, drawn.shape, cell_points(inner), lambda: texts(drawn))
    if strings is not None:
        write(inner, strings, colours)
    inches = inches_wide(inner)
    if name:
        lines = "\n".join(wrapped(name, inches, TITLE_POINTS))
        inner.set_title(lines, fontsize=TITLE_POINTS, color=ink(inner), fontfamily=FONT, pad=3, linespacing=1.05)
    if with_range and inches > 0.8:
        low, high = limits(drawn)
        words = f"{number(low, 2)} to {number(high, 2)}".replace("-", MINUS)
        inner.text(
            0.5, -0.03, words, transform=inner.transAxes, ha="center", va="top",
            fontsize=7.5, color=ink(inner, muted=True), fontfamily=FONT,
        )  # fmt: skip
