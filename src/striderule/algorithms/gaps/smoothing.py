"""Passes around gaps: the routine of `pairs`, bound to arrays and called."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.gaps.pairs import EACH, WORDS, Pair, paired_routine
from striderule.algorithms.images.numbers import fits
from striderule.algorithms.images.terms import Terms
from striderule.algorithms.separable.bound import Step, bind
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.codegen.tile import ELEMENTS
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

_AT = {word: i for i, word in enumerate(WORDS)}
LINE = 64


def _up(size: int) -> int:
    return -(-size // LINE) * LINE


@dataclass(frozen=True, slots=True)
class _Call:
    """Passes that are ready to run: `step` is that of the pixels alone, `kept` what the words point to.

    `whole` is what the weights come to where nothing is missing, rounded as they are.
    """

    address: int
    template: array[int]
    tasks: int
    room: int
    whole: float
    there: np.dtype[Any]
    kept: Any

    def run(
        self,
        pixels: Array,
        there: Array,
        numbers: tuple[float, float, float, float],
        y: Array,
        shares: Array | None,
    ) -> bool:
        """Compute into y. Returns whether a sum of pixels was not finite and had to be."""
        threads = workers.get_num_threads()
        room = memory.room("gaps", threads * self.room)
        flags = np.zeros(threads + 1, np.int64)
        words, first = self.template[:], memory.address(flags)
        bits = np.array(numbers, np.float64).view(np.int64).tolist()
        told = {
            "result": memory.address(y), "flags": first, "status": first + 8 * threads, "room": room.address,
            "threads": threads, "x_x": memory.address(pixels), "t_x": memory.address(there),
            "shares": memory.address(y if shares is None else shares),
        }  # fmt: skip
        told |= dict(zip(("magnitude", "whole", "none", "nowhere"), bits, strict=True))
        for word, value in told.items():
            words[_AT[word]] = value
        workers.run(self.address, words.buffer_info()[0], self.tasks)
        return bool(flags[threads])


def smooth(
    problem: Convolution,
    pixels: Array,
    there: Array,
    terms: Terms,
    outside: tuple[Any, int],
    weights: tuple[float, float, float],
    final: np.dtype[Any],
    out: Array | None = None,
    *,
    shared: bool = False,
) -> tuple[Array, Array | None] | None:
    """Return an outer product of profiles that are not negative, slid over pixels around gaps; None if not in one go.

    `pixels` are 0 where one is missing, and `there` is a byte of 1 where one is there; `outside` is the number beyond
    the border of either. `weights` are the sum of all weights, up to which sum nothing is there, and what stands then.
    If asked for the shares of what is there come with it.
    """
    work = np.dtype(problem.dtype)
    if work.kind != "f" or set(problem.stride) != {1} or not pixels.size or not all(problem.output_size):
        return None
    if pixels.dtype.name not in ELEMENTS or not fits(ELEMENTS[work.name], ELEMENTS[final.name]):
        return None
    where = problem, pixels.shape, pixels.strides, there.strides, pixels.dtype
    operands = (*where, terms, outside, final, shared, current().name)
    call = giving_way.attempt(_call_for, *operands)
    if call is None:
        return None
    shape = (*pixels.shape[: pixels.ndim - problem.rank], *problem.output_size)
    result = memory.empty_like(pixels, shape, final)
    if out is not None and (out.dtype, out.strides) == (final, result.strides) and out.flags.aligned:
        result = out
    shares = memory.empty_like(pixels, shape, work) if shared else None
    magnitude, none, nowhere = weights
    numbers = magnitude, call.whole, none, nowhere
    if call.there != there.dtype:
        met = memory.empty_like(there, there.shape, call.there)
        met[...] = there
        there = met
    return None if call.run(pixels, there, numbers, result, shares) else (result, shares)


def _step(
    problem: Convolution, shape: Ints, strides: Ints, dtype: np.dtype[Any], terms: Terms, fill: Any
) -> Step | None:
    """Return the passes over an array in the type of the sums, or None if that takes several steps, or copies."""
    plain = replace(problem, stored=(dtype.name, problem.dtype))
    (*before, step) = bind(plain, shape, strides, dtype, terms, fill, None, aligned=True, wide=False).steps
    words = dict(zip(EACH, step.template, strict=True))
    # Parts of rows, and parts of images whose bands begin before them, take another way.
    apart = words["lead"] > 0 or words["parts"] > 1
    return None if before or apart or step.moved or step.copied or step.dtype != problem.dtype else step


@lru_cache(maxsize=64)
def _call_for(
    problem: Convolution,
    shape: Ints,
    strides: Ints,
    beside: Ints,
    dtype: np.dtype[Any],
    terms: Terms,
    outside: tuple[Any, int],
    final: np.dtype[Any],
    shared: bool,
    _target: str,
) -> _Call | None:
    """Return the passes bound to arrays of a shape and type, or None if they are not taken together."""
    target, work = current(), np.dtype(problem.dtype)
    narrow = np.dtype(np.uint8)
    pixels = _step(problem, shape, strides, dtype, terms, outside[0])
    there = _step(problem, shape, beside, narrow, terms, outside[1])
    if not proof.is_proved(target) or pixels is None or there is None:
        return None
    first, band = pixels.kept[0], EACH.index("band")
    if first.words[band] != there.kept[0].words[band]:
        # Bands of windows are others for other types.
        narrow = dtype
        there = _step(problem, shape, strides, dtype, terms, outside[1])
        if there is None or first.words[band] != there.kept[0].words[band]:
            return None
    easy = _step(problem, shape, strides if narrow == dtype else beside, narrow, terms, 1)
    assert easy is not None  # as the other is
    ones = memory.empty_like(np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides), shape, narrow)
    ones[...] = 1
    whole = float(easy.run(ones, None)[0].max())
    second = there.kept[0]
    pair = Pair(first.structure, second.structure, final.name, shared)
    # On targets where a trial is asked for, the passes go one after the other.
    routine = proof.compiled(pair.name, pair, lambda: paired_routine(pair.name, target, pair), target, lambda: False)
    own = dict(zip(EACH, pixels.template, strict=True))
    columns, band = own["outputs"], own["band"]
    pitch = -(-columns * work.itemsize // LINE) * LINE + LINE
    there_at, after = _up(pixels.room), _up(pixels.room) + _up(there.room)
    sums = _up(band * pitch)
    values = {
        "room_bytes": after + 2 * sums, "there_at": there_at, "sums_at": after, "met_at": after + sums,
        "row": own["y_row"], "columns": columns,
    }  # fmt: skip
    for prefix, step in (("x_", pixels), ("t_", there)):
        values |= {prefix + word: value for word, value in zip(EACH, step.template, strict=True)}
        values[f"{prefix}y_row"] = pitch
    words = array("q", [values.get(word, 0) for word in WORDS])
    return _Call(routine.address, words, pixels.tasks, after + 2 * sums, whole, narrow, (pixels, there))
