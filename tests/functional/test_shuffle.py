"""Pixel shuffle: values by hand, both algorithms, the inverse, refusals."""

import random

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType


def test_by_hand():
    x = np.arange(8).reshape(8, 1, 1)
    np.testing.assert_array_equal(sr.pixel_shuffle(x, 2), [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])
    np.testing.assert_array_equal(sr.pixel_unshuffle(sr.pixel_shuffle(x, 2), 2), x)


def test_algorithms_agree():
    draw = random.Random(0)
    for _ in range(80):
        factor = draw.randint(1, 3)
        lead = [draw.randint(0, 2) for _ in range(draw.randint(0, 3))]
        shape = [*lead, draw.randint(0, 2) * factor**2, draw.randint(0, 3), draw.randint(0, 3)]
        x = np.arange(np.prod(shape)).reshape(shape).astype(draw.choice(["int8", ">f4", "complex64"]))
        fine = sr.pixel_shuffle(x, factor)
        np.testing.assert_array_equal(fine, sr.pixel_shuffle(x, factor, algorithm="reference"))
        coarse = sr.pixel_unshuffle(fine, factor)
        np.testing.assert_array_equal(coarse, x)
        np.testing.assert_array_equal(coarse, sr.pixel_unshuffle(fine, factor, algorithm="reference"))


def test_the_result_is_a_new_array():
    x = np.ones((1, 4, 4))
    for function in (sr.pixel_shuffle, sr.pixel_unshuffle):
        assert not np.shares_memory(function(x, 1), x)
        out = np.empty_like(x)
        assert function(x, 1, out=out) is out
        with pytest.raises(InvalidArgument, match="overlaps an input"):
            function(x, 1, out=x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sr.pixel_shuffle(np.ones((3, 2, 2)), 2), "needs a multiple of 4 channels .*got 3"),
        (lambda: sr.pixel_shuffle(np.ones((2, 2)), 1), "at least 3 axes"),
        (lambda: sr.pixel_shuffle(np.ones((4, 2, 2)), 0), "upscale_factor must be at least 1, got 0"),
        (lambda: sr.pixel_unshuffle(np.ones((1, 4, 5)), 2), "must divide height and width, got 2 for 4 x 5"),
        (lambda: sr.pixel_unshuffle(np.ones((1, 5, 4)), 2), "must divide height and width, got 2 for 5 x 4"),
        (lambda: sr.pixel_unshuffle(np.ones((1, 4, 4)), -2), "downscale_factor must be at least 1, got -2"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_refused_kinds():
    with pytest.raises(InvalidType, match="upscale_factor must be an integer"):
        sr.pixel_shuffle(np.ones((4, 2, 2)), 2.0)
