"""Arguments that other libraries name differently: answered with the name to use here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from striderule.errors import InvalidType

P = ParamSpec("P")
R = TypeVar("R")

# What SciPy, scikit-image, OpenCV and PyTorch call what the image functions have under another name.
IMAGE_NAMES = {
    "weights": "kernel=",
    "weight": "kernel=",
    "cval": "fill=",
    "fillvalue": "fill=",
    "constant_values": "fill=",
    "output": "out= (an array) or dtype= (a type)",
    "ddepth": "dtype=",
    "anchor": "origin= (counted from the centre)",
    "border_mode": "boundary=",
    "borderType": "boundary=",
    "padding_mode": "boundary=",
    "padding": "mode= ('full', 'same' or 'valid')",
    "strides": "stride=",
    "axis": "axes=",
    "multichannel": "channel_axis= (the axis that holds the channels, or None)",
    "nan_treatment": "nan= ('propagate' or 'normalize')",
}

# The same for the layer functions. Transposed convolutions have no boundary and no fill.
_SHAPE_NAMES = {
    "kernel": "weight=",
    "weights": "weight=",
    "filters": "weight=",
    "strides": "stride=",
    "dilations": "dilation=",
    "dilation_rate": "dilation=",
    "group": "groups=",
    "data_format": "layout=",
}
_OUTSIDE_NAMES = dict.fromkeys(
    ("mode", "padding_mode", "border_mode", "pad_mode"),
    "boundary= (PyTorch's 'zeros' is 'constant', 'reflect' is 'mirror', 'replicate' is 'edge', 'circular' is 'wrap')",
) | dict.fromkeys(("cval", "value", "fillvalue", "constant_values"), "fill=")
TRANSPOSED_NAMES = _SHAPE_NAMES
LAYER_NAMES = _SHAPE_NAMES | _OUTSIDE_NAMES


def answers(names: dict[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function answer the argument names of other libraries with its own.

    `names` maps each foreign name to what to write instead.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name in names:
                    raise InvalidType(f"{function.__name__} has no argument {name!r}; write {names[name]}")
            return function(*args, **kwargs)

        return wrapper

    return decorate
