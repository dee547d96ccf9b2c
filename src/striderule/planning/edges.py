"""What the border of an image does to the error of `winograd`: pure arithmetic on sizes.

The transforms mix all inputs of a tile with all taps of the kernel. Exactly, an input meets only the taps that the
definition lets it meet; rounded, it leaves a trace of the others: input q of an axis, tap a and output j of a tile come
together with the factor

    growth[q, a]^2 = sum over j of (sum over k of |A'[j, k] G[k, a] B'[k, p]|)^2,        p the place of q in the tile,

in units of the rounding error of |x[q]| |w[a]|, along each axis. Inside an image every input meets every tap, and

    || |x| * |w| ||^2 >= sum over inputs q of x[q]^2 (sum over taps a that q meets of w[a]^2),

since a square of a sum is at least the sum of the squares where nothing is negative. So the error is at most the unit
roundoff times the largest `growth` of all, of the norm of |x| * |w|. An input near a border may meet few of the taps:
the first pixel of an image without padding meets only the first. If the weights of the others are much larger, what
they leave behind is large compared with || |x| * |w| ||. How large it may become follows from the weights: the largest

    sum over a of growth[q, a]^2 W[a] / sum over met a of W[a],        W[c, a] = sum over outputs o of w[o, c, a]^2,

over all channels c and kinds of inputs q. Inputs that a boundary repeats stand at several places, whose traces add up.
"""

from __future__ import annotations

import math
from functools import lru_cache

from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution
from striderule.planning.cooktoom import Transform
from striderule.planning.winograd import transforms_of

Kind = tuple[tuple[float, ...], tuple[float, ...]]


@lru_cache(maxsize=256)
def kinds_of(problem: Convolution, variant: str) -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
    """Return the kinds of inputs along rows and columns: (squared growth of each tap, how often it meets each tap).

    >>> one = Convolution.from_shapes((1, 16, 30, 30), (16, 16, 3, 3), padding=1)
    >>> [met for _, met in kinds_of(one, "F2")[0]]
    [(1.0, 1.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 1.0)]
    """
    down, across = transforms_of(problem, variant)
    first = () if problem.rank == 1 else _kinds(problem, problem.rank - 2, down)
    return first or (((1.0,), (1.0,)),), _kinds(problem, problem.rank - 1, across)


def _kinds(problem: Convolution, axis: int, transform: Transform) -> tuple[Kind, ...]:
    """Return the kinds of one axis; of those that meet the same taps, the largest growth."""
    sources = boundary_indices(problem.size[axis], *problem.padding[axis], problem.boundary[axis])
    length, outputs = len(sources), problem.output_size[axis]
    tiles = -(-outputs // transform.outputs)
    # Inside all inputs are alike: a period behind each border stands for them.
    reach = [max(0, side) + 2 * transform.inputs for side in problem.padding[axis]]
    places = sorted({*range(min(length, reach[0])), *range(max(0, length - reach[1]), length)})
    growth = _growth(transform)
    taps = range(transform.kernel)
    found: dict[int, tuple[list[float], list[float]]] = {}
    for q in places:
        source = sources[q]
        if source is None:
            continue
        sums, met = found.setdefault(source, ([0.0] * transform.kernel, [0.0] * transform.kernel))
        first = max(0, -(-(q - transform.inputs + 1) // transform.outputs))
        for a in taps:
            own = [growth[q - t * transform.outputs][a] for t in range(first, min(tiles, q // transform.outputs + 1))]
            sums[a] += math.sqrt(sum(own))
            met[a] += 0 <= q - a < outputs
    kinds: dict[tuple[float, ...], list[float]] = {}
    for sums, met in found.values():
        largest = kinds.setdefault(tuple(map(float, met)), [0.0] * transform.kernel)
        largest[:] = [max(one, other**2) for one, other in zip(largest, sums, strict=True)]
    return tuple((tuple(growths), met) for met, growths in kinds.items())


def _growth(transform: Transform) -> list[list[float]]:
    """Return growth[p][a]^2 of an input in place p of a tile."""
    found = []
    for p in range(transform.inputs):
        row = []
        for a in range(transform.kernel):
            paths = [abs(g[a] * b[p]) for g, b in zip(transform.g, transform.bt, strict=True)]
            sums = (float(sum(abs(c) * path for c, path in zip(each, paths, strict=True))) for each in transform.at)
            row.append(sum(one**2 for one in sums))
        found.append(row)
    return found
