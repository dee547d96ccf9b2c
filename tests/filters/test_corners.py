"""Structure tensor, corners, and gradients as length and direction, from their definitions."""

import numpy as np
import pytest

import striderule as sr
from oracles.images import looped
from striderule import filters, kernels
from striderule.errors import InvalidArgument, InvalidType


@pytest.mark.parametrize("boundary", ["symmetric", "wrap", "constant"])
@pytest.mark.parametrize("shape", [(9, 11), (4, 5, 3)])
def test_structure_tensor_against_loops(shape, boundary):
    image = np.random.default_rng(1).random(shape)
    rank = len(shape)
    slopes = [looped(image, kernels.sobel(axis, rank), boundary=boundary).astype(float) for axis in range(rank)]
    blur = kernels.gaussian(0.6, ndim=rank)
    found = iter(filters.structure_tensor(image, 0.6, boundary=boundary))
    scaled = iter(filters.structure_tensor(image, 0.6, boundary=boundary, normalize=True))
    for i in range(rank):
        for j in range(i, rank):
            expected = looped(slopes[i] * slopes[j], blur, boundary=boundary).astype(float)
            np.testing.assert_allclose(next(found), expected, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(next(scaled), expected / (2 * 4 ** (rank - 1)) ** 2, rtol=1e-12, atol=1e-12)


def test_corner_formulas():
    image = np.random.default_rng(2).integers(0, 256, (12, 13), np.uint8)
    a, b, c = (part.astype(float) for part in filters.structure_tensor(image, 1.5))
    first = filters.corner_harris(image, k=0.04, sigma=1.5)
    assert first.dtype == np.float32
    scale = float(np.abs(first).max())
    np.testing.assert_allclose(first, a * c - b * b - 0.04 * (a + c) ** 2, atol=1e-6 * scale)
    second = filters.corner_harris(image, "eps", sigma=1.5)
    np.testing.assert_allclose(second, 2 * (a * c - b * b) / (a + c + 1e-6), rtol=1e-3)


def test_corners_of_a_square():
    square = np.zeros((20, 20), np.float32)
    square[6:14, 6:14] = 1
    response = filters.corner_harris(square)
    strongest = {tuple(map(int, np.unravel_index(i, response.shape))) for i in np.argsort(response.ravel())[-4:]}
    assert strongest == {(6, 6), (6, 13), (13, 6), (13, 13)}


def test_gaps_in_a_tensor_of_a_plane():
    image = 3.0 * np.arange(12)[:, np.newaxis] + 2.0 * np.arange(11)
    mask = np.random.default_rng(4).random(image.shape) < 0.9
    mask[4:7, 4:7] = False
    parts = filters.structure_tensor(image, 1, mask=mask)
    assert all(np.isfinite(part).all() for part in parts)
    assert all((part >= 0).all() for part in parts[::2])


def test_gradient_is_length_and_direction():
    image = np.random.default_rng(5).random((9, 8))
    down, right = filters.scharr(image, 0), filters.scharr(image, 1)
    length, direction = filters.gradient(image, kernel="scharr")
    np.testing.assert_allclose(length, np.hypot(down, right), rtol=1e-13)
    np.testing.assert_allclose(direction, np.arctan2(down, right), rtol=1e-13)
    both = filters.gradient(image, kernel="scharr", derivatives=True)
    for found, expected in zip(both, (length, direction, down, right), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)
    apart = filters.gradient(image, kernel="scharr", derivatives=True, algorithm="windows")
    for found, expected in zip(both, apart, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    length, direction = filters.gradient(image, 1.2, boundary="wrap")
    np.testing.assert_allclose(length, filters.gradient_magnitude(image, 1.2, boundary="wrap"), rtol=1e-13)
    small = (image * 255).astype(np.uint8)
    length, direction = filters.gradient(small, dtype=np.int32)
    assert (length.dtype, direction.dtype) == (np.int32, np.float64)
    assert [part.dtype for part in filters.gradient(small)] == [np.float32, np.float32]


def test_gradients_are_written_to_arrays_that_stand_anyhow():
    image = np.random.default_rng(6).random((30, 41)).astype(np.float32)
    untouched = np.zeros_like(image), np.zeros_like(image)
    assert len(sr.explain(filters.gradient, image, 1.0, out=untouched).passes) == 2
    assert not np.any(untouched)
    for words in ({}, {"sigma": 1.0}, {"dtype": np.float64}, {"axes": (1, 0)}):
        for count in (2, 4):
            more = words | {"derivatives": count == 4}
            expected = filters.gradient(image, **more)
            alike = [np.zeros_like(one) for one in expected]
            other = [np.zeros((41, 60), one.dtype).T[::2] for one in expected]
            mixed = [alike[0], *(np.asfortranarray(one) for one in alike[1:])]
            for out in (alike, other, mixed):
                found = filters.gradient(image, out=tuple(out), **more)
                assert all(one is goal for one, goal in zip(found, out, strict=True))
                for one, goal in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(one, goal)


SAME = np.ones((3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: filters.gradient(np.ones((3, 3)), kernel="canny"), "kernel must be one of 'sobel'"),
        (lambda: filters.gradient(np.ones((3, 3)), out=np.ones((3, 3))), "out must be a tuple of 2 arrays"),
        (lambda: filters.gradient(np.ones((3, 3)), out=(np.ones((3, 3)), np.ones(3))), "out"),
        (lambda: filters.gradient(np.ones((3, 3)), out=(SAME, SAME)), "out"),
        (lambda: filters.structure_tensor(np.ones((3, 3)), out=np.ones((3, 3))), "has no use for out"),
        (lambda: filters.structure_tensor(np.ones((3, 3)) * 1j), "takes real images"),
        (lambda: filters.corner_harris(np.ones((3, 3)), "both"), "method must be 'k' or 'eps'"),
        (lambda: filters.corner_harris(np.ones((3, 3)), like="scipy"), "SciPy has no filter like corner_harris"),
        (lambda: filters.structure_tensor(np.ones((3, 3)), like="skimage", out=np.ones(1)), "several arrays"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((InvalidArgument, InvalidType), match=message):
        call()
