"""Digits: which are held out, and where their pixels go."""

import sys

import numpy as np
import pytest

from striderule.errors import MissingExtra
from striderule.learning import digits
from striderule.learning.digits import INK, PAPER, Distortion, placed

# Written down once: a change would make all accuracies other numbers.
FIRST = [2, 3, 11, 13, 20, 27, 34, 41, 43, 44]


def test_one_in_five_of_each_digit_is_held_out(both):
    training, test = both
    assert (len(training), len(test)) == (1438, 359)
    for part in both:
        assert part.pictures.shape == (len(part), 8, 8)
        assert part.pictures.dtype == np.float32
        assert (part.pictures.min(), part.pictures.max()) == (0, 1)
    for digit in range(10):
        held, learned = (int((part.classes == digit).sum()) for part in (test, training))
        assert held == round((held + learned) / 5)


def test_no_picture_is_in_both(both):
    training, test = ({picture.tobytes() for picture in part.pictures} for part in both)
    assert not training & test


def test_which_are_held_out_is_fixed():
    chosen = digits.held_out_of(np.repeat(np.arange(10), 25))
    assert chosen.reshape(10, 25).sum(axis=1).tolist() == [5] * 10
    assert np.flatnonzero(chosen)[:10].tolist() == FIRST
    assert (digits.held_out_of(np.zeros(0, int)) == []).all()


def test_without_scikit_learn_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match=r"scikit-learn is not installed; .*striderule\[train\]"):
        digits.load()


def looped(picture, angle, scale, shift):
    """The network's input by plain loops: every pixel asks where it comes from."""
    out = np.empty((32, 32))
    for i in range(32):
        for j in range(32):
            down, right = (i - 15.5) / 3.5 - shift[0], (j - 15.5) / 3.5 - shift[1]
            y = (np.cos(angle) * down + np.sin(angle) * right) / scale + 3.5
            x = (np.cos(angle) * right - np.sin(angle) * down) / scale + 3.5
            total = 0.0
            for a in range(8):
                for b in range(8):
                    total += max(0, 1 - abs(y - a)) * max(0, 1 - abs(x - b)) * picture[a, b]
            out[i, j] = PAPER + (INK - PAPER) * total
    return out


def test_pictures_are_turned_stretched_and_moved():
    pictures = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    angles, scales, shifts = [0.3, -1.0, 0.0], [1.2, 0.5, 1.0], [[0.5, -2.0], [0.0, 0.25], [20.0, 0.0]]
    found = placed(pictures, angles, scales, shifts)
    assert (found.dtype, found.shape) == (np.float32, (3, 1, 32, 32))
    for k in range(3):
        np.testing.assert_allclose(found[k, 0], looped(pictures[k], angles[k], scales[k], shifts[k]), atol=2e-6)
    np.testing.assert_array_equal(found[2], np.float32(PAPER))  # moved out of sight


def test_as_they_are_pictures_stand_in_the_middle():
    picture = np.random.default_rng(1).random((1, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(placed(picture)[0, 0], looped(picture[0], 0, 1, (0, 0)), atol=2e-6)
    np.testing.assert_allclose(placed(picture[:, ::-1]), placed(picture)[:, :, ::-1], atol=1e-6)


def test_moves_are_drawn_within_their_limits():
    picture = np.zeros((400, 8, 8), np.float32)
    picture[:, 3:5, 3:5] = 1
    still = placed(picture[:1])[0, 0]
    moved = Distortion()(picture, np.random.default_rng(0))
    again = Distortion()(picture, np.random.default_rng(0))
    np.testing.assert_array_equal(moved, again)
    assert len({one.tobytes() for one in moved}) == 400
    weight = moved[:, 0] - PAPER
    rows = (weight.sum(axis=2) @ np.arange(32)) / weight.sum(axis=(1, 2))
    assert 1.5 < np.abs(rows - 15.5).max() <= 0.5 * 3.5 + 0.2  # half a pixel of eight is 1.75 of 32
    none = Distortion(0, 0, 0)(picture[:2], np.random.default_rng(0))
    np.testing.assert_array_equal(none[0, 0], still)
