"""Image correlation, written as its definition: one real kernel, every image plane by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.casting import finished
from striderule.algorithms.images.terms import Terms
from striderule.algorithms.reference.convolution import convolution
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]


def stencil(problem: Convolution, x: Array, kernel: Array | Terms, fill: Any = 0, out: Array | None = None) -> Array:
    """out[.., j] = sum over taps t that are not zero of kernel[t] * x[.., j * stride + t * dilation - before].

    `x` is (*planes, *size) with any number of plane axes; the result is (*planes, *output size) in the
    result's type of the problem, written to `out` where there is one.
    """
    if isinstance(kernel, Terms):
        kernel = kernel.dense()
    planes = x.shape[: x.ndim - problem.rank]
    flat = convolution(problem, x.reshape((problem.batch, 1, *problem.size)), kernel[None, None], fill)
    with np.errstate(over="ignore"):
        sums = flat.astype(problem.dtype).reshape((*planes, *problem.output_size))
    return finished(problem, sums, out)
