"""How the work of an image correlation is cut: blocks of rows and vectors, bands of rows, parts of lines.

All of it follows from the sizes of one image, the target, and whether results are too large for the cache, never from
the number of threads; and none of it matters to the bits of a sum, whose terms are added in one order always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.stencil.layout import Layout, Rows, Window
from striderule.algorithms.stencil.structure import Load, Meet
from striderule.codegen.target import Target
from striderule.geometry.problem import Convolution

Ints = tuple[int, ...]

# Bytes of lines that a task lays out, about: they stay in the second-level cache.
ROOM = 1 << 18
# Outputs of a line that a task computes at most: where it is laid out, where it is read in place, and where phases of a
# stride are laid out, the distance of which is part of the code.
LAID, STANDING, PHASED = 1024, 8192, 512
# And where results are streamed to memory.
STREAMED = 4096
# Outputs of a task where lines are read in place, about, and rows of a band at most.
TASK, TALL = 1 << 16, 64
# Taps that are written out at most, and the lines that they meet; more are gone over in loops. So are all where one
# image has fewer outputs: each pattern of taps is code of its own, which takes longer to make than they take.
WRITTEN, LINES, MANY = 64, 48, 1 << 15


class Part(NamedTuple):
    """A part of the lines of outputs: first element and number; how many are laid out, 0 where it is read in place."""

    first: int
    outputs: int
    laid: int = 0


class Strip(NamedTuple):
    """How lines are cut and laid out: `phases` of the stride that taps meet, `phase_pitch` elements apart.

    `pitch` is the distance of lines, and taps reach at most `reach` elements on from an output, in their phase.
    """

    parts: tuple[Part, ...]
    phases: tuple[int, ...]
    phase_pitch: int
    pitch: int
    reach: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How the work is cut: blocks of `height` rows by `vectors`; bands of rows, of which `band_rows` are laid out.

    Weights are `held` in registers, where there are enough.
    """

    layout: Layout
    window: Window
    rows: Rows
    outer_taps: tuple[Ints, ...]
    written: bool
    height: int
    vectors: int
    strip: Strip
    bands: tuple[tuple[int, int, int], ...]
    compact: bool
    held: bool = True

    @classmethod
    def of(
        cls,
        problem: Convolution,
        layout: Layout,
        taps: Sequence[Ints],
        x: ArrayInfo,
        target: Target,
        *,
        streamed: bool = False,
        in_place: bool = True,
    ) -> Cut:
        """Return the cut for taps (kernel, *place): results may be `streamed`, and lines be read `in_place`."""
        itemsize = np.dtype(problem.dtype).itemsize
        lanes = target.lanes(itemsize)
        outer_taps = tuple(sorted({_outer_tap(layout, tap[1:]) for tap in taps}))
        rows = Rows(Window.of(problem, layout.rows), layout.rows.outputs)
        kernels = 1 + max(tap[0] for tap in taps)
        height, vectors = _block(rows, len(taps), kernels, target)
        slots = ((height - 1) * rows.step + rows.window.taps) * len(outer_taps)
        few = len(taps) <= WRITTEN and slots <= LINES and prod(problem.output_size) >= MANY
        written = few or kernels > 1
        line, unit = layout.line
        window = Window.of(problem, line)
        vectors = max(1, min(vectors if written else 4, line.outputs * unit // lanes))
        compact = line.x_step == x.dtype.itemsize * unit and window.stride == 1
        low = (16 * rows.step + rows.window.taps) * len(outer_taps) * itemsize
        far = {_along(layout, tap[1:]) * window.dilation for tap in taps}
        strip = _strip(
            layout, window, far, (lanes, lanes * vectors), low, STREAMED if streamed else STANDING,
            in_place=in_place and compact and x.dtype == problem.dtype,
        )  # fmt: skip
        tall = _tall(strip, len(outer_taps) * itemsize, rows, height)
        bands = tuple(rows.bands(tall))
        held = len(taps) + height * vectors * kernels <= target.registers
        return cls(layout, window, rows, outer_taps, written, height, vectors, strip, bands, compact, held)

    @property
    def slots(self) -> int:
        """How many lines a block meets for each outer tap."""
        return (self.height - 1) * self.rows.step + self.rows.window.taps

    @property
    def band_rows(self) -> int:
        """How many lines a band meets for each outer tap, at most."""
        return (max(count for _, _, count in self.bands) - 1) * self.rows.step + self.rows.window.taps

    @property
    def room(self) -> int:
        """Elements that are laid out at a time."""
        return self.band_rows * len(self.outer_taps) * self.strip.pitch

    @property
    def longest(self) -> int:
        """Elements that are read of a line in place, at most; and those of a vector."""
        longest = max((part.outputs for part in self.strip.parts if not part.laid), default=0)
        return longest + self.strip.reach + 64

    def loads(self, taps: Sequence[Ints]) -> list[Load]:
        """Return what a block reads, in the order of the kernel's axes, for taps (kernel, *place) in their order."""
        met: dict[Ints, list[Meet]] = {}
        found: dict[Ints, tuple[int, int]] = {}
        axis = self.layout.rows.spatial
        for number, tap in enumerate(taps):
            place = tap[1:]
            row = 0 if axis is None else place[axis]
            outer = self.outer_taps.index(_outer_tap(self.layout, place))
            far = _along(self.layout, place) * self.window.dilation
            phase = self.strip.phases.index(far % self.window.stride)
            offset = phase * self.strip.phase_pitch + far // self.window.stride * self.layout.line.unit
            for i in range(self.height):
                slot = i * self.rows.step + row
                # A row of outputs meets the slots in the order of the kernel's rows.
                key = (*place, slot) if axis is None else (*place[:axis], slot, *place[axis + 1 :])
                met.setdefault(key, []).append(Meet(i, tap[0], number))
                found[key] = outer * self.slots + slot, offset
        return [Load(*found[key], tuple(sorted(met[key]))) for key in sorted(met)]


def _outer_tap(layout: Layout, place: Ints) -> Ints:
    return tuple(place[axis.spatial] for axis in layout.outer if axis.spatial is not None)


def _along(layout: Layout, place: Ints) -> int:
    axis = layout.line.axis.spatial
    return 0 if axis is None else place[axis]


def _block(rows: Rows, taps: int, kernels: int, target: Target) -> tuple[int, int]:
    """Return how many rows by vectors of sums are held in registers: half of these, and less of many kernels."""
    half = target.registers // 2
    if rows.window.taps <= rows.step:  # no line serves two rows
        height, vectors = 1, half // 2
    else:
        height, vectors = half // 4, 2 if taps <= 12 * kernels else 4
    while height * vectors * kernels > half and vectors > 1:
        vectors -= 1
    while height * kernels > half and height > 1:
        height //= 2
    return (height if rows.fewest >= height else 1), vectors


def _strip(
    layout: Layout, window: Window, far: set[int], lanes: tuple[int, int], low: int, standing: int, *, in_place: bool
) -> Strip:
    """Return how lines are cut; `far` are the distances of taps in pixels, `lanes` those of vectors and of blocks.

    `low` is the bytes that an element of the room counts for in bands that are low; parts that are read in place have
    at most `standing` outputs.
    """
    line, unit = layout.line
    stride, outputs = window.stride, line.outputs * unit
    reach = max(far) // stride * unit
    if stride > 1:
        phases = tuple(sorted({place % stride for place in far}))
        pitch = PHASED + _up(reach + 2 * lanes[0], 64)
        return Strip(_parts(outputs, (0, 0), (PHASED, 0), reach, lanes[1]), phases, pitch, pitch * len(phases), reach)
    most = max(LAID, _up(reach, 64))
    while most > LAID // 4 and low * (most + reach) > ROOM:
        most //= 2
    inner = _inside(window.before * unit, line.size * unit, reach, outputs, lanes[0]) if in_place else (0, 0)
    parts = _parts(outputs, inner, (most, standing), reach, lanes[1])
    laid = max(part.laid for part in parts)
    pitch = _up(laid + 2 * lanes[0], 16) if laid else 0
    return Strip(parts, (0,), pitch, pitch, reach)


def _inside(before: int, size: int, reach: int, outputs: int, lanes: int) -> tuple[int, int]:
    """Return the first element and the number of outputs whose taps all lie in the line, in whole vectors."""
    first = _up(before, lanes)
    last = min(outputs, before + size - reach)
    count = (last - first) // lanes * lanes
    return (first, count) if count >= 4 * lanes else (0, 0)


def _parts(outputs: int, inner: tuple[int, int], longest: tuple[int, int], reach: int, block: int) -> tuple[Part, ...]:
    """Return the parts of lines: those read in place, in whole blocks but for the last, and those laid out.

    `longest` is how many outputs these, and those, have at most.
    """
    (first, count), (most, standing) = inner, longest
    length = max(standing // block, 1) * block
    parts = [Part(first + i, min(length, count - i)) for i in range(0, count, length)]
    for start, stop in ((0, first), (first + count, outputs)) if count else ((0, outputs),):
        pieces = -(-(stop - start) // most)
        cuts = [start + _up((stop - start) * i // pieces, 16) for i in range(pieces)]
        parts += [Part(a, b - a, b - a + reach) for a, b in pairwise([*cuts, stop]) if b > a]
    return tuple(parts)


def _tall(strip: Strip, size: int, rows: Rows, height: int) -> int:
    """Return how many rows a band has, about, at least two blocks; an element of all outer taps takes `size` bytes."""
    longest = max(part.outputs for part in strip.parts)
    tall = min(TALL, max(8, TASK // longest))
    if strip.pitch:
        lines = ROOM // (strip.pitch * size)
        tall = min(tall, max((lines - rows.window.taps) // rows.step + 1, rows.window.taps // 2))
    return max(tall, 2 * height)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
