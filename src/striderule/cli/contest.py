"""The same filters by several libraries on one picture, timed in turns."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import striderule
from striderule import filters
from striderule.codegen.workers import get_num_threads

OURS = "striderule"
LIBRARIES = {OURS: "", "OpenCV": "cv2", "SciPy": "scipy.ndimage", "scikit-image": "skimage"}
# A burst is as long, in seconds; its first call is left out, since another library's threads may still be awake.
BURST = 0.02

Call = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One filter, and the milliseconds that each library takes for it."""

    name: str
    times: dict[str, float]


def rows(image: NDArray[Any], seconds: float) -> list[Row]:
    """Return the times of every filter, each library having so many seconds for each."""
    peers = {name: _peer(module) for name, module in LIBRARIES.items() if module}
    if peers["OpenCV"] is not None:
        peers["OpenCV"].setNumThreads(get_num_threads())
    return [Row(name, _turns(calls, seconds)) for name, calls in _contests(image, peers).items()]


def _peer(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def _contests(image: NDArray[Any], peers: dict[str, Any]) -> dict[str, dict[str, Call]]:
    """Return filter -> library -> call: with a mirrored border, in the picture's type but for Sobel and Canny."""
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)
    out, floats = np.zeros_like(image), np.zeros(image.shape, np.float32)
    mirror: dict[str, Any] = {"boundary": "mirror"}
    ours: dict[str, Call] = {
        "sharpen 3 x 3": lambda: striderule.correlate(image, kernel, dtype=image.dtype, out=out, **mirror),
        "gaussian, sigma 2": lambda: filters.gaussian(image, 2, out=out, **mirror),
        "gaussian, sigma 10": lambda: filters.gaussian(image, 10, out=out, **mirror),
        "box 15 x 15": lambda: filters.box(image, 15, out=out, **mirror),
        "sobel along x": lambda: filters.sobel(image, 1, **mirror),
        "canny, sigma 1": lambda: filters.canny(image, 1),
    }
    found = {name: {OURS: call} for name, call in ours.items()}
    tables: dict[str, Callable[..., dict[str, Call]]] = {"OpenCV": _opencv, "SciPy": _scipy, "scikit-image": _skimage}
    for library, table in tables.items():
        if peers[library] is not None:
            for name, call in table(peers[library], image, kernel, out, floats).items():
                found[name][library] = call
    return found


def _opencv(cv2: Any, image: Any, kernel: Any, out: Any, floats: Any) -> dict[str, Call]:
    if image.dtype.name not in ("uint8", "uint16", "int16", "float32"):
        return {}
    mirror = cv2.BORDER_REFLECT_101
    return {
        "sharpen 3 x 3": lambda: cv2.filter2D(image, -1, kernel, dst=out, borderType=mirror),
        "gaussian, sigma 2": lambda: cv2.GaussianBlur(image, (17, 17), 2, dst=out, borderType=mirror),
        "gaussian, sigma 10": lambda: cv2.GaussianBlur(image, (81, 81), 10, dst=out, borderType=mirror),
        "box 15 x 15": lambda: cv2.blur(image, (15, 15), dst=out, borderType=mirror),
        "sobel along x": lambda: cv2.Sobel(image, cv2.CV_32F, 1, 0, dst=floats, ksize=3, borderType=mirror),
    }


def _scipy(ndimage: Any, image: Any, kernel: Any, out: Any, floats: Any) -> dict[str, Call]:
    return {
        "sharpen 3 x 3": lambda: ndimage.correlate(image, kernel, output=out, mode="mirror"),
        "gaussian, sigma 2": lambda: ndimage.gaussian_filter(image, 2, output=out, mode="mirror"),
        "gaussian, sigma 10": lambda: ndimage.gaussian_filter(image, 10, output=out, mode="mirror"),
        "box 15 x 15": lambda: ndimage.uniform_filter(image, 15, output=out, mode="mirror"),
        "sobel along x": lambda: ndimage.sobel(image, 1, output=floats, mode="mirror"),
    }


def _skimage(skimage: Any, image: Any, *_: Any) -> dict[str, Call]:
    filtering, canny = skimage.filters, skimage.feature.canny
    words: dict[str, Any] = {"mode": "mirror", "preserve_range": True}
    return {
        "gaussian, sigma 2": lambda: filtering.gaussian(image, 2, out=None, **words),
        "gaussian, sigma 10": lambda: filtering.gaussian(image, 10, out=None, **words),
        "sobel along x": lambda: filtering.sobel_v(image),
        "canny, sigma 1": lambda: canny(image, 1),
    }


def _turns(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Return the best time of every call in milliseconds; they take turns in bursts until their time is used up."""
    best: dict[str, float] = {}
    for call in calls.values():
        call()
    spent = dict.fromkeys(calls, 0.0)
    while min(spent.values()) < seconds:
        for name, call in calls.items():
            if spent[name] < seconds:
                time_, used = _burst(call)
                best[name] = min(best.get(name, time_), time_)
                spent[name] += used
    return best


def _burst(call: Call) -> tuple[float, float]:
    """Return the best time of a burst of calls in milliseconds, and how many seconds all took."""
    start = last = time.perf_counter()
    best = float("inf")
    count = 0
    while last - start < BURST or count < 2:
        call()
        now = time.perf_counter()
        if count or now - last > BURST:
            best = min(best, now - last)
        last, count = now, count + 1
    return 1000 * best, last - start
