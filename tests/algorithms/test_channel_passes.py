"""Gradients of one pass over every channel, on every target that this machine runs."""

import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms.direct import channel_passes as direct
from striderule.codegen import target, workers

TARGETS = target.available()
# Batch, channels, values: small enough for one thread, and cut into tasks.
SHAPES = [(1, 1), (3, 2), (2, 5, 7), (1, 6, 28, 28), (3, 4, 3, 5, 2), (9, 24, 13, 17)]
needs_guards = pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def drawn(shape, dtype):
    rng = np.random.default_rng(shape)
    x, gy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    return x, gy, *(rng.standard_normal(shape[1]) for _ in range(3))


def beside(numbers, x):
    return numbers.reshape(-1, *(1,) * (x.ndim - 2))


def close(found, expected, dtype):
    scale = np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-12 if dtype == "f8" else 1e-6) * scale)


@needs_guards
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_passes_equal_their_definitions(machine, dtype):
    for shape in SHAPES:
        x, gy, mean, factor, slope = drawn(shape, dtype)
        own, others = (guarded(one, before=bool(number)) for number, one in enumerate((x, gy)))
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        wide, wide_gy = x.astype("f8"), gy.astype("f8")
        by_x, products, plain = direct.bind_given(own, mean, factor, slope)(others)
        assert by_x.dtype == dtype
        close(by_x, wide_gy * beside(slope, x), dtype)
        close(products, (wide_gy * (wide - beside(mean, x)) * beside(factor, x)).sum(axis=axes), dtype)
        close(plain, wide_gy.sum(axis=axes), dtype)
        for weight in (slope.astype(dtype), slope[:1].astype(dtype)):
            by_x, sums = direct.bind_slopes(own, weight)(others)
            close(by_x, np.where(wide > 0, wide_gy, beside(weight, x) * wide_gy), dtype)
            parts = np.where(wide > 0, 0, wide * wide_gy)
            close(sums, parts.sum(axis=axes if weight.size > 1 else None).reshape(-1), dtype)


def test_sums_are_the_same_for_any_number_of_threads_and_hold_what_is_not_finite():
    x, gy, mean, factor, slope = drawn((9, 24, 13, 17), "f4")
    x[0, 1, 0, 0], gy[1, 2, 3, 4], x[0, 3, 0, 0] = np.nan, np.inf, -np.inf
    results, before = [], workers.get_num_threads()
    try:
        for threads in (1, 2, 5):
            workers.set_num_threads(threads)
            results.append(
                [*direct.bind_given(x, mean, factor, slope)(gy), *direct.bind_slopes(x, slope.astype("f4"))(gy)]
            )
    finally:
        workers.set_num_threads(before)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    (by_x, products, plain, by_prelu, sums), finite = results[0], np.ones(24, bool)
    assert np.isnan(products[1])
    assert plain[2] == np.inf
    assert np.isnan(by_prelu[0, 1, 0, 0]) == np.isnan(gy[0, 1, 0, 0] * slope[1])
    assert np.isnan(sums[1])
    assert np.isinf(sums[3])
    finite[1:4] = False
    assert np.isfinite(by_x[:, finite]).all()
    assert np.isfinite(sums[finite]).all()


def test_what_does_not_stand_as_it_must_is_left_to_others():
    x, _, mean, factor, slope = drawn((2, 5, 7), "f4")
    assert direct.bind_given(x.astype("f2"), mean, factor, slope) is None
    assert direct.bind_given(x.transpose(2, 1, 0), mean, factor, slope) is None
    assert direct.bind_given(np.zeros((0, 5, 7), "f4"), mean, factor, slope) is None
    assert direct.bind_slopes(x, slope) is None
    assert direct.bind_slopes(x[0, 0], slope.astype("f4")) is None
