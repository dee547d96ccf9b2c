"""TIFF through tifffile: every depth, any number of pages, and the tags copied byte for byte.

Tags that describe how the pixels are stored are written anew; those that describe the picture (date, camera, ICC, XMP,
GeoTIFF, OME, private ones) keep type and bytes, which is why the copy has the byte order of its source.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from striderule.cli.pictures import exif, geo
from striderule.cli.pictures.depth import plain_colours
from striderule.cli.pictures.model import COLOURS, Frame, Metadata, Picture, PictureError, upright
from striderule.cli.pictures.tags import (
    BLACK_IS_ZERO,
    DEFLATE,
    DESCRIPTION,
    DIRECTORIES,
    ICC,
    JPEGS,
    LOSSLESS,
    ORIENTATION,
    PALETTE,
    RGB,
    SEPARATED,
    STORAGE,
    UNITS,
    WHITE_IS_ZERO,
    XMP,
    YCBCR,
)

# The library warns about odd files through its log; what matters to the user is said in the picture's notes.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# Makes a frame of a page.
Decode = Callable[[Path, Picture, tifffile.TiffPage, "Page"], Frame]


@dataclass
class Page:
    """How one page was stored, and its tags as (code, type, bytes)."""

    tags: list[tuple[int, int, bytes]]
    photometric: int
    planar: bool
    extrasamples: tuple[int, ...]
    compression: int
    predictor: bool
    tile: tuple[int, ...] | None
    resolution: tuple[Fraction, Fraction] | None
    unit: int
    volume: bool
    colormap: NDArray[Any] | None = None


@dataclass
class Source:
    """What all pages of a file share; `axes` are set where the file is one array (ImageJ and packed stacks)."""

    byteorder: Any
    bigtiff: bool
    pages: list[Page] = field(default_factory=list)
    imagej: dict[str, Any] | None = None
    ome: bool = False
    axes: str = ""
    shape: tuple[int, ...] = ()
    geo: bool = False


def read(path: Path) -> Picture:
    """Read all pages of a TIFF file in full depth; upright, unless a map projection is tied to the stored rows."""
    try:
        with tifffile.TiffFile(path) as tif:
            return read_open(path, tif, _decode, _read_array)
    except (tifffile.TiffFileError, ValueError, struct.error, RuntimeError, KeyError, IndexError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{path} cannot be read: {error}") from error


def read_open(path: Path, tif: tifffile.TiffFile, decode: Decode, stack: Callable[..., None]) -> Picture:
    """Return the picture in an open file: `decode` makes a frame of each page, `stack` reads what is one array."""
    picture = Picture([], "TIFF")
    source = Source(tif.byteorder, tif.is_bigtiff, ome=tif.is_ome)
    picture.source = source
    pages = [page for page in tif.pages if isinstance(page, tifffile.TiffPage)]
    full = [page for page in pages if not page.is_reduced] or pages
    if not full:
        raise PictureError(f"{path} cannot be read: it holds no page; the TIFF file is damaged or cut off")
    if len(full) < len(pages) or any(page.subifds for page in full):
        picture.note("smaller copies in the file (previews, pyramid levels) are left out")
    if any(len(_names(series)) > 1 for series in tif.series):
        raise PictureError(f"{path} is one part of a picture that spans several files; join them into one file first")
    lost = {words for page in full for code, words in DIRECTORIES.items() if code in page.tags}
    if lost:
        picture.note(f"{' and '.join(sorted(lost))} of the file cannot be copied by tifffile and is left out")
    packed = tif.series[0].size > sum(page.size for page in full)
    # tifffile reads its own stacks as one array behind the first page, so they must be written as one.
    stacked = tif.is_shaped and len(tif.series) == 1 < len(full) and int(full[0].photometric) in (BLACK_IS_ZERO, RGB)
    if tif.is_imagej or packed or stacked:
        stack(path, tif, source, picture, full[0])
    else:
        for page in full:
            source.pages.append(_page(tif, page))
            picture.frames.append(decode(path, picture, page, source.pages[-1]))
    _read_metadata(picture, source)
    return picture


def _names(series: Any) -> set[str]:
    return {page.parent.filename for page in series.pages if page is not None}


def _read_array(path: Path, tif: tifffile.TiffFile, source: Source, picture: Picture, first: tifffile.TiffPage) -> None:
    """Read a file whose pages are one array, stored behind a single directory or described as a hyperstack."""
    if len(tif.series) > 1:
        raise PictureError(f"{path} holds {len(tif.series)} stacks of different kinds; save them as files of their own")
    series = tif.series[0]
    source.axes, source.shape = series.axes, series.shape
    source.imagej = dict(tif.imagej_metadata or {}) if tif.is_imagej else None
    page = _page(tif, first)
    # In ImageJ files a palette only colours the display; the samples are measurements.
    if page.photometric == PALETTE:
        page.colormap, page.photometric = first.colormap, BLACK_IS_ZERO
    source.pages = [page]
    data = series.asarray()
    samples = series.axes.find("S")
    if samples >= 0:
        data = np.moveaxis(data, samples, -1)
    picture.frames = [frame_of(path, data, page, samples >= 0)]


def _page(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> Page:
    tags = []
    for tag in page.tags.values():
        if tag.code in STORAGE or tag.code in DIRECTORIES:
            continue
        tif.filehandle.seek(tag.valueoffset)
        tags.append((int(tag.code), int(tag.dtype), tif.filehandle.read(tag.valuebytecount)))
    unit = page.tags.valueof(296, 1)
    return Page(
        tags=tags,
        photometric=int(page.photometric),
        planar=int(page.planarconfig or 1) == 2,
        extrasamples=tuple(int(value) for value in page.extrasamples),
        compression=int(page.compression),
        predictor=int(page.predictor) > 1,
        tile=tuple(page.tile) if page.tile else None,
        resolution=_resolution(page),
        unit=int(unit),
        volume="Z" in page.axes,
    )


def _resolution(page: tifffile.TiffPage) -> tuple[Fraction, Fraction] | None:
    values = [page.tags.valueof(code) for code in (282, 283)]
    if any(value is None or 0 in value for value in values):
        return None
    return Fraction(*values[0]), Fraction(*values[1])


def _decode(path: Path, picture: Picture, page: tifffile.TiffPage, stored: Page) -> Frame:
    if page.dtype is None:
        raise PictureError(f"{path} holds samples that tifffile cannot read ({page.bitspersample} bits)")
    data = page.asarray()
    axes = page.axes
    if "S" in axes:
        data = np.moveaxis(data, axes.index("S"), -1)
    made = samples(picture, page, stored)
    return frame_of(path, made.of(data), stored, "S" in axes or made.colours is not None)


@dataclass(frozen=True)
class Samples:
    """What makes pixels of the samples of a page, which `of` is given as tifffile decodes them."""

    dtype: np.dtype[Any]
    colours: NDArray[Any] | None = None
    inverted: bool = False

    def of(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return pixels: bits as black and white, places in a palette as its colours, brightness upwards."""
        if self.colours is not None:
            return np.asarray(self.colours[data])
        if data.dtype == bool:
            data = data.astype(np.uint8) * np.uint8(255)
        return np.asarray(np.iinfo(data.dtype).max - data) if self.inverted else data


def samples(picture: Picture, page: tifffile.TiffPage, stored: Page) -> Samples:
    """Return what makes pixels of a page's samples, say so where it matters, and correct how they are called."""
    dtype, bits = np.dtype(page.dtype), page.bitspersample
    if dtype.kind == "b":
        picture.note("black-and-white picture (1 bit): filtered and written as 8-bit grey")
        dtype = np.dtype(np.uint8)
    elif dtype.kind in "ui" and bits not in (8 * dtype.itemsize, 1):
        picture.note(f"{bits}-bit samples keep their values and are written in {8 * dtype.itemsize} bits")
    if stored.photometric == PALETTE and page.colormap is not None:
        picture.note("palette picture: filtered and written as full colour")
        colours = plain_colours(np.asarray(page.colormap))
        stored.photometric, stored.extrasamples, stored.planar = RGB, (), False
        return Samples(colours.dtype, colours)
    inverted = stored.photometric == WHITE_IS_ZERO and dtype.kind == "u" and bits in (1, 8, 16, 32)
    if inverted:
        # Brightness is what a filter means; the copy says "black is zero" and looks the same.
        stored.photometric = BLACK_IS_ZERO
    if stored.photometric == YCBCR and stored.compression in JPEGS:
        stored.photometric = RGB  # the JPEG decoder has already turned it into RGB
    return Samples(dtype, inverted=inverted)


def frame_of(path: Path, data: NDArray[Any], page: Page, channels: bool) -> Frame:
    """Return the frame of a page's samples, whose last axis counts channels if there are such."""
    names = {WHITE_IS_ZERO: "grey", BLACK_IS_ZERO: "grey", RGB: "rgb", SEPARATED: "cmyk"}
    colour = names.get(page.photometric)
    if colour is None or data.dtype.kind not in "uif":
        name = tifffile.PHOTOMETRIC(page.photometric).name if colour is None else f"{data.dtype} samples"
        raise PictureError(f"{path} is stored as {name}, which is not filtered; convert it to RGB or grey first")
    if not channels:
        return Frame(data, colour)
    extras = page.extrasamples
    alphas = [index for index, kind in enumerate(extras) if kind in (1, 2)]
    base = data.shape[-1] - len(extras)
    alpha = base + alphas[0] if alphas else None
    if len(extras) > len(alphas) or len(alphas) > 1 or base != COLOURS[colour]:
        colour = "bands"
    return Frame(data, colour, alpha)


def _read_metadata(picture: Picture, source: Source) -> None:
    page = source.pages[0]
    raw = {code: value for code, _, value in page.tags}
    source.geo = any(code in raw for code in geo.GEO_TAGS)
    picture.metadata = Metadata(
        icc=raw.get(ICC), xmp=raw.get(XMP), resolution=page.resolution, unit=UNITS.get(page.unit, "")
    )
    if geo.NO_DATA in raw:
        value = raw[geo.NO_DATA].rstrip(b"\0 ").decode("ascii", "replace")
        picture.note(f"the file marks {value} as no data; such pixels are filtered like any other value")
    order = "little" if source.byteorder == "<" else "big"
    turn = int.from_bytes(raw.get(ORIENTATION, b"\1\0" if order == "little" else b"\0\1"), order)  # type: ignore[arg-type]
    if turn not in range(2, 9):
        return
    if source.geo:
        picture.note("the orientation tag is left as it is: the map projection counts the stored rows")
        return
    for frame in picture.frames:
        frame.pixels = upright(frame.pixels, turn, frame.has_channels)
    for each in source.pages:
        each.tags = [_upright_tag(tag, order) for tag in each.tags]
        if turn >= 5 and each.resolution is not None:
            each.resolution = each.resolution[::-1]
    picture.metadata.resolution = source.pages[0].resolution
    if picture.metadata.xmp is not None:
        picture.metadata.xmp = exif.xmp_for_upright(picture.metadata.xmp)


def _upright_tag(tag: tuple[int, int, bytes], order: str) -> tuple[int, int, bytes]:
    code, kind, value = tag
    if code == ORIENTATION:
        return code, kind, (1).to_bytes(len(value), order)  # type: ignore[arg-type]
    return (code, kind, exif.xmp_for_upright(value)) if code == XMP else tag


def write(path: Path, picture: Picture) -> None:
    """Write the picture as TIFF: with the tags of its source if that was TIFF, else with what the metadata holds."""
    source = picture.source
    if not isinstance(source, Source):
        _write_plain(path, picture)
    elif source.axes:
        _write_array(path, picture, source)
    else:
        with tifffile.TiffWriter(path, bigtiff=source.bigtiff, byteorder=source.byteorder) as writer:
            for frame, page in zip(picture.frames, source.pages, strict=True):
                options = storage(picture, frame, page) | described(picture, source, frame, page)
                writer.write(planes(frame, page), metadata=None, software=False, **options)


def _write_plain(path: Path, picture: Picture) -> None:
    metadata = picture.metadata
    if "exif" in metadata.held():
        picture.note("the EXIF data is not carried into TIFF; the picture stands upright without it")
    options: dict[str, Any] = {"metadata": None, "software": False}
    if metadata.resolution is not None:
        options["resolution"] = tuple((value.numerator, value.denominator) for value in metadata.resolution)
        options["resolutionunit"] = {"inch": 2, "centimetre": 3}.get(metadata.unit, 1)
    if metadata.icc is not None:
        options["iccprofile"] = metadata.icc
    if metadata.xmp is not None:
        options["extratags"] = [(XMP, 1, len(metadata.xmp), metadata.xmp, True)]
    words = [*metadata.texts.values(), *([metadata.comment] if metadata.comment else [])]
    if words:
        options["description"] = "\n".join(words).encode()
    photometric = {"rgb": RGB, "cmyk": SEPARATED}
    with tifffile.TiffWriter(path) as writer:
        for frame in picture.frames:
            extras: dict[str, Any] = {} if frame.alpha is None else {"extrasamples": (2,), "planarconfig": 1}
            writer.write(frame.pixels, photometric=photometric.get(frame.colour, BLACK_IS_ZERO), **extras, **options)


def _write_array(path: Path, picture: Picture, source: Source) -> None:
    """Write a stack as the one array that it was, with ImageJ's own description where it had one."""
    frame, page = picture.frames[0], source.pages[0]
    axes = source.axes.replace("S", "")
    if frame.has_channels:
        axes = f"{axes[:-2]}S{axes[-2:]}" if page.planar else f"{axes}S"
    metadata: dict[str, Any] = {"axes": axes}
    options = storage(picture, frame, page) | described(picture, source, frame, page)
    options["extratags"] = [tag for tag in options["extratags"] if tag[0] != DESCRIPTION]
    if source.imagej is not None:
        metadata |= _imagej(picture, source.imagej)
        if page.colormap is not None and frame.pixels.dtype == np.uint8:
            options |= {"colormap": page.colormap, "photometric": PALETTE}
        if frame.pixels.dtype.name not in ("uint8", "uint16", "float32"):
            raise PictureError(f"ImageJ files do not hold {frame.pixels.dtype} samples; add --dtype float32")
    with tifffile.TiffWriter(
        path, bigtiff=source.bigtiff, byteorder=source.byteorder, imagej=source.imagej is not None
    ) as writer:
        data = np.moveaxis(frame.pixels, -1, -3) if page.planar and frame.has_channels else frame.pixels
        writer.write(data, metadata=metadata, software=False, **options)


def _imagej(picture: Picture, found: dict[str, Any]) -> dict[str, Any]:
    """Return ImageJ's metadata without what the filter has made untrue."""
    kept = {key: value for key, value in found.items() if key not in ("ImageJ", "shape", "axes")}
    if picture.remapped:
        for key in ("min", "max", "Ranges"):
            kept.pop(key, None)
    if picture.stride != (1, 1) and {"ROI", "Overlays"} & set(kept):
        picture.note("ImageJ's regions of interest are left out: they count the pixels of the full size")
        kept.pop("ROI", None)
        kept.pop("Overlays", None)
    return kept


def planes(frame: Frame, page: Page) -> NDArray[Any]:
    """Return the samples in the order in which the page stores them."""
    return np.moveaxis(frame.pixels, -1, 0) if page.planar and frame.has_channels else frame.pixels


def storage(picture: Picture, frame: Frame, page: Page) -> dict[str, Any]:
    """Return tifffile's arguments for storing the pixels as the source did, as far as that loses nothing."""
    extras = list(page.extrasamples)
    if frame.alpha is None:
        extras = [kind for kind in extras if kind not in (1, 2)]
    options: dict[str, Any] = {"photometric": page.photometric, "volumetric": page.volume and frame.pixels.ndim > 2}
    if frame.has_channels:
        options["planarconfig"] = 2 if page.planar else 1
        options["extrasamples"] = extras
    compression = page.compression
    if compression not in LOSSLESS:
        name = tifffile.COMPRESSION(compression).name
        picture.note(f"{name} compression is not repeated; the copy uses Deflate, which loses nothing")
        compression = DEFLATE
    options["compression"] = compression
    if page.predictor and compression not in (1, 32773):
        options["predictor"] = True
    if page.tile is not None:
        options["tile"] = page.tile
    if page.resolution is not None:
        down, across = picture.stride
        values = (page.resolution[0] / across, page.resolution[1] / down)
        options["resolution"] = tuple((value.numerator, value.denominator) for value in values)
        options["resolutionunit"] = page.unit
    return options


def described(picture: Picture, source: Source, frame: Frame, page: Page) -> dict[str, Any]:
    """Return the tags of the page for tifffile, those that speak of size and type made true."""
    raw = {code: value for code, _, value in page.tags}
    keys = np.frombuffer(raw.get(geo.KEY_DIRECTORY, b""), source.byteorder + "u2").tolist()
    from_centre = geo.counts_from_centre(keys)
    extratags = []
    for code, kind, value in page.tags:
        body = value
        if code in geo.GEO_TAGS and code != geo.KEY_DIRECTORY and picture.stride != (1, 1):
            doubles = np.frombuffer(value, source.byteorder + "f8").tolist()
            moved = geo.strided(code, doubles, picture.stride, from_centre)
            body = np.asarray(moved, source.byteorder + "f8").tobytes()
        elif code == DESCRIPTION:
            body = _description(value, picture, source, frame, page)
        extratags.append((code, kind, 0, body, True))
    return {"extratags": extratags}


def _description(value: bytes, picture: Picture, source: Source, frame: Frame, page: Page) -> bytes:
    """Return the description with the sizes of the result where it is OME-XML or tifffile's own JSON."""
    if source.ome:
        text = value.rstrip(b"\0").decode("utf-8", "surrogateescape")
        text = geo.ome_xml(text, frame.size, picture.stride, frame.pixels.dtype.name)
        return text.encode("utf-8", "surrogateescape")
    if value.startswith(b'{"shape"'):
        found = json.loads(value.rstrip(b"\0"))
        stored = planes(frame, page).shape[-3 if frame.has_channels else -2 :]
        found["shape"] = [*found["shape"][: -len(stored)], *stored]
        return json.dumps(found).encode()
    return value


def single_page(picture: Picture, index: int) -> Picture:
    """Return the picture, its stacks taken apart, with only the page at `index`."""
    source: Source = picture.source
    page = source.pages[index if len(source.pages) > 1 else 0]
    if source.ome or source.axes:
        if source.ome or source.imagej is not None:
            picture.note("the description of the stack (OME, ImageJ) is left out: it speaks of all pages")
        page = replace(page, tags=[tag for tag in page.tags if tag[0] != DESCRIPTION])
    source = replace(source, pages=[page], ome=False, axes="", imagej=None)
    return replace(picture, frames=[picture.frames[index]], source=source)
