"""Sums of channels on generated code, on every target that this machine runs, against sums in float64."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms.direct import channel_sums as direct
from striderule.algorithms.direct import giving_way
from striderule.algorithms.windows import channel_sums as windows
from striderule.codegen import target, workers

SHAPES = [(1, 1, 70000), (3, 5, 37, 91), (2, 17, 5, 7, 31), (4, 9000, 1), (33, 1, 32, 33), (40000, 1)]


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(direct, "current", lambda: request.param)
    monkeypatch.setattr(giving_way, "attempt", lambda function, *args: function(*args))
    monkeypatch.setattr(direct, "FEW", 0)
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("before", [False, True])
def test_sums_are_those_of_float64(machine, shape, dtype, before):
    g = guarded(np.random.default_rng(0).standard_normal(shape).astype(dtype), before=before)
    axes = (0, *range(2, len(shape)))
    exact, magnitudes = (one.astype(np.longdouble).sum(axis=axes) for one in (g, np.abs(g)))
    found = direct.channel_sums(g)
    assert found.dtype == np.float64
    assert (np.abs(found - exact) <= 1e-14 * magnitudes).all()


@pytest.mark.parametrize("kind", range(KINDS))
def test_any_memory(machine, kind):
    g = other_memory(np.random.default_rng(1).standard_normal((3, 5, 9, 11)).astype(np.float32), kind)
    np.testing.assert_allclose(direct.channel_sums(g), windows.channel_sums(g.astype(np.float64)), rtol=1e-5, atol=1e-4)


def test_the_same_bits_for_any_number_of_threads(machine):
    g = np.random.default_rng(2).standard_normal((6, 7, 50, 51)).astype(np.float32)
    before = workers.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            workers.set_num_threads(threads)
            found.append(direct.channel_sums(g))
    finally:
        workers.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_infinities_and_nothing(machine):
    g = np.ones((2, 3, 40), np.float32)
    g[1, 1, 7], g[0, 2, 3] = np.inf, np.nan
    np.testing.assert_array_equal(direct.channel_sums(g), [80, np.inf, np.nan])
    np.testing.assert_array_equal(direct.channel_sums(np.ones((0, 3, 4), np.float32)), [0, 0, 0])
    assert direct.channel_sums(np.ones((2, 0, 4), np.float32)).shape == (0,)
