"""Which part of a larger image is filtered: images that are cut are planned as they would be whole.

A block of an image (`functional.bands`) gives the bits of the whole image only if the same way is taken for it, and if
sums that are formed in blocks of rows begin at the same rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace

from striderule.functional.planned import plan_for
from striderule.geometry.problem import Convolution
from striderule.planning import Plan

Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an image: its shape, where it begins along every axis, and the shape of the whole."""

    shape: Ints
    first: Ints
    whole: Ints


_under: ContextVar[Part | None] = ContextVar("part", default=None)


@contextlib.contextmanager
def part_of(whole: Ints, first: Ints, shape: Ints) -> Iterator[None]:
    """Let filters of images of a shape know that these are parts of a whole; parts of parts are parts of that one."""
    outer = _under.get()
    if outer is not None and outer.shape == whole:
        whole, first = outer.whole, tuple(a + b for a, b in zip(outer.first, first, strict=True))
    token = _under.set(Part(shape, first, whole))
    try:
        yield
    finally:
        _under.reset(token)


def planned(
    problem: Convolution, image: Ints, axes: Sequence[int], precision: str, algorithm: str | None
) -> tuple[Plan, Convolution]:
    """Return the plan of the correlation of an image, or of the whole it is a part of, and the problem with its place.

    `axes` of the image are those that are filtered.
    """
    part = _under.get()
    if part is None or part.shape != image:
        return plan_for(problem, precision, algorithm), problem
    place = tuple((part.first[axis], part.whole[axis]) for axis in axes)
    plan = plan_for(replace(problem, size=tuple(n for _, n in place)), precision, algorithm)
    # Only passes have sums in blocks of rows.
    return plan, replace(problem, place=place) if plan.algorithm == "separable" else problem
