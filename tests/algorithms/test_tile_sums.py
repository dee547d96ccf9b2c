"""Gradients of weights by transformed tiles, on every target that this machine runs."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import weight_gradient as direct
from striderule.algorithms.reference import weight_gradient as reference
from striderule.algorithms.windows import weight_gradient as windows
from striderule.algorithms.winograd import weight_gradient as tiled
from striderule.codegen import target, workers
from striderule.errors import InvalidArgument
from striderule.geometry.gradients import weight_gradient
from striderule.geometry.problem import Convolution
from striderule.planning import Machine, choose
from striderule.planning import tile_sums as plans
from striderule.planning.rules import PROMISES

TARGETS = target.available()
SHARE = 0.8


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(tiled, "current", lambda: request.param)
    tiled.call_for.cache_clear()
    yield request.param
    tiled.call_for.cache_clear()


@pytest.fixture(autouse=True)
def no_giving_way(monkeypatch):
    """Nothing else must hide what fails; tests that look for it ask for it."""

    def refused(*_):
        raise AssertionError("given way")

    monkeypatch.setattr(giving_way, "attempt", lambda function, *args: function(*args))
    monkeypatch.setattr(direct, "weight_gradient", refused)


def layer(x, channels, **words):
    weight = (channels, x[1] // words.get("groups", 1), *(2, 3, 2)[: len(x) - 4], 3, 3)
    return Convolution.from_shapes(x, weight, **words)


def operands(problem, rng):
    x = rng.standard_normal((problem.batch, problem.in_channels, *problem.size)).astype("f")
    return x, rng.standard_normal(problem.output_shape).astype("f")


def errors(problem, x, gy, got):
    """Return the norm of the error, over that of the result, and over that of |x| correlated with |gy|."""
    gradient = weight_gradient(replace(problem, dtype="float64"))
    wide = [one.astype(float) for one in (x, gy)]
    expected, size = windows.weight_gradient(gradient, *wide), windows.weight_gradient(gradient, *map(np.abs, wide))
    off = np.linalg.norm(got - expected)
    return off / np.linalg.norm(expected), off / np.linalg.norm(size)


def assert_close(problem, x, gy, got, machine):
    cut = plans.tile_sums(weight_gradient(problem), machine.lanes(4), machine.registers)
    of_result, of_absolute = errors(problem, x, gy, got)
    bound, random = plans.errors(cut)
    # Of few sums the error varies more than that of a mean.
    assert got.dtype == np.float32
    assert of_result <= 1.5 * random <= SHARE * PROMISES["high"][0]
    assert of_absolute <= bound <= PROMISES["high"][1]


def drawn(rng):
    """Draw a layer that has an output."""
    while True:
        groups = int(rng.integers(1, 3))
        x = (int(rng.integers(1, 6)), groups * int(rng.integers(4, 20)), *rng.integers(5, 20, 2).tolist())
        words = {"padding": [tuple(pair) for pair in rng.integers(-2, 4, (2, 2)).tolist()]}
        try:
            problem = layer(x, groups * int(rng.integers(4, 40)), groups=groups, **words)
        except InvalidArgument:
            continue
        return problem


@pytest.mark.parametrize("seed", range(12))
def test_drawn_layers_in_any_memory(machine, seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng)
    x, gy = (other_memory(one, int(rng.integers(KINDS))) for one in operands(problem, rng))
    assert_close(problem, x, gy, tiled.weight_gradient(weight_gradient(problem), x, gy), machine)


def test_small_integers_are_exact_as_in_the_loops(machine):
    rng = np.random.default_rng(100)
    problem = layer((2, 5, 5, 6), 7, padding=1)
    x, gy = (rng.integers(-4, 5, one.shape).astype("f") for one in operands(problem, rng))
    gradient = weight_gradient(problem)
    np.testing.assert_array_equal(tiled.weight_gradient(gradient, x, gy), reference.weight_gradient(gradient, x, gy))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("before", [False, True])
def test_nothing_outside_is_touched(machine, seed, before):
    rng = np.random.default_rng(200 + seed)
    problem = drawn(rng) if seed else layer((1, 4, 3, 5, 7), 5, padding=1)
    x, gy = (guarded(one, before=before) for one in operands(problem, rng))
    assert_close(problem, x, gy, tiled.weight_gradient(weight_gradient(problem), x, gy), machine)


SEVERAL = {
    "bands of columns": layer((1, 4, 4, 300), 4, padding=1),
    "bands of lines, parts": layer((3, 8, 61, 33), 20, padding=1),
    "bands of images": layer((17, 6, 7, 7), 20, padding=1),
    "blocks of both channels": layer((2, 140, 9, 9), 140, padding=1),
    "groups": layer((2, 24, 15, 14), 90, padding=1, groups=2),
    "planes": layer((2, 8, 5, 9, 20), 20, padding=((2, 1), (1, 1), (1, 0)), stride=(2, 1, 1)),
    "planes of two axes, groups": layer((2, 16, 3, 4, 7, 9), 22, padding=1, dilation=(1, 2, 1, 1), groups=2),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_work_in_pieces_gives_the_same_bits_on_any_number_of_threads(machine, name):
    problem = SEVERAL[name]
    x, gy = operands(problem, np.random.default_rng(7))
    assert plans.tile_sums(weight_gradient(problem), machine.lanes(4), machine.registers).tasks > 1
    found, before = [], workers.get_num_threads()
    try:
        for threads in (1, 2, 5):
            workers.set_num_threads(threads)
            found.append(tiled.weight_gradient(weight_gradient(problem), x, gy))
    finally:
        workers.set_num_threads(before)
    assert_close(problem, x, gy, found[0], machine)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def every_second_tile(rng, shape):
    """Numbers that meet others where the transforms err most, and nothing between."""
    found = np.zeros(shape)
    found[..., 1::4, 1::4] = 1 + rng.random(shape)[..., 1::4, 1::4]
    found[..., 2::4, 2::4] = 1 - rng.random(shape)[..., 2::4, 2::4]
    return found


DATA = {
    "constant": lambda _, shape: np.full(shape, 0.1),
    "spread": lambda rng, shape: rng.choice([-1, 1], shape) * np.exp2(rng.uniform(-30, 30, shape)),
    "near": lambda rng, shape: 1 + 0.01 * rng.standard_normal(shape),
    "halves": lambda _, shape: np.full(shape, 1 + 2.0**-8 - 2.0**-23),
    "tiny": lambda rng, shape: np.ldexp(rng.standard_normal(shape), -20),
    "large": lambda rng, shape: np.ldexp(rng.standard_normal(shape), 40),
    "sparse": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.02),
    "tiles": every_second_tile,
}


@pytest.mark.parametrize("kind", DATA)
def test_errors_stay_within_what_is_claimed(machine, kind):
    problem = layer((5, 8, 41, 42), 20, padding=1)
    rng = np.random.default_rng(10)
    x, gy = (DATA[kind](rng, one.shape).astype("f") for one in operands(problem, rng))
    cut = plans.tile_sums(weight_gradient(problem), machine.lanes(4), machine.registers)
    _, of_absolute = errors(problem, x, gy, tiled.weight_gradient(weight_gradient(problem), x, gy))
    assert of_absolute <= plans.errors(cut)[0]
    assert of_absolute <= SHARE * PROMISES["high"][1]


@pytest.mark.parametrize("number", [np.nan, np.inf, np.finfo("f").max, 2.0**-140])
@pytest.mark.parametrize("which", [0, 1])
def test_gives_way_where_tiles_would_not_keep_the_promise(machine, number, which, monkeypatch):
    problem = layer((2, 6, 8, 9), 5, padding=1)
    gradient = weight_gradient(problem)
    pair = operands(problem, np.random.default_rng(8))
    if number < 1:
        pair[which][...] = number
    else:
        pair[which][1, 1, 3, 3] = number
        pair[which][1, 1, 4, 3] = number
    monkeypatch.setattr(direct, "weight_gradient", windows.weight_gradient)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(tiled.weight_gradient(gradient, *pair), windows.weight_gradient(gradient, *pair))


@pytest.mark.parametrize("name", [machine.name for machine in TARGETS])
def test_the_planner_takes_it_where_it_is_quicker_and_promised(name):
    here = Machine.of(name)
    large, small = layer((16, 64, 56, 56), 64, padding=1), layer((2, 8, 9, 9), 8, padding=1)
    assert choose(weight_gradient(large), "high", machine=here, images=16).chosen.label == "winograd:F2"
    assert choose(weight_gradient(large), "highest", machine=here).algorithm == "direct"
    assert choose(weight_gradient(small), "high", machine=here, images=16).algorithm == "direct"
    for other in (replace(large, dtype="float64"), replace(large, stride=(2, 2))):
        assert choose(weight_gradient(other), "high", machine=here, images=16).algorithm == "direct"
    assert (
        "3x3" in dict(choose(weight_gradient(replace(large, kernel=(1, 1))), "high", machine=here).declined)["winograd"]
    )
