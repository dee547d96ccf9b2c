"""Every public operation in processes that fork, spawn, are interrupted, or have no compiler."""

import os
import signal
import sys
import time

import pytest

pytest.importorskip("llvmlite")

from oracles.processes import process, said

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@posix
@pytest.mark.parametrize("new", [False, True], ids=["routines at hand", "routines made in the child"])
def test_a_forked_child_computes_the_same(new):
    code = f"""
import os, signal
import striderule as sr
from oracles import anew
from oracles.trust import ENTRIES, FEW, answers, unlike
from striderule.codegen import jit
sr.set_num_threads(3)
numbers = FEW[::2] if {new} else range(len(ENTRIES))
expected = answers(numbers=numbers)
for _ in range(3):
    child = os.fork()
    if not child:
        signal.alarm(60)
        if {new}:
            jit._routines.clear()
            anew.forget()
        found = unlike(answers(numbers=numbers), expected, numbers)
        os.write(1, f"{{found}}\\n".encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print(unlike(answers(numbers=numbers), expected, numbers))
"""
    assert said(process(code, **({"STRIDERULE_CACHE": "0"} if new else {}))) == ["[]"] * 4


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_children_compute_the_same(method):
    if sys.platform == "win32" and method != "spawn":
        pytest.skip("Windows only spawns")
    code = f"""
import multiprocessing
from oracles.trust import FEW, answers, unlike
if __name__ == "__main__":
    expected = answers(numbers=FEW)
    with multiprocessing.get_context({method!r}).Pool(2) as children:
        for found in children.starmap(answers, [("generated", FEW)] * 2, 1):
            print(unlike(found, expected, FEW))
"""
    assert said(process(code)) == ["[]"] * 2


@posix
def test_control_c_between_and_within_calls():
    code = """
import signal
from oracles.trust import answers, unlike
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
expected = answers()
for _ in range(5):
    try:
        print("calls", flush=True)
        while True:
            answers()
    except KeyboardInterrupt:
        print(unlike(answers(), expected), flush=True)
"""
    running = process(code)
    for _ in range(5):
        assert running.stdout.readline() == "calls\n"
        time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "[]\n"
    assert said(running) == []


WITHOUT = {
    "llvmlite is absent": "sys.modules['llvmlite'] = None",
    "llvmlite is broken": "import llvmlite.binding as llvm; del llvm.create_new_module_pass_manager",
    "an unknown processor": "from striderule.codegen import jit\n"
    "jit.processor = lambda: ('riscv64-unknown-linux-gnu', frozenset({'v'}))",
}


@pytest.mark.parametrize("how", WITHOUT.values(), ids=WITHOUT)
def test_without_code_everything_runs_on_numpy_with_one_warning(how):
    code = f"""
import sys, warnings
{how}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from oracles.trust import answers, unlike
    expected = answers("windows")
    for _ in range(2):
        print(unlike(answers(None), expected))
        print(unlike(answers(), expected))
print(len(caught), *(warning.message for warning in caught))
"""
    *found, warned = said(process(code))
    assert found == ["[]"] * 4
    assert warned.startswith("1 ")
    assert "NumPy" in warned


@pytest.mark.parametrize("call", ["conv2d(a, a)", "conv2d(a, a, algorithm=None, groups=1)"])
def test_a_single_call_without_code_warns_once(call):
    code = f"""
import sys, warnings
sys.modules["llvmlite"] = None
import numpy as np
import striderule as sr
a = np.ones((9, 9), np.float32)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        sr.{call}
print(len(caught))
"""
    assert said(process(code)) == ["1"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_over_thousands_of_calls():
    """Shapes that never come back: after the first thousands, which fill what is kept of plans and memory, no more."""
    code = """
import os, random
import striderule as sr
from pathlib import Path
from functional.operations import drawn
draw = random.Random(5)
whole = drawn(1, 8, 160, 160)
weights = [drawn(8, 8, 3, 3), drawn(16, 8, 1, 1)]
calls = [
    lambda x: sr.conv2d(x, weights[0], padding=1, algorithm="direct"),
    lambda x: sr.conv2d(x, weights[1]),
    lambda x: sr.depthwise_conv2d(x, weights[0][:, :1], padding=1),
    lambda x: sr.max_pool2d(x, 2),
    sr.gelu,
    lambda x: sr.softmax(x, 1),
]

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

for turn in range(4_800):
    size = [draw.randint(4, 40 if turn % 50 else 160) for _ in range(2)]
    calls[turn % len(calls)](whole[:, :, :size[0], :size[1]])
    if turn == 3_200:  # each function keeps 512 kinds of calls, and the planner 1,024 schedules: they are full now
        before = resident()
print((resident() - before) >> 20)
"""
    (grown,) = said(process(code, STRIDERULE_NUM_THREADS="2"))
    assert int(grown) < 4  # MiB, of 1,600 calls: two and a half KiB a call
