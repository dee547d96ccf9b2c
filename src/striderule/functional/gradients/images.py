"""Gradients of `correlate` and `convolve`, in the image and in the kernel: see `slides` for the derivation."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.gradients.slides import Gapped, Kernel, by_taps, transposed
from striderule.functional.images import Checked, checked
from striderule.functional.normalized import Weights
from striderule.functional.sliding import SlideWords

_GEOMETRY = ("boundary", "fill", "stride", "dilation", "origin", "axes", "channel_axis", "mask")


def sliding(call: Call) -> tuple[Any, Pull]:
    """Differentiate `correlate` or `convolve`; a gradient belongs to the result, not to the confidence."""
    words = call.arguments
    image = call.array("image")
    if words["out"] is not None and np.may_share_memory(image, words["out"]):
        image = image.copy()
    result = call.run(image=image)
    flipped = call.op.__name__ == "convolve"

    return result, lambda gy: pulled(image, words, gy, call.wanted, flipped=flipped)


def pulled(
    image: Array, arguments: dict[str, Any], gy: Array, wanted: frozenset[str], *, flipped: bool = False
) -> dict[str, Array | None]:
    """Return the gradients of a correlation with respect to the image and the kernel, of those wanted."""
    words = SlideWords.of(*(arguments[name] for name in ("mode", "overflow", "nan", "precision", "algorithm", "dtype")))
    geometry = {name: arguments[name] for name in _GEOMETRY}
    call = checked(image, arguments["kernel"], flipped=flipped, words=words, **geometry)
    slide, work, found = call.slide, call.types.work, dict[str, Array | None]()
    g = gy.astype(work, copy=False)
    gapped = None if call.plain else _gapped(call)
    if "image" in wanted:
        found["image"] = transposed(slide, call.taps, g, work) if gapped is None else gapped.image(g)
    if "kernel" in wanted:
        gather = partial(_gathered, call)
        taps = (
            gather(call.pixels, call.outside, g) if gapped is None else gapped.taps(g, call.pixels, call.taps, gather)
        )
        found["kernel"] = np.flip(taps) if flipped else taps
    return found


def _gathered(call: Checked, x: Array, fill: Any, g: Array) -> Array:
    return by_taps(call.slide, x, fill, g, call.types.work)


def _gapped(call: Checked) -> Gapped:
    missing, taps = call.holes.missing, call.taps
    there = np.ones(call.pixels.shape, bool) if missing is None else ~missing
    magnitudes = None if bool((taps >= 0).all()) else _kernel(call, np.abs(taps))
    return Gapped(_kernel(call, taps), magnitudes, Weights.of([taps]), there, call.outside, call.types.work)


def _kernel(call: Checked, taps: Array) -> Kernel:
    slide, work = call.slide, call.types.work
    return Kernel(lambda x, fill: slide(x, taps, fill, work), lambda g: transposed(slide, taps, g, work))


RULES: dict[str, Rule] = {"convolve": sliding, "correlate": sliding}
