"""The arithmetic of one step, against loops written from the definition."""

import numpy as np
import pytest

from oracles.drawings import correlate_by_hand
from striderule.errors import InvalidArgument
from striderule.figures.sliding import Sliding


def sliding(image, kernel, *, stride=1, dilation=1, padding=0, boundary="constant"):
    return Sliding.of(image, kernel, stride=stride, dilation=dilation, padding=padding, boundary=boundary)


def test_drawn_steps_equal_the_loops():
    rng = np.random.default_rng(11)
    done = 0
    while done < 200:
        image = rng.integers(-9, 10, rng.integers(1, 9, 2))
        kernel = rng.integers(-3, 4, rng.integers(1, 4, 2))
        stride, dilation = rng.integers(1, 4, 2).tolist(), rng.integers(1, 3, 2).tolist()
        pads = rng.integers(-1, 4, (2, 2)).tolist()
        extent = [d * (k - 1) + 1 for k, d in zip(kernel.shape, dilation, strict=True)]
        left = [n + sum(pad) for n, pad in zip(image.shape, pads, strict=True)]
        if any(n < e for n, e in zip(left, extent, strict=True)):
            continue
        expected = correlate_by_hand(image.tolist(), kernel.tolist(), stride, dilation, pads)
        found = sliding(image, kernel, stride=stride, dilation=dilation, padding=pads)
        assert found.result().tolist() == expected
        done += 1


def test_integers_are_exact_and_do_not_wrap():
    image = np.full((1, 2), np.iinfo(np.uint64).max, np.uint64)
    assert sliding(image, np.array([[3, -1]], np.int8)).total((0, 0)) == 2 * (2**64 - 1)
    assert sliding(np.full((1, 1), 200, np.uint8), [[2]]).total((0, 0)) == 400


@pytest.mark.parametrize(
    ("boundary", "expected"),
    [("constant", [0, 1, 2, 3, 0]), ("edge", [1, 1, 2, 3, 3]), ("mirror", [2, 1, 2, 3, 2]), ("wrap", [3, 1, 2, 3, 1])],
)
def test_boundaries(boundary, expected):
    found = sliding([[1, 2, 3]], [[1]], padding=(0, 1), boundary=boundary)
    assert found.result().tolist() == [expected]


def test_a_tap_of_zero_contributes_nothing():
    assert sliding([[np.nan, np.inf, 2.0]], [[0, 0, 3]]).total((0, 0)) == 6


def test_padding_words():
    assert sliding(np.ones((5, 6)), np.ones((3, 3)), padding="same", stride=2).output == (3, 3)


def test_refusals():
    with pytest.raises(InvalidArgument, match="stride must be at least 1 in every axis, got 0"):
        sliding(np.ones((5, 5)), np.ones((3, 3)), stride=0)
    with pytest.raises(InvalidArgument, match="no output is left on axis 0"):
        sliding(np.ones((2, 5)), np.ones((3, 3)))
    with pytest.raises(InvalidArgument, match="kernel must have the two axes"):
        sliding(np.ones((2, 5)), np.ones((1, 3, 3)))
    with pytest.raises(InvalidArgument, match="reach over at most 32 rows and columns to be drawn"):
        sliding(np.ones((99, 99)), np.ones((3, 3)), dilation=20)
