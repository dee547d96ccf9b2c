"""Resampling on generated code: the calls of `routine`, one for two axes that lie side by side."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.images.numbers import fits
from striderule.algorithms.images.tables import FILL
from striderule.algorithms.resampling.maps import Map, same, shrinking
from striderule.algorithms.resampling.routine import (
    BLANK,
    NUMBERS,
    POINTERS,
    SIZES,
    STRIP,
    Form,
    resampling_routine,
)
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.codegen.tile import ELEMENTS

Array = npt.NDArray[Any]
# An axis and how it is resampled.
Step = tuple[int, Map]

# Axes whose elements are less far apart are summed along.
NEAR = 16
# Bytes of a thread's room, at most: of longer lines few fit the second cache.
ROOM = 1 << 22


def resampled(
    x: Array, steps: Sequence[Step], fill: float, work: np.dtype[Any], final: np.dtype[Any], out: Array | None = None
) -> Array | None:
    """Return x resampled along axes in ascending order, or None where NumPy has to do it.

    Parameters
    ----------
    x : ndarray
        Any real type, not empty.
    steps : pairs of an axis and its map, of weights in the type `work`
    fill : float
        What stands outside of a constant boundary.
    work : float32 or float64
        The type of sums, and of what stands between two calls.
    final : dtype
        That of the result: integers are rounded half to even and saturated.
    out : ndarray, optional
        Room for the result, of its shape and type.
    """
    if not (_is_served(x.dtype) and x.dtype.isnative and x.size and steps):
        return None
    calls = _calls(x.shape, steps)
    whole = out is not None and out.dtype == final and out.flags.c_contiguous and out.flags.aligned
    for number, call in enumerate(calls):
        last = number == len(calls) - 1
        y = _passed(x, call, fill, work, final if last else work, out if whole and last else None)
        if y is None:
            return None
        x = y
    if out is not None and x is not out:
        np.copyto(out, x)
        return out
    return x


def is_fused(source: np.dtype[Any], work: np.dtype[Any], final: np.dtype[Any]) -> bool:
    """Tell whether sums become the type `final` in registers: NaN, which no integer knows, comes of floats alone."""
    if final.name not in ELEMENTS or not fits(ELEMENTS[work.name], ELEMENTS[final.name]):
        return False
    return final.kind == "f" or source.kind in "biu"


def _is_served(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.name in ELEMENTS


def _calls(shape: tuple[int, ...], steps: Sequence[Step]) -> list[tuple[Step | None, Step | None]]:
    """Return what goes down rows and what goes along them in each call, in order."""
    found, rest = list[tuple[Step | None, Step | None]](), list(steps)
    while rest:
        one = rest.pop(0)
        if rest and rest[0][0] == one[0] + 1:
            found.append((one, rest.pop(0)))
        elif prod(shape[one[0] + 1 :]) < NEAR:
            found.append((None, one))
        else:
            found.append((one, None))
    return found


def _first_axis(call: tuple[Step | None, Step | None]) -> int:
    """Return the axis that rows are counted on; -1 where there is but one."""
    down, across = call
    if down is not None:
        return down[0]
    assert across is not None  # there is one at least
    return across[0] - 1


def _passed(
    x: Array,
    call: tuple[Step | None, Step | None],
    fill: float,
    work: np.dtype[Any],
    final: np.dtype[Any],
    out: Array | None,
) -> Array | None:
    """Return the result of one call of the routine."""
    down, across = call
    x = np.require(x, requirements=("C", "A"))
    # Planes of rows, and rows of pixels.
    begin = _first_axis(call)
    rows = x.shape[begin] if begin >= 0 else 1
    vertical = same(rows, work) if down is None else down[1]
    end = begin + 2 if across is not None else begin + 1
    size, pixel = (x.shape[end - 1], prod(x.shape[end:])) if across is not None else (prod(x.shape[end:]), 1)
    columns = size if across is None else across[1].outputs
    shape = list(x.shape)
    for step in (one for one in call if one is not None):
        shape[step[0]] = step[1].outputs
    y = memory.empty(shape, final) if out is None else out
    if y.size == 0:
        return y
    target = current()
    lanes, itemsize = target.lanes(work.itemsize), work.itemsize
    extra = 0 if across is None else len(across[1].extras)
    line = (size + extra) * pixel * lanes if across is not None else 0
    room = line + STRIP * lanes * lanes + lanes * (pixel + 1) * lanes
    form = Form(x.dtype.name, work.name, final.name, across is not None)
    if room * itemsize > ROOM:
        return None
    routine = giving_way.attempt(_compiled, form)
    if routine is None:
        return None
    threads = workers.get_num_threads()
    lent = memory.room("resampling", threads * room * itemsize)
    row_bytes = size * pixel * x.itemsize
    begins = np.concatenate([np.arange(rows), vertical.extras])
    begins = np.where(begins == FILL, BLANK, begins * row_bytes)
    width = size * pixel
    blank = np.full(width if (vertical.extras == FILL).any() else 1, fill, x.dtype)
    horizontal = same(1, work) if across is None else across[1]
    flags = array("q", bytes(8 * threads))
    pointed = (blank, begins, vertical.entries, vertical.weights, horizontal.extras, horizontal.entries)
    places = [memory.address(one) for one in (*pointed, horizontal.weights)]
    bands = -(-vertical.outputs // lanes)
    sizes = {
        "threads": threads, "room": room, "bands": bands, "height": vertical.outputs, "width": width, "pixel": pixel,
        "size": size, "columns": columns, "extra": extra, "x_plane": rows * row_bytes,
        "y_plane": vertical.outputs * columns * pixel * y.itemsize, "y_row": columns * pixel * y.itemsize,
        "squares_at": line, "results_at": line + STRIP * lanes * lanes,
    }  # fmt: skip
    addresses = (memory.address(x), memory.address(y), lent.address, flags.buffer_info()[0], *places)
    assert len(addresses) == len(POINTERS)
    assert len(NUMBERS) == 1
    bits = np.array([fill], np.float64).view(np.int64).tolist()
    words = array("q", (*addresses, *(sizes[word] for word in SIZES), *bits))
    planes = prod(x.shape[: max(begin, 0)])
    workers.run(routine.address, words.buffer_info()[0], planes * bands)
    return y


def _compiled(form: Form) -> Any:
    target = current()
    return proof.compiled(form.name, form, lambda: resampling_routine(form, target), target, lambda: _agrees(form))


def _agrees(form: Form) -> bool:
    """Compare the routine with NumPy on a small drawn image, where sums are exact."""
    work = np.dtype(form.work)
    x = np.random.default_rng(0).integers(0, 2, (40, 70)).astype(form.source)
    maps = [shrinking(n, n // 2, (2.0, 4.0, 2.0), ("symmetric", "symmetric"), work) for n in x.shape]
    expected = x.astype(np.float64)
    for axis in range(2 if form.across else 1):
        wide = np.pad(np.moveaxis(expected, axis, 0), ((1, 1), (0, 0)), mode="symmetric")
        blurred = 2 * wide[:-2] + 4 * wide[1:-1] + 2 * wide[2:]
        expected = np.moveaxis((blurred[::2] + blurred[1::2]) / 2, 0, axis)
    steps = list(enumerate(maps))[: 2 if form.across else 1]
    got = resampled(x, steps, 0.0, work, np.dtype(form.result))
    return got is not None and np.allclose(got, expected, rtol=1e-2)
