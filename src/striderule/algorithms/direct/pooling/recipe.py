"""Which routine computes a pooling, and the words that it is called with: everything but the addresses."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct.pooling.axes import Axis, Windowed, axes_of
from striderule.algorithms.direct.pooling.structure import (
    LONGEST,
    POINTERS,
    POSITIONS,
    ROOM,
    SHUFFLED,
    SIZES,
    UNROLLED,
    Structure,
)
from striderule.codegen.target import Target
from striderule.geometry.pooling import Pooling

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

# Elements of the input that a task looks at: enough to be worth handing out, few enough to balance. Up to `ALONE` in
# all are one task: another thread would not have begun before it is done.
TASK, ALONE = 1 << 13, 1 << 15
# Outputs of a row from which windows that stand side by side are pooled where they are read.
FEW = 12
# Elements of the largest plane that is reduced together with others; more are quicker one after the other.
SHORT = 512
# Vectors of lanes of a task across windows.
ACROSS = 16
# Scales that a routine reads at once.
WIDEST = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """How the axes are gone through.

    `order` are the spatial axes from the outermost to the one that is pooled last; `lane` is the axis of the lanes
    across windows (0: images, 1: channels) or None.
    """

    order: Ints
    lane: int | None


def layout_of(shape: Ints, steps: Ints, *, any_order: bool, lanes: bool = True) -> Layout:
    """Return how to go through an array (batch, channels, *size) with these steps in elements.

    With `any_order` any spatial axis may come last; without `lanes` none lie across windows.
    """
    order = tuple(range(2, len(shape)))

    def near(axis: int) -> bool:
        return steps[axis] == 1 and shape[axis] > 1

    if near(order[-1]):
        return Layout(order, None)
    for lane in (1, 0):
        if lanes and near(lane):
            return Layout(order, lane)
    for axis in order[:-1]:
        if any_order and near(axis):  # the largest is the same whichever axis comes last
            return Layout((*(other for other in order if other != axis), axis), None)
    return Layout(order, None)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A routine's structure, the words without the first three addresses, the tasks, and what the words point to."""

    structure: Structure
    words: npt.NDArray[np.int64]
    tasks: int
    tables: tuple[Array, ...]


def _scales(kind: str, problem: Windowed, axes: list[Axis], divides: bool) -> list[Array]:
    """Return what the sums are divided by or multiplied with, as one factor of each axis."""
    if isinstance(problem, Pooling) and problem.divisor_override is not None:
        counts = [np.full(axis.outputs, 1.0) for axis in axes]
        counts[-1][...] = problem.divisor_override
    else:
        counts = [np.maximum(axis.counted, 1).astype(np.float64) for axis in axes]
    if kind == "root" or (isinstance(problem, Pooling) and problem.kind == "lp"):
        return [axis.taps / count for axis, count in zip(axes, counts, strict=True)]
    return counts if divides else [1.0 / count for count in counts]


def _merged(axes: list[Axis], steps: list[Ints]) -> tuple[list[Axis], list[Ints]]:
    """Join the last two axes where every window has whole rows that stand one behind the other in memory."""
    while len(axes) > 1:
        before, last = axes[-2:]
        whole = (
            last.outputs == 1 and last.windows[0, 1] == last.n == last.taps and last.dilation == before.dilation == 1
        )
        if not whole or steps[0][-2] != last.n * steps[0][-1] or last.counted[0] != last.n:
            break
        windows = before.windows * last.n
        taps, counted = before.taps * last.n, before.counted * last.n
        joined = Axis(
            before.n * last.n,
            before.outputs,
            taps,
            before.stride * last.n,
            1,
            before.before * last.n,
            before.steps,
            windows,
            counted,
        )
        axes = [*axes[:-2], joined]
        # The input is stepped through by the last axis, the results by the one before.
        steps = [(*steps[0][:-2], steps[0][-1]), *((*step[:-2], step[-2]) for step in steps[1:])]
    return axes, steps


@dataclass(frozen=True, slots=True)
class Rows:
    """How rows are held: outputs and rows at a time, numbers from one to the next, whether outputs follow one another.

    `reach` are (first, end) of the positions that the outputs of every chunk need, where a table says so.
    """

    chunk: int
    held: int = 1
    pitch: int = 0
    joined: bool = False
    reach: Array | None = None


def _rows(last: Axis, mode: str, follow: bool) -> Rows:
    """Return how the rows of a mode are held; `follow` tells that outputs of successive rows may follow one another."""
    if mode == "along":
        taps = (last.taps - 1) * last.dilation + 1
        chunk = min(last.outputs, (ROOM - taps) // last.stride + 1)
        joined = follow and chunk == last.outputs and last.before == 0 and taps <= last.stride
        joined = joined and last.outputs * last.stride <= ROOM
        # Rows begin at multiples of a cache line where they can.
        pitch = chunk * last.stride if joined else _up((chunk - 1) * last.stride + taps, 16) | 16
        return Rows(chunk, max(1, ROOM // pitch), pitch, joined)
    if mode != "table":
        return Rows(max(1, last.outputs))
    if len(last.windows) != last.outputs:  # other windows in every plane
        return Rows(last.outputs, max(1, ROOM // last.n), last.n, reach=np.array([[0, last.n]], np.int64))
    start, length = last.windows[:, 0], last.windows[:, 1]
    end = np.where(length > 0, start + (length - 1) * last.dilation + 1, start)
    chunk = last.outputs
    while True:
        heads = np.arange(0, last.outputs, chunk)
        reach = np.stack([np.minimum.reduceat(start, heads), np.maximum.reduceat(end, heads)], axis=1)
        pitch = int((reach[:, 1] - reach[:, 0]).max())
        if chunk == 1 or pitch <= ROOM:
            return Rows(chunk, max(1, ROOM // max(1, pitch)), pitch, reach=np.ascontiguousarray(reach))
        chunk = -(-chunk // 2)


def _follow(steps: Ints, axes: list[Axis]) -> bool:
    """Tell whether the rows of results stand one behind the other."""
    sizes = [axis.outputs for axis in axes]
    return all(step == prod(sizes[axis + 1 :]) * steps[-1] for axis, step in enumerate(steps))


def _is_whole(problem: Windowed, axes: list[Axis], lead: list[Ints], spatial: list[Ints]) -> bool:
    """Tell whether planes are one window each, compact, and stand at equal distances."""
    return (
        _is_even(problem, lead)
        and len(axes) == 1
        and axes[0].n <= SHORT
        and spatial[0][-1] == 1
        and axes[0].windows.tolist() == [[0, axes[0].n]]
    )


def _is_even(problem: Windowed, lead: list[Ints]) -> bool:
    """Tell whether planes stand at equal distances."""
    return all(step[0] == problem.channels * step[1] for step in lead)


def _is_few(problem: Windowed, axes: list[Axis], lead: list[Ints], spatial: list[Ints], lanes: int) -> bool:
    """Tell whether planes are small and compact, with rows of fewer outputs than a vector of sums has lanes."""
    if len(axes) != 2 or not _is_even(problem, lead) or any(len(axis.windows) != axis.outputs for axis in axes):
        return False
    positions, outputs = axes[0].n * axes[1].n, axes[0].outputs * axes[1].outputs
    compact = spatial[0] == (axes[1].n, 1) and spatial[1] == (axes[1].outputs, 1)
    many = problem.batch * problem.channels >= lanes and lanes <= positions <= POSITIONS
    return compact and many and axes[1].outputs < lanes and outputs <= POSITIONS - lanes


def _mode(axes: list[Axis], lane: int | None) -> str:
    """Return where the lanes lie; see `Structure`."""
    last = axes[-1]
    if lane is not None:
        return "across"
    varied = len(last.windows) != last.outputs
    if last.extent > LONGEST or (varied and last.n > ROOM):
        return "within"
    if last.outputs == 1 and not varied and last.windows[0, 1] > 1:
        return "within"
    return "along" if last.steps and last.stride <= SHUFFLED else "table"


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _tasks(axes: list[Axis], planes: int, mode: str, chunk: int) -> tuple[int, int, int]:
    """Return how many planes, rows and columns a task computes: about `TASK` elements of the input.

    `chunk` are the columns that stay together, or the planes.
    """
    rows, columns = prod(axis.outputs for axis in axes[:-1]), axes[-1].outputs
    last = axes[-1]
    if mode == "planes":
        total = planes * axes[0].n * last.n
        few = planes if total <= ALONE else max(1, TASK // (axes[0].n * last.n))
        return min(planes, _up(few, chunk)), rows, columns
    across = WIDEST if mode == "across" else 1
    each = prod(axis.taps for axis in axes[:-1]) * across
    each_row = max(1, each * (last.n if mode in ("along", "table") else columns * last.taps))
    task = ALONE if planes * rows * each_row <= ALONE else TASK
    task_columns = columns
    if each_row > task:
        task_columns = max(1, columns * task // each_row)
        task_columns = -(-task_columns // chunk) * chunk if mode in ("along", "table") else task_columns
    task_rows = max(1, min(rows, task // each_row))
    task_planes = max(1, min(planes, task // (each_row * rows))) if task_rows == rows else 1
    return task_planes, task_rows, task_columns


@dataclass(frozen=True, slots=True)
class Way:
    """How a problem is gone through: its axes as they are taken, all steps, and where the lanes lie.

    `lead` are the steps from image to image and from channel to channel, `spatial` those of the axes, each of the
    input, the results and the places.
    """

    kind: str
    problem: Windowed
    axes: list[Axis]
    lead: list[Ints]
    spatial: list[Ints]
    lane: int | None
    mode: str

    @property
    def last(self) -> Axis:
        """The axis that is pooled last."""
        return self.axes[-1]

    @property
    def lane_steps(self) -> list[int]:
        """Steps from lane to lane in the input, the results and the places."""
        if self.mode == "across":
            return [step[self.lane or 0] for step in self.lead]
        if self.mode == "whole":  # read along planes, written across them
            return [self.spatial[0][-1], *(step[1] for step in self.lead[1:])]
        return [step[-1] for step in self.spatial]

    @property
    def near(self) -> bool:
        """Whether windows stand side by side in rows, and all that vectors of them read is inside."""
        last = self.last
        apart = last.before == 0 and last.dilation == 1 and last.taps <= min(last.stride, UNROLLED)
        inside = last.outputs * last.stride <= last.n and last.outputs >= FEW
        return self.mode == "along" and self.lane_steps[0] == 1 and apart and inside


def _way_of(
    kind: str,
    problem: Windowed,
    steps: tuple[Ints, Ints, Ints],
    layout: Layout,
    target: Target,
    starts: list[Array] | None,
) -> Way:
    windows = axes_of(problem, starts)
    axes = [windows[axis - 2] for axis in layout.order]
    lead = [step[:2] for step in steps]
    spatial = [tuple(step[axis] for axis in layout.order) for step in steps]
    if layout.lane is None and starts is None:
        axes, spatial = _merged(axes, spatial)
    mode = _mode(axes, layout.lane)
    if mode == "within" and _is_whole(problem, axes, lead, spatial):
        mode = "whole"
    # In the same order as along rows, so that it may depend on the number of planes.
    ordered = kind in ("sum", "root") and mode in ("along", "table")
    if ordered and starts is None and _is_few(problem, axes, lead, spatial, target.lanes(8)):
        mode = "planes"
    return Way(kind, problem, axes, lead, spatial, layout.lane, mode)


def _structure(way: Way, names: tuple[str, str]) -> Structure:
    axes, last, along = way.axes, way.last, way.mode == "along"
    unrolled = along or (way.mode == "planes" and bool((last.windows[:, 1] == last.taps).all()))
    few = UNROLLED if way.lane is None else UNROLLED // 2  # across windows there is little to gain by more code
    written = way.lane_steps[1 : 3 if way.kind == "argmax" else 2]
    return Structure(
        way.kind,
        *names,
        way.mode,
        outer=len(axes) - 1,
        rows=axes[-2].longest if len(axes) > 1 and axes[-2].longest <= few else 0,
        stride=last.stride if along else 1,
        taps=last.taps if unrolled and last.taps <= UNROLLED and last.dilation == 1 else 0,
        x_apart=way.lane_steps[0] != 1 or (way.mode == "within" and last.dilation != 1),
        y_apart=any(step != 1 for step in written) and way.mode in ("across", "along", "whole"),
        divides=way.kind == "sum" and names[1] == "float64" and getattr(way.problem, "kind", "") != "lp",
        near=way.near,
        filled=all(bool((axis.windows[:, 1] > 0).all()) for axis in axes),
    )


def recipe_of(
    kind: str,
    problem: Windowed,
    names: tuple[str, str],
    steps: tuple[Ints, Ints, Ints],
    layout: Layout,
    target: Target,
    starts: list[Array] | None = None,
) -> Recipe:
    """Return the recipe for arrays of these types and steps (input, results, places), in elements."""
    way = _way_of(kind, problem, steps, layout, target, starts)
    s, axes, last = _structure(way, names), way.axes, way.last
    words = _words(way, s, target)
    scales = _scales(kind, problem, axes, s.divides) if s.sums else [np.ones(1)] * len(axes)
    even = [bool((scale == scale[:1]).all()) for scale in scales]
    scales[-1] = np.pad(scales[-1][:1] if even[-1] else scales[-1], (0, WIDEST), mode="edge")
    rows = _rows(last, "near" if s.near else s.mode, all(even) and all(_follow(step, axes) for step in way.spatial[1:]))
    chunk = target.lanes(8) if s.mode == "planes" else 1 if s.near else rows.chunk
    pieces = _tasks(axes, words["planes"], s.mode, chunk)
    words |= {
        "scale_step": 0 if even[-1] else 1,
        "chunk": rows.chunk,
        "held": rows.held,
        "pitch": rows.pitch,
        "joined": int(rows.joined),
        "task_planes": pieces[0],
        "task_rows": pieces[1],
        "task_columns": pieces[2],
        "row_tasks": -(-words["rows"] // pieces[1]),
        "column_tasks": -(-last.outputs // pieces[2]),
    }
    tables = {} if rows.reach is None else {"reach": rows.reach}
    for place, axis, scale in zip(range(3 - len(axes), 3), axes, scales, strict=True):
        tables[f"windows{place}"], tables[f"scale{place}"] = axis.windows, scale
    words |= {name: memory.address(table) for name, table in tables.items()}
    found = np.array([words.get(word, 0) for word in (*POINTERS, *SIZES)], np.int64)
    tasks = -(-words["planes"] // pieces[0]) * words["row_tasks"] * words["column_tasks"]
    return Recipe(s, found, tasks, tuple(tables.values()))


def _words(way: Way, s: Structure, target: Target) -> dict[str, int]:
    """Return the sizes that follow from the axes and the steps."""
    axes, last, lane = way.axes, way.last, way.lane
    sizes = way.problem.batch, way.problem.channels
    words = {"inner": sizes[1], "planes": sizes[0] * sizes[1]}
    if lane is not None:
        block = ACROSS * target.lanes(s.work.itemsize)
        blocks = -(-sizes[lane] // block)
        words = {"inner": blocks, "planes": sizes[1 - lane] * blocks, "lanes": sizes[lane], "plane_lanes": block}
    for name, ends, steps in zip(("x", "y", "where"), way.lead, way.spatial, strict=True):
        if lane is None:
            words |= {f"{name}_outer": ends[0], f"{name}_inner": ends[1]}
        else:
            words |= {f"{name}_outer": ends[1 - lane], f"{name}_lane": ends[lane]}
            words[f"{name}_inner"] = ends[lane] * words["plane_lanes"]
        words |= {f"{name}{3 - len(axes) + number}": step for number, step in enumerate(steps)}
    place = last.n
    for axis, number in zip(axes[-2::-1], (1, 0), strict=False):
        words |= {f"place{number}": place, f"d{number}": axis.dilation}
        place *= axis.n
    for number, axis in zip(range(3 - len(axes), 3), axes, strict=True):
        words[f"plane{number}"] = 2 * axis.outputs if len(axis.windows) != axis.outputs else 0
    words["outputs1"] = axes[-2].outputs if len(axes) > 1 else 1
    words["outputs2"], words["rows"] = last.outputs, prod(axis.outputs for axis in axes[:-1])
    return words | {
        "n2": last.n,
        "taps2": last.taps,
        "d2": last.dilation,
        "before2": last.before,
        "positions": prod(axis.n for axis in axes),
    }
