"""striderule computes convolutions on arrays: for images, for networks, and for learning how they work.

Names are imported when they are first used, so that ``import striderule`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from striderule._version import __version__

if TYPE_CHECKING:  # so that type checkers and editors know what the lazy names below are
    from striderule import errors, figures, filters, geometry, kernels, nn, tour  # noqa: F401

_SUBMODULES = ("errors", "figures", "filters", "geometry", "kernels", "nn", "tour")

# module -> the public names that live there
_MODULES: dict[str, tuple[str, ...]] = {
    "config": ("show_config",),
    "functional.activation": (
        "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax",
        "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softmin", "softplus",
        "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
    ),
    "functional.convolution": ("conv", "conv1d", "conv2d", "conv3d"),
    "functional.depthwise": (
        "depthwise_conv1d", "depthwise_conv2d", "depthwise_conv3d", "depthwise_separable_conv2d", "pointwise_conv2d",
    ),
    "functional.images": ("convolve", "correlate"),
    "functional.local": ("locally_connected1d", "locally_connected2d", "locally_connected3d", "tiled_conv2d"),
    "functional.normalization": ("batch_norm", "local_response_norm"),
    "functional.padding": ("pad",),
    "functional.pooling": ("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"),
    "functional.adaptive_pooling": (
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
        "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    ),
    "functional.fractional_pooling": ("fractional_max_pool1d", "fractional_max_pool2d", "fractional_max_pool3d"),
    "functional.lp_pooling": ("lp_pool1d", "lp_pool2d", "lp_pool3d"),
    "functional.shuffle": ("pixel_shuffle", "pixel_unshuffle"),
    "functional.transposed": ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    "functional.unfold": ("fold", "unfold"),
    "functional.unpooling": ("max_unpool1d", "max_unpool2d", "max_unpool3d"),
}  # fmt: skip

_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME), *_SUBMODULES]  # noqa: PLE0604 - the names are strings, from the tables above


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"striderule.{name}")
    if name in _HOME:
        value = getattr(importlib.import_module(f"striderule.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'striderule' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
