"""Smoothing kernels: they sum to 1, so that an even area keeps its value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from striderule.errors import InvalidArgument
from striderule.geometry.arguments import integer, per_axis
from striderule.kernels.arguments import Kernel, check_elements, outer, rank_of, real, reals_per_axis, sizes_per_axis

# Beyond this order a Gaussian's derivative has more wiggles than any sampled window of use can hold.
LARGEST_ORDER = 16
# Below this a Gaussian has weight on its middle only, and the square of its sigma is no longer a normal number.
TINY_SIGMA = 1e-100


def identity(ndim: int = 2) -> Kernel:
    """Return the kernel that changes nothing: a single 1, with one element on each of `ndim` axes.

    Parameters
    ----------
    ndim : int, default 2
        Number of axes.

    Returns
    -------
    ndarray of int16

    Examples
    --------
    >>> identity()
    array([[1]], dtype=int16)
    """
    return np.ones((1,) * rank_of(ndim), dtype=np.int16)


def box(size: int | Sequence[int], ndim: int | None = None) -> Kernel:
    """Return the mean of a window: every element is 1 / (number of elements).

    Parameters
    ----------
    size : int or one int for each axis
        Length of the window in elements, at least 1; may be even (see `striderule.correlate` for the centre).
    ndim : int, optional
        Number of axes; by default as many as `size` has entries, or 2.

    Returns
    -------
    ndarray of float64, shape `size`

    Examples
    --------
    >>> box(2)
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """
    sizes = sizes_per_axis(size, rank_of(ndim, size=size))
    return np.full(sizes, 1.0 / math.prod(sizes))


def gaussian_profile(sigma: float, size: int | None = None, *, order: int = 0, truncate: float = 4.0) -> Kernel:
    """Return the one-dimensional Gaussian, sampled and normalised, or a derivative of it: see `gaussian`.

    Examples
    --------
    >>> gaussian_profile(1, size=3).round(4)
    array([0.2741, 0.4519, 0.2741])
    >>> gaussian_profile(1, size=3, order=1).round(4)
    array([-0.2741,  0.    ,  0.2741])
    """
    sigma = real(sigma, "sigma", minimum=0.0)
    order = integer(order, "order")
    if not 0 <= order <= LARGEST_ORDER:
        raise InvalidArgument(f"order must be between 0 and {LARGEST_ORDER}, got {order}")
    if size is None:
        reach = real(truncate, "truncate", minimum=0.0) * sigma + 0.5
        check_elements((math.ceil(2 * reach),))
        size = 2 * int(reach) + 1
    else:
        size = sizes_per_axis(size, 1)[0]
    # Centred on the middle of the window: on an element when the size is odd, between two when it is even.
    x = np.arange(size) - (size - 1) / 2
    if sigma < TINY_SIGMA:
        return _spike(x, sigma, order)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    total = weights.sum()
    if total == 0.0:  # an even size, and sigma so small that the two elements beside the middle underflow
        return _spike(x, sigma, order)
    profile: Kernel = weights / total
    return profile if order == 0 else _hermite(x / sigma, order) * profile / sigma**order


def _spike(x: Kernel, sigma: float, order: int) -> Kernel:
    """Return the limit for sigma -> 0: all weight in the middle, on the two middle elements for even sizes."""
    if order:
        raise InvalidArgument(f"sigma is too small for a derivative (order {order}), got {sigma:g}")
    weights = (np.abs(x) <= 0.5).astype(np.float64)
    spike: Kernel = weights / weights.sum()
    return spike


def _hermite(x: Kernel, order: int) -> Kernel:
    """Return the probabilists' Hermite polynomial He_n(x), by He_{n+1} = x He_n - n He_{n-1}.

    The n-th derivative of exp(-x^2 / 2) is (-1)^n He_n(x) exp(-x^2 / 2). A correlation reads the derivative backwards,
    which takes the sign (-1)^n away: He_n is odd for odd n.
    """
    before, current = np.zeros_like(x), np.ones_like(x)
    for n in range(order):
        before, current = current, x * current - n * before
    return current


def gaussian(
    sigma: float | Sequence[float],
    size: int | Sequence[int] | None = None,
    *,
    order: int | Sequence[int] = 0,
    truncate: float = 4.0,
    ndim: int | None = None,
) -> Kernel:
    """Return the sampled, normalised Gaussian of standard deviation `sigma`, or a derivative of it.

    For order 0 on each axis, w(x) = exp(-x^2 / (2 sigma^2)) / sum over the window, x in elements from the middle. Order
    n multiplies this by He_n(x / sigma) / sigma^n: the n-th derivative, written for correlation (order 1 is positive
    where the image grows brighter). As in ``scipy.ndimage.gaussian_filter``, derivatives are sampled and not scaled
    again.

    Parameters
    ----------
    sigma : float or one float for each axis
        Standard deviation in elements, at least 0 (0 leaves that axis alone).
    size : int or one int for each axis, optional
        Length of the window. By default 2 radius + 1 with radius int(truncate sigma + 0.5). With an even size the
        middle lies between two elements: the kernel stays symmetric, and shifts the image by half an element.
    order : int or one int for each axis, default 0
        Which derivative, at most 16.
    truncate : float, default 4.0
        Where the window ends, in standard deviations; not used when `size` is given.
    ndim : int, optional
        Number of axes; by default as many as the arguments have entries, or 2.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InvalidArgument
        For a negative sigma, a size below 1, or numbers of entries that do not fit `ndim`.

    Examples
    --------
    >>> gaussian(1, size=3).round(3)
    array([[0.075, 0.124, 0.075],
           [0.124, 0.204, 0.124],
           [0.075, 0.124, 0.075]])
    >>> gaussian((1.0, 2.0)).shape
    (9, 17)
    """
    rank = rank_of(ndim, sigma=sigma, size=size, order=order)
    return outer(gaussian_profiles(sigma, size, rank, order=order, truncate=truncate))


def gaussian_profiles(sigma: Any, size: Any, rank: int, *, order: Any = 0, truncate: float = 4.0) -> list[Kernel]:
    """Return the one-dimensional kernels whose outer product is `gaussian` on `rank` axes."""
    sigmas = reals_per_axis(sigma, rank, "sigma")
    sizes: tuple[int | None, ...] = (None,) * rank if size is None else sizes_per_axis(size, rank)
    orders = per_axis(order, rank, "order", 0)
    return [
        gaussian_profile(one, length, order=n, truncate=truncate)
        for one, length, n in zip(sigmas, sizes, orders, strict=True)
    ]


def disk(radius: float, ndim: int = 2) -> Kernel:
    """Return the mean over a disk (a ball for `ndim` 3): elements at most `radius` from the middle count alike.

    Parameters
    ----------
    radius : float
        In elements, at least 0. The window has 2 int(radius) + 1 elements on each axis.
    ndim : int, default 2
        Number of axes.

    Returns
    -------
    ndarray of float64, summing to 1

    Examples
    --------
    >>> disk(1) * 5
    array([[0., 1., 0.],
           [1., 1., 1.],
           [0., 1., 0.]])
    """
    radius = real(radius, "radius", minimum=0.0)
    rank = rank_of(ndim)
    reach = int(radius)
    check_elements((2 * reach + 1,) * rank)
    squares = np.arange(-reach, reach + 1, dtype=np.float64) ** 2
    distance = np.zeros((1,) * rank)
    for axis in range(rank):
        distance = distance + squares.reshape((-1,) + (1,) * axis)
    inside = (distance <= radius**2).astype(np.float64)
    kernel: Kernel = inside / inside.sum()
    return kernel


def motion(length: float, angle: float = 0.0) -> Kernel:
    """Return the blur of a camera that moves on a straight line: a line of `length` elements at `angle` degrees.

    Each element weighs max(0, 1 - d), d its distance in elements from the line segment of length `length` - 1 through
    the middle; the sum is 1. This is the anti-aliased line of MATLAB's ``fspecial('motion')``.

    Parameters
    ----------
    length : float
        Length of the movement in elements, at least 1 (1 changes nothing).
    angle : float, default 0
        Direction in degrees, counter-clockwise from the right as the picture is seen (rows go down).

    Returns
    -------
    ndarray of float64, two axes of odd length

    Examples
    --------
    >>> motion(3)
    array([[0.33333333, 0.33333333, 0.33333333]])
    >>> motion(3, 90).shape
    (3, 1)
    """
    half = (real(length, "length", minimum=1.0) - 1.0) / 2.0
    turn = math.radians(real(angle, "angle") % 180.0)
    # Rows go down, so that counter-clockwise on the screen is towards smaller rows.
    down, right = -math.sin(turn), math.cos(turn)
    check_elements((2 * math.ceil(half + 1) + 1,) * 2)
    reach = math.ceil(half + 1.0)
    i, j = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    along = np.clip(i * down + j * right, -half, half)
    distance = np.hypot(i - along * down, j - along * right)
    # Distances that are 1 but for rounding (the cosine of 90 degrees is not quite 0) must not add a rim of dust.
    weights = np.where(distance < 1.0 - 1e-12, 1.0 - distance, 0.0)
    weights[distance < 1e-12] = 1.0
    rows = int(np.abs(np.nonzero(weights.any(axis=1))[0] - reach).max())
    columns = int(np.abs(np.nonzero(weights.any(axis=0))[0] - reach).max())
    trimmed = weights[reach - rows : reach + rows + 1, reach - columns : reach + columns + 1]
    kernel: Kernel = trimmed / trimmed.sum()
    return kernel
