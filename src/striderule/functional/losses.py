"""Losses, under PyTorch's names: what training makes small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door, elementwise, widening
from striderule.functional.door import Array
from striderule.functional.softmax import log_softmax
from striderule.geometry.arguments import integer

REDUCTIONS = ("mean", "sum", "none")


@widening.widened
@door.accepts_input
def cross_entropy(
    logits: Any,
    targets: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    """Measure how little probability the softmax of `logits` gives to the right classes.

    loss = -weight[t] * log(softmax(logits)[t]) for the class t; for probabilities q of the classes
    loss = -sum over c of weight[c] * q[c] * log(softmax(logits)[c])

    Parameters
    ----------
    logits
        (batch, classes, *positions) or (classes,): any real numbers, larger for classes that are more likely.
    targets
        Either integers of the shape of logits without the axis of the classes, or as many floats as there are logits:
        the probabilities of the classes.
    weight
        (classes,): what each class counts. Default: 1.
    ignore_index
        Integers that stand for no class, and count nothing. Default -100.
    label_smoothing
        From 0 to 1: the part of the probability that is spread over all classes alike. Default 0.
    reduction
        ``"mean"`` (default), which divides by the sum of the weights of the targets (for probabilities by the number of
        positions), ``"sum"``, or ``"none"`` for one loss for each position.

    Returns
    -------
    numpy.ndarray
        In the type of logits: an array without axes, or with ``"none"`` (batch, *positions). The mean of nothing is
        NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For shapes that do not match, targets beyond the classes, unknown words, lazy and foreign arrays.

    Notes
    -----
    Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2; Szegedy et al., arXiv:1512.00567, for the
    smoothing; torch.nn.CrossEntropyLoss. In `vjp`, `weight` is a constant.

    Examples
    --------
    >>> float(cross_entropy([[0.0, 0.0], [3.0, 3.0]], [0, 1]).round(4))
    0.6931
    """
    parts = entropy(logits, targets, weight, ignore_index, label_smoothing, reduction)
    return parts.reduced()


@dataclass(frozen=True, slots=True)
class Entropy:
    """A cross entropy of every position, with what its gradient needs.

    `logarithms` are those of the softmax, with the classes on axis 1. The loss of a position is
    -(part[t] * logarithms[t] + sum over c of spread[c] * logarithms[c]) with a class t and a number `part` for each
    position, or with probabilities instead of the first. Where a position is ignored both vanish.
    """

    logarithms: Array
    classes: Array | None
    part: Array
    probabilities: Array | None
    spread: Array | None
    losses: Array
    divisor: float
    reduction: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def reduced(self) -> Array:
        """Return the result."""
        if self.reduction == "none":
            return self.losses.reshape(self.shape).astype(self.dtype)
        total = self.losses.sum(dtype=np.float64)
        if self.reduction == "mean":
            with np.errstate(all="ignore"):
                total = np.divide(total, self.divisor)
        return np.asarray(total, self.dtype)

    def upstream(self, gy: Array) -> Array:
        """Return the gradient with respect to the loss of each position, with an axis of one for the classes."""
        g = np.asarray(gy, self.logarithms.dtype)
        if self.reduction == "none":
            return g.reshape(self.losses.shape)[:, None]
        with np.errstate(all="ignore"):
            one = g / self.divisor if self.reduction == "mean" else g
        return np.broadcast_to(one.astype(self.logarithms.dtype), self.losses.shape)[:, None]


def entropy(logits: Any, targets: Any, weight: Any, ignore_index: Any, smoothing: Any, reduction: Any) -> Entropy:
    """Check everything and return the cross entropy of every position."""
    x, aims = elementwise.opened(logits, "cross_entropy"), door.array(targets, "targets")
    _check_reduction(reduction)
    share = elementwise.real(smoothing, "label_smoothing")
    if not 0 <= share <= 1:
        raise InvalidArgument(f"label_smoothing must be from 0 to 1, got {smoothing}")
    ignored = integer(ignore_index, "ignore_index")
    if x.ndim == 0 or x.shape[min(x.ndim - 1, 1)] == 0:
        raise InvalidArgument(f"logits must be (batch, classes, *positions) or (classes,), got the shape {x.shape}")
    whole = x if x.ndim > 1 else x[None]
    dtype = door.float_of(x.dtype)
    logarithms = log_softmax(whole.astype(door.arithmetic_of(dtype), copy=False), 1)
    weights = _weights(weight, whole.shape[1], logarithms.dtype)
    shape = (*x.shape[:1], *x.shape[2:]) if x.ndim > 1 else ()
    if aims.dtype.kind == "f" and aims.shape == x.shape:
        return _of_probabilities(logarithms, aims.reshape(whole.shape), weights, share, reduction, dtype, shape)
    if aims.dtype.kind not in "iu":
        raise InvalidType(f"targets must be integers, or floats of the shape {x.shape}, got {aims.dtype} {aims.shape}")
    if aims.shape != shape:
        raise InvalidArgument(
            f"targets must have the shape {shape} for logits of the shape {x.shape}, got {aims.shape}"
        )
    aims = aims.reshape(whole.shape[:1] + whole.shape[2:])
    return _of_classes(logarithms, aims, weights, ignored, share, reduction, dtype, shape)


def _of_classes(
    logarithms: Array, aims: Array, weights: Array | None, ignored: int, share: float, reduction: str,
    dtype: np.dtype[Any], shape: tuple[int, ...],
) -> Entropy:  # fmt: skip
    count = logarithms.shape[1]
    out = aims == ignored
    wrong = ~out & ((aims < 0) | (aims >= count))
    if wrong.any():
        raise InvalidArgument(
            f"targets must be classes from 0 to {count - 1}, or ignore_index={ignored}, got {aims[wrong].flat[0]}"
        )
    classes = np.where(out, 0, aims)[:, None]
    of_class = (np.ones(aims.shape, logarithms.dtype) if weights is None else weights[classes[:, 0]]) * ~out
    part = (1 - share) * of_class
    with np.errstate(all="ignore"):
        losses = -part * np.where(out, 0, np.take_along_axis(logarithms, classes, 1)[:, 0])
        spread = None
        if share:
            even = np.ones(count, logarithms.dtype) if weights is None else weights
            spread = _beside(even * (share / count), logarithms.ndim) * ~out[:, None]
            losses -= np.where(out, 0, (spread * logarithms).sum(axis=1))
    part, losses = (one.astype(logarithms.dtype, copy=False) for one in (part, losses))
    divisor = float(of_class.sum(dtype=np.float64))
    return Entropy(logarithms, classes, part[:, None], None, spread, losses, divisor, reduction, dtype, shape)


def _of_probabilities(
    logarithms: Array, aims: Array, weights: Array | None, share: float, reduction: str,
    dtype: np.dtype[Any], shape: tuple[int, ...],
) -> Entropy:  # fmt: skip
    count = logarithms.shape[1]
    even = np.ones(count, logarithms.dtype) if weights is None else weights
    factor = _beside(even * (1 - share), logarithms.ndim)
    probabilities = aims.astype(logarithms.dtype, copy=False) * factor
    spread = None
    if share:
        spread = np.broadcast_to(_beside(even * (share / count), logarithms.ndim), logarithms.shape)
    with np.errstate(all="ignore"):
        losses = -(probabilities if spread is None else probabilities + spread) * logarithms
    losses = losses.sum(axis=1)
    return Entropy(logarithms, None, factor, probabilities, spread, losses, float(losses.size), reduction, dtype, shape)


def _beside(values: Array, ndim: int) -> Array:
    """Return one number for each class beside axis 1."""
    return values.reshape((1, -1) + (1,) * (ndim - 2))


def _weights(weight: Any, count: int, dtype: np.dtype[Any]) -> Array | None:
    if weight is None:
        return None
    values = door.array(weight, "weight")
    if values.shape != (count,) or values.dtype.kind == "c":
        raise InvalidArgument(f"weight must be one real number for each of the {count} classes, got {values.shape}")
    return values.astype(dtype, copy=False)


def _check_reduction(reduction: Any) -> None:
    if reduction not in REDUCTIONS:
        raise InvalidArgument(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")


@widening.widened
@door.accepts_input
def mse_loss(x: Any, target: Any, *, reduction: str = "mean") -> Array:
    """Return the mean of the squares of what an array differs from its target by.

    loss = (x - target)^2, and of these the mean, the sum, or all

    Parameters
    ----------
    x, target
        Arrays of one shape and any real types.
    reduction
        ``"mean"`` (default), ``"sum"`` or ``"none"``.

    Returns
    -------
    numpy.ndarray
        An array without axes, or with ``"none"`` one of the shape of x; in the type that NumPy promotes x and target
        to, and floats for integers. The mean of nothing is NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For shapes that differ, complex numbers, unknown words, lazy and foreign arrays.

    Notes
    -----
    torch.nn.MSELoss, which broadcasts; here shapes must be equal.

    Examples
    --------
    >>> float(mse_loss([1.0, 2.0], [1.0, 5.0]))
    4.5
    """
    difference, dtype = differences(x, target, reduction)
    with np.errstate(all="ignore"):
        squares = np.square(difference)
        if reduction == "none":
            return squares.astype(dtype)
        total = squares.sum(dtype=np.float64)
        return np.asarray(np.divide(total, squares.size) if reduction == "mean" else total, dtype)


def differences(x: Any, target: Any, reduction: Any) -> tuple[Array, np.dtype[Any]]:
    """Return x - target in the type to compute in, and the type of the loss."""
    value, aim = elementwise.opened(x, "mse_loss"), door.array(target, "target")
    _check_reduction(reduction)
    if aim.dtype.kind == "c":
        raise InvalidType("target must be real, got complex numbers")
    if aim.shape != value.shape:
        raise InvalidArgument(f"target must have the shape of x {value.shape}, got {aim.shape}")
    dtype = np.result_type(door.float_of(value.dtype), door.float_of(aim.dtype))
    work = door.arithmetic_of(dtype)
    with np.errstate(all="ignore"):
        return np.subtract(value, aim, dtype=work, casting="unsafe"), dtype
