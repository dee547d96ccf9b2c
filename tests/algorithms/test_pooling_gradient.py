"""Gradients of pooling on generated code and in NumPy, on every target of this machine, against the definition."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import pooling_gradient as direct
from striderule.algorithms.direct.pooling.gradient_plan import plan_of
from striderule.algorithms.windows import pooling_gradient as windows
from striderule.algorithms.windows.pooling import fractional_max_pool, max_pool
from striderule.codegen import target, workers
from striderule.errors import InvalidArgument
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling

TARGETS = target.available()
FLOATS = [np.dtype(np.float32), np.dtype(np.float64)]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(direct, "current", lambda: request.param)
    return request.param


@pytest.fixture(autouse=True)
def no_giving_way(monkeypatch):
    """NumPy must not hide what fails."""

    def attempt(function, *args):
        return function(*args)

    monkeypatch.setattr(giving_way, "attempt", attempt)


def drawn(rng, kind, size=40):
    """Draw a pooling that has an output."""
    while True:
        rank = int(rng.integers(1, 4))
        shape = (int(rng.integers(1, 4)), int(rng.integers(1, 20)), *rng.integers(1, (60, size, 9)[rank - 1], rank))
        shape = tuple(map(int, shape))
        try:
            if rng.random() < 0.25:
                return AdaptivePooling.from_shape(kind, shape, rng.integers(1, 9, rank).tolist())
            kernel = rng.integers(1, rng.choice([3, 5, 20]), rank).tolist()
            words = {} if kind == "max" else {
                "count_include_pad": bool(rng.integers(2)), "divisor_override": rng.choice([None, None, -3])
            }  # fmt: skip
            stride, gaps = (rng.integers(1, 4, rank).tolist() for _ in range(2))
            pads = [int(rng.integers(0, k // 2 + 1)) for k in kernel]
            return Pooling.from_shape(kind, shape, kernel, stride, pads, gaps, bool(rng.integers(2)), **words)
        except InvalidArgument:
            continue


def by_definition(problem, gy, places=None):
    """Hand back what each output has, in float64: to its place, or by a matrix for each axis of who sees whom."""
    if places is not None:
        result = np.zeros((problem.batch, problem.channels, *problem.size))
        n, c, *_ = there = np.nonzero(places >= 0)
        np.add.at(result.reshape(*result.shape[:2], -1), (n, c, places[there]), gy[there])
        return result
    result = gy.astype(np.float64)
    if isinstance(problem, Pooling) and problem.divisor_override is not None:
        result /= problem.divisor_override
    for axis, (size, outputs) in enumerate(zip(problem.size, problem.output_size, strict=True)):
        matrix = np.zeros((size, outputs))
        for j in range(outputs):
            seen = problem.positions(axis, j)
            divisor = len(seen) if isinstance(problem, AdaptivePooling) else problem.counted(axis)[j]
            if isinstance(problem, Pooling) and problem.divisor_override is not None:
                divisor = 1
            matrix[list(seen), j] = 1 / divisor if seen else 0
        result = np.moveaxis(np.tensordot(matrix, result, (1, axis + 2)), 0, axis + 2)
    return result


def operands(problem, rng, dtype, kind):
    gy = rng.standard_normal(problem.output_shape).astype(dtype)
    if kind == "average":
        return (gy,)
    # Few values, so that there are ties.
    x = rng.integers(-3, 4, (problem.batch, problem.channels, *problem.size)).astype(dtype)
    return gy, max_pool(problem, x, True)[1]


def close(got, expected, dtype):
    assert got.dtype == dtype
    scale = float(np.abs(expected).max(initial=0)) + 1e-30
    assert float(np.abs(got - expected).max(initial=0)) <= 60 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("seed", range(8))
def test_drawn_poolings_in_any_memory(machine, seed, kind):
    rng = np.random.default_rng((seed, len(kind)))
    problem, dtype, last = drawn(rng, kind), FLOATS[seed % 2], bool(seed // 2 % 2)
    given = operands(problem, rng, dtype, kind)
    expected = by_definition(problem, *given)
    given = [other_memory(one, int(rng.integers(KINDS))) for one in given]
    name = "largest" if kind == "max" else kind
    for module in (direct, windows):
        got = getattr(module, name)(problem, *given, dtype, last)
        close(got, expected, dtype)
        assert np.moveaxis(got, 1, -1).flags.c_contiguous if last else got.flags.c_contiguous


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_nothing_outside_is_touched(machine, monkeypatch, seed, before, last, kind):
    rng = np.random.default_rng((seed, before))
    problem, dtype = drawn(rng, kind), FLOATS[seed % 2]
    given = operands(problem, rng, dtype, kind)
    expected = by_definition(problem, *given)
    if last:
        stand = [np.moveaxis(guarded(np.moveaxis(one, 1, -1).copy(), before=before), -1, 1) for one in given]
    else:
        stand = [guarded(one, before=before) for one in given]
    monkeypatch.setattr(windows.memory, "empty", lambda shape, kind: guarded(np.full(shape, 7, kind), before=before))
    close(getattr(direct, "largest" if kind == "max" else kind)(problem, *stand, dtype, last), expected, dtype)


def pooling(kind, shape, *words, **more):
    return Pooling.from_shape(kind, shape, *words, **more)


NAMED = {
    "one vector and more": pooling("max", (2, 3, 20, 75), 3, 2, 1),
    "strides with gaps": pooling("max", (1, 2, 23, 140), 2, 3),
    "wide steps": pooling("max", (1, 2, 40, 160), 8),
    "overlapping": pooling("max", (2, 5, 33, 50), 3, 1, 1),
    "long kernel": pooling("max", (1, 2, 20, 90), (3, 15), (2, 1), (1, 7)),
    "dilated, windows without elements": pooling("max", (1, 2, 9, 9), 2, 1, 1, 5, ceil_mode=True),
    "a whole plane": AdaptivePooling.from_shape("max", (3, 4, 7, 9), 1),
    "whole rows": AdaptivePooling.from_shape("max", (3, 4, 7, 19), (3, 1)),
    "uneven": AdaptivePooling.from_shape("max", (3, 4, 17, 19), (5, 4)),
    "more outputs than positions": AdaptivePooling.from_shape("max", (2, 3, 3, 5), (7, 9)),
    "volumes": pooling("max", (2, 3, 8, 9, 40), (2, 3, 3), (2, 1, 2), (1, 1, 1)),
}


@pytest.mark.parametrize("name", NAMED)
def test_ways(machine, name):
    """Planes on one target, channels last on the next."""
    last = bool((list(NAMED).index(name) + TARGETS.index(machine)) % 2)
    problem, dtype = NAMED[name], FLOATS[0]
    gy, places = operands(problem, np.random.default_rng(1), dtype, "max")
    found = direct.largest(problem, gy, places, dtype, last)
    close(found, by_definition(problem, gy, places), dtype)
    call = direct._call_for("max", problem, dtype, last, machine)
    np.testing.assert_array_equal(found, direct._run(call, problem, gy, places, dtype, last))
    close(direct.average(problem, gy, dtype, last), by_definition(problem, gy), dtype)


def test_all_ways_are_taken(machine):
    plans = [
        plan_of("max", problem, FLOATS[0], last, machine.lanes(4)) for problem in NAMED.values() for last in (0, 1)
    ]
    assert {plan.form.mode for plan in plans} == {"lanes", "phases", "single", "table"}
    phases = [plan.form for plan in plans if plan.form.mode == "phases"]
    assert {form.front for form in phases} >= {0, 1}
    assert {form.back for form in phases} == {0, 1, 2} or machine.lanes(4) > 4


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_unpooling_put_somewhere_is_found(machine, dtype):
    rng = np.random.default_rng(6)
    for planes, count, volume in ((1, 1, 1), (3, 7, 40), (2, 20000, 30000), (70, 900, 1000)):
        gy, places = rng.standard_normal((planes, volume)).astype(dtype), rng.integers(0, volume, (planes, count))
        expected = np.take_along_axis(gy, places, 1)
        for kind in range(KINDS):
            found = direct.found(other_memory(gy, kind), other_memory(places, kind))
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(direct.found(guarded(gy, before=True), guarded(places, before=False)), expected)


def test_places_that_were_written_over_touch_nothing_else(machine, monkeypatch):
    problem = pooling("max", (3, 5, 9, 30), 3, 2, 1)
    gy, places = operands(problem, np.random.default_rng(7), FLOATS[0], "max")
    expected = by_definition(problem, gy, places)
    gy[1, 2, 3, 4] = 0
    places[1, 2, 3, 4] = 270
    monkeypatch.setattr(windows.memory, "empty", lambda shape, kind: guarded(np.full(shape, 7, kind), before=False))
    assert np.isclose(direct.largest(problem, gy, places, FLOATS[0]), expected, atol=1e-5).mean() > 0.99
    direct.found(guarded(np.zeros((1, 20), np.float32), before=True), np.array([[-(2**40), 2**40]]))


@pytest.mark.parametrize("last", [False, True])
def test_the_same_bits_for_any_number_of_threads(last):
    problem = pooling("max", (3, 24, 60, 70), 3, 2, 1)
    gy, places = operands(problem, np.random.default_rng(3), FLOATS[0], "max")
    plan = plan_of("max", problem, FLOATS[0], last, target.current().lanes(4))
    assert plan.tasks > 10
    assert not plan.alone
    before, found = workers.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            workers.set_num_threads(threads)
            found.append(direct.largest(problem, gy, places, FLOATS[0], last))
            found.append(direct.average(problem, gy, FLOATS[0], last))
    finally:
        workers.set_num_threads(before)
    for number, other in enumerate(found[2:]):
        np.testing.assert_array_equal(found[number % 2], other)


def test_fractional_places_are_anywhere():
    problem = FractionalPooling.from_shape((2, 3, 9, 8), 3, 4)
    rng = np.random.default_rng(4)
    x, samples = rng.standard_normal((2, 3, 9, 8)), rng.random((2, 3, 2))
    places = fractional_max_pool(problem, x, samples, True)[1]
    gy = rng.standard_normal(problem.output_shape)
    for last in (False, True):
        close(direct.largest(problem, gy, places, FLOATS[1], last), by_definition(problem, gy, places), FLOATS[1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_window(value):
    problem = pooling("max", (1, 2, 9, 30), 3, 2, 1)
    gy, places = operands(problem, np.random.default_rng(5), FLOATS[0], "max")
    gy[0, 1, 2, 7] = value
    for got in (direct.largest(problem, gy, places, FLOATS[0]), direct.average(problem, gy, FLOATS[0])):
        where = np.argwhere(~np.isfinite(got))
        assert len(where) in (1, 9)
        assert (where[:, 1] == 1).all()


def test_trial_agrees(monkeypatch):
    for problem in NAMED.values():
        for last in (False, True):
            assert direct._agrees("max", problem, FLOATS[0], last)
            assert direct._agrees("average", problem, FLOATS[0], last)

    for element in ("float32", "float64"):
        assert direct._follows("spread", element)
        assert direct._follows("found", element)


def test_nothing():
    problem = pooling("max", (0, 3, 9, 9), 2)
    gy = np.zeros(problem.output_shape, np.float32)
    assert direct.largest(problem, gy, np.zeros(gy.shape, np.int64), FLOATS[0]).shape == (0, 3, 9, 9)
    none = AdaptivePooling.from_shape("average", (2, 3, 4), 0)
    assert not direct.average(none, np.zeros((2, 3, 0)), FLOATS[0]).any()
