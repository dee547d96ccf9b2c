"""Batch normalisation with residual and activation in one routine each way, on every target that this machine runs."""

import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms.direct import trained_normalization as direct
from striderule.codegen import target, workers

SHAPES = [(5, 8), (4, 6, 5, 3), (2, 3, 49), (3, 9, 16), (16, 40, 11, 8)]
ENDS = [(None, False), ("relu", False), ("relu6", True), ("relu", True)]


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def drawn(shape, seed=0):
    rng = np.random.default_rng((seed, *shape))
    arrays = [rng.normal(1, 3, shape), rng.standard_normal(shape), rng.standard_normal(shape)]
    return [one.astype(np.float32) for one in (*arrays, rng.standard_normal(shape[1]), rng.standard_normal(shape[1]))]


def exact(x, gy, beside, weight, bias, activation, eps):
    """Return result, means, factors and gradients by their definitions, in float64; kinks are where y is cut off."""
    x, gy, beside, weight, bias = (one.astype(np.float64) for one in (x, gy, beside, weight, bias))
    axes, spread = (0, *range(2, x.ndim)), (slice(None),) + (None,) * (x.ndim - 2)
    mean, var = x.mean(axis=axes), x.var(axis=axes)
    factor = 1 / np.sqrt(var + eps)
    normal = (x - mean[spread]) * factor[spread]
    sums = normal * weight[spread] + bias[spread] + beside
    low, high = {None: (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6)}[activation]
    gz = np.where((sums > low) & (sums < high), gy, 0)
    by_weight, by_bias = (gz * normal).sum(axis=axes), gz.sum(axis=axes)
    count = x.size / x.shape[1]
    gx = (weight * factor)[spread] * (gz - (by_bias / count)[spread] - normal * (by_weight / count)[spread])
    return sums.clip(low, high), np.stack([mean, factor]), gx, by_weight, by_bias, gz


def computed(x, gy, beside, weight, bias, activation, residual, running):
    found = direct.bound(x.shape, activation, residual, 1e-3, 0.25)
    y, statistics = found.forward(x, beside if residual else None, weight, bias, *running)
    return y, statistics, *found.backward(x, gy, y, weight, statistics, apart=residual)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("activation", "residual"), ENDS)
def test_both_ways_are_what_is_defined(machine, shape, activation, residual):
    x, gy, beside, weight, bias = drawn(shape)
    running = np.full(shape[1], 2, np.float32), np.full(shape[1], 4, np.float32)
    got = computed(x, gy, beside, weight, bias, activation, residual, running)
    expected = exact(x, gy, beside if residual else np.zeros_like(x), weight, bias, activation, 1e-3)
    for one, other in zip(got[: 6 if residual else 5], expected, strict=False):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())
    count, axes = x.size / shape[1], (0, *range(2, x.ndim))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(running[0], 1.5 + 0.25 * wide.mean(axis=axes), rtol=1e-6)
    np.testing.assert_allclose(running[1], 3 + 0.25 * wide.var(axis=axes) * count / (count - 1), rtol=1e-6)


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize("before", [False, True])
def test_nothing_is_touched_outside(machine, before):
    shape = (3, 9, 19)
    arrays = [guarded(one, before=before) for one in drawn(shape)]
    running = [guarded(np.ones(9, np.float32), before=before) for _ in range(2)]
    expected = computed(*drawn(shape), "relu", True, (None, None))
    for one, other in zip(computed(*arrays, "relu", True, running), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_change_no_bit():
    operands, before = drawn((16, 40, 11, 8)), workers.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            found.append(computed(*operands, "relu6", True, (None, None)))
    finally:
        workers.set_num_threads(before)
    for one, *others in zip(*found, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)


def test_few_channels_are_left_to_lines():
    assert direct.bound((64, 3, 32, 32), "relu", False, 1e-5, 0.1) is None
    assert direct.bound((0, 3, 32, 32), "relu", False, 1e-5, 0.1) is None


def test_values_that_are_not_finite_go_through():
    x, gy, beside, weight, bias = drawn((3, 9, 19))
    x[0, 2, 5], x[1, 4, 0] = np.nan, np.inf
    with np.errstate(all="ignore"):
        y, *_ = computed(x, gy, beside, weight, bias, "relu6", False, (None, None))
    spoiled = np.isnan(y).any(axis=(0, 2))
    assert spoiled.tolist() == [channel in (2, 4) for channel in range(9)]
