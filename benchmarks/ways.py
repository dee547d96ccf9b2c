"""The ways to compute one shape: ours, and the fastest ways of the peers that are installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.shapes import Shape

Array = np.ndarray[Any, np.dtype[Any]]
Way = Callable[[], Any]
OURS = "striderule"
PEERS = {"torch": "PyTorch", "scipy.ndimage": "SciPy", "cv2": "OpenCV"}


def installed() -> dict[str, Any]:
    """Return the peers that are here: name of the module -> module, or None."""
    found: dict[str, Any] = {}
    for name in PEERS:
        try:
            found[name] = importlib.import_module(name)
        except ImportError:
            found[name] = None
    return found


def operands(shape: Shape, seed: int = 0) -> tuple[Array, Array]:
    """Return random float32 input and weights: never zeros, whose products some processors finish sooner."""
    rng = np.random.default_rng(seed)
    inputs, outputs = shape.channels
    x = rng.standard_normal((shape.batch, inputs, *shape.size), dtype=np.float32)
    weight = rng.standard_normal((outputs, inputs // shape.groups, *shape.kernel), dtype=np.float32)
    return x, weight


def ways(shape: Shape, peers: dict[str, Any]) -> tuple[dict[str, Way], Array]:
    """Return every way to compute a shape, ours first, and the exact result in float64."""
    x, weight = operands(shape)
    return (_images if shape.list_name == "images" else _layers)(shape, x, weight, peers)


def _layers(shape: Shape, x: Array, weight: Array, peers: dict[str, Any]) -> tuple[dict[str, Way], Array]:
    words: dict[str, Any] = {
        "stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups,
    }  # fmt: skip
    found: dict[str, Way] = {OURS: lambda: sr.conv2d(x, weight, **words)}
    torch = peers.get("torch")
    if torch is not None:
        conv2d = torch.nn.functional.conv2d
        for label, order in (("PyTorch", torch.contiguous_format), ("PyTorch channels last", torch.channels_last)):
            tensors = [torch.from_numpy(operand).contiguous(memory_format=order) for operand in (x, weight)]
            found[label] = lambda tensors=tensors: conv2d(*tensors, **words).numpy()
    return found, sr.conv2d(x.astype(np.float64), weight.astype(np.float64), **words)


def _images(shape: Shape, x: Array, weight: Array, peers: dict[str, Any]) -> tuple[dict[str, Way], Array]:
    """An image, colours last, and one kernel for all its channels, with the mirror at the border."""
    grey = shape.channels[0] == 1
    image = x[0, 0] if grey else np.ascontiguousarray(np.moveaxis(x[0], 0, -1))
    kernel, axis = weight[0, 0], None if grey else -1
    axes = kernel if grey else kernel[..., None]

    def ours() -> Array:
        return sr.correlate(image, kernel, boundary="mirror", channel_axis=axis)

    found: dict[str, Way] = {OURS: ours}
    ndimage, cv2 = peers.get("scipy.ndimage"), peers.get("cv2")
    if ndimage is not None:
        found["SciPy"] = lambda: ndimage.correlate(image, axes, mode="mirror")
    if cv2 is not None:
        found["OpenCV"] = lambda: cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    exact = sr.correlate(image.astype(np.float64), kernel.astype(np.float64), boundary="mirror", channel_axis=axis)
    return found, exact
