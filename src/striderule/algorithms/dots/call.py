"""The packing of an array, bound to where it stands."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import native, proof
from striderule.algorithms.dots.packing import SIZES, Form, packing_routine
from striderule.algorithms.dots.words import Panels, Words, in_panels, packed_by_numpy
from striderule.codegen.target import Target

Array = npt.NDArray[Any]

# Positions that a task packs, at most.
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Packing:
    """A routine bound to where an array stands.

    `shape` is that of the words; `found` counts images, and what is found for each: see `packing.There`.
    """

    call: native.Call
    shape: tuple[int, ...]
    found: tuple[int, int]

    def run(self, x: Array, words: Array) -> npt.NDArray[np.uint32]:
        """Pack x into words. Return what is found: (images, parts of each, 2)."""
        found = np.empty((*self.found, 2), np.uint32)
        self.call.run(x, words, found)
        return found


def packing(
    words: Words, groups: int, x: ArrayInfo, target: Target, sums: str = "", panels: Panels | None = None
) -> Packing:
    """Return the packing of an array (images, channels, *positions), of weights into panels if these are given.

    Raises
    ------
    CompilationFailed
        If no machine code can be made here.
    """
    size, itemsize = x.shape[2:], x.dtype.itemsize
    image, channel, *steps = (step // itemsize for step in x.strides)
    channels = x.shape[1] // groups
    planes, plane = words.planes(channels), prod(size)
    inner = [prod(size[axis + 1 :]) for axis in range(len(size))]
    row, *outer = native.merged(zip(size, steps, inner, strict=True)) or [(1, 1, 1)]
    length, step, _ = row
    blocks = -(-length // BLOCK)
    # Blocks of about one size, of whole vectors.
    block = -(-length // blocks // 16) * 16
    blocks = -(-length // block)
    whole = len(words.parts) * planes * plane
    if panels is None:
        images = [(x.shape[0], image, groups * whole)]
        together, gap, shape = planes, 0, (x.shape[0], groups * len(words.parts) * planes, *size)
    else:
        size_of, tiles = panels.rows * panels.pitch, x.shape[0] // panels.rows
        images = [(panels.rows, image, panels.pitch), (tiles, panels.rows * image, panels.chunks * size_of)]
        together, gap = panels.together, size_of - panels.together * plane
        shape = (tiles, panels.chunks, panels.rows, panels.pitch)
    walk = native.words_of([*outer, (groups, channels * channel, whole), *images])
    form = Form(words, _way(length, step, channel, channels), sums, panels is not None)
    routine = proof.compiled(
        form.name,
        form,
        lambda: packing_routine(form, target),
        target,
        lambda: _agrees(words, groups, x, target, panels),
    )
    sizes = {
        "walks": len(outer) + 1 + len(images), "blocks": blocks, "block": block, "length": length, "step": step,
        "channel": channel, "channels": channels, "planes": planes, "plane": plane,
        "together": together, "gap": gap,
    }  # fmt: skip
    each = groups * prod(one[0] for one in outer) * blocks
    told = array("q", [0, 0, 0, memory.address(walk), *(sizes[name] for name in SIZES)])
    call = native.Call(routine.address, told, x.shape[0] * each, None, walk)
    return Packing(call, shape, (x.shape[0], each))


def _way(length: int, step: int, channel: int, channels: int) -> str:
    """Return where neighbours in memory are; see `packing.Form`."""
    if length == 1 and 1 in (channel, channels):
        return "beside"
    if step == 1:
        return "columns"
    return "channels" if channel == 1 else "each"


def _agrees(words: Words, groups: int, x: ArrayInfo, target: Target, panels: Panels | None) -> bool:
    """Compare with NumPy's packing of one drawn image, or of the weights of one panel."""
    one = ArrayInfo((1 if panels is None else panels.rows, *x.shape[1:]), x.strides, x.dtype)
    bound = packing(words, groups, one, target, panels=panels)

    def computed(image: Array) -> Array:
        made = np.zeros(bound.shape, np.uint32)
        bound.run(image, made)
        return made

    def expected(image: Array) -> Array:
        packed = packed_by_numpy(words, groups, image)
        return packed.reshape(bound.shape) if panels is None else in_panels(packed, panels)

    # A stand-in, which is not read: the trial draws one of its shape and strides.
    image = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), one.shape, one.strides)
    return proof.agree(computed, expected, image)
