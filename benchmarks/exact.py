"""Convolutions at some places of the result, from the definition alone, in more digits than they are computed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.shapes import Shape

Array = np.ndarray[Any, np.dtype[Any]]
# So many results are enough for an error's norm, of at least so many places.
RESULTS, PLACES = 4096, 64
# Of a weight's gradient, so many pairs of channels.
PAIRS = 48


def convolution(shape: Shape, x: Array, weight: Array) -> tuple[Callable[[Array], Array], Array]:
    """Return how to pick results at random places out of a whole one, and the exact ones there.

    They are computed in float64 for float32, in the longest type that the machine has for float64, and in int64 for
    integers: for a convolution out[n, o, j] = sum over c and t of w[o, c, t] x[n, c, j s + t d - p], and for a
    transposed one the sum over all i with i s + t d - p = j.
    """
    rng = np.random.default_rng(1)
    count = max(PLACES, RESULTS // shape.channels[1])
    places = [rng.integers(0, size, count) for size in (shape.batch, *shape.output)]
    wide = _wider(x.dtype)
    weights = weight.astype(wide)
    exact = np.stack([_at(shape, x, weights, [int(axis[i]) for axis in places]) for i in range(count)])

    index: Any = (places[0], slice(None), *places[1:])

    def pick(whole: Array) -> Array:
        return np.asarray(whole[index])

    return pick, exact


def gradient(shape: Shape, operand: str, x: Array, weight: Array, gy: Array) -> tuple[Callable[[Array], Array], Array]:
    """Return how to pick some of a gradient with respect to "input", "weight" or "bias", and the exact numbers there.

    With respect to the input that is the other way through the same connections: at random places, as above. Of a
    weight it is some pairs of an output and an input channel with all of their taps.
    """
    if operand == "input":
        turned = "conv" if shape.driver == "deconv" else "deconv"
        back = replace(
            shape, driver=turned, channels=shape.channels[::-1], size=shape.output, output=shape.size,
        )  # fmt: skip
        return convolution(back, gy, weight)
    wide = _wider(gy.dtype)
    if operand == "bias":
        return np.asarray, gy.sum(axis=(0, *range(2, gy.ndim)), dtype=wide)
    if shape.driver == "deconv":  # <g, T(x, w)> = <C(g, w), x>: that of the convolution, of which x is the result
        back = replace(shape, driver="conv", channels=shape.channels[::-1], size=shape.output, output=shape.size)
        return gradient(back, operand, gy, weight, x)
    rng = np.random.default_rng(1)
    count = min(PAIRS, weight.shape[0] * weight.shape[1])
    pairs = [rng.integers(0, size, count) for size in weight.shape[:2]]
    exact = np.stack([_taps(shape, x, gy, int(o), int(c)) for o, c in zip(*pairs, strict=True)])
    return lambda whole: np.asarray(whole[pairs[0], pairs[1]]), exact


def _taps(shape: Shape, x: Array, gy: Array, output: int, channel: int) -> Array:
    """Return the gradient of all taps between two channels: sum over n and j of gy[n, o, j] x[n, c, j s + t d - p]."""
    inputs, outputs = (channels // shape.groups for channels in shape.channels)
    wide = _wider(gy.dtype)
    image, g = (one.astype(wide) for one in (x[:, output // outputs * inputs + channel], gy[:, output]))
    found = np.zeros(shape.kernel, wide)
    for tap in np.ndindex(*shape.kernel):
        met = image
        for axis, t in enumerate(tap):
            index = np.arange(shape.output[axis]) * shape.stride[axis] + t * shape.dilation[axis] - shape.padding[axis]
            inside = (index >= 0) & (index < shape.size[axis])
            met = np.take(met, np.where(inside, index, 0), axis=1 + axis)
            met = met * inside.reshape(-1, *(1,) * (shape.rank - axis - 1))
        found[tap] = (met * g).sum()
    return found


def _wider(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind in "iu":
        return np.dtype(np.int64)
    return np.dtype(np.longdouble if dtype == np.float64 else np.float64)


def _at(shape: Shape, x: Array, weights: Array, place: list[int]) -> Array:
    """Return the results of all channels at one place."""
    image = x[place[0]]
    window = image.astype(weights.dtype)
    for axis in range(shape.rank):
        index, inside = _inputs(shape, axis, place[1 + axis])
        window = np.take(window, np.where(inside, index, 0), axis=1 + axis)
        window = window * inside.reshape(-1, *(1,) * (shape.rank - axis - 1))
    inputs, outputs = (channels // shape.groups for channels in shape.channels)
    windows = window.reshape(shape.groups, inputs, -1)
    if shape.driver == "deconv":  # its weights are (in, out of a group, *kernel)
        taps = weights.reshape(shape.groups, inputs, outputs, -1)
        return np.asarray(np.einsum("gct,gcot->go", windows, taps)).reshape(-1)
    taps = weights.reshape(shape.groups, outputs, inputs, -1)
    return np.asarray(np.einsum("gct,goct->go", windows, taps)).reshape(-1)


def _inputs(shape: Shape, axis: int, at: int) -> tuple[Array, Array]:
    """Return, for every tap of an axis, which input it meets, and whether there is one."""
    taps = np.arange(shape.kernel[axis]) * shape.dilation[axis]
    if shape.driver == "deconv":
        reached, stride = at + shape.padding[axis] - taps, shape.stride[axis]
        index = reached // stride
        return index, (reached % stride == 0) & (index >= 0) & (index < shape.size[axis])
    index = at * shape.stride[axis] + taps - shape.padding[axis]
    return index, (index >= 0) & (index < shape.size[axis])
