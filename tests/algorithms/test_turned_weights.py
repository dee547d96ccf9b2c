"""Weights turned around, on every target that this machine runs, against indices written out."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import turned_weights as direct
from striderule.algorithms.windows import turned_weights as windows
from striderule.codegen import target


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(direct, "current", lambda: request.param)
    monkeypatch.setattr(giving_way, "attempt", lambda function, *args: function(*args))
    monkeypatch.setattr(direct, "FEW", 0)
    return request.param


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [((6, 5, 3, 2), 1), ((6, 17, 3), 3), ((4, 8, 1, 1), 2), ((3, 1, 2, 3, 2), 3), ((33, 9, 4), 1), ((70, 37, 1), 2)],
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


def test_weights_that_do_not_stand_together_are_left_to_numpy(machine):
    weight = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    np.testing.assert_array_equal(direct.turned(weight, 1), windows.turned(weight.copy(), 1))
