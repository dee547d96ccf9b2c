"""What is not a contest: against a copy of the image, by the size of a box, missing pixels, small images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.pictures.jobs import SIZES, drawn
from benchmarks.tables import markdown, number
from benchmarks.turns import take_turns
from striderule.codegen import probe, workers

Call = Callable[[], Any]
BOXES = (3, 9, 31, 101, 201)


def tables(megapixels: int, rounds: int, cv2: Any = None) -> list[Any]:
    """Return the tables; `cv2` is OpenCV, if it is there."""
    shape = SIZES[megapixels]
    return [_against_copies(shape, rounds), _boxes(shape, rounds), _missing(shape, rounds), _small(rounds, cv2)]


def _against_copies(shape: tuple[int, ...], rounds: int) -> Any:
    """Filters of float32, and a copy with as many threads; both write to memory that was touched."""
    image = drawn(shape, "float32")
    out, kernel = np.zeros_like(image), drawn((3, 3), "float32")
    calls: dict[str, Call] = {
        "correlate 3x3": lambda: sr.correlate(image, kernel, out=out),
        "gaussian 1": lambda: sr.filters.gaussian(image, 1, out=out),
        "sobel, length": lambda: sr.filters.sobel(image, out=out),
    }
    found = take_turns(calls, rounds)
    copied = max(probe.copied(image.nbytes, workers.get_num_threads()) for _ in range(3))
    copy = 2 * image.nbytes / copied
    drawn_table = markdown("float32, with out=", "ms", "a copy, ms", "times a copy", "at most")
    for name, timing in found.items():
        most = "1.25" if name == "correlate 3x3" else "-"
        drawn_table.add_row(name, _ms(timing.best), _ms(copy), number(timing.best / copy), most)
    return drawn_table


def _boxes(shape: tuple[int, ...], rounds: int) -> Any:
    drawn_table = markdown("box, ms", *(str(size) for size in BOXES), "slowest / fastest")
    for dtype in ("uint8", "uint16", "float32", "float64"):
        image = drawn(shape, dtype)
        calls = {str(size): _box(image, size) for size in BOXES}
        times = [timing.best for timing in take_turns(calls, rounds).values()]
        drawn_table.add_row(dtype, *map(_ms, times), number(max(times) / min(times)))
    return drawn_table


def _box(image: Any, size: int) -> Call:
    out = np.zeros_like(image)
    return lambda: sr.filters.box(image, size, out=out)


def _missing(shape: tuple[int, ...], rounds: int) -> Any:
    """A tenth of the pixels is missing, told by a mask or by NaN."""
    image = drawn(shape, "float32")
    valid = np.random.default_rng(1).random(shape) > 0.1
    holes = np.where(valid, image, np.float32(np.nan))
    kernels = {"random 3": drawn((3, 3), "float32"), "random 9": drawn((9, 9), "float32")}
    works: dict[str, Callable[..., Any]] = {
        name: lambda x, k=kernel, **words: sr.correlate(x, k, **words) for name, kernel in kernels.items()
    }
    works |= {
        "gaussian 2": lambda x, **words: sr.filters.gaussian(x, 2, **words),
        "box 9": lambda x, **words: sr.filters.box(x, 9, **words),
        "sobel": lambda x, **words: sr.filters.sobel(x, **words),
    }
    drawn_table = markdown(
        "missing pixels", "plain, ms", "mask=, ms", "times", "nan='normalize', ms", "times", "at most"
    )
    for name, work in works.items():
        calls = _masked(work, image, holes, valid)
        plain, mask, nan = (timing.best for timing in take_turns(calls, rounds).values())
        drawn_table.add_row(name, _ms(plain), _ms(mask), number(mask / plain), _ms(nan), number(nan / plain), "2.5")
    return drawn_table


def _masked(work: Callable[..., Any], image: Any, holes: Any, valid: Any) -> dict[str, Call]:
    out = np.zeros_like(image)
    return {
        "plain": lambda: work(image, out=out),
        "mask": lambda: work(image, mask=valid, out=out),
        "nan": lambda: work(holes, nan="normalize", out=out),
    }


def _small(rounds: int, cv2: Any) -> Any:
    """Calls of small images, of which most is what a call costs; OpenCV's beside them, where it has the same filter."""
    image, floats = drawn((64, 64), "uint8"), drawn((64, 64), "float32")
    kernel, wide = drawn((3, 3), "float32"), drawn((7, 7), "float32")
    filters, same = sr.filters, getattr(cv2, "BORDER_REFLECT", None)
    calls: dict[str, tuple[Call, Call | None, str]] = {
        "sobel(x), uint8": (lambda: filters.sobel(image), None, "15"),
        "sobel(x), float32": (lambda: filters.sobel(floats), None, "15"),
        "sobel(x, axis=1), uint8": (
            lambda: filters.sobel(image, axis=1),
            lambda: cv2.Sobel(image, cv2.CV_32F, 1, 0, borderType=same),
            "15",
        ),
        "laplace(x), float32": (
            lambda: filters.laplace(floats),
            lambda: cv2.Laplacian(floats, cv2.CV_32F, borderType=same),
            "-",
        ),
        "gaussian(x, 1), uint8": (
            lambda: filters.gaussian(image, 1),
            lambda: cv2.GaussianBlur(image, (9, 9), 1, borderType=same),
            "-",
        ),
        "box(x, 5), uint8": (
            lambda: filters.box(image, 5),
            lambda: cv2.blur(image, (5, 5), borderType=same),
            "-",
        ),
        "gradient(x), float32": (lambda: filters.gradient(floats), None, "-"),
        "unsharp_mask(x, 1), uint8": (lambda: filters.unsharp_mask(image, 1), None, "-"),
        "correlate(x, 3x3), float32": (
            lambda: sr.correlate(floats, kernel),
            lambda: cv2.filter2D(floats, cv2.CV_32F, kernel, borderType=same),
            "15",
        ),
        "correlate(x, 7x7), float32": (
            lambda: sr.correlate(floats, wide),
            lambda: cv2.filter2D(floats, cv2.CV_32F, wide, borderType=same),
            "-",
        ),
    }
    ours = {name: call for name, (call, _, _) in calls.items()}
    peers = {f"{name}, OpenCV": call for name, (_, call, _) in calls.items() if cv2 and call}
    found = take_turns(ours | peers, rounds)
    drawn_table = markdown("64x64", "µs", "OpenCV, µs", "at most, µs")
    for name, (_, _, most) in calls.items():
        peer = found.get(f"{name}, OpenCV")
        drawn_table.add_row(name, _us(found[name].median), "-" if peer is None else _us(peer.median), most)
    return drawn_table


def _us(seconds: float) -> str:
    return f"{1e6 * seconds:.1f}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}"
