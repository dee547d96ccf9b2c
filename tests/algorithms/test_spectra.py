"""Images by spectra of tiles: values on every target, what must not be mixed, memory, and the promise for any data."""

from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import striderule as sr
from oracles.images import outside
from oracles.memories import KINDS, guarded, other_memory, standing
from striderule.algorithms.fourier import planes
from striderule.algorithms.fourier.butterflies import backward, factors, forward
from striderule.algorithms.windows import stencil as windows
from striderule.codegen import jit, target
from striderule.codegen.tile import FLOAT64, Routine
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning.spectra import PROMISED, error, radices, tiles_of

TARGETS = [one.name for one in target.available()]
WORDS = ("constant", "edge", "mirror", "symmetric", "wrap")


def problem_of(image, kernel, **words):
    """Return the problem of planes of an image (*planes, rows, columns)."""
    words = {"dtype": "float64" if "float64" in (image.dtype, kernel.dtype) else "float32"} | words
    stored = (image.dtype.name, words.pop("result", words["dtype"]))
    shape = (prod(image.shape[:-2]), 1, *image.shape[-2:])
    return Convolution.from_shapes(shape, (1, 1, *kernel.shape), zero_taps="skip", stored=stored, **words)


def exact(problem, image, kernel, fill=0.0):
    """Return the correlation in float64, from an image that was extended pixel by pixel."""
    places = []
    for n, (before, after), words in zip(problem.size, problem.padding, problem.boundary, strict=True):
        places.append([outside(i, n, words[i >= n]) for i in range(-before, n + after)])
    rows, columns = ([-1 if place is None else place for place in one] for one in places)
    wide = image.astype(float)[..., rows, :][..., columns]
    wide[..., [row < 0 for row in rows], :] = fill
    wide[..., [column < 0 for column in columns]] = fill
    views = sliding_window_view(wide, problem.extent, (-2, -1))
    down, across = problem.dilation
    return np.einsum("...tu,tu->...", views[..., ::down, ::across], kernel.astype(float))


def off(problem, image, kernel, found, fill=0.0):
    """Return the error, as a part of the norm of |x| correlated with |w|."""
    size = exact(problem, np.abs(image.astype(float)), np.abs(kernel.astype(float)), abs(fill))
    return np.linalg.norm(found - exact(problem, image, kernel, fill)) / np.linalg.norm(size)


def drawn(rng, name, dtype):
    """Return numbers of a type, and a function of shapes that draws such."""
    if np.dtype(dtype).kind in "iu":
        return lambda *shape: rng.integers(*((0, 256) if name == "uint8" else (0, 2000)), shape).astype(dtype)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


def never(*_):
    raise AssertionError("it gave way")


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("length", [2, 16, 32, 64, 128, 512])
def test_transforms_are_those_of_the_definition(name, length):
    """Every lane by itself; spectra stand in the order of their digits reversed."""
    width = next(one for one in target.available() if one.name == name)
    steps = radices(length, width.registers)
    assert prod(steps) == length
    r = Routine(f"there_{length}", width, FLOAT64, pointers=("x", "y", "table"), sizes=("back",))
    with r.when(r.size("back").equals(0)):
        forward(r, r.pointer("x"), steps, r.pointer("table"))
    with r.when(r.size("back").equals(1)):
        backward(r, r.pointer("x"), steps, r.pointer("table"))
    routine = jit.load(f"there_{length}", r.finish(), width)
    rng = np.random.default_rng(length)
    x = rng.standard_normal((length, 2, r.lanes))
    expected = np.fft.fft(x[:, 0] + 1j * x[:, 1], axis=0)
    found, table = x.copy(), np.append(factors(steps, "float64"), 0.0)
    words = np.array([found.ctypes.data, 0, table.ctypes.data, 0], np.int64)
    planes.workers.run(routine.address, words.ctypes.data, 0 + 1)
    order = np.arange(length).reshape(steps[::-1]).T.ravel()
    np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], expected[order], rtol=0, atol=1e-13 * length)
    words[3] = 1
    planes.workers.run(routine.address, words.ctypes.data, 1)
    np.testing.assert_allclose(found / length, x, rtol=0, atol=1e-15 * length)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_definition(name, seed, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", name)
    rng = np.random.default_rng(seed)
    dtype = str(rng.choice(["float32", "float64"]))
    source = str(rng.choice([dtype, dtype, "uint8", "int16", "float16"]))
    image = drawn(rng, source, source)(*rng.integers(1, 3, rng.integers(0, 3)), *rng.integers(1, 90, 2))
    kernel = drawn(rng, "kernel", dtype)(*rng.integers(1, 40, 2))
    dilation = tuple(rng.integers(1, 3, 2).tolist())
    reach = [d * (k - 1) for k, d in zip(kernel.shape, dilation, strict=True)]
    pads = [(int(rng.integers(0, n + 1)), n) for n in reach]
    words = {"boundary": [tuple(rng.choice(WORDS, 2).tolist()) for _ in range(2)], "padding": pads, "dtype": dtype}
    problem = problem_of(image, kernel, dilation=dilation, **words)
    found = planes.correlation(problem, other_memory(image, int(rng.integers(KINDS)), 0), kernel, 1.5, None)
    assert found.dtype == dtype
    assert off(problem, image, kernel, found, 1.5) <= {"float32": 1e-6, "float64": 2e-15}[dtype]


@pytest.mark.parametrize(("result", "source"), [("uint8", "uint8"), ("uint16", "uint16"), ("int16", "uint8")])
def test_results_are_rounded_and_saturated(result, source):
    rng = np.random.default_rng(2)
    image, kernel = drawn(rng, source, source)(100, 90), rng.standard_normal((13, 11)).astype("f")
    problem = problem_of(image, kernel, padding=((6, 6), (5, 5)), boundary="mirror", result=result)
    sums, limits = exact(problem, image, kernel), np.iinfo(result)
    assert sums.min() < limits.min or sums.max() > limits.max or result == "int16"
    expected = np.clip(np.rint(sums), limits.min, limits.max)
    near = np.abs(sums - np.floor(sums) - 0.5) < 1e-2  # may round either way
    found = planes.correlation(problem, image, kernel, 0, None)
    assert found.dtype == result
    assert ((found == expected) | near).all()
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_other_results_are_cast(overflow):
    rng = np.random.default_rng(3)
    image, kernel = rng.integers(0, 256, (60, 50)).astype("uint8"), rng.standard_normal((9, 9))
    given = {"dtype": "uint8", "overflow": overflow, "boundary": "wrap"}
    found = sr.correlate(image, kernel, **given, algorithm="fourier")
    expected = sr.correlate(image, kernel, **given, algorithm="windows")
    assert (found != expected).mean() < 1e-2  # those near the middle of two numbers


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("before", [False, True])
def test_nothing_outside_is_touched(name, before, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", name)
    rng = np.random.default_rng(4)
    for source, size, taps in (("float32", (37, 53), (5, 9)), ("uint8", (70, 131), (17, 3)), ("uint8", (3, 5), (9, 9))):
        image, kernel = drawn(rng, source, source)(*size), rng.standard_normal(taps).astype("f")
        pads = tuple((k // 2, k - 1 - k // 2) for k in taps)
        problem = problem_of(image, kernel, padding=pads, boundary="symmetric", result=source)
        expected = planes.correlation(problem, image, kernel, 0, None)
        for steps in ((size[1], 1), (1, size[0]), (-3 * size[1], 3)):
            near, near_taps = standing(image, steps, before=before), guarded(kernel, before=before)
            out = standing(np.zeros_like(image), steps, before=before)
            planes.correlation(problem, near, near_taps, 0, out)
            np.testing.assert_array_equal(out, expected)


def test_images_smaller_than_the_kernel():
    rng = np.random.default_rng(5)
    for size in ((1, 1), (2, 300), (20, 20)):
        image, kernel = rng.standard_normal(size), rng.standard_normal((61, 75))
        for boundary in WORDS:
            problem = problem_of(image, kernel, padding=((30, 30), (37, 37)), boundary=boundary)
            found = planes.correlation(problem, image, kernel, 0.5, None)
            assert off(problem, image, kernel, found, 0.5) < 2e-15
    none = np.zeros((0, 70, 80))
    assert planes.correlation(problem_of(none, kernel), none, kernel, 0, None).shape == (0, 10, 6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["image", "fill", "many"])
def test_special_values_stay_in_reach_of_the_kernel(value, where):
    rng = np.random.default_rng(6)
    image, kernel = rng.standard_normal((2, 200, 210)).astype("f"), rng.standard_normal((15, 12)).astype("f")
    kernel[3, 4] = 0  # contributes nothing, not even to NaN
    if where == "image":
        image[1, 120, 30] = value
    elif where == "many":
        image[1, ::20, ::20] = value
    fill = value if where == "fill" else 0.0
    problem = problem_of(image, kernel, padding=((7, 7), (6, 5)))
    with np.errstate(invalid="ignore"):
        found = planes.correlation(problem, image, kernel, fill, None)
        expected = windows.stencil(problem, image, kernel, fill)
    for tells in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(tells(found), tells(expected))
    there = np.isfinite(expected)
    assert 0 < there.sum() < there.size
    np.testing.assert_allclose(found[there], expected[there], rtol=0, atol=1e-4)


def test_only_the_tiles_that_need_it_give_way(monkeypatch):
    rng = np.random.default_rng(7)
    image, kernel = rng.standard_normal((600, 600)).astype("f"), rng.standard_normal((15, 12)).astype("f")
    image[300, 300] = np.nan
    sizes, by_products = [], planes._by_products()
    spy = SimpleNamespace(stencil=lambda *args: sizes.append(args[1].size) or by_products.stencil(*args))
    monkeypatch.setattr(planes, "_by_products", lambda: spy)
    planes.correlation(problem_of(image, kernel), image, kernel, 0, None)
    assert 0 < len(sizes) <= 8
    assert sum(sizes) < image.size / 3


@pytest.mark.parametrize("exponent", [-100, 0, 75, 100])
@pytest.mark.parametrize("kind", ["random", "constant", "decades", "spike", "loud corner", "loud border", "dark"])
def test_the_promise_holds_for_any_finite_data(kind, exponent):
    """At most 1e-5 of the norm of |x| correlated with |w|: float32 of any size."""
    rng = np.random.default_rng(8)
    image, kernel = rng.standard_normal((150, 170)), rng.standard_normal((21, 19))
    if kind == "constant":
        image[...], kernel[...] = 1 / 3, 1 / 7
    elif kind == "decades":
        image, kernel = image * 10.0 ** rng.integers(-5, 5, image.shape), kernel * 10.0 ** rng.integers(-5, 0)
    elif kind == "spike":
        image[70, 80] = 1e6
    elif kind == "loud corner":  # it meets the quietest tap alone
        image[0, 0], kernel[0, 0] = 1e6, 1e-6
    elif kind == "loud border":
        image[:, 0], kernel[:, 0] = 1e6, 1e-6
    elif kind == "dark":
        image[...], image[-1, -1], kernel[-1, -1] = 0, 1, 1e-7
    image, kernel = np.ldexp(image, exponent).astype("f"), np.ldexp(kernel, -10 if exponent == 100 else 0).astype("f")
    problem = problem_of(image, kernel)
    with np.errstate(over="ignore"):
        assert off(problem, image, kernel, planes.correlation(problem, image, kernel, 0, None)) <= 0.8e-5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_common_images_do_not_give_way(dtype, monkeypatch):
    monkeypatch.setattr(planes, "_by_products", never)
    monkeypatch.setattr(planes, "_exactly", never)
    rng = np.random.default_rng(9)
    image, kernel = rng.random((600, 700)).astype(dtype), rng.standard_normal((17, 17)).astype(dtype)
    for one in (image, image * 0, np.where(image > 0.9, image, 0), np.ones_like(image)):
        found = planes.correlation(problem_of(one, kernel), one, kernel, 0, None)
        assert not one.any() or off(problem_of(one, kernel), one, kernel, found) <= error(1 << 14, dtype)


def test_the_same_bits_for_threads_and_batch():
    rng = np.random.default_rng(10)
    image, kernel = rng.standard_normal((3, 300, 280)).astype("f"), rng.standard_normal((25, 22)).astype("f")
    before = sr.get_num_threads()
    try:
        sr.set_num_threads(1)
        expected = planes.correlation(problem_of(image, kernel), image, kernel, 0, None)
        sr.set_num_threads(2)
        found = planes.correlation(problem_of(image, kernel), image, kernel, 0, None)
    finally:
        sr.set_num_threads(before)
    alone = np.stack([planes.correlation(problem_of(one, kernel), one, kernel, 0, None) for one in image])
    for other in (found, alone):
        np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_chosen_for_large_kernels(dtype):
    for size, chosen in ((3, "stencil"), (5, "stencil"), (21, "fourier"), (101, "fourier")):
        plan = sr.explain(sr.correlate, sr.Array((900, 1100), dtype), np.random.default_rng(0).random((size, size)))
        assert plan.algorithm == chosen
        assert plan.cost.seconds == min(one.cost.seconds for one in plan.candidates if one.reason is None)


def test_what_it_cannot_serve():
    image, kernel = np.ones((70, 70)), np.ones((5, 5))
    for words, reason in (({"stride": 2}, "every output"), ({"dtype": "int32"}, "float32 and float64")):
        with pytest.raises(InvalidArgument, match=reason):
            sr.correlate(image.astype(int), kernel.astype(int), **words, algorithm="fourier")
    with pytest.raises(InvalidArgument, match="leave a trace"):
        sr.correlate(image > 0, kernel, algorithm="fourier")
    with pytest.raises(InvalidArgument, match="single axis, and of images along two"):
        sr.correlate(np.ones((9, 9, 9)), np.ones((3, 3, 3)), algorithm="fourier")


def test_without_code_numpy_computes(monkeypatch):
    rng = np.random.default_rng(11)
    image, kernel = rng.standard_normal((40, 50)), rng.standard_normal((7, 9))
    monkeypatch.setattr(planes.giving_way, "attempt", lambda *_: None)
    problem = problem_of(image, kernel)
    assert off(problem, image, kernel, planes.correlation(problem, image, kernel, 0, None)) < 1e-15


def test_the_routine_is_tried_where_no_test_has_run(monkeypatch):
    monkeypatch.setattr(planes.proof, "is_proved", lambda _: False)
    planes.proof.forget()
    planes.call_for.cache_clear()
    rng = np.random.default_rng(12)
    image, kernel = rng.standard_normal((2, 90, 80)).astype("f"), rng.standard_normal((7, 9)).astype("f")
    problem = problem_of(image, kernel)
    assert off(problem, image, kernel, planes.correlation(problem, image, kernel, 0, None)) < 1e-6
    assert list(planes.proof._found.values()) == [True]
    planes.proof.forget()


@pytest.mark.parametrize("seed", range(40))
def test_tiles_cover_the_outputs(seed):
    rng = np.random.default_rng(seed)
    outputs, extent = (tuple(rng.integers(1, high, 2).tolist()) for high in (3000, 300))
    lanes, registers = ((16, 32), (8, 16), (4, 16))[seed % 3]
    tiles = tiles_of(outputs, extent, lanes, registers)
    for n, step, size, count, reach in zip(outputs, tiles.step, tiles.size, tiles.counts, extent, strict=True):
        assert step == size - reach + 1 > 0
        assert (count - 1) * step < n <= count * step
        assert size % lanes == 0
    assert tiles.pairs == -(-prod(tiles.counts) // 2)


def test_errors_keep_what_is_promised():
    for points in (256, 1 << 14, 1 << 20):
        for dtype in ("float32", "float64"):
            assert error(points, dtype) < PROMISED[dtype] / 2
    assert tiles_of((100, 100), (4000, 3), 16, 32) is None
    # Kernels of a million taps, where sums in one chain would err too much.
    assert tiles_of((1600, 1000), (1500, 900), 16, 32).size == (2048, 2048)
