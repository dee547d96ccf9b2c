"""Convolutions whose algorithm can be bound: what it is told, what it is handed, and what comes out."""

import sys

import numpy as np
import pytest

import striderule as sr
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.windows import convolution as windows
from striderule.errors import InvalidArgument
from striderule.functional import prepared, recipes
from striderule.functional.layers import Axes
from striderule.functional.prepared import maker
from striderule.planning.schedule import sums_type

RANDOM = np.random.default_rng(5)


def noise(*shape, dtype="float32"):
    return RANDOM.standard_normal(shape).astype(dtype)


def same(array, info):
    """Tell whether an array is as was told; the step of an axis of one element says nothing."""
    if array is None or info is None:
        return array is info
    steps = [pair for n, *pair in zip(array.shape, array.strides, info.strides, strict=True) if n > 1]
    return array.shape == info.shape and array.dtype == info.dtype and all(one == other for one, other in steps)


class Spy:
    """Stands for a bound call: computes by `windows`, and refuses arrays other than those it was told of."""

    def __init__(self, problem, fill, words, weight=None):
        self.problem, self.fill, self.words, self.weight = problem, fill, words, weight

    def run(self, x, weight, bias, residual, out):
        told = self.words
        weight = weight if self.weight is None else self.weight
        for name, array in {"x": x, "weight": weight, "residual": residual, "out": out}.items():
            if name != "weight" or self.weight is None:
                assert same(array, told[name]), name
        sums = windows.convolution(self.problem, x, weight, self.fill)
        assert (bias is not None) == told["bias"]
        if bias is not None:
            assert (bias.shape, bias.flags.c_contiguous) == (self.problem.output_shape[1:2], True)
            assert bias.dtype == sums_type(self.problem)
            sums = sums + bias.reshape(-1, *(1,) * self.problem.rank)
        if residual is not None:
            sums = sums + residual
        if told["activation"] == ("leaky_relu", 0.01):
            sums = np.where(sums < 0, sums * np.float32(0.01), sums)
        out[...] = sums

    def packed(self, weight):
        return Spy(self.problem, self.fill, self.words, weight.copy())


@pytest.fixture(autouse=True)
def nothing_remembered():
    recipes.forget()
    yield
    recipes.forget()


@pytest.fixture
def told(monkeypatch):
    """Let `windows` offer to be bound; returns what it is told, and declines what `told.declines` says."""

    class Told(list):
        @staticmethod
        def declines(words):
            return False

    calls = Told()

    def bind(problem, fill, **words):
        calls.append(words)
        return None if calls.declines(words) else Spy(problem, fill, words)

    monkeypatch.setattr(windows, "bind", bind, raising=False)
    return calls


X, W, B = noise(2, 4, 9, 8), noise(6, 4, 3, 3), noise(6)
LAST = X.transpose(0, 2, 3, 1).copy()
CALLS = [
    ((X, W), {}),
    ((X, W, B), {"padding": 1, "fill": 2, "stride": 2}),
    ((X[0], W, B), {"residual": noise(6, 7, 6), "activation": "leaky_relu"}),
    ((X[0, 0], W[0, 0]), {"bias": np.float32([3])}),
    ((X[0, 0], W[0, 0]), {"bias": np.float32(3).reshape(())}),
    ((LAST, W, B), {"layout": "NHWC", "residual": noise(2, 7, 6, 6)}),
    ((LAST[0], W), {"layout": "NHWC"}),
    ((LAST.transpose(0, 3, 1, 2), W, B), {"residual": noise(2, 7, 6, 6).transpose(0, 3, 1, 2)}),
    ((LAST[0].transpose(2, 0, 1), W), {}),
    ((X, W, B.astype("float16")), {}),
    ((X, W, np.repeat(B, 2)[::2]), {}),
    ((X.astype("float64"), W, B), {"dtype": "float64"}),
    ((X.astype("int8"), W.astype("int8"), B.astype("int8")), {}),
]
DECLINES = [
    lambda words: False,
    lambda words: words["bias"] or words["residual"] is not None or words["activation"] is not None,
    lambda words: words["out"].strides[-1] != words["out"].dtype.itemsize,
    lambda words: words["activation"] is not None,
    lambda words: True,
]


@pytest.mark.parametrize("declines", DECLINES)
@pytest.mark.parametrize(("arrays", "words"), CALLS)
def test_bound_or_not_the_results_are_the_same(arrays, words, declines, told, monkeypatch):
    told.declines = declines
    words = {**words, "algorithm": "windows"}
    results = [sr.conv2d(*arrays, **words) for _ in range(2)]
    out, turned = np.empty_like(results[0]), np.empty(results[0].shape[::-1], results[0].dtype).T
    for own in (out, out, turned, turned):
        assert sr.conv2d(*arrays, **words, out=own) is own
        results.append(own.copy())
    f = sr.compile(sr.conv2d, *arrays, **words)
    results += [f(arrays[0]), f(arrays[0]), f(arrays[0], out=turned), f(arrays[0], out=turned), f(arrays[0], out=out)]
    assert told
    monkeypatch.delattr(windows, "bind")
    recipes.forget()
    expected = sr.conv2d(*arrays, **words)
    for number, result in enumerate(results):
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5, err_msg=str(number))


def test_what_the_algorithm_is_told(told):
    residual = noise(7, 6, 6)
    sr.conv2d(LAST[0], W, B, layout="NHWC", residual=residual, activation=("leaky_relu", 0.3), algorithm="windows")
    assert told == [
        {
            "x": ArrayInfo((1, 4, 9, 8), (0, 4, 128, 16), np.dtype("float32")),
            "weight": ArrayInfo((6, 4, 3, 3), W.strides, np.dtype("float32")),
            "bias": True,
            "residual": ArrayInfo((1, 6, 7, 6), (0, 4, 144, 24), np.dtype("float32")),
            "activation": ("leaky_relu", 0.3),
            "out": ArrayInfo((1, 6, 7, 6), (0, 4, 144, 24), np.dtype("float32")),
        }
    ]
    for word, words in {
        "relu": ("relu",),
        "hardtanh": ("hardtanh", -1.0, 1.0),
        ("hardtanh", -2): ("hardtanh", -2, 1.0),
        "gelu": ("gelu", "none"),
        "leaky_relu": ("leaky_relu", 0.01),
        "tanh": ("tanh",),
    }.items():
        sr.conv2d(X, W, activation=word, algorithm="windows")
        assert told[-1]["activation"] == words


def test_depthwise_weights_are_told_with_their_canonical_axes(told):
    weight = noise(4, 3, 3)
    for _ in range(2):
        result = sr.depthwise_conv2d(X, weight, algorithm="windows")
        np.testing.assert_array_equal(result, sr.depthwise_conv2d(X, weight[:, None], algorithm="windows"))
    assert {words["weight"].shape for words in told} == {(4, 1, 3, 3)}
    with pytest.raises(InvalidArgument, match="out overlaps an input"):
        sr.depthwise_conv2d(X, weight, out=X[:, :, :7, :6])


def test_the_result_stands_in_memory_as_x_does(told):
    def conv2d(x, **words):
        return sr.conv2d(x, W, **words, algorithm="windows")

    for _ in range(2):
        assert conv2d(X).flags.c_contiguous
        assert conv2d(LAST, layout="NHWC").flags.c_contiguous
        assert conv2d(LAST.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1).flags.c_contiguous
        assert conv2d(X.transpose(0, 2, 3, 1), layout="NHWC").transpose(0, 3, 1, 2).flags.c_contiguous
        assert conv2d(np.broadcast_to(X[:1, :1], (2, 4, 9, 8))).flags.c_contiguous


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
def test_results_are_made_with_the_channels_where_they_are_wanted(missing, last, wanted):
    axes = Axes(2, missing, last and missing < 2)
    made = maker(axes, axes.given((1, 3, 5, 7)), np.dtype("float32"), last=wanted)()
    image = axes.canonical(made)
    assert image.shape == (1, 3 if missing < 2 else 1, 5, 7)
    assert (image.transpose(0, 2, 3, 1) if wanted and missing < 2 else image).flags.c_contiguous


def test_weights_are_packed_once(told, monkeypatch):
    packed = []
    pack = Spy.packed
    monkeypatch.setattr(Spy, "packed", lambda self, weight: packed.append(weight) or pack(self, weight))
    weight = W.copy()
    f = sr.compile(sr.conv2d, X, weight, B, algorithm="windows")
    expected = sr.conv2d(X, W, B, algorithm="windows")
    weight[...] = 0
    for _ in range(3):
        np.testing.assert_array_equal(f(X), expected)
    assert len(packed) == 1


def test_nothing_holds_on_to_the_arrays_of_a_call(told):
    x, weight, bias, residual, out = X.copy(), W.copy(), B.copy(), noise(2, 6, 7, 6), noise(2, 6, 7, 6)
    arrays = (x, weight, bias, residual, out)
    before = [sys.getrefcount(array) for array in arrays]
    for algorithm in ("windows", None):
        for _ in range(2):
            sr.conv2d(x, weight, bias, residual=residual, out=out, algorithm=algorithm)
    assert [sys.getrefcount(array) for array in arrays] == before


def test_layers_are_bound():
    layer = sr.nn.ConvLayer(4, 6, 3, padding=1, seed=0)
    f, expected = sr.compile(layer, X), layer(X)
    with layer.edit():
        layer.weight[...] = 0
    assert f._ready
    for _ in range(2):
        np.testing.assert_array_equal(f(X), expected)


@pytest.mark.parametrize("dtype", [None, "int32", "int8"])
def test_compiled_integers_are_proved_once(monkeypatch, dtype):
    """Of weights and a bias of 32 bits that do not change, whatever bytes come."""
    weight, bias = RANDOM.integers(-128, 128, (5, 7, 3, 3)).astype("int8"), RANDOM.integers(-(10**6), 10**6, 5)
    x, words = np.full((2, 7, 9, 20), -128, "int8"), {"padding": 1, "dtype": dtype}
    expected = sr.conv2d(x.astype("int64"), weight, bias, padding=1)
    f = sr.compile(sr.conv2d, sr.Array(x.shape, "int8"), weight, bias.astype("int32"), **words)
    monkeypatch.setattr(prepared, "integer_bound", None)
    limits = np.iinfo(dtype or "int64")
    for image in (x, np.asfortranarray(x)):
        np.testing.assert_array_equal(f(image), expected.clip(limits.min, limits.max))
    monkeypatch.undo()
    # Where 32 bits may not do, each call is proved.
    large = sr.compile(sr.conv2d, sr.Array(x.shape, "int8"), weight, np.full(5, 2**31 - 1, "int32"), padding=1)
    assert (large(x) == expected - bias[:, None, None] + (2**31 - 1)).all()
