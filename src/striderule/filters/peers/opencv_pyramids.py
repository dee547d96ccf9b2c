"""OpenCV's pyramids: the kernel (1, 4, 6, 4, 1) / 16 along each axis, sums of integers shifted with a half added."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.windows.extend import extend
from striderule.errors import InvalidArgument
from striderule.filters.peers.scipy import request_fill
from striderule.filters.request import Request
from striderule.functional import door

Array = npt.NDArray[Any]

WEIGHTS = (1, 4, 6, 4, 1)


def _two(value: Any, argument: str, function: str) -> None:
    if value != 2:
        raise InvalidArgument(f"{argument} must be 2 for {function}, got {value!r}")


def _scaled(sums: Array, dtype: np.dtype[Any], bits: int) -> Array:
    """Return the sums divided by 2**bits, in `dtype`."""
    if dtype.kind == "f":
        return np.asarray(sums * 2.0**-bits).astype(dtype)
    return door.cast((sums + (1 << (bits - 1))) >> bits, dtype)


def pyramid_reduce(request: Request, *, downscale: Any) -> Array:
    """Follow ``pyrDown``: every second element, starting with the first."""
    _two(downscale, "downscale", "cv2.pyrDown")
    x = request.image.astype(np.int64 if request.image.dtype.kind in "iu" else np.float64)
    for axis, words in zip(request.axes, request.boundary, strict=True):
        lines = np.moveaxis(x, axis, -1)
        wide = extend(lines, ((2, 2),), (words,), request_fill(request))
        outputs = (lines.shape[-1] + 1) // 2
        total = sum(wide[..., tap : tap + 2 * outputs - 1 : 2] * weight for tap, weight in enumerate(WEIGHTS))
        x = np.moveaxis(np.asarray(total), -1, axis)
    return _scaled(x, request.image.dtype, 8)


def pyramid_expand(request: Request, *, upscale: Any) -> Array:
    """Follow ``pyrUp``: zeros between the elements, then the kernel, four times as strong.

    Whatever is asked for, the outside is mirrored before the first element and repeats the last one.
    """
    _two(upscale, "upscale", "cv2.pyrUp")
    if request.gives("boundary"):
        raise InvalidArgument("boundary must not be given together with like='opencv': cv2.pyrUp has one of its own")
    x = request.image.astype(np.int64 if request.image.dtype.kind in "iu" else np.float64)
    for axis in request.axes:
        lines = np.moveaxis(x, axis, -1)
        wide = extend(lines, ((1, 1),), (("mirror", "edge"),))
        result = np.empty((*lines.shape[:-1], 2 * lines.shape[-1]), x.dtype)
        result[..., ::2] = wide[..., :-2] + 6 * wide[..., 1:-1] + wide[..., 2:]
        result[..., 1::2] = 4 * (wide[..., 1:-1] + wide[..., 2:])
        x = np.moveaxis(result, -1, axis)
    return _scaled(x, request.image.dtype, 6)


def pyramid_gaussian(request: Request) -> Array:
    """Return the first layer of ``buildPyramid``: the image."""
    return request.image.copy()
