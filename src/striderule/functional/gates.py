"""Activations that weigh x by a step, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from striderule.errors import InvalidArgument
from striderule.functional import door, elementwise, recipes
from striderule.functional.door import Array


@recipes.remembered
@door.accepts_input
def silu(
    x: Any,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Weigh x by its own sigmoid (also called swish).

    silu(x) = x * sigmoid(x)

    Parameters
    ----------
    x
        Array of any shape and any type; integers give floats (float32 up to 16 bits, else float64).
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
        For lazy and foreign arrays, an `out` that does not fit.

    Notes
    -----
    Hendrycks and Gimpel (arXiv:1606.08415); torch.nn.SiLU. Minus infinity gives NaN, as 0 times infinity does.

    Examples
    --------
    >>> silu([0.0, 1.0]).round(4)
    array([0.    , 0.7311])
    """
    elementwise.refuse_inplace(inplace, "silu")
    return elementwise.run("silu", x, (), algorithm, out, complex_too=True)


@recipes.remembered
@door.accepts_input
def mish(
    x: Any,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Weigh x by a softened step.

    mish(x) = x * tanh(log(1 + exp(x)))

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
    Misra, Mish (arXiv:1908.08681); torch.nn.Mish.

    Examples
    --------
    >>> mish([0.0, 1.0]).round(4)
    array([0.    , 0.8651])
    """
    elementwise.refuse_inplace(inplace, "mish")
    return elementwise.run("mish", x, (), algorithm, out)


@recipes.remembered
@door.accepts_input
def gelu(
    x: Any,
    approximate: str = "none",
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Weigh x by the share of a normal distribution that lies below it.

    gelu(x) = x * Phi(x) = x * (1 + erf(x / sqrt(2))) / 2

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    approximate
        ``"none"`` (default) for the exact function, ``"tanh"`` for 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
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
    Hendrycks and Gimpel (arXiv:1606.08415); torch.nn.GELU. With generated code the exact function is off by at most 5
    units in the last place, however small it is; in NumPy Phi is off by less than 1e-15 (float64).

    Examples
    --------
    >>> gelu([0.0, 1.0]).round(6)
    array([0.      , 0.841345])
    """
    if approximate not in ("none", "tanh"):
        raise InvalidArgument(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    return elementwise.run("gelu", x, (approximate,), algorithm, out)


@recipes.remembered
@door.accepts_input
def hardswish(
    x: Any,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Weigh x by a piecewise linear sigmoid.

    hardswish(x) = x * min(max(x + 3, 0), 6) / 6

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
    Howard et al., Searching for MobileNetV3 (arXiv:1905.02244); torch.nn.Hardswish.

    Examples
    --------
    >>> hardswish([-4.0, 0.0, 3.0])
    array([-0.,  0.,  3.])
    """
    elementwise.refuse_inplace(inplace, "hardswish")
    return elementwise.run("hardswish", x, (), algorithm, out)
