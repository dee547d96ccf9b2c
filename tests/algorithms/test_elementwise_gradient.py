"""Gradients of activations on generated code, on every target that this machine runs, against NumPy in float64."""

import numpy as np
import pytest

from oracles.memories import KINDS, guarded, other_memory

pytest.importorskip("llvmlite")

from striderule.algorithms.direct import elementwise_gradient as direct
from striderule.algorithms.direct.activation_gradient import GRADIENTS
from striderule.algorithms.direct.elementwise_routine import PIECE
from striderule.algorithms.windows import elementwise_gradient as windows
from striderule.codegen import target, workers

TARGETS = target.available()
VALUES = {
    "leaky_relu": (0.25,), "hardtanh": (-2.0, 1.5), "elu": (1.5,), "celu": (0.75,), "softplus": (2.0, 3.0),
    "hardshrink": (0.75,), "softshrink": (0.75,), "threshold": (0.5, 7.0),
}  # fmt: skip
NAMES = [(name, VALUES.get(name, ())) for name in GRADIENTS if name != "gelu"]
NAMES += [("gelu", ("none",)), ("gelu", ("tanh",))]
KINKS = [0.0, -0.0, 3, -3, 6, 0.5, 0.75, -0.75, 1.5, -2, 100, -100, 1e30, -1e30, np.nan]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def by_numpy(name, x, g, parameters):
    with np.errstate(all="ignore"):
        return windows.apply(name, x.astype(np.float64), g.astype(np.float64), np.dtype("float64"), parameters)


@pytest.mark.parametrize(("name", "parameters"), NAMES, ids=lambda case: str(case))
def test_equals_numpy(machine, name, parameters):
    rng = np.random.default_rng(0)
    skipped = (len(name) + TARGETS.index(machine)) % 3  # a third of the types, which the other targets meet
    for dtype in [one for n, one in enumerate(("float32", "float64", "float16")) if n != skipped]:
        parts = [rng.normal(0, scale, 60) for scale in (0.1, 1, 5, 40)]
        x, g = np.concatenate(parts).astype(dtype), rng.normal(size=240).astype(dtype)
        if name.endswith("_of_result"):
            x = np.tanh(x)
        work = np.dtype("float32" if dtype == "float16" else dtype)
        found = direct.apply(name, x, g, work, parameters)
        assert found.dtype == dtype
        tolerance = {"float16": 1e-3, "float32": 1e-6, "float64": 2e-15}[dtype]
        expected = by_numpy(name, x, g, parameters)
        # Where slopes of both signs meet they cancel.
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * 2)


@pytest.mark.parametrize(("name", "parameters"), NAMES, ids=lambda case: str(case))
def test_kinks(machine, name, parameters):
    x = np.array(KINKS, np.float32)
    if name.endswith("_of_result"):
        x = np.clip(x, -1, 1)
    g = np.arange(1, x.size + 1).astype(np.float32)
    found, expected = direct.apply(name, x, g, x.dtype, parameters), by_numpy(name, x, g, parameters)
    finite = np.isfinite(expected)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=2e-6, atol=1e-6)
    assert np.isnan(found[-1]) == np.isnan(expected[-1])


def test_memory(machine):
    rng = np.random.default_rng(1)
    shapes = [(6, 7, 5, 19), (3, 4, 1), (0, 3), (5,), (2, 3 * PIECE + 5)]
    for shape in shapes:
        x, g = (rng.integers(-9, 10, shape).astype(np.float32) for _ in range(2))
        expected = windows.apply("leaky_relu", x, g, x.dtype, (0.25,))
        for first in range(KINDS):
            for second in {0, first, 3}:
                pair = other_memory(x, first), other_memory(g, second)
                np.testing.assert_array_equal(direct.apply("leaky_relu", *pair, x.dtype, (0.25,)), expected)
    assert direct.apply("relu", np.array(2.0), np.array(3.0), np.dtype("float64")).tolist() == 3
    spread = np.broadcast_to(np.float32(2), x.shape)
    np.testing.assert_array_equal(direct.apply("relu", x, spread, x.dtype), np.where(x > 0, 2, 0))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_prelu(machine, dtype):
    rng = np.random.default_rng(2)
    work = np.dtype("float64" if dtype == "float64" else "float32")
    for shape, slopes in (((3, 7, 5, 6), (7, 1, 1)), ((9, 33), (33,)), ((9, 33), ()), ((2, 3, 0), (3, 1))):
        x, g = (rng.integers(-9, 10, shape).astype(dtype) for _ in range(2))
        weight = rng.integers(-4, 5, slopes).astype(dtype)
        for kind in range(KINDS):
            pair = other_memory(x, kind), other_memory(g, kind)
            for got, expected in zip(
                direct.prelu(pair[0], weight, pair[1], work), windows.prelu(x, weight, g, work), strict=True
            ):
                np.testing.assert_array_equal(got, expected)


def test_nothing_outside_is_touched(machine):
    rng = np.random.default_rng(3)
    for size in (1, 3, 17, 63, 65, 200):
        for front in (False, True):
            x, g = (rng.integers(-5, 5, size).astype(np.float32) for _ in range(2))
            near = guarded(x, before=front), guarded(g, before=front)
            np.testing.assert_array_equal(
                direct.apply("hardtanh", *near, x.dtype, (-2.0, 2.0)),
                windows.apply("hardtanh", x, g, x.dtype, (-2.0, 2.0)),
            )


def test_threads_change_nothing(machine):
    x, g = np.random.default_rng(4).normal(0, 3, (2, 3, 50_001)).astype(np.float32)
    before, results = workers.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            results.append(direct.apply("gelu", x, g, x.dtype, ("none",)).tobytes())
    finally:
        workers.set_num_threads(before)
    assert set(results) == {results[0]}
