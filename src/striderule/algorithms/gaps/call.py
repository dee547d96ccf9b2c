"""Missing pixels on generated code: the calls of `routine`."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.gaps.routine import MOST_LANES, NUMBERS, STRETCH, Form, gaps_routine
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.codegen.tile import ELEMENTS

Array = npt.NDArray[Any]

# Numbers of a trial, and the sums of its weights: all there is to come to is 1, and 7 stands where nothing is.
TRIED, WHOLE = 37, (1.0, 1.0, 1.0, 0.0, 7.0)


def marks(x: Array, before: Array | None) -> tuple[Array, bool] | None:
    """Return True where an element is NaN or was True before, and whether any is; None where NumPy has to do it."""
    if x.dtype.name not in ("float16", "float32", "float64"):
        return None
    gaps = memory.empty(x.shape, np.bool_)
    if before is not None:
        gaps[...] = before
    form = Form("marks", x.dtype.name, before is not None)
    found = np.zeros((-(-x.size // STRETCH), MOST_LANES), np.uint8)
    return (gaps, bool(found.any())) if _run(form, (_plain(x), gaps, found), x.size) else None


def laying(x: Array, gaps: Array) -> tuple[Array, Array] | None:
    """Return x with 0 where there is a gap, and bytes of 1, or 0 where there is one; None where NumPy has to do it."""
    if x.dtype.name not in ELEMENTS:
        return None
    source = _plain(x)
    pixels, there = memory.empty(x.shape, source.dtype), memory.empty(x.shape, np.uint8)
    form = Form("laying", x.dtype.name)
    return (pixels, there) if _run(form, (source, _plain(gaps), pixels, there), x.size) else None


def mending(
    sums: Array,
    there: Array,
    rest: tuple[Array, Array] | None,
    numbers: tuple[float, float, float, float, float],
    out: Array | None = None,
) -> Array | None:
    """Return the sums, corrected by what is missing; None where NumPy has to do it.

    `there` is what the weights' magnitudes come to on what is there; `rest` holds, for kernels with negative weights,
    the sums by magnitudes, and what the weights come to. `numbers` are those of `routine.NUMBERS`. The result is
    `out` where that has its type, and its elements follow one another.
    """
    if sums.dtype.name not in ("float32", "float64") or any(one.dtype != sums.dtype for one in (there, *(rest or ()))):
        return None
    s, v, *others = (_plain(one) for one in (sums, there, *(rest or ())))
    a, u = others or (s, v)
    room = out is not None and out.dtype == sums.dtype and out.flags.c_contiguous and out.flags.aligned
    result = out if room and out is not None else memory.empty(sums.shape, sums.dtype)
    form = Form("mending", sums.dtype.name, rest is not None)
    return result if _run(form, (s, a, v, u, result), sums.size, numbers) else None


def _plain(x: Array) -> Array:
    """Return an array whose elements follow one another in memory, as this machine writes them."""
    return np.require(x, x.dtype.newbyteorder("="), ["C", "A"])


def _run(form: Form, operands: tuple[Array, ...], length: int, numbers: tuple[float, ...] = ()) -> bool:
    assert len(numbers) == len(NUMBERS[form.work])
    routine = giving_way.attempt(_compiled, form)
    if routine is None:
        return False
    bits = np.array(numbers, np.float64).view(np.int64).tolist()
    words = array("q", (*(memory.address(one) for one in operands), length, *bits))
    workers.run(routine.address, words.buffer_info()[0], -(-length // STRETCH))
    return True


def _compiled(form: Form) -> Any:
    target = current()
    return proof.compiled(form.name, form, lambda: gaps_routine(form, target), target, lambda: _agrees(form))


def _agrees(form: Form) -> bool:
    """Compare the routine with NumPy on a few drawn numbers."""
    x, gaps = np.empty(TRIED, form.element), np.empty(TRIED, np.bool_)
    if form.work == "marks":
        return proof.agree(
            lambda image, before: _marked(_holed(image), before if form.more else None),
            lambda image, before: np.isnan(_holed(image)) | (before & form.more),
            x,
            gaps,
        )
    if form.work == "laying":
        return proof.agree(
            laying,
            lambda image, missing: (np.where(missing, image.dtype.type(0), image), (~missing).view(np.uint8)),
            x,
            gaps,
        )
    return proof.agree(
        lambda sums, there: mending(sums, _parts(there), (sums, _parts(there)) if form.more else None, WHOLE),
        _mended,
        x,
        x,
    )


def _marked(image: Array, before: Array | None) -> Array:
    """Return the marks, and none where the routine says that there are none."""
    found = marks(image, before)
    return np.zeros(0, bool) if found is None or not found[1] else found[0]


def _holed(image: Array) -> Array:
    image[3] = np.nan
    return image


def _parts(there: Array) -> Array:
    """Return quarters from 0 to 1."""
    quarters: Array = np.abs(there) / there.dtype.type(4)
    return quarters


def _mended(sums: Array, there: Array) -> Array:
    v = _parts(there)
    result: Array = np.where(v < 1, sums + sums / v * (1 - v), sums)
    result[v <= 0] = WHOLE[-1]
    return result
