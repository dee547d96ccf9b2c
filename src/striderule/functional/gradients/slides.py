"""The transposes of kernels that slide over images, and the gradients of their taps.

Along one axis, with y[j] = sum over t of w[t] * x[j + t * d - b] (b positions before the image), the transpose is

    gx[i] = sum over t' of w[k - 1 - t'] * gy[i + t' * d - (e - 1 - b)],    e = d * (k - 1) + 1

a correlation with the kernel turned around. What stands outside decides how far, and what happens there:

- of a constant outside nothing comes back: that is all;
- ``"wrap"`` goes on at the other end in both directions, so the transpose wraps, too;
- ``"symmetric"`` with a symmetric, centred kernel is its own transpose: each way from i to j, reflected or not, is one
  of the same length from j to i;
- else gx is formed for the positions outside as well, and added where the boundary shows them from.

Strides make it a transposed convolution (`striderule.geometry.gradients`). Around missing pixels the result is linear
in the pixels that are there, as `striderule.functional.normalized` writes it; see `Gapped`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.images.terms import Terms
from striderule.functional import precision as precisions
from striderule.functional.forms import form_of
from striderule.functional.gradients.convolution import input_gradient, weight_gradient
from striderule.functional.normalized import Weights
from striderule.functional.sliding import Slide
from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution
from striderule.planning.forms import SYMMETRIC

Array = npt.NDArray[Any]
DType = np.dtype[Any]
Ints = tuple[int, ...]


class _Axis(NamedTuple):
    """How the transpose slides along an axis, and what is to be folded back: the sides, or None."""

    sides: tuple[int, int]
    words: tuple[str, str]
    outputs: int
    folded: tuple[int, int] | None


def transposed(slide: Slide, taps: Array | Terms, g: Array, work: DType) -> Array:
    """Return the transpose of a sliding kernel applied to g, which has the shape of the result: that of the image."""
    shape = list(g.shape)
    for axis, n in zip(slide.axes, slide.size, strict=True):
        shape[axis] = n
    if 0 in shape or 0 in g.shape:
        return np.zeros(shape, work)
    if max(slide.stride) > 1:
        return _spread(slide, taps, g, work)
    axes = [_along(slide, place, taps) for place in range(len(slide.axes))]
    turned = replace(
        slide,
        size=slide.output_size,
        sides=tuple(one.sides for one in axes),
        boundary=tuple(one.words for one in axes),
        output_size=tuple(one.outputs for one in axes),
        words=replace(
            slide.words,
            normalize=False,
            algorithm=kept_algorithm(slide.words.algorithm),
            dtype=None,
            overflow="saturate",
        ),
    )
    found = turned(g.astype(work, copy=False), _turned(taps), 0, work)
    folds = [(axis, one) for axis, one in zip(slide.axes, axes, strict=True) if one.folded is not None]
    if not folds:
        return found
    for axis, one in folds:
        place = slide.axes.index(axis)
        found = _folded(found, axis, slide.size[place], one.folded or (0, 0), slide.boundary[place])
    result = memory.empty(tuple(shape), work)
    np.copyto(result, found)
    return result


def kept_algorithm(word: str | None) -> str | None:
    """Return the algorithm of a gradient, where a call names one: NumPy and loops serve all, of others it is chosen."""
    return word if word in ("windows", "reference") else None


def _along(slide: Slide, place: int, taps: Array | Terms) -> _Axis:
    size, kernel, dilation = slide.size[place], slide.kernel[place], slide.dilation[place]
    before, after = sides = slide.sides[place]
    words, reach = slide.boundary[place], dilation * (kernel - 1)
    shown = [word for side, word in zip(sides, words, strict=True) if side > 0]
    mirrored = reach - before, reach - after
    keeps = before + after == reach
    if all(word == "constant" for word in shown):
        return _Axis(mirrored, ("constant", "constant"), size, None)
    if keeps and words == ("wrap", "wrap"):
        return _Axis(mirrored, words, size, None)
    if keeps and before == after and words == ("symmetric", "symmetric") and _is_symmetric(taps, place):
        return _Axis(sides, words, size, None)
    return _Axis((reach, reach), ("constant", "constant"), size + before + after, sides)


def _is_symmetric(taps: Array | Terms, place: int) -> bool:
    form = form_of(taps)
    return form is not None and form.symmetry[place] == SYMMETRIC


def _turned(taps: Array | Terms) -> Array | Terms:
    if isinstance(taps, Terms):
        return Terms(tuple(tuple(profile[::-1].copy() for profile in term) for term in taps.terms), taps.divisor)
    return np.ascontiguousarray(np.flip(taps))


def _folded(wide: Array, axis: int, size: int, sides: tuple[int, int], words: tuple[str, str]) -> Array:
    """Add what stands outside an axis where the boundary shows it from, in place, and return the inner part."""
    before, after = sides
    lead: tuple[Any, ...] = (slice(None),) * axis
    for position, source in enumerate(boundary_indices(size, before, after, words)):
        if source is not None and not before <= position < before + size:
            wide[(*lead, before + source)] += wide[(*lead, position)]
    return wide[(*lead, slice(before, before + size))]


def _problem(slide: Slide, planes: int, work: DType) -> Convolution:
    """Return the slide as a convolution of one channel, whose images are the planes."""
    return Convolution.from_shapes(
        (planes, 1, *slide.size), (1, 1, *slide.kernel), stride=slide.stride, padding=slide.sides,
        dilation=slide.dilation, boundary=slide.boundary, dtype=work.name,
    )  # fmt: skip


def _planes(slide: Slide, x: Array) -> tuple[Array, Ints]:
    """Return an array as (planes, 1, *filtered axes), and the shape of the planes."""
    rank = len(slide.axes)
    moved = np.moveaxis(x, slide.axes, range(-rank, 0))
    lead = moved.shape[:-rank]
    return moved.reshape(prod(lead), 1, *moved.shape[-rank:]), lead


def _spread(slide: Slide, taps: Array | Terms, g: Array, work: DType) -> Array:
    """Return the transpose of a slide with strides."""
    dense = taps.dense() if isinstance(taps, Terms) else taps
    planes, lead = _planes(slide, g)
    with precisions.precision(slide.words.precision):
        found = input_gradient(_problem(slide, len(planes), work), planes, dense[None, None])
    return np.moveaxis(found.reshape(*lead, *slide.size), range(-len(slide.size), 0), slide.axes)


def by_taps(slide: Slide, x: Array, fill: Any, g: Array, work: DType) -> Array:
    """Return the gradient with respect to the taps: gw[t] = sum over j of gy[j] * x[j * s + t * d - b]."""
    if 0 in x.shape or 0 in g.shape:
        return np.zeros(slide.kernel, work)
    image, gradient = _planes(slide, x)[0], _planes(slide, g)[0]
    with precisions.precision(slide.words.precision):
        found = weight_gradient(_problem(slide, len(image), work), image, gradient, fill)
    return found.reshape(slide.kernel)


@dataclass(frozen=True)
class Kernel:
    """A linear filter and its transpose: what `Gapped` needs of one. `apply` takes what stands outside, too."""

    apply: Callable[[Array, Any], Array]
    back: Callable[[Array], Array]


class Gapped:
    """The gradient of a filter around missing pixels.

    With S the kernel w and M its magnitudes, applied to the pixels that are there, and s and m these applied to what is
    there, the result is S + M / m * (W - s), W = sum of w: linear in the pixels. It is S where nothing is missing under
    a window, and a constant where nothing is there. Without negative taps it is W * S / s.
    """

    def __init__(
        self, signed: Kernel, magnitudes: Kernel | None, weights: Weights, there: Array, fill: Any, work: DType
    ) -> None:
        self.signed, self.magnitudes, self.there, self.fill = signed, magnitudes, there, fill
        self.outside, self.total = 0 if fill is None else 1, complex(weights.total).real
        present = there.astype(work)
        on_it = (magnitudes or signed).apply(present, self.outside)
        self.nothing = on_it <= 0.5 * weights.least
        self.part = ~self.nothing & (on_it < weights.whole(on_it))
        self.on_it = np.where(self.part, on_it, on_it.dtype.type(1))
        self.present = present
        by_weights = on_it if magnitudes is None else signed.apply(present, self.outside)
        # The weight that is missing, where some is.
        self.lack = np.where(self.part, on_it.dtype.type(self.total) - by_weights, on_it.dtype.type(0))

    def image(self, g: Array) -> Array:
        """Return the gradient with respect to the image: 0 at missing pixels."""
        g = np.where(self.nothing, g.dtype.type(0), g)
        beside = g * (self.lack / self.on_it)
        if self.magnitudes is None:
            found = self.signed.back(g + beside)
        else:
            found = self.signed.back(g) + self.magnitudes.back(beside)
        return np.where(self.there, found, found.dtype.type(0))

    def taps(self, g: Array, image: Array, taps: Array, gather: Callable[[Array, Any, Array], Array]) -> Array:
        """Return the gradient with respect to the taps; `gather` is `by_taps` of an image, its outside, and g.

        d|w| / dw is the sign of w, 0 at 0.
        """
        g = np.where(self.nothing, g.dtype.type(0), g)
        pixels = np.where(self.there, image, 0).astype(g.dtype)
        fill = 0 if self.fill is None else self.fill
        means = (self.magnitudes or self.signed).apply(pixels, fill) / self.on_it * self.part
        beside, sign = g * (self.lack / self.on_it), np.sign(taps)
        weighed = g * means
        by_magnitudes = gather(pixels, fill, beside) - gather(self.present, self.outside, beside * means)
        lost = weighed.sum(dtype=np.float64) - gather(self.present, self.outside, weighed)
        return np.asarray(gather(pixels, fill, g) + sign * by_magnitudes + lost.astype(g.dtype))
