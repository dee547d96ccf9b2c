"""Arrays extended beyond their borders: every boundary, per axis and per side, in one copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.geometry.padding import Sides, Words, boundary_indices

Array = npt.NDArray[Any]


def _axis_indices(size: int, sides: tuple[int, int], words: tuple[str, str]) -> npt.NDArray[np.intp]:
    """Return the source index for every position of an extended axis, -1 where the fill value stands."""
    indices = boundary_indices(size, *sides, words)
    return np.array([-1 if index is None else index for index in indices], dtype=np.intp)


def _extend_axis(x: Array, axis: int, sides: tuple[int, int], words: tuple[str, str], fill: Any) -> Array:
    """Extend or crop one axis by looking every position up: the general way, for cropped axes."""
    indices = _axis_indices(x.shape[axis], sides, words)
    if x.shape[axis] == 0:
        return np.full((*x.shape[:axis], len(indices), *x.shape[axis + 1 :]), fill, x.dtype)
    result = np.take(x, indices, axis=axis)
    result[(slice(None),) * axis + (indices < 0,)] = fill
    return result


def extend(x: Array, padding: Sides, boundary: Words, fill: Any = 0, dtype: Any = None) -> Array:
    """Return `x` with its last ``len(padding)`` axes extended (positive) or cropped (negative), in `dtype`.

    The input itself is returned when there is nothing to do.
    """
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    first = x.ndim - len(padding)
    pads = list(padding)
    for axis, (before, after) in enumerate(pads):
        if before < 0 or after < 0:
            n = x.shape[first + axis]
            if before <= 0 and after <= 0:
                keep = slice(-before, max(n + after, -before))
                x = x[(slice(None),) * (first + axis) + (keep,)]
            else:
                x = _extend_axis(x.astype(dtype, copy=False), first + axis, (before, after), boundary[axis], fill)
            pads[axis] = (0, 0)
    if not any(before or after for before, after in pads):
        return x.astype(dtype, copy=False)
    shape = x.shape[:first] + tuple(n + b + a for n, (b, a) in zip(x.shape[first:], pads, strict=True))
    result = np.empty(shape, dtype)
    inner = [slice(None)] * first + [slice(b, b + n) for n, (b, _) in zip(x.shape[first:], pads, strict=True)]
    result[tuple(inner)] = x
    # Axis after axis: the border of an axis is copied from the part that is complete on the axes before it.
    for axis, (before, after) in enumerate(pads):
        _fill_border(result, first + axis, inner, x.shape[first + axis], (before, after), boundary[axis], fill)
        inner[first + axis] = slice(None)
    return result


def _fill_border(
    result: Array,
    axis: int,
    inner: list[slice],
    size: int,
    sides: tuple[int, int],
    words: tuple[str, str],
    fill: Any,
) -> None:
    """Write the border of one axis of `result`, whose `size` elements stand behind ``sides[0]`` positions."""
    before, after = sides
    for start, stop, word in ((0, before, words[0]), (before + size, before + size + after, words[1])):
        if start == stop:
            continue
        border = list(inner)
        border[axis] = slice(start, stop)
        if word == "constant":
            result[tuple(border)] = fill
            continue
        indices = _axis_indices(size, sides, words)[start:stop]
        # Only the stretch that is read: numpy.take copies all of what it takes from.
        first, last = int(indices.min()), int(indices.max())
        source = list(inner)
        source[axis] = slice(before + first, before + last + 1)
        result[tuple(border)] = np.take(result[tuple(source)], indices - first, axis=axis)


def fold_back(g: Array, size: tuple[int, ...], padding: Sides, boundary: Words) -> Array:
    """Return the transpose of `extend`: each position of the extended axes is added where it was copied from.

    `g` has extended axes last, which become `size` again; what is cropped gets zero, what the fill value showed is
    dropped.
    """
    first = g.ndim - len(padding)
    for axis, (n, sides, words) in enumerate(zip(size, padding, boundary, strict=True)):
        g = _fold_axis(g, first + axis, n, sides, words)
    return g


def _fold_axis(g: Array, axis: int, size: int, sides: tuple[int, int], words: tuple[str, str]) -> Array:
    if sides == (0, 0):
        return g
    before, after = sides
    lead: tuple[Any, ...] = (slice(None),) * axis
    result = np.zeros((*g.shape[:axis], size, *g.shape[axis + 1 :]), g.dtype)
    # What stands inside, and then the border, position after position.
    start, stop = max(0, -before), size - max(0, -after)
    if start < stop:
        result[(*lead, slice(start, stop))] = g[(*lead, slice(start + before, stop + before))]
    for position, source in enumerate(boundary_indices(size, before, after, words)):
        if source is not None and not start <= position - before < stop:
            result[(*lead, source)] += g[(*lead, position)]
    return result
