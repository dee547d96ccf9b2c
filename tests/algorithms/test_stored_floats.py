"""Floats of 16 bits in memory, read and written by `winograd` and `depthwise`: sums of float32, rounded once."""

import mmap
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.depthwise import convolution as depthwise
from striderule.algorithms.winograd import convolution as winograd
from striderule.codegen import target
from striderule.geometry.problem import Convolution

ALGORITHMS = {"winograd": winograd, "depthwise": depthwise}
# Of each algorithm: the shapes of input and weight, and the words of the problem. Lines that vectors fill and that they
# do not, and every way in which inputs are read.
LAYERS = {
    "winograd": [
        ((2, 21, 9, 37), (19, 21, 3, 3), {"padding": 1}),
        ((1, 20, 12, 12), (20, 20, 2, 5), {"padding": (1, 2), "boundary": "mirror"}),
        ((1, 18, 70), (6, 9, 3), {"groups": 2}),
    ],
    "depthwise": [
        ((2, 21, 9, 37), (21, 1, 3, 3), {"padding": 1, "groups": 21}),
        ((1, 5, 7, 7), (10, 1, 3, 3), {"padding": 1, "stride": 2, "groups": 5}),
        ((1, 20, 12, 40), (20, 1, 5, 5), {"padding": 4, "dilation": 2, "boundary": "wrap", "groups": 20}),
        ((2, 3, 30, 33), (3, 1, 4, 4), {"stride": 3, "groups": 3}),
        ((1, 8, 6, 40), (4, 2, 3, 3), {"groups": 4}),
        ((1, 17, 300), (17, 1, 150), {"padding": 20, "groups": 17}),
    ],
}
CASES = [(name, *layer) for name, layers in LAYERS.items() for layer in layers]


def stored_types():
    try:
        import ml_dtypes
    except ImportError:
        return [np.dtype("float16")]
    return [np.dtype("float16"), np.dtype(ml_dtypes.bfloat16)]


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    for module in ALGORITHMS.values():
        monkeypatch.setattr(module, "current", lambda: request.param)
    return request.param


def channels_last(values):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


def apart(values):
    return np.repeat(values, 2, axis=-1)[..., ::2]


def bound(name, problem, x, weight, out, bias, residual, activation):
    info = None if residual is None else ArrayInfo.of(residual)
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "residual": info, "out": ArrayInfo.of(out)}
    found = ALGORITHMS[name].bind(problem, 0, bias=bias is not None, activation=activation, **infos)
    assert found is not None
    assert type(found).__module__.startswith(f"striderule.algorithms.{name}")
    return found


def computed(name, problem, operands, dtype, activation=None, order=np.asarray, packed=False):
    """Return what the bound call gives for operands and a result of a type, in an order of memory."""
    x, weight, bias, residual = operands
    x, residual = (order(one.astype(dtype)) for one in (x, residual))
    weight, out = weight.astype(dtype), order(np.zeros(problem.output_shape, dtype))
    call = bound(name, problem, x, weight, out, bias, residual, activation)
    (call.packed(weight) if packed else call).run(x, weight, bias, residual, out)
    return out


def drawn(problem, rng, dtype):
    """Return operands in float32, of numbers that the type holds."""
    shapes = (problem.batch, problem.in_channels, *problem.size), (problem.out_channels, problem.terms)
    x, weight, residual = (
        rng.standard_normal(shape).astype(dtype).astype("f") for shape in (*shapes, problem.output_shape)
    )
    weight = weight.reshape(problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
    return x, weight, rng.standard_normal(problem.out_channels).astype("f"), residual


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(CASES[number]))
@pytest.mark.parametrize("dtype", stored_types(), ids=str)
def test_sums_of_float32_are_rounded_once(machine, number, dtype):
    name, shape, kernel, words = CASES[number]
    problem = Convolution.from_shapes(shape, kernel, **words)
    operands = drawn(problem, np.random.default_rng(3), dtype)
    turn = number + (dtype.name == "float16")
    order, activation = (np.asarray, channels_last, apart)[turn % 3], (None, ("relu",), ("gelu", "none"))[turn // 2 % 3]
    expected = computed(name, problem, operands, np.float32, activation, order).astype(dtype)
    for packed in (False, True):
        got = computed(name, problem, operands, dtype, activation, order, packed)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_nothing_is_touched_outside_the_operands(machine, name, last):
    shape, kernel, words = LAYERS[name][0]
    rng = np.random.default_rng(5)
    problem = replace(Convolution.from_shapes(shape, kernel, **words), batch=1)
    operands = drawn(problem, rng, "float16")
    expected = computed(name, problem, operands, np.float16, order=channels_last if last else np.asarray)
    x, weight, bias, residual = operands
    plain = [np.moveaxis(one, 1, -1) if last else one for one in (x, residual, np.zeros_like(residual))]
    for before in (False, True):
        near = [guarded(np.ascontiguousarray(one, np.float16), before=before) for one in (*plain, weight)]
        image, other, out = (np.moveaxis(one, -1, 1) if last else one for one in near[:3])
        bound(name, problem, image, near[3], out, bias, other, None).run(image, near[3], bias, other, out)
        np.testing.assert_array_equal(out, expected)


def test_special_values_give_way(machine):
    """What is infinite, or no number, stands in the same places as in float32."""
    rng = np.random.default_rng(8)
    problem = Convolution.from_shapes((2, 16, 9, 21), (16, 16, 3, 3), padding=1)
    x, weight, bias, residual = drawn(problem, rng, "float16")
    x[0, 3, 4, 5], x[0, 7, 2, 9] = np.inf, np.nan
    operands = x, weight, bias, residual
    got, expected = (computed("winograd", problem, operands, dtype) for dtype in (np.float16, np.float32))
    np.testing.assert_array_equal(got, expected.astype(np.float16))
    assert np.isfinite(got[1]).all()
    assert not np.isfinite(got[0]).all()
