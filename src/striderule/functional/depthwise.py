"""Depthwise, pointwise and depthwise separable convolutions: the dense one, taken apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from striderule.errors import InvalidArgument
from striderule.functional import door, layers, prepared
from striderule.functional.door import Array
from striderule.functional.names import LAYER_NAMES, answers
from striderule.functional.planned import noted
from striderule.functional.recipes import Recipe, clear_of, offer, remembered_with_bfloat16
from striderule.geometry.problem import Convolution

Request = tuple[prepared.Kind, layers.Axes, Array, Array, dict[str, Any]]


def _depthwise_request(
    name: str,
    rank: int,
    x: Array,
    weight: Array,
    stride: Any,
    padding: Any,
    dilation: Any,
    boundary: Any,
    layout: Any,
    argument: str = "weight",
) -> Request:
    """Read the axes of both operands of a convolution with one group for each input channel."""
    last = layers.channels_last(layout, rank)
    bare = x.ndim == rank and weight.ndim == rank
    if bare:
        weight = weight[None]
    if weight.ndim == rank + 1:
        weight = weight[:, None]
    if weight.ndim != rank + 2 or weight.shape[1] != 1:
        raise InvalidArgument(
            f"{name} needs a {argument} (channels * multiplier, 1, {layers.spatial_words(rank)}) or "
            f"(channels * multiplier, {layers.spatial_words(rank)}), got the shape {weight.shape}"
        )
    axes = layers.Axes.of(x, rank, bare=bare, last=last, name=name)
    channels = axes.canonical(x).shape[1]
    if channels == 0 or weight.shape[0] % channels:
        raise InvalidArgument(
            f"{name} needs a multiple of the {channels} input channels as the first axis of {argument}, "
            f"got {weight.shape[0]}"
        )
    words = {"stride": stride, "padding": padding, "dilation": dilation, "groups": channels, "boundary": boundary}
    return prepared.Kind("convolution", Convolution.from_shapes, tuple(range(1, rank + 2))), axes, x, weight, words


def _depthwise(
    name: str,
    rank: int,
    x: Any,
    weight: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    boundary: Any,
    layout: Any,
    **rest: Any,
) -> Array:
    """Run a convolution with one group for each input channel."""
    x, weight = door.stored(x, "x"), door.stored(weight, "weight")
    request = _depthwise_request(name, rank, x, weight, stride, padding, dilation, boundary, layout)
    return prepared.run(*request, **rest)


def _pointwise_request(
    name: str, x: Array, weight: Array, stride: Any, groups: Any, layout: Any, argument: str = "weight"
) -> Request:
    """Read the axes of both operands of a convolution with a kernel of 1x1."""
    if weight.ndim == 2:
        weight = weight[:, :, None, None]
    if weight.ndim != 4 or weight.shape[2:] != (1, 1):
        raise InvalidArgument(
            f"{name} needs a {argument} (out channels, channels / groups) or (out channels, channels / groups, 1, 1), "
            f"got the shape {weight.shape}; for larger kernels use conv2d"
        )
    axes = layers.Axes.of(x, 2, bare=False, last=layers.channels_last(layout, 2), name=name)
    kind = prepared.Kind("convolution", Convolution.from_shapes, (1, 2, 3))
    return kind, axes, x, weight, {"stride": stride, "groups": groups}


@dataclass(frozen=True, slots=True)
class SeparableRecipe(Recipe):
    """The rest of a depthwise separable convolution: both steps, the second for results of the first with `strides`."""

    roles: ClassVar[tuple[str, ...]] = (
        "x", "depthwise_weight", "pointwise_weight", "depthwise_bias", "bias", "residual", "out",
    )  # fmt: skip
    depthwise: prepared.ConvolutionRecipe
    pointwise: prepared.ConvolutionRecipe
    strides: tuple[int, ...]

    def run(self, *arrays: Any) -> Array | None:
        """Return the result, or None if `out` needs a closer look."""
        *operands, residual, out = arrays
        return self.perform(*arrays) if clear_of(out, *operands, same=residual) else None

    def fixed(self, *between: Any) -> Callable[[Array, Array | None], Any]:
        """Return `run` as a function of x and out; both weights are packed if the algorithms pack them."""
        first, second, *_ = between
        packed = replace(self, depthwise=self.depthwise.packed(first), pointwise=self.pointwise.packed(second))
        return lambda x, out: packed.run(x, *between, out)

    def perform(self, *arrays: Any) -> Array:
        """Return the result of arrays that are checked."""
        x, first, second, first_bias, bias, residual, out = arrays
        between = self.depthwise.perform(x, first, first_bias, None, None)
        pointwise = self.pointwise if between.strides == self.strides else self.pointwise.unbound()
        return pointwise.perform(between, second, bias, residual, out)


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def depthwise_conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
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
    """Correlate every channel of signals with its own weights: `depthwise_conv2d` for one spatial axis.

    out[n, c m + q, j] = bias[c m + q] + sum over t of weight[c m + q, t] * x[n, c, j * stride + t * dilation - padding]

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width), or (width,) with a weight of one axis.
    weight
        (channels * multiplier, 1, taps) or (channels * multiplier, taps).
    bias, stride, padding, dilation, boundary, fill, layout, activation, residual, dtype, precision, algorithm, out
        As in `conv1d`.

    Returns
    -------
    numpy.ndarray
        (batch, channels * multiplier, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    Equal to torch.nn.functional.conv1d with groups = channels.

    Examples
    --------
    >>> depthwise_conv1d([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], [[1.0, 1.0], [1.0, -1.0]])
    array([[ 3.,  5.],
           [-1., -1.]])
    """
    return _depthwise("depthwise_conv1d", 1, **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def depthwise_conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
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
    """Correlate every channel of images with its own kernels, without mixing channels.

    out[n, c m + q, j] = bias[c m + q] + sum over t of weight[c m + q, t] * x[n, c, j * stride + t * dilation - padding]

    with m the channel multiplier and q = 0 ... m - 1.

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width), or (height, width) with a weight of two axes.
    weight
        (channels * multiplier, 1, kernel height, kernel width) or (channels * multiplier, kernel height, kernel width).
    bias
        (channels * multiplier,). Default: none.
    stride, padding, dilation, boundary, fill, layout, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray
        (batch, channels * multiplier, out height, out width), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`; also if the first axis of weight is no multiple of the channels.

    Notes
    -----
    Equal to torch.nn.functional.conv2d with groups = channels. Source: Chollet, "Xception: Deep Learning with Depthwise
    Separable Convolutions", arXiv:1610.02357.

    Examples
    --------
    >>> import numpy as np
    >>> depthwise_conv2d(np.ones((2, 3, 3)), np.ones((4, 2, 2))).shape  # two kernels for each of two channels
    (4, 2, 2)
    """
    return _depthwise("depthwise_conv2d", 2, **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def depthwise_conv3d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
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
    """Correlate every channel of volumes with its own kernels: `depthwise_conv2d` for three spatial axes.

    out[n, c m + q, j] = bias[c m + q] + sum over t of weight[c m + q, t] * x[n, c, j * stride + t * dilation - padding]

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), without batch, or (depth, height, width) with a weight of three axes.
    weight
        (channels * multiplier, 1, *kernel) or (channels * multiplier, *kernel).
    bias, stride, padding, dilation, boundary, fill, layout, activation, residual, dtype, precision, algorithm, out
        As in `conv3d`.

    Returns
    -------
    numpy.ndarray
        (batch, channels * multiplier, *output size), with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    Equal to torch.nn.functional.conv3d with groups = channels.

    Examples
    --------
    >>> import numpy as np
    >>> depthwise_conv3d(np.ones((2, 3, 3, 3)), np.ones((2, 3, 3, 3))).ravel()
    array([27., 27.])
    """
    return _depthwise("depthwise_conv3d", 3, **locals())


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def pointwise_conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    *,
    groups: int = 1,
    layout: str = "NCHW",
    activation: Any = None,
    residual: Any = None,
    dtype: Any = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Mix the channels at every position by themselves: a convolution with a kernel of 1x1.

    out[n, o, i, j] = bias[o] + sum over c of weight[o, c] * x[n, c, i * stride, j * stride]

    Parameters
    ----------
    x
        (batch, channels, height, width) or (channels, height, width).
    weight
        (out channels, channels / groups) or (out channels, channels / groups, 1, 1).
    bias, stride, groups, layout, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray
        (batch, out channels, height, width), every stride-th row and column of it, with the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As `conv2d`.

    Notes
    -----
    Source: Lin, Chen and Yan, "Network In Network", arXiv:1312.4400.

    Examples
    --------
    >>> import numpy as np
    >>> rgb = np.ones((3, 2, 2))
    >>> pointwise_conv2d(rgb, [[0.25, 0.5, 0.25]])
    array([[[1., 1.],
            [1., 1.]]])
    """
    x, weight = door.stored(x, "x"), door.stored(weight, "weight")
    rest = {"bias": bias, "activation": activation, "residual": residual, "dtype": dtype, "precision": precision}
    rest |= {"algorithm": algorithm, "out": out, "fill": 0}
    return prepared.run(*_pointwise_request("pointwise_conv2d", x, weight, stride, groups, layout), **rest)


@remembered_with_bfloat16
@answers(LAYER_NAMES)
@door.accepts_input
def depthwise_separable_conv2d(
    x: Any,
    depthwise_weight: Any,
    pointwise_weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    depthwise_bias: Any = None,
    depthwise_activation: Any = None,
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
    """Correlate every channel with its own kernels, then mix the channels: `depthwise_conv2d`, then `pointwise_conv2d`.

    With k taps, c input and o output channels it costs k c + c o multiply-adds a position where a dense convolution
    costs k c o.

    Parameters
    ----------
    x
        (batch, channels, height, width) or (channels, height, width).
    depthwise_weight
        (channels * multiplier, 1, kernel height, kernel width) or without the axis of one.
    pointwise_weight
        (out channels, channels * multiplier) or with two axes of one behind.
    bias
        (out channels,), added after mixing. Default: none.
    depthwise_bias, depthwise_activation
        (channels * multiplier,) and an activation word, applied between the two steps. Default: none.
    stride, padding, dilation, boundary, fill
        Of the depthwise step, as in `conv2d`.
    layout, activation, residual, dtype, precision, algorithm, out
        As in `conv2d`. Between the steps float16 stays float32, and integers stay exact.

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
    Source: Chollet, "Xception", arXiv:1610.02357; Howard et al., "MobileNets", arXiv:1704.04861.

    Examples
    --------
    >>> import numpy as np
    >>> depthwise_separable_conv2d(np.ones((3, 4, 4)), np.ones((3, 3, 3)), np.ones((8, 3)), padding="same").shape
    (8, 4, 4)
    """
    name = "depthwise_separable_conv2d"
    x = door.stored(x, "x")
    first, second = door.stored(depthwise_weight, "depthwise_weight"), door.stored(pointwise_weight, "pointwise_weight")
    addends = {"bias": bias, "depthwise_bias": depthwise_bias, "residual": residual}
    arrays = {key: door.stored(value, key) for key, value in addends.items() if value is not None}
    asked = door.dtype_word(dtype, bfloat=True)
    types = layers.Types.of([x, first, second, *arrays.values()], asked)
    ways: dict[str, Any] = {"precision": precision, "algorithm": algorithm}

    request = _depthwise_request(
        name, 2, x, first, stride, padding, dilation, boundary, layout, argument="depthwise_weight"
    )
    inner = layers.Types(types.arithmetic, types.arithmetic, "refuse")
    between: dict[str, Any] = {"bias": depthwise_bias, "activation": depthwise_activation, "prefix": "depthwise_"}
    depthwise = prepared.prepare(*request, fill=fill, types=inner, **(ways | between))
    depthwise.refuse_unproven()
    # Integers that an activation turned into floats are not turned back between the steps.
    left_integers = types.arithmetic.kind != depthwise.dtype.kind

    def pointwise(between: Array) -> prepared.Prepared:
        request = _pointwise_request(name, between, second, 1, 1, layout, argument="pointwise_weight")
        others = [arrays[key] for key in ("bias", "residual") if key in arrays]
        outer = layers.Types.of([between, second, *others], asked) if left_integers else types
        return prepared.prepare(
            *request, bias=bias, fill=0, activation=activation, residual=residual, out=out, types=outer, **ways
        )

    # The second step is checked on a stand-in of the first one's shape, so that nothing is computed in vain.
    checked = pointwise(np.broadcast_to(np.zeros((), depthwise.dtype), depthwise.shape))
    checked.refuse_unproven()
    inputs = [x, first] if depthwise_bias is None else [x, first, arrays["depthwise_bias"]]
    door.check_out(out, checked.shape, checked.dtype, inputs)
    if noted.get() is not None:
        return pointwise(depthwise.compute()).compute()
    bound = depthwise.bound()
    ready = pointwise(bound.perform(*depthwise.arrays))
    recipe = SeparableRecipe(bound, ready.bound(), ready.arrays[0].strides)
    offer(recipe)
    return recipe.pointwise.perform(*ready.arrays)
