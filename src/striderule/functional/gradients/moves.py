"""Gradients of functions that move elements: their transposes, which are often their sisters."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule.algorithms.windows.extend import fold_back
from striderule.functional import shuffle, unfold
from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.padding import pad as padded
from striderule.geometry.extension import Extension
from striderule.geometry.padding import Sides
from striderule.geometry.problem import Unfold


def pad(call: Call) -> tuple[Array, Pull]:
    """Differentiate `pad`: what a border shows is added where it was copied from."""
    result, (problem,) = call.traced()

    def pull(gy: Array) -> dict[str, Array | None]:
        return {"x": _of_padded(problem, gy)}

    return result, pull


def _of_padded(problem: Extension, gy: Array) -> Array:
    if problem.boundary == "constant":
        return _turned(gy, problem.padding)
    words = ((problem.boundary,) * 2,) * len(problem.shape)
    inner = tuple(n - sum(crop) for n, crop in zip(problem.shape, problem.crop, strict=True))
    wide = gy.astype(np.float32) if gy.dtype == np.float16 else gy
    found = fold_back(wide, inner, problem.padding, words)
    if any(map(any, problem.crop)):
        found = _turned(found, tuple((-before, -after) for before, after in problem.crop))
    return found


def _turned(g: Array, sides: Sides) -> Array:
    """Return the transpose of padding with zeros, and of cropping: each is the other."""
    return padded(g, [-width for pair in reversed(sides) for width in pair])


def unfolded(call: Call) -> tuple[Array, Pull]:
    """Differentiate `unfold`, whose transpose is `fold`."""
    result, (problem,) = call.traced()
    spatial = len(problem.size)

    def pull(gy: Array) -> dict[str, Array | None]:
        sides: Sides = problem.padding
        bordered = _bordered(problem)
        padded_size = tuple(n + sum(pair) for n, pair in zip(problem.size, sides, strict=True))
        size, padding = (padded_size, ((0, 0),) * spatial) if bordered else (problem.size, sides)
        words: dict[str, Any] = {"dilation": problem.dilation, "padding": padding, "stride": problem.stride}
        found = unfold.fold(gy, size, problem.kernel, **words)
        if bordered:
            found = fold_back(found, problem.size, sides, problem.boundary)
        return {"x": found}

    return result, pull


def _bordered(problem: Unfold) -> bool:
    """Tell whether something else than the fill value is shown outside."""
    sides = zip(problem.padding, problem.boundary, strict=True)
    return any(pad > 0 and word != "constant" for pads, words in sides for pad, word in zip(pads, words, strict=True))


def folded(call: Call) -> tuple[Array, Pull]:
    """Differentiate `fold`, whose transpose is `unfold`."""
    result, (problem,) = call.traced()

    def pull(gy: Array) -> dict[str, Array | None]:
        words: dict[str, Any] = {
            "dilation": problem.dilation, "padding": problem.padding, "stride": problem.stride,
        }  # fmt: skip
        return {"x": unfold.unfold(gy, problem.kernel, **words)}

    return result, pull


def shuffled(call: Call) -> tuple[Array, Pull]:
    """Differentiate `pixel_shuffle`, whose inverse is its transpose."""
    return call.run(), lambda gy: {"x": shuffle.pixel_unshuffle(gy, call.arguments["upscale_factor"])}


def unshuffled(call: Call) -> tuple[Array, Pull]:
    """Differentiate `pixel_unshuffle`."""
    return call.run(), lambda gy: {"x": shuffle.pixel_shuffle(gy, call.arguments["downscale_factor"])}


RULES: dict[str, Rule] = {
    "fold": folded,
    "pad": pad,
    "pixel_shuffle": shuffled,
    "pixel_unshuffle": unshuffled,
    "unfold": unfolded,
}
