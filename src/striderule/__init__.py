"""striderule computes convolutions on arrays: for images, for networks, and for learning how they work.

Names are imported when they are first used, so that ``import striderule`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from striderule._version import __version__

# It looks at the files of source before they are imported; see there.
from striderule.codegen import sources as _sources  # noqa: F401

if TYPE_CHECKING:  # so that type checkers and editors know what the lazy names below are; a test holds both together
    from striderule import errors as errors
    from striderule import figures as figures
    from striderule import filters as filters
    from striderule import geometry as geometry
    from striderule import kernels as kernels
    from striderule import models as models
    from striderule import nn as nn
    from striderule import tour as tour
    from striderule.codegen.workers import get_num_threads as get_num_threads
    from striderule.codegen.workers import set_num_threads as set_num_threads
    from striderule.config import show_config as show_config
    from striderule.functional.activation import celu as celu
    from striderule.functional.activation import elu as elu
    from striderule.functional.activation import gelu as gelu
    from striderule.functional.activation import hardshrink as hardshrink
    from striderule.functional.activation import hardsigmoid as hardsigmoid
    from striderule.functional.activation import hardswish as hardswish
    from striderule.functional.activation import hardtanh as hardtanh
    from striderule.functional.activation import leaky_relu as leaky_relu
    from striderule.functional.activation import log_softmax as log_softmax
    from striderule.functional.activation import logsigmoid as logsigmoid
    from striderule.functional.activation import mish as mish
    from striderule.functional.activation import prelu as prelu
    from striderule.functional.activation import relu as relu
    from striderule.functional.activation import relu6 as relu6
    from striderule.functional.activation import selu as selu
    from striderule.functional.activation import sigmoid as sigmoid
    from striderule.functional.activation import silu as silu
    from striderule.functional.activation import softmax as softmax
    from striderule.functional.activation import softmin as softmin
    from striderule.functional.activation import softplus as softplus
    from striderule.functional.activation import softshrink as softshrink
    from striderule.functional.activation import softsign as softsign
    from striderule.functional.activation import tanh as tanh
    from striderule.functional.activation import tanhshrink as tanhshrink
    from striderule.functional.activation import threshold as threshold
    from striderule.functional.adaptive_pooling import adaptive_avg_pool1d as adaptive_avg_pool1d
    from striderule.functional.adaptive_pooling import adaptive_avg_pool2d as adaptive_avg_pool2d
    from striderule.functional.adaptive_pooling import adaptive_avg_pool3d as adaptive_avg_pool3d
    from striderule.functional.adaptive_pooling import adaptive_max_pool1d as adaptive_max_pool1d
    from striderule.functional.adaptive_pooling import adaptive_max_pool2d as adaptive_max_pool2d
    from striderule.functional.adaptive_pooling import adaptive_max_pool3d as adaptive_max_pool3d
    from striderule.functional.compiled import compile as compile  # noqa: A004 - the name that users know
    from striderule.functional.convolution import conv as conv
    from striderule.functional.convolution import conv1d as conv1d
    from striderule.functional.convolution import conv2d as conv2d
    from striderule.functional.convolution import conv3d as conv3d
    from striderule.functional.convolution_gradients import conv_input_grad as conv_input_grad
    from striderule.functional.convolution_gradients import conv_weight_grad as conv_weight_grad
    from striderule.functional.depthwise import depthwise_conv1d as depthwise_conv1d
    from striderule.functional.depthwise import depthwise_conv2d as depthwise_conv2d
    from striderule.functional.depthwise import depthwise_conv3d as depthwise_conv3d
    from striderule.functional.depthwise import depthwise_separable_conv2d as depthwise_separable_conv2d
    from striderule.functional.depthwise import pointwise_conv2d as pointwise_conv2d
    from striderule.functional.dropout import dropout as dropout
    from striderule.functional.fractional_pooling import fractional_max_pool1d as fractional_max_pool1d
    from striderule.functional.fractional_pooling import fractional_max_pool2d as fractional_max_pool2d
    from striderule.functional.fractional_pooling import fractional_max_pool3d as fractional_max_pool3d
    from striderule.functional.gradients.vjp import vjp as vjp
    from striderule.functional.halos import halo as halo
    from striderule.functional.images import convolve as convolve
    from striderule.functional.images import correlate as correlate
    from striderule.functional.interpolate import interpolate as interpolate
    from striderule.functional.layer_normalization import group_norm as group_norm
    from striderule.functional.layer_normalization import layer_norm as layer_norm
    from striderule.functional.linear import linear as linear
    from striderule.functional.local import locally_connected1d as locally_connected1d
    from striderule.functional.local import locally_connected2d as locally_connected2d
    from striderule.functional.local import locally_connected3d as locally_connected3d
    from striderule.functional.local import tiled_conv2d as tiled_conv2d
    from striderule.functional.losses import cross_entropy as cross_entropy
    from striderule.functional.losses import mse_loss as mse_loss
    from striderule.functional.lp_pooling import lp_pool1d as lp_pool1d
    from striderule.functional.lp_pooling import lp_pool2d as lp_pool2d
    from striderule.functional.lp_pooling import lp_pool3d as lp_pool3d
    from striderule.functional.normalization import batch_norm as batch_norm
    from striderule.functional.normalization import local_response_norm as local_response_norm
    from striderule.functional.padding import pad as pad
    from striderule.functional.planned import Array as Array
    from striderule.functional.planned import explain as explain
    from striderule.functional.pooling import avg_pool1d as avg_pool1d
    from striderule.functional.pooling import avg_pool2d as avg_pool2d
    from striderule.functional.pooling import avg_pool3d as avg_pool3d
    from striderule.functional.pooling import max_pool1d as max_pool1d
    from striderule.functional.pooling import max_pool2d as max_pool2d
    from striderule.functional.pooling import max_pool3d as max_pool3d
    from striderule.functional.precision import get_default_precision as get_default_precision
    from striderule.functional.precision import precision as precision
    from striderule.functional.precision import set_default_precision as set_default_precision
    from striderule.functional.shuffle import pixel_shuffle as pixel_shuffle
    from striderule.functional.shuffle import pixel_unshuffle as pixel_unshuffle
    from striderule.functional.transposed import conv_transpose1d as conv_transpose1d
    from striderule.functional.transposed import conv_transpose2d as conv_transpose2d
    from striderule.functional.transposed import conv_transpose3d as conv_transpose3d
    from striderule.functional.unfold import fold as fold
    from striderule.functional.unfold import unfold as unfold
    from striderule.functional.unpooling import max_unpool1d as max_unpool1d
    from striderule.functional.unpooling import max_unpool2d as max_unpool2d
    from striderule.functional.unpooling import max_unpool3d as max_unpool3d

_SUBMODULES = ("errors", "figures", "filters", "geometry", "kernels", "models", "nn", "tour")

# module -> the public names that live there
_MODULES: dict[str, tuple[str, ...]] = {
    "codegen.workers": ("get_num_threads", "set_num_threads"),
    "config": ("show_config",),
    "functional.activation": (
        "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax",
        "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softmin", "softplus",
        "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
    ),
    "functional.compiled": ("compile",),
    "functional.convolution": ("conv", "conv1d", "conv2d", "conv3d"),
    "functional.convolution_gradients": ("conv_input_grad", "conv_weight_grad"),
    "functional.depthwise": (
        "depthwise_conv1d", "depthwise_conv2d", "depthwise_conv3d", "depthwise_separable_conv2d", "pointwise_conv2d",
    ),
    "functional.dropout": ("dropout",),
    "functional.gradients.vjp": ("vjp",),
    "functional.halos": ("halo",),
    "functional.images": ("convolve", "correlate"),
    "functional.interpolate": ("interpolate",),
    "functional.linear": ("linear",),
    "functional.local": ("locally_connected1d", "locally_connected2d", "locally_connected3d", "tiled_conv2d"),
    "functional.losses": ("cross_entropy", "mse_loss"),
    "functional.layer_normalization": ("group_norm", "layer_norm"),
    "functional.normalization": ("batch_norm", "local_response_norm"),
    "functional.padding": ("pad",),
    "functional.planned": ("Array", "explain"),
    "functional.precision": ("get_default_precision", "precision", "set_default_precision"),
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
