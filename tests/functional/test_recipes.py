"""Calls like an earlier one: the same results, the same errors, settings obeyed, and nothing that grows."""

import gc
import threading
from dataclasses import replace

import numpy as np
import pytest

import striderule as sr
from striderule.codegen import target
from striderule.errors import InvalidArgument, InvalidType, UnprovenRange
from striderule.functional import prepared, recipes
from striderule.functional.planned import plan_for

RANDOM = np.random.default_rng(3)


def noise(*shape, dtype="float32"):
    return RANDOM.standard_normal(shape).astype(dtype)


X, W, B = noise(2, 4, 9, 8), noise(6, 4, 3, 3), noise(6)


def memory_of(function):
    return recipes._marked[function][1]


@pytest.fixture(autouse=True)
def nothing_remembered():
    recipes.forget()
    yield
    recipes.forget()


@pytest.fixture
def planned(monkeypatch):
    """Count the calls that are planned, which those that are remembered are not."""
    calls = []
    monkeypatch.setattr(prepared, "plan_for", lambda *args: calls.append(args) or plan_for(*args))
    return calls


# A function, its first arrays, and its words.
CALLS = [
    (sr.conv1d, (noise(2, 3, 9), noise(4, 3, 3)), {"padding": "causal"}),
    (sr.conv2d, (X, W), {}),
    (sr.conv2d, (X, W, B), {"stride": (2, 1), "padding": [1, (0, 2)], "activation": ("leaky_relu", 0.2)}),
    (sr.conv2d, (X, W), {"bias": B, "boundary": ("wrap", "edge"), "padding": 1, "fill": 0.5, "dtype": np.float64}),
    (sr.conv2d, (X[0], W), {"residual": noise(6, 7, 6), "activation": "gelu"}),
    (sr.conv2d, (X[0, 0], W[0, 0]), {"dtype": "int16"}),
    (sr.conv2d, (X.transpose(0, 2, 3, 1), W), {"layout": "NHWC", "residual": noise(2, 7, 6, 6)}),
    (sr.conv2d, (X[0].transpose(1, 2, 0), W), {"layout": "NHWC", "bias": B}),
    (sr.conv2d, (X.astype("float16"), W.astype("float16")), {"bias": B.astype("float16")}),
    (sr.conv2d, (X.astype("int8"), W.astype("uint8")), {"padding": 1}),
    (sr.conv2d, ((X * 99).astype("int64"), (W * 99).astype("int64")), {"padding": 1}),
    (sr.conv2d, (X, W), {"algorithm": "reference"}),
    (sr.conv3d, (noise(1, 2, 5, 5, 5), noise(3, 2, 2, 2, 2)), {}),
    (sr.conv, (noise(1, 2, 5, 5), noise(3, 2, 2, 2)), {"rank": 2}),
    (sr.conv_transpose2d, (noise(1, 4, 5, 5), noise(4, 3, 3, 3)), {"stride": 2, "output_padding": 1}),
    (sr.locally_connected1d, (noise(1, 2, 5), noise(3, 2, 3, 3), noise(3, 3)), {}),
    (sr.depthwise_conv2d, (noise(4, 5, 5), noise(4, 2, 2)), {"activation": "relu"}),
    (sr.pointwise_conv2d, (noise(4, 5, 5), noise(2, 4)), {}),
]
SEPARABLE = [
    (sr.depthwise_separable_conv2d, (noise(1, 3, 6, 7), noise(3, 3, 3), noise(8, 3)), {"padding": 1}),
    (
        sr.depthwise_separable_conv2d,
        (noise(6, 7, 3), noise(6, 1, 3, 3), noise(8, 6, 1, 1), noise(8)),
        {"layout": "NHWC", "depthwise_bias": noise(6), "activation": "relu", "residual": noise(4, 5, 8)},
    ),
    (
        sr.depthwise_separable_conv2d,
        tuple((array * 3).astype("int8") for array in (noise(2, 3, 6, 7), noise(3, 3, 3), noise(8, 3))),
        {"depthwise_activation": "sigmoid"},
    ),
]
CALLS += SEPARABLE
NAMES = [f"{function.__name__}-{number}" for number, (function, _, _) in enumerate(CALLS)]


@pytest.mark.parametrize(("function", "arrays", "words"), CALLS, ids=NAMES)
def test_later_calls_give_the_same_bits_and_are_not_planned(function, arrays, words, planned):
    first = function(*arrays, **words)
    once = 3 if "separable" in function.__name__ else 1
    assert len(planned) == once
    expected = function(*(array.copy(order="K") for array in arrays), **words)
    again = function(*arrays, **words)
    assert len(planned) == once
    out = np.full_like(first, 7)
    assert function(*arrays, **words, out=out) is out
    assert function(*arrays, **words, out=out) is out
    assert len(planned) == 2 * once
    for result in (expected, again, out):
        assert (result.dtype, result.shape) == (first.dtype, first.shape)
        np.testing.assert_array_equal(result, first)
    other = [noise(*array.shape).astype(array.dtype) for array in arrays]
    recent = function(*other, **words)
    recipes.forget()
    np.testing.assert_array_equal(recent, function(*other, **words))
    assert len(memory_of(function)) == 1


@pytest.mark.parametrize(("function", "arrays", "words"), CALLS, ids=NAMES)
def test_compiled_calls_give_the_same_bits(function, arrays, words):
    f = sr.compile(function, *arrays, **words)
    for x in (arrays[0], noise(*arrays[0].shape).astype(arrays[0].dtype), arrays[0][..., ::-1].copy()[..., ::-1]):
        expected = function(x, *arrays[1:], **words)
        out = np.empty_like(expected)
        for result in (f(x), f(x), f(x, out=out), f(x, out=out)):
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(result, expected)


def test_words_that_are_equal_but_differ_are_told_apart():
    sr.conv2d(X, W, padding=1, groups=1)
    with pytest.raises(InvalidType, match="padding must be an integer, got True"):
        sr.conv2d(X, W, padding=True, groups=1)
    with pytest.raises(InvalidType, match=r"padding must be an integer, got 1.0"):
        sr.conv2d(X, W, padding=1.0, groups=1)
    sr.conv2d(X, W, padding=(1, 1))
    with pytest.raises(InvalidType, match="padding must be an integer, got True"):
        sr.conv2d(X, W, padding=(1, True))
    ones = np.full((1, 1, 1), -1.0, np.float32)
    zeros = [sr.conv1d(ones, -ones, padding=1, fill=fill) for fill in (0.0, -0.0, 0.0)]
    np.testing.assert_array_equal(np.signbit(zeros[0]), np.signbit(zeros[2]))
    assert len(memory_of(sr.conv1d)) == 2


def test_arrays_of_other_strides_types_and_order_are_told_apart():
    expected = sr.conv2d(X, W)
    for like in (np.asfortranarray(X), X[:, :, ::-1].copy()[:, :, ::-1], X.astype(">f4"), np.repeat(X, 2, 3)[..., ::2]):
        assert (like == X).all()
        for _ in range(2):
            np.testing.assert_allclose(sr.conv2d(like, W), expected, rtol=1e-5, atol=1e-5)
    for _ in range(2):
        assert sr.conv2d(X.astype(np.float64), W).dtype == np.float64
        assert sr.conv2d(X, W.astype(np.float64)).dtype == np.float64
        assert sr.conv2d(X, W, B.astype(np.float64)).dtype == np.float64


def test_unaligned_arrays_are_taken():
    shifted = np.empty(X.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(X.shape)
    shifted[...] = X
    assert not shifted.flags.aligned
    expected = sr.conv2d(X, W)
    for _ in range(2):
        np.testing.assert_array_equal(sr.conv2d(shifted, W), expected)
    out = np.empty(expected.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(expected.shape)
    for _ in range(2):
        np.testing.assert_array_equal(sr.conv2d(X, W, out=out), expected)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_what_is_no_plain_array_takes_the_long_way(tmp_path, planned):
    np.save(tmp_path / "x.npy", X)
    expected = sr.conv2d(X, W)
    for like in (np.load(tmp_path / "x.npy", mmap_mode="r"), X.tolist(), X.view(np.recarray)):
        for _ in range(2):
            result = sr.conv2d(like, W)
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
            assert type(result) is np.ndarray
    assert len(planned) == 7
    flat, row = np.matrix([[1.0, 2.0, 4.0]]), np.array([[1.0, -1.0]])
    for _ in range(2):
        assert sr.conv2d(flat, row).tolist() == [[-1.0, -2.0]]
        assert sr.conv2d(X[0, 0], W[0, 0], np.float32(2)).dtype == np.float32
    masked = np.ma.masked_array(X)
    for _ in range(2):
        with pytest.raises(InvalidType, match="x is a masked array"):
            sr.conv2d(masked, W)
    one = np.float32(3).reshape(())
    for _ in range(2):
        with pytest.raises(InvalidArgument, match=r"conv2d needs an input of 4 axes .*, got 0 \(shape \(\)\)"):
            sr.conv2d(one, W)


def test_arrays_among_the_words_are_looked_at_each_time():
    for step in (1, 2, 1):
        assert sr.conv2d(X, W, stride=np.array([step, step])).shape == sr.conv2d(X, W, stride=step).shape
        assert sr.conv2d(X, W, stride=np.int64(step)).shape == sr.conv2d(X, W, stride=step).shape
    assert len(memory_of(sr.conv2d)) == 2


def test_errors_are_the_same_each_time():
    out = np.empty((2, 6, 7, 6), np.float32)

    def good(**words):
        return sr.conv2d(X, W, **words)

    good(), good(out=out)
    whole = np.zeros(X.size + out.size, np.float32)
    inside = whole[: X.size].reshape(X.shape)
    inside[...] = X
    good(out=whole[X.size :].reshape(out.shape))
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="out overlaps an input"):
            sr.conv2d(inside, W, out=whole[X.size - 1 :][: out.size].reshape(out.shape))
        with pytest.raises(InvalidArgument, match="out must have the shape"):
            good(out=out[:1])
        with pytest.raises(InvalidArgument, match="out must have the type"):
            good(out=out.astype("float64"))
        with pytest.raises(InvalidArgument, match="so the input must have 4 channels"):
            sr.conv2d(X[:, :3], W)
        with pytest.raises(InvalidType, match="has no argument 'kernel'; write weight="):
            sr.conv2d(X, kernel=W)
        with pytest.raises(InvalidType, match="got both 'x' and 'input'"):
            sr.conv2d(X, W, input=X)
        with pytest.raises(TypeError, match="argument"):
            sr.conv2d(X)
        with pytest.raises(TypeError, match="nonsense"):
            good(nonsense=1)
    read_only = out.view()
    read_only.setflags(write=False)
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="out is read-only"):
            good(out=read_only)
    np.testing.assert_array_equal(good(out=out), good())


def test_out_may_be_the_residual_and_nothing_else():
    residual = noise(2, 6, 7, 6)
    expected = sr.conv2d(X, W, residual=residual)
    for _ in range(2):
        out = residual.copy()
        assert sr.conv2d(X, W, residual=out, out=out) is out
        np.testing.assert_array_equal(out, expected)
        alike = residual.copy()
        np.testing.assert_array_equal(sr.conv2d(X, W, residual=alike[...], out=alike), expected)
        both = np.zeros((3, 6, 7, 6), np.float32)
        with pytest.raises(InvalidArgument, match="out overlaps an input"):
            sr.conv2d(X, W, residual=both[:2], out=both[1:])
    # Interleaved, so that no element is shared.
    pair = np.zeros((2, 6, 7, 6, 2), np.float32)
    pair[..., 0] = residual
    for _ in range(2):
        np.testing.assert_array_equal(sr.conv2d(X, W, residual=pair[..., 0], out=pair[..., 1]), expected)


def test_the_limit_of_integers_is_found_each_time():
    x, w = np.full((1, 1, 4), 2, np.int64), np.full((1, 1, 2), 3, np.int64)
    for _ in range(2):
        assert sr.conv1d(x, w).tolist() == [[[12, 12, 12]]]
        assert sr.conv1d(x * 2**40, w).tolist() == [[[12 * 2**40] * 3]]
        with pytest.raises(UnprovenRange, match="may reach"):
            sr.conv1d(x * 2**60, w)
    small = np.full((1, 1, 4), -128, np.int8)
    for _ in range(2):
        assert sr.conv1d(small, small[..., :2]).tolist() == [[[2**15] * 3]]
    assert recipes.recipe_of(sr.conv1d, (x, w), {}) is not None


def test_keywords_and_positions_are_the_same_call():
    expected = sr.conv2d(X, W, B, 2, 1)
    for _ in range(2):
        np.testing.assert_array_equal(sr.conv2d(weight=W, padding=1, bias=B, input=X, stride=2), expected)
        np.testing.assert_array_equal(sr.conv2d(padding=1, stride=2, bias=B, x=X, weight=W), expected)
        np.testing.assert_array_equal(sr.conv2d(X, W, None, 2, 1), sr.conv2d(X, W, stride=2, padding=1))


def test_explain_asks_for_the_plan_each_time():
    sr.conv2d(X, W), sr.conv2d(X, W)
    assert sr.explain(sr.conv2d, X, W) == sr.explain(sr.conv2d, sr.Array(X.shape), W)
    assert sr.explain(sr.conv2d, sr.Array(X.shape), W, algorithm="reference").algorithm == "reference"
    plan = sr.explain(sr.compile(sr.conv2d, X, W), X)
    assert plan.packed
    # What packing costs is counted in the other.
    other = sr.explain(sr.conv2d, X, W)
    assert plan.algorithm == other.algorithm
    assert replace(plan, packed=False, candidates=(), chosen=other.chosen) == replace(other, candidates=())
    np.testing.assert_allclose(sr.conv2d(X, W), sr.conv2d(X, W, algorithm="windows"), rtol=1e-4, atol=1e-5)


def test_calls_are_remembered_for_their_target(monkeypatch, planned):
    monkeypatch.delenv("STRIDERULE_TARGET", raising=False)
    sr.conv2d(X, W), sr.conv2d(X, W)
    assert len(planned) == 1
    monkeypatch.setenv("STRIDERULE_TARGET", "sse2")
    target.forget()
    sr.conv2d(X, W), sr.conv2d(X, W)
    assert len(planned) == 2
    monkeypatch.setenv("STRIDERULE_TARGET", "none")
    target.forget()
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="STRIDERULE_TARGET must be one of"):
            sr.conv2d(X, W)
    monkeypatch.delenv("STRIDERULE_TARGET")
    target.forget()
    sr.conv2d(X, W)
    assert len(planned) == 4


def test_functions_remember_a_bounded_number_of_calls(monkeypatch):
    monkeypatch.setattr(recipes, "MOST", 8)
    for width in range(3, 40):
        sr.conv1d(np.ones((1, 1, width), np.float32), np.ones((1, 1, 3), np.float32))
    assert len(memory_of(sr.conv1d)) == 8


def test_several_threads_remember_together(monkeypatch):
    monkeypatch.setattr(recipes, "MOST", 5)
    w = np.ones((1, 1, 3), np.float32)
    wrong = []

    def calls(seed):
        for width in np.random.default_rng(seed).integers(3, 15, 200):
            x = np.full((1, 1, int(width)), seed, np.float32)
            if not (sr.conv1d(x, w) == 3 * seed).all():
                wrong.append((seed, width))
            if width == 9:
                recipes.forget()

    threads = [threading.Thread(target=calls, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(memory_of(sr.conv1d)) <= 5


def test_varying_shapes_take_no_more_memory():
    weight = np.ones((1, 1, 3), np.float32)

    def calls(first, last):
        for width in range(first, last):
            sr.conv1d(np.ones((1, 1, 3 + width), np.float32), weight, algorithm="windows")

    def living():
        gc.collect()
        return len(gc.get_objects())

    calls(0, 2200)  # fills everything that is bounded
    before = living()
    calls(2200, 2700)
    assert living() < before + 500


def test_long_lists_are_no_words():
    assert recipes._word([0] * 99) is recipes._UNKNOWN
    assert recipes._word(((((1,),),),)) is recipes._UNKNOWN
    assert recipes._word((1, object())) is recipes._UNKNOWN
    assert recipes._word((1, "a", None)) != recipes._word([1, "a", None])
    assert recipes._word(np.dtype("f4")) == recipes._word(np.dtype("float32"))
