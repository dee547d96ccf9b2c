"""What is drawn around an image."""

import numpy as np
import pytest

from striderule import figures
from striderule.errors import InvalidArgument
from striderule.figures.surroundings import extended
from striderule.geometry.padding import parse_boundary

NUMPY = {"edge": "edge", "symmetric": "symmetric", "mirror": "reflect", "wrap": "wrap"}


@pytest.mark.parametrize("word", NUMPY)
def test_numbers_are_those_of_numpy(word):
    array = np.arange(12).reshape(3, 4)
    pads = ((2, 5), (1, 9))
    found = extended(array, pads, parse_boundary(word, 2), 0)
    np.testing.assert_array_equal(found, np.pad(array, pads, mode=NUMPY[word]))


def test_sides_differ_and_constants_fill():
    found = extended(np.array([[1, 2, 3]]), ((0, 0), (2, 2)), parse_boundary(("edge", ("constant", "wrap")), 2), 9)
    np.testing.assert_array_equal(found, [[9, 9, 1, 2, 3, 1, 2]])


def test_every_position_is_written_and_the_image_framed():
    ax = figures.surroundings([[1, 2], [3, 4]], 1, boundary="edge", title="edge")
    assert [text.get_text() for text in ax.texts] == list("1122112233443344")
    assert ax.get_title() == "edge"
    (frame,) = [patch for patch in ax.patches if not patch.get_fill()]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((-0.5, -0.5), 2, 2)


def test_what_lies_outside_is_paler():
    ax = figures.surroundings(np.zeros((2, 2)), 1, boundary="edge")
    colours = ax.images[0].get_array()
    assert colours[0, 0, :3].sum() > colours[1, 1, :3].sum() + 1


def test_colours_are_drawn_and_bad_shapes_refused():
    ax = figures.surroundings(np.zeros((3, 4, 3), np.uint8), 2, boundary="wrap")
    assert ax.images[0].get_array().shape == (7, 8, 3)
    with pytest.raises(InvalidArgument, match=r"array must have the shape .* got \(2, 2, 2\)"):
        figures.surroundings(np.zeros((2, 2, 2)))
    with pytest.raises(InvalidArgument, match="padding must be at least 0"):
        figures.surroundings(np.zeros((2, 2)), -1)
