"""Local variance against plain loops over the window, with gaps, borders and large means."""

import itertools

import numpy as np
import pytest

from oracles.images import outside, sides_of
from striderule import filters
from striderule.errors import InvalidArgument

BOUNDARIES = ("constant", "edge", "symmetric", "mirror", "wrap")


def looped_variance(image, size, boundary="symmetric", fill=0.0, missing=None, outside_missing=False):
    """Return (variance, share) from the window's elements, one window after the other."""
    words = sides_of(boundary, image.ndim)
    result, share = np.zeros(image.shape), np.zeros(image.shape)
    for index in np.ndindex(image.shape):
        elements = []
        for tap in itertools.product(*map(range, size)):
            where = []
            for axis, (i, t, k) in enumerate(zip(index, tap, size, strict=True)):
                position = i + t - k // 2
                where.append(outside(position, image.shape[axis], words[axis][0 if position < 0 else 1]))
            if None in where:
                elements += [] if outside_missing else [fill]
            elif missing is None or not missing[tuple(where)]:
                elements.append(image[tuple(where)])
        share[index] = len(elements) / np.prod(size)
        # Python's integers and fractions: exact but for the last division.
        numbers = [int(x * 2**20) for x in elements]
        n = len(numbers)
        result[index] = (n * sum(x * x for x in numbers) - sum(numbers) ** 2) / (n * n * 2**40) if n else np.nan
    return result, share


@pytest.mark.parametrize("seed", range(8))
def test_against_loops(seed):
    rng = np.random.default_rng(seed)
    rank = seed % 3 + 1
    image = rng.integers(-(2**18), 2**18, tuple(rng.integers(1, (14, 8, 5)[rank - 1], rank))) / 2**16
    size = tuple(int(k) for k in rng.integers(1, 8, rank))
    words = tuple(str(rng.choice(BOUNDARIES)) for _ in range(rank))
    missing = rng.random(image.shape) < (0, 0.3, 0.95)[seed % 3]
    expected, share = looped_variance(image, size, words, 1.5, missing)
    result, confidence = filters.variance(image, size, boundary=words, fill=1.5, mask=~missing, confidence=True)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(confidence, share, rtol=1e-14)
    np.testing.assert_allclose(
        filters.std(image, size, boundary=words, fill=1.5, mask=~missing), np.sqrt(expected), rtol=1e-12, atol=1e-8
    )


def test_large_means_cost_no_digits():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 4, (40, 30)).astype(np.float64)
    plain, raised = filters.variance(noise, 7), filters.variance(noise + 2.0**40, 7)
    np.testing.assert_allclose(raised, plain, rtol=1e-3)
    np.testing.assert_array_equal(filters.variance(np.full((9, 9), 1e15 + 0.1), 5), 0)
    single = (noise + 2.0**20).astype(np.float32)
    np.testing.assert_allclose(filters.variance(single, 7), plain, rtol=1e-6)


def test_a_missing_outside_and_types():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected, share = looped_variance(image.astype(float), (3, 3), "constant", outside_missing=True)
    result, confidence = filters.variance(
        image.astype(float), 3, boundary="constant", fill=np.nan, nan="normalize", confidence=True
    )
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    np.testing.assert_allclose(confidence, share)
    assert filters.variance(image, 3).dtype == np.float32
    assert filters.variance(image.astype(np.int32), 3).dtype == np.float64
    assert filters.variance(image.astype(np.float16), 3).dtype == np.float16
    assert filters.variance(image + 1j, 3).dtype == np.float64
    assert filters.std(np.zeros((0, 4)), 3, boundary="constant").shape == (0, 4)
    stack = np.stack([image, image[::-1]], axis=1)
    np.testing.assert_array_equal(filters.variance(stack, 3, axes=(0, 2))[:, 0], filters.variance(image, 3))


def test_nan_stays_in_the_window():
    image = np.zeros((9, 9))
    image[4, 4] = np.nan
    assert np.isnan(filters.variance(image, 3)).sum() == 9
    assert not np.isnan(filters.variance(image, 3, nan="normalize")).any()


def test_refusals():
    with pytest.raises(InvalidArgument, match="size"):
        filters.variance(np.ones((3, 3)), 0)
    with pytest.raises(InvalidArgument, match="has no use for precision"):
        filters.variance(np.ones((3, 3)), 3, precision="high")
