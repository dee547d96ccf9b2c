"""Transposed convolution on generated code: tables, calls, and what the library calls."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import gcd, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.algorithms.direct.spread_routine import POINTERS, SHUFFLED, SIZES, Spread, spread_routine
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import Target, current
from striderule.errors import CompilationFailed
from striderule.geometry.problem import TransposedConvolution
from striderule.planning.schedule import sums_type
from striderule.planning.spreading import Axis, Spreading, inner_axes, spreading

Array = npt.NDArray[Any]
Table = npt.NDArray[np.int64]

SOURCES = ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "int64", "uint32", "bool")
# Bytes of weights of an input channel that are copied together: some cache lines, which are fetched ahead.
STREAM = 1 << 10
_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
_PACKED, _THREADS = _AT["packed"], _AT["threads"]


def transposed_convolution(problem: TransposedConvolution, x: Array, weight: Array) -> Array:
    """out[n, o, i * stride + t * dilation - before] += x[n, c, i] * weight[c, o, t].

    Gives way to `windows`, with one warning, where no code can be made.
    """
    if 0 in problem.output_shape or x.size == 0:
        return np.zeros(problem.output_shape, sums_type(problem))
    if np.dtype(problem.dtype).kind == "c":
        return _complex(problem, x, weight)
    out = memory.empty(problem.output_shape, sums_type(problem))
    x, weight = _readable(x, out.dtype), np.ascontiguousarray(_readable(weight, out.dtype))
    given = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    bound = bind_transposed(problem, **given, bias=False, residual=None, activation=None)
    if bound is None:
        return windows.transposed_convolution(problem, x, weight)
    bound.run(x, weight, None, None, out)
    return out


def _readable(x: Array, dtype: np.dtype[Any]) -> Array:
    """Return x as routines read it: a copy where elements stand at odd addresses or are of a type that they do not."""
    if x.dtype.name not in SOURCES:
        return np.ascontiguousarray(x, dtype)
    if not x.flags.aligned or any(step % x.itemsize for step in x.strides):
        return np.ascontiguousarray(x)
    return x


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


def bind_transposed(
    problem: TransposedConvolution,
    *,
    x: ArrayInfo,
    weight: ArrayInfo,
    bias: bool,  # noqa: ARG001 - zeros are added where there is none
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> Call | None:
    """Return the call that does everything at once; see `striderule.algorithms.binding`."""
    if 0 in out.shape or 0 in x.shape or np.dtype(problem.dtype).kind == "c":
        return None
    try:
        return call_for(problem, x, weight, residual, activation, out, current())
    except CompilationFailed as failure:
        giving_way.warn(failure)
        return None


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
    element = np.dtype(sums_type(problem))
    operands = [one for one in (x, weight, residual, out) if one is not None]
    if any(one.dtype.name not in SOURCES for one in operands):
        return None
    if any(step % one.dtype.itemsize for one in operands for step in one.strides):
        return None
    if not _is_compact(weight, 0) or not _is_compact(out, 2) or out.dtype not in (element, np.dtype(np.float16)):
        return None
    if residual is not None and (residual.dtype != out.dtype or not _is_compact(residual, 2)):
        return None
    if activation and (activation[0] not in ACTIVATIONS or out.dtype.kind != "f" or element.kind != "f"):
        return None
    return _bound(problem, x, weight, residual, activation, out, target)


def _is_compact(info: ArrayInfo, first: int) -> bool:
    """Tell whether the axes from `first` on follow each other without gaps, the last one fastest."""
    step = info.dtype.itemsize
    for n, stride in zip(reversed(info.shape[first:]), reversed(info.strides[first:]), strict=True):
        if n > 1 and stride != step:
            return False
        step *= n
    return True


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
    tables = _tables(problem, plan, sums, steps)
    room = _room(plan, sums, columns.stride, lanes, size)
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


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows of sums, one for each remainder of the output column: elements before the first, and from row to row."""

    margin: int
    pitch: int

    @classmethod
    def of(cls, plan: Spreading, columns: Axis, lanes: int) -> Sums:
        """Return rows long enough for all that the taps of a block of columns spread, inside and beyond its outputs."""
        shifts = [(tap * columns.dilation - columns.before) // columns.stride for tap in range(columns.kernel)]
        margin = end = 0
        for one in plan.columns:
            turn = one.first // columns.stride
            margin = max(margin, turn - one.start - min(shifts))
            end = max(end, one.start - turn + max(shifts) + one.count, -(-one.end // columns.stride) - turn)
        return cls(margin, _up(margin + end + 2 * lanes, lanes))


@dataclass(frozen=True, slots=True)
class Room:
    """Where things begin in the room of a thread, and the distances between planes and rows of products."""

    plane: int
    pitch: int
    products: int
    panel: int
    sums: int
    line: int
    all: int
    # Tiles whose weights are copied together.
    together: int


def _room(plan: Spreading, sums: Sums, stride: int, lanes: int, size: int) -> Room:
    height, vectors = plan.tile
    # A tile of positions may begin in any vector; distances in an odd number of cache lines use all sets of a cache.
    pitch = _odd(_up(plan.positions, lanes) + lanes)
    rows = _up(plan.products, height)
    products = _up(plan.chunk * pitch + vectors * lanes, 64)
    panel = products + _up(rows * pitch + vectors * lanes, 64)
    together = max(1, min(rows // height, STREAM // (height * size)))
    sums_at = panel + _up(together * plan.chunk * height + 2 * lanes, 64)
    line = sums_at + _up(2 * stride * sums.pitch, 64)
    end = line + _up(stride * (sums.pitch + lanes) + lanes, 64)
    return Room(pitch, pitch, products, panel, sums_at, line, end, together)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _odd(count: int) -> int:
    lines = -(-count // 16)
    return 16 * (lines + 1 - lines % 2)


def _tables(problem: TransposedConvolution, plan: Spreading, sums: Sums, steps: list[int]) -> tuple[Table, ...]:
    """Return the tables of blocks, of taps that meet at rows, of where those of columns go, and of outer pairs."""
    outer, rows, columns = inner_axes(problem, rows_inside=plan.rows_inside)
    row_blocks = [word for one in plan.rows for word in (one.first, one.end, one.start, one.count)]
    column_blocks = []
    for one in plan.columns:
        turn, rest = divmod(one.first, columns.stride)
        column_blocks += [one.first, one.end, one.start, one.count, one.start - turn, rest]
    row_taps = []
    for place in range(rows.outputs):
        pairs = rows.pairs(place)
        row_taps += [len(pairs), pairs[0][1], pairs[0][0]] if pairs else [0, 0, 0]
    column_taps = []
    for tap in range(columns.kernel):
        shift, remainder = divmod(tap * columns.dilation - columns.before, columns.stride)
        column_taps.append(remainder * sums.pitch + sums.margin + shift)
    starts, pairs_at = _outer_pairs(problem, outer, steps)
    lists = (row_blocks, column_blocks, row_taps, column_taps, starts, pairs_at)
    return tuple(np.array(entries, np.int64) for entries in lists)


def _outer_pairs(problem: TransposedConvolution, outer: list[Axis], steps: list[int]) -> tuple[list[int], list[int]]:
    """Return where the pairs of every outer position begin, and the distances to the input and the tap of each."""
    met = []
    for number, axis in enumerate(outer):
        step, taps = steps[2 + number], prod(problem.kernel[number + 1 :])
        met.append([[(i * step, tap * taps) for i, tap in axis.pairs(place)] for place in range(axis.outputs)])
    starts, pairs_at = [0], []
    for lists in product(*met):
        for combination in product(*lists):
            pairs_at += [sum(i for i, _ in combination), sum(tap for _, tap in combination)]
        starts.append(len(pairs_at) // 2)
    return starts, pairs_at or [0, 0]


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


def _complex(problem: TransposedConvolution, x: Array, weight: Array) -> Array:
    """Compute complex sums as real ones of twice as many channels.

    (a + ib)(c + id) = (ac - bd) + i(ad + bc): of each group, the real parts of the inputs are followed by the imaginary
    ones, and so are those of the outputs.
    """
    groups, kind = problem.groups, np.dtype("float32" if problem.dtype == "complex64" else "float64")
    parts = x.reshape(problem.batch, groups, -1, *problem.size)
    inputs = np.concatenate([parts.real, parts.imag], axis=2, dtype=kind)
    taps = weight.reshape(groups, -1, *weight.shape[1:])
    real, imaginary = taps.real.astype(kind), taps.imag.astype(kind)
    weights = np.concatenate(
        [np.concatenate([real, imaginary], axis=2), np.concatenate([-imaginary, real], axis=2)], axis=1
    )
    twice = replace(
        problem, dtype=kind.name, in_channels=2 * problem.in_channels, out_channels=2 * problem.out_channels
    )
    inputs = inputs.reshape(problem.batch, twice.in_channels, *problem.size)
    sums = transposed_convolution(twice, inputs, weights.reshape(twice.in_channels, -1, *problem.kernel))
    halves = sums.reshape(problem.batch, groups, 2, -1, *problem.output_size)
    out = memory.empty(problem.output_shape, problem.dtype)
    target = out.reshape(problem.batch, groups, -1, *problem.output_size)
    target.real, target.imag = halves[:, :, 0], halves[:, :, 1]
    return out
