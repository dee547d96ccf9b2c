"""Networks written in PyTorch, layer for layer and with the same weights, as its users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striderule import nn
from striderule.functional.layers import activation_of

# Where a name says what a layer is in PyTorch, which of its words are PyTorch's too. Activations work in place there,
# as torchvision has them.
WORDS: dict[str, tuple[str, ...]] = {
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "AdaptiveAvgPool2d": ("output_size",),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "Dropout": ("p",),
    "Flatten": (),
    "Tanh": (),
}
IN_PLACE = ("ReLU", "ReLU6")


def in_torch(layer: nn.Layer, torch: Any) -> Any:
    """Return a layer of ours as a module of PyTorch.

    Raises
    ------
    TypeError
        For layers that no network of the benchmarks has.
    """
    name = type(layer).__name__
    if name in MADE:
        return MADE[name](layer, torch)
    module = getattr(torch.nn, name, None)
    if module is None or name not in (*WORDS, *IN_PLACE):
        raise TypeError(f"nothing is known of {name} in PyTorch")
    words: dict[str, Any] = {word: getattr(layer, word) for word in WORDS.get(name, ())}
    made = module(**words, **({"inplace": True} if name in IN_PLACE else {}))
    return with_weights(made, layer, torch)


def with_weights(module: Any, layer: nn.Layer, torch: Any) -> Any:
    """Return a module with the parameters of a layer of ours, which it has under the same names."""
    held = {name: torch.from_numpy(np.array(one.value)) for name, one in layer.held().items() if one is not None}
    module.load_state_dict(held)
    return module


def _convolution(layer: Any, torch: Any) -> Any:
    words = {word: getattr(layer, word) for word in ("stride", "padding", "dilation", "groups")}
    channels = layer.in_channels, layer.out_channels
    made = getattr(torch.nn, type(layer).__name__)(*channels, layer.kernel_size, bias=layer.bias is not None, **words)
    whole = with_weights(made, layer, torch)
    return whole if layer.activation is None else torch.nn.Sequential(whole, torch.nn.ReLU(inplace=True))


def _linear(layer: Any, torch: Any) -> Any:
    made = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    return with_weights(made, layer, torch)


def _sequential(layer: Any, torch: Any) -> Any:
    return torch.nn.Sequential(*(in_torch(one, torch) for one in layer))


def _residual(layer: nn.Residual, torch: Any) -> Any:
    active = activation_of(layer.activation)
    if active is not None and active.words != ("relu",):
        raise TypeError(f"nothing is known of Residual with {layer.activation!r} in PyTorch")

    class Residual(torch.nn.Module):  # type: ignore[misc]  # the checker does not see PyTorch
        def __init__(self) -> None:
            super().__init__()
            self.body = in_torch(layer.body, torch)
            self.shortcut = torch.nn.Identity() if layer.shortcut is None else in_torch(layer.shortcut, torch)

        def forward(self, x: Any) -> Any:
            other = self.shortcut(x)
            total = self.body(x)
            total += other
            return total if active is None else torch.relu_(total)

    return Residual()


def _concat(layer: nn.Concat, torch: Any) -> Any:
    class Concat(torch.nn.Module):  # type: ignore[misc]  # as above
        def __init__(self) -> None:
            super().__init__()
            ways = [torch.nn.Identity() if way is None else in_torch(way, torch) for way in layer.ways]
            self.ways = torch.nn.ModuleList(ways)

        def forward(self, x: Any) -> Any:
            return torch.cat([way(x) for way in self.ways], layer.axis)

    return Concat()


MADE: dict[str, Callable[[Any, Any], Any]] = {
    "Concat": _concat, "Conv2d": _convolution, "ConvTranspose2d": _convolution, "Linear": _linear,
    "Residual": _residual, "Sequential": _sequential,
}  # fmt: skip
