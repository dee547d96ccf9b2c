"""Convolutional layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.functional.convolution import conv1d, conv2d, conv3d
from striderule.functional.planned import noted
from striderule.geometry.arguments import per_axis
from striderule.geometry.padding import parse_padding
from striderule.nn.joint import Chained, End
from striderule.nn.layer import Layer
from striderule.nn.pooling import AvgPool2d, MaxPool2d
from striderule.nn.weighted import Weighted, checked

Array = NDArray[Any]
Kind = TypeVar("Kind", bound=type)

# PyTorch's words for what lies outside the image, in ours.
MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "edge", "circular": "wrap"}

PARAMETERS = """
    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and of the output, at least 1.
    kernel_size, stride, dilation
        Size of the kernels, step of the window, distance between taps, in pixels: at least 1, one integer or one for
        each axis. Defaults: stride 1, dilation 1.
    padding
        Pixels added on each side, or a word such as ``"same"``, as in `striderule.conv2d`. Default: 0.
    groups
        Into how many groups channels are split, each with kernels of its own; it divides both counts. Default: 1.
    bias
        Whether a number is added to each output channel, 0 at first. Default: True.
    padding_mode
        What is added: ``"zeros"`` (default), ``"reflect"`` (without the edge itself), ``"replicate"`` or
        ``"circular"``, as in PyTorch.
    activation
        What is applied to the sums: a word such as ``"relu"``, ``("leaky_relu", 0.1)``, or None (default).
    precision
        The promise on the error of float32 sums, as in `striderule.conv2d`; None (default) takes what holds where the
        layer is called.
    init
        How the weights are drawn: see `striderule.nn.random_weight`. Default: ``"he"``.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time; None (default) for new ones.
"""


def described(**texts: str) -> Callable[[Kind], Kind]:
    """Write what docstrings have in common where they say ``{parameters}``."""

    def change(kind: Kind) -> Kind:
        for name, text in texts.items():
            kind.__doc__ = (kind.__doc__ or "").replace(f"\n    {{{name}}}\n", text)
        return kind

    return change


class Convolution(Weighted):
    """What the convolutional layers of one to three dimensions have in common."""

    function: ClassVar[Callable[..., Any]] = staticmethod(conv2d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
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
        if padding_mode not in MODES:
            raise InvalidArgument(f"padding_mode must be one of {', '.join(MODES)}, got {padding_mode!r}")
        self.padding, self.padding_mode = padding, padding_mode
        extents = {"size": self.kernel_size, "kernel": self.kernel_size}
        parse_padding(padding, stride=self.stride, dilation=self.dilation, **extents)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._draw(shape, init, seed, math.prod(shape[1:]), bias)

    def forward(self, x: ArrayLike) -> Array:
        """Return the output for a batch or for one of it.

        Parameters
        ----------
        x
            (batch, in_channels, *spatial) or (in_channels, *spatial). float32 stays float32, float64 gives float64.

        Returns
        -------
        numpy.ndarray
            (batch, out_channels, *spatial'), with size' = floor((size + 2 padding - dilation (kernel - 1) - 1) /
            stride) + 1 on each axis, or without the batch axis if `x` has none.

        Raises
        ------
        InvalidArgument
            If `x` has another number of axes or channels, or is smaller than the kernel.
        """
        return super().forward(x)

    def _joined(self, x: Any, end: End) -> Chained | None:
        """Return what `forward` does in training with the activation behind it; None where there is nothing to join."""
        if end.activation is None or end.residual is not None or self.activation is not None or not self.training:
            return None
        if noted.get() is not None:
            return None
        op, words = self.operation()
        result = self._trained(checked(x, self.in_channels, self.rank), op, {**words, "activation": end.activation})
        joint = Chained(self._pull, result)
        self._pull = joint.of_convolution
        return joint

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the convolution, and its arguments behind x."""
        function, words = super().operation()
        return function, {**words, "boundary": MODES[self.padding_mode]}

    def __repr__(self) -> str:
        usual = {"dilation": (1,) * self.rank, "groups": 1, "padding_mode": "zeros", "activation": None}
        others = [f"{name}={getattr(self, name)!r}" for name, value in usual.items() if getattr(self, name) != value]
        others += ["bias=False"] if self.bias is None else []
        first = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{type(self).__name__}({', '.join([first, f'padding={self.padding!r}', *others])})"


@described(parameters=PARAMETERS)
class Conv1d(Convolution):
    """A convolutional layer of sequences: `striderule.conv1d` with learned kernels.

    out[n, o, i] = bias[o] + sum over c, u of weight[o, c, u] * x[n, c, i * stride + u * dilation - padding]

    {parameters}

    Attributes
    ----------
    weight
        float32, (out_channels, in_channels / groups, kernel size).
    bias
        float32, (out_channels,), or None.

    Examples
    --------
    >>> import numpy as np
    >>> Conv1d(4, 8, 5, stride=2, seed=0)(np.zeros((2, 4, 100), np.float32)).shape
    (2, 8, 48)
    """

    rank = 1
    function = staticmethod(conv1d)


@described(parameters=PARAMETERS)
class Conv2d(Convolution):
    """A convolutional layer of images: `striderule.conv2d` with learned kernels.

    out[n, o, i, j] = bias[o] + sum over c, u, v of
    weight[o, c, u, v] * x[n, c, i * stride + u * dilation - padding, j * stride + v * dilation - padding]

    {parameters}

    Attributes
    ----------
    weight
        float32, (out_channels, in_channels / groups, rows, columns).
    bias
        float32, (out_channels,), or None.

    Examples
    --------
    >>> import numpy as np
    >>> Conv2d(3, 16, 3, padding=1, seed=0)(np.zeros((1, 3, 32, 32), np.float32)).shape
    (1, 16, 32, 32)
    """


@described(parameters=PARAMETERS)
class Conv3d(Convolution):
    """A convolutional layer of volumes: `striderule.conv3d` with learned kernels.

    out[n, o, j] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, j * stride + t * dilation - padding],
    where j and t have three axes

    {parameters}

    Attributes
    ----------
    weight
        float32, (out_channels, in_channels / groups, planes, rows, columns).
    bias
        float32, (out_channels,), or None.

    Examples
    --------
    >>> import numpy as np
    >>> Conv3d(1, 4, 3, padding="same", seed=0)(np.zeros((1, 1, 8, 8, 8), np.float32)).shape
    (1, 4, 8, 8, 8)
    """

    rank = 3
    function = staticmethod(conv3d)


class ConvLayer(Conv2d):
    """A two-dimensional convolutional layer: correlation with learned kernels, plus a bias, an activation, pooling.

    out[n, o, i, j] = activation(bias[o] + sum over c, u, v of
    weight[o, c, u, v] * x[n, c, i * stride + u - padding, j * stride + v - padding]), and then pooled if asked for

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equations 9.6 and 9.7, figure 9.7.

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
    precision
        The promise on the error of float32 sums, as in `striderule.conv2d`; None (default) takes what holds where the
        layer is called.
    init
        ``"he"`` (default) draws the weights with the variance 2 / (in_channels * taps), which keeps the size of the
        signal through ReLU; ``"normal"`` with variance 1, unscaled; more in `striderule.nn.random_weight`.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time; None (default) for new ones.
    pooling
        What follows: a size such as 2 for the largest of each 2x2 pixels, ``("avg", 2)`` for their mean, another
        layer, or None (default).

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
    >>> ConvLayer(3, 16, 3, padding=1, pooling=2, seed=0).eval()(np.zeros((1, 3, 32, 32), dtype=np.float32)).shape
    (1, 16, 16, 16)
    """

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
        init: Any = "he",
        seed: int | np.random.Generator | None = None,
        pooling: Any = None,
    ) -> None:
        words: dict[str, Any] = {"activation": activation, "precision": precision, "init": init, "seed": seed}
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, **words)
        self.pooling = _pooling(pooling)

    def forward(self, x: ArrayLike) -> Array:
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
            without the batch axis if `x` has none; pooled, if the layer pools.

        Raises
        ------
        InvalidArgument
            If `x` has another number of axes or channels, or is smaller than the kernel.
        """
        sums = super().forward(x)
        return sums if self.pooling is None else self.pooling.forward(sums)

    def backward(self, gy: ArrayLike) -> Array | None:
        """Return the gradient with respect to the input of the last `forward`, and add those of the parameters up."""
        gradient: Any = gy if self.pooling is None else self.pooling.backward(gy)
        return super().backward(gradient)

    def __compile__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Return what `striderule.compile` binds: the convolution, if nothing follows it."""
        return super().__compile__() if self.pooling is None else (self, (), {})

    def __repr__(self) -> str:
        pooled = "" if self.pooling is None else f", pooling={self.pooling!r}"
        return (
            f"ConvLayer({self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding!r}, activation={self.activation!r}{pooled})"
        )


def _pooling(given: Any) -> Layer | None:
    """Return the layer of a size, or of a pair of word and size."""
    if given is None or isinstance(given, Layer):
        return given
    kinds: dict[str, type[MaxPool2d | AvgPool2d]] = {"max": MaxPool2d, "avg": AvgPool2d}
    word, size = given if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str) else ("max", given)
    if word not in kinds:
        raise InvalidArgument(f"pooling must be a size, ('max', size), ('avg', size) or a layer, got {given!r}")
    return kinds[word](size)
