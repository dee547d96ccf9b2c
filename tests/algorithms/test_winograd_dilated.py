"""Dilated convolutions by transformed tiles of every d-th pixel, on every target that this machine runs."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from algorithms.test_winograd import exact
from oracles.memories import channels_last
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.algorithms.winograd import convolution as winograd
from striderule.codegen import target
from striderule.geometry.problem import Convolution
from striderule.planning.interleaved import parts_of


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(winograd, "current", lambda: request.param)
    return request.param


@pytest.mark.parametrize("seed", range(6))
def test_dilated_images_are_taken_apart(machine, seed):
    """Sizes that the dilation divides and others, dilations of one axis, crops, and paddings wider than the kernel."""
    rng = np.random.default_rng(1100 + seed)
    dilation = [(2, 2), (3, 2), (1, 3), (4, 1), (5,), (2, 3)][seed]
    groups, rank = 1 + seed % 2, len(dilation)
    kernel = ((3, 3), (3, 3), (3, 3), (2, 3), (3,), (1, 3))[seed]
    padding = [tuple(pair) for pair in rng.integers(-1, 8, (rank, 2)).tolist()]
    shape = (2, 10, *rng.integers(11, 20, rank).tolist())
    weights = (12, 10 // groups, *kernel)
    problem = Convolution.from_shapes(shape, weights, padding=padding, dilation=dilation, groups=groups)
    assert len(parts_of(problem)) > 1
    x, weight = rng.normal(size=shape).astype("f"), rng.normal(size=weights).astype("f")
    weight = seen_turned(np.ascontiguousarray(seen_turned(weight))) if seed in (0, 4) else weight
    given = [x, channels_last(x), x[..., ::-1].copy()[..., ::-1]][seed % 3]
    bias, residual = rng.normal(size=12).astype("f"), rng.normal(size=problem.output_shape).astype("f")
    out = residual.copy() if seed % 2 else channels_last(residual)
    expected = exact(problem, x, weight) + bias.reshape(-1, *(1,) * rank) + residual
    infos = {"x": ArrayInfo.of(given), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    words = {"bias": True, "residual": ArrayInfo.of(residual), "activation": None, "variant": ("F4", "F2")[seed % 2]}
    call = winograd.bind(problem, 0, **infos, **words)
    for one in (call, call.packed(weight)):
        out[...] = 0
        one.run(given, weight, bias, residual, out)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("special", [np.nan, np.inf, 0])
def test_an_image_with_a_part_that_is_given_up_is_computed_whole(machine, special):
    """Infinities and all but nothing in one part of one image."""
    rng = np.random.default_rng(5)
    x, weight = rng.normal(size=(2, 10, 9, 8)).astype("f"), rng.normal(size=(12, 10, 3, 3)).astype("f")
    if special == 0:
        x[1, :, ::2, 1::2] *= 2.0**-110
    else:
        x[1, 3, 4, 5] = special
    problem = Convolution.from_shapes(x.shape, weight.shape, padding=2, dilation=2)
    got = winograd.convolution(problem, x, weight, variant="F4")
    expected = exact(problem, x, weight)
    np.testing.assert_allclose(got[:1], expected[:1], rtol=0, atol=1e-3)
    np.testing.assert_allclose(got[1:], expected[1:], rtol=1e-4, atol=1e-4 if special else 1e-34)
