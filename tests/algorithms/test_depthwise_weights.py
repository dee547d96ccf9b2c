"""Gradients of weights plane by plane, on every target that this machine runs, against sums in float64."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from oracles.weight_sums import close, exact_sums
from striderule.algorithms.depthwise import weight_gradient as depthwise
from striderule.algorithms.direct import giving_way
from striderule.algorithms.reference import weight_gradient as reference
from striderule.codegen import target, workers
from striderule.geometry.gradients import weight_gradient
from striderule.geometry.problem import Convolution
from striderule.planning import Machine, choose
from striderule.planning.cost import COSTS
from striderule.planning.plane_sums import WIDE, Split, plane_sums
from striderule.planning.rules import PROMISES
from striderule.planning.work import work_of

TARGETS = target.available()


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(depthwise, "current", lambda: request.param)
    depthwise.call_for.cache_clear()
    yield request.param
    depthwise.call_for.cache_clear()


@pytest.fixture(autouse=True)
def no_giving_way(monkeypatch):
    """NumPy must not hide what fails."""

    def attempt(function, *args):
        return function(*args)

    monkeypatch.setattr(giving_way, "attempt", attempt)


def layer(batch, groups, size, kernel, pairs=(1, 1), **words):
    inputs, outputs = pairs
    return Convolution.from_shapes(
        (batch, groups * inputs, *size), (groups * outputs, inputs, *kernel), groups=groups, **words
    )


# Every way to read rows (as they stand, by steps, laid out), blocks of one and of two sizes, phases, bands, outer axes.
LAYERS = {
    "3x3": layer(3, 5, (7, 7), (3, 3), padding=1),
    "7x7": layer(2, 3, (19, 37), (7, 7), padding=(5, 2)),
    "stride 2": layer(3, 2, (23, 30), (5, 5), stride=2, padding=2),
    "strides and crop": layer(2, 2, (20, 31), (3, 2), stride=(3, 4), padding=((2, 0), (-1, 3))),
    "stride 5": layer(2, 2, (19, 60), (3, 3), stride=(1, 5), padding=1, dtype="float64"),
    "dilated": layer(2, 2, (15, 20), (3, 3), dilation=(2, 3), padding=3),
    "stride and dilation": layer(2, 2, (27, 30), (3, 4), stride=(2, 2), dilation=(3, 3), padding=(2, 4)),
    "one axis": layer(3, 2, (700,), (3,), dilation=16, padding=16),
    "three axes": layer(2, 2, (4, 7, 9), (2, 3, 3), (2, 3), padding=1, stride=(1, 2, 1)),
    "small groups": layer(2, 3, (9, 18), (3, 3), (4, 2), padding=1, dtype="float64"),
    "planes asked for before": layer(2, 1, (60, 40), (3, 3), padding=1),
    "long rows": layer(1, 1, (130, 9), (2, 1), (1, 2)),
}


def operands(problem, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((problem.batch, problem.in_channels, *problem.size)).astype(problem.dtype)
    return x, rng.standard_normal(problem.output_shape).astype(problem.dtype)


def computed(problem, x, gy):
    """Return the routine's own result, which must be finite."""
    call = depthwise.call_for(weight_gradient(problem), *map(depthwise.ArrayInfo.of, (x, gy)))
    return call.run(x, gy)


@pytest.mark.parametrize("name", LAYERS)
def test_every_way_in_any_memory_and_nothing_outside_is_touched(machine, name):
    problem = LAYERS[name]
    x, gy = operands(problem)
    close(computed(problem, x, gy), problem, x, gy)
    before = len(name) % 2 == 0
    close(computed(problem, *(guarded(one, before=before) for one in (x, gy))), problem, x, gy)


@pytest.mark.parametrize("kinds", [(1, 2), (3, 4)])
@pytest.mark.parametrize("name", ["stride 2", "three axes", "small groups"])
def test_other_memory(machine, name, kinds):
    problem = LAYERS[name]
    x, gy = operands(problem, 1)
    other = [other_memory(one, kind % KINDS) for one, kind in zip((x, gy), kinds, strict=True)]
    close(computed(problem, *other), problem, x, gy)


def test_small_integers_are_exact_as_in_the_loops(machine):
    problem = layer(2, 2, (6, 7), (3, 3), (2, 1), padding=1, stride=2)
    x, gy = (np.rint(3 * one) for one in operands(problem))
    expected = reference.weight_gradient(weight_gradient(problem), x, gy)
    np.testing.assert_array_equal(depthwise.weight_gradient(weight_gradient(problem), x, gy), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_what_is_not_finite_stays_where_the_definition_puts_it(value, which):
    problem = LAYERS["3x3"]
    pair = operands(problem)
    pair[which][1, 1, 0, 0] = value
    got = depthwise.weight_gradient(weight_gradient(problem), *pair)
    expected = reference.weight_gradient(weight_gradient(problem), *pair)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
    assert np.isfinite(got).any()


def test_nothing_to_sum():
    problem = layer(0, 3, (6, 6), (3, 3))
    assert not depthwise.weight_gradient(weight_gradient(problem), *operands(problem)).any()


SEVERAL = {
    "parts": layer(9, 2, (50, 50), (3, 3), padding=1),
    "spans of groups": layer(1, 137, (4, 5), (3, 3), padding=1),
    "bands of rows": layer(1, 1, (300, 20), (3, 3), padding=1),
    "bands of columns": layer(2, 1, (3000,), (5,), padding=2),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_work_in_pieces(name):
    problem = SEVERAL[name]
    x, gy = operands(problem)
    cut = plane_sums(weight_gradient(problem), 16, 32, wide=True)
    assert cut.tasks > 1
    found = []
    before = workers.get_num_threads()
    try:
        for threads in (1, 2, 5):
            workers.set_num_threads(threads)
            found.append(computed(problem, x, gy))
    finally:
        workers.set_num_threads(before)
    close(found[0], problem, x, gy)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


KINDS_OF_DATA = {
    "random": lambda rng, shape: rng.standard_normal(shape),
    "constant": lambda rng, shape: np.full(shape, 0.1),
    "halves": lambda rng, shape: np.full(shape, 1 + 2.0**-8 - 2.0**-23),
}
LONG = {
    "3x3": layer(40, 1, (56, 56), (3, 3), padding=1),
    "wide": layer(3, 1, (112, 333), (3, 3), padding=1),
    "one axis": layer(16, 1, (9000,), (3,), padding=1),
}


@pytest.mark.parametrize("kind", KINDS_OF_DATA)
@pytest.mark.parametrize("name", LONG)
def test_errors_stay_within_what_is_claimed(machine, name, kind):
    problem = LONG[name]
    gradient = weight_gradient(problem)
    cost = COSTS["depthwise"](gradient, work_of(gradient, "float32"), Machine.of(machine.name))
    rng = np.random.default_rng(10)
    x, gy = (KINDS_OF_DATA[kind](rng, one.shape).astype(np.float32) for one in operands(problem))
    exact, magnitudes = exact_sums(problem, x, gy)
    difference = np.linalg.norm(depthwise.weight_gradient(gradient, x, gy) - exact)
    assert difference <= cost.error * np.linalg.norm(magnitudes)
    assert cost.error <= PROMISES["highest"][1]
    if kind == "random":
        assert difference <= cost.random_error * np.linalg.norm(exact)
        assert cost.random_error <= PROMISES["highest"][0]


@pytest.mark.parametrize("batch", [1, 16, 128])
@pytest.mark.parametrize("size", [7, 14, 112, 224])
def test_generated_code_keeps_every_promise(batch, size):
    problem = layer(batch, 64, (size, size), (3, 3), padding=1)
    assert choose(weight_gradient(problem), "highest", machine=Machine.of("avx512")).algorithm == "depthwise"


def test_blocks_of_taps_are_as_equal_as_can_be():
    for taps in range(1, 40):
        for blocks in range(1, taps + 1):
            split = Split.of(taps, blocks)
            assert sum(size * count for size, count in split.sizes) == taps
            assert split.full + split.rest == blocks
            assert split.full > 0


def test_half_vectors_serve_short_rows():
    narrow = plane_sums(weight_gradient(layer(1, 3, (7, 7), (3, 3), padding=1)), 16, 32, wide=True)
    assert narrow.lanes == 8
    assert WIDE == 64
