"""Quantiles of more numbers than are held at once: those that `numpy.percentile` gives, to the last bit.

Numbers that are not negative have the order of their bits. So the bits of the number of a rank are found from above,
a few in each round over all numbers: how many have the bits that are known so far, and each of the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Bits that a round finds.
BITS = 16


@dataclass(frozen=True)
class _Known:
    """The first bits of a number, as an integer, and its rank among the numbers that begin with them."""

    bits: int
    rank: int


def quantiles(told: Callable[[], Iterable[Array]], count: int, parts: list[float]) -> list[float]:
    """Return the quantiles, from 0 to 1, of `count` floats of one type, none negative; interpolated linearly.

    Every call of `told` gives all of them, part by part. With a NaN among them all quantiles are NaN.
    """
    # As it is called with percents; numpy.percentile divides again.
    where = (count - 1) * (np.array([100.0 * part for part in parts]) / 100)
    low = np.minimum(np.floor(where), count - 1)
    high = np.minimum(low + 1, count - 1)
    ranks = sorted({int(rank) for rank in (*low, *high)})
    found = _of_ranks(told, ranks)
    if found is None:
        return [math.nan] * len(parts)
    numbers = dict(zip(ranks, found, strict=True))
    below, above = (np.array([numbers[int(rank)] for rank in side]) for side in (low, high))
    share, between = where - low, above - below
    result = np.where(share >= 0.5, above - between * (1 - share), below + between * share)
    return [float(one) for one in result]


def _of_ranks(told: Callable[[], Iterable[Array]], ranks: list[int]) -> Array | None:
    """Return the numbers of these ranks, counted from 0; None if there is a NaN."""
    known, done, width = [_Known(0, rank) for rank in ranks], 0, BITS
    dtype: np.dtype[Any] = np.dtype(np.float64)
    while done < width:
        counts = {one.bits: np.zeros(1 << BITS, np.int64) for one in known}
        for part in told():
            dtype, width = part.dtype, 8 * part.itemsize
            if done == 0 and np.isnan(part).any():
                return None
            keys = np.ascontiguousarray(part).reshape(-1).view(f"u{part.itemsize}")
            for bits in counts:
                some = keys[keys >> keys.dtype.type(width - done) == bits] if done else keys
                following = (some >> keys.dtype.type(width - done - BITS)) & keys.dtype.type((1 << BITS) - 1)
                counts[bits] += np.bincount(following.astype(np.intp), minlength=1 << BITS)
        known = [_narrowed(one, counts[one.bits]) for one in known]
        done += BITS
    return np.array([one.bits for one in known], f"u{dtype.itemsize}").view(dtype)


def _narrowed(one: _Known, counts: Array) -> _Known:
    """Return what is known with the next bits, of which each occurs so often."""
    before = np.cumsum(counts)
    following = int(np.searchsorted(before, one.rank, side="right"))
    return _Known(one.bits << BITS | following, one.rank - int(before[following] - counts[following]))
