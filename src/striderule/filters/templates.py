"""Finding a small image in a large one: normalised cross-correlation."""

from __future__ import annotations

import math
from typing import Any, Unpack, cast

import numpy as np

from striderule.errors import InvalidArgument, InvalidType
from striderule.filters import like as likeness
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import door
from striderule.functional.images import correlate
from striderule.geometry.imaging import check_kernel_fits

# A window whose sum of squared deviations is below so many units in the last place of its sum of squares is constant:
# what is left is rounding.
NOISE = 64


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
    request = request.settle(request.length_type, result_shape(request, taps.shape, pad_input=pad_input))
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


def coefficients_of(request: Request, taps: Array, *, pad_input: bool, relative: bool) -> tuple[Array, Array]:
    """Return the correlation coefficients, and which share of the window was there.

    `relative` says that a window is constant when its deviations are rounding; else when the product of both norms is
    below the last place of 1, as scikit-image says.
    """
    where = _Windows(request, taps.shape, pad_input=pad_input)
    x = request.image.astype(np.float64)
    if request.missing is not None or request.fill is None:
        return _with_gaps(where, x, taps)
    # The image's mean is taken away first: squares of what is left lose fewer digits when they are subtracted.
    inside = x[np.isfinite(x)]
    middle = float(np.round(inside.mean())) if inside.size else 0.0
    x -= middle
    fill = complex(request.fill).real - middle
    deviations = taps - taps.mean()
    sums, squares = where.sums(x, fill), where.sums(x * x, fill * fill)
    spread = squares - sums * sums / taps.size
    noise = NOISE * np.finfo(np.float64).eps * squares
    power = float((deviations * deviations).sum())
    noise_of_template = NOISE * np.finfo(np.float64).eps * float((taps * taps).sum())
    norm = np.sqrt(np.maximum(spread, 0.0) * power)
    flat = (spread <= noise) | (power <= noise_of_template)
    if not relative:
        flat |= (
            norm
            <= np.finfo(
                np.float32 if request.image.dtype.itemsize < 8 and request.image.dtype.kind == "f" else np.float64
            ).eps
        )
    product = where.correlate(x, deviations, fill)
    result = np.divide(product, norm, out=np.zeros_like(product), where=~flat)
    return np.clip(result, -1.0, 1.0), np.ones(result.shape, request.length_type)


class _Windows:
    """Sums over the windows that a template lies on."""

    def __init__(self, request: Request, template: tuple[int, ...], *, pad_input: bool) -> None:
        self.request, self.template = request, template
        self.words: dict[str, Any] = {"precision": request.precision, "algorithm": request.algorithm}
        self.mode: Any = "same" if pad_input else "valid"

    def correlate(self, x: Array, taps: Array, fill: float) -> Array:
        """Return the sum of x * taps under every window."""
        request = self.request
        return correlate(x, taps, mode=self.mode, boundary=request.boundary, fill=fill, axes=request.axes, **self.words)

    def sums(self, x: Array, fill: float) -> Array:
        """Return the sum of x under every window, axis by axis."""
        request = self.request
        for axis, length, words in zip(request.axes, self.template, request.boundary, strict=True):
            ones = np.ones(length)
            x = correlate(x, ones, mode=self.mode, boundary=(words,), fill=fill, axes=axis, **self.words)
            fill *= length
        return x


def _with_gaps(where: _Windows, x: Array, taps: Array) -> tuple[Array, Array]:
    """Return the coefficients over the pixels that are there, each with the part of the template that lies on it."""
    request = where.request
    there = np.ones(x.shape) if request.missing is None else (~request.missing).astype(np.float64)
    outside = 0.0 if request.fill is None else 1.0
    x[there == 0] = 0
    inside = x[np.isfinite(x)]
    middle = float(inside.sum() / max(1.0, there.sum()))
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
