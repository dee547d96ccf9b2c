"""Routines with tasks that tell what became of them, for the tests of the workers."""

import ctypes
import functools
from pathlib import Path

from striderule.codegen import jit, target, workers

# counts[task] += 1, then look at a word `length` times. Words: counts, length.
COUNT = """
define void @count(ptr %args, i64 %first, i64 %last) {
entry:
  %counts = load ptr, ptr %args
  %length.at = getelementptr i64, ptr %args, i64 1
  %length = load i64, ptr %length.at
  br label %task
task:
  %t = phi i64 [ %first, %entry ], [ %next, %done ]
  %place = getelementptr i64, ptr %counts, i64 %t
  %old = atomicrmw add ptr %place, i64 1 monotonic
  br label %look
look:
  %i = phi i64 [ 0, %task ], [ %j, %look ]
  %j = add i64 %i, 1
  %seen = load volatile i64, ptr %length.at
  %more = icmp slt i64 %j, %length
  br i1 %more, label %look, label %done
done:
  %next = add i64 %t, 1
  %some = icmp slt i64 %next, %last
  br i1 %some, label %task, label %end
end:
  ret void
}
"""

# Every task waits until `awaited` of them have begun, so that it takes as many threads. Words: begun, awaited.
MEET = """
define void @meet(ptr %args, i64 %first, i64 %last) {
entry:
  %awaited.at = getelementptr i64, ptr %args, i64 1
  %awaited = load i64, ptr %awaited.at
  %old = atomicrmw add ptr %args, i64 1 acq_rel
  br label %look
look:
  %begun = load atomic i64, ptr %args acquire, align 8
  %enough = icmp sge i64 %begun, %awaited
  br i1 %enough, label %end, label %look
end:
  ret void
}
"""

# places[first] = last, where the chunk begins. Words: places.
CHUNK = """
define void @chunk(ptr %args, i64 %first, i64 %last) {
  %places = load ptr, ptr %args
  %place = getelementptr i64, ptr %places, i64 %first
  store i64 %last, ptr %place
  ret void
}
"""

# Like `meet`, and modes[first] = the floating-point mode (x86). Words: begun, awaited, modes.
MODE = """
declare void @llvm.x86.sse.stmxcsr(ptr)
define void @mode(ptr %args, i64 %first, i64 %last) {
entry:
  %modes.at = getelementptr ptr, ptr %args, i64 2
  %modes = load ptr, ptr %modes.at
  %place = getelementptr i64, ptr %modes, i64 %first
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %awaited.at = getelementptr i64, ptr %args, i64 1
  %awaited = load i64, ptr %awaited.at
  %old = atomicrmw add ptr %args, i64 1 acq_rel
  br label %look
look:
  %begun = load atomic i64, ptr %args acquire, align 8
  %enough = icmp sge i64 %begun, %awaited
  br i1 %enough, label %end, label %look
end:
  ret void
}
"""

# Sets the floating-point mode (x86) to the first word, and the second word to what it was.
SET_MODE = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define void @set_mode(ptr %args, i64 %first, i64 %last) {
  %old = getelementptr i64, ptr %args, i64 1
  call void @llvm.x86.sse.stmxcsr(ptr %old)
  call void @llvm.x86.sse.ldmxcsr(ptr %args)
  ret void
}
"""
TEXTS = {"count": COUNT, "meet": MEET, "chunk": CHUNK, "mode": MODE, "set_mode": SET_MODE}


@functools.cache
def address(name):
    return jit.load(name, TEXTS[name], target.current()).address


def words(*values):
    return (ctypes.c_int64 * len(values))(*values)


def counted(tasks, threads=None, length=1):
    """Run `tasks` tasks and return how often each was run."""
    counts = (ctypes.c_int64 * max(tasks, 1))()
    workers.run(address("count"), words(ctypes.addressof(counts), length), tasks, threads)
    return list(counts)[:tasks]


def met(threads):
    """Return when as many threads have met; never, if they cannot be had."""
    begun = words(0, threads)
    workers.run(address("meet"), begun, threads, threads)
    return begun[0] == threads


def tasks_of_process():
    """Return how many native threads this process has (Linux)."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())
