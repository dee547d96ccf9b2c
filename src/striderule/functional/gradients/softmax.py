"""Gradients of softmax and its relatives, from their results."""

from __future__ import annotations

import numpy as np

from striderule.algorithms import table
from striderule.functional import door
from striderule.functional.door import Array
from striderule.functional.gradients.again import again
from striderule.functional.gradients.call import Call, Pull, Rule


def softmax(call: Call) -> tuple[Array, Pull]:
    """Differentiate softmax, softmin or log_softmax."""
    name, result = call.op.__name__, call.run()
    work = door.arithmetic_of(result.dtype)
    y = np.atleast_1d(result.astype(work, copy=False))
    axis, logarithm, negative = call.arguments["dim"] % y.ndim, name == "log_softmax", name == "softmin"
    compute = table.family("softmax_gradient")

    def bind(gy: Array) -> Pull | None:
        bound = compute.bind(y, gy, axis, logarithm, negative)
        return bound and (lambda gradient: {"x": bound(gradient)})

    def whole(gy: Array) -> dict[str, Array | None]:
        g = gy.astype(work, copy=False).reshape(y.shape)
        return {"x": compute.softmax(y, g, axis, logarithm, negative).reshape(result.shape)}

    return result, again(getattr(compute, "bind", None) and bind, whole)


RULES: dict[str, Rule] = dict.fromkeys(("softmax", "softmin", "log_softmax"), softmax)
