"""Numbers of convolutions: types, exact integers, rounding, NaN and infinity, promises of precision and memory."""

import itertools
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

import striderule as sr
from oracles.layers import looped_convolution, values
from striderule.errors import InvalidArgument, UnprovenRange

ALGORITHMS = ("windows", "reference")
INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64", "complex64", "complex128")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_integers_give_exact_int32_or_int64(algorithm, channels):
    rng = np.random.default_rng(1)
    for one, other in itertools.product(INTEGERS, repeat=2):
        x, weight = values(rng, (2, channels, 5), one), values(rng, (2, channels, 3), other)
        result = sr.conv1d(x, weight, padding=1, algorithm=algorithm)
        narrow = max(x.itemsize, weight.itemsize) <= 2
        assert result.dtype == (np.int32 if narrow else np.int64)
        expected = looped_convolution(x * 1, weight * 1, padding=1)
        np.testing.assert_array_equal(result, expected.astype(np.int64))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_floats_promote_as_numpy_does(algorithm):
    rng = np.random.default_rng(2)
    for one, other in itertools.product(INTEGERS + FLOATS, FLOATS):
        x, weight = values(rng, (2, 3, 5), one), values(rng, (2, 3, 3), other)
        for left, right in ((x, weight), (weight, x[:, :, :3])):
            result = sr.conv1d(left, right, algorithm=algorithm)
            assert result.dtype == np.result_type(left, right)
            expected = looped_convolution(left * 1, right * 1).astype(np.complex128)
            error = {2: 2e-3, 4: 1e-6, 8: 1e-14}[np.finfo(result.dtype).dtype.itemsize]
            np.testing.assert_allclose(result, expected, rtol=0, atol=error * 60)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_float16_is_computed_in_float32(algorithm):
    x, weight = np.full((1, 4000), 1.0, np.float16), np.full((1, 1, 4000), 1.0, np.float16)
    x[0, 1:] = 2.0**-11  # each is lost when it is added to 1 in float16
    result = sr.conv1d(x, weight, algorithm=algorithm)
    assert result.dtype == np.float16
    assert result[0, 0] == np.float16(1 + 3999 * 2.0**-11)
    large = np.array([60000, 60000, -60000], np.float16)  # a sum on the way exceeds 65504
    assert sr.conv1d(large, np.ones(3, np.float16), algorithm=algorithm)[0] == np.float16(60000)
    assert sr.conv1d(large[:2], np.ones(2, np.float16), algorithm=algorithm)[0] == np.inf


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("channels", [1, 5])
def test_integers_near_the_limits_are_exact(algorithm, channels):
    top = 2**63 - 1
    each = top // (3 * channels)
    x, ones = np.full((channels, 5), each), np.ones((2, channels, 3), np.int64)
    assert (sr.conv1d(x, ones, algorithm=algorithm) == each * 3 * channels).all()
    assert (sr.conv1d(-x, ones, algorithm=algorithm) == -each * 3 * channels).all()
    assert (sr.conv1d(x.astype(np.uint64), ones.astype(np.uint8), algorithm=algorithm) == each * 3 * channels).all()
    odd = np.full((channels, 5), 2**53 + 1)  # not a float64
    assert sr.conv1d(odd, ones, algorithm=algorithm)[0, 0] == 3 * channels * (2**53 + 1)
    beside = np.full((channels, 5), (2**53 - 1) // (3 * channels))  # the last sums that float64 holds exactly
    assert sr.conv1d(beside, ones, algorithm=algorithm)[0, 0] == (2**53 - 1) // (3 * channels) * 3 * channels
    small = np.full((1, 1), -(2**63))
    assert sr.conv1d(small, np.zeros((1, 1, 1), int), algorithm=algorithm).tolist() == [[0]]


REFUSED = [
    (np.full((1, 3), 2**62), np.ones((1, 1, 2), int), {}),
    (np.full((1, 3), -(2**63)), np.ones((1, 1, 1), int), {}),
    (np.full((1, 3), 2**63, np.uint64), np.ones((1, 1, 1), np.uint64), {}),
    (np.ones((1, 3), int), np.full((1, 1, 1), -(2**63)), {}),
    (np.ones((1, 3), np.int8), np.ones((1, 1, 1), np.int8), {"bias": np.array([2**63 - 1])}),
    (np.ones((1, 3), int), np.ones((1, 1, 1), int), {"residual": np.full((1, 3), 2**63 - 1)}),
    (np.ones((1, 3), int), np.ones((1, 1, 2), int), {"fill": 2**62, "padding": 1}),
]


@pytest.mark.parametrize(("x", "weight", "words"), REFUSED)
def test_sums_that_may_not_fit_64_bits_are_refused(x, weight, words):
    message = r"^sums of these integers may reach \d+, which does not fit 64 bits.*pass them as float64$"
    for algorithm, dtype in itertools.product(ALGORITHMS, (None, "int64", "uint8", "float32")):
        with pytest.raises(UnprovenRange, match=message) as caught:
            sr.conv1d(x, weight, algorithm=algorithm, dtype=dtype, **words)
    assert int(str(caught.value).split("may reach ")[1].split(",")[0]) >= 2**63
    assert sr.conv1d(x.astype(float), weight, **words).dtype == np.float64


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_int32_results_that_do_not_fit_are_refused_and_int64_holds_them(algorithm):
    x, weight = np.full((1, 2), 2**15 - 1, np.int16), np.full((1, 1, 2), 2**15 - 1, np.int16)
    exact = (2**15 - 1) ** 2 * 2
    assert sr.conv1d(x, weight, algorithm=algorithm).tolist() == [[exact]]  # 2**31 - 2**17 + 2
    x = np.full((1, 3), -(2**15), np.int16)
    weight = np.full((1, 1, 3), -(2**15), np.int16)
    out = np.full((1, 1), 7, np.int32)
    message = (
        "^the exact result does not fit int32; pass dtype=numpy.int64 for exact integers, a float dtype for rounded"
    )
    with pytest.raises(UnprovenRange, match=message):
        sr.conv1d(x, weight, algorithm=algorithm, out=out)
    assert out[0, 0] == 7
    assert sr.conv1d(x, weight, dtype=np.int64, algorithm=algorithm).tolist() == [[3 * 2**30]]
    assert sr.conv1d(x, weight, dtype=np.int32, algorithm=algorithm).tolist() == [[2**31 - 1]]
    assert sr.conv1d(x, weight, dtype=float, algorithm=algorithm).tolist() == [[3.0 * 2**30]]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_narrowing_saturates(algorithm):
    x = np.array([-300, -1, 0, 100, 255, 256, 70000])
    expected = {
        "uint8": [0, 0, 0, 100, 255, 255, 255],
        "int8": [-128, -1, 0, 100, 127, 127, 127],
        "uint16": [0, 0, 0, 100, 255, 256, 65535],
        "uint64": [0, 0, 0, 100, 255, 256, 70000],
        "bool": [0, 0, 0, 1, 1, 1, 1],
        "float16": [-300, -1, 0, 100, 255, 256, np.inf],
        "complex64": [-300, -1, 0, 100, 255, 256, 70000],
    }
    for dtype, numbers in expected.items():
        result = sr.conv1d(x, [1], dtype=dtype, algorithm=algorithm)
        assert result.dtype == dtype
        assert result.tolist() == numbers
        if dtype != "complex64" and dtype != "bool":
            assert sr.conv1d(x.astype(float), [1.0], dtype=dtype, algorithm=algorithm).tolist() == numbers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_rounding_is_half_to_even(algorithm, dtype):
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.501], dtype)
    assert sr.conv1d(x, np.ones(1, dtype), dtype=int, algorithm=algorithm).tolist() == [-2, -2, 0, 0, 2, 2, 3]


def test_integers_asked_of_floats_are_computed_wide_enough():
    # 2**24 + 1 is no float32; summed in float64 it is kept
    x = np.array([2**24, 1], np.float32)
    assert sr.conv1d(x, np.ones(2, np.float32), dtype=np.int32).tolist() == [2**24 + 1]
    assert sr.conv1d(np.array([1e30], np.float32), [1], dtype=np.int64).tolist() == [2**63 - 1]
    assert sr.conv1d(np.array([-1e30, np.inf], np.float32), [1], dtype=np.int64).tolist() == [-(2**63), 2**63 - 1]
    with pytest.raises(InvalidArgument, match=r"^the result holds NaN, which int64 cannot; ask for a float dtype"):
        sr.conv1d([np.nan], [1.0], dtype=np.int64)


def test_a_wider_dtype_widens_the_arithmetic():
    x = np.array([1, 2.0**-30], np.float32)
    assert sr.conv1d(x, np.ones(2, np.float32), dtype=np.float64).tolist() == [1 + 2.0**-30]
    assert sr.conv1d(x, np.ones(2, np.float32), dtype=np.complex128).tolist() == [1 + 2.0**-30]
    # and a narrower one does not narrow it
    assert sr.conv1d([2.0**600, 2.0**600], [2.0**300, -(2.0**300)], dtype=np.float32).tolist() == [0.0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_infinite_weights_on_zero_padding_contribute_nothing(algorithm, channels, special):
    x, weight = np.ones((channels, 4)), np.full((channels, channels, 3), 2.0)
    weight[1 % channels, 0, 0] = special
    inside, outer = special + 2 * channels, 2.0 * (3 * channels - channels)
    result = sr.conv1d(x, weight, padding=1, algorithm=algorithm)
    row = result[1 % channels]
    np.testing.assert_array_equal(row, [outer, inside, inside, inside])  # the first tap of the first window is outside
    # what is filled in counts, be it zero times infinity
    padded = sr.conv1d(np.zeros((channels, 4)), weight, padding=1, boundary="edge", algorithm=algorithm)
    assert np.isnan(padded[1 % channels]).all()
    filled = sr.conv1d(x, weight, padding=1, fill=1, algorithm=algorithm)
    np.testing.assert_array_equal(filled[1 % channels][0], special)


@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("boundary", ["constant", "wrap"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_and_infinity_come_out_where_the_definition_puts_them(channels, boundary, dtype):
    rng = np.random.default_rng(6)
    for _ in range(15):
        x, weight = values(rng, (2, channels, 6, 7), dtype), values(rng, (3, channels, 3, 2), dtype)
        weight[rng.random(weight.shape) < 0.3] = 0  # in layers every tap counts: 0 * inf is NaN
        for array, share in ((x, 0.04), (weight, 0.02)):
            for special in (np.nan, np.inf, -np.inf):
                array[rng.random(array.shape) < share] = special
        settings = {"padding": (1, 2), "boundary": boundary, "stride": (1, 2)}
        with np.errstate(invalid="ignore"):
            expected = looped_convolution(x, weight, **settings).astype(float)
        for algorithm in ALGORITHMS:
            result = sr.conv2d(x, weight, algorithm=algorithm, **settings)
            np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
            np.testing.assert_array_equal(np.isinf(result), np.isinf(expected))
            keep = np.isinf(expected)
            np.testing.assert_array_equal(result[keep], expected[keep])


def test_sums_that_overflow_become_infinite_without_a_warning():
    x = np.full((1, 2), 3e38, np.float32)
    assert sr.conv1d(x, np.ones((1, 1, 2), np.float32)).tolist() == [[np.inf]]
    assert np.isnan(sr.conv1d(x, np.ones((1, 1, 2), np.float32), np.array([-np.inf], np.float32))).all()


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "groups"),
    [
        ((1, 1, 80, 80), (1, 1, 71, 71), 1),  # many taps
        ((1, 512, 9, 9), (8, 512, 5, 5), 1),  # many channels
        ((1, 64, 30, 30), (16, 64, 3, 3), 1),
        ((1, 16, 40, 40), (16, 1, 15, 15), 16),
    ],
)
def test_the_promise_of_highest(x_shape, weight_shape, groups):
    rng = np.random.default_rng(7)
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in (x_shape, weight_shape))
    exact = sr.conv2d(x.astype(float), weight.astype(float), groups=groups)
    error = sr.conv2d(x, weight, groups=groups) - exact
    assert np.linalg.norm(error) <= 1e-6 * np.linalg.norm(exact)
    terms = int(np.prod(weight_shape[1:]))
    for one, other in ((0.1, 0.1), (0.7, 0.3), (1 / 3, 0.123)):  # constant data, where roundings all go one way
        for dtype, bound in ((np.float32, 1e-5), (np.float64, 1e-14)):
            x, weight = np.full(x_shape, one, dtype), np.full(weight_shape, other, dtype)
            exact = float(terms * Fraction(float(dtype(one))) * Fraction(float(dtype(other))))
            np.testing.assert_allclose(sr.conv2d(x, weight, groups=groups), exact, rtol=bound)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "float16"])
def test_the_same_bits_for_any_batch_size(dtype):
    rng = np.random.default_rng(8)
    for channels, out, groups, size in ((1, 1, 1, 90), (16, 8, 1, 40), (8, 8, 8, 30), (6, 4, 2, 33)):
        x, weight = values(rng, (5, channels, size, size), dtype), values(rng, (out, channels // groups, 3, 3), dtype)
        bias = values(rng, (out,), dtype)
        whole = sr.conv2d(x, weight, bias, padding="same", groups=groups)
        for n in range(5):
            alone = sr.conv2d(x[n], weight, bias, padding="same", groups=groups)
            assert whole[n].tobytes() == alone.tobytes()


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "settings"),
    [
        ((1, 16, 128, 128), (16, 16, 5, 5), {"padding": 2}),
        ((1, 16, 1, 16384), (16, 16, 1, 25), {}),  # all in one row
        ((8, 1, 256, 256), (1, 1, 15, 15), {"padding": 7, "boundary": "mirror"}),
        ((1, 8, 32, 64, 64), (8, 8, 3, 3, 3), {"padding": 1}),
    ],
)
def test_the_workspace_is_bounded(x_shape, weight_shape, settings):
    x, weight = np.ones(x_shape, np.float32), np.ones(weight_shape, np.float32)
    sr.conv(x[:, :, :1, :], weight[..., :1, :, :] if x.ndim == 5 else weight[..., :1, :])
    tracemalloc.start()
    result = sr.conv(x, weight, **settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # the result, one padded image and a few blocks; all columns would be 25 times the input and more
    assert peak < result.nbytes + 1.5 * x[0].nbytes + 2 * result[0].nbytes + 12 * 2**20


@pytest.mark.parametrize("name", ["conv1d", "depthwise_conv1d", "conv_transpose1d"])
def test_narrower_results_are_rounded_once(name):
    """1 + 2**-11 lies between two numbers of float16; what float32 loses beside it decides which is nearer."""
    x = np.array([[1 + 2.0**-11 + 2.0**-40]])
    y = getattr(sr, name)(x, np.ones((1, 1, 1)), stride=2, dtype=np.float16)
    assert y.tolist() == [[1 + 2.0**-10]]


@pytest.mark.parametrize("size", [3, 4, 6, 7, 10])
def test_float16_results_stand_beside_each_other(size):
    """Whatever is left over of a plane behind whole vectors: the first number of the next channel stands there."""
    rng = np.random.default_rng(size)
    x, weight = rng.standard_normal((2, 64, size, size)), rng.standard_normal((16, 64, 3, 3)) / 24
    x, weight = x.astype(np.float16), weight.astype(np.float16)
    expected = sr.conv2d(x.astype(float), weight.astype(float), padding=1)
    np.testing.assert_allclose(sr.conv2d(x, weight, padding=1), expected, rtol=1e-3, atol=2e-3)
