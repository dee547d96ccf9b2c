"""Correlation coefficients on generated code, on every target that this machine runs."""

import functools

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms import memory
from striderule.algorithms.templates import coefficients as made
from striderule.algorithms.templates.routine import Form
from striderule.codegen import target, workers

TARGETS = target.available()
NOISE = 64 * 2.0**-52
CASES = [
    ((1, 1), (1, 1)),
    ((9, 40), (9, 40)),
    ((9, 40), (3, 7)),
    ((30, 5), (4, 1)),
    ((150, 560), (33, 20)),
    ((5, 600), (2, 64)),
]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def drawn(dtype, shape, seed):
    rng = np.random.default_rng([seed, *shape])
    x = rng.integers(0, 2, shape) if dtype == np.bool_ else rng.integers(0, 100, shape)
    x[shape[0] // 2 :, : shape[1] // 3] = 1  # constant windows
    return x.astype(dtype)


def products_of(x, template):
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), template.shape)
    return np.einsum("ijkl,kl->ij", windows, template)


def expected_of(x, template):
    """Return the coefficients by Python's integers as far as they go: windows of integers have exact spreads."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64), template.shape)
    n = template.size
    spread = n * (windows**2).sum(axis=(2, 3)) - windows.sum(axis=(2, 3)) ** 2
    rest = template - template.mean()
    top = np.einsum("ijkl,kl->ij", windows.astype(np.float64), rest)
    norm = np.sqrt(spread / n * (rest**2).sum())
    return np.where(spread > 0, top / np.where(norm > 0, norm, 1), 0.0)


def expected_spread(x, size):
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64), size)
    return np.prod(size) * (windows**2).sum(axis=(2, 3)) - windows.sum(axis=(2, 3)) ** 2


@functools.cache
def looked_for(shape, size, truths):
    """Return a template and what is left without its mean, the coefficients, the spreads, and the products with both.

    They are the same for all targets, and for all types that hold the numbers, and take longer than what is asked here.
    """
    x = drawn(np.bool_ if truths else np.int64, shape, 1)
    template = np.random.default_rng(2).integers(0, 50, size).astype(np.float64)
    rest = template - template.mean()
    products = products_of(x, rest + 1e-3), products_of(x, template)
    return template, rest, expected_of(x, template), expected_spread(x, size), products


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize(("shape", "size"), CASES)
def test_against_every_window(machine, shape, size, dtype):
    x = drawn(dtype, shape, 1)
    template, rest, expected, spread, found = looked_for(shape, size, dtype == np.bool_)
    power = float((rest**2).sum())
    if not power:
        return
    wide = ("float32", "float64")[TARGETS.index(machine) % 2]
    for off, by_off in zip(
        (rest + 1e-3, template), found, strict=True
    ):  # deviations that are off their mean, as rounding leaves them
        # Sums that were off their mean come in one type for each target; those of the template in all.
        for kind in ("float32", "float64", "int32") if off is template else (wide,):
            products = by_off.astype(kind)
            assert made.coefficients(x, products, size, float(off.sum()), power, 50.0, NOISE, 0.0)
            got = products.view(np.float32) if kind == "int32" else products
            np.testing.assert_allclose(got, expected, atol={"float32": 1e-4, "float64": 1e-10, "int32": 1e-6}[kind])
            assert (got[spread == 0] == 0).all()


def test_threads_and_memory_do_not_show(monkeypatch):
    x = drawn(np.uint8, (150, 560), 3)
    template = np.random.default_rng(2).integers(0, 50, (33, 20)).astype(np.float64)
    rest = template - template.mean()
    products = products_of(x, rest)
    expected = products.copy()
    made.coefficients(x, expected, (33, 20), float(rest.sum()), float((rest**2).sum()), 50.0, NOISE, 0.0)
    threads = workers.get_num_threads()
    try:
        for count in (1, 3):
            workers.set_num_threads(count)
            got = products.copy()
            made.coefficients(x, got, (33, 20), float(rest.sum()), float((rest**2).sum()), 50.0, NOISE, 0.0)
            np.testing.assert_array_equal(got, expected)
    finally:
        workers.set_num_threads(threads)
    for before in (False, True):

        def room(_, size, before=before):
            held = guarded(np.zeros(size, np.uint8), before=before)
            return memory.Room(held, size, memory.address(held))

        monkeypatch.setattr(memory, "room", room)
        got = guarded(products, before=before)
        made.coefficients(
            guarded(x, before=before), got, (33, 20), float(rest.sum()), float((rest**2).sum()), 50.0, NOISE, 0.0
        )
        np.testing.assert_array_equal(got, expected)


def test_the_trial_on_unproved_targets_holds():
    for source, products in (("uint8", "int32"), ("float32", "float64")):
        assert made._agrees(Form(source, products))
