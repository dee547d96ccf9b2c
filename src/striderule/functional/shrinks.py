"""Activations that take something away around zero, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from striderule.errors import InvalidArgument
from striderule.functional import door, elementwise, recipes
from striderule.functional.door import Array


@recipes.remembered
@door.accepts_input
def threshold(
    x: Any,
    threshold: float,
    value: float,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Replace what does not exceed a threshold.

    threshold(x) = value where x <= threshold, else x

    Parameters
    ----------
    x
        Array of any shape and any real type; integers stay integers.
    threshold
        What x must exceed.
    value
        What is put where it does not; the type of x must hold it.
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
    torch.nn.Threshold.

    Examples
    --------
    >>> threshold([1, 5, 9], 4, 0)
    array([0, 5, 9])
    """
    elementwise.refuse_inplace(inplace, "threshold")
    array = elementwise.opened(x, "threshold")
    limit = elementwise.real(threshold, "threshold")
    other = elementwise.representable(value, array.dtype, "value")
    return elementwise.run("threshold", array, (limit, other), algorithm, out, keeps=True)


@recipes.remembered
@door.accepts_input
def hardshrink(
    x: Any,
    lambd: float = 0.5,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Set what is small to zero.

    hardshrink(x) = x where |x| > lambd, else 0

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    lambd
        Half the width of the gap. Default 0.5.
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
    torch.nn.Hardshrink.

    Examples
    --------
    >>> hardshrink([-0.4, 0.5, 0.6])
    array([0. , 0. , 0.6])
    """
    limit = elementwise.real(lambd, "lambd")
    return elementwise.run("hardshrink", x, (limit,), algorithm, out)


@recipes.remembered
@door.accepts_input
def softshrink(
    x: Any,
    lambd: float = 0.5,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Move everything towards zero by a fixed amount.

    softshrink(x) = x - lambd where x > lambd, x + lambd where x < -lambd, else 0

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    lambd
        How much is taken away, at least 0. Default 0.5.
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
    torch.nn.Softshrink.

    Examples
    --------
    >>> softshrink([-2.0, 0.3, 1.0])
    array([-1.5,  0. ,  0.5])
    """
    limit = elementwise.real(lambd, "lambd")
    if not limit >= 0:
        raise InvalidArgument(f"lambd must be at least 0, got {lambd}")
    return elementwise.run("softshrink", x, (limit,), algorithm, out)


@recipes.remembered
@door.accepts_input
def tanhshrink(
    x: Any,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """What tanh takes away.

    tanhshrink(x) = x - tanh(x)

    Parameters
    ----------
    x
        Array of any shape and any type; integers give floats (float32 up to 16 bits, else float64).
    algorithm, out
        As in `relu`.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. NaN stays NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For lazy and foreign arrays, an `out` that does not fit.

    Notes
    -----
    torch.nn.Tanhshrink.

    Examples
    --------
    >>> tanhshrink([0.0, 2.0]).round(4)
    array([0.   , 1.036])
    """
    return elementwise.run("tanhshrink", x, (), algorithm, out, complex_too=True)
