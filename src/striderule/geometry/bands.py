"""Large images in blocks: how to cut them, and what a block of outputs reads.

Along one axis the output j reads the positions

    j * stride - before   to   j * stride + after

of the image. A block of outputs is what the same operation gives on the part of the image that the block reads, once
the outputs at the part's own ends are taken away: there the operation has met the ends of the part instead of the
image's neighbours. Where the part ends because the image does, its end is the right one, and nothing is taken away.

Cutting an axis into blocks of L positions reads (L + before + after) / L times as much, so axes are cut where that
costs least, the outermost in memory first, since blocks of whole rows are read and written in one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

# A cut across the rows costs like that much more to read, for each axis that lies further out in memory.
INNER = 0.25


@dataclass(frozen=True, slots=True)
class Reach:
    """What the outputs along one axis read: see the module. `wraps` says on which sides the other end is met."""

    size: int
    outputs: int
    before: int = 0
    after: int = 0
    stride: int = 1
    wraps: tuple[bool, bool] = (False, False)

    @property
    def halo(self) -> int:
        """Positions that a block reads beyond its own."""
        return self.before + self.after

    @property
    def most(self) -> int:
        """Into how many blocks the axis may be cut.

        From the first to the last output of a block it is further than to what it reads beyond itself: then a border
        that repeats the image, forwards or backwards, finds in the first and in the last part all that it repeats.
        """
        shortest = 1 if self.halo == 0 else -(-(self.halo + 2) // self.stride) + 1
        return max(1, self.outputs // shortest)

    def read(self, blocks: int) -> int:
        """Return how many positions the largest of so many blocks reads."""
        longest = -(-self.outputs // blocks)
        return min(self.size, longest * self.stride + self.halo)


@dataclass(frozen=True, slots=True)
class Span:
    """Outputs from `start` to `stop`, the positions from `low` to `high` that the part has, and which outputs count.

    `low` is negative and `high` beyond the image where the part goes on at the other end of the image. Of the outputs
    of the part the first `skipped` are not wanted, and none after the `stop - start` that follow.
    """

    start: int
    stop: int
    low: int
    high: int
    skipped: int


def span(axis: Reach, start: int, stop: int) -> Span:
    """Return what the outputs from `start` to `stop` take.

    >>> span(Reach(size=100, outputs=100, before=2, after=3), 40, 60)
    Span(start=40, stop=60, low=38, high=63, skipped=2)
    """
    # Outputs of the part count from its start, so that has to be a multiple of the stride.
    low = (start * axis.stride - axis.before) // axis.stride * axis.stride
    high = (stop - 1) * axis.stride + axis.after + 1
    if not axis.wraps[0]:
        low = max(low, 0)
    if not axis.wraps[1]:
        high = min(high, axis.size)
    return Span(start, stop, low, high, start - low // axis.stride)


def cut(axes: Sequence[Reach], room: int, may_cut: Sequence[bool] | None = None) -> tuple[int, ...]:
    """Return into how many blocks each axis is cut, so that one reads and gives at most `room` elements.

    `axes` come in memory order, the outermost first. Where no axis can be cut any further, blocks are larger.

    Parameters
    ----------
    axes
        What is read along each axis.
    room
        Elements that a block may have, with what it reads beyond itself.
    may_cut
        The axes that may be cut; by default all.

    Examples
    --------
    >>> cut([Reach(65536, 65536, 8, 8), Reach(65536, 65536, 8, 8)], 1 << 24)
    (289, 1)
    """
    counts = [1] * len(axes)
    while _elements(axes, counts) > room:
        costs = [
            ((axis.read(after) * after / max(1, axis.size)) + INNER * place, place)
            for place, (axis, count) in enumerate(zip(axes, counts, strict=True))
            if (may_cut is None or may_cut[place]) and (after := _more(axis, count)) > count
        ]
        if not costs:
            break
        place = min(costs)[1]
        counts[place] = _more(axes[place], counts[place])
    return tuple(counts)


def _more(axis: Reach, count: int) -> int:
    """Return the next number of blocks to try."""
    return min(count + max(1, count // 8), axis.most)


def _elements(axes: Sequence[Reach], counts: Sequence[int]) -> int:
    """Return the elements of the largest block, read or given, whichever is more."""
    read = prod(axis.read(count) for axis, count in zip(axes, counts, strict=True))
    return max(read, prod(-(-axis.outputs // count) for axis, count in zip(axes, counts, strict=True)))


def blocks(axes: Sequence[Reach], counts: Sequence[int]) -> Iterator[tuple[Span, ...]]:
    """Yield the blocks in memory order, each as its span along every axis; those of an axis differ by one at most."""
    yield from product(*(_spans(axis, count) for axis, count in zip(axes, counts, strict=True)))


def _spans(axis: Reach, count: int) -> list[Span]:
    """Return the blocks of one axis; uncut it is left whole, and to the operation what lies at its ends."""
    if count == 1:
        return [Span(0, axis.outputs, 0, axis.size, 0)]
    return [span(axis, i * axis.outputs // count, (i + 1) * axis.outputs // count) for i in range(count)]
