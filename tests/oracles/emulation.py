"""Routines for AArch64 on another machine: kept (`Recorder`), or run by QEMU in user mode (`Emulator`).

Both stand in for the linker and for the workers, so that every function of the library can be called as if this were
an AArch64 machine: `jit.load` gives them a routine's IR, `workers.run` and `workers.alone` the words of a call.
`Emulator` links the object code with a small program (``aarch64.c``), sends it the memory that the words point to, lets
it run the tasks, and writes back the bytes that they changed.
"""

import contextlib
import ctypes
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oracles import anew
from striderule.codegen import entries, jit, target, workers

COMPILER = "aarch64-linux-gnu-gcc"
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
PROGRAM = Path(__file__).with_name("aarch64.c")
PAGE = 4096
# Bytes before and behind a pointer that a routine may touch, as far as they are memory of this process.
REACH = 1 << 20

_ROUTINE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
# The words of a routine as the tile language reads them: the place, its value, and what is made a pointer.
_PLACE = re.compile(r"(%\w+) = getelementptr i64, ptr %a0, i64 (\d+)")
_VALUE = re.compile(r"(%\w+) = load i64, ptr (%\w+)")
_POINTER = re.compile(r"inttoptr i64 (%\w+) to")


def missing():
    """Return why nothing can be emulated here, or None."""
    if sys.platform != "linux":
        return "routines for AArch64 are run by QEMU in user mode, which Linux alone has"
    if not shutil.which(COMPILER):
        return f"there is no {COMPILER} to link routines for AArch64 (Debian: gcc-aarch64-linux-gnu)"
    if not any(map(shutil.which, EMULATORS)):
        return f"there is no {EMULATORS[0]} to run routines for AArch64 (Debian: qemu-user-static)"
    return None


def words_of(text):
    """Return how many words a routine has, and which of them are pointers, from its IR."""
    numbers = {"%a0": 0} | {place: int(number) for place, number in _PLACE.findall(text)}
    values = {value: numbers[place] for value, place in _VALUE.findall(text) if place in numbers}
    pointers = {values[value] for value in _POINTER.findall(text) if value in values}
    return 1 + max(values.values(), default=-1), pointers


def assert_ran(arm, start):
    """Every routine that ran, and there were some, is one of that name."""
    assert arm.ran
    assert all(name.startswith(start) for name in arm.ran)


@dataclass
class Program:
    """A routine that runs in a process of its own."""

    process: subprocess.Popen
    words: int
    pointers: set[int]
    name: str

    def run(self, args, first, last):
        """Run tasks first <= t < last with the words at the address `args`, in three chunks."""
        words = np.ctypeslib.as_array((ctypes.c_int64 * self.words).from_address(args)).copy()
        spans = _spans([int(words[i]) for i in sorted(self.pointers) if words[i]])
        pairs = np.array([self._placed(i, int(word), spans) for i, word in enumerate(words)], np.int64)
        shapes = np.array([(end - start, start % PAGE) for start, end in spans], np.int64)
        head = np.array([len(words), len(spans), first, last, max(1, -(-(last - first) // 3))], np.int64)
        before = [_memory(*span).copy() for span in spans]
        try:
            for part in (head, pairs, shapes, *before):
                self.process.stdin.write(part.tobytes())
            self.process.stdin.flush()
            changed_mode = np.frombuffer(self._answer(8), np.int64)[0]
            after = [np.frombuffer(self._answer(part.nbytes), np.uint8) for part in before]
        except (BrokenPipeError, EOFError):
            code = self.process.wait()
            raise AssertionError(f"{self.name} for AArch64 ended with {code} (-11: touched foreign memory)") from None
        assert not changed_mode, f"{self.name} for AArch64 changed the floating-point mode"
        for span, old, new in zip(spans, before, after, strict=True):
            places = np.flatnonzero(old != new)
            _memory(*span)[places] = new[places]

    def _placed(self, number, word, spans):
        if number not in self.pointers or not word:
            return -1, word
        # One past the end of one piece may be the start of another: the piece that it begins is meant.
        found = [i for i, (start, end) in enumerate(spans) if start <= word < end]
        found += [i for i, (_, end) in enumerate(spans) if word == end]
        return found[0], word - spans[found[0]][0]

    def _answer(self, size):
        answer = self.process.stdout.read(size)
        if len(answer) < size:
            raise EOFError
        return answer


def _memory(start, end):
    if start == end:
        return np.empty(0, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * (end - start)).from_address(start))


def _spans(addresses):
    """Return what may be read within reach of the addresses, as pieces (start, end) that do not meet."""
    mapped = _mapped()
    spans = []
    for address in addresses:
        holding = [(start, end) for start, end in mapped if start <= address < end]
        holding += [(start, end) for start, end in mapped if address == end]
        if not holding:  # a pointer to nothing, which nothing is read from
            spans.append((address, address))
            continue
        start, end = holding[0]
        spans.append((max(start, address - REACH), min(end, address + REACH)))
    merged = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _mapped():
    """Return the memory of this process that can be read and written, as (start, end)."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, mode = line.split()[:2]
        start, end = (int(word, 16) for word in place.split("-"))
        if not mode.startswith("r") or line.endswith(("[vvar]", "[vsyscall]")):
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


class Recorder:
    """An AArch64 machine on paper: it keeps the IR of every routine that it is given, and runs nothing."""

    def __init__(self):
        self.ran = Counter()
        self.routines = {}
        self._places = {}

    @property
    def texts(self):
        """Name and IR of every routine."""
        return list(self.routines)

    def load(self, name, text, machine):
        """Take a routine; at its address is a call of this machine."""
        if (name, text) not in self.routines:
            call = self.made(name, text, machine)
            native = _ROUTINE(call)
            place = ctypes.cast(native, ctypes.c_void_p).value
            self.routines[name, text] = jit.Routine(place, name), native
            self._places[place] = name, call
        return self.routines[name, text][0]

    def made(self, name, text, machine):
        """Return what runs the tasks of a routine."""
        return lambda args, first, last: None

    def run(self, address, args, tasks, threads=None):
        """Run all tasks of a routine at once."""
        name, call = self._places[address]
        self.ran[name] += 1
        if tasks > 0:
            call(args if isinstance(args, int) else ctypes.addressof(args), 0, tasks)

    @contextlib.contextmanager
    def in_place(self, monkeypatch):
        """Let the library take this machine for AArch64."""
        neon = target.named("neon")
        with monkeypatch.context() as changed:
            changed.delenv("STRIDERULE_TARGET", raising=False)
            changed.setattr(target, "available", lambda: (neon,))
            changed.setattr(jit, "load", self.load)
            changed.setattr(jit, "_routines", {})
            changed.setattr(workers, "run", self.run)
            changed.setattr(workers, "alone", self.run)
            changed.setattr(entries, "entry", lambda *_: None)
            anew.forget()
            try:
                yield self
            finally:
                anew.forget()


class Emulator(Recorder):
    """An AArch64 machine that runs what it is given."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self._programs = []
        self._qemu = next(filter(None, map(shutil.which, EMULATORS)))
        self._driver = folder / "driver.o"
        self._compiler("-c", "-O1", "-o", self._driver, PROGRAM)

    def made(self, name, text, machine):
        """Link a routine, and begin its program."""
        stem = self.folder / f"{len(self._programs)}"
        stem.with_suffix(".o").write_bytes(jit.object_code(text, machine))
        # Static and without the mathematical library: a routine that calls it is not linked.
        linked = ("-static", f"-Wl,--defsym=routine={name}", "-o", stem, self._driver, stem.with_suffix(".o"))
        self._compiler(*linked)
        process = subprocess.Popen([self._qemu, stem], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._programs.append(Program(process, *words_of(text), name))
        return self._programs[-1].run

    def close(self):
        """End the programs."""
        for program in self._programs:
            program.process.stdin.close()
            program.process.stdout.close()
            program.process.wait()

    def _compiler(self, *words):
        done = subprocess.run([COMPILER, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
