"""Pooling by p-norms, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from striderule.functional import door, pools, recipes
from striderule.functional.door import Array
from striderule.geometry.pooling import Pooling


@recipes.remembered
@door.accepts_input
def lp_pool1d(
    x: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of every window: `lp_pool2d` for one spatial axis.

    out[n, c, j] = (sum over taps t of x[n, c, j * stride + t] ** p) ** (1 / p), with p = norm_type

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width) or (width,).
    norm_type, kernel_size, stride, ceil_mode, dtype, algorithm, out
        As in `lp_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `lp_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.LPPool1d.

    Examples
    --------
    >>> lp_pool1d([3.0, 4.0, 6.0, 8.0], 2, 2)
    array([ 5., 10.])
    """
    value, image, axes = pools.opened("lp_pool1d", x, 1, ordered=True)
    problem = Pooling.from_shape("lp", image.shape, kernel_size, stride, ceil_mode=ceil_mode, norm=norm_type)
    return pools.averaged("lp_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)


@recipes.remembered
@door.accepts_input
def lp_pool2d(
    x: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of every window, without taking absolute values first.

    out[n, c, j] = (sum over taps t of x[n, c, j * stride + t] ** p) ** (1 / p), with p = norm_type

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width) or (height, width), of any real type.
    norm_type
        The exponent p: any number but 0. 1 sums, 2 is the Euclidean length; inf and -inf give the largest and smallest
        absolute value. As PyTorch defines it, a sum that is negative has no real root and gives NaN, unless p is 1.
    kernel_size
        Taps of the window: one integer, or one an axis.
    stride
        Steps between windows, at least 1. Default: the kernel size.
    ceil_mode
        Round the output size up; where the last window is cut off, its sum is scaled up to a full window. Default
        False.
    dtype
        Type of the result. Default: that of x; float32 for integers of up to 16 bits, else float64.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to.

    Returns
    -------
    numpy.ndarray
        (batch, channels, out height, out width) with the axes that x came with; sizes as in `max_pool2d`.

    Raises
    ------
    InvalidArgument
        If norm_type is 0, no output is left, or an argument breaks another rule.
    InvalidType
        For complex numbers, lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    Formula and rules are those of torch.nn.LPPool2d; powers and sums are formed in float64, so they overflow later.

    Examples
    --------
    >>> lp_pool2d([[3.0, 4.0], [0.0, 0.0]], 2, 2)
    array([[5.]])
    """
    value, image, axes = pools.opened("lp_pool2d", x, 2, ordered=True)
    problem = Pooling.from_shape("lp", image.shape, kernel_size, stride, ceil_mode=ceil_mode, norm=norm_type)
    return pools.averaged("lp_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)


@recipes.remembered
@door.accepts_input
def lp_pool3d(
    x: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of every window: `lp_pool2d` for three spatial axes.

    out[n, c, j] = (sum over taps t of x[n, c, j * stride + t] ** p) ** (1 / p), with p = norm_type

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), (channels, depth, height, width) or (depth, height, width).
    norm_type, kernel_size, stride, ceil_mode, dtype, algorithm, out
        As in `lp_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `lp_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.LPPool3d.

    Examples
    --------
    >>> import numpy as np
    >>> lp_pool3d(np.ones((2, 2, 2)), 1, 2)
    array([[[8.]]])
    """
    value, image, axes = pools.opened("lp_pool3d", x, 3, ordered=True)
    problem = Pooling.from_shape("lp", image.shape, kernel_size, stride, ceil_mode=ceil_mode, norm=norm_type)
    return pools.averaged("lp_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)
