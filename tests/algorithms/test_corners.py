"""Structure tensor and corner measures on generated code, on every target, against float64 in steps."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms import memory
from striderule.algorithms.corners import call
from striderule.algorithms.corners.routine import Form
from striderule.algorithms.windows.extend import extend
from striderule.codegen import target, workers

TARGETS = target.available()
SHAPES = [(1, 1), (1, 9), (7, 1), (3, 3), (9, 40), (70, 5), (6, 1040), (140, 515)]
WORDS = [
    (("symmetric", "symmetric"), ("symmetric", "symmetric")),
    (("constant", "constant"), ("constant", "constant")),
    (("wrap", "edge"), ("constant", "mirror")),
    (("mirror", "constant"), ("wrap", "wrap")),
]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def weights_of(reach):
    weights = np.exp(-(np.linspace(-2, 2, 2 * reach + 1) ** 2)) if reach else np.ones(1)
    return weights / weights.sum()


def in_steps(x, words, fill, weights):
    """Return the tensor's elements in float64, one whole array after the other."""
    wide = extend(x.astype(np.float64), ((1, 1), (1, 1)), words, fill)
    smooth, slope = wide[:-2] + 2 * wide[1:-1] + wide[2:], wide[2:] - wide[:-2]
    right, down = smooth[:, 2:] - smooth[:, :-2], slope[:, :-2] + 2 * slope[:, 1:-1] + slope[:, 2:]
    parts = []
    for product in (down * down, down * right, right * right):
        wide = extend(product, tuple((len(one) // 2,) * 2 for one in weights), words, 0.0)
        rows = sum(wide[i : i + x.shape[0]] * one for i, one in enumerate(weights[0]))
        parts.append(sum(rows[:, j : j + x.shape[1]] * one for j, one in enumerate(weights[1])))
    return parts


def drawn(dtype, shape):
    rng = np.random.default_rng(shape)
    if dtype == np.bool_:
        return rng.random(shape) < 0.5
    return (rng.random(shape) * 200 - (100 if np.dtype(dtype).kind != "u" else 0)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_steps(machine, shape, dtype):
    x = drawn(dtype, shape)
    fill = 0 if dtype == np.bool_ else 7
    for number, words in enumerate(WORDS):
        weights = weights_of((0, 2, 5, 3)[number]), weights_of((4, 1, 0, 6)[number])
        parts = in_steps(x, words, fill, weights)
        found = call.corners(x, words, fill, weights, "tensor")
        scale = max(float(np.abs(part).max()) for part in parts) or 1.0
        unit = 1e-12 if dtype == np.float64 else 2e-6
        for one, other in zip(found, parts, strict=True):
            assert one.dtype == (np.float64 if dtype == np.float64 else np.float32)
            np.testing.assert_allclose(one, other, atol=unit * scale)
        a, b, c = parts
        out = np.empty_like(found[0])
        (got,) = call.corners(x, words, fill, weights, "k", k=0.05, out=out)
        assert got is out
        np.testing.assert_allclose(got, a * c - b * b - 0.05 * (a + c) ** 2, atol=4 * unit * scale**2)
        (got,) = call.corners(x, words, fill, weights, "eps", eps=1.0, scale=0.5)
        np.testing.assert_allclose(got, (a * c - b * b) / 8 / ((a + c) / 4 + 1.0), atol=4 * unit * scale)


def test_threads_and_memory_do_not_show(monkeypatch):
    x, weights = drawn(np.float32, (140, 515)), (weights_of(3), weights_of(5))
    expected = call.corners(x, WORDS[2], 7.0, weights, "tensor")
    before = workers.get_num_threads()
    try:
        for threads in (1, 3):
            workers.set_num_threads(threads)
            for one, other in zip(call.corners(x, WORDS[2], 7.0, weights, "tensor"), expected, strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        workers.set_num_threads(before)
    gaps = np.full((140, 1029), np.nan, np.float32)
    gaps[:, ::2] = x[:, ::-1]
    for one, other in zip(call.corners(gaps[:, ::-2], WORDS[2], 7.0, weights, "tensor"), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    for front in (False, True):

        def room(_, size, front=front):
            held = guarded(np.zeros(size, np.uint8), before=front)
            return memory.Room(held, size, memory.address(held))

        monkeypatch.setattr(memory, "room", room)
        monkeypatch.setattr(memory, "empty", lambda shape, kind, f=front: guarded(np.zeros(shape, kind), before=f))
        found = call.corners(guarded(x, before=front), WORDS[2], 7.0, weights, "tensor")
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_infinity_stays_in_reach():
    x = np.ones((30, 40), np.float32)
    x[12, 20] = np.nan
    found = call.corners(x, WORDS[0], 0.0, (weights_of(2), weights_of(3)), "tensor")
    for part in found:
        rows, columns = np.nonzero(np.isnan(part))
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (9, 15, 16, 24)


def test_what_is_left_to_numpy_and_the_trial():
    many = weights_of(call.MOST_REACH + 1)
    assert call.corners(np.ones((3, 3)), WORDS[0], 0.0, (many, many), "tensor") is None
    assert call.corners(np.ones((0, 3)), WORDS[0], 0.0, (many[:1], many[:1]), "tensor") is None
    for source, element, result in (
        ("uint8", "float32", "k"),
        ("float64", "float64", "eps"),
        ("bool", "float32", "tensor"),
    ):
        assert call._agrees(Form(source, element, result))
