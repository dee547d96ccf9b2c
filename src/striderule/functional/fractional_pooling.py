"""Fractional max pooling, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule.errors import InvalidArgument
from striderule.functional import door, pools, widening
from striderule.functional.door import Array
from striderule.geometry.pooling import FractionalPooling


def _samples(given: Any, seed: Any, problem: FractionalPooling, dtype: np.dtype[Any]) -> Array:
    """Return one number in 0 to 1 for each image, channel and spatial axis: given ones, or drawn ones."""
    shape = (problem.batch, problem.channels, problem.rank)
    if given is None:
        generator = np.random.default_rng(seed)
        return generator.random(shape, np.float64 if dtype == np.float64 else np.float32).astype(dtype)
    if seed is not None:
        raise InvalidArgument("seed and _random_samples both say how to draw; pass one of them")
    samples = door.array(given, "_random_samples")
    if samples.ndim != 3 or samples.shape[0] < shape[0] or samples.shape[1:] != shape[1:]:
        raise InvalidArgument(
            f"_random_samples must have the shape (batch, channels, spatial axes) = {shape}, got {samples.shape}"
        )
    if samples.dtype.kind == "c" or not ((samples >= 0) & (samples <= 1)).all():
        raise InvalidArgument("_random_samples must be real numbers from 0 to 1")
    return samples[: shape[0]].astype(dtype)


def _fractional(
    rank: int, x: Any, kernel_size: Any, sizes: tuple[Any, Any], draw: tuple[Any, Any], rest: dict[str, Any]
) -> Any:
    """Check everything and run a fractional max pooling; `sizes` are output size and ratio, `draw` samples and seed."""
    value, image, axes = pools.opened(f"fractional_max_pool{rank}d", x, rank, ordered=True)
    problem = FractionalPooling.from_shape(image.shape, kernel_size, *sizes)
    drawn = _samples(*draw, problem, door.float_of(value.dtype))
    return pools.largest("fractional_max_pool", problem, value, image, axes, drawn, **rest)


@widening.widened
@door.accepts_input
def fractional_max_pool1d(
    x: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
    *,
    seed: Any = None,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest of unevenly placed windows: `fractional_max_pool2d` for one spatial axis.

    out[n, c, j] = max over taps t of x[n, c, start[j] + t]; the starts as in `fractional_max_pool2d`

    Parameters
    ----------
    x
        (batch, channels, width), (channels, width) or (width,).
    kernel_size, output_size, output_ratio, return_indices, seed, algorithm, out
        As in `fractional_max_pool2d`.
    _random_samples
        The numbers u, of shape (batch, channels, 1). Default: drawn.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `fractional_max_pool2d`.

    Notes
    -----
    PyTorch has no function of this name; the rules are those of torch.nn.FractionalMaxPool2d.

    Examples
    --------
    >>> fractional_max_pool1d([1, 4, 2, 8, 5, 7], 2, output_size=4, _random_samples=[[[0.25]]])
    array([4, 4, 8, 7])
    """
    rest = {"return_indices": return_indices, "algorithm": algorithm, "out": out}
    return _fractional(1, x, kernel_size, (output_size, output_ratio), (_random_samples, seed), rest)


@widening.widened
@door.accepts_input
def fractional_max_pool2d(
    x: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
    *,
    seed: Any = None,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest of windows that start at uneven steps, drawn at random for each image and channel.

    out[n, c, j] = max over taps t of x[n, c, start[j] + t]

    where on each axis start[j] = int((j + u) a) - int(u a) with a = (size - kernel_size) / (out - 1) and u drawn from 0
    to 1; the last window ends at the border.

    Parameters
    ----------
    x
        (batch, channels, height, width), (channels, height, width) or (height, width), of any real type, which is kept.
    kernel_size
        Taps of the window: one integer, or one an axis.
    output_size
        Size of the output: one integer, or one an axis; at most size - kernel_size + 1.
    output_ratio
        Instead of output_size: the output's share of the input, above 0 and at most 1, one number or one an axis.
    return_indices
        Also return where each value stands in its plane of x, counted through row by row (int64).
    _random_samples
        The numbers u, of shape (batch, channels, 2): for the width, then for the height, as in PyTorch. Default: drawn.
    seed
        Seed or numpy.random.Generator to draw from. Default: new numbers in every call.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; a pair of arrays with `return_indices`.

    Returns
    -------
    numpy.ndarray, or (values, indices)
        (batch, channels, *output_size) with the axes that x came with. NaN counts as the largest. Of equal values the
        first is meant, of several NaN the last.

    Raises
    ------
    InvalidArgument
        If neither output_size nor output_ratio is given, the output is too large, or another rule is broken.
    InvalidType
        For complex numbers, lazy and foreign arrays, and values of the wrong kind.

    Notes
    -----
    Graham, "Fractional Max-Pooling" (arXiv:1412.6071); sequence and rules are those of torch.nn.FractionalMaxPool2d.

    Examples
    --------
    >>> import numpy as np
    >>> fractional_max_pool2d(np.arange(25).reshape(5, 5), 2, output_size=3, _random_samples=[[[0.5, 0.5]]])
    array([[ 6,  8,  9],
           [16, 18, 19],
           [21, 23, 24]])
    """
    rest = {"return_indices": return_indices, "algorithm": algorithm, "out": out}
    return _fractional(2, x, kernel_size, (output_size, output_ratio), (_random_samples, seed), rest)


@widening.widened
@door.accepts_input
def fractional_max_pool3d(
    x: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
    *,
    seed: Any = None,
    algorithm: str | None = None,
    out: Any = None,
) -> Any:
    """Take the largest of unevenly placed windows: `fractional_max_pool2d` for three axes.

    out[n, c, j] = max over taps t of x[n, c, start[j] + t]; the starts as in `fractional_max_pool2d`

    Parameters
    ----------
    x
        (batch, channels, depth, height, width), (channels, depth, height, width) or (depth, height, width).
    kernel_size, output_size, output_ratio, return_indices, seed, algorithm, out
        As in `fractional_max_pool2d`.
    _random_samples
        The numbers u, of shape (batch, channels, 3): for depth, height and width. Default: drawn.

    Returns
    -------
    numpy.ndarray
        With the axes that x came with.

    Raises
    ------
    InvalidArgument, InvalidType
        As `fractional_max_pool2d`.

    Notes
    -----
    Sequence and rules are those of torch.nn.FractionalMaxPool3d.

    Examples
    --------
    >>> import numpy as np
    >>> fractional_max_pool3d(np.arange(27).reshape(3, 3, 3), 2, output_size=1)
    array([[[26]]])
    """
    rest = {"return_indices": return_indices, "algorithm": algorithm, "out": out}
    return _fractional(3, x, kernel_size, (output_size, output_ratio), (_random_samples, seed), rest)
