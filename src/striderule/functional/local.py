"""Locally connected (unshared) and tiled convolution: weights that change with the position."""

from __future__ import annotations

from functools import partial
from typing import Any

from striderule.errors import InvalidArgument
from striderule.functional import door, layers, prepared
from striderule.functional.door import Array
from striderule.functional.names import LAYER_NAMES, answers
from striderule.functional.recipes import remembered_with_bfloat16
from striderule.geometry.problem import LocalConvolution


def _local(
    name: str,
    rank: int,
    tile: str,
    x: Any,
    weight: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    boundary: Any,
    layout: Any,
    **rest: Any,
) -> Array:
    """Read the axes of both operands and run a convolution whose weights depend on the position."""
    x, weight = door.stored(x, "x"), door.stored(weight, "weight")
    bare = x.ndim == rank and weight.ndim == 2 * rank
    if bare:
        weight = weight[None, None]
    if weight.ndim != 2 + 2 * rank:
        where = "output size" if tile == "output" else "tile"
        raise InvalidArgument(
            f"{name} needs a weight of {2 + 2 * rank} axes (out channels, in channels / groups, *{where}, *kernel), "
            f"got {weight.ndim} (shape {weight.shape})"
        )
    axes = layers.Axes.of(x, rank, bare=bare, last=layers.channels_last(layout, rank), name=name)
    words = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "boundary": boundary}
    # One sum runs over the channels and the kernel, not over the tile axes between them.
    fan_in = (1, *range(2 + rank, 2 + 2 * rank))
    kind = prepared.Kind("local_convolution", partial(LocalConvolution.from_shapes, tile=tile), fan_in)
    return prepared.run(kind, axes, x, weight, words, **rest)


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def locally_connected1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    boundary: Any = "constant",
    fill: Any = 0,
    layout: str = "NCW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Correlate signals with weights of their own at every output position: `locally_connected2d` for one spatial axis.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, j, t] * x[n, c, j * stride + t * dilation - padding]

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width), or (width,) with a weight of two axes.
    weight
        (out channels, channels / groups, out width, taps).
    bias, stride, padding, dilation, groups, boundary, fill, activation, residual, dtype, precision, algorithm, out
        As in `locally_connected2d`.
    layout
        ``"NCW"`` (default) or ``"NWC"``.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `locally_connected2d`.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.9.

    Examples
    --------
    >>> locally_connected1d([1.0, 1.0, 1.0], [[1.0, 0.0], [2.0, 3.0]])
    array([1., 5.])
    """
    return _local("locally_connected1d", 1, "output", **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def locally_connected2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    boundary: Any = "constant",
    fill: Any = 0,
    layout: str = "NCHW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Correlate images with weights of their own at every output position: a convolution that shares nothing.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, j, t] * x[n, c, j * stride + t * dilation - padding before]

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width), or (height, width) with a weight of four axes.
    weight
        (out channels, channels / groups, out height, out width, kernel height, kernel width).
    bias
        (out channels,), or (out channels, out height, out width). Default: none.
    stride, padding, dilation, groups, boundary, fill, layout, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out height, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`; also if axes 2 and 3 of weight are not the output size.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.9 (unshared convolution).

    Examples
    --------
    >>> import numpy as np
    >>> locally_connected2d(np.ones((3, 8, 8)), np.ones((4, 3, 6, 6, 3, 3))).shape
    (4, 6, 6)
    """
    return _local("locally_connected2d", 2, "output", **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def locally_connected3d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    boundary: Any = "constant",
    fill: Any = 0,
    layout: str = "NCDHW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Correlate volumes with weights of their own at every output position: `locally_connected2d` for three axes.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, j, t] * x[n, c, j * stride + t * dilation - padding before]

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), without batch, or (depth, height, width) with a weight of six axes.
    weight
        (out channels, channels / groups, *output size, *kernel).
    bias, stride, padding, dilation, groups, boundary, fill, activation, residual, dtype, precision, algorithm, out
        As in `locally_connected2d`.
    layout
        ``"NCDHW"`` (default) or ``"NDHWC"``.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, *output size), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `locally_connected2d`.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.9.

    Examples
    --------
    >>> import numpy as np
    >>> locally_connected3d(np.ones((2, 2, 2)), np.ones((1, 1, 1, 2, 2, 2))).ravel()
    array([8.])
    """
    return _local("locally_connected3d", 3, "output", **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def tiled_conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    boundary: Any = "constant",
    fill: Any = 0,
    layout: str = "NCHW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Correlate images with a tile of kernels that repeats over the output: between shared and unshared weights.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, j mod tile, t] * x[n, c, j * stride + t * dilation - padding]

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width), or (height, width) with a weight of four axes.
    weight
        (out channels, channels / groups, tile height, tile width, kernel height, kernel width). A tile of 1x1 is
        `conv2d`; one of the output's size is `locally_connected2d`.
    bias
        (out channels,), or (out channels, out height, out width). Default: none.
    stride, padding, dilation, groups, boundary, fill, layout, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out height, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.10, after Gregor and LeCun,
    arXiv:1006.0448.

    Examples
    --------
    Two kernels in a row take turns: the first keeps, the second negates.

    >>> import numpy as np
    >>> tiled_conv2d(np.ones((1, 4)), np.array([1.0, -1.0]).reshape(1, 2, 1, 1))
    array([[ 1., -1.,  1., -1.]])
    """
    return _local("tiled_conv2d", 2, "any", **locals())
