"""How the gradient of a pooling is cut: rows of positions, and which outputs look at each.

A pooling works axis by axis, so the outputs that look at a position are those that do on every axis. All axes but the
last are taken together as rows: a row has `terms`, the rows of outputs that look at it, each with its scale. Rows with
equal terms that follow each other are a group; averages compute them once. Along the last axis there are four ways:

- "lanes": channels stand last, lanes go along them; a table lists the outputs of each position.
- "phases": windows begin `stride` apart, so position i = q * stride + phase - before meets the outputs
  q - tap * dilation // stride of all taps with tap * dilation = phase modulo the stride: shifted vectors of outputs,
  interleaved.
- "single": there is one output, which looks at all positions.
- "table": whatever is left, position by position, from a table as for "lanes".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.pooling_gradient import scales_of
from striderule.geometry.pooling import AdaptivePooling, Pooling

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
Windowed = Pooling | AdaptivePooling

POINTERS = ("gy", "where", "gx", "groups", "terms", "row_scales", "scales", "starts", "entries")
SIZES = (
    # Planes (images where channels stand last), and lanes of a position; rows and positions of a row, of gx and of gy.
    "planes", "lanes", "rows", "positions", "output_rows", "outputs",
    # Positions before the first, and for "phases": the first block of outputs, how many there are, those between
    # which no mask is needed.
    "before", "first", "blocks", "fast", "slow",
    # Groups of rows; planes and groups of a task, and how many tasks a plane is cut into.
    "group_count", "task_planes", "task_groups", "group_tasks",
)  # fmt: skip

# The largest stride and kernel that are written out as phases.
STRIDES, TAPS = 8, 16
# Bytes that a task writes, about, and those below which the calling thread does it all.
TASK, ALONE = 1 << 16, 1 << 17


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target.

    `kind` is "max" or "average". `front` and `back` tell how many blocks of a row need masks at its ends: none, one
    (whose masks are made once), or 2 for any number.
    """

    kind: str
    element: str
    mode: str
    stride: int = 1
    taps: int = 0
    dilation: int = 1
    front: int = 0
    back: int = 0

    @property
    def name(self) -> str:
        """What the routine is called."""
        numbers = (self.stride, self.taps, self.dilation, self.front, self.back)
        return f"pool_back_{self.kind}_{self.element}_{self.mode}_{'_'.join(map(str, numbers))}"


class Axis(NamedTuple):
    """An axis: positions, scales of its outputs; stride, taps, dilation and padding where windows are regular.

    `sees` has the positions of each output; `whole` tells that one output sees all.
    """

    size: int
    scales: Array
    regular: tuple[int, int, int, int] | None
    sees: tuple[Ints, ...]
    whole: bool

    def lists(self) -> list[list[int]]:
        """Return for each position the outputs that look at it, in order."""
        found: list[list[int]] = [[] for _ in range(self.size)]
        for output, positions in enumerate(self.sees):
            for position in positions:
                found[position].append(output)
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """The form, the sizes by name, the tables by name, and the number of tasks."""

    form: Form
    sizes: dict[str, int]
    tables: dict[str, Array]
    tasks: int
    alone: bool


def axes_of(problem: Windowed) -> list[Axis]:
    """Return the axes of a pooling, of which neighbours that are seen as a whole are one."""
    found: list[Axis] = []
    for axis, (size, scales) in enumerate(zip(problem.size, scales_of(problem), strict=True)):
        outputs = problem.output_size[axis]
        sees = tuple(problem.positions(axis, j) for j in range(outputs))
        regular = None if size % outputs else (size // outputs, size // outputs, 1, 0)
        if isinstance(problem, Pooling):
            before = problem.padding[axis][0]
            regular = problem.stride[axis], problem.kernel[axis], problem.dilation[axis], before
        found.append(Axis(size, scales, regular, sees, outputs == 1 and len(sees[0]) == size))
        if len(found) > 1 and found[-2].whole and found[-1].whole:
            one, other = found.pop(), found.pop()
            both = one.size * other.size
            found.append(Axis(both, one.scales * other.scales, None, (tuple(range(both)),), whole=True))
    return found


def plan_of(kind: str, problem: Windowed, dtype: np.dtype[Any], last: bool, lanes: int) -> Plan:
    """Return the plan of a gradient of `dtype`, for vectors of so many lanes; with `last` channels stand last."""
    *outer, line = axes_of(problem)
    batch, channels = problem.batch, problem.channels
    planes, across = (batch, channels) if last else (batch * channels, 1)
    tables = _rows(outer, grouped=kind == "average")
    tables["row_scales"] = tables["row_scales"].astype(dtype)
    tables["scales"] = line.scales.astype(dtype)
    sizes = {
        "planes": planes, "lanes": across, "rows": prod(axis.size for axis in outer), "positions": line.size,
        "output_rows": prod(len(axis.sees) for axis in outer), "outputs": len(line.sees),
        "group_count": len(tables["groups"]) // 4,
    }  # fmt: skip
    mode = "lanes" if last else "single" if line.whole else "table"
    form = Form(kind, dtype.name, mode)
    if mode == "table" and line.regular and line.regular[0] <= STRIDES and line.regular[1] <= TAPS:
        form, blocks = _phases(form, line, lanes)
        sizes |= blocks
    if form.mode in ("lanes", "table"):
        lists = line.lists()
        tables["starts"] = np.cumsum([0, *map(len, lists)], dtype=np.int64)
        tables["entries"] = np.array([output for outputs in lists for output in outputs] or [0], np.int64)
    plane = sizes["rows"] * line.size * across * dtype.itemsize
    pieces = min(-(-plane // TASK), sizes["group_count"])
    sizes["task_groups"] = -(-sizes["group_count"] // pieces)
    sizes["group_tasks"] = -(-sizes["group_count"] // sizes["task_groups"])
    sizes["task_planes"] = max(1, TASK // plane)
    tasks = -(-planes // sizes["task_planes"]) * sizes["group_tasks"]
    return Plan(form, sizes, tables, tasks, planes * plane < ALONE)


def _rows(outer: list[Axis], *, grouped: bool) -> dict[str, Array]:
    """Return the groups (first row, how many, first term, how many), the terms' rows of outputs, their scales."""
    lists = [axis.lists() for axis in outer]
    steps = [prod(len(axis.sees) for axis in outer[number + 1 :]) for number in range(len(outer))]
    groups: list[list[int]] = []
    terms, scales, before = list[int](), list[float](), None
    for row, outputs in enumerate(product(*lists)):
        if grouped and outputs == before:
            groups[-1][1] += 1
            continue
        before = outputs
        combined = list(product(*outputs))
        groups.append([row, 1, len(terms), len(combined)])
        terms += [sum(j * step for j, step in zip(one, steps, strict=True)) for one in combined]
        scales += [float(prod(axis.scales[j] for axis, j in zip(outer, one, strict=True))) for one in combined]
    return {
        "groups": np.array(groups, np.int64).ravel(),
        "terms": np.array(terms or [0], np.int64),
        "row_scales": np.array(scales or [0.0]),
    }


def _phases(form: Form, line: Axis, lanes: int) -> tuple[Form, dict[str, int]]:
    """Return the form and the sizes of phases."""
    assert line.regular is not None
    stride, taps, dilation, before = line.regular
    outputs, first = len(line.sees), before // stride
    furthest = (taps - 1) * dilation // stride
    blocks = -(-((line.size - 1 + before) // stride + 1 - first) // lanes)

    def is_fast(block: int) -> bool:
        q = first + block * lanes
        inside = q >= furthest and q + lanes <= outputs
        return inside and q * stride >= before and (q + lanes) * stride - before <= line.size

    fast = [block for block in range(blocks) if is_fast(block)]
    begin, end = (fast[0], fast[-1] + 1) if fast else (blocks if blocks > 1 else 0, blocks if blocks > 1 else 0)
    form = Form(
        form.kind, form.element, "phases", stride, taps, dilation, min(begin, 2), min(blocks - end, 2)
    )  # fmt: skip
    return form, {"before": before, "first": first, "blocks": blocks, "fast": begin, "slow": end}
