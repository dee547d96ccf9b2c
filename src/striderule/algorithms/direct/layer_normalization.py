"""Layer normalisation and its gradient on generated code."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.layer_normalization_routine import (
    GRADIENT_POINTERS,
    Form,
    gradient_routine,
    layer_routine,
)
from striderule.algorithms.direct.native import Call
from striderule.algorithms.windows import layer_normalization as windows
from striderule.algorithms.windows import normalization_gradient as windows_gradient
from striderule.codegen.target import current

Array = npt.NDArray[Any]
Ints = tuple[int, int, int]

# Values of a task: read again from the second cache.
TASK = 1 << 15
# Tasks of lines whose values are side by side: each has sums of its own, which are added up at the end.
MOST_TASKS = 64
# Bytes below which the calling thread does it all.
ALONE = 1 << 17
SERVED = {"f": "float32", "d": "float64", "e": "float16"}


def layer(
    x: Array, weight: Array | None, bias: Array | None, eps: float, out: Array, statistics: Array | None = None
) -> None:
    """Write (x - mean) / sqrt(var + eps) * weight + bias to `out`, which may be x, with mean and variance of each line.

    Lines are along the middle one of three axes, which follow each other in memory. Mean and 1 / sqrt(var + eps) go to
    `statistics`, of the shape (2, outer, inner).
    """
    call = None
    if x.dtype.char in SERVED and x.dtype == out.dtype and x.flags.c_contiguous and out.flags.c_contiguous and x.size:
        call = giving_way.attempt(_call, x.shape, x.dtype.char, current().name)
    if call is None:
        windows.layer(x, weight, bias, eps, out, statistics)
        return
    found = np.empty((2, x.shape[0], x.shape[2])) if statistics is None else statistics
    steep, shift = _numbers(weight, x.shape[1], 1.0), _numbers(bias, x.shape[1], 0.0)
    words = call.words[:]
    words[-1] = int(np.float64(eps).view(np.int64))
    call.telling(words).run(x, out, steep, shift, found[0], found[1])


def gradient(
    x: Array, gy: Array, weight: Array | None, statistics: Array, by_x: bool = True, by_parameters: bool = True
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of x, weight and bias of layer normalisation along the middle one of three axes.

    `statistics` are what `layer` found. Sums over lines are formed in float64, for each task and then over the tasks,
    one behind the other: the same bits for any number of threads. What is not asked for is None.
    """
    call = None
    if x.dtype.char in "fd" and x.dtype == gy.dtype and x.flags.c_contiguous and gy.flags.c_contiguous and x.size:
        call = giving_way.attempt(_gradient_call, x.shape, x.dtype.char, by_x, by_parameters, current().name)
    if call is None:
        return windows_gradient.layer(x, gy, weight, statistics, by_x, by_parameters)
    result = memory.empty(x.shape, x.dtype) if by_x else None
    length, lanes = x.shape[1], 1 if x.shape[2] == 1 else current().lanes(8)
    sums, narrow = _room(call.tasks, length, lanes), np.empty(call.tasks * length, np.float32)
    call.run(x, gy, _numbers(weight, length, 1.0), statistics[0], statistics[1], result, sums, narrow)
    if not by_parameters:
        return result, None, None
    by_weight, by_bias = _totals(sums, lanes)
    return result, by_weight, by_bias


def bind_gradient(
    x: Array, lines: Ints, weight: Array | None, statistics: Array
) -> Callable[[Array], tuple[Array, Array, Array]] | None:
    """Return what gives all that `gradient` does for compact gradients of the type of x, or None where NumPy computes.

    Both are of any shape that is seen as `lines`, three axes; the gradient of x has that shape, too.
    """
    call = None
    if x.dtype.char in "fd" and x.flags.c_contiguous and x.flags.aligned and x.size:
        call = giving_way.attempt(_gradient_call, lines, x.dtype.char, True, True, current().name)
    if call is None:
        return None
    run, make, steep = call.run, memory.maker(x, x.shape, x.dtype), _numbers(weight, lines[1], 1.0)
    mean, factor = statistics
    tasks, length, lanes = call.tasks, lines[1], 1 if lines[2] == 1 else current().lanes(8)
    # The same numbers at every call, from whatever thread.
    narrow = np.empty(tasks * length, np.float32)

    def computed(gradient: Array) -> tuple[Array, Array, Array]:
        result, sums = make(), _room(tasks, length, lanes)
        run(x, gradient, steep, mean, factor, result, sums, narrow)
        by_weight, by_bias = _totals(sums, lanes)
        return result, by_weight, by_bias

    return computed


def _room(tasks: int, length: int, lanes: int) -> Array:
    """Return where tasks form their sums, which they begin themselves."""
    shape = tasks, 2, length * lanes
    return memory.scratch("layer sums", prod(shape), np.float64).reshape(shape)


def _totals(sums: Array, lanes: int) -> Array:
    """Return the sums of all tasks, of all lanes: two rows of new memory."""
    with np.errstate(all="ignore"):
        both: Array = np.add.reduce(sums, axis=0)
        return both if lanes == 1 else np.add.reduce(both.reshape(2, -1, lanes), axis=2)


def _numbers(values: Array | None, length: int, usual: float) -> Array:
    return np.full(length, usual) if values is None else np.ascontiguousarray(values, np.float64)


def _places(shape: Ints) -> tuple[Ints, int, int, int]:
    """Return the sizes, how many lines a task has, into how many blocks the inner lines are cut, and all tasks."""
    outer, length, inner = shape
    if inner == 1:
        block = max(1, min(outer, TASK // length), -(-outer // MOST_TASKS))
        return shape, block, 1, -(-outer // block)
    block = min(inner, max(64, TASK // length // 64 * 64))
    blocks = -(-inner // block)
    return shape, block, blocks, outer * blocks


@lru_cache(maxsize=256)
def _call(shape: Ints, char: str, _target: str) -> Call:
    form, target = Form(SERVED[char], "run" if shape[2] == 1 else "across"), current()
    sizes, block, blocks, tasks = _places(shape)

    def trial() -> bool:
        return proof.agree(_layer_of, _layer_in_numpy, np.zeros(shape, char), np.zeros(shape[1]), np.zeros(shape[1]))

    routine = proof.compiled(form.name("layer"), form, lambda: layer_routine(form, target), target, trial)
    words = array("q", (*[0] * 6, *sizes, block, blocks, 0))
    return Call(routine.address, words, tasks, _threads(shape, char))


@lru_cache(maxsize=256)
def _gradient_call(shape: Ints, char: str, by_x: bool, by_parameters: bool, _target: str) -> Call:
    form, target = Form(SERVED[char], "run" if shape[2] == 1 else "across", by_x, by_parameters), current()
    sizes, block, blocks, tasks = _places(shape)

    def trial() -> bool:
        arrays = np.zeros(shape, char), np.zeros(shape, char), np.zeros(shape[1]), np.zeros((2, shape[0], shape[2]))
        return proof.agree(_gradient_of_both, _gradient_in_numpy, *arrays)

    name = form.name("layer_gradient")
    routine = proof.compiled(name, form, lambda: gradient_routine(form, target), target, trial)
    words = array("q", (*[0] * len(GRADIENT_POINTERS), *sizes, block, blocks))
    return Call(routine.address, words, tasks, _threads(shape, char))


def _threads(shape: Ints, char: str) -> int | None:
    return 1 if shape[0] * shape[1] * shape[2] * np.dtype(char).itemsize < ALONE else None


# What a trial compares.


def _layer_of(x: Array, weight: Array, bias: Array) -> Array:
    out = np.empty_like(x)
    layer(x, weight, bias, 1.0, out)
    return out


def _layer_in_numpy(x: Array, weight: Array, bias: Array) -> Array:
    out = np.empty_like(x)
    windows.layer(x, weight, bias, 1.0, out)
    return out


def _gradient_of_both(x: Array, gy: Array, weight: Array, statistics: Array) -> Any:
    return gradient(x, gy, weight, statistics)


def _gradient_in_numpy(x: Array, gy: Array, weight: Array, statistics: Array) -> Any:
    return windows_gradient.layer(x, gy, weight, statistics)
