"""Routines for AArch64, run under emulation: single constructs, then the convolutions that stand on them."""

import inspect
import pkgutil
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from math import prod

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from algorithms import test_transposed as transposing
from oracles import emulation
from oracles.memories import channels_last
from striderule import algorithms
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import convolution as direct_convolution
from striderule.algorithms.direct import transposed
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.algorithms.windows import weight_gradient as windows_weights
from striderule.algorithms.winograd import convolution as winograd_convolution
from striderule.algorithms.winograd import weight_gradient as winograd_weights
from striderule.codegen import jit, target, vmath, workers
from striderule.codegen.tile import ELEMENTS, Routine
from striderule.errors import InvalidArgument
from striderule.geometry.gradients import weight_gradient
from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning import winograd

pytestmark = [pytest.mark.conformance, pytest.mark.skipif(bool(emulation.missing()), reason=str(emulation.missing()))]


def run(name, text, arrays, sizes, tasks):
    routine = jit.load(name, text, target.current())
    words = np.array([a.ctypes.data for a in arrays] + list(sizes), np.int64)
    workers.run(routine.address, words.ctypes.data, tasks)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_over_loops_with_masked_ends(arm, dtype):
    """y[t, i] = sum over k of a[t, k] * x[k, i]: bit for bit fused multiply-adds in the order of k."""
    r = Routine("sums", target.current(), ELEMENTS[dtype], pointers=("a", "x", "y"), sizes=("terms", "length"))
    terms, length = r.size("terms"), r.size("length")
    with r.tasks() as task, r.loop(length, step=r.lanes) as i:
        mask = r.first_lanes(length - i)
        total = r.register(r.constant(0.0))
        with r.loop(terms) as k:
            a = r.broadcast(r.pointer("a") + task * terms + k)
            total.add_product(a, r.load(r.pointer("x") + k * length + i, mask))
        r.store(total.value, r.pointer("y") + task * length + i, mask)
    text = r.finish()
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31):
        # Small integers: exact, whatever the rounding.
        a, x = (rng.integers(-9, 10, size).astype(dtype) for size in ((3, 7), (7, n)))
        y = np.full((5, n), 99, dtype)
        run("sums", text, (a, x, y[1:]), (7, n), 3)
        assert (y[[0, 4]] == 99).all()
        assert (y[1:4] == a @ x).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_multiply_add_rounds_once(arm, dtype):
    r = Routine("fused", target.current(), ELEMENTS[dtype], pointers=("a", "y"), sizes=())
    with r.tasks():
        a = r.broadcast(r.pointer("a"))
        r.store(r.multiply_add(a, a, r.broadcast(r.pointer("a") + 1)), r.pointer("y"))
    half = 12 if dtype == "float32" else 27
    a, y = np.array([1 + 2.0**-half, -(1 + 2.0 ** (1 - half))], dtype), np.zeros(r.lanes, dtype)
    run("fused", r.finish(), (a, y), (), 1)
    assert (y == 2.0 ** (-2 * half)).all()


def test_maximum_spreads_nan_and_scratch_keeps(arm):
    r = Routine("larger", target.current(), ELEMENTS["float32"], pointers=("x", "y", "z"), sizes=("end",))
    room = r.scratch(r.lanes)
    with r.tasks():
        r.store(r.maximum(r.load(r.pointer("x")), r.load(r.pointer("y"))), room)
        r.store(r.load(room), r.pointer("z"), r.both(r.lanes_from(r.size("end") - 3), r.first_lanes(r.size("end"))))
    x, y = (np.array(numbers, np.float32) for numbers in ([5, np.nan, 1, -0.0], [9, 2, np.inf, 0.0]))
    z = np.full(4, -1, np.float32)
    run("larger", r.finish(), (x, y, z), (4,), 1)
    assert z[0] == -1
    assert np.isnan(z[1])
    assert (z[2:] == [np.inf, 0]).all()
    assert not np.signbit(z[3])


def test_what_lies_beyond_is_not_touched(arm):
    """The emulation itself: reading what this process has not is noticed, and told of."""
    r = Routine("far", target.current(), ELEMENTS["float32"], pointers=("x",), sizes=("distance",))
    with r.tasks():
        r.store(r.load(r.pointer("x") + r.size("distance")), r.pointer("x"))
    with pytest.raises(AssertionError, match="touched foreign memory"):
        run("far", r.finish(), (np.zeros(4, np.float32),), (1 << 40,), 1)


FUNCTIONS = [
    name
    for name, function in vars(vmath).items()
    if not name.startswith("_")
    and inspect.isfunction(function)
    and [*inspect.signature(function).parameters] == ["r", "x"]
]


def function_text(name, machine, dtype):
    r = Routine("apply", machine, ELEMENTS[dtype], pointers=("x", "y"), sizes=("length",))
    with r.tasks(), r.loop(r.size("length"), step=r.lanes) as i:
        here = r.first_lanes(r.size("length") - i)
        r.store(getattr(vmath, name)(r, r.load(r.pointer("x") + i, here)), r.pointer("y") + i, here)
    return r.finish()


def applied(name, x, machine):
    y = np.full_like(x, 7)
    words = np.array([x.ctypes.data, y.ctypes.data, x.size], np.int64)
    text = function_text(name, machine, str(x.dtype))
    workers.run(jit.load("apply", text, machine).address, words.ctypes.data, 1)
    return y


@pytest.mark.skipif(not target.host().fma, reason="this machine rounds products before they are added")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_vector_functions_give_the_bits_of_this_machine(machine, monkeypatch, name, dtype):
    """Their errors are measured here (``tests/codegen/test_vmath.py``); there they must come out the same."""
    rng = np.random.default_rng(4)
    limits = np.finfo(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, limits.max, limits.tiny, limits.smallest_subnormal]
    scattered = np.exp(rng.uniform(-80, 80, 500)) * rng.choice([-1, 1], 500)
    x = np.concatenate([special, rng.uniform(-10, 10, 1000), rng.uniform(-800, 800, 501), scattered]).astype(dtype)
    if name.endswith("_of_negative"):
        x = -np.abs(x)
    here = applied(name, x, target.host())
    with machine.in_place(monkeypatch):
        there = applied(name, x, target.current())
    np.testing.assert_array_equal(there, here)
    assert (np.signbit(there) == np.signbit(here))[~np.isnan(here)].all()


# Every algorithm of generated convolutions, and whether it is for few channels a group.
CONVOLUTIONS = {"direct": False, "depthwise": True}


def drawn(rng, few):
    """Draw a convolution that has an output."""
    while True:
        rank, groups = int(rng.integers(1, 4)), int(rng.integers(1, 9 if few else 4))
        size, most = {1: 90, 2: 24, 3: 11}[rank], 3 if few else 30
        x = (int(rng.integers(1, 3)), groups * int(rng.integers(1, most)), *rng.integers(1, size, rank).tolist())
        weight = (groups * int(rng.integers(1, most)), x[1] // groups, *rng.integers(1, 6, rank).tolist())
        words = {
            "stride": rng.integers(1, 4, rank).tolist(),
            "dilation": rng.integers(1, 3, rank).tolist(),
            "padding": [tuple(pair) for pair in rng.integers(-1, 4, (rank, 2)).tolist()],
            "boundary": str(rng.choice(["constant", "edge", "mirror", "symmetric", "wrap"])),
            "dtype": str(rng.choice(["float32", "float64"])),
        }
        try:
            return Convolution.from_shapes(x, weight, groups=groups, **words)
        except InvalidArgument:
            continue


def test_every_generated_convolution_is_listed():
    packages = {module.name for module in pkgutil.iter_modules(algorithms.__path__) if module.ispkg}
    convolving = {name for name in packages if find_spec(f"{algorithms.__name__}.{name}.convolution")}
    # The first three are NumPy's, and dot products those of x86.
    assert convolving - {"reference", "windows", "fourier", "dots"} == {*CONVOLUTIONS, "winograd"}
    assert not target.named("neon").units


@pytest.mark.parametrize("last", [False, True], ids=["rows", "channels last"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(arm, name, seed, last):
    """Within rounding of NumPy's for any data, and equal for small integers."""
    rng = np.random.default_rng(seed)
    problem = drawn(rng, CONVOLUTIONS[name])
    algorithm = import_module(f"{algorithms.__name__}.{name}.convolution")
    per_group = problem.in_channels // problem.groups
    shapes = ((problem.batch, problem.in_channels, *problem.size), (problem.out_channels, per_group, *problem.kernel))
    for exact in (False, True):
        x, weight = (rng.integers(-9, 10, shape) if exact else rng.standard_normal(shape) for shape in shapes)
        x, weight = x.astype(problem.dtype), weight.astype(problem.dtype)
        if last:
            x = channels_last(x)
        got = algorithm.convolution(problem, x, weight, 0.5)
        wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0.5)
        scale = windows.convolution(problem, np.abs(x), np.abs(weight), 0.5)
        # Chains of 128 terms, and as many again to add them.
        bound = 0 if exact else 2 * (min(problem.terms, 128) + problem.terms // 128 + 2) * np.finfo(problem.dtype).eps
        assert (np.abs(got.astype(float) - wide) <= bound * scale).all()
    assert arm.ran


@pytest.mark.parametrize("variant", winograd.VARIANTS)
@pytest.mark.parametrize(
    ("x", "weight", "words"),
    [
        ((2, 20, 9, 13), (18, 20, 3, 3), {"padding": 1}),
        ((1, 70, 7, 7), (10, 35, 3, 2), {"padding": (1, 0), "groups": 2, "boundary": "mirror"}),
        ((2, 6, 41), (7, 6, 3), {}),
    ],
    ids=["image", "groups", "line"],
)
def test_winograd(arm, x, weight, words, variant):
    """Within what it states of random data, for both memory orders of images."""
    problem = Convolution.from_shapes(x, weight, **words)
    rng = np.random.default_rng(3)
    image, taps = (rng.standard_normal(shape).astype(np.float32) for shape in (x, weight))
    wide = windows.convolution(replace(problem, dtype="float64"), image.astype(float), taps.astype(float))
    for turned in (image, channels_last(image)):
        got = winograd_convolution.convolution(problem, turned, taps, variant=variant)
        assert np.linalg.norm(got - wide) <= winograd.random_error(problem, variant) * np.linalg.norm(wide)
    emulation.assert_ran(arm, "winograd")


def test_weight_gradients_of_tiles(arm):
    problem = Convolution.from_shapes((3, 10, 9, 13), (30, 5, 3, 3), padding=1, groups=2)
    rng = np.random.default_rng(3)
    x, gy = rng.standard_normal((3, 10, 9, 13)).astype("f"), rng.standard_normal(problem.output_shape).astype("f")
    wide = windows_weights.weight_gradient(
        weight_gradient(replace(problem, dtype="float64")), x.astype(float), gy.astype(float)
    )
    got = winograd_weights.weight_gradient(weight_gradient(problem), x, gy)
    assert np.linalg.norm(got - wide) <= 4e-7 * np.linalg.norm(wide)
    emulation.assert_ran(arm, "winograd_weight_sums")


# Operands of other types, the largest values drawn, and the limit of the sums that lets them be of 32 bits.
TYPES = {
    "sums of 32 bits": ("int8", "uint8", 9, 2**31 - 1),
    "sums of 64 bits": ("int32", "int16", 30_000, None),
    "truths": ("bool", "int64", 2, None),
    "float16": ("float16", "float16", 9, None),
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize(
    ("x", "weight", "words"),
    [
        ((2, 5, 37), (7, 5, 4), {"stride": 3, "padding": 2}),
        ((2, 6, 7, 19), (8, 3, 3, 2), {"stride": (2, 1), "groups": 2, "padding": 1, "boundary": "mirror"}),
        ((1, 40, 3, 4, 5), (6, 40, 2, 2, 3), {"stride": (1, 1, 2), "padding": 1}),
        ((3, 33, 5, 7), (9, 33, 1, 1), {}),
    ],
    ids=["line", "image", "volume", "single taps"],
)
def test_direct_convolution_of_other_types(arm, name, x, weight, words):
    """Small integers in every type: exact, with a fill value; of every other image channels stand side by side."""
    kinds, most, bound = TYPES[name][:2], TYPES[name][2], TYPES[name][3]
    dtype = "float32" if name == "float16" else "int64"
    problem = Convolution.from_shapes(x, weight, **words, dtype=dtype, bound=bound)
    rng = np.random.default_rng(6)
    low = 0 if {"uint8", "bool"} & set(kinds) else -most
    image, taps = (rng.integers(low, most, shape).astype(kind) for shape, kind in zip((x, weight), kinds, strict=True))
    expected = windows.convolution(problem, image, taps, 1)
    turned = channels_last(image) if (list(TYPES).index(name) + len(taps)) % 2 else image
    got = direct_convolution.convolution(problem, turned, taps, 1)
    assert got.dtype == ("int32" if bound else dtype)
    assert (got == expected).all()
    emulation.assert_ran(arm, f"direct_{got.dtype}")


@pytest.mark.parametrize("kind", ["float32", "float64", "float16"])
@pytest.mark.parametrize("activation", [None, ("relu",), ("leaky_relu", 0.25), ("tanh",)])
def test_what_follows_the_sums_of_direct_convolution(arm, kind, activation):
    """Bias, residual, which may be out, and activation, in one call; packed weights give the same bits."""
    rng = np.random.default_rng(7)
    element = "float32" if kind == "float16" else kind
    problem = Convolution.from_shapes((2, 130, 6, 9), (11, 130, 3, 3), padding=1, dtype=element)
    x, weight, residual = (
        rng.standard_normal(shape).astype(kind) for shape in ((2, 130, 6, 9), (11, 130, 3, 3), (2, 11, 6, 9))
    )
    bias, out = rng.standard_normal(11).astype(element), np.empty_like(residual)
    infos = {
        name: ArrayInfo.of(one) for name, one in (("x", x), ("weight", weight), ("residual", residual), ("out", out))
    }
    call = direct_convolution.bind(problem, 0.5, **infos, bias=True, activation=activation)
    call.run(x, weight, bias, residual, out)
    wide = windows.convolution(replace(problem, dtype="float64"), x.astype(float), weight.astype(float), 0.5)
    wide += bias.reshape(-1, 1, 1) + residual
    wide = wide if activation is None else elementwise.apply(activation[0], wide, wide.dtype, activation[1:])
    unit = float(np.finfo(kind).eps)
    np.testing.assert_allclose(out, wide, rtol=2 * unit, atol=300 * np.finfo(element).eps)
    first = residual.copy()
    call.packed(weight).run(x, np.empty(0), bias, residual, residual)
    assert (residual == out).all()
    assert (first != residual).any()
    emulation.assert_ran(arm, f"direct_{element}")


@pytest.mark.parametrize("last", [False, True], ids=["rows", "channels last"])
@pytest.mark.parametrize("seed", range(12))
def test_transposed_convolution(arm, seed, last):
    """Within rounding of NumPy's for any data, and equal for small integers."""
    rng = np.random.default_rng(seed)
    while True:
        problem = transposing.drawn(rng, size=9 if seed % 2 else 24, largest_rank=2 + seed % 2)
        if prod(problem.output_shape) * 8 < emulation.REACH:
            break
    x, weight = transposing.operands(problem, rng)
    got = transposed.transposed_convolution(problem, channels_last(x) if last else x, weight)
    transposing.check(problem, x, weight, transposing.wide(problem, x, weight), got)
    x, weight = (rng.integers(-9, 10, one.shape).astype(one.dtype) for one in (x, weight))
    got = transposed.transposed_convolution(problem, channels_last(x) if last else x, weight)
    assert (got == transposing.wide(problem, x, weight)).all()
    assert arm.ran or 0 in (*problem.output_shape, *x.shape)


@pytest.mark.parametrize("case", transposing.CASES)
def test_kinds_of_transposed_convolution(arm, case):
    x_shape, weight_shape, words = transposing.CASES[case]
    problem = TransposedConvolution.from_shapes(x_shape, weight_shape, **words)
    x, weight = transposing.operands(problem, np.random.default_rng(2))
    got = transposed.transposed_convolution(problem, x, weight)
    transposing.check(problem, x, weight, transposing.wide(problem, x, weight), got)
    # Of stride 1 it is a dense convolution.
    emulation.assert_ran(arm, ("spread_float32", "direct_float32"))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize(
    ("x", "weight", "words"),
    [
        ((2, 5, 37), (5, 7, 4), {"stride": 3, "padding": 2}),
        ((2, 6, 7, 19), (6, 4, 3, 2), {"stride": (2, 1), "groups": 2, "padding": 1}),
        ((1, 40, 3, 4, 5), (40, 6, 2, 2, 3), {"stride": (1, 1, 2), "padding": 1}),
    ],
    ids=["line", "image", "volume"],
)
def test_transposed_convolution_of_other_types(arm, name, x, weight, words):
    """Small integers in every type: exact; of every other image channels stand side by side."""
    kinds, most, bound = TYPES[name][:2], TYPES[name][2], TYPES[name][3]
    dtype = "float32" if name == "float16" else "int64"
    problem = TransposedConvolution.from_shapes(x, weight, **words, dtype=dtype, bound=bound)
    rng = np.random.default_rng(6)
    low = 0 if {"uint8", "bool"} & set(kinds) else -most
    image, taps = (rng.integers(low, most, shape).astype(kind) for shape, kind in zip((x, weight), kinds, strict=True))
    expected = windows.transposed_convolution(problem, image, taps)
    turned = channels_last(image) if (list(TYPES).index(name) + len(taps.shape)) % 2 else image
    got = transposed.transposed_convolution(problem, turned, taps)
    assert got.dtype == ("int32" if bound else dtype)
    assert (got == expected).all()
    emulation.assert_ran(arm, f"spread_{got.dtype}")


@pytest.mark.parametrize("kind", ["float32", "float64", "float16"])
@pytest.mark.parametrize("activation", [None, ("relu",), ("leaky_relu", 0.25), ("tanh",)])
def test_what_follows_the_sums_of_transposed_convolution(arm, kind, activation):
    """Bias, residual, which may be out, and activation, in one call; packed weights give the same bits."""
    rng = np.random.default_rng(7)
    element = "float32" if kind == "float16" else kind
    problem = TransposedConvolution.from_shapes((2, 130, 6, 9), (130, 11, 4, 4), stride=2, padding=1, dtype=element)
    x, weight, residual = (
        rng.standard_normal(shape).astype(kind) for shape in ((2, 130, 6, 9), (130, 11, 4, 4), problem.output_shape)
    )
    bias, out = rng.standard_normal(11).astype(element), np.empty_like(residual)
    infos = {
        name: ArrayInfo.of(one) for name, one in (("x", x), ("weight", weight), ("residual", residual), ("out", out))
    }
    call = transposed.bind_transposed(problem, **infos, bias=True, activation=activation)
    call.run(x, weight, bias, residual, out)
    wide = windows.transposed_convolution(replace(problem, dtype="float64"), x.astype(float), weight.astype(float))
    wide += bias.reshape(-1, 1, 1) + residual
    wide = wide if activation is None else elementwise.apply(activation[0], wide, wide.dtype, activation[1:])
    unit = float(np.finfo(kind).eps)
    np.testing.assert_allclose(out, wide, rtol=2 * unit, atol=300 * np.finfo(element).eps)
    call.packed(weight).run(x, np.empty(0), bias, residual, residual)
    assert (residual == out).all()
    emulation.assert_ran(arm, f"spread_{element}")
