"""Pooling, written as its definition: every output looks at its positions, one number after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import isnan, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.reference.convolution import every, wide
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling, Unpooling

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
Windowed = Pooling | AdaptivePooling


def _window(problem: Windowed, j: Ints) -> Iterator[Ints]:
    """Yield the positions inside the input that output `j` looks at, last axis fastest."""
    return product(*(problem.positions(axis, i) for axis, i in enumerate(j)))


def _flat(position: Ints, size: Ints) -> int:
    """Return the number of a position when the spatial axes are counted through, last axis fastest."""
    index = 0
    for p, n in zip(position, size, strict=True):
        index = index * n + p
    return index


def _lowest(dtype: np.dtype[Any]) -> Any:
    """Return what the largest of no values is: the least value of the type."""
    if dtype.kind == "f":
        return float("-inf")
    return False if dtype.kind == "b" else int(np.iinfo(dtype).min)


def _largest(x: Array, lead: Ints, window: Iterator[Ints], size: Ints, lowest: Any) -> tuple[Any, int]:
    """Return the largest value and its flat position: the first of equals, the last NaN; -1 in an empty window."""
    best, where = lowest, -1
    for position in window:
        value = x[(*lead, *position)]
        if where < 0 or value > best or isnan(value):
            best, where = value, _flat(position, size)
    return best, where


def max_pool(problem: Windowed, x: Array, indices: bool) -> tuple[Array, Array | None]:
    """out[n, c, j] = the largest of x[n, c, p] over the window of j, and where it stands."""
    values = np.empty(problem.output_shape, x.dtype)
    places = np.empty(problem.output_shape, np.int64)
    numbers, lowest = wide(x), _lowest(x.dtype)
    for n, c, *j in every(problem.output_shape):
        window = _window(problem, tuple(j))
        values[(n, c, *j)], places[(n, c, *j)] = _largest(numbers, (n, c), window, problem.size, lowest)
    return values, places if indices else None


def fractional_max_pool(
    problem: FractionalPooling, x: Array, samples: Array, indices: bool
) -> tuple[Array, Array | None]:
    """As `max_pool`, with windows that start where the samples (batch, channels, axes) of each channel say."""
    values = np.empty(problem.output_shape, x.dtype)
    places = np.empty(problem.output_shape, np.int64)
    numbers, lowest = wide(x), _lowest(x.dtype)
    for n, c in every(problem.output_shape[:2]):
        starts = [
            problem.starts(axis, float(samples[n, c, problem.sample_column(axis)]), samples.dtype.char)
            for axis in range(problem.rank)
        ]
        for j in every(problem.output_size):
            corner = [starts[axis][i] for axis, i in enumerate(j)]
            window = product(*(range(s, s + k) for s, k in zip(corner, problem.kernel, strict=True)))
            values[(n, c, *j)], places[(n, c, *j)] = _largest(numbers, (n, c), window, problem.size, lowest)
    return values, places if indices else None


def average_pool(problem: Windowed, x: Array, dtype: np.dtype[Any]) -> Array:
    """out[n, c, j] = the sum of x[n, c, p] over the window of j, divided by the number of positions that count."""
    out: Array = np.zeros(problem.output_shape, np.result_type(dtype, np.float64))
    numbers = wide(x)
    for n, c, *j in every(problem.output_shape):
        terms = [numbers[(n, c, *p)] for p in _window(problem, tuple(j))]
        if terms:  # a window without any element gives zero
            out[(n, c, *j)] = sum(terms) / _divisor(problem, tuple(j), len(terms))
    return out


def _divisor(problem: Windowed, j: Ints, terms: int) -> int:
    if isinstance(problem, AdaptivePooling):
        return terms
    if problem.divisor_override is not None:
        return problem.divisor_override
    return prod(problem.counted(axis)[i] for axis, i in enumerate(j))


def lp_pool(problem: Pooling, x: Array, dtype: np.dtype[Any]) -> Array:
    """out[n, c, j] = (the sum of x[n, c, p] ** norm over the window of j) ** (1 / norm).

    Where a ceil-mode window is cut off, the sum is scaled up to the full window, as torch.nn.LPPool2d does.
    """
    norm = problem.norm or 1.0
    out: Array = np.empty(problem.output_shape, np.result_type(dtype, np.float64))
    numbers = wide(x)
    for n, c, *j in every(problem.output_shape):
        terms = [float(numbers[(n, c, *p)]) for p in _window(problem, tuple(j))]
        if norm in (float("inf"), float("-inf")):
            out[(n, c, *j)] = _extreme([abs(term) for term in terms], norm > 0)
            continue
        total = sum(_power(term, norm) for term in terms)
        out[(n, c, *j)] = _power(total * prod(problem.kernel) / _divisor(problem, tuple(j), len(terms)), 1 / norm)
    return out


def _extreme(terms: list[float], largest: bool) -> float:
    if any(map(isnan, terms)):
        return float("nan")
    return max(terms) if largest else min(terms)


def _power(base: float, exponent: float) -> float:
    """Return base ** exponent as C defines it: NaN where the result is not real, infinity where it overflows."""
    try:
        result = base**exponent
    except ZeroDivisionError:
        return float("inf")
    except OverflowError:
        return float("-inf") if base < 0 and exponent % 2 == 1 else float("inf")
    return float("nan") if isinstance(result, complex) else float(result)


def unpool(problem: Unpooling, x: Array, indices: Array) -> Array:
    """out[n, c, indices[n, c, j]] = x[n, c, j], zero elsewhere; of several values for one place the last stays."""
    out = np.zeros((problem.batch, problem.channels, prod(problem.output_size)), x.dtype)
    for n, c, *j in every(x.shape):
        out[n, c, int(indices[(n, c, *j)])] = x[(n, c, *j)]
    return out.reshape(problem.output_shape)
