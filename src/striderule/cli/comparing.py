"""A picture before and after, side by side and labelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from striderule.cli import beside
from striderule.cli.pictures import Frame, outline

# Neither side is larger; space beside the pictures, and the height of letters as a share of the pictures'.
LARGEST, GAP, LETTER = 1600, 12, 0.045
PAPER, INK = (255, 255, 255), (32, 32, 32)


def write(path: Path, before: tuple[Frame, str], after: tuple[Frame, str], *, overwrite: bool) -> None:
    """Write both pictures, each over its label, under the suffix of `path`."""
    left, right = _image(before[0]), _image(after[0])
    height = min(left.height, LARGEST, max(1, round(LARGEST * left.height / left.width)))
    sides = [
        side.resize((max(1, round(side.width * height / side.height)), height), _way(side, height))
        for side in (left, right)
    ]
    letters = max(12, min(36, round(LETTER * height)))
    font = ImageFont.load_default(letters)
    # Narrow pictures stand in columns as wide as their labels.
    labels = [
        _fitting(label, font, max(side.width, 240)) for side, (_, label) in zip(sides, (before, after), strict=True)
    ]
    widths = [max(side.width, round(font.getlength(label))) for side, label in zip(sides, labels, strict=True)]
    sheet = Image.new("RGB", (sum(widths) + 3 * GAP, height + 2 * GAP + round(1.6 * letters)), PAPER)
    draw = ImageDraw.Draw(sheet)
    x = GAP
    for side, label, width in zip(sides, labels, widths, strict=True):
        sheet.paste(side, (x + (width - side.width) // 2, GAP))
        draw.text((x + width / 2, height + GAP + 0.8 * letters), label, fill=INK, font=font, anchor="mm")
        x += width + GAP
    with beside.replacing(path, overwrite=overwrite) as fresh:
        sheet.save(fresh)


def preview(path: Path, number: int = 1) -> Frame:
    """Return a page of a TIFF file as small as the picture side by side shows it, averaged row by row.

    Raises
    ------
    MustBeLoaded
        If the page cannot be read row by row.
    """
    with tifffile.TiffFile(path) as tif:
        picture, pages = outline.of(path, tif, number)
        frame, rows = picture.frames[0], pages[0]
        # Areas of whole pixels, so that at least as many are left as are shown.
        step = max(1, max(frame.size) // LARGEST)
        height, width = (n // step for n in frame.size)
        small = np.empty((height, width, rows.channels), rows.dtype)
        for row in range(height):
            part = rows(row * step, (row + 1) * step)[:, : width * step]
            # The rows first: sums of rows are quicker than sums of pieces of rows.
            line = part.sum(axis=0, dtype=np.float64).reshape(width, step, rows.channels)
            means = line.sum(axis=1) / step**2
            small[row] = means if rows.dtype.kind == "f" else np.rint(means)
    return replace(frame, pixels=small.reshape(height, width, *frame.pixels.shape[2:]))


def _way(side: Image.Image, height: int) -> Image.Resampling:
    """Return how to resize: shrinking averages, growing shows the pixels."""
    return Image.Resampling.BOX if side.height > height else Image.Resampling.NEAREST


def _fitting(label: str, font: Any, width: int) -> str:
    """Return the label, cut to a width."""
    if font.getlength(label) <= width:
        return label
    while len(label) > 1 and font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…"


def _image(frame: Frame) -> Image.Image:
    """Return a frame as an RGB picture of 8 bits: its first plane, opacity over white, bands by their first."""
    pixels = frame.pixels
    while pixels.ndim > (3 if frame.has_channels else 2):
        pixels = pixels[0]
    opacity = None
    if frame.alpha is not None:
        opacity = _bytes(pixels[..., frame.alpha])
        pixels = np.delete(pixels, frame.alpha, axis=-1)
    levels = _bytes(pixels)
    if frame.colour == "cmyk":
        image = _from_cmyk(levels)
    elif frame.colour == "rgb":
        image = Image.fromarray(levels)
    else:
        image = Image.fromarray(levels if levels.ndim == 2 else np.ascontiguousarray(levels[..., 0])).convert("RGB")
    if opacity is None:
        return image
    return Image.composite(image, Image.new("RGB", image.size, PAPER), Image.fromarray(opacity))


def _from_cmyk(levels: NDArray[np.uint8]) -> Image.Image:
    return Image.merge("CMYK", [Image.fromarray(np.ascontiguousarray(levels[..., c])) for c in range(4)]).convert("RGB")


def _bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the samples in 8 bits: unsigned ones by their range, others stretched from the smallest to the largest."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    values = pixels.astype(np.float64)
    low, high = (0.0, float(np.iinfo(pixels.dtype).max)) if pixels.dtype.kind == "u" else _ends(values)
    shown = np.nan_to_num((values - low) * (255 / (high - low) if high > low else 0.0))
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
