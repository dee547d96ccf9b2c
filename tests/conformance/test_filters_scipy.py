"""Filters with like="scipy" against scipy.ndimage: integers bit for bit, floats to 1e-6 of the largest value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striderule import filters

pytestmark = pytest.mark.conformance
ndimage = pytest.importorskip("scipy.ndimage")

SEEDS = range(20)
INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64)
TYPES = (*INTEGERS, np.float32, np.float64, np.complex64, np.complex128)
# Our word, SciPy's word.
BOUNDARIES = (
    ("symmetric", "reflect"),
    ("mirror", "mirror"),
    ("edge", "nearest"),
    ("wrap", "wrap"),
    ("constant", "constant"),
)


def image_of(rng: np.random.Generator, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        if info.bits == 64:  # SciPy computes in float64, so larger numbers are not exact anyway
            return rng.integers(0, 2**40, shape, dtype=dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)
    if np.issubdtype(dtype, np.complexfloating):
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def shape_of(rng: np.random.Generator) -> tuple[int, ...]:
    rank = int(rng.integers(1, 4))
    return tuple(int(n) for n in rng.integers(1, {1: 40, 2: 24, 3: 10}[rank], rank))


def same(ours: np.ndarray, theirs: np.ndarray, context: Any, scale: float = 0.0) -> None:
    assert ours.dtype == theirs.dtype, context
    assert ours.shape == theirs.shape, context
    if ours.dtype.kind in "biu":
        np.testing.assert_array_equal(ours, theirs, err_msg=str(context))
    else:
        scale = max(scale, float(np.abs(theirs).max(initial=0.0)))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * scale, err_msg=str(context))


def drawn(seed: int, dtype: type) -> tuple[np.random.Generator, np.ndarray, dict[str, Any], dict[str, Any]]:
    """Return an image, and keywords for us and for SciPy that mean the same."""
    rng = np.random.default_rng([seed, TYPES.index(dtype)])
    image = image_of(rng, dtype, shape_of(rng))
    if rng.random() < 0.3:
        return rng, image, {}, {}
    ours, theirs = BOUNDARIES[rng.integers(len(BOUNDARIES))]
    fill = int(rng.integers(0, 100)) if rng.random() < 0.5 else 0
    return rng, image, {"boundary": ours, "fill": fill}, {"mode": theirs, "cval": fill}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_gaussian(seed: int, dtype: type) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    for _ in range(3):
        sigma = rng.choice([0.0, 0.4, 1.0, 2.3], image.ndim).tolist() if rng.random() < 0.5 else float(rng.random() * 3)
        order = rng.integers(0, 3, image.ndim).tolist() if rng.random() < 0.4 else 0
        truncate = float(rng.choice([4.0, 2.0, 3.3]))
        if order != 0 and np.any(np.asarray(sigma) == 0):
            sigma = 1.0
        result = filters.gaussian(image, sigma, order=order, truncate=truncate, like="scipy", **ours)
        expected = ndimage.gaussian_filter(image, sigma, order=order, truncate=truncate, **theirs)
        same(result, expected, (image.shape, sigma, order, ours))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_box(seed: int, dtype: type) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    same(filters.box(image, like="scipy", **ours), ndimage.uniform_filter(image, **theirs), (image.shape, ours))
    for _ in range(3):
        size = rng.integers(1, 8, image.ndim).tolist() if rng.random() < 0.5 else int(rng.integers(1, 9))
        same(
            filters.box(image, size, like="scipy", **ours), ndimage.uniform_filter(image, size, **theirs), (image, size)
        )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["sobel", "prewitt"])
@pytest.mark.parametrize("seed", SEEDS)
def test_gradients(seed: int, name: str, dtype: type) -> None:
    _, image, ours, theirs = drawn(seed, dtype)
    function, peer = getattr(filters, name), getattr(ndimage, name)
    same(function(image, like="scipy", **ours), peer(image, **theirs), (image.shape, ours))
    for axis in range(-image.ndim, image.ndim):
        same(function(image, axis, like="scipy", **ours), peer(image, axis, **theirs), (image.shape, axis, ours))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_laplace_and_its_relatives(seed: int, dtype: type) -> None:
    rng, image, ours, theirs = drawn(seed, dtype)
    same(filters.laplace(image, like="scipy", **ours), ndimage.laplace(image, **theirs), (image.shape, ours))
    sigma = float(rng.choice([0.5, 1.0, 2.2]))
    same(
        filters.log(image, sigma, like="scipy", **ours),
        ndimage.gaussian_laplace(image, sigma, **theirs),
        (image.shape, sigma, ours),
    )
    with np.errstate(invalid="ignore"):  # SciPy's squares of signed integers wrap, also to negative ones
        expected = ndimage.gaussian_gradient_magnitude(image, sigma, **theirs)
    same(filters.gradient_magnitude(image, sigma, like="scipy", **ours), expected, (image.shape, sigma, ours))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("seed", SEEDS)
def test_axes_and_output_type(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    image = image_of(rng, dtype, tuple(int(n) for n in rng.integers(2, 9, 3)))
    axes = tuple(int(axis) for axis in rng.permutation(3)[: rng.integers(1, 4)])
    for wanted in (None, np.float64, np.int16, np.uint8):
        if wanted is not None and np.issubdtype(wanted, np.integer) and dtype is np.float32:
            continue
        same(
            filters.gaussian(image, 1.2, axes=axes, dtype=wanted, like="scipy"),
            ndimage.gaussian_filter(image, 1.2, axes=axes, output=wanted),
            (image.shape, axes, wanted),
        )
        same(
            filters.box(image, 3, axes=axes, dtype=wanted, like="scipy"),
            ndimage.uniform_filter(image, 3, axes=axes, output=wanted),
            (image.shape, axes, wanted),
        )


@pytest.mark.parametrize("seed", SEEDS[::2])
def test_our_own_filters_have_scipys_values_on_floats(seed: int) -> None:
    rng, image, ours, theirs = drawn(seed, np.float64)
    sigma = float(rng.random() * 3 + 0.2)
    axis = int(rng.integers(image.ndim))
    ours.pop("fill", None)
    theirs.pop("cval", None)
    pairs = [
        (filters.gaussian(image, sigma, **ours), ndimage.gaussian_filter(image, sigma, **theirs)),
        (filters.gaussian(image, sigma, order=1, **ours), ndimage.gaussian_filter(image, sigma, order=1, **theirs)),
        (filters.sobel(image, axis, **ours), ndimage.sobel(image, axis, **theirs)),
        (filters.laplace(image, **ours), ndimage.laplace(image, **theirs)),
        (filters.log(image, sigma, **ours), ndimage.gaussian_laplace(image, sigma, **theirs)),
        (filters.box(image, 4, **ours), ndimage.uniform_filter(image, 4, **theirs)),
    ]
    for result, expected in pairs:
        # SciPy's folded sums cancel exactly where ours leave a rounding error of the image's size.
        same(result, expected, (image.shape, sigma, axis, ours), float(np.abs(image).max()) * 1e-6)
