"""PNG at the level of its chunks: what Pillow would drop (16-bit colour, gamma, colour primaries) is kept.

A PNG file is a signature and chunks: length, type, data, CRC-32 (W3C PNG specification, third edition, section 5).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.cli.pictures.model import Frame, Metadata, Picture, PictureError
from striderule.errors import MissingExtra

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Ancillary chunks that stay true when the pixels change. eXIf and pHYs are written anew from the metadata.
KEPT = (b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"sPLT", b"tEXt", b"zTXt", b"iTXt", b"tIME")
# These describe colour and must stand before the pixels; the profile of one file never meets the gamma of another.
COLOUR = (b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI")
# Of zlib: a photograph of 3 megapixels is 2 % larger than at the usual 6, and written three times as fast.
LEVEL = 4
XMP_KEYWORD = b"XML:com.adobe.xmp"

Chunk = tuple[bytes, bytes]


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield (type, data) of each chunk; stops where the file is cut off."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def is_deep(data: bytes) -> bool:
    """Tell whether a PNG file holds 16 bits a sample."""
    return data.startswith(SIGNATURE) and len(data) > 24 and data[24] == 16


def kept_chunks(data: bytes) -> list[Chunk]:
    """Return the chunks of a file that a filtered copy should have as well."""
    return [
        (kind, body)
        for kind, body in chunks(data)
        if kind in KEPT and not body.startswith((XMP_KEYWORD, b"Raw profile type exif"))
    ]


def _codecs() -> Any:
    try:
        import imagecodecs
    except ImportError:
        raise MissingExtra.of("cli", needs="imagecodecs") from None
    return imagecodecs


def read_deep(data: bytes) -> Frame:
    """Return the pixels of a PNG file of 16 bits a sample, which Pillow would cut down to 8."""
    kinds = dict(chunks(data))
    if b"acTL" in kinds:
        raise PictureError("the file is an animated PNG of 16 bits a sample; save its frames as TIFF pages first")
    colour_type = data[25]
    pixels = np.asarray(_codecs().png_decode(_without(data, b"tRNS")))
    colour = "rgb" if colour_type & 2 else "grey"
    has_alpha = bool(colour_type & 4)
    if b"tRNS" in kinds:
        # One colour is transparent: it becomes an alpha channel, because filtering changes the colours.
        key = np.frombuffer(kinds[b"tRNS"], ">u2").astype(np.uint16)
        clear = pixels == key[0] if colour == "grey" else (pixels == key).all(axis=-1)
        alpha = np.where(clear, 0, 65535).astype(np.uint16)
        pixels = np.dstack([pixels, alpha])
        has_alpha = True
    return Frame(pixels, colour, pixels.shape[-1] - 1 if has_alpha else None)


def _without(data: bytes, unwanted: bytes) -> bytes:
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks(data) if kind != unwanted)


def encode_deep(pixels: NDArray[np.uint16]) -> bytes:
    """Return a PNG file of 16 bits a sample."""
    return bytes(_codecs().png_encode(np.ascontiguousarray(pixels), LEVEL))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _physical(metadata: Metadata) -> Chunk | None:
    if metadata.resolution is None:
        return None
    inches = metadata.per_inch()
    if inches is None:
        # Only the ratio of the axes is known; whole numbers state it exactly.
        x, y = metadata.resolution
        common = x.denominator * y.denominator
        ratio = Fraction(int(x * common), int(y * common))
        return b"pHYs", struct.pack(">IIB", ratio.numerator, ratio.denominator, 0)
    metres = [round(value / Fraction(254, 10000)) for value in inches]
    return b"pHYs", struct.pack(">IIB", *metres, 1)


def metadata_chunks(picture: Picture) -> list[Chunk]:
    """Return the ancillary chunks to write: those of a PNG source as they were, else made from the metadata."""
    metadata = picture.metadata
    if picture.format == "PNG":
        made: list[Chunk] = list(picture.settings.get("chunks", []))
    else:
        made = [] if metadata.icc is None else [(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))]
        comment = {"Comment": metadata.comment} if metadata.comment else {}
        for key, text in (metadata.texts | comment).items():
            made.append((b"iTXt", key.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode()))
    physical = _physical(metadata)
    if physical is not None:
        made.append(physical)
    if metadata.exif is not None:
        made.append((b"eXIf", metadata.exif))
    if metadata.xmp is not None:
        made.append((b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    return made


def with_chunks(data: bytes, extra: list[Chunk]) -> bytes:
    """Return the file with `extra` in place of any chunk of the same kind, right after its header."""
    replaced = {kind for kind, _ in extra} | set(COLOUR) | {b"pHYs", b"eXIf"}
    parts = [SIGNATURE]
    for kind, body in chunks(data):
        if kind in replaced:
            continue
        parts.append(_chunk(kind, body))
        if kind == b"IHDR":
            parts.extend(_chunk(*entry) for entry in extra)
    return b"".join(parts)
