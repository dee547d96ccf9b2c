"""Gradients of normalisations on generated code."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.channel_passes import bind_given
from striderule.algorithms.direct.layer_normalization import bind_gradient as bind_layer
from striderule.algorithms.direct.layer_normalization import gradient as layer
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.normalization import lines_of, normalize
from striderule.algorithms.direct.normalization_gradient_routine import line_routine, sums_routine
from striderule.algorithms.direct.normalization_planes_routine import (
    LINE_POINTERS,
    SCALE_POINTERS,
    SUMS_POINTERS,
    plane_line_routine,
    plane_scale_routine,
    plane_sums_routine,
)
from striderule.algorithms.direct.normalization_routine import Form
from striderule.algorithms.direct.normalization_units import ALONE, bind_units, units
from striderule.algorithms.windows import normalization_gradient as windows
from striderule.algorithms.windows.normalization_gradient import response
from striderule.codegen.target import current

__all__ = [
    "bind_channels", "bind_given", "bind_layer", "bind_units",
    "channel_line", "channel_scale", "channel_sums", "layer", "response", "units",
]  # fmt: skip

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

SERVED = {"f": "float32", "d": "float64"}
# The most values of a plane that is not cut, and values of a task of planes.
PLANE, TASK = 1 << 15, 1 << 14


def channel_sums(x: Array, gy: Array, mean: Array) -> tuple[Array, Array]:
    """Return for each channel (axis 1) the sums of gy and of gy * (x - mean), in float64.

    Parts of channels are added up one behind the other, and then the parts: the same bits for any number of threads.
    """
    found = giving_way.attempt(_sums, x.shape, x.strides, x.dtype.char, current().name) if _alike(x, gy) else None
    if found is None:
        return windows.channel_sums(x, gy, mean)
    call, parts, across = found
    channels = x.shape[1]
    sums = np.empty((2, parts, channels) if across else (2, channels, parts))
    call.run(x, gy, np.ascontiguousarray(mean, np.float64), sums[0], sums[1])
    with np.errstate(all="ignore"):
        plain, products = sums.sum(axis=1 if across else 2)
    return plain, products


def channel_line(
    x: Array, gy: Array, mean: Array, slope: Array, steep: Array, shift: Array, out: Array | None = None
) -> Array:
    """Return slope * gy + steep * (x - mean) + shift for each channel (axis 1), of the type of x, in `out` or new."""
    result = memory.empty_like(x, x.shape, x.dtype) if out is None else out
    call = None
    if _alike(x, gy) and _alike(x, result):
        call = giving_way.attempt(_line, x.shape, x.strides, x.dtype.char, current().name)
    if call is None:
        return windows.channel_line(x, gy, mean, slope, steep, shift, result)
    call.run(x, gy, *(np.ascontiguousarray(one, np.float64) for one in (mean, slope, steep, shift)), result)
    return result


def bind_channels(
    x: Array, mean: Array, factor: Array, slope: Array, steep: Array, shift: Array
) -> Callable[[Array], tuple[Array, Array, Array]] | None:
    """Return what gives gradients of batch normalisation in x, weight and bias by `channel_sums` and `channel_line`.

    `steep` and `shift` are still to be multiplied with the sums of gy * (x - mean) and of gy. It is for compact
    gradients of the type of x, as `bind_units`, which serves more channels. None where there is no code for these.
    """
    if x.dtype.char not in SERVED or not (x.flags.c_contiguous and x.flags.aligned and x.size):
        return None
    like = x.shape, x.strides, x.dtype.char, current().name
    sums, line = giving_way.attempt(_sums, *like), giving_way.attempt(_line, *like)
    if sums is None or line is None:
        return None
    call, parts, across = sums
    add, write, make = call.run, line.run, memory.maker(x, x.shape, x.dtype)
    room, axis = ((2, parts, len(mean)), 1) if across else ((2, len(mean), parts), 2)
    middle, slopes = (np.ascontiguousarray(one, np.float64) for one in (mean, slope))

    def computed(gradient: Array) -> tuple[Array, Array, Array]:
        found, result = np.empty(room), make()
        add(x, gradient, middle, found[0], found[1])
        with np.errstate(all="ignore"):
            plain, products = np.add.reduce(found, axis=axis)
            write(x, gradient, middle, slopes, steep * products, shift * plain, result)
            return result, products * factor, plain

    return computed


def channel_scale(gy: Array, slope: Array) -> Array:
    """Return slope * gy for each channel (axis 1), of the type of gy."""
    call = None
    if gy.dtype.char in SERVED:
        call = giving_way.attempt(_scale, gy.shape, gy.strides, gy.dtype.char, current().name)
    if call is None:  # long lines, or channels side by side
        result: Array = normalize(gy, np.zeros_like(slope), np.ones_like(slope), slope, None, 0.0)
        return result
    result = memory.empty_like(gy, gy.shape, gy.dtype)
    if not memory.alike(gy, result):
        return windows.channel_scale(gy, slope)
    call.run(gy, np.ascontiguousarray(slope, np.float64), result)
    return result


def _alike(x: Array, other: Array) -> bool:
    """Tell whether both stand in memory alike, in types that code is generated for."""
    return x.dtype.char in SERVED and x.dtype == other.dtype and memory.alike(x, other)


@lru_cache(maxsize=256)
def _sums(shape: Ints, steps: Ints, char: str, _target: str) -> tuple[Call, int, bool] | None:
    """Return the call, how many parts a channel has, and whether the parts come before the channels."""
    planes = _planes("sums", shape, steps, char)
    if planes is not None:
        return *planes, True
    lines = lines_of(shape, steps, steps, np.dtype(char).itemsize)
    if lines is None or lines.kind == "steps":
        return None
    form, target, channels = Form(SERVED[char], lines.kind), current(), shape[1]
    across = lines.kind == "across"
    parts = lines.tasks if across else lines.tasks // channels

    def trial() -> bool:
        x = _standing(shape, steps, char)
        return proof.agree(channel_sums, windows.channel_sums, x, x, np.zeros(channels))

    routine = proof.compiled(form.name("gradient_sums"), form, lambda: sums_routine(form, target), target, trial)
    steps_of_results = (channels, 1) if across else (1, parts)
    words = array("q", (0, 0, 0, 0, 0, memory.address(lines.walks), *lines.places, channels, *steps_of_results))
    return Call(routine.address, words, lines.tasks, lines.threads, lines.walks), parts, across


@lru_cache(maxsize=256)
def _line(shape: Ints, steps: Ints, char: str, _target: str) -> Call | None:
    planes = _planes("line", shape, steps, char)
    if planes is not None:
        return planes[0]
    lines = lines_of(shape, steps, steps, np.dtype(char).itemsize)
    if lines is None or lines.kind == "steps":
        return None
    form, target = Form(SERVED[char], lines.kind), current()

    def trial() -> bool:
        x = _standing(shape, steps, char)
        return proof.agree(channel_line, windows.channel_line, x, x, *[np.zeros(shape[1])] * 4)

    routine = proof.compiled(form.name("gradient_line"), form, lambda: line_routine(form, target), target, trial)
    words = array("q", (*[0] * 7, memory.address(lines.walks), *lines.places))
    return Call(routine.address, words, lines.tasks, lines.threads, lines.walks)


# The routines of short planes, and their pointers.
PLANES = {
    "sums": (plane_sums_routine, SUMS_POINTERS),
    "line": (plane_line_routine, LINE_POINTERS),
    "scale": (plane_scale_routine, SCALE_POINTERS),
}


def _planes(word: Literal["sums", "line", "scale"], shape: Ints, steps: Ints, char: str) -> tuple[Call, int] | None:
    """Return the call for short planes and the number of parts, or None where values of a channel stand otherwise.

    Parts of sums are of several images, those of the others of one.
    """
    batch, channels, *rest = shape
    length, size = prod(rest), np.dtype(char).itemsize
    beside = size
    for n, step in zip(reversed(rest), reversed(steps[2:]), strict=True):
        if n > 1 and step != beside:
            return None
        beside *= n
    # Where a plane is one value, vectors go across channels if these are neighbours.
    if not 0 < length <= PLANE or (length == 1 and steps[1] == size) or steps[0] % size or steps[1] % size:
        return None
    images = min(batch, max(1, TASK // length)) if word == "sums" else 1
    task_channels = min(channels, max(1, TASK // (images * length)))
    parts, channel_tasks = -(-batch // images), -(-channels // task_channels)
    dtype, target = SERVED[char], current()
    name = f"gradient_plane_{word}_{dtype}"
    write, pointers = PLANES[word]

    def trial() -> bool:
        x, numbers = _standing(shape, steps, char), [np.zeros(channels)] * 4
        if word == "scale":
            return proof.agree(channel_scale, windows.channel_scale, x, numbers[0])
        if word == "sums":
            return proof.agree(channel_sums, windows.channel_sums, x, x, numbers[0])
        return proof.agree(channel_line, windows.channel_line, x, x, *numbers)

    routine = proof.compiled(name, (name,), lambda: write(name, dtype, target), target, trial)
    steps_of_all = steps[0] // size, steps[1] // size
    words = array(
        "q", (*[0] * len(pointers), batch, channels, length, *steps_of_all, images, task_channels, channel_tasks)
    )
    alone = batch * channels * length * size < ALONE
    return Call(routine.address, words, parts * channel_tasks, 1 if alone else None), parts


@lru_cache(maxsize=256)
def _scale(shape: Ints, steps: Ints, char: str, _target: str) -> Call | None:
    planes = _planes("scale", shape, steps, char)
    return None if planes is None else planes[0]


def _standing(shape: Ints, steps: Ints, char: str) -> Array:
    """Return an array that stands in memory like that."""
    size = sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + np.dtype(char).itemsize
    return np.ndarray(shape, char, np.zeros(size, np.uint8).data, 0, steps)
