"""Layers that normalise, with the names of parameters that published weights have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument
from striderule.functional import door
from striderule.functional.layer_normalization import group_norm, layer_norm
from striderule.functional.normalization import batch_norm, local_response_norm
from striderule.functional.planned import noted
from striderule.geometry.arguments import integer, is_sequence
from striderule.nn.joint import End, Joint
from striderule.nn.layer import Operation
from striderule.nn.parameter import Held

Array = NDArray[Any]


class BatchNorm(Operation):
    """Batch normalisation of (batch, channels, ...) with any number of further axes; see `striderule.batch_norm`.

    In training the statistics are those of the batch, and the running ones follow them; after ``eval()`` the running
    ones are used.

    Parameters
    ----------
    num_features
        Channels of the input, at least 1.
    eps
        Added to the variance. Default 1e-5.
    momentum
        Share of the new statistics in the running ones, default 0.1. None takes the mean of all batches.
    affine
        Whether there are `weight` and `bias`. Default True.
    track_running_stats
        Whether statistics are kept; else each batch is normalised by its own, after ``eval()`` too. Default True.

    Attributes
    ----------
    weight, bias
        float32, (num_features,): ones and zeros at first; None without `affine`.
    running_mean, running_var
        float32, (num_features,): zeros and ones at first; None without `track_running_stats`. No parameters: training
        updates them, optimisers do not.
    num_batches_tracked
        int64, (): how many batches they have seen.

    Raises
    ------
    InvalidArgument, InvalidType
        For sizes below 1; on inputs, what `striderule.batch_norm` raises.

    Notes
    -----
    Ioffe and Szegedy, Batch normalization (arXiv:1502.03167); torch.nn.BatchNorm2d.

    Examples
    --------
    >>> layer = BatchNorm(2)
    >>> y = layer(np.random.default_rng(0).normal(5, 3, (64, 2, 8, 8)).astype("float32"))
    >>> bool(abs(y.mean()) < 1e-5), layer.running_mean.round(1).tolist(), int(layer.num_batches_tracked)
    (True, [0.5, 0.5], 1)
    """

    weight = Held()
    bias = Held()
    running_mean = Held(buffer=True)
    running_var = Held(buffer=True)
    num_batches_tracked = Held(buffer=True)

    UPDATED: ClassVar[tuple[str, ...]] = ("running_mean", "running_var")
    # The numbers of axes that inputs may have; None for any.
    AXES: ClassVar[tuple[int, ...] | None] = None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features = _positive(num_features, "num_features")
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = np.ones(num_features, np.float32) if affine else None
        self.bias = np.zeros(num_features, np.float32) if affine else None
        self.running_mean = np.zeros(num_features, np.float32) if track_running_stats else None
        self.running_var = np.ones(num_features, np.float32) if track_running_stats else None
        self.num_batches_tracked = np.array(0) if track_running_stats else None

    def forward(self, x: ArrayLike) -> Array:
        """Return the normalised input, of its shape; in training the running statistics follow.

        Raises
        ------
        InvalidArgument
            If the input has another number of axes or channels, or training sees one value per channel.
        """
        joint = self._joined(x, End())
        if joint is not None:
            return joint.y
        value = door.stored(x, "x")
        if self.AXES is not None and value.ndim not in self.AXES:
            wanted = " or ".join(map(str, self.AXES))
            raise InvalidArgument(f"x must have {wanted} axes for {type(self).__name__}, got the shape {value.shape}")
        if value.ndim < 2 or value.shape[1] != self.num_features:
            raise InvalidArgument(f"x must be (batch, {self.num_features}, ...) for this layer, got {value.shape}")
        result = super().forward(value)
        if self.training and noted.get() is None:
            self._count()
        return result

    def _count(self) -> None:
        seen = self.held()["num_batches_tracked"]
        if seen is not None:
            seen.store()[...] += 1

    def _joined(self, x: Any, end: End) -> Joint | None:
        """Return what `forward` does in training, with what stands behind it, if that is one routine; None else."""
        one, share, eps = end.residual, self.momentum, self.eps
        if not (
            self.training and self.input_gradient and self.drafts is None and noted.get() is None
            and _is_plain(x) and (self.AXES is None or x.ndim in self.AXES) and x.ndim > 1
            and self.num_features == x.shape[1] < x.size
            and (one is None or (_is_plain(one) and one.shape == x.shape))
            and isinstance(share, float) and 0 <= share <= 1 and isinstance(eps, float) and 0 < eps < math.inf
        ):  # fmt: skip
            return None
        joint = Joint(x, end, eps, share, self.weight)
        if joint.trained is None:
            return None
        held = [self.held()[name] for name in self.UPDATED]
        joint.forward(one, self.bias, *(each if each is None else each.store() for each in held))
        self._count()
        self._pull = joint.of_normalization
        return joint

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the normalisation, and its arguments behind x."""
        momentum = 1 / (int(self.num_batches_tracked) + 1) if self._averages() else self.momentum
        return batch_norm, {
            "running_mean": self.running_mean, "running_var": self.running_var, "weight": self.weight,
            "bias": self.bias, "training": self.training or not self.track_running_stats, "momentum": momentum or 0.0,
            "eps": self.eps,
        }  # fmt: skip

    def _averages(self) -> bool:
        """Tell whether running statistics are the mean of all batches, of which this is one more."""
        return self.momentum is None and self.training and self.track_running_stats

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats})"
        )


class BatchNorm1d(BatchNorm):
    """`BatchNorm` of (batch, channels) or (batch, channels, length)."""

    AXES = (2, 3)


class BatchNorm2d(BatchNorm):
    """`BatchNorm` of (batch, channels, rows, columns)."""

    AXES = (4,)


class BatchNorm3d(BatchNorm):
    """`BatchNorm` of (batch, channels, planes, rows, columns)."""

    AXES = (5,)


class LayerNorm(Operation):
    """Layer normalisation over the last axes, or over one from `axis` on; see `striderule.layer_norm`.

    Parameters
    ----------
    normalized_shape
        Sizes of the axes that are normalised together: an integer for one axis, or a tuple.
    eps
        Added to the variance. Default 1e-5.
    elementwise_affine
        Whether there is a `weight`. Default True.
    bias
        Whether there is a `bias`, too. Default True.
    axis
        The first of the normalised axes; default: they are the last. ``LayerNorm(channels, eps=1e-6, axis=1)`` is the
        LayerNorm2d of ConvNeXt: the channels of every position of (batch, channels, rows, columns), where they stand.

    Attributes
    ----------
    weight, bias
        float32, of the shape `normalized_shape`: ones and zeros at first; or None.

    Raises
    ------
    InvalidArgument, InvalidType
        For sizes below 1; on inputs, what `striderule.layer_norm` raises.

    Notes
    -----
    Ba, Kiros and Hinton, Layer normalization (arXiv:1607.06450); torch.nn.LayerNorm.

    Examples
    --------
    >>> LayerNorm(3, axis=1)(np.ones((1, 3, 4, 4), "float32")).shape
    (1, 3, 4, 4)
    """

    weight = Held()
    bias = Held()

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        axis: int | None = None,
    ) -> None:
        sizes: Any = normalized_shape if is_sequence(normalized_shape) else (normalized_shape,)
        self.normalized_shape = tuple(_positive(size, "normalized_shape") for size in sizes)
        self.eps, self.axis = eps, axis
        self.weight = np.ones(self.normalized_shape, np.float32) if elementwise_affine else None
        self.bias = np.zeros(self.normalized_shape, np.float32) if elementwise_affine and bias else None

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the normalisation, and its arguments behind x."""
        return layer_norm, {
            "normalized_shape": self.normalized_shape, "weight": self.weight, "bias": self.bias, "eps": self.eps,
            "axis": self.axis,
        }  # fmt: skip

    def __repr__(self) -> str:
        where = "" if self.axis is None else f", axis={self.axis}"
        without = "" if self.weight is not None else ", elementwise_affine=False"
        without += "" if self.bias is not None or self.weight is None else ", bias=False"
        return f"LayerNorm({self.normalized_shape}, eps={self.eps}{without}{where})"


class GroupNorm(Operation):
    """Group normalisation of (batch, channels, ...); see `striderule.group_norm`.

    Parameters
    ----------
    num_groups, num_channels
        Groups, and channels of the input, which they divide.
    eps
        Added to the variance. Default 1e-5.
    affine
        Whether there are `weight` and `bias`. Default True.

    Attributes
    ----------
    weight, bias
        float32, (num_channels,): ones and zeros at first; None without `affine`.

    Raises
    ------
    InvalidArgument, InvalidType
        For sizes below 1, and groups that do not divide the channels.

    Notes
    -----
    Wu and He, Group normalization (arXiv:1803.08494); torch.nn.GroupNorm.

    Examples
    --------
    >>> GroupNorm(2, 6)(np.ones((1, 6, 4, 4), "float32")).shape
    (1, 6, 4, 4)
    """

    weight = Held()
    bias = Held()

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        self.num_groups, self.num_channels = (
            _positive(num_groups, "num_groups"),
            _positive(num_channels, "num_channels"),
        )
        if self.num_channels % self.num_groups:
            raise InvalidArgument(f"num_groups must divide num_channels={num_channels}, got {num_groups}")
        self.eps = eps
        self.weight = np.ones(num_channels, np.float32) if affine else None
        self.bias = np.zeros(num_channels, np.float32) if affine else None

    def forward(self, x: ArrayLike) -> Array:
        """Return the normalised input, of its shape."""
        value = door.stored(x, "x")
        if value.ndim < 2 or value.shape[1] != self.num_channels:
            raise InvalidArgument(f"x must be (batch, {self.num_channels}, ...) for this layer, got {value.shape}")
        return super().forward(value)

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the normalisation, and its arguments behind x."""
        return group_norm, {
            "num_groups": self.num_groups, "weight": self.weight, "bias": self.bias, "eps": self.eps,
        }  # fmt: skip

    def __repr__(self) -> str:
        without = "" if self.weight is not None else ", affine=False"
        return f"GroupNorm({self.num_groups}, {self.num_channels}, eps={self.eps}{without})"


class LocalResponseNorm(Operation):
    """Damping by the energy of the channels around; see `striderule.local_response_norm`.

    Parameters
    ----------
    size
        Number of channels in the sum, at least 1.
    alpha, beta, k
        Strength, exponent and offset. Defaults 1e-4, 0.75 and 1.

    Raises
    ------
    InvalidArgument, InvalidType
        If size is below 1.

    Notes
    -----
    Krizhevsky, Sutskever and Hinton (2012), section 3.3; torch.nn.LocalResponseNorm.

    Examples
    --------
    >>> LocalResponseNorm(5)(np.ones((1, 6, 4, 4), "float32")).shape
    (1, 6, 4, 4)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = _positive(size, "size")
        self.alpha, self.beta, self.k = alpha, beta, k

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the normalisation, and its arguments behind x."""
        return local_response_norm, {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}

    def __repr__(self) -> str:
        return f"LocalResponseNorm({self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k})"


def _is_plain(x: Any) -> bool:
    """Tell whether something is an array of float32 whose values follow one another in memory."""
    return type(x) is np.ndarray and x.dtype == np.float32 and x.flags.c_contiguous and x.flags.aligned


def _positive(value: Any, argument: str) -> int:
    count = integer(value, argument)
    if count < 1:
        raise InvalidArgument(f"{argument} must be at least 1, got {count}")
    return count
