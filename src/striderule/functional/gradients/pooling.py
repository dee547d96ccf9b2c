"""Gradients of pooling: each output hands its gradient back to the positions that it looked at.

- The largest: all of it to the position that won, as `return_indices` names it. What goes to one position adds up.
- Average: gx[i] = sum over the outputs j whose window holds i of gy[j] / count[j].
- Norm: y = (c * sum of x^p)^(1/p), so dy/dx[i] = c * y^(1 - p) * x[i]^(p - 1), with c = taps / elements inside; where y
  is 0 it has no gradient, and 0 stands for it. Infinite norms are the largest and smallest of |x|.
- Unpooling: the gradient of what was put somewhere is found there.

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), sections 9.3 and 6.5. Conventions are PyTorch's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.windows.pooling_gradient import channels_stand_last
from striderule.functional import door
from striderule.functional.door import Array
from striderule.functional.gradients.again import again
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.geometry.pooling import Pooling


def largest(call: Call) -> tuple[Any, Pull]:
    """Differentiate a max pooling with windows of any kind. The places of the largest are kept, not x."""
    pair, out = call.arguments["return_indices"], call.arguments["out"]
    (values, places), notes = call.traced(return_indices=True, out=out if pair or out is None else (out, None))
    problem, axes = notes[0]
    x, compute, work = call.array("x"), table.family("pooling_gradient"), door.arithmetic_of(values.dtype)
    shape, last = x.shape, channels_stand_last(axes.canonical(x))

    def bind(gy: Array) -> Pull | None:
        bound = compute.bind_largest(problem, places, shape, work, last) if _is_plain(gy, work, places.shape) else None
        return bound and (lambda gradient: {"x": bound(gradient)})

    def whole(gy: Array) -> dict[str, Array | None]:
        image = axes.canonical(gy).astype(work, copy=False)
        return {"x": axes.restore(compute.largest(problem, image, axes.canonical(places), work, last))}

    pull = again(getattr(compute, "bind_largest", None) and bind, whole)
    return ((values, places) if pair else values), pull


def average(call: Call) -> tuple[Any, Pull]:
    """Differentiate an average, which needs no values at all."""
    result, notes = call.traced()
    problem, axes = notes[0]
    x, compute, work = call.array("x"), table.family("pooling_gradient"), door.arithmetic_of(result.dtype)
    shape, last = x.shape, channels_stand_last(axes.canonical(x))

    def bind(gy: Array) -> Pull | None:
        bound = compute.bind_average(problem, shape, work, last) if _is_plain(gy, work, result.shape) else None
        return bound and (lambda gradient: {"x": bound(gradient)})

    def whole(gy: Array) -> dict[str, Array | None]:
        image = axes.canonical(gy).astype(work, copy=False)
        return {"x": axes.restore(compute.average(problem, image, work, last))}

    return result, again(getattr(compute, "bind_average", None) and bind, whole)


def _is_plain(gy: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    """Tell whether a gradient stands as those do that gradients are bound to."""
    return bool(gy.dtype == dtype and gy.shape == shape and gy.flags.c_contiguous)


def norm(call: Call) -> tuple[Any, Pull]:
    """Differentiate a norm, from x and the result."""
    result, notes = call.traced()
    problem, axes = notes[0]
    x, y = call.array("x"), result
    last = channels_stand_last(axes.canonical(x))

    def pull(gy: Array) -> dict[str, Array | None]:
        compute = table.family("pooling_gradient")
        work = door.arithmetic_of(result.dtype) if problem.norm in (1.0, 2.0) else np.dtype(np.float64)
        image, image_y, image_gy = (axes.canonical(one).astype(work, copy=False) for one in (x, y, gy))
        with np.errstate(all="ignore"):
            if np.isinf(problem.norm):
                spread = compute.largest(problem, image_gy, _furthest(problem, image), work, last)
                factor = np.sign(image)
            else:
                each = np.where(image_y == 0, 0, image_gy * image_y ** (1 - problem.norm))
                spread = compute.average(problem, each, work, last)
                factor = image if problem.norm == 2 else image ** (problem.norm - 1)
            spread *= factor
        return {"x": axes.restore(spread)}

    return result, pull


def _furthest(problem: Pooling, image: Array) -> Array:
    """Return the places of the largest sizes, or of the smallest where the norm is minus infinity."""
    sizes = np.copysign(1.0, problem.norm or 0.0).astype(image.dtype) * np.abs(image)
    places: Array = table.family("pooling").max_pool(replace(problem, kind="max"), sizes, True)[1]
    return places


def unpooled(call: Call) -> tuple[Any, Pull]:
    """Differentiate max_unpool. Where several values went to one place, each has the gradient that is there."""
    result, notes = call.traced()
    problem, axes = notes[0]
    given = call.array("indices")
    places, shape = axes.canonical(given), given.shape
    compute, planes = table.family("pooling_gradient"), problem.batch * problem.channels

    def bind(gy: Array) -> Pull | None:
        if not (planes and _is_plain(gy, result.dtype, result.shape)):
            return None
        bound = compute.bind_found(gy.reshape(planes, -1), places.reshape(planes, -1), shape)
        return bound and (lambda gradient: {"x": bound(gradient)})

    def whole(gy: Array) -> dict[str, Array | None]:
        found = compute.found(*(one.reshape(planes, -1) for one in (axes.canonical(gy), places)))
        return {"x": axes.restore(found.reshape(places.shape))}

    return result, again(getattr(compute, "bind_found", None) and bind, whole)


_BY_KIND: dict[str, Rule] = {
    "max_pool": largest, "adaptive_max_pool": largest, "fractional_max_pool": largest,
    "avg_pool": average, "adaptive_avg_pool": average, "lp_pool": norm, "max_unpool": unpooled,
}  # fmt: skip
RULES: dict[str, Rule] = {f"{name}{rank}d": rule for name, rule in _BY_KIND.items() for rank in (1, 2, 3)}
