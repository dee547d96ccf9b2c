"""Pooling with one window shape, under PyTorch's names: max and average."""

from __future__ import annotations

from typing import Any

from striderule.functional import door, pools, recipes
from striderule.functional.door import Array
from striderule.geometry.pooling import Pooling


@recipes.remembered
@door.accepts_input
def max_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest value of every window: `max_pool2d` for one spatial axis.

    out[n, c, j] = max over taps t of x[n, c, j * stride + t * dilation - padding before]

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width) or (width,).
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, algorithm, out
        As in `max_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `max_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.MaxPool1d.

    Examples
    --------
    >>> max_pool1d([1, 4, 2, 8, 5, 7], 2)
    array([4, 8, 7])
    """
    value, image, axes = pools.opened("max_pool1d", x, 1, ordered=True)
    problem = Pooling.from_shape("max", image.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return pools.largest(
        "max_pool", problem, value, image, axes, return_indices=return_indices, algorithm=algorithm, out=out
    )


@recipes.remembered
@door.accepts_input
def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest value of every window.

    out[n, c, j] = max over taps t of x[n, c, j * stride + t * dilation - padding before]

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width) or (height, width), of any real type, which is kept.
    kernel_size
        Taps of the window: one integer, or one an axis.
    stride
        Steps between windows, at least 1. Default: the kernel size.
    padding
        Positions added to each side, which are never the largest: one value or one an axis, each a number, a
        (before, after) pair or ``"same"``; at most half the kernel size. Default 0.
    dilation
        Distance between taps, at least 1. Default 1.
    ceil_mode
        Round the output size up; a last window that would start beyond the input is left out. Default False.
    return_indices
        Also return where each value stands in its plane of x, counted through row by row (int64), for `max_unpool2d`.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; a pair of arrays with `return_indices`.

    Returns
    -------
    numpy.ndarray, or (values, indices)
        (batch, channels, out height, out width) with the axes that x came with, where out =
        floor((size + padding before + padding after - dilation * (kernel_size - 1) - 1) / stride) + 1. NaN counts as
        the largest. Of equal values the first is meant, of several NaN the last. A window without any element (it can
        only arise with dilation) gives the least value of the type, and the index -1.

    Raises
    ------
    InvalidArgument
        If padding exceeds half the kernel size, no output is left, or an argument breaks another rule.
    InvalidType
        For complex numbers, lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    Formula and rules are those of torch.nn.MaxPool2d; see Goodfellow, Bengio and Courville, Deep Learning (2016),
    section 9.3.

    Examples
    --------
    >>> import numpy as np
    >>> max_pool2d(np.arange(16).reshape(4, 4), 2)
    array([[ 5,  7],
           [13, 15]])
    >>> values, indices = max_pool2d([[1.0, 5.0], [2.0, 3.0]], 2, return_indices=True)
    >>> values, indices
    (array([[5.]]), array([[1]]))
    """
    value, image, axes = pools.opened("max_pool2d", x, 2, ordered=True)
    problem = Pooling.from_shape("max", image.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return pools.largest(
        "max_pool", problem, value, image, axes, return_indices=return_indices, algorithm=algorithm, out=out
    )


@recipes.remembered
@door.accepts_input
def max_pool3d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest value of every window: `max_pool2d` for three spatial axes.

    out[n, c, j] = max over taps t of x[n, c, j * stride + t * dilation - padding before]

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), (channels, depth, height, width) or (depth, height, width).
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, algorithm, out
        As in `max_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `max_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.MaxPool3d.

    Examples
    --------
    >>> import numpy as np
    >>> max_pool3d(np.arange(8).reshape(2, 2, 2), 2)
    array([[[7]]])
    """
    value, image, axes = pools.opened("max_pool3d", x, 3, ordered=True)
    problem = Pooling.from_shape("max", image.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return pools.largest(
        "max_pool", problem, value, image, axes, return_indices=return_indices, algorithm=algorithm, out=out
    )


@recipes.remembered
@door.accepts_input
def avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Any = 1,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take the average of every window: `avg_pool2d` for one spatial axis.

    out[n, c, j] = sum over taps t of x[n, c, j * stride + t * dilation - padding before] / count

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width) or (width,).
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation, dtype, algorithm, out
        As in `avg_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `avg_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.AvgPool1d, which has no divisor_override.

    Examples
    --------
    >>> avg_pool1d([1.0, 3.0, 5.0, 7.0], 2)
    array([2., 6.])
    """
    value, image, axes = pools.opened("avg_pool1d", x, 1)
    problem = Pooling.from_shape(
        "average",
        image.shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )
    return pools.averaged("average_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)


@recipes.remembered
@door.accepts_input
def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Any = 1,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take the average of every window.

    out[n, c, j] = sum over taps t of x[n, c, j * stride + t * dilation - padding before] / count

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width) or (height, width), of any type.
    kernel_size, stride, padding
        As in `max_pool2d`; what stands in the padding is zero.
    ceil_mode
        Round the output size up; a last window that would start beyond the input is left out. Default False.
    count_include_pad
        Whether the positions in the padding count in the divisor. Default True. What a ceil-mode window reaches beyond
        the padding never counts.
    divisor_override
        Divide by this number instead of the count; any integer but 0.
    dilation
        Distance between taps, at least 1. Default 1.
    dtype
        Type of the result. Default: that of x; averages of integers are floats, float32 for integers of up to 16 bits,
        else float64. Integers asked for are rounded half to even and saturated.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to.

    Returns
    -------
    numpy.ndarray
        (batch, channels, out height, out width) with the axes that x came with; sizes as in `max_pool2d`. Sums are
        formed in float64 (complex128).

    Raises
    ------
    InvalidArgument
        If padding exceeds half the kernel size, no output is left, divisor_override is 0, or another rule is broken.
    InvalidType
        For lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    Formula and rules are those of torch.nn.AvgPool2d, which has no dilation and no integers.

    Examples
    --------
    >>> avg_pool2d([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 2, stride=1)
    array([[3., 4.]])
    >>> avg_pool2d([[1.0, 2.0, 3.0]], (1, 3), stride=1, padding=(0, 1), count_include_pad=False)
    array([[1.5, 2. , 2.5]])
    """
    value, image, axes = pools.opened("avg_pool2d", x, 2)
    problem = Pooling.from_shape(
        "average",
        image.shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )
    return pools.averaged("average_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)


@recipes.remembered
@door.accepts_input
def avg_pool3d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Any = 1,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take the average of every window: `avg_pool2d` for three spatial axes.

    out[n, c, j] = sum over taps t of x[n, c, j * stride + t * dilation - padding before] / count

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), (channels, depth, height, width) or (depth, height, width).
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation, dtype, algorithm, out
        As in `avg_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `avg_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.AvgPool3d.

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool3d(np.arange(8).reshape(2, 2, 2), 2)
    array([[[3.5]]])
    """
    value, image, axes = pools.opened("avg_pool3d", x, 3)
    problem = Pooling.from_shape(
        "average",
        image.shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )
    return pools.averaged("average_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)
