"""Gradients of activations: gx = gy * f'(x), element by element."""

from __future__ import annotations

import numpy as np

from striderule.algorithms import table
from striderule.functional import door
from striderule.functional.activation import ELEMENTWISE
from striderule.functional.door import Array
from striderule.functional.elementwise import arithmetic
from striderule.functional.gradients.call import Call, Pull, Rule

# What is no parameter of the mathematics.
_WORDS = ("x", "inplace", "algorithm", "out")


def elementwise(call: Call) -> tuple[Array, Pull]:
    """Differentiate an activation that takes numbers for parameters."""
    name = call.op.__name__
    result = call.run()
    parameters = tuple(value for word, value in call.arguments.items() if word not in _WORDS)
    x = _kept(call.array("x"), call.arguments["out"])

    def pull(gy: Array) -> dict[str, Array | None]:
        compute = table.family("elementwise_gradient")
        return {"x": compute.apply(name, x, gy, arithmetic(result.dtype), parameters)}

    return result, pull


def prelu(call: Call) -> tuple[Array, Pull]:
    """Differentiate prelu, in x and in its slopes."""
    result = call.run()
    x, weight = _kept(call.array("x"), call.arguments["out"]), call.array("weight")
    beside = (-1,) + (1,) * (x.ndim - 2) if weight.size > 1 else ()

    def pull(gy: Array) -> dict[str, Array | None]:
        compute, work = table.family("elementwise_gradient"), door.arithmetic_of(result.dtype)
        by_x, by_slope = compute.prelu(x, weight.reshape(beside), gy, work)
        along = tuple(axis for axis in range(x.ndim) if axis != 1 or weight.size == 1)
        sums = by_slope.sum(axis=along, dtype=np.float64)
        return {"x": by_x, "weight": np.asarray(sums).reshape(weight.shape)}

    return result, pull


def _kept(x: Array, out: Array | None) -> Array:
    """Return x, or a copy where the result was written over it."""
    return x.copy() if out is not None and np.may_share_memory(x, out) else x


RULES: dict[str, Rule] = {**dict.fromkeys(ELEMENTWISE, elementwise), "prelu": prelu}
