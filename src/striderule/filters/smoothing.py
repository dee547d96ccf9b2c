"""Filters that smooth: weighted means. They give back the image's type, rounded half to even and saturated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from striderule import kernels
from striderule.filters import like as likeness
from striderule.filters.differentiable import by, differentiable
from striderule.filters.differentiable import mean as mean_rule
from striderule.filters.passes import Operator, answer
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import door
from striderule.kernels.arguments import sizes_per_axis
from striderule.kernels.smoothing import gaussian_profiles


@differentiable
@public
def gaussian(
    image: Any,
    sigma: float | Sequence[float] | None = None,
    *,
    size: int | Sequence[int] | None = None,
    order: int | Sequence[int] = 0,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Blur with a Gaussian, or take a Gaussian derivative: correlation with `striderule.kernels.gaussian`.

    The kernel is sampled and normalised, of radius int(truncate sigma + 0.5), and applied axis by axis.

    Parameters
    ----------
    image : ndarray of any rank
    sigma : float or one float for each filtered axis
        Standard deviation in elements; 0 leaves an axis alone. Must be given, except with `like`, where the library's
        own default is taken.
    size : int or one int for each filtered axis, optional
        Length of the window instead of `truncate`.
    order : int or one int for each filtered axis, default 0
        1 is the first derivative along that axis (positive where the image grows brighter), 2 the second.
    truncate : float, default 4.0
        Where the window ends, in standard deviations.
    like : {"scipy", "skimage", "opencv"}, optional
        Give exactly what ``scipy.ndimage.gaussian_filter``, ``skimage.filters.gaussian`` or ``cv2.GaussianBlur`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        In the image's type; derivatives of integer images in float32 (float64 for 32 and 64 bits).

    Raises
    ------
    InvalidArgument
        For a negative sigma, or numbers of entries that do not fit the filtered axes.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((1, 5), np.uint8)
    >>> image[0, 2] = 200
    >>> gaussian(image, 1, axes=1)
    array([[12, 48, 80, 48, 12]], dtype=uint8)
    """
    if like is not None:
        arguments = {"sigma": sigma, "size": size, "order": order, "truncate": truncate}
        return likeness.answer("gaussian", like, image, arguments, keywords)
    request = Request.of("gaussian", image, keywords)
    profiles = gaussian_profiles(
        likeness.needed(sigma, "gaussian", "sigma"),
        size,
        request.rank,
        order=order,
        truncate=truncate,
    )
    request = request.settle(request.signed_type if np.any(order) else request.image.dtype)
    return answer(request, None, Operator.separable(request, profiles))


@differentiable
@public
def box(
    image: Any,
    size: int | Sequence[int] | None = None,
    *,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Replace every element by the mean of the window around it: correlation with `striderule.kernels.box`.

    Parameters
    ----------
    image : ndarray of any rank
    size : int or one int for each filtered axis
        Length of the window in elements. An even window is centred on index size // 2: it reaches further back than
        forward. Must be given, except with ``like="scipy"``, where it is 3.
    like : {"scipy", "opencv"}, optional
        Give exactly what ``scipy.ndimage.uniform_filter`` or ``cv2.blur`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape and type
        Integers are summed exactly (up to 2**53), divided once and rounded half to even.

    Examples
    --------
    >>> import numpy as np
    >>> box(np.array([1.0, 2.0, 6.0]), 3)
    array([1.33333333, 3.        , 4.66666667])
    """
    if like is not None:
        return likeness.answer("box", like, image, {"size": size}, keywords)
    request = Request.of("box", image, keywords)
    sizes = sizes_per_axis(likeness.needed(size, "box", "size"), request.rank)
    request = request.settle(request.image.dtype)
    # Sums first and one division last, so that means of integers are exact until they are rounded.
    operator = Operator.separable(request, [np.ones(length) for length in sizes], math.prod(sizes))
    return answer(request, None, operator)


@by(mean_rule)
@door.accepts_input
def mean(image: Any, size: int | Sequence[int], **keywords: Any) -> Array:
    """Return the mean of the window around every element; another name of `box`.

    Parameters
    ----------
    image, size
        As in `box`.
    **keywords
        The others of `box`.

    Returns
    -------
    ndarray of the image's shape and type

    Examples
    --------
    >>> import numpy as np
    >>> mean(np.array([[0, 9, 0]], np.uint8), 3)
    array([[3, 3, 3]], dtype=uint8)
    """
    return box(image, size, **keywords)


@differentiable
@public
def motion(image: Any, length: float, angle: float = 0.0, **keywords: Unpack[Keywords]) -> Array:
    """Blur along a line, as a moving camera does: correlation with `striderule.kernels.motion`.

    Parameters
    ----------
    image : ndarray with two axes to filter
    length : float
        Length of the movement in elements, at least 1.
    angle : float, default 0
        Direction in degrees, counter-clockwise from the right as the picture is seen.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape and type

    Examples
    --------
    >>> import numpy as np
    >>> motion(np.array([[0, 0, 90, 0, 0]], np.uint8), 3)
    array([[ 0, 30, 30, 30,  0]], dtype=uint8)
    """
    request = Request.of("motion", image, keywords, rank=2)
    kernel = kernels.motion(length, angle)
    request = request.settle(request.image.dtype)
    return answer(request, None, Operator.direct(request, kernel))
