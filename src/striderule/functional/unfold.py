"""Windows cut out as columns, and columns added back: im2col and col2im, under PyTorch's names, for any rank."""

from __future__ import annotations

from math import prod
from typing import Any

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import door, layers, moves, recipes, tracing
from striderule.functional.door import Array
from striderule.functional.names import LAYER_NAMES, answers
from striderule.functional.planned import noted, perform, plan_for
from striderule.geometry.arguments import is_sequence, per_axis
from striderule.geometry.problem import Unfold


def _spatial_rank(x: Array, kernel_size: Any) -> int:
    """Return the number of spatial axes: one an entry of kernel_size, else what PyTorch reads from the input."""
    if is_sequence(kernel_size) and len(kernel_size) > 1:
        return len(kernel_size)
    if is_sequence(kernel_size):
        return max(x.ndim - 2, 1)
    return 2 if x.ndim == 3 else max(x.ndim - 2, 1)


@recipes.remembered
@answers(LAYER_NAMES)
@door.accepts_input
def unfold(
    x: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    boundary: Any = "constant",
    fill: Any = 0,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Cut the windows of a convolution out of an array, one column each (im2col).

    out[n, (c, t), j] = x[n, c, j * stride + t * dilation - padding before]

    with (c, t) running over channels and taps and j over the windows, both with the last axis fastest.

    Parameters
    ----------
    x
        (batch, channels, *spatial) or (channels, *spatial).
    kernel_size
        One integer, or one a spatial axis. A single integer with three axes of x means (channels, height, width), as in
        PyTorch; for signals of three axes write ``(taps,)``.
    dilation, padding, stride
        As in `conv2d`, in PyTorch's order. Defaults 1, 0, 1.
    boundary, fill
        What stands in the padding, as in `conv2d`. Default: zeros.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to.

    Returns
    -------
    numpy.ndarray
        (batch, channels * taps, windows) in the type of x, without batch if x has none.

    Raises
    ------
    InvalidArgument, InvalidType
        As `conv2d`.

    Notes
    -----
    The formula is that of torch.nn.Unfold.

    Examples
    --------
    >>> import numpy as np
    >>> unfold(np.arange(4).reshape(1, 1, 4), (2,))
    array([[[0, 1, 2],
            [1, 2, 3]]])
    """
    x = door.array(x, "x")
    rank = _spatial_rank(x, kernel_size)
    axes = layers.Axes.of(x, rank, bare=False, last=False, name="unfold")
    value = layers.integer_fill(fill, x.dtype)
    door.cast(door.array(value, "fill"), x.dtype, "refuse")
    image = axes.canonical(x)
    words = {"dilation": dilation, "padding": padding, "stride": stride, "boundary": boundary}
    problem = Unfold.from_shape(image.shape, kernel_size, **words)
    tracing.note(problem)
    shape = problem.columns_shape[axes.missing :]
    door.check_out(out, shape, x.dtype, [x])
    plan = plan_for(problem, algorithm=algorithm, dtype=x.dtype)
    where = {"shape": problem.columns_shape, "dtypes": (x.dtype,)}
    whole = out[None] if out is not None and axes.missing else out
    if noted.get() is None and len(axes.canonical(x).shape) == x.ndim:
        bind = getattr(table.family("unfold", plan.algorithm), "bind_unfold", None)
        moves.offer(bind and (lambda result: bind(problem, x, value, result)), x, shape, x.dtype, out, ordered=False)
    columns = perform(plan, "unfold", "unfold", problem, image, value, **where, out=whole)
    if out is not None and columns is whole:
        return out
    return door.finish(columns.reshape(shape), x.dtype, out=out)


@recipes.remembered
@answers(LAYER_NAMES)
@door.accepts_input
def fold(
    x: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    dtype: Any = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Add columns back into an array where windows overlap (col2im): the transpose of `unfold`.

    out[n, c, j * stride + t * dilation - padding before] += x[n, (c, t), j]

    Parameters
    ----------
    x
        (batch, channels * taps, windows) or (channels * taps, windows).
    output_size
        Spatial size of the result: one integer an axis; a single integer means a square image, as in PyTorch.
    kernel_size, dilation, padding, stride
        Those of the `unfold` that made the columns.
    dtype
        Type of the result. Default: that of x; integers give exact int32 (up to 16 bits) or int64.
    algorithm, out
        As in `unfold`.

    Returns
    -------
    numpy.ndarray
        (batch, channels, *output size), without batch if x has none. What falls into the padding is dropped.

    Raises
    ------
    InvalidArgument
        If the columns do not match the kernel or the number of windows.

    Notes
    -----
    The formula is that of torch.nn.Fold.

    Examples
    --------
    >>> import numpy as np
    >>> columns = unfold(np.ones((1, 1, 4)), (2,))
    >>> fold(columns, (4,), (2,))
    array([[[1., 2., 2., 1.]]])
    """
    x = door.array(x, "x")
    rank = len(output_size) if is_sequence(output_size) else 2
    size = per_axis(output_size, rank, "output_size", 1)
    taps = per_axis(kernel_size, rank, "kernel_size", 1)
    if x.ndim not in (2, 3):
        raise InvalidArgument(
            f"fold needs columns (batch, channels * taps, windows) or without batch, got shape {x.shape}"
        )
    columns = x if x.ndim == 3 else x[None]
    if columns.shape[1] % prod(taps):
        raise InvalidArgument(
            f"fold needs a multiple of the {prod(taps)} taps of kernel_size {taps} on axis {x.ndim - 2}, got "
            f"{columns.shape[1]}"
        )
    channels = columns.shape[1] // prod(taps)
    words = {"dilation": dilation, "padding": padding, "stride": stride}
    problem = Unfold.from_shape((columns.shape[0], channels, *size), taps, **words)
    tracing.note(problem)
    if problem.columns_shape != columns.shape:
        raise InvalidArgument(
            f"fold of output_size {size} has {problem.columns_shape[2]} windows, so x must have the shape "
            f"{problem.columns_shape[3 - x.ndim :]}, got {x.shape}"
        )
    types = layers.Types.of([x], door.dtype_word(dtype))
    shape = (*columns.shape[: x.ndim - 2], channels, *size)
    door.check_out(out, shape, types.result, [x])
    if door.is_integer(types.arithmetic):
        layers.integer_bound(columns, door.array([1] * prod(taps), "taps"), (0,), (), [])
    plan = plan_for(problem, algorithm=algorithm, dtype=types.arithmetic)
    wide = columns.astype(types.arithmetic, copy=False)
    where = {"shape": (problem.batch, channels, *size), "dtypes": (types.arithmetic,)}
    whole = out[None] if out is not None and len(shape) == len(problem.size) + 1 else out
    if noted.get() is None and types.result == x.dtype == types.arithmetic and x.ndim == 3:
        bind = getattr(table.family("unfold", plan.algorithm), "bind_fold", None)
        moves.offer(bind and (lambda result: bind(problem, x, result)), x, shape, x.dtype, out, ordered=False)
    result = perform(plan, "unfold", "fold", problem, wide, **where, out=whole if types.result == wide.dtype else None)
    if out is not None and result is whole:
        return out
    return door.finish(result.reshape(shape), types.result, types.overflow, out)
