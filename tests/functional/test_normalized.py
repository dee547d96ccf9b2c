"""Filters that leave missing pixels out, against plain loops and against what must hold of them."""

import numpy as np
import pytest

from oracles.images import looped, looped_with_gaps
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.images import convolve, correlate

BOUNDARIES = ("constant", "edge", "symmetric", "mirror", "wrap")
ALGORITHMS = ("windows", "reference")
SMOOTH = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
SOBEL = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
SHARPEN = np.array([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kernel", [SMOOTH, SOBEL, SHARPEN, -SMOOTH, SMOOTH[:2, :]])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_masks_against_loops(kernel, boundary, algorithm):
    rng = np.random.default_rng(1)
    for share in (0.1, 0.5, 0.95):
        image = rng.standard_normal((7, 6))
        missing = rng.random((7, 6)) < share
        for mode in ("same", "full", "valid"):
            keywords = {"mode": mode, "boundary": boundary, "fill": 3.0}
            expected = looped_with_gaps(image, kernel, missing, **keywords)
            result = correlate(image, kernel, mask=~missing, algorithm=algorithm, **keywords)
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
            holed = np.where(missing, np.nan, image)
            np.testing.assert_array_equal(
                correlate(holed, kernel, nan="normalize", algorithm=algorithm, **keywords), result
            )


def test_nonnegative_kernels_give_normalised_convolution():
    """sum of w * (sum of w x over valid) / (sum of w over valid)."""
    rng = np.random.default_rng(2)
    image, mask = rng.random((12, 13)), rng.random((12, 13)) < 0.6
    kernel = rng.random((3, 5))
    weighed = correlate(np.where(mask, image, 0), kernel, boundary="wrap")
    certainty = correlate(mask.astype(float), kernel, boundary="wrap")
    result = correlate(image, kernel, mask=mask, boundary="wrap")
    np.testing.assert_allclose(result, kernel.sum() * weighed / certainty, rtol=1e-13)


@pytest.mark.parametrize("kernel", [SMOOTH, SOBEL, SHARPEN])
def test_a_constant_image_with_holes_is_a_constant_image(kernel):
    rng = np.random.default_rng(3)
    mask = rng.random((15, 15)) < 0.7
    image = np.where(mask, 5.0, -1e6)
    result = correlate(image, kernel, mask=mask)
    np.testing.assert_allclose(result[~np.isnan(result)], 5 * kernel.sum(), atol=1e-12)


def test_windows_without_holes_give_the_plain_bits():
    rng = np.random.default_rng(4)
    image = rng.standard_normal((20, 20)).astype(np.float32)
    mask = np.ones((20, 20), bool)
    mask[3, 4] = False
    for kernel in (SMOOTH.astype(np.float32), SOBEL.astype(np.float32)):
        plain, result = correlate(image, kernel), correlate(image, kernel, mask=mask)
        far = np.ones((20, 20), bool)
        far[2:5, 3:6] = False
        np.testing.assert_array_equal(result[far], plain[far])
        np.testing.assert_array_equal(correlate(image, kernel, mask=np.ones((20, 20), bool)), plain)


def test_masked_values_never_count():
    mask = np.array([True, False, True, True])
    for hidden in (np.nan, np.inf, 1e300):
        np.testing.assert_array_equal(correlate([1.0, hidden, 3.0, 5.0], [1, 1, 1], mask=mask)[:2], [3.0, 6.0])


def test_nan_beside_a_mask_still_spreads_unless_it_is_missing_too():
    image, mask = np.array([1.0, np.nan, 3.0, 4.0, 5.0]), np.array([True, True, True, True, False])
    assert np.isnan(correlate(image, [1, 1, 1], mask=mask)).tolist() == [True, True, True, False, False]
    assert not np.isnan(correlate(image, [1, 1, 1], mask=mask, nan="normalize")).any()


def test_infinity_is_a_value():
    image = np.array([1.0, np.nan, np.inf, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(correlate(image, [1, 1, 1], nan="normalize"), [3.0, np.inf, np.inf, np.inf, 6.0, 6.0])


def test_where_all_taps_meet_missing_pixels_there_is_nothing():
    image = np.array([1.0, np.nan, np.nan, np.nan, 5.0])
    np.testing.assert_array_equal(correlate(image, [1, 1, 1], nan="normalize"), [3.0, 3.0, np.nan, 15.0, 15.0])
    # A zero tap on a valid pixel is no support.
    np.testing.assert_array_equal(correlate([np.nan, 2.0, np.nan], [1, 0, 1], nan="normalize", mode="valid"), [np.nan])


def test_in_integers_nothing_is_the_fill():
    image, mask = np.array([10, 0, 0, 0, 50], np.uint8), np.array([True, False, False, False, True])
    keywords = {"mask": mask, "dtype": np.uint8}
    np.testing.assert_array_equal(correlate(image, [1, 1, 1], **keywords), [30, 30, 0, 150, 150])
    np.testing.assert_array_equal(correlate(image, [1, 1, 1], fill=9, **keywords), [30, 30, 9, 150, 150])
    with pytest.raises(InvalidArgument, match="the result holds NaN, which uint8 cannot"):
        correlate(image, [1, 1, 1], fill=np.nan, nan="normalize", **keywords)


def test_a_kernel_of_zeros_has_no_support_to_miss():
    np.testing.assert_array_equal(correlate([np.nan, 1.0], [0, 0, 0], nan="normalize"), [0.0, 0.0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kernel", [SMOOTH, SOBEL])
def test_a_nan_fill_makes_the_outside_missing(kernel, dtype):
    rng = np.random.default_rng(5)
    image = rng.standard_normal((5, 6)).astype(dtype)
    missing = rng.random((5, 6)) < 0.3
    for mode in ("same", "full"):
        keywords = {"mode": mode, "boundary": ("constant", ("constant", "wrap"))}
        expected = looped_with_gaps(image, kernel, missing, outside_missing=True, **keywords)
        holed = np.where(missing, np.nan, image)
        result = correlate(holed, kernel.astype(dtype), nan="normalize", fill=np.nan, **keywords)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_a_nan_fill_renormalises_the_border_of_whole_images():
    np.testing.assert_allclose(
        correlate(np.ones((4, 5), np.uint8), SMOOTH, boundary="constant", fill=np.nan, nan="normalize"), 1, rtol=1e-6
    )


def test_integer_images_give_floats_under_a_mask():
    for image, expected in (("uint8", "float32"), ("int16", "float32"), ("int32", "float64"), ("bool", "float32")):
        assert correlate(np.ones(4, image), [1, 1], mask=np.ones(4, bool)).dtype == expected
    # Nothing can be missing in an image of integers without a mask: they stay exact integers.
    assert correlate(np.ones(4, np.uint8), [1, 1], nan="normalize").dtype == np.int32
    assert correlate(np.ones(4, np.float32), [1.0], mask=np.ones(4, bool), dtype=np.uint8).dtype == np.uint8


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_convolve_flips_what_correlate_does_not(algorithm):
    rng = np.random.default_rng(6)
    image, mask = rng.standard_normal((6, 7)), rng.random((6, 7)) < 0.7
    kernel = rng.random((3, 3))
    np.testing.assert_allclose(
        convolve(image, kernel, mask=mask, algorithm=algorithm), correlate(image, kernel[::-1, ::-1], mask=mask)
    )


def test_stride_and_dilation_work_with_masks():
    rng = np.random.default_rng(7)
    image, mask = rng.standard_normal((9, 11)), rng.random((9, 11)) < 0.7
    spread = np.zeros((5, 5))
    spread[::2, ::2] = SMOOTH
    whole = correlate(image, spread, mask=mask)
    np.testing.assert_array_equal(correlate(image, SMOOTH, mask=mask, dilation=2, stride=(2, 3)), whole[::2, ::3])


@pytest.mark.parametrize("place", [-1, 0, 1])
def test_a_mask_may_leave_the_channel_axis_away(place):
    rng = np.random.default_rng(8)
    photo, mask = rng.random((6, 7, 3)), rng.random((6, 7)) < 0.6
    expected = np.stack([correlate(photo[..., c], SMOOTH, mask=mask) for c in range(3)], axis=place)
    moved = np.moveaxis(photo, -1, place)
    full = np.broadcast_to(np.expand_dims(mask, place), moved.shape)
    for given in (mask, np.expand_dims(mask, place), full):
        np.testing.assert_array_equal(correlate(moved, SMOOTH, channel_axis=place, mask=given), expected)


def test_complex_images_and_kernels():
    rng = np.random.default_rng(9)
    image = rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6))
    missing = rng.random((6, 6)) < 0.3
    holed = np.where(missing, np.nan, image)
    result = correlate(holed, SOBEL, nan="normalize")
    np.testing.assert_allclose(result.real, correlate(image.real, SOBEL, mask=~missing), atol=1e-12)
    np.testing.assert_allclose(result.imag, correlate(image.imag, SOBEL, mask=~missing), atol=1e-12)
    turned = correlate(np.where(missing, np.nan, image.real), SMOOTH * 1j, nan="normalize")
    np.testing.assert_allclose(turned, 1j * correlate(image.real, SMOOTH, mask=~missing), atol=1e-12)


def test_an_image_of_nothing_but_gaps():
    assert np.isnan(correlate(np.full((3, 3), np.nan), SMOOTH, nan="normalize")).all()
    assert correlate(np.zeros((0, 3)), SMOOTH, mask=np.zeros((0, 3), bool)).shape == (0, 3)


def test_without_gaps_nothing_changes():
    image = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(correlate(image, SOBEL, nan="normalize"), looped(image, SOBEL).astype(float))


@pytest.mark.parametrize(
    ("mask", "keywords", "kind", "message"),
    [
        (np.ones((4, 5)), {}, InvalidType, "mask must be boolean, True where a pixel is valid, got float64; pass mask"),
        (np.ones((5, 4), bool), {}, InvalidArgument, r"mask must have the shape of the image \(4, 5\), got \(5, 4\)"),
        (True, {}, InvalidArgument, r"mask must have the shape of the image \(4, 5\), got \(\)"),
        (
            np.ones(5, bool),
            {"channel_axis": 1, "axes": 0},
            InvalidArgument,
            r"shape of the image \(4, 5\), with or without the channel axis, got \(5,\)",
        ),
    ],
)
def test_masks_that_are_refused(mask, keywords, kind, message):
    kernel = [1, 1] if keywords else [[1, 1]]
    with pytest.raises(kind, match=message):
        correlate(np.zeros((4, 5)), kernel, mask=mask, **keywords)


@pytest.mark.parametrize("signed", [True, False])
def test_large_kernels_know_where_nothing_is(signed):
    """However their sums are formed: transforms round sums of nothing to small numbers."""
    rng = np.random.default_rng(5)
    image, kernel = rng.random((150, 150)).astype(np.float32), rng.standard_normal((40, 40)).astype(np.float32)
    kernel = kernel if signed else abs(kernel)
    valid = np.ones(image.shape, bool)
    valid[20:120, 20:120] = False
    got = correlate(image, kernel, mask=valid)
    expected = correlate(image.astype(np.float64), kernel.astype(np.float64), mask=valid, algorithm="windows")
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.nanmax(abs(expected)))
