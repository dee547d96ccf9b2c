"""TIFF files larger than memory through filters: read, filtered and written a few rows at a time.

Every block of rows goes through all filters of a chain with as many rows around it as the chain reads, so that what
lies between the filters is never larger than a block. Where brightness depends on the range of all results (``--show
signed``), the range is found in a first round, and the file is written in a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import striderule
from striderule.cli import beside, display, room
from striderule.cli.chain import Named
from striderule.cli.pictures import Frame, Picture, files
from striderule.cli.processing import (
    Task,
    check_fill,
    chosen_display,
    clipping,
    filter_plane,
    remapped,
    resolve,
    target_of,
)
from striderule.cli.progress import bar
from striderule.errors import InvalidArgument
from striderule.geometry.bands import Reach, Span, blocks, cut
from striderule.geometry.padding import parse_boundary

# Samples from which on a file is not loaded whole, and those of a block.
LARGE, ROOM = 1 << 26, 1 << 23
# Tiles of compressed files that had strips, and from which size on a file needs 64-bit offsets.
TILE, BIG = (256, 256), (1 << 32) - (1 << 25)
# Bytes of tiles that are made before they are packed and written, all together.
AHEAD = 1 << 22

Advance = Callable[[int], None]


def run(
    source: Path, target: Path, task: Task, *, overwrite: bool, page: int | None = None, quiet: bool = True
) -> Picture | None:
    """Filter a large TIFF file into another; return what was written, without pixels, or None if it must be loaded.

    That is so for small files, for other formats, for stacks that are one array and pages that have to be decoded
    whole, and for filters whose results depend on the whole picture (Canny). With a `page` only that one is filtered.

    Raises
    ------
    PictureError
        If a large file must be loaded and there is not so much memory.
    """
    if not source.is_file():
        return None
    with source.open("rb") as file:
        if file.read(4) not in files.TIFF_MAGIC:
            return None
    import tifffile

    from striderule.cli.pictures import outline

    try:
        with tifffile.TiffFile(source) as tif:
            sizes = [(series.size, np.dtype(series.dtype)) for series in tif.series]
            if sum(size for size, _ in sizes) <= LARGE:
                return None
            try:
                return _streamed(tif, source, target, task, overwrite=overwrite, page=page, quiet=quiet)
            except outline.MustBeLoaded as error:
                room.check(source, room.needed(sizes), error.reason, error.way_out, quiet=quiet)
    except tifffile.TiffFileError:
        pass  # reading it whole will say what is wrong
    return None


def _streamed(
    tif: Any, source: Path, target: Path, task: Task, *, overwrite: bool, page: int | None, quiet: bool
) -> Picture:
    """Filter the open file `tif` row by row.

    Raises
    ------
    MustBeLoaded
        If that cannot be.
    """
    from striderule.cli.pictures import outline

    if files.format_of(target) != "TIFF":
        raise outline.MustBeLoaded("only TIFF is written row by row", "let OUT end in .tif")
    picture, rows = outline.of(source, tif, page)
    if task.alpha == "drop" and any(frame.alpha is not None for frame in picture.frames):
        raise outline.MustBeLoaded("--alpha drop changes the channels", "drop the opacity of the result")
    reach = _reach(task, picture)
    if reach is None:
        way_out = "cut it first, or filter a numpy.memmap in Python, where striderule.filters goes band by band"
        raise outline.MustBeLoaded(f"{task.text} depends on all of it", way_out)
    strips = [_Page(frame, one, task, reach) for frame, one in zip(picture.frames, rows, strict=True)]
    return _Run(picture, strips, task, quiet).write(target, overwrite)


def _reach(task: Task, picture: Picture) -> tuple[int, int] | None:
    """Return how many rows the chain reads above and below, or None if that depends on the picture."""
    # Found with every pixel kept, in floats, on a picture that has the same channels.
    plain = replace(task, stride=(1, 1), boundary="symmetric", fill=0)
    channels = max(1, picture.frames[0].pixels.shape[-1] if picture.frames[0].has_channels else 1)
    if any(isinstance(step, Named) and step.name == "canny" for step in task.steps):
        return None
    size = min(min(frame.size) for frame in picture.frames)
    try:
        found = striderule.halo(lambda x: filter_plane(x, plain), striderule.Array((max(size, 64), 64, channels)))
    except InvalidArgument:
        return None
    return found[0]


@dataclass(frozen=True)
class _Page:
    """One page, its rows, and the blocks of results that it is cut into."""

    frame: Frame
    rows: Any
    task: Task
    reach: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        height, width = (-(-n // step) for n, step in zip(self.frame.size, self.task.stride, strict=True))
        return height, width

    @property
    def keeps(self) -> int | None:
        """The channel that is not filtered."""
        return self.frame.alpha if self.task.alpha == "keep" else None

    def spans(self) -> Iterator[Span]:
        """Yield the rows of the result block by block, with what each reads."""
        before, after = parse_boundary(self.task.boundary, 2)[0]
        turns = (before == "wrap", after == "wrap")
        height, width = self.frame.size
        axes = (
            Reach(height, self.size[0], *self.reach, self.task.stride[0], turns),
            Reach(width * self.rows.channels, width * self.rows.channels),
        )
        for one, _ in blocks(axes, cut(axes, ROOM, (True, False))):
            yield one

    def filtered(self, span: Span, channel: int | None = None) -> NDArray[Any]:
        """Return the results of a block, (rows, width, channels): of one channel, or of all that are filtered."""
        part = self.rows(span.low, span.high)
        if channel is not None:
            part = part[..., channel : channel + 1]
        elif self.keeps is not None:
            part = np.delete(part, self.keeps, axis=-1)
        return filter_plane(part, self.task)[span.skipped : span.skipped + span.stop - span.start]

    def opacity(self, span: Span, target: np.dtype[Any]) -> NDArray[Any]:
        """Return the channel that is not filtered, with as many rows and columns as the results."""
        down, across = self.task.stride
        part = self.rows(max(0, span.start * down), (span.stop - 1) * down + 1)
        return display.change_depth(part[::down, ::across, self.keeps], target)


class _Run:
    """The rounds over all pages."""

    def __init__(self, picture: Picture, pages: list[_Page], task: Task, quiet: bool) -> None:
        self.picture, self.pages, self.task, self.quiet = picture, pages, task, quiet
        for page in pages:
            check_fill(task, page.rows.dtype)
        self.show = resolve(task, {self.target(page).kind for page in pages})
        self.found = display.Range(0, 0)
        self.seen: list[display.Range] = []
        self.clipped = self.total = 0

    def target(self, page: _Page) -> np.dtype[Any]:
        """Return the type of the samples written."""
        return target_of(page.rows.dtype, self.task)

    def write(self, target: Path, overwrite: bool) -> Picture:
        """Filter all pages into the file `target`; return the picture that was written, without its pixels."""
        needs_range = self.show in ("signed", "magnitude", "scaled") and self.task.gain is None
        needs_range = needs_range and (self.show == "scaled" or any(self.target(p).kind in "ui" for p in self.pages))
        rounds = 2 if needs_range else 1
        rows = sum(page.size[0] for page in self.pages)
        with self._bar(rounds * rows) as advance:
            if needs_range:
                self._look(advance)
            frames = [self._outline(page) for page in self.pages]
            result = self.picture.resampled(frames, self.task.stride, remapped(self.show, self.task))
            with beside.replacing(target, overwrite=overwrite) as fresh:
                self._write(fresh, result, advance)
        found = _united(self.seen)
        for page in self.pages:
            chosen_display(result, self.show, found, page.rows.dtype, self.task)
        if self.clipped:
            result.note(clipping(self.clipped, self.total, found, self.target(self.pages[0])))
        return result

    def _look(self, advance: Advance) -> None:
        """Find the range of all results."""
        for page in self.pages:
            for span in page.spans():
                self.seen.append(display.range_of([page.filtered(span)]))
                advance(span.stop - span.start)
        self.found = _united(self.seen)

    def _outline(self, page: _Page) -> Frame:
        """Return the frame that will be written: its shape and type without memory."""
        shape = (*page.size, *((page.rows.channels,) if page.frame.has_channels else ()))
        return replace(page.frame, pixels=np.broadcast_to(np.zeros((), self.target(page)), shape))

    def _write(self, path: Path, result: Picture, advance: Advance) -> None:
        import tifffile

        from striderule.cli.pictures import strips, tiff

        source = self.picture.source
        big = source.bigtiff or sum(frame.pixels.size * frame.pixels.itemsize for frame in result.frames) > BIG
        with tifffile.TiffWriter(path, bigtiff=big, byteorder=source.byteorder) as writer:
            for page, frame, stored in zip(self.pages, result.frames, source.pages, strict=True):
                options = tiff.storage(result, frame, stored) | tiff.described(result, source, frame, stored)
                planes = range(page.rows.channels) if page.rows.planar else [None]
                parts = [self._blocks(page, channel, advance) for channel in planes]
                line = frame.pixels.itemsize * frame.pixels[0].size // len(parts)
                data: Iterator[Any]
                if int(options["compression"]) != 1 and "tile" not in options:
                    options["tile"] = TILE
                if "tile" in options:
                    data = chain.from_iterable(strips.pieces(part, options["tile"], 0) for part in parts)
                else:
                    options["rowsperstrip"] = max(1, min(frame.size[0], strips.STRIP // max(1, line)))
                    stored_type = frame.pixels.dtype.newbyteorder(source.byteorder)
                    pieces = (strips.pieces(part, None, options["rowsperstrip"]) for part in parts)
                    data = (piece.astype(stored_type).tobytes() for piece in chain.from_iterable(pieces))
                shape = tiff.planes(frame, stored).shape
                plain: dict[str, Any] = {"metadata": None, "software": False, "buffersize": AHEAD}
                writer.write(data, shape=shape, dtype=frame.pixels.dtype, **plain, **options)

    def _blocks(self, page: _Page, channel: int | None, advance: Advance) -> Iterator[NDArray[Any]]:
        """Yield the samples to be written, block by block; of one channel where channels lie one behind the other."""
        target = self.target(page)
        chosen = display.choose(self.show, self.found, page.rows.dtype, target, self.task.gain)
        kept = page.keeps
        for span in page.spans():
            if channel is not None and channel == kept:
                yield page.opacity(span, target)
            else:
                results = page.filtered(span, channel)
                self.seen.append(display.range_of([results]))
                shown, clipped = display.apply(chosen, results, target)
                self.clipped, self.total = self.clipped + clipped, self.total + results.size
                if channel is None and kept is not None:
                    shown = np.insert(shown, kept, page.opacity(span, target), axis=-1)
                yield shown if channel is None and page.frame.has_channels else shown[..., 0]
            advance(0 if channel else span.stop - span.start)

    def _bar(self, rows: int) -> AbstractContextManager[Advance]:
        return nullcontext(lambda _: None) if self.quiet else bar(rows)


def _united(ranges: list[display.Range]) -> display.Range:
    return display.Range(min((one.low for one in ranges), default=0.0), max((one.high for one in ranges), default=0.0))
