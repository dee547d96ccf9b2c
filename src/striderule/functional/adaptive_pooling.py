"""Pooling to a given output size, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from striderule.functional import door, pools, recipes
from striderule.functional.door import Array
from striderule.geometry.pooling import AdaptivePooling


@recipes.remembered
@door.accepts_input
def adaptive_avg_pool1d(
    x: Any,
    output_size: Any,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take averages of as many windows as asked for: `adaptive_avg_pool2d` for one spatial axis.

    out[n, c, j] = mean of x[n, c, floor(j * size / out) to ceil((j + 1) * size / out) - 1]

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width) or (width,).
    output_size, dtype, algorithm, out
        As in `adaptive_avg_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `adaptive_avg_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.AdaptiveAvgPool1d.

    Examples
    --------
    >>> adaptive_avg_pool1d([1.0, 2.0, 3.0, 6.0], 2)
    array([1.5, 4.5])
    """
    value, image, axes = pools.opened("adaptive_avg_pool1d", x, 1)
    problem = AdaptivePooling.from_shape("average", image.shape, output_size)
    return pools.averaged("average_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)


@recipes.remembered
@door.accepts_input
def adaptive_avg_pool2d(
    x: Any,
    output_size: Any,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take averages of as many windows as the output has elements.

    out[n, c, j] = mean of x[n, c, floor(j * size / out) to ceil((j + 1) * size / out) - 1]

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width) or (height, width), of any type.
    output_size
        Size of the output: one integer, or one an axis; None keeps the size of the input. 0 gives an empty result.
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
        (batch, channels, *output_size) with the axes that x came with. Sums are formed in float64 (complex128).

    Raises
    ------
    InvalidArgument
        If a spatial axis is empty or output_size is negative or of the wrong length.
    InvalidType
        For lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    Formula and rules are those of torch.nn.AdaptiveAvgPool2d. ``output_size=1`` is global average pooling.

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.arange(12.0).reshape(3, 4), (1, 2))
    array([[4.5, 6.5]])
    """
    value, image, axes = pools.opened("adaptive_avg_pool2d", x, 2)
    problem = AdaptivePooling.from_shape("average", image.shape, output_size)
    return pools.averaged("average_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)


@recipes.remembered
@door.accepts_input
def adaptive_avg_pool3d(
    x: Any,
    output_size: Any,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Take averages of as many windows as asked for: `adaptive_avg_pool2d` for three axes.

    out[n, c, j] = mean of x[n, c, floor(j * size / out) to ceil((j + 1) * size / out) - 1]

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), (channels, depth, height, width) or (depth, height, width).
    output_size, dtype, algorithm, out
        As in `adaptive_avg_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `adaptive_avg_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.AdaptiveAvgPool3d.

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool3d(np.arange(8.0).reshape(2, 2, 2), 1)
    array([[[3.5]]])
    """
    value, image, axes = pools.opened("adaptive_avg_pool3d", x, 3)
    problem = AdaptivePooling.from_shape("average", image.shape, output_size)
    return pools.averaged("average_pool", problem, value, image, axes, dtype=dtype, algorithm=algorithm, out=out)


@recipes.remembered
@door.accepts_input
def adaptive_max_pool1d(
    x: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest values of as many windows as asked for: `adaptive_max_pool2d` for one spatial axis.

    out[n, c, j] = max of x[n, c, floor(j * size / out) to ceil((j + 1) * size / out) - 1]

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width) or (width,).
    output_size, return_indices, algorithm, out
        As in `adaptive_max_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `adaptive_max_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.AdaptiveMaxPool1d.

    Examples
    --------
    >>> adaptive_max_pool1d([1, 2, 3, 6], 2)
    array([2, 6])
    """
    value, image, axes = pools.opened("adaptive_max_pool1d", x, 1, ordered=True)
    problem = AdaptivePooling.from_shape("max", image.shape, output_size)
    return pools.largest(
        "max_pool", problem, value, image, axes, return_indices=return_indices, algorithm=algorithm, out=out
    )


@recipes.remembered
@door.accepts_input
def adaptive_max_pool2d(
    x: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest of as many windows as the output has elements.

    out[n, c, j] = max of x[n, c, floor(j * size / out) to ceil((j + 1) * size / out) - 1]

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width) or (height, width), of any real type, which is kept.
    output_size
        Size of the output: one integer, or one an axis; None keeps the size of the input. 0 gives an empty result.
    return_indices
        Also return where each value stands in its plane of x, counted through row by row (int64).
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; a pair of arrays with `return_indices`.

    Returns
    -------
    numpy.ndarray, or (values, indices)
        (batch, channels, *output_size) with the axes that x came with. NaN counts as the largest. Of equal values the
        first is meant, of several NaN the last.

    Raises
    ------
    InvalidArgument
        If a spatial axis is empty or output_size is negative or of the wrong length.
    InvalidType
        For complex numbers, lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    Formula and rules are those of torch.nn.AdaptiveMaxPool2d.

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_max_pool2d(np.arange(12).reshape(3, 4), (1, 2))
    array([[ 9, 11]])
    """
    value, image, axes = pools.opened("adaptive_max_pool2d", x, 2, ordered=True)
    problem = AdaptivePooling.from_shape("max", image.shape, output_size)
    return pools.largest(
        "max_pool", problem, value, image, axes, return_indices=return_indices, algorithm=algorithm, out=out
    )


@recipes.remembered
@door.accepts_input
def adaptive_max_pool3d(
    x: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest values of as many windows as asked for: `adaptive_max_pool2d` for three axes.

    out[n, c, j] = max of x[n, c, floor(j * size / out) to ceil((j + 1) * size / out) - 1]

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), (channels, depth, height, width) or (depth, height, width).
    output_size, return_indices, algorithm, out
        As in `adaptive_max_pool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `adaptive_max_pool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.AdaptiveMaxPool3d.

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_max_pool3d(np.arange(8).reshape(2, 2, 2), 1)
    array([[[7]]])
    """
    value, image, axes = pools.opened("adaptive_max_pool3d", x, 3, ordered=True)
    problem = AdaptivePooling.from_shape("max", image.shape, output_size)
    return pools.largest(
        "max_pool", problem, value, image, axes, return_indices=return_indices, algorithm=algorithm, out=out
    )
