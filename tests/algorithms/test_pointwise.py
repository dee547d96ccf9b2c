"""Products of single taps whose weights stand input by input, on every target that this machine runs."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles import cutting
from oracles.memories import guarded, standing
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import convolution, giving_way, pointwise, transposed
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.codegen import target, workers
from striderule.geometry.gradients import input_gradient
from striderule.geometry.problem import Convolution
from striderule.planning import pointwise as plans
from striderule.planning.pointwise import chain_of
from striderule.planning.pointwise import pointwise as cut

# Batch, channels of the result, terms, plane, stride: planes of whole vectors and not, several images and one in a
# block, sums of one chain and of several, planes that end behind the last window.
CASES = [
    (3, 17, 5, (7, 10), 1),
    (5, 8, 130, (49,), 1),
    (2, 24, 520, (8, 8), 1),
    (1, 3, 9, (6, 16, 2), 1),
    (3, 20, 33, (13, 14), 2),
    (4, 16, 70, (7, 7), 2),
    (2, 9, 4, (10, 11), 3),
    (3, 11, 12, (15,), 2),
    (2, 9, 3, (16, 17), (3, 1)),
]


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    cutting.on_target(monkeypatch, request.param)
    monkeypatch.setattr(pointwise, "current", lambda: request.param)
    monkeypatch.setattr(giving_way, "attempt", lambda function, *args: function(*args))
    yield request.param
    forget()


def forget():
    """Forget the calls and cuts that are kept."""
    pointwise.call_for.cache_clear()
    cut.cache_clear()


def operands(case, dtype="float32"):
    """Return the problem, the gradient of the output, the weight, and the expected gradient."""
    batch, channels, terms, size, stride = case
    one = (1,) * len(size)
    steps = stride if isinstance(stride, tuple) else (stride,) * len(size)
    problem = Convolution.from_shapes((batch, channels, *size), (terms, channels, *one), stride=steps, dtype=dtype)
    rng = np.random.default_rng(0)
    g, weight = rng.normal(size=problem.output_shape).astype(dtype), rng.normal(size=(terms, channels)).astype(dtype)
    expected = np.zeros((batch, channels, *size))
    met = (slice(None), slice(None), *(slice(None, None, step) for step in steps))
    expected[met] = np.einsum("no...,oc->nc...", g.astype(float), weight.astype(float))
    return input_gradient(problem), g, weight.reshape(terms, channels, *one), expected


def bound(problem, g, weight, out):
    """Return the call by the way that gradients take."""
    words = {"bias": False, "residual": None, "activation": None}
    if isinstance(problem, Convolution):
        weight = seen_turned(weight)
        infos = {"x": ArrayInfo.of(g), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
        return convolution.bind(problem, 0, **infos, **words)
    infos = {"x": ArrayInfo.of(g), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    return transposed.bind_transposed(problem, **infos, **words)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_the_definition_between_guard_pages(machine, monkeypatch, case):
    threads, kinds = workers.get_num_threads(), []
    monkeypatch.setattr(pointwise, "FAR", 0)
    few = max(3, -(-case[3][-1] // machine.lanes(8)))
    for dtype, before, vectors in (("float32", False, 48), ("float64", True, few)):
        monkeypatch.setattr(plans, "VECTORS", vectors)  # many blocks
        forget()
        problem, g, weight, expected = operands(case, dtype)
        g, weight, out = (guarded(one.astype(dtype), before=before) for one in (g, weight, expected + 7))
        call = bound(problem, g, weight, out)
        kinds.append(type(call))
        found = []
        for number, one in ((1, call), (3, call), (2, call.packed(weight))):
            monkeypatch.setattr(workers._state, "threads", number)
            out[...] = 7
            one.run(g, weight, None, None, out)
            found.append(out.copy())
        monkeypatch.setattr(workers._state, "threads", threads)
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=np.finfo(dtype).eps * 30 * np.sqrt(case[2]))
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])
    lanes = machine.lanes(8)
    # Planes narrower than a tile are left to other routines.
    assert kinds[1] is pointwise.Call or np.prod(case[3]) < 3 * lanes


def test_images_alone_have_the_same_bits_and_may_stand_apart(machine):
    problem, g, weight, _ = operands((5, 8, 130, (7, 9), 1))
    whole = np.zeros(problem.output_shape, "f")
    bound(problem, g, weight, whole).run(g, weight, None, None, whole)
    apart = standing(g, (130 * 100, 80, 9, 1))
    out = standing(np.zeros_like(whole), (8 * 64, 64, 9, 1))
    bound(problem, apart, weight, out).run(apart, weight, None, None, out)
    np.testing.assert_array_equal(out, whole)
    for i in range(5):
        single, _, _, _ = operands((1, 8, 130, (7, 9), 1))
        one = np.zeros(single.output_shape, "f")
        bound(single, g[i : i + 1], weight, one).run(g[i : i + 1], weight, None, None, one)
        np.testing.assert_array_equal(one, whole[i : i + 1])


def test_other_memory_padding_and_epilogues_are_left_to_other_routines(machine):
    problem, g, weight, _ = operands((2, 8, 6, (8, 8), 1))
    out = np.zeros(problem.output_shape, "f")
    last = np.moveaxis(np.moveaxis(g, 1, -1).copy(), -1, 1)
    assert isinstance(bound(problem, g, weight, out), pointwise.Call)
    assert not isinstance(bound(problem, last, weight, out), pointwise.Call)
    spread, g, weight, _ = operands((2, 8, 6, (9, 9), 2))
    infos = {
        "x": ArrayInfo.of(g),
        "weight": ArrayInfo.of(weight),
        "out": ArrayInfo.of(np.zeros(spread.output_shape, "f")),
    }
    call = transposed.bind_transposed(spread, **infos, bias=True, residual=None, activation=None)
    assert not isinstance(call, pointwise.Call)


def test_chains_and_cuts():
    assert [chain_of(terms, spread=False) for terms in (1, 128, 129, 512, 513, 3072)] == [1, 128, 65, 128, 86, 96]
    assert chain_of(2048, spread=True) == 128
    small, large = (Convolution.from_shapes((16, 256, size, size), (64, 256, 1, 1)) for size in (7, 56))
    assert cut(small, 16, 32, 4).laid
    assert not cut(large, 16, 32, 4).laid
