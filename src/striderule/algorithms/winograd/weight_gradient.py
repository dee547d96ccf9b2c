"""Gradients of weights by transformed tiles: what the library calls."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct import weight_gradient as direct
from striderule.algorithms.direct.weight_routine import NOWHERE
from striderule.algorithms.windows import weight_gradient as windows
from striderule.algorithms.winograd.structure import OUTSIDE
from striderule.algorithms.winograd.tile_sums_routine import (
    POINTERS,
    SIDE,
    SIZES,
    Form,
    row_points,
    tile_sums_routine,
)
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import Target, current
from striderule.geometry.gradients import WeightGradient
from striderule.planning.tile_sums import TAPS, TILE, TileSums, tile_sums
from striderule.planning.winograd import met_planes

Array = npt.NDArray[Any]

_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}


def weight_gradient(problem: WeightGradient, x: Array, gy: Array, *, variant: str = "F2") -> Array:
    """gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j + t - before], for kernels of 3x3 along the last two axes.

    `variant` is F2: tiles of two outputs along each axis. Gives way to `direct` for results that are not finite, and
    where all are tiny.
    """
    del variant  # there is one
    x, gy = (one if _is_plain(one) else np.ascontiguousarray(one) for one in (x, gy))
    if 0 not in (problem.terms, *problem.output_shape):
        call = giving_way.attempt(call_for, problem, ArrayInfo.of(x), ArrayInfo.of(gy))
        found = None if call is None else call.run(x, gy)
        if found is not None:
            return found
    return direct.weight_gradient(problem, x, gy)


def _is_plain(one: Array) -> bool:
    """Tell whether columns stand side by side."""
    whole = not any(step % one.itemsize for step in one.strides)
    return whole and one.flags.aligned and one.strides[-1] == one.itemsize


@dataclass(frozen=True, slots=True)
class Call:
    """A gradient bound to shapes and strides. `room` counts the bytes that each thread needs."""

    routine: Routine
    template: bytes
    tables: tuple[npt.NDArray[np.int64], ...]
    room: int
    problem: WeightGradient
    plan: TileSums

    def run(self, x: Array, gy: Array) -> Array | None:
        """Return the gradient, or None where it has to be computed in another way."""
        words = array("q", self.template)
        threads = min(workers.get_num_threads(), self.plan.tasks)
        work = memory.room("tile_sums", threads * self.room)
        # Planes that are met come first.
        outputs, inputs, *taps = self.problem.output_shape
        met = prod(taps[:-2])
        result = memory.empty((met, outputs, inputs, *taps[-2:]), np.float32)
        parts = direct.parts_of(result, self.plan.parts)
        # A flag for the room of each thread, and whether there are results that are not finite, and such that are not
        # tiny.
        flags = array("q", bytes(8 * (threads + 2)))
        start = flags.buffer_info()[0]
        told = {
            "x": memory.address(x), "gy": memory.address(gy), "gw": memory.address(parts), "work": work.address,
            "flags": start, "status": start + 8 * threads, "threads": threads,
        }  # fmt: skip
        for word, value in told.items():
            words[_AT[word]] = value
        workers.run(self.routine.address, words.buffer_info()[0], self.plan.tasks)
        not_finite, not_tiny = flags[threads:]
        if not_finite or not not_tiny:
            return None
        direct.add_up(parts, result)
        if met == 1:
            return result.reshape(self.problem.output_shape)
        found = memory.empty(self.problem.output_shape, np.float32)
        found.reshape(outputs, inputs, met, *taps[-2:])[...] = np.moveaxis(result, 0, 2)
        return found


@lru_cache(maxsize=256)
def call_for(problem: WeightGradient, x: ArrayInfo, gy: ArrayInfo, target: Target | None = None) -> Call:
    """Return the call for arrays that stand like these; `CompilationFailed` where no code can be made."""
    target = target or current()
    lanes = target.lanes(4)
    plan = tile_sums(problem, lanes, target.registers)
    form = Form(plan.rows, plan.vectors)

    def trial() -> bool:
        arrays = (np.lib.stride_tricks.as_strided(np.empty(1, one.dtype), one.shape, one.strides) for one in (x, gy))
        return proof.agree(
            lambda *drawn: weight_gradient(problem, *drawn), lambda *drawn: windows.weight_gradient(problem, *drawn),
            *arrays,
        )  # fmt: skip

    routine = proof.compiled(form.name, form, lambda: tile_sums_routine(form, target), target, trial)
    plain = problem.plain
    tables = (
        _planes(problem, x, gy), np.array(row_points(), np.int64),
        _bits(plan.width, plain.padding[-1][0], plain.size[-1]), _bits(plan.width, 0, plain.output_size[-1]),
    )  # fmt: skip
    values = _values(problem, plan, lanes, x, gy)
    values |= zip(("planes", "row_points", "input_bits", "output_bits"), map(memory.address, tables), strict=True)
    words = array("q", [values.get(name, 0) for name in (*POINTERS, *SIZES)])
    return Call(routine, words.tobytes(), tables, 4 * values["room"], problem, plan)


def _values(problem: WeightGradient, plan: TileSums, lanes: int, x: ArrayInfo, gy: ArrayInfo) -> dict[str, int]:
    """Return the sizes that the routine is told."""
    plain = problem.plain
    (x_channel, x_row), (gy_channel, gy_row) = ([one.strides[k] // 4 for k in (1, -2)] for one in (x, gy))
    width = plan.vectors * lanes
    outputs = plan.panels * width
    # Vectors are written that reach beyond the last tile, and sums of whole tiles of registers.
    tiles = plan.tiles + lanes
    pitch, rows = _apart(tiles), -(-plan.channels // plan.rows) * plan.rows
    v_point, u_panel = _apart(plan.channels * pitch), tiles * width
    u_point = _apart(plan.panels * u_panel)
    panel_sums = (rows + lanes) * width
    point_sums = _apart(plan.panels * panel_sums)
    sizes = {
        "collected_at": outputs * TILE * pitch, "u_at": SIDE * u_point, "v_at": SIDE * v_point,
        "sums_at": SIDE * point_sums, "totals_at": 2 * SIDE**2 * point_sums, "found_at": TAPS**2 * point_sums,
    }  # fmt: skip
    places, room = {}, 0
    for word, size in sizes.items():
        places[word] = room
        room += _apart(size)
    return {
        "outputs": plain.out_channels // plain.groups, "inputs": plain.in_channels // plain.groups,
        "groups": plain.groups, "plane_count": plan.planes, "met": met_planes(plain),
        "tile_rows": plan.height, "tile_columns": plan.width,
        "input_height": plain.size[-2], "input_width": plain.size[-1],
        "height": plain.output_size[-2], "width": plain.output_size[-1],
        "top": plain.padding[-2][0], "left": plain.padding[-1][0],
        "x_channel": x_channel, "x_row": x_row, "gy_channel": gy_channel, "gy_row": gy_row,
        "output_blocks": plan.output_blocks, "panels": plan.panels,
        "channels": plan.channels, "channel_blocks": plan.channel_blocks,
        "images": plan.images, "lines": plan.lines, "columns": plan.columns,
        "line_bands": plan.line_bands, "column_bands": plan.column_bands, "bands": plan.bands,
        "chain": plan.chain, "chunk": plan.chunk, "part": plan.part,
        "room": room, "pitch": pitch, "u_point": u_point, "u_panel": u_panel, "v_point": v_point,
        "panel_sums": panel_sums, "point_sums": point_sums, "whole": plain.out_channels * plain.terms,
    } | places  # fmt: skip


def _planes(problem: WeightGradient, x: ArrayInfo, gy: ArrayInfo) -> npt.NDArray[np.int64]:
    """Return for each plane of output gradients where it begins, and where the planes of inputs do that it meets."""
    steps, batch = [[step // 4 for step in one.strides] for one in (x, gy)], problem.plain.batch
    inputs, gradients = direct.outer_places(problem.plain, *steps)
    (x_image, gy_image), images = (one[0] for one in steps), np.arange(batch)[:, None]
    begins = (images * gy_image + gradients)[..., None]
    met = np.where(inputs == NOWHERE, OUTSIDE, images[..., None] * x_image + inputs)
    return np.ascontiguousarray(np.concatenate((begins, met), axis=2), np.int64)


def _bits(tiles: int, before: int, count: int) -> npt.NDArray[np.int64]:
    """Return of each tile in a row which of the numbers from its first on there are, as bits."""
    found = []
    for tile in range(tiles):
        first, last = (min(max(end - (tile * TILE - before), 0), 62) for end in (0, count))
        found.append((1 << last) - (1 << min(first, last)))
    return np.array(found, np.int64)


def _apart(count: int) -> int:
    """Return a distance of at least so many elements: an odd number of cache lines, which meet in different sets."""
    lines = -(-count // 16)
    return 16 * (lines + 1 - lines % 2)
