"""Our way to do a job: one call that writes into an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.pictures.jobs import Array, Job, waves

Call = Callable[[], Array]


def way(job: Job, image: Array) -> Call:
    """Return the call."""
    out = np.zeros(_shape(job), job.result)
    words = (
        {"out": out} if job.work in ("canny", "corner_harris", "match_template") else {"boundary": job.side, "out": out}
    )
    return _CALLS[job.work](job, image, words)


def _shape(job: Job) -> tuple[int, ...]:
    if job.work == "bank":
        return int(job.argument.split("x")[0]), *job.shape
    if job.work != "match_template":
        return job.shape
    return tuple(n - int(job.argument) + 1 for n in job.shape)


def template(job: Job, image: Array) -> Array:
    """Return a piece of the image to look for."""
    n = int(job.argument)
    return np.ascontiguousarray(image[100 : 100 + n, 200 : 200 + n])


def _correlate(job: Job, image: Array, words: dict[str, Any]) -> Call:
    kernel = job.kernel
    return lambda: sr.correlate(image, kernel, dtype=job.result, **words)


def _bank(job: Job, image: Array, words: dict[str, Any]) -> Call:
    kernels = waves(job)
    return lambda: sr.filters.bank(image, kernels, dtype=job.result, **words)


def _named(name: str, **given: Callable[[Job], Any]) -> Callable[[Job, Array, dict[str, Any]], Call]:
    def of(job: Job, image: Array, words: dict[str, Any]) -> Call:
        function = getattr(sr.filters, name)
        arguments = {word: value(job) for word, value in given.items()} | words
        if job.result not in ("bool",) and name not in ("canny",):
            arguments["dtype"] = job.result
        return lambda: function(image, **arguments)

    return of


def _match(job: Job, image: Array, words: dict[str, Any]) -> Call:
    piece = template(job, image)
    return lambda: sr.filters.match_template(image, piece, **words)


def _canny(job: Job, image: Array, words: dict[str, Any]) -> Call:
    return lambda: sr.filters.canny(image, sigma=job.number, **words)


def _gradient(job: Job, image: Array, words: dict[str, Any]) -> Call:
    words = words | {"out": (words["out"], np.zeros_like(words["out"]))}
    return lambda: sr.filters.gradient(image, dtype=job.result, **words)[0]


def _harris(job: Job, image: Array, words: dict[str, Any]) -> Call:
    return lambda: sr.filters.corner_harris(image, sigma=job.number, **words)


_CALLS: dict[str, Callable[[Job, Array, dict[str, Any]], Call]] = {
    "correlate": _correlate,
    "bank": _bank,
    "gaussian": _named("gaussian", sigma=lambda job: job.number),
    "box": _named("box", size=lambda job: int(job.argument)),
    "sobel": _named("sobel", axis=lambda job: int(job.argument)),
    "scharr": _named("scharr", axis=lambda job: int(job.argument)),
    "sobel_length": _named("sobel"),
    "gradient": _gradient,
    "gradient_magnitude": _named("gradient_magnitude", sigma=lambda job: job.number),
    "log": _named("log", sigma=lambda job: job.number),
    "dog": _named("dog", sigma1=lambda job: job.number, sigma2=lambda job: 1.6 * job.number),
    "unsharp_mask": _named("unsharp_mask", radius=lambda job: job.number),
    "canny": _canny,
    "corner_harris": _harris,
    "match_template": _match,
}
