"""Long kernels by transforms: values, the promise for data of any kind, and images that must not be mixed."""

import numpy as np
import pytest

import striderule as sr
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.fourier import convolution as fourier
from striderule.algorithms.fourier import stencil
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import stencil as windows_stencil
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import transforms


def drawn(rng):
    """Draw a problem that has an output."""
    while True:
        groups = int(rng.integers(1, 4))
        x = (int(rng.integers(1, 4)), groups * int(rng.integers(1, 4)), int(rng.integers(1, 300)))
        weight = (groups * int(rng.integers(1, 4)), x[1] // groups, int(rng.integers(1, 60)))
        words = {
            "dilation": int(rng.integers(1, 4)),
            "padding": [tuple(rng.integers(-2, 60, 2).tolist())],
            "boundary": str(rng.choice(["constant", "edge", "mirror", "symmetric", "wrap"])),
            "dtype": str(rng.choice(["float32", "float64"])),
        }
        try:
            return Convolution.from_shapes(x, weight, groups=groups, **words)
        except InvalidArgument:
            continue


def operands(problem, rng):
    x = rng.normal(size=(problem.batch, problem.in_channels, *problem.size)).astype(problem.dtype)
    return x, rng.normal(size=(problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)).astype(
        problem.dtype
    )


def never(*_):
    raise AssertionError("it gave way")


def promised(problem, x, weight, got, promise):
    """Tell whether the error is within a part of the norm of |x| correlated with |w|, by exact sums."""
    exact = windows.convolution(problem, x.astype(np.longdouble), weight.astype(np.longdouble), 0)
    size = windows.convolution(problem, np.abs(x).astype(np.longdouble), np.abs(weight).astype(np.longdouble), 0)
    return np.linalg.norm((got - exact).astype(float)) <= promise * np.linalg.norm(size.astype(float))


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_definition(seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng)
    x, weight = operands(problem, rng)
    expected = windows.convolution(problem, x.astype(float), weight.astype(float), 0.5)
    got = fourier.convolution(problem, x, weight, 0.5)
    assert got.dtype == problem.dtype
    unit = np.finfo(problem.dtype).eps
    assert np.abs(got - expected).max() <= 20 * unit * np.sqrt(problem.terms) * max(1, np.abs(expected).max())


@pytest.mark.parametrize("size", [4001, 8192, 40_000])
@pytest.mark.parametrize("kernel", [255, 1000, 2048])
def test_blocks_of_long_signals(size, kernel, monkeypatch):
    monkeypatch.setattr(direct, "convolution", never)
    rng = np.random.default_rng(1)
    problem = Convolution.from_shapes((1, 2, size), (3, 2, kernel), padding=kernel // 2, dtype="float64")
    x, weight = operands(problem, rng)
    expected = np.stack([sum(np.correlate(np.pad(x[0, c], kernel // 2), w[c]) for c in range(2)) for w in weight])
    assert np.linalg.norm(fourier.convolution(problem, x, weight)[0] - expected) <= 1e-14 * np.linalg.norm(expected) * 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["random", "constant", "decades", "spike", "loud edge"])
def test_the_promise_holds_for_any_finite_data(dtype, kind):
    """At most 1e-5 (float32), 1e-14 (float64) of the norm of |x| correlated with |w|."""
    rng = np.random.default_rng(2)
    n, k = 3000, 301
    x, weight = rng.normal(size=(1, 1, n)), rng.normal(size=(1, 1, k))
    if kind == "constant":
        x[...], weight[...] = 1 / 3, 1 / 7
    elif kind == "decades":
        x *= 10.0 ** rng.integers(-18, 18, x.shape)
        weight *= 10.0 ** rng.integers(-18, 18, weight.shape)
    elif kind == "spike":
        x[...], x[0, 0, 1500] = 1e-12, 1e12
    elif kind == "loud edge":  # the loudest input meets the quietest tap alone: transforms would drown the rest
        x[0, 0, 0], weight[0, 0, 0] = 1e30, 1e-30
    x, weight = x.astype(dtype), weight.astype(dtype)
    problem = Convolution.from_shapes(x.shape, weight.shape, dtype=dtype)
    got = fourier.convolution(problem, x, weight)
    assert promised(problem, x, weight, got, {"float32": 1e-5, "float64": 1e-14}[dtype])


def test_a_loud_edge_gives_way_and_others_do_not(monkeypatch):
    gave_way = []
    monkeypatch.setattr(direct, "convolution", lambda problem, x, *_: gave_way.append(x) or x[..., :2700])
    x, weight = np.random.default_rng(3).normal(size=(4, 1, 3000)), np.ones((1, 1, 301))
    x[2, 0, 0], weight[0, 0, 0] = 1e30, 1e-30
    fourier.convolution(Convolution.from_shapes(x.shape, weight.shape, dtype="float64"), x, weight)
    assert len(gave_way) == 1
    assert (gave_way[0] == x[2]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "weight", "fill"])
def test_special_values_stand_where_the_definition_puts_them(value, where):
    rng = np.random.default_rng(4)
    x, weight = rng.normal(size=(2, 1, 90)).astype("f"), rng.normal(size=(2, 1, 7)).astype("f")
    fill = 0.0
    if where == "x":
        x[1, 0, 40] = value
    elif where == "weight":
        weight[0, 0, 6] = value
    else:
        fill = float(value)
    problem = Convolution.from_shapes(x.shape, weight.shape, padding=3)
    expected = reference.convolution(problem, x, weight, fill)
    got = fourier.convolution(problem, x, weight, fill)
    assert (np.isnan(expected) == np.isnan(got)).all()
    assert (np.isinf(expected) == np.isinf(got)).all()


def test_the_same_bits_for_any_batch_and_memory_order():
    rng = np.random.default_rng(5)
    x, weight = rng.normal(size=(5, 2, 3001)).astype("f"), rng.normal(size=(2, 2, 129)).astype("f")

    def result(images):
        return fourier.convolution(Convolution.from_shapes(images.shape, weight.shape, padding=64), images, weight)

    together = result(x)
    assert all((result(x[n : n + 1]) == together[n : n + 1]).all() for n in range(5))
    last = np.ascontiguousarray(x.transpose(0, 2, 1)).transpose(0, 2, 1)
    assert (result(last) == together).all()
    assert (result(x[::-1])[::-1] == together).all()


@pytest.mark.parametrize("boundary", ["constant", "symmetric", "wrap"])
def test_images_along_one_axis(boundary):
    rng = np.random.default_rng(6)
    x, kernel = rng.normal(size=(3, 2, 700)).astype("f"), rng.normal(size=101).astype("f")
    kernel[3] = 0
    problem = Convolution.from_shapes((6, 1, 700), (1, 1, 101), padding="same", boundary=boundary, zero_taps="skip")
    expected = windows_stencil.stencil(problem, x, kernel, 0.25)
    np.testing.assert_allclose(stencil.stencil(problem, x, kernel, 0.25), expected, atol=1e-4)
    x[1, 1, 350] = np.nan
    expected = windows_stencil.stencil(problem, x, kernel, 0.25)
    got = stencil.stencil(problem, x, kernel, 0.25)
    assert (np.isnan(got) == np.isnan(expected)).all()
    assert np.isnan(got[1, 1]).sum() == 100  # the tap of exactly zero contributes nothing


def test_it_is_chosen_where_kernels_are_long_and_never_for_small_problems():
    audio = sr.Array((1, 1, 480_000))
    assert sr.explain(sr.conv1d, audio, sr.Array((1, 1, 4001))).algorithm == "fourier"
    assert sr.explain(sr.correlate, sr.Array(480_000), sr.Array(4001)).algorithm == "fourier"
    assert sr.explain(sr.conv1d, audio, sr.Array((1, 1, 9))).algorithm != "fourier"
    small = sr.explain(sr.conv1d, sr.Array((1, 1, 600)), sr.Array((1, 1, 300)))
    assert "computed by the definition's own products" in dict(small.declined)["fourier"]
    strided = sr.explain(sr.conv1d, audio, sr.Array((1, 1, 4001)), stride=2)
    assert "here the stride is 2" in dict(strided.declined)["fourier"]
    with pytest.raises(InvalidArgument, match="algorithm='fourier' cannot serve this: it is for convolutions along a"):
        sr.conv2d(np.ones((1, 1, 9, 9)), np.ones((1, 1, 3, 3)), algorithm="fourier")


def test_blocks_are_of_the_quickest_length():
    problem = Convolution.from_shapes((1, 1, 480_000), (1, 1, 4001))
    length = transforms.block_length(problem)
    assert all(
        transforms.seconds(problem, length) <= transforms.seconds(problem, one) for one in transforms.lengths(problem)
    )
    assert transforms.block_count(problem, length) * (length - 4000) >= 476_000
    assert transforms.block_length(Convolution.from_shapes((1, 1, 40), (1, 1, 3))) <= 64
