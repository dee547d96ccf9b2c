"""Convolutions of layers, under PyTorch's names.

As in every framework they *correlate*: the weight slides as it is, without being flipped. For images see
`striderule.correlate` and `striderule.convolve`.
"""

from __future__ import annotations

from typing import Any

from striderule.errors import InvalidArgument
from striderule.functional import door, layers, prepared
from striderule.functional.door import Array
from striderule.functional.names import LAYER_NAMES, answers
from striderule.functional.recipes import remembered_with_bfloat16
from striderule.geometry.arguments import integer
from striderule.geometry.problem import Convolution


def operands(name: str, rank: int | None, x: Array, weight: Array, layout: Any) -> tuple[layers.Axes, Array]:
    """Return the axes that x came with, and the weight with all of its axes; `rank` None is what the weight says."""
    if rank is None:
        rank = weight.ndim if weight.ndim <= 2 else weight.ndim - 2
    if integer(rank, "rank") < 1:
        raise InvalidArgument(f"{name} needs at least one spatial axis, got rank={rank}, weight shape {weight.shape}")
    bare = x.ndim == rank and weight.ndim == rank
    if bare:
        weight = weight[None, None]
    if weight.ndim != rank + 2:
        raise InvalidArgument(
            f"{name} needs a weight of {rank + 2} axes (out channels, in channels / groups, "
            f"{layers.spatial_words(rank)}), got {weight.ndim} (shape {weight.shape}); a weight of {rank} axes goes "
            f"with an input of {rank} axes, here the input has the shape {x.shape}"
        )
    return layers.Axes.of(x, rank, bare=bare, last=layers.channels_last(layout, rank), name=name), weight


def _dense(
    name: str,
    rank: int | None,
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
    """Read the axes of both operands and run a convolution of `rank` spatial axes (None: what the weight says)."""
    x, weight = door.stored(x, "x"), door.stored(weight, "weight")
    axes, weight = operands(name, rank, x, weight, layout)
    words = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "boundary": boundary}
    kind = prepared.Kind("convolution", Convolution.from_shapes, tuple(range(1, axes.rank + 2)))
    return prepared.run(kind, axes, x, weight, words, **rest)


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def conv1d(
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
    """Correlate signals with weights: `conv2d` for one spatial axis.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, j * stride + t * dilation - padding]

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width), or (width,) with a weight of one axis.
    weight
        (out channels, channels / groups, taps).
    bias, stride, padding, dilation, groups, boundary, fill, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`. A (before, after) pair of padding is written nested: ``((2, 0),)``; ``"causal"`` pads only
        before.
    layout
        ``"NCW"`` (default) or ``"NWC"``.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    The formula is that of torch.nn.Conv1d; sizes after Dumoulin and Visin, arXiv:1603.07285.

    Examples
    --------
    >>> conv1d([1.0, 2.0, 4.0, 8.0], [-1.0, 1.0], padding="causal")
    array([1., 1., 2., 4.])
    """
    return _dense("conv1d", 1, **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def conv2d(
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
    """Correlate images with weights, as a convolutional layer does.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, j * stride + t * dilation - padding before]

    with j and t running over height and width, and c over the channels of the group of o.

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width), or (height, width) with a weight of two axes.
        PyTorch's keyword `input` is accepted too.
    weight
        (out channels, channels / groups, kernel height, kernel width). It is not flipped.
    bias
        (out channels,), added to every sum. Default: none.
    stride
        Steps between windows: one integer, or one an axis; at least 1. Default 1.
    padding
        Positions added to each side: one value or one an axis, each a number (negative crops), a (before, after) pair,
        ``"valid"`` (none), ``"same"`` (output ceil(size / stride), extra after), ``"same_lower"`` (extra before),
        ``"full"`` or ``"causal"``. Default 0.
    dilation
        Distance between taps, at least 1. Default 1.
    groups
        Number of groups that channels are split into; each output channel sees only its own group. Default 1.
    boundary
        What stands in the padding: ``"constant"`` (default), ``"edge"``, ``"symmetric"``, ``"mirror"``, ``"wrap"``; one
        word, or one entry an axis, each a word or a (before, after) pair.
    fill
        The value of a constant boundary. Zero padding contributes nothing, even under an infinite weight. Default 0.
    layout
        ``"NCHW"`` (default) or ``"NHWC"`` for x, residual, out and the result. The weight stays as above.
    activation
        A word such as ``"relu"``, or ``("leaky_relu", 0.2)``, applied last. Default: none.
    residual
        Array of the result's shape, added before the activation. Default: none.
    dtype
        Type of the result. Default: NumPy's promotion; integers give exact int32 (operands up to 16 bits) or int64.
        Integers asked for are rounded half to even and saturated. Floats of 16 bits are computed with in float32;
        bfloat16 comes with the extra ``bfloat16``, stays so with integers of 8 bits, and counts as float32 with others.
    precision
        ``"highest"``, ``"high"`` or ``"medium"``: the promise on the error of float32 sums, at most 1e-6, 1e-5 or 5e-3
        of the norm of the result for zero-mean random data, and 1e-5, 5e-5 or 1e-2 of the norm of |x| correlated
        with |w| for any finite data. The fastest algorithm that keeps it computes. Default: what
        `striderule.precision` or `striderule.set_default_precision` say, else ``"highest"``.
    algorithm
        One of those that `striderule.explain` tells of: ``"direct"`` (generated code), ``"windows"`` (NumPy),
        ``"reference"`` (plain loops)... Default: the one that is predicted to be the quickest.
    out
        Array to write the result to; it must not overlap an operand, but may be `residual` itself.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out height, out width) with the axes that x came with, where
        out = floor((size + padding before + padding after - dilation * (kernel - 1) - 1) / stride) + 1.

    Raises
    ------
    InvalidArgument
        For shapes, numbers and words that break a rule; nothing is computed then.
    InvalidType
        For lazy and foreign arrays, and values of the wrong kind.
    UnprovenRange
        If exact integers would not fit the result; pass ``dtype=numpy.int64``.

    Notes
    -----
    The formula is that of torch.nn.Conv2d; Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.6, calls
    it cross-correlation. Sizes after Dumoulin and Visin, arXiv:1603.07285.

    Examples
    --------
    >>> import numpy as np
    >>> square = np.zeros((5, 5), int)
    >>> square[1:4, 1:4] = 1
    >>> conv2d(square, [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
    array([[5, 3, 5],
           [3, 0, 3],
           [5, 3, 5]])
    >>> conv2d(np.ones((1, 3, 32, 32)), np.ones((16, 3, 3, 3)), padding="same", stride=2).shape
    (1, 16, 16, 16)
    """
    return _dense("conv2d", 2, **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def conv3d(
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
    """Correlate volumes with weights: `conv2d` for three spatial axes.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, j * stride + t * dilation - padding before]

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), without batch, or (depth, height, width) with a weight of three axes.
    weight
        (out channels, channels / groups, kernel depth, kernel height, kernel width).
    bias, stride, padding, dilation, groups, boundary, fill, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`.
    layout
        ``"NCDHW"`` (default) or ``"NDHWC"``.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out depth, out height, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    The formula is that of torch.nn.Conv3d; sizes after Dumoulin and Visin, arXiv:1603.07285.

    Examples
    --------
    >>> import numpy as np
    >>> conv3d(np.ones((3, 3, 3)), np.ones((2, 2, 2)))[0]
    array([[8., 8.],
           [8., 8.]])
    """
    return _dense("conv3d", 3, **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    rank: int | None = None,
    boundary: Any = "constant",
    fill: Any = 0,
    layout: str = "channels_first",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Correlate arrays with weights over any number of spatial axes: `conv2d` for every rank.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, j * stride + t * dilation - padding before]

    Parameters
    ----------
    x
        (batch, channels, *spatial), without batch, or bare spatial axes with a weight of the same rank.
    weight
        (out channels, channels / groups, *kernel).
    rank
        Number of spatial axes. Default: two fewer than the weight has; all of them when the weight has one or two axes.
        Bare arrays of three and more axes need it: ``rank=3``.
    bias, stride, padding, dilation, groups, boundary, fill, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`.
    layout
        ``"channels_first"`` (default), ``"channels_last"``, or the word of the rank (``"NHWC"``...).

    Returns
    -------
    numpy.ndarray
        (batch, out channels, *output size), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    Sizes after Dumoulin and Visin, arXiv:1603.07285, which holds for every axis by itself.

    Examples
    --------
    >>> import numpy as np
    >>> conv(np.ones((1, 2, 4, 4, 4, 4)), np.ones((5, 2, 3, 3, 3, 3))).shape
    (1, 5, 2, 2, 2, 2)
    """
    words = locals()
    del words["rank"]
    return _dense("conv", rank, **words)
