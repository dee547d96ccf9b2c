"""Passes tried against NumPy, for machines where no test has run the routine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.direct import proof
from striderule.algorithms.separable.call import Axis
from striderule.algorithms.windows import stencil as windows
from striderule.geometry.problem import Convolution

if TYPE_CHECKING:
    from striderule.algorithms.separable.bound import Settings

Array = npt.NDArray[Any]
# An axis of the image, how a pass goes over it, and its profiles.
Tried = tuple[int, Axis, Array]


def agrees(
    run: Callable[[Array, Array | None], tuple[Array, bool]],
    passes: Sequence[Tried],
    x: Array,
    y: Array,
    fill: Any,
    settings: Settings,
) -> bool:
    """Compare passes over an image like x, with a result like y, with what NumPy makes of them."""

    def computed(image: Array, out: Array) -> Array:
        result, spoilt = run(image, out)
        return np.full(y.shape, np.nan) if spoilt else result.copy()

    def expected(image: Array, _: Array) -> Array:
        sums = np.zeros(y.shape)
        for term in range(len(passes[0][2])):
            some, outside = image.astype(np.float64), float(fill)
            for axis, how, profiles in passes:
                some = _along(some, axis, how, profiles[term], outside)
                outside *= float(profiles[term].sum())
            sums = sums + some
        means = sums / settings.divisor
        return means.astype(y.dtype) if y.dtype.kind == "f" else np.rint(means).astype(y.dtype)

    return proof.agree(computed, expected, x, y)


def _along(image: Array, axis: int, how: Axis, profile: Array, fill: float) -> Array:
    """Return a pass in float64."""
    reach = (how.outputs - 1) * how.stride + (how.taps - 1) * how.dilation + 1
    planes = np.moveaxis(image, axis, -1)
    problem = Convolution(
        prod(planes.shape[:-1]), 1, 1, (how.size,), (how.taps,), (how.stride,), (how.dilation,),
        ((how.before, max(0, reach - how.size - how.before)),), 1, (how.words,), "skip", "float64",
    )  # fmt: skip
    return np.moveaxis(windows.stencil(problem, planes, profile.astype(np.float64), fill), -1, axis)
