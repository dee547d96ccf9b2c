"""Gradients of the linear layer: of y = x w' + b they are g w, g' x and the sum of the rows of g."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.functional.convolution import conv1d
from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.gradients.convolution import weight_gradient
from striderule.functional.linear import linear as product
from striderule.geometry.problem import Convolution


def linear(call: Call) -> tuple[Array, Pull]:
    """Differentiate a linear layer."""
    result = call.run()
    x, weight = call.array("x"), call.array("weight")
    kind = np.result_type(x.dtype, weight.dtype, result.dtype)
    kind = np.dtype(np.float32) if kind == np.float16 else kind

    def pull(gy: Array) -> dict[str, Array | None]:
        found: dict[str, Array | None] = {}
        rows = gy.reshape(-1, gy.shape[-1]).astype(kind, copy=False)
        if "x" in call.wanted:
            words = {name: call.arguments[name] for name in ("precision", "algorithm")}
            found["x"] = _of_x(rows, weight.astype(kind, copy=False), words).reshape(*gy.shape[:-1], weight.shape[1])
        if "weight" in call.wanted:
            found["weight"] = _of_weight(x.reshape(-1, x.shape[-1]).astype(kind, copy=False), rows)
        if "bias" in call.wanted:
            found["bias"] = rows.sum(axis=0, dtype=np.float64)
        return found

    return result, pull


def _of_x(g: Array, weight: Array, words: dict[str, Any]) -> Array:
    """Return the product of the rows of g and the weight: its rows are channels, which stand as they are read."""
    if 0 in (*g.shape, *weight.shape):
        return product(g, weight.T, **words)
    if words["algorithm"] is None and table.generated("direct.convolution") is not None:
        words = {**words, "algorithm": "direct"}  # as for the linear layer, for any number of rows
    found: Array = conv1d(weight[None], g[:, :, None], **words)[0]
    return found


def _of_weight(x: Array, g: Array) -> Array:
    """Return the gradient with respect to the weight: that of a convolution of kernel 1 along the rows."""
    if not x.shape[0]:
        return np.zeros((g.shape[1], x.shape[1]), x.dtype)
    problem = _problem(x.shape[0], x.shape[1], g.shape[1], x.dtype.char)
    return weight_gradient(problem, x.T[None], g.T[None])[:, :, 0]


@lru_cache(maxsize=512)
def _problem(rows: int, features: int, outputs: int, char: str) -> Convolution:
    return Convolution.from_shapes((1, features, rows), (outputs, features, 1), dtype=np.dtype(char).name)


RULES: dict[str, Rule] = {"linear": linear}
