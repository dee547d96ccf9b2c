"""Models saved and loaded by the names of their parameters, in safetensors."""

from __future__ import annotations

import os
from typing import TypeVar

from striderule.errors import InvalidArgument
from striderule.nn.layer import Layer
from striderule.nn.tensors import read_tensors, write_tensors

Model = TypeVar("Model", bound=Layer)

# A count that PyTorch's BatchNorm keeps and nothing here needs.
COUNTS = "num_batches_tracked"


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

    Published weights load if the model has torchvision's names. A ``.pth`` file is converted where PyTorch is::

        safetensors.torch.save_file(torch.load("resnet18.pth", weights_only=True), "resnet18.safetensors")

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

    Examples
    --------
    >>> from striderule import nn
    >>> save(nn.PReLU(init=0.5), "slope.safetensors")
    >>> load(nn.PReLU(), "slope.safetensors").weight
    array([0.5], dtype=float32)
    """
    arrays, _ = read_tensors(path)
    held = model.all_held()
    known = {name: value for name, value in arrays.items() if name in held or not name.endswith(COUNTS)}
    try:
        return model.load_state(known)
    except InvalidArgument as error:
        raise InvalidArgument(f"{os.fspath(path)}: {error}") from None
