"""What generated convolutions take: types, places in memory, and complex numbers as pairs of real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.geometry.problem import Convolution, TransposedConvolution

Array = npt.NDArray[Any]
Problem = TypeVar("Problem", Convolution, TransposedConvolution)

STORED = ("float16", "bfloat16")  # only stored: sums are of float32
SOURCES = (
    "float32", "float64", *STORED, "int8", "uint8", "int16", "uint16", "int32", "int64", "uint32", "bool",
)  # fmt: skip


def readable(x: Array, dtype: np.dtype[Any]) -> Array:
    """Return x as routines read it: a copy where elements stand at odd addresses or are of a type that they do not."""
    if x.dtype.name not in SOURCES:
        return np.ascontiguousarray(x, dtype)
    if not x.flags.aligned or any(step % x.itemsize for step in x.strides):
        return np.ascontiguousarray(x)
    return x


def are_served(
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
    element: str,
) -> bool:
    """Tell whether arrays stand as the routines read and write them, in types that they know; sums are in `element`."""
    written = [out] if residual is None else [out, residual]
    if any(one.dtype.name not in SOURCES for one in (x, weight, out)):
        return False
    if any(one.dtype != out.dtype or not is_compact(one, 2) for one in written) or not is_compact(weight, 0):
        return False
    if any(step % one.dtype.itemsize for one in (x, *written) for step in one.strides):
        return False
    if activation and (activation[0] not in ACTIVATIONS or np.dtype(element).kind != "f"):
        return False
    # A result is rounded once: what is only stored comes from float32.
    return out.dtype.name == element or (out.dtype.name in STORED and element == "float32")


def is_compact(info: ArrayInfo, first: int) -> bool:
    """Tell whether the axes from `first` on follow each other without gaps, the last one fastest."""
    step = info.dtype.itemsize
    for n, stride in zip(reversed(info.shape[first:]), reversed(info.strides[first:]), strict=True):
        if n > 1 and stride != step:
            return False
        step *= n
    return True


def is_turned(problem: Convolution, weight: ArrayInfo) -> bool:
    """Tell whether these are compact weights of a group as `turned_weights.seen_turned` shows them."""
    return problem.groups == 1 and not is_compact(weight, 0) and is_compact(before_turning(weight), 0)


def before_turning(weight: ArrayInfo) -> ArrayInfo:
    """Return the weights that these were turned from."""
    (outputs, inputs, *taps), (output, channel, *steps) = weight.shape, weight.strides
    return ArrayInfo((inputs, outputs, *taps), (channel, output, *(-step for step in steps)), weight.dtype)


def by_real_sums(
    problem: Problem, x: Array, weight: Array, compute: Callable[[Problem, Array, Array], Array], *, turned: bool
) -> Array:
    """Compute complex sums as real ones of twice as many channels.

    (a + ib)(c + id) = (ac - bd) + i(ad + bc): of each group, the real parts of the inputs are followed by the imaginary
    ones, and so are those of the outputs. `turned` weights have their inputs first.
    """
    groups, kind = problem.groups, np.dtype("float32" if problem.dtype == "complex64" else "float64")
    parts = x.reshape(problem.batch, groups, problem.in_channels // groups, *problem.size)
    inputs = np.concatenate([parts.real, parts.imag], axis=2, dtype=kind)
    taps = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    real, imaginary = taps.real.astype(kind), (-taps.imag if turned else taps.imag).astype(kind)
    rows = [np.concatenate(pair, axis=2) for pair in ((real, -imaginary), (imaginary, real))]
    weights = np.concatenate(rows, axis=1)
    twice = replace(
        problem, dtype=kind.name, in_channels=2 * problem.in_channels, out_channels=2 * problem.out_channels
    )
    inputs = inputs.reshape(problem.batch, twice.in_channels, *problem.size)
    sums = compute(twice, inputs, weights.reshape(groups * weights.shape[1], *weights.shape[2:]))
    halves = sums.reshape(problem.batch, groups, 2, problem.out_channels // groups, *problem.output_size)
    out = memory.empty(problem.output_shape, problem.dtype)
    target = out.reshape(problem.batch, groups, problem.out_channels // groups, *problem.output_size)
    target.real, target.imag = halves[:, :, 0], halves[:, :, 1]
    return out
