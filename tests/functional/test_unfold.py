"""Windows cut out as columns and added back, against plain loops."""

import numpy as np
import pytest

import striderule as sr
from oracles.layers import draw_convolution, looped_unfold, values
from striderule.errors import InvalidArgument, InvalidType, UnprovenRange

ALGORITHMS = ("windows", "reference")
INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def draw(rng, rank=None):
    x_shape, weight_shape, keywords = draw_convolution(rng, rank)
    del keywords["groups"]
    return x_shape, weight_shape[2:], keywords


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_windows_equal_the_loops(algorithm):
    rng = np.random.default_rng(1)
    for dtype in (*INTEGERS, "float16", "float32", "float64", "complex64") * 8:
        x_shape, kernel, keywords = draw(rng)
        keywords["fill"] = abs(keywords["fill"]) % 2
        x = values(rng, x_shape, dtype)
        expected = looped_unfold(x, kernel, **keywords)
        result = sr.unfold(x, kernel, algorithm=algorithm, **keywords)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected.astype(dtype))
        np.testing.assert_array_equal(sr.unfold(x[0], kernel, algorithm=algorithm, **keywords), result[0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fold_is_the_transpose_of_unfold(algorithm):
    # <unfold(x), y> = <x, fold(y)> for every x and y: exact with integers
    rng = np.random.default_rng(2)
    for _ in range(60):
        x_shape, kernel, keywords = draw(rng)
        del keywords["boundary"], keywords["fill"]
        x = values(rng, x_shape, "int64")
        columns = sr.unfold(x, kernel, **keywords)
        y = values(rng, columns.shape, "int64")
        back = sr.fold(y, x_shape[2:], kernel, algorithm=algorithm, **keywords)
        assert (back.shape, back.dtype) == (x.shape, np.int64)
        assert (columns * y).sum() == (x * back).sum()
        np.testing.assert_array_equal(sr.fold(y[0], x_shape[2:], kernel, algorithm=algorithm, **keywords), back[0])


def test_a_convolution_is_a_product_with_the_columns():
    rng = np.random.default_rng(3)
    x, weight = values(rng, (2, 3, 6, 7), "int64"), values(rng, (4, 3, 3, 2), "int64")
    settings = {"stride": (1, 2), "padding": 1, "dilation": 2, "boundary": "mirror"}
    product = weight.reshape(4, -1) @ sr.unfold(x, (3, 2), **settings)
    expected = sr.conv2d(x, weight, **settings)
    np.testing.assert_array_equal(product.reshape(expected.shape), expected)


def test_by_hand():
    x = np.arange(1, 7).reshape(1, 2, 3)
    for algorithm in ALGORITHMS:
        columns = sr.unfold(x, 2, algorithm=algorithm)
        assert columns.tolist() == [[1, 2], [2, 3], [4, 5], [5, 6]]
        assert sr.fold(columns, (2, 3), 2, algorithm=algorithm).tolist() == [[[1, 4, 3], [4, 10, 6]]]
        padded = sr.unfold(x[0], (2,), padding=((1, 0),), boundary="wrap", algorithm=algorithm)
        assert padded.tolist() == [[3, 1, 2], [1, 2, 3], [6, 4, 5], [4, 5, 6]]


def test_how_the_number_of_axes_is_read():
    assert sr.unfold(np.ones((2, 3, 8)), (2,)).shape == (2, 6, 7)  # one entry: what is left beside batch and channels
    assert sr.unfold(np.ones((2, 5, 8)), 2).shape == (8, 28)  # a number and three axes: channels, height, width
    assert sr.unfold(np.ones((2, 3, 5, 8)), 2).shape == (2, 12, 28)
    assert sr.unfold(np.ones((2, 3, 5, 8)), [2]).shape == (2, 12, 28)
    assert sr.unfold(np.ones((3, 4, 5, 8)), (2, 1, 2)).shape == (12, 3 * 5 * 7)
    assert sr.unfold(np.ones((1, 3, 4, 5, 8)), 2).shape == (1, 24, 84)
    assert sr.unfold(np.ones((4, 8)), (2,)).shape == (8, 7)
    assert sr.fold(np.ones((1, 8, 9)), 4, 2).shape == (1, 2, 4, 4)
    assert sr.fold(np.ones((1, 8, 3)), (4,), 2).shape == (1, 4, 4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_types_of_fold(algorithm):
    rng = np.random.default_rng(4)
    for dtype in INTEGERS:
        columns = values(rng, (1, 3, 4), dtype)
        result = sr.fold(columns, (6,), (3,), algorithm=algorithm)
        assert result.dtype == (np.int32 if columns.itemsize <= 2 else np.int64)
    half = np.full((1, 3, 4), 60000, np.float16)
    assert sr.fold(half, (6,), (3,), algorithm=algorithm).tolist() == [[[60000, np.inf, np.inf, np.inf, np.inf, 60000]]]
    wide = sr.fold(half, (6,), (3,), dtype=np.float32, algorithm=algorithm)
    assert (wide.dtype, wide[0, 0, 2]) == (np.float32, 3 * np.float32(np.float16(60000)))
    bytes_ = np.full((1, 3, 4), 127, np.int8)
    assert sr.fold(bytes_, (6,), (3,), dtype=np.int8, algorithm=algorithm).tolist() == [[[127] * 6]]
    assert sr.fold(bytes_, (6,), (3,), dtype=np.float16, algorithm=algorithm).tolist() == [
        [[127, 254, 381, 381, 254, 127]]
    ]
    with pytest.raises(UnprovenRange, match=r"^sums of these integers may reach"):
        sr.fold(np.full((1, 3, 4), 2**62), (6,), (3,), algorithm=algorithm)
    infinite = np.array([[[1.0, -np.inf], [np.inf, 1.0]]])
    assert sr.fold(infinite, (3,), (2,), algorithm=algorithm).tolist() == [[[1.0, np.inf - np.inf, 1.0]]] or True
    result = sr.fold(infinite, (3,), (2,), algorithm=algorithm)
    np.testing.assert_array_equal(result, [[[1, np.nan, 1]]])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_arrays_and_out(algorithm):
    one = {"algorithm": algorithm}
    assert sr.unfold(np.ones((0, 2, 4)), (3,), **one).shape == (0, 6, 2)
    assert sr.unfold(np.ones((2, 0, 4)), (3,), **one).shape == (2, 0, 2)
    assert sr.fold(np.ones((0, 6, 2)), (4,), (3,), **one).shape == (0, 2, 4)
    assert sr.fold(np.ones((2, 0, 2)), (4,), (3,), **one).shape == (2, 0, 4)
    out = np.empty((1, 3, 2))
    assert sr.unfold(np.arange(4.0).reshape(1, 1, 4), (3,), out=out, **one) is out
    assert out.tolist() == [[[0, 1], [1, 2], [2, 3]]]
    image = np.empty((1, 1, 4))
    assert sr.fold(out, (4,), (3,), out=image, **one) is image
    assert image.tolist() == [[[0, 2, 4, 3]]]


def test_steps_too_large_to_be_addresses():
    for algorithm in ALGORITHMS:
        assert sr.unfold(np.ones((1, 1, 4)), (2,), stride=2**62, algorithm=algorithm).shape == (1, 2, 1)
        assert sr.unfold(np.ones((1, 1, 4)), (1,), dilation=2**62, algorithm=algorithm).shape == (1, 1, 4)
        assert sr.fold(np.ones((1, 2, 1)), (4,), (2,), stride=2**62, algorithm=algorithm).tolist() == [[[1, 1, 0, 0]]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sr.unfold(np.ones((1, 1, 4)), (5,)), InvalidArgument, r"^the kernel is larger than the padded input"),
        (
            lambda: sr.unfold(np.ones((1, 1, 4)), (0,)),
            InvalidArgument,
            r"^kernel_size must be at least 1 in every axis, got",
        ),
        (lambda: sr.unfold(np.ones(4), (2,)), InvalidArgument, r"^unfold needs an input of 3 axes"),
        (lambda: sr.unfold(np.ones((1, 1, 4)), 2.5), InvalidType, r"^kernel_size must be an integer, got 2.5$"),
        (lambda: sr.unfold(np.ones((1, 1, 4), int), (2,), fill=0.5), InvalidArgument, r"^fill=0.5 is no integer"),
        (lambda: sr.unfold(np.ones((1, 1, 4), np.uint8), (2,), fill=256), UnprovenRange, r"does not fit uint8"),
        (lambda: sr.unfold(np.ones((1, 1, 4), np.uint8), (2,), fill=-1), UnprovenRange, r"does not fit uint8"),
        (lambda: sr.unfold(np.ones((1, 1, 4)), (2,), fill=1j), InvalidArgument, r"^fill=1j is complex"),
        (
            lambda: sr.fold(np.ones((4, 4)), (3,), (2,)),
            InvalidArgument,
            r"^fold of output_size \(3,\) has 2 windows, so x must have the shape \(4, 2\), got \(4, 4\)$",
        ),
        (
            lambda: sr.fold(np.ones((1, 3, 2)), (3,), (2,)),
            InvalidArgument,
            r"^fold needs a multiple of the 2 taps of kernel_size \(2,\) on axis 1, got 3$",
        ),
        (
            lambda: sr.fold(np.ones(4), (3,), (2,)),
            InvalidArgument,
            r"^fold needs columns \(batch, channels \* taps, windows\)",
        ),
        (lambda: sr.fold(np.ones((1, 4, 2)), (0,), (2,)), InvalidArgument, r"^output_size must be at least 1"),
        (lambda: sr.fold(np.ones((1, 4, 2)), (3,), (2,), dtype="x"), InvalidType, r"^dtype must be a NumPy type"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
