"""Threads: how many may compute, and the call that spreads the tasks of a routine over them.

A call uses up to `get_num_threads` threads: its own, and native workers that spin for at most 50 microseconds after a
region (200 inside a training step) and then sleep. Who computes which task is left to chance; the tasks, and the chunks
in which they are handed out, are the same for any number of threads, so the results are too.

Callers from several threads share: the workers serve one call at a time, a call that finds them taken runs alone, and
a call that begins while n others are running takes n helpers less. Thread pools that call from every core (Dask,
joblib's and concurrent.futures' threads) therefore get one thread each without being told. Process pools say what they
want in OMP_NUM_THREADS, as joblib and Dask do.

A call cannot be interrupted while it computes: Control-C is answered when it has returned.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import operator
import os
import threading
import warnings
from typing import Any

from striderule.codegen.pool import Native, Pool, system_calls
from striderule.codegen.region import CHUNKS
from striderule.errors import CompilationFailed, CompilerMissing, InvalidArgument, InvalidType

MOST_THREADS = 1024
_ROUTINE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def set_num_threads(n: int) -> None:
    """Set how many threads one call may use, from now on and in all of this process.

    Parameters
    ----------
    n : int
        At least 1 and at most 1024. 1 computes in the calling thread alone. It outranks the environment variables
        ``STRIDERULE_NUM_THREADS`` and ``OMP_NUM_THREADS``.

    Raises
    ------
    InvalidArgument, InvalidType
        If n is out of range or no whole number.

    Notes
    -----
    Results do not depend on it, to the last bit. Calls from several Python threads share: one that begins while n
    others compute takes n threads fewer, at least its own. Worker processes of joblib and Dask set
    ``OMP_NUM_THREADS``, which is heeded. The threads of NumPy's matrix products are NumPy's own business.

    Examples
    --------
    >>> import striderule as sr
    >>> before = sr.get_num_threads()
    >>> sr.set_num_threads(1)
    >>> sr.get_num_threads()
    1
    >>> sr.set_num_threads(before)
    """
    if isinstance(n, bool) or not hasattr(type(n), "__index__"):
        raise InvalidType(f"n must be a whole number of threads, got {n!r}")
    count = operator.index(n)
    if not 1 <= count <= MOST_THREADS:
        raise InvalidArgument(f"n must be at least 1 and at most {MOST_THREADS} threads, got {count}")
    _state.threads, _state.said_by = count, "set_num_threads"


def get_num_threads() -> int:
    """Return how many threads one call may use.

    Returns
    -------
    int
        What `set_num_threads` said last; else ``STRIDERULE_NUM_THREADS``; else ``OMP_NUM_THREADS``, but not more than
        the cores that this process may run on; else all of these. The variables are read at first use.

    Raises
    ------
    InvalidArgument
        If ``STRIDERULE_NUM_THREADS`` is not a whole number from 1 to 1024.

    Examples
    --------
    >>> import striderule as sr
    >>> sr.get_num_threads() >= 1
    True
    """
    return _state.threads or _from_environment()


def said_by() -> str | None:
    """Return what decided the number of threads: a variable's name, "set_num_threads", or None for the cores."""
    get_num_threads()
    return _state.said_by


def usable_cores() -> int:
    """Return how many logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(address: int, args: Any, tasks: int, threads: int | None = None) -> None:
    """Run all tasks of a routine, on this thread and on workers, and return when they are done.

    Parameters
    ----------
    address : int
        Of machine code ``void f(int64 *args, int64 first, int64 last)``, which runs the tasks first <= t < last. Tasks
        are independent of one another, and f is called by several threads at once.
    args : int or ctypes array
        The routine's words, passed on as they are: the array, or its address.
    tasks : int
        How many there are; none is fine. One never leaves this thread.
    threads : int, optional
        At most so many threads instead of `get_num_threads`.
    """
    if tasks == 1:
        _routine(address)(args, 0, 1)
        return
    helpers = (threads or _state.threads or _from_environment()) - 1
    pool = _state.pool or _make_pool()
    if pool:
        pool.dispatch(address, args, tasks, helpers)
        return
    chunk = -(-tasks // CHUNKS)
    for first in range(0, tasks, chunk or 1):
        _routine(address)(args, first, min(first + chunk, tasks))


def alone(address: int, args: Any, tasks: int) -> None:
    """Run all tasks of a routine on this thread, in one chunk: for tasks that share nothing, and are soon done."""
    _routine(address)(args, 0, tasks)


class Step:
    """``with Step():`` around calls that follow each other: workers look for work longer between them."""

    __slots__ = ("_pool",)

    def __enter__(self) -> None:
        self._pool = _state.pool
        if self._pool:
            self._pool.step(1)

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.step(-1)


class _State:
    """What this process knows: the number of threads and who said so, and the pool once it is made."""

    def __init__(self) -> None:
        self.threads, self.said_by = 0, None  # type: int, str | None
        self.pool: Pool | None = None
        self.without = False  # there is no machine code to be had, or the interpreter is going
        self.lock = threading.Lock()


_state = _State()
_routine = functools.lru_cache(maxsize=256)(_ROUTINE)


def _from_environment() -> int:
    """Read the number of threads from the variables or the cores, and keep it."""
    usable = usable_cores()
    own, common = (os.environ.get(name, "").strip() for name in ("STRIDERULE_NUM_THREADS", "OMP_NUM_THREADS"))
    first = common.partition(",")[0].strip()  # OpenMP allows a number for each level of nesting
    if own:
        if not own.isdecimal() or not 1 <= int(own) <= MOST_THREADS:
            rule = f"must be a whole number of threads from 1 to {MOST_THREADS}"
            raise InvalidArgument(f"STRIDERULE_NUM_THREADS {rule}, got {own!r}; unset it to use every core")
        _state.threads, _state.said_by = int(own), "STRIDERULE_NUM_THREADS"
    elif first.isdecimal() and int(first) > 0:
        _state.threads, _state.said_by = min(int(first), usable), "OMP_NUM_THREADS"
    else:
        _state.threads, _state.said_by = min(usable, MOST_THREADS), None
    return _state.threads


def _make_pool() -> Pool | None:
    """Return the pool, made now if it can be. It has no threads until a call wants some."""
    with _state.lock:
        if _state.pool or _state.without:
            return _state.pool
        try:
            sleep, functions = system_calls()
            _state.pool = Pool(_native(sleep), functions, usable_cores())
        except CompilerMissing:
            _state.without = True  # whoever made a routine without a compiler knows
        except (CompilationFailed, OSError, AttributeError) as error:
            _state.without = True
            warnings.warn(f"computing in one thread, for there are no workers to be had: {error}", RuntimeWarning, 3)
        return _state.pool


@functools.cache
def _native(sleep: str) -> Native:
    from striderule.codegen import jit, target  # noqa: PLC0415 - llvmlite is imported when it is needed

    wanted = target.current()
    processor = "arm" if wanted.name == "neon" else "x86"
    return Native(processor, sleep, lambda name, text: jit.load(name, text, wanted).address)


def _stop() -> None:
    """End the workers before the interpreter ends, and frees the code that they are in."""
    with _state.lock:
        pool, _state.pool, _state.without = _state.pool, None, True
    if pool:
        pool.stop()


def _forget() -> None:
    """Start anew in a forked child: the parent's workers did not come along, and its locks may be held."""
    _state.pool, _state.lock = None, threading.Lock()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
