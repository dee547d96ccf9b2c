"""Interpolation and its gradient on generated code, on every target, against NumPy."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms import memory
from striderule.algorithms.direct import interpolation as direct
from striderule.algorithms.windows import interpolation as windows
from striderule.codegen import target, workers
from striderule.geometry.interpolation import Resampling

SHAPES = [
    ((2, 3, 5, 7), {"size": (10, 14), "mode": "nearest"}),
    ((2, 3, 5, 7), {"size": (8, 3), "mode": "nearest-exact"}),
    ((3, 2, 6, 37), {"scale": 2, "mode": "bilinear"}),
    ((3, 2, 6, 9), {"size": (4, 20), "mode": "bilinear", "corners": True}),
    ((2, 3, 11), {"size": 29, "mode": "linear"}),
    ((1, 2, 3, 4, 5), {"size": (6, 2, 9), "mode": "trilinear"}),
    ((2, 2, 1, 6), {"size": (4, 6), "mode": "bilinear"}),
]


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    target.forget()
    yield request.param
    target.forget()


def problem_of(shape, size=None, scale=None, mode="nearest", corners=None):
    return Resampling.of(shape, size, scale, mode, corners)


@pytest.mark.parametrize(("shape", "words"), SHAPES, ids=str)
def test_against_numpy(machine, shape, words, monkeypatch):
    monkeypatch.setattr(memory, "empty", lambda shape, dtype: guarded(np.zeros(shape, dtype)))
    problem, rng = problem_of(shape, **words), np.random.default_rng(0)
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 1e-14)):
        x = rng.standard_normal(shape).astype(dtype)
        g = rng.standard_normal(problem.output_shape).astype(dtype)
        found, back = direct.resample(problem, x, x.dtype), direct.gradient(problem, g)
        np.testing.assert_allclose(found, windows.resample(problem, x, x.dtype), rtol=0, atol=4 * tolerance)
        np.testing.assert_allclose(back, windows.gradient(problem, g), rtol=0, atol=16 * tolerance)
        assert float((found * g).sum()) == pytest.approx(float((x * back).sum()), rel=1e-4)


def test_the_same_bits_for_any_number_of_threads_and_memory():
    problem, found = problem_of((3, 4, 9, 13), scale=2, mode="bilinear"), []
    x = np.random.default_rng(1).standard_normal((3, 4, 9, 13)).astype(np.float32)
    before = workers.get_num_threads()
    try:
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            found.append(direct.resample(problem, x, x.dtype))
            found.append(direct.resample(problem, np.asfortranarray(x)[::1], x.dtype))
    finally:
        workers.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_what_is_not_finite_stands_where_numpy_puts_it():
    x = np.zeros((1, 1, 4, 5))
    x[0, 0, 3, 4], x[0, 0, 1, 1], x[0, 0, 0, 3] = np.inf, np.nan, -np.inf
    for words in ({"scale": 2, "mode": "bilinear"}, {"size": (7, 9), "mode": "bilinear", "corners": True}):
        problem = problem_of(x.shape, **words)
        with np.errstate(all="ignore"):
            expected = windows.resample(problem, x, x.dtype)
        np.testing.assert_array_equal(direct.resample(problem, x, x.dtype), expected)


def test_copies_keep_the_sign_of_zero():
    x = np.array([[[-0.0, 0.0, 1.0]]])
    found = direct.resample(problem_of(x.shape, size=6), x, x.dtype)
    assert np.signbit(found).tolist() == [[[True, True, False, False, False, False]]]
