"""Transposed convolution of small groups: phases, each on the routine of planes or all at once, on every target."""

import itertools
import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.depthwise import convolution as depthwise
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import target, workers
from striderule.errors import InvalidArgument
from striderule.geometry.problem import TransposedConvolution
from striderule.planning import choose
from striderule.planning.machine import Machine
from striderule.planning.phases import phases

TARGETS = target.available()


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(depthwise, "current", lambda: request.param)
    return request.param


def layer(size, kernel, *, channels=3, outputs=1, batch=2, depth=1, **words):
    """Return a problem and operands for it: `channels` groups of `depth` inputs and `outputs`."""
    shape, weight = (batch, channels * depth, *size), (channels * depth, outputs, *kernel)
    problem = TransposedConvolution.from_shapes(shape, weight, groups=channels, **words)
    rng = np.random.default_rng(len(size) + sum(kernel))
    dtype = problem.dtype
    return problem, rng.normal(size=shape).astype(dtype), rng.normal(size=weight).astype(dtype)


def bound_call(problem, x, weight, out, bias=None, residual=None, activation=None):
    """Return the bound call for these arrays."""
    near = None if residual is None else ArrayInfo.of(residual)
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "residual": near, "out": ArrayInfo.of(out)}
    return depthwise.bind_transposed(problem, bias=bias is not None, activation=activation, **infos)


@pytest.mark.parametrize("size", [(5,), (4, 19), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_the_loops(machine, size, dtype):
    drawn = list(itertools.product((2, 3, 5), (1, 2), (0, 1), (0, 1), (1, 2)))
    # Of rows a half and of planes a sixth for each target and type, so that these together meet all; of volumes
    # every tenth.
    turn = 2 * TARGETS.index(machine) + (dtype == "float64")
    some = {1: drawn[turn % 3 % 2 :: 2], 2: drawn[turn % 6 :: 6], 3: drawn[turn % 10 :: 10]}[len(size)]
    for kernel, step, before, extra, outputs in some:
        words = {"stride": step, "padding": before, "output_padding": extra, "dtype": dtype}
        try:
            problem, x, weight = layer(size, (kernel,) * len(size), outputs=outputs, batch=1, **words)
        except InvalidArgument:  # more than the stride is added behind, or there is no output
            continue
        expected = reference.transposed_convolution(problem, x, weight)
        scale = windows.transposed_convolution(problem, np.abs(x), np.abs(weight))
        got = depthwise.transposed_convolution(problem, x, weight)
        assert got.dtype == dtype
        assert (np.abs(got - expected) <= (problem.terms + 2) * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("activation", [None, ("relu",), ("gelu", "none")], ids=str)
def test_bias_residual_and_activation_in_the_same_call(machine, activation):
    problem, x, weight = layer((7, 9), (4, 3), stride=2, padding=1)
    rng = np.random.default_rng(1)
    bias, residual = rng.normal(size=3).astype("f"), rng.normal(size=problem.output_shape).astype("f")
    wide = reference.transposed_convolution(problem, x, weight).astype(float) + bias[:, None, None] + residual
    expected = wide if activation is None else elementwise.apply(activation[0], wide, wide.dtype, activation[1:])
    for out in (np.empty(problem.output_shape, "f"), residual):  # at last in place
        call = bound_call(problem, x, weight, out, bias, residual, activation)
        call.run(x, weight, bias, residual, out)
        np.testing.assert_allclose(out, expected, rtol=0, atol=2e-5)


def test_packed_weights_are_copied(machine):
    problem, x, weight = layer((6, 6), (4, 4), stride=2, padding=1)
    expected, out = reference.transposed_convolution(problem, x, weight), np.empty(problem.output_shape, "f")
    packed = bound_call(problem, x, weight, out).packed(weight)
    weight[...] = np.nan
    packed.run(x, weight, None, None, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
def test_nothing_is_touched_outside_the_operands(machine, before):
    for size, step, depth in (((7, 7), 2, 1), ((5, 33), 1, 1), ((3, 20), 2, 1), ((5, 9), 2, 5)):
        problem, x, weight = layer(size, (3, 3), stride=step, padding=1, depth=depth, outputs=4 if depth > 1 else 1)
        near = [guarded(values, before=before) for values in (x, weight, np.zeros(problem.output_shape, "f"))]
        bound_call(problem, *near).run(*near[:2], None, None, near[2])
        np.testing.assert_allclose(near[2], reference.transposed_convolution(problem, x, weight), rtol=0, atol=1e-4)


def test_special_values_stand_where_the_definition_puts_them(machine):
    """An infinite weight meets no zeros around the input."""
    for step, depth in ((1, 1), (2, 1), (2, 2)):
        problem, x, weight = layer((6, 20), (3, 3), stride=step, padding=1, channels=8 // depth, depth=depth)
        x[0, 1, 2, 5], x[0, 2, 0, 0] = np.nan, np.inf
        weight[4, 0, 0, 0], weight[5, 0, 2, 2], weight[6, 0, 1, 0] = np.inf, -np.inf, np.nan
        expected = reference.transposed_convolution(problem, x, weight)
        got = depthwise.transposed_convolution(problem, x, weight)
        assert (np.isnan(expected) == np.isnan(got)).all()
        assert (expected[np.isinf(expected)] == got[np.isinf(expected)]).all()


def test_the_same_bits_for_any_batch_and_threads(machine):
    problem, x, weight = layer((20, 21), (4, 4), stride=2, channels=12, batch=3)
    together, one = (
        depthwise.transposed_convolution(problem, x, weight),
        layer((20, 21), (4, 4), stride=2, channels=12, batch=1)[0],
    )
    assert all((depthwise.transposed_convolution(one, x[n : n + 1], weight) == together[n]).all() for n in range(3))
    before = workers.get_num_threads()
    try:
        for threads in (1, 3):
            workers.set_num_threads(threads)
            assert (depthwise.transposed_convolution(problem, x, weight) == together).all()
    finally:
        workers.set_num_threads(before)


def test_every_output_is_of_one_phase():
    problem = layer((5, 8), (5, 4), stride=(2, 3), padding=(1, 0), output_padding=(0, 2))[0]
    found = np.zeros(problem.output_size, int)
    for phase in phases(problem):
        found[phase.outputs] += 1
        assert found[phase.outputs].shape == phase.problem.output_size
    assert (found == 1).all()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"groups": 2}, "channels by themselves, and here 2 are in a group"),
        ({"groups": 4, "dilation": 2}, "without dilation"),
        ({"groups": 4, "stride": 4}, "strides up to the kernel's size, and 8 phases, and here they are"),
        ({"groups": 4, "dtype": "int64"}, "float32 and float64"),
    ],
)
def test_what_is_for_other_algorithms(words, reason):
    problem = TransposedConvolution.from_shapes((1, 4, 9, 9), (4, 1, 3, 3), **words)
    with pytest.raises(InvalidArgument, match=reason):
        choose(problem, algorithm="depthwise", machine=Machine.of("avx512"))


def test_channels_by_themselves_are_served_plane_by_plane():
    for shape, kernel, step in (((1, 21, 34, 34), 4, 2), ((1, 64, 56, 56), 3, 1)):
        problem = TransposedConvolution.from_shapes(shape, (shape[1], 1, kernel, kernel), stride=step, groups=shape[1])
        assert choose(problem, machine=Machine.of("avx512")).algorithm == "depthwise"


@pytest.mark.parametrize("outputs", [3, 4, 6])
def test_small_groups(machine, outputs):
    """Outputs of a group are formed one by one, four or two at a time."""
    size = (3, 4) if outputs == 3 else (2, 3, 4) if outputs == 4 else (11,)
    problem, x, weight = layer(size, (3,) * len(size), depth=5, outputs=outputs, batch=1, stride=2, padding=1)
    expected = reference.transposed_convolution(problem, x, weight)
    np.testing.assert_allclose(depthwise.transposed_convolution(problem, x, weight), expected, rtol=0, atol=1e-4)
    bias, residual = np.arange(3.0 * outputs, dtype="f"), np.full(problem.output_shape, 2, "f")
    # With a residual each phase is a convolution.
    out = np.empty(problem.output_shape, "f")
    bound_call(problem, x, weight, out, bias, residual).run(x, weight, bias, residual, out)
    wanted = expected + bias.reshape(-1, *(1,) * len(size)) + 2
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-4)


def test_small_groups_with_a_stride_are_served_plane_by_plane():
    problem = TransposedConvolution.from_shapes((1, 160, 14, 14), (160, 16, 3, 3), stride=2, groups=10)
    assert choose(problem, machine=Machine.of("avx512")).algorithm == "depthwise"


@pytest.mark.parametrize("step", [3, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_longer_steps_of_columns(machine, step, dtype):
    problem, x, weight = layer((5, 23), (4, 5), outputs=2, stride=(2, step), padding=(1, 3), dtype=dtype)
    expected = reference.transposed_convolution(problem, x, weight)
    bias = np.arange(1.0, 7.0, dtype=dtype)
    for shift in (None, bias):
        out = np.empty(problem.output_shape, dtype)
        call = bound_call(problem, x, weight, out, bias=shift)
        call.run(x, weight, shift, None, out)
        wanted = expected if shift is None else expected + shift.reshape(-1, 1, 1)
        np.testing.assert_allclose(out, wanted, rtol=0, atol=40 * np.finfo(dtype).eps)
