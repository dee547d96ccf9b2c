"""The partial inverse of max pooling, under PyTorch's names."""

from __future__ import annotations

import math
from typing import Any

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door, pools, tracing, widening
from striderule.functional.door import Array
from striderule.geometry.pooling import Unpooling


def _unpool(rank: int, x: Any, indices: Any, geometry: tuple[Any, Any, Any, Any], *, algorithm: Any, out: Any) -> Array:
    """Check everything and run an unpooling; `geometry` is kernel size, stride, padding and output size."""
    value, image, axes = pools.opened(f"max_unpool{rank}d", x, rank)
    places = door.array(indices, "indices")
    if places.dtype.kind not in "iu":
        raise InvalidType(f"indices must be integers, as return_indices=True gives them, got {places.dtype}")
    if places.shape != value.shape:
        raise InvalidArgument(f"indices must have the shape of x {value.shape}, got {places.shape}")
    problem = Unpooling.from_shape(image.shape, *geometry)
    tracing.note((problem, axes))
    _check_places(places, problem)
    door.check_out(out, problem.output_shape[axes.missing :], value.dtype, [value, places])
    operands = (image, axes.canonical(places))
    result = pools.compute("unpool", problem, algorithm, *operands, dtypes=(value.dtype,))
    return door.finish(axes.restore(result), value.dtype, out=out)


def _check_places(places: Array, problem: Unpooling) -> None:
    """Refuse indices that do not lie in the planes of the output."""
    volume = math.prod(problem.output_size)
    if places.size == 0:
        return
    if volume == 0:
        raise InvalidArgument(f"the output {problem.output_size} has no positions for the values; pass output_size=")
    low, high = int(places.min()), int(places.max())
    if low < 0 or high >= volume:
        raise InvalidArgument(
            f"indices must lie in 0 to {volume - 1}, the positions of the output {problem.output_size}, got "
            f"{low if low < 0 else high}; pass output_size= of the array that was pooled"
        )


@widening.widened
@door.accepts_input
def max_unpool1d(
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Put pooled values back where they stood: `max_unpool2d` for one spatial axis.

    out[n, c, indices[n, c, j]] = x[n, c, j], zero elsewhere

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width) or (width,).
    indices, kernel_size, stride, padding, output_size, algorithm, out
        As in `max_unpool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `max_unpool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.MaxUnpool1d.

    Examples
    --------
    >>> max_unpool1d([4.0, 8.0], [1, 3], 2)
    array([0., 4., 0., 8.])
    """
    geometry = (kernel_size, stride, padding, output_size)
    return _unpool(1, x, indices, geometry, algorithm=algorithm, out=out)


@widening.widened
@door.accepts_input
def max_unpool2d(
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Put pooled values back where they stood, zeros everywhere else.

    out[n, c, indices[n, c, j]] = x[n, c, j], with the planes of out counted through row by row

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width) or (height, width), of any type, which is kept.
    indices
        Of the same shape: what `max_pool2d` returned with ``return_indices=True``. Where several values go to one
        place, the last stays.
    kernel_size, stride, padding
        Those of the pooling that is undone.
    output_size
        Size of the output, with or without batch and channels before it; less than a stride away from the default,
        (size - 1) * stride + kernel_size - padding on both sides.
    algorithm
        ``"reference"`` (plain loops) or ``"windows"``. Default: chosen.
    out
        Array to write the result to.

    Returns
    -------
    numpy.ndarray
        (batch, channels, *output size) with the axes that x came with.

    Raises
    ------
    InvalidArgument
        If an index lies outside the output, shapes differ, or output_size is out of reach.
    InvalidType
        If indices are no integers, for lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    Formula and rules are those of torch.nn.MaxUnpool2d.

    Examples
    --------
    >>> max_unpool2d([[5.0]], [[1]], 2)
    array([[0., 5.],
           [0., 0.]])
    """
    geometry = (kernel_size, stride, padding, output_size)
    return _unpool(2, x, indices, geometry, algorithm=algorithm, out=out)


@widening.widened
@door.accepts_input
def max_unpool3d(
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Put pooled values back where they stood: `max_unpool2d` for three spatial axes.

    out[n, c, indices[n, c, j]] = x[n, c, j], zero elsewhere

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), (channels, depth, height, width) or (depth, height, width).
    indices, kernel_size, stride, padding, output_size, algorithm, out
        As in `max_unpool2d`.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `max_unpool2d`.

    Notes
    -----
    Formula and rules are those of torch.nn.MaxUnpool3d.

    Examples
    --------
    >>> max_unpool3d([[[7]]], [[[7]]], 2)
    array([[[0, 0],
            [0, 0]],
    <BLANKLINE>
           [[0, 0],
            [0, 7]]])
    """
    geometry = (kernel_size, stride, padding, output_size)
    return _unpool(3, x, indices, geometry, algorithm=algorithm, out=out)
