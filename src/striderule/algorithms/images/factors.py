"""Kernels taken apart into outer products."""

from __future__ import annotations

from functools import lru_cache, reduce
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.images.terms import Terms

Array = npt.NDArray[Any]

# Kernels with an axis longer than this are tried as a single outer product alone: singular values would take long.
LONGEST = 128
# Bytes of a kernel whose parts are kept for the next call.
KEPT = 1 << 17


def profiles_of(kernel: Array) -> list[Array]:
    """Return one profile an axis whose outer product is the kernel, if it is one: those through its largest tap.

    Those of integers are integers where the kernel is their product.

    >>> [profile.tolist() for profile in profiles_of(np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]))]
    [[1, 2, 1], [1, 0, -1]]
    """
    peak = np.unravel_index(np.argmax(np.abs(kernel)), kernel.shape)
    fibres = []
    for axis in range(kernel.ndim):
        where: list[Any] = list(peak)
        where[axis] = slice(None)
        fibres.append(kernel[tuple(where)])
    if kernel.dtype.kind in "biu":
        return _whole_profiles([fibre.astype(np.int64) for fibre in fibres], [int(at) for at in peak])
    found = [fibre / kernel[peak] for fibre in fibres[:-1]]
    return [*found, fibres[-1].copy()]


def _whole_profiles(fibres: list[Array], peak: list[int]) -> list[Array]:
    """Return each fibre without the common divisor of its taps, and the last with what that leaves."""
    value, found = int(fibres[-1][peak[-1]]), []
    for fibre, at in zip(fibres[:-1], peak[:-1], strict=True):
        divisor = reduce(gcd, (int(tap) for tap in fibre)) or 1
        divisor = divisor if fibre[at] > 0 else -divisor
        found.append(fibre // divisor)
    scale = 1
    for profile, at in zip(found, peak[:-1], strict=True):
        scale *= int(profile[at])
    last = fibres[-1]
    if scale and value % scale == 0 and not (last % scale).any():
        last = last // scale
    return [*found, last]


def outer(profiles: list[Array]) -> Array:
    """Return the outer product."""
    return np.asarray(reduce(np.multiply.outer, profiles))


def factored(kernel: Array, count: int) -> Terms:
    """Return the sum of `count` outer products that is nearest to the kernel."""
    return _kept(kernel.tobytes(), kernel.shape, kernel.dtype.str, count)


def _terms(kernel: Array, count: int) -> Terms:
    if count == 1:
        return Terms.outer(profiles_of(kernel))
    left, values, right = np.linalg.svd(kernel.astype(np.float64))
    roots = np.sqrt(values[:count])
    return Terms(tuple((left[:, i] * roots[i], right[i] * roots[i]) for i in range(count)))


@lru_cache(maxsize=64)
def _kept(data: bytes, shape: tuple[int, ...], dtype: str, count: int) -> Terms:
    return _terms(np.frombuffer(data, dtype).reshape(shape), count)
