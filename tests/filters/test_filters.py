"""Filters against plain loops with the whole kernel, whatever passes they are computed in; and the deck's numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from oracles.images import looped, looped_with_gaps
from striderule import filters, kernels
from striderule.algorithms import table
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import planned
from striderule.functional.images import convolve, correlate
from striderule.planning.machine import Machine

DECK = json.loads((Path(__file__).parents[1] / "data" / "deck-values.json").read_text("utf-8"))
BOUNDARIES = ("constant", "edge", "symmetric", "mirror", "wrap")

# name: (the filter, the kernel that it stands for) on an image of `rank` axes
ANY_RANK = {
    "gaussian": (lambda x, **k: filters.gaussian(x, 0.8, **k), lambda n: kernels.gaussian(0.8, ndim=n)),
    "gaussian, size": (lambda x, **k: filters.gaussian(x, 1, size=4, **k), lambda n: kernels.gaussian(1, 4, ndim=n)),
    "gaussian, order": (
        lambda x, **k: filters.gaussian(x, 0.7, order=1, **k),
        lambda n: kernels.gaussian(0.7, order=1, ndim=n),
    ),
    "box": (lambda x, **k: filters.box(x, 3, **k), lambda n: kernels.box(3, n)),
    "box, even": (lambda x, **k: filters.mean(x, 2, **k), lambda n: kernels.box(2, n)),
    "sobel": (lambda x, **k: filters.sobel(x, -1, **k), lambda n: kernels.sobel(-1, n)),
    "sobel, slope": (
        lambda x, **k: filters.sobel(x, 0, normalize=True, **k),
        lambda n: kernels.sobel(0, n, normalize=True),
    ),
    "scharr": (lambda x, **k: filters.scharr(x, 0, **k), lambda n: kernels.scharr(0, n)),
    "prewitt": (lambda x, **k: filters.prewitt(x, -1, **k), lambda n: kernels.prewitt(-1, n)),
    "laplace": (filters.laplace, kernels.laplace),
    "laplace, all": (
        lambda x, **k: filters.laplace(x, connectivity=x.ndim, **k),
        lambda n: kernels.laplace(n, connectivity=n),
    ),
    "log": (lambda x, **k: filters.log(x, 0.7, **k), lambda n: kernels.log(0.7, ndim=n)),
    "sharpen": (filters.sharpen, lambda n: kernels.sharpen(1, n)),
}
PLANE = {
    "roberts 0": (lambda x, **k: filters.roberts(x, 0, **k), lambda _: kernels.roberts(0)),
    "roberts 1": (lambda x, **k: filters.roberts(x, 1, **k), lambda _: kernels.roberts(1)),
    "emboss": (filters.emboss, lambda _: kernels.emboss()),
    "motion": (lambda x, **k: filters.motion(x, 4, 30, **k), lambda _: kernels.motion(4, 30)),
}
# These are combinations of weighted means; each mean goes around missing pixels by itself.
COMPOSED = {
    "dog": (lambda x, **k: filters.dog(x, 0.5, 0.9, **k), lambda n: kernels.dog(0.5, 0.9, ndim=n)),
    "unsharp": (lambda x, **k: filters.unsharp_mask(x, 0.6, 1.5, **k), lambda n: kernels.unsharp(0.6, 1.5, ndim=n)),
}
EVERY = {**ANY_RANK, **PLANE, **COMPOSED}


def draw(name, seed):
    """Return (filter, kernel, image, keywords) of a small random case."""
    rng = np.random.default_rng([seed, list(EVERY).index(name)])
    rank = 2 if name in PLANE else int(rng.integers(1, 4))
    image = rng.standard_normal(tuple(int(n) for n in rng.integers(1, (12, 7, 4)[rank - 1], rank)))
    words = tuple(
        tuple(rng.choice(BOUNDARIES, 2).tolist()) if rng.random() < 0.5 else str(rng.choice(BOUNDARIES))
        for _ in range(rank)
    )
    function, kernel = EVERY[name]
    boundary = words if rng.random() < 0.7 else str(rng.choice(BOUNDARIES))
    return function, kernel(rank), image, {"boundary": boundary, "fill": float(rng.integers(-2, 3))}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("seed", range(6))
def test_against_loops(name, seed):
    function, kernel, image, keywords = draw(name, seed)
    expected = looped(image, kernel, **keywords).astype(float)
    result = function(image, **keywords)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_the_reference_algorithm_agrees(name):
    function, _, image, keywords = draw(name, 9)
    image = image[tuple(slice(0, 5) for _ in image.shape)]
    np.testing.assert_allclose(
        function(image, algorithm="reference", **keywords), function(image, **keywords), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("name", {**ANY_RANK, **PLANE})
@pytest.mark.parametrize("seed", range(4))
def test_missing_pixels_against_loops(name, seed):
    function, kernel, image, keywords = draw(name, seed)
    missing = np.random.default_rng(seed).random(image.shape) < (0.1, 0.5, 0.9, 1.0)[seed]
    expected = looped_with_gaps(image, kernel, missing, **keywords)
    result = function(image, mask=~missing, **keywords)
    np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-11)
    holed = np.where(missing, np.nan, image)
    np.testing.assert_allclose(function(holed, nan="normalize", **keywords), result, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", {**ANY_RANK, **PLANE})
def test_a_missing_outside_against_loops(name):
    function, kernel, image, _ = draw(name, 3)
    missing = np.zeros(image.shape, bool)
    expected = looped_with_gaps(image, kernel, missing, outside_missing=True, boundary="constant")
    result = function(image, nan="normalize", fill=np.nan, boundary="constant")
    np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-11)


def test_composed_filters_go_around_gaps_blur_by_blur():
    rng = np.random.default_rng(4)
    image, mask = rng.random((12, 11)), rng.random((12, 11)) < 0.7
    wide, narrow = filters.gaussian(image, 2, mask=mask), filters.gaussian(image, 1, mask=mask)
    np.testing.assert_array_equal(filters.dog(image, 1, 2, mask=mask), narrow - wide)
    sharp = filters.unsharp_mask(image, 2, 0.5, mask=mask)
    np.testing.assert_allclose(sharp, np.where(mask, image + 0.5 * (image - wide), wide), rtol=1e-14)


def test_nan_spreads_as_far_as_the_weights():
    image = np.zeros((9, 9))
    image[4, 4] = np.nan
    assert np.isnan(filters.box(image, 3)).sum() == 9
    assert np.isnan(filters.sobel(image, 1)).sum() == 6  # its middle column weighs nothing
    assert np.isnan(filters.laplace(image)).sum() == 5
    assert not np.isnan(filters.gaussian(image, 1, nan="normalize")).any()


INTEGERS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float32", "float64", "complex64", "complex128"])
def test_result_types(dtype, monkeypatch):
    """Types are decided before anything is computed, so NumPy will do: every other test is of values."""
    monkeypatch.setattr(table, "generated", lambda name: None)
    monkeypatch.setattr(planned, "machine", lambda: Machine.of("avx2", generated=False))
    image = np.ones((5, 6), dtype)
    kept = (filters.gaussian(image, 1), filters.box(image, 3), filters.motion(image, 3), filters.sharpen(image))
    assert {result.dtype for result in (*kept, filters.unsharp_mask(image), filters.emboss(image))} == {image.dtype}
    signed = np.dtype({"b": "f4", "i": "f4", "u": "f4"}.get(image.dtype.kind, dtype))
    if dtype in ("int32", "uint32", "int64", "uint64"):
        signed = np.dtype(np.float64)
    results = (filters.sobel(image, 0), filters.laplace(image), filters.log(image, 1), filters.dog(image, 1))
    assert {result.dtype for result in (*results, filters.gaussian(image, 1, order=1))} == {signed}
    length = np.dtype({"complex64": "f4", "complex128": "f8"}.get(dtype, signed))
    lengths = (filters.sobel(image), filters.roberts(image), filters.gradient_magnitude(image, 1))
    assert {result.dtype for result in lengths} == {length}
    wide = signed in (np.float64, np.complex128)
    assert filters.gabor(image, 0.2).dtype == (np.complex128 if wide else np.complex64)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_integers_are_rounded_once_half_to_even_and_saturated(dtype):
    rng = np.random.default_rng(6)
    info = np.iinfo(dtype)
    image = rng.integers(info.min, info.max, (9, 8), dtype=dtype, endpoint=True)
    exact = looped(image, np.ones((2, 2), int), fill=0)
    expected = [[round(total / 4) for total in row] for row in exact.tolist()]  # Python rounds half to even too
    np.testing.assert_array_equal(filters.box(image, 2), expected)
    sharp = looped(image, kernels.sharpen().astype(int))
    np.testing.assert_array_equal(filters.sharpen(image), np.clip(sharp, info.min, info.max).astype(dtype))
    wrapped = filters.sharpen(image, overflow="wrap")
    np.testing.assert_array_equal(wrapped, sharp.astype(np.int64).astype(dtype))
    np.testing.assert_array_equal(filters.sobel(image, 0, dtype="int64"), looped(image, kernels.sobel(0).astype(int)))


def test_smoothing_keeps_even_areas():
    for dtype in INTEGERS[1:]:
        top = np.iinfo(dtype).max if np.dtype(dtype).itemsize < 8 else 2**52
        image = np.full((9, 9), top, dtype)
        for result in (filters.gaussian(image, 1.7), filters.box(image, 5), filters.motion(image, 5, 20)):
            np.testing.assert_array_equal(result, image)


def test_axes_and_channels():
    rng = np.random.default_rng(7)
    stack = rng.random((3, 7, 2, 8))
    result = filters.gaussian(stack, (1, 2), axes=(1, 3), boundary=("wrap", "edge"))
    for t in range(3):
        for c in range(2):
            expected = filters.gaussian(stack[t, :, c], (1, 2), boundary=("wrap", "edge"))
            np.testing.assert_allclose(result[t, :, c], expected, rtol=1e-13)
    turned = filters.gaussian(stack, (2, 1), axes=(-1, 1), boundary=("edge", "wrap"))
    np.testing.assert_allclose(turned, result, rtol=1e-13)
    colour = rng.integers(0, 256, (6, 7, 3), np.uint8)
    red = filters.sobel(colour, axis=1, channel_axis=-1)[..., 0]
    np.testing.assert_array_equal(red, filters.sobel(colour[..., 0], axis=1))
    np.testing.assert_array_equal(filters.emboss(colour, axes=(0, 1)), filters.emboss(colour, channel_axis=2))
    mask = rng.random((6, 7)) < 0.6
    once = filters.gaussian(colour, 1, channel_axis=-1, mask=mask)[..., 1]
    np.testing.assert_array_equal(once, filters.gaussian(colour[..., 1], 1, mask=mask))


@pytest.mark.parametrize("name", EVERY)
def test_unusual_memory(name):
    function, _, image, keywords = draw(name, 2)
    expected = function(image, **keywords)
    backwards = image[tuple(slice(None, None, -1) for _ in image.shape)].copy()
    backwards = backwards[tuple(slice(None, None, -1) for _ in image.shape)]
    swapped = image.astype(image.dtype.newbyteorder())
    locked = np.asfortranarray(image)
    locked.setflags(write=False)
    for other in (backwards, swapped, locked):
        result = function(other, **keywords)
        assert result.dtype.isnative
        np.testing.assert_allclose(result, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", EVERY)
def test_empty_images(name):
    function, _ = EVERY[name]
    image = np.zeros((0, 4), np.float32)
    assert function(image, boundary="constant").shape == (0, 4)


def test_out_is_written_and_checked():
    image = np.arange(20, dtype=np.uint8).reshape(4, 5)
    out = np.empty((4, 5), np.uint8)
    assert filters.gaussian(image, 1, out=out) is out
    np.testing.assert_array_equal(out, filters.gaussian(image, 1))
    out = np.empty((4, 5), np.float32)
    assert filters.sobel(image, out=out) is out
    with pytest.raises(InvalidArgument, match="out must have the type of the result float32, got uint8"):
        filters.sobel(image, out=np.empty((4, 5), np.uint8))
    with pytest.raises(InvalidArgument, match="out overlaps an input"):
        filters.gaussian(image[1:], 1, out=image[:-1])
    with pytest.raises(InvalidArgument, match="out must have the shape of the result"):
        filters.gaussian(image, 1, out=np.empty((5, 4), np.uint8))


def test_lengths_of_gradients():
    image = np.random.default_rng(8).random((5, 6, 7))
    parts = [filters.sobel(image, axis) for axis in range(3)]
    np.testing.assert_allclose(filters.sobel(image), np.sqrt(sum(part**2 for part in parts)), rtol=1e-13)
    np.testing.assert_allclose(filters.sobel(image, (0, 2)), np.hypot(parts[0], parts[2]), rtol=1e-13)
    np.testing.assert_array_equal(filters.sobel(image[0, 0]), np.abs(filters.sobel(image[0, 0], 0)))
    parts = [filters.gaussian(image, 1, order=tuple(np.eye(3, dtype=int)[axis])) for axis in range(3)]
    np.testing.assert_allclose(filters.gradient_magnitude(image, 1), filters.magnitude(*parts), rtol=1e-13)


def test_magnitude_of_integers_is_exact_first():
    left, right = np.array([30000], np.int16), np.array([-40000], np.int32)
    assert filters.magnitude(left, right) == [50000]
    assert filters.magnitude(np.array([3], np.uint8), np.array([4], np.uint8)).dtype == np.float32
    assert filters.magnitude(np.array([3 + 4j])) == [5]
    assert filters.magnitude(np.array([-2.0], np.float16)).dtype == np.float16
    with pytest.raises(InvalidArgument, match="at least one component"):
        filters.magnitude()
    with pytest.raises(InvalidArgument, match="must have one shape"):
        filters.magnitude(np.ones(2), np.ones(3))


def test_gabor_is_a_correlation_with_its_kernel():
    rng = np.random.default_rng(9)
    image = rng.random((15, 14))
    kernel = kernels.gabor(0.3, 0.5)
    expected = looped(image, kernel.real).astype(float) + 1j * looped(image, kernel.imag).astype(float)
    np.testing.assert_allclose(filters.gabor(image, 0.3, 0.5), expected, rtol=1e-12, atol=1e-13)
    with pytest.raises(InvalidType, match="would lose the imaginary part"):
        filters.gabor(image, 0.3, dtype=np.float64)


def test_the_decks_edges():
    """Chapter 10: SciPy's convolution turns the signs of the textbook kernels."""
    chapter = DECK["10"]
    image = np.zeros((100, 100))
    image[20:80, 20:80] = 1
    down, right = filters.sobel(image, 0), filters.sobel(image, 1)
    np.testing.assert_array_equal(kernels.sobel(0), chapter["horizontal_kernel"])
    np.testing.assert_array_equal(kernels.sobel(1), chapter["vertical_kernel"])
    np.testing.assert_array_equal(-down[18:23, 50], chapter["horizontal_rows_18_to_22_column_50"])
    np.testing.assert_array_equal(-down[78:83, 50], chapter["horizontal_rows_78_to_82_column_50"])
    np.testing.assert_array_equal(-right[50, 18:23], chapter["vertical_row_50_columns_18_to_22"])
    np.testing.assert_array_equal(-down, convolve(image, kernels.sobel(0)))
    for length in (filters.magnitude(down, right), filters.sobel(image)):
        np.testing.assert_allclose(length[18:22, 18:22], chapter["magnitude_corner_rows_18_to_21_columns_18_to_21"])
        assert length.sum() == pytest.approx(chapter["magnitude_sum"])
        assert length.max() == pytest.approx(chapter["magnitude_max"])


def test_the_decks_blur():
    """Chapter 11."""
    chapter = DECK["11"]
    np.testing.assert_allclose(kernels.gaussian(1, size=5), chapter["kernel"], rtol=1e-14)
    np.random.seed(0)
    blurred = filters.gaussian(np.random.rand(100, 100), 1, size=5)
    np.testing.assert_allclose(blurred[:3, :5], chapter["blurred_rows_0_to_2_columns_0_to_4"], rtol=1e-13)
    assert blurred.mean() == pytest.approx(chapter["blurred_mean"])
    assert blurred.std() == pytest.approx(chapter["blurred_std"])


def test_the_decks_bank():
    """Chapter 6."""
    image = np.array(DECK["1"]["image"])
    maps = filters.bank(image, [kernels.edge(), kernels.sharpen(), kernels.box(3)], mode="valid")
    np.testing.assert_allclose(maps, DECK["6"]["results"], rtol=1e-14)
    np.testing.assert_allclose(filters.bank(image, np.array(DECK["6"]["kernels"]), mode="valid"), maps)


def test_bank_of_kernels():
    rng = np.random.default_rng(10)
    image = rng.integers(0, 256, (9, 8), np.uint8)
    each = [kernels.sobel(0), kernels.sobel(1), kernels.box(5)]
    maps = filters.bank(image, each, boundary="mirror", stride=2)
    for kernel, found in zip(each, maps, strict=True):
        np.testing.assert_array_equal(found, correlate(image, kernel, boundary="mirror", stride=2))
    assert filters.bank(image, each[:2]).dtype == np.int32
    out = np.empty((2, 9, 8), np.int32)
    assert filters.bank(image, each[:2], out=out) is out
    np.testing.assert_array_equal(out[1], correlate(image, each[1]))
    with pytest.raises(InvalidArgument, match="at least one kernel"):
        filters.bank(image, [])
    with pytest.raises(InvalidArgument, match="got a single number"):
        filters.bank(image, np.array(3))
    with pytest.raises(InvalidArgument, match="must have one shape"):
        filters.bank(image, each, mode="valid")
    with pytest.raises(InvalidArgument, match="out must have the shape"):
        filters.bank(image, each[:2], out=out[:1])


def test_first_argument_by_keyword():
    image = np.ones((3, 3))
    np.testing.assert_array_equal(filters.gaussian(input=image, sigma=1), filters.gaussian(image, 1))
    with pytest.raises(InvalidType, match="got both 'image' and 'input'"):
        filters.laplace(image, input=image)


X = np.ones((4, 5, 3), np.uint8)
REFUSED = [
    (lambda: filters.gaussian(X, 1, mode="nearest"), "gaussian has no argument 'mode'; write boundary="),
    (lambda: filters.sobel(X, cval=1), "sobel has no argument 'cval'; write fill="),
    (lambda: filters.laplace(X, ksize=3), "laplace has no argument 'ksize'; write size="),
    (lambda: filters.box(X, 3, sgma=1), "box has no argument 'sgma'; it has image, size, like, boundary, fill"),
    (lambda: filters.gaussian(X, 1, boundary="reflect"), "'reflect' means two things"),
    (lambda: filters.gaussian(X, 1, boundary=("edge", "wrap")), "one entry for each of the 3 axes"),
    (lambda: filters.gaussian(X), "gaussian needs sigma"),
    (lambda: filters.box(X), "box needs size"),
    (lambda: filters.gaussian(X, (1, 2)), "sigma must be one number or one for each of the 3 axes"),
    (lambda: filters.gaussian(X, -1, channel_axis=-1), "sigma must be at least 0"),
    (lambda: filters.emboss(X), "emboss filters 2 axes, but 3 of the image of shape .* name them with axes="),
    (lambda: filters.roberts(X, 2), r"axis must be 0 \(down to the right\), 1 \(down to the left\) or None, got 2"),
    (lambda: filters.sobel(X, 3), "axis must be from -3 to 2 for an image of 3 axes, got 3"),
    (lambda: filters.sobel(X, 2, channel_axis=2), r"axis must be among the axes that are filtered, \(0, 1\), got 2"),
    (lambda: filters.sobel(X, (0, 0)), r"axis must name different axes, at least one, got \(0, 0\)"),
    (lambda: filters.sobel(X, axes=(0, 0)), "axes must name each axis once"),
    (lambda: filters.sobel(X, axes=(0, 2), channel_axis=2), "axes must not name the channel axis"),
    (lambda: filters.sobel(X, nan="omit"), "nan must be 'propagate' or 'normalize', got 'omit'"),
    (lambda: filters.sobel(X, overflow="clip"), "overflow must be 'saturate' or 'wrap'"),
    (lambda: filters.sobel(X, mask=np.ones(X.shape)), "mask must be boolean"),
    (lambda: filters.sobel(X, mask=np.ones((4, 4), bool)), "mask must have the shape of the image"),
    (lambda: filters.sobel(X, fill=0.5), "fill=0.5 is not a value of an image of uint8"),
    (lambda: filters.sobel(X, algorithm="magic"), "algorithm"),
    (lambda: filters.sobel(X, precision="low"), "precision"),
    (lambda: filters.dog(X, 2, 1), "sigma2 must be at least sigma1"),
    (lambda: filters.laplace(3), "image must have at least one axis"),
    (lambda: filters.laplace(np.array(["a"])), "image has the element type"),
    (lambda: filters.box(np.full((3, 3), np.nan), 3, dtype=np.uint8), "the result holds NaN"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refusals(call, message):
    with pytest.raises((InvalidArgument, InvalidType), match=message):
        call()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_calls_like_an_earlier_one_give_the_same(dtype):
    rng = np.random.default_rng(4)
    for op, word in ((filters.gaussian, 1.5), (filters.box, 5)):
        for words in ({}, {"boundary": ("edge", "wrap"), "axes": (1, 0)}, {"nan": "normalize"}, {"channel_axis": -1}):
            for _ in range(3):
                image = (rng.random((40, 30, 3) if "channel_axis" in words else (40, 30)) * 200).astype(dtype)
                if dtype != "uint8" and "nan" in words:
                    image[rng.random(image.shape) < 0.1] = np.nan
                expected = op(image.copy(), [word, word], algorithm="windows", **words)
                got = op(image, word, **words)
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1 if dtype == "uint8" else 1e-4)
                out = np.empty_like(got)
                assert op(image, word, out=out, **words) is out
                assert np.array_equal(out, got)
                assert op(image, word, out=image, **words) is image  # in place
                assert np.array_equal(image, got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (9,), (3, 7, 2), (40,)])
def test_kernels_much_longer_than_the_image_along_one_axis(shape, dtype):
    """Symmetric taps are added first; sums that are halved for that, lest they overflow, are doubled again."""
    x = np.random.default_rng(3).normal(size=shape).astype(dtype)
    for words in ({}, {"boundary": "constant", "fill": 2}):
        result, exact = (
            filters.gaussian(x.astype(one), 3, algorithm=way, **words)
            for one, way in ((dtype, None), ("float64", "windows"))
        )
        np.testing.assert_allclose(result, exact, rtol=0, atol=2e-6 if dtype == "float32" else 1e-14)
