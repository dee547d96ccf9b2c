"""Large images block by block, so that what is held besides image and result stays small; and results in place.

An operation whose outputs read a few neighbours each is applied to one block after the other, each with the neighbours
that it reads (`geometry.bands`). So the temporaries of a filter are those of one block, and an image that is mapped
from a file is never loaded whole; what has been read and written of it is given back (`functional.mapped`).

Where `out` is the image itself, a block is computed from a copy, and the rows before it that it reads are kept from
before they were overwritten: that is all that filtering in place holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.functional.door import check_out
from striderule.functional.mapped import give_back
from striderule.functional.parts import part_of
from striderule.functional.pixels import mask_array
from striderule.functional.planned import noted
from striderule.geometry.bands import Reach, Span, blocks, cut
from striderule.geometry.imaging import axis_number

Array = npt.NDArray[Any]
Operation = Callable[..., Any]
Spans = tuple[Span, ...]

# Elements of a block with what it reads, and from how many elements on an image is cut. Where missing pixels are
# weighed, several more arrays of a block are held, and blocks are smaller by a factor.
ROOM = 1 << 24
LARGE = 4 * ROOM
WEIGHED = 4


def wanted(image: Any, out: Any) -> bool:
    """Tell whether a call goes through this module: its image is large, or `out` is the image itself."""
    if not isinstance(image, np.ndarray) or (out is None and image.size <= LARGE) or noted.get() is not None:
        return False
    return image.size > LARGE or in_place(image, out)


def in_place(image: Array, out: Any) -> bool:
    """Tell whether `out` is the image itself: the same elements at the same places."""
    return out is image or (
        isinstance(out, np.ndarray)
        and out.shape == image.shape
        and out.dtype == image.dtype
        and out.strides == image.strides
        and out.ctypes.data == image.ctypes.data
    )


def run(op: Operation, image: Array, keywords: dict[str, Any], reaches: Sequence[Reach]) -> Any:
    """Return ``op(image, **keywords)``, computed block by block.

    `reaches` says for every axis of the image what the outputs along it read. The result is one array of as many
    outputs, or several. ``out`` may be the image itself, where the result has its shape and type.
    """
    out, mask = keywords.get("out"), keywords.get("mask")
    same = out is not None and in_place(image, out)
    order = tuple(sorted(range(image.ndim), key=lambda axis: -abs(image.strides[axis])))
    ordered = tuple(reaches[axis] for axis in order)
    # In place, rows are kept along one axis: those inside it are not cut.
    deepest = next((place for place, reach in enumerate(ordered) if reach.halo), len(order) - 1)
    weighs = mask is not None or keywords.get("nan") == "normalize"
    room = ROOM // WEIGHED if weighs else ROOM
    counts = cut(ordered, room, [not same or place <= deepest for place in range(len(order))])
    if max(counts) == 1:
        return op(image.copy() if same else image, **keywords)
    rest = {name: value for name, value in keywords.items() if name not in ("out", "mask")}
    beside = None
    if mask is not None:
        channels = keywords.get("channel_axis")
        channel = None if channels is None else axis_number(channels, image.ndim, "channel_axis")
        beside = _Source(mask_array(mask, image, channel), order)
    source = _InPlace(image, order, deepest, ordered[deepest]) if same else _Source(image, order)
    result = _Work(op, rest, source, beside, ordered, counts).into(out)
    # With several results it is the operation's own affair what `out` means.
    return op(image.copy() if same else image, **keywords) if result is None else result


@dataclass
class _Source:
    """An array that blocks are read from, and its axes in memory order, the outermost first."""

    whole: Array
    order: tuple[int, ...]

    def part(self, spans: Spans) -> Array:
        """Return what a block reads: a view, but for a copy where it goes on at the other end of an axis."""
        part, turned = self.whole, []
        for axis, span in zip(self.order, spans, strict=True):
            if span.low < 0 or span.high > self.whole.shape[axis]:
                turned.append((axis, np.arange(span.low, span.high) % self.whole.shape[axis]))
            else:
                part = along(part, axis, span.low, span.high)
        for axis, positions in turned:
            part = np.take(part, positions, axis=axis)
        return part


@dataclass
class _InPlace(_Source):
    """An image that is overwritten block by block along the axis at `place`; inner axes are not cut.

    Kept from before they were overwritten: the rows in front of the next block, and for a border that wraps around
    those that follow the last.
    """

    place: int
    reach: Reach
    behind: Array | None = None
    first: Array | None = None

    def part(self, spans: Spans) -> Array:
        """Return a copy of what a block reads. Blocks are asked for in order, each before it is overwritten."""
        axis, span, reach = self.order[self.place], spans[self.place], self.reach
        whole = self.whole
        for outer, one in zip(self.order[: self.place], spans, strict=False):
            whole = along(whole, outer, one.low, one.high)
        parts = [along(whole, axis, span.start, min(span.high, reach.size))]
        if span.start == 0:
            self.first = along(whole, axis, 0, reach.after).copy()
            parts.insert(0, along(whole, axis, reach.size + min(span.low, 0), reach.size))
        elif self.behind is not None:
            parts.insert(0, self.behind)
        if span.high > reach.size and self.first is not None:
            parts.append(along(self.first, axis, 0, span.high - reach.size))
        part = np.concatenate(parts, axis=axis)
        end = span.skipped + span.stop - span.start
        self.behind = along(part, axis, end - reach.before, end).copy()
        return part


@dataclass(frozen=True)
class _Work:
    """An operation on an image that is cut: what is read along its axes, and into how many blocks each is cut."""

    op: Operation
    keywords: dict[str, Any]
    source: _Source
    beside: _Source | None
    reaches: tuple[Reach, ...]
    counts: tuple[int, ...]

    def into(self, out: Any) -> Any:
        """Compute all blocks, into `out` where it is given; None if there is an `out` and there are several results."""
        targets: list[Array] = []
        several = False
        for spans in blocks(self.reaches, self.counts):
            part = self.source.part(spans)
            keywords = self.keywords if self.beside is None else self.keywords | {"mask": self.beside.part(spans)}
            place = self._place(spans, part)
            if targets and not several and (row := self._row(spans)) is not None:
                with place:
                    self._write(part, keywords, targets[0], *row)
            else:
                with place:
                    given = self.op(part, **keywords)
                several = not isinstance(given, np.ndarray)
                if several and out is not None:
                    return None
                results: list[Array] = list(given) if several else [given]
                targets = targets or self._targets(out, results, several)
                for target, result in zip(targets, results, strict=True):
                    self._copy(result, target, spans)
            self._give_back(spans, targets)
        return tuple(targets) if several else targets[0]

    def _place(self, spans: Spans, part: Array) -> contextlib.AbstractContextManager[None]:
        """Return what tells filters of a part of the image where it is."""
        first = [0] * part.ndim
        for axis, span in zip(self.source.order, spans, strict=True):
            first[axis] = span.low
        return part_of(self.source.whole.shape, tuple(first), part.shape)

    def _copy(self, result: Array, target: Array, spans: Spans) -> None:
        """Copy a block's own outputs to where they stand."""
        for axis, span in zip(self.source.order, spans, strict=True):
            target = along(target, axis, span.start, span.stop)
            result = along(result, axis, span.skipped, span.skipped + span.stop - span.start)
        np.copyto(target, result)

    def _targets(self, out: Any, results: Sequence[Array], several: bool) -> list[Array]:
        """Return the arrays to write to; new ones have the image's memory order."""
        order = self.source.order
        shape = [reach.outputs for reach in self.reaches]
        back = np.argsort(order)
        if out is None or several:
            return [np.empty(shape, result.dtype).transpose(back) for result in results]
        same = isinstance(self.source, _InPlace)
        check_out(out, [shape[place] for place in back], results[0].dtype, (self.source.whole,), same=same)
        return [out]

    def _row(self, spans: Spans) -> tuple[int, Span] | None:
        """Return the one axis that is cut and the block's span there, if outputs stand where the pixels stand."""
        cuts = [place for place, count in enumerate(self.counts) if count > 1]
        place = cuts[0]
        plain = all(reach.stride == 1 and reach.size == reach.outputs for reach in self.reaches)
        inside = spans[place].low >= 0 and spans[place].high <= self.reaches[place].size
        free = plain and inside and len(cuts) == 1 and not isinstance(self.source, _InPlace)
        return (self.source.order[place], spans[place]) if free else None

    def _write(self, part: Array, keywords: dict[str, Any], target: Array, axis: int, span: Span) -> None:
        """Let the operation write its part straight to where its block stands.

        The rows of the part before the block's own are made good again; those behind them the next block writes anew.
        """
        before = along(target, axis, span.low, span.start)
        good = before.copy()
        self.op(part, out=along(target, axis, span.low, span.high), **keywords)
        before[...] = good

    def _give_back(self, spans: Spans, targets: Sequence[Array]) -> None:
        """Give back what later blocks do not need of mapped files, where blocks are whole slices of them."""
        place = next(place for place, count in enumerate(self.counts) if count > 1)
        if any(reach.outputs > 1 for reach in self.reaches[:place]) or max(self.counts[place + 1 :], default=1) > 1:
            return
        reach, span, axis = self.reaches[place], spans[place], self.source.order[place]
        for target in targets:
            give_back(target, axis, span.start, span.stop)
        for source in (self.source, self.beside):
            if source is not None:
                give_back(source.whole, axis, max(0, span.low), span.stop * reach.stride - reach.before)


def along(array: Array, axis: int, start: int, stop: int) -> Array:
    """Return the view of the positions from `start` to `stop` along one axis."""
    return array[(slice(None),) * axis + (slice(start, stop),)]
