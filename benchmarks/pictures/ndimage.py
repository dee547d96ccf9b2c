"""SciPy's and scikit-image's ways, into arrays that are there where they take them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.pictures.jobs import Array, Job
from benchmarks.pictures.ours import template

Call = Callable[[], Array]
# From so many taps on SciPy's overlap-add takes part, and up to so many its sums.
FOURIER, SUMS = 49, 1100


def ways(ndimage: Any, job: Job, image: Array) -> dict[str, Call]:
    """Return SciPy's ways to do the job by their names; none where it cannot."""
    if job.work not in _WAYS:
        return {}
    if job.boundary == "sides":
        return _by_side(ndimage, job, image)
    out = np.zeros(job.shape, job.result)
    return {f"SciPy {name}".rstrip(): call for name, call in _WAYS[job.work](ndimage, job, image, out).items()}


def _by_side(ndimage: Any, job: Job, image: Array) -> dict[str, Call]:
    """Sides that differ are padded before; what is filtered of the padding is cut off."""
    modes = {"edge": "edge", "mirror": "reflect", "wrap": "wrap", "constant": "constant"}
    reach = int(4 * job.number + 0.5) if job.work == "gaussian" else job.kernel.shape[0] // 2

    def call() -> Array:
        wide = image
        for axis, words in enumerate(job.side):
            pairs = [((reach, 0), words[0]), ((0, reach), words[1])]
            parts = [np.pad(image_axis(wide, axis), _on(axis, image.ndim, pair), mode=modes[word])
                     for (pair, word), image_axis in zip(pairs, (_same, _same), strict=True)]  # fmt: skip
            head = np.take(parts[0], range(reach), axis=axis)
            tail = np.take(parts[1], range(parts[1].shape[axis] - reach, parts[1].shape[axis]), axis=axis)
            wide = np.concatenate([head, wide, tail], axis=axis)
        if job.work == "gaussian":
            whole = ndimage.gaussian_filter(wide, job.number, mode="constant")
        else:
            whole = ndimage.correlate(wide, job.kernel, mode="constant")
        return np.asarray(whole[reach:-reach, reach:-reach])

    return {"SciPy, padded": call}


def _same(image: Array, _: int) -> Array:
    return image


def _on(axis: int, rank: int, pair: tuple[int, int]) -> list[tuple[int, int]]:
    return [pair if i == axis else (0, 0) for i in range(rank)]


def _correlate(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    kernel, found = job.kernel, {}
    if kernel.size <= SUMS:
        found["sums"] = lambda: _done(ndimage.correlate(image, kernel, output=out, mode=job.boundary), out)
    if kernel.size >= FOURIER and job.boundary in ("mirror", "wrap"):
        signal = importlib.import_module("scipy.signal")
        sides = [(k // 2, k - 1 - k // 2) for k in kernel.shape]
        mode = "reflect" if job.boundary == "mirror" else "wrap"
        wide = np.result_type(image.dtype, np.float32) if image.dtype.itemsize < 8 else image.dtype

        def transformed() -> Array:
            padded = np.pad(image, sides, mode=mode).astype(wide, copy=False)
            result = signal.oaconvolve(padded, np.flip(kernel), mode="valid")
            return _into(result, out)

        found["oaconvolve"] = transformed
    return found


def _into(result: Array, out: Array) -> Array:
    np.copyto(out, np.clip(np.rint(result), 0, np.iinfo(out.dtype).max) if out.dtype.kind == "u" else result,
              casting="unsafe")  # fmt: skip
    return out


def _done(_: Any, out: Array) -> Array:
    return out


def _gaussian(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    return {"": lambda: _done(ndimage.gaussian_filter(image, job.number, output=out, mode=job.boundary), out)}


def _box(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    return {"": lambda: _done(ndimage.uniform_filter(image, int(job.argument), output=out, mode=job.boundary), out)}


def _sobel(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    return {"": lambda: _done(ndimage.sobel(image, int(job.argument), output=out, mode=job.boundary), out)}


def _sobel_length(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    parts = [np.zeros(job.shape, job.result) for _ in range(2)]

    def both() -> Array:
        for axis, part in enumerate(parts):
            ndimage.sobel(image, axis, output=part, mode=job.boundary)
        return np.hypot(*parts, out=out)

    return {"": both}


def _gradient_magnitude(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    word = ndimage.gaussian_gradient_magnitude
    return {"": lambda: _done(word(image, job.number, output=out, mode=job.boundary), out)}


def _log(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    return {"": lambda: _done(ndimage.gaussian_laplace(image, job.number, output=out, mode=job.boundary), out)}


def _dog(ndimage: Any, job: Job, image: Array, out: Array) -> dict[str, Call]:
    part = np.zeros(job.shape, job.result)

    def both() -> Array:
        ndimage.gaussian_filter(image, job.number, output=out, mode=job.boundary)
        ndimage.gaussian_filter(image, 1.6 * job.number, output=part, mode=job.boundary)
        return np.subtract(out, part, out=out)

    return {"": both}


_WAYS: dict[str, Callable[[Any, Job, Array, Array], dict[str, Call]]] = {
    "correlate": _correlate,
    "gaussian": _gaussian,
    "box": _box,
    "sobel": _sobel,
    "sobel_length": _sobel_length,
    "gradient_magnitude": _gradient_magnitude,
    "log": _log,
    "dog": _dog,
}


def scikit(job: Job, image: Array) -> dict[str, Call]:
    """Return scikit-image's ways, for what it alone computes or computes by other means than SciPy."""
    feature = importlib.import_module("skimage.feature")
    name = "scikit-image"
    if job.work == "canny":
        return {name: lambda: feature.canny(image, job.number, mode=job.boundary)}
    if job.work == "corner_harris":
        return {name: lambda: feature.corner_harris(image, sigma=job.number)}
    if job.work == "match_template":
        piece = template(job, image)
        return {name: lambda: feature.match_template(image, piece)}
    return {}
