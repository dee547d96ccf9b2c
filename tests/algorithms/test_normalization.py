"""Batch and local response normalisation on generated code, on every target that this machine runs."""

import itertools
import math
import mmap
import random

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms.direct import giving_way, response
from striderule.algorithms.direct import normalization as direct
from striderule.algorithms.direct.normalization_routine import Form, scale_routine, statistics_routine
from striderule.algorithms.direct.normalization_units_routine import normalized_routine
from striderule.algorithms.direct.response_routine import POWERS, response_routine
from striderule.algorithms.direct.response_routine import Form as ResponseForm
from striderule.algorithms.reference import normalization as reference
from striderule.algorithms.windows import normalization as windows
from striderule.codegen import jit, target, workers
from striderule.errors import CompilerMissing

TARGETS = target.available()
# Half a unit in the last place.
UNIT = {"f2": 2.0**-11, "f4": 2.0**-24, "f8": 2.0**-53}
LEAST = {"f2": 2.0**-24, "f4": 2.0**-149, "f8": 0.0}
needs_guards = pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def drawn(seed, largest=20_000):
    """Draw an array, and the statistics and parameters of its channels."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    while True:
        rest = [draw.choice((1, 2, 3, 7, 16, 33, 70)) for _ in range(draw.randint(0, 3))]
        shape = (draw.randint(1, 4), draw.choice((1, 2, 3, 8, 17, 40)), *rest)
        if math.prod(shape) <= largest:
            break
    dtype, kind, channels = draw.choice(("f2", "f4", "f8")), draw.choice(("f4", "f8")), shape[1]
    x = rng.normal(draw.choice((0, 100)), 3, shape).astype(dtype)
    numbers = [
        rng.normal(0, 50, channels).astype(kind),
        rng.uniform(0.5, 2, channels).astype(kind),
        rng.normal(size=channels).astype(kind) if draw.random() < 0.7 else None,
        rng.normal(size=channels).astype(draw.choice((kind, "f4"))) if draw.random() < 0.7 else None,
    ]
    return other_memory(x, draw.randrange(KINDS)), numbers


def exact(x, mean, var, weight, bias, eps):
    """Return the definition in twice the digits, and the size of what is added in it."""
    spread = (slice(None),) + (None,) * (x.ndim - 2)
    wide = [None if one is None else one.astype(np.longdouble)[spread] for one in (mean, var, weight, bias)]
    with np.errstate(all="ignore"):
        slope = (1 if wide[2] is None else wide[2]) / np.sqrt(wide[1] + eps)
        part = (x.astype(np.longdouble) - wide[0]) * slope
        shift = 0 if wide[3] is None else wide[3]
        return part + shift, np.abs(part) + np.abs(shift)


@pytest.mark.parametrize("seed", range(60))
def test_batch_norm_is_exact_to_the_last_digits(machine, seed):
    """Two units of what is added, also where mean and values cancel: only float16 is rounded a second time."""
    x, numbers = drawn(seed)
    expected, size = exact(x, *numbers, 1e-5)
    dtype = x.dtype.str[1:]
    found = direct.normalize(x, *numbers, 1e-5)
    assert found.dtype == x.dtype
    bound = (4 if x.dtype != np.float16 else 2) * UNIT[dtype] * size + LEAST[dtype]
    assert (np.abs(found - expected) <= bound).all()
    for out in (np.empty_like(found), np.empty([2 * n for n in x.shape], x.dtype)[(slice(None, None, -2),) * x.ndim]):
        assert direct.normalize(x, *numbers, 1e-5, out) is out
        np.testing.assert_array_equal(out, found)
    own = other_memory(x.copy(), seed % KINDS)
    assert direct.normalize(own, *numbers, 1e-5, own) is own
    np.testing.assert_array_equal(own, found)


def test_batch_norm_of_values_close_to_their_mean_keeps_all_digits(machine):
    """What PyTorch computes as x * slope + (bias - mean * slope) loses what cancels; here nothing is lost."""
    rng = np.random.default_rng(0)
    mean = np.array([1e4 + 1 / 3, -777.7], "f8")
    x = (mean[:, None] + rng.normal(size=(2, 1000)) * 1e-2).astype("f4")[None]
    expected, size = exact(x, mean, np.full(2, 1e-4), None, None, 0.0)
    found = direct.normalize(x, mean, np.full(2, 1e-4), None, None, 0.0)
    assert (np.abs(found - expected) <= 4 * UNIT["f4"] * size).all()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_numbers_that_float32_does_not_hold(machine, dtype, last):
    """Statistics and parameters beyond the range of float32, infinite or no numbers: the definition all the same."""
    values = [0.0, -0.0, 1.0, 1e-35, 1e35, 1e300, 1e-300, np.inf, -np.inf, np.nan]
    draw, rng = random.Random(3), np.random.default_rng(3)
    for _ in range(60):
        x = rng.normal(size=(2, 19, 21)).astype(dtype)
        x[0, :, 3], x[1, :, 4] = draw.choice(values[:5]), draw.choice((np.inf, -np.inf, np.nan, 3e38))
        mean, var, weight, bias = (np.array([draw.choice(values) for _ in range(19)]) for _ in range(4))
        with np.errstate(all="ignore"):
            slope = weight / np.sqrt(np.abs(var) + 1e-5)
            wide = (x.astype("f8") - mean[:, None]) * slope[:, None] + bias[:, None]
            expected = wide.astype(dtype)
        found = direct.normalize(other_memory(x, int(last)), mean, np.abs(var), weight, bias, 1e-5)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(found[~finite], expected[~finite])
        # Where infinities are near, both round to the same side or to the largest number.
        np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("seed", range(60))
def test_statistics_are_those_of_exact_sums(machine, seed):
    x, _ = drawn(1000 + seed, 60_000)
    means, squares = direct.batch_statistics(x)
    lines = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1).astype(np.longdouble)
    expected = lines.mean(axis=1)
    distances = ((lines - expected[:, None]) ** 2).sum(axis=1)
    size = np.abs(lines).mean(axis=1)
    assert (np.abs(means - expected) <= 1e-14 * size).all()
    assert (np.abs(squares - distances) <= 1e-12 * distances + 1e-26 * lines.shape[1] * size**2).all()


def test_statistics_of_values_far_from_zero_and_of_many_parts(machine):
    """A spread of 1 around 1e6, in parts that differ: what sums of squares lose, distances keep."""
    rng = np.random.default_rng(1)
    x = (rng.normal(1e6, 1, (3, 2, 20_001)) + np.arange(3)[:, None, None]).astype("f8")
    for array in (x, other_memory(x, 1)):
        means, squares = direct.batch_statistics(array)
        lines = np.moveaxis(x, 1, 0).reshape(2, -1).astype(np.longdouble)
        np.testing.assert_allclose(means, lines.mean(axis=1).astype(float), rtol=1e-15)
        np.testing.assert_allclose(squares, (lines.var(axis=1) * lines.shape[1]).astype(float), rtol=1e-11)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_whole_normalisations_are_exact_to_the_last_digits(machine, dtype):
    """Units of channels and of groups, far from zero too, beside guard pages and in place."""
    draw = random.Random(dtype)
    for turn in range(20):
        rest = [draw.choice((1, 2, 3, 7, 16, 33)) for _ in range(draw.randint(0, 3))]
        shape = (draw.randint(2, 12), draw.choice((1, 2, 4, 12, 24)), *rest)
        groups = None if turn % 2 else draw.choice([n for n in (1, 2, 4, 12) if shape[1] % n == 0])
        rng = np.random.default_rng(turn)
        x = (rng.normal(size=shape) + draw.choice((0, 1000))).astype(dtype)
        weight, bias = ((None, None), (rng.normal(size=shape[1]).astype("f4"), rng.normal(size=shape[1])))[turn % 3 > 0]
        own = guarded(x, before=bool(turn % 4 > 1))
        found = direct.normalized_units(own, weight, bias, 1e-3, groups)
        parts = (1, shape[1]) if groups is None else (shape[0], groups)
        lines = (x.swapaxes(0, 1) if groups is None else x).reshape(*parts, -1).astype(np.longdouble)
        mean, var = lines.mean(axis=-1), lines.var(axis=-1)
        images, each = np.arange(shape[0]) * (groups is not None), np.arange(shape[1]) * parts[1] // shape[1]
        of_channel = [one[images][:, each].reshape(*shape[:2], *(1,) * len(rest)) for one in (mean, var)]
        slope, shift = (
            one if isinstance(one, int) else one.astype(np.longdouble).reshape(1, -1, *(1,) * len(rest))
            for one in (1 if weight is None else weight, 0 if bias is None else bias)
        )
        part = (x.astype(np.longdouble) - of_channel[0]) / np.sqrt(of_channel[1] + 1e-3) * slope
        for result, means, squares in (found, windows.normalized_units(x, weight, bias, 1e-3, groups)):
            # What a mean of so many values lacks is part of the result where that is float64.
            lost = 1e-13 * np.abs(lines).max() * np.abs(slope).max() / np.sqrt(of_channel[1] + 1e-3)
            assert result.dtype == x.dtype
            assert (np.abs(result - part - shift) <= 4 * UNIT[dtype] * (np.abs(part) + np.abs(shift)) + lost).all()
            np.testing.assert_allclose(means, mean.astype("f8").reshape(means.shape), rtol=1e-14, atol=1e-14)
            np.testing.assert_allclose(squares / lines.shape[-1], var.astype("f8").reshape(squares.shape), 1e-10, 1e-16)
        assert direct.normalized_units(own, weight, bias, 1e-3, groups, own)[0] is own
        np.testing.assert_array_equal(own, found[0])


def test_whole_normalisations_of_what_is_not_finite_and_what_is_left(machine):
    x = np.random.default_rng(0).normal(size=(3, 9, 5, 5)).astype("f4")
    x[0, 0, 0, 0], x[0, 1, 0, 0], x[2, 2, 3, 3] = np.inf, np.nan, -np.inf
    result, means, squares = direct.normalized_units(x, None, None, 1e-3)
    assert np.isnan(result[:, :3]).all()
    assert np.isnan(squares[:3]).all()
    np.testing.assert_array_equal(means[[0, 2]], [np.inf, -np.inf])
    np.testing.assert_allclose(result[:, 3:], windows.normalized_units(x, None, None, 1e-3)[0][:, 3:], 1e-6, 1e-6)
    large = np.zeros((4, 100, 20, 20), "f4")
    assert direct.normalized_units(large[:, :, ::2], None, None, 1e-3) is None
    for kind in range(1, KINDS):
        np.testing.assert_array_equal(direct.normalized_units(other_memory(x, kind), None, None, 1e-3)[0], result)
    assert direct.normalized_units(np.zeros((2, 3, 200, 200), "f4"), None, None, 1e-3) is None
    assert direct.normalized_units(np.zeros((2000, 30), "f4"), None, None, 1e-3) is None


@pytest.mark.parametrize("seed", range(60))
def test_response_equals_the_loops(machine, seed):
    draw = random.Random(seed)
    x, _ = drawn(seed, 2000)
    x = (x if x.ndim > 2 else x[..., None]) / x.dtype.type(30)
    size, beta = draw.choice((1, 2, 3, 5, 8, 50)), draw.choice((0.5, 0.75, 1.0, 0.3, -0.6, 1.7, 0.0, 2.0))
    arguments = (size, draw.choice((1e-4, 1.0, 0.0)), beta, draw.choice((1.0, 2.0)))
    expected = reference.local_response(x, *arguments)
    found = direct.local_response(x, *arguments)
    dtype = x.dtype.str[1:]
    # Computed in float64 and rounded once, float16 twice; sums of float64 grow with their length.
    bound = {"f2": 2.1 * UNIT["f2"], "f4": 1.01 * UNIT["f4"], "f8": (20 + size) * UNIT["f8"]}[dtype]
    with np.errstate(over="ignore"):
        assert (np.abs(found.astype(x.dtype) - expected) <= bound * np.abs(expected) + LEAST[dtype]).all()
    for out in (
        np.empty(x.shape, x.dtype),
        np.empty([2 * n for n in x.shape], x.dtype)[(slice(None, None, -2),) * x.ndim],
    ):
        assert direct.local_response(x, *arguments, out) is out
        np.testing.assert_array_equal(out, found.astype(x.dtype))
    own = x.copy()
    assert direct.local_response(own, *arguments, own) is own
    np.testing.assert_array_equal(own, found.astype(x.dtype))


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_response_of_what_is_not_finite(machine, kind):
    x = np.random.default_rng(5).normal(size=(1, 9, 3, 11)).astype("f4")
    x[0, 2, 1, 1], x[0, 4, 0, 3], x[0, 8, 2, 10], x[0, 0, 0, 0] = np.nan, np.inf, -np.inf, 1e30
    for beta in (0.5, 0.75, 1.0, 0.6):
        for k in (1.0, 0.0, -1.0, -0.0):
            for values in (x, np.zeros_like(x)):
                expected = reference.local_response(values, 3, 0.5, beta, k)
                found = direct.local_response(other_memory(values, kind), 3, 0.5, beta, k)
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=LEAST["f4"])


def test_the_same_bits_for_any_batch_threads_and_memory(machine):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(5, 40, 30, 31)).astype("f4")
    numbers = (rng.normal(size=40), rng.uniform(1, 2, 40), rng.normal(size=40), rng.normal(size=40))

    def results(images):
        return direct.normalize(images, *numbers, 1e-5), direct.local_response(images, 5, 1e-2, 0.75, 1.0)

    together = results(x)
    for n in range(5):
        for one, all_ in zip(results(x[n : n + 1]), together, strict=True):
            np.testing.assert_array_equal(one[0], all_[n])
    for kind in range(1, KINDS):
        for one, other in zip(results(other_memory(x, kind)), together, strict=True):
            np.testing.assert_array_equal(one, other)
    statistics, whole, before = [], [], workers.get_num_threads()
    try:
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            statistics.append(np.array(direct.batch_statistics(x)))
            whole.append(direct.normalized_units(x, *numbers[:2], 1e-5)[0])
            for one, other in zip(results(x), together, strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        workers.set_num_threads(before)
    assert all((one == statistics[0]).all() for one in statistics)
    assert all((one == whole[0]).all() for one in whole)


@needs_guards
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nothing_is_touched_outside(machine, dtype, before):
    rng = np.random.default_rng(8)
    for shape in ((2, 3, 5), (1, 5, 33), (2, 17), (1, 7, 4, 4)):
        plain = rng.normal(size=shape).astype(dtype)
        for last in (False, True):
            x = guarded(np.moveaxis(plain, 1, -1) if last else plain, before=before)
            x = np.moveaxis(x, -1, 1) if last else x
            out = guarded(np.empty(np.moveaxis(x, 1, -1).shape if last else shape, dtype), before=before)
            out = np.moveaxis(out, -1, 1) if last else out
            numbers = [guarded(one, before=before) for one in rng.uniform(1, 2, (4, shape[1])).astype("f4")]
            direct.normalize(x, *numbers, 1e-5, out)
            np.testing.assert_array_equal(out, direct.normalize(plain, *numbers, 1e-5))
            means, _ = direct.batch_statistics(x)
            np.testing.assert_allclose(means, direct.batch_statistics(plain)[0], rtol=1e-12, atol=1e-14)
            if len(shape) > 2:
                direct.local_response(x, 3, 0.1, 0.75, 1.0, out)
                np.testing.assert_array_equal(out, direct.local_response(plain, 3, 0.1, 0.75, 1.0))


def test_what_is_left_to_numpy(machine):
    """Integers, powers that roots and exponentials do not say, and without a compiler everything."""
    x = np.arange(24).reshape(2, 3, 4)
    zeros, ones = np.zeros(3), np.ones(3)
    assert direct.normalize(x.astype("i2"), zeros, ones, None, None, 0.0).dtype == np.float32
    np.testing.assert_array_equal(direct.normalize(x, zeros, ones, None, None, 0.0), x)
    np.testing.assert_array_equal(direct.batch_statistics(x)[0], x.mean(axis=(0, 2)))
    single = x.astype("f4")
    for beta in (2.0, math.inf, 100.5):
        assert response.bind(single, 3, 1.0, beta, 1.0, single.copy()) is None
    np.testing.assert_array_equal(
        direct.local_response(single, 3, 1.0, 2.0, 1.0), reference.local_response(single, 3, 1.0, 2.0, 1.0).astype("f4")
    )


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_):
        raise CompilerMissing("no compiler for norms")

    monkeypatch.setattr(jit, "compiled", fails)
    giving_way._warn_once.cache_clear()
    x = np.arange(24, dtype="f4").reshape(2, 3, 4)
    with pytest.warns(RuntimeWarning, match="no compiler for norms"):
        found = direct.normalize(x, np.zeros(3), np.ones(3), None, None, 0.0)
    np.testing.assert_array_equal(found, x)
    # Warnings are errors here: there is no second one.
    np.testing.assert_array_equal(direct.batch_statistics(x)[0], x.mean(axis=(0, 2)))
    np.testing.assert_allclose(
        direct.local_response(x, 3, 1.0, 0.75, 1.0), reference.local_response(x, 3, 1.0, 0.75, 1.0), rtol=1e-6
    )


@pytest.mark.parametrize("name", target.TARGETS)
def test_routines_call_nothing(name):
    """Calls come of what is computed, in which type, on which target: all of these, each in one memory order."""
    machine = target.named(name)
    kinds = itertools.islice(itertools.cycle(("run", "steps", "across")), list(target.TARGETS).index(name), None)
    for dtype in ("float32", "float64", "float16"):
        texts = [response_routine(ResponseForm(dtype, next(kinds), power), machine) for power in (*POWERS, None)]
        texts += [scale_routine(Form(dtype, next(kinds), numbers), machine) for numbers in ("float32", "float64")]
        texts.append(statistics_routine(Form(dtype, next(kinds)), machine))
        if dtype != "float16":
            texts.append(normalized_routine("units", dtype, machine))
        for text in texts:
            assembly = jit.assembly(text, machine)
            assert "\tcall" not in assembly
            assert "\tbl\t" not in assembly


def test_the_loop_of_float32_is_in_float32(machine):
    """Two subtractions and a multiply-add of whole vectors, and nothing converted."""
    assembly = jit.assembly(scale_routine(Form("float32", "run", "float32"), machine), machine)
    register = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[machine.vector_bytes]
    blocks = [block.splitlines() for block in assembly.split("\n.LBB")]
    loops = [block for block in blocks if sum("subps" in line and register in line for line in block) == 2]
    assert loops
    assert not any("cvt" in line for block in loops for line in block)
