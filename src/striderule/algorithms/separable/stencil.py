"""Image correlation with sums of outer products: passes along the axes, fused where two follow one another in memory."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.images.terms import Terms
from striderule.algorithms.separable.call import Axis, Cut, Passes, cut
from striderule.algorithms.separable.layout import layout_of, order_of, straight
from striderule.algorithms.separable.routine import passes_routine
from striderule.algorithms.separable.structure import POINTERS
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]


def run(passes: Passes, x: Array, y: Array, down: Array, across: Array, fill: Any, divisor: float) -> bool:
    """Compute y from x by the routine; tell whether all results were finite (or not watched)."""
    target = current()
    plan = cut(passes, target)
    name, structure = plan.structure.name, plan.structure
    routine = proof.compiled(name, structure, lambda: passes_routine(name, target, structure), target, lambda: True)
    words = plan.words[:]
    threads = workers.get_num_threads()
    room = memory.room("separable", threads * plan.room)
    flags, watched = np.zeros(threads, np.int64), np.zeros(1, np.int64)
    blank = np.full(passes.across.size * passes.layout.pixel if plan.blank else 1, fill, passes.source)
    work = np.dtype(passes.work)
    with np.errstate(all="ignore"):
        fills = np.array([(work.type(fill) * one).sum() for one in down], work)
    told = {
        "x": x, "y": y, "down": down, "across": across, "fills": fills, "blank": blank, "flags": flags,
        "watched": watched,
    }  # fmt: skip
    for word, one in told.items():
        words[POINTERS.index(word)] = memory.address(one)
    words[POINTERS.index("work")] = room.address
    words[len(POINTERS)] = threads
    words.extend(np.array([divisor, 1 / divisor], np.float64).view(np.int64).tolist())
    workers.run(routine.address, words.buffer_info()[0], plan.tasks)
    return not watched[0]
