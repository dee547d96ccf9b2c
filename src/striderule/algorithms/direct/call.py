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
from striderule.algorithms.direct import proof, tiled, trial_of_words
from striderule.algorithms.direct.laying import MASKED, Form
from striderule.algorithms.direct.operands import are_served, before_turning, is_turned
from striderule.algorithms.direct.product import POINTERS, SIZES, product_routine
from striderule.algorithms.direct.tables import tables_of
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.codegen import workers
from striderule.codegen.target import Target, current
from striderule.geometry.problem import Convolution
from striderule.planning.runs import flattened
from striderule.planning.schedule import CHAIN, CHUNK, Schedule, schedule, sums_type

Array = npt.NDArray[Any]

# Elements between two rows of a panel of weights: a chunk, and what keeps rows out of the same sets of the cache.
PANEL = CHUNK + 16
_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
_PACKED, _THREADS, _LAID, _FIRST, _LAYS = (_AT[word] for word in ("packed", "threads", "laid", "first_block", "lays"))


@dataclass(frozen=True, slots=True)
class Call:
    """A convolution that is ready to run; see `striderule.algorithms.binding.Bound`.

    `address` is that of the routine; `template` holds the words that are the same for every call, `status` counts the
    bytes before the one that the routine writes; `tables` keeps alive what they point to. `room` counts the bytes that
    each thread needs, and `common` those of planes that blocks of channels share; `waves` are the first blocks of
    positions, the tasks that lay out the planes of these and of all up to the next ones, and the tasks that read them.
    `panels` are the weights, if they are packed, and `panels_at` is where they stand.
    """

    address: int
    template: bytes
    status: int
    tables: tuple[Array, ...]
    tasks: int
    room: int
    common: int
    waves: tuple[tuple[int, int, int], ...]
    form: Form
    problem: Convolution
    schedule: Schedule
    panels: Array | None = None
    panels_at: int = 0
    # Bytes from the first weight in memory to the first of the definition.
    ahead: int = 0

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> bool:
        """Compute into out. Returns whether a weight was infinite or no number."""
        address = memory.address
        # The last words are the status, and a flag for the room of one thread.
        words = array("q", self.template)
        words[0], words[4] = address(x), address(out)
        words[1] = address(weight) - self.ahead if self.panels is None else self.panels_at
        if bias is not None:
            words[2] = address(bias)
        if residual is not None:
            words[3] = address(residual)
        threads = 1
        if self.tasks > 1:
            threads = words[_THREADS] = min(workers.get_num_threads(), self.tasks)
            words.extend([0] * (threads - 1))
        room = memory.room("direct", threads * self.room + self.common)
        words[5] = room.address
        start = words.buffer_info()[0]
        words[7] = status = start + self.status
        words[6] = status + 8
        if not self.waves:
            workers.run(self.address, start, self.tasks)
        for first, laying, reading in self.waves:
            words[_LAID], words[_FIRST], words[_LAYS] = room.address + threads * self.room, first, 1
            workers.run(self.address, start, laying, threads)
            words[_LAYS] = 0
            workers.run(self.address, start, reading)
        return words[self.status >> 3] != 0

    def ordered(self, words: Array) -> Array:
        """Return weights in the order of terms that this call takes; see `tiled`."""
        plan = self.schedule
        return tiled.ordered(words, plan.chunk, len(plan.taps)) if self.form.tiles else words

    def of_panels(self) -> Call:
        """Return the same for weights that stand in panels, at the address that `run` is given; see `packed`."""
        words = array("q", self.template)
        words[_PACKED] = 1
        return replace(self, template=words.tobytes())

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


@dataclass(frozen=True, slots=True)
class Request:
    """What a call is made for; calls for the latest requests are kept. See `striderule.algorithms.binding`."""

    problem: Convolution
    fill: Any
    x: ArrayInfo
    weight: ArrayInfo
    residual: ArrayInfo | None
    activation: tuple[Any, ...] | None
    out: ArrayInfo
    target: Target
    unit: str = ""
    turned: bool = False
    chain: int = CHAIN
    tiles: str = ""

    @property
    def element(self) -> str:
        """The type of the sums."""
        return sums_type(self.problem)

    @property
    def around(self) -> int:
        """Taps of weights that stand as those that they are turned from, 0 if they do not; see `Form`."""
        return prod(self.problem.kernel) if is_turned(self.problem, self.weight) else 0

    def is_served(self) -> bool:
        """Tell whether the routine serves the arrays."""
        weight = self.weight
        if self.around:
            # Taps are read together: fewer than half a vector are sooner turned before.
            if self.unit or self.problem.rank > 2 or 2 * self.around < self.target.lanes(weight.dtype.itemsize):
                return False
            weight = before_turning(weight)
        return are_served(self.x, weight, self.residual, self.activation, self.out, self.element)

    def flattened(self) -> Request:
        """Return the same with a single spatial axis where single taps meet an input that can be seen so."""
        steps, size, flat = self.x.strides[2:], self.problem.size, flattened(self.problem)
        if flat is self.problem or any(steps[i] != steps[i + 1] * size[i + 1] for i in range(len(size) - 1)):
            return self
        x = ArrayInfo((*self.x.shape[:2], *flat.size), (*self.x.strides[:2], steps[-1]), self.x.dtype)
        return replace(self, problem=flat, x=x)

    def schedule(self) -> Schedule:
        """Return how to cut the work."""
        size = np.dtype(self.element).itemsize
        problem, target = replace(self.problem, bound=None), self.target
        plan = schedule(problem, target.lanes(size), target.registers, size, not self._follows(), self._counts_all())
        return tiled.fitted(plan, problem) if self.tiles else replace(plan, chain=min(plan.chain, self.chain))

    def _counts_all(self) -> bool:
        """Tell whether what stands beyond the borders contributes, or words are multiplied, maybe in whole tiles."""
        return bool(self.fill) or bool(self.unit)

    def _follows(self) -> bool:
        """Tell whether types, strides and what stands outside let inputs be read in place, or copied row after row."""
        x, problem = self.x, self.problem
        if x.dtype.name != self.element or x.strides[-1] != x.dtype.itemsize:
            return False
        pads = any(side > 0 for pair in problem.padding for side in pair)
        rows = problem.rank == 1 or x.strides[-2] == x.strides[-1] * problem.size[-1]
        return rows and not (pads and self.fill)

    def form(self, plan: Schedule) -> Form:
        """Return what the code of the routine depends on."""
        problem, x, step = self.problem, self.x, self.x.strides[-1] // self.x.dtype.itemsize
        lanes = self.target.lanes(np.dtype(self.element).itemsize)
        terms = plan.chunk * len(plan.taps)
        beside = x.strides[1] == x.dtype.itemsize and step != 1 and problem.rank < 3 and 2 * plan.chunk >= lanes
        sides = zip(problem.padding[-1], problem.boundary[-1], strict=True)
        word, *parameters = self.activation or (None,)
        return Form(
            self.element, x.dtype.name, self.weight.dtype.name, self.out.dtype.name, *plan.tile,
            panel=PANEL if terms <= CHUNK else (1 << terms.bit_length()) + 16,
            in_place=plan.in_place, flat=plan.flat,
            step=problem.stride[-1] if step == 1 and problem.stride[-1] in (1, 2, 4) else 0,
            borders=any(side > 0 and it != "constant" for side, it in sides),
            activation=word, parameters=tuple(one if isinstance(one, str) else None for one in parameters),
            merged=plan.merged, last=beside and not plan.in_place, narrow=plan.narrow, skips=plan.met < 1,
            shared=plan.wave > 0,
            unit=self.unit, turned=self.turned, tiles=self.tiles, around=self.around,
        )  # fmt: skip


def call_for(
    problem: Convolution,
    fill: Any,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
    unit: str = "",
    turned: bool = False,
    chain: int = CHAIN,
    tiles: str = "",
) -> Call | None:
    """Return the call, or None where the arrays do not stand as the routine reads and writes them.

    With a `unit` of `striderule.codegen.dots` x and weight hold words, in the type of the sums, and so does the fill
    value; the input channels of the problem count words. `turned`: those of x are the unit's first numbers. Chains have
    at most `chain` terms, but with `tiles`, for which the terms of weights stand in the order of `Call.ordered`.
    """
    return _call_for(
        Request(problem, fill, x, weight, residual, activation, out, current(), unit, turned, chain, tiles)
    )


@lru_cache(maxsize=256)
def _call_for(request: Request) -> Call | None:
    if not request.is_served():
        return None
    request = request.flattened()
    problem, plan, element = request.problem, request.schedule(), np.dtype(request.element)
    form = request.form(plan)
    routine = proof.compiled(
        form.name,
        form,
        lambda: product_routine(form, request.target),
        request.target,
        lambda: _agrees(request, form),
        always=form.tiles == "amx",
    )
    steps = [step // request.x.dtype.itemsize for step in request.x.strides]
    lanes = request.target.lanes(element.itemsize)
    # A bias of nothing stands in where there is none.
    tables = (*tables_of(problem, plan, steps, lanes), np.zeros(problem.out_channels, element))
    room = _rooms(plan, form, lanes, problem.terms)
    values = _values(request, plan, steps, lanes) | room
    values |= {name: memory.address(table) for name, table in zip((*POINTERS[9:], "bias"), tables, strict=True)}
    words = array("q", [values.get(name, 0) for name in (*POINTERS, *SIZES)])
    numbers = (request.fill, *(request.activation or ())[1:])
    words.extend(_word(number, element) for number in numbers if not isinstance(number, str))
    status = words.itemsize * len(words)
    words.extend((0, 0))
    tasks = -(-problem.batch // plan.images) * problem.groups * prod(problem.output_size[:-2]) * plan.tasks
    chunks = room["chunks"]
    waves = (
        (first, chunks * room["pieces"] * blocks, plan.channel_blocks * blocks)
        for first, blocks in plan.waves(tasks // plan.channel_blocks)
    )
    return Call(
        routine.address, words.tobytes(), status, tables, tasks, room["room"] * element.itemsize,
        plan.wave * chunks * room["chunk_step"] * element.itemsize, tuple(waves), form, problem, plan,
        ahead=max(0, form.around - 1) * request.weight.dtype.itemsize,
    )  # fmt: skip


def _values(request: Request, plan: Schedule, steps: list[int], lanes: int) -> dict[str, int]:
    """Return the sizes that the routine is told, but for its room."""
    problem, out = request.problem, request.out
    y, other = ([step // out.dtype.itemsize for step in one.strides] for one in (out, request.residual or out))
    return {
        "channels": problem.out_channels // problem.groups, "inputs": problem.in_channels // problem.groups,
        "planes": problem.terms // len(plan.taps), "taps": len(plan.taps), "terms": problem.terms,
        "groups": problem.groups, "outer": prod(problem.output_size[:-2]), "outer_taps": prod(problem.kernel[:-2]),
        "height": problem.output_size[-2] if problem.rank > 1 else 1, "width": problem.output_size[-1],
        "input_width": problem.size[-1],
        "x_image": steps[0], "x_channel": steps[1], "x_column": steps[-1],
        "y_image": y[0], "y_channel": y[1], "residual_image": other[0], "residual_channel": other[1],
        "row_step": problem.stride[-2] if problem.rank > 1 else 0, "column_step": problem.stride[-1],
        "before": problem.padding[-1][0],
        "rows": plan.rows, "columns": plan.columns, "block": plan.channels,
        "row_blocks": plan.row_blocks, "column_blocks": plan.column_blocks, "channel_blocks": plan.channel_blocks,
        "images": plan.images, "batch": problem.batch,
        "image_step": steps[0] if plan.in_place else plan.chunk * plan.plane,
        "origin": -sum(side * step for (side, _), step in zip(problem.padding, steps[2:], strict=True)),
        "words": -(-len(plan.slots) * plan.run // (MASKED * lanes)),
        "chunk": plan.chunk, "chain": plan.chain,
        "slot_count": len(plan.slots), "shift_count": len(plan.shifts), "run": plan.run, "plane": plan.plane,
        "threads": 1, "together": int(plan.together), "packed": 0, "has_residual": int(request.residual is not None),
    }  # fmt: skip


def _rooms(plan: Schedule, form: Form, lanes: int, terms: int) -> dict[str, int]:
    """Return the elements that a thread needs, and where in them the weights and the unfinished sums begin."""
    chunks = -(-terms // (plan.chunk * len(plan.taps)))
    # What is read and written behind the last plane must have room.
    beyond = (plan.tile[1] + 1) * lanes
    panel_at = 0 if form.in_place or form.shared else _up(plan.planes + beyond)
    tail_at = panel_at + _up(plan.tile[0] * form.panel)
    sums_at = tail_at + _up(plan.images * plan.narrow * form.panel)
    pitch = _up(plan.positions + lanes) + 16
    room = sums_at + (_up(plan.channels * pitch) if chunks > 1 or form.merged else 0)
    return {
        "chunks": chunks,
        "panel_at": panel_at,
        "tail_at": tail_at,
        "sums_at": sums_at,
        "pitch": pitch,
        "room": room,
        "pieces": -(-plan.chunk // lanes),
        "chunk_step": _up(plan.chunk * plan.plane + beyond),
    }


def _word(number: Any, element: np.dtype[Any]) -> int:
    """Return a number as the routine reads it: the bits of a float64, or an integer."""
    if element.kind == "f":
        return int(np.float64(number).view(np.int64))
    return int(number)


def _up(count: int) -> int:
    """Return the next count of elements that keeps 64-byte alignment for any element."""
    return -(-count // 64) * 64


def _agrees(request: Request, form: Form) -> bool:
    """Compare a routine with NumPy on drawn operands like these, of one image if that has the same form."""
    activation, added = request.activation, request.residual is not None
    # What stands beyond the borders may be no number, and whether it is zero matters.
    beyond = int(bool(request.fill))

    def call(batch: int) -> Call:
        problem = replace(request.problem, batch=batch)
        result = ArrayInfo.of(np.empty(problem.output_shape, request.out.dtype))
        x = request.x._replace(shape=(batch, *request.x.shape[1:]))
        words = (request.unit, request.turned, request.chain, request.tiles)
        fill = request.fill if request.unit else beyond
        found = call_for(problem, fill, x, request.weight, result if added else None, activation, result, *words)
        assert found is not None  # it is being made for operands that stand like these
        return found

    single = call(1)
    tried = single if single.form == form else call(request.problem.batch)
    problem, shape, kind = tried.problem, tried.problem.output_shape, request.out.dtype

    def computed(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        made = np.empty(shape, kind)
        taps = seen_turned(seen_turned(taps).copy()) if form.around else tried.ordered(taps)
        tried.run(image, taps, bias, other if added else None, made)
        return made

    if request.unit:
        return trial_of_words.agrees(problem, computed, request, added)

    def expected(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        sums = windows.convolution(problem, image, taps, beyond).astype(request.element)
        sums += bias.reshape(-1, *(1,) * problem.rank)
        sums = sums + other if added else sums
        sums = sums if activation is None else elementwise.apply(activation[0], sums, sums.dtype, activation[1:])
        return sums.astype(kind)

    # Stand-ins, which are not read: the trial draws operands of their shapes and strides.
    size = (problem.batch, *request.x.shape[1:])
    image = np.lib.stride_tricks.as_strided(np.empty(1, request.x.dtype), size, request.x.strides)
    taps, bias = np.empty(request.weight.shape, request.weight.dtype), np.empty(problem.out_channels, request.element)
    return proof.agree(computed, expected, image, taps, bias, np.empty(shape, kind))
