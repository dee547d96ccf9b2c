"""Gradients of weights on generated code: what the library calls."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.padding import pad
from striderule.algorithms.direct.weight_routine import NOWHERE, POINTERS, SIZES, Form, weight_routine
from striderule.algorithms.windows import weight_gradient as windows
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import Target, current
from striderule.geometry.extension import Extension
from striderule.geometry.gradients import WeightGradient
from striderule.geometry.problem import Convolution
from striderule.planning.weight_sums import Tap, WeightSums, oriented, plane, taps_apart

Array = npt.NDArray[Any]

_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}


def weight_gradient(problem: WeightGradient, x: Array, gy: Array, out: Array | None = None) -> Array:
    """gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j * stride + t * dilation - before].

    Gives way to `windows`, with one warning, where no code can be made.
    """
    x, gy = (one if one.flags.aligned else one.copy() for one in (x, gy))
    empty = 0 in (problem.terms, *problem.output_shape)
    apart = None if empty else giving_way.attempt(_taps_apart, problem)
    if apart:
        return _into(out, _tap_by_tap(problem, apart, x, gy))
    problem, x = _thinned(problem, x)
    if 0 not in (problem.terms, *problem.output_shape):
        call = giving_way.attempt(call_for, problem, ArrayInfo.of(x), ArrayInfo.of(gy))
        if call is not None:
            found: Array | None = call.run(x, gy)
            if found is not None:
                return _into(out, found)
    return _into(out, windows.weight_gradient(problem, x, gy))


def _taps_apart(problem: WeightGradient) -> tuple[Tap, ...]:
    """Return the taps that are computed each by itself on this processor."""
    target = current()
    return taps_apart(problem, target.lanes(np.dtype(problem.dtype).itemsize), target.registers)


def _tap_by_tap(problem: WeightGradient, taps: tuple[Tap, ...], x: Array, gy: Array) -> Array:
    """Return the gradient of which every tap is a gradient of its own; those that meet nothing are zero."""
    found = memory.empty(problem.output_shape, problem.dtype)
    by_taps = found.reshape(*problem.output_shape[:2], -1)
    if len(taps) < by_taps.shape[2]:
        by_taps[...] = 0
    for tap in taps:
        whole = slice(None), slice(None)
        single = weight_gradient(tap.problem, x[(*whole, *tap.inputs)], gy[(*whole, *tap.outputs)])
        by_taps[:, :, tap.number] = single.reshape(by_taps.shape[:2])
    return found


def _thinned(problem: WeightGradient, x: Array) -> tuple[WeightGradient, Array]:
    """Return the same gradient of what alone is met: a single tap with a stride skips most of x."""
    plain = problem.plain
    padded = any(side != 0 for pair in plain.padding for side in pair)
    if prod(plain.kernel) > 1 or max(plain.stride) == 1 or padded or 0 in (problem.terms, x.size):
        return problem, x
    met = x[(slice(None), slice(None), *(slice(None, None, step) for step in plain.stride))]
    met = met[(slice(None), slice(None), *(slice(n) for n in plain.output_size))]
    kept = ((0, 0),) * x.ndim
    copied = pad(Extension(met.shape, kept, kept, "constant"), met, 0, memory.empty(met.shape, met.dtype))
    return WeightGradient(replace(plain, size=plain.output_size, stride=(1,) * plain.rank)), copied


def _into(out: Array | None, found: Array) -> Array:
    if out is None:
        return found
    np.copyto(out, found)
    return out


@dataclass(frozen=True, slots=True)
class Call:
    """A gradient bound to shapes and strides. `room` counts the bytes that each thread needs."""

    routine: Routine
    template: bytes
    tables: tuple[Array, ...]
    room: int
    problem: WeightGradient
    plan: WeightSums
    turned: bool

    def run(self, x: Array, gy: Array) -> Array | None:
        """Return the gradient, or None where a value on padding is not finite, and must contribute nothing."""
        if self.turned:
            x, gy = gy, x
        words = array("q", self.template)
        threads = min(workers.get_num_threads(), self.plan.tasks)
        work = memory.room("weight_gradient", threads * self.room)
        result = memory.empty(self.problem.output_shape, self.problem.dtype)
        parts = parts_of(result, self.plan.parts)
        status = np.zeros(1, np.int64)
        words[0], words[1], words[2] = memory.address(x), memory.address(gy), memory.address(parts)
        words[3], words[5] = work.address, memory.address(status)
        words[_AT["threads"]] = threads
        end = len(words)
        words.extend([0] * threads)
        start = words.buffer_info()[0]
        words[4] = start + 8 * end
        workers.run(self.routine.address, start, self.plan.tasks)
        if status[0]:
            return None
        add_up(parts, result)
        return result


def parts_of(result: Array, count: int) -> Array:
    """Return room for parts of a result; one part is the result itself."""
    if count == 1:
        return result[None]
    return memory.scratch("weight_parts", count * result.size, result.dtype).reshape(count, *result.shape)


def add_up(parts: Array, result: Array) -> None:
    """Add parts up in pairs, so that roundings grow with the logarithm of their number."""
    count = len(parts)
    while count > 1:
        kept = -(-count // 2)
        pairs = parts[: count - kept], parts[kept:count]
        np.add(*pairs, out=result[None] if count == 2 else pairs[0])
        count = kept


@lru_cache(maxsize=256)
def call_for(problem: WeightGradient, x: ArrayInfo, gy: ArrayInfo, target: Target | None = None) -> Call:
    """Return the call for arrays that stand like these; the latest are kept."""
    target = target or current()
    size = np.dtype(problem.dtype).itemsize
    lanes = target.lanes(size)
    computed, plan, turned = oriented(problem, lanes, target.registers)
    plain, given = computed.plain, (x, gy)
    if turned:
        x, gy = gy, x
    x_steps, gy_steps = ([step // size for step in one.strides] for one in (x, gy))
    laid = any(side > 0 for pair in plain.padding for side in pair)
    form = Form(
        problem.dtype, plan.rows, plan.vectors, laid, dense=not laid or x_steps[-1] == 1 or x.shape[-1] == 1,
        across="positions" if gy_steps[-1] == 1 else "channels" if gy_steps[1] == 1 else "nothing", turned=turned,
    )  # fmt: skip

    def trial() -> bool:
        arrays = (np.lib.stride_tricks.as_strided(np.empty(1, one.dtype), one.shape, one.strides) for one in given)
        return proof.agree(
            lambda *drawn: weight_gradient(problem, *drawn), lambda *drawn: windows.weight_gradient(problem, *drawn),
            *arrays,
        )  # fmt: skip

    routine = proof.compiled(form.name, form, lambda: weight_routine(form, target), target, trial)
    values, tables, room = _values(plain, plan, form, lanes, x_steps, gy_steps)
    words = array("q", [int(values.get(name, 0)) for name in (*POINTERS, *SIZES)])
    return Call(routine, words.tobytes(), tables, room * size, problem, plan, turned)


def _values(
    plain: Convolution, plan: WeightSums, form: Form, lanes: int, x_steps: list[int], gy_steps: list[int]
) -> tuple[dict[str, int], tuple[Array, ...], int]:
    """Return the words of the routine, the tables that they point to, and the elements of a thread's room."""
    rank = plain.rank
    height, width = plane(plain)
    row_kernel, row_step, row_gap, top, rows, x_row, gy_row = (
        (plain.kernel[-2], plain.stride[-2], plain.dilation[-2], plain.padding[-2][0], plain.size[-2],
         x_steps[-2], gy_steps[-2])
        if rank > 1 else (1, 1, 1, 0, 1, 0, 0)
    )  # fmt: skip
    kernel, step, gap, (left, _), x_column = (
        plain.kernel[-1], plain.stride[-1], plain.dilation[-1], plain.padding[-1], x_steps[-1]
    )  # fmt: skip
    row_extent, extent = (row_kernel - 1) * row_gap + 1, (kernel - 1) * gap + 1
    outer = range(max(0, rank - 2))
    outer_outputs = [plain.output_size[axis] for axis in outer]
    outer_taps = [plain.kernel[axis] for axis in outer]
    count_taps = prod(outer_taps)
    places, gradients = outer_places(plain, x_steps, gy_steps)
    pitch = (plan.columns - 1) * step + extent
    size = ((plan.lines - 1) * row_step + row_extent) * pitch
    terms = product(range(plan.channels), np.ndindex(*outer_taps), range(row_kernel), range(kernel))
    if form.laid:
        numbers = {tap: k for k, tap in enumerate(np.ndindex(*outer_taps))}
        distances = [(c * count_taps + numbers[tap]) * size + i * row_gap * pitch + j * gap for c, tap, i, j in terms]
    else:
        distances = [
            c * x_steps[1]
            + sum(t * plain.dilation[axis] * x_steps[2 + axis] for axis, t in zip(outer, tap, strict=True))
            + i * row_gap * x_row
            + j * gap * x_column
            for c, tap, i, j in terms
        ]
    tables = (np.array(distances, np.int64), places, gradients)
    lines = plan.vectors * lanes
    row_count = -(-len(distances) // plan.rows) * plan.rows
    # Panels are written in whole vectors of positions, and sums are read in whole vectors of rows.
    panel_size = _rounded((plan.positions + lanes) * lines)
    panel = plan.panels * panel_size
    planes = _rounded(plan.images * plan.channels * count_taps * size + lanes) if form.laid else 0
    sums_size = _rounded((row_count + lanes) * lines)
    sums = plan.panels * sums_size
    groups = plain.groups
    joined = gy_row == width * gy_steps[-1] and plan.columns == width
    x_joined = x_row * row_step == width * x_column * step and plan.columns == width
    values = {
        "distances": memory.address(tables[0]), "outer_places": memory.address(tables[1]),
        "gradient_places": memory.address(tables[2]),
        "outputs": plain.out_channels // groups, "inputs": plain.in_channels // groups, "taps": prod(plain.kernel),
        "terms": plain.terms, "groups": groups, "batch": plain.batch, "height": height, "width": width,
        "outer": prod(outer_outputs), "outer_taps": count_taps,
        "x_image": x_steps[0], "x_channel": x_steps[1], "x_row": x_row, "x_column": x_column,
        "gy_image": gy_steps[0], "gy_channel": gy_steps[1], "gy_row": gy_row, "gy_column": gy_steps[-1],
        "row_step": row_step, "column_step": step, "top": top, "left": left,
        "input_height": rows, "input_width": plain.size[-1], "row_extent": row_extent, "column_extent": extent,
        "output_blocks": plan.output_blocks, "panels": plan.panels,
        "channels": plan.channels, "channel_blocks": plan.channel_blocks,
        "images": plan.images, "lines": plan.lines, "columns": plan.columns,
        "line_bands": plan.line_bands, "column_bands": plan.column_bands, "bands": plan.bands, "parts": plan.parts,
        "part": -(-plan.bands // plan.parts),
        "room": panel + planes + 2 * sums, "planes_at": panel, "sums_at": panel + planes,
        "totals_at": panel + planes + sums, "pitch": pitch, "plane": size,
        "panel_size": panel_size, "sums_size": sums_size,
        "whole": plain.out_channels * plain.terms, "joined": int(joined), "x_joined": int(x_joined),
    }  # fmt: skip
    return values, tables, values["room"]


def outer_places(plain: Convolution, x_steps: list[int], gy_steps: list[int]) -> tuple[Array, Array]:
    """Return where planes of x and gy begin, for positions on the axes before the last two.

    Of x for every position and tap, NOWHERE where it is outside; of gy for every position. Steps are those of all axes.
    """
    outer = range(max(0, plain.rank - 2))
    outputs, taps = ([sizes[axis] for axis in outer] for sizes in (plain.output_size, plain.kernel))
    places = np.full((prod(outputs), prod(taps)), NOWHERE, np.int64)
    for i, position in enumerate(np.ndindex(*outputs)):
        for k, tap in enumerate(np.ndindex(*taps)):
            at = [
                j * plain.stride[axis] + t * plain.dilation[axis] - plain.padding[axis][0]
                for axis, j, t in zip(outer, position, tap, strict=True)
            ]
            if all(0 <= a < plain.size[axis] for axis, a in zip(outer, at, strict=True)):
                places[i, k] = sum(a * x_steps[2 + axis] for axis, a in zip(outer, at, strict=True))
    gradients = [
        sum(j * gy_steps[2 + axis] for axis, j in zip(outer, position, strict=True))
        for position in np.ndindex(*outputs)
    ]
    return places, np.array(gradients, np.int64)


def _rounded(count: int) -> int:
    """Return a count of elements that keeps what follows on a cache line of its own."""
    return -(-count // 64) * 64
