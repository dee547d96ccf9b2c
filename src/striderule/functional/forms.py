"""What the taps of an image filter tell: symmetry, zeros, and the outer products that make the kernel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.images.factors import KEPT, LONGEST, outer, profiles_of
from striderule.algorithms.images.terms import Terms
from striderule.functional.standin import StandIn
from striderule.planning.forms import ANTISYMMETRIC, MOST_RANK, SYMMETRIC, KernelForm, Rank

Array = npt.NDArray[Any]

# What may be left out at most, of the norm of the kernel: more breaks every promise.
USEFUL = 2e-3
# What rounding leaves of a kernel that is a sum of outer products.
ROUNDING = 4


def form_of(kernel: Array | Terms) -> KernelForm | None:
    """Return what the kernel is; None where its values are not known.

    Examples
    --------
    >>> print(form_of(np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])))
    3x3 taps, 3 of which are zero, rank 1, symmetric in axis 0, antisymmetric in axis 1
    """
    if isinstance(kernel, Terms):
        return _of_profiles(kernel)
    if isinstance(kernel, StandIn) or kernel.dtype.kind == "c" or kernel.size == 0:
        return None
    if kernel.nbytes > KEPT:
        return _of_taps(kernel)
    return _kept(kernel.tobytes(), kernel.shape, kernel.dtype.str)


@lru_cache(maxsize=256)
def _kept(data: bytes, shape: tuple[int, ...], dtype: str) -> KernelForm:
    return _of_taps(np.frombuffer(data, dtype).reshape(shape))


def _of_taps(kernel: Array) -> KernelForm:
    symmetry = tuple(_symmetry(kernel, axis) for axis in range(kernel.ndim))
    equal = bool((kernel == kernel.flat[0]).all())
    taps = int(np.count_nonzero(kernel))
    return KernelForm(kernel.shape, taps, symmetry, equal, _whole(kernel), ranks=_ranks(kernel) if taps else ())


@lru_cache(maxsize=256)
def _of_profiles(kernel: Terms) -> KernelForm:
    profiles = kernel.terms[0]
    taps = 1
    for profile in profiles:
        taps *= int(np.count_nonzero(profile))
    return KernelForm(
        kernel.shape,
        taps,
        tuple(_symmetry(profile, 0) for profile in profiles),
        all(bool((profile == profile[0]).all()) for profile in profiles),
        all(_whole(profile) for profile in profiles) and kernel.divisor == 1,
        given=True,
        ranks=(Rank(1),),
    )


def _whole(taps: Array) -> bool:
    return taps.dtype.kind in "biu" or bool((taps == np.rint(taps)).all())


def _symmetry(taps: Array, axis: int) -> str | None:
    turned = np.flip(taps, axis)
    if (taps == turned).all():
        return SYMMETRIC
    return ANTISYMMETRIC if taps.dtype.kind != "u" and (taps == -turned).all() else None


def _ranks(kernel: Array) -> tuple[Rank, ...]:
    """Return the numbers of outer products that are of use, up to the one of which only rounding is left."""
    product = outer(profiles_of(kernel))
    if kernel.dtype.kind in "biu":
        if np.array_equal(product, kernel):
            return (Rank(1),)
        wide = kernel.astype(np.float64)
        return _of_values(wide, np.finfo(np.float64).eps)
    # Of the same rank as the kernel, and squares of its taps neither overflow nor vanish.
    wide = kernel.astype(np.float64) / np.abs(kernel).max()
    rounding = float(np.finfo(kernel.dtype).eps)
    left = wide - outer(profiles_of(wide))
    if np.linalg.norm(left) <= ROUNDING * rounding * np.linalg.norm(wide):
        return (_rank(1, wide, left, wide),)
    return _of_values(wide, rounding)


def _of_values(kernel: Array, rounding: float) -> tuple[Rank, ...]:
    """Return the ranks by singular values; none where the kernel is no sum of few products but for rounding."""
    if kernel.ndim != 2 or max(kernel.shape) > LONGEST or min(kernel.shape) < 3:
        return ()
    left, values, right = np.linalg.svd(kernel)
    norm, found = np.linalg.norm(values), []
    for count in range(2, min(MOST_RANK, min(kernel.shape) - 1) + 1):
        rest = np.linalg.norm(values[count:])
        if rest > USEFUL * norm:
            continue
        parts = [np.outer(left[:, i] * values[i], right[i]) for i in range(count)]
        found.append(_rank(count, kernel, kernel - np.sum(parts, axis=0), np.abs(parts).sum(axis=0)))
        if rest <= ROUNDING * rounding * norm:
            return tuple(found)
    return ()  # who asks for passes by name gets the kernel, and nothing near it


def _rank(count: int, kernel: Array, left: Array, magnitudes: Array) -> Rank:
    """Return a rank with its bounds: |x * left| <= sum |left| |x|, and |x| * |kernel| is at least |kernel| |x|."""
    norm, total = float(np.linalg.norm(kernel)), float(np.abs(kernel).sum())
    size = np.abs(magnitudes)
    growth = max(float(np.linalg.norm(size)) / norm, float(size.sum()) / total)
    return Rank(count, float(np.abs(left).sum()) / norm, float(np.linalg.norm(left)) / norm, max(1.0, growth))
