"""Transposed convolutions, under PyTorch's names: upsampling with a learned kernel."""

from __future__ import annotations

from typing import Any

from striderule.errors import InvalidArgument
from striderule.functional import door, layers, prepared
from striderule.functional.door import Array
from striderule.functional.names import TRANSPOSED_NAMES, answers
from striderule.functional.recipes import remembered_with_bfloat16
from striderule.geometry.problem import TransposedConvolution


def _transposed(
    name: str,
    rank: int,
    x: Any,
    weight: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
    layout: Any,
    **rest: Any,
) -> Array:
    """Read the axes of both operands and run a transposed convolution of `rank` spatial axes."""
    x, weight = door.stored(x, "x"), door.stored(weight, "weight")
    bare = x.ndim == rank and weight.ndim == rank
    if bare:
        weight = weight[None, None]
    if weight.ndim != rank + 2:
        raise InvalidArgument(
            f"{name} needs a weight of {rank + 2} axes (in channels, out channels / groups, "
            f"{layers.spatial_words(rank)}), got {weight.ndim} (shape {weight.shape})"
        )
    axes = layers.Axes.of(x, rank, bare=bare, last=layers.channels_last(layout, rank), name=name)
    words = {"stride": stride, "padding": padding, "output_padding": output_padding}
    words |= {"groups": groups, "dilation": dilation}
    kind = prepared.Kind("transposed_convolution", TransposedConvolution.from_shapes, (0, *range(2, rank + 2)))
    return prepared.run(kind, axes, x, weight, words, **rest)


@remembered_with_bfloat16
@answers(TRANSPOSED_NAMES)
@door.accepts_input
def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "NCW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Spread signals with weights: `conv_transpose2d` for one spatial axis.

    out[n, o, i * stride + t * dilation - padding] += x[n, c, i] * weight[c, o, t], and bias[o] everywhere

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width), or (width,) with a weight of one axis.
    weight
        (channels, out channels / groups, taps).
    bias, stride, padding, output_padding, groups, dilation, layout, activation, residual, dtype, precision, algorithm,
    out
        As in `conv_transpose2d`; layouts are ``"NCW"`` (default) and ``"NWC"``.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv_transpose2d`.

    Notes
    -----
    The formula is that of torch.nn.ConvTranspose1d; arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> conv_transpose1d([1.0, 2.0], [1.0, 1.0, 1.0], stride=2)
    array([1., 1., 3., 2., 2.])
    """
    return _transposed("conv_transpose1d", 1, **locals())


@remembered_with_bfloat16
@answers(TRANSPOSED_NAMES)
@door.accepts_input
def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "NCHW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Spread every input over the output with the weight: the transpose of `conv2d`.

    out[n, o, i * stride + t * dilation - padding before] += x[n, c, i] * weight[c, o, t], and bias[o] everywhere

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width), or (height, width) with a weight of two axes.
    weight
        (channels, out channels / groups, kernel height, kernel width): the axes of the convolution that it transposes.
    bias
        (out channels,). Default: none.
    stride
        Distance between the places where two neighbouring inputs land, at least 1. Default 1.
    padding
        What is *cropped* from each side of the full output (the padding of the convolution that it transposes): numbers
        (negative extends), (before, after) pairs, ``"valid"`` (0) or ``"same"``, ``"same_lower"`` (output size
        * stride). Default 0.
    output_padding
        Positions added after, smaller than stride or dilation: it chooses among the output sizes that a strided
        convolution maps to the same input size. Default 0.
    groups, dilation, layout, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out height, out width) with
        out = (size - 1) * stride + dilation * (kernel - 1) + 1 - padding before - padding after + output_padding.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`; also if output_padding is too large or padding crops everything.

    Notes
    -----
    The formula is that of torch.nn.ConvTranspose2d; sizes after relation 14 of Dumoulin and Visin, arXiv:1603.07285.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose2d(np.ones((1, 8, 14, 14)), np.ones((8, 4, 4, 4)), stride=2, padding=1).shape
    (1, 4, 28, 28)
    """
    return _transposed("conv_transpose2d", 2, **locals())


@remembered_with_bfloat16
@answers(TRANSPOSED_NAMES)
@door.accepts_input
def conv_transpose3d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "NCDHW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Spread volumes with weights: `conv_transpose2d` for three spatial axes.

    out[n, o, i * stride + t * dilation - padding before] += x[n, c, i] * weight[c, o, t], and bias[o] everywhere

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), without batch, or (depth, height, width) with a weight of three axes.
    weight
        (channels, out channels / groups, *kernel).
    bias, stride, padding, output_padding, groups, dilation, layout, activation, residual, dtype, precision, algorithm,
    out
        As in `conv_transpose2d`; layouts are ``"NCDHW"`` (default) and ``"NDHWC"``.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, out depth, out height, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv_transpose2d`.

    Notes
    -----
    The formula is that of torch.nn.ConvTranspose3d; arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose3d(np.ones((2, 2, 2)), np.ones((1, 1, 1)), stride=2)[0]
    array([[1., 0., 1.],
           [0., 0., 0.],
           [1., 0., 1.]])
    """
    return _transposed("conv_transpose3d", 3, **locals())
