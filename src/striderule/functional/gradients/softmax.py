"""Gradients of softmax and its relatives, from their results."""

from __future__ import annotations

import numpy as np

from striderule.algorithms import table
from striderule.functional import door
from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule


def softmax(call: Call) -> tuple[Array, Pull]:
    """Differentiate softmax, softmin or log_softmax."""
    name, result = call.op.__name__, call.run()
    work = door.arithmetic_of(result.dtype)

    def pull(gy: Array) -> dict[str, Array | None]:
        y, g = (np.atleast_1d(one.astype(work, copy=False)) for one in (result, gy))
        axis = call.arguments["dim"] % y.ndim
        compute = table.family("softmax_gradient")
        found = compute.softmax(y, g, axis, name == "log_softmax", name == "softmin")
        return {"x": found.reshape(result.shape)}

    return result, pull


RULES: dict[str, Rule] = dict.fromkeys(("softmax", "softmin", "log_softmax"), softmax)
