"""What makes a loss smaller: steps against the gradients, with PyTorch's arithmetic.

All parameters are changed in one call of generated code, or in NumPy: see `striderule.algorithms.windows.update`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.algorithms import table
from striderule.algorithms.windows.update import PIECE, Part
from striderule.errors import InvalidArgument
from striderule.nn.layer import Layer
from striderule.nn.parameter import Parameter

Array = NDArray[Any]


class Optimiser(ABC):
    """Changes the parameters of a model after each backward pass.

    Attributes
    ----------
    lr
        The learning rate, which a schedule changes.
    base
        The learning rate at first, which schedules start from.
    """

    # What is kept of each parameter between steps.
    KEPT: tuple[str, ...] = ()

    def __init__(self, model: Layer | Mapping[str, Parameter], lr: float) -> None:
        held = model.all_held() if isinstance(model, Layer) else dict(model)
        # A parameter of two names is one.
        self.parameters = {names[0]: one for one, names in _by_identity(held)}
        self.lr = positive(lr, "lr")
        self.base = self.lr
        self.kept: dict[str, dict[str, Array]] = {}
        # How many steps each parameter has made.
        self.counts: dict[str, int] = {}

    def step(self) -> None:
        """Change every parameter that is trained and has a gradient; the others are left as they are."""
        due: list[tuple[Part, int]] = []
        changing = []
        for name, one in self.parameters.items():
            if not one.trained or one.gradient is None:
                continue
            count = self.counts[name] = self.counts.get(name, 0) + 1
            kept = self.kept.get(name)
            if kept is None:
                kept = self.kept[name] = {word: np.zeros_like(one.value) for word in self.KEPT}
            gradient = np.ascontiguousarray(one.gradient, one.value.dtype).reshape(-1)
            others = tuple(kept[word].reshape(-1) for word in self.KEPT)
            due.append((Part(one.store().reshape(-1), gradient, others, ()), count))
            changing.append(one)
        self._advance(due)
        for one in changing:
            one.changed()

    def _advance(self, due: list[tuple[Part, int]]) -> None:
        """Change parameters piece by piece; each comes with the number of its step."""
        with np.errstate(under="ignore"):
            for part, count in due:
                for start in range(0, part.value.size, PIECE):
                    piece = slice(start, start + PIECE)
                    kept = [value[piece] for value in part.kept]
                    self.update(part.value[piece], part.gradient[piece], kept, count)

    @abstractmethod
    def update(self, value: Array, gradient: Array, kept: list[Array], count: int) -> None:
        """Change a piece of a parameter, and what is kept of it, in place, in its step number `count`."""

    def zero_gradients(self) -> None:
        """Forget the gradients."""
        for one in self.parameters.values():
            one.gradient = None

    def state(self) -> dict[str, Array]:
        """Return what is kept, by names such as ``conv.weight:momentum``."""
        state = {f"{name}:{word}": value for name, kept in self.kept.items() for word, value in kept.items()}
        return state | {f"{name}:steps": np.array(count) for name, count in self.counts.items()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what was kept: arrays by the names of `state`."""
        found: dict[str, dict[str, Array]] = {}
        counts: dict[str, int] = {}
        for whole, value in state.items():
            name, _, word = whole.rpartition(":")
            one = self.parameters.get(name)
            shape = None if one is None else () if word == "steps" else one.value.shape
            if one is None or word not in (*self.KEPT, "steps") or value.shape != shape:
                raise InvalidArgument(f"{whole!r} of the shape {value.shape} belongs to no parameter of this optimiser")
            if word == "steps":
                counts[name] = int(value)
            else:
                found.setdefault(name, {})[word] = np.array(value, one.value.dtype)
        self.kept, self.counts = found, counts


def _by_identity(held: Mapping[str, Parameter]) -> list[tuple[Parameter, list[str]]]:
    """Return every parameter once, with its names."""
    names: dict[int, list[str]] = {}
    for name, one in held.items():
        names.setdefault(id(one), []).append(name)
    return [(held[few[0]], few) for few in names.values()]


class _Fused(Optimiser):
    """An optimiser whose rule is one of `striderule.algorithms.windows.update`."""

    @abstractmethod
    def _rule(self) -> tuple[str, tuple[float, ...]]:
        """Return the rule and its numbers, which are those of all parameters."""

    def _own(self, count: int) -> tuple[float, ...]:  # noqa: ARG002 - not every rule looks at it
        """Return the numbers of a parameter in its step number `count`."""
        return ()

    def update(self, value: Array, gradient: Array, kept: list[Array], count: int) -> None:
        """Change a piece of a parameter, and what is kept of it, in place, in its step number `count`."""
        self._advance([(Part(value, gradient, tuple(kept), ()), count)])

    def _advance(self, due: list[tuple[Part, int]]) -> None:
        rule, numbers = self._rule()
        table.family("update").step(rule, [part._replace(own=self._own(count)) for part, count in due], numbers)


class SGD(_Fused):
    """Stochastic gradient descent, with momentum, in PyTorch's arithmetic.

    d = gradient + weight_decay * p; v = momentum * v + (1 - dampening) * d (at first d itself);
    p -= lr * v, or with Nesterov's p -= lr * (d + momentum * v)

    Source: Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013; torch.optim.SGD.

    Parameters
    ----------
    model
        A layer, or name -> `Parameter`.
    lr
        The learning rate. Default: 1e-3.
    momentum, dampening, weight_decay
        As above. Default: 0.
    nesterov
        Whether to look ahead; needs momentum, and no dampening. Default: False.

    Examples
    --------
    >>> from striderule import nn
    >>> layer = nn.PReLU()
    >>> optimiser = SGD(layer, lr=0.5)
    >>> layer.backward(np.ones_like(layer(np.array([-1.0, 2.0]))))
    array([0.25, 1.  ])
    >>> optimiser.step()
    >>> layer.weight
    array([0.75], dtype=float32)
    """

    def __init__(
        self,
        model: Layer | Mapping[str, Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(model, lr)
        self.momentum, self.dampening = positive(momentum, "momentum"), float(dampening)
        self.weight_decay, self.nesterov = positive(weight_decay, "weight_decay"), nesterov
        if nesterov and (not momentum or dampening):
            raise InvalidArgument(
                f"nesterov needs momentum above 0 and dampening 0, got momentum={momentum} and dampening={dampening}"
            )
        self.KEPT = ("momentum",) if self.momentum else ()

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        if not self.momentum:
            return "sgd", (self.lr, self.weight_decay)
        return "nesterov" if self.nesterov else "momentum", (self.lr, self.weight_decay, self.momentum)

    def _own(self, count: int) -> tuple[float, ...]:
        return (1 - self.dampening if count > 1 else 1.0,) if self.momentum else ()


class AdamW(_Fused):
    """Adam with weight decay apart from the gradients, in PyTorch's arithmetic.

    p *= 1 - lr * weight_decay; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps) in step t

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101; torch.optim.AdamW.

    Parameters
    ----------
    model
        A layer, or name -> `Parameter`.
    lr
        The learning rate. Default: 1e-3.
    betas
        b1 and b2, from 0 to below 1. Default: (0.9, 0.999).
    eps
        Keeps the quotient finite. Default: 1e-8.
    weight_decay
        As above. Default: 1e-2.

    Examples
    --------
    >>> from striderule import nn
    >>> layer = nn.PReLU()
    >>> optimiser = AdamW(layer, lr=0.5, weight_decay=0)
    >>> layer.backward(np.ones_like(layer(np.array([-1.0, 2.0]))))
    array([0.25, 1.  ])
    >>> optimiser.step()
    >>> round(float(layer.weight[0]), 3)
    0.75
    """

    KEPT = ("mean", "square")

    def __init__(
        self,
        model: Layer | Mapping[str, Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(model, lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise InvalidArgument(f"betas must be from 0 to below 1, got {betas}")
        self.betas, self.eps = betas, positive(eps, "eps")
        self.weight_decay = positive(weight_decay, "weight_decay")

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        b1, b2 = self.betas
        return "adamw", (1 - self.lr * self.weight_decay, 1 - b1, b2, 1 - b2, self.eps)

    def _own(self, count: int) -> tuple[float, ...]:
        b1, b2 = self.betas
        return math.sqrt(1 - b2**count), self.lr / (1 - b1**count)


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """The learning rate falls like half a cosine, from its base to `least` after `epochs`, behind a linear warm-up.

    lr(t) = least + (base - least) * (1 + cos(pi * t / epochs)) / 2

    Source: Loshchilov and Hutter, "SGDR", arXiv:1608.03983, equation 5; torch's CosineAnnealingLR.

    Parameters
    ----------
    epochs
        When it ends; afterwards it stays at `least`.
    least
        Default: 0.
    warmup
        Epochs in which it rises from 0 to the base, before. Default: 0.

    Examples
    --------
    >>> CosineSchedule(10)(0.1, 5.0)
    0.05
    """

    epochs: float
    least: float = 0.0
    warmup: float = 0.0

    def __call__(self, base: float, epoch: float) -> float:
        """Return the learning rate after so many epochs, which may be a fraction."""
        if epoch < self.warmup:
            return base * epoch / self.warmup
        part = min(1.0, (epoch - self.warmup) / max(self.epochs - self.warmup, 1e-12))
        return self.least + (base - self.least) * (1 + math.cos(math.pi * part)) / 2


@dataclass(frozen=True, slots=True)
class StepSchedule:
    """The learning rate is multiplied by `gamma` after each `size` epochs, as by torch's StepLR.

    Examples
    --------
    >>> StepSchedule(10, gamma=0.5)(0.1, 25.5)
    0.025
    """

    size: int
    gamma: float = 0.1

    def __call__(self, base: float, epoch: float) -> float:
        """Return the learning rate after so many epochs, which may be a fraction."""
        return base * self.gamma ** (int(epoch) // self.size)


def positive(value: float, argument: str) -> float:
    """Return a number of at least 0."""
    if not value >= 0:
        raise InvalidArgument(f"{argument} must be at least 0, got {value}")
    return float(value)
