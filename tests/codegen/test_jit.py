"""IR to running code: values, targets, what is built once, errors."""

import re
import threading

import numpy as np
import pytest

from oracles.lines import expected, line, run
from striderule.codegen import jit, target
from striderule.errors import CompilationFailed, CompilerMissing, StrideruleError

pytestmark = pytest.mark.usefixtures("folder")
X86 = pytest.mark.skipif("sse2" not in [one.name for one in target.available()], reason="needs x86-64")


@pytest.mark.parametrize("one", target.available(), ids=lambda one: one.name)
def test_values_on_every_target_of_this_machine(one, folder, emissions):
    lanes = one.lanes(4)
    x = np.random.default_rng(1).standard_normal(5 * lanes).astype(np.float32)
    for expected_emissions in (1, 1):  # the second comes from disk
        routine = jit.load("line", line(lanes), one)
        assert routine.name == "line"
        assert np.array_equal(run(routine, x, lanes), expected(x, lanes))
        assert len(emissions) == expected_emissions
    part = run(routine, x, lanes, 1, 3)
    assert np.array_equal(part[lanes : 3 * lanes], expected(x, lanes)[lanes : 3 * lanes])
    assert (np.delete(part, np.s_[lanes : 3 * lanes]) == -1).all()
    assert (run(routine, x, lanes, 2, 2) == -1).all()
    assert len(list(folder.iterdir())) == 1


@X86
@pytest.mark.parametrize(("name", "register", "others"), [("avx512", "zmm", ()), ("avx2", "ymm", ("zmm",))])
def test_wide_vectors_stay_whole(name, register, others):
    one = target.named(name)
    text = jit.assembly(line(one.lanes(4)), one)
    assert re.search(rf"vfmadd\w+ps\b.*%{register}\d", text)
    assert not any(f"%{other}" in text for other in others)
    assert "call" not in text
    # Constants are reached in one step, as the small code model has it.
    assert "movabs" not in text


@X86
def test_the_least_target_uses_nothing_newer():
    text = jit.assembly(line(4, 3.0), target.named("sse2"))
    assert re.search(r"\bmulps\b", text)
    assert re.search(r"\baddps\b", text)
    assert not re.search(r"%ymm|%zmm|\bv\w+ps\b|call", text)


def test_code_for_other_processors_is_written():
    """Cross-emission: AArch64 from x86-64, and the other way round."""
    neon = target.named("neon")
    text = jit.assembly(line(4, 3.0, fused=True), neon)
    assert re.search(r"\bfmla\s+v\d+\.4s", text)
    assert re.search(r"\bret\b", text)
    assert not re.search(r"\bbl\b", text)
    # Multiply and add stay two roundings unless the routine asks for one.
    assert "fmla" not in jit.assembly(line(4, 3.0), neon)
    assert "zmm" in jit.assembly(line(16), target.named("avx512"))


def test_code_for_other_processors_is_not_loaded():
    for name in target.TARGETS:
        one = target.named(name)
        if one not in target.available():
            with pytest.raises(CompilationFailed, match=f"this machine runs .*, not {name}"):
                jit.load("line", line(one.lanes(4)), one)


@X86
def test_the_variable_chooses_the_target(monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", "sse2")
    made = jit.compiled("line", ("variable", 4), lambda: line(4))
    x = np.arange(8, dtype=np.float32)
    assert np.array_equal(run(made, x, 4), expected(x, 4))
    monkeypatch.delenv("STRIDERULE_TARGET")
    target.forget()
    calls = []
    wide = jit.compiled("line", ("variable", 4), lambda: calls.append(1) or line(4))
    assert len(calls) == (target.host().name != "sse2")
    assert (wide == made) == (target.host().name == "sse2")


def test_routines_of_one_name_do_not_meet():
    x = np.ones(8, np.float32)
    one = target.host()
    first, second = (jit.load("line", line(4, slope), one) for slope in (2.0, 3.0))
    assert first.address != second.address
    assert np.array_equal(run(first, x, 4), expected(x, 4, 2))
    assert np.array_equal(run(second, x, 4), expected(x, 4, 3))


def test_a_structure_is_built_once(emissions):
    calls = []

    def build():
        calls.append(1)
        return line(4)

    first = jit.compiled("line", ("once", 4), build)
    assert jit.compiled("line", ("once", 4), build) is first
    assert len(calls) == len(emissions) == 1
    assert jit.compiled("line", ("once", 5), build) is not first
    assert len(calls) == 2
    assert len(emissions) == 1  # the same text, from disk


def test_eight_threads_build_once():
    calls, found = [], []
    barrier = threading.Barrier(8)

    def build():
        calls.append(1)
        return line(4, 5.0)

    def ask():
        barrier.wait()
        for other in range(6):
            routine = jit.compiled("line", ("threads", other), build)
            x = np.full(8, other, np.float32)
            assert np.array_equal(run(routine, x, 4), expected(x, 4, 5))
            found.append((other, routine))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(calls) == 6
    assert len(found) == 48
    assert len(set(found)) == 6


def test_a_builder_may_ask_for_another_routine():
    def build():
        jit.compiled("line", "inner", lambda: line(4))
        return line(4, 7.0)

    assert jit.compiled("line", "outer", build).address != jit.compiled("line", "inner", str).address


BAD = {
    "no IR": "this is no IR",
    "a wrong type": line(4).replace("fadd <4 x float>", "fadd <4 x double>"),
    "no such value": line(4).replace("%next, %last", "%nowhere, %last"),
    "invalid": line(4).replace("phi i64 [ %first, %entry ], ", "phi i64 "),
    "another name": line(4, name="other"),
    "declared alone": "declare void @line(i64*, i64, i64)",
    "calls what is not there": "declare void @striderule_nowhere()\n"
    + line(4).replace("ret void", "call void @striderule_nowhere()\n  ret void"),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_bad_code_is_refused(text, folder, capfd):
    with pytest.raises(CompilationFailed, match="routine line for"):
        jit.load("line", text, target.host())
    assert not folder.exists()  # nothing useless is kept
    assert capfd.readouterr() == ("", "")


def test_bad_assembly_is_refused():
    with pytest.raises(CompilationFailed, match="assembly for"):
        jit.assembly("this is no IR", target.host())


def test_a_failure_is_remembered():
    calls = []
    for _ in range(3):
        with pytest.raises(CompilationFailed, match="routine line for") as caught:
            jit.compiled("line", "bad", lambda: calls.append(1) or "this is no IR")
        assert isinstance(caught.value, StrideruleError)
    assert len(calls) == 1


def test_an_error_of_the_builder_is_not_remembered():
    def wrong():
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            jit.compiled("line", "wrong", wrong)
    assert jit.compiled("line", "wrong", lambda: line(4)).name == "line"


def test_the_errors_are_kinds_of_what_callers_catch():
    assert issubclass(CompilerMissing, CompilationFailed)
    assert issubclass(CompilationFailed, StrideruleError)
    assert issubclass(CompilationFailed, RuntimeError)


def test_code_outlives_everything():
    """Nothing that the collection of garbage finds unloads code."""
    import gc

    x = np.arange(8, dtype=np.float32)
    routine = jit.load("line", line(4, 11.0), target.host())
    for slope in range(20):
        jit.load("line", line(4, float(slope)), target.host())
    gc.collect()
    assert np.array_equal(run(routine, x, 4), expected(x, 4, 11))
