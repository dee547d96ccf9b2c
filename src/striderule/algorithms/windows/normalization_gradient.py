"""Gradients of normalisations in NumPy: sums in float64, block after block."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.blocks import BLOCK_ELEMENTS, planes
from striderule.algorithms.windows.layer_normalization import pieces
from striderule.algorithms.windows.normalization import near

Array = npt.NDArray[Any]


def channel_sums(x: Array, gy: Array, mean: Array) -> tuple[Array, Array]:
    """Return for each channel (axis 1) the sums of gy and of gy * (x - mean), in float64."""
    plain, with_x = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    rest = prod(x.shape[2:])
    with np.errstate(all="ignore"):
        for n, part in planes(x.shape):
            gradient = gy[n, part].reshape(-1, rest).astype(np.float64)
            distance = x[n, part].reshape(-1, rest) - mean[part, None]
            plain[part] += gradient.sum(axis=1)
            with_x[part] += np.einsum("cp,cp->c", gradient, distance)
    return plain, with_x


def channel_line(
    x: Array, gy: Array, mean: Array, slope: Array, steep: Array, shift: Array, out: Array | None = None
) -> Array:
    """Return slope * gy + steep * (x - mean) + shift for each channel (axis 1), of the type of x, in `out` or new."""
    result = np.empty_like(x, subok=False) if out is None else out
    spread = (slice(None),) + (None,) * (x.ndim - 2)
    with np.errstate(all="ignore"):
        for n, part in planes(x.shape):
            block = (x[n, part] - mean[part][spread]) * steep[part][spread]
            block += gy[n, part] * slope[part][spread]
            block += shift[part][spread]
            result[n, part] = block
    return result


def units(
    x: Array, gy: Array, weight: Array | None, mean: Array, factor: Array, groups: int | None = None
) -> tuple[Array, Array, Array]:
    """Return gx, and of every channel of every unit the sums of gy * (x - mean) * factor and of gy, in float64.

    Units are the channels of all images, or, given a number of `groups`, these of each image; mean and factor = 1 /
    sqrt(var + eps) are theirs, and the sums are of the shape (channels,) or (batch, channels).
    """
    batch, channels = x.shape[:2]
    result, steep = np.empty_like(x, subok=False), np.ones(channels) if weight is None else weight
    if groups is None:
        with np.errstate(all="ignore"):
            plain, products = channel_sums(x, gy, mean)
            count = x.size // channels
            numbers = (factor * steep, -steep * factor**3 * products / count, -steep * factor * plain / count)
            channel_line(x, gy, mean, *numbers, result)
            return result, products * factor, plain
    each = channels // groups
    sums = np.empty((2, batch, channels))
    with np.errstate(all="ignore"):
        for n in range(batch):
            center, spread = (np.repeat(one[n], each) for one in (mean, factor))
            plain, products = channel_sums(x[n : n + 1], gy[n : n + 1], center)
            sums[:, n] = products * spread, plain
            count = x[n].size // groups
            of_groups = [np.repeat((one * steep).reshape(groups, each).sum(axis=1), each) for one in (plain, products)]
            numbers = (spread * steep, -(spread**3) * of_groups[1] / count, -spread * of_groups[0] / count)
            channel_line(x[n : n + 1], gy[n : n + 1], center, *numbers, result[n : n + 1])
    return result, sums[0], sums[1]


def channel_scale(gy: Array, slope: Array) -> Array:
    """Return slope * gy for each channel (axis 1), of the type of gy."""
    result = np.empty_like(gy, subok=False)
    spread = (slice(None),) + (None,) * (gy.ndim - 2)
    with np.errstate(all="ignore"):
        for n, part in planes(gy.shape):
            result[n, part] = gy[n, part] * slope[part][spread]
    return result


def layer(
    x: Array, gy: Array, weight: Array | None, statistics: Array, by_x: bool = True, by_parameters: bool = True
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of x, weight and bias of layer normalisation along the middle one of three axes.

    `statistics` are mean and 1 / sqrt(var + eps) of the lines, of the shape (2, outer, inner). With n = (x - mean) *
    factor and g = gy * weight the first is factor * (g - mean of g - n * mean of g * n); the others are the sums of
    gy * n and of gy over all lines, in float64. What is not asked for is None.
    """
    result = np.empty_like(x, subok=False) if by_x else None
    sums = np.zeros((2, x.shape[1])) if by_parameters else None
    with np.errstate(all="ignore"):
        for part in pieces(x.shape):
            mean, factor = (one[part[::2]][:, None] for one in statistics)
            normal = (x[part] - mean) * factor
            gradient = gy[part].astype(np.float64)
            if sums is not None:
                sums[0] += np.einsum("olp,olp->l", gradient, normal)
                sums[1] += gradient.sum(axis=(0, 2))
            if result is None:
                continue
            if weight is not None:
                gradient *= weight[:, None]
            along = np.einsum("olp,olp->op", gradient, normal)[:, None] / x.shape[1]
            normal *= along
            gradient -= gradient.mean(axis=1, keepdims=True)
            gradient -= normal
            result[part] = gradient * factor
    return result, *((None, None) if sums is None else (sums[0], sums[1]))


def response(x: Array, gy: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Return the gradient of x of local response normalisation.

    With b = k + alpha / size * (sum of x**2 nearby): gy * b**-beta - 2 * alpha / size * beta * x * (sum of
    gy * x * b**(-beta - 1) over the channels that x is near to).
    """
    result = np.empty_like(x, subok=False)
    channels, rest = x.shape[1], x.shape[2:]
    step = max(1, BLOCK_ELEMENTS // max(1, channels * prod(rest[1:])))
    before, after = size // 2, (size - 1) // 2
    with np.errstate(all="ignore"):
        for n in range(x.shape[0]):
            for first in range(0, rest[0], step):
                block, gradient = (one[n, :, first : first + step].astype(np.float64) for one in (x, gy))
                base = k + alpha / size * near(block * block, before, after)
                direct = gradient * base**-beta
                result[n, :, first : first + step] = direct - (2 * alpha / size * beta) * block * near(
                    direct * block / base, after, before
                )
    return result
