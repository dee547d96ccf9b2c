"""Canny's edges against plain loops: thinning element by element, linking by walking from element to element."""

import numpy as np
import pytest

from striderule import filters
from striderule.algorithms.edges.linking import linked
from striderule.algorithms.edges.thinning import thinned
from striderule.errors import InvalidArgument, InvalidType


def looped_thinning(down, right, magnitude, keep, low):
    """Return the ridges, from the description in words, in float64."""
    result = np.zeros_like(magnitude)
    rows, columns = magnitude.shape
    for i in range(1, rows - 1):
        for j in range(1, columns - 1):
            a, b, m = down[i, j], right[i, j], magnitude[i, j]
            if not keep[i, j] or m < low:
                continue
            u, v = (1 if a > 0 else -1), (1 if b > 0 else -1)
            if abs(a) > abs(b):
                w, near = abs(b) / abs(a), (u, 0)
            else:
                w, near = abs(a) / abs(b), (0, v)
            ahead = w * magnitude[i + u, j + v] + (1 - w) * magnitude[i + near[0], j + near[1]]
            behind = w * magnitude[i - u, j - v] + (1 - w) * magnitude[i - near[0], j - near[1]]
            if ahead <= m and behind <= m:
                result[i, j] = m
    return result


def walked(weak, strong):
    """Return what can be reached from the strong elements over weak ones."""
    result = np.zeros(weak.shape, bool)
    waiting = [tuple(index) for index in np.argwhere(strong)]
    while waiting:
        i, j = waiting.pop()
        if 0 <= i < weak.shape[0] and 0 <= j < weak.shape[1] and weak[i, j] and not result[i, j]:
            result[i, j] = True
            waiting += [(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)]
    return result


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(5))
def test_thinning_against_loops(seed, dtype):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 25, 2))
    # Of such components all quotients are exact, in float32 too.
    down, right = (rng.choice([-4, -2, -1, 0, 1, 2, 4], shape).astype(dtype) for _ in range(2))
    magnitude = rng.integers(0, 9, shape).astype(dtype)
    magnitude[(down == 0) & (right == 0)] = 0
    keep = rng.random(shape) < 0.9
    low = float(rng.integers(1, 5))
    expected = looped_thinning(down.astype(float), right.astype(float), magnitude.astype(float), keep, low)
    np.testing.assert_array_equal(thinned(down, right, magnitude, keep, low), expected)


@pytest.mark.parametrize("seed", range(12))
def test_linking_against_walks(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(0, 30, 2))
    weak = rng.random(shape) < (0.2, 0.4, 0.6, 0.9)[seed % 4]
    strong = weak & (rng.random(shape) < 0.05)
    np.testing.assert_array_equal(linked(weak, strong), walked(weak, strong))


def spiral(size):
    """Return a line one element wide that winds to the middle."""
    picture = np.zeros((size, size), bool)
    picture[0] = True
    for turn in range(0, size // 2, 2):
        end = size - 1 - turn
        picture[turn:end, end] = picture[end, turn : end + 1] = picture[turn + 2 : end + 1, turn] = True
        picture[turn + 2, turn : end - 1] = True
    return picture


def test_a_spiral_is_one_edge():
    picture = spiral(301)
    strong = np.zeros_like(picture)
    strong[0, 0] = True
    assert picture.sum() > 40000
    np.testing.assert_array_equal(linked(picture, strong), picture)
    comb = np.zeros((200, 401), bool)
    comb[:, ::2] = comb[-1] = True
    strong = np.zeros_like(comb)
    strong[0, 200] = True
    np.testing.assert_array_equal(linked(comb, strong), comb)
    assert not linked(comb, np.zeros_like(comb)).any()


def test_a_step_gives_a_line():
    image = np.zeros((20, 21))
    image[:, 10:] = 1
    edges = filters.canny(image)
    assert edges.dtype == np.bool_
    assert edges[5:-5].any(axis=1).all()
    assert np.flatnonzero(edges.any(axis=0)).tolist() in ([9], [10], [9, 10])
    assert not filters.canny(image, 1, 5, 6).any()


def test_thresholds_link():
    image = np.zeros((30, 30))
    image[:, 15:] = np.linspace(0.2, 2, 30)[:, np.newaxis]
    strict, loose = filters.canny(image, 1, 3, 3), filters.canny(image, 1, 0.5, 3)
    assert 0 < strict.sum() < loose.sum()
    assert (loose | ~strict).all()


def test_planes_types_and_out():
    rng = np.random.default_rng(2)
    colour = rng.integers(0, 256, (20, 22, 3), np.uint8)
    out = np.empty(colour.shape, bool)
    assert filters.canny(colour, 1.5, channel_axis=-1, out=out) is out
    np.testing.assert_array_equal(out[..., 1], filters.canny(np.ascontiguousarray(colour[..., 1]), 1.5))
    assert filters.canny(colour[..., 0], dtype=np.uint8).dtype == np.uint8
    assert filters.canny(np.zeros((0, 5)), boundary="edge").shape == (0, 5)
    for shape in [(1, 1), (1, 9), (2, 2), (3, 3)]:
        assert not filters.canny(np.ones(shape)).any()


def test_gaps_are_no_edges():
    image = np.random.default_rng(3).random((20, 20))
    image[8, 9] = np.nan
    assert filters.canny(image, 0.5, nan="normalize").any()
    mask = ~np.isnan(image)
    np.testing.assert_array_equal(
        filters.canny(image, 0.5, nan="normalize"), filters.canny(np.nan_to_num(image), 0.5, mask=mask)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: filters.canny(np.ones((3, 3)), 1, 3, 2), "low_threshold must be at most high_threshold"),
        (lambda: filters.canny(np.ones((3, 3)), 1, 0.5, 2, use_quantiles=True), "high_threshold must be a quantile"),
        (lambda: filters.canny(np.ones((3, 3)), -1), "sigma must be at least 0"),
        (lambda: filters.canny(np.ones((3, 3)) + 1j), "canny takes real images"),
        (lambda: filters.canny(np.ones(3)), "canny filters 2 axes"),
        (lambda: filters.canny(np.ones((3, 3)), precision="high"), "has no use for precision"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((InvalidArgument, InvalidType), match=message):
        call()
