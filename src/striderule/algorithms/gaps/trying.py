"""Correlation around gaps tried against NumPy, for machines where no test has run the routine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import proof
from striderule.algorithms.gaps.structure import Gaps
from striderule.algorithms.stencil.call import Request
from striderule.algorithms.windows import stencil as windows

Array = npt.NDArray[Any]


def tried(
    correlate: Callable[..., Any],
    request: Request,
    nan: bool,
    masked: bool,
    negative: Sequence[bool],
    taps: Sequence[tuple[int, ...]],
) -> bool:
    """Compare the correlation of a drawn image, of whose pixels some are missing, with NumPy's; weights are +-1."""
    problem, x = request.problem, request.x
    kernels = np.zeros((request.kernels.number, *problem.kernel), problem.dtype)
    for tap, sign in zip(taps, negative, strict=True):
        kernels[tap] = -1 if sign else 1
    gaps, length = (nan, 0, 0.0), request.results == ("length",)
    plain = replace(problem, stored=(x.dtype.name, problem.dtype), overflow="saturate")

    def holes(image: Array) -> tuple[Array, Array]:
        missing = np.zeros(image.shape, bool)
        missing.reshape(-1)[:: 2 * image.shape[-1] + 1] = True
        return (np.where(missing, np.nan, image).astype(x.dtype) if nan else image), missing

    def computed(image: Array, out: Array) -> Array:
        holed, missing = holes(image)
        told = Gaps(~missing if masked else None, *gaps)
        found = correlate(replace(problem, out_channels=len(kernels)), holed, kernels, told, out, length=length)
        return np.full(out.shape, np.nan) if found is None else found[0].copy()

    def expected(image: Array, out: Array) -> Array:
        missing = holes(image)[1]
        pixels, there = np.where(missing, 0, image).astype(x.dtype), (~missing).astype(x.dtype)
        found = []
        for kernel in kernels:
            sizes = np.abs(kernel)
            s, a = (windows.stencil(plain, pixels, one, 0).astype(np.float64) for one in (kernel, sizes))
            v, u = (windows.stencil(plain, there, one, 1).astype(np.float64) for one in (sizes, kernel))
            found.append(np.where(v > 0, s + a / v * (float(kernel.sum()) - u), 0.0))
        result = np.sqrt(sum(one**2 for one in found)) if length else found[0]
        if out.dtype.kind == "f":
            return result.astype(out.dtype)
        limits = np.iinfo(out.dtype)
        return np.clip(np.rint(result), limits.min, limits.max).astype(out.dtype)

    return proof.agree(computed, expected, _like(x), _like(request.y))


def _like(info: ArrayInfo) -> Array:
    return np.lib.stride_tricks.as_strided(np.empty(1, info.dtype), info.shape, info.strides)
