"""Winograd bound to shapes, strides and types: the routines, the words that they are told, and their tables."""

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
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.algorithms.winograd import inputs, outputs, weights
from striderule.algorithms.winograd.places import strides_of, tables_of
from striderule.algorithms.winograd.routine import winograd_routine
from striderule.algorithms.winograd.structure import POINTERS, SIZES, Form, Layout
from striderule.codegen import workers
from striderule.codegen.target import Target
from striderule.geometry.problem import Convolution
from striderule.planning.interleaved import parts_of
from striderule.planning.winograd import Tiling, met_planes, tiling

Array = npt.NDArray[Any]
_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
# Of what is only padded to whole vectors, elements.
LINE = 16


@dataclass(frozen=True, slots=True)
class Request:
    """What a call is made for; calls for the latest requests are kept. See `striderule.algorithms.binding`."""

    problem: Convolution
    variant: str
    x: ArrayInfo
    # The type of the weights.
    weight: np.dtype[Any]
    residual: ArrayInfo | None
    activation: tuple[Any, ...] | None
    out: ArrayInfo
    target: Target
    # Whether the weights stand as those that they are turned from; see `weights`.
    around: bool = False

    @property
    def lanes(self) -> int:
        """Numbers of a vector."""
        return self.target.lanes(4)

    def tiling(self) -> Tiling:
        """Return how to cut the work."""
        return tiling(self.problem, self.variant, self.lanes, self.target.registers)

    def form(self, plan: Tiling) -> Form:
        """Return what the code of the routine depends on."""
        word, *parameters = self.activation or (None,)
        sides = zip(self.problem.padding, self.problem.boundary, strict=True)
        borders = any(n > 0 and it != "constant" for pads, words in sides for n, it in zip(pads, words, strict=True))
        x, out = (strides_of(one, self.problem) for one in (self.x, self.out))
        return Form(
            plan.tile, plan.kernel, layout_of(x), layout_of(out), plan.rows, plan.vectors, plan.pitch,
            borders, word, tuple(one if isinstance(one, str) else None for one in parameters),
            self.residual is None or layout_of(strides_of(self.residual, self.problem)) == layout_of(out),
            self.x.dtype.name, self.out.dtype.name,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phase:
    """Tasks that need nothing of each other: the words that are the same for every call, tiles and shares of each."""

    template: bytes
    block: int
    shares: int


@dataclass(frozen=True, slots=True)
class Call:
    """A convolution that is ready to run on transformed weights.

    `address` and `packs` are those of the routines; `room` counts the elements that each thread needs, `common` those
    of a V that all share. `tables` keeps alive what the words point to; `parts` counts those that an image is computed
    in, of each of which something is noted.
    """

    address: int
    packs: int
    phases: tuple[Phase, ...]
    room: int
    common: int
    tables: tuple[Array, ...]
    plan: Tiling
    problem: Convolution
    lanes: int
    around: bool
    parts: int

    @property
    def panels(self) -> int:
        """Blocks of output channels of a group."""
        return -(-(self.problem.out_channels // self.problem.groups) // (self.plan.vectors * self.lanes))

    @property
    def weights(self) -> int:
        """Elements of the transformed weights."""
        inputs = self.problem.in_channels * met_planes(self.problem)
        return inputs * self.plan.points * self.panels * self.plan.vectors * self.lanes

    def run(self, x: Array, panels: int, bias: Array | None, residual: Array | None, out: Array) -> list[int]:
        """Compute into out. Returns the images that have to be computed in another way."""
        address, plan, noted = memory.address, self.plan, self.problem.batch * self.parts
        threads = workers.get_num_threads()
        room = memory.room("winograd", 4 * (threads * self.room + self.common))
        # A flag for the room of each thread, and of every part of an image whether it has results that are not finite,
        # and others that are not tiny.
        flags = array("q", bytes(8 * (threads + 2 * noted)))
        start = flags.buffer_info()[0]
        told = {
            "x": address(x), "y": address(out), "panels": panels, "work": room.address, "flags": start,
            "found": start + 8 * threads, "v": room.address + 4 * threads * self.room, "threads": threads,
        }  # fmt: skip
        if bias is not None:
            told["bias"] = address(bias)
        if residual is not None:
            told["residual"] = address(residual)
        whole = plan.planes * prod(plan.counts)
        for first in range(0, whole, plan.wave):
            tiles = min(plan.wave, whole - first)
            for phase in self.phases:
                words = array("q", phase.template)
                blocks = -(-tiles // phase.block)
                for word, value in (*told.items(), ("first_tile", first), ("tiles", tiles), ("blocks", blocks)):
                    words[_AT[word]] = value
                workers.run(self.address, words.buffer_info()[0], blocks * phase.shares)
        found = flags[threads:]
        return sorted({n // self.parts for n in range(noted) if found[2 * n] or not found[2 * n + 1]})

    def pack(self, weight: Array, panels: int) -> Array:
        """Write the transformed weights; return of each input channel what `weights` tells of its size."""
        problem, plan = self.problem, self.plan
        inputs, channels = problem.in_channels // problem.groups, problem.out_channels // problem.groups
        sums = np.empty((problem.in_channels * met_planes(problem), prod(plan.kernel) + 1), np.float32)
        blocks = -(-inputs // self.lanes)
        place = memory.address(weight)
        if self.around:  # which is that of the first tap, the last one in memory
            place -= (prod(problem.kernel) - 1) * weight.itemsize
        words = array("q", [place, panels, memory.address(sums), inputs, channels, blocks, self.panels])
        workers.run(self.packs, words.buffer_info()[0], problem.groups * blocks)
        return sums


def layout_of(strides: list[int]) -> Layout:
    """Return what stands side by side in memory."""
    if strides[-1] == 1:
        return "columns"
    return "channels" if strides[1] == 1 else "apart"


@lru_cache(maxsize=256)
def call_for(request: Request) -> Call:
    """Return the call; `CompilationFailed` where no code can be made."""
    problem, target, plan = request.problem, request.target, request.tiling()
    form = request.form(plan)

    def trial() -> bool:
        return _agrees(request)

    routine = proof.compiled(form.name, form, lambda: winograd_routine(form, target), target, trial)
    key = (plan.tile, plan.kernel, plan.vectors, request.weight.name, request.around, met_planes(problem))
    name = f"{form.name}_weights"
    packs = proof.compiled(name, key, lambda: weights.weight_routine(name, target, *key), target, trial)
    places = tables_of(problem, plan, request.x, request.out, request.residual)
    tables: tuple[Array, ...] = (*places, np.zeros(problem.out_channels, np.float32))
    rooms = _rooms(plan, form, request.lanes)
    common = problem.groups * plan.chains * rooms["v_chain"] if plan.shared else 0
    words = zip(("planes", "row_places", "column_places", "bias"), map(memory.address, tables), strict=True)
    values = _values(request, plan) | rooms | dict(words)
    parameters = [one for one in (request.activation or ())[1:] if not isinstance(one, str)]

    def phase(block: int, shares: int, **words: int) -> Phase:
        told = values | words | {"block": block, "shares": shares}
        template = array("q", [told.get(word, 0) for word in (*POINTERS, *SIZES)])
        template.extend(np.array(parameters, np.float64).view(np.int64).tolist())
        return Phase(template.tobytes(), block, shares * problem.groups)

    if plan.shared:
        vectors = -(-(problem.in_channels // problem.groups) // request.lanes) * met_planes(problem)
        shares = -(-vectors // plan.input_vectors)
        phases = [
            phase(plan.input_block, shares, transforms=1, input_vectors=plan.input_vectors),
            phase(plan.block, plan.output_tasks, multiplies=1),
        ]
    else:
        phases = [phase(plan.block, 1, transforms=1, multiplies=1, input_vectors=plan.input_vectors)]
    return Call(
        routine.address, packs.address, tuple(phases), rooms["room"], common, tables, plan, problem, request.lanes,
        request.around, len(parts_of(problem)),
    )  # fmt: skip


def _rooms(plan: Tiling, form: Form, lanes: int) -> dict[str, int]:
    """Return the distances within V and M, the elements that a thread needs, and where in them these begin."""

    def apart(size: int) -> int:  # an odd number of cache lines, so that neighbours meet in different sets
        lines = -(-size // LINE)
        return LINE * (lines + 1 - lines % 2)

    # What a task computes beyond its last tile, up to a whole row of registers, must have room.
    beyond = (-(-plan.block // plan.rows) + 1) * plan.rows
    v_point = apart((plan.wave + beyond if plan.shared else beyond) * plan.pitch)
    m_tile = apart(plan.output_vectors * lanes)
    m_point = apart(beyond * m_tile)
    v_chain = plan.points * v_point
    m_at = apart(max(inputs.strip_size(form, lanes), outputs.strip_size(form, lanes)))
    v_at = m_at + plan.points * m_point
    room = apart(v_at + (0 if plan.shared else plan.chains * v_chain))
    return {
        "v_point": v_point, "v_chain": v_chain, "m_point": m_point, "m_tile": m_tile,
        "strip_at": 0, "m_at": m_at, "v_at": v_at, "room": room,
    }  # fmt: skip


def _values(request: Request, plan: Tiling) -> dict[str, int]:
    """Return the sizes that the routine is told, but for its room."""
    problem, first = request.problem, parts_of(request.problem)[0].problem
    x, y, other = (strides_of(one, problem) for one in (request.x, request.out, request.residual or request.out))
    rows = [one[-2] if problem.rank > 1 else 0 for one in (y, other)]
    channels = problem.out_channels // problem.groups
    return {
        "inputs": problem.in_channels // problem.groups, "channels": channels, "groups": problem.groups,
        "met": met_planes(problem), "tile_columns": plan.counts[1], "plane_tiles": prod(plan.counts),
        # Of columns that stand side by side, which are those of all parts.
        "input_width": first.size[-1], "before": first.padding[-1][0],
        "output_blocks": plan.output_blocks, "output_vectors": plan.output_vectors,
        "x_channel": x[1], "x_column": x[-1], "y_channel": y[1], "y_row": rows[0], "y_column": y[-1],
        "residual_channel": other[1], "residual_row": rows[1], "residual_column": other[-1],
        "chain": plan.chain, "chains": plan.chains, "plane_chains": plan.chains // met_planes(problem),
        "shared": int(plan.shared),
        "panel_blocks": -(-channels // (plan.vectors * request.lanes)),
        "has_residual": int(request.residual is not None),
    }  # fmt: skip


def _agrees(request: Request) -> bool:
    """Compare the routines with NumPy on drawn operands like these, of one image."""
    problem, given = replace(request.problem, batch=1), request.activation
    single = replace(request, problem=problem)
    call = call_for(single)

    def computed(x: Array, weight: Array, bias: Array, residual: Array) -> Array:
        out = np.empty_like(residual)
        panels = np.zeros(call.weights, np.float32)
        if request.around:
            weight = seen_turned(np.ascontiguousarray(seen_turned(weight)))
        call.pack(weight, memory.address(panels))
        call.run(x, memory.address(panels), bias, residual if request.residual else None, out)
        return out

    def expected(x: Array, weight: Array, bias: Array, residual: Array) -> Array:
        kind = np.float32
        sums = windows.convolution(problem, x.astype(kind), weight.astype(kind), 0)
        sums += bias.reshape(-1, *(1,) * problem.rank)
        sums = sums + residual.astype(kind) if request.residual else sums
        return sums if given is None else elementwise.apply(given[0], sums, sums.dtype, given[1:])

    def like(info: ArrayInfo) -> Array:  # a stand-in, which is not read
        return np.lib.stride_tricks.as_strided(np.empty(1, info.dtype), (1, *info.shape[1:]), info.strides)

    shape = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
    weight = np.empty(shape, request.weight)
    return proof.agree(
        computed, expected, like(request.x), weight, np.empty(problem.out_channels, np.float32), like(request.out)
    )
