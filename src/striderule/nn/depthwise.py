"""Layers that keep channels apart, or positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from striderule.functional.depthwise import depthwise_conv2d
from striderule.functional.local import locally_connected2d
from striderule.geometry.arguments import per_axis
from striderule.geometry.problem import Convolution
from striderule.nn.containers import Sequential
from striderule.nn.convolution import Conv2d
from striderule.nn.initial import generator_of
from striderule.nn.weighted import Weighted, count


class DepthwiseConv2d(Conv2d):
    """A convolutional layer in which every channel has kernels of its own: `Conv2d` with as many groups as channels.

    Source: Chollet, "Xception", arXiv:1610.02357.

    Parameters
    ----------
    channels
        Channels of the input, at least 1.
    kernel_size, stride, padding, dilation, bias, padding_mode, activation, precision, init, seed
        As in `Conv2d`.
    multiplier
        Weighted of each channel; the output has channels * multiplier. Default: 1.

    Attributes
    ----------
    weight
        float32, (channels * multiplier, 1, rows, columns).
    bias
        float32, (channels * multiplier,), or None.

    Examples
    --------
    >>> import numpy as np
    >>> DepthwiseConv2d(8, 3, padding=1, seed=0)(np.zeros((1, 8, 6, 6), np.float32)).shape
    (1, 8, 6, 6)
    """

    function = staticmethod(depthwise_conv2d)

    def __init__(
        self,
        channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplier: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        activation: Any = None,
        precision: str | None = None,
        init: Any = "he",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        channels, self.multiplier = count(channels, "channels"), count(multiplier, "multiplier")
        geometry = (kernel_size, stride, padding, dilation, channels, bias, padding_mode)
        words: dict[str, Any] = {"activation": activation, "precision": precision, "init": init, "seed": seed}
        super().__init__(channels, channels * self.multiplier, *geometry, **words)

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the depthwise convolution, and its arguments behind x."""
        function, words = super().operation()
        return function, {name: value for name, value in words.items() if name != "groups"}


class DepthwiseSeparableConv2d(Sequential):
    """A depthwise separable layer: every channel by itself, then all channels at each position.

    With k taps, c input and o output channels it costs k c + c o multiply-adds a position where a dense convolution
    costs k c o.

    Source: Howard et al., "MobileNets", arXiv:1704.04861, section 3.1.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and of the output, at least 1.
    kernel_size, stride, padding, dilation, multiplier, padding_mode
        Of the depthwise step, as in `DepthwiseConv2d`.
    bias
        Whether both steps add one. Default: True.
    depthwise_activation, activation
        What follows each step, as in `Conv2d`. Default: None.
    precision, init, seed
        As in `Conv2d`.

    Attributes
    ----------
    depthwise, pointwise
        The two layers: a `DepthwiseConv2d`, and a `Conv2d` of size 1.

    Examples
    --------
    >>> import numpy as np
    >>> layer = DepthwiseSeparableConv2d(8, 16, 3, padding=1, seed=0)
    >>> layer(np.zeros((1, 8, 6, 6), np.float32)).shape
    (1, 16, 6, 6)
    >>> list(layer.parameters())
    ['depthwise.weight', 'depthwise.bias', 'pointwise.weight', 'pointwise.bias']
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplier: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        depthwise_activation: Any = None,
        activation: Any = None,
        precision: str | None = None,
        init: Any = "he",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        words: dict[str, Any] = {"precision": precision, "init": init, "seed": generator_of(seed)}
        geometry = (kernel_size, stride, padding, dilation, multiplier, bias, padding_mode)
        depthwise = DepthwiseConv2d(in_channels, *geometry, activation=depthwise_activation, **words)
        pointwise = Conv2d(depthwise.out_channels, out_channels, 1, bias=bias, activation=activation, **words)
        super().__init__(("depthwise", depthwise), ("pointwise", pointwise))


class LocallyConnected2d(Weighted):
    """A layer with kernels of its own at every output position: a convolution that shares nothing.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, j, t] * x[n, c, j * stride + t * dilation - padding before]

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.9 (unshared convolution).

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and of the output, at least 1.
    input_size
        Rows and columns of the images, which decide how many positions there are.
    kernel_size, stride, padding, dilation, groups, bias, activation, precision, init, seed
        As in `Conv2d`.

    Attributes
    ----------
    weight
        float32, (out_channels, in_channels / groups, out rows, out columns, kernel rows, kernel columns).
    bias
        float32, (out_channels,), or None.

    Examples
    --------
    >>> import numpy as np
    >>> LocallyConnected2d(3, 4, (8, 8), 3, seed=0)(np.zeros((1, 3, 8, 8), np.float32)).shape
    (1, 4, 6, 6)
    """

    function = staticmethod(locally_connected2d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Any,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        activation: Any = None,
        precision: str | None = None,
        init: Any = "he",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self._keep(in_channels, out_channels, groups, kernel_size, activation, precision)
        self.input_size = per_axis(input_size, 2, "input_size", 1)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        inputs = self.in_channels // self.groups
        problem = Convolution.from_shapes(
            (1, self.in_channels, *self.input_size),
            (self.out_channels, inputs, *self.kernel_size),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=self.groups,
        )
        shape = (self.out_channels, inputs, *problem.output_size, *self.kernel_size)
        self._draw(shape, init, seed, inputs * math.prod(self.kernel_size), bias)

    def __repr__(self) -> str:
        return (
            f"LocallyConnected2d({self.in_channels}, {self.out_channels}, input_size={self.input_size}, "
            f"kernel_size={self.kernel_size}, stride={self.stride!r}, padding={self.padding!r})"
        )
