"""The picture of one step: the window in the image, window x kernel = products, and the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.figures.canvas import (
    FAINT,
    HERE,
    LETTER,
    PADDING,
    board,
    caption,
    cell_points,
    check_axes,
    ink,
    text_points,
)
from striderule.figures.cells import (
    LEAST_POINTS,
    Scale,
    fitting_points,
    grid_lines,
    limits,
    longest,
    outline,
    paint,
    scale_for,
    signed_scale,
    tint,
    write,
)
from striderule.figures.numerals import number, texts
from striderule.figures.sliding import Sliding, Span, filled
from striderule.geometry.arguments import per_axis
from striderule.geometry.window import extent_of

# A larger image is shown as an excerpt around the window.
MOST_CELLS = 16


def window(
    image: ArrayLike,
    kernel: ArrayLike,
    position: tuple[int, int],
    *,
    stride: Any = 1,
    dilation: Any = 1,
    padding: Any = 0,
    boundary: Any = "constant",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the kernel standing at one place of an image: the cells it covers, times its taps, the products, their sum.

    The kernel slides as it is (a correlation): output[i, j] = sum over u, v of
    kernel[u, v] * image[i * stride + u * dilation - padding, j * stride + v * dilation - padding].

    Parameters
    ----------
    image
        Shape (rows, columns). Of more than 16 rows or columns only those around the window are shown.
    kernel
        Shape (rows, columns).
    position
        (i, j), the element of the output that is computed.
    stride, dilation
        One integer or one for each axis, at least 1.
    padding
        Numbers, pairs or words for each axis, as everywhere; negative numbers crop.
    boundary
        What stands in the padding; zeros by default.
    ax, title
        As for `image`.

    Returns
    -------
    Axes
        One unit is one cell; its last text is the sum.

    Raises
    ------
    InvalidArgument
        If `position` is not one of the output, or the window does not fit.

    Examples
    --------
    >>> ax = window([[0, 1], [2, 3]], [[1, -1]], (1, 0))
    >>> ax.texts[-1].get_text()
    'sum of the products: −1, written to output[1, 0]'
    """
    check_axes(ax)
    sliding = Sliding.of(image, kernel, stride=stride, dilation=dilation, padding=padding, boundary=boundary)
    place = check_position(position, sliding.output)
    plan = Layout(sliding, excerpt(sliding, place))
    ax = plan.board(ax, title)
    draw_step(ax, plan, place, scales_of(sliding, [place]))
    return ax


def check_position(position: Any, output: tuple[int, ...]) -> tuple[int, int]:
    """Return `position` as two integers inside the output."""
    row, column = per_axis(position, 2, "position")
    if not (0 <= row < output[0] and 0 <= column < output[1]):
        raise InvalidArgument(f"position must lie inside the output of shape {output}, got {(row, column)}")
    return row, column


def excerpt(sliding: Sliding, position: tuple[int, int]) -> tuple[Span, Span]:
    """Return the rows and columns to show: all, or those around the window where there are too many."""
    spans = []
    for taps, (first, last) in zip(sliding.taps(position), sliding.frame(), strict=True):
        most = min(last - first, max(MOST_CELLS, taps[-1] - taps[0] + 3))
        centred = (taps[0] + taps[-1] + 1 - most) // 2
        start = min(max(centred, first), last - most)
        spans.append((start, start + most))
    return spans[0], spans[1]


@dataclass(frozen=True)
class Layout:
    """Where the panels stand on the board: the image at (0, 0), then window x kernel = products, then the output."""

    sliding: Sliding
    view: tuple[Span, Span]
    with_output: bool = False

    @property
    def panels(self) -> tuple[float, list[float]]:
        """The row of the three small panels, and the column of each."""
        height, width = (last - first for first, last in self.view)
        rows, columns = self.sliding.kernel.shape
        top = max((height - rows - 1.2) / 2, 0.0)
        # The sum is written below the panels: small kernels stand further apart to make room for it.
        gap = max(1.0, (9.5 - 3 * columns) / 2)
        return top, [width + 1.4 + k * (columns + gap) for k in range(3)]

    @property
    def output_at(self) -> tuple[float, float]:
        """The row and column of the first cell of the output."""
        column = self.panels[1][-1] + self.sliding.kernel.shape[1] + 1.4
        return max((self.height - self.sliding.output[0]) / 2, 0.0), column

    @property
    def height(self) -> float:
        """Rows of cells that the tallest part needs."""
        shown = self.view[0][1] - self.view[0][0]
        output = self.sliding.output[0] if self.with_output else 0
        return float(max(shown, self.sliding.kernel.shape[0] + 1.6, output))

    @property
    def image_row(self) -> float:
        """The row of the first cell of the image, centred beside what is taller."""
        first, last = self.view[0]
        return (self.height - (last - first)) / 2

    def board(self, ax: Axes | None, title: str | None = None) -> Axes:
        """Return an Axes with room for everything."""
        right = self.panels[1][-1] + self.sliding.kernel.shape[1]
        if self.with_output:
            right = self.output_at[1] + max(self.sliding.output[1], 2.4)
        return board(ax, columns=(-0.7, right - 0.3), rows=(-1.5, self.height - 0.3), cell=0.46, title=title)


@dataclass(frozen=True)
class Scales:
    """The colour scales of the panels, the same in every frame of an animation."""

    image: Scale
    kernel: Scale
    product: Scale


def scales_of(sliding: Sliding, positions: list[tuple[int, int]]) -> Scales:
    """Return scales wide enough for the given positions."""
    pixels = [sliding.image.astype(np.float64)]
    if any(side > 0 for pair in sliding.pads for side in pair):
        pixels.append(np.zeros((1, 1)))  # what the padding shows
    taps = sliding.kernel.astype(np.float64)
    bound = max(max(map(abs, limits(sliding.products(place).astype(np.float64)))) for place in positions)
    return Scales(scale_for(*pixels), signed_scale(taps), signed_scale(bound=bound))


def draw_step(ax: Axes, plan: Layout, position: tuple[int, int], scales: Scales) -> None:
    """Draw the image with the window, the three panels, and the sum."""
    sliding = plan.sliding
    draw_image(ax, plan, position, scales.image)
    top, columns = plan.panels
    rows, width = sliding.kernel.shape
    seen, products = sliding.seen(position), sliding.products(position)
    panels = [
        ("window", texts(seen), scales.image.paint(seen)),
        ("kernel", texts(sliding.kernel, fractions=True), scales.kernel.paint(sliding.kernel)),
        ("products", texts(products), scales.product.paint(products)),
    ]
    small = text_points(ax)
    for (name, strings, colours), column in zip(panels, columns, strict=True):
        paint(ax, colours, (top, column))
        if fitting_points(cell_points(ax), longest(strings)) >= LEAST_POINTS:
            write(ax, strings, colours, (top, column))
        caption(ax, column + (width - 1) / 2, top - 0.95, name, points=small)
    outline(ax, (top, columns[0]), sliding.kernel.shape)
    middle = top + (rows - 1) / 2
    gap = (columns[1] - columns[0] - width) / 2
    caption(ax, columns[1] - gap - 0.5, middle, "\N{MULTIPLICATION SIGN}", points=1.6 * small)
    caption(ax, columns[2] - gap - 0.5, middle, "=", points=1.6 * small)
    zoom_lines(ax, plan, position)
    i, j = position
    words = f"sum of the products: {number(sliding.total(position))}, written to output[{i}, {j}]"
    centre, room = (columns[0] + columns[2] + width - 1) / 2, columns[2] - columns[0] + width + 0.6
    caption(ax, centre, top + rows + 0.25, words, points=1.1 * small, within=room)


def draw_image(ax: Axes, plan: Layout, position: tuple[int, int], scale: Scale) -> None:
    """Draw the visible part of the image and its padding with the window marked."""
    sliding = plan.sliding
    (row, last_row), (column, last_column) = plan.view
    at = (plan.image_row, 0.0)
    cells = [(r, c) for r in range(row, last_row) for c in range(column, last_column)]
    shape = (last_row - row, last_column - column)
    rows_shown = [[sliding.at(r, c) for c in range(column, last_column)] for r in range(row, last_row)]
    shown = filled(rows_shown, sliding.image.dtype)
    colours, strings = scale.paint(shown), texts(shown)
    rows, columns = map(set, sliding.taps(position))
    padded = []
    for r, c in cells:
        index = (r - row, c - column)
        inside = 0 <= r < sliding.image.shape[0] and 0 <= c < sliding.image.shape[1]
        if not inside or sliding.cropped(r, c):
            colours[index] = 0.75 * np.asarray(to_rgba(PADDING)) + 0.25 * colours[index]
            padded.append(index)
        if sliding.cropped(r, c):
            strings[index] = "\N{MULTIPLICATION SIGN}"
        if r in rows and c in columns:
            colours[index] = tint(colours[index])
    paint(ax, colours, at)
    if fitting_points(cell_points(ax), longest(strings)) >= LEAST_POINTS:
        write(ax, strings, colours, at)
    _mark_window(ax, plan, position)
    _name_image(ax, plan, shape, bool(padded))


def _mark_window(ax: Axes, plan: Layout, position: tuple[int, int]) -> None:
    sliding = plan.sliding
    rows, columns = sliding.taps(position)
    (first_row, _), (first_column, _) = plan.view
    at = (plan.image_row + rows[0] - first_row, columns[0] - first_column)
    extent = [extent_of(k, d) for k, d in zip(sliding.kernel.shape, sliding.dilation, strict=True)]
    dilated = max(sliding.dilation) > 1
    outline(ax, at, (extent[0], extent[1]), width=1.4 if dilated else 2.6, dashed=dilated)
    if dilated:
        for r in rows:
            for c in columns:
                outline(ax, (plan.image_row + r - first_row, c - first_column), width=2.0)
    if any(before > 0 or after > 0 for before, after in sliding.pads):
        # The border between the image and its padding.
        height, width = sliding.image.shape
        top, left = max(first_row, 0), max(first_column, 0)
        bottom, right = min(plan.view[0][1], height), min(plan.view[1][1], width)
        border = (plan.image_row + top - first_row, left - first_column)
        outline(ax, border, (bottom - top, right - left), colour=ink(ax, muted=True), width=1.2)


def _name_image(ax: Axes, plan: Layout, shape: tuple[int, int], padded: bool) -> None:
    sliding = plan.sliding
    rows, columns = sliding.image.shape
    name = f"input {rows} \N{MULTIPLICATION SIGN} {columns}"
    (top, bottom), (left, right) = plan.view
    if (plan.view[0], plan.view[1]) != sliding.frame():
        name += f": rows {top} to {bottom - 1}, columns {left} to {right - 1}"
    elif padded and all(side >= 0 for pair in sliding.pads for side in pair):
        name += " with padding"
    x = (shape[1] - 1) / 2
    points = text_points(ax)
    # A long name over a narrow image starts at its left instead of running out of the picture.
    if len(name) * LETTER * points > (shape[1] + 0.4) * cell_points(ax):
        caption(ax, -0.5, plan.image_row - 0.95, name, points=points, within=shape[1] + 1.2, ha="left")
    else:
        caption(ax, x, plan.image_row - 0.95, name, points=points)


def zoom_lines(ax: Axes, plan: Layout, position: tuple[int, int]) -> None:
    """Draw two lines from the window in the image to the panel that repeats it."""
    rows, columns = plan.sliding.taps(position)
    (first_row, _), (first_column, _) = plan.view
    right = columns[-1] - first_column + 0.5
    top, (left, *_) = plan.panels
    lines = [
        [(right, plan.image_row + rows[0] - first_row - 0.5), (left - 0.5, top - 0.5)],
        [(right, plan.image_row + rows[-1] - first_row + 0.5), (left - 0.5, top + len(rows) - 0.5)],
    ]
    ax.add_collection(LineCollection(lines, colors=HERE, linewidths=1.0, alpha=0.55, linestyles="dotted", zorder=2))


def draw_output(ax: Axes, plan: Layout, result: NDArray[Any], position: tuple[int, int], scale: Scale) -> None:
    """Draw the output as far as it is computed: row by row up to `position`."""
    at = plan.output_at
    rows, columns = result.shape
    done = position[0] * columns + position[1] + 1
    colours = scale.paint(result)
    strings = texts(result)
    flat = colours.reshape(-1, 4)
    flat[done:] = to_rgba(PADDING)
    strings.reshape(-1)[done:] = ""
    paint(ax, colours, at, lines=False)
    grid_lines(ax, at, (rows, columns), FAINT)
    full = longest(texts(result))
    if fitting_points(cell_points(ax), full) >= LEAST_POINTS:
        write(ax, strings, colours, at, points=fitting_points(cell_points(ax), full))
    outline(ax, (at[0] + position[0], at[1] + position[1]), width=2.4)
    name = f"output {rows} \N{MULTIPLICATION SIGN} {columns}"
    caption(ax, at[1] + (columns - 1) / 2, at[0] - 0.95, name, points=text_points(ax))
