"""Batch and group normalisation, and their gradients, in one call of generated code each."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.normalization_units_routine import (
    NORMALIZED_POINTERS,
    POINTERS,
    SIZES,
    normalized_routine,
    units_routine,
)
from striderule.algorithms.windows import normalization, normalization_gradient
from striderule.codegen.target import Target, current

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

SERVED = {"f": "float32", "d": "float64"}
# Bytes below which the calling thread does it all.
ALONE = 1 << 17
# Values of a task, about. Units that are fewer than these, and not small, are left to what cuts them.
TASK, FEW = 1 << 14, 8
# Bytes of a vector, and how many times as much as values vectors may hold where planes are short; beyond, lines that go
# across planes do better, unless all is small.
VECTOR, WASTE = 64, 4


def units(
    x: Array, gy: Array, weight: Array | None, mean: Array, factor: Array, groups: int | None = None
) -> tuple[Array, Array, Array] | None:
    """Return gx, and of every channel of every unit the sums of gy * (x - mean) * factor and of gy, in float64.

    Units are the channels of all images, or, given a number of `groups`, these of each image; mean and factor = 1 /
    sqrt(var + eps) are theirs, and the sums are of the shape (channels,) or (batch, channels). None where sums and
    lines of channels do better: arrays in other memory orders, few units, no machine code.
    """
    call = None
    if x.dtype.char in SERVED and x.dtype == gy.dtype and x.flags.c_contiguous and gy.flags.c_contiguous:
        call = giving_way.attempt(_call, x.shape, x.dtype.char, groups, current())
    if call is None:
        return None
    channels = x.shape[1]
    steep = np.ones(channels) if weight is None else np.ascontiguousarray(weight, np.float64)
    sums = np.empty((2, channels) if groups is None else (2, len(x), channels))
    result = memory.empty(x.shape, x.dtype)
    means, factors = (np.ascontiguousarray(one, np.float64) for one in (mean, factor))
    call.run(x, gy, steep, means, factors, result, sums[0], sums[1])
    return result, sums[1], sums[0]


def bind_units(
    x: Array, weight: Array | None, mean: Array, factor: Array, groups: int | None = None
) -> Callable[[Array], tuple[Array, Array, Array]] | None:
    """Return what gives `units` for compact gradients of the type of x, or None where that gives none.

    The sums are those of channels, of groups over all images.
    """
    call = None
    if x.dtype.char in SERVED and x.flags.c_contiguous and x.flags.aligned:
        call = giving_way.attempt(_call, x.shape, x.dtype.char, groups, current())
    if call is None:
        return None
    run, make, channels = call.run, memory.maker(x, x.shape, x.dtype), x.shape[1]
    steep = np.ones(channels) if weight is None else np.ascontiguousarray(weight, np.float64)
    means, factors = (np.ascontiguousarray(one, np.float64) for one in (mean, factor))

    def computed(gradient: Array) -> tuple[Array, Array, Array]:
        result, products, plain = make(), np.empty(channels), np.empty(channels)
        run(x, gradient, steep, means, factors, result, plain, products)
        return result, products, plain

    def in_groups(gradient: Array) -> tuple[Array, Array, Array]:
        result, sums = make(), np.empty((2, len(x), channels))
        plain, products = sums
        run(x, gradient, steep, means, factors, result, plain, products)
        with np.errstate(all="ignore"):
            plain, products = np.add.reduce(sums, axis=1)
        return result, products, plain

    return computed if groups is None else in_groups


def normalized_units(
    x: Array, weight: Array | None, bias: Array | None, eps: float, groups: int | None = None, out: Array | None = None
) -> tuple[Array, Array, Array] | None:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, the means of all units and their sums of squared distances.

    Units are those of `units`; their numbers are float64, of the shape (channels,) or (batch, groups). The result is in
    `out`, which may be x, or new. None where `units` gives none, too.
    """
    if x.dtype.char not in SERVED or not (x.flags.c_contiguous or x.nbytes < ALONE):
        return None
    call = giving_way.attempt(_normalizing, x.shape, x.dtype.char, eps, groups, current())
    if call is None:
        return None
    if not x.flags.c_contiguous or not (out is None or out.flags.c_contiguous):
        # Small arrays are copied, and have the same bits in any memory order.
        whole = normalized_units(np.ascontiguousarray(x), weight, bias, eps, groups)
        assert whole is not None
        result = memory.empty_like(x, x.shape, x.dtype) if out is None else out
        result[...] = whole[0]
        return result, whole[1], whole[2]
    channels = x.shape[1]
    slopes = np.ones(channels) if weight is None else np.ascontiguousarray(weight, np.float64)
    shifts = np.zeros(channels) if bias is None else np.ascontiguousarray(bias, np.float64)
    seen = x[:1] if groups is None else x
    starts = seen.reshape(len(seen), groups or channels, -1)[..., 0].astype(np.float64)
    starts[~np.isfinite(starts)] = 0
    numbers = np.empty((2, *(starts.shape[1:] if groups is None else starts.shape)))
    result = memory.empty(x.shape, x.dtype) if out is None else out
    call.run(x, starts, slopes, shifts, result, numbers[0], numbers[1])
    return result, numbers[0], numbers[1]


@lru_cache(maxsize=256)
def _call(shape: Ints, char: str, groups: int | None, target: Target) -> Call | None:
    """Return the call of a gradient, or None where there are few units, or none."""
    name = f"gradient_units_{SERVED[char]}"

    def trial() -> bool:
        one, channels = np.zeros(shape, char), shape[1]
        numbers = np.zeros(channels if groups is None else (shape[0], groups))
        twin = normalization_gradient.units
        return proof.agree(units, twin, one, one, np.zeros(channels), numbers, numbers, groups)

    cut = cut_of(shape, char, groups)
    if cut is None:
        return None
    routine = proof.compiled(name, (name,), lambda: units_routine(name, SERVED[char], target), target, trial)
    return cut.call(routine.address, len(POINTERS))


@lru_cache(maxsize=256)
def _normalizing(shape: Ints, char: str, eps: float, groups: int | None, target: Target) -> Call | None:
    """Return the call of a normalisation, or None where there are few units, or none."""
    name = f"normalized_units_{SERVED[char]}"

    def trial() -> bool:
        numbers = np.zeros(shape[1])
        twin = normalization.normalized_units
        return proof.agree(normalized_units, twin, np.zeros(shape, char), numbers, numbers, 4.0, groups)

    cut = cut_of(shape, char, groups)
    if cut is None:
        return None
    routine = proof.compiled(name, (name,), lambda: normalized_routine(name, SERVED[char], target), target, trial)
    return cut.call(routine.address, len(NORMALIZED_POINTERS), int(np.float64(eps).view(np.int64)))


class Cut(NamedTuple):
    """How units are told to a routine: the words SIZES, tasks and threads."""

    sizes: Ints
    tasks: int
    threads: int | None

    def call(self, address: int, pointers: int, *numbers: int) -> Call:
        """Return the call of a routine."""
        return Call(address, array("q", (*[0] * pointers, *self.sizes, *numbers)), self.tasks, self.threads)


def cut_of(shape: Ints, char: str, groups: int | None) -> Cut | None:
    """Return how units are cut into tasks, or None where there are few, or none."""
    batch, channels, *rest = shape
    length, values = prod(rest), prod(shape)
    if groups is None:
        count, weight_units, each, images = channels, channels, 1, batch
    else:
        count, weight_units, each, images = batch * groups, groups, channels // groups, 1
    itemsize = np.dtype(char).itemsize
    alone, held = values * itemsize < ALONE, -(-length * itemsize // VECTOR) * VECTOR
    if not values or ((count < FEW or held > WASTE * length * itemsize) and not alone):
        return None
    task_units = max(1, TASK * count // values)
    sizes = (count, task_units, weight_units, each * length, each, images, channels * length, length)
    assert len(sizes) == len(SIZES)
    return Cut(sizes, -(-count // task_units), 1 if alone else None)
