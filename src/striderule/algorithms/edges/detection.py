"""Canny's edges on generated code: the calls of `detection_routine` and `linking_routine`."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.edges.detection_routine import (
    LINES,
    NUMBERS,
    POINTERS,
    SIDE,
    SIZES,
    Form,
    detection_routine,
)
from striderule.algorithms.edges.linking_routine import DONE, NAME, linking_routine
from striderule.algorithms.edges.linking_routine import SIZES as LINKING_SIZES
from striderule.algorithms.edges.picture import Picture
from striderule.algorithms.windows.extend import extend
from striderule.codegen import workers
from striderule.codegen.target import current

Array = npt.NDArray[Any]

# Rows and columns of a task: its lines stay in the second cache for Gaussians of any usual width, and the rows that a
# task smooths beside its own are few.
BAND, STRIP = 64, 512
# Lines and rows end in so many elements that a vector may read or write beyond what is meant.
SLACK = 16
# Elements in a band of marks that are walked by one thread, about.
MARKS = 1 << 17


def marks(picture: Picture, low: float, high: float) -> Array | None:
    """Return the thinned edges as marks in bytes, or None where there is no generated code."""
    result = memory.empty(picture.image.shape, np.uint8)
    if not _run(picture, result, "marks", low, high):
        return None
    # The border has no neighbours on one side.
    result[[0, -1], :] = result[:, [0, -1]] = 0
    return result


def length(picture: Picture) -> Array | None:
    """Return the length of the gradient of the smoothed image, or None where there is no generated code."""
    result = memory.empty(picture.image.shape, picture.stored)
    return result if _run(picture, result, "length", 0.0, 0.0) else None


def linked(found: Array) -> Array | None:
    """Return where marks are strong, or touch such marks through others; the marks are changed.

    None where there is no generated code.
    """
    height, width = found.shape
    routine = giving_way.attempt(_linking)
    if routine is None:
        return None
    band = max(1, min(height, MARKS // width))
    bands = -(-height // band)
    stack = np.empty(found.size, np.int64)
    start = memory.address(found), memory.address(stack)
    inside = {"height": height, "width": width, "band": band, "offset": 0, "rows": band, "everywhere": 0, "seed": 3}
    words = array("q", (*start, *(inside[word] for word in LINKING_SIZES)))
    workers.run(routine.address, words.buffer_info()[0], bands)
    beyond = inside | {"offset": band - 1, "rows": 2, "everywhere": 1, "seed": DONE}
    words = array("q", (*start, *(beyond[word] for word in LINKING_SIZES)))
    workers.alone(routine.address, words.buffer_info()[0], bands - 1)
    return np.asarray(found == DONE)


def _linking() -> Any:
    target = current()
    return proof.compiled(NAME, NAME, lambda: linking_routine(target), target, _links)


def _links() -> bool:
    """Compare linking with NumPy's on a drawn image."""
    from striderule.algorithms.edges import linking  # noqa: PLC0415 - it is needed where no test has run the code

    drawn = (np.random.default_rng(0).random((40, 300)) < 0.4).astype(np.uint8)
    drawn[::7, ::5] *= 3
    drawn[[0, -1], :] = drawn[:, [0, -1]] = 0
    expected = linking.linked(drawn > 0, drawn == 3)
    got = linked(drawn)
    return got is not None and np.array_equal(got, expected)


def _run(picture: Picture, result: Array, kind: str, low: float, high: float) -> bool:
    """Compute the result; tell whether there is generated code for it."""
    form = Form(picture.image.dtype.name, picture.stored, picture.share is not None, kind)
    routine = giving_way.attempt(_detecting, form)
    if routine is None:
        return False
    height, width = picture.image.shape
    reaches = [len(one) // 2 for one in picture.weights]
    wide = _extended(picture, reaches)
    share, row = _share(picture)
    strip = min(width, STRIP)
    band = min(height, max(BAND, 4 * reaches[0]))
    line = (strip + 2 * SIDE + 2 * reaches[1] + 2 * SLACK) // SLACK * SLACK
    room = (LINES + 2 * (2 * reaches[0] + 1)) * line
    strips = -(-width // strip)
    bands = -(-height // band)
    threads = workers.get_num_threads()
    work = memory.room("edges", 8 * threads * room)
    flags = array("q", bytes(8 * threads))
    taps = [np.ascontiguousarray(one[: len(one) // 2 + 1], np.float64) for one in picture.weights]
    few = picture.share is not None and len(picture.share) < height
    sizes = {
        "height": height, "width": width, "x_row": wide.strides[0], "row_reach": reaches[0], "column_reach": reaches[1],
        "band": band, "strip": strip, "strips": strips, "line": line, "room": room, "threads": threads,
        "share_top": reaches[0] if few else height, "share_bottom": height - 1 - reaches[0] if few else height,
        "share_row": row,
    }  # fmt: skip
    addresses = {
        "x": memory.address(wide), "y": memory.address(result), "share": memory.address(share),
        "row_taps": memory.address(taps[0]), "column_taps": memory.address(taps[1]), "work": work.address,
        "flags": flags.buffer_info()[0],
    }  # fmt: skip
    numbers = np.array([picture.scale, low, high], np.float64).view(np.int64).tolist()
    assert len(numbers) == len(NUMBERS)
    words = array("q", (*(addresses[word] for word in POINTERS), *(sizes[word] for word in SIZES), *numbers))
    workers.run(routine.address, words.buffer_info()[0], strips * bands)
    return True


def _extended(picture: Picture, reaches: list[int]) -> Array:
    """Return the image with what the Gaussian reaches outside, and columns beside that are read and not used."""
    down, right = reaches
    return extend(picture.image, ((down, down), (right + SIDE, right + SIDE + SLACK)), picture.words, 0)


def _share(picture: Picture) -> tuple[Array, int]:
    """Return the share with columns of ones beside it, and the elements of a row."""
    if picture.share is None:
        return np.ones(1), 0
    wide = np.pad(picture.share.astype(np.float64), ((0, 0), (SIDE, SIDE + SLACK)), constant_values=1.0)
    return wide, wide.shape[1]


def _detecting(form: Form) -> Any:
    target = current()
    return proof.compiled(form.name, form, lambda: detection_routine(form, target), target, lambda: _detects(form))


def _detects(form: Form) -> bool:
    """Compare the routine with the definition on a small drawn image, whose sums are exact."""
    from striderule.algorithms.edges import thinning  # noqa: PLC0415 - it is needed where no test has run the code

    drawn = np.random.default_rng(0).integers(0, 2, (20, 40)).astype(form.source)
    share = np.ones(drawn.shape) if form.shared else None
    picture = Picture(drawn, 1.0, (("edge", "edge"),) * 2, (np.ones(1), np.ones(1)), share)
    down, right, size = thinning.gradients(drawn.astype(form.stored))
    if form.result == "length":
        found = length(picture)
        return found is not None and np.array_equal(found, size)
    ridges = thinning.thinned(down, right, size, np.ones(size.shape, bool), 2.0)
    got = marks(picture, 2.0, 4.0)
    return got is not None and np.array_equal(got > 0, ridges > 0)
