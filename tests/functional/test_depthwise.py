"""Depthwise, pointwise and depthwise separable convolutions against the dense loops."""

import numpy as np
import pytest

import striderule as sr
from oracles.layers import draw_convolution, looped_convolution, values
from striderule.errors import InvalidArgument, UnprovenRange

ALGORITHMS = ("windows", "reference")
BY_RANK = {1: sr.depthwise_conv1d, 2: sr.depthwise_conv2d, 3: sr.depthwise_conv3d}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_channel_has_kernels_of_its_own(rank, algorithm):
    rng = np.random.default_rng(1)
    for _ in range(40):
        x_shape, weight_shape, keywords = draw_convolution(rng, rank)
        channels, multiplier = x_shape[1], int(rng.integers(1, 4))
        x = values(rng, x_shape, "int64")
        weight = values(rng, (channels * multiplier, 1, *weight_shape[2:]), "int64")
        del keywords["groups"]
        expected = looped_convolution(x, weight, groups=channels, **keywords).astype(np.int64)
        function = BY_RANK[rank]
        np.testing.assert_array_equal(function(x, weight, algorithm=algorithm, **keywords), expected)
        np.testing.assert_array_equal(function(x, weight[:, 0], algorithm=algorithm, **keywords), expected)
        np.testing.assert_array_equal(function(x[0], weight, algorithm=algorithm, **keywords), expected[0])
        moved = function(np.moveaxis(x, 1, -1), weight, layout="channels_last", algorithm=algorithm, **keywords)
        np.testing.assert_array_equal(np.moveaxis(moved, -1, 1), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_bare_arrays(rank):
    x, weight = np.arange(4.0**rank).reshape((4,) * rank), np.arange(2.0**rank).reshape((2,) * rank)
    np.testing.assert_array_equal(BY_RANK[rank](x, weight), sr.conv(x, weight, rank=rank))


def test_outputs_of_a_channel_stand_together():
    result = sr.depthwise_conv1d([[1, 2], [3, 4]], [[1], [10], [100], [1000]], [0, 0, 5, 0])
    assert result.tolist() == [[1, 2], [10, 20], [305, 405], [3000, 4000]]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pointwise_mixes_channels(algorithm):
    rng = np.random.default_rng(2)
    x, weight = values(rng, (2, 6, 3, 4), "int32"), values(rng, (4, 3), "int32")
    one = {"groups": 2, "algorithm": algorithm}
    expected = looped_convolution(x, weight[:, :, None, None], groups=2, stride=2).astype(np.int64)
    np.testing.assert_array_equal(sr.pointwise_conv2d(x, weight, None, 2, **one), expected)
    np.testing.assert_array_equal(sr.pointwise_conv2d(x, weight[:, :, None, None], stride=2, **one), expected)
    moved = sr.pointwise_conv2d(x[0].transpose(1, 2, 0), weight, [1, 2, 3, 4], layout="NHWC", stride=2, **one)
    np.testing.assert_array_equal(moved.transpose(2, 0, 1), expected[0] + np.array([1, 2, 3, 4])[:, None, None])


def separable(x, depthwise, pointwise, between=lambda values: values, **keywords):
    """Return the two steps by the loops."""
    inner = between(looped_convolution(x, depthwise, groups=x.shape[1], **keywords))
    return looped_convolution(inner, pointwise[:, :, None, None])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_separable_is_depthwise_then_pointwise(algorithm):
    rng = np.random.default_rng(3)
    for _ in range(25):
        x_shape, weight_shape, keywords = draw_convolution(rng, 2)
        del keywords["groups"]
        channels, multiplier = x_shape[1], int(rng.integers(1, 3))
        x = values(rng, x_shape, "int64")
        depthwise = values(rng, (channels * multiplier, 1, *weight_shape[2:]), "int64")
        pointwise = values(rng, (3, channels * multiplier), "int64")
        expected = separable(x, depthwise, pointwise, **keywords).astype(np.int64)
        result = sr.depthwise_separable_conv2d(x, depthwise, pointwise, algorithm=algorithm, **keywords)
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, expected)
        floats = sr.depthwise_separable_conv2d(
            *(part.astype(np.float32) for part in (x, depthwise[:, 0], pointwise[:, :, None, None])),
            algorithm=algorithm,
            **keywords,
        )
        assert floats.dtype == np.float32
        np.testing.assert_array_equal(floats, expected)  # small integers are exact in float32


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_separable_with_everything_between_and_behind(algorithm):
    rng = np.random.default_rng(4)
    x, first, second = values(rng, (2, 3, 5, 5), "f8"), values(rng, (3, 3, 3), "f8"), values(rng, (4, 3), "f8")
    bias, between, residual = np.arange(4.0), np.arange(3.0), values(rng, (2, 4, 5, 5), "f8")
    out = np.empty_like(residual)
    result = sr.depthwise_separable_conv2d(
        x, first, second, bias, padding="same", depthwise_bias=between, depthwise_activation="relu", residual=residual,
        activation=("leaky_relu", 0.1), out=out, algorithm=algorithm,
    )  # fmt: skip
    inner = looped_convolution(x, first[:, None], groups=3, padding=1).astype(float) + between[:, None, None]
    sums = np.einsum("oc,nchw->nohw", second, np.maximum(inner, 0)) + bias[:, None, None] + residual
    assert result is out
    np.testing.assert_allclose(out, np.where(sums > 0, sums, 0.1 * sums), rtol=1e-12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_types_between_the_steps(algorithm):
    one = {"algorithm": algorithm}
    x = np.full((1, 1, 2), 300, np.float16)
    # 90000 does not fit float16, and need not
    half = sr.depthwise_separable_conv2d(x, x[:, :, :1], np.array([[0.5]], np.float16), **one)
    assert half.tolist() == [[[np.float16(45000)] * 2]]
    bytes_ = np.full((1, 1, 2), 127, np.int8)
    large = np.full((3, 1, 1, 1), 127, np.int8)
    result = sr.depthwise_separable_conv2d(bytes_, large, np.full((1, 3), 127, np.int8), **one)
    assert (result.dtype, result.tolist()) == (np.int32, [[[3 * 127**3] * 2]])
    many = np.full((2000, 1, 1, 1), 127, np.int8)
    with pytest.raises(UnprovenRange, match=r"^the exact result does not fit int32; pass dtype=numpy.int64"):
        sr.depthwise_separable_conv2d(bytes_, many, np.full((1, 2000), 127, np.int8), **one)
    wide = sr.depthwise_separable_conv2d(bytes_, many, np.full((1, 2000), 127, np.int8), dtype=np.int64, **one)
    assert wide.tolist() == [[[2000 * 127**3] * 2]]
    narrow = sr.depthwise_separable_conv2d(bytes_, large, np.ones((1, 3), np.int8), dtype=np.uint8, **one)
    assert narrow.tolist() == [[[255, 255]]]
    # what an activation makes of integers is not rounded between the steps
    halves = sr.depthwise_separable_conv2d(
        np.zeros((1, 1, 2), np.int8), large, np.ones((1, 3), np.int8), depthwise_activation="sigmoid", **one
    )
    assert halves.tolist() == [[[1.5, 1.5]]]
    assert sr.depthwise_separable_conv2d(
        np.zeros((1, 1, 2), np.int8), large, np.ones((1, 3), np.int8), depthwise_activation="sigmoid", dtype=int, **one
    ).tolist() == [[[2, 2]]]
    relu = sr.depthwise_separable_conv2d(-bytes_, large, np.ones((1, 3), np.int8), depthwise_activation="relu", **one)
    assert (relu.dtype, relu.tolist()) == (np.int32, [[[0, 0]]])


X = np.ones((1, 4, 5, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: sr.depthwise_conv2d(X, np.ones((6, 3, 3))),
            r"^depthwise_conv2d needs a multiple of the 4 input channels as the first axis of weight, got 6$",
        ),
        (
            lambda: sr.depthwise_conv2d(X, np.ones((4, 2, 3, 3))),
            r"^depthwise_conv2d needs a weight \(channels \* multiplier, 1, height, width\) or .* \(4, 2, 3, 3\)$",
        ),
        (lambda: sr.depthwise_conv1d(X[0], np.ones((4, 1, 1, 3))), r"^depthwise_conv1d needs a weight"),
        (lambda: sr.depthwise_conv2d(X[:, :0], np.ones((4, 3, 3))), r"multiple of the 0 input channels"),
        (
            lambda: sr.depthwise_conv2d(np.ones((5, 5)), np.ones((4, 3, 3))),
            r"^depthwise_conv2d needs an input of 4 axes",
        ),
        (
            lambda: sr.pointwise_conv2d(X, np.ones((2, 4, 3, 3))),
            r"^pointwise_conv2d needs a weight .* got the shape \(2, 4, 3, 3\); for larger kernels use conv2d$",
        ),
        (lambda: sr.pointwise_conv2d(X, np.ones((2, 3))), r"so the input must have 3 channels, got 4"),
        (lambda: sr.pointwise_conv2d(X[0, 0], np.ones((2, 3))), r"^pointwise_conv2d needs an input of 4 axes"),
        (
            lambda: sr.depthwise_separable_conv2d(X, np.ones((6, 3, 3)), np.ones((2, 6))),
            r"^depthwise_separable_conv2d needs a multiple of the 4 input channels .* of depthwise_weight",
        ),
        (
            lambda: sr.depthwise_separable_conv2d(X, np.ones((4, 3, 3)), np.ones((2, 4, 3, 3))),
            r"^depthwise_separable_conv2d needs a pointwise_weight \(out channels, channels / groups\)",
        ),
        (
            lambda: sr.depthwise_separable_conv2d(X, np.ones((4, 3, 3)), np.ones((2, 3))),
            r"^weight has 3 input channels a group and groups=1, so the input must have 3 channels, got 4",
        ),
        (
            lambda: sr.depthwise_separable_conv2d(X[0, 0], np.ones((3, 3)), np.ones((2, 1))),
            r"^depthwise_separable_conv2d needs an input of 4 axes",
        ),
        (
            lambda: sr.depthwise_separable_conv2d(X, np.ones((4, 3, 3)), np.ones((2, 4)), depthwise_bias=np.ones(3)),
            r"^depthwise_bias must have one value for each of the 4 output channels, got the shape \(3,\)$",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_separable_out_is_checked_against_every_operand():
    store = np.ones(200)
    x, out = store[:100].reshape(1, 4, 5, 5), store[50:150].reshape(1, 4, 5, 5)
    weights = np.ones((4, 1, 1)), np.ones((4, 4))
    with pytest.raises(InvalidArgument, match=r"^out overlaps an input"):
        sr.depthwise_separable_conv2d(x, *weights, out=out)
    assert sr.depthwise_separable_conv2d(x.copy(), *weights, out=out) is out
    residual = np.ones((1, 4, 5, 5))
    result = sr.depthwise_separable_conv2d(X, *weights, residual=residual, out=residual)
    assert result is residual
    assert (result == 5).all()
    between = np.ones((4, 1, 1))
    with pytest.raises(InvalidArgument, match=r"^out overlaps an input"):
        sr.depthwise_separable_conv2d(np.ones((4, 1, 1)), *weights, depthwise_bias=between[:, 0, 0], out=between)
