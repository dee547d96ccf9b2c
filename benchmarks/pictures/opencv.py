"""OpenCV's ways, with its own threads, into arrays that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.pictures.jobs import Array, Job, waves
from benchmarks.pictures.ours import template

Call = Callable[[], Array]


def ways(cv2: Any, job: Job, image: Array) -> dict[str, Call]:
    """Return OpenCV's ways to do the job by their names; none where it cannot."""
    if len(job.shape) != 2 or job.boundary != "mirror" or job.work not in _WAYS:
        return {}
    out = np.zeros(job.shape, job.result)
    found = _WAYS[job.work](cv2, job, image, out)
    return {f"OpenCV {name}".rstrip(): call for name, call in found.items()}


def _depth(cv2: Any, dtype: str) -> int:
    return int({"uint8": cv2.CV_8U, "uint16": cv2.CV_16U, "float32": cv2.CV_32F, "float64": cv2.CV_64F}[dtype])


def _correlate(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    kernel, depth, border = job.kernel, _depth(cv2, job.result), cv2.BORDER_REFLECT_101
    found: dict[str, Call] = {"filter2D": lambda: cv2.filter2D(image, depth, kernel, dst=out, borderType=border)}
    u, s, v = np.linalg.svd(kernel)
    if s.size == 1 or s[1] < 1e-6 * s[0]:
        rows, columns = u[:, 0] * s[0], v[0]
        found["sepFilter2D"] = lambda: cv2.sepFilter2D(image, depth, columns, rows, dst=out, borderType=border)
    return found


def _bank(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    kernels, depth = waves(job), _depth(cv2, job.result)
    stack = np.zeros((len(kernels), *out.shape), out.dtype)
    results = list(stack)

    def every() -> Array:
        for kernel, result in zip(kernels, results, strict=True):
            cv2.filter2D(image, depth, kernel, dst=result, borderType=cv2.BORDER_REFLECT_101)
        return stack

    return {"filter2D": every}


def _gaussian(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    return {"": _blur(cv2, job.number, image, out)}


def _blur(cv2: Any, sigma: float, image: Array, out: Array) -> Call:
    size = 2 * int(4 * sigma + 0.5) + 1
    border = cv2.BORDER_REFLECT_101
    return lambda: cv2.GaussianBlur(image, (size, size), sigma, dst=out, sigmaY=sigma, borderType=border)


def _box(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    size = (int(job.argument),) * 2
    return {"": lambda: cv2.blur(image, size, dst=out, borderType=cv2.BORDER_REFLECT_101)}


def _derivative(cv2: Any, word: str, image: Array, axis: int, out: Array) -> Call:
    function, border = getattr(cv2, word), cv2.BORDER_REFLECT_101
    dx, dy = (1, 0) if axis == 1 else (0, 1)
    return lambda: function(image, cv2.CV_32F, dx, dy, dst=out, borderType=border)


def _sobel(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    return {"": _derivative(cv2, "Sobel", image, int(job.argument), out)}


def _scharr(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    return {"": _derivative(cv2, "Scharr", image, int(job.argument), out)}


def _sobel_length(cv2: Any, _: Job, image: Array, out: Array) -> dict[str, Call]:
    parts = [np.zeros(image.shape, np.float32) for _ in range(2)]
    calls = [_derivative(cv2, "Sobel", image, axis, part) for axis, part in enumerate(parts)]

    def both() -> Array:
        for call in calls:
            call()
        return np.asarray(cv2.magnitude(*parts, out))

    return {"": both}


def _gradient(cv2: Any, _: Job, image: Array, out: Array) -> dict[str, Call]:
    down, right, angle = (np.zeros(image.shape, np.float32) for _ in range(3))
    calls = [_derivative(cv2, "Sobel", image, axis, part) for axis, part in enumerate((down, right))]

    def both() -> Array:  # its angles are good to some hundredths of a degree
        for call in calls:
            call()
        cv2.cartToPolar(right, down, out, angle)
        return out

    return {"": both}


def _passes(cv2: Any, image: Array, sigma: float, orders: tuple[int, int], out: Array) -> Call:
    columns = sr.kernels.gaussian(sigma, order=orders[0], ndim=1)
    rows = sr.kernels.gaussian(sigma, order=orders[1], ndim=1)
    border = cv2.BORDER_REFLECT_101
    return lambda: cv2.sepFilter2D(image, cv2.CV_32F, rows, columns, dst=out, borderType=border)


def _gradient_magnitude(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    parts = [np.zeros(image.shape, np.float32) for _ in range(2)]
    calls = [_passes(cv2, image, job.number, order, part) for order, part in zip(((1, 0), (0, 1)), parts, strict=True)]

    def both() -> Array:
        for call in calls:
            call()
        return np.asarray(cv2.magnitude(*parts, out))

    return {"": both}


def _log(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    parts = [np.zeros(image.shape, np.float32) for _ in range(2)]
    calls = [_passes(cv2, image, job.number, order, part) for order, part in zip(((2, 0), (0, 2)), parts, strict=True)]

    def both() -> Array:
        for call in calls:
            call()
        return np.asarray(cv2.add(*parts, dst=out))

    return {"": both}


def _dog(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    parts = [np.zeros(image.shape, np.float32) for _ in range(2)]
    wide = np.zeros(image.shape, np.float32)
    calls = [_blur(cv2, factor * job.number, wide, part) for factor, part in zip((1.0, 1.6), parts, strict=True)]

    def both() -> Array:
        np.copyto(wide, image)
        for call in calls:
            call()
        return np.asarray(cv2.subtract(*parts, dst=out))

    return {"": both}


def _unsharp(cv2: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    soft = np.zeros(image.shape, image.dtype)
    blur = _blur(cv2, job.number, image, soft)

    def both() -> Array:
        blur()
        return np.asarray(cv2.addWeighted(image, 2.0, soft, -1.0, 0, dst=out))

    return {"": both}


def _match(cv2: Any, job: Job, image: Array, _: Array) -> dict[str, Call]:
    piece = template(job, image)
    sizes = tuple(n - k + 1 for n, k in zip(image.shape, piece.shape, strict=True))
    out = np.zeros(sizes, np.float32)
    return {"": lambda: cv2.matchTemplate(image, piece, cv2.TM_CCOEFF_NORMED, result=out)}


_WAYS: dict[str, Callable[[Any, Job, Array, Array], dict[str, Call]]] = {
    "correlate": _correlate,
    "bank": _bank,
    "gaussian": _gaussian,
    "box": _box,
    "sobel": _sobel,
    "scharr": _scharr,
    "sobel_length": _sobel_length,
    "gradient": _gradient,
    "gradient_magnitude": _gradient_magnitude,
    "log": _log,
    "dog": _dog,
    "unsharp_mask": _unsharp,
    "match_template": _match,
}
