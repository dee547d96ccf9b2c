"""The numbers of image filters: types, exact integers, rounding, `out`."""

import numpy as np
import pytest

from oracles.images import looped
from striderule.errors import InvalidArgument, InvalidType, UnprovenRange
from striderule.functional.images import convolve, correlate

LISTS = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]


@pytest.mark.parametrize(
    ("image", "kernel", "expected"),
    [
        ("bool", "bool", "int32"),
        ("uint8", "int8", "int32"),
        ("uint16", "int16", "int32"),
        ("uint8", "int64", "int64"),
        ("int32", "int8", "int64"),
        ("uint64", "int8", "int64"),
        ("bool", "float64", "float32"),
        ("uint8", "float64", "float32"),
        ("int16", "float16", "float32"),
        ("int32", "float32", "float64"),
        ("uint64", "float32", "float64"),
        ("uint8", "complex128", "complex64"),
        ("int64", "complex64", "complex128"),
        ("float16", "float16", "float16"),
        ("float16", "float32", "float32"),
        ("float32", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("float32", "int8", "float32"),
        ("float32", "int64", "float64"),
        ("float64", "float32", "float64"),
        ("float32", "complex64", "complex64"),
        ("float64", "complex64", "complex128"),
        ("complex64", "float32", "complex64"),
        ("complex64", "float64", "complex128"),
    ],
)
def test_result_types(image, kernel, expected):
    for algorithm in ("windows", "reference"):
        result = correlate(np.ones(4, image), np.ones(3, kernel), algorithm=algorithm)
        assert result.dtype == expected
        np.testing.assert_array_equal(result, 3)


@pytest.mark.parametrize("kernel", [[1, 1, 1], [1.0, 1.0, 1.0], (1, True, np.float64(1.0))])
@pytest.mark.parametrize("image", ["float16", "float32", "float64", "complex64"])
def test_nested_lists_widen_no_float_image(image, kernel):
    result = correlate(np.ones(4, image), kernel)
    assert result.dtype == image
    np.testing.assert_array_equal(result, 3)


def test_nested_lists_of_integers_widen_no_integer_image():
    assert correlate(np.ones((3, 3), np.uint8), LISTS).dtype == np.int32
    assert correlate(np.ones((3, 3), np.int64), LISTS).dtype == np.int64


def test_nested_lists_of_complex_numbers_keep_the_precision():
    assert correlate(np.ones(3, np.float32), [1j]).dtype == np.complex64
    assert correlate(np.ones(3, np.float16), [1j]).dtype == np.complex64
    assert correlate(np.ones(3, np.float64), [1j]).dtype == np.complex128


def test_integers_stay_exact_where_floats_would_not():
    image = np.array([2**53 + 1, -(2**60) - 1, 3], np.int64)
    np.testing.assert_array_equal(correlate(image, [1, 2], mode="valid"), [2**53 + 1 - 2**61 - 2, -(2**60) - 1 + 6])


def test_sums_that_might_not_fit_int32_are_widened():
    image, kernel = np.full(8, 65535, np.uint16), np.full(5, 32767, np.int16)
    result = correlate(image, kernel, mode="valid")
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result, 5 * 65535 * 32767)
    # The type depends on the kernel, never on the pixels.
    assert correlate(np.zeros(8, np.uint16), kernel).dtype == np.int64


def test_sums_that_might_not_fit_int64_are_refused_with_a_way_out():
    image = np.array([2**62, 2**62, 1], np.int64)
    with pytest.raises(UnprovenRange, match=r"largest pixel 4611686018427387904 .*pass dtype=numpy\.float64"):
        correlate(image, [1, 1])
    np.testing.assert_array_equal(correlate(image, [1, 1], mode="valid", dtype=np.float64), [2.0**63, 2.0**62])
    with pytest.raises(UnprovenRange):
        correlate(np.array([2**63], np.uint64), [1])
    assert correlate(np.array([2**62], np.uint64), [1]).tolist() == [2**62]
    with pytest.raises(UnprovenRange):
        correlate(np.array([1, 0], np.int64), [2**62], boundary="constant", fill=2**62)


def test_booleans_are_counted():
    image = np.array([True, True, False, True])
    np.testing.assert_array_equal(correlate(image, [True, True, True], boundary="constant"), [2, 2, 2, 1])
    np.testing.assert_array_equal(
        correlate(image, [True] * 3, boundary="constant", dtype=bool), [True, True, True, True]
    )


def test_dtype_rounds_half_to_even_and_saturates():
    image = np.array([1, 3, 5, 200, 255], np.uint8)
    np.testing.assert_array_equal(correlate(image, [0.5], dtype=np.uint8), [0, 2, 2, 100, 128])
    np.testing.assert_array_equal(correlate(image, [2.0], dtype=np.uint8), [2, 6, 10, 255, 255])
    np.testing.assert_array_equal(correlate(image, [-2], dtype=np.int8), [-2, -6, -10, -128, -128])


def test_overflow_wraps_when_asked():
    image = np.array([1, 200], np.uint8)
    np.testing.assert_array_equal(correlate(image, [2], dtype=np.uint8, overflow="wrap"), [2, 144])
    np.testing.assert_array_equal(correlate(image, [2.0], dtype=np.uint8, overflow="wrap"), [2, 144])
    np.testing.assert_array_equal(correlate(image, [-1], dtype=np.uint8, overflow="wrap"), [255, 56])


def test_a_wider_dtype_is_computed_wider():
    image, kernel = np.array([1, 3], np.uint8), np.array([1 / 3])
    result = correlate(image, kernel, dtype=np.float64)
    np.testing.assert_array_equal(result, np.array([1, 3]) * (1 / 3))
    single = correlate(np.array([1e30], np.float32), [1e10], dtype=np.float64)
    assert single[0] == pytest.approx(1e40, rel=1e-7)
    assert correlate(image, [1, 1], dtype=np.complex64).dtype == np.complex64
    assert correlate(image, [1, 1], dtype="<f4").dtype == np.float32


def test_float16_is_computed_in_float32():
    image = np.array([60000, 60000, -60000], np.float16)
    np.testing.assert_array_equal(correlate(image, [1.0, 1.0, 1.0], mode="valid"), np.array([60000], np.float16))
    assert correlate(image, [1.0, 1.0], mode="valid")[0] == np.inf


def test_nan_does_not_become_an_integer():
    with pytest.raises(InvalidArgument, match="the result holds NaN, which uint8 cannot"):
        correlate([1.0, np.nan], [1.0], dtype=np.uint8)


def test_a_real_dtype_is_refused_for_a_complex_result():
    with pytest.raises(InvalidType, match=r"dtype=float32 would lose the imaginary part of a complex64 result; take"):
        correlate(np.ones(3, np.complex64), [1.0], dtype=np.float32)


def test_taps_beyond_the_arithmetic_are_refused():
    with pytest.raises(InvalidArgument, match=r"taps beyond the range of float32.*dtype=numpy\.float64"):
        correlate(np.ones(3, np.uint8), [1e300])
    assert correlate(np.ones(1, np.uint8), [1e300], dtype=np.float64)[0] == 1e300


@pytest.mark.parametrize("tap", [np.nan, np.inf, -np.inf, complex(0, np.inf)])
def test_taps_must_be_finite(tap):
    with pytest.raises(InvalidArgument, match="kernel must hold finite numbers, got NaN or infinity"):
        correlate(np.ones(3), [tap])


@pytest.mark.parametrize(
    ("dtype", "fill", "message"),
    [
        (
            "uint8",
            np.nan,
            r"fill=nan is not a value of an image of uint8; .*astype\(numpy.float32\) or nan='normalize'",
        ),
        ("uint8", np.inf, r"fill=inf is not a value of an image of uint8; pass an integer"),
        ("int16", 0.5, r"fill=0.5 is not a value of an image of int16; pass an integer, or .*float32\)$"),
        ("uint8", -1, "fill=-1 does not fit the image's type uint8, which holds 0 to 255"),
        ("uint8", 256.0, "does not fit the image's type uint8"),
        ("bool", 2, "fill=2 does not fit the image's type bool, which holds 0 to 1"),
        ("float32", 1j, "fill=1j is complex, the image is float32"),
        ("float32", 1e300, r"fill=1e\+300 does not fit the image's type float32"),
        ("complex64", 1e300j, "does not fit the image's type complex64"),
    ],
)
def test_a_fill_that_the_image_cannot_hold(dtype, fill, message):
    with pytest.raises(InvalidArgument, match=message):
        correlate(np.ones(3, dtype), [1, 1], boundary="constant", fill=fill)


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("uint8", 7.0),
        ("uint8", np.int64(7)),
        ("uint8", complex(7, 0)),
        ("bool", True),
        ("float32", -np.inf),
        ("float16", np.float64(0.1)),
        ("complex64", 2 - 1j),
        ("int64", -(2**40)),
    ],
)
def test_a_fill_that_the_image_can_hold(dtype, fill):
    result = correlate(np.zeros(2, dtype), [1, 0, 0], boundary="constant", fill=fill)
    np.testing.assert_allclose(result, [np.asarray(fill), 0], rtol=1e-3)


def test_a_fill_must_be_a_number():
    with pytest.raises(InvalidType, match="fill must be a number, got None"):
        correlate(np.ones(3), [1, 1], fill=None)


def test_out_is_written_and_returned():
    image, kernel = np.arange(12, dtype=np.uint8).reshape(3, 4), [[1, 2, 1]]
    for dtype in (None, np.uint8, np.float64):
        expected = correlate(image, kernel, dtype=dtype)
        out = np.empty((3, 4), expected.dtype, order="F")
        assert convolve(image, kernel, dtype=dtype, out=out) is out
        np.testing.assert_array_equal(out, expected)
    spaced = np.zeros((6, 8), np.int32)
    correlate(image, kernel, out=spaced[::2, ::2])
    np.testing.assert_array_equal(spaced[::2, ::2], looped(image, np.array(kernel)).astype(int))
    assert not spaced[1::2].any()


@pytest.mark.parametrize(
    ("out", "kind", "message"),
    [
        ([0, 0], InvalidType, "out must be a NumPy array, got list"),
        (np.zeros(4, np.int32), InvalidArgument, r"out must have the shape of the result \(2,\), got \(4,\)"),
        (np.zeros(2, np.int64), InvalidArgument, "out must have the type of the result int32, got int64"),
        (np.broadcast_to(np.int32(0), (2,)), InvalidArgument, "out is read-only"),
    ],
)
def test_outs_that_are_refused(out, kind, message):
    with pytest.raises(kind, match=message):
        correlate(np.ones(4, np.uint8), [1, 1, 1], mode="valid", out=out)


def test_an_out_that_overlaps_an_input_is_refused():
    image = np.ones(6)
    mask = np.ones(6, bool)
    for out in (image[::-1], np.ones(7)[1:]):
        given = image if out.base is image else out.base[:-1]
        with pytest.raises(InvalidArgument, match="out overlaps an input"):
            correlate(given, [1.0, 1.0], out=out)
    with pytest.raises(InvalidArgument, match="out overlaps an input"):
        correlate(np.ones(6), [1.0], mask=mask, dtype=bool, out=mask)


def test_inputs_are_left_as_they_were():
    image, kernel, mask = np.arange(5.0), np.arange(3.0), np.array([True, True, False, True, True])
    correlate(image, kernel, mask=mask)
    convolve(image, kernel, dtype=np.float32)
    np.testing.assert_array_equal(image, np.arange(5.0))
    np.testing.assert_array_equal(kernel, np.arange(3.0))
    np.testing.assert_array_equal(mask, [True, True, False, True, True])
    result = correlate(image, [1.0])
    assert not np.shares_memory(result, image)
