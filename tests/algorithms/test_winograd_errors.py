"""What convolution by transformed tiles errs, against its share of what is promised, on every target."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from algorithms.test_winograd import SHARE, TARGETS, VARIANTS, errors, layers, operands
from striderule.algorithms.winograd import convolution as winograd
from striderule.planning import choose
from striderule.planning import winograd as planning
from striderule.planning.machine import Machine
from striderule.planning.rules import PROMISES


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(winograd, "current", lambda: request.param)
    return request.param


def data(kind, problem, rng):
    """Return operands of one kind of data."""
    x, weight = operands(problem, rng)
    if kind == "constant":
        x[...], weight[...] = 1 / 3, 0.7
    elif kind == "positive":
        x, weight = np.abs(x), np.abs(weight)
    elif kind == "high dynamic range":
        x, weight = (one * np.exp(rng.normal(size=one.shape) * 5).astype("f") for one in (x, weight))
    elif kind == "cancelling":
        weight -= weight.mean((2, 3), keepdims=True)
        x = x * np.float32(1e-3) + 1
    elif kind == "one pixel and one tap":
        x[...], weight[...] = 0, 0
        x[:, :, 7, 8], weight[:, :, 2, 2] = rng.uniform(1, 2, x.shape[:2]), rng.uniform(1, 2, weight.shape[:2])
    return x, weight


KINDS = ["random", "constant", "positive", "high dynamic range", "cancelling", "one pixel and one tap"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_errors_stay_below_their_share_of_the_promise(machine, kind, variant):
    rng, channels = np.random.default_rng(0), 320 if machine == TARGETS[0] else 20
    problem = layers((1, channels, 15, 18), (16, channels, 3, 3), padding=1)
    plan = choose(problem, "medium", f"winograd:{variant}", Machine.of(machine.name))
    x, weight = data(kind, problem, rng)
    relative, of_size = errors(problem, x, weight, winograd.convolution(problem, x, weight, variant=variant))
    promises = [one for one in PROMISES.values() if plan.cost.random_error <= one[0] and plan.cost.error <= one[1]]
    assert promises  # of the strictest one that it qualifies for
    assert of_size <= SHARE * promises[0][1]
    assert of_size <= plan.cost.error
    if kind == "random":
        assert relative <= SHARE * promises[0][0]
        assert plan.cost.random_error / 2 <= relative <= plan.cost.random_error


def test_large_tiles_qualify_for_the_highest_precision_until_channels_are_many():
    for channels, promised in ((256, True), (4096, False)):
        problem = layers((1, channels, 14, 14), (64, channels, 3, 3), padding=1)
        assert (planning.random_error(problem, "F4") <= PROMISES["highest"][0]) == promised
