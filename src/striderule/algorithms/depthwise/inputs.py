"""Inputs of a block: vectors of one row of inputs, for every tap of a row of the kernel that is unrolled.

What is read is given tap by tap, with the vector's number and the lanes that exist (None: all). A reader may put its
taps under a condition, so what is done with a vector must be written before the next one is asked for. Whatever stands
in memory, vectors are of the type of the sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Protocol

from striderule.codegen.tile import Condition, Mask, Pointer, Routine, Size, Vector

Input = tuple[int, int, Vector, Mask | None]


class Reader(Protocol):
    """Reads rows of inputs."""

    def read(self, offset: Size) -> Iterator[Input]:
        """Give (tap, vector's number, vector, lanes) of the row at `offset` bytes."""


class Side:
    """Vectors of columns side by side, every `step`-th column, from `x` on; the taps are one column apart.

    Each element is loaded once, and put into its lanes by shuffles; nothing beyond the last element needed is read.
    """

    def __init__(self, r: Routine, step: int, taps: int, vectors: int, x: Pointer) -> None:
        self.r, self.step, self.taps, self.vectors, self.x = r, step, taps, vectors, x
        # The lanes that exist, for every tap and vector; none where all do.
        self.existing: list[list[Mask]] = []
        last = (vectors * r.lanes - 1) * step + taps - 1
        # Loads follow one another, and the last one ends with the last element.
        self.starts = [start for start in range(0, last + 1, r.lanes) if start + r.lanes <= last + 1]
        if self.starts[-1] + r.lanes <= last:
            self.starts.append(last + 1 - r.lanes)

    def read(self, offset: Size) -> Iterator[Input]:
        """Give the vectors of a row."""
        row = self.x.skip(offset)
        loaded = [self.load(row, i) for i in range(len(self.starts))]
        for v in range(self.vectors):
            for t in range(self.taps):
                lanes = self.existing[t][v] if self.existing else None
                yield t, v, self.picked(loaded, v * self.r.lanes * self.step + t), lanes

    def load(self, row: Pointer, number: int) -> Vector:
        """Return a vector as it stands in memory."""
        return self.r.convert(self.r.load(row + self.starts[number]), self.r.element)

    def picked(self, loaded: Sequence[Vector], first: int) -> Vector:
        """Return every `step`-th element from `first` on."""
        lanes = self.r.lanes
        elements = [first + lane * self.step for lane in range(lanes)]
        # Where each lane is loaded: by the first vector that has it.
        owners = [next(i for i, start in enumerate(self.starts) if e - start < lanes) for e in elements]
        places = [e - self.starts[i] for e, i in zip(elements, owners, strict=True)]
        one, *others = sorted(set(owners))
        if not others:
            return loaded[one] if places == list(range(lanes)) else self.r.shuffle(loaded[one], loaded[one], places)
        found, placed = loaded[one], False
        for other in others:
            old = list(range(lanes)) if placed else [p if i == one else 0 for p, i in zip(places, owners, strict=True)]
            pattern = [lanes + p if i == other else o for p, i, o in zip(places, owners, old, strict=True)]
            found, placed = self.r.shuffle(found, loaded[other], pattern), True
        return found


class Border(Side):
    """The same where columns may be outside the input: these are zero, and not among the lanes that exist.

    `position` is where the first column stands on an axis of `size`.
    """

    def __init__(self, r: Routine, step: int, taps: int, vectors: int, x: Pointer, position: Size, size: Size) -> None:
        super().__init__(r, step, taps, vectors, x)
        # Elements from 0 up to 62 are told by the bits of one number: what a block of the border has at most.
        low, high = 0 - position, size - position
        exists = r.between(low, high)
        self.masks = [r.lanes_of(exists, start) for start in self.starts]
        for t in range(taps):
            # Lane l of all vectors stands at element l * step + t.
            ends = ((one - t).larger(0) + (step - 1) for one in (low, high))
            bits = r.between(*(end // step for end in ends)) if step > 1 else exists
            self.existing.append([r.lanes_of(bits, v * r.lanes + (t if step == 1 else 0)) for v in range(vectors)])

    def load(self, row: Pointer, number: int) -> Vector:
        """Return a vector as it stands in memory, and zeros for what does not exist."""
        return self.r.convert(self.r.load(row + self.starts[number], self.masks[number]), self.r.element)


class Near:
    """Vectors of columns side by side, read anew under each tap: loads that cross cache lines, but no shuffles.

    `position` is where the first column stands on an axis of `size`; without a size all columns are inside.
    """

    def __init__(self, r: Routine, taps: int, vectors: int, x: Pointer, position: Size, size: Size | None) -> None:
        self.r, self.taps, self.vectors, self.x = r, taps, vectors, x
        # Compared, not taken from bits: so they stay in registers of masks through all rows.
        self.masks: dict[int, Mask] = {}
        if size is not None:
            for first in sorted({v * r.lanes + t for v in range(vectors) for t in range(taps)}):
                behind = position + first
                self.masks[first] = r.lanes_from(0 - behind) & r.first_lanes(size - behind)

    def read(self, offset: Size) -> Iterator[Input]:
        """Give the vectors of a row."""
        row = self.x.skip(offset)
        for t in range(self.taps):
            for v in range(self.vectors):
                first = v * self.r.lanes + t
                lanes = self.masks.get(first)
                yield t, v, self.r.convert(self.r.load(row + first, lanes), self.r.element), lanes


class Pair:
    """The same columns of two planes, side by side in one vector."""

    def __init__(self, r: Routine, one: Reader, other: Reader) -> None:
        self.r, self.one, self.other = r, one, other

    def read(self, offset: Size) -> Iterator[Input]:
        """Give the vectors of a row."""
        both = zip(self.one.read(offset), self.other.read(offset), strict=True)
        for (t, v, value, lanes), (_, _, beside, others) in both:
            masks = None if lanes is None or others is None else self.r.joined(lanes, others)
            yield t, v, self.r.shuffle(value, beside, range(2 * value.lanes)), masks


class Apart:
    """Columns of one channel, or of a vector of them, each read as such: `apart` bytes from one to the next.

    `taps` are the places of the taps, each with the condition that it is inside the input, or None where all are.
    """

    def __init__(
        self,
        r: Routine,
        taps: Sequence[tuple[Pointer, Condition | None]],
        apart: Sequence[Size | int],
        lanes: int,
        mask: Mask | None,
    ) -> None:
        self.r, self.taps, self.apart, self.width, self.mask = r, taps, apart, lanes, mask

    def read(self, offset: Size) -> Iterator[Input]:
        """Give the vectors of a row."""
        for t, (x, inside) in enumerate(self.taps):
            with nullcontext() if inside is None else self.r.when(inside):
                row = x.skip(offset)
                for v, distance in enumerate(self.apart):
                    loaded = self.r.load(row.skip(distance), self.mask, lanes=self.width)
                    yield t, v, self.r.convert(loaded, self.r.element), None
