"""Gradients of weights plane by plane, for channels by themselves and in small groups: the routine bound and called."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.depthwise.plane_products import Form
from striderule.algorithms.depthwise.weight_routine import POINTERS, SIZES, STEP, weight_routine
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.weight_gradient import add_up, outer_places, parts_of
from striderule.algorithms.windows import weight_gradient as windows
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import Target, current
from striderule.geometry.gradients import WeightGradient
from striderule.planning.plane_sums import WIDE, PlaneSums, plane_sums
from striderule.planning.planes import MASKS
from striderule.planning.weight_sums import plane

Array = npt.NDArray[Any]

# Bytes of a plane from which on that of the next image is asked for: of smaller ones those around come along.
AHEAD = 1 << 13

_THREADS = (*POINTERS, *SIZES).index("threads")


def weight_gradient(problem: WeightGradient, x: Array, gy: Array) -> Array:
    """gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j * stride + t * dilation - before].

    Gives way to `windows`, with one warning, where no code can be made; and where the result is not finite, since only
    the definition tells what is behind that.
    """
    x, gy = (one if one.flags.aligned else one.copy() for one in (x, gy))
    if x.size and gy.size:
        call = giving_way.attempt(call_for, problem, ArrayInfo.of(x), ArrayInfo.of(gy))
        if call is not None:
            found = call.run(x, gy)
            with np.errstate(all="ignore"):
                total = found.sum()
            # It may be too large where no term is.
            if isfinite(total) or np.isfinite(found).all():
                return found
    return windows.weight_gradient(problem, x, gy)


@dataclass(frozen=True, slots=True)
class Call:
    """A gradient bound to shapes and strides. `room` counts the bytes that each thread needs."""

    routine: Routine
    template: bytes
    tables: tuple[Array, ...]
    room: int
    shape: tuple[int, ...]
    plan: PlaneSums

    def run(self, x: Array, gy: Array) -> Array:
        """Return the gradient; numbers that are not finite may have come from what meets padding."""
        words = array("q", self.template)
        threads = min(workers.get_num_threads(), self.plan.tasks)
        work = memory.room("weight_gradient", threads * self.room)
        result = memory.empty(self.shape, x.dtype)
        parts = parts_of(result, self.plan.parts)
        words[0], words[1], words[2], words[3] = (
            memory.address(x), memory.address(gy), memory.address(parts), work.address
        )  # fmt: skip
        words[_THREADS] = threads
        end = len(words)
        words.extend([0] * threads)
        start = words.buffer_info()[0]
        words[4] = start + 8 * end
        workers.run(self.routine.address, start, self.plan.tasks)
        add_up(parts, result)
        return result


@lru_cache(maxsize=256)
def call_for(problem: WeightGradient, x: ArrayInfo, gy: ArrayInfo, target: Target | None = None) -> Call:
    """Return the call for arrays that stand like these; the latest are kept."""
    target = target or current()
    size = np.dtype(problem.dtype).itemsize
    plan = plane_sums(problem, target.lanes(size), target.registers, wide=target.vector_bytes >= WIDE)
    x_steps, gy_steps = ([step // size for step in one.strides] for one in (x, gy))
    stride, dilation = problem.plain.stride[-1], problem.plain.dilation[-1]
    columns = [t * dilation for t in range(problem.plain.kernel[-1])]
    residues = tuple(sorted({column % stride for column in columns}))
    beside = stride <= STEP and (x_steps[-1] == 1 or x.shape[-1] == 1)
    masks = target.name in MASKS
    form = Form(
        problem.dtype, plan.lanes, plan.down.size, plan.down.rest > 0, plan.over.size, plan.over.rest > 0, plan.step,
        column_step=stride if beside else 0,
        residues=residues if beside else (),
        inputs_laid=not (masks and beside and (stride == 1 or dilation == 1)),
        gradients_laid=not (masks and gy_steps[-1] == 1),
        ahead=prod(problem.plain.size[-2:]) * size >= AHEAD and problem.plain.batch > 1,
        line=problem.plain.rank == 1,
    )  # fmt: skip

    def trial() -> bool:
        arrays = (np.lib.stride_tricks.as_strided(np.empty(1, one.dtype), one.shape, one.strides) for one in (x, gy))
        return proof.agree(
            lambda *drawn: weight_gradient(problem, *drawn), lambda *drawn: windows.weight_gradient(problem, *drawn),
            *arrays,
        )  # fmt: skip

    routine = proof.compiled(form.name, form, lambda: weight_routine(form, target), target, trial)
    values, tables = _values(problem, plan, form, x_steps, gy_steps)
    words = array("q", [int(values.get(name, 0)) for name in (*POINTERS, *SIZES)])
    return Call(routine, words.tobytes(), tables, values["room"] * size, problem.output_shape, plan)


def _values(
    problem: WeightGradient, plan: PlaneSums, form: Form, x_steps: list[int], gy_steps: list[int]
) -> tuple[dict[str, int], tuple[Array, ...]]:
    """Return the words of the routine, and the tables that they point to."""
    plain = problem.plain
    height, width = plane(plain)
    down_axis = (
        (plain.kernel[-2], plain.stride[-2], plain.dilation[-2], plain.padding[-2][0], plain.size[-2], x_steps[-2],
         gy_steps[-2])
        if plain.rank > 1 else (1, 1, 1, 0, 1, 0, 0)
    )  # fmt: skip
    row_taps, row_step, row_gap, top, rows, x_row, gy_row = down_axis
    kernel, stride, dilation = plain.kernel[-1], plain.stride[-1], plain.dilation[-1]
    residues = sorted({t * dilation % stride for t in range(kernel)})
    padded = plan.wide * plan.lanes
    pitch = _rounded(padded + (kernel - 1) * dilation // stride, plan.lanes)
    reach = _reach(plan, row_taps, row_step, row_gap)
    plane_size = reach * pitch
    columns = [t * dilation for t in range(kernel)]
    if form.inputs_laid:
        columns = [residues.index(t % stride) * plane_size + t // stride for t in columns]
    places, gradients = outer_places(plain, x_steps, gy_steps)
    tables = (places, gradients, np.array(columns, np.int64), np.array(residues, np.int64))
    outputs, inputs = plain.out_channels // plain.groups, plain.in_channels // plain.groups
    each = len(residues) * plane_size
    gradient_each = plan.rows * padded if form.gradients_laid else 0
    planes, gradient_room = (
        _rounded(plan.images * each * form.inputs_laid),
        _rounded(outputs * plan.images * gradient_each),
    )
    terms = inputs * prod(plain.kernel)
    sums = _rounded(outputs * terms * plan.lanes)
    zeros = planes
    values = {
        "outer_places": memory.address(tables[0]), "gradient_places": memory.address(tables[1]),
        "column_places": memory.address(tables[2]), "residues": memory.address(tables[3]),
        "outputs": outputs, "inputs": inputs, "terms": terms, "taps": row_taps * kernel, "row_taps": kernel,
        "groups": plain.groups, "span": plan.span, "spans": plan.spans, "batch": plain.batch,
        "height": height, "width": width, "outer": prod(plain.output_size[:-2]), "outer_taps": prod(plain.kernel[:-2]),
        "x_image": x_steps[0], "x_channel": x_steps[1], "x_row": x_row, "x_column": x_steps[-1],
        "gy_image": gy_steps[0], "gy_channel": gy_steps[1], "gy_row": gy_row, "gy_column": gy_steps[-1],
        "row_step": row_step, "row_gap": row_gap, "column_step": stride, "top": top, "left": plain.padding[-1][0],
        "input_height": rows, "input_width": plain.size[-1],
        "gap": plan.gap, "images": plan.images, "rows": plan.rows, "columns": plan.columns,
        "row_bands": plan.row_bands, "column_bands": plan.column_bands, "pieces": plan.pieces,
        "together": plan.together, "part": plan.part,
        "full_down": plan.down.full, "less_down": plan.down.rest,
        "full_over": plan.over.full, "less_over": plan.over.rest,
        "zeros_at": zeros, "gradients_at": zeros + 64, "sums_at": zeros + 64 + gradient_room,
        "totals_at": zeros + 64 + gradient_room + sums, "room": zeros + 64 + gradient_room + 2 * sums,
        "sums_size": sums, "pitch": pitch, "reach": reach, "plane": plane_size, "each": each,
        "residue_count": len(residues), "gradient_pitch": padded, "gradient_each": gradient_each,
        "whole": plain.out_channels * terms,
    }  # fmt: skip
    return values, tables


def _reach(plan: PlaneSums, taps: int, stride: int, dilation: int) -> int:
    """Return how many rows of x a piece may look at: behind the last of gy those that a block of taps still meets."""
    found = 0
    for size, _ in plan.down.sizes:
        turns = -(-plan.rows // plan.gap) + -(-size // plan.step) - 1
        last = taps - size + (turns - 1) * plan.step + min(size, plan.step) - 1
        found = max(found, (plan.gap - 1) * stride + last * dilation + 1)
    return found


def _rounded(count: int, whole: int = 64) -> int:
    """Return the next multiple: of 64 elements, so that what follows is on a cache line of its own."""
    return -(-count // whole) * whole
