"""Finding a small image in a large one: normalised cross-correlation."""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Unpack, cast

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.windows.extend import extend
from striderule.errors import InvalidArgument, InvalidType
from striderule.filters import like as likeness
from striderule.filters.differentiable import differentiable
from striderule.filters.formulas import Coefficients
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import door, tracing
from striderule.functional.images import correlate
from striderule.functional.standin import stand_in
from striderule.geometry.imaging import check_kernel_fits

# A window whose sum of squared deviations is below so many units in the last place of its sum of squares is constant:
# what is left is rounding.
NOISE = 64
# Integer templates of so many elements are correlated as they are; for larger ones there are faster ways with floats.
FEW = 1024


@differentiable
@public
def match_template(
    image: Any, template: Any, pad_input: bool = False, *, like: str | None = None, **keywords: Unpack[Keywords]
) -> Array:
    """Return how much the image looks like the template, at every position: the correlation coefficient, -1 to 1.

    With t the template's deviations from its mean, and x those of the window from its own:
    sum of x t / sqrt(sum of x^2 * sum of t^2) (J. P. Lewis, Fast normalized cross-correlation, 1995).

    Parameters
    ----------
    image : ndarray of any rank
    template : ndarray
        One axis for each filtered axis, no longer than the image on any.
    pad_input : bool, default False
        True gives a result of the image's shape, each element for the template centred on it (on index k // 2). False
        gives one for every position where the template lies inside, n - k + 1 on each axis, each element for the
        template with its first corner there.
    like : {"skimage"}, optional
        Give what ``skimage.feature.match_template`` gives: the same numbers, but float64 for all integers, and 0 where
        the product of the two norms is below the last place of 1.
    **keywords
        See `striderule.filters`. `boundary` and `fill` count with `pad_input` alone, and the border is ``"constant"``
        by default. Missing pixels are left out of the window and of the template under it (D. Padfield, Masked object
        registration in the Fourier domain, 2012).

    Returns
    -------
    ndarray
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type. 0 where the window,
        or the template, is constant.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[1, 2, 1, 1], [1, 9, 5, 1], [1, 1, 1, 8]], np.uint8)
    >>> found = match_template(image, image[1:3, 1:4])
    >>> [int(i) for i in np.unravel_index(found.argmax(), found.shape)], round(float(found.max()), 6)
    ([1, 1], 1.0)
    """
    if like is not None:
        arguments = {"template": template, "pad_input": pad_input}
        return likeness.answer("match_template", like, image, arguments, keywords)
    request = Request.of("match_template", image, keywords, boundary="constant")
    taps = template_array(request, template)
    shape = result_shape(request, taps.shape, pad_input=pad_input)
    request = request.settle(request.length_type, shape)
    assert request.dtype is not None  # settled above
    door.check_out(request.out, shape, request.dtype, (door.array(template, "template"),))
    if request.missing is None and request.fill is not None:
        tracing.note(Coefficients(request, taps, pad_input))
    coefficients, share = coefficients_of(request, taps, pad_input=pad_input, relative=True)
    result = request.finish(coefficients)
    return cast(Array, (result, share)) if request.confidence else result


def template_array(request: Request, template: Any) -> Array:
    """Return the template in float64, known to fit."""
    taps = door.array(template, "template")
    request.refuse_complex("match_template")
    if taps.dtype.kind == "c":
        raise InvalidType(f"template must hold real numbers, got {taps.dtype}")
    check_kernel_fits(taps.shape, request.image.shape, request.axes, None)
    sizes = tuple(request.image.shape[axis] for axis in request.axes)
    if any(k > n for k, n in zip(taps.shape, sizes, strict=True)):
        raise InvalidArgument(f"template must be no larger than the image {sizes}, got the shape {taps.shape}")
    taps = taps.astype(np.float64)
    if not np.isfinite(taps).all():
        raise InvalidArgument("template must hold finite numbers, got NaN or infinity in it")
    return taps


def result_shape(request: Request, template: tuple[int, ...], *, pad_input: bool) -> tuple[int, ...]:
    """Return the shape of the coefficients."""
    if pad_input:
        return request.image.shape
    return request.shape_with([request.image.shape[a] - k + 1 for a, k in zip(request.axes, template, strict=True)])


@dataclass(frozen=True)
class Facts:
    """What is known of a whole image, whatever part of it is looked at: on these the last bits of results depend."""

    # A whole number near the elements of each plane, and near all of them; whether they are finite; and the largest
    # magnitude of integers.
    near: Array
    near_all: float
    finite: bool
    largest: int

    @classmethod
    def of(cls, request: Request) -> Facts:
        """Return what there is to know of a request's image."""
        x = request.image
        finite = x.dtype.kind != "f" or bool(np.isfinite(x).all())
        low, high = (int(x.min(initial=0)), int(x.max(initial=0))) if x.dtype.kind in "biu" else (0, 0)
        valid = None if request.missing is None else ~request.missing
        return cls(*nearness(x, valid, request.axes), finite, max(abs(low), abs(high)))


# What is known of the image whose part is filtered.
known: ContextVar[Facts | None] = ContextVar("known", default=None)


def nearness(x: Array, valid: Array | None, axes: tuple[int, ...]) -> tuple[Array, float]:
    """Return a whole number near the valid elements of each plane of an image, and one near all of them."""
    last = tuple(range(-len(axes), 0))
    planes = np.moveaxis(x, axes, last)
    there = None if valid is None else np.moveaxis(valid, axes, last)
    near = np.zeros(planes.shape[: -len(axes)])
    for place in np.ndindex(near.shape):
        near[place] = _near(planes[place], None if there is None else there[place])
    return near, _near(x, valid)


def coefficients_of(request: Request, taps: Array, *, pad_input: bool, relative: bool) -> tuple[Array, Array]:
    """Return the correlation coefficients, and which share of the window was there.

    `relative` says that a window is constant when its deviations are rounding; else when the product of both norms is
    below the last place of 1, as scikit-image says.
    """
    where = Windows(request, taps.shape, pad_input=pad_input)
    if request.only_planned:  # the template's products with the windows; all sums beside them leave no choice
        where.correlate(request.image.astype(request.length_type), taps - taps.mean(), 0)
        shape = result_shape(request, taps.shape, pad_input=pad_input)
        return stand_in(shape, request.length_type), stand_in(shape, request.length_type)
    x, facts = request.image, known.get() or Facts.of(request)
    if request.missing is not None or request.fill is None:
        return _with_gaps(where, x.astype(np.float64), taps, facts.near_all)
    deviations = taps - taps.mean()
    small, whole = float((deviations * deviations).sum()), float((taps * taps).sum())
    eps = np.finfo(np.float64).eps
    shape = result_shape(request, taps.shape, pad_input=pad_input)
    if small <= NOISE * eps * whole or 0 in shape:
        return np.zeros(shape, request.length_type), np.ones(shape, request.length_type)
    floor = 0.0 if relative else float(np.finfo(as_skimage(x.dtype)).eps)
    single = relative and request.length_type != np.float64
    result = where.fast(x, slid(x.dtype, taps, deviations, facts.largest, single=single), small, floor, facts)
    if result is None:
        result = _plain(where, x.astype(np.float64), deviations, floor, facts.near_all)
    return result, np.ones(shape, request.length_type)


def slid(dtype: np.dtype[Any], taps: Array, deviations: Array, largest: int, *, single: bool) -> Array:
    """Return what is slid over the image: the template as it is where its sums of products are whole numbers of int32.

    Those are exact, which tells in even parts of an image; else the template's deviations from its mean. `largest` is
    the largest magnitude in the image.
    """
    whole = taps.size <= FEW and bool((taps == np.rint(taps)).all())
    held = largest * float(np.abs(taps).sum()) < 2**31 and float(np.abs(taps).max()) < 2**15
    if single and dtype.kind in "biu" and whole and held:
        return taps.astype(np.int16)
    return deviations.astype(np.float32 if single else np.float64)


def as_skimage(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which scikit-image computes."""
    return np.dtype(np.float32 if dtype in (np.float16, np.float32) else np.float64)


def _plain(where: Windows, x: Array, deviations: Array, floor: float, middle: float) -> Array:
    """Return the coefficients from sums over the windows, in NumPy."""
    request = where.request
    # The image's middle is taken away first: squares of what is left lose fewer digits when they are subtracted.
    x = x - middle
    fill = complex(request.fill or 0).real - middle
    sums, squares = where.sums(x, fill), where.sums(x * x, fill * fill)
    spread = squares - sums * sums / deviations.size
    norm = np.sqrt(np.maximum(spread, 0.0) * float((deviations * deviations).sum()))
    flat = (spread <= NOISE * np.finfo(np.float64).eps * squares) | (norm <= floor)
    product = where.correlate(x, deviations, fill)
    return np.clip(np.divide(product, norm, out=np.zeros_like(product), where=~flat), -1.0, 1.0)


def _near(x: Array, valid: Array | None) -> float:
    """Return a whole number near the elements of an image, some of which are looked at."""
    few = tuple(slice(None, None, 1 + n // 16) for n in x.shape)
    some = x[few].astype(np.float64)
    some = some[np.isfinite(some) if valid is None else np.isfinite(some) & valid[few]]
    return float(np.round(some.mean())) if some.size else 0.0


class Windows:
    """Sums over the windows that a template lies on."""

    def __init__(self, request: Request, template: tuple[int, ...], *, pad_input: bool) -> None:
        self.request, self.template = request, template
        self.words: dict[str, Any] = {"precision": request.precision, "algorithm": request.algorithm}
        self.mode: Any = "same" if pad_input else "valid"

    def correlate(self, x: Array, taps: Array, fill: Any) -> Array:
        """Return the sum of x * taps under every window."""
        request = self.request
        return correlate(
            x,
            taps,
            mode=self.mode,
            boundary=request.boundary,
            fill=fill,
            axes=request.axes,
            dtype=np.int32 if taps.dtype.kind == "i" else np.result_type(taps, request.length_type),
            **self.words,
        )

    def fast(self, x: Array, taps: Array, power: float, floor: float, facts: Facts) -> Array | None:
        """Return the coefficients of images of two axes by generated code; None where that has to be left to NumPy.

        `taps` are the template or its deviations, whose squares sum to `power`.

        Sums that are kept from row to row do not forget a NaN or an infinity, so there must be none.
        """
        request, rank = self.request, len(self.template)
        code = table.generated("templates.coefficients") if rank == 2 else None
        if code is None or not facts.finite:
            return None
        products = self.correlate(x, taps, request.fill)
        planes, found = (np.moveaxis(one, request.axes, (-2, -1)) for one in (x, products))
        found = np.ascontiguousarray(found)
        result = found.view(np.float32) if found.dtype == np.int32 else found  # each takes its product's place
        for plane in np.ndindex(planes.shape[:-2]):
            wide = planes[plane]
            if self.mode == "same":
                sides = tuple((k // 2, k - k // 2 - 1) for k in self.template)
                wide = extend(wide, sides, request.boundary, request.fill)
            wide = wide if wide.strides[1] == wide.itemsize else np.ascontiguousarray(wide)
            size = self.template[0], self.template[1]
            noise = NOISE * float(np.finfo(np.float64).eps)
            total = float(taps.sum(dtype=np.float64))
            near = float(facts.near[plane])
            if not code.coefficients(wide, found[plane], size, total, power, near, noise, floor):
                return None
        return np.moveaxis(result, (-2, -1), request.axes)

    def sums(self, x: Array, fill: float) -> Array:
        """Return the sum of x under every window, axis by axis."""
        request = self.request
        for axis, length, words in zip(request.axes, self.template, request.boundary, strict=True):
            ones = np.ones(length)
            x = correlate(x, ones, mode=self.mode, boundary=(words,), fill=fill, axes=axis, **self.words)
            fill *= length
        return x


def _with_gaps(where: Windows, x: Array, taps: Array, middle: float) -> tuple[Array, Array]:
    """Return the coefficients over the pixels that are there, each with the part of the template that lies on it."""
    request = where.request
    there = np.ones(x.shape) if request.missing is None else (~request.missing).astype(np.float64)
    outside = 0.0 if request.fill is None else 1.0
    x[there == 0] = 0
    x = np.where(there > 0, x - middle, 0.0)
    fill = 0.0 if request.fill is None else complex(request.fill).real - middle
    t = taps - taps.mean()
    count = where.sums(there, outside)
    full = np.maximum(count, 1.0)
    sums, squares = where.sums(x, fill), where.sums(x * x, fill * fill)
    t_sums, t_squares = where.correlate(there, t, outside), where.correlate(there, t * t, outside)
    spread, t_spread = squares - sums * sums / full, t_squares - t_sums * t_sums / full
    noise = NOISE * np.finfo(np.float64).eps
    flat = (spread <= noise * squares) | (t_spread <= noise * float((t * t).sum())) | (count < 2)
    product = where.correlate(x, t, fill) - sums * t_sums / full
    norm = np.sqrt(np.maximum(spread, 0.0) * np.maximum(t_spread, 0.0))
    result = np.clip(np.divide(product, norm, out=np.zeros_like(product), where=~flat), -1.0, 1.0)
    result[count == 0] = np.nan
    return result, (count / math.prod(where.template)).astype(request.length_type)
