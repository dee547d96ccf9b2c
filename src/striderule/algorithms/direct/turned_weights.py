"""Weights of convolutions turned around, on generated code: what the gradient of an input is computed with.

    result[group, in, out, tap] = weight[group, out, in, taps - 1 - tap]

Algorithm: a copy. Schedule: a task turns a few input channels, whose kernels stand side by side in the weight, output
channel by output channel, so that it reads whole cache lines and writes one stream for each of them.
"""

from __future__ import annotations

from array import array
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.windows import turned_weights as windows
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import Target, current
from striderule.codegen.tile import ELEMENTS
from striderule.codegen.tile import Routine as Builder

Array = npt.NDArray[Any]

SERVED = {"f": "float32", "d": "float64"}
POINTERS, SIZES = ("w", "y"), ("inputs", "outputs", "taps", "blocks")
# Input channels of a task, and elements below which NumPy is as quick.
CHANNELS, FEW = 8, 1 << 12


def turned(weight: Array, groups: int) -> Array:
    """Return (out, in / groups, *kernel) as (in, out / groups, *kernel) with every kernel turned around, compact."""
    served = weight.dtype.char in SERVED and weight.flags.c_contiguous and weight.flags.aligned
    routine = None
    if served and weight.size >= FEW:
        routine = giving_way.attempt(_routine, SERVED[weight.dtype.char], current())
    if routine is None:
        return windows.turned(weight, groups)
    out, per_in, *kernel = weight.shape
    result = memory.empty((groups * per_in, out // groups, *kernel), weight.dtype)
    blocks = -(-per_in // CHANNELS)
    places = memory.address(weight), memory.address(result)
    words = array("q", [*places, per_in, out // groups, prod(kernel), blocks])
    workers.run(routine.address, words.buffer_info()[0], groups * blocks)
    return result


def _routine(element: str, target: Target) -> Routine:
    def trial() -> bool:
        return proof.agree(turned, windows.turned, np.zeros((2 * FEW // 45, 11, 3, 3), element), 2)

    name = f"turned_weights_{element}"
    return proof.compiled(name, (name,), lambda: _text(name, element, target), target, trial)


def _text(name: str, element: str, target: Target) -> str:
    r = Builder(name, target, ELEMENTS[element], pointers=POINTERS, sizes=SIZES)
    inputs, outputs, taps = (r.size(word) for word in SIZES[:3])
    with r.tasks() as task:
        group, first = task // r.size("blocks"), task % r.size("blocks") * CHANNELS
        count = (inputs - first).smaller(CHANNELS)
        with r.loop(outputs) as output:
            source = r.pointer("w") + ((group * outputs + output) * inputs + first) * taps
            goal = r.pointer("y") + ((group * inputs + first) * outputs + output) * taps
            with r.loop(count) as channel:
                here, there = source + (channel * taps + (taps - 1)), goal + channel * outputs * taps
                with r.loop(taps) as tap:
                    r.store(r.load(here + tap * -1, lanes=1), there + tap)
    return r.finish()
