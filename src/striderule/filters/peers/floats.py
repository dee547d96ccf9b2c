"""The floats that scikit-image makes of images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.filters.request import Request

Array = npt.NDArray[Any]


def as_float(image: Array) -> Array:
    """Return the image as ``skimage.util.img_as_float`` and the filters behind it make it.

    Integers become float64 and are divided by their type's largest value (the smallest one is cut to -1), booleans
    become 0 and 1, float16 becomes float32, float32 and float64 stay as they are.
    """
    if image.dtype.kind == "f":
        return image.astype(np.float32) if image.dtype == np.float16 else image
    if image.dtype.kind == "b":
        return image.astype(np.float64)
    scaled = np.multiply(image, 1.0 / np.iinfo(image.dtype).max, dtype=np.float64)
    return np.maximum(scaled, -1.0) if image.dtype.kind == "i" else scaled


def on_floats(request: Request) -> Request:
    """Return the request with its image as floats; a type that was asked for is made of the result, not before."""
    return replace(request, image=as_float(request.image), dtype=None)
