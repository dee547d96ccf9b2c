"""The gradients of convolutions as functions of their own, for those who keep what `striderule.vjp` would keep.

Their arguments stand in the order of torch.nn.grad. `striderule.geometry.gradients` derives the formulas.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import bfloat16, door, layers
from striderule.functional import precision as precisions
from striderule.functional.convolution import operands
from striderule.functional.door import Array
from striderule.functional.gradients.convolution import input_gradient, weight_gradient
from striderule.functional.names import LAYER_NAMES, answers
from striderule.geometry.arguments import integer, is_sequence
from striderule.geometry.problem import Convolution


@answers(LAYER_NAMES)
def conv_input_grad(
    input_size: Any,
    weight: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    rank: int | None = None,
    boundary: Any = "constant",
    layout: str = "channels_first",
    precision: str | None = None,
) -> Array:
    """Return the gradient of `conv` with respect to its input, from that with respect to its output.

    gx[n, c, i] = sum over o, j, t with j * stride + t * dilation - padding = i of weight[o, c, t] * gy[n, o, j]

    With a boundary other than ``"constant"``, what falls outside is added where the boundary shows it from.

    Parameters
    ----------
    input_size
        The shape of the input, with all the axes that it came with.
    weight
        (out channels, channels / groups, *kernel), or spatial axes alone for an input without channels.
    grad_output
        gy, of the shape of the output.
    stride, padding, dilation, groups, rank, boundary, layout, precision
        Those of the convolution, as in `conv`.

    Returns
    -------
    numpy.ndarray
        Of the shape `input_size`; float16 and bfloat16 are computed with in float32.

    Raises
    ------
    InvalidArgument
        For shapes, numbers and words that break a rule, and where gy has not the shape of the output.
    InvalidType
        For arrays that hold no real floats.

    Notes
    -----
    torch.nn.grad.conv1d_input, conv2d_input and conv3d_input. Dumoulin and Visin, arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> conv_input_grad((4,), [1.0, -1.0], [1.0, 10.0, 100.0])
    array([   1.,    9.,   90., -100.])
    """
    taps, g = _floats(weight, "weight"), _floats(grad_output, "grad_output")
    x = np.broadcast_to(np.float32(0), _shape(input_size, "input_size"))
    words = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "boundary": boundary}
    axes, problem, final, taps = _layer("conv_input_grad", rank, x, taps, g, layout, words, (taps, g))
    with _under(precision):
        found = axes.restore(input_gradient(problem, axes.canonical(g), taps))
    return found.astype(final, copy=False)


@answers(LAYER_NAMES)
@door.accepts_input
def conv_weight_grad(
    x: Any,
    weight_size: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    rank: int | None = None,
    boundary: Any = "constant",
    fill: Any = 0,
    layout: str = "channels_first",
    precision: str | None = None,
) -> Array:
    """Return the gradient of `conv` with respect to its weight, from that with respect to its output.

    gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j * stride + t * dilation - padding]

    Parameters
    ----------
    x
        The input of the convolution, also accepted as `input`.
    weight_size
        The shape of the weight: (out channels, channels / groups, *kernel), or spatial axes alone.
    grad_output
        gy, of the shape of the output.
    stride, padding, dilation, groups, rank, boundary, fill, layout, precision
        Those of the convolution, as in `conv`.

    Returns
    -------
    numpy.ndarray
        Of the shape `weight_size`; float16 and bfloat16 are computed with in float32. The same bits for any number of
        threads.

    Raises
    ------
    InvalidArgument
        For shapes, numbers and words that break a rule, and where gy has not the shape of the output.
    InvalidType
        For arrays that hold no real floats.

    Notes
    -----
    torch.nn.grad.conv1d_weight, conv2d_weight and conv3d_weight. Goodfellow, Bengio and Courville, Deep Learning
    (2016), equation 9.11.

    Examples
    --------
    >>> conv_weight_grad([1.0, 2.0, 4.0, 8.0], (2,), [1.0, 10.0, 100.0])
    array([421., 842.])
    """
    image, g = _floats(x, "x"), _floats(grad_output, "grad_output")
    taps = np.broadcast_to(np.float32(0), _shape(weight_size, "weight_size"))
    words = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "boundary": boundary}
    axes, problem, final, _ = _layer("conv_weight_grad", rank, image, taps, g, layout, words, (image, g))
    outside = layers.integer_fill(fill, np.dtype(problem.dtype))
    with _under(precision):
        found = weight_gradient(problem, axes.canonical(image), axes.canonical(g), outside)
    return found.reshape(taps.shape).astype(final, copy=False)


def _layer(
    name: str,
    rank: int | None,
    x: Array,
    weight: Array,
    g: Array,
    layout: Any,
    words: dict[str, Any],
    given: tuple[Array, Array],
) -> tuple[layers.Axes, Convolution, np.dtype[Any], Array]:
    """Return the axes, the convolution in its arithmetic, the type of the result, and the weight with all axes."""
    axes, weight = operands(name, rank, x, weight, layout)
    final = bfloat16.promoted(*(one.dtype for one in given))
    work = str(door.arithmetic_of(final))
    problem = Convolution.from_shapes(axes.canonical(x).shape, weight.shape, **words, dtype=work)
    expected = axes.given(problem.output_shape)
    if g.shape != expected:
        raise InvalidArgument(
            f"grad_output must have the shape of the output {expected}, got {g.shape} (input shape {x.shape}, weight "
            f"shape {weight.shape})"
        )
    return axes, problem, final, weight


def _floats(value: Any, name: str) -> Array:
    found = door.stored(value, name)
    if found.dtype.kind != "f" and not bfloat16.holds(found.dtype):
        raise InvalidType(f"{name} must hold real floats, got {found.dtype}; gradients are of floats")
    return found


def _shape(value: Any, name: str) -> tuple[int, ...]:
    if not is_sequence(value) or np.ndim(value) != 1:
        raise InvalidType(f"{name} must be a shape, a tuple of integers, got {value!r}")
    sizes = tuple(integer(n, name) for n in value)
    if any(n < 0 for n in sizes):
        raise InvalidArgument(f"{name} must hold no negative sizes, got {value!r}")
    return sizes


def _under(word: str | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if word is None else precisions.precision(word)
