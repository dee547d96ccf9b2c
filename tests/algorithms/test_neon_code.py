"""The code that is made for AArch64, read: `make conformance` runs it, where an emulator is at hand."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from functional.operations import CALLS
from oracles.assembly import calls, inner_loops, reloads, spills
from oracles.emulation import Recorder
from striderule.algorithms import memory
from striderule.algorithms.direct.laying import Form
from striderule.algorithms.direct.product import product_routine
from striderule.codegen import jit, target
from striderule.planning.register_tiles import register_tiles

NEON = target.named("neon")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tile", register_tiles(NEON.registers), ids=str)
def test_the_sums_of_a_convolution_stay_in_registers(dtype, tile):
    rows, vectors = tile
    text = jit.assembly(product(dtype, *tile), NEON)
    lanes = {"float32": "4s", "float64": "2d"}[dtype]
    sums = [loop for loop in inner_loops(text) if sum(f".{lanes}" in line and "fmla" in line for line in loop)]
    # Within, and at the edge with each number of vectors.
    wide = [sum("\tfmla\t" in line for line in loop) for loop in sums]
    assert sorted(wide) == sorted([rows * vectors, *(rows * v for v in range(1, vectors + 1))])
    for loop in sums:
        assert spills(loop) + reloads(loop) == []
        # Loads of inputs and weights, multiply-adds, and the few instructions that count: nothing is moved about.
        assert len(loop) <= rows * vectors + vectors + 2 * rows + 8
    assert calls(text) == set()


def product(dtype, rows, vectors):
    form = Form(dtype, dtype, dtype, dtype, rows, vectors, 528, in_place=False, step=1, borders=False)
    return product_routine(form, NEON)


@pytest.fixture(scope="module")
def routines():
    """Name and IR of every routine that the public operations ask for, every other call in float64."""
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as changed, recorder.in_place(changed):
        # Nothing is computed, so results must at least be numbers.
        changed.setattr(memory, "empty", np.zeros)
        changed.setattr(memory, "scratch", lambda _, count, dtype: np.zeros(count, dtype))
        for number, call in enumerate(CALLS):  # functions have calls enough to meet both types
            dtype = (np.float32, np.float64)[number % 2]
            call.by("direct", {name: _as(value, dtype) for name, value in call.operands.items()})
    return recorder.texts


def _as(value, dtype):
    return value.astype(dtype) if value.dtype.kind == "f" else value


def test_routines_call_nothing_and_keep_what_they_compute_in_registers(routines):
    """Functions of many constants take them from the stack, which is memory as good as any; hardly anything goes there.

    The hyperbolic tangent of float64 puts two vectors aside in 182 instructions.
    """
    assert routines
    for name, text in routines:
        assembly = jit.assembly(text, NEON)
        assert calls(assembly) == set(), name
        for loop in inner_loops(assembly):
            assert len(spills(loop)) <= len(loop) // 64, name


def test_the_reading_of_assembly_finds_what_it_looks_for():
    wide = jit.assembly(product("float32", 12, 4), NEON)
    assert any(spills(loop) + reloads(loop) for loop in inner_loops(wide))
    calling = """
declare <4 x float> @llvm.exp.v4f32(<4 x float>)
define void @grow(i64* %args, i64 %first, i64 %last) {
  %x = bitcast i64* %args to <4 x float>*
  %old = load <4 x float>, <4 x float>* %x
  %new = call <4 x float> @llvm.exp.v4f32(<4 x float> %old)
  store <4 x float> %new, <4 x float>* %x
  ret void
}
"""
    assert calls(jit.assembly(calling, NEON)) == {"expf"}
