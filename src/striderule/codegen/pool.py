"""The pool: native workers that wait for parallel regions, and the call that opens one.

Workers are Python threads only in name: each enters the machine code of `region.py` once and comes back when the pool
is stopped, so that no region waits for the interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from striderule.codegen import region

SPIN_NANOSECONDS = 45_000  # how long an idle worker looks for work before it sleeps; the promise is 50 microseconds
# How many times as long it looks inside a training step, where Python comes between calls that follow each other.
IN_STEPS = 4
_LINE = 128
_WORDS = len(region.FUNCTIONS)
# These come from the thread's own doing, and blocking them would only hide where.
_OWN_SIGNALS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")


class Native:
    """The four functions of a region's machine code: `dispatch`, `serve`, `stop`, `spin`."""

    def __init__(self, processor: str, sleep: str, load: Callable[[str, str], int]) -> None:
        table = (ctypes.c_void_p * _WORDS)()
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
            load(region.NAME, region.text(processor, sleep))
        )(ctypes.addressof(table), 0, 0)
        addresses = dict(zip(region.FUNCTIONS, table, strict=True))
        block, number = ctypes.c_void_p, ctypes.c_int64
        self.dispatch: Callable[..., None] = _function(addresses, "dispatch", block, block, block, number, number)
        self.serve: Callable[[int], None] = _function(addresses, "serve", block)
        self.stop: Callable[[int], None] = _function(addresses, "stop", block)
        self.spin: Callable[[int, int], None] = _function(addresses, "spin", block, number)


def _function(addresses: dict[str, int | None], name: str, *kinds: Any) -> Any:
    address = addresses[name]
    assert address is not None, name
    return ctypes.CFUNCTYPE(None, *kinds)(address)


class Pool:
    """The workers of one process, and the block of memory that they share with their callers.

    `system` holds the addresses of the system's functions (see `system_calls`), `cores` is how many threads can run.
    """

    def __init__(self, native: Native, system: dict[str, int], cores: int) -> None:
        self._native = native
        self._memory = ctypes.create_string_buffer(region.SIZE + _LINE)
        # Never given back: a process that is interrupted while it ends may leave a worker behind that still looks here.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._memory))
        self._block = -(-ctypes.addressof(self._memory) // _LINE) * _LINE
        self._write(region.REST, system["rest"])
        self._write(region.ROUSE, system["rouse"])
        self._cores = cores
        self._spins = self._measured()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._full = False
        self._wished = -1
        self._steps = 0

    def dispatch(self, address: int, args: Any, tasks: int, helpers: int) -> None:
        """Run the tasks on this thread and on up to `helpers` workers; return when all are done."""
        if helpers != self._wished:
            self._prepare(helpers)
        self._native.dispatch(self._block, address, args, tasks, helpers)

    def step(self, change: int) -> None:
        """Count a training step that begins, 1, or ends, -1."""
        with self._lock:
            self._steps += change
            self._tell(self._wished)

    def _tell(self, helpers: int) -> None:
        """Tell the workers how long to look for work; the lock is held."""
        # Where threads take turns on a core, one that spins keeps another from working.
        spins = self._spins * (IN_STEPS if self._steps else 1) if helpers < self._cores else 0
        self._write(region.SPINS, spins)

    def stop(self) -> None:
        """Send the workers home and wait until they are gone. Calls are served by their own thread from now on."""
        with self._lock:
            self._full = True
            self._native.stop(self._block)
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join()
            self._threads.clear()

    def _prepare(self, helpers: int) -> None:
        """Have as many workers, if they can be had; they stay when fewer are wished for."""
        with self._lock:
            self._tell(helpers)
            while len(self._threads) < helpers and not self._full:
                try:
                    name = f"striderule-{len(self._threads) + 1}"
                    thread = threading.Thread(target=self._serve, name=name, daemon=True)
                    self._threads.append(thread)  # first, so that an interrupt cannot leave one behind that is unknown
                    thread.start()
                except RuntimeError:  # the system has no more threads, or the interpreter is going: make do
                    self._full = True
            self._wished = helpers

    def _serve(self) -> None:
        if hasattr(signal, "pthread_sigmask"):  # signals are the business of threads that Python can interrupt
            own = {getattr(signal, name, None) for name in _OWN_SIGNALS}
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - own)
        self._native.serve(self._block)

    def _measured(self) -> int:
        """Return how often a worker may look in SPIN_NANOSECONDS. The length of a pause differs widely by processor."""
        count, best = 500, float("inf")
        for _ in range(5):
            began = time.perf_counter_ns()
            self._native.spin(self._block, count)
            best = min(best, time.perf_counter_ns() - began)
        return int(SPIN_NANOSECONDS * count / max(best, 1))

    def _write(self, offset: int, value: int) -> None:
        ctypes.c_int64.from_address(self._block + offset).value = value


def system_calls() -> tuple[str, dict[str, int]]:
    """Return how threads sleep here (one of `region.SLEEPS`) and the addresses of the system's functions for it."""
    if sys.platform == "win32":
        library = ctypes.WinDLL("kernelbase")
        return "windows", _addresses(library, "WaitOnAddress", "WakeByAddressAll")
    library = ctypes.CDLL(None)
    if sys.platform == "linux":
        return "futex", _addresses(library, "syscall", "syscall")
    with contextlib.suppress(AttributeError):  # macOS 14.4 and newer
        return "darwin", _addresses(library, "os_sync_wait_on_address", "os_sync_wake_by_address_all")
    return "poll", _addresses(library, "usleep", "usleep")


def _addresses(library: Any, rest: str, rouse: str) -> dict[str, int]:
    names = {"rest": rest, "rouse": rouse}
    return {key: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for key, name in names.items()}
