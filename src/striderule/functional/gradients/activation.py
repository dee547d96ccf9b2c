"""Gradients of activations: gx = gy * f'(x), element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.functional import door
from striderule.functional.activation import ELEMENTWISE
from striderule.functional.door import Array
from striderule.functional.elementwise import arithmetic
from striderule.functional.gradients.again import again
from striderule.functional.gradients.call import Call, Pull, Rule

# What is no parameter of the mathematics.
_WORDS = ("x", "inplace", "algorithm", "out")


def elementwise(call: Call) -> tuple[Array, Pull]:
    """Differentiate an activation that takes numbers for parameters.

    Where the result tells enough it is kept, and x may go.
    """
    name, given, out = call.op.__name__, call.array("x"), call.arguments["out"]
    parameters = tuple(value for word, value in call.arguments.items() if word not in _WORDS)
    enough = _of_result(name, parameters, given.dtype)
    # What may be written over is copied before.
    x = None if enough else _kept(given, out)
    result = call.run()
    kept = result if x is None else x
    name, parameters = enough or (name, parameters)
    work, compute = arithmetic(result.dtype), table.family("elementwise_gradient")
    if "x" not in call.wanted:
        return result, lambda _: {}

    def bind(gy: Array) -> Pull | None:
        bound = compute.bind(name, kept, gy, work, parameters)
        return bound and (lambda gradient: {"x": bound(gradient)})

    return result, again(
        getattr(compute, "bind", None) and bind, lambda gy: {"x": compute.apply(name, kept, gy, work, parameters)}
    )


def of_input(name: str, x: Array, gy: Array, parameters: tuple[Any, ...] = ()) -> Array:
    """Return gy * f'(x) for an activation that takes numbers for parameters."""
    found: Array = table.family("elementwise_gradient").apply(name, x, gy, arithmetic(x.dtype), parameters)
    return found


def _of_result(name: str, parameters: tuple[Any, ...], dtype: np.dtype[Any]) -> tuple[str, tuple[Any, ...]] | None:
    """Return name and parameters of the gradient that is found from the result in the place of x, or None.

    What is cut off at a limit stands on it, and what is shrunk to zero there.
    """
    if name in ("relu", "relu6", "hardtanh") or (name == "leaky_relu" and parameters[0] >= 0):
        return name, parameters
    if name in ("hardshrink", "softshrink") and parameters[0] >= 0:
        return name, (0.0,)
    if name in ("sigmoid", "tanh") and dtype.char in "fd":
        return f"{name}_of_result", ()
    return None


def prelu(call: Call) -> tuple[Array, Pull]:
    """Differentiate prelu, in x and in its slopes."""
    x, weight = _kept(call.array("x"), call.arguments["out"]), call.array("weight")
    result = call.run()
    beside = (-1,) + (1,) * (x.ndim - 2) if weight.size > 1 else ()
    compute, work = table.family("elementwise_gradient"), door.arithmetic_of(result.dtype)

    def bind(gy: Array) -> Pull | None:
        stands = gy.dtype == x.dtype == work and gy.shape == x.shape and gy.flags.c_contiguous
        bound = compute.bind_slopes(x, weight.astype(work, copy=False).reshape(-1)) if stands else None
        if bound is None:
            return None

        def pull(gradient: Array) -> dict[str, Array | None]:
            by_x, sums = bound(gradient)
            return {"x": by_x, "weight": sums if weight.ndim == 1 else sums.reshape(weight.shape)}

        return pull

    def whole(gy: Array) -> dict[str, Array | None]:
        by_x, by_slope = compute.prelu(x, weight.reshape(beside), gy, work)
        if weight.size > 1:
            sums = table.family("channel_sums").channel_sums(by_slope)
        else:
            sums = by_slope.sum(dtype=np.float64)
        return {"x": by_x, "weight": np.asarray(sums).reshape(weight.shape)}

    return result, again(getattr(compute, "bind_slopes", None) and bind, whole)


def _kept(x: Array, out: Array | None) -> Array:
    """Return x, or a copy where the result was written over it."""
    return x.copy() if out is not None and np.may_share_memory(x, out) else x


RULES: dict[str, Rule] = {**dict.fromkeys(ELEMENTWISE, elementwise), "prelu": prelu}
