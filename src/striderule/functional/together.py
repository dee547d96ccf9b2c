"""Several kernels on one image: what stands behind gradients with their direction and banks of filters.

What is computed is what each kernel gives alone, to the last bit; but an image that is read once for several of them
takes less of the memory's time, and of the work that all share.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.functional.planned import perform, plan_for
from striderule.functional.sliding import Slide, problem_of

Array = npt.NDArray[Any]


def combined(
    slide: Slide,
    image: Array,
    kernels: Array,
    fill: Any,
    work: np.dtype[Any],
    final: np.dtype[Any],
    results: tuple[str, ...],
) -> tuple[Array, ...] | None:
    """Return results of what real kernels give, in the type `final`, or None where that takes several passes.

    The kernels are side by side on their first axis. `results` are words of "sums", which are one for each kernel,
    "length", the root of the sum of their squares, and "direction", the angle of the second and the first.
    """
    if image.size == 0:
        return None
    rank, last = len(slide.axes), range(-len(slide.axes), 0)
    planes = np.moveaxis(image, slide.axes, last)
    problem = problem_of(slide, prod(planes.shape[:-rank]), image.dtype, final, work, None, len(kernels))
    plan = plan_for(problem, slide.words.precision, slide.words.algorithm)
    if plan.algorithm != "stencil":
        return None
    count = sum(len(kernels) if word == "sums" else 1 for word in results)
    operands = (problem, planes, kernels.astype(work, copy=False), fill, results)
    shape = (*planes.shape[:-rank], *slide.output_size)
    found = perform(plan, "stencil", "together", *operands, shape=shape, dtypes=(final,) * count)
    return tuple(np.moveaxis(one, last, slide.axes) for one in (found if count > 1 else [found]))
