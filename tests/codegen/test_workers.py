"""Every task is run exactly once, by whoever; and processes begin, fork and end as if there were no workers."""

import ctypes
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

import striderule as sr
from oracles.processes import process, said
from oracles.tasks import address, counted, met, words
from striderule.codegen import jit, region, target, workers
from striderule.codegen.pool import Native, Pool, system_calls
from striderule.errors import CompilationFailed, CompilerMissing, InvalidArgument, InvalidType

SIZES = (0, 1, 2, 3, 7, 64, 511, 512, 513, 1023, 1024, 1025, 5000)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(autouse=True)
def settings():
    """Put back what tests change; the pool stays."""
    state = workers._state
    kept = vars(state).copy()
    yield state
    vars(state).update(kept)


@pytest.fixture
def unset(settings, monkeypatch):
    """Begin with nothing said."""
    settings.threads, settings.said_by = 0, None
    monkeypatch.delenv("STRIDERULE_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers, "usable_cores", lambda: 6)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("tasks", SIZES)
def test_every_task_is_run_once(tasks, threads):
    assert counted(tasks, threads) == [1] * tasks


def test_every_task_is_run_once_over_and_over():
    draw = random.Random(3)
    for _ in range(3000):
        tasks, threads, length = draw.randint(0, 40), draw.randint(1, 5), draw.choice((1, 1, 100, 2000))
        assert counted(tasks, threads, length) == [1] * tasks
        if draw.random() < 0.03:
            time.sleep(draw.choice((0.00002, 0.0002, 0.001)))


def test_threads_work_at_the_same_time():
    """Two tasks that wait for each other end only if two threads run them: awake, and from sleep."""
    for _ in range(100):
        assert met(2)
    for _ in range(20):
        time.sleep(0.002)
        assert met(3)


@pytest.mark.parametrize("tasks", SIZES)
def test_chunks_are_those_of_the_number_of_tasks(tasks):
    seen = []
    for threads in (1, 2, 5):
        places = (ctypes.c_int64 * max(tasks, 1))()
        workers.run(address("chunk"), words(ctypes.addressof(places)), tasks, threads)
        seen.append(list(places))
    assert seen[0] == seen[1] == seen[2]
    borders = [last for last in seen[0] if last]
    assert borders == sorted(borders)
    assert borders[-1:] == [tasks][:tasks]
    assert len(borders) <= region.CHUNKS


def test_one_task_or_one_thread_stays_on_the_calling_thread(settings):
    settings.pool, settings.threads = None, 8
    assert counted(1) == [1]
    assert settings.pool is None
    assert counted(100, threads=1) == [1] * 100
    assert settings.pool._threads == []


def test_the_workers_compute_in_the_caller_s_floating_point_mode():
    if target.current().name == "neon":
        pytest.skip("reads the mode of x86 processors")
    modes, flush = words(0, 0), 0x8000  # results that are denormal become zero
    plain = words(0x1F80, 0)
    try:
        for mode in (0x1F80 | flush, 0x1F80):
            change = words(mode, 0)
            workers.run(address("set_mode"), change, 1)
            workers.run(address("mode"), words(0, 2, ctypes.addressof(modes)), 2, 2)
            assert [one & ~0x3F for one in modes] == [mode, mode]  # less the flags of what has happened
    finally:
        workers.run(address("set_mode"), plain, 1)


def test_eight_threads_call_at_once():
    failures = []

    def calls(seed):
        draw = random.Random(seed)
        for _ in range(300):
            tasks = draw.randint(0, 60)
            if counted(tasks, draw.randint(1, 4), draw.choice((1, 300))) != [1] * tasks:
                failures.append(tasks)

    callers = [threading.Thread(target=calls, args=(seed,)) for seed in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failures == []


def test_a_call_within_a_task_runs_alone():
    inner = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    def outer(args, first, last):
        inner.append((threading.get_ident(), counted(50, 2)))

    workers.run(ctypes.cast(outer, ctypes.c_void_p).value, 0, 6, 3)
    assert [counts for _, counts in inner] == [[1] * 50] * 6


def test_callers_share_the_threads():
    """A call that begins while another one runs takes a helper less: here none, so that it stays on its thread."""
    begun, inside = words(0, 2), []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    def note(args, first, last):
        inside.append(threading.get_ident())

    # Alone in two tasks of one thread, the first never ends by itself: the second count comes from this thread.
    waiting = threading.Thread(target=workers.run, args=(address("meet"), begun, 2, 1))
    waiting.start()
    while begun[0] < 1:
        time.sleep(0.001)
    workers.run(ctypes.cast(note, ctypes.c_void_p).value, 0, 20, 2)
    begun[0] = 2
    waiting.join()
    assert inside == [threading.get_ident()] * 20


def test_idle_workers_spin_only_where_each_has_a_core(settings, monkeypatch):
    settings.pool = None
    monkeypatch.setattr(workers, "usable_cores", lambda: 3)
    for threads, spinning in ((1, True), (3, True), (4, False), (2, True)):
        counted(8, threads)
        spins = ctypes.c_int64.from_address(settings.pool._block + region.SPINS).value
        assert (spins > 0) == spinning
        assert spins in (0, settings.pool._spins)
    settings.pool.stop()


def test_workers_look_longer_inside_steps(settings):
    settings.pool = None
    counted(8, 1)

    def longer():
        return ctypes.c_int64.from_address(settings.pool._block + region.SPINS).value > settings.pool._spins

    with workers.Step():
        with workers.Step():
            assert longer()
        assert longer()
    assert not longer()
    settings.pool.stop()


@linux
def test_idle_workers_use_no_processor_time():
    assert met(3)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.02


@pytest.mark.parametrize("sleep", ["futex", "poll"])
def test_each_way_to_sleep_that_this_system_has(sleep):
    library = ctypes.CDLL(None)
    if system_calls()[0] != "futex" and sleep == "futex":
        pytest.skip("this system has no futex")
    call = ctypes.cast(library.syscall if sleep == "futex" else library.usleep, ctypes.c_void_p).value
    check_pool(sleep, {"rest": call, "rouse": call})


@pytest.mark.parametrize("sleep", ["windows", "darwin"])
def test_the_ways_of_other_systems_with_stand_ins(sleep):
    """What they are called with is checked; they return at once, as they may."""
    calls = []

    def rest(word, expected, size, end):
        value = ctypes.c_uint32.from_address(expected).value if sleep == "windows" else expected
        calls.append(("rest", size, value, end))
        time.sleep(0.0005)
        return 1

    def rouse(*arguments):
        calls.append(("rouse", *arguments[1:]))
        return 0

    word, number, pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
    expected = pointer if sleep == "windows" else ctypes.c_uint64
    rest = ctypes.CFUNCTYPE(word, pointer, expected, number, word)(rest)
    kinds = (pointer,) if sleep == "windows" else (pointer, number, word)
    rouse = ctypes.CFUNCTYPE(None if sleep == "windows" else word, *kinds)(rouse)
    system = {"rest": ctypes.cast(rest, pointer).value, "rouse": ctypes.cast(rouse, pointer).value}
    check_pool(sleep, system)
    end = -1 if sleep == "windows" else 0
    assert {(call[0], call[1], call[3]) for call in calls if call[0] == "rest"} == {("rest", 4, end)}
    assert {call for call in calls if call[0] == "rouse"} == {("rouse",) if sleep == "windows" else ("rouse", 4, 0)}


def check_pool(sleep, system):
    """Use a pool of its own that sleeps in the given way, awake and from sleep, and stop it."""
    on = target.current()
    processor = "arm" if on.name == "neon" else "x86"
    pool = Pool(Native(processor, sleep, lambda name, text: jit.load(name, text, on).address), system, 2)
    for pause in [0] * 20 + [0.003] * 5:
        time.sleep(pause)
        begun = words(0, 2)
        pool.dispatch(address("meet"), begun, 2, 1)
        assert begun[0] == 2
    threads = list(pool._threads)
    assert len(threads) == 1
    pool.stop()
    assert not threads[0].is_alive()
    counts = (ctypes.c_int64 * 9)()
    pool.dispatch(address("count"), words(ctypes.addressof(counts), 1), 9, 3)  # served by this thread
    assert list(counts) == [1] * 9


@pytest.mark.parametrize("sleep", sorted(region.SLEEPS))
def test_the_code_for_arm_can_be_emitted(sleep):
    emitted = jit.assembly(region.text("arm", sleep), target.named("neon"))
    assert "yield" in emitted
    assert "fpcr" in emitted.lower()
    assert "bl\t__" not in emitted  # atomics are instructions, not calls into a library that may be missing


def test_too_few_threads_are_made_do_with(settings, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    settings.pool = None
    monkeypatch.setattr(threading.Thread, "start", start)
    assert counted(50, 4) == [1] * 50
    assert counted(50, 4) == [1] * 50


def test_without_a_compiler_everything_stays_on_the_calling_thread(settings, monkeypatch):
    def missing(sleep):
        raise CompilerMissing("no llvmlite")

    address("count")
    settings.pool, settings.without = None, False
    monkeypatch.setattr(workers, "_native", missing)
    for tasks in SIZES:
        assert counted(tasks, 4) == [1] * tasks
    assert settings.pool is None


def test_workers_that_cannot_be_made_are_told_once(settings, monkeypatch):
    def broken(sleep):
        raise CompilationFailed("of no use")

    settings.pool, settings.without = None, False
    monkeypatch.setattr(workers, "_native", broken)
    with pytest.warns(RuntimeWarning, match="computing in one thread, for there are no workers to be had: of no use"):
        assert counted(100, 4) == [1] * 100
    assert counted(100, 4) == [1] * 100


# Settings


def test_set_num_threads(unset):
    sr.set_num_threads(3)
    assert sr.get_num_threads() == 3
    assert workers.said_by() == "set_num_threads"
    sr.set_num_threads(np.int64(2))
    assert sr.get_num_threads() == 2


@pytest.mark.parametrize(
    ("n", "kind", "message"),
    [
        (0, InvalidArgument, "n must be at least 1 and at most 1024 threads, got 0"),
        (-2, InvalidArgument, "n must be at least 1 and at most 1024 threads, got -2"),
        (1025, InvalidArgument, "n must be at least 1 and at most 1024 threads, got 1025"),
        (2.0, InvalidType, "n must be a whole number of threads, got 2.0"),
        ("2", InvalidType, "n must be a whole number of threads, got '2'"),
        (True, InvalidType, "n must be a whole number of threads, got True"),
        (None, InvalidType, "n must be a whole number of threads, got None"),
    ],
)
def test_set_num_threads_refuses(unset, n, kind, message):
    with pytest.raises(kind) as caught:
        sr.set_num_threads(n)
    assert str(caught.value) == message
    assert sr.get_num_threads() == 6


@pytest.mark.parametrize(
    ("own", "common", "threads", "said_by"),
    [
        (None, None, 6, None),
        ("", " ", 6, None),
        ("4", "2", 4, "STRIDERULE_NUM_THREADS"),
        ("12", None, 12, "STRIDERULE_NUM_THREADS"),
        (None, "2", 2, "OMP_NUM_THREADS"),
        (None, "1", 1, "OMP_NUM_THREADS"),
        (None, " 3 , 2", 3, "OMP_NUM_THREADS"),
        (None, "64", 6, "OMP_NUM_THREADS"),
        (None, "0", 6, None),
        (None, "many", 6, None),
    ],
)
def test_variables(unset, monkeypatch, own, common, threads, said_by):
    for name, value in (("STRIDERULE_NUM_THREADS", own), ("OMP_NUM_THREADS", common)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert sr.get_num_threads() == threads
    assert workers.said_by() == said_by


@pytest.mark.parametrize("value", ["0", "-1", "many", "2.5", "1025"])
def test_a_wrong_variable_is_refused(unset, monkeypatch, value):
    monkeypatch.setenv("STRIDERULE_NUM_THREADS", value)
    with pytest.raises(InvalidArgument) as caught:
        sr.get_num_threads()
    rule = "must be a whole number of threads from 1 to 1024"
    assert str(caught.value) == f"STRIDERULE_NUM_THREADS {rule}, got {value!r}; unset it to use every core"


# Processes

START = """
import os, signal, sys, threading, time
from oracles.tasks import address, counted, met, tasks_of_process, words
from striderule.codegen import workers
import striderule as sr
"""


def started(code, **variables):
    """Return a process that runs the code behind what all of them begin with."""
    return process(START + code, **variables)


@pytest.mark.parametrize("pause", ["", "time.sleep(0.01)"])
def test_a_process_ends_while_workers_spin_or_sleep(pause):
    code = f"print(met(4))\n{pause}"
    assert [said(started(code)) for _ in range(3)] == [["True"]] * 3


def test_a_process_ends_while_another_thread_calls():
    code = "def calls():\n    while True: counted(40, 3, 1000)\n"
    code += "threading.Thread(target=calls, daemon=True).start()\ntime.sleep(0.05)\nprint('end')"
    assert [said(started(code)) for _ in range(3)] == [["end"]] * 3


def test_calls_while_the_interpreter_ends_are_served():
    code = "import atexit\natexit.unregister(workers._stop)\n"
    code += "atexit.register(lambda: print(counted(9, 2)))\natexit.register(workers._stop)\nprint(met(2))"
    assert said(started(code)) == ["True", str([1] * 9)]


@linux
def test_no_more_threads_than_wanted():
    code = "before = tasks_of_process()\ncounted(50)\nprint(tasks_of_process() - before)\n"
    code += "sr.set_num_threads(5)\ncounted(50)\nprint(tasks_of_process() - before)"
    assert said(started(code, STRIDERULE_NUM_THREADS="3")) == ["2", "4"]
    assert said(started(code, STRIDERULE_NUM_THREADS="", OMP_NUM_THREADS="1")) == ["0", "4"]
    assert said(started("met(1)\nprint(workers._state.pool)", STRIDERULE_NUM_THREADS="4")) == ["None"]


@forks
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_has_workers_of_its_own(busy):
    code = "sr.set_num_threads(3)\nassert met(3)\n"
    if busy:
        code += "def calls():\n    while True: counted(40, 3, 1000)\n"
        code += "threading.Thread(target=calls, daemon=True).start()\n"
    code += """
for _ in range(10):
    child = os.fork()
    if not child:
        signal.alarm(20)
        sys.exit(0 if sr.get_num_threads() == 3 and met(3) and counted(99) == [1] * 99 else 1)
    print(os.waitpid(child, 0)[1])
assert counted(99) == [1] * 99
"""
    assert said(started(code)) == ["0"] * 10


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(method):
    if sys.platform == "win32" and method != "spawn":
        pytest.skip("Windows only spawns")
    code = "import multiprocessing\nassert met(2)\n"
    code += f"with multiprocessing.get_context({method!r}).Pool(2) as children:\n"
    code += "    print(*children.starmap(counted, [(5, 2)] * 4))"
    assert said(started(code)) == [" ".join([str([1] * 5)] * 4)]


@forks
def test_control_c_is_answered_after_the_call():
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
counted(2, 2)
try:
    print("call", flush=True)
    while True:
        whole = False
        whole = counted(64, 2, 4_000_000) == [1] * 64
except KeyboardInterrupt:
    print("interrupted", counted(64, 2) == [1] * 64, met(2))
"""
    running = started(code)
    assert running.stdout.readline() == "call\n"
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    assert said(running) == ["interrupted True True"]
