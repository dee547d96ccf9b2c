"""Local response normalisation on generated code."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import Call, merged, words_of
from striderule.algorithms.direct.response_routine import POWERS, Form, Kind, response_routine
from striderule.algorithms.windows import normalization as windows
from striderule.codegen.target import current

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

# Values of a channel in a task: those of the channels around it stay in the first cache.
BLOCK = 512
# Values below which the calling thread does it all.
ALONE = 1 << 12
# By the characters of NumPy's types.
SERVED = {"f": "float32", "d": "float64", "e": "float16"}


class Lines(NamedTuple):
    """An array (batch, channels, ...) as lines; see `response_routine`."""

    kind: Kind
    places: Ints  # the words SIZES up to the channels' steps
    walks: npt.NDArray[np.int64]
    tasks: int


def local_response(x: Array, size: int, alpha: float, beta: float, k: float, out: Array | None = None) -> Array:
    """Return x / (k + alpha / size * sum of x**2 over `size` neighbouring channels) ** beta, in `out` or new."""
    if x.dtype.char not in SERVED or not x.size:
        return giving_way.given(out, windows.local_response(x, size, alpha, beta, k))
    # A channel is read again for its neighbours, so that it must not be overwritten before.
    apart = out is not None and not np.may_share_memory(x, out)
    result = out if out is not None and apart else memory.empty_like(x, x.shape, x.dtype)
    call = giving_way.attempt(bind, x, size, alpha, beta, k, result)
    if call is None:
        return giving_way.given(out, windows.local_response(x, size, alpha, beta, k))
    call.run(x, result)
    return result if out is None or apart else giving_way.given(out, result)


def bind(x: Array, size: int, alpha: float, beta: float, k: float, result: Array) -> Call | None:
    """Return what does arrays like x, apart from their results, or None where that is left to NumPy.

    Raises
    ------
    CompilationFailed
        There is no machine code to be had.
    """
    lines = _lines(x.shape, x.strides, result.strides, x.itemsize) if x.dtype.char in SERVED else None
    if lines is None or (beta not in POWERS and not _is_any(beta, x.dtype)):
        return None
    form, target = Form(SERVED[x.dtype.char], lines.kind, beta if beta in POWERS else None), current()

    def trial() -> bool:
        return proof.agree(local_response, windows.local_response, x, size, alpha, beta, k)

    routine = proof.compiled(form.name, form, lambda: response_routine(form, target), target, trial)
    numbers = np.array([k, alpha / size, beta], np.float64).view(np.int64).tolist()
    channels = x.shape[1]
    reach = (min(size // 2, channels), min((size - 1) // 2, channels))
    words = array("q", (0, 0, memory.address(lines.walks), *lines.places, *reach, *numbers))
    return Call(routine.address, words, lines.tasks, 1 if x.size < ALONE else None, lines.walks)


def _is_any(beta: float, dtype: np.dtype[Any]) -> bool:
    """Tell whether exp(beta log base) in float64 is the power: not for whole exponents, where base may be negative.

    Its error grows with the logarithm, so that it serves what is rounded to fewer digits.
    """
    return math.isfinite(beta) and beta != int(beta) and abs(beta) <= 64 and dtype != np.float64


@lru_cache(maxsize=64)
def _lines(shape: Ints, x_steps: Ints, y_steps: Ints, itemsize: int) -> Lines | None:
    if not prod(shape) or any(step % itemsize for step in (*x_steps, *y_steps)):
        return None
    channels, x_channel, y_channel = shape[1], x_steps[1], y_steps[1]
    axes = list(zip(shape, x_steps, y_steps, strict=True))
    line, *outer = merged([axes[0], *axes[2:]]) or [(1, itemsize, itemsize)]
    beside = line[1] == line[2] == itemsize
    if channels > 1 and x_channel == y_channel == itemsize and not (beside and line[0] > 1):
        kind: Kind = "across"
    else:
        kind = "run" if beside else "steps"
    block = min(line[0], max(1, BLOCK // channels) if kind == "across" else BLOCK)
    blocks = -(-line[0] // block)
    places = (len(outer), *line, block, blocks, channels, x_channel, y_channel)
    return Lines(kind, places, words_of(outer), prod(walk[0] for walk in outer) * blocks)
