"""The structure tensor and the corner measures on generated code: the call of `routine`."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.corners.routine import LINES, NUMBERS, PARTS, POINTERS, SIZES, Form, corners_routine
from striderule.algorithms.direct import giving_way, proof
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.geometry.padding import boundary_indices

Array = npt.NDArray[Any]
Words = tuple[str, str]

# Rows and columns of a task: its rows of products stay in the second cache, and are few beside its own.
BAND, STRIP = 64, 512
SLACK = 32
# Weights on each side of the middle one that are served: sums of more would have to be cut into several.
MOST_REACH = 64
SERVED = frozenset(
    ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
)


def corners(
    x: Array,
    words: tuple[Words, Words],
    fill: float,
    weights: tuple[Array, Array],
    result: str,
    *,
    scale: float = 1.0,
    k: float = 0.0,
    eps: float = 0.0,
    out: Array | None = None,
) -> tuple[Array, ...] | None:
    """Return the tensor's three elements (`result` "tensor"), or a measure ("k", "eps"); None where NumPy has to do it.

    Parameters
    ----------
    x : ndarray of two axes
        The image. Integers of up to 16 bits and float32 are computed in float32, the others in float64.
    words : one pair for each axis
        What stands outside of the image, and of the products of its derivatives; for "constant" `fill` and 0.
    fill : float
    weights : two arrays of odd length, each the same backwards
        What the products are averaged with, along the rows' and the columns' axis.
    scale : float
        What every derivative is multiplied by.
    k, eps : float
        The constants of the measures.
    out : ndarray, optional
        Room for a measure: of the arithmetic's type, in C order.
    """
    reaches = [len(one) // 2 for one in weights]
    if x.dtype.name not in SERVED or not x.dtype.isnative or max(reaches) > MOST_REACH or not x.size:
        return None
    element = "float32" if x.dtype.itemsize <= 2 or x.dtype == np.float32 else "float64"
    form = Form(x.dtype.name, element, result)
    routine = giving_way.attempt(_compiled, form)
    if routine is None:
        return None
    x = x if x.strides[1] == x.itemsize else np.ascontiguousarray(x)
    results = [memory.empty(x.shape, element) if out is None else out]
    results += [memory.empty(x.shape, element) for _ in range(PARTS - 1)] if result == "tensor" else []
    height, width = x.shape
    strip, band = min(width, STRIP), min(height, max(BAND, 4 * reaches[0]))
    line = (strip + 2 * reaches[1] + 2 + 2 * SLACK) // SLACK * SLACK
    room = (LINES + PARTS * 2 * (2 * reaches[0] + 1)) * line
    strips, bands, threads = -(-width // strip), -(-height // band), workers.get_num_threads()
    work = memory.room("corners", np.dtype(element).itemsize * threads * room)
    flags = array("q", bytes(8 * threads))
    taps = [np.ascontiguousarray(one[: len(one) // 2 + 1], element) for one in weights]
    tables = [_table(n, reach, pair) for n, reach, pair in zip(x.shape, reaches, words, strict=True)]
    tables += [_table(n, 1, pair) for n, pair in zip(x.shape, words, strict=True)]
    sizes = {
        "height": height, "width": width, "x_row": x.strides[0], "row_reach": reaches[0],
        "column_reach": reaches[1], "band": band, "strip": strip, "strips": strips, "line": line, "room": room,
        "threads": threads,
    }  # fmt: skip
    places = [memory.address(one) for one in (*results, *[results[0]] * (PARTS - len(results)), *taps)]
    addresses = (
        memory.address(x), *places, work.address, flags.buffer_info()[0], *(memory.address(one) for one in tables),
    )  # fmt: skip
    assert len(addresses) == len(POINTERS)
    bits = np.array([scale, fill, k, eps], np.float64).view(np.int64).tolist()
    assert len(bits) == len(NUMBERS)
    words_ = array("q", (*addresses, *(sizes[word] for word in SIZES), *bits))
    workers.run(routine.address, words_.buffer_info()[0], strips * bands)
    return tuple(results)


@lru_cache(maxsize=64)
def _table(size: int, reach: int, words: Words) -> npt.NDArray[np.int64]:
    """Return where every position from -reach to size + reach - 1 is found, -1 for what stands outside."""
    found = [-1 if index is None else index for index in boundary_indices(size, reach, reach, words)]
    return np.array(found, np.int64)


def _compiled(form: Form) -> Any:
    target = current()
    return proof.compiled(form.name, form, lambda: corners_routine(form, target), target, lambda: _agrees(form))


def _agrees(form: Form) -> bool:
    """Compare the routine with NumPy on a small drawn image, where sums are exact."""
    x = np.random.default_rng(0).integers(0, 2, (20, 40)).astype(form.source)
    weights = np.array([0.25, 0.5, 0.25])
    wide = np.pad(x.astype(np.float64), 1, mode="edge")
    smooth, slope = wide[:-2] + 2 * wide[1:-1] + wide[2:], wide[2:] - wide[:-2]
    right, down = smooth[:, 2:] - smooth[:, :-2], slope[:, :-2] + 2 * slope[:, 1:-1] + slope[:, 2:]
    parts = []
    for product in (down * down, down * right, right * right):
        rows = np.pad(product, 1, mode="edge")
        rows = 0.25 * (rows[:-2] + rows[2:]) + 0.5 * rows[1:-1]
        parts.append(0.25 * (rows[:, :-2] + rows[:, 2:]) + 0.5 * rows[:, 1:-1])
    a, b, c = parts
    expected = {"tensor": parts, "k": [a * c - b * b], "eps": [2 * (a * c - b * b) / (a + c + 1.0)]}[form.result]
    got = corners(x, (("edge", "edge"),) * 2, 0.0, (weights, weights), form.result, eps=1.0)
    return got is not None and all(np.allclose(one, two, rtol=1e-5) for one, two in zip(got, expected, strict=True))
