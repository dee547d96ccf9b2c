"""What the processor at hand can do: multiply-adds, copied bytes and calls a second, measured with routines.

Each rate is the best of several bursts: whatever else runs can only make one slower. Nothing here runs during a call of
the library.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from striderule.codegen import jit, workers
from striderule.codegen.rates import Rates
from striderule.codegen.target import Target, current
from striderule.codegen.tile import ELEMENTS, FLOAT32, Routine

# The types whose multiply-adds are measured.
TYPES = ("float32", "float64")
# Bursts for one rate, and the least seconds of each.
BURSTS, BURST = 20, 5e-3
# Tasks for each thread: a thread that wakes late then leaves little undone.
SHARES = 16
# Vectors in one turn of the loop that copies.
UNROLLED = 4
# Bytes that are read and as many that are written where no cache holds them.
FAR = 64 << 20


def measure(threads: int | None = None) -> Rates:
    """Measure all rates; takes a second or two.

    Raises
    ------
    CompilationFailed
        If no routines can be made here.
    """
    target, count = current(), threads or workers.get_num_threads()
    return Rates(
        target.name,
        count,
        tuple((dtype, multiply_adds(dtype, count, target)) for dtype in TYPES),
        tuple((some, copied(FAR, some, target)) for some in sorted({1, count})),
        call(count, target),
    )


def multiply_adds(dtype: str, threads: int, target: Target | None = None) -> float:
    """Return the most operations a second of one core while `threads` compute; a multiply-add counts as two."""
    target = target or current()
    # As many independent chains as registers hold beside the operands: the delay of one is hidden behind the others.
    chains = target.registers - 4
    name = f"chains_{dtype}"
    routine = jit.compiled(name, chains, lambda: _chains(name, target, dtype, chains), target)
    lanes, tasks = target.lanes(ELEMENTS[dtype].itemsize), SHARES * threads
    values = np.full((1 + tasks, lanes), 0.5, dtype)

    def run(turns: int) -> None:
        words = np.array([values.ctypes.data, turns], np.int64)
        workers.run(routine.address, words.ctypes.data, tasks, threads)

    return 2 * chains * lanes * tasks / _seconds(run, at_first=1 << 12) / threads


def copied(size: int, threads: int, target: Target | None = None) -> float:
    """Return the most bytes a second that `threads` read and write together, in a copy of `size` bytes."""
    target = target or current()
    routine = jit.compiled("copied", UNROLLED, lambda: _copy("copied", target), target)
    step = UNROLLED * target.lanes(FLOAT32.itemsize)
    tasks = SHARES * threads if size >= 1 << 20 else threads
    block = max(1, size // (FLOAT32.itemsize * tasks * step)) * step
    source, copy = np.ones(block * tasks, np.float32), np.zeros(block * tasks, np.float32)
    words = np.array([source.ctypes.data, copy.ctypes.data, block], np.int64)

    def run(times: int) -> None:
        for _ in range(times):
            workers.run(routine.address, words.ctypes.data, tasks, threads)

    return 2 * source.nbytes / _seconds(run)


def call(threads: int, target: Target | None = None) -> float:
    """Return the seconds of handing a routine that does next to nothing to `threads` threads that are awake."""
    target = target or current()
    routine = jit.compiled("copied", UNROLLED, lambda: _copy("copied", target), target)
    room = np.zeros(2 * UNROLLED * target.lanes(FLOAT32.itemsize), np.float32)
    words = np.array([room.ctypes.data, room.ctypes.data + room.nbytes // 2, 0], np.int64)
    address, where = routine.address, words.ctypes.data

    def run(times: int) -> None:
        for _ in range(times):
            workers.run(address, where, threads, threads)

    return _seconds(run, at_first=100)


def _chains(name: str, target: Target, dtype: str, chains: int) -> str:
    """Return the routine that turns s into s * a + b over and over, for many s at once."""
    r = Routine(name, target, ELEMENTS[dtype], pointers=("values",), sizes=("turns",))
    values = r.pointer("values")
    with r.tasks() as task:
        # Read, so that the compiler does not know them; s comes near b / (1 - a) and stays there.
        a, b = r.load(values), r.load(values)
        sums = [r.register(b) for _ in range(chains)]
        with r.loop(r.size("turns")):
            for total in sums:
                total.set(r.multiply_add(total.value, a, b))
        last = sums[0].value
        for total in sums[1:]:
            last = last + total.value
        r.store(last, values + (task + 1) * r.lanes)
    return r.finish()


def _copy(name: str, target: Target) -> str:
    """Return the routine whose every task copies `block` elements from x to y."""
    r = Routine(name, target, FLOAT32, pointers=("x", "y"), sizes=("block",))
    with r.tasks() as task:
        x, y = r.pointer("x") + task * r.size("block"), r.pointer("y") + task * r.size("block")
        with r.loop(r.size("block"), step=UNROLLED * r.lanes) as i:
            vectors = [r.load(x + i + v * r.lanes) for v in range(UNROLLED)]
            for v, vector in enumerate(vectors):
                r.store(vector, y + i + v * r.lanes)
    return r.finish()


def _seconds(run: Callable[[int], None], at_first: int = 1) -> float:
    """Return the seconds of one of the times that `run` is told to work, in the best of several bursts."""
    times = at_first
    run(times)
    while _timed(run, times) < BURST:
        times *= 2
    return min(_timed(run, times) for _ in range(BURSTS)) / times


def _timed(run: Callable[[int], None], times: int) -> float:
    before = time.perf_counter()
    run(times)
    return time.perf_counter() - before
