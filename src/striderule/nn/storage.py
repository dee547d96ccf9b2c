"""Models saved and loaded by the names of their parameters, in safetensors."""

from __future__ import annotations

import os
import re
from typing import TypeVar

from striderule.errors import InvalidArgument
from striderule.nn.layer import Layer
from striderule.nn.tensors import read_tensors, write_tensors

Model = TypeVar("Model", bound=Layer)

# Counts of batches, which PyTorch keeps since version 0.4.1: older files have none.
COUNTS = "num_batches_tracked"
# Files of DenseNet are older than the rule that names hold no dots: "denselayer1.norm.1.weight" is norm1's.
DOTTED = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.)")


def save(model: Layer, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """Write the parameters and buffers of a model to a safetensors file, beside it first.

    Parameters
    ----------
    model
        A layer.
    path
        Of the file; ``.safetensors`` is its usual ending. It is replaced when the new one is whole.
    metadata
        Texts under texts that go with it. Default: none.

    Raises
    ------
    MissingExtra
        If the package safetensors is not installed.

    Examples
    --------
    >>> from striderule import nn
    >>> model = nn.Sequential(("conv", nn.Conv2d(1, 2, 3, seed=0)))
    >>> save(model, "model.safetensors")
    >>> load(nn.Sequential(("conv", nn.Conv2d(1, 2, 3))), "model.safetensors")["conv"].weight.shape
    (2, 1, 3, 3)
    """
    write_tensors(path, model.state(), {"format": "pt", **(metadata or {})})


def load(model: Model, path: str | os.PathLike[str]) -> Model:
    """Write the arrays of a safetensors file into a model: all of them, or nothing is changed.

    Published weights load if the model has torchvision's names, as `striderule.models` have; docs/networks.md shows how
    a ``.pth`` file becomes one of safetensors. What torchvision tolerates is tolerated: files without the counts
    ``num_batches_tracked`` (then the model's stay), or with counts that the model has no use for, and the names of old
    files of DenseNet.

    Parameters
    ----------
    model
        A layer with parameters of the same names and shapes.
    path
        Of the file.

    Returns
    -------
    Layer
        The model.

    Raises
    ------
    InvalidArgument
        If the file is damaged, names are missing or unknown, or a shape differs; it says which.
    MissingExtra
        If the package safetensors is not installed.

    Examples
    --------
    >>> from striderule import nn
    >>> save(nn.PReLU(init=0.5), "slope.safetensors")
    >>> load(nn.PReLU(), "slope.safetensors").weight
    array([0.5], dtype=float32)
    """
    arrays, _ = read_tensors(path)
    held = model.all_held()
    known = {name: one.value for name, one in held.items() if name.endswith(COUNTS)}
    for name, value in arrays.items():
        newer = DOTTED.sub(r"\1\2", name)
        here = newer if newer in held and newer not in arrays else name
        if here in held or not here.endswith(COUNTS):
            known[here] = value
    try:
        return model.load_state(known)
    except InvalidArgument as error:
        raise InvalidArgument(f"{os.fspath(path)}: {error}") from None
