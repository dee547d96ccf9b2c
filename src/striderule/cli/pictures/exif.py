"""EXIF blocks, changed in place so that everything else in them (maker notes included) stays byte for byte.

An EXIF block is a small TIFF file: "II" or "MM", 42, the offset of the first directory; a directory is a count and
that many entries of 12 bytes (tag, type, count, value or offset), then the offset of the next directory
(CIPA DC-008, section 4.5.2).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

ORIENTATION = 274
EXIF_DIRECTORY = 34665
PIXEL_WIDTH = 40962
PIXEL_HEIGHT = 40963
PREFIX = b"Exif\0\0"


def bare(block: bytes | None) -> bytes | None:
    """Return the block without the marker that JPEG puts in front, or None if it is no EXIF block."""
    if block is None:
        return None
    while block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    return block if len(block) >= 14 and block[:4] in (b"II*\0", b"MM\0*") else None


def _order(block: bytes | bytearray) -> str:
    return "<" if block[:2] == b"II" else ">"


def _entries(block: bytes | bytearray, start: int) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, type, position of the entry) of the directory at `start`; nothing where it lies outside."""
    order = _order(block)
    if not 8 <= start <= len(block) - 2:
        return
    (count,) = struct.unpack_from(order + "H", block, start)
    for position in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", block, position)
        yield tag, kind, position


def _first(block: bytes | bytearray) -> int:
    return int(struct.unpack_from(_order(block) + "I", block, 4)[0])


def _number(block: bytes | bytearray, kind: int, position: int) -> int:
    return int(struct.unpack_from(_order(block) + ("H" if kind == 3 else "I"), block, position + 8)[0])


def _set(block: bytearray, kind: int, position: int, value: int) -> None:
    if kind == 3 and value > 0xFFFF:
        return
    struct.pack_into(_order(block) + ("H" if kind == 3 else "I"), block, position + 8, value)


def orientation(block: bytes | None) -> int:
    """Return the orientation that the block states, 1 to 8; 1 where it states none."""
    if block is None:
        return 1
    for tag, kind, position in _entries(block, _first(block)):
        if tag == ORIENTATION:
            value = _number(block, kind, position)
            return value if 1 <= value <= 8 else 1
    return 1


def for_upright(block: bytes, width: int, height: int) -> bytes:
    """Return the block for a picture whose pixels stand upright, of the given size.

    Orientation becomes 1 and the stated size the given one. The embedded preview is cut off: it would go on showing
    the picture as it was.
    """
    changed = bytearray(block)
    start = _first(block)
    inner = 0
    for tag, kind, position in _entries(block, start):
        if tag == ORIENTATION:
            _set(changed, kind, position, 1)
        elif tag == EXIF_DIRECTORY:
            inner = _number(block, kind, position)
    for tag, kind, position in _entries(block, inner):
        if tag in (PIXEL_WIDTH, PIXEL_HEIGHT):
            _set(changed, kind, position, width if tag == PIXEL_WIDTH else height)
    (count,) = struct.unpack_from(_order(block) + "H", block, start)
    after = start + 2 + 12 * count
    if after + 4 <= len(block):
        struct.pack_into("4x", changed, after)
    return bytes(changed)


def xmp_for_upright(packet: bytes) -> bytes:
    """Return an XMP packet that says orientation 1, if it says any (as attribute or as element).

    >>> xmp_for_upright(b'<x tiff:Orientation="6"/>')
    b'<x tiff:Orientation="1"/>'
    """
    packet = re.sub(rb"(tiff:Orientation\s*=\s*[\"'])[1-8]([\"'])", rb"\g<1>1\g<2>", packet)
    return re.sub(rb"(<tiff:Orientation>\s*)[1-8](\s*</tiff:Orientation>)", rb"\g<1>1\g<2>", packet)
