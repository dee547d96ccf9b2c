"""The dot products of words, by the instructions and in plain vectors."""

import ctypes
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.codegen import jit, target
from striderule.codegen.dots import NUMBERS, SUMS, dot, is_native
from striderule.codegen.tile import INT32, Routine

TARGETS = target.available()
CASES = [(machine, unit, plain) for machine in TARGETS for unit in NUMBERS for plain in (False, True)]


def routine(machine, unit, told):
    """Return total = dot(total, a, b), of vectors, in code that is told of these units."""
    name = f"dot_{unit}_{len(told.units)}"
    r = Routine(name, told, SUMS[unit], pointers=("total", "a", "b"), sizes=())
    places = [r.pointer(word) for word in ("total", "a", "b")]
    r.store(dot(r, unit, *(r.load(place) for place in places)), places[0])
    return jit.load(name, r.finish(), machine)


def run(machine, unit, plain, total, a, b):
    features = ",".join(one for one in machine.features.split(",") if "vnni" not in one and "bf16" not in one)
    told = replace(machine, features=features.replace("+sse2", "").replace("+avx2", "")) if plain else machine
    assert not plain or not is_native(unit, told)
    made = routine(machine, unit, told)
    total = total.copy()
    words = (ctypes.c_int64 * 3)(total.ctypes.data, a.ctypes.data, b.ctypes.data)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(made.address)(words, 0, 1)
    return total


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}-{'plain' if case[2] else 'own'}")
def case(request):
    return request.param


def test_integers_are_exact_modulo_their_words(case):
    machine, unit, plain = case
    if unit == "bfloat16":
        pytest.skip("floats")
    kinds = (np.uint8, np.int8) if unit == "dot8" else (np.int16, np.int16)
    rng = np.random.default_rng(0)
    lanes, count = machine.lanes(4), NUMBERS[unit]
    for extreme in (False, True):
        ends = [np.iinfo(kind) for kind in kinds]
        a, b = (
            np.full(lanes * count, info.min or info.max, kind)
            if extreme
            else rng.integers(info.min, info.max + 1, lanes * count).astype(kind)
            for info, kind in zip(ends, kinds, strict=True)
        )
        total = rng.integers(-(2**31), 2**31, lanes).astype(np.int32)
        exact = total.astype(np.int64) + (a.astype(np.int64) * b).reshape(lanes, count).sum(axis=1)
        assert (run(machine, unit, plain, total, a, b) == exact.astype(np.int32)).all()


def test_bfloat16_are_multiplied_exactly(case):
    machine, unit, plain = case
    if unit != "bfloat16":
        pytest.skip("integers")
    rng = np.random.default_rng(1)
    lanes = machine.lanes(4)
    a, b = ((rng.standard_normal(2 * lanes).astype("f").view(np.uint32) >> 16).astype(np.uint16) for _ in range(2))
    total = rng.standard_normal(lanes).astype("f")
    wide = [(one.astype(np.uint32) << 16).view("f").astype(float).reshape(lanes, 2) for one in (a, b)]
    products = wide[0] * wide[1]
    # The odd ones first, and rounded after each.
    expected = (total + products[:, 1]).astype("f") + products[:, 0]
    got = run(machine, unit, plain, total, a, b)
    np.testing.assert_allclose(got, expected, rtol=3e-7, atol=1e-6)
    if plain and machine.fma:
        assert (got == expected.astype("f")).all()


def test_no_other_element_holds_words():
    assert set(SUMS.values()) <= {INT32, SUMS["bfloat16"]}
