"""Convolution, written as its definition.

Everything is done one number at a time, on Python numbers: integers are exact, floats are 64 bits wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.geometry.padding import source_index
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution, Unfold

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


def wide(x: Array) -> Array:
    """Return the array with Python numbers as its elements."""
    return x.astype(object)


def narrow(values: Array, dtype: str) -> Array:
    """Return an array of Python numbers in the widest type of its kind (the caller rounds once, at the end)."""
    kind = np.dtype(dtype).kind
    return values.astype(np.int64 if kind in "biu" else np.complex128 if kind == "c" else np.float64)


def every(shape: Ints) -> Iterator[Ints]:
    """Yield every index of a shape, last axis fastest."""
    return product(*map(range, shape))


def value_at(x: Array, lead: Ints, position: Ints, problem: Convolution | Unfold, fill: Any) -> Any:
    """Return what stands at a spatial position, inside or outside the array; None is zero padding."""
    index = []
    for i, n, words in zip(position, problem.size, problem.boundary, strict=True):
        source = source_index(i, n, words[0] if i < 0 else words[1])
        if source is None:
            return None if fill == 0 else fill
        index.append(source)
    return x[(*lead, *index)]


def window_position(j: Ints, tap: Ints, problem: Convolution | Unfold) -> Ints:
    """Return the input position under a tap: j * stride + t * dilation - padding before."""
    axes = zip(j, tap, problem.stride, problem.dilation, problem.padding, strict=True)
    return tuple(i * s + t * d - before for i, t, s, d, (before, _) in axes)


def window_sum(problem: Convolution, x: Array, weight: Array, n: int, o: int, j: Ints, fill: Any) -> Any:
    """Return one output: the sum of the products of the window and the weights (in, *kernel) of one output channel."""
    per_group = problem.in_channels // problem.groups
    first = o // (problem.out_channels // problem.groups) * per_group
    total: Any = 0
    for c in range(per_group):
        for tap in every(problem.kernel):
            w = weight[(c, *tap)]
            if w == 0 and problem.zero_taps == "skip":
                continue
            value = value_at(x, (n, first + c), window_position(j, tap, problem), problem, fill)
            if value is not None:  # zero padding contributes nothing, whatever the weight
                total += w * value
    return total


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before]."""
    x, weight = wide(x), wide(weight)
    out = np.empty(problem.output_shape, object)
    for n, o, *j in every(problem.output_shape):
        out[(n, o, *j)] = window_sum(problem, x, weight[o], n, o, tuple(j), fill)
    return narrow(out, problem.dtype)


def local_convolution(problem: LocalConvolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """As `convolution`, with the weights of the output position modulo the tile."""
    plain = problem.plain
    x, weight = wide(x), wide(weight)
    out = np.empty(plain.output_shape, object)
    for n, o, *j in every(plain.output_shape):
        share = tuple(i % t for i, t in zip(j, problem.tile, strict=True))
        weights = weight[o][(slice(None), *share)]
        out[(n, o, *j)] = window_sum(plain, x, weights, n, o, tuple(j), fill)
    return narrow(out, plain.dtype)


def transposed_convolution(problem: TransposedConvolution, x: Array, weight: Array) -> Array:
    """out[n, o, i * stride + t * dilation - before] += x[n, c, i] * weight[c, o, t]."""
    x, weight = wide(x), wide(weight)
    out = np.zeros(problem.output_shape, object)
    per_group_in = problem.in_channels // problem.groups
    per_group_out = problem.out_channels // problem.groups
    for n, c, *i in every((problem.batch, problem.in_channels, *problem.size)):
        for o, *tap in every((per_group_out, *problem.kernel)):
            axes = zip(i, tap, problem.stride, problem.dilation, problem.padding, strict=True)
            position = tuple(p * s + t * d - before for p, t, s, d, (before, _) in axes)
            if all(0 <= p < size for p, size in zip(position, problem.output_size, strict=True)):
                channel = c // per_group_in * per_group_out + o
                out[(n, channel, *position)] += x[(n, c, *i)] * weight[(c, o, *tap)]
    return narrow(out, problem.dtype)


def unfold(problem: Unfold, x: Array, fill: Any = 0) -> Array:
    """columns[n, (c, t), j] = x[n, c, j * stride + t * dilation - before]."""
    columns = np.full((problem.batch, problem.channels, *problem.kernel, *problem.output_size), fill, x.dtype)
    rank = len(problem.size)
    for n, c, *rest in every(columns.shape):
        tap, j = tuple(rest[:rank]), tuple(rest[rank:])
        value = value_at(x, (n, c), window_position(j, tap, problem), problem, fill)
        if value is not None:
            columns[(n, c, *rest)] = value
    return columns.reshape(problem.columns_shape)


def fold(problem: Unfold, columns: Array) -> Array:
    """x[n, c, j * stride + t * dilation - before] += columns[n, (c, t), j]; what falls outside is dropped."""
    parts = wide(columns).reshape((problem.batch, problem.channels, *problem.kernel, *problem.output_size))
    x = np.zeros((problem.batch, problem.channels, *problem.size), object)
    rank = len(problem.size)
    for n, c, *rest in every(parts.shape):
        position = window_position(tuple(rest[rank:]), tuple(rest[:rank]), problem)
        if all(0 <= p < size for p, size in zip(position, problem.size, strict=True)):
            x[(n, c, *position)] += parts[(n, c, *rest)]
    return narrow(x, str(columns.dtype))
