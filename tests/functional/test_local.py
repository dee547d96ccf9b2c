"""Locally connected and tiled convolutions against loops that pick the weights of every position."""

import tracemalloc

import numpy as np
import pytest

import striderule as sr
from oracles.layers import draw_convolution, looped_convolution, values
from striderule.errors import InvalidArgument

ALGORITHMS = ("windows", "reference")
BY_RANK = {1: sr.locally_connected1d, 2: sr.locally_connected2d, 3: sr.locally_connected3d}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_position_has_weights_of_its_own(rank, algorithm):
    rng = np.random.default_rng(1)
    for _ in range(15):
        x_shape, weight_shape, keywords = draw_convolution(rng, rank)
        x = values(rng, x_shape, "int64")
        size = sr.conv(x, np.zeros(weight_shape, int), **keywords).shape[2:]
        weight = values(rng, (*weight_shape[:2], *size, *weight_shape[2:]), "int64")
        bias = values(rng, (weight_shape[0], *size), "int64")
        expected = looped_convolution(x, weight, shared=False, **keywords).astype(np.int64)
        function = BY_RANK[rank]
        np.testing.assert_array_equal(function(x, weight, algorithm=algorithm, **keywords), expected)
        result = function(x, weight, bias, algorithm=algorithm, **keywords)
        np.testing.assert_array_equal(result, expected + bias)
        moved = function(np.moveaxis(x[0], 0, -1), weight, layout="channels_last", algorithm=algorithm, **keywords)
        np.testing.assert_array_equal(np.moveaxis(moved, -1, 0), expected[0])
        if rank == 2:
            np.testing.assert_array_equal(sr.tiled_conv2d(x, weight, algorithm=algorithm, **keywords), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", ["int64", "float32", "complex128"])
def test_tiles_repeat_over_the_output(dtype, algorithm):
    rng = np.random.default_rng(2)
    for _ in range(40):
        x_shape, weight_shape, keywords = draw_convolution(rng, 2)
        x = values(rng, x_shape, dtype)
        tile = tuple(int(t) for t in rng.integers(1, 5, 2))  # it may be larger than the output
        weight = values(rng, (*weight_shape[:2], *tile, *weight_shape[2:]), dtype)
        bias = values(rng, (weight_shape[0],), dtype)
        expected = looped_convolution(x, weight, shared=False, **keywords) + bias[:, None, None].astype(object)
        result = sr.tiled_conv2d(x, weight, bias, algorithm=algorithm, **keywords)
        assert result.dtype == dtype
        tolerance = 0 if dtype == "int64" else 3e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(result, expected.astype(result.dtype), rtol=0, atol=tolerance)


def test_a_tile_of_one_is_a_convolution():
    rng = np.random.default_rng(3)
    x, weight = values(rng, (2, 4, 9, 8), "float64"), values(rng, (6, 2, 3, 3), "float64")
    settings = {"groups": 2, "padding": "same", "boundary": "wrap", "stride": (1, 2)}
    tiled = sr.tiled_conv2d(x, weight[:, :, None, None], **settings)
    np.testing.assert_allclose(tiled, sr.conv2d(x, weight, **settings), rtol=1e-12, atol=1e-12)


def test_bare_arrays():
    assert sr.locally_connected1d([1, 2, 3], [[1, 0], [0, 10]]).tolist() == [1, 30]
    assert sr.tiled_conv2d(np.ones((2, 3)), np.arange(2).reshape(1, 2, 1, 1)).tolist() == [[0, 1, 0]] * 2
    assert sr.locally_connected3d(np.ones((1, 1, 2)), np.ones((1, 1, 1, 1, 1, 2))).tolist() == [[[2.0]]]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_arrays(algorithm):
    one = {"algorithm": algorithm}
    assert sr.tiled_conv2d(np.ones((0, 2, 4, 4)), np.ones((3, 2, 2, 2, 3, 3)), **one).shape == (0, 3, 2, 2)
    nothing = sr.tiled_conv2d(np.ones((1, 0, 4, 4)), np.ones((3, 0, 2, 2, 3, 3)), **one)
    assert nothing.tolist() == np.zeros((1, 3, 2, 2)).tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 4])
def test_nan_and_infinity_come_out_where_the_definition_puts_them(channels, dtype):
    rng = np.random.default_rng(4)
    for fill in (0, 1):
        for _ in range(10):
            x, weight = values(rng, (2, channels, 5, 6), dtype), values(rng, (2, channels, 2, 3, 3, 3), dtype)
            for array, share in ((x, 0.05), (weight, 0.05)):
                for special in (np.nan, np.inf, -np.inf, 0):
                    array[rng.random(array.shape) < share] = special
            expected = looped_convolution(x, weight, shared=False, padding=1, fill=fill).astype(float)
            for algorithm in ALGORITHMS:
                result = sr.tiled_conv2d(x, weight, padding=1, fill=fill, algorithm=algorithm)
                np.testing.assert_allclose(result, expected, rtol=0, atol=2e-5)


def test_precision_batch_and_workspace():
    x, weight = np.full((3, 16, 96, 96), 0.1, np.float32), np.full((8, 16, 2, 1, 7, 7), 0.7, np.float32)
    tracemalloc.start()
    result = sr.tiled_conv2d(x, weight)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    exact = 16 * 49 * np.float64(np.float32(0.1)) * np.float64(np.float32(0.7))
    np.testing.assert_allclose(result, exact, rtol=1e-5)
    assert result[2].tobytes() == sr.tiled_conv2d(x[2], weight).tobytes()
    # all columns of an image would take 16 * 49 * 90 * 90 * 4 bytes = 24 MiB
    assert peak < result.nbytes + x[0].nbytes + 8 * 2**20


def test_refusals():
    message = (
        r"^weight of a locally connected layer is \(out, in / groups, \*output size, \*kernel\): axes 2 to 3 must be "
        r"the output size \(3, 3\), got \(2, 3\)$"
    )
    with pytest.raises(InvalidArgument, match=message):
        sr.locally_connected2d(np.ones((1, 5, 5)), np.ones((1, 1, 2, 3, 3, 3)))
    with pytest.raises(InvalidArgument, match=r"^locally_connected2d needs a weight of 6 axes .*\*output size, "):
        sr.locally_connected2d(np.ones((1, 5, 5)), np.ones((1, 1, 3, 3)))
    with pytest.raises(InvalidArgument, match=r"^tiled_conv2d needs a weight of 6 axes .*\*tile, \*kernel\), got 3 "):
        sr.tiled_conv2d(np.ones((1, 5, 5)), np.ones((1, 3, 3)))
    with pytest.raises(
        InvalidArgument, match=r"^weight must have at least one kernel on every tile axis, got \(0, 1\)$"
    ):
        sr.tiled_conv2d(np.ones((1, 5, 5)), np.ones((1, 1, 0, 1, 3, 3)))
    with pytest.raises(InvalidArgument, match=r"^bias must have one value for each of the 2 output channels"):
        sr.tiled_conv2d(np.ones((1, 5, 5)), np.ones((2, 1, 1, 1, 3, 3)), np.ones((2, 3, 4)))
    with pytest.raises(InvalidArgument, match=r"^tiled_conv2d needs an input of 4 axes"):
        sr.tiled_conv2d(np.ones(5), np.ones((2, 1, 1, 1, 3, 3)))
