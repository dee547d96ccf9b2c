"""A TIFF file's pages as they are described in it, without their pixels: what is needed to filter them row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from striderule.cli.pictures import tags, tiff
from striderule.cli.pictures.model import Frame, Picture
from striderule.cli.pictures.strips import Rows


class MustBeLoaded(Exception):
    """The file cannot be read row by row."""


def of(path: Path, file: tifffile.TiffFile) -> tuple[Picture, list[Rows]]:
    """Return the picture, whose frames have a shape and a type but no pixels, and the rows of its pages.

    Raises
    ------
    MustBeLoaded
        If pages have to be decoded whole, or are not what they seem: stacks that are one array, palettes, samples of
        odd depth, pages that are turned, volumes.
    """
    rows: list[Rows] = []

    def outlined(path: Path, _: Picture, page: tifffile.TiffPage, stored: tiff.Page) -> Frame:
        plain = page.dtype is not None and page.axes in ("YX", "YXS", "SYX") and stored.photometric != tags.PALETTE
        if not plain or page.dtype == bool or page.bitspersample != 8 * np.dtype(page.dtype).itemsize:
            raise MustBeLoaded
        turned = page.tags.valueof(tags.ORIENTATION, 1) != 1
        if turned or (page.tile and len(page.tile) != 2) or stored.photometric == tags.YCBCR:
            raise MustBeLoaded
        one = Rows(path, page)
        if not one.streams or one.dtype.kind not in "uif":
            raise MustBeLoaded
        if one.inverted:
            stored.photometric = tags.BLACK_IS_ZERO
        rows.append(one)
        channels = "S" in page.axes
        shape = (one.height, one.width, one.channels) if channels else (one.height, one.width)
        return tiff.frame_of(path, np.broadcast_to(np.zeros((), one.dtype), shape), stored, channels)

    def stacked(*_: object) -> None:
        raise MustBeLoaded

    return tiff.read_open(path, file, outlined, stacked), rows
