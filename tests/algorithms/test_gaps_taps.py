"""Correlation around gaps in one pass, on every target: against loops, guard pages, memory and threads."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.images import looped_with_gaps
from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms import memory
from striderule.algorithms.gaps import taps, trying
from striderule.algorithms.gaps.structure import Gaps
from striderule.algorithms.stencil import stencil
from striderule.codegen import target, workers
from striderule.geometry.problem import Convolution

RNG = np.random.default_rng(0)
MEAN = np.ones((3, 3))
SOBEL = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
KERNELS = {
    "mean": MEAN,
    "minus": -np.ones((2, 3)),
    "sobel": SOBEL,
    "sharpen": np.array([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]]),
    "even": RNG.standard_normal((2, 4)),
    "many": RNG.standard_normal((9, 9)),
}


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


@pytest.fixture(params=[True, False], ids=["written", "loops"])
def written(request, monkeypatch):
    """Small images go over their taps in loops."""
    monkeypatch.setattr("striderule.algorithms.stencil.cutting.MANY", 1 if request.param else 1 << 40)
    taps._call_for.cache_clear()
    yield request.param
    taps._call_for.cache_clear()


def problem_for(shape, kernel, dtype, final=None, kernels=1, boundary="symmetric", **words):
    work = "float64" if np.dtype(dtype).itemsize > 4 else "float32"
    sides = tuple((n // 2, n - 1 - n // 2) for n in kernel)
    stored = (np.dtype(dtype).name, final or work)
    return Convolution.from_shapes(
        (1, 1, *shape), (kernels, 1, *kernel), padding=sides, boundary=boundary, zero_taps="skip", dtype=work,
        stored=stored, **words,
    )  # fmt: skip


def drawn(shape, dtype, share):
    rng = np.random.default_rng((*shape, int(100 * share)))
    return (rng.random(shape) * 100).astype(dtype), rng.random(shape) < share


def close(got, expected, eps):
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=0, atol=200 * eps * max(1, np.nanmax(np.abs(expected), initial=0)))


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("share", [0.05, 0.7])
def test_against_loops(machine, written, turn, share):
    """Of each two kernels one is written out and the other looped over, the other way round on the next target."""
    kernel = list(KERNELS.values())[2 * turn + (written + target.available().index(machine)) % 2]
    x, missing = drawn((19, 45), "float32", share)
    x = np.where(missing, np.nan, x).astype("float32")
    expected = looped_with_gaps(np.where(missing, 7, x).astype(float), kernel.astype("f4").astype(float), missing)
    weights = kernel.astype("float32")[None]
    got, shares = taps.correlate(problem_for(x.shape, kernel.shape, "float32"), x, weights, Gaps(None, True, 0, np.nan))
    close(got, expected, np.finfo(np.float32).eps)
    assert shares is None
    masked, _ = taps.correlate(
        problem_for(x.shape, kernel.shape, "float32"), x, weights, Gaps(~missing, False, 0, np.nan)
    )
    np.testing.assert_array_equal(masked, got)


@pytest.mark.parametrize("boundary", ["constant", (("wrap", "constant"), ("edge", "mirror"))])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "int32", "float64"])
def test_borders_and_types(machine, boundary, dtype):
    kernel = KERNELS["even"]
    # What lies outside is filled on one target, and missing on the next.
    fill = (3, None)[(len(boundary) + len(dtype) + target.available().index(machine)) % 2]
    x, missing = drawn((9, 40), dtype, 0.2)
    problem = problem_for(x.shape, kernel.shape, dtype, boundary=boundary)
    fill = fill if dtype != "bool" or fill is None else 1
    words = {"boundary": boundary, "fill": fill or 0, "outside_missing": fill is None}
    weights = kernel.astype(problem.dtype)
    expected = looped_with_gaps(x.astype(float), weights.astype(float), missing, **words)
    got, shares = taps.correlate(problem, x, weights[None], Gaps(~missing, False, fill, np.nan, shared=True))
    close(got, expected, np.finfo(problem.dtype).eps)
    there = looped_with_gaps(
        (~missing).astype(float), np.abs(weights).astype(float), missing & False, boundary=boundary,
        fill=fill is not None,
    )  # fmt: skip
    close(shares, there / np.abs(weights).sum(), np.finfo(problem.dtype).eps)


def test_nothing_missing_gives_the_plain_bits(machine, written):
    x, missing = drawn((40, 70), "float32", 0.0)
    missing[20, 30] = True
    # One or two of the kernels written out, and the rest in loops; the other way round on the next target.
    for name in ("mean", "sobel", "even")[(written + target.available().index(machine)) % 2 :: 2]:
        weights = KERNELS[name].astype("float32")
        problem = problem_for(x.shape, weights.shape, "float32")
        plain = stencil.stencil(problem, x, weights)
        got, shares = taps.correlate(problem, x, weights[None], Gaps(~missing, False, 0, np.nan, shared=True))
        far = np.ones(x.shape, bool)
        far[17:24, 26:35] = False
        np.testing.assert_array_equal(got[far], plain[far])
        assert (shares[far] == 1).all()
        assert shares[20, 31] < 1


def test_lengths(machine):
    x, missing = drawn((30, 50), "uint8", 0.2)
    kernels = np.stack([SOBEL, SOBEL.T]).astype("float32")
    problem = problem_for(x.shape, (3, 3), "uint8", final="uint8", kernels=2)
    parts = [looped_with_gaps(x.astype(float), one.astype(float), missing) for one in kernels]
    expected = np.where(np.isnan(parts[0] + parts[1]), 0, np.minimum(np.rint(np.hypot(*parts)), 255))
    got, shares = taps.correlate(problem, x, kernels, Gaps(~missing, False, 0, 0.0, shared=True), length=True)
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert shares.shape == x.shape


def test_infinity_is_a_value_and_stays_in_reach(machine, written):
    x, missing = drawn((20, 40), "float32", 0.1)
    missing[8:13, 18:23] = False
    missing[10, 22] = True
    x[10, 20] = np.inf
    for kernel in (MEAN, SOBEL):
        weights = kernel.astype("float32")
        holed = np.where(missing, np.nan, x).astype("float32")
        got, _ = taps.correlate(problem_for(x.shape, (3, 3), "float32"), holed, weights[None], Gaps(None, True, 0, 0.0))
        reach = np.zeros(x.shape, bool)
        reach[9:12, 19:22] = True
        assert np.isfinite(got[~reach]).all()
        with np.errstate(invalid="ignore"):
            expected = looped_with_gaps(x.astype(float), kernel, missing)
        finite = np.isfinite(expected[reach])
        np.testing.assert_array_equal(np.isfinite(got[reach]), finite)
        np.testing.assert_array_equal(got[reach][~finite], expected[reach][~finite])


def test_infinities_of_both_signs_under_a_window(machine, written):
    """They are as they are in the formula, whatever taps they meet and whichever sign of taps is rarer."""
    rng = np.random.default_rng(1)
    drawn = rng.standard_normal((24, 60)).astype("float32")
    x = np.where(rng.random(drawn.shape) < 0.1, np.sign(drawn) * np.float32("inf"), drawn).astype("float32")
    missing = rng.random(x.shape) < 0.1
    holed = np.where(missing, np.nan, x).astype("float32")
    kernels = (SOBEL, KERNELS["sharpen"], -KERNELS["sharpen"], KERNELS["even"], MEAN)
    # Every other one in loops, the others written out; the other way round on the next target.
    for kernel in kernels[(written + target.available().index(machine)) % 2 :: 2]:
        problem = problem_for(x.shape, kernel.shape, "float32")
        got, _ = taps.correlate(problem, holed, kernel.astype("float32")[None], Gaps(None, True, 0, 0.0))
        with np.errstate(invalid="ignore"):
            expected = looped_with_gaps(x.astype(float), kernel.astype("f4").astype(float), missing)
        kinds = [np.where(np.isfinite(one), 0.0, one) for one in (got, expected)]
        np.testing.assert_array_equal(*kinds)


def test_memory_threads_and_pages_do_not_matter(machine, written, monkeypatch):
    monkeypatch.setattr(memory, "empty_like", lambda x, shape, dtype: guarded(np.zeros(shape, dtype)))
    x, missing = drawn((2, 21, 67), "float32", 0.1)
    weights = KERNELS["even"].astype("float32")[None]
    problem = problem_for((21, 67), weights.shape[1:], "float32")
    problem = Convolution.from_shapes(
        (2, 1, 21, 67), (1, 1, 2, 4), padding=problem.padding, boundary="symmetric", zero_taps="skip", dtype="float32",
        stored=("float32", "float32"),
    )  # fmt: skip
    expected, _ = taps.correlate(problem, guarded(x), weights, Gaps(guarded(~missing), False, 0, np.nan))
    before = workers.get_num_threads()
    for threads in (1, 2):
        workers.set_num_threads(threads)
        for kind in range(KINDS):
            for other in range(threads % 2, KINDS, 2):
                gaps = Gaps(other_memory(~missing, other), False, 0, np.nan)
                got, _ = taps.correlate(problem, other_memory(x, kind), weights, gaps)
                np.testing.assert_array_equal(got, expected)
        workers.set_num_threads(before)
    shared = np.broadcast_to(~missing[:1], x.shape)
    one, _ = taps.correlate(problem, x, weights, Gaps(shared, False, 0, np.nan))
    for plane in range(2):
        alone, _ = taps.correlate(
            problem_for((21, 67), (2, 4), "float32"), x[plane], weights, Gaps(~missing[0], False, 0, np.nan)
        )
        np.testing.assert_array_equal(one[plane], alone)


def test_volumes_strides_and_dilations(machine):
    x, missing = drawn((6, 9, 24), "float64", 0.3)
    kernel = RNG.standard_normal((2, 3, 3))
    problem = Convolution.from_shapes(
        (1, 1, *x.shape), (1, 1, *kernel.shape), padding=((1, 0), (1, 1), (1, 1)), boundary="mirror", zero_taps="skip",
        dtype="float64", stored=("float64", "float64"),
    )  # fmt: skip
    whole = looped_with_gaps(x, kernel, missing, boundary="mirror")
    got, _ = taps.correlate(problem, x, kernel[None], Gaps(~missing, False, 0, np.nan))
    close(got, whole, np.finfo(float).eps)
    stepped = Convolution.from_shapes(
        (1, 1, *x.shape), (1, 1, *kernel.shape), padding=((1, 0), (1, 1), (1, 1)), boundary="mirror", zero_taps="skip",
        stride=(1, 2, 3), dtype="float64", stored=("float64", "float64"),
    )  # fmt: skip
    got, _ = taps.correlate(stepped, x, kernel[None], Gaps(~missing, False, 0, np.nan))
    close(got, whole[:, ::2, ::3], np.finfo(float).eps)


def test_what_takes_another_way():
    x, missing = drawn((5, 6), "float32", 0.3)
    gaps = Gaps(~missing, False, 0, np.nan)
    assert taps.correlate(problem_for(x.shape, (3, 3), "float32"), x, np.zeros((1, 3, 3)), gaps) is None
    exact = replace(problem_for(x.shape, (3, 3), "int32"), dtype="int32")
    assert taps.correlate(exact, x.astype("int32"), MEAN[None], gaps) is None


def test_trials_pass(machine, monkeypatch):
    seen = []
    monkeypatch.setattr(taps, "tried", lambda *args: seen.append(trying.tried(*args)) or seen[-1])
    monkeypatch.setattr("striderule.algorithms.direct.proof.is_proved", lambda _: False)
    taps.proof.forget()
    taps._call_for.cache_clear()
    x, missing = drawn((20, 40), "float32", 0.2)
    taps.correlate(problem_for(x.shape, (3, 3), "float32"), x, SOBEL[None], Gaps(None, True, 0, np.nan))
    both = np.stack([SOBEL, SOBEL.T])
    x, missing = drawn((20, 40), "uint8", 0.2)
    problem = problem_for(x.shape, (3, 3), "uint8", kernels=2)
    taps.correlate(problem, x, both, Gaps(~missing, False, 0, np.nan), length=True)
    taps.proof.forget()
    assert seen == [True, True]
