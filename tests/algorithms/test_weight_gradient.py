"""Gradients of weights on generated code, on every target that this machine runs, against the loops."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from oracles.weight_sums import close, exact_sums
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import weight_gradient as direct
from striderule.algorithms.reference import weight_gradient as reference
from striderule.codegen import target, workers
from striderule.errors import InvalidArgument
from striderule.geometry.gradients import weight_gradient
from striderule.geometry.problem import Convolution
from striderule.planning import Machine, choose
from striderule.planning import weight_sums as plans
from striderule.planning.cost import COSTS
from striderule.planning.rules import PROMISES
from striderule.planning.work import work_of

TARGETS = target.available()


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(direct, "current", lambda: request.param)
    direct.call_for.cache_clear()
    yield request.param
    direct.call_for.cache_clear()


@pytest.fixture(autouse=True)
def no_giving_way(monkeypatch):
    """NumPy must not hide what fails."""

    def attempt(function, *args):
        return function(*args)

    monkeypatch.setattr(giving_way, "attempt", attempt)


def drawn(rng, largest_rank=3, size=13, channels=40):
    """Draw a convolution that has an output."""
    while True:
        rank, groups = int(rng.integers(1, largest_rank + 1)), int(rng.integers(1, 4))
        x = (int(rng.integers(1, 5)), groups * int(rng.integers(1, 8)), *rng.integers(1, size, rank).tolist())
        weight = (groups * int(rng.integers(1, channels)), x[1] // groups, *rng.integers(1, 5, rank).tolist())
        words = {
            "stride": rng.integers(1, 4, rank).tolist(),
            "dilation": rng.integers(1, 4, rank).tolist(),
            "padding": [tuple(pair) for pair in rng.integers(-2, 4, (rank, 2)).tolist()] if rng.random() < 0.7 else 0,
        }
        dtype = str(rng.choice(["float32", "float64"]))
        try:
            problem = Convolution.from_shapes(x, weight, groups=groups, dtype=dtype, **words)
        except InvalidArgument:
            continue
        if problem.multiply_adds < 300_000:
            return problem


def operands(problem, rng):
    x = rng.standard_normal((problem.batch, problem.in_channels, *problem.size)).astype(problem.dtype)
    return x, rng.standard_normal(problem.output_shape).astype(problem.dtype)


@pytest.mark.parametrize("seed", range(16))
def test_drawn_convolutions_in_any_memory(machine, seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng)
    x, gy = operands(problem, rng)
    x, gy = (other_memory(one, int(rng.integers(KINDS))) for one in (x, gy))
    close(direct.weight_gradient(weight_gradient(problem), x, gy), problem, x, gy)


@pytest.mark.parametrize("seed", range(6))
def test_small_integers_are_exact_as_in_the_loops(machine, seed):
    rng = np.random.default_rng(100 + seed)
    problem = drawn(rng, 2, 6, 20)
    x, gy = (rng.integers(-4, 5, one.shape).astype(one.dtype) for one in operands(problem, rng))
    gradient = weight_gradient(problem)
    np.testing.assert_array_equal(direct.weight_gradient(gradient, x, gy), reference.weight_gradient(gradient, x, gy))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("before", [False, True])
def test_nothing_outside_is_touched(machine, seed, before):
    rng = np.random.default_rng(200 + seed)
    problem = drawn(rng)
    x, gy = (guarded(one, before=before) for one in operands(problem, rng))
    close(direct.weight_gradient(weight_gradient(problem), x, gy), problem, x, gy)


def layer(x, weight, **words):
    return Convolution.from_shapes(x, weight, **words)


SEVERAL = {
    "bands of images": layer((9, 3, 7, 7), (20, 3, 3, 3), padding=1),
    "bands of lines": layer((2, 3, 40, 30), (20, 3, 3, 3), padding=1),
    "bands of columns": layer((1, 2, 3, 300), (70, 2, 3, 3), padding=1, dtype="float64"),
    "blocks of both channels": layer((2, 90, 9, 9), (130, 90, 2, 2)),
    "chains of chains": layer((20, 2, 41, 41), (5, 2, 1, 1)),
    "more taps than terms": layer((1, 2, 25, 25), (3, 2, 20, 20)),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_work_in_pieces(machine, name):
    problem = SEVERAL[name]
    x, gy = operands(problem, np.random.default_rng(7))
    cut = plans.weight_sums(
        weight_gradient(problem), machine.lanes(np.dtype(problem.dtype).itemsize), machine.registers
    )
    assert cut.tasks > 1
    assert cut.bands >= cut.parts
    found = []
    before = workers.get_num_threads()
    try:
        for threads in (1, 2, 5):
            workers.set_num_threads(threads)
            found.append(direct.weight_gradient(weight_gradient(problem), x, gy))
    finally:
        workers.set_num_threads(before)
    close(found[0], problem, x, gy)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


SINGLE = {
    "few inputs": layer((3, 5, 9, 13), (100, 5, 1, 1)),
    "few outputs": layer((3, 100, 9, 13), (5, 100, 1, 1)),
    "a line": layer((3, 20, 50), (400, 20, 1), dtype="float64"),
    "parts": layer((2, 6, 60, 41), (90, 6, 1, 1)),
    "a step": layer((3, 20, 9, 14), (7, 20, 1, 1), stride=2),
    "steps": layer((2, 5, 9, 14, 8), (70, 5, 1, 1, 1), stride=(3, 1, 2)),
}


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("name", SINGLE)
def test_single_taps_in_both_directions(machine, name, changed, monkeypatch):
    """Inputs and output gradients change places or not, and what steps skip is left out first."""

    def chosen(gradient, *words):
        there = plans.turned_over(gradient) if changed else gradient
        return there, plans.weight_sums(there, *words), changed

    monkeypatch.setattr(direct, "oriented", chosen)
    problem, rng = SINGLE[name], np.random.default_rng(11)
    x, gy = operands(problem, rng)
    for pair in ([guarded(one, before=False) for one in (x, gy)], [other_memory(one, KINDS - 1) for one in (x, gy)]):
        close(direct.weight_gradient(weight_gradient(problem), *pair), problem, x, gy)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_what_is_not_finite_stays_where_the_definition_puts_it(machine, value, which):
    problem = layer((2, 3, 6, 6), (5, 3, 3, 3), padding=2, stride=2)
    pair = operands(problem, np.random.default_rng(8))
    pair[which][1, 1, 0, 0] = value
    got = direct.weight_gradient(weight_gradient(problem), *pair)
    expected = reference.weight_gradient(weight_gradient(problem), *pair)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    assert np.isfinite(got).any()


def test_nothing_to_sum():
    problem = layer((0, 3, 6, 6), (5, 3, 3, 3))
    x, gy = operands(problem, np.random.default_rng(9))
    got = direct.weight_gradient(weight_gradient(problem), x, gy)
    assert got.shape == (5, 3, 3, 3)
    assert not got.any()


# Data that random numbers are not: of one value, of high dynamic range, cancelling, with roundings of one direction.
KINDS_OF_DATA = {
    "random": lambda rng, shape: rng.standard_normal(shape),
    "constant": lambda rng, shape: np.full(shape, 0.1),
    "spread": lambda rng, shape: rng.choice([-1, 1], shape) * np.exp2(rng.uniform(-30, 30, shape)),
    "near": lambda rng, shape: 1 + 0.01 * rng.standard_normal(shape),
    "halves": lambda rng, shape: np.full(shape, 1 + 2.0**-8 - 2.0**-23),
}
LONG = {
    "3x3": layer((9, 12, 28, 30), (20, 12, 3, 3), padding=1),
    "1x1": layer((6, 70, 30, 33), (40, 70, 1, 1)),
    "stride 2": layer((5, 6, 41, 40), (10, 6, 3, 3), stride=2, padding=1),
    "long": layer((40, 2, 3000), (4, 2, 3)),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("kind", KINDS_OF_DATA)
def test_errors_stay_within_what_is_claimed(machine, name, kind):
    problem = LONG[name]
    gradient = weight_gradient(problem)
    here = Machine.of(machine.name)
    cost = COSTS["direct"](gradient, work_of(gradient, "float32"), here)
    rng = np.random.default_rng(10)
    x, gy = (KINDS_OF_DATA[kind](rng, one.shape).astype(np.float32) for one in operands(problem, rng))
    exact, magnitudes = exact_sums(problem, x, gy)
    difference = np.linalg.norm(direct.weight_gradient(gradient, x, gy) - exact)
    assert difference <= cost.error * np.linalg.norm(magnitudes)
    assert difference <= 0.8 * PROMISES["highest"][1] * np.linalg.norm(magnitudes)
    if kind == "random":
        assert difference <= cost.random_error * np.linalg.norm(exact)
        assert difference <= 0.8 * PROMISES["highest"][0] * np.linalg.norm(exact)


@pytest.mark.parametrize("batch", [1, 16, 128])
@pytest.mark.parametrize("shape", [(64, 224, 64, 3), (512, 7, 512, 3), (2048, 7, 512, 1), (3, 224, 64, 7)])
def test_generated_code_keeps_every_promise(machine, batch, shape):
    """So that `windows`, which takes ten times as long, is not chosen for many images."""
    channels, size, outputs, kernel = shape
    problem = layer((batch, channels, size, size), (outputs, channels, kernel, kernel), padding=kernel // 2)
    assert choose(weight_gradient(problem), "highest", machine=Machine.of(machine.name)).algorithm == "direct"


APART = [
    ((2, 5, 6, 7, 4), (9, 5, 3, 2, 1), {"padding": ((1, 1), (0, 1), (0, 0))}),
    ((2, 4, 11, 9), (6, 4, 4, 1), {"padding": ((5, 2), (0, 0)), "stride": (3, 1), "dilation": (2, 1)}),
    ((3, 4, 4, 9), (6, 4, 3, 1), {"padding": ((4, -2), (0, 0))}),
]


@pytest.mark.parametrize("number", range(len(APART)))
def test_taps_by_themselves(machine, monkeypatch, number):
    """Steps, crops, and a padding that some taps meet nothing but; of so few channels it would not pay."""
    monkeypatch.setattr(plans, "APART", -1e9)
    plans.taps_apart.cache_clear()
    shape, weight, words = APART[number]
    problem = Convolution.from_shapes(shape, weight, dtype=("float32", "float64")[number % 2], **words)
    gradient = weight_gradient(problem)
    x, gy = operands(problem, np.random.default_rng(number))
    if number == 0:
        x[:, :, 0, 0, 0] = 2.0**20  # what is met is not what is beside it
    taps = plans.taps_apart(gradient, machine.lanes(x.itemsize), machine.registers)
    assert 0 < len(taps) <= np.prod(problem.kernel)
    close(direct.weight_gradient(gradient, x, gy), problem, x, gy)
    plans.taps_apart.cache_clear()


def test_taps_are_taken_apart_where_that_pays():
    long = Convolution.from_shapes((16, 144, 8, 56, 56), (64, 144, 3, 1, 1), padding=(1, 0, 0))
    assert len(plans.taps_apart(weight_gradient(long), 16, 32)) == 3
    for shape, weight in (((1, 16, 4, 6, 6), (16, 16, 3, 1, 1)), ((1, 16, 9, 9), (16, 16, 3, 3))):
        assert not plans.taps_apart(weight_gradient(Convolution.from_shapes(shape, weight)), 16, 32)
    chosen = choose(weight_gradient(long), "high", machine=Machine.of("avx512"), images=16)
    assert chosen.algorithm == "direct"
    assert chosen.cost.operations == sum(
        tap.problem.multiply_adds for tap in plans.taps_apart(weight_gradient(long), 16, 32)
    )
