"""The tables that the routine of direct convolution looks places up in."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.direct.laying import KEPT, MASKED, OUTSIDE
from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution
from striderule.planning.runs import met_taps
from striderule.planning.schedule import Schedule

Array = npt.NDArray[Any]


def tables_of(problem: Convolution, plan: Schedule, steps: list[int], lanes: int) -> tuple[Array, ...]:
    """Return the tables of rows, columns, outer places, slots, shifts, distances and masks, and of what is kept."""
    rows, columns = [0], _sources(problem, problem.rank - 1)
    if problem.rank > 1:
        rows = [OUTSIDE if place < 0 else place * steps[-2] for place in _sources(problem, problem.rank - 2)]
        last = (plan.row_blocks - 1) * plan.rows * problem.stride[-2] + max(plan.slots)
        rows += [OUTSIDE] * (last + 1 - len(rows))
    furthest = ((plan.column_blocks - 1) * plan.columns + plan.run) * problem.stride[-1] + max(plan.shifts)
    columns += [-1] * (furthest + 1 - len(columns))
    planes = range(plan.chunk)
    if plan.in_place:
        distances = [channel * steps[1] for channel in planes]
    else:
        distances = [channel * plan.plane + tap for channel in planes for tap in plan.taps]
    lists = (rows, columns, _outer(problem, steps), plan.slots, plan.slot_images, plan.shifts, distances)
    return (*(np.array(entries, np.int64) for entries in lists), masks_of(problem, plan, lanes), kept_of(problem, plan))


def masks_of(problem: Convolution, plan: Schedule, lanes: int) -> Array:
    """Return which inputs exist: for each block of rows, shift, and `MASKED` vectors of its run, as bits of a word."""
    if not plan.flat:
        return np.zeros(0, np.int64)
    height, width = problem.size
    count = -(-len(plan.slots) * width // (MASKED * lanes))
    at = np.arange(count * MASKED * lanes)
    rows = np.arange(plan.row_blocks)[:, None] * plan.rows + at // width - problem.padding[0][0]
    columns = np.array(plan.shifts)[:, None] + at % width - problem.padding[1][0]
    inside = (rows >= 0) & (rows < height) & (at < len(plan.slots) * width)
    there = inside[:, None] & (columns >= 0) & (columns < width)
    bits = np.zeros((*there.shape[:2], count, 64), bool)
    bits[..., : MASKED * lanes] = there.reshape(*there.shape[:2], count, -1)
    return np.packbits(bits, axis=-1, bitorder="little").view("<i8").astype(np.int64).ravel()


def kept_of(problem: Convolution, plan: Schedule) -> Array:
    """Return what each block of rows and columns keeps where it leaves out taps that meet only zeros.

    For each block where its lists (`laying.KEPT`) stand in the table, which blocks that keep the same share: the slots,
    and the shifts, each after their number; how many terms of a chunk stand before each chain; and the terms: how many
    a plane has, then distance and number of each. Chains are those of the definition, without what is left out.
    """
    if plan.met == 1:
        return np.zeros(0, np.int64)
    across, taps, each = problem.kernel[-1], len(plan.taps), plan.rows * (plan.slot_images[-1] + 1)
    # A tap's first slot and its shift follow from its distance, and it meets rows at every stride-th slot from there.
    size = len(plan.slots) * plan.run
    down = problem.kernel[-2] if problem.rank > 1 else 1
    firsts = [plan.taps[t * across] % size // plan.run for t in range(down)]
    shifts = [plan.taps[t] // size for t in range(across)]
    found: dict[tuple[int, ...], list[int]] = {}
    heads, lists = [], list[int]()
    begin = len(KEPT) * plan.row_blocks * plan.column_blocks
    for rows in met_taps(problem, -2, plan.rows):
        for columns in met_taps(problem, -1, plan.columns):
            kept = tuple(t * across + u for t in rows for u in columns)
            if kept not in found:
                slots = sorted({firsts[t] + i for t in rows for i in range(each)})
                phases = sorted({shifts[u] for u in columns})
                terms = [(channel, tap) for channel in range(plan.chunk) for tap in kept]
                numbers = np.array([channel * taps + tap for channel, tap in terms], np.int64)
                chains = np.searchsorted(numbers, range(0, plan.chunk * taps + plan.chain, plan.chain)).tolist()
                distances = [channel * plan.plane + plan.taps[tap] for channel, tap in terms]
                pairs = np.stack([distances, numbers], 1).ravel().tolist()
                found[kept] = []
                for words in ([len(slots), *slots], [len(phases), *phases], chains, [len(kept), *pairs]):
                    found[kept].append(begin + len(lists))
                    lists += words
            heads += found[kept]
    return np.array([*heads, *lists], np.int64)


def _sources(problem: Convolution, axis: int) -> list[int]:
    """Return the place that each position of a padded axis shows, -1 for the fill value."""
    found = boundary_indices(problem.size[axis], *problem.padding[axis], problem.boundary[axis])
    return [-1 if place is None else place for place in found]


def _outer(problem: Convolution, steps: list[int]) -> list[int]:
    """Return where every outer tap at every outer position of the output begins in a channel, or `OUTSIDE`."""
    places = [0]
    for axis in range(problem.rank - 2):
        sources, step = _sources(problem, axis), steps[2 + axis]
        reach = [
            [sources[j * problem.stride[axis] + t * problem.dilation[axis]] for t in range(problem.kernel[axis])]
            for j in range(problem.output_size[axis])
        ]
        # Positions first, then taps, each in the order of the axes.
        before = prod(problem.kernel[:axis])
        places = [
            OUTSIDE if place == OUTSIDE or at < 0 else place + at * step
            for first in range(0, len(places), before)
            for taps in reach
            for place in places[first : first + before]
            for at in taps
        ]
    return places
