"""From pictures of any size to 8x8 pixels."""

import numpy as np
import pytest

from striderule.errors import InvalidArgument
from striderule.learning.handwriting import reduced


def averaged(cut):
    """A bitmap in the middle of the square that its longer side fills, by plain loops over a hundred points a pixel."""
    side = max(cut.shape)
    out = np.zeros((8, 8))
    points = (np.arange(20) + 0.5) / 20
    for i in range(8):
        for j in range(8):
            rows = np.floor((i + points) * side / 8 - (side - cut.shape[0]) / 2).astype(int)
            columns = np.floor((j + points) * side / 8 - (side - cut.shape[1]) / 2).astype(int)
            inside = [cut[r, c] for r in rows for c in columns if 0 <= r < cut.shape[0] and 0 <= c < cut.shape[1]]
            out[i, j] = sum(inside) / 400
    return out / out.max()


@pytest.mark.parametrize("shape", [(40, 20), (16, 24), (8, 8), (3, 5), (80, 2)])
@pytest.mark.parametrize(("paper", "ink"), [(250, 10), (0, 255), (100, 90)])
def test_the_digit_is_cut_out_and_averaged(shape, paper, ink):
    cut = (np.random.default_rng(3).random(shape) < 0.5).astype(float)
    cut[0, 0] = cut[-1, -1] = 1
    page = np.full((shape[0] + 40, shape[1] + 31), float(paper))
    page[13 : 13 + shape[0], 9 : 9 + shape[1]] += (ink - paper) * cut
    found = reduced(page)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, averaged(cut), atol=0.06)  # a point is 1/20 of a pixel
    assert found.max() == 1


def test_pictures_of_8x8_are_taken_as_they_are():
    picture = np.random.default_rng(0).random((8, 8))
    picture[0] = picture[:, 0] = picture[-1] = 0
    picture[4, 4] = 1
    np.testing.assert_array_equal(reduced(255 * picture), np.float32(picture))


def test_faint_marks_are_paper():
    page = np.full((60, 60), 255.0)
    page[20:40, 25:30] = 0
    clean = reduced(page)
    page[2:5, 2:50] = 200
    np.testing.assert_array_equal(reduced(page), clean)


def test_which_is_ink_can_be_told():
    page = np.full((60, 60), 128.0)
    page[20:40, 25:30] = 0
    page[45:50, 10:20] = 255  # as far from the paper, almost
    assert reduced(page, "dark")[0].any()
    light, dark = reduced(page, "light"), reduced(page, "dark")
    assert light.sum(axis=1).argmax() != dark.sum(axis=0).argmax()
    assert (light.any(axis=1).sum(), dark.any(axis=1).sum()) == (4, 8)


@pytest.mark.parametrize(
    ("page", "ink", "words"),
    [
        (np.full((20, 20), 7.0), "auto", "shows no digit: all its pixels are alike"),
        (np.pad([[0.0]], 5, constant_values=9), "light", "shows no digit: nothing in it is as --ink light says"),
        (np.full((4, 4), np.nan), "auto", "no numbers"),
        (np.zeros((0, 4)), "auto", "rows and columns"),
        (np.zeros((4, 4, 3)), "auto", "rows and columns"),
    ],
)
def test_what_shows_no_digit_is_refused(page, ink, words):
    with pytest.raises(InvalidArgument, match=words):
        reduced(page, ink)
