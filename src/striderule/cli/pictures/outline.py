"""A TIFF file's pages as they are described in it, without their pixels: what is needed to filter them row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from striderule.cli.pictures import files, tags, tiff
from striderule.cli.pictures.model import Frame, Picture, PictureError
from striderule.cli.pictures.strips import Rows

# A reason and the way out.
TURNED = ("it is stored turned", "store it upright first")


class MustBeLoaded(Exception):
    """The file cannot be read row by row, for a reason, and there may be a way out."""

    def __init__(self, reason: str, way_out: str) -> None:
        super().__init__(reason)
        self.reason, self.way_out = reason, way_out


def of(path: Path, file: tifffile.TiffFile, number: int | None = None) -> tuple[Picture, list[Rows]]:
    """Return the picture, whose frames have a shape and a type but no pixels, and the rows of its pages.

    With a `number`, counted from 1, only that page, whatever the others are.

    Raises
    ------
    MustBeLoaded
        If pages have to be decoded whole, or are not what they seem: stacks that are one array, pages that are turned,
        volumes, compressed pages of a single strip.
    """
    rows: list[Rows | MustBeLoaded] = []

    def outlined(path: Path, picture: Picture, page: tifffile.TiffPage, stored: tiff.Page) -> Frame:
        if page.dtype is None:
            raise PictureError(f"{path} holds samples that tifffile cannot read ({page.bitspersample} bits)")
        if not rows and _turned(page):  # which turns all pages
            raise MustBeLoaded(*TURNED)
        one, channels = Rows(path, page, tiff.samples(picture, page, stored)), "S" in page.axes
        rows.append(_obstacle(page, stored, one) or one)
        shape = (one.height, one.width, one.channels) if channels or one.channels > 1 else (one.height, one.width)
        return tiff.frame_of(path, np.broadcast_to(np.zeros((), one.dtype), shape), stored, len(shape) == 3)

    def stacked(*_: object) -> None:
        raise MustBeLoaded("its pages are one array", "save them as pages of their own, without ImageJ's description")

    picture = tiff.read_open(path, file, outlined, stacked)
    if number is not None:
        picture, rows = files.single_page(picture, number), rows[number - 1 : number]
    found = []
    for one in rows:
        if isinstance(one, MustBeLoaded):
            raise one
        found.append(one)
    return picture, found


def _turned(page: tifffile.TiffPage) -> bool:
    return bool(page.tags.valueof(tags.ORIENTATION, 1) != 1)


def _obstacle(page: tifffile.TiffPage, stored: tiff.Page, rows: Rows) -> MustBeLoaded | None:
    """Return why a page cannot be read row by row, or None if it can."""
    if page.axes not in ("YX", "YXS", "SYX") or (page.tile and len(page.tile) != 2) or rows.dtype.kind not in "uif":
        return MustBeLoaded("a page of it is a volume", "save its planes as pages of their own")
    if _turned(page):
        return MustBeLoaded(*TURNED)
    if stored.photometric == tags.YCBCR:
        return MustBeLoaded("its colours are stored as YCbCr", "store it as RGB first")
    if not rows.streams:
        return MustBeLoaded("it is compressed in one piece", "store it in strips or tiles first")
    return None
