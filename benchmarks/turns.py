"""Measuring by turns: every way to compute the same thing runs in short bursts, one after the other, in one process.

So all of them meet the same clock, the same temperature and the same neighbours. The first calls of a burst are not
counted: they pay for cold caches, and for the worker threads of the library before, which spin on for a while: those of
OpenMP for about ten milliseconds, in which they take a core from short calls of others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Seconds of a burst. Of the calls before it that do not count: how many at least, and the part of a burst's time.
BURST, DISCARDED, SETTLING = 0.02, 2, 0.75
# After so many seconds on one row there are no more rounds than the least.
PATIENCE, LEAST_ROUNDS = 10.0, 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a call: the best and the median of all that counted."""

    best: float
    median: float


def take_turns(ways: Mapping[str, Callable[[], Any]], rounds: int, burst: float = BURST) -> dict[str, Timing]:
    """Return the timing of each way after `rounds` bursts of at least `burst` seconds each; fewer of long calls."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    start = time.perf_counter()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.perf_counter() - start > PATIENCE:
            break
        for name, call in ways.items():
            seconds[name] += _one_burst(call, burst)
    return {name: Timing(min(taken), statistics.median(taken)) for name, taken in seconds.items()}


def _one_burst(call: Callable[[], Any], burst: float) -> list[float]:
    start = now = time.perf_counter()
    discarded = 0
    # One long call has seen the workers of the others to sleep.
    while now - start <= burst and (discarded < DISCARDED or now - start < SETTLING * burst):
        call()
        discarded += 1
        now = time.perf_counter()
    taken: list[float] = []
    start = now
    while now - start < burst or not taken:
        call()
        after = time.perf_counter()
        taken.append(after - now)
        now = after
    return taken
