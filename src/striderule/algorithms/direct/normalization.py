"""Batch normalisation on generated code: how the array is seen as lines, and the calls."""

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
from striderule.algorithms.direct.normalization_routine import (
    PLACES,
    Form,
    Kind,
    scale_routine,
    statistics_routine,
)
from striderule.algorithms.windows import normalization as windows
from striderule.algorithms.windows.normalization import local_response, softmax
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.errors import CompilationFailed

__all__ = ["batch_statistics", "local_response", "normalize", "softmax"]

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

# Values in a task: near enough to be read twice from the first or second cache.
BLOCK = 1 << 13
# Bytes below which the calling thread does it all.
ALONE = 1 << 17
SERVED = ("float32", "float64", "float16")


class Lines(NamedTuple):
    """An array (batch, channels, ...) seen as lines; see `normalization_routine`."""

    kind: Kind
    places: tuple[int, ...]  # the words PLACES
    walks: npt.NDArray[np.int64]
    tasks: int

    @property
    def blocks(self) -> int:
        """How many blocks a line, or the rows of a plane, are cut into."""
        return self.places[-1]


def normalize(
    x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float, out: Array | None = None
) -> Array:
    """Return (x - mean) / sqrt(var + eps) * weight + bias for each channel (axis 1), rounded once or as well."""
    result = memory.empty_like(x, x.shape, x.dtype) if out is None else out
    lines = lines_of(x.shape, x.strides, result.strides, x.itemsize) if x.dtype.name in SERVED else None
    if lines is None:
        return _given(out, windows.normalize(x, mean, var, weight, bias, eps))
    numbers = _numbers((mean, var, weight, bias), x.shape[1])
    form = Form(x.dtype.name, lines.kind, numbers[0].dtype.name)
    words = array("q", (memory.address(x), memory.address(result), memory.address(lines.walks)))
    words.extend(map(memory.address, numbers))
    words.extend(lines.places)
    words.append(_bits(eps))

    def trial() -> bool:
        return proof.agree(normalize, windows.normalize, x, np.abs(var), np.abs(var) + 1, weight, bias, eps)

    try:
        _run("scale", form, scale_routine, trial, words, lines, x.nbytes)
    except CompilationFailed as failure:
        giving_way.warn(failure)
        return _given(out, windows.normalize(x, mean, var, weight, bias, eps))
    return result


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Return the mean of each channel over batch and space, and the sum of the squares of what is left, in float64.

    Parts of a channel are joined as Chan, Golub and LeVeque do (Updating formulae and a pairwise algorithm for
    computing sample variances, 1979).
    """
    lines = lines_of(x.shape, x.strides, x.strides, x.itemsize) if x.dtype.name in SERVED else None
    if lines is None:
        return windows.batch_statistics(x)
    channels = x.shape[1]
    parts = lines.tasks if lines.kind == "across" else lines.tasks // channels
    means, squares = np.empty((2, channels, parts) if lines.kind != "across" else (2, parts, channels))
    if lines.kind == "across":
        means, squares = means.T, squares.T
    words = array("q", map(memory.address, (x, lines.walks, means, squares)))
    words.extend(lines.places)
    words.extend((channels, means.strides[1] // 8, means.strides[0] // 8))
    form = Form(x.dtype.name, lines.kind)
    try:
        _run(
            "statistics",
            form,
            statistics_routine,
            lambda: proof.agree(batch_statistics, windows.batch_statistics, x),
            words,
            lines,
            x.nbytes,
        )
    except CompilationFailed as failure:
        giving_way.warn(failure)
        return windows.batch_statistics(x)
    return _joined(means, squares, _counts(lines, parts))


def _joined(means: Array, squares: Array, counts: Array) -> tuple[Array, Array]:
    """Return mean and squared distances of whole channels from those of their parts."""
    if means.shape[1] == 1:
        return means[:, 0], squares[:, 0]
    with np.errstate(all="ignore"):
        mean = (means * counts).sum(axis=1) / counts.sum()
        return mean, squares.sum(axis=1) + (counts * (means - mean[:, None]) ** 2).sum(axis=1)


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
    axes = [(n, x, y, 0) for n, x, y in zip(shape, x_steps, y_steps, strict=True)]
    channel, others = (*axes[1][:3], 1), _merged([axes[0], *axes[2:]])
    beside = bool(others) and others[0][1] == others[0][2] == itemsize
    if shape[1] > 1 and x_steps[1] == y_steps[1] == itemsize and not beside:
        row, *outer = others or [(1, 0, 0, 0)]
        block = min(row[0], max(1, BLOCK // shape[1]))
        blocks = -(-row[0] // block)
        places = (len(outer), shape[1], itemsize, itemsize, *row[:3], block, blocks)
        return Lines("across", places, _words(outer), prod(walk[0] for walk in outer) * blocks)
    line, *outer = others or [(1, itemsize, itemsize, 0)]
    kind: Kind = "run" if line[1] == line[2] == itemsize or line[0] == 1 else "steps"
    block = min(line[0], BLOCK)
    blocks = -(-line[0] // block)
    x_step, y_step = (itemsize, itemsize) if kind == "run" else line[1:3]
    places = (1 + len(outer), line[0], x_step, y_step, 1, 0, 0, block, blocks)
    return Lines(kind, places, _words([channel, *outer]), shape[1] * prod(walk[0] for walk in outer) * blocks)


def _merged(walks: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Return walks from the innermost in y outwards, joined where two go on like one in x and y."""
    result: list[tuple[int, int, int, int]] = []
    for n, x, y, channel in sorted((walk for walk in walks if walk[0] != 1), key=lambda walk: abs(walk[2])):
        if result and (x, y) == tuple(step * result[-1][0] for step in result[-1][1:3]):
            result[-1] = (n * result[-1][0], *result[-1][1:])
        else:
            result.append((n, x, y, channel))
    return result


def _words(walks: list[tuple[int, int, int, int]]) -> npt.NDArray[np.int64]:
    words = np.array([word for walk in walks for word in walk] or [0], np.int64)
    words.setflags(write=False)
    return words


def _numbers(given: tuple[Array | None, ...], channels: int) -> list[Array]:
    """Return mean, var, weight and bias compact and of one type: float32 where all of them are."""
    dtype = np.dtype(np.float32 if all(one is None or one.dtype == np.float32 for one in given) else np.float64)
    defaults = (0.0, 1.0, 1.0, 0.0)
    return [
        _constant(default, channels, dtype) if one is None else np.ascontiguousarray(one, dtype)
        for one, default in zip(given, defaults, strict=True)
    ]


@lru_cache(maxsize=32)
def _constant(value: float, count: int, dtype: np.dtype[Any]) -> Array:
    numbers = np.full(count, value, dtype)
    numbers.setflags(write=False)
    return numbers


@lru_cache(maxsize=16)
def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def _given(out: Array | None, result: Array) -> Array:
    if out is None:
        return result
    np.copyto(out, result, casting="unsafe")
    return out


def _run(
    word: str,
    form: Form,
    build: Callable[..., str],
    trial: Callable[[], bool],
    words: array[int],
    lines: Lines,
    size: int,
) -> None:
    target = current()
    routine = proof.compiled(form.name(word), form, lambda: build(form, target), target, trial)
    workers.run(routine.address, words.buffer_info()[0], lines.tasks, 1 if size < ALONE else None)
