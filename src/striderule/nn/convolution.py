"""The convolutional layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.functional import door
from striderule.functional.convolution import conv2d
from striderule.functional.layers import activation_of
from striderule.geometry.arguments import integer, per_axis
from striderule.geometry.padding import parse_padding
from striderule.nn.initial import random_weight
from striderule.nn.layer import Operation
from striderule.nn.parameter import Held
from striderule.planning import precision_word


class ConvLayer(Operation):
    """A two-dimensional convolutional layer: correlation with learned kernels, plus a bias, through an activation.

    out[n, o, i, j] = activation(bias[o] + sum over c, u, v of
    weight[o, c, u, v] * x[n, c, i * stride + u - padding, j * stride + v - padding])

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equations 9.6 and 9.7.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and of the output, at least 1.
    kernel_size
        Rows and columns of the kernels: one integer, or (rows, columns), at least 1.
    stride
        Step of the window in pixels, at least 1; one integer or one for each axis. Default: 1.
    padding
        Pixels of zeros on each side, or a word such as ``"same"``, as in `striderule.conv2d`. Default: 0.
    activation
        What is applied to the sums: a word such as ``"relu"`` or ``"tanh"``, ``("leaky_relu", 0.1)``, or None.
    init
        ``"he"`` (default) draws the weights with the variance 2 / (in_channels * taps), which keeps the size of the
        signal through ReLU (He et al., arXiv:1502.01852); ``"normal"`` with variance 1, unscaled.
    precision
        The promise on the error of float32 sums, as in `striderule.conv2d`; None (default) takes what holds where the
        layer is called.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time; None (default) for new ones.

    Attributes
    ----------
    weight
        float32, (out_channels, in_channels, rows, columns).
    bias
        float32, (out_channels,), zeros at first.
    activation, precision
        As given; they may be changed.

    Raises
    ------
    InvalidArgument, InvalidType
        For sizes below 1, unknown words, and seeds that are none.

    Examples
    --------
    >>> import numpy as np
    >>> layer = ConvLayer(3, 16, 3, padding=1, seed=0)
    >>> layer(np.zeros((1, 3, 32, 32), dtype=np.float32)).shape
    (1, 16, 32, 32)
    >>> layer
    ConvLayer(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=1, activation='relu')
    """

    weight = Held()
    bias = Held()

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Any = 0,
        *,
        activation: Any = "relu",
        precision: str | None = None,
        init: str = "he",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.in_channels = _channels(in_channels, "in_channels")
        self.out_channels = _channels(out_channels, "out_channels")
        self.kernel_size = per_axis(kernel_size, 2, "kernel_size", 1)
        self.stride = per_axis(stride, 2, "stride", 1)
        self.padding = padding
        self.activation = activation
        self.precision = precision
        # Both are checked here, where they are written, not at the first input.
        parse_padding(padding, size=self.kernel_size, kernel=self.kernel_size, stride=self.stride, dilation=(1, 1))
        activation_of(activation)
        precision_word(precision)
        self.weight = random_weight((self.out_channels, self.in_channels, *self.kernel_size), init, seed)
        self.bias = np.zeros(self.out_channels, dtype=np.float32)

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Return the output for a batch of images or for one.

        Parameters
        ----------
        x
            (batch, in_channels, rows, columns) or (in_channels, rows, columns). float32 stays float32, float64 gives
            float64.

        Returns
        -------
        numpy.ndarray
            (batch, out_channels, rows', columns') with rows' = floor((rows + 2 padding - kernel rows) / stride) + 1, or
            without the batch axis if `x` has none.

        Raises
        ------
        InvalidArgument
            If `x` has another number of axes or channels, or is smaller than the kernel.
        """
        image = door.array(x, "x")
        if image.ndim not in (3, 4) or image.shape[-3] != self.in_channels:
            raise InvalidArgument(
                f"x must be (batch, {self.in_channels}, rows, columns) or ({self.in_channels}, rows, columns) for this "
                f"layer, got the shape {image.shape}"
            )
        return super().forward(image)

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the convolution, and its arguments behind x."""
        words = {"activation": self.activation, "precision": self.precision}
        return conv2d, {
            "weight": self.weight, "bias": self.bias, "stride": self.stride, "padding": self.padding, **words,
        }  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"ConvLayer({self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding!r}, activation={self.activation!r})"
        )


def _channels(value: Any, argument: str) -> int:
    count = integer(value, argument)
    if count < 1:
        raise InvalidArgument(f"{argument} must be at least 1, got {count}")
    return count
