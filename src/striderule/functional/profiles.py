"""Kernels that are given as profiles of the axes, and several kernels at once: what filters of images are made of."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from striderule.algorithms.images.terms import Terms
from striderule.functional.bound import Filtered, offered
from striderule.functional.door import finish
from striderule.functional.parts import planned
from striderule.functional.planned import perform
from striderule.functional.sliding import Slide, SlideWords, problem_of
from striderule.geometry.imaging import kernel_sides
from striderule.geometry.padding import Words

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


def by_profiles(
    image: Array,
    profiles: Terms,
    *,
    axes: Ints,
    boundary: Words,
    fill: Any,
    work: np.dtype[Any],
    final: np.dtype[Any],
    overflow: Literal["saturate", "wrap", "refuse"],
    precision: str,
    algorithm: str | None,
    out: Array | None = None,
    remember: bool = False,
) -> Array:
    """Correlate an image with the outer product of `profiles`, one for each of `axes`, and give it in the type `final`.

    Everything was checked before. Sums are formed in the type `work`, that of real numbers. `remember` says that this
    is all that the function under way does, so that calls like it may do it at once.
    """
    slide = slide_of_profiles(image.shape, profiles.shape, axes, boundary, overflow, precision, algorithm)
    if final.kind == "c":
        return finish(slide(image, profiles, fill, work), final, overflow, out)
    return slide(image, profiles, fill, work, final, out, Filtered if remember else None)


def lengths(
    image: Array,
    kernels: Array,
    *,
    axes: Ints,
    boundary: Words,
    fill: Any,
    work: np.dtype[Any],
    final: np.dtype[Any],
    overflow: Literal["saturate", "wrap", "refuse"],
    precision: str,
    algorithm: str | None,
    out: Array | None = None,
    remember: bool = False,
) -> Array | None:
    """Return the root of the sum of the squares of what real `kernels` give, or None where it takes several passes.

    The kernels are side by side on their first axis; all else is as for `by_profiles`.
    """
    slide = slide_of_profiles(image.shape, kernels.shape[1:], axes, boundary, overflow, precision, algorithm)
    if image.size == 0:
        return None
    rank, last = len(axes), range(-len(axes), 0)
    planes = np.moveaxis(image, axes, last)
    problem = problem_of(slide, prod(planes.shape[:-rank]), image.dtype, final, work, None, len(kernels))
    plan, _ = planned(problem, image.shape, axes, precision, algorithm)
    if plan.algorithm != "stencil":
        return None
    target = None if out is None else np.moveaxis(out, axes, last)
    where = {"shape": planes.shape, "dtypes": (final,)}
    operands = (problem, planes, kernels.astype(work, copy=False), fill)
    done: Array | None = offered(Filtered if remember else None, plan, operands, axes, image, out, results=("length",))
    if done is not None:
        return done
    result: Array = perform(plan, "stencil", "lengths", *operands, **where, out=target)
    return np.moveaxis(result, last, axes) if out is None else out


@lru_cache(maxsize=256)
def slide_of_profiles(
    image: Ints,
    kernel: Ints,
    axes: Ints,
    boundary: Words,
    overflow: Literal["saturate", "wrap", "refuse"],
    precision: str,
    algorithm: str | None,
) -> Slide:
    """Return how a kernel of profiles slides, once for calls alike."""
    size, ones = tuple(image[axis] for axis in axes), (1,) * len(axes)
    words = SlideWords("same", overflow, False, precision, algorithm, None)
    return Slide(axes, size, kernel, ones, ones, kernel_sides("same", kernel, ones), boundary, size, words)
