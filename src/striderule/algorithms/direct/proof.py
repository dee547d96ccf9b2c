"""Generated code on processors and systems where no test has run it: each structure is tried once, at first use.

The tests force every routine on the targets of `PROVED`, under Linux. Elsewhere a routine might be translated wrongly,
or called otherwise than it was written for. There `compiled` lets a small drawn problem be computed by the routine and
by NumPy before anything else; where they differ the structure is refused, and its callers give way to `windows`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.direct import giving_way
from striderule.codegen import jit, sources
from striderule.codegen.target import Target
from striderule.errors import CompilationFailed

Array = npt.NDArray[Any]

# The targets whose code the tests have run and compared (neon under emulation; amx is avx512 but for its tiles, which
# are tried everywhere), and the systems that they ran on.
PROVED = ("amx", "avx512", "avx2", "sse2", "neon")
SYSTEMS = ("linux",)
# Units in the last place, of the largest result, by which results may differ: what sums of small integers and functions
# of NumPy's and ours differ by is far less, and what a wrong instruction does is far more.
UNITS = 64

_found: dict[Hashable, bool] = {}
_trials: set[Hashable] = set()
# Reentrant, since a trial calls what asks for the routine again.
_lock = threading.RLock()


def is_proved(target: Target) -> bool:
    """Tell whether tests have run code for a target, on its system."""
    return target.name in PROVED and any(system in target.triple for system in SYSTEMS)


def compiled(
    name: str,
    key: Hashable,
    build: Callable[[], str],
    target: Target,
    trial: Callable[[], bool],
    *,
    always: bool = False,
) -> jit.Routine:
    """Return the routine that `striderule.codegen.jit.compiled` makes, tried where no test has run code for the target.

    Parameters
    ----------
    name, key, build, target
        As for `striderule.codegen.jit.compiled`.
    trial
        Computes a small problem by this structure and by NumPy, and tells whether they agree: see `agree`. Called once
        for every structure, and on proved targets never. It may ask for the same routine, and gets it.
    always
        Try it on proved targets, too: for instructions that no test has run.

    Raises
    ------
    CompilationFailed
        There is no such code, or it computed something else than NumPy.
    """
    routine = jit.compiled(name, key, build, target, sources.digest)
    if (always or not is_proved(target)) and not _holds((name, key, target), trial):
        where = f"{target.name} ({target.triple})"
        raise CompilationFailed(f"routine {name} gives other results than NumPy on {where}, where no test has run it")
    return routine


def agree(function: Callable[..., Any], twin: Callable[..., Any], *args: Any, **words: Any) -> bool:
    """Return whether two functions give the same results, to rounding, for drawn values in the place of all arrays.

    The drawn arrays have the shapes, types and strides of the given ones, and hold small integers, of which sums of
    products are exact in any order.
    """
    rng = np.random.default_rng(0)
    drawn = [_like(value, rng) if isinstance(value, np.ndarray) else value for value in args]
    named = {key: _like(value, rng) if isinstance(value, np.ndarray) else value for key, value in words.items()}
    with np.errstate(all="ignore"):
        results = (function(*drawn, **named), twin(*drawn, **named))
        pairs = zip(*(each if isinstance(each, tuple) else (each,) for each in results), strict=True)
        return all(_close(got, expected) for got, expected in pairs)


def forget() -> None:
    """Forget all trials, so that each structure is tried anew."""
    with _lock:
        _found.clear()


def _holds(entry: Hashable, trial: Callable[[], bool]) -> bool:
    if entry not in _found:
        with _lock:
            if entry in _trials:
                return True
            if entry not in _found:
                _trials.add(entry)
                refused = _refused()
                try:
                    good = trial()
                finally:
                    _trials.discard(entry)
                if not good:
                    _forget_calls()
                elif _refused() != refused:
                    # Another structure was refused on the way, so NumPy was compared with itself: try again next time.
                    return True
                _found[entry] = good
    return _found[entry]


def _forget_calls() -> None:
    """Let algorithms forget the calls that they keep: a trial has left some with the routine that is now refused."""
    for name, module in list(sys.modules.items()):
        if name.startswith("striderule.algorithms.") and module is not giving_way:
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def _refused() -> int:
    return sum(not good for good in _found.values())


def _like(array: Array, rng: np.random.Generator) -> Array:
    """Return small integers in an array of the same shape, type and strides."""
    reach = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)] if array.size else []
    room = np.zeros(sum(map(abs, reach)) + array.itemsize, np.uint8)
    start = -sum(step for step in reach if step < 0)
    result: Array = np.ndarray(array.shape, array.dtype, room.data, start, array.strides)
    lowest = 0 if array.dtype.kind in "ub" else -4
    result[...] = rng.integers(lowest, 2 if array.dtype.kind == "b" else 5, array.shape)
    return result


def _close(got: Array, expected: Array) -> bool:
    if got.shape != expected.shape or got.dtype.kind != expected.dtype.kind:
        return False
    if got.dtype.kind in "iub":
        return got.dtype == expected.dtype and bool((got == expected).all())
    # NumPy may leave it to the caller to round results to the type that is wanted.
    expected = expected.astype(got.dtype)
    # What is no float of NumPy's is bfloat16, with seven bits of fraction.
    unit = float(np.finfo(got.dtype).eps) if got.dtype.kind in "fc" else 2.0**-7
    got, expected = (each.astype(np.result_type(each.dtype, np.float64)) for each in (got, expected))
    size = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    return bool(np.allclose(got, expected, rtol=0, atol=UNITS * unit * size, equal_nan=True))


def _new_lock() -> None:
    """Start anew in a forked child, where another thread's trial would never end."""
    global _lock  # noqa: PLW0603 - the one lock of this module
    _lock = threading.RLock()
    _trials.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
