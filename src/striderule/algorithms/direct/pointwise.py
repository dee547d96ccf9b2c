"""Products of single taps whose weights stand input by input, bound to shapes and strides; see `planning.pointwise`."""

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
from striderule.algorithms.direct.operands import is_compact
from striderule.algorithms.direct.pointwise_routine import (
    APART,
    PACKED,
    PLAIN,
    POINTERS,
    SIZES,
    ZIPPED,
    Form,
    pointwise_routine,
)
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows.turned_weights import turned
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import Target, current
from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning.pointwise import Pointwise, pointwise, served
from striderule.planning.runs import pitch_of

Array = npt.NDArray[Any]
Problem = Convolution | TransposedConvolution

_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
_THREADS, _PACKS, _STREAMS = _AT["threads"], _AT["packs"], _AT["streams"]
# Bytes of inputs and results from which on results are written past the caches: what is read in between displaces them.
FAR = 1 << 24


@dataclass(frozen=True, slots=True)
class Call:
    """A product that is ready to run; see `striderule.algorithms.binding.Bound`.

    The weight, of (in channels, out channels), is read where it stands, whatever the shape it is given in. `room`
    counts the bytes that each thread needs, `panels` those of the weights in panels, and `packing` the tasks that copy
    them there; `kept` are the panels if they are packed.
    """

    routine: Routine
    template: bytes
    room: int
    panels: int
    packing: int
    plan: Pointwise
    # What the address of results that are written past the caches is a multiple of.
    aligned: int
    kept: Array | None = None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:  # noqa: ARG002 - there is neither
        """Compute into out."""
        threads = min(workers.get_num_threads(), max(self.plan.tasks, self.packing))
        shared = self.panels if self.kept is None else 0
        room = memory.room("pointwise", shared + threads * self.room)
        panels = room.address if self.kept is None else memory.address(self.kept)
        words = self._words(weight, panels, threads)
        words[1], words[2], words[3] = memory.address(x), memory.address(out), room.address + shared
        if words[2] % self.aligned:
            words[_STREAMS] = 0
        start = words.buffer_info()[0]
        words[4] = start + 8 * (len(words) - threads)
        if self.kept is None:
            words[_PACKS] = 1
            workers.run(self.routine.address, start, self.packing, threads)
            words[_PACKS] = 0
        workers.run(self.routine.address, start, self.plan.tasks, threads)

    def packed(self, weight: Array) -> Call:
        """Return the same with this weight in panels."""
        kept = np.zeros(self.panels, np.uint8)
        words = self._words(weight, memory.address(kept), 1)
        start = words.buffer_info()[0]
        words[4], words[_PACKS] = start + 8 * (len(words) - 1), 1
        workers.alone(self.routine.address, start, self.packing)
        return replace(self, kept=kept)

    def _words(self, weight: Array, panels: int, threads: int) -> array[int]:
        """Return the words of a call, with a flag for each thread's room behind them."""
        words = array("q", self.template)
        words[0], words[5], words[_THREADS] = memory.address(weight), panels, threads
        words.extend([0] * threads)
        return words


def serves(problem: Problem, x: ArrayInfo, weight: ArrayInfo, out: ArrayInfo, target: Target) -> bool:
    """Tell whether this is such a product of floats that stand as it reads them; `weight` as it stands in memory."""
    kind = np.dtype(problem.dtype)
    if kind.char not in "fd" or any(one.dtype != kind for one in (x, weight, out)):
        return False
    if not (is_compact(x, 2) and is_compact(out, 2) and is_compact(weight, 0)):
        return False
    steps = (*x.strides[:2], *out.strides[:2])
    whole = not any(step % kind.itemsize for step in steps) and min(steps) >= 0
    return whole and served(problem, target.lanes(kind.itemsize), target.registers, kind.itemsize)


def bind(problem: Problem, x: ArrayInfo, weight: ArrayInfo, out: ArrayInfo) -> Call | None:
    """Return the call for arrays that stand like these, None where it does not serve."""
    target = current()
    return call_for(problem, x, out, target) if serves(problem, x, weight, out, target) else None


@lru_cache(maxsize=256)
def call_for(problem: Problem, x: ArrayInfo, out: ArrayInfo, target: Target) -> Call:
    """Return the call for arrays that stand like these, which `serves` has seen; the latest are kept."""
    size = np.dtype(problem.dtype).itemsize
    lanes = target.lanes(size)
    plan = pointwise(replace(problem, bound=None), lanes, target.registers, size)
    spread = isinstance(problem, TransposedConvolution)
    written = PLAIN if not spread else ZIPPED if problem.stride[-1] == 2 else APART
    form = Form(problem.dtype, *plan.tile, plan.laid, written)
    routine = proof.compiled(
        form.name, form, lambda: pointwise_routine(form, target), target, lambda: _agrees(problem, x, out)
    )
    pitch = pitch_of(plan.block + lanes)
    planes = problem.in_channels * pitch if plan.laid else 0
    height, width = (1, *problem.size)[-2:]
    steps, goals = ([step // size for step in one.strides[:2]] for one in (x, out))
    values = {
        "channels": problem.out_channels, "terms": problem.in_channels, "plane": prod(problem.size),
        "positions": problem.batch * prod(problem.size),
        "x_image": steps[0], "x_channel": steps[1], "y_image": goals[0], "y_channel": goals[1],
        "block": plan.block, "blocks": plan.blocks, "tiles": plan.tiles, "parts": plan.parts, "chain": plan.chain,
        "room": planes + (plan.tile[0] + 1) * pitch * spread, "pitch": pitch, "rows_at": planes,
        "width": width, "height": height, "row_step": (1, *problem.stride)[-2], "column_step": problem.stride[-1],
        "output_height": (1, *problem.output_size)[-2], "output_width": problem.output_size[-1],
    }  # fmt: skip
    values["room"] = -(-values["room"] // 64) * 64
    moved = problem.batch * (problem.in_channels + problem.out_channels) * prod(problem.size) * size
    values["streams"] = int(moved >= FAR and not any(step % lanes for step in (*goals, prod(problem.size))))
    words = array("q", [values.get(name, 0) for name in (*POINTERS, *SIZES)])
    panels = -(-problem.out_channels // plan.tile[0]) * plan.tile[0] * problem.in_channels * size
    packing = -(-problem.in_channels // PACKED)
    return Call(routine, words.tobytes(), values["room"] * size, -(-panels // 64) * 64, packing, plan, lanes * size)


def _agrees(problem: Problem, x: ArrayInfo, out: ArrayInfo) -> bool:
    """Compare a routine with NumPy on drawn operands like these."""

    def computed(image: Array, taps: Array) -> Array:
        sums = memory.empty(out.shape, out.dtype)
        call_for(problem, x, ArrayInfo.of(sums), current()).run(image, taps, None, None, sums)
        return sums

    def expected(image: Array, taps: Array) -> Array:
        if isinstance(problem, TransposedConvolution):
            return windows.transposed_convolution(problem, image, taps)
        return windows.convolution(problem, image, turned(taps, 1))

    # A stand-in, which is not read: the trial draws operands of its shape and strides.
    image = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), x.shape, x.strides)
    shape = (problem.in_channels, problem.out_channels, *problem.kernel)
    return proof.agree(computed, expected, image, np.empty(shape, x.dtype))
