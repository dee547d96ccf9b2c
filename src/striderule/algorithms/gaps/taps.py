"""Image correlation around gaps, tap by tap: the routine of `correlation`, bound to arrays and called."""

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
from striderule.algorithms.casting import finished, no_integer, result_type
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import merged, words_of
from striderule.algorithms.gaps.correlation import gapped_routine
from striderule.algorithms.gaps.structure import POINTERS, SIZES, Gapped, Gaps
from striderule.algorithms.gaps.trying import tried
from striderule.algorithms.stencil.call import ALONE, Kernels, structure_of, tables_of
from striderule.algorithms.stencil.call import Request as Plain
from striderule.algorithms.stencil.cutting import Cut
from striderule.algorithms.stencil.layout import Axis, Layout, Line
from striderule.algorithms.stencil.stencil import stores
from striderule.algorithms.stencil.structure import SUMS
from striderule.algorithms.stencil.tables import distances, line_table, outer_table
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

_AT = {word: i for i, word in enumerate((*POINTERS, *SIZES))}
# A line with its element of what is there stands so many elements behind a multiple of this.
APART, BESIDE = 256, 16


@dataclass(frozen=True, slots=True)
class _Request:
    """What a call is made for; calls for the latest requests are kept."""

    plain: Plain
    nan: bool
    outside: bool
    mask: Ints | None
    negative: bytes
    shared: bool


@dataclass(frozen=True, slots=True)
class _Call:
    """A correlation that is ready to run: see `stencil.call.Call`."""

    address: int
    template: bytes
    tables: tuple[Array, ...]
    order: npt.NDArray[np.intp]
    tasks: int
    alone: bool
    room: int

    def run(self, x: Array, mask: Array | None, kernels: Array, nowhere: float, y: Array, shares: Array | None) -> bool:
        """Compute into y. Returns whether a result was NaN that cannot be stored."""
        address = memory.address
        weights = kernels.reshape(-1)[self.order]
        sizes, numbers = np.abs(weights), _numbers(kernels, nowhere)
        words = array("q", self.template)
        threads = 1 if self.alone or self.tasks == 1 else min(workers.get_num_threads(), self.tasks)
        words.extend([0] * (threads - 1))
        room = memory.room("gaps", threads * self.room)
        start = words.buffer_info()[0]
        status = start + len(self.template) - 16
        told = {
            "x": address(x), "y": address(y), "mask": address(x if mask is None else mask), "weights": address(weights),
            "magnitudes": address(sizes), "numbers": address(numbers), "room": room.address,
            "shares": address(y if shares is None else shares), "threads": threads, "status": status,
            "flags": status + 8,
        }  # fmt: skip
        for word, value in told.items():
            words[_AT[word]] = value
        (workers.alone if self.alone else workers.run)(self.address, start, self.tasks)
        return words[(status - start) >> 3] != 0


def correlate(
    problem: Convolution, x: Array, kernels: Array, gaps: Gaps, out: Array | None = None, *, length: bool = False
) -> tuple[Array, Array | None] | None:
    """Return the correlation of what is there, and the shares of it if asked for; None where that takes another way.

    The problem, x and out are those of `stencil.stencil`, or with the `length` of what several kernels give those of
    `stencil.lengths`; `kernels` have an axis that tells them apart. The mask has the shape of x.
    """
    single = replace(problem, out_channels=1, form=None)
    final, work = result_type(problem), np.dtype(problem.dtype)
    shape = (*x.shape[: x.ndim - problem.rank], *problem.output_size)
    stored = final if stores(work, final, problem.overflow) else work
    taps = np.ascontiguousarray(kernels, work)
    if 0 in shape or not serves(problem, taps):
        return None
    result = out if out is not None and stored == final else memory.empty_like(x, shape, stored)
    shares = None
    if gaps.shared:
        if any(step < 0 or step % result.itemsize for step in result.strides):
            return None
        shares = _like(result, work)
    mask = None if gaps.mask is None else beside(x, gaps.mask)
    outside = 0 if gaps.fill is None else gaps.fill
    results = ("length",) if length else SUMS
    plain = Plain(single, Kernels.of(taps), outside, ArrayInfo.of(x), ArrayInfo.of(result), (0,), results, current())
    negative = np.packbits(taps < 0).tobytes()
    request = _Request(
        plain, gaps.nan, gaps.fill is not None, None if mask is None else mask.strides, negative, gaps.shared
    )
    call = giving_way.attempt(_call_for, request)
    if call is None:
        return None
    if call.run(x, mask, taps, gaps.nowhere, result, shares):
        raise no_integer(final)
    return result if stored == final else finished(problem, result, out), shares


def serves(problem: Convolution, kernels: Array) -> bool:
    """Tell whether `correlate` serves a problem: of floats, kernels that are not zero, and taps with no gulfs between.

    There is a gulf where the taps are so far apart that no output reads some pixels between them.
    """
    reaches = zip(problem.dilation, problem.output_size, problem.stride, strict=True)
    near = all(gap <= (outputs - 1) * step + 1 for gap, outputs, step in reaches)
    return near and problem.dtype.startswith("float") and bool(kernels.any(axis=tuple(range(1, kernels.ndim))).all())


def beside(x: Array, mask: Array) -> Array:
    """Return a mask whose elements stand side by side where those of x do."""
    inner = [axis for axis in range(x.ndim) if x.strides[axis] == x.itemsize and x.shape[axis] > 1]
    if all(mask.strides[axis] == 1 for axis in inner):
        return mask
    made = memory.empty_like(x, mask.shape, np.dtype(np.bool_))
    made[...] = mask
    return made


def _like(y: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array that stands like y, whose steps are not negative, with elements of another type."""
    steps = tuple(step // y.itemsize * dtype.itemsize for step in y.strides)
    room = memory.empty((sum((n - 1) * s for n, s in zip(y.shape, steps, strict=True)) // dtype.itemsize + 1,), dtype)
    return np.lib.stride_tricks.as_strided(room, y.shape, steps)


def _numbers(kernels: Array, nowhere: float) -> Array:
    """Return the numbers of each kernel, and what stands where nothing is."""
    found: list[float] = []
    for kernel in kernels.astype(np.float64):
        sizes = np.abs(kernel)
        found += (kernel.sum(), 0.5 * sizes.min(where=sizes > 0, initial=np.inf))
    with np.errstate(over="ignore"):
        return np.array([*found, nowhere], kernels.dtype)


@lru_cache(maxsize=128)
def _call_for(request: _Request) -> _Call:
    plain = request.plain
    problem, x, y, target = plain.problem, plain.x, plain.y, plain.target
    layout = Layout.of(problem, x, y, request.mask)
    taps = plain.kernels.taps(problem.kernel)
    cut = Cut.of(problem, layout, taps, x, target, in_place=False)
    loads = cut.loads(taps)
    shape = structure_of(plain, layout, cut, loads)
    apart = -(-cut.strip.pitch // APART) * APART + BESIDE
    signs = np.unpackbits(np.frombuffer(request.negative, np.uint8))[: plain.kernels.number * prod(problem.kernel)]
    signs = signs.reshape(plain.kernels.number, *problem.kernel)
    negative = tuple(bool(signs[tap]) for tap in taps)
    line = layout.line
    compact = shape.compact and (request.mask is None or line.axis.mask_step == line.unit)
    gapped = Gapped(
        # What stands where nothing is may be NaN.
        replace(shape, compact=compact, refuses=y.dtype.kind in "biu"), request.nan, request.mask is not None, apart,
        negative if cut.written else (), not cut.written and any(negative), request.shared,
    )  # fmt: skip
    routine = proof.compiled(
        gapped.name,
        gapped,
        lambda: gapped_routine(gapped.name, target, gapped),
        target,
        lambda: tried(correlate, plain, request.nan, request.mask is not None, negative, taps),
    )
    entries, sizes, order = tables_of(plain, layout, cut, taps, loads)
    entries |= _mask_tables(request, layout, cut)
    ones = np.ones(cut.strip.pitch + 64, problem.dtype)
    lines = shape.slots * shape.outer_taps
    entries |= {"ones": ones}
    walks = merged((axis.outputs, axis.x_step, axis.mask_step, axis.y_step) for axis in layout.planes)
    entries["walk"] = words_of(walks)
    heads = 2 * (-(-lines // 8) * 8) + -(-cut.band_rows * shape.outer_taps // 8) * 8
    room = 8 * heads + cut.room // cut.strip.pitch * 2 * apart * np.dtype(problem.dtype).itemsize
    room = -(-room // 128) * 128
    outers, planes = prod(axis.outputs for axis in layout.outer), prod(axis.outputs for axis in layout.planes)
    values = sizes | {
        "outers": outers, "outer_taps": shape.outer_taps, "walks": len(walks), "threads": 1, "room_size": room,
        "pitch": 2 * apart, "lines_at": heads,
    }  # fmt: skip
    values |= {name: memory.address(table) for name, table in entries.items()}
    words = array("q", [values.get(name, 0) for name in (*POINTERS, *SIZES)])
    words.extend((0, 0))
    tasks = len(cut.strip.parts) * len(cut.bands) * outers * planes
    alone = prod(y.shape) * (len(taps) + 4) < ALONE
    return _Call(routine.address, words.tobytes(), tuple(entries.values()), order, tasks, alone, room)


def _mask_tables(request: _Request, layout: Layout, cut: Cut) -> dict[str, Array]:
    """Return where rows, elements of lines and outer taps of the mask are found, and what is valid outside."""
    problem, (line, unit) = request.plain.problem, layout.line

    def of_mask(axis: Axis) -> Axis:
        return axis._replace(x_step=axis.mask_step)

    phases = cut.strip.phases
    return {
        "mask_rows": distances(problem, of_mask(layout.rows)),
        "mask_line": line_table(problem, Line(of_mask(line), unit), min(line.mask_step, 1), phases),
        "mask_outer": outer_table(problem, [of_mask(axis) for axis in layout.outer], cut.outer_taps),
        "there": np.array([request.outside, 1], np.uint8),
    }
