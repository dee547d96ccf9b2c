"""Kernels that sharpen, emboss, or look for a texture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from striderule.kernels.arguments import Kernel, check_elements, rank_of, real, whole
from striderule.kernels.derivatives import laplace
from striderule.kernels.smoothing import gaussian


def sharpen(amount: float = 1.0, ndim: int = 2) -> Kernel:
    """Return the image plus `amount` times what the Laplacian finds: identity - amount * laplace. It sums to 1.

    Parameters
    ----------
    amount : float, default 1
        How strongly; 0 changes nothing. A whole number gives int16, anything else float64.
    ndim : int, default 2
        Number of axes.

    Returns
    -------
    ndarray of int16 or float64, 3 elements on every axis

    Examples
    --------
    >>> sharpen()
    array([[ 0, -1,  0],
           [-1,  5, -1],
           [ 0, -1,  0]], dtype=int16)
    """
    amount = real(amount, "amount")
    rank = rank_of(ndim)
    kernel = -amount * laplace(rank).astype(np.float64)
    kernel[(1,) * rank] += 1.0
    fits_int16 = amount == int(amount) and bool(np.abs(kernel).max() < 2**15)
    # Adding 0 turns the negative zeros of the corners into plain ones.
    return whole(kernel) if fits_int16 else kernel + 0.0


def unsharp(
    sigma: float | Sequence[float] = 1.0, amount: float = 1.0, *, truncate: float = 4.0, ndim: int | None = None
) -> Kernel:
    """Return the unsharp mask as one kernel: (1 + amount) * identity - amount * gaussian(sigma). It sums to 1.

    Parameters
    ----------
    sigma : float or one float for each axis, default 1
        Standard deviation of the blur in elements.
    amount : float, default 1
        How strongly; 0 changes nothing, -1 is the blur itself.
    truncate, ndim : optional
        As in `gaussian`.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> unsharp(1, 0.5).shape
    (9, 9)
    """
    amount = real(amount, "amount")
    kernel = -amount * gaussian(sigma, truncate=truncate, ndim=ndim)
    kernel[tuple(length // 2 for length in kernel.shape)] += 1.0 + amount
    return kernel


def emboss() -> Kernel:
    """Return the emboss kernel: a relief lit from the lower right, kept in the image's own brightness. It sums to 1.

    Edges that grow brighter down to the right turn bright, the opposite ones dark.

    Returns
    -------
    ndarray of int16, shape (3, 3)

    Examples
    --------
    >>> emboss()
    array([[-2, -1,  0],
           [-1,  1,  1],
           [ 0,  1,  2]], dtype=int16)
    """
    return np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=np.int16)


def gabor_sigma(frequency: float, bandwidth: float) -> float:
    """Return the standard deviation in elements at which a Gabor kernel has `bandwidth` octaves.

    sigma = sqrt(ln 2 / 2) / pi * (2^b + 1) / (2^b - 1) / frequency: half of the peak response is left b/2 octaves off
    (N. Petkov and M. B. Wieling, Gabor filter for image processing and computer vision).
    """
    octaves = math.pow(2.0, bandwidth)
    ratio = (octaves + 1.0) / (octaves - 1.0)
    return 1.0 / math.pi * math.sqrt(math.log(2.0) / 2.0) * ratio / frequency


def gabor(
    frequency: float,
    theta: float = 0.0,
    *,
    bandwidth: float = 1.0,
    sigma_x: float | None = None,
    sigma_y: float | None = None,
    n_stds: float = 3.0,
    offset: float = 0.0,
    dtype: Any = np.complex128,
) -> Kernel:
    """Return the complex Gabor kernel: a Gaussian times a plane wave. Names and meaning are scikit-image's.

    With u = x cos(theta) + y sin(theta) and v = -x sin(theta) + y cos(theta), x to the right and y down from the
    middle, g = exp(-u^2 / (2 sigma_x^2) - v^2 / (2 sigma_y^2) + i (2 pi frequency u + offset)) / (2 pi sigma_x
    sigma_y).

    Parameters
    ----------
    frequency : float
        Waves for each element, more than 0.
    theta : float, default 0
        Direction in radians in which the wave runs; 0 is along the rows (to the right), pi/2 downwards.
    bandwidth : float, default 1
        In octaves, more than 0; sets the standard deviations that are not given.
    sigma_x, sigma_y : float, optional
        Standard deviation in elements along the wave and across it.
    n_stds : float, default 3
        Where the window ends, in standard deviations.
    offset : float, default 0
        Phase of the wave in radians.
    dtype : complex64 or complex128 (default)
        Type of the kernel.

    Returns
    -------
    ndarray, complex, two axes of odd length

    Examples
    --------
    >>> kernel = gabor(0.25)
    >>> kernel.shape, bool(kernel[7, 7].imag == 0)
    ((15, 15), True)
    """
    frequency = real(frequency, "frequency", above=0.0)
    theta = real(theta, "theta")
    natural = gabor_sigma(frequency, real(bandwidth, "bandwidth", above=0.0))
    along = natural if sigma_x is None else real(sigma_x, "sigma_x", above=0.0)
    across = natural if sigma_y is None else real(sigma_y, "sigma_y", above=0.0)
    stds = real(n_stds, "n_stds", above=0.0)
    phase = real(offset, "offset")
    cosine, sine = math.cos(theta), math.sin(theta)
    # The window is the smallest that holds the turned rectangle of n_stds standard deviations' half axes.
    columns = math.ceil(max(abs(stds * along * cosine), abs(stds * across * sine), 1.0))
    rows = math.ceil(max(abs(stds * across * cosine), abs(stds * along * sine), 1.0))
    check_elements((2 * rows + 1, 2 * columns + 1))
    y, x = np.ogrid[-rows : rows + 1, -columns : columns + 1]
    u = x * cosine + y * sine
    v = -x * sine + y * cosine
    envelope = -0.5 * (u**2 / along**2 + v**2 / across**2)
    kernel: Kernel = np.exp(envelope + 1j * (2.0 * math.pi * frequency * u + phase))
    kernel = kernel.astype(dtype, copy=False)
    kernel *= 1.0 / (2.0 * math.pi * along * across)
    return kernel
