"""Gradient of a depthwise separable convolution: those of its two steps, one after the other."""

from __future__ import annotations

import numpy as np

from striderule.functional.depthwise import depthwise_conv2d, pointwise_conv2d
from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule

# Of both steps, and of the first.
_WAYS = ("layout", "precision", "algorithm")
_FIRST = ("stride", "padding", "dilation", "boundary", "fill")
_NAMES = {"weight": "depthwise_weight", "bias": "depthwise_bias"}


def depthwise_separable_conv2d(call: Call) -> tuple[Array, Pull]:
    """Differentiate both steps. Between them float16 stays float32, as in the function."""
    from striderule.functional.gradients.vjp import differentiated  # noqa: PLC0415 - which looks this module up

    words, wanted = call.arguments, call.wanted
    ways = {name: words[name] for name in _WAYS}
    arrays = [
        words[name] for name in ("x", "depthwise_weight", "pointwise_weight", "bias", "depthwise_bias", "residual")
    ]
    natural = np.result_type(*(np.asarray(one).dtype for one in arrays if one is not None))
    of_first = frozenset(("x", *_NAMES)) & {"x", *(key for key, name in _NAMES.items() if name in wanted)}
    first = {name: words[name] for name in _FIRST} | {key: words[name] for key, name in _NAMES.items()}
    activation = words["depthwise_activation"]
    inner = np.dtype(np.float32) if natural == np.float16 else natural
    first |= {"x": words["x"], "activation": activation, "dtype": inner, **ways}
    between, pull_first = differentiated(depthwise_conv2d, first, of_first)
    second = {name: words[name] for name in ("bias", "activation", "residual", "out")}
    dtype = natural if words["dtype"] is None else words["dtype"]
    second |= {"x": between, "weight": words["pointwise_weight"], "dtype": dtype, **ways}
    renamed = {"pointwise_weight": "weight"}
    of_second = frozenset(renamed.get(name, name) for name in wanted & {"bias", "residual", "pointwise_weight"}) | {"x"}
    result, pull_second = differentiated(pointwise_conv2d, second, of_second)

    def pull(gy: Array) -> dict[str, Array | None]:
        found = pull_second(gy)
        g = found.pop("x")
        assert g is not None  # it is wanted
        gradients = {"pointwise_weight" if name == "weight" else name: one for name, one in found.items()}
        for name, one in pull_first(g.astype(between.dtype, copy=False)).items():
            gradients[_NAMES.get(name, name)] = one
        return gradients

    return result, pull


RULES: dict[str, Rule] = {"depthwise_separable_conv2d": depthwise_separable_conv2d}
