"""`pad`, under PyTorch's name."""

from __future__ import annotations

from typing import Any

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import door, elementwise, moves, recipes, tracing
from striderule.functional.door import Array
from striderule.geometry.extension import Extension


@recipes.remembered
@door.accepts_input
def pad(
    x: Any,
    pad: Any,
    mode: str = "constant",
    value: float | None = None,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Add elements around an array, or crop it.

    out[i] = x[i - before] inside; outside, what the mode shows there.

    Parameters
    ----------
    x
        Array of any rank and any type, which is kept.
    pad
        (before, after) of the last axis, then of the last but one, and so on: PyTorch's order. Axes that are not named
        stay. A single integer pads every spatial axis on both sides: all axes of an array of one or two, axes 2 and up
        of one of four or more. Negative numbers crop.
    mode
        ``"constant"`` (default), or PyTorch's ``"reflect"`` (cb|abc|ba, at most size - 1 wide), ``"replicate"``
        (aaa|abc|ccc) and ``"circular"`` (abc|abc|abc, at most size wide), or one of our boundaries of any width:
        ``"edge"``, ``"symmetric"`` (cba|abc|cba), ``"mirror"`` (cb|abc|ba), ``"wrap"``.
    value
        What a constant border holds; the type of x must hold it. Default 0.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; it must not overlap x.

    Returns
    -------
    numpy.ndarray
        A new array, size + before + after on each axis. Where one side is cropped, the other shows the whole axis,
        except that circular crops first.

    Raises
    ------
    InvalidArgument
        If pad does not fit the rank, crops more than there is, or is wider than the mode allows; if `value` is given
        for another mode than constant, or does not fit the type.
    InvalidType
        For lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    torch.nn.functional.pad, which knows fewer axes in modes other than constant. PyTorch's reflect is NumPy's, and what
    SciPy calls mirror.

    Examples
    --------
    >>> pad([1, 2, 3], (2, 1), mode="reflect")
    array([3, 2, 1, 2, 3, 2])
    >>> pad([[1, 2], [3, 4]], 1)
    array([[0, 0, 0, 0],
           [0, 1, 2, 0],
           [0, 3, 4, 0],
           [0, 0, 0, 0]])
    """
    array = door.array(x, "x")
    problem = Extension.from_pad(array.shape, pad, mode)
    tracing.note(problem)
    fill = 0 if value is None else elementwise.representable(value, array.dtype, "value")
    if problem.boundary != "constant" and fill != 0:
        raise InvalidArgument(f"value belongs to mode='constant', got value={value!r} with mode={mode!r}")
    door.check_out(out, problem.output_shape, array.dtype, [array])
    compute = table.family("padding", algorithm)
    bind = getattr(compute, "bind", None) and (lambda result: compute.bind(problem, array, fill, result))
    moves.offer(bind, array, problem.output_shape, array.dtype, out)
    result = compute.pad(problem, array, fill, **table.into(compute, out))
    return door.finish(result, array.dtype, out=out)
