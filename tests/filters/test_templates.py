"""match_template against the correlation coefficient of every window."""

import numpy as np
import pytest

from oracles.images import windows
from striderule import filters
from striderule.errors import InvalidArgument, InvalidType


def coefficient(x, t):
    x, t = x - x.mean(), t - t.mean()
    norm = np.sqrt((x * x).sum() * (t * t).sum())
    return (x * t).sum() / norm if norm > 1e-12 else 0.0


def looped_match(image, template, pad_input, boundary="constant", fill=0.0, missing=None):
    """Return (coefficients, shares), window by window."""
    one, none = (1,) * image.ndim, (0,) * image.ndim
    result, share = None, None
    settings = {"flip": False, "boundary": boundary, "stride": one, "dilation": one, "origin": none}
    for index, shape, pairs in windows(image, template.shape, mode="same" if pad_input else "valid", **settings):
        if result is None:
            result, share = np.zeros(shape), np.zeros(shape)
        there = [(t, w) for t, w in pairs if w is None or missing is None or not missing[w]]
        x = np.array([fill if w is None else image[w] for _, w in there])
        y = np.array([template[t] for t, _ in there])
        result[index] = coefficient(x, y) if len(x) > 1 else (0.0 if len(x) else np.nan)
        share[index] = len(x) / template.size
    return result, share


@pytest.mark.parametrize("seed", range(8))
def test_against_every_window(seed):
    rng = np.random.default_rng(seed)
    rank = seed % 3 + 1
    shape = tuple(int(n) for n in rng.integers(3, (16, 10, 6)[rank - 1], rank))
    size = tuple(int(rng.integers(1, n + 1)) for n in shape)
    image, template = rng.random(shape) + (1000 if seed % 2 else 0), rng.random(size)
    boundary = str(rng.choice(["constant", "edge", "symmetric", "mirror", "wrap"]))
    for pad_input in (False, True):
        expected, _ = looped_match(image, template, pad_input, boundary, 2.0)
        result = filters.match_template(image, template, pad_input, boundary=boundary, fill=2.0)
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, atol=1e-8)


@pytest.mark.parametrize("pad_input", [False, True])
def test_around_gaps(pad_input):
    rng = np.random.default_rng(9)
    image, template, missing = rng.random((9, 10)), rng.random((3, 4)), rng.random((9, 10)) < 0.4
    expected, shares = looped_match(image, template, pad_input, missing=missing)
    result, share = filters.match_template(image, template, pad_input, mask=~missing, confidence=True)
    np.testing.assert_allclose(result, expected, atol=1e-10)
    np.testing.assert_allclose(share, shares, rtol=1e-12)


def test_planes_types_and_even_windows():
    image = np.zeros((3, 12, 13), np.uint8)
    image[:, 4:8, 5:9] = np.arange(16).reshape(4, 4) * 10
    template = image[0, 3:9, 4:8]
    found = filters.match_template(image, template, axes=(1, 2))
    assert found.dtype == np.float32
    assert found.shape == (3, 7, 10)
    np.testing.assert_array_equal(found[0], found[2])
    assert np.unravel_index(found[1].argmax(), found[1].shape) == (3, 4)
    assert found[0].max() == pytest.approx(1)
    assert found[0, -1, 0] == 0  # nothing but zeros under that window
    assert filters.match_template(image[0], template, like="skimage").dtype == np.float64
    flat = filters.match_template(np.full((9, 9), 0.1), template[:3, :3])
    np.testing.assert_array_equal(flat, 0)
    assert filters.match_template(image.astype(np.int32), template, axes=(1, 2)).dtype == np.float64
    out = np.empty((12, 13), np.float32)
    assert filters.match_template(image[0], template, True, out=out) is out


def test_nan_stays_under_the_template():
    image = np.random.default_rng(3).random((10, 10))
    image[5, 5] = np.nan
    result = filters.match_template(image, image[:3, :3])
    assert np.isnan(result).sum() == 9
    assert not np.isnan(filters.match_template(image, image[:3, :3], nan="normalize")).any()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (np.ones((4, 2)), "template must be no larger than the image"),
        (np.ones(3), "must have one axis for each filtered axis"),
        (np.full((2, 2), np.nan), "template must hold finite numbers"),
        (np.ones((2, 2)) * 1j, "template must hold real numbers"),
    ],
)
def test_refusals(template, message):
    with pytest.raises((InvalidArgument, InvalidType), match=message):
        filters.match_template(np.ones((3, 3)), template)
