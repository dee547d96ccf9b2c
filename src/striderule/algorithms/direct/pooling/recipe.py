"""Which routine computes a pooling, and the words that it is called with: everything but the addresses."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.direct.pooling.structure import (
    LONGEST,
    POINTERS,
    ROOM,
    SHUFFLED,
    SIZES,
    UNROLLED,
    Structure,
)
from striderule.codegen.target import Target
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
Windowed = Pooling | AdaptivePooling | FractionalPooling

# Elements of the input that a task looks at: enough to be worth a thread, few enough to balance.
TASK = 1 << 15
# Outputs of a row from which windows that stand side by side are pooled where they are read.
FEW = 12
# Elements of the largest plane that is reduced together with others; more are quicker one after the other.
SHORT = 512
# Vectors of lanes of a task across windows.
ACROSS = 16
# Scales that a routine reads at once.
WIDEST = 64


@dataclass(frozen=True, slots=True)
class Axis:
    """The windows of one axis: their number, taps, steps, and pairs (first position inside the input, length inside).

    `counted` is how many positions count in an average. `steps` tells whether windows begin at equal distances, the
    first `before` positions outside.
    """

    n: int
    outputs: int
    taps: int
    stride: int
    dilation: int
    before: int
    steps: bool
    windows: npt.NDArray[np.int64]
    counted: npt.NDArray[np.int64]

    @property
    def extent(self) -> int:
        """Positions from the first to the last of the longest window."""
        return (self.longest - 1) * self.dilation + 1

    @property
    def longest(self) -> int:
        """Elements of the longest window."""
        return int(self.windows[:, 1].max(initial=1))


def _regular(n: int, k: int, s: int, d: int, pads: tuple[int, int], outputs: int, include: bool) -> Axis:
    """Return windows at equal distances."""
    start = np.arange(outputs, dtype=np.int64) * s - pads[0]
    skipped = np.maximum(0, -(start // d))
    end = np.minimum(k, -((start - n) // d))
    windows = np.stack([np.minimum(start + skipped * d, n), np.maximum(end - skipped, 0)], axis=1)
    counted = np.minimum(k, -((start - n - pads[1]) // d)) if include else end - skipped
    return Axis(n, outputs, k, s, d, pads[0], True, np.ascontiguousarray(windows), np.maximum(counted, 1))


def _adaptive(n: int, outputs: int) -> Axis:
    """Return windows that cover an axis evenly; at equal distances where they can be."""
    j = np.arange(outputs, dtype=np.int64)
    first = j * n // max(1, outputs)
    windows = np.ascontiguousarray(np.stack([first, -(-(j + 1) * n // max(1, outputs)) - first], axis=1))
    taps = int(windows[:, 1].max(initial=1))
    stride = int(first[1]) if outputs > 1 else taps
    steps = bool((windows[:, 1] == taps).all() and (first == j * stride).all()) and stride > 0
    return Axis(n, outputs, taps, stride, 1, 0, steps, windows, windows[:, 1])


def axes_of(problem: Windowed, starts: list[Array] | None) -> list[Axis]:
    """Return the windows of every axis; `starts` (batch, channels, outputs) are those of a fractional pooling."""
    if isinstance(problem, AdaptivePooling):
        return [_adaptive(n, o) for n, o in zip(problem.size, problem.output_size, strict=True)]
    if isinstance(problem, Pooling):
        return [
            _regular(
                problem.size[a],
                problem.kernel[a],
                problem.stride[a],
                problem.dilation[a],
                problem.padding[a],
                problem.output_size[a],
                problem.count_include_pad,
            )
            for a in range(problem.rank)
        ]
    axes = []
    for n, k, o, first in zip(problem.size, problem.kernel, problem.output_size, starts or [], strict=True):
        flat = first.reshape(-1).astype(np.int64)
        windows = np.stack([flat, np.full_like(flat, k)], axis=1)
        axes.append(Axis(n, o, k, k, 1, 0, False, windows, windows[:o, 1]))
    return axes


def _whole() -> Axis:
    """Return an axis of one position, for ranks below three."""
    return Axis(1, 1, 1, 1, 1, 0, True, np.array([[0, 1]], np.int64), np.ones(1, np.int64))


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
    even = all(step[0] == problem.channels * step[1] for step in lead)
    return (
        even
        and len(axes) == 1
        and axes[0].n <= SHORT
        and spatial[0][-1] == 1
        and axes[0].windows.tolist() == [[0, axes[0].n]]
    )


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


def _near(last: Axis, step: int) -> bool:
    """Tell whether the windows of rows stand side by side, and all that vectors of them read is inside."""
    apart = last.before == 0 and last.dilation == 1 and last.taps <= min(last.stride, UNROLLED)
    return step == 1 and apart and last.outputs * last.stride <= last.n and last.outputs >= FEW


def _tasks(axes: list[Axis], planes: int, mode: str, chunk: int) -> tuple[int, int, int]:
    """Return how many planes, rows and columns a task computes: about `TASK` elements of the input."""
    rows, columns = prod(axis.outputs for axis in axes[:-1]), axes[-1].outputs
    last = axes[-1]
    across = WIDEST if mode == "across" else 1
    each = prod(axis.taps for axis in axes[:-1]) * across
    each_row = max(1, each * (last.n if mode in ("along", "table") else columns * last.taps))
    task_columns = columns
    if each_row > TASK:
        task_columns = max(1, columns * TASK // each_row)
        task_columns = -(-task_columns // chunk) * chunk if mode in ("along", "table") else task_columns
    task_rows = max(1, min(rows, TASK // each_row))
    task_planes = max(1, min(planes, TASK // (each_row * rows))) if task_rows == rows else 1
    return task_planes, task_rows, task_columns


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
    axes = [axes_of(problem, starts)[axis - 2] for axis in layout.order]
    lead = [step[:2] for step in steps]
    spatial = [tuple(step[axis] for axis in layout.order) for step in steps]
    if layout.lane is None and starts is None:
        axes, spatial = _merged(axes, spatial)
    mode = _mode(axes, layout.lane)
    last = axes[-1]
    if mode == "within" and _is_whole(problem, axes, lead, spatial):
        mode = "whole"
    divides = kind == "sum" and names[1] == "float64" and getattr(problem, "kind", "") != "lp"
    lane_axis = 0 if layout.lane is None else layout.lane
    lane_steps = [step[lane_axis] for step in lead] if mode == "across" else [step[-1] for step in spatial]
    if mode == "whole":  # read along planes, written across them
        lane_steps[1:] = [step[1] for step in lead[1:]]
    used = lane_steps if kind == "argmax" else lane_steps[:2]
    along = mode == "along"
    near = along and _near(last, lane_steps[0])
    structure = Structure(
        kind,
        *names,
        mode,
        len(axes) - 1,
        axes[-2].longest if len(axes) > 1 and axes[-2].longest <= UNROLLED else 0,
        last.stride if along else 1,
        last.taps if along and last.taps <= UNROLLED and last.dilation == 1 else 0,
        lane_steps[0] != 1 or (mode == "within" and last.dilation != 1),
        any(step != 1 for step in used[1:]) and mode in ("across", "along", "whole"),
        divides,
        near,
        filled=all(bool((axis.windows[:, 1] > 0).all()) for axis in axes),
    )
    words = _words(structure, problem, axes, lead, spatial, layout, target)
    scales = _scales(kind, problem, axes, divides) if structure.sums else [np.ones(1)] * len(axes)
    uniform = bool((scales[-1] == scales[-1][:1]).all())
    scales[-1] = np.pad(scales[-1][:1] if uniform else scales[-1], (0, WIDEST), mode="edge")
    words["scale_step"] = 0 if uniform else 1
    equal = all(bool((scale == scale[:1]).all()) for scale in scales)
    rows = _rows(last, "near" if near else mode, equal and all(_follow(step, axes) for step in spatial[1:]))
    words |= {"chunk": rows.chunk, "held": rows.held, "pitch": rows.pitch, "joined": int(rows.joined)}
    pieces = _tasks(axes, words["planes"], mode, 1 if near else rows.chunk)
    words["task_planes"], words["task_rows"], words["task_columns"] = pieces
    words["row_tasks"] = -(-words["rows"] // pieces[1])
    words["column_tasks"] = -(-last.outputs // pieces[2])
    tables = {} if rows.reach is None else {"reach": rows.reach}
    for place, axis, scale in zip(range(3 - len(axes), 3), axes, scales, strict=True):
        tables[f"windows{place}"], tables[f"scale{place}"] = axis.windows, scale
    words |= {name: table.ctypes.data for name, table in tables.items()}
    found = np.array([words.get(word, 0) for word in (*POINTERS, *SIZES)], np.int64)
    tasks = -(-words["planes"] // pieces[0]) * words["row_tasks"] * words["column_tasks"]
    return Recipe(structure, found, tasks, tuple(tables.values()))


def _words(
    s: Structure,
    problem: Windowed,
    axes: list[Axis],
    lead: list[Ints],
    spatial: list[tuple[int, ...]],
    layout: Layout,
    target: Target,
) -> dict[str, int]:
    """Return the sizes that follow from the axes and the steps."""
    words: dict[str, int] = {}
    sizes = problem.batch, problem.channels
    last = axes[-1]
    if s.mode == "across":
        assert layout.lane is not None
        other = 1 - layout.lane
        block = ACROSS * target.lanes(s.work.itemsize)
        lanes = sizes[layout.lane]
        words |= {"inner": -(-lanes // block), "lanes": lanes, "plane_lanes": block}
        words["planes"] = sizes[other] * words["inner"]
    else:
        words |= {"inner": sizes[1], "planes": sizes[0] * sizes[1]}
    for name, ends, steps in zip(("x", "y", "where"), lead, spatial, strict=True):
        if s.mode == "across":
            assert layout.lane is not None
            words |= {f"{name}_outer": ends[1 - layout.lane], f"{name}_lane": ends[layout.lane]}
            words[f"{name}_inner"] = ends[layout.lane] * words["plane_lanes"]
        else:
            words |= {f"{name}_outer": ends[0], f"{name}_inner": ends[1]}
        words |= {f"{name}{3 - len(axes) + number}": step for number, step in enumerate(steps)}
    place = last.n
    for axis, number in zip(axes[-2::-1], (1, 0), strict=False):
        words[f"place{number}"] = place
        words[f"d{number}"] = axis.dilation
        place *= axis.n
    for number, axis in zip(range(3 - len(axes), 3), axes, strict=True):
        words[f"plane{number}"] = 2 * axis.outputs if len(axis.windows) != axis.outputs else 0
    words["outputs1"] = axes[-2].outputs if len(axes) > 1 else 1
    words["outputs2"], words["rows"] = last.outputs, prod(axis.outputs for axis in axes[:-1])
    words |= {"n2": last.n, "taps2": last.taps, "d2": last.dilation, "before2": last.before}
    return words
