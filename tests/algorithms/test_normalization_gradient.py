"""Layer normalisation and gradients of normalisations on generated code, on every target that this machine runs."""

import itertools
import mmap
import random

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import channels_last, guarded
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import layer_normalization as layers
from striderule.algorithms.direct import normalization_gradient as direct
from striderule.algorithms.direct.layer_normalization_routine import Form as LayerForm
from striderule.algorithms.direct.layer_normalization_routine import gradient_routine, layer_routine
from striderule.algorithms.direct.normalization_gradient_routine import line_routine, sums_routine
from striderule.algorithms.direct.normalization_routine import Form
from striderule.algorithms.direct.normalization_units_routine import units_routine
from striderule.algorithms.windows import layer_normalization as windows_layers
from striderule.algorithms.windows import normalization_gradient as windows
from striderule.codegen import jit, target, workers
from striderule.errors import CompilerMissing

PLANE_ROUTINES = [write for write, _ in direct.PLANES.values()]
TARGETS = target.available()
UNIT = {"f2": 2.0**-11, "f4": 2.0**-24, "f8": 2.0**-53}
SHAPES = [(1, 1, 1), (3, 1, 5), (2, 7, 1), (40, 16, 1), (3, 33, 1), (700, 5, 1), (2, 3, 49), (3, 20, 77), (1, 6, 300)]
needs_guards = pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def drawn(shape, dtype, seed=0):
    rng = np.random.default_rng((seed, *shape))
    x, gy = ((rng.standard_normal(shape) + seed).astype(dtype) for seed in (3, 0))
    return x, gy, rng.standard_normal(shape[1]), rng.standard_normal(shape[1])


def near(got, expected, dtype, size=None):
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1e-3) if size is None else size
    # Both sum in float64, in another order, which shows in float64 alone.
    np.testing.assert_allclose(got, expected, rtol=0, atol=(40 if dtype == "f8" else 8) * UNIT[dtype] * size)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_layers_equal_numpy(machine, dtype, shape):
    x, gy, weight, bias = drawn(shape, dtype)
    statistics, expected_statistics = (np.zeros((2, shape[0], shape[2])) for _ in range(2))
    for parameters in ((weight, bias), (None, None)):
        found, expected = np.empty_like(x), np.empty_like(x)
        layers.layer(x, *parameters, 1e-3, found, statistics)
        windows_layers.layer(x, *parameters, 1e-3, expected, expected_statistics)
        near(found, expected, dtype)
        np.testing.assert_allclose(statistics, expected_statistics, rtol=1e-12)
    own = x.copy()
    layers.layer(own, None, None, 1e-3, own)
    np.testing.assert_array_equal(own, found)
    if dtype == "f2":
        return
    for by_x, by_parameters in ((True, True), (True, False), (False, True)):
        found = direct.layer(x, gy, weight, statistics, by_x, by_parameters)
        expected = windows.layer(x, gy, weight, statistics, by_x, by_parameters)
        for got, wanted, kind in zip(found, expected, (dtype, "f8", "f8"), strict=True):
            if wanted is None:
                assert got is None
            else:  # what cancels is of the size of what is added, and of the factor
                near(
                    got,
                    wanted,
                    kind,
                    30 * max(1, statistics[1].max() ** 2) * (1 if kind == dtype else shape[0] * shape[2]),
                )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("last", [False, True])
def test_channels_equal_numpy(machine, monkeypatch, dtype, last):
    draw = random.Random(dtype + str(last))
    for _ in range(30):
        rest = [draw.choice((1, 2, 3, 7, 16, 33)) for _ in range(draw.randint(0, 3))]
        shape = (draw.randint(1, 4), draw.choice((1, 2, 3, 8, 17, 40, 130)), *rest)
        x, gy, mean, slope = drawn(shape, dtype)
        x, gy = (channels_last(one) if last else one for one in (x, gy))
        steep, shift = mean[::-1], slope[::-1]
        for got, wanted in zip(direct.channel_sums(x, gy, mean), windows.channel_sums(x, gy, mean), strict=True):
            near(got, wanted, "f8", 10.0 * x.size)
        numbers = (mean, slope, steep, shift)
        found = direct.channel_line(x, gy, *numbers)
        near(direct.channel_scale(gy, slope), windows.channel_scale(gy, slope), dtype, 100.0)
        if dtype == "f4":  # planes that are too long are cut
            with monkeypatch.context() as patch:
                patch.setattr(direct, "PLANE", 0)
                direct._line.cache_clear()
                np.testing.assert_array_equal(direct.channel_line(x, gy, *numbers), found)
            direct._line.cache_clear()
        near(found, windows.channel_line(x, gy, *numbers), dtype, 100.0)
        assert direct.channel_line(x, gy, *numbers, gy) is gy
        np.testing.assert_array_equal(gy, found)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_units_equal_numpy(machine, dtype):
    """Whole gradients of batch and group normalisation, against the definition in float64."""
    draw = random.Random(dtype)
    for turn in range(16):
        rest = [draw.choice((1, 2, 3, 7, 16, 33)) for _ in range(draw.randint(0, 3))]
        shape = (draw.randint(1, 12), draw.choice((1, 2, 4, 12, 24)), *rest)
        groups = None if turn % 2 else draw.choice([n for n in (1, 2, 4, 12) if shape[1] % n == 0])
        x, gy, weight, mean = drawn(shape, dtype)
        if groups is not None:
            mean = np.random.default_rng(turn).standard_normal((shape[0], groups))
        factor = 1 / (1 + np.abs(mean))
        if turn % 3 == 0:
            weight = None
        guards = guarded(x, before=bool(turn % 2)), guarded(gy, before=bool(turn % 3))
        found = direct.units(*guards, weight, mean, factor, groups)
        wide = (1, -1, *(1,) * len(rest)) if groups is None else (shape[0], groups, *(1,) * (1 + len(rest)))
        seen = shape if groups is None else (shape[0], groups, shape[1] // groups, *rest)
        along = tuple(axis for axis in range(len(seen)) if axis != 1 and (groups is None or axis != 0))
        slopes = np.ones(shape[1]) if weight is None else weight
        n = (x.astype("f8").reshape(seen) - mean.reshape(wide)) * factor.reshape(wide)
        g = (gy * slopes.reshape(1, -1, *(1,) * len(rest))).astype("f8").reshape(seen)
        expected = factor.reshape(wide) * (
            g - g.mean(axis=along, keepdims=True) - n * (g * n).mean(axis=along, keepdims=True)
        )
        apart = tuple(range(2, x.ndim)) if groups is not None else (0, *range(2, x.ndim))
        twin = windows.units(x, gy, weight, mean, factor, groups)
        for one in [twin] if found is None else [twin, found]:
            near(one[0], expected.reshape(shape), dtype, 200.0)
            near(one[1], (gy.astype("f8") * n.reshape(shape)).sum(axis=apart), "f8", 10.0 * x.size)
            near(one[2], gy.astype("f8").sum(axis=apart), "f8", 10.0 * x.size)
        assert found is not None or (shape[1] if groups is None else shape[0] * groups) < 8


def test_what_is_bound_gives_the_same_bits(machine):
    for shape in ((2, 6, 90, 70), (3, 6, 40, 60), (3, 4, 5)):  # few channels, and small
        x, gy, weight, mean = drawn(shape, "f4")
        factor, steep, shift = 1 / (1 + np.abs(mean)), weight[::-1] / x.size, mean[::-1] / x.size
        plain, products = direct.channel_sums(x, gy, mean)
        by_x = direct.channel_line(x, gy, mean, weight, steep * products, shift * plain)
        found = direct.bind_channels(x, mean, factor, weight, steep, shift)(gy)
        for got, wanted in zip(found, (by_x, products * factor, plain), strict=True):
            np.testing.assert_array_equal(got, wanted)
        means = mean[: shape[1] // 2] + np.arange(shape[0])[:, None]
        groups = weight, means, 1 / (1 + np.abs(means)), shape[1] // 2
        whole, found = direct.units(x, gy, *groups), direct.bind_units(x, *groups)
        assert (whole is None) == (found is None) == (shape[0] == 2)
        if found is not None:
            for got, wanted in zip(found(gy), (whole[0], *(one.sum(axis=0) for one in whole[1:])), strict=True):
                np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("last", [False, True])
def test_channels_beyond_float32_are_computed_in_float64(machine, last):
    """Where numbers of a channel, or products with them, do not fit float32 though the result does; beside others."""
    x, gy, mean, slope = drawn((3, 19, 5), "f4")
    steep, shift = slope[::-1].copy(), mean[::-1].copy()
    slope[3], steep[4], shift[5], mean[6] = 1e-42, 1e-42, 1e300, 1e300
    slope[8], mean[9], steep[9] = 1e35, 1e5, 1e-3
    gy[:, 3], gy[:, 8], x[:, 4] = gy[:, 3] * 1e37, gy[:, 8] * 1e-38, x[:, 4] * 1e37
    x[:, 9] += 1e5
    slope[7], gy[1, 7], x[2, 6] = np.nan, np.inf, np.inf
    arrays = [channels_last(one) if last else one for one in (x, gy)]
    with np.errstate(all="ignore"):
        expected = windows.channel_line(*arrays, mean, slope, steep, shift)
    for length in (direct.PLANE, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(direct, "PLANE", length)
            direct._line.cache_clear()
            found = direct.channel_line(*arrays, mean, slope, steep, shift)
        direct._line.cache_clear()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-6)


def test_numbers_beyond_float32_and_none(machine):
    """Values of 1e30, whose squares float32 does not hold; infinity and NaN stay in their lines."""
    x, gy, weight, bias = drawn((6, 20, 1), "f4")
    x[0] *= np.float32(1e30)
    x[1, 3], x[2, 4], gy[3, 5] = np.inf, np.nan, np.nan
    for turned in (False, True):
        one, other = (np.ascontiguousarray(a.transpose(2, 1, 0)) if turned else a for a in (x, gy))
        found, expected = np.empty_like(one), np.empty_like(one)
        statistics = np.zeros((2, one.shape[0], one.shape[2]))
        layers.layer(one, weight, bias, 1e-5, found, statistics)
        windows_layers.layer(one, weight, bias, 1e-5, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        for weights in (weight, np.where(np.arange(20) == 4, 1e25, weight * 1e-25)):
            got, wanted = (module.layer(one, other, weights, statistics) for module in (direct, windows))
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_same_bits_for_any_number_of_threads(machine):
    x, gy, weight, bias = drawn((60, 40, 31), "f4")
    run = [np.ascontiguousarray(one.transpose(0, 2, 1)).reshape(-1, 40, 1) for one in (x, gy)]
    before, found = workers.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            results = [*direct.channel_sums(x, gy, weight), *direct.units(x, gy, None, weight, bias)]
            results += [direct.channel_line(x, gy, *[weight, bias] * 2)]
            for pair in ((x, gy), run):
                statistics, y = np.zeros((2, pair[0].shape[0], pair[0].shape[2])), np.empty_like(pair[0])
                layers.layer(pair[0], weight, bias, 1e-5, y, statistics)
                results += [y, *direct.layer(*pair, weight, statistics)]
            found.append(results)
    finally:
        workers.set_num_threads(before)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


@needs_guards
@pytest.mark.parametrize("before", [False, True])
def test_nothing_is_touched_outside(machine, before):
    for shape in ((3, 5, 1), (2, 35, 1), (2, 5, 21), (1, 3, 65)):
        plain = drawn(shape, "f4")
        x, gy, weight, bias = (guarded(one, before=before) for one in plain)
        out, statistics = guarded(x, before=before), guarded(np.zeros((2, shape[0], shape[2])), before=before)
        layers.layer(x, weight, bias, 1e-5, out, statistics)
        expected = np.empty_like(plain[0])
        windows_layers.layer(plain[0], weight, bias, 1e-5, expected)
        near(out, expected, "f4")
        direct.layer(x, gy, weight, statistics)
        direct.channel_sums(x, gy, weight)
        direct.channel_line(x, gy, weight, weight, bias, bias, out)
        near(out, windows.channel_line(x, gy, weight, weight, bias, bias), "f4")
        near(direct.channel_scale(x, weight), windows.channel_scale(x, weight), "f4")
        last = [np.moveaxis(guarded(np.moveaxis(one, 1, -1), before=before), -1, 1) for one in plain[:2]]
        direct.channel_sums(*last, weight)
        near(direct.channel_line(*last, weight, weight, bias, bias), out, "f4")


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_):
        raise CompilerMissing("no compiler for gradients of norms")

    monkeypatch.setattr(jit, "compiled", fails)
    giving_way._warn_once.cache_clear()
    for module in (layers, direct):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
    x, gy, weight, _ = drawn((2, 3, 4), "f4")
    with pytest.warns(RuntimeWarning, match="no compiler for gradients of norms"):
        sums = direct.channel_sums(x, gy, weight)
    np.testing.assert_array_equal(sums[0], windows.channel_sums(x, gy, weight)[0])
    out = np.empty_like(x)
    layers.layer(x, None, None, 1.0, out)
    assert np.isfinite(out).all()
    assert not direct.layer(x, gy, None, np.zeros((2, 2, 4)))[0].any()


@pytest.mark.parametrize("name", target.TARGETS)
def test_routines_call_nothing(name):
    """Calls come of what is computed, in which type, on which target: all of these, each in one memory order."""
    machine = target.named(name)
    kinds = itertools.islice(itertools.cycle(("run", "across")), list(target.TARGETS).index(name), None)
    texts = []
    for dtype in ("float32", "float64"):
        texts.append(units_routine("units", dtype, machine))
        texts += [writer("planes", dtype, machine) for writer in PLANE_ROUTINES]
        texts += [writer(Form(dtype, next(kinds)), machine) for writer in (sums_routine, line_routine)]
        texts += [writer(LayerForm(dtype, next(kinds)), machine) for writer in (layer_routine, gradient_routine)]
    for text in texts:
        assembly = jit.assembly(text, machine)
        assert "\tcall" not in assembly
        assert "\tbl\t" not in assembly
