"""The whole gradient of batch and group normalisation in one call of generated code."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.normalization import ALONE
from striderule.algorithms.direct.normalization_units_routine import POINTERS, SIZES, units_routine
from striderule.algorithms.windows import normalization_gradient as windows
from striderule.codegen.target import Target, current

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

SERVED = {"f": "float32", "d": "float64"}
# Values of a task, about. Units that are fewer than these, and not small, are left to what cuts them.
TASK, FEW = 1 << 14, 8


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


@lru_cache(maxsize=256)
def _call(shape: Ints, char: str, groups: int | None, target: Target) -> Call | None:
    """Return the call, or None where there are few units, or none."""
    batch, channels, *rest = shape
    length, size = prod(rest), np.dtype(char).itemsize
    if groups is None:
        count, weight_units, each, images = channels, channels, 1, batch
    else:
        count, weight_units, each, images = batch * groups, groups, channels // groups, 1
    values = prod(shape)
    alone = values * size < ALONE
    if not values or (count < FEW and not alone):
        return None
    dtype = SERVED[char]
    name = f"gradient_units_{dtype}"

    def trial() -> bool:
        one = np.zeros(shape, char)
        numbers = np.zeros(channels if groups is None else (batch, groups))
        return proof.agree(units, windows.units, one, one, np.zeros(channels), numbers, numbers, groups)

    routine = proof.compiled(name, (name,), lambda: units_routine(name, dtype, target), target, trial)
    task_units = max(1, TASK * count // values)
    sizes = (count, task_units, weight_units, each * length, each, images, channels * length, length)
    assert len(sizes) == len(SIZES)
    words = array("q", (*[0] * len(POINTERS), *sizes))
    return Call(routine.address, words, -(-count // task_units), 1 if alone else None)
