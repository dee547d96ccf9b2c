"""What a picture file holds, whatever its format: frames of pixels and the data that travels with them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.errors import StrideruleError

COLOURS = {"grey": 1, "rgb": 3, "cmyk": 4}


class PictureError(StrideruleError):
    """A picture file cannot be read, or cannot be written as asked."""


@dataclass
class Frame:
    """The pixels of one page or one moment.

    `pixels` is (..., height, width) for grey without alpha, else (..., height, width, channels). `colour` is ``grey``,
    ``rgb``, ``cmyk`` or ``bands`` (several measurements without a common meaning); `alpha` is the channel that holds
    opacity.
    """

    pixels: NDArray[Any]
    colour: str
    alpha: int | None = None
    duration: float | None = None

    @property
    def has_channels(self) -> bool:
        """Whether the last axis of `pixels` counts channels."""
        return self.colour != "grey" or self.alpha is not None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.pixels.shape[-3:-1] if self.has_channels else self.pixels.shape[-2:]
        return height, width

    @property
    def kind(self) -> str:
        """The frame in words, such as ``RGB with alpha, uint8``."""
        name = {"grey": "grey", "rgb": "RGB", "cmyk": "CMYK"}.get(self.colour)
        if name is None:
            name = f"{self.pixels.shape[-1]} bands"
        return f"{name}{'' if self.alpha is None else ' with alpha'}, {self.pixels.dtype}"

    def without_alpha(self) -> Frame:
        """Return the frame with its alpha channel taken away."""
        if self.alpha is None:
            return self
        pixels = np.delete(self.pixels, self.alpha, axis=-1)
        return replace(self, pixels=pixels[..., 0] if self.colour == "grey" else pixels, alpha=None)


@dataclass
class Metadata:
    """What travels beside the pixels, as bytes where it is kept untouched.

    `resolution` is exact pixels per unit (x, y) and `unit` is ``inch``, ``centimetre`` or ``""`` (a ratio only).
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resolution: tuple[Fraction, Fraction] | None = None
    unit: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    comment: str = ""

    def per_inch(self) -> tuple[Fraction, Fraction] | None:
        """Return the resolution in pixels per inch, or None where it has no unit of length."""
        if self.resolution is None or not self.unit:
            return None
        factor = Fraction(254, 100) if self.unit == "centimetre" else Fraction(1)
        return self.resolution[0] * factor, self.resolution[1] * factor

    def held(self) -> dict[str, str]:
        """Return field name -> its name in words, for every field that holds something."""
        names = {
            "icc": "the colour profile",
            "exif": "the EXIF data",
            "xmp": "the XMP data",
            "texts": "the text notes",
            "comment": "the comment",
        }
        present = {name: words for name, words in names.items() if getattr(self, name)}
        if self.per_inch() is not None:
            present["resolution"] = "the resolution"
        return present


@dataclass
class Picture:
    """A picture file in memory.

    `format` is Pillow's name of the format (``PNG``, ``TIFF``). `settings` are the encoder's settings of the source,
    kept for a result of the same format. `source` belongs to the module that read the file. `notes` are lines that
    the user should read.
    """

    frames: list[Frame]
    format: str
    metadata: Metadata = field(default_factory=Metadata)
    settings: dict[str, Any] = field(default_factory=dict)
    source: Any = None
    stride: tuple[int, int] = (1, 1)
    remapped: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Add a line for the user, once."""
        if line not in self.notes:
            self.notes.append(line)

    def unstacked(self) -> Picture:
        """Return the picture with a frame for each plane of a stack; TIFF alone holds stacks as one array."""
        frames = []
        for frame in self.frames:
            plane = 3 if frame.has_channels else 2
            planes = frame.pixels.reshape(-1, *frame.pixels.shape[-plane:])
            frames.extend([frame] if frame.pixels.ndim == plane else [replace(frame, pixels=one) for one in planes])
        return replace(self, frames=frames)

    def resampled(self, frames: list[Frame], stride: tuple[int, int], remapped: bool) -> Picture:
        """Return the picture with new frames that keep every stride-th row and column.

        Lengths stay true: the resolution is divided by the stride. `remapped` says that the values no longer are in
        the units of the source.
        """
        metadata = self.metadata
        if stride != (1, 1) and metadata.resolution is not None:
            x, y = metadata.resolution
            metadata = replace(metadata, resolution=(x / stride[1], y / stride[0]))
        return replace(self, frames=frames, metadata=metadata, stride=stride, remapped=remapped)


def upright(pixels: NDArray[Any], orientation: int, channels: bool) -> NDArray[Any]:
    """Turn stored pixels so that row 0 is the top and column 0 the left of the scene.

    `orientation` is the value of EXIF and TIFF tag 274: 1 as stored, 2 mirrored, 3 half a turn, 4 upside down,
    5 to 8 the same with rows and columns exchanged.

    >>> upright(np.array([[1, 2, 3], [4, 5, 6]]), 6, channels=False).tolist()
    [[4, 1], [5, 2], [6, 3]]
    """
    row = -3 if channels else -2
    if orientation >= 5:
        pixels = pixels.swapaxes(row, row + 1)
    turned_rows = orientation in (3, 4, 7, 8)
    turned_columns = orientation in (2, 3, 6, 7)
    if turned_rows:
        pixels = np.flip(pixels, row)
    if turned_columns:
        pixels = np.flip(pixels, row + 1)
    return np.ascontiguousarray(pixels)
