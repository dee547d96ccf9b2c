"""Pixel shuffle on generated code: rows mixed in vectors, or one strided copy."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import copying, giving_way, proof
from striderule.algorithms.direct.copying import Plan, Source, Walk
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.shuffle_routine import FACTORS, UNITS, Mix, mix_routine
from striderule.algorithms.windows import shuffle as windows
from striderule.codegen.target import current
from striderule.errors import CompilationFailed

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

# Bytes that a task writes, about, and those below which the calling thread does it all.
TASK, ALONE = 1 << 16, 1 << 17


def pixel_shuffle(x: Array, factor: int, out: Array | None = None) -> Array:
    """(*, c r r, h, w) -> (*, c, r, r, h, w) -> (*, c, h, r, w, r) -> (*, c, h r, w r), in `out` or a new array."""
    *lead, channels, height, width = x.shape
    shape = (*lead, channels // factor**2, height * factor, width * factor)
    result = memory.empty_like(x, shape, x.dtype) if out is None else out
    return _moved(x, factor, result, False)


def pixel_unshuffle(x: Array, factor: int, out: Array | None = None) -> Array:
    """(*, c, h r, w r) -> (*, c, h, r, w, r) -> (*, c, r, r, h, w) -> (*, c r r, h, w), in `out` or a new array."""
    *lead, channels, height, width = x.shape
    shape = (*lead, channels * factor**2, height // factor, width // factor)
    result = memory.empty_like(x, shape, x.dtype) if out is None else out
    return _moved(x, factor, result, True)


def _moved(x: Array, factor: int, result: Array, apart: bool) -> Array:
    if result.size == 0:
        return result
    try:
        bind(x, factor, result, apart=apart).run(x, result)
    except CompilationFailed as failure:
        giving_way.warn(failure)
        np.copyto(result, (windows.pixel_unshuffle if apart else windows.pixel_shuffle)(x, factor))
    return result


def bind(x: Array, factor: int, result: Array, *, apart: bool) -> Call:
    """Return what moves arrays like x into arrays like `result`, which are not empty.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    plan = _plan(x.shape, x.strides, result.strides, factor, apart, x.itemsize)

    def trial() -> bool:
        if apart:
            return proof.agree(pixel_unshuffle, windows.pixel_unshuffle, x, factor)
        return proof.agree(pixel_shuffle, windows.pixel_shuffle, x, factor)

    if isinstance(plan, Plan):
        return plan.call((0, 0), trial)
    mix, target = plan.mix, current()
    routine = proof.compiled(mix.name, mix, lambda: mix_routine(mix, target), target, trial)
    return Call(routine.address, plan.words, plan.tasks, plan.threads, plan.walks)


class Mixing(NamedTuple):
    """The words of a `mix_routine`, how many tasks, and the walks."""

    mix: Mix
    words: array[int]
    tasks: int
    threads: int | None
    walks: npt.NDArray[np.int64]


@lru_cache(maxsize=64)
def _plan(shape: Ints, x_steps: Ints, y_steps: Ints, factor: int, apart: bool, itemsize: int) -> Mixing | Plan:
    *lead, channels, height, width = shape
    if apart:
        height, width = height // factor, width // factor
    else:
        channels //= factor**2
    # The side of the channels is walked on by (lead, c, r, r, h, w), that of the pixels by (lead, c, h, r, w, r).
    coarse, fine = (y_steps, x_steps) if apart else (x_steps, y_steps)
    sizes = (*lead, channels, height, width, factor, factor)
    wide = (*coarse[:-3], coarse[-3] * factor**2, *coarse[-2:], coarse[-3] * factor, coarse[-3])
    small = (*fine[:-2], fine[-2] * factor, fine[-1] * factor, *fine[-2:])
    x, y = (small, wide) if apart else (wide, small)
    walks = list(zip(sizes, x, y, strict=True))
    if factor in FACTORS and itemsize in UNITS and coarse[-1] == fine[-1] == itemsize:
        return _mixing(walks, Mix(itemsize, factor, apart), coarse[-3])
    sources = [Source(n, step) for n, step, _ in walks]
    return copying.plan_of(itemsize, sources, [Walk(n, step, i) for i, (n, _, step) in enumerate(walks)])


def _mixing(walks: list[tuple[int, int, int]], mix: Mix, step: int) -> Mixing:
    *outer, rows, columns, line, _ = walks
    outer = [line, *(walk for walk in reversed(outer) if walk[0] != 1)]
    task_rows = max(1, min(rows[0], TASK // (columns[0] * mix.factor * mix.itemsize)))
    row_tasks = -(-rows[0] // task_rows)
    places = prod(walk[0] for walk in outer)
    table = np.array([word for walk in outer for word in walk], np.int64)
    words = [0, 0, memory.address(table), len(outer), *rows, task_rows, row_tasks, columns[0], step]
    size = places * rows[0] * columns[0] * mix.factor * mix.itemsize
    return Mixing(mix, array("q", words), places * row_tasks, 1 if size < ALONE else None, table)
