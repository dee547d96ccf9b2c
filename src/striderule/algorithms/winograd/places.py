"""Where the planes of `planning.winograd` begin in memory, their rows and columns: tables for the routine.

A plane is a position on the axes before the last two, of an image or of a part of a dilated one. What stands outside is
found here once: rows, columns and whole planes of inputs that are not there.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.winograd.structure import OUTSIDE, PLANE
from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution
from striderule.planning.interleaved import Part, Selection, parts_of, steps_of
from striderule.planning.winograd import Tiling, in_two

Table = npt.NDArray[np.int64]


def strides_of(info: ArrayInfo, problem: Convolution) -> list[int]:
    """Return the strides of the parts of an array, in elements."""
    steps = (1, 1, *steps_of(problem))
    return [stride // info.dtype.itemsize * step for stride, step in zip(info.strides, steps, strict=True)]


def tables_of(
    problem: Convolution, plan: Tiling, x: ArrayInfo, out: ArrayInfo, residual: ArrayInfo | None
) -> tuple[Table, Table, Table]:
    """Return what `structure.PLANE` says of each plane, where each row begins, and which column each one shows.

    Rows and columns are those that tiles of a part may need, part after part.
    """
    parts, inputs = parts_of(problem), strides_of(x, problem)
    rest = [n * m + k - 1 for n, m, k in zip(plan.counts, plan.tile, plan.kernel, strict=True)]
    rows: list[int] = []
    columns: list[int] = []
    for part in parts:
        shown = _shown(part.problem, -2) if problem.rank > 1 else [0]
        places = [OUTSIDE if place is None else place * inputs[-2] for place in shown[: rest[0]]]
        rows += places + [OUTSIDE] * (rest[0] - len(places))
        places = [-1 if place is None else place for place in _shown(part.problem, -1)[: rest[1]]]
        columns += places + [-1] * (rest[1] - len(places))
    met, goals = _outer_inputs(problem, x), _outer_outputs(problem, out, residual)
    begins = [_begins(part, x, out, residual) for part in parts]
    planes: list[int] = []
    for image, place, number in product(range(problem.batch), range(len(met)), range(len(parts))):
        steps = [image * info.strides[0] // info.dtype.itemsize for info in (x, out, residual or out)]
        x_at, y_at, other_at = (step + begin for step, begin in zip(steps, begins[number], strict=True))
        y_plane, other_plane = goals[place]
        words = {
            "note": image * len(parts) + number, "y": y_at + y_plane, "residual": other_at + other_plane,
            "rows": number * rest[0], "columns": number * rest[1],
        }  # fmt: skip
        words |= zip(("height", "width"), in_two(parts[number].problem.output_size), strict=True)
        planes += [words[word] for word in PLANE]
        planes += [OUTSIDE if plane is None else x_at + plane for plane in met[place]]
    return np.array(planes, np.int64), np.array(rows, np.int64), np.array(columns, np.int64)


def _shown(problem: Convolution, axis: int) -> list[int | None]:
    """Return which input each position of the padded axis shows, or None."""
    return list(boundary_indices(problem.size[axis], *problem.padding[axis], problem.boundary[axis]))


def _outer_inputs(problem: Convolution, x: ArrayInfo) -> list[list[int | None]]:
    """Return for each plane of outputs where the planes of inputs begin that its taps meet, or None: in elements."""
    axes = range(problem.rank - 2)
    shown = [_shown(problem, axis - problem.rank) for axis in axes]
    steps = [stride // x.dtype.itemsize for stride in x.strides[2:]]
    found: list[list[int | None]] = []
    for place in product(*(range(problem.output_size[axis]) for axis in axes)):
        met: list[int | None] = []
        for taps in product(*(range(problem.kernel[axis]) for axis in axes)):
            total: int | None = 0
            for axis in axes:
                source = shown[axis][place[axis] * problem.stride[axis] + taps[axis] * problem.dilation[axis]]
                total = None if total is None or source is None else total + source * steps[axis]
            met.append(total)
        found.append(met)
    return found


def _outer_outputs(problem: Convolution, out: ArrayInfo, residual: ArrayInfo | None) -> list[tuple[int, int]]:
    """Return for each plane of outputs where it begins in the results and in the residual: in elements."""
    strides = [[step // one.dtype.itemsize for step in one.strides[2:]] for one in (out, residual or out)]
    found = []
    for place in product(*(range(n) for n in problem.output_size[:-2])):
        first, second = (sum(i * step for i, step in zip(place, steps, strict=False)) for steps in strides)
        found.append((first, second))
    return found


def _begins(part: Part, x: ArrayInfo, out: ArrayInfo, residual: ArrayInfo | None) -> list[int]:
    """Return where a part begins in the inputs, the results and the residual: in elements."""
    pairs = (x, part.inputs), (out, part.outputs), (residual or out, part.outputs)
    return [_begin(info, selection) for info, selection in pairs]


def _begin(info: ArrayInfo, selection: Selection) -> int:
    """Return the element at which the selected part of an array begins."""
    slices = [one for one in selection if isinstance(one, slice)]
    strides = info.strides[len(info.strides) - len(slices) :]
    begins = ((one.start or 0) * stride for one, stride in zip(slices, strides, strict=True))
    return sum(begins) // info.dtype.itemsize
