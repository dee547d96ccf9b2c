"""What stands beyond both ends of a line: pieces of it, forwards or backwards, or one pixel, or the fill value.

line[target + i] = line[source + i * step], with a step of 1, -1 or 0; where the source is negative, the fill value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.separable.spans import spans
from striderule.algorithms.separable.structure import Structure
from striderule.codegen.tile import Pointer, Routine, Size, Vector

Array = npt.NDArray[Any]
FIELDS = 4


def pieces(places: Array, target: int) -> list[int]:
    """Return (target, source, count, step) of the pieces that `places` in a line fall into, negative: the fill value.

    >>> pieces(np.array([2, 1, 0, 1, 2, 2, 2, -1, -1]), 0)
    [0, 2, 3, -1, 3, 1, 2, 1, 5, 2, 2, 0, 7, -1, 2, 0]
    """
    found, at = list[int](), 0
    steps = np.diff(places)
    while at < len(places):
        step = int(steps[at]) if at < len(steps) else 0
        step = step if abs(step) <= 1 and min(places[at : at + 2]) >= 0 else 0
        others = np.flatnonzero(steps[at:] != step)
        # A step that leads elsewhere belongs to no piece.
        count = int(others[0]) + 1 if len(others) else len(places) - at
        if places[at] < 0:
            inside = np.flatnonzero(places[at:] >= 0)
            count = int(inside[0]) if len(inside) else len(places) - at
        found += [target + at, int(places[at]), count, step]
        at += count
    return found


def extend(r: Routine, s: Structure, line: Pointer, outside: Vector) -> None:
    """Write what stands beyond both ends of a line; `outside` is the fill value, one lane of it."""
    table, pixel = r.table("beyond"), r.size("pixel")
    with r.loop(r.size("pieces")) as number:
        target, source, count, step = (r.entry(table, number * FIELDS + field) for field in range(FIELDS))
        with r.either(source.below(0)) as (fill, copied):
            with fill:
                spans(r, count * pixel, 1, lambda at, _, lanes: r.store(_wide(r, outside, lanes), line + (target + at)))
            with copied, r.either(step.equals(1)) as (forwards, others):
                with forwards:
                    spans(
                        r, count * pixel, 1,
                        lambda at, _, lanes: r.store(r.load(line + (source + at), lanes=lanes), line + (target + at)),
                    )  # fmt: skip
                with others:
                    (_mirrored if s.across.gap == 1 else _by_pixel)(r, line, target, source, count, step)


def _wide(r: Routine, one: Vector, lanes: int) -> Vector:
    """Return the first lane in every lane."""
    return r.shuffle(one, one, [0] * lanes)


def _mirrored(r: Routine, line: Pointer, target: Size, source: Size, count: Size, step: Size) -> None:
    """Write a piece backwards, or one pixel again and again, where elements are pixels."""

    def backwards(at: Size, _: int, lanes: int) -> None:
        piece = r.load(line + (source - at - (lanes - 1)), lanes=lanes)
        r.store(r.shuffle(piece, piece, [lanes - 1 - lane for lane in range(lanes)]), line + (target + at))

    with r.either(step.equals(0)) as (same, back):
        with same:
            pixel = r.load(line + source, lanes=1)
            spans(r, count, 1, lambda at, _, lanes: r.store(_wide(r, pixel, lanes), line + (target + at)))
        with back:
            spans(r, count, 1, backwards)


def _by_pixel(r: Routine, line: Pointer, target: Size, source: Size, count: Size, step: Size) -> None:
    """Write a piece pixel by pixel, each of several elements side by side."""
    pixel = r.size("pixel")
    with r.loop(count) as i, r.loop(pixel) as c:
        r.store(r.load(line + (source + i * step * pixel + c), lanes=1), line + (target + i * pixel + c))
