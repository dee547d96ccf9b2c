"""Planes: an image laid out so that every tap of a kernel is one constant distance from the output position.

With stride s the padded input is split into s phases an axis (positions 0, s, 2s ...; 1, s + 1 ...), each a plane of
its own. The input under output j and tap t stands at j s + t d = s (j + t d // s) + (t d mod s): in phase t d mod s, at
j plus a constant. So with output positions numbered along the rows of a plane, a tap lies at one distance from all.
Positions between the last output of a row and the end of the plane's row are computed too, and never stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.windows.extend import extend
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands in the planes of one image."""

    # Phases that some tap needs, each a tuple of one remainder an axis; sizes of one plane; its strides in elements.
    phases: tuple[Ints, ...]
    plane: Ints
    steps: Ints
    # Distance from one channel to the next, in elements.
    pitch: int
    # Number of output positions from the first to the last, those between rows counted.
    span: int
    # Distance of every term (channel of a group, tap) from the output position.
    table: npt.NDArray[np.int64]
    # Where every row of outputs begins, in positions of a plane.
    starts: npt.NDArray[np.int64]
    # Whether the planes are the input itself.
    in_place: bool


def _pitch(size: int) -> int:
    """Return a distance of at least `size` elements whose multiples fall into different sets of the cache.

    That is an odd number of 16 elements: a cache line of float32, two of float64.
    """
    lines = -(-size // 16)
    return 16 * (lines + 1 - lines % 2)


@lru_cache(maxsize=64)
def layout_of(problem: Convolution) -> Layout:
    """Return the layout for a problem; the table runs over the channels of one group."""
    stride, dilation = problem.stride, problem.dilation
    taps = list(product(*map(range, problem.kernel)))
    reach = [tuple(t * d for t, d in zip(tap, dilation, strict=True)) for tap in taps]
    phases = sorted({tuple(r % s for r, s in zip(at, stride, strict=True)) for at in reach})
    plane = tuple(-(-n // s) for n, s in zip(problem.padded_size, stride, strict=True))
    steps = tuple(prod(plane[axis + 1 :]) for axis in range(len(plane)))
    size = prod(plane)
    in_place = plane == problem.size and not any(side for pair in problem.padding for side in pair)
    pitch = size if in_place else _pitch(len(phases) * size)
    distances = [
        phases.index(tuple(r % s for r, s in zip(at, stride, strict=True))) * size
        + sum(r // s * step for r, s, step in zip(at, stride, steps, strict=True))
        for at in reach
    ]
    channels = np.arange(problem.in_channels // problem.groups, dtype=np.int64) * pitch
    table = (channels[:, None] + np.array(distances, np.int64)).reshape(-1)
    rows = product(*map(range, problem.output_size[:-1]))
    starts = np.array([sum(i * step for i, step in zip(row, steps, strict=False)) for row in rows], np.int64)
    for values in (table, starts):
        values.setflags(write=False)
    span = sum((n - 1) * step for n, step in zip(problem.output_size, steps, strict=True)) + 1
    return Layout(tuple(phases), plane, steps, pitch, span, table, starts, in_place)


def planes_of(
    problem: Convolution, layout: Layout, images: Array, fill: Any, dtype: np.dtype[Any], slack: int
) -> Array:
    """Return the planes (images, channels, pitch) of images (images, channels, *size), compact, in `dtype`.

    Behind them `slack` elements can be read, unless the planes are the images themselves.
    """
    if layout.in_place and slack == 0:
        return np.ascontiguousarray(images, dtype)
    padded = extend(images, problem.padding, problem.boundary, fill, dtype)
    size = prod(layout.plane)
    count = padded.shape[0] * padded.shape[1] * layout.pitch
    result = memory.scratch("planes", count + slack, dtype)[:count].reshape(*padded.shape[:2], layout.pitch)
    result[..., len(layout.phases) * size :] = 0
    for number, phase in enumerate(layout.phases):
        part = padded[
            (slice(None), slice(None), *(slice(p, None, s) for p, s in zip(phase, problem.stride, strict=True)))
        ]
        plane = result[..., number * size : (number + 1) * size].reshape(*result.shape[:2], *layout.plane)
        if part.shape[2:] != layout.plane:
            plane[...] = 0
        plane[(slice(None), slice(None), *(slice(0, n) for n in part.shape[2:]))] = part
    return result
