"""Several kernels on one image: what stands behind gradients with their direction and banks of filters.

Each kernel gives what it gives alone, but an image that is read once for several of them takes less of the memory's
time, and of the work that all share. Sums tap by tap are the same to the last bit; spectra of tiles that hold the
largest of several kernels are as close to the exact results as those of each alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import table
from striderule.algorithms.stencil.cutting import MANY, WRITTEN
from striderule.functional.bound import Filtered, Several, offered
from striderule.functional.forms import form_of
from striderule.functional.parts import planned
from striderule.functional.planned import machine, perform
from striderule.functional.sliding import Slide, problem_of
from striderule.geometry.imaging import kernel_sides
from striderule.geometry.problem import Convolution
from striderule.planning.image_cost import gains_by_sharing

Array = npt.NDArray[Any]
# Kernels whose sums are held in registers together, and about the numbers of spectra that are.
KERNELS, SPECTRA = 4, 1 << 22


def combined(
    slide: Slide,
    image: Array,
    kernels: Array,
    fill: Any,
    work: np.dtype[Any],
    final: np.dtype[Any],
    results: tuple[str, ...],
    *,
    out: tuple[Array, ...] | None = None,
    remember: bool = False,
) -> tuple[Array, ...] | None:
    """Return results of what real kernels give, in the type `final`, or None where that takes several passes.

    The kernels are side by side on their first axis. `results` are words of "sums", which are one for each kernel,
    "length", the root of the sum of their squares, and "direction", the angle of the second and the first. They are
    written to `out`, and that is returned, where its arrays are of that type and have the same strides. `remember` says
    that new ones are all that the function under way gives, so that calls like it may do it at once.
    """
    if image.size == 0:
        return None
    rank, last = len(slide.axes), range(-len(slide.axes), 0)
    planes = np.moveaxis(image, slide.axes, last)
    problem = problem_of(slide, prod(planes.shape[:-rank]), image.dtype, final, work, None, len(kernels))
    plan, _ = planned(problem, image.shape, slide.axes, slide.words.precision, slide.words.algorithm)
    if plan.algorithm != "stencil":
        return None
    count = sum(len(kernels) if word == "sums" else 1 for word in results)
    operands = (problem, planes, kernels.astype(work, copy=False), fill, results)
    kind = None if not remember else Filtered if count == 1 else Several
    done = offered(kind, plan, operands[:4], slide.axes, image, None, results=results)
    if done is not None:
        return (done,) if count == 1 else done
    shape = (*planes.shape[:-rank], *slide.output_size)
    goals = None
    if out is not None and all((one.dtype, one.strides) == (final, out[0].strides) for one in out):
        goals = [np.moveaxis(one, slide.axes, last) for one in out]
    found = perform(plan, "stencil", "together", *operands, shape=shape, dtypes=(final,) * count, out=goals)
    if found is goals and goals is not None:
        return out
    return tuple(np.moveaxis(one, last, slide.axes) for one in (found if count > 1 else [found]))


class Wanted(NamedTuple):
    """What one kernel is to give: how it slides, its real taps, the value outside, the types, and where it goes."""

    slide: Slide
    taps: Array
    fill: Any
    work: np.dtype[Any]
    goal: Array

    @property
    def plain(self) -> bool:
        """Whether the kernel may have zeros around it: it is centred, and of odd sizes."""
        slide = self.slide
        centred = kernel_sides("same", slide.kernel, slide.dilation) == slide.sides
        return slide.words.mode == "same" and centred and all(n % 2 for n in slide.kernel)

    def widened(self, kernel: tuple[int, ...]) -> Wanted:
        """Return the same with zeros around the kernel."""
        margins = [((n - k) // 2,) * 2 for n, k in zip(kernel, self.slide.kernel, strict=True)]
        sides = kernel_sides("same", kernel, self.slide.dilation) if any(map(any, margins)) else self.slide.sides
        slide = replace(self.slide, kernel=kernel, sides=sides)
        return self._replace(slide=slide, taps=np.pad(self.taps, margins))


def each(image: Array, wanted: Sequence[Wanted]) -> None:
    """Write what every kernel gives of a real image, which is read once for those that can share it."""
    groups: dict[Any, list[Wanted]] = {}
    for one in wanted:
        groups.setdefault(_kind(image, one), []).append(one)
    for kind, group in groups.items():
        for piece in _pieces(group, kind[0]):
            if len(piece) == 1:
                one = piece[0]
                one.slide(image, one.taps, one.fill, one.work, one.goal.dtype, one.goal)
            else:
                _shared(image, piece, kind[0])


def _problem(image: Array, one: Wanted, kernels: int = 1) -> Convolution:
    planes = prod(n for axis, n in enumerate(image.shape) if axis not in one.slide.axes)
    form = form_of(one.taps) if kernels == 1 else None
    return problem_of(one.slide, planes, image.dtype, one.goal.dtype, one.work, form, kernels)


def _kind(image: Array, one: Wanted) -> tuple[Any, ...]:
    """Return what kernels must have in common to share a reading, the algorithm first."""
    words, problem, taps = one.slide.words, _problem(image, one), _taps(one)
    algorithm = planned(problem, image.shape, one.slide.axes, words.precision, words.algorithm)[0].algorithm
    slide = replace(one.slide, kernel=(), sides=()) if one.plain else one.slide
    alike = slide, one.work, one.goal.dtype, one.goal.strides, repr(one.fill)
    large = prod(slide.output_size) >= MANY
    if algorithm == "stencil" and large and 0 < taps <= WRITTEN and gains_by_sharing(problem, taps, machine()):
        return algorithm, alike
    if algorithm == "fourier" and len(slide.axes) == 2:
        # A tile that holds the largest kernel suits those that are at least half as large.
        return (
            algorithm,
            alike,
            tuple(((n - 1) * d).bit_length() for n, d in zip(one.slide.kernel, one.slide.dilation, strict=True)),
        )
    return "", id(one)


def _taps(one: Wanted) -> int:
    return int(np.count_nonzero(one.taps))


def _pieces(group: list[Wanted], algorithm: str) -> Iterator[list[Wanted]]:
    """Yield as many of a group at a time as share a reading."""
    # They are some times as large as kernels, at least: those of 16 times 16 taps take 128 times 128 numbers.
    spectra = max(1, SPECTRA // (64 * max(one.taps.size for one in group)))
    most = spectra if algorithm == "fourier" else KERNELS
    # Both parts of complex results go together.
    most += most % 2
    for start in range(0, len(group), most):
        yield group[start : start + most]


def _shared(image: Array, group: list[Wanted], algorithm: str) -> None:
    """Write what kernels of one kind give, in one reading of the image."""
    sizes = tuple(max(each) for each in zip(*(one.slide.kernel for one in group), strict=True))
    group = [one.widened(sizes) for one in group]
    slide, last = group[0].slide, range(-len(sizes), 0)
    operands = np.moveaxis(image, slide.axes, last), np.stack([one.taps for one in group]), group[0].fill, ("sums",)
    goals = [np.moveaxis(one.goal, slide.axes, last) for one in group]
    table.family("stencil", algorithm).together(_problem(image, group[0], len(group)), *operands, out=goals)
