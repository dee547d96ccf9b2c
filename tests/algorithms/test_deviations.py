"""The variance of small integers on generated code, on every target, against NumPy's of every window."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms.deviations import call
from striderule.algorithms.deviations.routine import Form
from striderule.algorithms.windows.extend import extend
from striderule.codegen import target, workers

WORDS = [
    (("symmetric", "symmetric"), ("symmetric", "symmetric")),
    (("constant", "constant"), ("constant", "constant")),
    (("wrap", "edge"), ("constant", "mirror")),
    (("mirror", "constant"), ("wrap", "wrap")),
]
SIZES = [(1, 1), (3, 3), (2, 5), (9, 4), (31, 32), (70, 1)]


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def windows_of(x, sizes, words, fill):
    sides = tuple((k // 2, k - k // 2 - 1) for k in sizes)
    wide = extend(
        x.astype(np.float64), ((0, 0),) * (x.ndim - 2) + sides, (("edge", "edge"),) * (x.ndim - 2) + words, fill
    )
    return np.lib.stride_tricks.sliding_window_view(wide, sizes, axis=(-2, -1)).var(axis=(-2, -1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.bool_])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (70, 37), (2, 130, 19)])
def test_equals_numpy(machine, shape, dtype):
    info = np.iinfo(dtype) if dtype != np.bool_ else None
    low, high = (info.min, info.max) if info else (0, 1)
    x = np.random.default_rng(1).integers(low, high, shape, np.int64, endpoint=True).astype(dtype)
    for number, sizes in enumerate(SIZES):
        words, root = WORDS[number % 4], number % 2 == 1
        served = call.is_served(x.dtype, sizes)
        fill = 1
        got = call.deviations(guarded(x, before=root), sizes, words, fill, root=root)
        assert served == (got is not None)
        if got is None:
            continue
        expected = windows_of(x, sizes, words, fill)
        np.testing.assert_allclose(got, np.sqrt(expected) if root else expected, rtol=3e-7, atol=1e-9)


def test_threads_and_memory_do_not_show():
    x = np.random.default_rng(0).integers(0, 255, (300, 130)).astype(np.uint8)
    results, before = [], workers.get_num_threads()
    try:
        for threads in (1, 3):
            workers.set_num_threads(threads)
            results += [call.deviations(one, (7, 5), WORDS[0], 0, root=False) for one in (x, np.asfortranarray(x))]
    finally:
        workers.set_num_threads(before)
    assert all(np.array_equal(results[0], one) for one in results)


def test_what_is_left_to_numpy(machine):
    assert call.is_served(np.dtype(np.uint16), (30, 32))
    for dtype, sizes in ((np.float32, (3, 3)), (np.uint8, (3, 33)), (np.uint16, (60, 32)), (np.uint8, (3,))):
        assert not call.is_served(np.dtype(dtype), sizes)
    assert call.deviations(np.ones((3, 0), np.uint8), (3, 3), WORDS[0], 0, root=False) is None
    assert call._agrees(Form("uint8", "float32", True))
