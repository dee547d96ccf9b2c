"""Activations that squeeze, and their logarithms, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from striderule.errors import InvalidArgument
from striderule.functional import door, elementwise, recipes
from striderule.functional.door import Array


@recipes.remembered
@door.accepts_input
def sigmoid(
    x: Any,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Squeeze everything between 0 and 1.

    sigmoid(x) = 1 / (1 + exp(-x))

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
    Goodfellow, Bengio and Courville, Deep Learning (2016), section 3.10. Never overflows; torch.nn.Sigmoid.

    Examples
    --------
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    return elementwise.run("sigmoid", x, (), algorithm, out, complex_too=True)


@recipes.remembered
@door.accepts_input
def tanh(
    x: Any,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Squeeze everything between -1 and 1.

    tanh(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x))

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
    torch.nn.Tanh.

    Examples
    --------
    >>> tanh([-1000.0, 0.0, 1000.0])
    array([-1.,  0.,  1.])
    """
    return elementwise.run("tanh", x, (), algorithm, out, complex_too=True)


@recipes.remembered
@door.accepts_input
def hardsigmoid(
    x: Any,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The piecewise linear sigmoid.

    hardsigmoid(x) = min(max(x + 3, 0), 6) / 6

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
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
    torch.nn.Hardsigmoid.

    Examples
    --------
    >>> hardsigmoid([-4.0, 0.0, 4.0])
    array([0. , 0.5, 1. ])
    """
    elementwise.refuse_inplace(inplace, "hardsigmoid")
    return elementwise.run("hardsigmoid", x, (), algorithm, out)


@recipes.remembered
@door.accepts_input
def softsign(
    x: Any,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Squeeze everything between -1 and 1, slowly.

    softsign(x) = x / (1 + |x|)

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
    torch.nn.Softsign. Infinity gives NaN, as infinity by infinity does.

    Examples
    --------
    >>> softsign([-1.0, 3.0])
    array([-0.5 ,  0.75])
    """
    return elementwise.run("softsign", x, (), algorithm, out, complex_too=True)


@recipes.remembered
@door.accepts_input
def softplus(
    x: Any,
    beta: float = 1.0,
    threshold: float = 20.0,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The smooth rectifier.

    softplus(x) = log(1 + exp(beta * x)) / beta

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    beta
        Sharpness, any number but 0. Default 1.
    threshold
        Where beta * x exceeds this, x itself is the result. Default 20.
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
    Goodfellow, Bengio and Courville, Deep Learning (2016), section 3.10; torch.nn.Softplus.

    Examples
    --------
    >>> softplus([0.0, 30.0]).round(4)
    array([ 0.6931, 30.    ])
    """
    sharpness, limit = elementwise.real(beta, "beta"), elementwise.real(threshold, "threshold")
    if sharpness == 0:
        raise InvalidArgument("beta must not be 0, by which the result is divided")
    return elementwise.run("softplus", x, (sharpness, limit), algorithm, out)


@recipes.remembered
@door.accepts_input
def logsigmoid(
    x: Any,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The logarithm of the sigmoid.

    logsigmoid(x) = -log(1 + exp(-x))

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
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
    torch.nn.LogSigmoid. Exact where the sigmoid itself would round to 0.

    Examples
    --------
    >>> logsigmoid([-1000.0, 0.0]).round(4)
    array([-1.000e+03, -6.931e-01])
    """
    return elementwise.run("logsigmoid", x, (), algorithm, out)
