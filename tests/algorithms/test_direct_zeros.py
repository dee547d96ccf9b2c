"""Taps that meet only zeros beyond the borders are left out, and leave no trace."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles import cutting
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import target
from striderule.geometry.problem import Convolution


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    cutting.on_target(monkeypatch, request.param)
    yield request.param
    cutting.forget()


@pytest.mark.parametrize("stride", [1, 2])
def test_every_way_to_cut_gives_the_same_bits(machine, monkeypatch, stride):
    """The first way keeps all taps, the others leave out more and more, in several chunks of several chains."""
    words = {"padding": 15, "dilation": 15, "stride": stride}
    problem = Convolution.from_shapes((2, 60, 21, 40), (9, 60, 3, 3), **words)
    rng = np.random.default_rng(6)
    x, weight = rng.normal(size=(2, 60, 21, 40)).astype("f"), rng.normal(size=(9, 60, 3, 3)).astype("f")
    height, width = problem.output_size
    results = []
    for cut in ((height, width, 0), (1, 16, 0), (2, width, 1), (height, width, 2), (3, 14, 1), (5, 7, 1)):
        with monkeypatch.context() as changed:
            cutting.cut_so(changed, cut)
            results.append(direct.convolution(problem, x, weight, 0))
    assert all((one == results[0]).all() for one in results)
    wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
    assert np.linalg.norm(results[0] - wide) < 1e-6 * np.linalg.norm(wide)
