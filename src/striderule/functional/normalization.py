"""Normalisations, under PyTorch's names."""

from __future__ import annotations

import contextlib
import math
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from striderule.algorithms import memory, table
from striderule.errors import CompilationFailed, InvalidArgument, InvalidType
from striderule.functional import door, elementwise, moves, recipes
from striderule.functional.door import Array
from striderule.functional.moves import ChannelMove
from striderule.geometry.arguments import integer
from striderule.geometry.pooling import flag


def _per_channel(values: Any, argument: str, channels: int) -> Array | None:
    """Return one real number for each channel, in float32 or float64."""
    if values is None:
        return None
    array = door.array(values, argument)
    if array.dtype.kind == "c":
        raise InvalidType(f"{argument} must hold real numbers, got {array.dtype}")
    if array.shape != (channels,):
        raise InvalidArgument(f"{argument} must have one value for each of the {channels} channels, got {array.shape}")
    return array if array.dtype.char in "fd" else array.astype(np.float64)


def _check_running(mean: Any, var: Any, training: bool) -> None:
    """Refuse running statistics that are missing, or that training could not update."""
    if (mean is None) != (var is None):
        raise InvalidArgument("running_mean and running_var must both be given or both be None, got only one of them")
    if mean is None and not training:
        raise InvalidArgument("running_mean and running_var must be given; or pass training=True to use the batch's")
    if mean is None or not training:
        return
    for argument, array in (("running_mean", mean), ("running_var", var)):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise InvalidType(f"{argument} is updated in training, so it must be a NumPy array of floats")
        if not array.flags.writeable:
            raise InvalidArgument(f"{argument} is updated in training, but it is read-only; pass {argument}.copy()")
    if np.may_share_memory(mean, var):
        raise InvalidArgument("running_mean and running_var are updated in training, so they must not share memory")


def _update(running: Array, new: Array, momentum: float) -> None:
    running[...] = ((1 - momentum) * running.astype(np.float64) + momentum * new).astype(running.dtype)


class _Training(recipes.Recipe):
    """Batch normalisation by the statistics of the batch itself, which update the running ones."""

    roles: ClassVar[tuple[str, ...]] = ("x", "running_mean", "running_var", "weight", "bias", "out")
    __slots__ = ("compute", "eps", "momentum")

    def __init__(self, compute: ModuleType, eps: float, momentum: float) -> None:
        self.compute, self.eps, self.momentum = compute, eps, momentum

    def perform(self, *arrays: Any) -> Array:
        """Return the result of arrays that are checked."""
        x, running_mean, running_var, weight, bias, out = arrays
        result, mean, squares = _in_training(self.compute, x, weight, bias, self.eps, out)
        _update_both(running_mean, running_var, mean, squares, x.size // x.shape[1], self.momentum)
        return result

    def run(self, *arrays: Any) -> Array | None:
        """Return the result, or None if the arrays need a closer look."""
        x, running_mean, running_var, *_, out = arrays
        _check_running(running_mean, running_var, training=True)
        return self.perform(*arrays) if recipes.clear_of(out, *arrays[1:-1], same=x) else None


def _in_training(
    compute: ModuleType, x: Array, weight: Array | None, bias: Array | None, eps: float, out: Array | None
) -> tuple[Array, Array, Array]:
    """Return x normalised by statistics of its own, means and sums of squared distances of its channels."""
    units = getattr(compute, "normalized_units", None)
    whole = None if units is None else units(x, weight, bias, eps, **table.into(compute, out))
    if whole is None:
        mean, squares = compute.batch_statistics(x)
        var = squares / (x.size // x.shape[1])
        whole = compute.normalize(x, mean, var, weight, bias, eps, **table.into(compute, out)), mean, squares
    return whole


def _update_both(
    running_mean: Array | None, running_var: Array | None, mean: Array, squares: Array, count: int, momentum: float
) -> None:
    """Move the running statistics towards those of a batch; the variance divides by one less than the values."""
    if running_mean is not None and running_var is not None:
        _update(running_mean, mean, momentum)
        _update(running_var, squares / (count - 1), momentum)


def _offer(
    compute: ModuleType,
    x: Array,
    numbers: tuple[Array | None, ...],
    eps: float,
    momentum: float | None,
    out: Array | None,
) -> None:
    """Offer what later calls like this one need, if generated code does it all; `momentum` in training."""
    bind = getattr(compute, "bind", None)
    if bind is None or (
        momentum is None and not all(one is None or compute.is_plain(one, numbers[0]) for one in numbers)
    ):
        return
    with contextlib.suppress(CompilationFailed):
        result = memory.empty_like(x, x.shape, x.dtype) if out is None else out
        if momentum is None:
            call = bind(x, *numbers, eps, result)
            if call is not None:
                recipes.offer(ChannelMove(call, x, result, same=True))
            return
        wide = np.ones(x.shape[1])
        if compute.bind_statistics(x) is not None and bind(x, wide, wide, None, None, eps, result) is not None:
            recipes.offer(_Training(compute, eps, momentum))


@recipes.remembered
@door.accepts_input
def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Bring every channel to a common mean and spread.

    out[n, c, ...] = (x[n, c, ...] - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c]

    Parameters
    ----------
    x
        (batch, channels, ...), of any real type; integers give floats (float32 up to 16 bits, else float64).
    running_mean, running_var
        (channels,): the statistics that are used; with `training` they are updated in place instead, to
        (1 - momentum) * old + momentum * new, where the new variance divides by one less than the number of values.
        Both may be None in training.
    weight, bias
        (channels,). Default: 1 and 0.
    training
        Use mean and variance of x itself, over batch and space. Default False.
    momentum
        Share of the new statistics. Default 0.1.
    eps
        Added to the variance; at least 0, in training above 0. Default 1e-5.
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
    InvalidArgument
        If a per-channel array does not fit, running statistics are missing, or training sees one value per channel.
    InvalidType
        For complex numbers, lazy and foreign arrays, and running statistics that cannot be updated.

    Notes
    -----
    Ioffe and Szegedy, Batch normalization (arXiv:1502.03167); torch.nn.functional.batch_norm. Statistics are formed in
    float64. An empty batch leaves the running statistics alone.

    Examples
    --------
    >>> import numpy as np
    >>> mean, var = np.zeros(1), np.ones(1)
    >>> batch_norm([[1.0], [3.0]], mean, var, training=True).round(3)
    array([[-1.],
           [ 1.]])
    >>> mean, var
    (array([0.2]), array([1.1]))
    """
    return batch_normalized(x, running_mean, running_var, weight, bias, training, momentum, eps, algorithm, out)[0]


def batch_normalized(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    training: Any,
    momentum: Any,
    eps: Any,
    algorithm: Any,
    out: Array | None,
) -> tuple[Array, Array, Array]:
    """Return what `batch_norm` gives, and the mean and variance of the channels that it was brought to."""
    value = elementwise.opened(x, "batch_norm")
    if value.ndim < 2:
        raise InvalidArgument(f"batch_norm needs an array (batch, channels, ...), got {value.ndim} axes {value.shape}")
    learn = flag(training, "training")
    share, small = elementwise.real(momentum, "momentum"), elementwise.epsilon(eps, above=learn)
    channels = value.shape[1]
    count = value.shape[0] * math.prod(value.shape[2:])
    if learn and count == 1:
        raise InvalidArgument(f"training needs more than one value per channel, got the shape {value.shape}")
    _check_running(running_mean, running_var, learn)
    given = (running_mean, running_var, weight, bias)
    mean, var = _per_channel(running_mean, "running_mean", channels), _per_channel(running_var, "running_var", channels)
    scale, shift = _per_channel(weight, "weight", channels), _per_channel(bias, "bias", channels)
    dtype = door.float_of(value.dtype)
    door.check_out(out, value.shape, dtype, [value], same=True, others=given)
    compute = table.family("normalization", algorithm)
    if value.size == 0:
        nothing = np.zeros(channels)
        return door.finish(np.empty(value.shape, dtype), dtype, out=out), nothing, nothing
    used = (mean, var, scale, shift)
    if recipes.awaited() and all(one is other for one, other in zip(used, given, strict=True)):
        _offer(compute, value, used, small, share if learn else None, out)
    if learn:
        result, mean, squares = _in_training(compute, value, scale, shift, small, out)
        _update_both(running_mean, running_var, mean, squares, count, share)
        return door.finish(result, dtype, out=out), mean, squares / count
    if mean is None or var is None:  # `_check_running` has seen to that
        raise AssertionError("no statistics")
    result = compute.normalize(value, mean, var, scale, shift, small, **table.into(compute, out))
    return door.finish(result, dtype, out=out), mean, var


@recipes.remembered
@door.accepts_input
def local_response_norm(
    x: Any,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Damp every value by the energy of the channels around it.

    out[n, c] = x[n, c] / (k + alpha / size * sum of x[n, c']**2) ** beta, c' from c - size // 2 to c + (size - 1) // 2

    Parameters
    ----------
    x
        (batch, channels, ...) with at least one spatial axis, of any real type; integers give floats (float32 up to 16
        bits, else float64).
    size
        Number of channels in the sum, at least 1; channels that do not exist count as zeros.
    alpha, beta, k
        Strength, exponent and offset. Defaults 1e-4, 0.75 and 1.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; x itself is fine.

    Returns
    -------
    numpy.ndarray
        Of the shape of x.

    Raises
    ------
    InvalidArgument, InvalidType
        If size is below 1, for fewer than 3 axes, complex numbers, lazy and foreign arrays.

    Notes
    -----
    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks (2012), section
    3.3; torch.nn.LocalResponseNorm, which divides alpha by size.

    Examples
    --------
    >>> local_response_norm([[[3.0], [4.0]]], 2, alpha=2.0, beta=0.5, k=0.0)
    array([[[1. ],
            [0.8]]])
    """
    value = elementwise.opened(x, "local_response_norm")
    if value.ndim < 3:
        raise InvalidArgument(
            f"local_response_norm needs an array of at least 3 axes (batch, channels, ...), got {value.ndim} "
            f"(shape {value.shape})"
        )
    near = integer(size, "size")
    if near < 1:
        raise InvalidArgument(f"size must be at least 1, got {size}")
    numbers = (elementwise.real(alpha, "alpha"), elementwise.real(beta, "beta"), elementwise.real(k, "k"))
    dtype = door.float_of(value.dtype)
    door.check_out(out, value.shape, dtype, [value], same=True)
    compute = table.family("normalization", algorithm)
    bind = getattr(compute, "bind_response", None)
    if bind is not None and (out is None or not np.may_share_memory(out, value)):
        moves.offer(lambda result: bind(value, near, *numbers, result), value, value.shape, value.dtype, out)
    result = compute.local_response(value, near, *numbers, **table.into(compute, out))
    return door.finish(result, dtype, out=out)
