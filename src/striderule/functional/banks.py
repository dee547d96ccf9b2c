"""Many kernels on one image, each of which gives what `striderule.correlate` gives with it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from striderule.algorithms import memory
from striderule.functional import bands
from striderule.functional.door import check_out
from striderule.functional.images import checked
from striderule.functional.planned import noted
from striderule.functional.sliding import SlideWords
from striderule.functional.together import each

Array = npt.NDArray[Any]

# The keywords of `correlate` but `out`, and what they are where they are not given.
WORDS = {
    "mode": "same",
    "overflow": "saturate",
    "nan": "propagate",
    "precision": None,
    "algorithm": None,
    "dtype": None,
}
OTHERS = {
    "boundary": "symmetric", "fill": 0, "stride": 1, "dilation": 1, "origin": 0, "axes": None, "channel_axis": None,
    "mask": None,
}  # fmt: skip


def bank(image: Array, kernels: Sequence[Array], out: Array | None, keywords: Mapping[str, Any]) -> Array | None:
    """Return what all kernels give, on a new first axis, or None where that is done one by one."""
    if image.dtype.kind == "c" or noted.get() is not None or bands.wanted(image, None):
        return None
    if not keywords.keys() <= WORDS.keys() | OTHERS.keys():
        return None
    words = SlideWords.of(**(WORDS | {name: value for name, value in keywords.items() if name in WORDS}))
    others: dict[str, Any] = OTHERS | {name: value for name, value in keywords.items() if name in OTHERS}
    calls = [checked(image, kernel, flipped=False, words=words, **others) for kernel in kernels]
    shapes = {call.slide.output_shape(image.shape) for call in calls}
    finals = {call.types.final for call in calls}
    if len(shapes) > 1 or len(finals) > 1 or not all(call.plain for call in calls):
        return None
    shape, final = (len(calls), *shapes.pop()), finals.pop()
    check_out(out, shape, final, (image, *kernels))
    made = memory.empty(shape, final) if out is None else out
    each(image, [one for call, goal in zip(calls, made, strict=True) for one in call.wanted(goal)])
    return made
