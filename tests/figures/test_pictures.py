"""Images and kernels: the numbers in the cells, the colours, and what is refused."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from oracles.drawings import at_cells, block
from striderule.errors import InvalidArgument, InvalidType
from striderule.figures import image, kernel
from striderule.figures.canvas import contrast_ink

SQUARE = np.zeros((5, 5), int)
SQUARE[1:4, 1:4] = 1


def colours_of(ax):
    return np.asarray(ax.images[0].get_array())


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32, ">f8"])
def test_the_numbers_stand_in_their_cells(dtype):
    ax = image(SQUARE.astype(dtype))
    assert isinstance(ax, Axes)
    assert (block(ax, (0, 0), (5, 5)) == SQUARE).all()


def test_zero_is_black_and_one_white_and_the_writing_the_opposite():
    ax = image(SQUARE)
    assert (colours_of(ax)[..., 0] == SQUARE).all()
    for (row, column), text in at_cells(ax).items():
        assert text.get_color() == ("black" if SQUARE[row, column] else "white")


def test_first_row_is_above():
    ax = image([[1, 2], [3, 4]])
    top, bottom = ax.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert top > bottom


def test_values_are_written_only_while_they_are_readable():
    assert len(image(np.zeros((17, 17))).texts) == 0
    assert len(image(np.zeros((16, 16))).texts) == 256
    assert len(image(SQUARE, values=False).texts) == 0
    assert len(image(np.zeros((17, 17)), values=True).texts) == 289
    assert len(image(np.full((16, 16), -123456.7)).texts) == 0  # too long for so small a cell


def test_values_refuses_other_words_and_too_many_cells():
    with pytest.raises(InvalidArgument, match="values must be 'auto', True or False, got 'yes'"):
        image(SQUARE, values="yes")
    with pytest.raises(InvalidArgument, match=r"at most 64 numbers a side, got 65 x 2 cells; draw an excerpt"):
        image(np.zeros((65, 2)), values=True)


def test_limits_and_colour_maps():
    ax = image([[0.0, 5.0]], vmin=-5, vmax=5)
    assert colours_of(ax)[0, :, 0] == pytest.approx([0.5, 1.0], abs=0.01)
    red, _, blue, _ = colours_of(image([[-1.0, 1.0]], cmap="signed"))[0, 0]
    assert blue > red


def test_a_colour_bar_shows_the_scale():
    ax = image([[2.0, 7.0]], colorbar=True)
    (bar,) = ax.child_axes
    assert bar.get_ylim() == (2.0, 7.0)
    (bar,) = kernel([[-1, 8]], colorbar=True).child_axes
    assert bar.get_ylim() == (-8.0, 8.0)


@pytest.mark.parametrize(
    ("pixel", "dtype", "shown"),
    [
        ((1, 0, 0), float, (1, 0, 0)),
        ((0.25, 0.5, 2.0), float, (0.25, 0.5, 1)),
        ((np.nan, 0, 0), float, (0.5, 0, 0)),
        ((255, 0, 51), np.uint8, (1, 0, 0.2)),
        ((65535, 0, 13107), np.uint16, (1, 0, 0.2)),
        ((255, 0, 51), np.int64, (1, 0, 0.2)),
        ((1, 0, 1), np.uint8, (1, 0, 1)),
        ((1, 0, 1), bool, (1, 0, 1)),
    ],
)
def test_colours(pixel, dtype, shown):
    ax = image(np.array([[pixel]]).astype(dtype))
    assert colours_of(ax)[0, 0] == pytest.approx(shown)


def test_colours_are_written_one_channel_a_line():
    picture = np.zeros((2, 2, 3))
    picture[0, 1] = 1, 0.5, 0
    ax = image(picture)
    assert at_cells(ax)[0, 1].get_text() == "1\n0.5\n0"
    assert len(image(np.zeros((65, 65, 3))).texts) == 0
    assert image(np.zeros((3, 3, 4), np.uint8)).images[0].get_array().shape == (3, 3, 4)


def test_colours_take_limits_but_neither_bar_nor_map():
    ax = image(np.full((1, 1, 3), 5.0), vmin=0, vmax=10)
    assert colours_of(ax)[0, 0] == pytest.approx([0.5] * 3)
    with pytest.raises(InvalidArgument, match="colorbar has no meaning for colours"):
        image(np.zeros((2, 2, 3)), colorbar=True)
    with pytest.raises(InvalidArgument, match="cmap has no meaning for colours"):
        image(np.zeros((2, 2, 3)), cmap="gray")
    with pytest.raises(InvalidArgument, match="vmin must be below vmax"):
        image(np.zeros((2, 2, 3)), vmin=3)


@pytest.mark.parametrize("shape", [(4,), (2, 8, 8), (1, 3, 8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InvalidArgument, match=r"array must have the shape \(rows, columns\) or"):
        image(np.zeros(shape))


def test_maps_behind_one_another_point_to_feature_maps():
    with pytest.raises(InvalidArgument, match="draw maps that lie one behind the other with feature_maps"):
        image(np.zeros((16, 8, 8)))


def test_kernels_are_written_as_fractions_or_short_decimals():
    assert at_cells(kernel(np.full((3, 3), 1 / 9)))[2, 2].get_text() == "1/9"
    assert at_cells(kernel([[-0.5, 0.5]]))[0, 0].get_text() == "−0.5"
    gaussian = np.exp(-(np.arange(-2, 3) ** 2) / 2)
    weights = np.outer(gaussian, gaussian) / gaussian.sum() ** 2
    assert block(kernel(weights), (0, 0), (5, 5)) == pytest.approx(weights, abs=0.0005)


def test_kernel_colours_have_signs():
    colours = colours_of(kernel([[-1, 0, 1]]))[0]
    assert colours[0][2] > colours[0][0]
    assert min(colours[1][:3]) > 0.95
    assert colours[2][0] > colours[2][2]


def test_a_kernel_of_one_axis_is_a_row():
    assert (block(kernel([1, -2, 1]), (0, 0), (1, 3)) == [[1, -2, 1]]).all()
    with pytest.raises(InvalidArgument, match=r"got shape \(2, 2, 2\)"):
        kernel(np.zeros((2, 2, 2)))


def test_drawing_into_the_users_axes(user_axes):
    assert image(SQUARE, ax=user_axes, title="mine", colorbar=True) is user_axes
    assert user_axes.get_title() == "mine"
    assert len(user_axes.figure.axes) == 1  # the bar is inside


@pytest.mark.parametrize("wrong", [3, "ax"])
def test_ax_must_be_axes(wrong):
    with pytest.raises(InvalidType, match="ax must be a matplotlib Axes or None, got"):
        image(SQUARE, ax=wrong)


def test_an_array_of_axes_is_answered(user_axes):
    with pytest.raises(InvalidType, match=r"got ndarray; pass one of them, such as ax\[0\]"):
        kernel(SQUARE, ax=np.array([user_axes]))


def test_titles_are_wrapped_and_a_figure_saves(tmp_path):
    ax = image(SQUARE, title="a title that is far too long to stand above so small a picture in one line")
    assert ax.get_title().count("\n") >= 1
    ax.figure.savefig(tmp_path / "image.png")
    assert (tmp_path / "image.png").stat().st_size > 1000


def test_every_text_lies_inside_the_figure_and_fits_its_cell():
    for ax in (image(SQUARE, title="title"), image(np.full((4, 4), -12.34)), kernel(np.full((5, 5), 8 / 9))):
        ax.figure.canvas.draw()
        (left, _), (right, _) = ax.transData.transform([(0, 0), (1, 0)])
        for text in ax.texts:
            assert text.get_window_extent().width <= right - left
            colour = colours_of(ax)[round(text.get_position()[1]), round(text.get_position()[0])]
            assert to_rgba(text.get_color()) == to_rgba(contrast_ink(colour))
        box, page = ax.title.get_window_extent(), ax.figure.bbox
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert box.y1 <= page.y1


def test_drawing_into_a_subfigure():
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(6, 3))
    ax = figure.subfigures(1, 2)[1].subplots()
    image(SQUARE, ax=ax, title="right", colorbar=True)
    assert (block(ax, (0, 0), (5, 5)) == SQUARE).all()
    plt.close(figure)
