"""Image correlation along a single axis with a long kernel: see `fourier.convolution`."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.fourier.convolution import transformed
from striderule.algorithms.windows import stencil as windows
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]


def stencil(problem: Convolution, x: Array, kernel: Array, fill: Any = 0) -> Array:
    """out[.., j] = sum over taps t that are not zero of kernel[t] * x[.., j + t * dilation - before].

    `x` is (*planes, size) with any number of plane axes. Planes that a transform would spoil are left to `windows`.
    """
    planes = x.shape[:-1]
    out = memory.empty((*planes, *problem.output_size), problem.dtype)
    if out.size == 0:
        return out

    def otherwise(image: Array) -> Array:
        return windows.stencil(replace(problem, batch=1), image, kernel, fill)

    images = x.reshape(prod(planes), 1, x.shape[-1])
    problem = replace(problem, batch=len(images))
    transformed(problem, images, kernel[None, None], fill, out.reshape(problem.output_shape), otherwise)
    return out
