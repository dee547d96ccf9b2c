"""What the machine can do at most, measured: the limit that every row is a share of."""

from __future__ import annotations

import bisect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log

import numpy as np

from benchmarks.shapes import Shape
from benchmarks.turns import take_turns
from striderule.codegen import probe, workers
from striderule.errors import CompilationFailed

# Bytes of the copies that are measured, of those read: from what the caches of the cores hold to what none does.
SIZES = tuple(1 << n for n in (17, 19, 21, 23, 26))


@dataclass(frozen=True, slots=True)
class Limits:
    """Operations a second by type (a multiply-add is two), and bytes a second in copies by bytes read and written.

    All of them with as many threads as the benchmark gives.
    """

    threads: int
    operations: dict[str, float]
    copies: tuple[tuple[int, float], ...]

    @classmethod
    def measure(cls, sizes: tuple[int, ...] = SIZES) -> Limits:
        """Measure with routines of the library's own, and with NumPy, and take the better of each."""
        threads = workers.get_num_threads()
        operations = {dtype: _products(dtype) for dtype in probe.TYPES}
        copies = {2 * size: _copied(size, threads) for size in sizes}
        try:
            for dtype in probe.TYPES:
                operations[dtype] = max(operations[dtype], threads * probe.multiply_adds(dtype, threads))
            for size in sizes:
                copies[2 * size] = max(copies[2 * size], probe.copied(size, threads))
        except CompilationFailed:
            pass  # NumPy's rates are what is left
        return cls(threads, operations, tuple(sorted(copies.items())))

    def better(self, other: Limits) -> Limits:
        """Return the better of each rate of two measurements: whatever else ran made one slower."""
        copies = dict(other.copies)
        return Limits(
            self.threads,
            {dtype: max(rate, other.operations[dtype]) for dtype, rate in self.operations.items()},
            tuple((size, max(rate, copies[size])) for size, rate in self.copies),
        )

    def bandwidth(self, moved: int) -> float:
        """Return the bytes a second of a copy that moves so many: between two that were measured, by their logarithms.

        >>> round(Limits(1, {}, ((100, 8.0), (10_000, 4.0))).bandwidth(1000), 3)
        6.0
        """
        sizes = [size for size, _ in self.copies]
        after = min(max(bisect.bisect_left(sizes, moved), 1), len(sizes) - 1)
        (small, first), (large, last) = self.copies[after - 1], self.copies[after]
        part = (log(max(moved, 1)) - log(small)) / (log(large) - log(small))
        return first + (last - first) * min(max(part, 0.0), 1.0)

    def seconds(self, shape: Shape) -> float:
        """Return the least time that work of this size takes; for integers that of moving it."""
        moved = shape.least_bytes / self.bandwidth(shape.least_bytes)
        rate = self.operations.get(shape.dtypes[0])
        return max(moved, 2 * shape.multiply_adds / rate) if rate else moved


def _products(dtype: str) -> float:
    """Return the operations a second of a large matrix product."""
    a = np.random.default_rng(0).random((1024, 1024)).astype(dtype)
    product = np.empty_like(a)
    timing = take_turns({"product": lambda: np.matmul(a, a, out=product)}, rounds=3)
    return float(2 * 1024**3 / timing["product"].best)


def _copied(size: int, threads: int) -> float:
    """Return the bytes that NumPy reads and writes a second with so many threads, each its part."""
    source = np.ones((threads, size // (4 * threads)), np.float32)
    target = np.ones_like(source)
    with ThreadPoolExecutor(threads) as pool:
        timing = take_turns({"copy": lambda: list(pool.map(np.copyto, target, source))}, rounds=2)
    return 2 * source.nbytes / timing["copy"].best
