"""Convolution of bytes on dot-product instructions, on every target that this machine runs."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import striderule as sr
from oracles import cutting
from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.laying import Form
from striderule.algorithms.direct.product import product_routine
from striderule.algorithms.dots import call as packings
from striderule.algorithms.dots import convolution as dots
from striderule.algorithms.dots.words import Panels, Words, in_panels, packed_by_numpy
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import jit, target
from striderule.codegen.dots import is_native
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import Machine, choose, rules

TARGETS = target.available()
BYTES = ("int8", "uint8")
PAIRS = [(x, weight) for x in BYTES for weight in BYTES]
BOUNDARIES = ["constant", "constant", "edge", "mirror", "symmetric", "wrap"]
# Both instructions on each target: what it does not have is written in plain vectors.
UNITS = [(one, unit) for one in TARGETS for unit in ("dot8", "dot16") if (one.name, unit) != ("sse2", "dot8")]


@pytest.fixture(params=UNITS, ids=lambda pair: f"{pair[0].name}-{pair[1]}")
def unit(request, monkeypatch):
    machine, unit = request.param
    cutting.forget()
    cutting.on_target(monkeypatch, machine)
    monkeypatch.setattr(dots, "current", lambda: machine)
    way_of = dots.way_of
    monkeypatch.setattr(dots, "way_of", lambda x, weight, _, variant: way_of(x, weight, (unit,), variant))
    yield unit
    cutting.forget()


def drawn(rng, kinds, largest_rank=3, batch=3, channels=11, size=13):
    """Draw a problem that has an output."""
    while True:
        rank, groups = int(rng.integers(1, largest_rank + 1)), int(rng.integers(1, 3))
        sizes = rng.integers(1, size, rank).tolist()
        x = (int(rng.integers(1, batch)), groups * int(rng.integers(1, channels)), *sizes)
        weight = (groups * int(rng.integers(1, 15)), x[1] // groups, *rng.integers(1, 5, rank).tolist())
        words = {
            "stride": rng.integers(1, 4, rank).tolist(),
            "dilation": rng.integers(1, 4, rank).tolist(),
            "padding": [tuple(pair) for pair in rng.integers(-1, 4, (rank, 2)).tolist()],
            "boundary": [tuple(pair) for pair in rng.choice(BOUNDARIES, (rank, 2)).tolist()],
        }
        try:
            return Convolution.from_shapes(
                x, weight, groups=groups, dtype="int64", stored=kinds, bound=2**31 - 1, **words
            )
        except InvalidArgument:
            continue


def operands(problem, rng):
    shapes = (
        (problem.batch, problem.in_channels, *problem.size),
        (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel),
    )
    return (any_bytes(rng, kind, shape) for kind, shape in zip(problem.stored, shapes, strict=True))


def any_bytes(rng, kind, shape):
    info = np.iinfo(kind)
    # The extremes often, since they are what instructions saturate at.
    values = rng.integers(info.min, info.max + 1, shape)
    return np.where(rng.random(shape) < 0.3, rng.choice([info.min, info.max], shape), values).astype(kind)


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_equals_the_definition(unit, kinds):
    rng = np.random.default_rng([PAIRS.index(kinds), TARGETS.index(dots.current()), len(unit)])
    for _ in range(2):
        problem = drawn(rng, kinds)
        x, weight = operands(problem, rng)
        fill = int(rng.choice([0, 0, 7, np.iinfo(kinds[0]).min]))
        got = dots.convolution(problem, other_memory(x, int(rng.integers(KINDS))), weight, fill)
        assert got.dtype == np.int32
        assert (got == windows.convolution(problem, x, weight, fill)).all(), problem


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_equals_the_loops(unit, kinds):
    problem = Convolution.from_shapes(
        (2, 5, 6, 7), (3, 5, 2, 3), padding=1, dtype="int64", bound=2**31 - 1, stored=kinds
    )
    x, weight = operands(problem, np.random.default_rng(5))
    assert (dots.convolution(problem, x, weight, 9) == reference.convolution(problem, x, weight, 9)).all()


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_the_longest_sums_of_extremes(unit, kinds):
    """Of as many terms as fit 32 bits, all of them of the largest magnitude: the limit is reached, or nearly."""
    limits = [np.iinfo(kind) for kind in kinds]
    terms = (2**31 - 1) // prod(max(-info.min, info.max) for info in limits)
    problem = Convolution.from_shapes((1, terms, 1, 3), (2, terms, 1, 1), dtype="int64", bound=2**31 - 1, stored=kinds)
    assert rules.RULES["dots"].cannot(problem, Machine.of("avx512", units=("dot8",))) is None
    for ends in ("min", "max"):
        x = np.full((1, terms, 1, 3), getattr(limits[0], ends), kinds[0])
        weight = np.full((2, terms, 1, 1), getattr(limits[1], ends), kinds[1])
        expected = int(x.flat[0]) * int(weight.flat[0]) * terms
        assert (dots.convolution(problem, x, weight, 0) == expected).all()


def test_longer_sums_are_left_to_others():
    problem = Convolution.from_shapes((1, 2**16, 8), (4, 2**16, 1), dtype="int64", stored=("uint8", "uint8"))
    machine = Machine.of("avx512", units=("dot8",))
    assert "its sums have 32 bits, and these may reach 4,261,478,400" in rules.RULES["dots"].cannot(problem, machine)
    assert choose(problem, machine=machine).algorithm != "dots"


def test_nothing_outside_is_touched(unit):
    for shape, taps, words in (
        ((2, 9, 5, 17), (3, 9, 2, 3), {"padding": 1}),
        ((1, 70, 3, 19), (9, 70, 1, 1), {}),
        ((1, 8, 1, 1), (5, 8, 1, 1), {}),
        ((1, 3, 9, 9), (5, 3, 3, 3), {"stride": 2}),
    ):
        problem = Convolution.from_shapes(shape, taps, dtype="int64", bound=2**31 - 1, stored=("int8", "int8"), **words)
        x, weight = operands(problem, np.random.default_rng(6))
        expected = windows.convolution(problem, x, weight, 0)
        for before in (False, True):
            for last in (False, True):
                near = guarded(x.transpose(0, 2, 3, 1).copy() if last else x, before=before)
                near = near.transpose(0, 3, 1, 2) if last else near
                out = guarded(np.zeros(problem.output_shape, np.int32), before=before)
                infos = {"x": ArrayInfo.of(near), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
                bound = dots.bind(problem, 0, **infos, bias=False, residual=None, activation=None)
                assert isinstance(bound, dots.Dots)
                bound.run(near, guarded(weight, before=before), None, None, out)
                assert (out == expected).all()


@pytest.mark.parametrize("kinds", [("int8", "int8"), ("uint8", "uint8")], ids="-".join)
def test_bias_residual_batches_and_packed_weights(unit, monkeypatch, kinds):
    problem = Convolution.from_shapes(
        (5, 12, 8, 9), (7, 12, 3, 3), padding=1, dtype="int64", bound=2**31 - 1, stored=kinds
    )
    rng = np.random.default_rng(7)
    x, weight = operands(problem, rng)
    bias = rng.integers(-(10**6), 10**6, 7).astype(np.int32)
    residual = rng.integers(-(10**6), 10**6, problem.output_shape).astype(np.int32)
    expected = windows.convolution(problem, x, weight, 3) + bias[:, None, None] + residual
    for workspace in (dots.WORKSPACE, 2 * 4 * 12 * 72, 1):
        monkeypatch.setattr(dots, "WORKSPACE", workspace)
        out = residual.copy()
        infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
        bound = dots.bind(problem, 3, **infos, bias=True, residual=ArrayInfo.of(out), activation=None)
        bound.run(x, weight, bias, out, out)
        assert (out == expected).all()
        out[...] = residual
        packed = bound.packed(weight)
        packed.run(x, np.empty(0), bias, out, out)
        assert (out == expected).all()
        out[...] = residual
        packed.packed(-weight).run(x, np.empty(0), bias, out, out)
        assert (out - bias[:, None, None] - residual == windows.convolution(problem, x, -weight, 3)).all()


WORDS = [Words("dot8", "int8", flip=True), Words("dot8", "uint8"), Words("dot16", "int8")]


@pytest.mark.parametrize("words", WORDS, ids=str)
@pytest.mark.parametrize("machine", TARGETS, ids=lambda machine: machine.name)
def test_packing_is_that_of_numpy(machine, words):
    rng = np.random.default_rng(8)
    for shape, groups in (((2, 6, 5, 7), 2), ((1, 70, 3, 9), 1), ((1, 5, 40, 40), 1), ((3, 9, 1), 1), ((2, 4, 33), 1)):
        x = any_bytes(rng, words.source, shape)
        for kind in range(KINDS):
            near = guarded(x) if kind == 0 else other_memory(x, kind)
            bound = packings.packing(words, groups, ArrayInfo.of(near), machine)
            made = np.empty(bound.shape, np.uint32)
            bound.run(near, made)
            assert (made == packed_by_numpy(words, groups, x).reshape(made.shape)).all(), (shape, kind)


@pytest.mark.parametrize("machine", TARGETS, ids=lambda machine: machine.name)
def test_weights_are_packed_into_panels(machine):
    rng = np.random.default_rng(11)
    for words in (Words("dot8", "int8"), Words("bfloat16", "float32", parts=(0, 1, 0))):
        for shape, together in (((12, 70, 3), 9), ((8, 192, 1), 16), ((4, 9, 2), 200)):
            weight = rng.integers(-99, 99, shape).astype(words.source)
            planes = words.planes(shape[1]) * len(words.parts)
            panels = Panels(4, together * shape[2] + 5, together, -(-planes // together))
            bound = packings.packing(words, 1, ArrayInfo.of(weight), machine, "signed", panels)
            made = np.zeros(bound.shape, np.uint32)
            bound.run(guarded(weight), made)
            assert (made == in_panels(packed_by_numpy(words, 1, weight), panels)).all()


@pytest.mark.parametrize(("channels", "kernel"), [(704, 3), (4096, 1), (40, 1)])
def test_whole_tiles_of_weights_in_several_chunks(unit, channels, kernel):
    shapes = (2, channels, 5, 21), (2 * 24, channels // 2, kernel, kernel)
    problem = Convolution.from_shapes(
        *shapes, groups=2, padding=1, dtype="int64", bound=2**31 - 1, stored=("int8", "int8")
    )
    x, weight = operands(problem, np.random.default_rng(12))
    out = np.zeros(problem.output_shape, np.int32)
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    bound = dots.bind(problem, 0, **infos, bias=False, residual=None, activation=None)
    assert bound.in_panels
    expected = windows.convolution(problem, x, weight, 0)
    for call in (bound, bound.packed(weight)):
        call.run(x, weight, None, None, out)
        assert (out == expected).all()


def test_a_word_holds_neighbouring_channels():
    x = np.arange(1, 6, dtype=np.int8).reshape(1, 5, 1)
    assert packed_by_numpy(Words("dot8", "int8"), 1, x).ravel().tolist() == [0x04030201, 0x00000005]
    assert packed_by_numpy(Words("dot16", "int8"), 1, -x).ravel().tolist() == [0xFFFEFFFF, 0xFFFCFFFD, 0x0000FFFB]


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_the_public_function(kinds):
    """int8 by int8 gives int32; addends of 32 bits and fills that are no bytes are right, too."""
    rng = np.random.default_rng(9)
    x, weight = any_bytes(rng, kinds[0], (2, 32, 20, 20)), any_bytes(rng, kinds[1], (32, 16, 3, 3))
    bias = rng.integers(-(2**31), 2**31, 32).astype(np.int32)
    for words in ({}, {"bias": bias}, {"fill": 1000}, {"fill": -5}, {"activation": "relu"}, {"dtype": "uint8"}):
        call = {"padding": 1, "groups": 2, **words}
        expected = sr.conv2d(x, weight, **call, algorithm="windows")
        got = sr.conv2d(x, weight, **call, algorithm="dots")
        assert got.dtype == expected.dtype
        assert (got == expected).all()
        assert (sr.compile(sr.conv2d, x, weight, **call, algorithm="dots")(x) == expected).all()


def test_what_it_serves_and_why_not():
    layer = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), dtype="int64", stored=("uint8", "int8"))
    machine = Machine.of("avx512", units=("dot8", "dot16"))
    plan = choose(layer, machine=machine)
    assert plan.algorithm == "dots"
    assert plan.cost.error == 0
    assert plan.cost.tile.endswith("4 channels a word")
    assert 0.5 < plan.share < 1
    assert choose(layer, machine=Machine.of("avx2", units=("dot16",))).algorithm == "dots"
    cannot = rules.RULES["dots"].cannot
    lacking = "it needs instructions for dot products of integers, and neon has none here"
    assert cannot(layer, Machine.of("neon")) == lacking
    narrow = "it multiplies float32 and integers of 8 bits, and these are int64"
    assert cannot(replace(layer, stored=()), machine) == narrow
    assert cannot(replace(layer, zero_taps="skip"), machine) == rules.COUNTS_TAPS
    assert cannot(layer, Machine.of("avx512", generated=False)) == rules.NO_CODE


def test_each_structure_is_tried_where_no_test_has_run_it(unit, monkeypatch):
    for module, name, value in ((proof, "PROVED", ()), (proof, "_found", {}), (jit, "_routines", {})):
        monkeypatch.setattr(module, name, value)
    tried, agree = [], proof.agree
    monkeypatch.setattr(proof, "agree", lambda *words: tried.append(agree(*words)) or tried[-1])
    problem = Convolution.from_shapes(
        (2, 9, 5, 17), (6, 3, 2, 3), padding=1, groups=3, dtype="int64", bound=2**31 - 1, stored=("int8", "int8")
    )
    x, weight = operands(problem, np.random.default_rng(10))
    assert (dots.convolution(problem, x, weight, 3) == windows.convolution(problem, x, weight, 3)).all()
    assert len(tried) >= 2  # packing, that of weights if it differs, and the product
    assert all(tried)


@pytest.mark.parametrize("machine", [one for one in TARGETS if "dot16" in one.units], ids=lambda one: one.name)
def test_the_inner_loop_is_the_instruction(machine):
    unit = "dot8" if is_native("dot8", machine) else "dot16"
    rows, vectors = (8, 3) if machine.registers == 32 else (4, 2)
    form = Form("int32", "int32", "int32", "int32", rows, vectors, 528, True, 1, False, unit=unit, turned=True)
    assembly = jit.assembly(product_routine(form, machine), machine)
    instructions = ("vpdpbusd",) if unit == "dot8" else ("pmaddwd", "vpdpwssd")
    register = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[machine.vector_bytes]
    blocks = [block.splitlines() for block in assembly.split("\n.L")]
    inner = [b for b in blocks if sum(any(one in line for one in instructions) for line in b) >= rows * vectors]
    assert inner
    spilled = [line for b in inner for line in b if "mov" in line and register in line and line.endswith("(%rsp)")]
    assert not spilled or machine.name == "sse2"
