"""Image correlation by spectra: along two axes by `planes`, along a single one as signals are (`convolution`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.casting import finished
from striderule.algorithms.fourier.convolution import transformed
from striderule.algorithms.fourier.planes import correlation, correlations
from striderule.algorithms.windows import stencil as windows
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]


def stencil(problem: Convolution, x: Array, kernel: Array, fill: Any = 0, out: Array | None = None) -> Array:
    """out[.., j] = sum over taps t that are not zero of kernel[t] * x[.., j + t * dilation - before].

    `x` is (*planes, size) with any number of plane axes; the result comes in its type of the problem, written to `out`
    where there is one. What a transform would spoil is left to the products of the definition.
    """
    if problem.rank == 2:
        return correlation(problem, x, kernel, fill, out)
    planes = x.shape[:-1]
    sums = memory.empty((*planes, *problem.output_size), problem.dtype)
    plain = replace(problem, stored=())

    def otherwise(image: Array) -> Array:
        return windows.stencil(replace(plain, batch=1), image, kernel, fill)

    images = x.reshape(prod(planes), 1, x.shape[-1])
    plain = replace(plain, batch=len(images))
    if sums.size:
        transformed(plain, images, kernel[None, None], fill, sums.reshape(plain.output_shape), otherwise)
    return finished(problem, sums, out)


def together(
    problem: Convolution, x: Array, kernels: Array, fill: Any, results: tuple[str, ...], out: Sequence[Array]
) -> Sequence[Array]:
    """Write what each of several kernels gives along two axes to `out`: see `planes.correlations`."""
    return correlations(problem, x, kernels, fill, results, out)
