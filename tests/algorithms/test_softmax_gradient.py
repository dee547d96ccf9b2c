"""Gradients of softmax on generated code, on every target that this machine runs, against NumPy in float64."""

import numpy as np
import pytest

from oracles.memories import KINDS, guarded, other_memory

pytest.importorskip("llvmlite")

from striderule.algorithms.direct import softmax_gradient as direct
from striderule.codegen import target, workers

TARGETS = target.available()
SHAPES = [(5,), (7, 1), (3, 17), (2, 5, 70), (4, 33, 3), (0, 3), (3, 0), (40, 2), (2, 130, 21)]
KINDS_OF = [(False, False), (False, True), (True, False)]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def by_numpy(y, g, axis, logarithm, negative):
    y, g = y.astype(np.float64), g.astype(np.float64)
    sums = (g if logarithm else g * y).sum(axis=axis, keepdims=True)
    found = g - np.exp(y) * sums if logarithm else y * (g - sums)
    return -found if negative else found


@pytest.mark.parametrize(("logarithm", "negative"), KINDS_OF)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_numpy_in_any_memory_with_the_same_bits(machine, logarithm, negative, dtype):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        y, g = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
        y = -np.abs(y) if logarithm else np.abs(y)
        for axis in range(y.ndim):
            expected = by_numpy(y, g, axis, logarithm, negative)
            plain = direct.softmax(y, g, axis, logarithm, negative)
            tolerance = 1e-6 if dtype == "float32" else 1e-14
            scale = np.abs(g).sum(axis=axis, keepdims=True).max(initial=1)
            np.testing.assert_allclose(plain, expected, rtol=tolerance, atol=tolerance * scale)
            for first in range(KINDS):
                for second in {0, first}:
                    pair = other_memory(y, first), other_memory(g, second)
                    found = direct.softmax(*pair, axis, logarithm, negative)
                    np.testing.assert_array_equal(found, plain)


def test_nothing_outside_is_touched(machine):
    rng = np.random.default_rng(1)
    for shape, axis in (((3, 19), 1), ((19, 21), 0)):
        for front in (False, True):
            y, g = (rng.random(shape).astype(np.float32) for _ in range(2))
            near = guarded(y, before=front), guarded(g, before=front)
            found = direct.softmax(*near, axis, False, False)
            np.testing.assert_array_equal(found, direct.softmax(y, g, axis, False, False))


def test_threads_change_nothing(machine):
    y, g = np.random.default_rng(2).random((2, 90, 7, 65)).astype(np.float32)
    before, results = workers.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            results.append(b"".join(direct.softmax(y, g, axis, False, False).tobytes() for axis in range(3)))
    finally:
        workers.set_num_threads(before)
    assert set(results) == {results[0]}
