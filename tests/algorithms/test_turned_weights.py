"""Weights turned around, on every target that this machine runs, against indices written out."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles import cutting
from oracles.memories import guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import convolution, giving_way
from striderule.algorithms.direct import turned_weights as direct
from striderule.algorithms.windows import turned_weights as windows
from striderule.algorithms.windows.convolution import convolution as reference
from striderule.codegen import target
from striderule.geometry.problem import Convolution


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(direct, "current", lambda: request.param)
    monkeypatch.setattr(giving_way, "attempt", lambda function, *args: function(*args))
    monkeypatch.setattr(direct, "FEW", 0)
    return request.param


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((6, 5, 3, 2), 1),
        ((6, 17, 3), 3),
        ((4, 8, 1, 1), 2),
        ((3, 1, 2, 3, 2), 3),
        ((33, 9, 4), 1),
        ((70, 37, 1), 2),
        ((5, 1, 7, 5), 5),
    ],
)
def test_every_kernel_stands_turned_in_its_place(machine, shape, groups, before):
    dtype = "float32" if before else "float64"
    weight = guarded(np.random.default_rng(0).standard_normal(shape).astype(dtype), before=before)
    out, per_in, taps = shape[0] // groups, shape[1], int(np.prod(shape[2:]))
    flat = weight.reshape(groups, out, per_in, taps)
    for found in (direct.turned(weight, groups), windows.turned(weight, groups)):
        assert found.shape == (groups * per_in, out, *shape[2:])
        assert found.flags.c_contiguous
        seen = found.reshape(groups, per_in, out, taps)
        for g, i, o, t in np.ndindex(seen.shape):
            assert seen[g, i, o, t] == flat[g, o, i, taps - 1 - t]


CASES = [
    ((3, 21, 3, 5), (18, 21, 3, 3), {"padding": 1}),
    ((2, 130, 5, 6), (9, 130, 2, 5), {"padding": 2}),
    ((2, 6, 7, 9), (13, 6, 5, 5), {}),
]


@pytest.mark.parametrize(("shape", "kernel", "words"), CASES, ids=str)
def test_direct_reads_turned_weights_where_they_stand(machine, monkeypatch, shape, kernel, words):
    cutting.on_target(monkeypatch, machine)
    rng = np.random.default_rng(1)
    problem = Convolution.from_shapes(shape, kernel, **words)
    x, given = rng.normal(size=shape).astype("f"), rng.normal(size=kernel).astype("f")
    expected = convolution.convolution(problem, x, given)
    exact = reference(replace(problem, dtype="float64"), x.astype(float), given.astype(float), 0)
    for before in (False, True):
        weight = windows.seen_turned(guarded(np.ascontiguousarray(windows.seen_turned(given)), before=before))
        out = np.zeros(problem.output_shape, "f")
        infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
        bound = convolution.bind(problem, 0, **infos, bias=False, residual=None, activation=None)
        for one in (bound, bound.packed(weight)):
            out[...] = 0
            one.run(x, weight, None, None, out)
            np.testing.assert_array_equal(out, expected)
            np.testing.assert_allclose(out, exact, rtol=0, atol=1e-3)
        weight[0, 0, 0, 0] = np.inf
        bound.run(x, weight, None, None, out)
        with np.errstate(invalid="ignore"):
            wanted = reference(problem, x, np.ascontiguousarray(weight), 0)
        np.testing.assert_array_equal(np.isfinite(out), np.isfinite(wanted))


def test_weights_that_do_not_stand_together_are_left_to_numpy(machine):
    weight = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    np.testing.assert_array_equal(direct.turned(weight, 1), windows.turned(weight.copy(), 1))
