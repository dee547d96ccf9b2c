"""Image correlation by shifted views: one multiply and one add over a whole block for each tap.

The output is cut into blocks that stay in the cache together with what they read. A block's input is copied once, in
the type of the arithmetic and with its border filled in; every tap is then a shifted, strided view of that copy.
Axes are visited in memory order, so channels-last and transposed images run as fast as others and nothing is moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.casting import finished
from striderule.algorithms.images.terms import Terms
from striderule.geometry.padding import source_index
from striderule.geometry.problem import Convolution
from striderule.planning.schedule import CHAIN

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
Box = tuple[slice, ...]

# Outputs in a block. With what it reads and one temporary, a block of float32 takes about 1 MiB: a common L2 cache.
BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Axis:
    """What a block needs to know of one axis of the image; an axis that is not filtered has a window of one."""

    size: int
    outputs: int
    stride: int = 1
    dilation: int = 1
    extent: int = 1
    before: int = 0
    # Where the positions before and behind the image are found in it; None where the fill value stands.
    head: npt.NDArray[np.intp] | None = None
    tail: npt.NDArray[np.intp] | None = None

    @classmethod
    def of(cls, problem: Convolution, axis: int) -> Axis:
        """Return spatial axis number `axis` of the problem."""
        size, words = problem.size[axis], problem.boundary[axis]
        before, after = problem.padding[axis]
        return cls(
            size,
            problem.output_size[axis],
            problem.stride[axis],
            problem.dilation[axis],
            problem.extent[axis],
            before,
            _sources(range(-before, 0), size, words[0]),
            _sources(range(size, size + after), size, words[1]),
        )

    def span(self, outputs: slice) -> tuple[int, int]:
        """Return the input positions, from and to, that a range of outputs reads."""
        return (
            outputs.start * self.stride - self.before,
            (outputs.stop - 1) * self.stride - self.before + self.extent,
        )

    def pieces(self, low: int, high: int) -> list[tuple[slice, Any]]:
        """Split the positions from `low` to `high` into (where in the copy, where in the image).

        The second is a slice inside the image, an index array beyond it, or None for the fill value.
        """
        n = self.size
        found: list[tuple[slice, Any]] = []
        if low < 0:
            head = None if self.head is None else self.head[self.before + low :]
            found.append((slice(0, -low), head))
        # In every mode each window touches the image, so there always is a part inside.
        inside = slice(max(low, 0), min(high, n))
        found.append((slice(inside.start - low, inside.stop - low), inside))
        if high > n:
            tail = None if self.tail is None else self.tail[: high - n]
            found.append((slice(n - low, high - low), tail))
        return found


def _sources(positions: range, size: int, word: str) -> npt.NDArray[np.intp] | None:
    """Return where positions outside the image are found in it, None for the fill value."""
    if word == "constant":
        return None
    return np.array([source_index(position, size, word) for position in positions], np.intp)


def stencil(problem: Convolution, x: Array, kernel: Array | Terms, fill: Any = 0, out: Array | None = None) -> Array:
    """out[.., j] = sum over taps t that are not zero of kernel[t] * x[.., j * stride + t * dilation - before].

    `x` is (*planes, *size) with any number of plane axes; the result is (*planes, *output size) in the result's type of
    the problem, written to `out` where there is one, and else in the memory order of `x`. The padding is that of a mode
    of `geometry.imaging`: not negative, and every window touches the image.
    """
    if isinstance(kernel, Terms):
        return finished(problem, _by_passes(problem, x, kernel, fill), out)
    return finished(problem, _sums(problem, x, kernel, fill), out)


def _by_passes(problem: Convolution, x: Array, kernel: Terms, fill: Any) -> Array:
    """Return the sums of an outer product, axis by axis."""
    (profiles,) = kernel.terms
    dtype = np.dtype(problem.dtype)
    x = x.astype(dtype, copy=False)
    for axis, profile in enumerate(profiles):
        place, taps = x.ndim - problem.rank + axis, profile.astype(dtype, copy=False)
        single = Convolution.from_shapes(
            (x.size // max(1, x.shape[place]), 1, x.shape[place]),
            (1, 1, len(taps)),
            stride=problem.stride[axis],
            padding=(problem.padding[axis],),
            dilation=problem.dilation[axis],
            boundary=(problem.boundary[axis],),
            zero_taps="skip",
            dtype=problem.dtype,
        )
        x = np.moveaxis(_sums(single, np.moveaxis(x, place, -1), taps, fill), -1, place)
        with np.errstate(all="ignore"):
            fill = (fill * taps).sum()  # a pass turns what stands outside into its sum
    return x / dtype.type(kernel.divisor) if kernel.divisor != 1 else x


def _sums(problem: Convolution, x: Array, kernel: Array, fill: Any) -> Array:
    """Return the sums, in the type of the arithmetic and the memory order of `x`."""
    problem, x = closed_up(problem, x, fill)
    planes = x.ndim - problem.rank
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    axes = [Axis(x.shape[a], x.shape[a]) if a < planes else Axis.of(problem, a - planes) for a in order]
    source = x.transpose(order)
    out = np.empty([axis.outputs for axis in axes], problem.dtype)
    taps = _taps(problem, kernel.astype(problem.dtype, copy=False), order, planes)
    with np.errstate(all="ignore"):
        for box in _blocks(axes):
            _sum_of_taps(_window(source, axes, box, fill, out.dtype), axes, taps, out[box])
    return out.transpose(np.argsort(order))


def closed_up(problem: Convolution, x: Array, fill: Any) -> tuple[Convolution, Array]:
    """Return the same problem without the pixels between the taps that no output reads.

    There are such pixels on an axis whose dilation is larger than the outputs reach. Without them the workspace is
    bounded by the image and the number of taps, however large the dilation.
    """
    first = x.ndim - problem.rank
    size, padding, dilation = list(problem.size), list(problem.padding), list(problem.dilation)
    for axis, n in enumerate(problem.size):
        reach = (problem.output_size[axis] - 1) * problem.stride[axis] + 1
        if dilation[axis] <= reach:
            continue
        starts = [tap * dilation[axis] - padding[axis][0] for tap in range(problem.kernel[axis])]
        head, tail = problem.boundary[axis]
        read = [start + i for start in starts for i in range(reach)]
        found = [source_index(position, n, head if position < 0 else tail) for position in read]
        x = np.take(x, [index or 0 for index in found], axis=first + axis)
        x[(slice(None),) * (first + axis) + ([index is None for index in found],)] = fill
        size[axis], padding[axis], dilation[axis] = len(read), (0, 0), reach
    return replace(problem, size=tuple(size), padding=tuple(padding), dilation=tuple(dilation)), x


def _taps(problem: Convolution, kernel: Array, order: list[int], planes: int) -> list[tuple[Ints, Any]]:
    """Return (offset in each axis of the copy, value) for every tap that is not zero."""
    taps = []
    for tap in np.argwhere(kernel):
        offsets = [0] * planes + [int(t) * d for t, d in zip(tap, problem.dilation, strict=True)]
        taps.append((tuple(offsets[axis] for axis in order), kernel[tuple(tap)]))
    return taps


def _blocks(axes: list[Axis]) -> Iterator[Box]:
    """Yield the boxes of outputs that are computed together, the last axes whole as far as they fit."""
    lengths = []
    room = BLOCK
    for axis in reversed(axes):
        # What a block reads counts as well, so a stride makes it shorter. A block of at least one dilation keeps the
        # share of the input that is copied for two blocks below the work of the taps.
        length = min(axis.outputs, max(room // axis.stride, -(-axis.dilation // axis.stride)))
        lengths.append(length)
        room //= max(1, length * axis.stride)
    ranges = [
        [slice(start, min(start + length, axis.outputs)) for start in range(0, axis.outputs, max(1, length))]
        for axis, length in zip(axes, reversed(lengths), strict=True)
    ]
    yield from product(*ranges)


def _window(source: Array, axes: list[Axis], box: Box, fill: Any, dtype: np.dtype[Any]) -> Array:
    """Return the part of the image that a block reads, in `dtype`, with its border filled in."""
    spans = [axis.span(outputs) for axis, outputs in zip(axes, box, strict=True)]
    inside = all(low >= 0 and high <= axis.size for axis, (low, high) in zip(axes, spans, strict=True))
    if inside and source.dtype == dtype:
        return source[tuple(slice(*span) for span in spans)]
    window = np.empty([high - low for low, high in spans], dtype)
    for pieces in product(*(axis.pieces(*span) for axis, span in zip(axes, spans, strict=True))):
        target = tuple(where for where, _ in pieces)
        if any(origin is None for _, origin in pieces):
            window[target] = fill
            continue
        part = source[tuple(origin if isinstance(origin, slice) else slice(None) for _, origin in pieces)]
        for axis, (_, origin) in enumerate(pieces):
            if not isinstance(origin, slice):
                part = np.take(part, origin, axis=axis)
        window[target] = part
    return window


def _sum_of_taps(window: Array, axes: list[Axis], taps: list[tuple[Ints, Any]], out: Array) -> None:
    """Write the sum of all taps of a block to `out`; chains of CHAIN taps are combined pairwise."""
    steps = [(axis.stride, (outputs - 1) * axis.stride + 1) for axis, outputs in zip(axes, out.shape, strict=True)]
    product_ = np.empty_like(out)
    if len(taps) <= CHAIN or out.dtype.kind != "f":
        _chain(window, steps, taps, out, product_)
        return
    pending: list[tuple[int, Array]] = []
    for start in range(0, len(taps), CHAIN):
        part = np.empty_like(out)
        _chain(window, steps, taps[start : start + CHAIN], part, product_)
        level = 0
        while pending and pending[-1][0] == level:
            part += pending.pop()[1]
            level += 1
        pending.append((level, part))
    out[...] = pending.pop()[1]
    while pending:
        out += pending.pop()[1]


def _chain(
    window: Array, steps: list[tuple[int, int]], taps: list[tuple[Ints, Any]], out: Array, scratch: Array
) -> None:
    """Write the plain sum of some taps to `out`, one after the other."""
    out[...] = 0
    for offsets, value in taps:
        view = window[tuple(slice(at, at + length, step) for at, (step, length) in zip(offsets, steps, strict=True))]
        if value == 1:
            out += view
        elif value == -1:
            out -= view
        else:
            np.multiply(view, value, out=scratch)
            out += scratch
