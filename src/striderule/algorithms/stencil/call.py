"""An image correlation bound to shapes, strides and types: the routine, the words that it is told, and its tables."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.native import merged, words_of
from striderule.algorithms.stencil.cutting import Cut
from striderule.algorithms.stencil.layout import Layout, Window
from striderule.algorithms.stencil.routine import stencil_routine
from striderule.algorithms.stencil.structure import POINTERS, SIZES, SUMS, Load, Results, Structure
from striderule.algorithms.stencil.tables import chains, distances, line_table, outer_table
from striderule.algorithms.windows import stencil as windows
from striderule.codegen import workers
from striderule.codegen.target import Target, current
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
_THREADS = _AT["threads"]
# Multiply-adds of a call below which the calling thread does it all.
ALONE = 1 << 18
# Bytes of image and results together that no cache holds: then results are streamed past it, for those who read them
# would not find them there.
FAR = 1 << 25


class Kernels(NamedTuple):
    """The kernels without their numbers: how many, which taps of each are not zero, and whether sums may overflow."""

    number: int
    present: bytes
    large: bool = False

    @classmethod
    def of(cls, kernels: Array) -> Kernels:
        """Return what is known of kernels, the first axis of which tells them apart."""
        large = kernels.dtype.kind == "f" and bool(np.abs(kernels).max(initial=0) > 2.0**40)
        return cls(len(kernels), np.packbits(kernels != 0).tobytes(), large)

    def taps(self, shape: Ints) -> list[Ints]:
        """Return (kernel, *place) of each tap that is not zero, for kernels of a shape."""
        whole = (self.number, *shape)
        bits = np.unpackbits(np.frombuffer(self.present, np.uint8), count=prod(whole))
        return [tuple(place) for place in np.argwhere(bits.reshape(whole)).tolist()]


@dataclass(frozen=True, slots=True)
class Request:
    """What a call is made for; calls for the latest requests are kept.

    The problem is that of one kernel, and y one of the results, of which each stands so many bytes on: `places`.
    """

    problem: Convolution
    kernels: Kernels
    fill: Any
    x: ArrayInfo
    y: ArrayInfo
    places: Ints
    results: Results
    target: Target


@dataclass(frozen=True, slots=True)
class Call:
    """An image correlation that is ready to run.

    `template` holds the words that are the same for every call; `tables` keeps alive what they point to, `order` tells
    which tap each weight is. `room` counts the bytes that each thread needs.
    """

    address: int
    template: bytes
    tables: tuple[Array, ...]
    order: npt.NDArray[np.intp]
    tasks: int
    alone: bool
    room: int

    def run(self, x: Array, kernels: Array, y: Array) -> bool:
        """Compute into y. Returns whether a result was NaN that cannot be stored."""
        return self.with_weights(x, self.weights(kernels), y)

    def weights(self, kernels: Array) -> Array:
        """Return the taps in the order in which the routine takes them."""
        packed: Array = kernels.reshape(-1)[self.order]
        return packed

    def with_weights(self, x: Array, weights: Array, y: Array) -> bool:
        """As `run`, for taps that are in their order."""
        address = memory.address
        words = array("q", self.template)
        words[0], words[1], words[2] = address(x), address(y), address(weights)
        threads = 1
        if not self.alone and self.tasks > 1:
            threads = words[_THREADS] = min(workers.get_num_threads(), self.tasks)
            words.extend([0] * (threads - 1))
        if self.room:
            room = memory.room("stencil", threads * self.room)
            words[_AT["room"]] = room.address
        # The last words are the status, and a flag for the room of each thread.
        start = words.buffer_info()[0]
        status = start + len(self.template) - 16
        words[_AT["status"]], words[_AT["flags"]] = status, status + 8
        if self.alone:
            workers.alone(self.address, start, self.tasks)
        else:
            workers.run(self.address, start, self.tasks)
        return words[(status - start) >> 3] != 0


def call_for(
    problem: Convolution,
    kernels: Kernels,
    fill: Any,
    x: ArrayInfo,
    y: ArrayInfo,
    places: Ints = (0,),
    results: Results = SUMS,
) -> Call:
    """Return the call; y is one of the results, and `places` how many bytes behind the first each of them stands."""
    bare = replace(problem, form=None)
    return _call_for(Request(bare, kernels, fill, x, y, places, results, current()))


@lru_cache(maxsize=256)
def _call_for(request: Request) -> Call:
    problem, x, y, target = request.problem, request.x, request.y, request.target
    layout = Layout.of(problem, x, y)
    taps = request.kernels.taps(problem.kernel)
    streamed = _streamed(request, layout)
    cut = Cut.of(problem, layout, taps, x, target, streamed=streamed)
    loads = cut.loads(taps)
    structure = replace(structure_of(request, layout, cut, loads), streamed=streamed)
    routine = proof.compiled(
        structure.name,
        structure,
        lambda: stencil_routine(structure.name, target, structure),
        target,
        lambda: _agrees(request),
    )
    tables, sizes, order = tables_of(request, layout, cut, taps, loads)
    walks = merged((axis.outputs, axis.x_step, axis.y_step) for axis in layout.planes)
    tables["walk"] = words_of(walks)
    lines = -(-structure.slots * structure.outer_taps // 8) * 64
    room = lines + cut.room * np.dtype(problem.dtype).itemsize
    room = -(-room // 128) * 128
    outers, planes = prod(axis.outputs for axis in layout.outer), prod(axis.outputs for axis in layout.planes)
    values = sizes | {
        "outers": outers, "outer_taps": structure.outer_taps, "walks": len(walks), "threads": 1, "room_size": room,
    }  # fmt: skip
    values |= {name: memory.address(table) for name, table in tables.items()}
    words = array("q", [values.get(name, 0) for name in (*POINTERS, *SIZES)])
    words.extend((0, 0))
    tasks = len(cut.strip.parts) * len(cut.bands) * outers * planes
    alone = prod(y.shape) * (len(taps) + 4) < ALONE
    kept = tuple(tables.values())
    return Call(routine.address, words.tobytes(), kept, order, tasks, alone, room)


def structure_of(request: Request, layout: Layout, cut: Cut, loads: list[Load]) -> Structure:
    """Return what the code of the routine depends on."""
    problem, x, y = request.problem, request.x, request.y
    rows = cut.rows
    source, work, final = x.dtype, np.dtype(problem.dtype), y.dtype
    may_be_nan = (source.kind == "f" or request.kernels.large) and work.kind == "f"
    line = layout.line.axis
    return Structure(
        source.name, work.name, final.name, problem.overflow if final.kind in "biu" else "saturate",
        cut.height, cut.vectors, rows.step, rows.window.taps, len(cut.outer_taps),
        tuple(loads) if cut.written else (),
        in_place=any(not part.laid for part in cut.strip.parts), laid=any(part.laid for part in cut.strip.parts),
        compact=cut.compact, side_by_side=_side_by_side(line.y_step, layout.line.unit, y.dtype.itemsize),
        refuses=final.kind in "biu" and may_be_nan, kernels=request.kernels.number, results=request.results,
        held=cut.held or not cut.written,
    )  # fmt: skip


def _streamed(request: Request, layout: Layout) -> bool:
    """Tell whether results are streamed past the caches: large ones of whole vectors, aligned in all lines or none."""
    line, x, y = layout.line.axis, request.x, request.y
    near = prod(x.shape) * x.dtype.itemsize + prod(y.shape) * y.dtype.itemsize <= FAR
    single = len(request.places) == 1
    alike = layout.rows.y_step % request.target.vector_bytes == 0
    whole = y.dtype.itemsize == np.dtype(request.problem.dtype).itemsize
    return single and not near and alike and whole and _side_by_side(line.y_step, layout.line.unit, y.dtype.itemsize)


def _side_by_side(step: int, unit: int, itemsize: int) -> bool:
    return step == itemsize * unit


def tables_of(
    request: Request, layout: Layout, cut: Cut, taps: list[Ints], loads: list[Load]
) -> tuple[dict[str, Array], dict[str, int], npt.NDArray[np.intp]]:
    """Return the tables, the sizes that go with them, and which tap each weight is."""
    problem, work = request.problem, np.dtype(request.problem.dtype)
    line, unit = layout.line
    numbers = np.ravel_multi_index(np.array(taps).T, (request.kernels.number, *problem.kernel))
    entries: dict[str, Array] = {}
    if not cut.written:
        entries["taps"], entries["segments"], chosen = chains(loads, cut.height, work.itemsize)
        numbers = numbers[chosen]
    elif not cut.held:
        numbers = np.tile(numbers, cut.height)
    x_step, y_step = line.x_step // unit, line.y_step // unit
    rows = layout.rows
    with np.errstate(all="ignore"):
        blank = np.full(1, request.fill, request.x.dtype)
        blank_line = np.full(cut.longest, request.fill, work)
    strip = cut.strip
    table = line_table(problem, layout.line, x_step, strip.phases)
    before = Window.of(problem, line).before * unit
    entries |= {
        "row_sources": distances(problem, rows),
        "line_sources": table,
        "outer": outer_table(problem, layout.outer, cut.outer_taps),
        "bands": np.array(cut.bands, np.int64).ravel(),
        "results": np.array(request.places, np.int64),
        "parts": np.array([(p.first, p.outputs, p.laid, p.first * y_step) for p in cut.strip.parts], np.int64).ravel(),
        "blank": blank,
        "blank_line": blank_line,
    }
    sizes = {
        "part_count": len(cut.strip.parts), "band_count": len(cut.bands), "band_rows": cut.band_rows,
        "row_gap": cut.rows.window.dilation, "y_row": rows.y_step, "y_line": y_step,
        "out_gap": rows.y_step * cut.rows.gap, "inner_first": before, "inner_last": before + line.size * unit,
        "phases": len(strip.phases), "phase_size": len(table) // len(strip.phases), "phase_pitch": strip.phase_pitch,
        "pitch": strip.pitch, "segment_count": len(entries.get("segments", ())) // 4,
    }  # fmt: skip
    return entries, sizes, numbers.astype(np.intp)


def _agrees(request: Request) -> bool:
    """Compare the routine with NumPy on drawn images like this, and kernels of ones."""
    problem = request.problem
    shape = (request.kernels.number, *problem.kernel)
    ones = np.zeros(shape, problem.dtype)
    for tap in request.kernels.taps(problem.kernel):
        ones[tap] = 1
    y = request.y

    def computed(image: Array) -> Array:
        made = [np.lib.stride_tricks.as_strided(one, y.shape, y.strides) for one in _room(y, request)]
        _call_for(request).run(image, ones, made[0])
        return np.stack(made)

    def expected(image: Array) -> Array:
        plain = replace(problem, form=None, stored=(request.x.dtype.name, y.dtype.name))
        sums = [windows.stencil(plain, image, kernel, request.fill) for kernel in ones]
        return np.stack([one.astype(y.dtype) for one in combined(sums, request.results)])

    image = np.lib.stride_tricks.as_strided(np.empty(1, request.x.dtype), request.x.shape, request.x.strides)
    return proof.agree(computed, expected, image)


def combined(sums: Sequence[Array], results: Results) -> list[Array]:
    """Return the results of what several kernels give, by NumPy."""
    found: list[Array] = []
    for word in results:
        if word == "length":
            found.append(np.asarray(reduce(np.hypot, (np.abs(each) for each in sums))))
        elif word == "direction":
            found.append(np.asarray(np.arctan2(*sums)))
        else:
            found.extend(sums)
    return found


def _room(y: ArrayInfo, request: Request) -> list[Array]:
    """Return memory for results that stand like y and each other, the first element of each first."""
    steps = [(n - 1) * step for n, step in zip(y.shape, y.strides, strict=True)]
    low, high = (sum(limit(step, 0) for step in steps) + limit(request.places) for limit in (min, max))
    whole = np.zeros(high - low + y.dtype.itemsize, np.uint8)
    starts = [place - low for place in request.places]
    return [whole[start : start + y.dtype.itemsize].view(y.dtype) for start in starts]
