"""Softmax and its relatives, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import door, elementwise, moves, recipes
from striderule.functional.door import Array
from striderule.geometry.arguments import integer


def _axis(dim: Any, x: Array) -> int:
    """Return the axis counted from the front; a bare number has the axes 0 and -1, as in PyTorch."""
    if dim is None:
        raise InvalidArgument("dim must be given: the axis over which the results sum to 1, for example dim=1")
    axis, rank = integer(dim, "dim"), max(x.ndim, 1)
    if not -rank <= axis < rank:
        raise InvalidArgument(f"dim must be from {-rank} to {rank - 1} for an array of {x.ndim} axes, got {dim}")
    return axis % rank


def _run(name: str, x: Any, dim: Any, sign: int, logarithm: bool, dtype: Any, algorithm: Any, out: Any) -> Array:
    value = elementwise.opened(x, name)
    axis = _axis(dim, value)
    final = door.dtype_word(dtype) or door.float_of(value.dtype)
    if final.kind != "f":
        raise InvalidArgument(f"dtype must be a float type, got {final}")
    door.check_out(out, value.shape, final, [value], same=True)
    work = np.atleast_1d(value)
    if work.dtype != final:  # PyTorch converts before anything is computed
        work = work.astype(door.arithmetic_of(final), copy=False)
    compute = table.family("normalization", algorithm)
    bind = getattr(compute, "bind_softmax", None) if work is value and sign > 0 else None
    moves.offer(bind and (lambda y: bind(value, axis, logarithm, y)), value, value.shape, final, out, same=True)
    whole = out if value.ndim else None
    result = compute.softmax(work if sign > 0 else -work, axis, logarithm, **table.into(compute, whole))
    return door.finish(result if result is out else result.reshape(value.shape), final, out=out)


@recipes.remembered
@door.accepts_input
def softmax(
    x: Any,
    dim: int | None = None,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Turn numbers into shares that are positive and sum to 1.

    softmax(x)[i] = exp(x[i] - m) / sum over j of exp(x[j] - m), with m the largest x[j]

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    dim
        The axis that sums run over; must be given. Negative numbers count from the end.
    dtype
        Float type to compute in and to return. Default: that of x.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to: of its shape and type; x itself is fine.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. The largest is taken off first, so nothing overflows.

    Raises
    ------
    InvalidArgument, InvalidType
        If dim is missing or no axis of x, for complex numbers, lazy and foreign arrays, and an `out` that does not fit.

    Notes
    -----
    Goodfellow, Bengio and Courville, Deep Learning (2016), equation 6.29; torch.nn.Softmax.

    Examples
    --------
    >>> softmax([1000.0, 1000.0], dim=0)
    array([0.5, 0.5])
    """
    return _run("softmax", x, dim, 1, False, dtype, algorithm, out)


@recipes.remembered
@door.accepts_input
def log_softmax(
    x: Any,
    dim: int | None = None,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The logarithm of `softmax`, exact where softmax itself rounds to 0.

    log_softmax(x)[i] = x[i] - m - log(sum over j of exp(x[j] - m)), with m the largest x[j]

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    dim, dtype, algorithm, out
        As in `softmax`.

    Returns
    -------
    numpy.ndarray
        Of the shape of x.

    Raises
    ------
    InvalidArgument, InvalidType
        If dim is missing or no axis of x, for complex numbers, lazy and foreign arrays, and an `out` that does not fit.

    Notes
    -----
    Goodfellow, Bengio and Courville, Deep Learning (2016), equation 6.29; torch.nn.LogSoftmax.

    Examples
    --------
    >>> log_softmax([0.0, 1000.0], dim=0)
    array([-1000.,     0.])
    """
    return _run("log_softmax", x, dim, 1, True, dtype, algorithm, out)


@recipes.remembered
@door.accepts_input
def softmin(
    x: Any,
    dim: int | None = None,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """`softmax` of -x: the smallest gets the largest share.

    softmin(x) = softmax(-x)

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    dim, dtype, algorithm, out
        As in `softmax`.

    Returns
    -------
    numpy.ndarray
        Of the shape of x.

    Raises
    ------
    InvalidArgument, InvalidType
        If dim is missing or no axis of x, for complex numbers, lazy and foreign arrays, and an `out` that does not fit.

    Notes
    -----
    Goodfellow, Bengio and Courville, Deep Learning (2016), equation 6.29; torch.nn.Softmin.

    Examples
    --------
    >>> softmin([0.0, 0.0], dim=0)
    array([0.5, 0.5])
    """
    return _run("softmin", x, dim, -1, False, dtype, algorithm, out)
