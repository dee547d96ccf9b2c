"""Convolution by transformed tiles, on every target that this machine runs."""

import dataclasses
import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import channels_last, guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.algorithms.winograd import call as calls
from striderule.algorithms.winograd import convolution as winograd
from striderule.codegen import target, workers
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import winograd as planning
from striderule.planning.rules import PROMISES

TARGETS = target.available()
VARIANTS = tuple(planning.VARIANTS)
BOUNDARIES = ["constant", "constant", "edge", "mirror", "symmetric", "wrap"]
# A measured error is to stay below this part of what is promised.
SHARE = 0.8


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(winograd, "current", lambda: request.param)
    return request.param


def layers(shape, weight, **words):
    return Convolution.from_shapes(shape, weight, **words)


def operands(problem, rng):
    x = rng.normal(size=(problem.batch, problem.in_channels, *problem.size)).astype("f")
    per_group = problem.in_channels // problem.groups
    return x, rng.normal(size=(problem.out_channels, per_group, *problem.kernel)).astype("f")


def exact(problem, x, weight, fill=0):
    """Return the sums in float64."""
    wide = dataclasses.replace(problem, dtype="float64")
    return windows.convolution(wide, x.astype(float), weight.astype(float), fill)


def errors(problem, x, weight, got):
    """Return the norm of the error, over that of the result, and over that of |x| * |w|."""
    expected, size = exact(problem, x, weight), exact(problem, np.abs(x), np.abs(weight))
    off = np.linalg.norm(got - expected)
    return off / np.linalg.norm(expected), off / np.linalg.norm(size)


def check(problem, x, weight, got, variant="F4"):
    """Compare with float64: every result within what the worst path could make of a rounding."""
    expected, size = exact(problem, x, weight), exact(problem, np.abs(x), np.abs(weight))
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    assert np.linalg.norm(got - expected) <= planning.any_error(problem, variant) * np.linalg.norm(size)
    assert (np.abs(got - expected) <= 2e-3 * size.max()).all()


def drawn(rng, rank=None):
    """Draw a problem that has an output."""
    while True:
        rank, groups = rank or int(rng.integers(1, 3)), int(rng.choice([1, 1, 2, 3]))
        inputs, outputs = (int(n) for n in rng.integers(4, 40, 2))
        size = rng.integers(1, {1: 150, 2: 30}[rank], rank).tolist()
        kernel = rng.choice([1, 2, 3, 3, 3, 4, 5, 6, 7], rank).tolist()
        if max(kernel) == 1:
            continue
        words = {
            "padding": [tuple(pair) for pair in rng.integers(-1, 5, (rank, 2)).tolist()],
            "boundary": [tuple(pair) for pair in rng.choice(BOUNDARIES, (rank, 2)).tolist()],
        }
        try:
            shape = (int(rng.integers(1, 4)), groups * inputs, *size)
            return layers(shape, (groups * outputs, inputs, *kernel), groups=groups, **words)
        except InvalidArgument:
            continue


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_loops_on_small_problems(machine, seed):
    rng = np.random.default_rng(seed)
    shape, kernel = ((1, 4, 6, 7), (3, 3)) if seed % 2 else ((2, 5, 11), (seed // 2 + 2,))
    problem = layers(shape, (5, shape[1], *kernel), padding=seed % 3)
    x, weight = operands(problem, rng)
    expected = reference.convolution(problem, x, weight, 0)
    scale = reference.convolution(problem, np.abs(x), np.abs(weight), 0)
    got = winograd.convolution(problem, x, weight, variant=VARIANTS[seed % 2])
    assert (np.abs(got - expected) <= 1e-4 * scale.max()).all()


@pytest.mark.parametrize("seed", range(8))
def test_equals_windows_at_any_strides(machine, seed):
    """Planes or channels side by side, reversed or apart, and all of these for the output too."""
    rng = np.random.default_rng(1000 + seed)
    problem, variant = drawn(rng), VARIANTS[seed // 4 % 2]
    x, weight = operands(problem, rng)
    given = [x, channels_last(x), x[..., ::-1].copy()[..., ::-1], np.repeat(x, 2, axis=-1)[..., ::2]][seed % 4]
    out = np.empty(problem.output_shape, "f")
    if seed % 3 == 1:
        out = channels_last(out)
    elif seed % 3 == 2:
        out = np.empty((*problem.output_shape[:-1], 2 * problem.output_shape[-1]), "f")[..., ::-2]
    call = bound_call(problem, given, weight, out, variant=variant)
    call.run(given, weight, None, None, out)
    check(problem, x, weight, out, variant)
    out[...] = 0
    call.packed(weight).run(given, weight, None, None, out)
    check(problem, x, weight, out, variant)


def bound_call(problem, x, weight, out, bias=None, residual=None, activation=None, variant="F4"):
    """Return the bound call for these arrays."""
    info = None if residual is None else ArrayInfo.of(residual)
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "residual": info, "out": ArrayInfo.of(out)}
    return winograd.bind(problem, 0, bias=bias is not None, activation=activation, variant=variant, **infos)


KERNELS = [(2, 2), (3, 3), (5, 5), (7, 7), (1, 7), (7, 1), (2, 6), (4,), (6,)]


@pytest.mark.parametrize("number", range(len(KERNELS)), ids=lambda number: str(KERNELS[number]))
def test_every_kernel(machine, number):
    kernel, variant = KERNELS[number], VARIANTS[number % 2]
    rng = np.random.default_rng(3)
    problem = layers((1, 36, *(19, 37)[-len(kernel) :]), (20, 36, *kernel), padding="same")
    x, weight = operands(problem, rng)
    check(problem, x, weight, winograd.convolution(problem, x, weight, variant=variant), variant)


ACTIVATIONS = [None, ("hardtanh", -0.5, 0.75), ("gelu", "none")]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("order", ["planes", "channels last", "apart"])
def test_bias_residual_and_activation_in_the_same_call(machine, activation, order):
    rng = np.random.default_rng(12)
    problem = layers((2, 21, 9, 37), (19, 21, 3, 3), padding=1)
    x, weight = operands(problem, rng)
    bias, residual = rng.normal(size=19).astype("f"), rng.normal(size=problem.output_shape).astype("f")
    if order == "channels last":
        x, residual = channels_last(x), channels_last(residual)
    elif order == "apart":
        residual = np.repeat(residual, 2, axis=-1)[..., ::2]
    wide = exact(problem, x, weight) + bias[:, None, None] + residual
    expected = wide if activation is None else elementwise.apply(activation[0], wide, wide.dtype, activation[1:])
    # As the residual lies, in planes, and in place; of the first two one for each target.
    apart = [np.empty_like(residual), np.empty(problem.output_shape, "f")]
    for out in (apart[(TARGETS.index(machine) + ACTIVATIONS.index(activation)) % 2], residual):
        call = bound_call(problem, x, weight, out, bias, residual, activation)
        call.run(x, weight, bias, residual, out)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-3)


def test_packed_weights_are_copied(machine):
    rng = np.random.default_rng(13)
    problem = layers((1, 20, 12, 12), (20, 20, 3, 3), padding=1)
    x, weight = operands(problem, rng)
    kept, out = weight.copy(), np.empty(problem.output_shape, "f")
    packed = bound_call(problem, x, weight, out).packed(weight)
    weight[...] = np.nan
    packed.run(x, weight, None, None, out)
    check(problem, x, kept, out)
    repacked = packed.packed(2 * kept)
    repacked.run(x, weight, None, None, out)
    check(problem, x, 2 * kept, out)


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize(("kernel", "variant"), [((3, 3), "F2"), ((2, 5), "F4")], ids=str)
def test_weights_that_are_seen_turned_give_the_bits_of_a_copy(machine, kernel, variant):
    """They are those of the gradient of an input: (out, in, taps backwards) of weights (in, out, taps)."""
    rng = np.random.default_rng(14)
    problem = layers((2, 21, *(9, 11)[-len(kernel) :]), (19, 21, *kernel), padding="same")
    x, given = operands(problem, rng)
    for before in (False, True):
        memory = guarded(np.ascontiguousarray(seen_turned(given)), before=before)
        weight, out = seen_turned(memory), np.zeros(problem.output_shape, "f")
        assert not weight.flags.c_contiguous
        call = bound_call(problem, x, weight, out, variant=variant)
        call.run(x, weight, None, None, out)
        expected = winograd.convolution(problem, x, given, variant=variant)
        check(problem, x, given, out, variant)
        np.testing.assert_array_equal(out, expected)
        packed, out[...] = call.packed(weight), 0
        memory[0, 0] = np.inf  # which is not transformed
        packed.run(x, weight, None, None, out)
        np.testing.assert_array_equal(out, expected)
        call.run(x, weight, None, None, out)
        expected = windows.convolution(problem, x, np.ascontiguousarray(weight), 0)
        np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-3)
    apart = np.asfortranarray(weight)
    assert bound_call(problem, x, apart, out, variant=variant) is None


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize(
    ("size", "kernel", "words"),
    [
        ((7, 7), (3, 3), {}),
        ((12, 33), (3, 3), {"padding": 2}),
        ((12, 33), (3, 3), {"padding": 1, "boundary": "wrap"}),
        ((70,), (3,), {}),
        ((9, 33), (3, 3), {"padding": 2, "dilation": 2}),
    ],
    ids=str,
)
def test_nothing_is_touched_outside_the_operands(machine, size, kernel, words, last):
    rng = np.random.default_rng(5)
    problem = layers((1, 21, *size), (19, 21, *kernel), **words)
    x, weight = operands(problem, rng)
    shape = problem.output_shape
    plain = [np.moveaxis(x, 1, -1) if last else x, weight, np.zeros(19, "f")]
    plain.append(np.zeros((shape[0], *shape[2:], shape[1]) if last else shape, "f"))
    for before in (False, True):
        near = [guarded(np.ascontiguousarray(values), before=before) for values in plain]
        image, out = (np.moveaxis(values, -1, 1) if last else values for values in (near[0], near[3]))
        bound_call(problem, image, near[1], out, near[2]).run(image, near[1], near[2], None, out)
        check(problem, x, weight, out)


def test_the_same_bits_for_any_batch_threads_and_memory_order(machine):
    rng = np.random.default_rng(7)
    for kernel, variant, dilation in (((3, 3), "F4", 1), ((3, 3), "F2", 2), ((2, 5), "F4", 1)):
        x, weight = rng.normal(size=(5, 40, 29, 30)).astype("f"), rng.normal(size=(24, 40, *kernel)).astype("f")

        def result(images, weight=weight, variant=variant, dilation=dilation):
            problem = layers(images.shape, weight.shape, padding=1, dilation=dilation)
            return winograd.convolution(problem, images, weight, variant=variant)

        together = result(x)
        assert all((result(x[n : n + 1]) == together[n : n + 1]).all() for n in range(5))
        assert (result(channels_last(x)) == together).all()
        assert (result(x[::-1])[::-1] == together).all()
        before = workers.get_num_threads()
        try:
            for threads in (1, 3):
                workers.set_num_threads(threads)
                assert (result(x) == together).all()
        finally:
            workers.set_num_threads(before)


def cuts(problem, variant, machine):
    """Yield every way to cut a problem that is considered."""
    ways = planning.Ways(problem, variant, machine.lanes(4))
    for sums in planning.register_tiles(machine.registers):
        yield from ways.shared(*sums)
        yield from ways.own(*sums)


def test_however_the_work_is_cut_the_bits_are_the_same(machine, monkeypatch):
    rng = np.random.default_rng(8)
    problem = layers((2, 70, 21, 26), (100, 70, 3, 3), padding=1)
    x, weight = operands(problem, rng)
    results, seen = [], set()
    for plan in cuts(problem, "F4", machine):
        sort = (plan.rows, plan.shared)
        if sort in seen or len(seen) == 8:
            continue
        seen.add(sort)
        cut = dataclasses.replace(plan, wave=plan.block * 2) if plan.shared else plan
        monkeypatch.setattr(calls, "tiling", lambda *_, cut=cut: cut)
        calls.call_for.cache_clear()
        results.append(winograd.convolution(problem, x, weight, variant="F4"))
    calls.call_for.cache_clear()
    assert len(results) > 3
    check(problem, x, weight, results[0])
    assert all((one == results[0]).all() for one in results)


# Special values


@pytest.mark.parametrize("words", [{}, {"boundary": "mirror"}, {"dilation": (2, 1)}], ids=str)
def test_special_values_stand_where_the_definition_puts_them(machine, words):
    rng = np.random.default_rng(9)
    problem = layers((4, 20, 9, 13), (18, 20, 3, 3), padding=1, **words)
    for special in ("inputs", "weights"):
        x, weight = operands(problem, rng)
        if special == "inputs":
            x[1, 1, 4, 5], x[3, 2, 0, 0], x[3, 3, 8, 12] = np.nan, np.inf, -np.inf
        else:
            weight[4, 0, 0, 0], weight[5, 0, 2, 2], weight[6, 0, 1, 0] = np.inf, -np.inf, np.nan
        with np.errstate(invalid="ignore"):
            expected = windows.convolution(problem, x, weight)
        for packed in (False, True):
            out = np.empty(problem.output_shape, "f")
            call = bound_call(problem, x, weight, out)
            (call.packed(weight) if packed else call).run(x, weight, None, None, out)
            assert (np.isnan(expected) == np.isnan(out)).all()
            assert (expected[np.isinf(expected)] == out[np.isinf(expected)]).all()
            assert (np.isinf(expected) == np.isinf(out)).all()
            finite = np.isfinite(expected)
            assert np.abs(out[finite] - expected[finite]).max() < 1e-3


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_residual_that_is_the_result_survives_giving_way(machine, dilation):
    rng = np.random.default_rng(10)
    problem = layers((2, 20, 9, 13), (20, 20, 3, 3), padding=dilation, dilation=dilation)
    x, weight = operands(problem, rng)
    x[1, 3, 4, 5] = np.inf
    residual = rng.normal(size=x.shape).astype("f")
    expected = windows.convolution(problem, x, weight) + residual
    bound_call(problem, x, weight, residual, None, residual).run(x, weight, None, residual, residual)
    np.testing.assert_allclose(residual, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-30, 1e-20, 1e18, 1e30, 3e37])
@pytest.mark.parametrize("which", ["inputs", "weights", "one channel of each"])
def test_finite_data_of_any_size_keeps_the_promise(machine, scale, which):
    """Tiny and huge data loses nothing to underflow, and nothing overflows that is finite."""
    rng = np.random.default_rng(11)
    problem = layers((1, 20, 10, 11), (20, 20, 3, 3), padding=1)
    x, weight = operands(problem, rng)
    with np.errstate(under="ignore"):
        if which == "inputs":
            x, weight = (x * np.float32(scale)).astype("f"), weight if scale < 1 else weight * np.float32(0.01)
        elif which == "weights":
            x, weight = x if scale < 1 else x * np.float32(0.01), (weight * np.float32(scale)).astype("f")
        else:
            x[:, 3] *= np.float32(scale)
            weight[:, 3] *= np.float32(min(1e38, 1 / scale))
    expected, size = exact(problem, x, weight), exact(problem, np.abs(x), np.abs(weight))
    for packed in (False, True):
        out = np.empty(problem.output_shape, "f")
        call = bound_call(problem, x, weight, out)
        (call.packed(weight) if packed else call).run(x, weight, None, None, out)
        assert np.isfinite(out).all()
        least = np.finfo("f").smallest_subnormal * np.sqrt(out.size) * problem.terms
        assert np.linalg.norm(out - expected) <= SHARE * PROMISES["highest"][1] * np.linalg.norm(size) + least


def impulse(shape, rng, at):
    """Return zeros but for one number."""
    values = np.zeros(shape, "f")
    values[at] = rng.uniform(1, 2)
    return values


@pytest.mark.parametrize(("padding", "dilation"), [(0, 1), (1, 1), (2, 1), (1, 2)])
def test_borders_that_leave_taps_out(machine, padding, dilation):
    """One pixel near a border and one tap: where they never meet nothing may be left behind, else little."""
    rng = np.random.default_rng(12)
    problem = layers((1, 4, 9, 10), (4, 4, 3, 3), padding=padding, dilation=dilation)
    for row, column in ((0, 0), (0, 4), (4, 0), (8, 9), (8, 3), (1, 1), (3, 9), (4, 4)):
        for tap in ((0, 0), (0, 2), (1, 1), (2, 2), (2, 0)):
            x = impulse((1, 4, 9, 10), rng, (0, 2, row, column))
            weight = impulse((4, 4, 3, 3), rng, (1, 2, *tap))
            got = winograd.convolution(problem, x, weight, variant="F4")
            size = np.linalg.norm(exact(problem, np.abs(x), np.abs(weight)))
            assert np.linalg.norm(got - exact(problem, x, weight)) <= SHARE * PROMISES["highest"][1] * size
