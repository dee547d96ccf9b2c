"""Gradient of `interpolate`: its transpose."""

from __future__ import annotations

from striderule.algorithms import table
from striderule.functional import door
from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule


def interpolate(call: Call) -> tuple[Array, Pull]:
    """Differentiate a resampling."""
    result, (problem,) = call.traced()

    def pull(gy: Array) -> dict[str, Array | None]:
        g = gy.astype(door.arithmetic_of(gy.dtype), copy=False)
        return {"x": table.family("interpolation").gradient(problem, g)}

    return result, pull


RULES: dict[str, Rule] = {"interpolate": interpolate}
