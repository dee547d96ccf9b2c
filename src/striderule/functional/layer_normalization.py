"""Normalisations whose statistics belong to one image, or to one position of it: layers and groups of channels."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from striderule.algorithms import memory, table
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door, elementwise, recipes
from striderule.functional.door import Array
from striderule.functional.standin import StandIn, stand_in
from striderule.geometry.arguments import integer, is_sequence

Ints = tuple[int, ...]


def _factors(values: Any, argument: str, shape: Ints) -> Array | None:
    """Return weight or bias side by side, in float64."""
    if values is None:
        return None
    array = door.array(values, argument)
    if array.dtype.kind == "c":
        raise InvalidType(f"{argument} must hold real numbers, got {array.dtype}")
    if array.shape != shape:
        raise InvalidArgument(f"{argument} must have the shape {shape}, got {array.shape}")
    return np.ascontiguousarray(array.reshape(-1), np.float64)


# Layers ---------------------------------------------------------------------------------------------------------------


class Lines(NamedTuple):
    """How an array is seen as lines that are normalised: (outer, length, inner), the line being the middle axis."""

    outer: int
    length: int
    inner: int
    # The axis that goes to the end before, or None.
    moved: int | None

    def seen(self, x: Array) -> Array:
        """Return an array in this shape: a view where it stands in memory as it was found, else a copy."""
        turned = x if self.moved is None else np.moveaxis(x, self.moved, -1)
        return np.ascontiguousarray(turned).reshape(self.outer, self.length, self.inner)

    def back(self, seen: Array, shape: Ints) -> Array:
        """Return what `seen` gives as the array of that shape."""
        if self.moved is None:
            return seen.reshape(shape)
        rest = [n for axis, n in enumerate(shape) if axis != self.moved]
        return np.moveaxis(seen.reshape(*rest, shape[self.moved]), -1, self.moved)

    def alike(self, shape: Ints, dtype: Any) -> Array:
        """Return memory for an array of that shape, of which `seen` is a view."""
        return self.back(memory.empty((self.outer, self.length, self.inner), dtype), shape)

    def is_view(self, x: Array) -> bool:
        """Tell whether `seen` gives a view."""
        return bool((x if self.moved is None else np.moveaxis(x, self.moved, -1)).flags.c_contiguous)


def lines_of(x: Array, normalized_shape: Any, axis: Any) -> tuple[Lines, Ints]:
    """Return how an array is seen as lines, and the shape of weight and bias."""
    given = normalized_shape if is_sequence(normalized_shape) else (normalized_shape,)
    shape = tuple(integer(size, "normalized_shape") for size in given)
    if not shape:
        raise InvalidArgument("normalized_shape must have at least one size, got ()")
    if axis is None:
        first, end = x.ndim - len(shape), x.ndim
    else:
        first = integer(axis, "axis")
        if not -x.ndim <= first < x.ndim:
            raise InvalidArgument(f"axis must be one of the {x.ndim} axes of x {x.shape}, got {axis}")
        first %= x.ndim
        end = first + len(shape)
    if first < 0 or x.shape[first:end] != shape:
        where = "the last axes" if axis is None else f"the axes from {axis} on"
        raise InvalidArgument(f"normalized_shape must be the sizes of {where} of x {x.shape}, got {shape}")
    if len(shape) == 1 and x.ndim > 1 and not x.flags.c_contiguous:
        last = np.moveaxis(x, first, -1)
        if last.flags.c_contiguous:
            return Lines(prod(last.shape[:-1]), shape[0], 1, first), shape
    return Lines(prod(x.shape[:first]), prod(shape), prod(x.shape[end:]), None), shape


class Found(NamedTuple):
    """A layer normalisation that is done: what its gradient needs."""

    lines: Lines
    # Means and 1 / sqrt(var + eps) of the lines, both of the shape (outer, inner), in float64.
    statistics: Array
    shape: Ints


def layers_normalized(
    x: Any, normalized_shape: Any, weight: Any, bias: Any, eps: Any, axis: Any, algorithm: Any, out: Any
) -> tuple[Array, Found]:
    """Return what `layer_norm` gives, and what was found on the way."""
    value = elementwise.opened(x, "layer_norm")
    dtype = door.float_of(value.dtype)
    lines, shape = lines_of(value, normalized_shape, axis)
    small = elementwise.epsilon(eps)
    scale, shift = _factors(weight, "weight", shape), _factors(bias, "bias", shape)
    door.check_out(out, value.shape, dtype, [value], same=True, others=(weight, bias))
    compute = table.family("layer_normalization", algorithm)
    if isinstance(value, StandIn):
        return stand_in(value.shape, dtype), Found(lines, np.zeros((2, 0, 0)), shape)
    statistics = np.zeros((2, lines.outer, lines.inner))
    found = Found(lines, statistics, shape)
    if value.size == 0:
        return door.finish(np.empty(value.shape, dtype), dtype, out=out), found
    direct = out is not None and lines.is_view(out)
    result = out if direct else lines.alike(value.shape, dtype)
    seen = lines.seen(value.astype(dtype, copy=False))
    compute.layer(seen, scale, shift, small, lines.seen(result), statistics)
    return door.finish(result, dtype, out=out), found


@recipes.remembered
@door.accepts_input
def layer_norm(
    x: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    axis: int | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Bring every line of an array, over its last axes, to mean 0 and spread 1; then scale and shift its elements.

    out = (x - mean) / sqrt(var + eps) * weight + bias, with mean and variance over the normalised axes

    Parameters
    ----------
    x
        An array of any real type; integers give floats (float32 up to 16 bits, else float64).
    normalized_shape
        The sizes of the axes that are normalised together: an integer for one axis, or a tuple.
    weight, bias
        Of the shape `normalized_shape`. Default: 1 and 0.
    eps
        Added to the variance, which divides by the number of values; at least 0. Default 1e-5.
    axis
        The first of the normalised axes. Default: they are the last ones. ``axis=1`` normalises the channels of each
        position of (batch, channels, ...), as ConvNeXt does, where they stand: nothing is transposed.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; x itself is fine, the other operands are not.

    Returns
    -------
    numpy.ndarray
        Of the shape of x, and of its type where that is a float.

    Raises
    ------
    InvalidArgument, InvalidType
        If the sizes are not those of the axes, weight or bias do not fit; for complex numbers, lazy and foreign arrays.

    Notes
    -----
    Ba, Kiros and Hinton, Layer normalization (arXiv:1607.06450); torch.nn.functional.layer_norm, and Liu et al., A
    ConvNet for the 2020s (arXiv:2201.03545) for axis=1. Statistics are formed in float64.

    Examples
    --------
    >>> layer_norm([[1.0, 3.0], [0.0, 20.0]], 2).round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    >>> layer_norm([[1.0, 3.0], [0.0, 20.0]], 2, axis=0).round(3)
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    return layers_normalized(x, normalized_shape, weight, bias, eps, axis, algorithm, out)[0]


# Groups ---------------------------------------------------------------------------------------------------------------


def by_image(function: Callable[..., Any], *arrays: Array, numbers: tuple[Array | None, ...] = ()) -> list[Any]:
    """Call a function of channels so that every image has channels of its own; return what it returns, call by call.

    Of (batch, channels, ...) all images together are one with all of their channels, where memory allows it: then there
    is one call; else there is one for each image. `numbers` are of the shape (batch, channels).
    """
    batch, channels, *rest = arrays[0].shape
    if all(array.flags.c_contiguous for array in arrays):
        seen = [array.reshape(1, batch * channels, *rest) for array in arrays]
        return [function(*seen, *(None if one is None else one.reshape(-1) for one in numbers))]
    return [
        function(*(array[n : n + 1] for array in arrays), *(None if one is None else one[n] for one in numbers))
        for n in range(batch)
    ]


def placed(x: Array) -> Array:
    """Return an array whose elements follow each other, channels first or last: itself, or a copy."""
    if x.flags.c_contiguous or np.moveaxis(x, 1, -1).flags.c_contiguous:
        return x
    return np.ascontiguousarray(x)


class Groups(NamedTuple):
    """A group normalisation that is done: what its gradient needs."""

    groups: int
    # Means and variances of the groups, (batch, groups), in float64.
    mean: Array
    var: Array
    eps: float

    def each(self, values: Array, channels: int) -> Array:
        """Return numbers of groups, (batch, groups), as numbers of channels, (batch, channels)."""
        in_groups = (*values.shape, channels // self.groups)
        return np.broadcast_to(values[..., None], in_groups).reshape(len(values), channels)


def groups_normalized(
    x: Any, num_groups: Any, weight: Any, bias: Any, eps: Any, algorithm: Any, out: Any
) -> tuple[Array, Groups]:
    """Return what `group_norm` gives, and what was found on the way."""
    value = elementwise.opened(x, "group_norm")
    if value.ndim < 2:
        raise InvalidArgument(f"group_norm needs an array (batch, channels, ...), got {value.ndim} axes {value.shape}")
    batch, channels = value.shape[:2]
    count, small = integer(num_groups, "num_groups"), elementwise.epsilon(eps)
    if count < 1 or channels % count:
        raise InvalidArgument(f"num_groups must divide the {channels} channels of x, got {num_groups}")
    dtype = door.float_of(value.dtype)
    scale, shift = _factors(weight, "weight", (channels,)), _factors(bias, "bias", (channels,))
    door.check_out(out, value.shape, dtype, [value], same=True, others=(weight, bias))
    compute = table.family("normalization", algorithm)
    none = np.zeros((batch, count))
    if isinstance(value, StandIn):
        return stand_in(value.shape, dtype), Groups(count, none, none, small)
    if value.size == 0:
        return door.finish(np.empty(value.shape, dtype), dtype, out=out), Groups(count, none, none, small)
    seen = placed(value.astype(dtype, copy=False))
    units = getattr(compute, "normalized_units", None)
    into = out if out is None or memory.alike(out, seen) else None
    whole = None if units is None else units(seen, scale, shift, small, count, **table.into(compute, into))
    if whole is not None:
        found = Groups(count, whole[1], whole[2] / (seen.size // (batch * count)), small)
        return door.finish(whole[0], dtype, out=out), found
    parts = by_image(compute.batch_statistics, seen)
    mean, var = _joined(parts, batch, count, seen.size // (batch * channels))
    found = Groups(count, mean, var, small)
    numbers = (
        found.each(mean, channels),
        found.each(var, channels),
        *(None if one is None else np.tile(one, (batch, 1)) for one in (scale, shift)),
    )
    result = memory.empty_like(seen, seen.shape, dtype) if out is None or not memory.alike(out, seen) else out

    def normalize(image: Array, target: Array, *channel: Array | None) -> None:
        normalized = compute.normalize(image, *channel, small, **table.into(compute, target))
        if normalized is not target:
            np.copyto(target, normalized, casting="same_kind")

    with np.errstate(all="ignore"):
        by_image(normalize, seen, result, numbers=numbers)
    return door.finish(result, dtype, out=out), found


def _joined(parts: list[tuple[Array, Array]], batch: int, groups: int, positions: int) -> tuple[Array, Array]:
    """Return mean and variance of groups, given means and squared distances of their channels (Chan et al. 1979)."""
    means, squares = (np.concatenate([np.asarray(one[i]) for one in parts]) for i in range(2))
    means, squares = means.reshape(batch, groups, -1), squares.reshape(batch, groups, -1)
    with np.errstate(all="ignore"):
        # Counted from the first channel, so that means far from zero keep the digits in which they differ.
        pivot = np.where(np.isfinite(means[..., :1]), means[..., :1], 0)
        apart = means - pivot
        middle = apart.mean(axis=2, keepdims=True)
        total = squares.sum(axis=2) + positions * ((apart - middle) ** 2).sum(axis=2)
        return (middle + pivot)[..., 0], total / (positions * means.shape[2])


@recipes.remembered
@door.accepts_input
def group_norm(
    x: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Bring groups of channels of each image to mean 0 and spread 1; then scale and shift every channel.

    out[n, c, ...] = (x[n, c, ...] - mean[n, g]) / sqrt(var[n, g] + eps) * weight[c] + bias[c], with mean and variance
    over all channels and positions of group g = c // (channels / num_groups) of image n

    Parameters
    ----------
    x
        (batch, channels, ...), of any real type; integers give floats (float32 up to 16 bits, else float64).
    num_groups
        Number of groups, which divides the channels; as many as channels is instance normalisation.
    weight, bias
        (channels,). Default: 1 and 0.
    eps
        Added to the variance, which divides by the number of values; at least 0. Default 1e-5.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; x itself is fine, the other operands are not.

    Returns
    -------
    numpy.ndarray
        Of the shape of x, and of its type where that is a float.

    Raises
    ------
    InvalidArgument, InvalidType
        If the groups do not divide the channels, weight or bias do not fit; for complex numbers, lazy and foreign
        arrays.

    Notes
    -----
    Wu and He, Group normalization (arXiv:1803.08494); torch.nn.functional.group_norm. Statistics are formed in float64.

    Examples
    --------
    >>> group_norm([[[1.0], [3.0], [0.0], [20.0]]], 2).round(3).ravel()
    array([-1.,  1., -1.,  1.])
    """
    return groups_normalized(x, num_groups, weight, bias, eps, algorithm, out)[0]
