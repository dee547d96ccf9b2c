"""What happens to the sums of every convolution of layers: bias, residual, activation, type, and where they go."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType

RNG = np.random.default_rng(1)
X = RNG.standard_normal((2, 4, 5, 6))
W = RNG.standard_normal((3, 4, 3, 3))
PLAIN = sr.conv2d(X, W)
ALGORITHMS = ("windows", "reference")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bias_residual_and_activation_in_this_order(algorithm):
    bias, residual = RNG.standard_normal(3), RNG.standard_normal(PLAIN.shape)
    one = {"algorithm": algorithm}
    sums = PLAIN + bias[:, None, None]
    np.testing.assert_allclose(sr.conv2d(X, W, bias, **one), sums, rtol=1e-12)
    np.testing.assert_allclose(sr.conv2d(X, W, bias, residual=residual, **one), sums + residual, rtol=1e-12, atol=1e-12)
    result = sr.conv2d(X, W, bias, residual=residual, activation="relu", **one)
    np.testing.assert_allclose(result, np.maximum(sums + residual, 0), rtol=1e-12, atol=1e-12)
    slope = sr.conv2d(X, W, bias, activation=("leaky_relu", 0.3), **one)
    np.testing.assert_allclose(slope, np.where(sums > 0, sums, 0.3 * sums), rtol=1e-12)


def test_operands_are_left_as_they_are():
    x, w, bias, residual = X.copy(), W.copy(), np.ones(3), np.ones(PLAIN.shape)
    sr.conv2d(x, w, bias, residual=residual, activation="relu")
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(w, W)
    assert (bias == 1).all()
    assert (residual == 1).all()


def test_a_1x1_result_is_no_view_of_the_input():
    x = np.ones((1, 1, 1, 1))
    for result in (sr.conv2d(x, x), sr.conv_transpose2d(x, x), sr.unfold(x, 1), sr.tiled_conv2d(x, x[..., None, None])):
        assert not np.shares_memory(result, x)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_residual_follows_layout_and_missing_axes(algorithm):
    one = {"algorithm": algorithm, "padding": 1}
    residual = RNG.standard_normal((5, 6, 3))
    moved = sr.conv2d(np.moveaxis(X[0], 0, -1), W, layout="NHWC", residual=residual, **one)
    np.testing.assert_allclose(np.moveaxis(moved, -1, 0), sr.conv2d(X[0], W, **one) + np.moveaxis(residual, -1, 0))
    bare = sr.conv2d(X[0, 0], W[0, 0], residual=residual[..., 0], **one)
    np.testing.assert_allclose(bare, sr.conv2d(X[0, 0], W[0, 0], **one) + residual[..., 0])


def test_bias_of_one_channel_may_be_a_number():
    np.testing.assert_array_equal(sr.conv2d(X[0, 0], W[0, 0], 2.0), sr.conv2d(X[0, 0], W[0, 0]) + 2)


def test_addends_promote_the_type():
    x, w = np.ones((1, 3), np.float32), np.ones((1, 1, 2), np.float32)
    assert sr.conv1d(x, w, np.ones(1)).dtype == np.float64
    assert sr.conv1d(x, w, np.ones(1, np.float16)).dtype == np.float32
    assert sr.conv1d(x, w, residual=np.full((1, 2), 1j, np.complex64)).tolist() == [[2 + 1j] * 2]
    ints = np.ones((1, 3), np.int8), np.ones((1, 1, 2), np.int8)
    assert sr.conv1d(*ints, np.ones(1, np.int8)).dtype == np.int32
    assert sr.conv1d(*ints, np.array([2**40])).tolist() == [[2**40 + 2] * 2]
    assert sr.conv1d(*ints, np.array([0.5], np.float32)).dtype == np.float32


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_activations_of_integers_work_on_the_exact_sums(algorithm):
    x, w = np.array([-3, 2, 100], np.int8), np.array([100], np.int8)
    one = {"algorithm": algorithm}
    relu = sr.conv1d(x, w, activation="relu", **one)
    assert (relu.dtype, relu.tolist()) == (np.int32, [0, 200, 10000])
    sigmoid = sr.conv1d(x, w, activation="sigmoid", **one)
    assert sigmoid.dtype == np.float64
    # narrowed after the activation, not before: -300 * 0.01 is not 0
    assert sr.conv1d(x, w, activation=("leaky_relu", 0.01), dtype=np.int8, **one).tolist() == [-3, 127, 127]
    assert sr.conv1d(x, w, activation=("leaky_relu", 0.01), dtype=np.uint8, **one).tolist() == [0, 200, 255]
    assert sr.conv1d(x, w, activation="relu", dtype=np.float16, **one).tolist() == [0, 200, 10000]


def test_float16_is_rounded_after_the_activation():
    x, w = np.array([2049, -2049], np.float16), np.ones(1, np.float16)
    assert sr.conv1d(x, w, [1e-3], activation="relu", dtype=np.float16).tolist() == [2048, 0]
    large = sr.conv1d(np.array([60000, 60000], np.float16), np.ones(2, np.float16), activation=("hardtanh", -1, 1))
    assert large.tolist() == [1]  # the sum does not fit float16, its activation does


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_out_takes_the_result(algorithm):
    one = {"algorithm": algorithm}
    for out in (
        np.empty(PLAIN.shape),
        np.empty(PLAIN.shape, order="F"),
        np.empty(PLAIN.shape)[:, ::-1, :, ::-1],
        np.empty((*PLAIN.shape, 2))[..., 0],
        np.moveaxis(np.empty((2, 3, 4, 3)), -1, 1),
    ):
        result = sr.conv2d(X, W, out=out, **one)
        assert result is out
        np.testing.assert_allclose(out, PLAIN, rtol=1e-12)
    out = np.empty(PLAIN.shape, np.float32)
    assert sr.conv2d(X, W, out=out, dtype=np.float32, **one) is out
    last = np.empty((3, 4, 3))
    sr.conv2d(np.moveaxis(X[0], 0, -1), W, layout="NHWC", out=last, **one)
    np.testing.assert_allclose(np.moveaxis(last, -1, 0), PLAIN[0], rtol=1e-12)
    empty = np.empty((0, 3, 3, 4))
    assert sr.conv2d(X[:0], W, out=empty, **one) is empty


def test_out_may_be_the_residual_itself():
    residual = RNG.standard_normal(PLAIN.shape)
    expected = sr.conv2d(X, W, residual=residual)
    assert sr.conv2d(X, W, residual=residual, out=residual) is residual
    np.testing.assert_array_equal(residual, expected)


def overlaps():
    """Yield (x, out) that share memory in ways that are refused."""
    store = np.ones(400)
    yield store[:16].reshape(4, 4), store[15:31].reshape(4, 4)
    yield store[:16].reshape(4, 4), store[:16].reshape(4, 4)
    yield store[:16].reshape(4, 4)[::-1], store[8:24].reshape(4, 4)
    yield store[:32:2].reshape(4, 4), store[2:34:2].reshape(4, 4)


def test_out_that_overlaps_an_operand_is_refused():
    message = "^out overlaps an input, which would be overwritten while it is read; pass another array$"
    for x, out in overlaps():
        before = out.copy()
        with pytest.raises(InvalidArgument, match=message):
            sr.conv2d(x, [[1.0]], out=out)
        np.testing.assert_array_equal(out, before)
    store = np.ones(32)
    image = store[:16].reshape(4, 4)
    others = {
        "weight": lambda: sr.conv2d(np.ones((4, 4)), store[:1].reshape(1, 1), out=image),
        "bias": lambda: sr.conv2d(np.ones((4, 4)), [[1.0]], store[3:4], out=image),
        "part of residual": lambda: sr.conv2d(np.ones((4, 4)), [[1.0]], residual=store[4:20].reshape(4, 4), out=image),
        "turned residual": lambda: sr.conv2d(np.ones((4, 4)), [[1.0]], residual=image.T, out=image),
        "x, also the residual": lambda: sr.conv2d(image, [[1.0]], residual=image, out=image),
    }
    for call in others.values():
        with pytest.raises(InvalidArgument, match=message):
            call()
    # interleaved, but apart
    interleaved = np.ones((4, 8))
    result = sr.conv2d(interleaved[:, ::2], [[2.0]], out=interleaved[:, 1::2])
    assert result.tolist() == [[2.0] * 4] * 4
    assert interleaved[:, ::2].tolist() == [[1.0] * 4] * 4


def test_out_that_overlaps_itself_is_refused():
    store = np.zeros(40)
    message = "^out overlaps itself: several of its elements share memory; pass an array of its own memory$"
    for strides in ((8, 8), (0, 8), (8, 0), (16, 8), (4, 32), (-8, 8), (24, 16)):
        out = as_strided(store[20:], (4, 4), strides)
        with pytest.raises(InvalidArgument, match=message):
            sr.conv2d(np.ones((4, 4)), [[1.0]], out=out)
    assert not store.any()
    for shape, strides in (
        ((4, 4), (32, 8)),
        ((4, 4), (8, 32)),
        ((3, 2), (16, 24)),
        ((4, 4), (-32, 8)),
        ((1, 4), (0, 8)),
    ):
        out = as_strided(store[20:], shape, strides)
        assert (sr.conv2d(np.ones(shape), [[3.0]], out=out) == 3).all()


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.full((4, 4), 7.0), InvalidArgument, r"^out must have the shape of the result \(3, 3\), got \(4, 4\)$"),
        (np.full(9, 7.0), InvalidArgument, r"^out must have the shape of the result \(3, 3\), got \(9,\)$"),
        (
            np.full((3, 3), 7, np.float32),
            InvalidArgument,
            "^out must have the type of the result float64, got float32; pass one of that type or none$",
        ),
        (np.full((3, 3), 7, ">f8"), InvalidArgument, "^out must have the type of the result float64, got >f8"),
        (
            np.broadcast_to(7.0, (3, 3)),
            InvalidArgument,
            "^out is read-only; pass an array that can be written, or leave it away$",
        ),
        ([[7.0] * 3] * 3, InvalidType, "^out must be a NumPy array, got list$"),
    ],
)
def test_out_that_cannot_hold_the_result_is_refused(out, error, message):
    for algorithm in ALGORITHMS:
        with pytest.raises(error, match=message):
            sr.conv2d(np.ones((4, 4)), np.ones((2, 2)), out=out, algorithm=algorithm)
    assert (np.asarray(out) == 7).all()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("mode", "boundary="),
        ("padding_mode", "boundary="),
        ("cval", "fill="),
        ("kernel", "weight="),
        ("strides", "stride="),
        ("data_format", "layout="),
    ],
)
def test_names_of_other_libraries_are_answered_with_ours(name, answer):
    with pytest.raises(InvalidType, match=f"^conv2d has no argument '{name}'; write {answer}"):
        sr.conv2d(np.ones((5, 5)), np.ones((3, 3)), **{name: "reflect"})


def test_a_transposed_convolution_has_no_boundary_to_offer():
    with pytest.raises(TypeError, match="unexpected keyword argument 'mode'"):
        sr.conv_transpose2d(np.ones((5, 5)), np.ones((3, 3)), mode="reflect")
    with pytest.raises(InvalidType, match="write stride="):
        sr.conv_transpose2d(np.ones((5, 5)), np.ones((3, 3)), strides=2)
