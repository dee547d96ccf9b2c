"""Convolution of signals with long kernels: blocks that overlap, transformed by NumPy (`planning.transforms`).

    sum over t of w[t] * x[j + t] = inverse transform of conj(W) * X

Everything is transformed in float64, for float32 data too. A transform mixes all values of a block: a value that is not
finite would be everywhere, and a very large one would hide small ones that the definition keeps apart from it. So each
image is looked at before. With ||.|| the root of the sum of squares, the error is at most a part e (`transforms.error`)
of ||x|| ||w||, and since nothing cancels in |x| * |w|,

    || |x| * |w| ||^2 >= sum over i of x[i]^2 * (sum of w[t]^2 over the taps that meet x[i] in some output)

Where e ||x|| ||w|| is more than the promise of this lower bound, or no number, the image is computed by the products of
the definition. That sum differs from ||x||^2 ||w||^2 only near the borders, so this is rare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory, table
from striderule.algorithms.windows.extend import extend
from striderule.geometry.problem import Convolution
from striderule.planning import transforms

Array = npt.NDArray[Any]
Wide = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.complex128]

# What the error may be, as a part of the norm of |x| correlated with |w|.
PROMISES = {"float32": 1e-5, "float64": 1e-14}
# Elements that are transformed, or looked at, together.
TOGETHER = 1 << 17


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j + t * dilation - before].

    Images that a transform would spoil are left to `direct`, or to `windows` where no code can be made.
    """
    out = memory.empty(problem.output_shape, problem.dtype)
    if out.size == 0 or problem.terms == 0:
        out[...] = 0
        return out

    def otherwise(image: Array) -> Array:
        by_products = table.family("convolution").convolution
        sums: Array = by_products(replace(problem, batch=1), image[None], weight, fill)[0]
        return sums

    transformed(problem, x, weight, fill, out, otherwise)
    return out


def transformed(
    problem: Convolution, x: Array, weight: Array, fill: Any, out: Array, otherwise: Callable[[Array], Array]
) -> None:
    """Write the sums of images x (batch, channels, size) to out; `otherwise` computes those that must not be mixed."""
    length, extent = transforms.block_length(replace(problem, batch=1)), problem.extent[0]
    taps = np.zeros((problem.out_channels, problem.in_channels // problem.groups, extent))
    taps[:, :, :: problem.dilation[0]] = weight
    spectra: Spectra | None = None
    for n, image in enumerate(x):
        # A fill value need not fit the type of the data.
        padded = extend(image, problem.padding, problem.boundary, fill, out.dtype if fill else None)
        if not _keeps_apart(problem, padded, taps, transforms.error(length)):
            out[n] = otherwise(image)
            continue
        if spectra is None:
            spectra = np.conj(np.fft.rfft(taps, length))
        _blocks(problem, padded, spectra, length, out[n])


def _blocks(problem: Convolution, padded: Array, spectra: Spectra, length: int, out: Array) -> None:
    """Write the sums of one padded image, some blocks at a time."""
    step = length - problem.extent[0] + 1
    count = transforms.block_count(problem, length)
    together = max(1, TOGETHER // (length * problem.in_channels))
    for first in range(0, count, together):
        starts = range(first * step, min(first + together, count) * step, step)
        blocks = np.zeros((problem.in_channels, len(starts), length))
        for i, start in enumerate(starts):
            part = padded[:, start : start + length]
            blocks[:, i, : part.shape[1]] = part
        inputs = np.fft.rfft(blocks)
        end = min(starts[-1] + step, out.shape[1])
        for o in range(problem.out_channels):
            sums = np.fft.irfft(_products(problem, inputs, spectra, o), length)[:, :step]
            with np.errstate(over="ignore"):
                out[o, starts[0] : end] = sums.reshape(-1)[: end - starts[0]]


def _products(problem: Convolution, inputs: Spectra, spectra: Spectra, o: int) -> Spectra:
    """Return the spectrum of the sums of output channel o: over the input channels of its group, in their order."""
    channels = problem.in_channels // problem.groups
    first = o // (problem.out_channels // problem.groups) * channels
    total: Spectra = inputs[first] * spectra[o, 0]
    for c in range(1, channels):
        total += inputs[first + c] * spectra[o, c]
    return total


def _keeps_apart(problem: Convolution, padded: Array, taps: Wide, error: float) -> bool:
    """Tell whether the error of transforms is within the promise, by the bound above; not for NaN and infinity."""
    promise = PROMISES[problem.dtype]
    outputs, extent = problem.output_size[0], problem.extent[0]
    per_group = problem.out_channels // problem.groups
    with np.errstate(all="ignore"):
        # Squares of the taps of an input channel, over all output channels of its group: the sums of the first ones.
        squares = (taps**2).reshape(problem.groups, per_group, -1, extent).sum(axis=1).reshape(-1, extent)
        sums = np.concatenate([np.zeros((len(squares), 1)), np.cumsum(squares, axis=1)], axis=1)
        whole = least = 0.0
        for values, up_to in zip(padded, sums, strict=True):
            for first in range(0, len(values), TOGETHER):
                power = values[first : first + TOGETHER].astype(float) ** 2
                whole += float(power.sum())
                least += _met(power, first, up_to, outputs)
        limit = error**2 * whole * float(sums[:, -1].sum())
        return bool(limit <= promise**2 * least < np.inf)


def _met(power: Wide, first: int, up_to: Wide, outputs: int) -> float:
    """Return the sum of `power`, each times the squares of all taps that meet it: t with 0 <= i - t < outputs."""
    extent, end = len(up_to) - 1, first + len(power)
    low, high = min(max(extent - 1 - first, 0), len(power)), max(min(outputs - first, len(power)), 0)
    if low < high:  # between them all taps meet
        middle = float(power[low:high].sum()) * float(up_to[-1])
        sides = [(0, low), (high, len(power))]
    else:
        middle, sides = 0.0, [(0, len(power))]
    for start, stop in sides:
        i = np.arange(first + start, min(first + stop, end))
        met = up_to[np.minimum(i + 1, extent)] - up_to[np.clip(i - outputs + 1, 0, extent)]
        middle += float((power[start:stop] * met).sum())
    return middle
