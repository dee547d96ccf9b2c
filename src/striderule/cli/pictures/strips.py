"""TIFF pages larger than memory: rows read as they are needed, and strips or tiles made of rows as they come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from striderule.cli.pictures.tiff import Samples

# Bytes of a strip, where the source had no tiles.
STRIP = 1 << 18
JPEG = {6, 7, 34892, 33007}


class Rows:
    """The rows of one page, as (rows, width, channels), decoded when asked for.

    Rows are asked for from top to bottom, with some repeated; what was decoded last is kept until later rows are asked
    for. Files that are not compressed are read where they lie.
    """

    def __init__(self, path: Path, page: tifffile.TiffPage, samples: Samples) -> None:
        self.page, self.samples = page, samples
        self.planar = int(page.planarconfig or 1) == 2 and page.samplesperpixel > 1
        self.height, self.width = page.imagelength, page.imagewidth
        # As they are stored, and as they are given: a palette's colours have three channels.
        self._stored, self._type = page.samplesperpixel, np.dtype(page.dtype)
        self.channels = self._stored if samples.colours is None else samples.colours.shape[-1]
        self.dtype = samples.dtype
        self._whole: NDArray[Any] | None = None
        if page.is_memmappable:
            form = (self._stored, self.height, self.width) if self.planar else (self.height, self.width, self._stored)
            stored = self._type.newbyteorder(page.parent.byteorder)
            mapped = np.memmap(path, stored, "r", page.dataoffsets[0], form)
            self._whole = np.moveaxis(mapped, 0, -1) if self.planar else mapped
        self._kept: dict[int, NDArray[Any]] = {}

    @property
    def step(self) -> int:
        """Rows that are decoded together."""
        length = self.page.tilelength if self.page.is_tiled else self.page.rowsperstrip
        return int(min(length, self.height))

    @property
    def streams(self) -> bool:
        """Whether a few rows can be read without the others."""
        return self._whole is not None or self.step * 8 <= self.height or self.step * self.width * self._stored < STRIP

    def __call__(self, low: int, high: int) -> NDArray[Any]:
        """Return the rows from `low` to `high`; those beyond the page are found at its other end."""
        if low < 0 or high > self.height:
            pieces = [self(row % self.height, row % self.height + 1) for row in range(low, high)]
            return np.concatenate(pieces)
        if self._whole is not None:
            rows = self._whole[low:high].astype(self._type)
        else:
            for number in [number for number in self._kept if number < low // self.step]:
                del self._kept[number]
            parts = [self._decoded(number) for number in range(low // self.step, -(-high // self.step))]
            first = low // self.step * self.step
            rows = np.concatenate(parts)[low - first : high - first]
        return self.samples.of(rows if self.samples.colours is None else rows[..., 0])

    def _decoded(self, number: int) -> NDArray[Any]:
        """Return one row of tiles, or one strip, of all channels."""
        if number in self._kept:
            return self._kept[number]
        page, step = self.page, self.step
        rows = min(step, self.height - number * step)
        found = np.empty((rows, self.width, self._stored), self._type)
        across = -(-self.width // page.tilewidth) if page.is_tiled else 1
        down = -(-self.height // step)
        words: dict[str, Any] = {"_fullsize": False}
        if int(page.compression) in JPEG:
            words |= {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        for sample in range(self._stored if self.planar else 1):
            first = (sample * down + number) * across
            indices = range(first, first + across)
            segments = page.parent.filehandle.read_segments(
                [page.dataoffsets[i] for i in indices], [page.databytecounts[i] for i in indices], indices=indices
            )
            for data, index in segments:
                segment, place, _ = page.decode(data, index, **words)
                column = place[3]
                wide = min(self.width - column, page.tilewidth) if page.is_tiled else self.width
                channels = slice(sample, sample + 1) if self.planar else slice(None)
                if segment is None:
                    found[:, column : column + wide, channels] = page.nodata
                else:
                    found[:, column : column + wide, channels] = segment[0, :rows, :wide]
        self._kept[number] = found
        return found


def pieces(blocks: Iterator[NDArray[Any]], tile: tuple[int, ...] | None, rows: int) -> Iterator[NDArray[Any]]:
    """Yield strips of `rows` rows, or the tiles of every row of tiles, of blocks of rows that come one after the other.

    Blocks are (rows, width, channels) or (rows, width). Tiles at the edges are smaller; who writes them fills them up.
    """
    high = tile[-2] if tile is not None else rows
    waiting: list[NDArray[Any]] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        if count < high:
            continue
        ready = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
        whole = count // high * high
        yield from _cut(ready[:whole], tile, high)
        waiting, count = [ready[whole:]], count - whole
    if count:
        yield from _cut(np.concatenate(waiting), tile, high)


def _cut(ready: NDArray[Any], tile: tuple[int, ...] | None, high: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(ready), high):
        strip = ready[start : start + high]
        if tile is None:
            yield np.ascontiguousarray(strip)
        else:
            for column in range(0, strip.shape[1], tile[-1]):
                yield np.ascontiguousarray(strip[:, column : column + tile[-1]])
