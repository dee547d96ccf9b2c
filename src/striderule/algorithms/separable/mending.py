"""What passes make of values that are not finite, where the definition makes something else of them.

A product of an infinity with a tap of zero is no number, and neither is the sum of opposite infinities that several
outer products make of one; the definition knows no such products. Only results that are not finite can differ from it:
those are computed anew by the products of the definition, block by block, and every other result stays as it is, so
that no bit of it depends on what stands elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import table
from striderule.algorithms.images.terms import Terms
from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]
Box = tuple[slice, ...]

# Outputs of a block, along the last axes: few calls for many of them, little that is computed in vain for a few.
BLOCK = (16, 128, 512)


def mend(problem: Convolution, x: Array, kernel: Array | Terms, terms: Terms, fill: Any, result: Array) -> None:
    """Compute anew what is not finite in `result`, the passes of `terms` over x (*planes, *size).

    `kernel` is what they stand for: an array of taps, or the outer product itself.
    """
    if _is_right(problem, x, kernel, terms, fill):
        return
    pairs = zip(problem.padding, problem.boundary, strict=True)
    sources = [
        np.array([-1 if place is None else place for place in boundary_indices(n, *sides, words)], np.intp)
        for n, (sides, words) in zip(problem.size, pairs, strict=True)
    ]
    for plane in np.ndindex(x.shape[: x.ndim - problem.rank]):
        for box in _blocks(problem.output_size):
            goal = result[plane][box]
            wrong = ~np.isfinite(goal)
            if wrong.any():
                with np.errstate(over="ignore"):
                    np.copyto(goal, _defined(problem, x[plane], kernel, fill, sources, box), "same_kind", where=wrong)


def _is_right(problem: Convolution, x: Array, kernel: Array | Terms, terms: Terms, fill: Any) -> bool:
    """Tell whether NaN alone is about: with no tap of zero it reaches as far in passes as in the definition."""
    taps = [profile for term in kernel.terms for profile in term] if isinstance(kernel, Terms) else [kernel]
    if not all(one.all() for one in taps):
        return False
    growth = sum(prod(max(1.0, float(np.abs(one).sum(dtype=np.float64))) for one in term) for term in terms.terms)
    most = float(np.finfo(problem.dtype).max) / 4 / growth
    with np.errstate(all="ignore"):
        highest, lowest = float(np.fmax.reduce(x, axis=None)), float(np.fmin.reduce(x, axis=None))
    return not (highest > most or lowest < -most or abs(fill) > most)


def _blocks(outputs: tuple[int, ...]) -> Iterator[Box]:
    """Yield the boxes of outputs that are looked at together."""
    lengths = (1,) * max(0, len(outputs) - len(BLOCK)) + BLOCK[max(0, len(BLOCK) - len(outputs)) :]
    yield from product(
        *(
            [slice(start, min(start + length, n)) for start in range(0, n, length)]
            for n, length in zip(outputs, lengths, strict=True)
        )
    )


def _defined(
    problem: Convolution, image: Array, kernel: Array | Terms, fill: Any, sources: list[Array], box: Box
) -> Array:
    """Return a block of results by the products of the definition, in the type of the sums."""
    reach = zip(box, sources, problem.stride, problem.extent, strict=True)
    places = [source[part.start * stride : (part.stop - 1) * stride + extent] for part, source, stride, extent in reach]
    near = image[np.ix_(*(np.maximum(place, 0) for place in places))].astype(problem.dtype)
    for axis, place in enumerate(places):
        near[(slice(None),) * axis + (place < 0,)] = fill
    plain = replace(
        problem, batch=1, size=near.shape, padding=((0, 0),) * problem.rank, stored=(problem.dtype,) * 2,
        overflow="saturate", form=None,
    )  # fmt: skip
    products = table.family("stencil", "stencil").stencil
    if not isinstance(kernel, Terms):
        sums: Array = products(plain, near, kernel)
        return sums
    for axis, profile in enumerate(kernel.terms[0]):
        here = range(problem.rank)
        plain = replace(
            plain,
            size=near.shape,
            kernel=tuple(len(profile) if i == axis else 1 for i in here),
            stride=tuple(problem.stride[i] if i == axis else 1 for i in here),
            dilation=tuple(problem.dilation[i] if i == axis else 1 for i in here),
        )
        near = products(plain, near, profile.reshape(plain.kernel))
    quotients: Array = near / near.dtype.type(kernel.divisor)
    return quotients
