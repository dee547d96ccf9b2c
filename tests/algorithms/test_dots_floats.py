"""Convolution of float32 in parts of bfloat16: the stated errors, and numbers too large or too small for it."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import striderule as sr
from oracles import cutting
from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.laying import Form
from striderule.algorithms.direct.product import product_routine
from striderule.algorithms.dots import call as packings
from striderule.algorithms.dots import convolution as dots
from striderule.algorithms.dots.words import Words, packed_by_numpy
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import jit, target, workers
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import Machine, choose
from striderule.planning.dots import PRODUCTS
from striderule.planning.rules import PROMISES

TARGETS = target.available()
VARIANTS = tuple(PRODUCTS)
MACHINE = Machine.of("avx512", units=("dot8", "dot16", "bfloat16"))
WORD_OF = {"bf16": "medium", "bf16x2": "high", "bf16x3": "highest"}


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    """Each target: where it has no such instruction, the same is written in plain vectors."""
    cutting.forget()
    cutting.on_target(monkeypatch, request.param)
    monkeypatch.setattr(dots, "current", lambda: request.param)
    way_of = dots.way_of
    monkeypatch.setattr(dots, "way_of", lambda x, weight, _, variant: way_of(x, weight, ("bfloat16",), variant))
    yield request.param
    cutting.forget()


def stated(problem, variant):
    plan = choose(problem, algorithm=f"dots:{variant}", machine=MACHINE)
    return plan.cost.error, plan.cost.random_error


def exact(problem, x, weight):
    """Return the sums, and those of magnitudes, in float64."""
    wide, problem = [one.astype(float) for one in (x, weight)], replace(problem, dtype="float64")
    return windows.convolution(problem, *wide, 0), windows.convolution(problem, *map(np.abs, wide), 0)


def drawn(rng):
    while True:
        rank, groups = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        x = (int(rng.integers(1, 3)), groups * int(rng.integers(1, 9)), *rng.integers(1, 13, rank).tolist())
        weight = (groups * int(rng.integers(1, 12)), x[1] // groups, *rng.integers(1, 5, rank).tolist())
        words = {"stride": rng.integers(1, 4, rank).tolist(), "dilation": rng.integers(1, 3, rank).tolist()}
        boundary = [(str(word),) * 2 for word in rng.choice(["constant", "edge", "mirror", "wrap"], rank)]
        try:
            return Convolution.from_shapes(x, weight, groups=groups, padding=1, boundary=boundary, **words)
        except InvalidArgument:
            continue


def normal(problem, rng):
    shape = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
    x = rng.standard_normal((problem.batch, problem.in_channels, *problem.size)).astype("f")
    return x, rng.standard_normal(shape).astype("f")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_sum_keeps_the_stated_bound(machine, variant):
    rng = np.random.default_rng(VARIANTS.index(variant))
    for seed in range(3):
        problem = drawn(rng)
        x, weight = normal(problem, rng)
        sums, sizes = exact(problem, x, weight)
        got = dots.convolution(problem, other_memory(x, seed % KINDS), weight, 0, variant)
        assert got.dtype == np.float32
        assert (np.abs(got - sums) <= stated(problem, variant)[0] * sizes + 1e-37).all(), problem


def adverse(rng, shape, kind):
    """Return data that parts represent badly, or whose sums cancel."""
    normal = rng.standard_normal(shape)
    if kind == "midway":  # the first part rounds off as much as it can, and so does the second
        return np.full(shape, 1 + 2**-8 - 2**-17 - 2**-23).astype("f")
    if kind == "halves":
        return np.full(shape, 1 + 2**-8 - 2**-16).astype("f")
    if kind == "range":
        return (normal * 10 ** rng.uniform(-6, 6, shape)).astype("f")
    if kind == "cancelling":
        return np.where(rng.random(shape) < 0.5, 1, -1).astype("f") + (1e-3 * normal).astype("f")
    return np.full(shape, 0.1, "f") if kind == "constant" else normal.astype("f")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["random", "constant", "midway", "halves", "range", "cancelling"])
def test_promises_are_kept_with_a_fifth_to_spare(variant, kind):
    """Both ways of measuring, for data of every kind; on the target of this machine."""
    if not any("bfloat16" in one.units for one in TARGETS):
        pytest.skip("no such instructions")
    rng = np.random.default_rng(3)
    random, bound = PROMISES[WORD_OF[variant]]
    for channels, kernel in ((64, 3), (700, 1), (512, 3)):
        problem = Convolution.from_shapes((1, channels, 9, 11), (16, channels, kernel, kernel), padding=kernel // 2)
        x, weight = adverse(rng, (1, channels, 9, 11), kind), adverse(rng, (16, channels, kernel, kernel), kind)
        got = sr.conv2d(x, weight, padding=kernel // 2, algorithm=f"dots:{variant}").astype(float)
        sums, sizes = exact(problem, x, weight)
        wrong = np.linalg.norm(got - sums)
        assert wrong <= 0.8 * bound * np.linalg.norm(sizes)
        assert wrong <= stated(problem, variant)[0] * np.linalg.norm(sizes)
        if kind == "random":
            assert wrong <= 0.8 * random * np.linalg.norm(sums)
            assert wrong <= stated(problem, variant)[1] * np.linalg.norm(sums)


def test_what_is_stated_qualifies_for_its_word_and_no_better():
    problem = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1, stride=2)
    words = list(PROMISES)
    for variant, word in WORD_OF.items():
        for other in words:
            candidates = choose(problem, other, machine=MACHINE).candidates
            reason = next(one.reason for one in candidates if one.variant == variant)
            assert (reason is None) == (words.index(other) >= words.index(word)), (variant, other, reason)
    assert choose(problem, "medium", machine=MACHINE).chosen.label == "dots:bf16"
    assert choose(problem, "high", machine=MACHINE).algorithm != "dots"
    few = Convolution.from_shapes((1, 4, 20, 20), (4, 4, 3, 3))
    assert "problems under 100,000" in dict(choose(few, "medium", machine=MACHINE).declined)["dots:bf16"]
    with pytest.raises(InvalidArgument, match="it needs instructions for dot products of bfloat16, and avx2 has none"):
        choose(problem, algorithm="dots:bf16", machine=Machine.of("avx2", units=("dot16",)))


WILD = {
    "nan": np.nan, "infinite": np.inf, "rounds up to infinity": np.finfo("f").max, "denormal": 1e-40, "tiny": 1e-36,
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("value", WILD.values(), ids=WILD)
def test_images_of_wild_numbers_are_left_to_direct(machine, variant, value):
    """Those images alone, and to the last bit; with an epilogue that writes over its residual."""
    problem = Convolution.from_shapes((3, 6, 5, 9), (4, 6, 3, 3), padding=1)
    rng = np.random.default_rng(4)
    x, weight = normal(problem, rng)
    weight[0] = np.clip(weight[0], 0.5, 2)
    bias, residual = rng.standard_normal(4).astype("f"), rng.standard_normal(problem.output_shape).astype("f")
    calm = x.copy()
    x[1, 2, 3, 4] = value

    def results(module, image, weights, **words):
        out = residual.copy()
        infos = {"x": ArrayInfo.of(image), "weight": ArrayInfo.of(weights), "out": ArrayInfo.of(out)}
        bound = module.bind(problem, 0, **infos, bias=True, residual=ArrayInfo.of(out), activation=("relu",), **words)
        bound.run(image, weights, bias, out, out)
        packed = residual.copy()
        bound.packed(weights).run(image, weights, bias, packed, packed)
        assert out.tobytes() == packed.tobytes()
        return out

    got, plain = results(dots, x, weight, variant=variant), results(direct, x, weight)
    assert got[1].tobytes() == plain[1].tobytes()
    quiet = results(dots, calm, weight, variant=variant)
    assert got[[0, 2]].tobytes() == quiet[[0, 2]].tobytes()
    assert quiet.tobytes() != plain.tobytes()
    weight[1, 2, 0, 0] = value
    assert results(dots, calm, weight, variant=variant).tobytes() == results(direct, calm, weight).tobytes()


def test_sums_that_could_overflow_are_left_to_direct(machine):
    """One part may round each number up, and so a sum beyond the largest float32 that the definition keeps below."""
    problem = Convolution.from_shapes((1, 4, 1, 20), (1, 4, 1, 1))
    x, weight = np.full((1, 4, 1, 20), 8.4e37, "f"), np.full((1, 4, 1, 1), 1.01, "f")
    got = dots.convolution(problem, x, weight, 0, "bf16")
    assert np.isfinite(got).all()
    assert (got == direct.convolution(problem, x, weight, 0)).all()


def test_zeros_are_tame(machine):
    problem = Convolution.from_shapes((2, 4, 3, 20), (3, 4, 2, 2))
    x, weight = normal(problem, np.random.default_rng(5))
    x[0] = 0
    x[1, :, 0] = -0.0
    got = dots.convolution(problem, x, weight, 0, "bf16x3")
    assert not got[0].any()
    assert not dots.convolution(problem, x, np.zeros_like(weight), 0, "bf16").any()
    np.testing.assert_allclose(got, windows.convolution(problem, x, weight, 0), atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_bits_for_any_batch_threads_and_memory(machine, monkeypatch, variant):
    problem = Convolution.from_shapes((5, 20, 9, 30), (33, 20, 3, 3), padding=1)
    x, weight = normal(problem, np.random.default_rng(6))
    together = dots.convolution(problem, x, weight, 0, variant)
    for n in range(5):
        one = Convolution.from_shapes((1, 20, 9, 30), (33, 20, 3, 3), padding=1)
        assert (dots.convolution(one, x[n : n + 1], weight, 0, variant) == together[n : n + 1]).all()
    assert (dots.convolution(problem, other_memory(x, 1), weight, 0, variant) == together).all()
    monkeypatch.setattr(workers, "get_num_threads", lambda: 1)
    monkeypatch.setattr(dots, "WORKSPACE", 1)
    assert (dots.convolution(problem, x, weight, 0, variant) == together).all()


def test_nothing_outside_is_touched(machine):
    for shape, taps in (((2, 5, 5, 17), (3, 5, 2, 3)), ((1, 70, 3, 19), (9, 70, 1, 1)), ((1, 8, 1, 1), (5, 8, 1, 1))):
        problem = Convolution.from_shapes(shape, taps)
        x, weight = normal(problem, np.random.default_rng(7))
        expected = dots.convolution(problem, x, weight, 0, "bf16x2")
        for before in (False, True):
            out = guarded(np.zeros(problem.output_shape, "f"), before=before)
            near = guarded(x, before=before)
            infos = {"x": ArrayInfo.of(near), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
            words = {"bias": False, "residual": None, "activation": None, "variant": "bf16x2"}
            bound = dots.bind(problem, 0, **infos, **words)
            assert isinstance(bound, dots.Dots)
            bound.run(near, guarded(weight, before=before), None, None, out)
            assert (out == expected).all()


@pytest.mark.parametrize("parts", [(0,), (0, 1, 0), (0, 0, 1, 1, 0, 2)], ids=str)
@pytest.mark.parametrize("machine", TARGETS, ids=lambda machine: machine.name)
def test_packing_is_that_of_numpy(machine, parts):
    words = Words("bfloat16", "float32", parts=parts)
    rng = np.random.default_rng(8)
    for shape, groups in (((2, 6, 5, 7), 2), ((1, 70, 3, 9), 1), ((3, 9, 1), 1), ((2, 4, 33), 1)):
        x = rng.standard_normal(shape).astype("f")
        for kind in range(KINDS):
            near = guarded(x) if kind == 0 else other_memory(x, kind)
            bound = packings.packing(words, groups, ArrayInfo.of(near), machine)
            made = np.empty(bound.shape, np.uint32)
            found = bound.run(near, made)
            assert (made == packed_by_numpy(words, groups, x).reshape(made.shape)).all(), (shape, kind)
            assert (found[:, :, 0].max(axis=1).view("f") == np.abs(x).reshape(len(x), -1).max(axis=1)).all()
            least = (found[:, :, 1].min(axis=1) + np.uint32(1)).view("f")
            assert (least == np.abs(x).reshape(len(x), -1).min(axis=1)).all()


def test_parts_add_up_to_the_number():
    x = np.random.default_rng(9).standard_normal((1, 2, 500)).astype("f")
    words = packed_by_numpy(Words("bfloat16", "float32", parts=(0, 1, 2)), 1, x)[0, 0]
    low = (words << 16).view("f").astype(float)
    assert (low.sum(axis=0) == x[0, 0]).all()
    assert (np.abs(low[0] - x[0, 0]) <= 2.0**-8 * np.abs(x[0, 0])).all()
    assert (np.abs(low[:2].sum(axis=0) - x[0, 0]) <= 2.0**-17 * np.abs(x[0, 0])).all()


def test_each_structure_is_tried_where_no_test_has_run_it(machine, monkeypatch):
    for module, name, value in ((proof, "PROVED", ()), (proof, "_found", {}), (jit, "_routines", {})):
        monkeypatch.setattr(module, name, value)
    tried, agree = [], proof.agree
    monkeypatch.setattr(proof, "agree", lambda *words: tried.append(agree(*words)) or tried[-1])
    problem = Convolution.from_shapes((2, 9, 5, 17), (6, 3, 2, 3), padding=1, groups=3)
    x, weight = normal(problem, np.random.default_rng(10))
    got = dots.convolution(problem, x, weight, 0, "bf16x3")
    np.testing.assert_allclose(got, windows.convolution(problem, x, weight, 0), atol=2e-5)
    assert len(tried) >= 2
    assert all(tried)


@pytest.mark.parametrize("machine", [one for one in TARGETS if "bfloat16" in one.units], ids=lambda one: one.name)
def test_the_inner_loop_is_the_instruction(machine):
    form = Form("float32", "float32", "float32", "float32", 8, 3, 528, True, 1, False, unit="bfloat16")
    assembly = jit.assembly(product_routine(form, machine), machine)
    blocks = [block.splitlines() for block in assembly.split("\n.L")]
    inner = [b for b in blocks if sum("vdpbf16ps" in line for line in b) >= 24]
    assert inner
    assert not [line for b in inner for line in b if "mov" in line and "%zmm" in line and line.endswith("(%rsp)")]
