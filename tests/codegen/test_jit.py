"""IR to running code: values, targets, the cache on disk, threads, and what happens when it does not work."""

import ctypes
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from striderule.codegen import cache, jit, target
from striderule.errors import CompilationFailed, CompilerMissing, StrideruleError

X86 = pytest.mark.skipif("sse2" not in [one.name for one in target.available()], reason="needs x86-64")
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# y[t] = slope * x[t] + [0, 1, 2, ...] for vectors t: the one signature, pointers as words, a constant from memory.
LINE = """
define void @{name}(i64* %args, i64 %first, i64 %last) {{
entry:
  %x.word = load i64, i64* %args
  %x = inttoptr i64 %x.word to <{lanes} x float>*
  %y.place = getelementptr i64, i64* %args, i64 1
  %y.word = load i64, i64* %y.place
  %y = inttoptr i64 %y.word to <{lanes} x float>*
  %any = icmp slt i64 %first, %last
  br i1 %any, label %task, label %end
task:
  %t = phi i64 [ %first, %entry ], [ %next, %task ]
  %x.here = getelementptr <{lanes} x float>, <{lanes} x float>* %x, i64 %t
  %value = load <{lanes} x float>, <{lanes} x float>* %x.here, align 4
  %scaled = call <{lanes} x float> @llvm.fma.v{lanes}f32(<{lanes} x float> %value, <{lanes} x float> <{slope}>, <{lanes} x float> <{ramp}>)
  %y.here = getelementptr <{lanes} x float>, <{lanes} x float>* %y, i64 %t
  store <{lanes} x float> %scaled, <{lanes} x float>* %y.here, align 4
  %next = add i64 %t, 1
  %more = icmp slt i64 %next, %last
  br i1 %more, label %task, label %end
end:
  ret void
}}
declare <{lanes} x float> @llvm.fma.v{lanes}f32(<{lanes} x float>, <{lanes} x float>, <{lanes} x float>)
"""  # noqa: E501


def line(lanes, slope=2.0, name="line", *, fused=None):
    slopes = ", ".join([f"float {slope}"] * lanes)
    ramp = ", ".join(f"float {number}.0" for number in range(lanes))
    text = LINE.format(name=name, lanes=lanes, slope=slopes, ramp=ramp)
    # Where the processor has no fused multiply-add, as with sse2, the intrinsic would become calls of the C library.
    return text if (lanes > 4 if fused is None else fused) else unfused(text)


def unfused(text):
    call = re.search(r"%scaled = call (<\d+ x float>) @\S+\(\1 %value, \1 (<.*?>), \1 (<.*?>)\)\n", text)
    vector, slope, ramp = call.groups()
    plain = f"%product = fmul {vector} %value, {slope}\n  %scaled = fadd {vector} %product, {ramp}\n"
    return text.replace(call.group(), plain)


def run(routine, x, lanes, first=0, last=None):
    y = np.full_like(x, -1)
    args = np.array([x.ctypes.data, y.ctypes.data], np.int64)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(routine.address)
    call(args.ctypes.data, first, len(x) // lanes if last is None else last)
    return y


def expected(x, lanes, slope=2.0):
    return slope * x + np.tile(np.arange(lanes, dtype=np.float32), len(x) // lanes)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("STRIDERULE_CACHE", raising=False)
    monkeypatch.delenv("STRIDERULE_TARGET", raising=False)
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def emissions(monkeypatch):
    """The list of routines that were translated, as against loaded from disk."""
    made = []
    emitted = jit._emitted
    monkeypatch.setattr(jit, "_emitted", lambda *words: made.append(words) or emitted(*words))
    return made


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


def test_useless_code_from_disk_is_made_anew(folder, emissions):
    """Whole files whose code does not load, or does not have the routine, are replaced."""
    one = target.host()
    text = line(4)
    key = jit._key(jit._llvm(), text, one)
    other = jit._emitted(jit._llvm(), line(4, name="other"), one)
    x = np.arange(8, dtype=np.float32)
    for useless in (b"", b"no object code", other, other[: len(other) // 2]):
        emissions.clear()
        cache.write(key, useless)
        assert np.array_equal(run(jit.load("line", text, one), x, 4), expected(x, 4))
        assert len(emissions) == 1
        assert cache.read(key) not in (None, useless)


def test_without_a_folder_it_works_all_the_same(monkeypatch, emissions):
    monkeypatch.setenv("STRIDERULE_CACHE", "0")
    x = np.arange(8, dtype=np.float32)
    for made in (1, 2):
        assert np.array_equal(run(jit.load("line", line(4), target.host()), x, 4), expected(x, 4))
        assert len(emissions) == made


def test_the_key_depends_on_all_that_has_a_say(monkeypatch):
    llvm, one, text = jit._llvm(), target.host(), line(4)
    keys = [jit._key(llvm, text, one), jit._key(llvm, text + "\n", one)]
    keys += [jit._key(llvm, text, replace(one, **{field: "other"})) for field in ("triple", "cpu", "features")]
    for name, value in (("OPT", 2), ("PASSES", jit.PASSES[:-1]), ("_TRANSLATION", "another")):
        with monkeypatch.context() as changed:
            changed.setattr(jit, name, value)
            keys.append(jit._key(llvm, text, one))
    for place, name, value in (
        (sys.modules["llvmlite"], "__version__", "9.9"),
        (llvm, "llvm_version_info", (99, 0, 0)),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(place, name, value)
            keys.append(jit._key(llvm, text, one))
    assert len(set(keys)) == len(keys)
    assert jit._key(llvm, text, one) == keys[0]


@pytest.fixture
def written(folder):
    """Give a function that asks for a structure as a new process would, and tells whether its text was written."""

    def ask(key=("short", 4), slope=2.0, origin=lambda: "a digest", name="line"):
        texts = []
        jit._routines.clear()
        routine = jit.compiled(name, key, lambda: texts.append(1) or line(4, slope, name=name), origin=origin)
        x = np.arange(8, dtype=np.float32)
        assert np.array_equal(run(routine, x, 4), expected(x, 4, slope))
        return bool(texts)

    before = dict(jit._routines)
    yield ask
    jit._routines.clear()
    jit._routines.update(before)


def test_what_is_found_under_its_structure_is_not_written(written):
    assert written()
    assert not written()


def test_another_source_structure_or_name_is_written(written):
    written()
    assert written(origin=lambda: "another digest", slope=3.0)
    assert written(key=("short", 5), slope=4.0)
    assert written(key=("short", 4.0), slope=5.0)
    assert written(name="another", slope=6.0)
    assert not written()


@pytest.mark.parametrize("words", [{"origin": lambda: None}, {"origin": None}, {"key": ("short", object())}])
def test_without_a_digest_or_a_text_of_the_structure_it_is_written(written, words):
    assert written(**words)
    assert written(**words)
    assert written()


def test_a_source_that_changes_while_it_writes_leaves_no_trace(written):
    digests = iter(["before", "after"])
    assert written(origin=lambda: next(digests))
    assert written(origin=lambda: "after", slope=3.0)
    assert written(origin=lambda: "before", slope=4.0)


def test_a_structure_whose_code_is_gone_is_written(written, folder):
    written()
    longest = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    kept = longest.read_bytes()
    longest.unlink()
    assert written()
    assert longest.read_bytes() == kept
    assert not written()
    longest.write_bytes(kept[:-1])
    assert written()
    assert not written()


def test_a_damaged_short_key_is_not_followed(written, folder):
    written()
    short = min(folder.iterdir(), key=lambda file: file.stat().st_size)
    kept = short.read_bytes()
    for damaged in (b"", kept[:-1], kept[:-1] + b"?", kept + b"0"):
        short.write_bytes(damaged)
        assert written()
        assert short.read_bytes() == kept
    assert not written()


def python(code, text="", **variables):
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


LOADING = """
import ctypes, sys
from striderule.codegen import jit, target

def no_emission(*words):
    raise AssertionError("code was emitted")

{before}
made = jit.load("line", sys.stdin.read(), target.host())
x = (ctypes.c_float * 8)(*range(8))
args = (ctypes.c_int64 * 2)(ctypes.addressof(x), ctypes.addressof(x))
ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(made.address)(ctypes.addressof(args), 0, 2)
print(*x)
"""


def test_another_process_loads_without_emitting():
    first = python(LOADING.format(before=""), line(4))
    again = python(LOADING.format(before="jit._emitted = jit._optimised = no_emission"), line(4))
    assert first == again == "0.0 3.0 6.0 9.0 8.0 11.0 14.0 17.0\n"


FORKING = """
import os, sys, threading
from striderule.codegen import jit

text = sys.stdin.read()
jit.compiled("line", "before", lambda: text)
done = threading.Event()

def keep_compiling():
    number = 0
    while not done.is_set():
        number += 1
        jit.compiled("line", number, lambda: text + f"; {number}")

thread = threading.Thread(target=keep_compiling)
thread.start()
for turn in range(10):
    child = os.fork()
    if child == 0:
        jit.compiled("line", ("child", turn), lambda: text + f"; child {turn}")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
done.set()
thread.join()
print("all came back")
"""


@FORK
def test_forks_while_another_thread_compiles():
    assert python(f"import warnings\nwarnings.simplefilter('ignore')\n{FORKING}", line(4)) == "all came back\n"


ABSENT = """
import sys
{how}
from striderule.codegen import jit, target
from striderule.errors import CompilationFailed, CompilerMissing

def built():
    raise AssertionError("nothing is built without a compiler")

for attempt in (target.host, target.current, jit.processor, lambda: target.named("neon"),
                lambda: jit.compiled("line", "key", built), lambda: jit.load("line", "", None)):
    for _ in range(2):
        try:
            attempt()
        except CompilationFailed as error:
            assert isinstance(error, CompilerMissing) and isinstance(error, ImportError)
            print(error)
"""
BROKEN = """
import llvmlite.binding as llvm

def broken(*words):
    raise {error}

llvm.{name} = broken
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("sys.modules['llvmlite'] = None", "llvmlite, which cannot be used: .*llvmlite"),
        ("sys.modules['llvmlite.binding'] = None", "llvmlite, which cannot be used: "),
        (BROKEN.format(name="initialize_native_target", error="OSError('no shared object')"), "no shared object"),
        (BROKEN.format(name="initialize_native_asmprinter", error="RuntimeError('no such')"), "no such"),
        ("import llvmlite.binding as llvm\ndel llvm.create_new_module_pass_manager", "llvmlite, which cannot be used"),
        (
            "import llvmlite.binding as llvm\nllvm.create_new_module_pass_manager = object\n"
            "import llvmlite\nllvmlite.__version__ = '0.44.0'",
            "need llvmlite 0.45 or newer, this is 0.44.0",
        ),
    ],
)
def test_an_absent_compiler_is_one_clear_error(how, said):
    lines = python(ABSENT.format(how=how)).splitlines()
    assert len(lines) == 12
    assert len(set(lines)) == 1
    assert re.search(said, lines[0])


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


ENDING = """
import ctypes, sys, threading
from striderule.codegen import jit, target

made = jit.load("line", sys.stdin.read(), target.host())
args = (ctypes.c_int64 * 2)()
call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(made.address)
running = threading.Thread(target=call, args=(ctypes.addressof(args), 0, 2**62), daemon=True)
running.start()
while not args[1]:  # the routine has begun
    pass
"""
SPIN = """
define void @line(i64* %args, i64 %first, i64 %last) {
entry:
  %place = getelementptr i64, i64* %args, i64 1
  br label %task
task:
  %t = phi i64 [ %first, %entry ], [ %next, %task ]
  %next = add i64 %t, 1
  store volatile i64 %next, i64* %place
  %more = icmp slt i64 %next, %last
  br i1 %more, label %task, label %end
end:
  ret void
}
"""


def test_a_process_ends_while_code_runs():
    assert python(ENDING, SPIN) == ""  # it ends well: see `python`
