"""Sums of channels on generated code, at the speed of memory: the gradient of a bias."""

from __future__ import annotations

from array import array
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.windows import channel_sums as windows
from striderule.codegen import jit, workers
from striderule.codegen.target import Target, current
from striderule.codegen.tile import ELEMENTS, FLOAT64
from striderule.codegen.tile import Routine as Builder

Array = npt.NDArray[Any]

# Below so many elements NumPy is as quick.
FEW = 1 << 15
# Sums that grow side by side.
SUMS = 4


def channel_sums(g: Array) -> Array:
    """Sum over n and j of g[n, c, j]: one float64 a channel, in which all is added.

    Left to NumPy where there is little to add, or the positions of a channel do not stand side by side.
    """
    size, length = g.itemsize, prod(g.shape[2:])
    if g.size < FEW or g.dtype.name not in ("float32", "float64") or not g.flags.aligned or not _is_joined(g):
        return windows.channel_sums(g)
    routine = giving_way.attempt(_routine, g.dtype.name, current())
    if routine is None:
        return windows.channel_sums(g)
    sums = np.empty(g.shape[1])
    steps = g.strides[0] // size, g.strides[1] // size
    words = array("q", [memory.address(g), memory.address(sums), g.shape[0], length, *steps])
    workers.run(routine.address, words.buffer_info()[0], g.shape[1])
    return sums


def _is_joined(g: Array) -> bool:
    """Tell whether the positions of a channel follow each other, and channels and images begin at whole elements."""
    step = g.itemsize
    for n, stride in zip(reversed(g.shape[2:]), reversed(g.strides[2:]), strict=True):
        if n > 1 and stride != step:
            return False
        step *= n
    return all(stride % g.itemsize == 0 for stride in g.strides[:2])


def _routine(element: str, target: Target) -> jit.Routine:
    def trial() -> bool:
        return proof.agree(channel_sums, windows.channel_sums, np.empty((3, 5, 3 * FEW // 16 + 1), element))

    name = f"channel_sums_{element}"
    return proof.compiled(name, (name,), lambda: _text(name, element, target), target, trial)


def _text(name: str, element: str, target: Target) -> str:
    """Return the routine: a task adds one channel up, in `SUMS` vectors of float64."""
    r = Builder(
        name, target, ELEMENTS[element], pointers=("g", "sums"), sizes=("batch", "length", "image_step", "channel_step")
    )
    with r.tasks() as channel:
        sums = [r.register(r.convert(r.constant(0), FLOAT64)) for _ in range(SUMS)]
        with r.loop(r.size("batch")) as image:
            here = r.pointer("g") + (image * r.size("image_step") + channel * r.size("channel_step"))
            step = SUMS * r.lanes
            whole = r.size("length") // step * step
            with r.loop(whole, step=step) as k:
                for number, total in enumerate(sums):
                    values = r.load(here + (k + number * r.lanes))
                    total.set(total.value + r.convert(values, FLOAT64))
            with r.loop(r.size("length") - whole, step=r.lanes) as k:
                values = r.load(here + (whole + k), r.first_lanes(r.size("length") - whole - k))
                sums[0].set(sums[0].value + r.convert(values, FLOAT64))
        first, second = (one.value + other.value for one, other in (sums[:2], sums[2:]))
        r.store_first(r.sum(first + second), r.pointer("sums", FLOAT64) + channel)
    return r.finish()
