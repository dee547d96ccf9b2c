"""Filters of large images in blocks, and of images that are written over; see `striderule.functional.bands`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from striderule.errors import InvalidArgument
from striderule.functional import bands
from striderule.functional.halos import halo
from striderule.functional.large import wraps
from striderule.geometry.bands import Reach
from striderule.geometry.imaging import filtered_axes
from striderule.geometry.padding import parse_boundary

Array = npt.NDArray[Any]

# Filters whose blocks are no parts of the image with a border that is read, and the modules beside this one that have
# their own `in_bands`.
APART = {"canny": "canny_bands", "match_template": "templates_bands"}

# What other libraries do in one order of sums everywhere, without a look at the whole image. Their masks are left out:
# they take the border of a block for one of the image.
_SKIMAGE = ("gaussian", "sobel", "scharr", "prewitt", "roberts", "laplace", "dog")
LOCAL = {
    "scipy": ("gaussian", "sobel", "prewitt", "laplace", "log", "gradient_magnitude"),
    "skimage": _SKIMAGE,
    "scikit-image": _SKIMAGE,
}


def in_blocks(function: Callable[..., Any], image: Array, arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Return ``function(image, *arguments, **keywords)``, in blocks where its results read a few neighbours each.

    Other libraries' filters (``like=``) are followed to the last bit, which may depend on the whole image or on where a
    running sum began: such are computed whole, as is what has no halo.
    """

    def filtered(part: Array, **rest: Any) -> Any:
        return function(part, *arguments, **rest)

    if function.__name__ in APART:
        module = importlib.import_module(f"striderule.filters.{APART[function.__name__]}")
        return module.in_bands(function, image, arguments, keywords)
    reaches = _reaches(filtered, image, keywords) if _is_local(function, keywords) else None
    if reaches is None:
        copied = keywords.get("out") is not None and bands.in_place(image, keywords["out"])
        return filtered(image.copy() if copied else image, **keywords)
    return bands.run(filtered, image, keywords, reaches)


def _is_local(function: Callable[..., Any], keywords: dict[str, Any]) -> bool:
    """Tell whether every element of the result is made of its neighbours in the image, in one order everywhere."""
    like = keywords.get("like")
    if like is None:
        return True
    return (
        isinstance(like, str) and function.__name__ in LOCAL.get(like.partition(".")[0], ()) and "mask" not in keywords
    )


def _reaches(filtered: Callable[..., Any], image: Array, keywords: dict[str, Any]) -> list[Reach] | None:
    """Return what the filter reads along every axis, or None if it has no halo or its arguments do not fit."""
    try:
        axes = filtered_axes(image.ndim, keywords.get("axes"), keywords.get("channel_axis"))
        turns = wraps(parse_boundary(keywords.get("boundary", "symmetric"), len(axes)))
        depths = halo(filtered, image, **keywords)
    except InvalidArgument:
        return None
    reaches = [Reach(n, n, *depths[axis]) for axis, n in enumerate(image.shape)]
    for axis, turn in zip(axes, turns, strict=True):
        reaches[axis] = Reach(image.shape[axis], image.shape[axis], *depths[axis], wraps=turn)
    return reaches
