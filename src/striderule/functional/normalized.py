"""Filters that leave missing pixels out: normalised convolution.

A missing pixel counts as the mean of the valid pixels under the same window, weighted by the magnitudes of the taps:

    m     = sum over valid taps of |w| x / sum over valid taps of |w|
    out   = sum over valid taps of w x + m * sum over missing taps of w

For kernels without negative taps that equals the normalised convolution of Knutsson and Westin (CVPR 1993, equation 4,
with the kernel as applicability and the mask as certainty), times the kernel's sum:

    out   = sum of all w * (sum over valid taps of w x) / (sum over valid taps of w)

That quotient has no meaning for kernels with taps of both signs, whose partial sums may vanish. The form above has one
for all of them: for kernels that sum to zero (derivatives) it is the correlation of the valid pixels' differences from
their local mean. In every case a constant image with holes gives what the constant image gives, adding a constant to
the image adds that constant times the kernel's sum, and windows without missing pixels give the plain result: to
rounding where transforms compute it, whose tiles see more than a window, or where the plain filter takes another way.

What is computed: where products of few taps are summed, all of it in one reading of the image
(`algorithms/gaps/correlation.py`). Passes of profiles without negative weights go over bands of the image and of what
is there, each of which is mended before it leaves the cache (`algorithms/gaps/pairs.py`). Elsewhere the image with 0
where a pixel is missing, correlated with w and with |w|, and bytes of 1 where one is there, correlated likewise. The
missing weight is what those lack of the sum of all weights; a kernel without negative taps needs one correlation of
each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory, table
from striderule.algorithms.images.terms import Terms
from striderule.functional.forms import form_of
from striderule.functional.parts import planned
from striderule.functional.planned import noted
from striderule.functional.sliding import Slide as Geometry
from striderule.functional.sliding import problem_of
from striderule.functional.standin import StandIn, stand_in

Array = npt.NDArray[Any]
# Correlates an array with a kernel, given what stands outside it.
Slide = Callable[[Array, Any], Array]

# Rows of the weights on what is there that are looked at for the largest.
ROWS = 64
# A sum of magnitudes below so many units in the last place of that of all may be the rounding of transforms.
NOISE = 1024
# Kernels of at most so many taps are summed tap by tap.
FEW = 64


@dataclass(frozen=True)
class Weights:
    """What is known about a kernel: its sum, and the sum, the smallest and the number of the taps that are not zero.

    `magnitude` and `least` are of magnitudes.
    """

    total: complex
    magnitude: float
    least: float
    count: int

    @classmethod
    def of(cls, factors: Sequence[Array], divisor: float = 1) -> Weights:
        """Return those of the outer product of `factors`, divided by `divisor`."""
        factors = [np.ascontiguousarray(factor) for factor in factors]  # NumPy adds in the order of memory
        magnitudes = [np.abs(factor).astype(np.float64) for factor in factors]
        return cls(
            math.prod(factor.sum().item() for factor in factors) / divisor,
            math.prod(float(one.sum()) for one in magnitudes) / divisor,
            math.prod(float(one.min(where=one > 0, initial=np.inf)) for one in magnitudes) / divisor,
            sum(int(np.count_nonzero(one)) for one in magnitudes),
        )

    def whole(self, there: Array) -> float:
        """Return the sum of magnitudes from which on nothing is missing, as it is rounded in `there`.

        Every window without missing pixels comes to the same sum, formed in the same order. Where none is among those
        that are looked at, a sum is taken for whole if it lacks no more than rounding.
        """
        margin = 8 * math.sqrt(self.count) * float(np.finfo(there.dtype).eps) * self.magnitude
        rows = there[:: max(1, there.shape[0] // ROWS)]
        seen = float(rows.max(initial=0.0))
        return seen if abs(seen - self.magnitude) <= margin else self.magnitude - margin


class Holes:
    """Which pixels of an image are missing: found when they are first asked for."""

    def __init__(self, image: Array, valid: Array | None, *, nan: bool) -> None:
        self.image, self.valid, self.nan = image, valid, nan and image.dtype.kind in "fc"
        self._found: list[Array | None] = [] if valid is not None or self.nan else [None]

    @classmethod
    def known(cls, missing: Array | None, image: Array) -> Holes:
        """Return those that are known already."""
        found = cls(image, None if missing is None else ~missing, nan=False)
        found._found = [missing]
        return found

    @property
    def possible(self) -> bool:
        """Whether some may be missing."""
        return not self._found or self._found[0] is not None

    @property
    def missing(self) -> Array | None:
        """True where a pixel is to be left out, or None if there is no such pixel."""
        if not self._found:
            self._found.append(missing_pixels(self.image, self.valid, nan_is_missing=self.nan))
        return self._found[0]


def missing_pixels(image: Array, valid: Array | None, *, nan_is_missing: bool) -> Array | None:
    """Return True where a pixel is to be left out, or None if there is no such pixel."""
    missing = None
    if valid is not None and not bool(valid.all()):
        missing = np.logical_not(valid, out=None if isinstance(valid, StandIn) else memory.empty(valid.shape, bool))
    if not nan_is_missing or image.dtype.kind not in "fc":
        return missing
    code = None if isinstance(image, StandIn) or isinstance(missing, StandIn) else table.generated("gaps.call")
    found = None if code is None else code.marks(image, missing)
    if found is not None:
        return cast(Array, found[0]) if found[1] else None
    nans = np.isnan(image)
    missing = nans if missing is None else missing | nans
    return missing if missing.any() else None


@dataclass(frozen=True)
class Gaps:
    """What is missing: where a mask says no, NaN if `nan`, and outside if `fill` is None, else that is valid there.

    `nowhere` stands where there is nothing to compute from. `shared` asks for the share of what is there, too.
    """

    mask: Array | None
    nan: bool
    fill: Any
    nowhere: Any
    shared: bool = False


def at_once(
    slide: Geometry,
    image: Array,
    kernels: Array,
    gaps: Gaps,
    work: np.dtype[Any],
    final: np.dtype[Any],
    out: Array | None = None,
    *,
    length: bool = False,
) -> tuple[Array, Array | None] | None:
    """Return the filter of the valid pixels, and their shares if asked for, in one pass; None if that takes several.

    `kernels` are several side by side if the `length` of what they give is asked for, else one.
    """
    shape = slide.output_shape(image.shape)
    if 0 in shape or any(one.kind == "c" for one in (image.dtype, kernels.dtype, final)):
        return None
    code = table.generated("gaps.taps")
    rank, last = len(slide.axes), range(-len(slide.axes), 0)
    planes = np.moveaxis(image, slide.axes, last)
    form, count = (None, len(kernels)) if length else (form_of(kernels), 1)
    problem = problem_of(slide, math.prod(planes.shape[:-rank]), image.dtype, final, work, form, count)
    plan, _ = planned(problem, image.shape, slide.axes, slide.words.precision, slide.words.algorithm)
    taps, plans = kernels if length else kernels[None], noted.get()
    if code is None or plan.algorithm != "stencil" or not code.serves(problem, taps):
        return None
    if plans is not None:
        plans.append(plan)
        return stand_in(shape, final), stand_in(shape, work) if gaps.shared else None
    mask, target = (None if one is None else np.moveaxis(one, slide.axes, last) for one in (gaps.mask, out))
    told = code.Gaps(mask, gaps.nan and image.dtype.kind == "f", gaps.fill, complex(gaps.nowhere).real, gaps.shared)
    found = code.correlate(problem, planes, taps, told, target, length=length)
    if found is None:
        return None
    result, shares = found
    shares = None if shares is None else np.moveaxis(shares, last, slide.axes)
    return (np.moveaxis(result, last, slide.axes) if out is None else out), shares


def in_passes(
    slide: Geometry,
    image: Array,
    missing: Array | None,
    terms: Terms,
    weights: Weights,
    gaps: Gaps,
    work: np.dtype[Any],
    final: np.dtype[Any],
    out: Array | None = None,
) -> tuple[Array, Array | None] | None:
    """Return what passes of profiles without negative weights give around gaps, in bands that stay in the cache.

    And the shares of what is there if asked for. None where that takes another way.
    """
    kinds = {image.dtype.kind, final.kind}
    lost = final.kind in "biu" and (image.dtype.kind == "f" or np.isnan(gaps.nowhere))
    code = table.generated("gaps.smoothing")
    if code is None or noted.get() is not None or "c" in kinds or lost or weights.magnitude == 0:
        return None
    last = range(-len(slide.axes), 0)
    batch = math.prod(n for axis, n in enumerate(image.shape) if axis not in slide.axes)
    problem = problem_of(slide, batch, image.dtype.newbyteorder("="), work, work, form_of(terms))
    plan, problem = planned(problem, image.shape, slide.axes, slide.words.precision, slide.words.algorithm)
    if plan.algorithm != "separable":
        return None
    pixels, there = (np.moveaxis(one, slide.axes, last) for one in _laid(image, missing))
    outside = (0, 0) if gaps.fill is None else (gaps.fill, 1)
    told = weights.magnitude, 0.5 * weights.least, complex(gaps.nowhere).real
    target = None if out is None else np.moveaxis(out, slide.axes, last)
    found = code.smooth(problem, pixels, there, terms, outside, told, final, target, shared=gaps.shared)
    if found is None:
        return None
    result, shares = found
    shares = None if shares is None else np.moveaxis(shares, last, slide.axes)
    return (out if out is not None and result is target else np.moveaxis(result, last, slide.axes)), shares


def around_gaps(
    signed: Slide,
    magnitudes: Slide | None,
    support: Slide,
    weights: Weights,
    image: Array,
    missing: Array | None,
    fill: Any,
    none: Any,
    out: Array | None = None,
    *,
    shared: bool = False,
) -> tuple[Array, Array | None]:
    """Return the filter of the valid pixels as this module defines it, and the shares of what is there if asked for.

    Parameters
    ----------
    signed, magnitudes : callables
        The correlation with the kernel, and with its magnitudes: None where they are the same.
    support : callable
        That with 1 for every tap that is not zero.
    weights : Weights
        The kernel's.
    image : ndarray
    missing : ndarray of bool or None
    fill : number or None
        The valid value outside the image under ``boundary="constant"``, or None if that is missing too.
    none : number
        The result where every tap that is not zero lies on a missing pixel.
    out : ndarray, optional
        Where the result is written if it has this type; it may be the image.
    """
    outside, outside_there = (0, 0) if fill is None else (fill, 1)
    pixels, there = _laid(image, missing)
    sums = signed(pixels, outside)
    on_it = (magnitudes or signed)(there, outside_there)
    rest = None if magnitudes is None else (magnitudes(pixels, outside), signed(there, outside_there))
    if isinstance(sums, StandIn) or weights.magnitude == 0:
        return sums, stand_in(sums.shape, on_it.dtype) if shared else None
    whole, least = weights.whole(on_it), 0.5 * weights.least
    if weights.count > FEW and float(on_it.min(initial=np.inf)) < NOISE * np.finfo(on_it.dtype).eps * weights.magnitude:
        # Many taps may be summed by transforms, whose rounding is no sum of few taps.
        on_it = np.where(support(there, outside_there) < 0.5, on_it.dtype.type(0), np.maximum(on_it, weights.least))
    shares = np.clip(on_it / on_it.dtype.type(whole), 0, 1) if shared else None
    code = None if sums.dtype.kind == "c" else table.generated("gaps.call")
    if code is not None:
        real = complex(weights.total).real, complex(none).real
        numbers = (weights.magnitude, real[0], whole, least, real[1])
        mended = code.mending(sums, on_it, rest, numbers, out)
        if mended is not None:
            return mended, shares
    by_magnitudes, by_weights = rest or (sums, on_it)
    with np.errstate(all="ignore"):
        corrected = sums + by_magnitudes / on_it * (weights.total - by_weights)
    mended = np.where(on_it <= least, sums.dtype.type(none), np.where(on_it < whole, corrected, sums))
    return mended.astype(sums.dtype), shares


def _laid(image: Array, missing: Array | None) -> tuple[Array, Array]:
    """Return the image with 0 where a pixel is missing, and bytes of 1, or 0 where one is missing."""
    if isinstance(image, StandIn):
        return image, stand_in(image.shape, np.uint8)
    if missing is None:
        return image, np.ones(image.shape, np.uint8)
    code = table.generated("gaps.call")
    laid = None if code is None else code.laying(image, missing)
    if laid is not None:
        return cast(tuple[Array, Array], laid)
    return np.where(missing, image.dtype.type(0), image), (~missing).view(np.uint8)
