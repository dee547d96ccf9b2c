"""A dilated convolution as dense ones, interleaved: pure arithmetic on sizes.

    out[j] = sum over t of weight[t] * x[j + t * d - before]

Outputs j = a + q * d of one remainder a by the dilation d meet inputs of one remainder alone: with
a - before = s * d + r, 0 <= r < d, that is

    out[a + q * d] = sum over t of weight[t] * x[r + (q + t + s) * d]

which is a dense convolution of every d-th input from r on, padded by -s before; a padding below zero crops. Along
several axes every combination of remainders is a part. Parts share the weight, and their sizes differ by one at most.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product
from types import EllipsisType
from typing import NamedTuple

from striderule.geometry.problem import Convolution

Selection = tuple[EllipsisType | slice, ...]


class Part(NamedTuple):
    """A dense convolution, and what selects its inputs and its outputs."""

    problem: Convolution
    inputs: Selection
    outputs: Selection


class _Line(NamedTuple):
    """A part along one axis."""

    size: int
    padding: tuple[int, int]
    inputs: slice
    outputs: slice


def steps_of(problem: Convolution) -> tuple[int, ...]:
    """Return how far apart neighbours of a part are along each axis; a single tap has none.

    Axes before the last two are left as they are.
    """
    taps = zip(problem.kernel, problem.dilation, strict=True)
    return tuple(d if k > 1 and axis >= problem.rank - 2 else 1 for axis, (k, d) in enumerate(taps))


@lru_cache(maxsize=256)
def parts_of(problem: Convolution) -> tuple[Part, ...]:
    """Return the parts of a convolution, the largest first; without dilation it is its own.

    The stride of the last two axes is 1, and what stands outside must be constant where neighbours are apart.

    >>> problem = Convolution.from_shapes((1, 16, 9, 7), (16, 16, 3, 3), padding=2, dilation=2)
    >>> [part.problem.size for part in parts_of(problem)]
    [(5, 4), (5, 3), (4, 4), (4, 3)]
    """
    steps = steps_of(problem)
    outer = problem.dilation[:-2]
    plain = replace(problem, dilation=outer + (1,) * (problem.rank - len(outer)))
    if max(steps) == 1:
        return (Part(plain, (...,), (...,)),)
    found = []
    for lines in product(*(_lines(problem, axis, step) for axis, step in enumerate(steps))):
        size, padding = tuple(line.size for line in lines), tuple(line.padding for line in lines)
        inputs, outputs = tuple(line.inputs for line in lines), tuple(line.outputs for line in lines)
        found.append(Part(replace(plain, size=size, padding=padding), (..., *inputs), (..., *outputs)))
    return tuple(found)


def _lines(problem: Convolution, axis: int, step: int) -> list[_Line]:
    """Return the parts along one axis."""
    size, outputs, taps = problem.size[axis], problem.output_size[axis], problem.kernel[axis]
    if step == 1:
        return [_Line(size, problem.padding[axis], slice(None), slice(None))]
    found = []
    for start in range(min(step, outputs)):
        shift, first = divmod(start - problem.padding[axis][0], step)
        inside, goals = len(range(first, size, step)), len(range(start, outputs, step))
        sides = (-shift, goals + taps - 1 - inside + shift)
        found.append(_Line(inside, sides, slice(first, None, step), slice(start, None, step)))
    return found
