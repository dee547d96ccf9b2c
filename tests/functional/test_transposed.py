"""Transposed convolutions against plain loops, and against the convolutions that they transpose."""

import numpy as np
import pytest

import striderule as sr
from oracles.layers import draw_convolution, draw_transposed, looped_transposed, per_axis, per_side, values

ALGORITHMS = ("direct", "windows", "reference")
BY_RANK = {1: sr.conv_transpose1d, 2: sr.conv_transpose2d, 3: sr.conv_transpose3d}
FORWARD = {1: sr.conv1d, 2: sr.conv2d, 3: sr.conv3d}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64", "complex128"])
def test_drawn_cases_equal_the_loops(dtype, algorithm):
    rng = np.random.default_rng(1)
    bound = {"int64": 0, "float32": 1e-6, "float64": 1e-14, "complex128": 1e-14}[dtype]
    for _ in range(80):
        x_shape, weight_shape, keywords = draw_transposed(rng)
        x, weight = values(rng, x_shape, dtype), values(rng, weight_shape, dtype)
        expected = looped_transposed(x, weight, **keywords).astype(np.complex128)
        size = looped_transposed(abs(x), abs(weight), **keywords).astype(float)
        result = BY_RANK[x.ndim - 2](x, weight, algorithm=algorithm, **keywords)
        assert result.dtype == dtype
        assert result.shape == expected.shape
        assert np.linalg.norm(result - expected) <= bound * np.linalg.norm(size), (x_shape, weight_shape, keywords)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_it_is_the_transpose_of_the_convolution(rank):
    # <conv(x), y> = <x, conv_transpose(y)> for every x and y: exact with integers
    rng = np.random.default_rng(2)
    for _ in range(60):
        x_shape, weight_shape, keywords = draw_convolution(rng, rank)
        keywords.pop("boundary")
        keywords.pop("fill")
        x, weight = values(rng, x_shape, "int64"), values(rng, weight_shape, "int64")
        forward = FORWARD[rank](x, weight, **keywords)
        y = values(rng, forward.shape, "int64")
        steps, gaps = (per_axis(keywords[word], rank) for word in ("stride", "dilation"))
        pads = per_side(keywords["padding"], rank)
        axes = zip(x_shape[2:], weight_shape[2:], steps, gaps, pads, strict=True)
        # relation 14 of arXiv:1603.07285: what the stride left over
        rest = tuple((n + sum(p) - d * (k - 1) - 1) % s for n, k, s, d, p in axes)
        back = BY_RANK[rank](y, weight, output_padding=rest, **keywords)
        assert back.shape == x.shape
        assert (forward * y).sum() == (x * back).sum()


def test_by_hand():
    for algorithm in ALGORITHMS:
        one = {"algorithm": algorithm}
        assert sr.conv_transpose1d([1, 2], [1, 10, 100], **one).tolist() == [1, 12, 120, 200]
        assert sr.conv_transpose1d([1, 2], [1, 10, 100], stride=2, **one).tolist() == [1, 10, 102, 20, 200]
        assert sr.conv_transpose1d([1, 2], [1, 10, 100], stride=2, padding=1, **one).tolist() == [10, 102, 20]
        assert sr.conv_transpose1d([1, 2], [1, 10], stride=3, output_padding=1, **one).tolist() == [1, 10, 0, 2, 20, 0]
        assert sr.conv_transpose1d([1, 2], [1, 10], dilation=3, **one).tolist() == [1, 2, 0, 10, 20]
        assert sr.conv_transpose1d([1, 2], [1, 10], padding=((1, -2),), **one).tolist() == [12, 20, 0, 0]
        assert sr.conv_transpose1d([1, 2], [1, 10, 100], stride=2, padding="same", **one).tolist() == [1, 10, 102, 20]
        lower = sr.conv_transpose1d([1, 2], [1, 10, 100], stride=2, padding="same_lower", **one)
        assert lower.tolist() == [10, 102, 20, 200]
        valid = sr.conv_transpose1d([1, 2], [1, 10, 100], 5, 2, "valid", **one)
        assert valid.tolist() == [6, 15, 107, 25, 205]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layouts_and_missing_axes(rank, algorithm):
    rng = np.random.default_rng(3)
    function, one = BY_RANK[rank], {"algorithm": algorithm, "stride": 2}
    x, weight = values(rng, (2, 4, *(3, 4, 2)[:rank]), "int16"), values(rng, (4, 3, *[2] * rank), "int8")
    expected = function(x, weight, groups=2, **one)
    assert expected.dtype == np.int32
    np.testing.assert_array_equal(function(x[0], weight, groups=2, **one), expected[0])
    moved = function(np.moveaxis(x, 1, -1), weight, groups=2, layout="channels_last", **one)
    np.testing.assert_array_equal(np.moveaxis(moved, -1, 1), expected)
    bare = function(x[0, 0], weight[0, 0], **one)
    np.testing.assert_array_equal(bare, function(x[:1, :1], weight[:1, :1], **one)[0, 0])
    frozen = np.flip(np.flip(x).copy())
    frozen.flags.writeable = False
    np.testing.assert_array_equal(function(frozen, np.asfortranarray(weight), groups=2, **one), expected)
    np.testing.assert_array_equal(function(x.astype(">i2"), weight, groups=2, **one), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_arrays(algorithm):
    one = {"algorithm": algorithm}
    assert sr.conv_transpose1d(np.ones((0, 2, 3)), np.ones((2, 4, 3)), **one).shape == (0, 4, 5)
    assert sr.conv_transpose1d(np.ones((1, 2, 3)), np.ones((2, 0, 3)), **one).shape == (1, 0, 5)
    nothing = sr.conv_transpose1d(np.ones((1, 0, 3)), np.ones((0, 4, 3)), np.arange(4.0), **one)
    assert nothing.tolist() == [[[float(c)] * 5 for c in range(4)]]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_epilogue(algorithm):
    rng = np.random.default_rng(4)
    x, weight, bias = values(rng, (2, 3, 4), "float64"), values(rng, (3, 2, 3), "float64"), np.array([1.0, -1.0])
    residual = values(rng, (2, 2, 9), "float64")
    plain = sr.conv_transpose1d(x, weight, stride=2, algorithm=algorithm)
    out = np.empty_like(residual)
    result = sr.conv_transpose1d(
        x, weight, bias, stride=2, residual=residual, activation="relu", out=out, algorithm=algorithm
    )
    assert result is out
    np.testing.assert_allclose(out, np.maximum(plain + bias[:, None] + residual, 0), rtol=1e-12, atol=1e-12)
    assert sr.conv_transpose1d([100, 100], [1, 2], dtype=np.uint8, algorithm=algorithm).tolist() == [100, 255, 200]


def test_precision_and_batch():
    for terms in (3, 15, 30):
        for dtype, bound in ((np.float32, 1e-5), (np.float64, 1e-14)):
            x, weight = np.full((1, 3, 60, 60), 0.1, dtype), np.full((3, 2, terms, terms), 0.7, dtype)
            counts = sr.conv_transpose2d(np.ones((1, 3, 60, 60), int), np.ones((3, 2, terms, terms), int))
            exact = counts * (np.float64(dtype(0.1)) * np.float64(dtype(0.7)))
            np.testing.assert_allclose(sr.conv_transpose2d(x, weight), exact, rtol=bound)
    rng = np.random.default_rng(5)
    x, weight = values(rng, (4, 8, 17, 19), "float32"), values(rng, (8, 5, 3, 3), "float32")
    exact = sr.conv_transpose2d(x.astype(float), weight.astype(float), stride=2)
    result = sr.conv_transpose2d(x, weight, stride=2)
    assert np.linalg.norm(result - exact) <= 1e-6 * np.linalg.norm(exact)
    for n in range(4):
        assert sr.conv_transpose2d(x[n], weight, stride=2).tobytes() == result[n].tobytes()


def test_nan_and_infinity_stay_where_they_are_spread():
    x = np.array([1.0, np.nan, np.inf, 2.0])
    for algorithm in ALGORITHMS:
        result = sr.conv_transpose1d(x, [1.0, 0.0], algorithm=algorithm)
        np.testing.assert_array_equal(result, [1, np.nan, np.nan, np.nan, 0])
        np.testing.assert_array_equal(
            sr.conv_transpose1d(x, [1.0, -1.0], algorithm=algorithm)[2:], [np.nan, -np.inf, -2]
        )
