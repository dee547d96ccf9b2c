"""Numbers as short texts: never longer than needed, never a wrong zero."""

import numpy as np
import pytest

from oracles.drawings import number as read
from striderule.figures.numerals import common_denominator, digits_for, number, texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (-2, "−2"),
        (True, "1"),
        (np.uint8(7), "7"),
        (0.125, "0.125"),
        (0.1 + 0.2, "0.3"),
        (-0.0004, "−4e−4"),
        (0.00149, "0.001"),
        (1e-9, "1e−9"),
        (123456.0, "123456"),
        (2.5e7, "2.5e7"),
        (10**7, "1e7"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
        (float("nan"), "nan"),
    ],
)
def test_one_number(value, text):
    assert number(value) == text


def test_a_small_number_beside_a_large_one_is_not_written_as_zero():
    assert texts(np.array([[0.5, 1234.5, 0.0]])).tolist() == [["0.5", "1234", "0"]]


def test_fewer_decimals_where_numbers_are_large():
    assert [digits_for(np.array([x])) for x in (0.9, 9.0, 500.0, 5000.0)] == [3, 2, 1, 0]
    assert digits_for(np.array([np.nan])) == 3


def test_texts_stay_within_half_of_the_last_decimal():
    values = np.random.default_rng(3).normal(size=(20, 20))
    shown = np.vectorize(read, otypes=[float])(texts(values))
    assert np.abs(shown - values).max() <= 0.005


@pytest.mark.parametrize(
    ("values", "denominator"),
    [
        ([1 / 9, 8 / 9], 9),
        ([1 / 16, 2 / 16, 4 / 16], 16),
        ([0.5, 0.1], None),  # one decimal reads better
        ([0.25, 0.75], 4),
        ([1.0, 2.0], None),
        ([0.317, 0.681], None),
        ([1 / 9, np.nan], None),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fractions_where_one_small_denominator_serves_all(values, denominator, dtype):
    assert common_denominator(np.array(values, dtype)) == denominator


def test_integers_have_no_denominator():
    assert common_denominator(np.array([1, 2])) is None


def test_fractions_are_reduced_and_signed():
    found = texts(np.array([[-1 / 6, 2 / 6, 0, 1]]), fractions=True)
    assert found.tolist() == [["−1/6", "1/3", "0", "1"]]
