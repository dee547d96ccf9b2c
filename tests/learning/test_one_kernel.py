"""Kernels are found again: by going downhill, and by least squares."""

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument
from striderule.learning.one_kernel import closest, learn


@pytest.fixture
def photo():
    """Three small planes that are smooth, as photographs are, and rough in places."""
    rough = np.random.default_rng(5).random((3, 60, 70))
    return np.stack([sr.filters.gaussian(plane, 1.5) + 0.05 * plane for plane in rough])


def filtered(planes, kernel):
    return np.stack([sr.correlate(plane, kernel, algorithm="reference") for plane in planes])


@pytest.mark.parametrize("shape", [(2, 3), (1, 4)])
def test_any_kernel_is_found_again(photo, shape):
    kernel = np.random.default_rng(1).normal(size=shape)
    found = learn(photo, 3 * filtered(photo[:, ::1], kernel) + 0.5, shape, steps=900)
    np.testing.assert_allclose(found.exact, 3 * kernel, atol=1e-6)
    np.testing.assert_allclose(found.weight, 3 * kernel, atol=0.01 * np.abs(3 * kernel).max())
    assert found.agreement < 0.01
    assert found.bias == pytest.approx(0.5, abs=0.05)
    assert found.losses[-1] < 1e-4
    assert found(photo[0]).shape == (60 - shape[0] + 1, 70 - shape[1] + 1)


def test_clipped_pixels_do_not_mislead(photo):
    levels = np.rint(255 * photo)
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    edges = np.clip(np.rint(128 + filtered(levels, kernel)), 0, 255)
    with_limits = learn(levels, edges, (3, 3), limits=(0, 255))
    assert with_limits.left_out == int(((edges == 0) | (edges == 255))[:, 1:-1, 1:-1].sum())
    name = closest(with_limits.weight)
    assert (name.name, round(name.factor, 2)) == ("sobel:axis=1", -1.0)
    np.testing.assert_allclose(with_limits.weight, kernel, atol=0.02)


def test_the_same_seed_gives_the_same_bits(photo):
    one, other, third = (learn(photo, photo[:, ::-1], (3, 3), steps=5, seed=seed).weight for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert (one != third).any()


def test_large_pictures_are_learned_from_in_pieces():
    rng = np.random.default_rng(0)
    source = rng.random((2, 300, 400))
    found = learn(source, np.roll(source, 1, axis=2), (1, 3), steps=200)
    assert found.samples == 32 * 64 * 64
    np.testing.assert_allclose(found.weight, [[1, 0, 0]], atol=0.01)


@pytest.mark.parametrize(
    ("kernel", "name", "factor"),
    [
        (-2 * sr.kernels.sobel(0), "sobel:axis=0", -2),
        (sr.kernels.scharr(1), "scharr:axis=1", 1),
        (np.ones((4, 4)), "box:4", 16),
        (np.pad(sr.kernels.laplace(), 1), "laplace", 1),
        (sr.kernels.gaussian(1, size=5), "gaussian:1,size=5", 1),
        (np.array([[0, 0, 0, 5]]), "", 1),
        (np.array([[0, 5, 0]]), "identity", 5),
    ],
)
def test_kernels_are_named(kernel, name, factor):
    found = closest(kernel)
    assert found.name == name
    if name:
        assert found.factor == pytest.approx(factor)
        assert abs(found.cosine) == pytest.approx(1)


@pytest.mark.parametrize(
    ("source", "target", "size", "words"),
    [
        (np.zeros((1, 9, 9)), np.zeros((1, 9, 8)), (3, 3), "must have one shape"),
        (np.zeros((1, 99, 99)), np.zeros((1, 99, 99)), (16, 3), "size must be 1 to 15"),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), (3, 3), "too few pixels"),
        (np.zeros((1, 20, 20)), np.eye(20)[None], (3, 3), "nothing changes in the source"),
        (np.eye(20)[None], np.zeros((1, 20, 20)), (3, 3), "nothing changes in the target"),
    ],
)
def test_refusals(source, target, size, words):
    with pytest.raises(InvalidArgument, match=words):
        learn(source, target, size)
