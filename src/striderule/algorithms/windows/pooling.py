"""Pooling one axis after the other.

The largest of a window is the largest of the largest of its rows, and so for sums; a window of k x k therefore takes
2 k steps instead of k * k. On one axis the work goes tap by tap over strided slices, or, where outputs are fewer than
taps, output by output.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.blocks import BLOCK_ELEMENTS, planes
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling, Unpooling
from striderule.geometry.window import extent_of

Array = npt.NDArray[Any]
Windowed = Pooling | AdaptivePooling
Selector = slice | Array

# Sixteen blocks: large enough that the rows shared by two pieces hardly count.
PIECE_ELEMENTS = 16 * BLOCK_ELEMENTS


@dataclass(frozen=True, slots=True)
class Sweep:
    """How to pool one axis: pairs (outputs, inputs) of places.

    With `whole` each pair is one output and the slice of its whole window; without, each pair is one tap: where its
    outputs lie and where the inputs it meets lie. The pairs are in ascending order of input position.
    """

    outputs: int
    whole: bool
    moves: tuple[tuple[Any, Selector], ...]


def _regular(n: int, k: int, s: int, d: int, before: int, outputs: int) -> Sweep:
    """Return the sweep of windows at equal distances; `before` may be negative (the first window starts later)."""
    moves: list[tuple[Any, Selector]] = []
    if outputs < k:
        for j in range(outputs):
            start = j * s - before
            first = start if start >= 0 else start % d  # the first tap that is not in the padding before
            moves.append((j, slice(first, max(0, min(start + d * (k - 1) + 1, n)), d)))
        return Sweep(outputs, True, tuple(moves))
    for t in range(k):
        offset = t * d - before
        # Outputs j with 0 <= j s + offset < n.
        low, high = max(0, -(offset // s)), min(outputs, (n - 1 - offset) // s + 1)
        if low < high:
            first = low * s + offset
            moves.append((slice(low, high), slice(first, first + (high - low - 1) * s + 1, s)))
    return Sweep(outputs, False, tuple(moves))


def _segments(starts: Array, ends: Array) -> Sweep:
    """Return the sweep of windows with a start and an end each."""
    outputs, longest = len(starts), int((ends - starts).max(initial=0))
    if outputs < longest:
        windows = zip(starts.tolist(), ends.tolist(), strict=True)
        return Sweep(outputs, True, tuple((j, slice(a, b)) for j, (a, b) in enumerate(windows)))
    moves: list[tuple[Any, Selector]] = []
    for t in range(longest):
        inside = np.flatnonzero(starts + t < ends)
        moves.append((slice(None) if len(inside) == outputs else inside, starts[inside] + t))
    return Sweep(outputs, False, tuple(moves))


def _sweep(problem: Windowed, axis: int, rows: tuple[int, int], inputs: tuple[int, int]) -> Sweep:
    """Return the sweep of the outputs `rows` of an axis, of which only the positions `inputs` are at hand."""
    (j0, j1), (low, high) = rows, inputs
    if isinstance(problem, AdaptivePooling):
        segments = np.array(problem.segments(axis)[j0:j1], dtype=np.intp).reshape(-1, 2) - low
        return _segments(segments[:, 0], segments[:, 1])
    k, s, d = problem.kernel[axis], problem.stride[axis], problem.dilation[axis]
    return _regular(high - low, k, s, d, problem.padding[axis][0] + low - j0 * s, j1 - j0)


def _reach(problem: Windowed, j0: int, j1: int) -> tuple[int, int]:
    """Return (first, end) of the positions of axis 0 that its outputs j0 to j1 look at."""
    if isinstance(problem, AdaptivePooling):
        segments = problem.segments(0)
        return segments[j0][0], segments[j1 - 1][1]
    n, s, before = problem.size[0], problem.stride[0], problem.padding[0][0]
    end = (j1 - 1) * s - before + extent_of(problem.kernel[0], problem.dilation[0])
    return min(max(0, j0 * s - before), n), min(max(0, end), n)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of the output of a plane, the rows of the input that they need, and the sweeps of all axes."""

    rows: slice
    inputs: slice
    sweeps: tuple[Sweep, ...]


def _pieces(problem: Windowed) -> list[Piece]:
    """Cut the planes of a problem into pieces of at most about `PIECE_ELEMENTS`, to bound the memory."""
    if 0 in problem.output_shape:
        return []
    whole = [((0, outputs), (0, n)) for outputs, n in zip(problem.output_size, problem.size, strict=True)]
    others = tuple(_sweep(problem, axis, *whole[axis]) for axis in range(1, problem.rank))
    outputs, plane = problem.output_size[0], prod(problem.size)
    step = max(1, outputs * PIECE_ELEMENTS // max(plane, 1))
    pieces = []
    for j0 in range(0, outputs, step):
        j1 = min(outputs, j0 + step)
        low, high = _reach(problem, j0, j1)
        sweeps = (_sweep(problem, 0, (j0, j1), (low, high)), *others)
        pieces.append(Piece(slice(j0, j1), slice(low, high), sweeps))
    return pieces


def _at(x: Array, axis: int, places: Any) -> Array:
    """Return x[..., places, ...] on `axis` (counted from the front): a view for slices, a copy for arrays."""
    return x[(slice(None),) * axis + (places,)]


def _resized(x: Array, axis: int, size: int) -> tuple[int, ...]:
    return (*x.shape[:axis], size, *x.shape[axis + 1 :])


def lowest(dtype: np.dtype[Any]) -> Any:
    """Return what the largest of no values is: the least value of the type."""
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _max_axis(x: Array, axis: int, sweep: Sweep) -> Array:
    result = np.full(_resized(x, axis, sweep.outputs), lowest(x.dtype), x.dtype)
    for places, sources in sweep.moves:
        values = _at(x, axis, sources)
        if sweep.whole:
            np.maximum.reduce(values, axis=axis, initial=lowest(x.dtype), out=_at(result, axis, places))
        elif isinstance(places, slice):
            target = _at(result, axis, places)
            np.maximum(target, values, out=target)
        else:
            result[(slice(None),) * axis + (places,)] = np.maximum(_at(result, axis, places), values)
    return result


def _best_of(values: Array, axis: int) -> Array:
    """Return where the largest stands along an axis (kept, of length 1): the first of equals, the last NaN."""
    best: Array = values.argmax(axis=axis, keepdims=True)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        if missing.any():
            last = values.shape[axis] - 1 - np.flip(missing, axis).argmax(axis=axis, keepdims=True)
            best = np.where(missing.any(axis=axis, keepdims=True), last, best)
    return best


def _keep_larger(best: Array, where: Array, values: Array, places: Array) -> None:
    """Put values (and their places) that are larger, NaN, or the first of all into `best` (and `where`)."""
    better = values > best
    better |= where < 0
    if values.dtype.kind == "f":
        better |= np.isnan(values)
    np.copyto(best, values, where=better)
    np.copyto(where, places, where=better)


def _argmax_axis(x: Array, flat: Array, axis: int, sweep: Sweep) -> tuple[Array, Array]:
    """As `_max_axis`, carrying along the flat place of each value; -1 where a window is empty."""
    best = np.full(_resized(x, axis, sweep.outputs), lowest(x.dtype), x.dtype)
    where = np.full(best.shape, -1, np.int64)
    for places, sources in sweep.moves:
        values, candidates = _at(x, axis, sources), _at(flat, axis, sources)
        if sweep.whole:
            if values.shape[axis]:
                place = _best_of(values, axis)
                target = slice(places, places + 1)
                candidates = np.broadcast_to(candidates, values.shape)
                _at(best, axis, target)[...] = np.take_along_axis(values, place, axis)
                _at(where, axis, target)[...] = np.take_along_axis(candidates, place, axis)
        elif isinstance(places, slice):
            _keep_larger(_at(best, axis, places), _at(where, axis, places), values, candidates)
        else:
            here = (slice(None),) * axis + (places,)
            part, part_where = best[here], where[here]
            _keep_larger(part, part_where, values, candidates)
            best[here], where[here] = part, part_where
    return best, where


def _flat_places(size: tuple[int, ...], rows: slice) -> Array:
    """Return the flat place of every position in some rows of a plane, with an axis for the channels."""
    each = prod(size[1:])
    return np.arange(rows.start * each, rows.stop * each, dtype=np.int64).reshape(1, -1, *size[1:])


def _max(block: Array, sweeps: tuple[Sweep, ...]) -> Array:
    """Return the largest values of a block (channels, *size): the last axis first, whose slices are longest."""
    for axis in range(len(sweeps), 0, -1):
        block = _max_axis(block, axis, sweeps[axis - 1])
    return block


def _argmax(block: Array, where: Array, sweeps: tuple[Sweep, ...]) -> tuple[Array, Array]:
    """As `_max`, with the flat places. Columns within rows keep the order of equals and of NaN."""
    for axis in range(len(sweeps), 0, -1):
        block, where = _argmax_axis(block, where, axis, sweeps[axis - 1])
    return block, where


def max_pool(problem: Windowed, x: Array, indices: bool) -> tuple[Array, Array | None]:
    """Return the largest value of every window, and with `indices` its flat place in the plane."""
    values = np.empty(problem.output_shape, x.dtype)
    places = np.empty(problem.output_shape, np.int64) if indices else None
    with np.errstate(invalid="ignore"):
        for piece in _pieces(problem):
            flat = None if places is None else _flat_places(problem.size, piece.inputs)
            for n, channels in planes(x.shape):
                block = x[n, channels, piece.inputs]
                if places is None or flat is None:
                    values[n, channels, piece.rows] = _max(block, piece.sweeps)
                else:
                    best, where = _argmax(block, flat, piece.sweeps)
                    values[n, channels, piece.rows], places[n, channels, piece.rows] = best, where
    return values, places


def _sum_axis(x: Array, axis: int, sweep: Sweep, dtype: np.dtype[Any]) -> Array:
    result = np.zeros(_resized(x, axis, sweep.outputs), dtype)
    for places, sources in sweep.moves:
        values = _at(x, axis, sources)
        if sweep.whole:
            np.add.reduce(values, axis=axis, dtype=dtype, out=_at(result, axis, places))
        elif isinstance(places, slice):
            target = _at(result, axis, places)
            np.add(target, values, out=target, dtype=dtype, casting="unsafe")
        else:
            result[(slice(None),) * axis + (places,)] += values
    return result


def _window_sums(x: Array, sweeps: tuple[Sweep, ...], dtype: np.dtype[Any]) -> Array:
    """Return the sums over all windows of a block (channels, *size), formed in `dtype`."""
    for axis in range(len(sweeps), 0, -1):
        x = _sum_axis(x, axis, sweeps[axis - 1], dtype)
    return x


def _outer(counts: list[tuple[int, ...]]) -> Array:
    """Return the products of one count of each axis."""
    result = np.ones((), np.float64)
    for count in counts:
        result = result[..., None] * np.array(count, np.float64)
    return result


def _counts(problem: Windowed) -> list[tuple[int, ...]]:
    """Return for each axis how many positions count in the window of each output."""
    if isinstance(problem, AdaptivePooling):
        return [tuple(b - a for a, b in problem.segments(axis)) for axis in range(problem.rank)]
    return [problem.counted(axis) for axis in range(problem.rank)]


def _divisors(problem: Windowed, counts: list[tuple[int, ...]], rows: slice) -> Array:
    """Return what the sums of some rows are divided by; 1 where the window has no element (its sum is 0)."""
    if isinstance(problem, Pooling) and problem.divisor_override is not None:
        return np.array(problem.divisor_override, np.float64)
    return np.maximum(_outer([counts[0][rows], *counts[1:]]), 1)


def average_pool(problem: Windowed, x: Array, dtype: np.dtype[Any]) -> Array:
    """Return the averages, formed in float64 (complex128) and rounded to `dtype` at the end."""
    wide = np.dtype(np.complex128 if x.dtype.kind == "c" else np.float64)
    result = np.empty(problem.output_shape, dtype)
    counts = _counts(problem)
    with np.errstate(all="ignore"):
        for piece in _pieces(problem):
            divisors = _divisors(problem, counts, piece.rows)
            for n, channels in planes(x.shape):
                sums = _window_sums(x[n, channels, piece.inputs], piece.sweeps, wide)
                result[n, channels, piece.rows] = sums / divisors
    return result


def _norms(block: Array, norm: float, sweeps: tuple[Sweep, ...], scale: Array) -> Array:
    """Return (sum of block ** norm, times scale) ** (1 / norm); infinite norms give the largest and smallest size."""
    if np.isinf(norm):
        sign = 1.0 if norm > 0 else -1.0
        return sign * _max(sign * np.abs(block), sweeps)
    sums: Array = _window_sums(block**norm, sweeps, np.dtype(np.float64)) * scale
    return sums ** (1 / norm)


def lp_pool(problem: Pooling, x: Array, dtype: np.dtype[Any]) -> Array:
    """Return the norms of all windows, formed in float64; cut windows are scaled up to the full number of taps."""
    norm = problem.norm or 1.0
    counts = _counts(problem)
    result = np.empty(problem.output_shape, dtype)
    with np.errstate(all="ignore"):
        for piece in _pieces(problem):
            scale = prod(problem.kernel) / _divisors(problem, counts, piece.rows)
            for n, channels in planes(x.shape):
                block = x[n, channels, piece.inputs].astype(np.float64)
                result[n, channels, piece.rows] = _norms(block, norm, piece.sweeps, scale)
    return result


def fractional_starts(problem: FractionalPooling, axis: int, samples: Array) -> Array:
    """Return the starts (batch, channels, outputs) of one axis: `geometry.pooling.starts_of` for all channels."""
    n, k, outputs = problem.size[axis], problem.kernel[axis], problem.output_size[axis]
    starts = np.full((*samples.shape[:2], outputs), n - k, np.intp)
    if outputs > 1:
        number = samples.dtype.type
        step = number(n - k) / number(outputs - 1)
        u = samples[:, :, problem.sample_column(axis), None]
        shifted = (np.arange(outputs - 1).astype(samples.dtype) + u) * step
        starts[..., :-1] = shifted.astype(np.intp) - (u * step).astype(np.intp)
    return starts


def _fractional_axis(best: Array, where: Array, axis: int, starts: Array, kernel: int) -> tuple[Array, Array]:
    """Pool one axis of a block (channels, *size), whose windows start at other places in every channel."""
    shape = _resized(best, axis, starts.shape[1])
    starts = starts.reshape(len(starts), *(1,) * (axis - 1), -1, *(1,) * (best.ndim - 1 - axis))
    larger, place = np.full(shape, lowest(best.dtype), best.dtype), np.full(shape, -1, np.int64)
    for t in range(kernel):
        here = np.broadcast_to(starts + t, shape)
        _keep_larger(larger, place, np.take_along_axis(best, here, axis), np.take_along_axis(where, here, axis))
    return larger, place


def fractional_max_pool(
    problem: FractionalPooling, x: Array, samples: Array, indices: bool
) -> tuple[Array, Array | None]:
    """As `max_pool`, with windows that start where the samples (batch, channels, axes) of each channel say."""
    starts = [fractional_starts(problem, axis, samples) for axis in range(problem.rank)]
    return max_pool_from(starts, problem, x, indices)


def max_pool_from(
    starts: list[Array], problem: FractionalPooling, x: Array, indices: bool
) -> tuple[Array, Array | None]:
    """As `fractional_max_pool`, with the starts (batch, channels, outputs) of the windows of every axis."""
    values = np.empty(problem.output_shape, x.dtype)
    places = np.empty(problem.output_shape, np.int64)
    if values.size == 0:
        return values, places if indices else None
    outputs = problem.output_size[0]
    step = max(1, outputs * PIECE_ELEMENTS // prod(problem.size))
    for n, channels in planes(x.shape):
        for j0 in range(0, outputs, step):
            rows = slice(j0, min(outputs, j0 + step))
            firsts = [axis[n, channels] for axis in starts]
            firsts[0] = firsts[0][:, rows]
            inputs = slice(int(firsts[0].min()), int(firsts[0].max()) + problem.kernel[0])
            firsts[0] = firsts[0] - inputs.start
            best = x[n, channels, inputs]
            where = np.broadcast_to(_flat_places(problem.size, inputs), best.shape)
            with np.errstate(invalid="ignore"):
                for axis in range(problem.rank, 0, -1):
                    best, where = _fractional_axis(best, where, axis, firsts[axis - 1], problem.kernel[axis - 1])
            values[n, channels, rows], places[n, channels, rows] = best, where
    return values, places if indices else None


def unpool(problem: Unpooling, x: Array, indices: Array) -> Array:
    """Return zeros with x put to the flat places; of several values for one place the last stays."""
    planes_in, volume = problem.batch * problem.channels, prod(problem.output_size)
    result = np.zeros((planes_in, volume), x.dtype)
    each = prod(problem.size)
    # Fancy assignment writes in order, so that the last of several values stays.
    result[np.arange(planes_in)[:, None], indices.reshape(planes_in, each)] = x.reshape(planes_in, each)
    return result.reshape(problem.output_shape)
