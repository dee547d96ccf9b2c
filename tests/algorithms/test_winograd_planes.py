"""Convolutions along three and more axes by transformed tiles of the last two, on every target of this machine."""

import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from algorithms.test_winograd import exact
from oracles.memories import channels_last, guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.algorithms.winograd import convolution as winograd
from striderule.codegen import target, workers
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import choose
from striderule.planning.machine import Machine
from striderule.planning.rules import PROMISES


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(winograd, "current", lambda: request.param)
    return request.param


CASES = [
    ((2, 20, 4, 9, 10), (3, 3, 3), {"padding": 1}),
    ((2, 19, 5, 8, 11), (1, 3, 3), {"padding": (0, 1, 1)}),
    ((1, 34, 7, 9, 6), (3, 3, 1), {"padding": ((2, -1), 1, 0), "stride": (2, 1, 1), "groups": 2}),
    ((2, 20, 6, 13, 9), (2, 3, 3), {"padding": 4, "dilation": (3, 2, 2)}),
    ((1, 20, 4, 7, 9), (3, 2, 3), {"padding": 1, "boundary": ("mirror", "edge", "wrap")}),
    ((1, 20, 2, 3, 7, 9), (2, 2, 3, 3), {"padding": 1}),
    ((2, 20, 7, 3, 5), (3, 1, 1), {"padding": (1, 0, 0)}),
    ((2, 20, 3, 4, 11), (1, 1, 3), {"padding": (0, 0, 2), "groups": 2}),
]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(CASES[number][1]))
def test_every_plane_is_tiled(machine, number):
    """Steps and paddings of the outer axis, groups, dilations, borders, orders of memory, weights seen turned."""
    rng = np.random.default_rng(1200 + number)
    shape, kernel, words = CASES[number]
    problem = Convolution.from_shapes(shape, (24, shape[1] // words.get("groups", 1), *kernel), **words)
    x = rng.normal(size=shape).astype("f")
    weight = rng.normal(size=(24, problem.in_channels // problem.groups, *kernel)).astype("f")
    weight = seen_turned(np.ascontiguousarray(seen_turned(weight))) if number in (0, 1) else weight
    given = [x, channels_last(x), x[:, :, ::-1].copy()[:, :, ::-1]][number % 3]
    bias, residual = rng.normal(size=24).astype("f"), rng.normal(size=problem.output_shape).astype("f")
    out = channels_last(residual) if number % 2 else residual.copy()
    expected = exact(problem, x, weight) + bias.reshape(-1, *(1,) * problem.rank) + residual
    infos = {"x": ArrayInfo.of(given), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    words = {"bias": True, "residual": ArrayInfo.of(residual), "activation": None, "variant": ("F4", "F2")[number % 2]}
    call = winograd.bind(problem, 0, **infos, **words)
    assert call.call.around == (number in (0, 1))
    for one in (call, call.packed(weight)):
        out[...] = 0
        one.run(given, weight, bias, residual, out)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-3)


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
def test_nothing_is_touched_outside_the_operands(machine):
    rng = np.random.default_rng(5)
    problem = Convolution.from_shapes((1, 20, 4, 9, 10), (24, 20, 3, 3, 3), padding=1)
    x, weight = rng.normal(size=(1, 20, 4, 9, 10)).astype("f"), rng.normal(size=(24, 20, 3, 3, 3)).astype("f")
    for before in (False, True):
        near = [guarded(one, before=before) for one in (x, weight, np.zeros(problem.output_shape, "f"))]
        infos = dict(zip(("x", "weight", "out"), map(ArrayInfo.of, near), strict=True))
        call = winograd.bind(problem, 0, bias=False, residual=None, activation=None, variant="F4", **infos)
        call.run(near[0], near[1], None, None, near[2])
        np.testing.assert_allclose(near[2], exact(problem, x, weight), rtol=0, atol=1e-3)


def test_the_same_bits_for_any_batch_and_threads(machine):
    rng = np.random.default_rng(6)
    x, weight = rng.normal(size=(3, 20, 4, 9, 10)).astype("f"), rng.normal(size=(24, 20, 3, 3, 3)).astype("f")

    def result(images):
        problem = Convolution.from_shapes(images.shape, weight.shape, padding=1)
        return winograd.convolution(problem, images, weight, variant="F4")

    together, before = result(x), workers.get_num_threads()
    assert all((result(x[n : n + 1]) == together[n : n + 1]).all() for n in range(3))
    try:
        for threads in (1, 3):
            workers.set_num_threads(threads)
            assert (result(x) == together).all()
    finally:
        workers.set_num_threads(before)


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_special_values_stand_where_the_definition_puts_them(machine, special):
    rng = np.random.default_rng(7)
    x, weight = rng.normal(size=(2, 20, 4, 6, 7)).astype("f"), rng.normal(size=(24, 20, 3, 3, 3)).astype("f")
    x[1, 3, 0, 2, 2] = special
    problem = Convolution.from_shapes(x.shape, weight.shape, padding=1)
    got, expected = winograd.convolution(problem, x, weight, variant="F2"), exact(problem, x, weight)
    assert (np.isnan(got) == np.isnan(expected)).all()
    finite = np.isfinite(expected)
    assert (got[~finite & ~np.isnan(got)] == expected[~finite & ~np.isnan(got)]).all()
    np.testing.assert_allclose(got[finite], expected[finite], rtol=0, atol=1e-3)


def test_errors_stay_below_what_is_promised(machine):
    """Also where the first plane meets one tap alone, which is small beside the others."""
    rng = np.random.default_rng(8)
    problem = Convolution.from_shapes((1, 40, 5, 12, 13), (16, 40, 3, 3, 3), padding=1)
    plan = choose(problem, "high", "winograd:F4", Machine.of(machine.name))
    for scale in (1, 1e-6):
        x, weight = rng.normal(size=(1, 40, 5, 12, 13)).astype("f"), rng.normal(size=(16, 40, 3, 3, 3)).astype("f")
        x[:, :, 1:] /= scale
        weight[:, :, 1] *= scale
        off = np.linalg.norm(winograd.convolution(problem, x, weight, variant="F4") - exact(problem, x, weight))
        size = np.linalg.norm(exact(problem, abs(x), abs(weight)))
        assert off <= 0.8 * min(plan.cost.error, PROMISES["high"][1]) * size
        if scale == 1:
            assert off <= plan.cost.random_error * np.linalg.norm(exact(problem, x, weight))


def test_layers_of_three_axes_take_fewer_products():
    problem = Convolution.from_shapes((1, 64, 16, 56, 56), (128, 64, 3, 3, 3), padding=1)
    plan = choose(problem, "high", None, Machine.of("avx512"))
    assert plan.algorithm == "winograd"
    assert plan.cost.operations < problem.multiply_adds / 2


@pytest.mark.parametrize(
    ("kernel", "words", "why"),
    [
        ((3, 1, 1), {"stride": 2}, "every output"),
        ((1, 1, 1), {}, "2 to 7 taps"),
        ((3, 3, 3), {"stride": 2}, "every output"),
        ((5, 7, 7), {}, "128 taps in all"),
    ],
    ids=str,
)
def test_what_is_not_tiled(kernel, words, why):
    problem = Convolution.from_shapes((1, 32, 9, 20, 20), (32, 32, *kernel), **words)
    with pytest.raises(InvalidArgument, match=why):
        choose(problem, "high", "winograd:F2", Machine.of("avx512"))


def test_axes_that_do_not_follow_one_another_are_not_joined(machine):
    rng = np.random.default_rng(9)
    x, weight = rng.normal(size=(1, 8, 5, 4, 6)).astype("f"), rng.normal(size=(8, 8, 3, 1, 1)).astype("f")
    problem = Convolution.from_shapes(x.shape, weight.shape, padding=(1, 0, 0))
    given = x[..., ::-1, :].copy()[..., ::-1, :]
    np.testing.assert_allclose(winograd.convolution(problem, given, weight), exact(problem, x, weight), atol=1e-4)
    infos = {"x": ArrayInfo.of(given), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(x)}
    assert winograd.bind(problem, 0, bias=False, residual=None, activation=None, **infos) is None
