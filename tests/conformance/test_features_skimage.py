"""Edges, corners, templates and pyramids against scikit-image, on its own photographs and on drawn images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striderule import filters

pytestmark = pytest.mark.conformance
feature = pytest.importorskip("skimage.feature")
transform = pytest.importorskip("skimage.transform")
data = pytest.importorskip("skimage.data")

TYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64, np.bool_, np.float16, np.int32)
WORDS = {"constant": "constant", "symmetric": "reflect", "mirror": "mirror", "edge": "nearest", "wrap": "wrap"}


def photographs() -> list[np.ndarray]:
    return [data.camera()[100:350, 120:400], data.coins()[:200, :260], data.astronaut()[:220, 100:330, 1], data.text()]


def drawn(seed: int, dtype: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a picture of shapes and noise: edges of all directions, and even areas with ties."""
    rng = np.random.default_rng([seed, TYPES.index(dtype)])
    rows, columns = shape or (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
    y, x = np.mgrid[:rows, :columns]
    picture = np.zeros((rows, columns))
    for _ in range(4):
        a, b, r = rng.random(3) * (rows, columns, 20)
        picture[(y - a) ** 2 + (x - b) ** 2 < r * r] = rng.random()
        picture[int(a) : int(a + r), int(b) : int(b + r)] = rng.random()
    if seed % 3 == 0:
        picture += rng.normal(0, 0.05, picture.shape)
    picture = np.clip(picture, 0, 1)
    if dtype is np.bool_:
        return picture > 0.5
    return (picture * (np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1)).astype(dtype)


def same_edges(ours: np.ndarray, theirs: np.ndarray, context: Any) -> None:
    assert ours.dtype == np.bool_
    np.testing.assert_array_equal(ours, theirs, err_msg=str(context))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.3])
def test_canny_on_photographs(number: int, sigma: float) -> None:
    picture = photographs()[number]
    same_edges(filters.canny(picture, sigma), feature.canny(picture, sigma), sigma)
    single = (picture / 255).astype(np.float32)
    same_edges(filters.canny(single, sigma), feature.canny(single, sigma), sigma)
    quantiles = {"low_threshold": 0.7, "high_threshold": 0.9, "use_quantiles": True}
    same_edges(filters.canny(picture, sigma, **quantiles), feature.canny(picture, sigma, **quantiles), sigma)
    same_edges(filters.canny(picture, sigma, 20, 90), feature.canny(picture, sigma, 20, 90), sigma)
    same_edges(filters.canny(picture, sigma, 0, 0), feature.canny(picture, sigma, 0, 0), sigma)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", range(12))
def test_canny_drawn(seed: int, dtype: Any) -> None:
    picture = drawn(seed, dtype)
    rng = np.random.default_rng(seed)
    ours, theirs = list(WORDS.items())[seed % 5]
    sigma = float(rng.choice([0.5, 1.0, 1.7]))
    words = {"boundary": ours, "fill": seed % 2}
    context = (picture.shape, sigma, words)
    expected = feature.canny(picture, sigma, mode=theirs, cval=seed % 2)
    same_edges(filters.canny(picture, sigma, **words), expected, context)
    mask = rng.random(picture.shape) < 0.97
    expected = feature.canny(picture, sigma, mask=mask, mode=theirs, cval=seed % 2)
    same_edges(filters.canny(picture, sigma, mask=mask, like="skimage", **words), expected, context)
    quantiles = {"low_threshold": 0.5, "high_threshold": 0.8, "use_quantiles": True}
    expected = feature.canny(picture, sigma, mode=theirs, cval=seed % 2, **quantiles)
    same_edges(filters.canny(picture, sigma, **quantiles, **words), expected, context)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", range(6))
def test_structure_tensor_and_corners(seed: int, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = list(WORDS.items())[seed % 5]
    shape = tuple(int(n) for n in rng.integers(2, 12, 2 + seed % 2))
    picture = (rng.random(shape) * 200).astype(dtype)
    expected = feature.structure_tensor(picture, 1.3, mode=theirs, cval=0)
    result = filters.structure_tensor(picture, 1.3, like="skimage", boundary=ours)
    for one, other in zip(result, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * float(np.abs(other).max()) + 1e-30)
    picture = drawn(seed, dtype, (30, 40))
    for words in ({}, {"method": "eps"}, {"k": 0.1, "sigma": 2}):
        theirs_ = feature.corner_harris(picture, **words)
        ours_ = filters.corner_harris(picture, like="skimage", **words)
        assert ours_.dtype == theirs_.dtype
        np.testing.assert_allclose(ours_, theirs_, rtol=1e-5, atol=1e-6 * float(np.abs(theirs_).max()))


def test_corners_of_photographs() -> None:
    for picture in photographs():
        expected = feature.corner_harris(picture)
        result = filters.corner_harris(picture, like="skimage")
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(feature.corner_peaks(result), feature.corner_peaks(expected))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("pad_input", [False, True])
def test_templates(dtype: Any, pad_input: bool) -> None:
    rng = np.random.default_rng(3)
    for shape, size in [((40, 50), (7, 8)), ((31, 30), (12, 5)), ((12, 14, 13), (3, 4, 5)), ((9, 9), (9, 9))]:
        image = (rng.random(shape) * 100).astype(dtype)
        template = image[tuple(slice(n - k, n) for n, k in zip(shape, size, strict=True))]
        words: dict[str, Any] = {"boundary": "mirror"} if pad_input and dtype is np.float64 else {}
        theirs = {"mode": "reflect"} if words else {}
        expected = feature.match_template(image, template, pad_input, **theirs)
        result = filters.match_template(image, template, pad_input, like="skimage", **words)
        assert result.dtype == expected.dtype
        tolerance = 1e-3 if dtype is np.float32 else 1e-9  # theirs sums float32 squares in float32
        np.testing.assert_allclose(result, expected, atol=tolerance)
        np.testing.assert_allclose(filters.match_template(image, template, pad_input, **words), result, atol=1e-6)


def test_templates_in_photographs() -> None:
    for picture in photographs():
        template = picture[30:47, 60:80]
        result = filters.match_template(picture, template)
        np.testing.assert_allclose(result, feature.match_template(picture, template), atol=2e-6)
        assert np.unravel_index(result.argmax(), result.shape) == (30, 60)


def test_constant_windows() -> None:
    image = np.zeros((20, 21))
    image[3:6, 4:8] = np.arange(12).reshape(3, 4)
    template = image[2:7, 3:9]
    expected = feature.match_template(image, template, pad_input=True)
    np.testing.assert_allclose(filters.match_template(image, template, True, like="skimage"), expected, atol=1e-12)
    assert not filters.match_template(image, np.ones((3, 3))).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(16, 24), (15, 9), (7, 1), (6, 5, 8)])
def test_pyramids(dtype: Any, shape: tuple[int, ...]) -> None:
    image = (np.random.default_rng(5).random(shape) * 100).astype(dtype)
    for scale in (2, 3, 1.5):
        for sigma in (None, 1.1):
            for name in ("pyramid_reduce", "pyramid_expand"):
                expected = getattr(transform, name)(image, scale, sigma)
                result = getattr(filters, name)(image, scale, sigma, like="skimage")
                assert result.dtype == expected.dtype, name
                np.testing.assert_allclose(
                    result, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(), err_msg=name
                )
    expected = list(transform.pyramid_gaussian(image))
    result = filters.pyramid_gaussian(image, like="skimage")
    assert [layer.shape for layer in result] == [layer.shape for layer in expected]
    for one, other in zip(result, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_our_pyramid_is_theirs_inside() -> None:
    image = data.camera().astype(np.float64)
    expected = transform.pyramid_reduce(image, preserve_range=True)
    np.testing.assert_allclose(filters.pyramid_reduce(image), expected, rtol=1e-12)


def test_pyramids_of_colours() -> None:
    image = data.astronaut()[:60, :70]
    expected = transform.pyramid_reduce(image, channel_axis=-1)
    np.testing.assert_allclose(filters.pyramid_reduce(image, channel_axis=-1, like="skimage"), expected, atol=1e-12)
