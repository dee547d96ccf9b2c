"""Dense convolution: the planes, the schedule and the call of the routine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.planes import Layout, layout_of, planes_of
from striderule.algorithms.direct.routine import POINTERS, SIZES, Tile, product_routine
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import jit, workers
from striderule.codegen.target import Target, current
from striderule.errors import CompilationFailed
from striderule.geometry.problem import Convolution
from striderule.planning.cost import register_tile, sweep_of

Array = npt.NDArray[Any]

# Positions that a task sweeps for each block of rows: with a chain of terms they stay in the second-level cache.
SWEEP = 1024
# Bytes that stay in the second-level cache beside other things.
NEAR = 1 << 19
# Tasks to aim for: enough to share evenly between the threads of a common machine, whatever their number.
TASKS = 32
# Bytes of planes and sums that are held at a time; a single image may need more.
WORKSPACE = 1 << 26
# Positions an axis that are enough to try a routine on.
CORNER = 48


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the work is cut: decided by the problem of one group of one image and the target alone."""

    tile: Tile
    lines: int
    length: int
    row_blocks: int
    row_tasks: int
    task_lines: int
    line_tasks: int
    tiles: int
    tile_tasks: int

    @classmethod
    def of(cls, problem: Convolution, target: Target, itemsize: int) -> Schedule:
        """Return the schedule of the sums of one group."""
        lanes = target.lanes(itemsize)
        rows = problem.out_channels // problem.groups
        lines, length = sweep_of(problem, lanes)
        tile = Tile(*register_tile(rows, length, target.registers, lanes))
        width = tile.vectors * lanes
        row_tiles, column_tiles = -(-rows // tile.rows), -(-length // width)
        tiles = min(column_tiles, max(1, SWEEP // width))
        task_lines = min(lines, max(1, SWEEP // (tiles * width)))
        tile_tasks, line_tasks = -(-column_tiles // tiles), -(-lines // task_lines)
        row_blocks = -(-row_tiles // min(row_tiles, max(1, TASKS // (tile_tasks * line_tasks))))
        if problem.terms * task_lines * tiles * width * itemsize <= NEAR:
            # All inputs of a task stay near, so rows are finished one after the other and weights streamed.
            row_blocks = 1
        row_tasks = -(-row_tiles // row_blocks)
        return cls(tile, lines, length, row_blocks, row_tasks, task_lines, line_tasks, tiles, tile_tasks)

    @property
    def tasks(self) -> int:
        """How many tasks one group of one image has."""
        return self.row_tasks * self.line_tasks * self.tile_tasks


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before].

    Gives way to `windows`, with one warning, where no code can be made.
    """
    out = memory.empty(problem.output_shape, problem.dtype)
    if out.size == 0 or problem.terms == 0:
        out[...] = 0
        return out
    layout = layout_of(problem)
    weights = np.ascontiguousarray(weight, out.dtype)
    try:
        plan = _prepared(problem, out.dtype)
    except CompilationFailed as failure:
        giving_way.warn(failure)
        return windows.convolution(problem, x, weight, fill)
    image_bytes = (layout.pitch * problem.in_channels + out[0].size) * out.itemsize
    step = max(1, WORKSPACE // image_bytes)
    for first in range(0, problem.batch, step):
        images = slice(first, first + step)
        planes = planes_of(problem, layout, x[images], fill, out.dtype, plan.slack)
        _product(problem, layout, plan, planes, weights, out[images])
    if _pads_zeros(problem, fill) and _has_nan(out) and not np.isfinite(weights).all():
        # An infinite weight on zero padding has made a NaN, where the definition has no term.
        return windows.convolution(problem, x, weight, fill)
    return out


@dataclass(frozen=True, slots=True)
class Prepared:
    """The routine and the schedule of a problem; `slack` elements behind the input may be read."""

    routine: jit.Routine
    schedule: Schedule
    slack: int


def _prepared(problem: Convolution, dtype: np.dtype[Any]) -> Prepared:
    """Return the routine, made and loaded if it is new."""
    target = current()
    schedule = Schedule.of(problem, target, dtype.itemsize)
    tile = schedule.tile
    name = f"product_{dtype.name}_{tile.rows}x{tile.vectors}"
    build = lambda: product_routine(name, target, dtype.name, tile)  # noqa: E731 - short, and used at once
    routine = proof.compiled(name, tile, build, target, lambda: _agrees(problem, dtype, tile))
    return Prepared(routine, schedule, max(0, tile.vectors * target.lanes(dtype.itemsize) - schedule.length))


def _agrees(problem: Convolution, dtype: np.dtype[Any], tile: Tile) -> bool:
    """Compare a routine with NumPy, on a corner of one image where that has the same tile, or else on all of it."""
    one = replace(problem, batch=1)
    corner = replace(one, size=tuple(min(n, CORNER + e) for n, e in zip(one.size, one.extent, strict=True)))
    tried = corner if Schedule.of(corner, current(), dtype.itemsize).tile == tile else one
    x = np.empty((1, tried.in_channels, *tried.size), dtype)
    weight = np.empty((tried.out_channels, tried.in_channels // tried.groups, *tried.kernel), dtype)
    return proof.agree(convolution, windows.convolution, tried, x, weight)


def _has_nan(out: Array) -> bool:
    """Tell whether there may be a NaN, by one sum: infinities of both signs count too."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isnan(out.sum()))


def _pads_zeros(problem: Convolution, fill: Any) -> bool:
    sides = zip(problem.padding, problem.boundary, strict=True)
    pairs = [(side, word) for pads, words in sides for side, word in zip(pads, words, strict=True)]
    return fill == 0 and any(side > 0 and word == "constant" for side, word in pairs)


def _product(problem: Convolution, layout: Layout, plan: Prepared, planes: Array, weights: Array, out: Array) -> None:
    """Fill the outputs of some images from their planes."""
    groups, rows, schedule = problem.groups, problem.out_channels // problem.groups, plan.schedule
    # Where there are no positions between the rows the result is written in place.
    positions = schedule.lines * schedule.length
    compact = prod(problem.output_size) == positions
    lead = out.shape[:2]
    sums = out if compact else memory.scratch("sums", prod(lead) * positions, out.dtype).reshape(*lead, -1)
    values = {
        "x": planes.ctypes.data,
        "w": weights.ctypes.data,
        "y": sums.ctypes.data,
        "table": layout.table.ctypes.data,
        "starts": layout.starts.ctypes.data,
        "rows": rows,
        "terms": problem.terms,
        "lines": schedule.lines,
        "length": schedule.length,
        "groups": groups,
        "x_group": planes[0].size // groups,
        "w_group": rows * problem.terms,
        "y_group": rows * positions,
        "y_row": positions,
        "row_blocks": schedule.row_blocks,
        "row_tasks": schedule.row_tasks,
        "task_lines": schedule.task_lines,
        "line_tasks": schedule.line_tasks,
        "tiles": schedule.tiles,
        "tile_tasks": schedule.tile_tasks,
    }
    arguments = np.array([values[word] for word in (*POINTERS, *SIZES)], np.int64)
    workers.run(plan.routine.address, arguments.ctypes.data, out.shape[0] * groups * schedule.tasks)
    if not compact:
        strides = (*sums.strides[:2], *(step * sums.itemsize for step in layout.steps))
        out[...] = as_strided(sums, out.shape, strides, writeable=False)
