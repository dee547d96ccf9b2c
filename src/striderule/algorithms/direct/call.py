"""A convolution bound to shapes, strides and types: the routine, the words that it is told, and its tables."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.algorithms.direct.laying import OUTSIDE, Form
from striderule.algorithms.direct.product import POINTERS, SIZES, product_routine
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import workers
from striderule.codegen.target import Target, current
from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution
from striderule.planning.schedule import CHUNK, Schedule, schedule, sums_type

Array = npt.NDArray[Any]
Table = npt.NDArray[np.int64]

# Elements between two rows of a panel of weights: a chunk, and what keeps rows out of the same sets of the cache.
PANEL = CHUNK + 16
_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
_PACKED, _HAS_RESIDUAL, _THREADS = _AT["packed"], _AT["has_residual"], _AT["threads"]
SOURCES = ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "int64", "uint32", "bool")


@dataclass(frozen=True, slots=True)
class Call:
    """A convolution that is ready to run; see `striderule.algorithms.binding.Bound`.

    `address` is that of the routine; `template` holds the words that are the same for every call, `status` counts the
    bytes before the one that the routine writes; `tables` keeps alive what they point to. `room` counts the bytes that
    each thread needs; `panels` are the weights, if they are packed, and `panels_at` is where they stand.
    """

    address: int
    template: bytes
    status: int
    tables: tuple[Array, ...]
    tasks: int
    room: int
    form: Form
    problem: Convolution
    schedule: Schedule
    panels: Array | None = None
    panels_at: int = 0

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> bool:
        """Compute into out. Returns whether a weight was infinite or no number."""
        address = memory.address
        # The last words are the status, and a flag for the room of one thread.
        words = array("q", self.template)
        words[0], words[4] = address(x), address(out)
        words[1] = address(weight) if self.panels is None else self.panels_at
        if bias is not None:
            words[2] = address(bias)
        if residual is not None:
            words[3] = address(residual)
        threads = 1
        if self.tasks > 1:
            threads = words[_THREADS] = min(workers.get_num_threads(), self.tasks)
            words.extend([0] * (threads - 1))
        room = memory.room("direct", threads * self.room)
        words[5] = room.address
        start = words.buffer_info()[0]
        words[7] = status = start + self.status
        words[6] = status + 8
        workers.run(self.address, start, self.tasks)
        return words[self.status >> 3] != 0

    def packed(self, weight: Array) -> Call:
        """Return the same with the weights copied into panels, as the routine would copy them."""
        problem, plan, form = self.problem, self.schedule, self.form
        groups, channels = problem.groups, problem.out_channels // problem.groups
        height = form.rows
        tiles = -(-channels // height)
        chunk = plan.chunk * len(plan.taps)
        chunks = -(-problem.terms // chunk)
        panels = np.zeros((groups, tiles, chunks, height, form.panel), form.element)
        matrix = weight.reshape(groups, channels, problem.terms)
        for tile in range(tiles):
            rows = matrix[:, tile * height : (tile + 1) * height]
            for number in range(chunks):
                part = rows[:, :, number * chunk : (number + 1) * chunk]
                panels[:, tile, number, : part.shape[1], : part.shape[2]] = part
        words = array("q", self.template)
        words[_PACKED] = 1
        return replace(self, template=words.tobytes(), panels=panels, panels_at=memory.address(panels))


def call_for(
    problem: Convolution,
    fill: Any,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> Call | None:
    """Return the call, or None where the arrays do not stand as the routine reads and writes them.

    Calls for the latest arrays are kept.
    """
    return _call_for(problem, fill, x, weight, residual, activation, out, current())


@lru_cache(maxsize=256)
def _call_for(
    problem: Convolution,
    fill: Any,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
    target: Target,
) -> Call | None:
    element = sums_type(problem)
    served = x.dtype.name in SOURCES and weight.dtype.name in SOURCES and out.dtype.name in SOURCES
    if not served or not _is_compact(weight, 0) or not _is_compact(out, 2):
        return None
    if residual is not None and (residual.dtype != out.dtype or not _is_compact(residual, 2)):
        return None
    if any(step % one.dtype.itemsize for one in (x, out, residual) if one is not None for step in one.strides):
        return None
    word, numbers = (activation[0], activation[1:]) if activation else (None, ())
    if word is not None and (word not in ACTIVATIONS or out.dtype.kind != "f" or np.dtype(element).kind != "f"):
        return None
    if out.dtype != np.dtype(element) and (out.dtype.name, element) != ("float16", "float32"):
        return None
    problem, x = _flattened(problem, x)
    problem = replace(problem, bound=None)
    size = np.dtype(element).itemsize
    # Single taps of columns that do not stand next to each other are copied, too.
    plan = schedule(problem, target.lanes(size), target.registers, size, x.strides[-1] != x.dtype.itemsize)
    return _bound(problem, fill, x, weight, residual, word, numbers, out, target, element, plan)


def _is_compact(info: ArrayInfo, first: int) -> bool:
    """Tell whether the axes from `first` on follow each other without gaps, the last one fastest."""
    step = info.dtype.itemsize
    for n, stride in zip(reversed(info.shape[first:]), reversed(info.strides[first:]), strict=True):
        if n > 1 and stride != step:
            return False
        step *= n
    return True


def _flattened(problem: Convolution, x: ArrayInfo) -> tuple[Convolution, ArrayInfo]:
    """Return a convolution of single taps as one of a single spatial axis, where the input can be seen so."""
    single = {*problem.kernel, *problem.stride} == {1}
    if problem.rank == 1 or not single or any(side for pair in problem.padding for side in pair):
        return problem, x
    steps, size = x.strides[2:], problem.size
    if any(steps[i] != steps[i + 1] * size[i + 1] for i in range(len(size) - 1)):
        return problem, x
    flat = replace(
        problem,
        size=(prod(size),), kernel=(1,), stride=(1,), dilation=(1,), padding=((0, 0),), boundary=problem.boundary[-1:],
    )  # fmt: skip
    return flat, ArrayInfo((*x.shape[:2], prod(size)), (*x.strides[:2], steps[-1]), x.dtype)


def _bound(
    problem: Convolution,
    fill: Any,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: str | None,
    numbers: tuple[Any, ...],
    out: ArrayInfo,
    target: Target,
    element: str,
    plan: Schedule,
) -> Call:
    steps = [step // x.dtype.itemsize for step in x.strides]
    rank, lanes = problem.rank, target.lanes(np.dtype(element).itemsize)
    terms = plan.chunk * len(plan.taps)
    alone = problem.kernel == problem.stride == (1,) and problem.padding == ((0, 0),)
    width = problem.output_size[-1]
    in_place = (
        alone and plan.images == 1 and steps[-1] == 1 and x.dtype.name == element and width >= plan.tile[1] * lanes
    )
    last = steps[1] == 1 and steps[-1] != 1 and rank < 3 and 2 * plan.chunk >= lanes
    sides = zip(problem.padding[-1], problem.boundary[-1], strict=True)
    form = Form(
        element, x.dtype.name, weight.dtype.name, out.dtype.name, *plan.tile,
        panel=PANEL if terms <= CHUNK else (1 << terms.bit_length()) + 16,
        together=plan.together, in_place=in_place,
        step=problem.stride[-1] if steps[-1] == 1 and problem.stride[-1] in (1, 2, 4) else 0,
        borders=any(side > 0 and word != "constant" for side, word in sides),
        activation=activation, parameters=tuple(number if isinstance(number, str) else None for number in numbers),
        merged=plan.images > 1, last=last and not in_place,
    )  # fmt: skip
    routine = proof.compiled(
        form.name,
        form,
        lambda: product_routine(form, target),
        target,
        lambda: _agrees(problem, x, weight, residual, (activation, *numbers) if activation else None, out),
    )
    # A bias of nothing stands in where there is none.
    tables = (*_tables(problem, plan, steps, in_place), np.zeros(problem.out_channels, element))
    chunks = -(-problem.terms // terms)
    planes = 0 if in_place else plan.chunk * plan.plane + (plan.tile[1] + 1) * lanes
    panel_at = _up(planes)
    sums_at = panel_at + _up(plan.tile[0] * form.panel)
    pitch = _up(plan.positions + lanes) + 16
    room = sums_at + (_up(plan.channels * pitch) if chunks > 1 or form.merged else 0)
    high = problem.output_size[-2] if rank > 1 else 1
    y_steps = [step // out.dtype.itemsize for step in out.strides]
    other = [step // out.dtype.itemsize for step in (residual or out).strides]
    values = {
        "channels": problem.out_channels // problem.groups, "inputs": problem.in_channels // problem.groups,
        "planes": problem.terms // len(plan.taps), "taps": len(plan.taps), "terms": problem.terms,
        "groups": problem.groups, "outer": prod(problem.output_size[:-2]), "outer_taps": prod(problem.kernel[:-2]),
        "height": high, "width": width, "input_width": problem.size[-1],
        "x_image": steps[0], "x_channel": steps[1], "x_column": steps[-1],
        "y_image": y_steps[0], "y_channel": y_steps[1], "residual_image": other[0], "residual_channel": other[1],
        "row_step": problem.stride[-2] if rank > 1 else 0, "column_step": problem.stride[-1],
        "before": problem.padding[-1][0],
        "rows": plan.rows, "columns": plan.columns, "block": plan.channels,
        "row_blocks": plan.row_blocks, "column_blocks": plan.column_blocks, "channel_blocks": plan.channel_blocks,
        "images": plan.images, "batch": x.shape[0],
        "chunk": plan.chunk, "chunks": chunks, "chain": plan.chain,
        "slot_count": len(plan.slots), "shift_count": len(plan.shifts), "run": plan.run, "plane": plan.plane,
        "threads": 1, "room": room, "panel_at": panel_at, "sums_at": sums_at, "pitch": pitch,
        "packed": 0, "has_residual": int(residual is not None),
        **{name: memory.address(table) for name, table in zip((*POINTERS[8:], "bias"), tables, strict=True)},
    }  # fmt: skip
    words = array("q", [values.get(name, 0) for name in (*POINTERS, *SIZES)])
    words.extend(_word(number, element) for number in (fill, *numbers) if not isinstance(number, str))
    status = words.itemsize * len(words)
    words.extend((0, 0))
    tasks = -(-x.shape[0] // plan.images) * problem.groups * prod(problem.output_size[:-2]) * plan.tasks
    room_bytes = room * np.dtype(element).itemsize
    return Call(routine.address, words.tobytes(), status, tables, tasks, room_bytes, form, problem, plan)


def _word(number: Any, element: str) -> int:
    """Return a number as the routine reads it: the bits of a float64, or an integer."""
    if np.dtype(element).kind == "f":
        return int(np.float64(number).view(np.int64))
    return int(number)


def _up(count: int) -> int:
    """Return the next count of elements that keeps 64-byte alignment for any element."""
    return -(-count // 64) * 64


def _tables(problem: Convolution, plan: Schedule, steps: list[int], in_place: bool) -> tuple[Table, ...]:
    """Return the tables of rows, columns, outer places, slots, shifts and distances."""
    rows, columns = [0], _sources(problem, problem.rank - 1)
    if problem.rank > 1:
        rows = [OUTSIDE if place < 0 else place * steps[-2] for place in _sources(problem, problem.rank - 2)]
        last = (plan.row_blocks - 1) * plan.rows * problem.stride[-2] + max(plan.slots)
        rows += [OUTSIDE] * (last + 1 - len(rows))
    furthest = ((plan.column_blocks - 1) * plan.columns + plan.run) * problem.stride[-1] + max(plan.shifts)
    columns += [-1] * (furthest + 1 - len(columns))
    planes = range(plan.chunk)
    if in_place:
        distances = [channel * steps[1] for channel in planes]
    else:
        distances = [channel * plan.plane + tap for channel in planes for tap in plan.taps]
    lists = (rows, columns, _outer(problem, steps), plan.slots, plan.slot_images, plan.shifts, distances)
    return tuple(np.array(entries, np.int64) for entries in lists)


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


def _agrees(
    problem: Convolution,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> bool:
    """Compare a routine with NumPy on drawn operands like these, of one image."""
    one, result = (1, *x.shape[1:]), (1, *out.shape[1:])

    def computed(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        sums = np.empty(result, out.dtype)
        infos = (ArrayInfo.of(image), ArrayInfo.of(taps), residual and ArrayInfo.of(other), activation)
        call = call_for(problem, 0, *infos, ArrayInfo.of(sums))
        assert call is not None  # it is being made for operands that stand like these
        call.run(image, taps, bias, None if residual is None else other, sums)
        return sums

    def expected(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        # Single taps may have been seen as one axis, the result not.
        sums = windows.convolution(problem, image, taps, 0).reshape(result) + bias.reshape(
            -1, *(1,) * (len(result) - 2)
        )
        sums = sums if residual is None else sums + other
        return sums if activation is None else elementwise.apply(activation[0], sums, sums.dtype, activation[1:])

    # Stand-ins, which are not read: the trial draws operands of their shapes and strides.
    image = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), one, x.strides)
    bias = np.empty(problem.out_channels, sums_type(problem))
    return proof.agree(
        computed, expected, image, np.empty(weight.shape, weight.dtype), bias, np.empty(result, out.dtype)
    )
