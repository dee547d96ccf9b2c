"""Filters with like="opencv" against cv2: integers bit for bit, floats to 1e-6 of the largest value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striderule import filters

pytestmark = pytest.mark.conformance
cv2 = pytest.importorskip("cv2")

SEEDS = range(30)
TYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
# Our word, OpenCV's word.
BOUNDARIES = (
    ("symmetric", "BORDER_REFLECT"),
    ("mirror", "BORDER_REFLECT_101"),
    ("edge", "BORDER_REPLICATE"),
    ("constant", "BORDER_CONSTANT"),
)
DEPTHS = {
    np.uint8: cv2.CV_8U,
    np.uint16: cv2.CV_16U,
    np.int16: cv2.CV_16S,
    np.float32: cv2.CV_32F,
    np.float64: cv2.CV_64F,
}


def drawn(seed: int, dtype: Any) -> tuple[Any, np.ndarray, dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng([seed, TYPES.index(dtype)])
    shape = tuple(int(n) for n in rng.integers(2, 50, 2))
    if rng.random() < 0.4:
        shape = (*shape, int(rng.integers(2, 5)))
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        image = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    else:
        image = (rng.standard_normal(shape) * 10.0 ** rng.integers(-2, 4)).astype(dtype)
    if rng.random() < 0.4:
        return rng, image, {}, {}
    ours, theirs = BOUNDARIES[rng.integers(len(BOUNDARIES))]
    return rng, image, {"boundary": ours}, {"borderType": getattr(cv2, theirs)}


def same(ours: np.ndarray, theirs: np.ndarray, context: Any, *, rounding: bool = False) -> None:
    """Compare; with `rounding`, integers that OpenCV rounds from float32 sums may differ by 1, one in a hundred."""
    assert ours.dtype == theirs.dtype, context
    assert ours.shape == theirs.shape, context
    if rounding:
        difference = np.abs(ours.astype(np.int64) - theirs)
        assert difference.max() <= 1, context
        assert (difference > 0).sum() <= 1 + difference.size // 100, context
    elif ours.dtype.kind in "iu":
        np.testing.assert_array_equal(ours, theirs, err_msg=str(context))
    else:
        scale = float(np.abs(theirs).max(initial=0.0))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * scale, err_msg=str(context))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_gaussian(seed: int, dtype: Any) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    for _ in range(4):
        sigma = float(rng.random() * 4 + 0.2)
        result = filters.gaussian(image, sigma, like="opencv", **ours)
        inexact = dtype is np.int16
        same(result, cv2.GaussianBlur(image, (0, 0), sigma, **theirs), (image.shape, sigma, ours), rounding=inexact)
        down, right = (int(n) * 2 + 1 for n in rng.integers(0, 8, 2))
        result = filters.gaussian(image, size=(down, right), like="opencv", **ours)
        expected = cv2.GaussianBlur(image, (right, down), 0, **theirs)
        same(result, expected, (image.shape, down, right, ours), rounding=inexact)
        result = filters.gaussian(image, (sigma, 1.1), size=(down, right), like="opencv", **ours)
        expected = cv2.GaussianBlur(image, (right, down), 1.1, sigmaY=sigma, **theirs)
        same(result, expected, (image.shape, down, right, sigma, ours), rounding=inexact)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_box(seed: int, dtype: Any) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    for _ in range(6):
        down, right = (int(n) for n in rng.integers(1, 22, 2))
        result = filters.box(image, (down, right), like="opencv", **ours)
        same(result, cv2.blur(image, (right, down), **theirs), (image.shape, down, right, ours))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradients(seed: int, dtype: Any) -> None:
    _, image, ours, theirs = drawn(seed, dtype)
    depths = {np.uint8: (np.uint8, np.int16, np.float32, np.float64), np.float64: (np.float64,)}
    for wanted in (None, *depths.get(dtype, (dtype, np.float64))):
        depth = -1 if wanted is None else DEPTHS[wanted]
        for axis in (0, 1):
            for name, other in (("sobel", cv2.Sobel), ("scharr", cv2.Scharr)):
                result = getattr(filters, name)(image, axis, dtype=wanted, like="opencv", **ours)
                expected = other(image, depth, axis, 1 - axis, **theirs)
                same(result, expected, (name, image.shape, axis, wanted, ours))
        if dtype is not np.float32 or wanted is not np.float64:  # OpenCV has no Laplacian from float32 to float64
            result = filters.laplace(image, dtype=wanted, like="opencv", **ours)
            same(result, cv2.Laplacian(image, depth, **theirs), (image.shape, wanted, ours))
