"""Convolutions of layers against plain loops: geometry, forms of the operands, and words."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import striderule as sr
from oracles.layers import draw_convolution, looped_convolution, values

ALGORITHMS = ("windows", "reference")
BY_RANK = {1: sr.conv1d, 2: sr.conv2d, 3: sr.conv3d}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_integers_are_exact(algorithm):
    rng = np.random.default_rng(1)
    for _ in range(150):
        x_shape, weight_shape, keywords = draw_convolution(rng)
        x, weight = values(rng, x_shape, "int64"), values(rng, weight_shape, "int64")
        expected = looped_convolution(x, weight, **keywords)
        result = BY_RANK[x.ndim - 2](x, weight, algorithm=algorithm, **keywords)
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, expected.astype(np.int64), err_msg=f"{x_shape} {weight_shape} {keywords}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_drawn_floats_keep_the_promise(dtype):
    rng = np.random.default_rng(2)
    bound = 1e-6 if dtype in ("float32", "complex64") else 1e-14
    for _ in range(60):
        x_shape, weight_shape, keywords = draw_convolution(rng)
        x, weight = values(rng, x_shape, dtype), values(rng, weight_shape, dtype)
        exact = looped_convolution(x, weight, **keywords).astype(np.complex128)
        size = looped_convolution(abs(x), abs(weight), **keywords | {"fill": abs(keywords["fill"])}).astype(float)
        for algorithm in ALGORITHMS:
            result = sr.conv(x, weight, algorithm=algorithm, **keywords)
            assert result.dtype == dtype
            assert np.linalg.norm(result - exact) <= bound * np.linalg.norm(size) + 1e-300


def test_four_and_more_axes():
    rng = np.random.default_rng(3)
    for rank in (4, 5):
        x, weight = values(rng, (2, 4, *[3] * rank), "int32"), values(rng, (2, 2, *[2] * rank), "int32")
        expected = looped_convolution(x, weight, stride=2, padding=1, groups=2, boundary="mirror")
        for algorithm in ALGORITHMS:
            result = sr.conv(x, weight, None, 2, 1, 1, 2, boundary="mirror", algorithm=algorithm)
            np.testing.assert_array_equal(result, expected.astype(np.int64))


def test_by_hand():
    # 1 2 3    1 0     1*1 + 5*2 = 11   2*1 + 6*2 = 14
    # 4 5 6    0 2     4*1 + 8*2 = 20   5*1 + 9*2 = 23
    # 7 8 9
    image, kernel = np.arange(1, 10).reshape(3, 3), [[1, 0], [0, 2]]
    for algorithm in ALGORITHMS:
        assert sr.conv2d(image, kernel, algorithm=algorithm).tolist() == [[11, 14], [20, 23]]
        # the kernel is not flipped, a stride leaves out, dilation reaches further
        assert sr.conv2d(image, kernel, stride=2, algorithm=algorithm).tolist() == [[11]]
        assert sr.conv2d(image, kernel, dilation=2, algorithm=algorithm).tolist() == [[1 + 2 * 9]]
        assert sr.conv1d([1, 2, 3], [1, 10], padding=1, algorithm=algorithm).tolist() == [10, 21, 32, 3]
        assert sr.conv1d([1, 2, 3], [1, 10], padding=((2, -1),), fill=7, algorithm=algorithm).tolist() == [77, 17, 21]
        assert sr.conv1d([1, 2, 3], [1, 10], padding="same", boundary="wrap", algorithm=algorithm).tolist() == [
            21,
            32,
            13,
        ]
        # two channels in, two out: weight[o, c]
        channels = sr.conv1d([[1, 2], [3, 4]], [[[1], [10]], [[5], [0]]], algorithm=algorithm)
        assert channels.tolist() == [[31, 42], [5, 10]]


def test_padding_words():
    x, taps = np.arange(1, 8), np.array([1, 10, 100, 1000])
    outputs = {
        "valid": [4321, 5432, 6543, 7654],
        "same": [3210, 4321, 5432, 6543, 7654, 765, 76],
        "same_lower": [2100, 3210, 4321, 5432, 6543, 7654, 765],
        "causal": [1000, 2100, 3210, 4321, 5432, 6543, 7654],
        "full": [1000, 2100, 3210, 4321, 5432, 6543, 7654, 765, 76, 7],
    }
    for word, expected in outputs.items():
        for algorithm in ALGORITHMS:
            assert sr.conv1d(x, taps, padding=word, algorithm=algorithm).tolist() == expected
            assert sr.conv1d(x, taps, padding=word.upper(), algorithm=algorithm).tolist() == expected
    assert sr.conv1d(x, taps, padding="same", stride=3).tolist() == [3210, 6543, 76]
    assert sr.conv2d(np.ones((7, 7)), np.ones((3, 2)), padding=("same", "full")).shape == (7, 8)


def forms(x):
    """Yield arrays of the same values as x that lie in memory in other ways."""
    yield "fortran", np.asfortranarray(x)
    yield (
        "reversed",
        x[tuple(slice(None, None, -1) for _ in x.shape)].copy()[tuple(slice(None, None, -1) for _ in x.shape)],
    )
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    wide[tuple(slice(None, None, 2) for _ in x.shape)] = x
    yield "every other", wide[tuple(slice(None, None, 2) for _ in x.shape)]
    yield "channels last", np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "other byte order", x.astype(x.dtype.newbyteorder())
    yield "lists", x.tolist()


@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_any_memory_order(channels, algorithm):
    rng = np.random.default_rng(4)
    x, weight = values(rng, (2, channels, 5, 6), "int64"), values(rng, (3, channels, 3, 2), "int64")
    expected = sr.conv2d(x, weight, padding=1, stride=(1, 2), boundary="edge", algorithm=algorithm)
    for (name, x_form), (_, weight_form) in zip(forms(x), forms(weight), strict=True):
        for one, other in ((x_form, weight), (x, weight_form), (x_form, weight_form)):
            result = sr.conv2d(one, other, padding=1, stride=(1, 2), boundary="edge", algorithm=algorithm)
            np.testing.assert_array_equal(result, expected, err_msg=name)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_arrays_that_repeat_their_memory(algorithm):
    row = np.arange(6.0)
    image = np.broadcast_to(row, (1, 2, 5, 6))
    overlapping = as_strided(row, (1, 2, 3, 3), (0, 8, 8, 8))
    weight = np.broadcast_to(np.float64(2), (3, 2, 2, 2))
    for x in (image, overlapping):
        result = sr.conv2d(x, weight, algorithm=algorithm)
        np.testing.assert_array_equal(result, sr.conv2d(x.copy(), weight.copy(), algorithm=algorithm))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layouts_and_missing_axes(rank):
    rng = np.random.default_rng(5)
    function, spatial = BY_RANK[rank], (4, 5, 6)[:rank]
    x, weight = values(rng, (2, 6, *spatial), "int64"), values(rng, (4, 3, *[2] * rank), "int64")
    settings = {"padding": 1, "groups": 2}
    expected = function(x, weight, **settings)
    first, last = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}[rank]
    np.testing.assert_array_equal(function(x, weight, layout=first, **settings), expected)
    np.testing.assert_array_equal(function(x[0], weight, **settings), expected[0])
    for word in (last, "channels_last"):
        moved = np.moveaxis(x, 1, -1)
        np.testing.assert_array_equal(function(moved, weight, layout=word, **settings), np.moveaxis(expected, 1, -1))
        np.testing.assert_array_equal(
            function(moved[0], weight, layout=word, **settings), np.moveaxis(expected[0], 0, -1)
        )
    bare = function(x[0, 0], weight[0, 0])
    np.testing.assert_array_equal(bare, function(x[:1, :1], weight[:1, :1])[0, 0])
    np.testing.assert_array_equal(bare, function(x[0, 0], weight[0, 0], layout=last))
    np.testing.assert_array_equal(bare, sr.conv(x[0, 0], weight[0, 0], rank=rank))
    np.testing.assert_array_equal(sr.conv(x, weight, layout="channels_first", **settings), expected)


def test_rank_says_how_to_read_a_bare_volume():
    volume, cube = np.ones((4, 4, 4)), np.ones((3, 3, 3))
    assert sr.conv(volume, cube, rank=3).shape == (2, 2, 2)
    # without rank, three axes of weight mean (out, in, taps)
    assert sr.conv(np.ones((2, 3, 9)), np.ones((4, 3, 2))).shape == (2, 4, 8)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_and_tiny(algorithm):
    one = {"algorithm": algorithm}
    assert sr.conv2d(np.ones((0, 3, 5, 5)), np.ones((4, 3, 2, 2)), **one).shape == (0, 4, 4, 4)
    assert sr.conv2d(np.ones((2, 3, 5, 5)), np.ones((0, 3, 2, 2)), **one).shape == (2, 0, 4, 4)
    assert sr.conv2d(np.ones((2, 0, 5, 5)), np.ones((4, 0, 2, 2)), **one).tolist() == np.zeros((2, 4, 4, 4)).tolist()
    result = sr.conv2d(np.ones((2, 0, 5, 5), int), np.ones((4, 0, 2, 2), int), [1, 2, 3, 4], **one)
    assert result[0, :, 0, 0].tolist() == [1, 2, 3, 4]
    assert sr.conv2d(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)), **one).tolist() == [[[[1.0]]]]
    assert sr.conv1d(np.ones((1, 1, 0)), np.ones((1, 1, 2)), padding=2, fill=3, **one).tolist() == [[[6.0, 6.0, 6.0]]]
    assert sr.conv1d(np.ones((1, 1, 0)), np.ones((1, 1, 2)), padding=2, **one).tolist() == [[[0.0, 0.0, 0.0]]]
    assert sr.conv1d(np.ones((1, 5, 0)), np.ones((5, 5, 2)), padding=((0, 3),), **one).tolist() == [[[0.0, 0.0]] * 5]
    for word in ("edge", "symmetric", "mirror", "wrap"):  # a single element is all there is to repeat
        assert sr.conv1d([3], [1, 1, 1], padding=4, boundary=word, **one).tolist() == [9] * 7
    # cropped to one element, from either side
    assert sr.conv1d([1, 2, 3], [1], padding=((-2, 0),), **one).tolist() == [3]
    assert sr.conv1d([1, 2, 3], [1], padding=((0, -2),), **one).tolist() == [1]
    # cropped beyond one end and padded at the other: only padding is left
    assert sr.conv1d([1, 2, 3], [1], padding=((-4, 3),), fill=5, **one).tolist() == [5, 5]
    assert sr.conv1d([1, 2, 3], [1], padding=((-4, 3),), boundary="wrap", **one).tolist() == [2, 3]
    assert sr.conv1d([1, 2, 3], [1], padding=((3, -4),), fill=5, **one).tolist() == [5, 5]
    assert sr.conv1d(np.ones((1, 1, 0)), [[[1.0]]], padding=((-1, 3),), fill=2, **one).tolist() == [[[2.0, 2.0]]]


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_steps_too_large_to_be_addresses(channels, algorithm):
    x, weight = np.ones((channels, 3)), np.ones((channels, channels, 2))
    result = sr.conv1d(x, weight, stride=2**62, algorithm=algorithm)
    assert result.tolist() == [[2.0 * channels]] * channels
    result = sr.conv1d(x, weight[:, :, :1], dilation=2**62, algorithm=algorithm)
    assert result.tolist() == [[channels] * 3] * channels


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("padding", [1, ((-1, 2),), ((2, -1),)])
@pytest.mark.parametrize("channels", [1, 6])
def test_the_fill_need_not_fit_the_type_of_the_data(algorithm, padding, channels):
    x, ones = np.arange(channels * 4, dtype=np.uint8).reshape(channels, 4), np.ones((channels, channels, 2), np.uint8)
    for fill, weight in (
        (300, ones),
        (-7, ones),
        (0.5, ones.astype(np.float32)),
        (2j, ones * (1 + 0j)),
        (-3, ones > 0),
    ):
        expected = looped_convolution(x[None], weight, padding=padding, fill=fill)[0]
        result = sr.conv1d(x, weight, padding=padding, fill=fill, algorithm=algorithm)
        np.testing.assert_array_equal(result, expected.astype(result.dtype))
    result = sr.conv1d(x > 3, weight, padding=padding, fill=5, algorithm=algorithm)
    expected = looped_convolution((x > 3)[None], weight, padding=padding, fill=5)[0]
    np.testing.assert_array_equal(result, expected.astype(result.dtype))


def test_words_of_precision_and_algorithm():
    x, weight = np.ones((1, 2, 4, 4), np.float32), np.ones((1, 2, 2, 2), np.float32)
    for precision in (None, "highest", "high", "medium"):
        for algorithm in (None, *ALGORITHMS):
            assert sr.conv2d(x, weight, precision=precision, algorithm=algorithm)[0, 0, 0, 0] == 8


def test_pytorchs_names():
    x, weight = np.ones((1, 2, 4)), np.ones((3, 2, 2))
    result = sr.conv1d(input=x, weight=weight, bias=np.ones(3), stride=1, padding=0, dilation=1, groups=1)
    np.testing.assert_array_equal(result, sr.conv1d(x, weight, np.ones(3), 1, 0, 1, 1))
    # a sequence of one number serves every axis
    np.testing.assert_array_equal(
        sr.conv(x[..., None], weight[..., None], stride=(1,)), sr.conv1d(x, weight)[..., None]
    )
