"""Transposed convolution of small groups, all phases at once: the routine bound to arrays and called."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.depthwise.interleaved_routine import POINTERS, SIZES, Form, interleaved_routine
from striderule.algorithms.depthwise.structure import NOWHERE
from striderule.algorithms.direct import proof
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import workers
from striderule.codegen.target import Target
from striderule.geometry.problem import TransposedConvolution
from striderule.planning.phases import interleaves, together
from striderule.planning.plane_sums import WIDE
from striderule.planning.planes import MASKS

Array = npt.NDArray[Any]

# Products of vectors in a task, at least and at most; parts to cut an image into where that leaves enough of them.
LEAST, MOST, PARTS = 1 << 11, 1 << 15, 32


@dataclass(frozen=True, slots=True)
class Interleaved:
    """The routine bound to sizes and strides. `tasks` are those of one image; `kept` are packed weights."""

    address: int
    template: bytes
    tables: tuple[Array, ...]
    tasks: int
    dtype: np.dtype[Any]
    kept: Array | None = None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:  # noqa: ARG002 - as all that is bound; there is no residual here
        """Write transposed_convolution(x, weight) + bias to out."""
        near = self.kept if self.kept is not None else np.ascontiguousarray(weight, self.dtype)
        words = array("q", self.template)
        words[0], words[1], words[2] = memory.address(x), memory.address(near), memory.address(out)
        if bias is not None:
            words[3] = memory.address(bias)
        workers.run(self.address, words.buffer_info()[0], self.tasks * len(x))

    def packed(self, weight: Array) -> Interleaved:
        """Return the same with this weight copied; it ignores the weight that `run` is given."""
        return replace(self, kept=np.array(weight, self.dtype, order="C"))


def serves(problem: TransposedConvolution, target: Target, infos: tuple[ArrayInfo, ...]) -> bool:
    """Tell whether arrays stand as the routine takes them: columns side by side, all of the type of the sums."""
    return (
        target.name in MASKS
        and interleaves(problem)
        and all(info.dtype.name == problem.dtype and info.strides[-1] == info.dtype.itemsize for info in infos)
    )


def bound(problem: TransposedConvolution, x: ArrayInfo, out: ArrayInfo, target: Target, *, bias: bool) -> Interleaved:
    """Return the call for arrays that stand like these."""
    dtype = np.dtype(problem.dtype)
    lanes = target.lanes(dtype.itemsize)
    height, down = (problem.kernel[-2], problem.stride[-2]) if problem.rank > 1 else (1, 1)
    width, over = problem.kernel[-1], problem.stride[-1]
    values = _values(problem, x, out)
    if target.vector_bytes >= WIDE and values["columns"] <= lanes // 2:
        lanes //= 2
    outputs = together(problem)
    form = Form(
        problem.dtype, lanes, (height, width), (down, over), bias, outputs,
        held=(
            values["depth"] * values["outer_taps"] == outputs == 1
            and height * width + down * over + 2 <= target.registers
        ),
        joined=over == 2 and 2 * lanes == target.lanes(dtype.itemsize),
    )  # fmt: skip

    def trial() -> bool:
        one = replace(problem, batch=1)

        def computed(x: Array, weight: Array, offset: Array) -> Array:
            result = np.empty(one.output_shape, dtype)
            call = bound(one, ArrayInfo.of(x), ArrayInfo.of(result), target, bias=bias)
            call.run(x, weight, offset if bias else None, None, result)
            return result

        def expected(x: Array, weight: Array, offset: Array) -> Array:
            sums = windows.transposed_convolution(one, x, weight)
            return sums + offset.reshape(-1, *(1,) * one.rank) if bias else sums

        shapes = (
            (1, one.in_channels, *one.size), (one.in_channels, one.out_channels // one.groups, *one.kernel),
            (one.out_channels,),
        )  # fmt: skip
        return proof.agree(computed, expected, *(np.empty(shape, dtype) for shape in shapes))

    routine = proof.compiled(form.name, form, lambda: interleaved_routine(form, target), target, trial)
    tables = _outer(problem, x, out)
    values |= _cut(values, outputs, height * width * -(-values["columns"] // lanes))
    values |= {
        word: memory.address(table) for word, table in zip(("outer_places", "result_places"), tables, strict=True)
    }
    words = array("q", [int(values.get(word, 0)) for word in (*POINTERS, *SIZES)])
    tasks = values["parts"] * values["outers"] * values["bands"]
    return Interleaved(routine.address, words.tobytes(), tables, tasks, dtype)


def _cut(values: dict[str, int], outputs: int, products: int) -> dict[str, int]:
    """Return how the work is cut, of blocks of `outputs`, which take so many `products` a row and plane of inputs."""
    blocks, rows = values["channels"] // outputs, values["rows"]
    row = products * outputs * values["depth"] * values["outer_taps"]
    wanted = min(max(blocks * rows * row // PARTS, LEAST), MOST)
    band = min(rows, max(1, wanted // row))
    task = min(blocks, max(1, wanted // (row * rows)))
    return {"blocks": blocks, "task": task, "parts": -(-blocks // task), "band": band, "bands": -(-rows // band)}


def _values(problem: TransposedConvolution, x: ArrayInfo, out: ArrayInfo) -> dict[str, int]:
    """Return the words of the routine that its cut has no say in."""
    axes = list(zip(problem.size, problem.output_size, problem.stride, problem.padding, strict=True))
    if problem.rank == 1:
        axes.insert(0, (1, 1, 1, (0, 0)))
    (height, result_height, down, (top, _)), (width, result_width, over, (left, _)) = axes[-2:]
    first_row, first_column = top // down, left // over
    row_axis = -2 if problem.rank > 1 else 1
    return {
        "channels": problem.out_channels, "shared": problem.out_channels // problem.groups,
        "depth": problem.in_channels // problem.groups,
        "outers": prod(problem.output_size[:-2]), "outer_taps": prod(problem.kernel[:-2]),
        "height": height, "width": width, "result_height": result_height, "result_width": result_width,
        "first_row": first_row, "first_column": first_column,
        "rows": -(-(result_height + top) // down) - first_row,
        "columns": -(-(result_width + left) // over) - first_column,
        "top": top, "left": left,
        "x_image": x.strides[0], "x_channel": x.strides[1], "x_row": x.strides[row_axis],
        "y_image": out.strides[0], "y_channel": out.strides[1], "y_row": out.strides[row_axis],
    }  # fmt: skip


def _outer(problem: TransposedConvolution, x: ArrayInfo, out: ArrayInfo) -> tuple[Array, Array]:
    """Return in bytes where planes begin: those of x for every outer output and tap, and those of the outputs."""
    axes = range(max(0, problem.rank - 2))
    outputs, taps = ([sizes[axis] for axis in axes] for sizes in (problem.output_size, problem.kernel))
    places = np.full((prod(outputs), prod(taps)), NOWHERE, np.int64)
    results = np.zeros(prod(outputs), np.int64)
    for number, position in enumerate(np.ndindex(*outputs)):
        results[number] = sum(p * out.strides[2 + axis] for axis, p in zip(axes, position, strict=True))
        for k, tap in enumerate(np.ndindex(*taps)):
            reached = [p + problem.padding[a][0] - t for a, p, t in zip(axes, position, tap, strict=True)]
            pairs = [divmod(at, problem.stride[axis]) for axis, at in zip(axes, reached, strict=True)]
            if all(rest == 0 and 0 <= i < problem.size[axis] for axis, (i, rest) in zip(axes, pairs, strict=True)):
                places[number, k] = sum(i * x.strides[2 + axis] for axis, (i, _) in zip(axes, pairs, strict=True))
    return places, results
