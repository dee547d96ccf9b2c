"""Batch normalisation on generated code: how the array is seen as lines, and the calls."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import Call, merged, words_of
from striderule.algorithms.direct.normalization_routine import (
    PLACES,
    Form,
    Kind,
    scale_routine,
    statistics_routine,
)
from striderule.algorithms.direct.normalization_units import ALONE, normalized_units
from striderule.algorithms.direct.response import bind as bind_response
from striderule.algorithms.direct.response import local_response
from striderule.algorithms.direct.softmax import bind_softmax, softmax
from striderule.algorithms.windows import normalization as windows
from striderule.codegen.target import current

__all__ = [
    "batch_statistics",
    "bind",
    "bind_response",
    "bind_softmax",
    "bind_statistics",
    "is_plain",
    "local_response",
    "normalize",
    "normalized_units",
    "softmax",
]

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

# Values in a task: near enough to be read twice from the first or second cache.
BLOCK = 1 << 13
# By the characters of NumPy's types.
SERVED = {"f": "float32", "d": "float64", "e": "float16"}


class Lines(NamedTuple):
    """An array (batch, channels, ...) seen as lines; see `normalization_routine`."""

    kind: Kind
    places: tuple[int, ...]  # the words PLACES
    walks: npt.NDArray[np.int64]
    tasks: int
    threads: int | None

    @property
    def blocks(self) -> int:
        """How many blocks a line, or the rows of a plane, are cut into."""
        return self.places[-1]


def normalize(
    x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float, out: Array | None = None
) -> Array:
    """Return (x - mean) / sqrt(var + eps) * weight + bias for each channel (axis 1), in `out`, which may be x, or new.

    float32 is computed in float32, from the distance to the mean in full, with about the error of one rounding.
    """
    result = memory.empty_like(x, x.shape, x.dtype) if out is None and x.dtype.kind == "f" else out
    given, numbers = (mean, var, weight, bias), (mean, var, weight, bias)
    if not all(one is None or is_plain(one, mean) for one in given):
        mean, var = np.ascontiguousarray(mean, np.float64), np.ascontiguousarray(var, np.float64)
        steep, shift = (None if one is None else np.ascontiguousarray(one, np.float64) for one in (weight, bias))
        numbers = (mean, var, steep, shift)
    call = None if result is None else giving_way.attempt(bind, x, *numbers, eps, result)
    if call is None or result is None:
        return giving_way.given(out, windows.normalize(x, *given, eps))
    call.run(x, result, *numbers)
    return result


def is_plain(numbers: Array, like: Array) -> bool:
    """Tell whether the numbers of channels stand side by side in float32 or float64, as those of `like` do."""
    dtype = numbers.dtype
    return dtype.char in "fd" and dtype == like.dtype and (numbers.size < 2 or numbers.strides[0] == dtype.itemsize)


def bind(
    x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float, result: Array
) -> Call | None:
    """Return what normalises arrays like x, or None where that is left to NumPy; all numbers must be plain.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    lines = lines_of(x.shape, x.strides, result.strides, x.itemsize) if x.dtype.char in SERVED else None
    if lines is None:
        return None
    form, target = Form(SERVED[x.dtype.char], lines.kind, SERVED[mean.dtype.char]), current()

    def trial() -> bool:
        return proof.agree(normalize, windows.normalize, x, mean, np.abs(var), weight, bias, 4.0)

    routine = proof.compiled(form.name("scale"), form, lambda: scale_routine(form, target), target, trial)
    ones, zeros = (_constant(value, x.shape[1], mean.dtype) for value in (1.0, 0.0))
    pointers = (0, 0, 0, 0, memory.address(ones), memory.address(zeros), memory.address(lines.walks))
    words = array("q", (*pointers, *lines.places, _bits(eps)))
    return Call(routine.address, words, lines.tasks, lines.threads, (lines.walks, ones, zeros))


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Return the mean of each channel over batch and space, and the sum of the squares of what is left, in float64."""
    found = giving_way.attempt(bind_statistics, x)
    return windows.batch_statistics(x) if found is None else found.of(x)


class Statistics(NamedTuple):
    """A call that gives the means and squared distances of the parts of channels, in arrays of `shape`.

    Parts are joined as Chan, Golub and LeVeque do (Updating formulae and a pairwise algorithm for computing sample
    variances, 1979).
    """

    call: Call
    shape: Ints
    # Parts come before channels in the arrays.
    turned: bool
    # How many values each part has.
    counts: Array

    def of(self, x: Array) -> tuple[Array, Array]:
        """Return mean and squared distances of the channels of x, which is like that of `bind_statistics`."""
        means, squares = np.empty(self.shape), np.empty(self.shape)
        self.call.run(x, means, squares)
        if self.turned:
            means, squares = means.T, squares.T
        first = x[0]
        while first.ndim > 1:
            first = first[..., 0]
        # What the routine counts means from.
        start = first.astype(np.float64)
        with np.errstate(all="ignore"):
            start[~np.isfinite(start)] = 0
            if len(self.counts) == 1:
                return means[:, 0] + start, squares[:, 0]
            mean = (means * self.counts).sum(axis=1) / self.counts.sum()
            apart = (self.counts * (means - mean[:, None]) ** 2).sum(axis=1)
            return mean + start, squares.sum(axis=1) + apart


def bind_statistics(x: Array) -> Statistics | None:
    """Return what gives the statistics of arrays like x, or None where that is left to NumPy.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    served = x.dtype.char in SERVED
    lines = lines_of(x.shape, x.strides, x.strides, x.itemsize) if served else None
    if lines is None:
        return None
    channels, turned = x.shape[1], lines.kind == "across"
    parts = lines.tasks if turned else lines.tasks // channels
    form, target = Form(SERVED[x.dtype.char], lines.kind), current()

    def trial() -> bool:
        return proof.agree(batch_statistics, windows.batch_statistics, x)

    name = form.name("statistics")
    routine = proof.compiled(name, form, lambda: statistics_routine(form, target), target, trial)
    steps = (channels, x.strides[1], channels, 1) if turned else (channels, x.strides[1], 1, parts)
    words = array("q", (0, 0, 0, memory.address(lines.walks), *lines.places, *steps))
    call = Call(routine.address, words, lines.tasks, lines.threads, lines.walks)
    return Statistics(call, (parts, channels) if turned else (channels, parts), turned, _counts(lines, parts))


def _counts(lines: Lines, parts: int) -> Array:
    """Return how many values of a channel each part has."""
    length, rows, block = (lines.places[PLACES.index(word)] for word in ("length", "rows", "block"))
    whole = rows if lines.kind == "across" else length
    counts = np.full(lines.blocks, block, np.float64)
    counts[-1] = whole - block * (lines.blocks - 1)
    return np.tile(counts, parts // lines.blocks)


@lru_cache(maxsize=64)
def lines_of(shape: Ints, x_steps: Ints, y_steps: Ints, itemsize: int) -> Lines | None:
    """Return how the routine walks over an array, or None where steps are no whole elements or there is nothing."""
    if not prod(shape) or any(step % itemsize for step in (*x_steps, *y_steps)):
        return None
    threads = 1 if prod(shape) * itemsize < ALONE else None
    axes = list(zip(shape, x_steps, y_steps, strict=True))
    channel, others = (*axes[1], 1), [(*walk, 0) for walk in merged([axes[0], *axes[2:]])]
    beside = bool(others) and others[0][1] == others[0][2] == itemsize
    if shape[1] > 1 and x_steps[1] == y_steps[1] == itemsize and not beside:
        row, *outer = others or [(1, 0, 0, 0)]
        block = min(row[0], max(1, BLOCK // shape[1]))
        blocks = -(-row[0] // block)
        places = (len(outer), shape[1], itemsize, itemsize, *row[:3], block, blocks)
        return Lines("across", places, words_of(outer), prod(walk[0] for walk in outer) * blocks, threads)
    line, *outer = others or [(1, itemsize, itemsize, 0)]
    kind: Kind = "run" if line[1] == line[2] == itemsize or line[0] == 1 else "steps"
    block = min(line[0], BLOCK)
    blocks = -(-line[0] // block)
    x_step, y_step = (itemsize, itemsize) if kind == "run" else line[1:3]
    places = (1 + len(outer), line[0], x_step, y_step, 1, 0, 0, block, blocks)
    tasks = shape[1] * prod(walk[0] for walk in outer) * blocks
    return Lines(kind, places, words_of([channel, *outer]), tasks, threads)


@lru_cache(maxsize=32)
def _constant(value: float, count: int, dtype: np.dtype[Any]) -> Array:
    numbers = np.full(count, value, dtype)
    numbers.setflags(write=False)
    return numbers


@lru_cache(maxsize=16)
def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))
