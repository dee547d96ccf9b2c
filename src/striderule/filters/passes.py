"""How filters are computed: as passes of one-dimensional kernels, or with one kernel, at all borders and around gaps.

Everything between the image and the answer stays in `Request.working_type`; the answer is rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from striderule.algorithms.images.terms import Terms
from striderule.filters.formulas import Linear
from striderule.filters.request import Array, Request
from striderule.functional import door, tracing
from striderule.functional.bound import Filtered
from striderule.functional.images import correlate, filtered
from striderule.functional.normalized import Gaps, Weights, around_gaps, in_passes
from striderule.functional.normalized import at_once as at_once_around
from striderule.functional.profiles import by_profiles, lengths, slide_of_profiles
from striderule.functional.sliding import SlideWords
from striderule.functional.together import combined
from striderule.kernels.smoothing import gaussian_profiles

# Sums of outer products of so many taps an axis are given as one kernel; of longer ones taking it apart costs too much.
LONGEST = 96
# Taps of kernels whose results are combined in one pass, at most: larger ones are quicker one by one.
SMALL = 32


@dataclass(frozen=True)
class Operator:
    """A linear filter: kernels that are applied one after the other, each over some of the filtered axes.

    `stages` holds pairs of (which of the filtered axes, the kernel over them).
    """

    request: Request
    stages: tuple[tuple[tuple[int, ...], Array], ...]
    # What the sums are divided by.
    divisor: float = 1

    @classmethod
    def separable(cls, request: Request, profiles: Sequence[Array], divisor: float = 1) -> Operator:
        """Return the correlation with the outer product of `profiles`, one pass for each filtered axis."""
        stages = (((position,), profile) for position, profile in enumerate(profiles))
        return cls(request, tuple(stage for stage in stages if stage[1].shape != (1,) or stage[1][0] != 1), divisor)

    @classmethod
    def direct(cls, request: Request, kernel: Array) -> Operator:
        """Return the correlation with one kernel over all filtered axes at once."""
        return cls(request, ((tuple(range(request.rank)), kernel),))

    @property
    def plain(self) -> bool:
        """Whether no weight is negative."""
        return all(kernel.dtype.kind != "c" and bool((kernel >= 0).all()) for _, kernel in self.stages)

    def magnitudes(self) -> Operator:
        """Return the operator of the absolute weights."""
        stages = tuple((positions, np.abs(kernel)) for positions, kernel in self.stages)
        return replace(self, stages=stages)

    @property
    def profiles(self) -> Terms | None:
        """The operator as an outer product of one profile an axis, or None if it is none."""
        if not self.stages or any(len(axes) > 1 or kernel.dtype.kind == "c" for axes, kernel in self.stages):
            return None
        return Terms.outer([kernel for _, kernel in self.stages], self.divisor)

    def dense(self) -> Array | None:
        """The operator as one real kernel over all filtered axes, or None if it is none."""
        found, taken = np.ones((1,) * self.request.rank), set[int]()
        for positions, kernel in self.stages:
            if kernel.dtype.kind == "c" or taken.intersection(positions):
                return None
            taken.update(positions)
            shape = [1] * self.request.rank
            for position, size in zip(positions, kernel.shape, strict=True):
                shape[position] = size
            found = found * kernel.reshape(shape)
        return found / self.divisor

    def finished(self) -> Array:
        """Return the filtered image in the settled type, written into `out` where there is one.

        Calls like this one may do the same at once, where nothing but the arrays' places decides what it does.
        """
        request = self.request
        made = around([self], request.dtype, request.out)
        if made is not None:
            return made[0]
        plain = request.missing is None and request.fill is not None
        if plain and self.profiles is not None and request.dtype is not None:
            return self._by_profiles(request.image, request.fill, request.dtype, request.out, remember=request.is_alike)
        if plain and len(self.stages) == 1 and self.stages[0][1].dtype.kind != "c" and request.dtype is not None:
            return self._by_kernel(request.fill, request.dtype)
        return request.finish(applied(self, request.out, request.dtype)[0])

    def _by_kernel(self, fill: Any, final: np.dtype[Any]) -> Array:
        """Return the image correlated with the one kernel in one call, in the type `final`, and in `out`."""
        request, (positions, kernel) = self.request, self.stages[0]
        real = np.empty(0, np.result_type(request.working_type, np.float32)).real.dtype
        result: Array = filtered(
            request.image,
            kernel.astype(real, copy=False),
            flipped=False,
            words=SlideWords("same", request.overflow, False, request.precision, request.algorithm, final),
            boundary=tuple(request.boundary[position] for position in positions),
            fill=fill,
            stride=1,
            dilation=1,
            origin=0,
            axes=tuple(request.axes[position] for position in positions),
            channel_axis=None,
            mask=None,
            out=request.out,
            remember=Filtered if request.is_alike else None,
        )
        return result

    def _by_profiles(
        self, x: Array, fill: Any, final: np.dtype[Any], out: Array | None = None, *, remember: bool = False
    ) -> Array:
        """Return the outer product correlated with x in one call, in the type `final`."""
        request, profiles = self.request, self.profiles
        assert profiles is not None  # asked before
        work = np.empty(0, np.result_type(request.working_type, np.float32)).real.dtype
        if x is not request.image:
            work = np.empty(0, np.result_type(work, x.dtype)).real.dtype
        positions = [position for (position,), _ in self.stages]
        return by_profiles(
            x,
            profiles,
            axes=tuple(request.axes[position] for position in positions),
            boundary=tuple(request.boundary[position] for position in positions),
            fill=fill,
            work=work,
            final=final,
            overflow=request.overflow,
            precision=request.precision,
            algorithm=request.algorithm,
            out=out,
            remember=remember,
        )

    def __call__(self, x: Array, fill: complex) -> Array:
        """Apply the filter to `x`, in the type of the arithmetic; `fill` stands outside of a constant boundary."""
        request = self.request
        if not self.stages:
            return x.astype(request.working_type, copy=False)
        # What is narrower than the arithmetic is an image, or says where there is one.
        narrow = x is request.image or x.dtype.kind in "biu" or x.dtype == np.float16
        work = request.working_type if narrow else x.dtype
        work = work if x.dtype.kind == "c" else np.empty(0, work).real.dtype
        if self.profiles is not None:
            return self._by_profiles(x, fill, np.result_type(work))
        for positions, kernel in self.stages:
            # Weights take the type of the arithmetic, so that they do not widen it; a narrower image becomes wider
            # piece by piece on the way.
            real = np.empty(0, request.working_type).real.dtype
            taps = kernel.astype(np.result_type(real, np.complex64) if kernel.dtype.kind == "c" else real, copy=False)
            x = correlate(
                x,
                taps,
                dtype=np.result_type(work, taps),
                boundary=tuple(request.boundary[position] for position in positions),
                fill=fill,
                axes=tuple(request.axes[position] for position in positions),
                precision=request.precision,
                algorithm=request.algorithm,
            )
            # A pass turns the constant outside into that constant times the sum of its weights.
            fill = fill * kernel.sum().item()
        return x


def few_products(request: Request, profiles: Sequence[Sequence[Array]]) -> bool:
    """Tell whether the sum of outer products of profiles is done as one kernel: the planner finds its products again.

    That it does for two axes, and for kernels that are not long.
    """
    plain = request.missing is None and request.fill is not None and request.rank == 2
    return plain and all(len(profile) <= LONGEST for each in profiles for profile in each)


def length(operators: Sequence[Operator]) -> Array | None:
    """Return the length of the vector of what operators of one request give, finished, or None if one pass cannot."""
    request = operators[0].request
    plain = request.missing is None and request.fill is not None and request.image.dtype.kind != "c"
    found = [operator.dense() for operator in operators]
    if not plain or request.dtype is None or any(kernel is None or kernel.size > SMALL for kernel in found):
        return None
    if len({kernel.shape for kernel in found if kernel is not None}) > 1:
        return None
    return lengths(
        request.image,
        np.stack([kernel for kernel in found if kernel is not None]),
        axes=request.axes,
        boundary=request.boundary,
        fill=request.fill,
        work=np.result_type(request.working_type, np.float32),
        final=request.dtype,
        overflow=request.overflow,
        precision=request.precision,
        algorithm=request.algorithm if request.algorithm == "stencil" else None,
        out=request.out,
        remember=request.is_alike,
    )


def at_once(
    operators: Sequence[Operator], results: tuple[str, ...], out: tuple[Array, ...] | None = None
) -> tuple[Array, ...] | None:
    """Return results of what operators of one request give together, or None if that is not done in one pass.

    `results` are words of `striderule.functional.together`; they are written to `out`, and that is returned, where its
    arrays stand alike.
    """
    request = operators[0].request
    plain = request.missing is None and request.fill is not None and request.image.dtype.kind != "c"
    free = plain and request.algorithm in (None, "stencil")
    found = [operator.dense() for operator in operators] if free else [None]
    kernels = [kernel for kernel in found if kernel is not None and kernel.size <= SMALL]
    same = len(kernels) == len(operators) and len({kernel.shape for kernel in kernels}) == 1
    if not same or request.dtype is None or request.dtype != door.float_of(request.dtype):
        return None
    words = request.axes, request.boundary, request.overflow, request.precision, request.algorithm
    slide = slide_of_profiles(request.image.shape, kernels[0].shape, *words)
    work = np.result_type(request.working_type, np.float32)
    operands = np.stack(kernels), request.fill, work, request.dtype, results
    return combined(slide, request.image, *operands, out=out, remember=request.is_alike and out is None)


def gaussian_derivatives(request: Request, sigma: Any, order: int, truncate: float) -> list[Operator]:
    """Return, for every filtered axis, the operator that takes the Gaussian derivative of `order` along it."""
    operators = []
    for position in range(request.rank):
        orders = [order if i == position else 0 for i in range(request.rank)]
        profiles = gaussian_profiles(sigma, None, request.rank, order=orders, truncate=truncate)
        operators.append(Operator.separable(request, profiles))
    return operators


def around(
    operators: Sequence[Operator], final: np.dtype[Any] | None, out: Array | None = None, *, shared: bool = False
) -> tuple[Array, Array | None] | None:
    """Return what operators of one request give around gaps, in one pass over the image; None if that takes several.

    Of several operators that is the length of what they give. The result comes in the type `final`, and the shares of
    what is there with it if asked for: those of `confidence`.
    """
    request, holes = operators[0].request, operators[0].request.holes
    free = request.algorithm in (None, "stencil") and holes.image is request.image and final is not None
    if not free or not (holes.possible or request.fill is None) or request.image.dtype.kind == "c":
        return None
    found = [operator.dense() for operator in operators]
    kernels = [kernel for kernel in found if kernel is not None and kernel.size <= SMALL]
    if len(kernels) < len(found) or len({kernel.shape for kernel in kernels}) > 1:
        return None
    words = request.axes, request.boundary, request.overflow, request.precision, "stencil"
    slide = slide_of_profiles(request.image.shape, kernels[0].shape, *words)
    work = np.result_type(request.working_type, np.float32)
    gaps = Gaps(holes.valid, holes.nan, request.fill, nowhere(request), shared)
    stack = np.stack(kernels).astype(work)
    several = len(operators) > 1
    assert final is not None  # asked before
    return at_once_around(slide, request.image, stack if several else stack[0], gaps, work, final, out, length=several)


def working(request: Request) -> Array:
    """Return the image in the type of the arithmetic."""
    return request.image.astype(request.working_type, copy=False)


def apply(operator: Operator, out: Array | None = None) -> Array:
    """Return the filtered image of the operator's request, in the type of the arithmetic.

    `out` may be written to, and is then what is returned.
    """
    return applied(operator, out)[0]


def applied(
    operator: Operator, out: Array | None = None, final: np.dtype[Any] | None = None, *, shared: bool = False
) -> tuple[Array, Array | None]:
    """Return the filtered image, as `apply` does, and the shares of what is there if asked for.

    It may come in the type `final`, rounded and saturated.

    Missing pixels are left out as `striderule.correlate` leaves them out: each counts as the mean of the valid pixels
    under the same window, weighted by the magnitudes of the weights (see `striderule.functional.normalized`).
    """
    request = operator.request
    made = around([operator], np.result_type(request.working_type, np.float32), out, shared=shared)
    if made is not None:
        return made
    if request.missing is None and request.fill is not None:
        return operator(request.image, request.fill), confidence([operator]) if shared else None
    weights = Weights.of([kernel for _, kernel in operator.stages], operator.divisor)
    if operator.plain and operator.profiles is not None:
        passed = _passed(operator, weights, out, final, shared)
        if passed is not None:
            return passed
    magnitudes = None if operator.plain else operator.magnitudes()
    support = replace(
        operator, stages=tuple((axes, (kernel != 0) * 1.0) for axes, kernel in operator.stages), divisor=1
    )
    return around_gaps(
        operator, magnitudes, support, weights, request.image, request.missing, request.fill, nowhere(request), out,
        shared=shared,
    )  # fmt: skip


def _passed(
    operator: Operator, weights: Weights, out: Array | None, final: np.dtype[Any] | None, shared: bool
) -> tuple[Array, Array | None] | None:
    """Return the outer product of profiles around gaps, in passes, or None if they do not serve it."""
    request, profiles = operator.request, operator.profiles
    work = np.empty(0, np.result_type(request.working_type, np.float32)).real.dtype
    if profiles is None or request.overflow != "saturate":
        return None
    axes = tuple(request.axes[position] for (position,), _ in operator.stages)
    boundary = tuple(request.boundary[position] for (position,), _ in operator.stages)
    words = axes, boundary, request.overflow, request.precision, request.algorithm
    slide = slide_of_profiles(request.image.shape, profiles.shape, *words)
    gaps = Gaps(None, False, request.fill, nowhere(request), shared)
    return in_passes(
        slide, request.image, request.missing, profiles, weights, gaps, work, work if final is None else final, out
    )


def confidence(operators: Sequence[Operator]) -> Array:
    """Return the share of the operators' magnitude that met valid pixels, for every element.

    That is sum of |w| over valid pixels / sum of |w|, both over all taps of all operators. What the boundary copies
    from the image is as valid as its source, and `fill` is valid; outside is missing with ``fill=nan``.
    """
    request = operators[0].request
    dtype = request.length_type
    if dtype == np.float16:
        dtype = np.dtype(np.float32)
    if request.missing is None and request.fill is not None:
        return np.ones(request.image.shape, dtype)
    present = np.ones(request.image.shape, dtype) if request.missing is None else (~request.missing).astype(dtype)
    outside = 0.0 if request.fill is None else 1.0
    met, total = np.zeros(request.image.shape, dtype), 0.0
    for operator in operators:
        magnitudes = replace(operator.magnitudes(), request=replace(request, image=present))
        met += magnitudes(present, outside)
        total += math.prod(float(kernel.sum()) for _, kernel in magnitudes.stages) / magnitudes.divisor
    return np.asarray(np.clip(met / dtype.type(total or 1.0), 0, 1))


def answer(request: Request, result: Array | None, *operators: Operator) -> Array:
    """Return the finished result of a filter made of `operators`; where it was asked for, with its confidence.

    Without a result it is that of the one operator.
    """
    if result is None:
        tracing.note(Linear(operators))
    if result is None and request.confidence:
        made = around(operators, request.dtype, request.out, shared=True)
        if made is not None and made[1] is not None:
            return cast(Array, made)
        if len(operators) == 1 and not (request.missing is None and request.fill is not None):
            filtered_image, shares = applied(operators[0], request.out, request.dtype, shared=True)
            return cast(Array, (request.finish(filtered_image), shares))
    final = operators[0].finished() if result is None else request.finish(result)
    if not request.confidence:
        return final
    return cast(Array, (final, confidence(operators)))


def nowhere(request: Request) -> complex:
    """Return what stands where there is nothing to compute from: NaN, or `fill` in integers, which have no NaN."""
    if request.fill is None or request.dtype is None or request.dtype.kind in "fc":
        return float("nan")
    return request.fill
