"""Gradients of convolutions whose weights change with the position, tap by tap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.convolution import meeting
from striderule.geometry.problem import LocalConvolution

Array = npt.NDArray[Any]
Index = tuple[Any, ...]


def _taps(problem: LocalConvolution) -> list[tuple[Index, Index, Index, Index]]:
    """Return for each tap that meets the input: the tap, the outputs, the inputs, the tile entries of these outputs.

    All but the tap as one index an axis.
    """
    plain = problem.plain
    counts = tuple(slice(0, n) for n in plain.output_size)
    found: list[tuple[Index, Index, Index, Index]] = []
    for tap in np.ndindex(*plain.kernel):
        axes = zip(tap, plain.dilation, plain.padding, strict=True)
        met = meeting(counts, plain.stride, tuple(t * d - before for t, d, (before, _) in axes), plain.size)
        if met is not None:
            tiles = np.ix_(*(np.arange(u.start, u.stop) % t for u, t in zip(met[0], problem.tile, strict=True)))
            found.append((tap, *met, tuple(tiles)))
    return found


def input_gradient(problem: LocalConvolution, gy: Array, weight: Array) -> Array:
    """gx[n, c, j * stride + t * dilation - before] += sum over o of gy[n, o, j] * weight[o, c, j mod tile, t]."""
    plain = problem.plain
    groups, batch = plain.groups, plain.batch
    per_in, per_out = plain.in_channels // groups, plain.out_channels // groups
    out = np.zeros((batch, groups, per_in, *plain.size), np.dtype(plain.dtype))
    given = gy.reshape(batch, groups, per_out, *plain.output_size).astype(out.dtype, copy=False)
    weights = weight.reshape(groups, per_out, per_in, *problem.tile, *plain.kernel).astype(out.dtype, copy=False)
    for tap, used, reached, tiles in _taps(problem):
        shared = weights[(..., *tap)][(slice(None),) * 3 + tiles]
        out[(..., *reached)] += np.einsum("ngo...,goc...->ngc...", given[(..., *used)], shared)
    return out.reshape(batch, plain.in_channels, *plain.size)


def weight_gradient(problem: LocalConvolution, x: Array, gy: Array) -> Array:
    """gw[o, c, j mod tile, t] += sum over n of gy[n, o, j] * x[n, c, j * stride + t * dilation - before]."""
    plain = problem.plain
    groups, batch, rank = plain.groups, plain.batch, plain.rank
    per_in, per_out = plain.in_channels // groups, plain.out_channels // groups
    out = np.zeros((groups, per_out, per_in, *problem.tile, *plain.kernel), np.dtype(plain.dtype))
    image = x.reshape(batch, groups, per_in, *plain.size).astype(out.dtype, copy=False)
    given = gy.reshape(batch, groups, per_out, *plain.output_size).astype(out.dtype, copy=False)
    for tap, used, reached, tiles in _taps(problem):
        products = np.einsum("ngo...,ngc...->goc...", given[(..., *used)], image[(..., *reached)])
        for axis, tile in enumerate(tiles):  # outputs that share a weight: one every `tile` of them, in order
            products = _folded(products, 3 + axis, tile.reshape(-1), problem.tile[axis])
        out[(..., *tap)] = products
    assert out.ndim == 3 + 2 * rank
    return out.reshape(plain.out_channels, per_in, *problem.tile, *plain.kernel)


def _folded(products: Array, axis: int, entries: Array, tile: int) -> Array:
    """Add along an axis what belongs to the same entry of the tile."""
    out = np.zeros((*products.shape[:axis], tile, *products.shape[axis + 1 :]), products.dtype)
    lead: Index = (slice(None),) * axis
    for position, entry in enumerate(entries):
        out[(*lead, entry)] += products[(*lead, position)]
    return out
