"""What is found again instead of made anew: code on disk, short keys of structures; and processes of their own."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from oracles.lines import expected, line, run
from striderule.codegen import cache, jit, target

pytestmark = pytest.mark.usefixtures("folder")
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


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


ENDING = """
import ctypes, sys, threading
from striderule.codegen import jit, target

made = jit.load("line", sys.stdin.read(), target.host())
args = (ctypes.c_int64 * 2)()
ctypes.pythonapi.Py_IncRef(ctypes.py_object(args))  # the routine writes there to the very end of the process
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


COMPILING = """
import os, sys, threading, time
from striderule.codegen import jit

text = sys.stdin.read()
jit.compiled("line", "before", lambda: text)
begun = threading.Event()
emit = jit._emitted

def emitted(*words):
    begun.set()
    time.sleep(0.3)
    code = emit(*words)
    os.write(1, b"emitted")
    return code

jit._emitted = emitted
threading.Thread(target=jit.compiled, args=("line", "during", lambda: text + "; during"), daemon=True).start()
begun.wait()
"""


def test_the_end_of_a_process_waits_for_the_compilation_under_way():
    assert python(COMPILING, line(4)) == "emitted"
