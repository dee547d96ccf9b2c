"""Activations that are linear in pieces, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import door, elementwise, moves, recipes
from striderule.functional.door import Array


@recipes.remembered
@door.accepts_input
def relu(
    x: Any,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Cut off what is negative: the rectified linear unit.

    relu(x) = max(x, 0)

    Parameters
    ----------
    x
        Array of any shape and any real type; integers stay integers.
    inplace
        Only False; to write into x, pass ``out=x``.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to: of its shape and type; x itself is fine.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. NaN stays NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For complex numbers, lazy and foreign arrays, an `out` that does not fit.

    Notes
    -----
    Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.3.1; torch.nn.ReLU.

    Examples
    --------
    >>> relu([-2, 0, 3])
    array([0, 0, 3])
    """
    elementwise.refuse_inplace(inplace, "relu")
    return elementwise.run("relu", x, (), algorithm, out, keeps=True)


@recipes.remembered
@door.accepts_input
def leaky_relu(
    x: Any,
    negative_slope: float = 0.01,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Shrink what is negative.

    leaky_relu(x) = x where x > 0, else negative_slope * x

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    negative_slope
        Slope of the negative side. Default 0.01.
    inplace
        Only False; to write into x, pass ``out=x``.
    algorithm, out
        As in `relu`.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. NaN stays NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For complex numbers, lazy and foreign arrays, an `out` that does not fit, and parameters out of range.

    Notes
    -----
    Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models (2013); torch.nn.LeakyReLU.

    Examples
    --------
    >>> leaky_relu([-2.0, 3.0], 0.1)
    array([-0.2,  3. ])
    """
    elementwise.refuse_inplace(inplace, "leaky_relu")
    slope = elementwise.real(negative_slope, "negative_slope")
    return elementwise.run("leaky_relu", x, (slope,), algorithm, out)


@recipes.remembered
@door.accepts_input
def prelu(
    x: Any,
    weight: Any,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Shrink what is negative by a learned slope for each channel.

    prelu(x) = x where x > 0, else weight[channel] * x

    Parameters
    ----------
    x
        Array of any shape and any real type. The result has the type that NumPy promotes x and weight to; integers give
        floats (float32 up to 16 bits, else float64).
    weight
        Slopes: a number or one for all, or one for each of the channels (axis 1 of x).
    algorithm, out
        As in `relu`.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. NaN stays NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For complex numbers, lazy and foreign arrays, an `out` that does not fit, and parameters out of range.

    Notes
    -----
    He et al., Delving deep into rectifiers (arXiv:1502.01852); torch.nn.PReLU.

    Examples
    --------
    >>> prelu([[-1.0, -1.0]], [0.25, 0.5])
    array([[-0.25, -0.5 ]])
    """
    value, slopes = elementwise.opened(x, "prelu"), door.array(weight, "weight")
    if slopes.dtype.kind == "c":
        raise InvalidArgument("weight must hold real numbers, got complex ones")
    channels = value.shape[1] if value.ndim > 1 else 1
    if slopes.ndim > 1 or slopes.size not in (1, channels):
        raise InvalidArgument(
            f"weight must be one number or one for each of the {channels} channels, got the shape {slopes.shape}"
        )
    dtype = door.float_of(value.dtype)
    if isinstance(weight, np.ndarray | np.generic):  # numbers and lists widen nothing
        dtype = np.result_type(dtype, door.float_of(slopes.dtype))
    door.check_out(out, value.shape, dtype, [value, slopes], same=True)
    plain = slopes is weight and slopes.flags.c_contiguous
    # One slope for each channel stands beside axis 1; a single one anywhere.
    slopes = slopes.reshape((-1,) + (1,) * (value.ndim - 2) if slopes.size > 1 else ())
    compute, work = table.family("elementwise", algorithm), door.arithmetic_of(dtype)
    bind = getattr(compute, "bind_prelu", None)
    if bind and plain and slopes.dtype == work:
        moves.offer(lambda y: bind(value, slopes, work, y), value, value.shape, dtype, out, same=True, slopes=slopes)
    result = compute.prelu(value, slopes, work, **table.into(compute, out))
    return door.finish(result, dtype, out=out)


@recipes.remembered
@door.accepts_input
def relu6(
    x: Any,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Cut off what is below 0 or above 6.

    relu6(x) = min(max(x, 0), 6)

    Parameters
    ----------
    x
        Array of any shape and any real type; integers stay integers.
    inplace
        Only False; to write into x, pass ``out=x``.
    algorithm, out
        As in `relu`.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. NaN stays NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For complex numbers, lazy and foreign arrays, an `out` that does not fit.

    Notes
    -----
    Krizhevsky, Convolutional deep belief networks on CIFAR-10 (2010); torch.nn.ReLU6.

    Examples
    --------
    >>> relu6([-1, 3, 9])
    array([0, 3, 6])
    """
    elementwise.refuse_inplace(inplace, "relu6")
    return elementwise.run("relu6", x, (), algorithm, out, keeps=True)


@recipes.remembered
@door.accepts_input
def hardtanh(
    x: Any,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Cut off what is below one limit or above another.

    hardtanh(x) = min(max(x, min_val), max_val)

    Parameters
    ----------
    x
        Array of any shape and any real type; integers stay integers.
    min_val
        Lower limit. Default -1. For integers it is rounded towards zero.
    max_val
        Upper limit, at least the lower. Default 1.
    inplace
        Only False; to write into x, pass ``out=x``.
    algorithm, out
        As in `relu`.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. NaN stays NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For complex numbers, lazy and foreign arrays, an `out` that does not fit, and parameters out of range.

    Notes
    -----
    torch.nn.Hardtanh.

    Examples
    --------
    >>> hardtanh([-2.5, 0.5, 7.0], 0, 4)
    array([0. , 0.5, 4. ])
    """
    elementwise.refuse_inplace(inplace, "hardtanh")
    value = elementwise.opened(x, "hardtanh")
    low, high = elementwise.real(min_val, "min_val"), elementwise.real(max_val, "max_val")
    if not low <= high:
        raise InvalidArgument(f"min_val must be at most max_val, got {min_val} and {max_val}")
    limits = elementwise.limits_of(value.dtype, low, high)
    return elementwise.run("hardtanh", value, limits, algorithm, out, keeps=True)
