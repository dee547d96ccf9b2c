"""What a word holds, and the same packing in NumPy: what the routine is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.codegen.dots import NUMBERS

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Words:
    """How the numbers of a source become words of a unit (see `codegen.dots`).

    `flip` turns the upper bit of every byte: it adds 128 to one with a sign, which then has none, or takes 128 from one
    without. A float32 is the sum of a few bfloat16, its *parts*: each the nearest to what those before it leave (of a
    bfloat16 they are itself, and zeros). `parts` names those whose planes follow one another, some of them more than
    once: for the products of two numbers each part of the one meets parts of the other. Planes of zeros fill a multiple
    of `multiple`.
    """

    unit: str
    source: str
    flip: bool = False
    parts: tuple[int, ...] = (0,)
    multiple: int = 1

    @property
    def different(self) -> int:
        """How many parts there are, each counted once."""
        return max(self.parts) + 1

    def planes(self, channels: int) -> int:
        """Return the planes of words that so many channels of a group take, for each of `parts`.

        >>> Words("dot8", "int8").planes(9), Words("bfloat16", "float32", multiple=16).planes(9)
        (3, 16)
        """
        words = -(-channels // NUMBERS[self.unit])
        return -(-words // self.multiple) * self.multiple

    def filled(self, fill: float) -> float | None:
        """Return the number that is a word of fill values, in the type of the sums; None where there is none."""
        if self.unit != "bfloat16":
            limits = np.iinfo(self.source)
            if not limits.min <= fill <= limits.max:
                return None
            bits, number = (8, 4) if self.unit == "dot8" else (16, 2)
            low: int = (int(fill) % 2**bits) ^ (0x80 if self.flip else 0)
            word = sum(low << bits * i for i in range(number))
            return word - 2**32 if word >= 2**31 else word
        # Others than zero would have parts, too.
        return 0.0 if fill == 0 else None


class Panels(NamedTuple):
    """How words of weights stand for tiles of registers: rows of so many output channels, `pitch` words apart.

    A panel is such rows with `together` planes each; the panels of all `chunks` of planes follow one another.
    """

    rows: int
    pitch: int
    together: int
    chunks: int


def in_panels(words: npt.NDArray[np.uint32], panels: Panels) -> npt.NDArray[np.uint32]:
    """Return the words of weights (out, 1, planes, *kernel) in panels (tiles, chunks, rows, pitch)."""
    rows, pitch, together, chunks = panels
    found = np.zeros((len(words) // rows, chunks, rows, pitch), np.uint32)
    for chunk in range(chunks):
        part = words[:, 0, chunk * together : (chunk + 1) * together].reshape(len(words) // rows, rows, -1)
        found[:, chunk, :, : part.shape[2]] = part
    return found


def packed_by_numpy(words: Words, groups: int, x: Array) -> npt.NDArray[np.uint32]:
    """Return the words (images, groups, planes of all parts, *positions) of an array (images, channels, *positions)."""
    images, channels, *size = x.shape
    number, each = NUMBERS[words.unit], channels // groups
    wide = np.zeros((images, groups, words.planes(each) * number, *size), x.dtype)
    wide[:, :, :each] = x.reshape(images, groups, each, *size)
    narrow, bits = _narrow(words, wide)
    shape = (images, groups, len(words.parts) * words.planes(each), number, *size)
    apart = np.concatenate([narrow[part] for part in words.parts], axis=2).reshape(shape).astype(np.uint32)
    found = apart[:, :, :, 0]
    for i in range(1, number):
        found = found | (apart[:, :, :, i] << np.uint32(bits * i))
    return found


def _narrow(words: Words, wide: Array) -> tuple[list[Array], int]:
    """Return the bits of the narrow numbers, part by part, and how many bits each has."""
    if words.unit == "dot8":
        return [wide.view(np.uint8) ^ np.uint8(0x80 if words.flip else 0)], 8
    if words.unit == "dot16":
        return [wide.astype(np.int16).view(np.uint16)], 16
    if wide.dtype != np.float32:
        itself = wide.view(np.uint16)
        return [itself, *[np.zeros_like(itself)] * (words.different - 1)], 16
    parts, rest = [], wide
    for _ in range(words.different):
        bits = rest.view(np.uint32)
        high = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) & np.uint32(0xFFFF0000)
        parts.append((high >> np.uint32(16)).astype(np.uint16))
        rest = rest - high.view(np.float32)
    return parts, 16
