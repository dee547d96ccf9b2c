"""Weights of convolutions turned around, on generated code: what the gradient of an input is computed with.

    result[group, in, out, tap] = weight[group, out, in, taps - 1 - tap]

Algorithm: a copy. Schedule: a task turns a few input channels, whose kernels stand side by side in the weight, output
channel by output channel, so that it reads whole cache lines and writes one stream for each of them. Kernels of one tap
are a matrix, of which squares of vectors are transposed; others are turned vector by vector where parts of vectors can
be read. Where kernels keep their order, as those of channels by themselves, they are one group's.
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
from striderule.codegen.tile import ELEMENTS, Pointer, Size
from striderule.codegen.tile import Routine as Builder
from striderule.planning.planes import MASKS

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
        routine = giving_way.attempt(_routine, SERVED[weight.dtype.char], prod(weight.shape[2:]) == 1, current())
    if routine is None:
        return windows.turned(weight, groups)
    out, per_in, *kernel = weight.shape
    result = memory.empty((groups * per_in, out // groups, *kernel), weight.dtype)
    if per_in == 1 or out == groups:
        out, per_in, groups = 1, out * per_in, 1
    channels = current().lanes(weight.itemsize) if prod(kernel) == 1 else CHANNELS
    blocks = -(-per_in // channels)
    places = memory.address(weight), memory.address(result)
    words = array("q", [*places, per_in, out // groups, prod(kernel), blocks])
    workers.run(routine.address, words.buffer_info()[0], groups * blocks)
    return result


def _routine(element: str, single: bool, target: Target) -> Routine:
    def trial() -> bool:
        shape = (2 * FEW // 45, 45, 1) if single else (2 * FEW // 45, 11, 3, 3)
        return proof.agree(turned, windows.turned, np.zeros(shape, element), 2)

    name, text = f"turned_weights_{element}{'_single' * single}", _single_text if single else _text
    return proof.compiled(name, (name,), lambda: text(name, element, target), target, trial)


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
                _turn(r, source + channel * taps, goal + channel * outputs * taps, taps, parts=target.name in MASKS)
    return r.finish()


def _turn(r: Builder, source: Pointer, goal: Pointer, taps: Size, *, parts: bool) -> None:
    """Turn a kernel around: by vectors that begin with its last tap, of which `parts` may exist, or tap by tap."""
    if not parts:
        with r.loop(taps) as tap:
            r.store(r.load(source + (taps - 1 - tap), lanes=1), goal + tap)
        return
    with r.loop(taps, step=r.lanes) as tap:
        left = taps - tap
        found = r.load(source + (left - r.lanes), r.lanes_from(r.lanes - left))
        r.store(r.shuffle(found, found, range(r.lanes - 1, -1, -1)), goal + tap, r.first_lanes(left))


def _single_text(name: str, element: str, target: Target) -> str:
    r = Builder(name, target, ELEMENTS[element], pointers=POINTERS, sizes=SIZES)
    inputs, outputs, lanes = r.size("inputs"), r.size("outputs"), r.lanes
    with r.tasks() as task:
        group, first = task // r.size("blocks"), task % r.size("blocks") * lanes
        source = r.pointer("w") + (group * outputs * inputs + first)
        goal = r.pointer("y") + (group * inputs + first) * outputs
        whole = outputs // lanes * lanes
        with r.either((inputs - first).below(lanes)) as (part, all_of):
            with part:
                _squares(r, source, goal, r.whole(0), outputs, inputs - first)
            with all_of:
                with r.loop(whole, step=lanes) as output:
                    rows = [r.load(source + (output + lane) * inputs) for lane in range(lanes)]
                    for lane, column in enumerate(r.transpose(rows)):
                        r.store(column, goal + (outputs * lane + output))
                _squares(r, source, goal, whole, outputs - whole, r.whole(lanes))
    return r.finish()


def _squares(r: Builder, source: Pointer, goal: Pointer, start: Size, count: Size, channels: Size) -> None:
    """Transpose `count` outputs from `start` on, of some of a vector's channels."""
    inputs, outputs = r.size("inputs"), r.size("outputs")
    with r.loop(count, step=r.lanes) as behind:
        output, here = start + behind, r.first_lanes(count - behind)
        # Outputs behind the last one are not written, so it is read again in their place.
        places = [(output + lane).smaller(outputs - 1) for lane in range(r.lanes)]
        there = r.first_lanes(channels)
        for lane, column in enumerate(r.transpose([r.load(source + place * inputs, there) for place in places])):
            with r.when(channels.above(lane)):
                r.store(column, goal + (outputs * lane + output), here)
