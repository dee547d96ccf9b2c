"""Convolution on tiles: by the emulation of what AMX does, and the instructions as they are written."""

import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles import cutting
from oracles.memories import guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import call as calls
from striderule.algorithms.direct import giving_way, proof, tiled
from striderule.algorithms.direct.laying import Form
from striderule.algorithms.direct.product import product_routine
from striderule.algorithms.dots import convolution as dots
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import jit, target
from striderule.errors import CompilationFailed
from striderule.geometry.problem import Convolution
from striderule.planning import Machine, choose
from striderule.planning.dots import PRODUCTS, is_tiled

WIDE = [one for one in target.available() if one.vector_bytes == 64]
PAIRS = [(x, weight) for x in ("int8", "uint8") for weight in ("int8", "uint8")]
# Of stride 2, so that no transform of tiles competes.
LAYER = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), stride=2, padding=1)
PROBLEMS = (
    ((1, 64, 9, 11), (35, 64, 3, 3), {"padding": 1}),
    ((2, 64, 13, 12), (64, 32, 3, 2), {"padding": 2, "groups": 2, "stride": 2, "boundary": "mirror"}),
    ((3, 70, 7, 7), (33, 70, 1, 1), {}),
    ((1, 280, 3, 40), (16, 280, 1, 1), {}),
    ((16, 32, 7, 7), (64, 32, 3, 3), {"padding": 1}),  # images that share weights
    ((1, 40, 3, 4, 19), (17, 40, 2, 1, 3), {"dilation": 2}),
)


@pytest.fixture
def emulated(monkeypatch):
    """Let the widest target have tiles, in memory."""
    if not WIDE:
        pytest.skip("tiles are as wide as the vectors of AVX-512")
    cutting.forget()
    cutting.on_target(monkeypatch, WIDE[0])
    monkeypatch.setattr(dots, "current", lambda: WIDE[0])
    monkeypatch.setattr(dots, "TILES", "plain")
    monkeypatch.setattr(dots, "is_tiled", lambda problem, unit, units: is_tiled(problem, unit, (*units, "tiles")))
    way_of = dots.way_of
    every = ("dot8", "bfloat16")
    monkeypatch.setattr(dots, "way_of", lambda x, weight, _, variant: way_of(x, weight, every, variant))
    yield
    cutting.forget()


def bound(problem, x, weight, out, variant=None, **words):
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    given = {"bias": False, "residual": None, "activation": None, **words}
    return dots.bind(problem, 0, **infos, **given, **({} if variant is None else {"variant": variant}))


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_integers_are_exact(emulated, kinds):
    rng = np.random.default_rng(PAIRS.index(kinds))
    for shape, taps, words in PROBLEMS:
        problem = Convolution.from_shapes(shape, taps, dtype="int64", bound=2**31 - 1, stored=kinds, **words)
        limits = [np.iinfo(kind) for kind in kinds]
        x, weight = (
            rng.integers(info.min, info.max + 1, size).astype(kind)
            for info, size, kind in zip(limits, (shape, taps), kinds, strict=True)
        )
        expected = windows.convolution(problem, x, weight, 0)
        for before in (False, True):
            near, out = guarded(x, before=before), guarded(np.zeros(problem.output_shape, np.int32), before=before)
            made = bound(problem, near, weight, out)
            assert {call.form.tiles for _, _, call in made.calls} == {"plain"}
            made.run(near, weight, None, None, out)
            assert (out == expected).all()
        packed = np.zeros_like(out)
        made.packed(weight).run(near, np.empty(0), None, None, packed)
        assert (packed == expected).all()


@pytest.mark.parametrize("variant", PRODUCTS)
def test_floats_keep_the_stated_bound_and_their_bits(emulated, variant):
    rng = np.random.default_rng(5)
    machine = Machine.of("amx")
    for shape, taps, words in PROBLEMS:
        problem = Convolution.from_shapes(shape, taps, **words)
        x, weight = (rng.standard_normal(size).astype("f") for size in (shape, taps))
        wide = replace(problem, dtype="float64")
        sums = windows.convolution(wide, x.astype(float), weight.astype(float), 0)
        sizes = windows.convolution(wide, np.abs(x.astype(float)), np.abs(weight.astype(float)), 0)
        got = dots.convolution(problem, x, weight, 0, variant)
        stated = choose(problem, algorithm=f"dots:{variant}", machine=machine).cost
        assert (np.abs(got - sums) <= stated.error * sizes + 1e-37).all()
        assert np.linalg.norm(got - sums) <= stated.random_error * np.linalg.norm(sums)
        out = np.zeros_like(got)
        bound(problem, x, weight, out, variant).packed(weight).run(x, weight, None, None, out)
        assert out.tobytes() == got.tobytes()
        one = Convolution.from_shapes((1, *shape[1:]), taps, **words)
        assert (dots.convolution(one, x[-1:], weight, 0, variant) == got[-1:]).all()


def test_structures_are_tried_and_refused_ones_left_to_vectors(emulated, monkeypatch):
    for module, name, value in ((proof, "PROVED", ()), (proof, "_found", {}), (jit, "_routines", {})):
        monkeypatch.setattr(module, name, value)
    tried, agree = [], proof.agree
    monkeypatch.setattr(proof, "agree", lambda *words: tried.append(agree(*words)) or tried[-1])
    problem = Convolution.from_shapes((2, 32, 5, 17), (16, 32, 2, 3), padding=1)
    rng = np.random.default_rng(6)
    x, weight = rng.standard_normal((2, 32, 5, 17)).astype("f"), rng.standard_normal((16, 32, 2, 3)).astype("f")
    tiles = dots.convolution(problem, x, weight, 0, "bf16")
    assert len(tried) >= 2
    assert all(tried)
    compiled = calls.proof.compiled

    def refuses(name, form, *rest, **words):
        if getattr(form, "tiles", ""):
            raise CompilationFailed("no tiles today")
        return compiled(name, form, *rest, **words)

    monkeypatch.setattr(proof, "compiled", refuses)
    cutting.forget()
    giving_way._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="no tiles today"):
        vectors = dots.convolution(problem, x, weight, 0, "bf16")
    np.testing.assert_allclose(vectors, tiles, atol=1e-4)


def test_instructions_that_no_test_has_run_are_tried_on_every_target(monkeypatch):
    monkeypatch.setattr(proof, "_found", {})
    monkeypatch.setattr(jit, "compiled", lambda *_: jit.Routine(0, "routine"))
    asked = []
    for always in (False, True):
        proof.compiled("routine", always, str, target.host(), lambda: asked.append(1) or True, always=always)
    assert asked == [1]


@pytest.mark.parametrize(
    ("unit", "turned", "instruction"),
    [("bfloat16", False, "tdpbf16ps"), ("dot8", True, "tdpbsud"), ("dot8", False, "tdpbusd")],
)
def test_the_instructions_of_tiles(unit, turned, instruction):
    """Four products for four loads, in a loop of nothing else; configured once, released once."""
    machine = target.named("amx")
    if not machine.triple.startswith("x86_64"):
        pytest.skip("code for another system")
    kind = "float32" if unit == "bfloat16" else "int32"
    form = Form(kind, kind, kind, kind, *tiled.TILE, 528, True, 1, False, unit=unit, turned=turned, tiles="amx")
    lines = jit.assembly(product_routine(form, machine), machine).splitlines()
    assert sum("ldtilecfg" in line for line in lines) == sum("tilerelease" in line for line in lines) == 1
    inner = [i for i, line in enumerate(lines) if instruction in line]
    first = lines[inner[0] : inner[0] + 4]
    assert [re.findall(r"tmm(\d)", line) for line in first] == [
        ["6", "4", "0"], ["7", "4", "1"], ["6", "5", "2"], ["7", "5", "3"]
    ]  # fmt: skip
    loop = lines[max(i for i in range(inner[0]) if lines[i].startswith(".L")) : inner[3]]
    assert sum("tileload" in line for line in loop) == 4
    assert not any("tilestore" in line or "zmm" in line for line in loop)
    # Sums are written where totals stand, and nowhere else.
    assert sum("tilestored" in line for line in lines) % 2 == 0


def test_the_order_of_weights():
    words = np.arange(2 * 32 * 3).reshape(2, 32, 1, 3)
    ordered = tiled.ordered(words, 16, 3).reshape(2, 2, 3, 16)
    for chunk in range(2):
        for tap in range(3):
            assert (ordered[1, chunk, tap] == words[1, 16 * chunk : 16 * chunk + 16, 0, tap]).all()


def test_the_planner_offers_tiles_where_they_are():
    amx, plain = Machine.of("amx"), Machine.of("avx512", units=("dot8", "dot16", "bfloat16"))
    high = choose(LAYER, "high", machine=amx)
    assert high.chosen.label == "dots:bf16x2"
    assert high.cost.tile.startswith("32 output channels x 32 positions in tiles")
    assert choose(LAYER, "medium", machine=amx).chosen.label == "dots:bf16"
    highest = choose(LAYER, "highest", machine=amx)
    assert next(one.reason for one in highest.candidates if one.variant == "bf16x3") is None
    assert choose(LAYER, "high", machine=plain).algorithm != "dots"
    few = Convolution.from_shapes((1, 3, 224, 224), (64, 3, 7, 7), stride=2)
    assert "tiles" not in choose(few, algorithm="dots:bf16", machine=amx).cost.tile
    stored = Convolution.from_shapes((1, 256, 28, 28), (256, 256, 3, 3), dtype="int64", stored=("int8", "int8"))
    seconds = [choose(stored, algorithm="dots", machine=machine).cost.seconds for machine in (amx, plain)]
    assert seconds[0] < seconds[1]
