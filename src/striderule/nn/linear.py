"""Layers whose functions are neither convolutions nor pooling: linear, dropout, upsampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striderule.functional.dropout import dropout
from striderule.functional.interpolate import interpolate
from striderule.functional.linear import linear
from striderule.nn.initial import generator_of, random_weight
from striderule.nn.layer import Operation
from striderule.nn.parameter import Held
from striderule.nn.weighted import count
from striderule.planning import precision_word


class Linear(Operation):
    """A fully connected layer: out[..., o] = bias[o] + sum over c of weight[o, c] * x[..., c].

    Parameters
    ----------
    in_features, out_features
        Sizes of the last axis of the input and of the output, at least 1.
    bias
        Whether a number is added to each output, 0 at first. Default: True.
    precision, init, seed
        As in `striderule.nn.Conv2d`.

    Attributes
    ----------
    weight
        float32, (out_features, in_features).
    bias
        float32, (out_features,), or None.

    Examples
    --------
    >>> Linear(20, 10, seed=0)(np.zeros((5, 20), np.float32)).shape
    (5, 10)
    """

    weight = Held()
    bias = Held()

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        precision: str | None = None,
        init: Any = "he",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.in_features, self.out_features = count(in_features, "in_features"), count(out_features, "out_features")
        self.precision = precision
        precision_word(precision)
        self.weight = random_weight((self.out_features, self.in_features), init, seed)
        self.bias = np.zeros(self.out_features, np.float32) if bias else None

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the product, and its arguments behind x."""
        return linear, {"weight": self.weight, "bias": self.bias, "precision": self.precision}

    def __repr__(self) -> str:
        without = ", bias=False" if self.bias is None else ""
        return f"Linear({self.in_features}, {self.out_features}{without})"


class Dropout(Operation):
    """In training sets elements to zero at random, and divides the others by 1 - p; else it changes nothing.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014).

    Parameters
    ----------
    p
        The probability of a zero. Default: 0.5.
    seed
        An integer or a `numpy.random.Generator` for the same zeros every time; None (default) for new ones. Checkpoints
        of `striderule.nn.fit` keep how far the generator has come.

    Examples
    --------
    >>> layer = Dropout(0.5, seed=0)
    >>> set(layer(np.ones(100)).tolist()) == {0.0, 2.0}
    True
    >>> set(layer.eval()(np.ones(100)).tolist())
    {1.0}
    """

    def __init__(self, p: float = 0.5, *, seed: int | np.random.Generator | None = None) -> None:
        self.p = p
        self.generator = generator_of(seed)

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function, and its arguments behind x."""
        return dropout, {"p": self.p, "training": self.training, "seed": self.generator}

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


class Upsample(Operation):
    """Enlarges images, sequences or volumes: `striderule.interpolate` as a layer.

    Parameters
    ----------
    size
        The size of the result: one integer or one for each spatial axis. Give either this or `scale_factor`.
    scale_factor
        What sizes are multiplied with: one number or one for each spatial axis.
    mode
        ``"nearest"`` (default), or ``"linear"``, ``"bilinear"``, ``"trilinear"`` for one, two, three spatial axes.
    align_corners
        In linear modes, whether the first and the last result lie on the first and the last element. Default: no.

    Examples
    --------
    >>> Upsample(scale_factor=2, mode="bilinear")(np.zeros((1, 3, 4, 4))).shape
    (1, 3, 8, 8)
    """

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
    ) -> None:
        self.words = {"size": size, "scale_factor": scale_factor, "mode": mode, "align_corners": align_corners}

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function, and its arguments behind x."""
        return interpolate, dict(self.words)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.words.items() if value is not None)
        return f"Upsample({said})"
