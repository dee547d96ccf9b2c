"""A transposed convolution bound to shapes, strides and types."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.operands import are_served
from striderule.algorithms.direct.spread.form import POINTERS, SHUFFLED, SIZES, Spread
from striderule.algorithms.direct.spread.routine import spread_routine
from striderule.algorithms.direct.spread.tables import Sums, room_of, tables_of
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import Target, current
from striderule.geometry.problem import TransposedConvolution
from striderule.planning.schedule import sums_type
from striderule.planning.spreading import Spreading, inner_axes, spreading

Array = npt.NDArray[Any]
Table = npt.NDArray[np.int64]

_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
_PACKED, _THREADS = _AT["packed"], _AT["threads"]


@dataclass(frozen=True, slots=True)
class Call:
    """A transposed convolution that is ready to run; see `striderule.algorithms.binding.Bound`.

    `template` holds the words that are the same for every call, the numbers behind them; `tables` keeps alive what they
    point to. `room` counts the bytes that each thread needs, `panels` the weights, if they are packed.
    """

    routine: Routine
    template: bytes
    tables: tuple[Table, ...]
    room: int
    form: Spread
    problem: TransposedConvolution
    plan: Spreading
    zeros: Array
    panels: Array | None = None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute into out."""
        words = array("q", self.template)
        threads = min(workers.get_num_threads(), self.plan.tasks)
        work = memory.room("spread", threads * self.room)
        address = memory.address
        words[0], words[1] = address(x), address(weight if self.panels is None else self.panels)
        words[2] = address(self.zeros if bias is None else bias)
        if residual is not None:
            words[3] = address(residual)
        words[4], words[5] = address(out), work.address
        words[_THREADS] = threads
        # Behind the words a flag for each thread's room.
        end = len(words)
        words.extend([0] * threads)
        start = words.buffer_info()[0]
        words[6] = start + 8 * end
        workers.run(self.routine.address, start, self.plan.tasks)

    def packed(self, weight: Array) -> Call:
        """Return the same with the weights copied into panels, as the routine would copy them.

        Taps of outer axes are chosen for every output, so those weights are kept as they are.
        """
        problem, plan = self.problem, self.plan
        outer, _, _ = inner_axes(problem, rows_inside=plan.rows_inside)
        if outer:
            return replace(self, panels=weight.copy())
        groups, taps, height = problem.groups, prod(problem.kernel), self.form.rows
        inputs, channels = problem.in_channels // groups, problem.out_channels // groups
        rows, chunks = plan.products, -(-inputs // plan.chunk)
        tiles = -(-rows // height)
        panels = np.zeros((groups, plan.channel_blocks, chunks, tiles, plan.chunk, height), self.form.element)
        matrix = weight.reshape(groups, inputs, channels * taps)
        for number in range(plan.channel_blocks):
            block = matrix[:, :, number * rows : (number + 1) * rows]
            for tile in range(tiles):
                part = block[:, :, tile * height : (tile + 1) * height]
                for turn in range(chunks):
                    some = part[:, turn * plan.chunk : (turn + 1) * plan.chunk]
                    panels[:, number, turn, tile, : some.shape[1], : some.shape[2]] = some
        words = array("q", self.template)
        words[_PACKED] = 1
        return replace(self, template=words.tobytes(), panels=panels)


@lru_cache(maxsize=256)
def call_for(
    problem: TransposedConvolution,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
    target: Target,
) -> Call | None:
    """Return the call, or None where the arrays do not stand as the routine reads and writes them.

    Calls for the latest arrays are kept.
    """
    if not are_served(x, weight, residual, activation, out, sums_type(problem)):
        return None
    return _bound(problem, x, weight, residual, activation, out, target)


def _bound(
    problem: TransposedConvolution,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
    target: Target,
) -> Call:
    element = sums_type(problem)
    size = np.dtype(element).itemsize
    lanes = target.lanes(size)
    plan = spreading(replace(problem, bound=None), lanes, target.registers, size)
    outer, rows, columns = inner_axes(problem, rows_inside=plan.rows_inside)
    steps = [step // x.dtype.itemsize for step in x.strides]
    x_row, x_column = steps[-2] if plan.rows_inside else 0, steps[-1]
    word, numbers = (activation[0], activation[1:]) if activation else (None, ())
    form = Spread(
        element, x.dtype.name, weight.dtype.name, out.dtype.name, *plan.tile,
        stride=columns.stride if columns.stride in SHUFFLED else 0,
        dense=x_column == 1 or problem.size[-1] == 1,
        activation=word, parameters=tuple(number if isinstance(number, str) else None for number in numbers),
    )  # fmt: skip
    routine = proof.compiled(
        form.name,
        form,
        lambda: spread_routine(form, target),
        target,
        lambda: _agrees(problem, x, weight, residual, activation, out),
    )
    sums = Sums.of(plan, columns, lanes)
    tables = tables_of(problem, plan, sums, steps)
    room = room_of(plan, sums, columns.stride, lanes, size)
    y_steps = [step // out.dtype.itemsize for step in out.strides]
    other = [step // out.dtype.itemsize for step in (residual or out).strides]
    groups, taps = problem.groups, rows.kernel * columns.kernel
    gap = gcd(rows.stride, rows.dilation)
    values = {
        "channels": problem.out_channels // groups, "inputs": problem.in_channels // groups,
        "taps": taps, "columns_of_taps": columns.kernel, "all_taps": prod(problem.kernel),
        "groups": groups, "images_in_all": problem.batch, "outer": prod(axis.outputs for axis in outer),
        "height": rows.outputs, "width": columns.outputs,
        "x_image": steps[0], "x_channel": steps[1], "x_row": x_row, "x_column": x_column,
        "y_image": y_steps[0], "y_channel": y_steps[1], "residual_image": other[0], "residual_channel": other[1],
        "w_channel": problem.out_channels // groups * prod(problem.kernel),
        "tap_step": rows.stride // gap, "input_step": rows.dilation // gap,
        "block": plan.channels, "images": plan.images,
        "channel_blocks": plan.channel_blocks, "column_blocks": len(plan.columns), "row_blocks": len(plan.rows),
        "chunk": plan.chunk,
        "collapsed": int(len(plan.columns) == 1 and plan.columns[0].count == columns.size
                         and (rows.size == 1 or x_row == x_column * columns.size)),
        "tiles_together": room.together, "taps_together": plan.taps,
        "plane": room.plane, "pitch": room.pitch, "sums_pitch": sums.pitch,
        "products_at": room.products, "panel_at": room.panel, "sums_at": room.sums, "line_at": room.line,
        "room": room.all, "stride": columns.stride, "margin": sums.margin,
        "has_residual": int(residual is not None),
        **{name: memory.address(table) for name, table in zip(POINTERS[7:], tables, strict=True)},
    }  # fmt: skip
    words = array("q", [int(values.get(name, 0)) for name in (*POINTERS, *SIZES)])
    words.extend(int(np.float64(number).view(np.int64)) for number in numbers if not isinstance(number, str))
    return Call(
        routine, words.tobytes(), tables, room.all * size, form, problem, plan, np.zeros(problem.out_channels, element)
    )


def _agrees(
    problem: TransposedConvolution,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> bool:
    """Compare a routine with NumPy on drawn operands like these."""

    def computed(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        sums = np.empty(out.shape, out.dtype)
        call = call_for(problem, x, weight, residual, activation, ArrayInfo.of(sums), current())
        assert call is not None  # it is being made for operands that stand like these
        call.run(image, taps, bias, None if residual is None else other, sums)
        return sums

    def expected(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        sums = windows.transposed_convolution(problem, image, taps) + bias.reshape(-1, *(1,) * problem.rank)
        sums = sums if residual is None else sums + other
        sums = sums if activation is None else elementwise.apply(activation[0], sums, sums.dtype, activation[1:])
        return sums.astype(out.dtype)

    # Stand-ins, which are not read: the trial draws operands of their shapes and strides.
    image, other = (
        np.lib.stride_tricks.as_strided(np.empty(1, one.dtype), one.shape, one.strides) for one in (x, residual or out)
    )
    bias = np.empty(problem.out_channels, sums_type(problem))
    return proof.agree(computed, expected, image, np.empty(weight.shape, weight.dtype), bias, other)
