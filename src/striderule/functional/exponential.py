"""Activations that bend what is negative, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from striderule.errors import InvalidArgument
from striderule.functional import door, elementwise, recipes
from striderule.functional.door import Array


@recipes.remembered
@door.accepts_input
def elu(
    x: Any,
    alpha: float = 1.0,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Bend what is negative towards -alpha: the exponential linear unit.

    elu(x) = x where x > 0, else alpha * (exp(x) - 1)

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    alpha
        Scale of the negative side. Default 1.
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
    Clevert, Unterthiner and Hochreiter (arXiv:1511.07289); torch.nn.ELU.

    Examples
    --------
    >>> elu([-1.0, 2.0]).round(4)
    array([-0.6321,  2.    ])
    """
    elementwise.refuse_inplace(inplace, "elu")
    scale = elementwise.real(alpha, "alpha")
    return elementwise.run("elu", x, (scale,), algorithm, out)


@recipes.remembered
@door.accepts_input
def selu(
    x: Any,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The self-normalising exponential linear unit.

    selu(x) = 1.0507009873554805 * (x where x > 0, else 1.6732632423543772 * (exp(x) - 1))

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
    Klambauer et al., Self-Normalizing Neural Networks (arXiv:1706.02515); torch.nn.SELU.

    Examples
    --------
    >>> selu([-1.0, 1.0]).round(4)
    array([-1.1113,  1.0507])
    """
    elementwise.refuse_inplace(inplace, "selu")
    return elementwise.run("selu", x, (), algorithm, out)


@recipes.remembered
@door.accepts_input
def celu(
    x: Any,
    alpha: float = 1.0,
    inplace: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The exponential linear unit that stays smooth for every alpha.

    celu(x) = x where x > 0, else alpha * (exp(x / alpha) - 1)

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    alpha
        Scale of the negative side, any number but 0. Default 1.
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
    Barron, Continuously differentiable exponential linear units (arXiv:1704.07483); torch.nn.CELU.

    Examples
    --------
    >>> celu([-1.0, 2.0], 2.0).round(4)
    array([-0.7869,  2.    ])
    """
    elementwise.refuse_inplace(inplace, "celu")
    scale = elementwise.real(alpha, "alpha")
    if scale == 0:
        raise InvalidArgument("alpha must not be 0, by which x is divided; relu(x) is the limit")
    return elementwise.run("celu", x, (scale,), algorithm, out)
