"""Gradients that take one pass over the values of every channel, on generated code: see `channel_passes_routine`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.channel_passes_routine import (
    GIVEN_POINTERS,
    SLOPES_POINTERS,
    given_routine,
    slopes_routine,
)
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.normalization_units import SERVED, cut_of
from striderule.algorithms.windows import elementwise_gradient, normalization_gradient
from striderule.codegen.target import Target, current

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


def bind_given(
    x: Array, mean: Array, factor: Array, slope: Array
) -> Callable[[Array], tuple[Array, Array, Array]] | None:
    """Return what gives gy * slope, the sums of gy * (x - mean) * factor and those of gy, of every channel (axis 1).

    It is for gradients of the type of x that are compact, as x must be, and computes what `channel_scale` and
    `channel_sums` do. None where these do better, or there is no machine code.
    """
    call = _call_for(_given_call, x)
    if call is None:
        return None
    run, make, channels = call.run, memory.maker(x, x.shape, x.dtype), x.shape[1]
    middle, factors, slopes = (np.ascontiguousarray(one, np.float64) for one in (mean, factor, slope))

    def computed(gradient: Array) -> tuple[Array, Array, Array]:
        result, products, plain = make(), np.empty(channels), np.empty(channels)
        run(x, gradient, middle, factors, slopes, result, products, plain)
        return result, products, plain

    return computed


def bind_slopes(x: Array, weight: Array) -> Callable[[Array], tuple[Array, Array]] | None:
    """Return what gives the gradient of prelu in x, and its sums over what has one slope; see `bind_given`.

    There is one slope, or one for each channel (axis 1), of the type of x.
    """
    call = _call_for(_slopes_call, x, weight.size > 1) if weight.dtype == x.dtype else None
    if call is None:
        return None
    slopes = np.ascontiguousarray(weight)
    run, make, channels = call.run, memory.maker(x, x.shape, x.dtype), x.shape[1]

    def computed(gradient: Array) -> tuple[Array, Array]:
        result, sums = make(), np.empty(channels)
        run(x, gradient, slopes, result, sums)
        if len(sums) != slopes.size:
            with np.errstate(all="ignore"):
                sums = sums.sum(keepdims=True)
        return result, sums

    return computed


def _call_for(make: Callable[..., Call | None], x: Array, *words: Any) -> Call | None:
    if x.dtype.char not in SERVED or x.ndim < 2 or not (x.flags.c_contiguous and x.flags.aligned):
        return None
    return giving_way.attempt(make, x.shape, x.dtype.char, *words, current())


@lru_cache(maxsize=256)
def _given_call(shape: Ints, char: str, target: Target) -> Call | None:
    name, cut, channels = f"gradient_given_{SERVED[char]}", cut_of(shape, char, None), shape[1]
    if cut is None:
        return None

    def computed(x: Array, gy: Array, mean: Array, slope: Array) -> tuple[Array, Array, Array]:
        bound = bind_given(x, mean, np.ones(channels), slope)
        assert bound is not None  # it is being made for arrays like these
        return bound(gy)

    def expected(x: Array, gy: Array, mean: Array, slope: Array) -> tuple[Array, Array, Array]:
        plain, products = normalization_gradient.channel_sums(x, gy, mean)
        return normalization_gradient.channel_scale(gy, slope), products, plain

    def trial() -> bool:
        one, numbers = np.zeros(shape, char), np.zeros(channels)
        return proof.agree(computed, expected, one, one, numbers, numbers)

    routine = proof.compiled(name, (name,), lambda: given_routine(name, SERVED[char], target), target, trial)
    return cut.call(routine.address, len(GIVEN_POINTERS))


@lru_cache(maxsize=256)
def _slopes_call(shape: Ints, char: str, several: bool, target: Target) -> Call | None:
    name, cut, channels = f"gradient_slopes_{SERVED[char]}", cut_of(shape, char, None), shape[1]
    if cut is None:
        return None

    def computed(x: Array, gy: Array, weight: Array) -> tuple[Array, Array]:
        bound = bind_slopes(x, weight)
        assert bound is not None  # it is being made for arrays like these
        return bound(gy)

    def expected(x: Array, gy: Array, weight: Array) -> tuple[Array, Array]:
        spread = weight.reshape(-1, *(1,) * (x.ndim - 2)) if several else weight
        by_x, by_slope = elementwise_gradient.prelu(x, spread, gy, x.dtype)
        axes = tuple(axis for axis in range(x.ndim) if axis != 1 or not several)
        return by_x, by_slope.sum(axis=axes, dtype=np.float64).reshape(-1)

    def trial() -> bool:
        one = np.zeros(shape, char)
        return proof.agree(computed, expected, one, one, np.zeros(channels if several else 1, char))

    routine = proof.compiled(name, (name,), lambda: slopes_routine(name, SERVED[char], target), target, trial)
    return cut.call(routine.address, len(SLOPES_POINTERS), int(several))
