"""LeNet learns to read digits, is kept in a file, and is read back."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule import models, nn
from striderule.errors import InvalidArgument
from striderule.functional.losses import cross_entropy
from striderule.functional.precision import precision
from striderule.functional.softmax import softmax
from striderule.learning.digits import SIZE, Digits, Distortion, placed

Array = NDArray[Any]

EPOCHS, BATCH, RATE = 25, 64, 3e-3
# What is written into the file of a model, so that a reader knows what it holds.
KIND = "digits"
NETWORK = {"size": SIZE, "activation": "relu"}
PREPROCESSING = (
    "8x8 pictures, paper 0 and ink 1, enlarged linearly to 28x28 in the middle of 32x32; paper -0.1, ink 1.175"
)


@dataclass(frozen=True)
class Trained:
    """A trained network, how it got there, and what it makes of the digits that were held out."""

    model: nn.Sequential
    seed: int
    history: nn.History
    test: Digits
    probabilities: Array
    seconds: float

    @property
    def answers(self) -> Array:
        """The digit that the network reads in each held-out picture."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def accuracy(self) -> float:
        """The part of the held-out pictures that is read right."""
        return float((self.answers == self.test.classes).mean())

    @property
    def mistakes(self) -> Array:
        """The numbers of the pictures read wrong, the surest mistake first."""
        wrong = np.flatnonzero(self.answers != self.test.classes)
        return np.asarray(wrong[np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")])


def network(seed: int | np.random.Generator | None = None) -> nn.Sequential:
    """Return the LeNet-5 for digits, with new weights."""
    return models.lenet5(size=SIZE, activation="relu", seed=seed)


def train(
    training: Digits, test: Digits, *, seed: int = 0, epochs: int = EPOCHS, rate: float = RATE, progress: bool = True
) -> Trained:
    """Train LeNet on digits that are moved a little each time they are seen.

    AdamW with batches of 64; the learning rate rises for one epoch and then falls like half a cosine. Nothing is chosen
    by what was held out: it is looked at once, at the end. The seed decides on the first weights, the order and the
    moves; the same one gives the same bits.

    Parameters
    ----------
    training, test
        As `striderule.learning.digits.load` returns them.
    seed
        A whole number. Default: 0.
    epochs
        How often every picture is seen. Default: 25.
    rate
        The largest learning rate. Default: 0.003.
    progress
        Whether to show a bar. Default: True.
    """
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    model = network(rng)
    with precision("high"):
        history = nn.fit(
            model,
            (training.pictures, training.classes),
            loss=cross_entropy,
            optimiser=nn.AdamW(model, rate),
            schedule=nn.CosineSchedule(epochs, warmup=min(1, epochs / 4)),
            epochs=epochs,
            batch_size=BATCH,
            augment=Distortion(),
            seed=rng,
            progress=progress,
        )
    return Trained(model, seed, history, test, probabilities(model, test.pictures), time.perf_counter() - start)


def probabilities(model: nn.Layer, pictures: ArrayLike) -> Array:
    """Return how likely each digit is in each picture, (count, 10), for pictures (count, 8, 8)."""
    small = np.asarray(pictures, np.float32)
    return np.asarray(softmax(nn.predict(model, placed(small), batch_size=256), 1))


def save(trained: Trained, path: str | os.PathLike[str]) -> None:
    """Write the network to a safetensors file, and what using it takes; the same training writes the same bytes."""
    said = {
        "kind": KIND,
        "network": "lenet5",
        "arguments": NETWORK,
        "classes": "0123456789",
        "preprocessing": PREPROCESSING,
        "seed": trained.seed,
        "epochs": len(trained.history),
        "test accuracy": round(trained.accuracy, 4),
    }
    # One word of metadata alone: the order of several is not the same in every process.
    nn.write_tensors(path, trained.model.state(), {"striderule": json.dumps(said)})


def load(path: str | os.PathLike[str]) -> nn.Sequential:
    """Return the network of a file that `save` wrote.

    Raises
    ------
    InvalidArgument
        If there is no such file, or it holds something else.
    """
    place = Path(path)
    if not place.is_file():
        what = "is a folder" if place.is_dir() else "does not exist"
        raise InvalidArgument(f"the model {place} {what}; striderule train digits makes one, digits/model.safetensors")
    _, words = nn.read_tensors(place)
    try:
        said = json.loads(words.get("striderule", "{}"))
        known = said["kind"] == KIND and said["arguments"] == NETWORK
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise InvalidArgument(
            f"{place} is no model of digits as this version makes them: train one with striderule train digits"
        )
    return nn.load(network(0), place).eval()
