"""A transposed convolution as convolutions of stride 1, one for each phase of the outputs: no zeros are inserted.

Along an axis, out[p] = sum over t of w[t] * x[(p + before - t) / s] where s divides. With g = (p + before) mod s these
are the taps t = g + s * j, 0 <= j < J, and the inputs a - j, a = (p + before - g) / s. All outputs of one g stand s
apart; the m-th of them begins at a + m, so with u = J - 1 - j

    out[p + s * m] = sum over u of w[g + s * (J - 1 - u)] * x[m + u - (J - 1 - a)]

which is a convolution with J taps, turned, and a padding of J - 1 - a.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning.planes import CHAIN

# Strides of columns whose phases are put into each other's gaps by shuffles, and taps of a plane that are unrolled.
INTERLEAVED, UNROLLED = range(2, 5), 64
# Outputs of a group that are formed together: vectors of sums for all of their phases are in registers.
TOGETHER, SUMS = (4, 2), 16


class _Axis(NamedTuple):
    """One phase of one axis: taps, padding of both sides, outputs and turned taps as slices."""

    kernel: int
    padding: tuple[int, int]
    outputs: slice
    taps: slice


@dataclass(frozen=True, slots=True)
class Phase:
    """Some outputs of a transposed convolution: their convolution, and which outputs and (turned) taps they are."""

    problem: Convolution
    outputs: tuple[slice, ...]
    taps: tuple[slice, ...]


@lru_cache(maxsize=256)
def phases(problem: TransposedConvolution) -> tuple[Phase, ...]:
    """Return the phases of a transposed convolution without dilation, whose kernel is no smaller than its stride.

    >>> problem = TransposedConvolution.from_shapes((1, 8, 34, 34), (8, 1, 4, 4), stride=2, groups=8)
    >>> [phase.problem.padding for phase in phases(problem)][0], phases(problem)[0].problem.kernel
    (((1, 1), (1, 1)), (2, 2))
    """
    p = problem
    before = (pair[0] for pair in p.padding)
    axes = zip(p.size, p.kernel, p.stride, before, p.output_size, strict=True)
    found = []
    for chosen in product(*(_phases_of(*axis) for axis in axes)):
        kernel, padding, outputs, taps = (tuple(each) for each in zip(*chosen, strict=True))
        words = (("constant", "constant"),) * p.rank
        ones = (1,) * p.rank
        part = Convolution(
            p.batch, p.in_channels, p.out_channels, p.size, kernel, ones, ones, padding, p.groups, words, "count",
            p.dtype, p.bound,
        )  # fmt: skip
        found.append(Phase(part, outputs, taps))
    return tuple(found)


def _phases_of(n: int, kernel: int, stride: int, before: int, outputs: int) -> list[_Axis]:
    """Return the phases of one axis that have outputs."""
    found = []
    for g in range(stride):
        first = (g - before) % stride
        count = -(-(outputs - first) // stride)
        if count <= 0:
            continue
        taps = -(-(kernel - g) // stride)
        left = taps - 1 - (first + before - g) // stride
        right = count + taps - 1 - n - left
        last = g + stride * (taps - 1)
        turned = slice(last, g - stride if g >= stride else None, -stride)
        found.append(_Axis(taps, (left, right), slice(first, None, stride), turned))
    return found


def interleaves(problem: TransposedConvolution) -> bool:
    """Tell whether all phases may be computed at once: of small groups, with a stride along the columns.

    Sums are chains of their terms, which must not be too long.

    >>> interleaves(TransposedConvolution.from_shapes((1, 8, 34, 34), (8, 1, 4, 4), stride=2, groups=8))
    True
    """
    served = problem.stride[-1] in INTERLEAVED and max(problem.dilation) == 1
    return served and prod(problem.kernel[-2:]) <= UNROLLED and interleaved_terms(problem) <= CHAIN


def interleaved_terms(problem: TransposedConvolution) -> int:
    """Return the most terms of a sum where all phases are computed at once."""
    met = prod(-(-kernel // stride) for kernel, stride in zip(problem.kernel, problem.stride, strict=True))
    return problem.in_channels // problem.groups * met


def together(problem: TransposedConvolution) -> int:
    """Return how many outputs of a group all phases are formed of at a time: each input that is read serves them.

    >>> together(TransposedConvolution.from_shapes((1, 160, 14, 14), (160, 16, 3, 3), stride=2, groups=10))
    4
    """
    outputs, taps, sums = problem.out_channels // problem.groups, prod(problem.kernel[-2:]), prod(problem.stride[-2:])
    fitting = (n for n in TOGETHER if outputs % n == 0 and n * sums <= SUMS and n * taps <= UNROLLED)
    return next(fitting, 1)


def interleaved_operations(problem: TransposedConvolution, lanes: int) -> float:
    """Return the vector operations of all phases at once: products, and what is read and written."""
    p = problem
    kernels, strides = (p.kernel[-2:], p.stride[-2:]) if p.rank > 1 else ((1, *p.kernel), (1, *p.stride))
    turns = [-(-kernel // stride) for kernel, stride in zip(kernels, strides, strict=True)]
    height = p.output_size[-2] if p.rank > 1 else 1
    counts = -(-height // strides[0]) * -(-p.output_size[-1] // (strides[1] * lanes))
    planes = p.batch * p.out_channels * prod(p.output_size[:-2])
    outer = prod(-(-kernel // stride) for kernel, stride in zip(p.kernel[:-2], p.stride[:-2], strict=True))
    outer *= p.in_channels // p.groups
    written = prod(strides) * (strides[1] + 1)
    read = 2 * prod(turns) / together(p)
    return planes * counts * (outer * (prod(kernels) + read) + written + 8)
