"""Transposed convolutional layers, which enlarge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from striderule.functional.transposed import conv_transpose1d, conv_transpose2d, conv_transpose3d
from striderule.geometry.arguments import per_axis
from striderule.nn.convolution import described
from striderule.nn.weighted import Weighted

PARAMETERS = """
    out has (size - 1) * stride - 2 padding + dilation * (kernel - 1) + output_padding + 1 positions on each axis.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and of the output, at least 1.
    kernel_size, stride, dilation
        Size of the kernels, distance of the inputs in the output, distance between taps: at least 1, one integer or one
        for each axis. Defaults: stride 1, dilation 1.
    padding
        Positions that are cut off at each side of the output, one integer or one for each axis. Default: 0.
    output_padding
        Positions that the output has more at the end, less than stride or dilation. Default: 0.
    groups
        Into how many groups channels are split, each with kernels of its own. Default: 1.
    bias
        Whether a number is added to each output channel, 0 at first. Default: True.
    activation
        What is applied to the sums: a word such as ``"relu"``, ``("leaky_relu", 0.1)``, or None (default).
    precision
        The promise on the error of float32 sums, as in `striderule.conv2d`; None (default) takes what holds where the
        layer is called.
    init
        How the weights are drawn: see `striderule.nn.random_weight`. Default: ``"he"``, for the inputs that an output
        gets: in_channels / groups * taps / stride.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time; None (default) for new ones.

    Attributes
    ----------
    weight
        float32, (in_channels, out_channels / groups, *kernel).
    bias
        float32, (out_channels,), or None.
"""


class TransposedConvolution(Weighted):
    """What the transposed convolutional layers of one to three dimensions have in common."""

    function = staticmethod(conv_transpose2d)
    _NAMES = ("stride", "padding", "output_padding", "groups", "dilation", "activation", "precision")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        *,
        activation: Any = None,
        precision: str | None = None,
        init: Any = "he",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self._keep(in_channels, out_channels, groups, kernel_size, activation, precision)
        self.stride, self.dilation = (
            per_axis(value, self.rank, name, 1) for name, value in (("stride", stride), ("dilation", dilation))
        )
        self.padding = padding
        self.output_padding = per_axis(output_padding, self.rank, "output_padding", 0)
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        taps, share = math.prod(self.kernel_size), math.prod(self.stride)
        self._draw(shape, init, seed, max(1.0, self.in_channels // self.groups * taps / share), bias)

    def __repr__(self) -> str:
        first = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{type(self).__name__}({first}, padding={self.padding!r})"


@described(parameters=PARAMETERS)
class ConvTranspose1d(TransposedConvolution):
    """A transposed convolutional layer of sequences: `striderule.conv_transpose1d` with learned kernels.

    {parameters}

    Examples
    --------
    >>> import numpy as np
    >>> ConvTranspose1d(8, 4, 4, stride=2, padding=1, seed=0)(np.zeros((2, 8, 10), np.float32)).shape
    (2, 4, 20)
    """

    rank = 1
    function = staticmethod(conv_transpose1d)


@described(parameters=PARAMETERS)
class ConvTranspose2d(TransposedConvolution):
    """A transposed convolutional layer of images: `striderule.conv_transpose2d` with learned kernels.

    {parameters}

    Examples
    --------
    >>> import numpy as np
    >>> ConvTranspose2d(8, 4, 2, stride=2, seed=0)(np.zeros((2, 8, 5, 6), np.float32)).shape
    (2, 4, 10, 12)
    """


@described(parameters=PARAMETERS)
class ConvTranspose3d(TransposedConvolution):
    """A transposed convolutional layer of volumes: `striderule.conv_transpose3d` with learned kernels.

    {parameters}

    Examples
    --------
    >>> import numpy as np
    >>> ConvTranspose3d(2, 1, 2, stride=2, seed=0)(np.zeros((1, 2, 3, 4, 5), np.float32)).shape
    (1, 1, 6, 8, 10)
    """

    rank = 3
    function = staticmethod(conv_transpose3d)
