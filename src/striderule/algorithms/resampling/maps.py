"""Which elements of a line each element of a result is made of, and by what weights.

A blur and an interpolation one after the other are linear, so together they are one matrix of a few neighbours a row.
What a boundary shows is part of it: near the ends of a line elements are named one by one, and the fill value too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms.images.tables import FILL, shown

Array = npt.NDArray[Any]
Words = tuple[str, str]
# Sums of one output by the places of its terms.
Terms = dict[int, float]


class Map(NamedTuple):
    """How an axis of `size` elements becomes one of `outputs`: sums of cells that follow one another.

    `entries` holds, for every output, its first cell, where its weights begin, and how many there are. The first `size`
    cells are the axis itself; `extras` tells which of its elements the others repeat, FILL for the fill value.
    """

    size: int
    outputs: int
    entries: Array
    weights: Array
    extras: Array


def same(size: int, work: np.dtype[Any]) -> Map:
    """Return the map of an axis that stays as it is."""
    entries = np.zeros((size, 3), np.int64)
    entries[:, 0], entries[:, 2] = np.arange(size), 1
    return Map(size, size, entries, np.ones(1, work), np.zeros(0, np.int64))


def positions(inputs: int, outputs: int) -> Array:
    """Return where, among `inputs` elements, the middles of `outputs` elements lie that fill the same room.

    >>> positions(4, 2), positions(1, 2)
    (array([0.5, 2.5]), array([-0.25,  0.25]))
    """
    return (np.arange(outputs) + 0.5) * (inputs / max(1, outputs)) - 0.5


@lru_cache(maxsize=128)
def shrinking(size: int, outputs: int, profile: tuple[float, ...], words: Words, work: np.dtype[Any]) -> Map:
    """Return the map that blurs by a profile of odd length, and then interpolates at fewer places."""
    taps, reach = np.array(profile), len(profile) // 2
    where = positions(size, outputs)
    low = np.clip(np.floor(where).astype(np.int64), 0, size - 1)
    share = np.where(low < size - 1, where - low, 0.0)[:, None]
    dense = np.zeros((outputs, len(taps) + 1))
    dense[:, :-1] = taps * (1 - share)
    dense[:, 1:] += taps * share
    seen = shown(size, -reach, size + reach + 1, words)

    def terms(output: int) -> Iterable[tuple[int, float]]:
        first = int(low[output])
        return zip(seen[first : first + len(taps) + 1].tolist(), dense[output].tolist(), strict=True)

    return _assembled(size, low - reach, dense.astype(work), terms)


@lru_cache(maxsize=128)
def growing(size: int, outputs: int, profile: tuple[float, ...], words: Words, work: np.dtype[Any]) -> Map:
    """Return the map that interpolates at more places, and then blurs by a profile of odd length."""
    taps, reach = np.array(profile), len(profile) // 2
    where = positions(size, outputs)
    low = np.floor(where).astype(np.int64)
    share = where - low
    middle = np.arange(outputs)
    first = low[np.maximum(middle - reach, 0)]
    dense = np.zeros((outputs, int((low[np.minimum(middle + reach, outputs - 1)] - first).max()) + 2))
    for tap, weight in enumerate(taps):
        at = np.clip(middle + (tap - reach), 0, outputs - 1)
        dense[middle, low[at] - first] += weight * (1 - share[at])
        dense[middle, low[at] - first + 1] += weight * share[at]
    between, seen = shown(outputs, -reach, outputs + reach, words), shown(size, -1, size + 1, words)

    def terms(output: int) -> Iterable[tuple[int, float]]:
        for tap, weight in zip(between[output : output + len(taps)].tolist(), profile, strict=True):
            if tap == FILL:
                yield FILL, weight
            else:
                yield int(seen[low[tap] + 1]), weight * (1 - share[tap])
                yield int(seen[low[tap] + 2]), weight * share[tap]

    whole = (middle >= reach) & (middle < outputs - reach)
    return _assembled(size, np.where(whole, first, -1), dense.astype(work), terms)


def _assembled(size: int, first: Array, dense: Array, terms: Callable[[int], Iterable[tuple[int, float]]]) -> Map:
    """Return the map of rows of weights from the element `first` on; rows that leave the axis are made of `terms`.

    Weights of zero are left out, so that nothing that is not finite comes in by them.
    """
    outputs, width = dense.shape
    there = dense != 0
    lead = there.argmax(axis=1)
    count = np.where(there.any(axis=1), width - there[:, ::-1].argmax(axis=1) - lead, 0)
    entries = np.stack([first + lead, np.arange(outputs) * width + lead, count], axis=1)
    weights, extras = [dense.ravel()], list[int]()
    begin = dense.size
    for output in np.flatnonzero((first < 0) | (entries[:, 0] + count > size)).tolist():
        sums: Terms = {}
        for place, weight in terms(output):
            sums[place] = sums.get(place, 0.0) + weight
        found = np.array([sums[place] for place in sorted(sums)], np.float64).astype(dense.dtype)
        kept = np.flatnonzero(found)
        places = np.array(sorted(sums), np.int64)[kept]
        entries[output] = size + len(extras), begin, len(kept)
        extras += places.tolist()
        weights.append(found[kept])
        begin += len(kept)
    return Map(size, outputs, entries, np.concatenate(weights), np.array(extras, np.int64))


def gathered(
    size: int, to: Array, source: Array, weights: Array, outputs: int, work: np.dtype[Any], *, merged: bool = True
) -> Map:
    """Return the map of the sums y[to] += weights * x[source], given one by one; terms alike are merged into one."""
    order = np.lexsort((source, to))
    to, source, weights = to[order], source[order], weights[order].astype(np.float64)
    if merged and len(to):
        begins = np.flatnonzero(np.r_[True, (np.diff(to) != 0) | (np.diff(source) != 0)])
        to, source, weights = to[begins], source[begins], np.add.reduceat(weights, begins)
    entries = np.zeros((outputs, 3), np.int64)
    entries[:, 1] = np.searchsorted(to, np.arange(outputs))
    entries[:, 2] = np.bincount(to, minlength=outputs)
    some = entries[:, 2] > 0
    first, last = source[entries[some, 1]], source[entries[some, 1] + entries[some, 2] - 1]
    entries[some, 0] = first
    apart = some.copy()
    apart[some] = last - first + 1 != entries[some, 2]
    # What does not stand side by side is repeated behind the axis.
    counts = np.where(apart, entries[:, 2], 0)
    entries[apart, 0] = size + (np.cumsum(counts) - counts)[apart]
    return Map(size, outputs, entries, np.append(weights, 0.0).astype(work), source[apart[to]].astype(np.int64))


def transposed(one: Map) -> Map:
    """Return the transpose of a map: what the fill value gave is dropped."""
    counts = one.entries[:, 2]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.concatenate([np.arange(one.size), one.extras])[np.repeat(one.entries[:, 0], counts) + within]
    weights = one.weights[np.repeat(one.entries[:, 1], counts) + within]
    results, kept = np.repeat(np.arange(one.outputs), counts), places != FILL
    return gathered(one.outputs, places[kept], results[kept], weights[kept], one.size, weights.dtype)


def applied(x: Array, axis: int, one: Map) -> Array:
    """Return x with an axis mapped, in NumPy and in the type of the weights; the map knows no fill value."""
    lines = np.moveaxis(x, axis, 0).astype(one.weights.dtype, copy=False)
    cells = np.concatenate([np.arange(one.size), one.extras])
    result = np.zeros((one.outputs, *lines.shape[1:]), lines.dtype)
    first, begin, count = one.entries.T
    for number in range(int(count.max(initial=0))):
        here = np.flatnonzero(count > number)
        weights = one.weights[begin[here] + number].reshape(-1, *(1,) * (x.ndim - 1))
        result[here] += weights * lines[cells[first[here] + number]]
    return np.moveaxis(result, 0, axis)
