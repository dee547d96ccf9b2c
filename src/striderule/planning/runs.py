"""Where inputs stand in the planes of `schedule`: the rows and runs that some tap meets, and each tap's distance.

And when they need not be laid out row by row.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

from striderule.geometry.problem import Convolution

# Bytes of vectors that targets can read under a mask without ado.
MASKABLE = 32
# The part of the terms that is left out, at least, where taps that meet only zeros are looked for.
LEFT_OUT = 1 / 32


def slots_of(problem: Convolution, rows: int, images: int) -> tuple[tuple[int, ...], list[int]]:
    """Return the input rows that `rows` output rows need, and where each tap's begin among them.

    Output row i meets input row i * stride + t * dilation at tap t. Either each tap has rows of its own, or taps of
    one remainder share: those are every stride-th row from the first tap to the last one's last. Of several images each
    tap has rows of its own, one image after the other.
    """
    if problem.rank == 1:
        return (0,) * images, [0]
    down, stride, dilation = problem.kernel[-2], problem.stride[-2], problem.dilation[-2]
    reach = [t * dilation for t in range(down)]
    shared: list[int] = []
    starts = {}
    for phase in sorted({at % stride for at in reach}):
        turns = [at // stride for at in reach if at % stride == phase]
        starts[phase] = len(shared) - turns[0]
        shared += [turn * stride + phase for turn in range(turns[0], turns[-1] + rows)]
    if images == 1 and len(shared) <= down * rows:
        return tuple(shared), [starts[at % stride] + at // stride for at in reach]
    own = tuple(at + i * stride for at in reach for _ in range(images) for i in range(rows))
    return own, [t * images * rows for t in range(down)]


def runs_of(
    problem: Convolution, columns: int, *, together: bool
) -> tuple[tuple[int, ...], int, list[tuple[int, int]]]:
    """Return the first columns of the runs, their length, and for each tap of the last axis its run and place in it."""
    across, stride, dilation = problem.kernel[-1], problem.stride[-1], problem.dilation[-1]
    reach = [t * dilation for t in range(across)]
    if together:
        return tuple(reach), columns, [(t, 0) for t in range(across)]
    phases = sorted({at % stride for at in reach})
    return tuple(phases), columns + reach[-1] // stride, [(phases.index(at % stride), at // stride) for at in reach]


def met_taps(problem: Convolution, axis: int, each: int) -> list[list[int]]:
    """Return the taps of an axis (-1 or -2) that some output of each block of `each` meets an input with.

    The others meet nothing but zeros there, and may be left out: a sum that begins with +0 is the same with them.

    >>> met_taps(Convolution.from_shapes((1, 1, 33), (1, 1, 3), padding=18, dilation=18), -1, 17)
    [[1, 2], [0, 1]]
    """
    meetings = meetings_of(problem, axis)
    outputs = problem.output_size[axis] if -axis <= problem.rank else 1
    return [
        [tap for tap, (low, high) in enumerate(meetings) if max(low, first) < min(high, first + each)]
        for first in range(0, outputs, each)
    ]


def part_met(problem: Convolution, axis: int, each: int) -> float:
    """Return the part of the taps that blocks of `each` outputs of an axis meet inputs with, on average.

    >>> part_met(Convolution.from_shapes((1, 1, 33), (1, 1, 3), padding=18, dilation=18), -1, 17)
    0.6666666666666666
    """
    meetings = meetings_of(problem, axis)
    blocks = -(-problem.output_size[axis] // each) if -axis <= problem.rank else 1
    met = sum((high - 1) // each - low // each + 1 for low, high in meetings if low < high)
    return met / (blocks * len(meetings))


def share_met(problem: Convolution, rows: int, columns: int) -> float:
    """Return the part of the terms that is left where blocks leave out taps that meet only zeros; 1 if it is most."""
    part = part_met(problem, -2, rows) * part_met(problem, -1, columns)
    return part if part <= 1 - LEFT_OUT else 1.0


def meetings_of(problem: Convolution, axis: int) -> tuple[tuple[int, int], ...]:
    """Return the outputs first <= j < end of an axis that meet an input with each of its taps."""
    if -axis > problem.rank:
        return ((0, 1),)
    (before, behind), (low, high) = problem.padding[axis], problem.boundary[axis]
    # What other borders show counts as inputs.
    start = 0 if low == "constant" else -max(0, before)
    end = problem.size[axis] + (0 if high == "constant" else max(0, behind))
    words = problem.kernel[axis], problem.stride[axis], problem.dilation[axis], problem.output_size[axis]
    return _meetings(*words, start + before, end + before)


@lru_cache(maxsize=256)
def _meetings(taps: int, stride: int, dilation: int, outputs: int, start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Return the same for inputs at start <= i < end of the padded axis."""
    found = []
    for at in range(0, taps * dilation, dilation):
        low, high = (min(max(0, -((at - edge) // stride)), outputs) for edge in (start, end))
        found.append((low, high))
    return tuple(found)


def pitch_of(size: int) -> int:
    """Return a distance of at least `size` elements whose multiples fall into different sets of the cache.

    That is an odd number of 16 elements: a cache line of float32, two of float64.
    """
    lines = -(-size // 16)
    return 16 * (lines + 1 - lines % 2)


def is_single(problem: Convolution) -> bool:
    """Tell whether outputs and inputs stand in the same places of a line: single taps, and no padding."""
    alone = problem.rank == prod(problem.kernel) == prod(problem.stride) == 1
    return alone and problem.padded_size == problem.size


def flattened(problem: Convolution) -> Convolution:
    """Return the same with a single spatial axis, where single taps meet an input without borders.

    >>> flattened(Convolution.from_shapes((1, 64, 56, 56), (64, 64, 1, 1))).size
    (3136,)
    """
    single = {*problem.kernel, *problem.stride} == {1}
    if problem.rank == 1 or not single or any(side for pair in problem.padding for side in pair):
        return problem
    return replace(
        problem, size=(prod(problem.size),), kernel=(1,), stride=(1,), dilation=(1,), padding=((0, 0),),
        boundary=problem.boundary[-1:],
    )  # fmt: skip


def groups_of(problem: Convolution) -> tuple[tuple[int, int], ...]:
    """Return the axes first <= axis < end that may be seen as one: neighbours of single taps that nothing parts.

    >>> groups_of(Convolution.from_shapes((1, 8, 4, 5, 6), (8, 8, 3, 1, 1), padding=(1, 0, 0)))
    ((0, 1), (1, 3))
    """
    axes = zip(problem.kernel, problem.stride, problem.padding, strict=True)
    single = [taps == step == 1 and tuple(sides) == (0, 0) for taps, step, sides in axes]
    begins = [axis for axis in range(problem.rank) if axis == 0 or not (single[axis] and single[axis - 1])]
    return tuple(zip(begins, (*begins[1:], problem.rank), strict=True))


def joined(problem: Convolution) -> Convolution:
    """Return the same with the axes of `groups_of` seen as one: of fewer axes, if there are some.

    >>> joined(Convolution.from_shapes((1, 8, 4, 5, 6), (8, 8, 3, 1, 1), padding=(1, 0, 0))).size
    (4, 30)
    """
    groups = groups_of(problem)
    if len(groups) == problem.rank:
        return problem
    first = [begin for begin, _ in groups]
    words: dict[str, Any] = {
        word: tuple(getattr(problem, word)[axis] for axis in first)
        for word in ("kernel", "stride", "dilation", "padding", "boundary")
    }
    return replace(problem, size=tuple(prod(problem.size[begin:end]) for begin, end in groups), **words)


def is_flat(problem: Convolution, rows: int, wide: int) -> bool:
    """Tell whether all rows of a run may be copied as one, if they follow one another in memory: see `Schedule.flat`.

    `wide` counts the bytes of a vector.
    """
    if problem.rank != 2 or set(problem.stride) != {1} or wide < MASKABLE:
        return False
    sides = zip(problem.padding, problem.boundary, strict=True)
    borders = {word for pads, words in sides for side, word in zip(pads, words, strict=True) if side > 0}
    meet = problem.kernel[0] == 1 or problem.dilation[0] <= rows  # else every tap has rows of its own
    return meet and problem.output_size[-1] == problem.size[-1] and borders <= {"constant"}
