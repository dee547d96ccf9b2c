"""The variance of windows of small integers on generated code: the call of `routine`."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.deviations.routine import BLANK, NUMBERS, POINTERS, SIZES, Form, deviations_routine
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.images.tables import FILL, shown
from striderule.codegen import workers
from striderule.codegen.target import current

Array = npt.NDArray[Any]
Ints = tuple[int, int]
Words = tuple[tuple[str, str], tuple[str, str]]

# The types whose sums are served, and their largest squares; of a window's n elements n n times that is exact.
SQUARES = {"bool": 1, "uint8": 255**2, "int8": 128**2, "uint16": 65535**2, "int16": 32768**2}
EXACT = 2**53
# Columns of a window that are added one by one, at most, and rows of a band.
MOST, BAND = 32, 64


def is_served(dtype: np.dtype[Any], sizes: tuple[int, ...]) -> bool:
    """Tell whether windows of these sizes are summed without error, and quickly."""
    if len(sizes) != 2 or dtype.name not in SQUARES or not dtype.isnative or sizes[1] > MOST:
        return False
    return prod(sizes) ** 2 * SQUARES[dtype.name] < EXACT


def deviations(x: Array, sizes: Ints, words: Words, fill: float, *, root: bool) -> Array | None:
    """Return the variance of windows over the last two axes of x, its `root` if asked for, in float32.

    None where NumPy has to do it. `words` are the boundaries of both axes, and `fill` is what is constant outside.
    """
    if not is_served(x.dtype, sizes) or x.size == 0:
        return None
    form = Form(x.dtype.name, "float32", root)
    routine = giving_way.attempt(_compiled, form)
    if routine is None:
        return None
    x = np.require(x, requirements=("C", "A"))
    height, width = x.shape[-2:]
    y = memory.empty(x.shape, np.float32)
    band = max(BAND, 2 * sizes[0])
    rows, beyond, outside = _tables((height, width), sizes, words, width * x.itemsize)
    blank = np.full(width if outside else 1, fill, x.dtype)
    line, threads = width + sizes[1] + 64, workers.get_num_threads()
    lent = memory.room("deviations", threads * 2 * line * 8)
    flags = array("q", bytes(8 * threads))
    bands, planes = -(-height // band), prod(x.shape[:-2])
    values = {
        "threads": threads, "room": 2 * line, "bands": bands, "band": band, "height": height, "width": width,
        "down": sizes[0], "across": sizes[1], "before": sizes[1] // 2, "line": line, "around": len(beyond),
        "x_plane": height * width * x.itemsize,
    }  # fmt: skip
    places = [memory.address(one) for one in (blank, rows, beyond)]
    addresses = (memory.address(x), memory.address(y), lent.address, flags.buffer_info()[0], *places)
    assert len(addresses) == len(POINTERS)
    numbers = (fill * sizes[0], fill * fill * sizes[0], prod(sizes))
    assert len(numbers) == len(NUMBERS)
    bits = np.array(numbers, np.float64).view(np.int64).tolist()
    told = array("q", (*addresses, *(values[word] for word in SIZES), *bits))
    workers.run(routine.address, told.buffer_info()[0], planes * bands)
    return y


@lru_cache(maxsize=64)
def _tables(shape: Ints, sizes: Ints, words: Words, step: int) -> tuple[Array, Array, bool]:
    """Return where rows are found, which columns of a line are copies of which, and whether a row is the fill value.

    The rows begin with the one above the first window, the place of each is that of the first row of a window.
    """
    (height, width), (down, across) = shape, sizes
    before = across // 2
    seen = shown(height, -(down // 2) - 1, height + down - down // 2 - 1, words[0])
    rows = np.ascontiguousarray(np.where(seen == FILL, BLANK, seen * step), np.int64)
    columns = shown(width, -before, width + across - before - 1, words[1])
    places = np.concatenate([np.arange(before), np.arange(before + width, len(columns))])
    found = columns[places]
    beyond = np.stack([places, np.where(found == FILL, FILL, found + before)], axis=1).astype(np.int64)
    return rows, np.ascontiguousarray(beyond), bool((seen == FILL).any())


def _compiled(form: Form) -> Any:
    target = current()
    return proof.compiled(form.name, form, lambda: deviations_routine(form, target), target, lambda: _agrees(form))


def _agrees(form: Form) -> bool:
    """Compare the routine with NumPy on a small drawn image."""
    x = np.random.default_rng(0).integers(0, 2, (20, 40)).astype(form.source)
    edges = ("edge", "edge")
    wide = np.pad(x.astype(np.float64), 1, mode="edge")
    expected = np.lib.stride_tricks.sliding_window_view(wide, (3, 3)).var(axis=(-2, -1))
    got = deviations(x, (3, 3), (edges, edges), 0.0, root=form.root)
    return got is not None and np.allclose(got, np.sqrt(expected) if form.root else expected, rtol=1e-5, atol=1e-6)
