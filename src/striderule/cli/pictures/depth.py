"""How many bits a sample of a file has, read from its header: Pillow cuts some files down to 8 without a word.

And how many the colours of a palette need.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray


def sample_bits(form: str, data: bytes) -> int:
    """Return the bits a sample of a file that Pillow calls `form`; 8 where the format cannot hold more.

    `data` is the file, or enough of its beginning to hold the headers.
    """
    reader = {"PPM": _netpbm, "JPEG2000": _jpeg2000, "AVIF": _avif, "SGI": _sgi}.get(form)
    return 8 if reader is None else reader(data)


def _netpbm(data: bytes) -> int:
    """The header of P2, P3, P5 and P6 is text: kind, width, height, largest value, with comments between."""
    header = re.sub(rb"#[^\n]*\n", b" ", data[:4096])
    found = re.match(rb"P[2356]\s+\d+\s+\d+\s+(\d+)\s", header)
    return 8 if found is None else int(found[1]).bit_length()


def _jpeg2000(data: bytes) -> int:
    """The SIZ segment (ITU-T T.800, A.5.1) lists one byte a component: bits - 1, the highest bit meaning signed."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 43:
        return 8
    (components,) = struct.unpack_from(">H", data, start + 40)
    depths = data[start + 42 : start + 42 + 3 * components : 3]
    return max((depth & 0x7F) + 1 for depth in depths)


def _avif(data: bytes) -> int:
    """The av1C box (AV1 ISOBMFF binding, 2.3) flags 10 or 12 bits in its third byte."""
    start = data.find(b"av1C")
    if start < 0 or len(data) < start + 7:
        return 8
    flags = data[start + 6]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _sgi(data: bytes) -> int:
    """The fourth byte counts bytes a channel."""
    return 8 * data[3]


def plain_colours(colours: NDArray[Any]) -> NDArray[Any]:
    """Return (..., 3) colours from a looked-up palette of 16 bits, in 8 bits where the palette has no more."""
    colours = np.moveaxis(colours.astype(np.uint16), 0, -1)
    high = colours >> 8
    if np.array_equal(colours, high * 257) or np.array_equal(colours, high << 8):
        return high.astype(np.uint8)
    return colours
