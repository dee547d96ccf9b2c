"""The drawing of one step: what stands in which cell, and the sum."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from oracles.drawings import block, correlate_by_hand, number
from striderule.errors import InvalidArgument, InvalidType
from striderule.figures import window
from striderule.figures.canvas import HERE
from striderule.figures.sliding import Sliding
from striderule.figures.steps import Layout

SQUARE = np.zeros((5, 5), int)
SQUARE[1:4, 1:4] = 1
EDGES = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])


def panels(image, kernel, **how):
    """Return where the image and the three panels begin, by the layout."""
    found = Sliding.of(image, kernel, **({"stride": 1, "dilation": 1, "padding": 0, "boundary": "constant"} | how))
    plan = Layout(found, found.frame())
    top, columns = plan.panels
    return found, (plan.image_row, 0.0), [(top, column) for column in columns]


def sum_of(ax):
    return number(ax.texts[-1].get_text().split(": ")[1].split(",")[0])


def here(ax):
    """Return the green outlines as (row, column, rows, columns) in cells."""
    green = [p for p in ax.patches if isinstance(p, Rectangle) and p.get_edgecolor() == _rgba(HERE)]
    return {(p.get_y() + 0.5, p.get_x() + 0.5, p.get_height(), p.get_width()) for p in green}


def _rgba(colour):
    from matplotlib.colors import to_rgba

    return to_rgba(colour)


@pytest.mark.parametrize("position", [(0, 0), (1, 1), (2, 0)])
def test_window_kernel_products_and_sum(position):
    ax = window(SQUARE, EDGES, position)
    _, at, (seen, taps, products) = panels(SQUARE, EDGES)
    i, j = position
    under = SQUARE[i : i + 3, j : j + 3]
    assert (block(ax, at, (5, 5)) == SQUARE).all()
    assert (block(ax, seen, (3, 3)) == under).all()
    assert (block(ax, taps, (3, 3)) == EDGES).all()
    assert (block(ax, products, (3, 3)) == under * EDGES).all()
    assert sum_of(ax) == correlate_by_hand(SQUARE.tolist(), EDGES.tolist())[i][j]
    assert (at[0] + i, at[1] + j, 3, 3) in here(ax)
    assert ax.texts[-1].get_text().endswith(f"written to output[{i}, {j}]")


def test_stride_dilation_and_padding():
    rng = np.random.default_rng(5)
    image, kernel = rng.integers(-9, 10, (7, 8)), rng.integers(-3, 4, (3, 2))
    how = {"stride": (2, 3), "dilation": (2, 1), "padding": ((1, 2), (2, 0))}
    expected = correlate_by_hand(image.tolist(), kernel.tolist(), (2, 3), (2, 1), ((1, 2), (2, 0)))
    _, at, (seen, _, products) = panels(image, kernel, **how)
    padded = np.pad(image, ((1, 2), (2, 0)))
    for i, row in enumerate(expected):
        for j, total in enumerate(row):
            ax = window(image, kernel, (i, j), **how)
            under = padded[2 * i : 2 * i + 5 : 2, 3 * j : 3 * j + 2]
            assert (block(ax, at, padded.shape) == padded).all()
            assert (block(ax, seen, (3, 2)) == under).all()
            assert (block(ax, products, (3, 2)) == under * kernel).all()
            assert sum_of(ax) == total
            outlines = here(ax)
            assert (at[0] + 2 * i, at[1] + 3 * j, 5, 2) in outlines
            for u in range(3):
                for v in range(2):
                    assert (at[0] + 2 * i + 2 * u, at[1] + 3 * j + v, 1, 1) in outlines


def test_cropped_cells_are_crossed_out():
    ax = window(np.arange(16).reshape(4, 4), [[1]], (0, 0), padding=((-1, 0), 0))
    crossed = {text.get_position()[1] for text in ax.texts if text.get_text() == "×" and text.get_position()[0] < 4}
    assert crossed == {0}
    assert sum_of(ax) == 4


def test_a_large_image_is_shown_around_the_window():
    image = np.arange(10000).reshape(100, 100)
    ax = window(image, np.ones((3, 3)), (50, 60))
    assert any(text.get_text() == "input 100 × 100: rows 43 to 58, columns 53 to 68" for text in ax.texts)
    assert sum_of(ax) == image[50:53, 60:63].sum()
    corner = window(image, np.ones((3, 3)), (97, 0))
    assert any("rows 84 to 99, columns 0 to 15" in text.get_text() for text in corner.texts)


def test_padding_is_named():
    ax = window(SQUARE, EDGES, (0, 0), padding=1)
    assert any(text.get_text() == "input 5 × 5 with padding" for text in ax.texts)


def test_fractions_in_the_kernel_and_decimals_in_the_sum():
    ax = window(np.ones((3, 3)), np.full((3, 3), 1 / 9), (0, 0))
    assert "1/9" in {text.get_text() for text in ax.texts}
    assert sum_of(ax) == 1


def test_nothing_runs_out_of_the_picture():
    for image, kernel, how in (
        (SQUARE, EDGES, {"title": "title"}),
        (SQUARE, [[2]], {}),
        (np.ones((1, 1)), [[1.5]], {"padding": 1}),
        (np.ones((60, 60)), np.ones((5, 5)), {}),
    ):
        ax = window(image, kernel, (0, 0), **how)
        ax.figure.canvas.draw()
        page = ax.figure.bbox
        for text in [*ax.texts, ax.title]:
            box = text.get_window_extent()
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
            assert page.y0 <= box.y0
            assert box.y1 <= page.y1


def test_drawing_into_the_users_axes(user_axes):
    assert window(SQUARE, EDGES, (0, 0), ax=user_axes) is user_axes


@pytest.mark.parametrize("position", [(3, 0), (0, 3), (-1, 0)])
def test_positions_outside_are_refused(position):
    with pytest.raises(InvalidArgument, match=r"position must lie inside the output of shape \(3, 3\), got"):
        window(SQUARE, EDGES, position)


def test_other_arguments_are_refused():
    with pytest.raises(InvalidType, match=r"position must be an integer, got 1\.5"):
        window(SQUARE, EDGES, 1.5)
    with pytest.raises(InvalidArgument, match=r"image must have the two axes .* choose one map"):
        window(np.zeros((5, 5, 3)), EDGES, (0, 0))
    with pytest.raises(InvalidArgument, match="dilation must be at least 1"):
        window(SQUARE, EDGES, (0, 0), dilation=0)
    with pytest.raises(InvalidArgument, match="boundary='reflect' means two things"):
        window(SQUARE, EDGES, (0, 0), padding=1, boundary="reflect")
