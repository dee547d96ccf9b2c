"""Derivative kernels. Their scale and sign are part of their definition, and stated in each docstring.

All are written for correlation: the first derivatives are positive where the image grows brighter along `axis`, the
second derivatives are positive in a dark spot on bright ground.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from striderule.errors import InvalidArgument
from striderule.geometry.arguments import integer
from striderule.kernels.arguments import Kernel, axis_of, outer, rank_of, reals_per_axis, whole
from striderule.kernels.smoothing import gaussian_profiles

DIFFERENCE = (-1, 0, 1)
# What smooths the axes beside the derivative: these sum to 4, 16 and 3.
SOBEL_SMOOTH = (1, 2, 1)
SCHARR_SMOOTH = (3, 10, 3)
PREWITT_SMOOTH = (1, 1, 1)


def gradient_profiles(smooth: Sequence[int], axis: int, rank: int, *, normalize: bool = False) -> list[Kernel]:
    """Return the one-dimensional kernels of a gradient along `axis`: a difference there, `smooth` on the other axes."""
    number = axis_of(axis, rank)
    profiles = [np.array(DIFFERENCE if i == number else smooth, dtype=np.int64) for i in range(rank)]
    if not normalize:
        return profiles
    return [profile / (2 if i == number else sum(smooth)) for i, profile in enumerate(profiles)]


def _gradient(smooth: Sequence[int], axis: int, ndim: int, normalize: bool) -> Kernel:
    kernel = outer(gradient_profiles(smooth, axis, rank_of(ndim), normalize=normalize))
    return kernel if normalize else whole(kernel)


def sobel(axis: int, ndim: int = 2, *, normalize: bool = False) -> Kernel:
    """Return the Sobel kernel along `axis`: (-1, 0, 1) there, (1, 2, 1) on every other axis.

    Scale: in two dimensions a step of height 1 gives 4, a slope of 1 an element gives 8; `normalize` divides so that
    the slope gives 1. Sign: positive where the image grows brighter along `axis`.

    Parameters
    ----------
    axis : int
        The axis along which brightness is compared: 0 downwards, 1 to the right.
    ndim : int, default 2
        Number of axes.
    normalize : bool, default False
        Give the slope for each element, as float64, instead of whole numbers (int16).

    Returns
    -------
    ndarray of int16, or of float64 with `normalize`; 3 elements on every axis

    Examples
    --------
    >>> sobel(1)
    array([[-1,  0,  1],
           [-2,  0,  2],
           [-1,  0,  1]], dtype=int16)
    """
    return _gradient(SOBEL_SMOOTH, axis, ndim, normalize)


def scharr(axis: int, ndim: int = 2, *, normalize: bool = False) -> Kernel:
    """Return the Scharr kernel along `axis`: (-1, 0, 1) there, (3, 10, 3) on every other axis.

    Scale: in two dimensions a step of height 1 gives 16, a slope of 1 an element gives 32; `normalize` divides so that
    the slope gives 1. Sign: positive where the image grows brighter along `axis`. Of the 3x3 gradients it depends least
    on the direction of the edge (H. Scharr, doctoral thesis, Heidelberg 2000).

    Parameters
    ----------
    axis : int
        The axis along which brightness is compared: 0 downwards, 1 to the right.
    ndim : int, default 2
        Number of axes.
    normalize : bool, default False
        Give the slope for each element, as float64, instead of whole numbers (int16).

    Returns
    -------
    ndarray of int16, or of float64 with `normalize`; 3 elements on every axis

    Examples
    --------
    >>> scharr(0)
    array([[ -3, -10,  -3],
           [  0,   0,   0],
           [  3,  10,   3]], dtype=int16)
    """
    return _gradient(SCHARR_SMOOTH, axis, ndim, normalize)


def prewitt(axis: int, ndim: int = 2, *, normalize: bool = False) -> Kernel:
    """Return the Prewitt kernel along `axis`: (-1, 0, 1) there, (1, 1, 1) on every other axis.

    Scale: in two dimensions a step of height 1 gives 3, a slope of 1 an element gives 6; `normalize` divides so that
    the slope gives 1. Sign: positive where the image grows brighter along `axis`.

    Parameters
    ----------
    axis : int
        The axis along which brightness is compared: 0 downwards, 1 to the right.
    ndim : int, default 2
        Number of axes.
    normalize : bool, default False
        Give the slope for each element, as float64, instead of whole numbers (int16).

    Returns
    -------
    ndarray of int16, or of float64 with `normalize`; 3 elements on every axis

    Examples
    --------
    >>> prewitt(0)
    array([[-1, -1, -1],
           [ 0,  0,  0],
           [ 1,  1,  1]], dtype=int16)
    """
    return _gradient(PREWITT_SMOOTH, axis, ndim, normalize)


def roberts(axis: int) -> Kernel:
    """Return Roberts' cross, a difference along a diagonal: 0 down to the right, 1 down to the left.

    Scale: the difference of two elements sqrt(2) apart. Sign: positive where the image grows brighter *downwards* along
    the diagonal. Centre: as for every even kernel, index k // 2, the lower right element.

    Parameters
    ----------
    axis : {0, 1}
        Which diagonal.

    Returns
    -------
    ndarray of int16, shape (2, 2)

    Examples
    --------
    >>> roberts(0)
    array([[-1,  0],
           [ 0,  1]], dtype=int16)
    >>> roberts(1)
    array([[ 0, -1],
           [ 1,  0]], dtype=int16)
    """
    kernel = np.array([[-1, 0], [0, 1]], dtype=np.int16)
    return kernel if axis_of(axis, 2) == 0 else np.ascontiguousarray(kernel[:, ::-1])


def laplace(ndim: int = 2, *, connectivity: int = 1) -> Kernel:
    """Return the Laplacian: the sum of the neighbours minus as many times the element itself.

    Scale and sign: with `connectivity` 1 it is the sum of the second differences (1, -2, 1) along every axis, negative
    in the middle, so positive where an element is darker than its neighbours.

    Parameters
    ----------
    ndim : int, default 2
        Number of axes.
    connectivity : int, default 1
        Neighbours that differ on at most this many axes count: in two dimensions 1 is the 4-neighbour and 2 the
        8-neighbour kernel; at most `ndim`.

    Returns
    -------
    ndarray of int16, 3 elements on every axis

    Examples
    --------
    >>> laplace()
    array([[ 0,  1,  0],
           [ 1, -4,  1],
           [ 0,  1,  0]], dtype=int16)
    >>> laplace(connectivity=2)
    array([[ 1,  1,  1],
           [ 1, -8,  1],
           [ 1,  1,  1]], dtype=int16)
    """
    rank = rank_of(ndim)
    number = integer(connectivity, "connectivity")
    if not 1 <= number <= rank:
        raise InvalidArgument(f"connectivity must be between 1 and ndim = {rank}, got {connectivity}")
    if rank > 9:  # 3**10 neighbours no longer fit int16
        raise InvalidArgument(f"ndim must be at most 9, got {ndim}")
    kernel = np.zeros((3,) * rank, dtype=np.int16)
    for offsets in itertools.product((0, 1, 2), repeat=rank):
        kernel[offsets] = 1 if sum(offset != 1 for offset in offsets) <= number else 0
    kernel[(1,) * rank] = 1 - int(kernel.sum())
    return kernel


def edge(ndim: int = 2) -> Kernel:
    """Return the edge kernel of many textbooks: all neighbours -1, the middle their number; 8 in two dimensions.

    It is the Laplacian of all neighbours with the opposite sign: positive where an element is *brighter* than its
    neighbours. It sums to 0.

    Parameters
    ----------
    ndim : int, default 2
        Number of axes.

    Returns
    -------
    ndarray of int16, 3 elements on every axis

    Examples
    --------
    >>> edge()
    array([[-1, -1, -1],
           [-1,  8, -1],
           [-1, -1, -1]], dtype=int16)
    """
    rank = rank_of(ndim)
    return -laplace(rank, connectivity=rank)


def log(
    sigma: float | Sequence[float],
    size: int | Sequence[int] | None = None,
    *,
    truncate: float = 4.0,
    ndim: int | None = None,
) -> Kernel:
    """Return the Laplacian of a Gaussian: the sum over the axes of its second derivative along each.

    Scale: the second derivatives of the sampled, normalised Gaussian, as in ``scipy.ndimage.gaussian_laplace``;
    multiply by sigma^2 to compare scales. Sign: negative in the middle, so positive in a dark spot. Because it is
    sampled, the sum is not exactly 0 for small sigma.

    Parameters
    ----------
    sigma : float or one float for each axis
        Standard deviation in elements, more than 0.
    size, truncate, ndim : optional
        As in `gaussian`.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> log(1, size=3).round(2)
    array([[ 0.  , -0.12,  0.  ],
           [-0.12, -0.41, -0.12],
           [ 0.  , -0.12,  0.  ]])
    """
    rank = rank_of(ndim, sigma=sigma, size=size)
    total: Kernel | None = None
    for axis in range(rank):
        order = [2 if i == axis else 0 for i in range(rank)]
        term = outer(gaussian_profiles(sigma, size, rank, order=order, truncate=truncate))
        total = term if total is None else total + term
    assert total is not None  # rank is at least 1
    return total


def dog(
    sigma1: float | Sequence[float],
    sigma2: float | Sequence[float] | None = None,
    *,
    truncate: float = 4.0,
    ndim: int | None = None,
) -> Kernel:
    """Return the difference of two Gaussians, the narrow one minus the wide one.

    Scale: both sum to 1, the difference to 0. Sign: positive in the middle, so positive in a *bright* spot: the
    opposite of `log`, which it resembles for sigma2 / sigma1 = 1.6 (Marr and Hildreth 1980).

    Parameters
    ----------
    sigma1 : float or one float for each axis
        The narrow standard deviation in elements.
    sigma2 : float or one float for each axis, optional
        The wide one, at least `sigma1` on every axis; 1.6 sigma1 by default.
    truncate, ndim : optional
        As in `gaussian`.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> dog(1, 2).shape
    (17, 17)
    >>> bool(abs(dog(1, 2).sum()) < 1e-12)
    True
    """
    rank = rank_of(ndim, sigma1=sigma1, sigma2=sigma2)
    narrow, wide = dog_sigmas(sigma1, sigma2, rank)
    kernel = outer(gaussian_profiles(wide, None, rank, truncate=truncate))
    inner = outer(gaussian_profiles(narrow, None, rank, truncate=truncate))
    margins = [(big - small) // 2 for big, small in zip(kernel.shape, inner.shape, strict=True)]
    window = tuple(slice(m, m + small) for m, small in zip(margins, inner.shape, strict=True))
    difference = -kernel
    difference[window] += inner
    return difference


def dog_sigmas(
    sigma1: float | Sequence[float], sigma2: float | Sequence[float] | None, rank: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the narrow and the wide standard deviations, one for each axis."""
    narrow = reals_per_axis(sigma1, rank, "sigma1")
    wide = tuple(1.6 * sigma for sigma in narrow) if sigma2 is None else reals_per_axis(sigma2, rank, "sigma2")
    if any(large < small for small, large in zip(narrow, wide, strict=True)):
        raise InvalidArgument(f"sigma2 must be at least sigma1 on every axis, got sigma1={sigma1} and sigma2={sigma2}")
    return narrow, wide
