"""Measuring by turns: every way to compute the same thing runs in short bursts, one after the other, in one process.

So all of them meet the same clock, the same temperature and the same neighbours. The first calls of a burst are not
counted: they pay for cold caches, and for the worker threads of the library before, which spin on for a while.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BURST = 0.02
DISCARDED = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a call: the best and the median of all that counted."""

    best: float
    median: float


def take_turns(ways: Mapping[str, Callable[[], Any]], rounds: int, burst: float = BURST) -> dict[str, Timing]:
    """Return the timing of each way after `rounds` bursts of at least `burst` seconds each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, call in ways.items():
            seconds[name] += _one_burst(call, burst)
    return {name: Timing(min(taken), statistics.median(taken)) for name, taken in seconds.items()}


def _one_burst(call: Callable[[], Any], burst: float) -> list[float]:
    for _ in range(DISCARDED):
        call()
    taken: list[float] = []
    start = now = time.perf_counter()
    while now - start < burst or not taken:
        call()
        after = time.perf_counter()
        taken.append(after - now)
        now = after
    return taken


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine can do at most: multiply-adds and copied bytes (read and written) a second, in float32."""

    multiply_adds: float
    bytes: float

    @classmethod
    def measure(cls) -> Limits:
        """Measure both with NumPy: a large matrix product, and a copy that no cache holds."""
        a = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
        product = np.empty_like(a)
        source = np.ones(1 << 24, np.float32)
        target = np.ones_like(source)
        ways = {"product": lambda: np.matmul(a, a, out=product), "copy": lambda: np.copyto(target, source)}
        timing = take_turns(ways, rounds=3)
        return cls(1024**3 / timing["product"].best, 2 * source.nbytes / timing["copy"].best)

    def seconds(self, multiply_adds: int, elements: int) -> float:
        """Return the least time that work of this size takes."""
        return max(multiply_adds / self.multiply_adds, 4 * elements / self.bytes)
