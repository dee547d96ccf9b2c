"""Where everything stands and how the work is cut: the words that the routine is given."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.depthwise.structure import NOWHERE, SIZES, Structure, Unrolled
from striderule.codegen.target import Target
from striderule.geometry.padding import source_index
from striderule.geometry.problem import Convolution
from striderule.planning.machine import itemsize
from striderule.planning.planes import CHAIN, COLUMN_STEP, MASKS, PlaneTile, plane_tile, rolling_tile, rolls

Table = npt.NDArray[np.int64]
# Bytes of vectors whose halves are worth asking for.
WIDE = 64
# Multiply-adds of vectors in a task, at least and at most; parts to cut an image into where that leaves enough of them.
LEAST, MOST, PARTS = 1 << 11, 1 << 15, 32
# Vectors of channels that a task sweeps at least, where there are so many: pieces of memory that are worth fetching.
TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a problem."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    words: tuple[str, str]
    outputs: int

    @classmethod
    def all_of(cls, problem: Convolution) -> list[Axis]:
        """Return the spatial axes, at least two: of one row there is a single one."""
        p = problem
        axes = [
            cls(n, k, s, d, before, after, words, outputs)
            for n, k, s, d, (before, after), words, outputs in zip(
                p.size, p.kernel, p.stride, p.dilation, p.padding, p.boundary, p.output_size, strict=True
            )
        ]
        return [cls(1, 1, 1, 1, 0, 0, ("constant", "constant"), 1), *axes] if len(axes) == 1 else axes

    @property
    def reached(self) -> bool:
        """Whether positions outside show elements inside."""
        return any(
            side > 0 and word != "constant" for side, word in zip((self.before, self.after), self.words, strict=True)
        )

    @property
    def inner(self) -> tuple[int, int]:
        """The outputs from the first up to the last, exclusive, of which all taps lie inside."""
        first = min(max(0, -(-self.before // self.stride)), self.outputs)
        return first, max(first, self.ended)

    @property
    def ended(self) -> int:
        """The first output of which a tap lies behind the input, or how many outputs there are."""
        room = self.size - 1 + self.before - (self.kernel - 1) * self.dilation
        return min(self.outputs, max(0, room // self.stride + 1))

    def element(self, position: int) -> int:
        """Return the element at a position, or NOWHERE."""
        if 0 <= position < self.size:
            return position
        found = source_index(position, self.size, self.words[position > 0])
        return NOWHERE if found is None else found

    @property
    def beyond(self) -> list[int]:
        """The last index of what follows, then the elements at the positions before the axis and behind it."""
        if not self.reached:
            return [-1, NOWHERE]
        outside = [*range(-max(self.before, 0), 0), *range(self.size, self.size + max(self.after, 0))]
        return [len(outside) - 1, *(self.element(position) for position in outside), NOWHERE]


@dataclass(frozen=True, slots=True)
class Words:
    """What one call of the routine is given besides the addresses of arrays: sizes, tables, tasks of one image."""

    sizes: tuple[int, ...]
    outer: Table
    beyond_rows: Table
    beyond_columns: Table
    tasks: int


def _outer(axes: list[Axis], x: ArrayInfo, y: ArrayInfo, residual: ArrayInfo | None) -> Table:
    """Return the offsets on the outer axes: for every position its taps, then of the outputs, then of the residual."""
    found = np.zeros((1, 1), np.int64)
    outputs, addends = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for number, axis in enumerate(axes):
        places = [
            [axis.element(i * axis.stride + t * axis.dilation - axis.before) for t in range(axis.kernel)]
            for i in range(axis.outputs)
        ]
        index = np.array(places, np.int64)
        offsets = np.where(index == NOWHERE, 0, index * x.strides[2 + number])
        both = found[:, None, :, None] + offsets[None, :, None, :]
        nowhere = (found == NOWHERE)[:, None, :, None] | (index == NOWHERE)[None, :, None, :]
        found = np.where(nowhere, NOWHERE, both).reshape(len(found) * axis.outputs, -1)
        steps = np.arange(axis.outputs, dtype=np.int64)
        outputs = (outputs[:, None] + steps * y.strides[2 + number]).reshape(-1)
        if residual is not None:
            addends = (addends[:, None] + steps * residual.strides[2 + number]).reshape(-1)
    return np.concatenate([found.reshape(-1), outputs, addends])


@dataclass(frozen=True, slots=True)
class Layout:
    """A problem, where its arrays stand, and along what vectors run."""

    problem: Convolution
    along: str
    x: ArrayInfo
    y: ArrayInfo
    residual: ArrayInfo | None
    axes: list[Axis]
    target: Target

    @property
    def lanes(self) -> int:
        """Numbers in a vector."""
        return self.target.lanes(itemsize(self.problem.dtype)) // (2 if self.narrow else 1)

    @property
    def narrow(self) -> bool:
        """Whether half a vector holds all there is along it: where vectors are wide, two halves take as long as one."""
        most = self.target.lanes(itemsize(self.problem.dtype)) // 2
        along = self.problem.out_channels if self.along == "channels" else self.axes[-1].outputs
        return self.target.vector_bytes >= WIDE and along <= most

    @property
    def tile(self) -> PlaneTile:
        """The block in registers."""
        columns = self.axes[-1].outputs
        wide = (
            columns if self.along == "channels" else -(-columns // self.lanes) if self.masks else columns // self.lanes
        )
        if self.rolled:
            return rolling_tile(self.problem, wide=wide)
        return plane_tile(self.problem, self.target.registers, wide=max(1, wide), by_rows=self.by_rows)

    @property
    def by_rows(self) -> bool:
        """Whether sums go over the taps row by row: the same for either order of memory."""
        return self.masks and rolls(self.problem, self.target.registers)

    @property
    def rolled(self) -> bool:
        """Whether every row of inputs is read once, and added to all rows of outputs that it reaches."""
        return self.along == "columns" and self.by_rows

    @property
    def pairs(self) -> bool:
        """Whether half a vector holds a row of a plane, so that another plane takes the other half."""
        compact = all(info is None or info.strides[-1] == info.dtype.itemsize for info in (self.y, self.residual))
        return self.rolled and self.narrow and compact and self.problem.out_channels > 1

    @property
    def masks(self) -> bool:
        """Whether parts of vectors are loaded."""
        return self.target.name in MASKS

    @property
    def column_step(self) -> int:
        """The stride along columns if vectors run along them, 0 if they do not."""
        stride = self.axes[-1].stride
        return stride if stride <= COLUMN_STEP and self.along == "columns" else 0

    def served(self) -> tuple[int, int]:
        """Return the columns that vectors serve."""
        axis = self.axes[-1]
        if not self.column_step:
            return 0, 0
        if self.masks and not axis.reached:
            return 0, axis.outputs
        first, last = axis.inner
        return first, last if self.masks else first + (last - first) // self.lanes * self.lanes

    def structure(self, *, bias: bool, activation: tuple[str, ...]) -> Structure:
        """Return what the routine is made for."""
        tile, (first, last) = self.tile, self.served()
        channels = self.along == "channels"
        lane_axis = 1 if channels else -1
        compact = all(
            info is None or info.strides[lane_axis] == info.dtype.itemsize for info in (self.y, self.residual)
        )
        return Structure(
            dtype=self.problem.dtype,
            read=self.x.dtype.name,
            written=self.y.dtype.name,
            along="channels" if channels else "columns",
            down=Unrolled(tile.taps, tile.taps < self.axes[-2].kernel, tile.rest),
            over=Unrolled(tile.over, tile.over < self.axes[-1].kernel, tile.over_rest),
            step=tile.step,
            rolled=self.rolled,
            pairs=self.pairs,
            rows=tile.rows,
            vectors=tile.vectors,
            column_step=self.column_step,
            masks=self.masks,
            singles=not channels and last - first < self.axes[-1].outputs,
            reached=any(axis.reached for axis in self.axes[-2:]),
            chained=self.problem.terms > CHAIN,
            compact=compact,
            narrow=self.narrow,
            bias=bias,
            residual=self.residual is not None,
            activation=activation,
        )

    def words(self) -> Words:
        """Return sizes, tables and tasks."""
        row, column = self.axes[-2:]
        tasks = self._tasks()
        outer_taps, outers = (prod(getattr(axis, name) for axis in self.axes[:-2]) for name in ("kernel", "outputs"))
        problem, columns = self.problem, self.along == "columns"
        lane_axis = -1 if columns else 1
        first, last = self.served()
        inner_first, inner_last = column.inner
        sizes = {
            **tasks,
            "outers": outers, "channels": problem.out_channels,
            "first": first, "last": last, "inner_first": inner_first, "inner_last": inner_last,
            "columns": column.outputs, "rows": row.outputs, "inner_rows": row.ended,
            "row_gap": self.tile.gap, "input_gap": row.dilation if self.tile.taps > 1 else row.stride,
            **_axis_words("row", row), **_axis_words("column", column),
            "outer_taps": outer_taps, "depth": problem.in_channels // problem.groups,
            "outputs": problem.out_channels // problem.groups, "terms": problem.terms,
            "w_step": 1 if columns else problem.out_channels,
            **_steps("x", self.x, lane_axis), **_steps("y", self.y, lane_axis),
            **_steps("r", self.residual or self.y, lane_axis),
        }  # fmt: skip
        beyond_rows, beyond_columns = (np.array(axis.beyond, np.int64) for axis in (row, column))
        outer = _outer(self.axes[:-2], self.x, self.y, self.residual)
        count = prod(tasks[f"{name}_tasks"] for name in ("column", "row", "channel")) * outers
        return Words(tuple(sizes[word] for word in SIZES), outer, beyond_rows, beyond_columns, count)

    def _tasks(self) -> dict[str, int]:
        """Return how many tasks there are along each axis, and how much of it each has."""
        tile, (first, last) = self.tile, self.served()
        row, column = self.axes[-2:]
        phases = min(tile.gap, row.outputs)
        positions = -(-row.outputs // tile.gap)
        row_blocks = phases * -(-positions // tile.rows)
        columns = self.along == "columns"
        units = -(-self.problem.out_channels // (1 if columns else self.lanes))
        blocks = max(1, -(-(last - first) // self.lanes)) if columns else column.outputs
        single = column.outputs - (last - first) if columns else 0
        channel_task, row_task, column_task = self._cut(units, row_blocks, blocks + single)
        column_tasks = -(-(blocks + single) // column_task)
        return {
            "phases": phases, "row_blocks": row_blocks,
            "column_tasks": column_tasks, "row_tasks": -(-row_blocks // row_task),
            "channel_tasks": -(-units // channel_task), "channel_task": channel_task, "row_task": row_task,
            # Each has its share of the vectors and of the single columns.
            "column_task": -(-blocks // column_tasks), "single_task": -(-single // column_tasks),
        }  # fmt: skip

    def _cut(self, units: int, row_blocks: int, blocks: int) -> tuple[int, int, int]:
        """Return how many channels (vectors of them), blocks of rows, and blocks of columns a task has."""
        tile, problem = self.tile, self.problem
        block = tile.rows * problem.terms
        whole = block * units * row_blocks * blocks * prod(axis.outputs for axis in self.axes[:-2])
        wanted = min(max(whole // PARTS, LEAST), MOST)
        together = (2 if self.pairs else 1) if self.along == "columns" else min(TOGETHER, units)
        rows = min(row_blocks, max(1, wanted // (block * blocks * together)))
        columns = min(blocks, max(1, wanted // (block * together)))
        if rows < row_blocks or columns < blocks:
            return together, rows, columns if rows == 1 else blocks
        # Whole pairs, but for the last channel.
        each = -(-wanted // (block * blocks * row_blocks * together)) * together
        return min(units, each), row_blocks, blocks


def _axis_words(name: str, axis: Axis) -> dict[str, int]:
    return {
        f"{name}_stride": axis.stride,
        f"{name}_dilation": axis.dilation,
        f"{name}_before": axis.before,
        f"{name}_size": axis.size,
        f"{name}_taps": axis.kernel,
    }


def _steps(name: str, info: ArrayInfo, lane_axis: int) -> dict[str, int]:
    image, channel, *_, row, column = info.strides
    steps = {"image": image, "channel": channel, "row": row, "column": column}
    return {f"{name}_{axis}": step for axis, step in steps.items()} | {
        f"{name}_step": info.strides[lane_axis] // info.dtype.itemsize
    }


def with_rows(info: ArrayInfo) -> ArrayInfo:
    """Return an array of one spatial axis as one of a single row."""
    if len(info.shape) > 3:
        return info
    return ArrayInfo((*info.shape[:2], 1, info.shape[2]), (*info.strides[:2], 0, info.strides[2]), info.dtype)
