"""Training: batches, steps, validation, and checkpoints that lose nothing."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.gradients.vjp import vjp
from striderule.nn.bar import Bar
from striderule.nn.initial import generator_of
from striderule.nn.layer import Layer
from striderule.nn.optimisers import AdamW, Optimiser
from striderule.nn.tensors import package, read_tensors, write_tensors

Array = NDArray[Any]
Loss = Callable[..., Any]
VERSION = "1"


@dataclass
class History:
    """What `fit` measured: one dictionary for each epoch.

    Its words are epoch (from 1 on), lr, loss, seconds; accuracy where targets are classes; validation_loss and
    validation_accuracy where there is validation.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)

    def __getitem__(self, word: str) -> list[float]:
        return [epoch[word] for epoch in self.epochs if word in epoch]

    def __len__(self) -> int:
        return len(self.epochs)

    def __str__(self) -> str:
        return "\n".join(line_of(epoch) for epoch in self.epochs)


def line_of(epoch: Mapping[str, float]) -> str:
    """Return an epoch in one line.

    >>> line_of({"epoch": 3, "lr": 0.1, "loss": 0.25, "validation_accuracy": 0.987})
    'epoch 3: lr 0.1, loss 0.2500, validation accuracy 98.70 %'
    """
    said = [f"lr {epoch['lr']:.3g}"]
    for word in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        if word in epoch:
            value = f"{100 * epoch[word]:.2f} %" if word.endswith("accuracy") else f"{epoch[word]:.4f}"
            said.append(f"{word.replace('_', ' ')} {value}")
    return f"epoch {epoch['epoch']:g}: {', '.join(said)}"


def fit(
    model: Layer,
    data: tuple[ArrayLike, ArrayLike],
    *,
    loss: Loss,
    optimiser: Optimiser | None = None,
    schedule: Callable[[float, float], float] | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    augment: Callable[[Array, np.random.Generator], Array] | None = None,
    seed: int | np.random.Generator | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> History:
    """Train a model: in every epoch, all examples once in an order that is drawn anew.

    Parameters
    ----------
    model
        A layer; it is left in evaluation mode.
    data
        Inputs and targets, two arrays with the examples on their first axis.
    loss
        A differentiable function of striderule such as `striderule.cross_entropy` or `striderule.mse_loss`, or one of
        your own: ``loss(outputs, targets)`` returns the number and its gradient with respect to the outputs.
    optimiser
        Default: ``AdamW(model)``.
    schedule
        The learning rate as a function of the optimiser's base and of the epochs passed, which may be a fraction:
        `CosineSchedule`, `StepSchedule`. Default: constant.
    epochs
        How often all examples are seen. Default: 10.
    batch_size
        Examples of a step; the last of an epoch may have fewer. Default: 32.
    validation
        Inputs and targets that are measured after every epoch, in evaluation mode. Default: none.
    augment
        ``augment(inputs, generator)`` returns the inputs of a batch as they are trained on. Default: as they are.
    seed
        An integer or a `numpy.random.Generator`, for the order of the examples and for `augment`: the same one gives
        the same bits, on any number of threads.
    checkpoint
        A file that is written after every epoch, beside it first, so that a crash leaves the last whole one. If it is
        there, training goes on from it, with the same bits as if it had not stopped. Default: none.
    progress
        Whether to show a bar, or a line for each epoch where that cannot be shown. Default: True.

    Returns
    -------
    History
        ``history.epochs`` has a dictionary for each epoch; ``history["loss"]`` is that word of all of them.

    Raises
    ------
    InvalidArgument, InvalidType
        For arrays of different lengths, a checkpoint of something else, and a loss that is no number any more.

    Examples
    --------
    >>> from striderule import nn
    >>> def squares(outputs, targets):
    ...     return ((outputs - targets) ** 2).mean(), 2 * (outputs - targets) / outputs.size
    >>> x = np.linspace(-1, 0, 20).reshape(-1, 1)
    >>> history = fit(model := nn.PReLU(), (x, 0.5 * x), loss=squares, epochs=60, seed=0, progress=False,
    ...               optimiser=nn.SGD(model, lr=0.5))
    >>> float(model.weight[0].round(3)), len(history)
    (0.5, 60)
    """
    run = _Run(model, _pair(data, "data"), loss, optimiser or AdamW(model), generator_of(seed))
    run.schedule, run.batch_size, run.augment = schedule, _positive(batch_size, "batch_size"), augment
    run.validation = None if validation is None else _pair(validation, "validation")
    epochs = _positive(epochs, "epochs")
    if checkpoint is not None:
        package()  # rather miss it now than after an epoch
        if Path(checkpoint).exists():
            run.restore(checkpoint)
    wanted = [(layer, layer.input_gradient) for _, layer in model.layers()]
    model.want_input_gradient(False)
    try:
        with Bar(epochs, len(run.history), run.steps, shown=progress) as bar:
            while len(run.history) < epochs:
                run.epoch(bar.step)
                if checkpoint is not None:
                    run.keep(checkpoint)
                bar.epoch(line_of(run.history.epochs[-1]))
    finally:
        for layer, before in wanted:
            layer.input_gradient = before
        model.eval()
    return run.history


class _Run:
    """A training under way."""

    def __init__(
        self, model: Layer, data: tuple[Array, Array], loss: Loss, optimiser: Optimiser, rng: np.random.Generator
    ) -> None:
        self.model, self.data, self.loss, self.optimiser, self.rng = model, data, loss, optimiser, rng
        self.schedule: Callable[[float, float], float] | None = None
        self.batch_size = 1
        self.augment: Callable[[Array, np.random.Generator], Array] | None = None
        self.validation: tuple[Array, Array] | None = None
        self.history = History()

    @property
    def steps(self) -> int:
        """How many steps an epoch takes."""
        return -(-len(self.data[0]) // self.batch_size)

    def epoch(self, tell: Callable[[float], None]) -> None:
        """See all examples once."""
        start = time.perf_counter()
        inputs, targets = self.data
        order = self.rng.permutation(len(inputs))
        self.model.train()
        meter = _Meter()
        for number in range(self.steps):
            chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
            x, aim = inputs[chosen], targets[chosen]
            if self.augment is not None:
                x = self.augment(x, self.rng)
            if self.schedule is not None:
                self.optimiser.lr = self.schedule(self.optimiser.base, len(self.history) + number / self.steps)
            outputs = self.model.forward(x)
            value, gradient = loss_and_gradient(self.loss, outputs, aim)
            if not math.isfinite(value):
                raise InvalidArgument(
                    f"the loss is {value} in epoch {len(self.history) + 1}; train with a lower learning rate than "
                    f"{self.optimiser.lr:g}"
                )
            self.optimiser.zero_gradients()
            self.model.backward(gradient)
            self.optimiser.step()
            meter.add(value, outputs, aim)
            tell(value)
        found = {"epoch": len(self.history) + 1, "lr": self.optimiser.lr, **meter.found("")}
        if self.validation is not None:
            found |= evaluate(self.model, self.validation, loss=self.loss, batch_size=self.batch_size)
        self.history.epochs.append(found | {"seconds": time.perf_counter() - start})

    def keep(self, path: str | os.PathLike[str]) -> None:
        """Write everything that going on needs."""
        arrays = {f"model/{name}": value for name, value in self.model.state().items()}
        arrays |= {f"optimiser/{name}": value for name, value in self.optimiser.state().items()}
        found = {
            "version": VERSION,
            "optimiser": type(self.optimiser).__name__,
            "examples": str(len(self.data[0])),
            "batch_size": str(self.batch_size),
            "history": json.dumps(self.history.epochs),
            "generators": json.dumps([_plain(one.bit_generator.state) for one in self._generators()]),
        }
        write_tensors(path, arrays, found)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint; nothing is changed if it is of something else."""
        arrays, found = read_tensors(path)
        for word, here in (
            ("version", VERSION),
            ("optimiser", type(self.optimiser).__name__),
            ("examples", str(len(self.data[0]))),
            ("batch_size", str(self.batch_size)),
        ):
            if found.get(word) != here:
                raise InvalidArgument(
                    f"checkpoint {os.fspath(path)} has {word} {found.get(word)}, and this training {here}; remove the "
                    "file to begin anew"
                )
        generators, states = self._generators(), [_unplain(one) for one in json.loads(found["generators"])]
        if len(generators) != len(states):
            raise InvalidArgument(f"checkpoint {os.fspath(path)} is of a model with other layers of chance")
        self.model.load_state(_under(arrays, "model/"))
        self.optimiser.load_state(_under(arrays, "optimiser/"))
        for one, state in zip(generators, states, strict=True):
            one.bit_generator.state = state
        self.history = History(json.loads(found["history"]))

    def _generators(self) -> list[np.random.Generator]:
        """Return all that chance comes from: of the training, and of layers such as `Dropout`."""
        own = [getattr(layer, "generator", None) for _, layer in self.model.layers()]
        return [self.rng, *(one for one in own if isinstance(one, np.random.Generator))]


class _Meter:
    """Means of the loss and of the right answers, over examples."""

    def __init__(self) -> None:
        self.examples, self.loss, self.right = 0, 0.0, 0
        self.classes = False

    def add(self, value: float, outputs: Array, targets: Array) -> None:
        """Count a batch in."""
        self.examples += len(outputs)
        self.loss += value * len(outputs)
        if outputs.ndim == 2 and targets.ndim == 1 and targets.dtype.kind in "iu":
            self.classes = True
            self.right += int((outputs.argmax(axis=1) == targets).sum())

    def found(self, prefix: str) -> dict[str, float]:
        """Return the means."""
        count = max(1, self.examples)
        found = {f"{prefix}loss": self.loss / count}
        return found | ({f"{prefix}accuracy": self.right / count} if self.classes else {})


def evaluate(model: Layer, data: tuple[ArrayLike, ArrayLike], *, loss: Loss, batch_size: int = 32) -> dict[str, float]:
    """Measure a model in evaluation mode, and leave it there.

    Parameters
    ----------
    model
        A layer.
    data
        Inputs and targets, two arrays with the examples on their first axis.
    loss, batch_size
        As in `fit`.

    Returns
    -------
    dict
        validation_loss, and validation_accuracy where targets are classes.

    Examples
    --------
    >>> from striderule import nn
    >>> def absolute(outputs, targets):
    ...     return abs(outputs - targets).mean(), np.sign(outputs - targets) / outputs.size
    >>> evaluate(nn.ReLU(), ([[1.0], [-3.0]], [[2.0], [1.0]]), loss=absolute)
    {'validation_loss': 1.0}
    """
    inputs, targets = _pair(data, "data")
    model.eval()
    meter = _Meter()
    for part in _parts(len(inputs), batch_size):
        outputs = model.forward(inputs[part])
        meter.add(loss_and_gradient(loss, outputs, targets[part])[0], outputs, targets[part])
    return meter.found("validation_")


def predict(model: Layer, inputs: ArrayLike, *, batch_size: int = 32) -> Array:
    """Compute the outputs of a model in evaluation mode for all inputs, batch by batch, and leave it there.

    Parameters
    ----------
    model
        A layer.
    inputs
        With the examples on the first axis, at least one.
    batch_size
        How many are computed at a time. Default: 32.

    Returns
    -------
    numpy.ndarray
        With the examples on the first axis.

    Examples
    --------
    >>> from striderule import nn
    >>> predict(nn.ReLU(), [[1.0], [-3.0]], batch_size=1)
    array([[1.],
           [0.]])
    """
    value = np.asarray(inputs)
    if not len(value):
        raise InvalidArgument("inputs must be at least one example")
    model.eval()
    return np.concatenate([model.forward(value[part]) for part in _parts(len(value), batch_size)])


def loss_and_gradient(loss: Loss, outputs: Array, targets: Array) -> tuple[float, Array]:
    """Return a loss and its gradient with respect to the outputs."""
    if str(getattr(loss, "__module__", "")).startswith("striderule.functional."):
        value, pullback = vjp(loss, outputs, targets)
        gradient = pullback(np.ones_like(value))[0]
    else:
        found = loss(outputs, targets)
        if not isinstance(found, tuple) or len(found) != 2:
            raise InvalidType(
                "loss must be a differentiable function of striderule, or return the number and its gradient with "
                f"respect to the outputs, got {found!r}"
            )
        value, gradient = found
    given = np.asarray(gradient, outputs.dtype)
    if np.size(value) != 1 or given.shape != outputs.shape:
        raise InvalidArgument(f"loss must give one number and a gradient of the shape {outputs.shape}")
    return float(value), given


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _pair(data: Any, name: str) -> tuple[Array, Array]:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise InvalidType(f"{name} must be two arrays, inputs and targets")
    inputs, targets = (np.asarray(one) for one in data)
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets) or not len(inputs):
        raise InvalidArgument(
            f"{name} must have as many inputs as targets, at least one, got the shapes {inputs.shape}, {targets.shape}"
        )
    return inputs, targets


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise InvalidArgument(f"{name} must be at least 1, got {value}")
    return int(value)


def _under(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _plain(state: Any) -> Any:
    """Return the state of a generator as what JSON knows."""
    if isinstance(state, Mapping):
        return {key: _plain(value) for key, value in state.items()}
    return {"array": state.tolist(), "dtype": state.dtype.str} if isinstance(state, np.ndarray) else state


def _unplain(state: Any) -> Any:
    if isinstance(state, dict):
        if state.keys() == {"array", "dtype"}:
            return np.array(state["array"], state["dtype"])
        return {key: _unplain(value) for key, value in state.items()}
    return state
