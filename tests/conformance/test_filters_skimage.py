"""Filters with like="skimage" against skimage.filters: integers bit for bit, floats to 1e-6 of the largest value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striderule import filters

pytestmark = pytest.mark.conformance
peer = pytest.importorskip("skimage.filters")

SEEDS = range(20)
TYPES = (np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.float16, np.float32, np.float64)
BOUNDARIES = (
    ("symmetric", "reflect"),
    ("mirror", "mirror"),
    ("edge", "nearest"),
    ("wrap", "wrap"),
    ("constant", "constant"),
)


def image_of(rng: np.random.Generator, dtype: Any, rank: int, least: int) -> np.ndarray:
    shape = tuple(int(n) for n in rng.integers(least, {1: 40, 2: 20, 3: 9}[rank], rank))
    if dtype is np.bool_:
        return rng.random(shape) < 0.5
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return (rng.random(shape) * (1 if rng.random() < 0.5 else 2) - (rng.random() < 0.5)).astype(dtype)


def same(ours: np.ndarray, theirs: np.ndarray, context: Any) -> None:
    assert ours.dtype == theirs.dtype, context
    assert ours.shape == theirs.shape, context
    if ours.dtype.kind in "biu":
        np.testing.assert_array_equal(ours, theirs, err_msg=str(context))
    else:
        scale = float(np.abs(theirs).max(initial=0.0))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * scale, err_msg=str(context))


def drawn(
    seed: int, dtype: Any, rank: int | None = None, least: int = 1
) -> tuple[Any, np.ndarray, dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng([seed, TYPES.index(dtype)])
    image = image_of(rng, dtype, rank or int(rng.integers(1, 4)), least)
    if rng.random() < 0.4:
        return rng, image, {}, {}
    ours, theirs = BOUNDARIES[rng.integers(len(BOUNDARIES))]
    fill = 1 if rng.random() < 0.5 else 0
    return rng, image, {"boundary": ours, "fill": fill}, {"mode": theirs, "cval": fill}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_gaussian(seed: int, dtype: Any) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    same(filters.gaussian(image, like="skimage", **ours), peer.gaussian(image, **theirs), (image.shape, ours))
    sigma, truncate = float(rng.random() * 3), float(rng.choice([4.0, 2.5]))
    same(
        filters.gaussian(image, sigma, truncate=truncate, like="skimage", **ours),
        peer.gaussian(image, sigma, truncate=truncate, **theirs),
        (image.shape, sigma, ours),
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_channels(seed: int, dtype: Any) -> None:
    rng, image, ours, theirs = drawn(seed, dtype, 3)
    channel = int(rng.integers(3))
    same(
        filters.gaussian(image, 1.3, channel_axis=channel, like="skimage", **ours),
        peer.gaussian(image, 1.3, channel_axis=channel, **theirs),
        (image.shape, channel, ours),
    )
    same(
        filters.unsharp_mask(image, 1.3, 0.7, channel_axis=channel, like="skimage"),
        peer.unsharp_mask(image, 1.3, 0.7, channel_axis=channel),
        (image.shape, channel),
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["sobel", "scharr", "prewitt"])
@pytest.mark.parametrize("seed", SEEDS)
def test_gradients(seed: int, name: str, dtype: Any) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    function, other = getattr(filters, name), getattr(peer, name)
    # A sequence of one axis is a component to scikit-image.
    axes = [None, *range(image.ndim), tuple(range(image.ndim))]
    for axis in axes:
        context = (name, image.shape, axis, ours)
        same(function(image, axis, like="skimage", **ours), other(image, axis=axis, **theirs), context)
    mask = rng.random(image.shape) < 0.95
    same(function(image, mask=mask, like="skimage", **ours), other(image, mask, **theirs), (name, image.shape, ours))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_roberts_and_laplace(seed: int, dtype: Any) -> None:
    rng, image, _, _ = drawn(seed, dtype, 2)
    same(filters.roberts(image, like="skimage"), peer.roberts(image), image.shape)
    same(filters.roberts(image, 0, like="skimage"), peer.roberts_pos_diag(image), image.shape)
    same(filters.roberts(image, 1, like="skimage"), peer.roberts_neg_diag(image), image.shape)
    mask = rng.random(image.shape) < 0.95
    same(filters.roberts(image, like="skimage", mask=mask), peer.roberts(image, mask), image.shape)
    _, image, _, _ = drawn(seed, dtype)
    same(filters.laplace(image, like="skimage"), peer.laplace(image), image.shape)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_differences_and_unsharp_mask(seed: int, dtype: Any) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    low = float(rng.random() + 0.3)
    high = None if rng.random() < 0.5 else low * 2.5
    same(
        filters.dog(image, low, high, like="skimage", **ours),
        peer.difference_of_gaussians(image, low, high, **theirs),
        (image.shape, low, high, ours),
    )
    same(filters.unsharp_mask(image, like="skimage"), peer.unsharp_mask(image), image.shape)
    radius, amount = float(rng.random() * 2), float(rng.random() * 4 - 1)
    same(
        filters.unsharp_mask(image, radius, amount, like="skimage"),
        peer.unsharp_mask(image, radius, amount),
        (image.shape, radius, amount),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("seed", SEEDS)
def test_gabor(seed: int, dtype: Any) -> None:
    # SciPy's correlate reads beside the array when a kernel reaches over four times a "reflect"ed axis.
    rng, image, ours, theirs = drawn(seed, dtype, 2, least=12)
    shape: dict[str, Any] = {"theta": float(rng.random() * 3), "bandwidth": float(rng.random() * 2 + 0.5)}
    if rng.random() < 0.5:
        shape |= {"sigma_x": 1.5, "sigma_y": float(rng.random() + 1), "n_stds": 2, "offset": float(rng.random())}
    frequency = float(rng.random() * 0.3 + 0.1)
    expected = peer.gabor(image, frequency, **shape, **theirs)
    result = filters.gabor(image, frequency, **shape, like="skimage", **ours)
    for part, other in zip(result, expected, strict=True):
        same(part, other, (image.shape, frequency, shape, ours))
