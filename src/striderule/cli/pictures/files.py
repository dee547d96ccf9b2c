"""One picture file in, one out: the right reader by content, the right writer by suffix, and never half a file."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from striderule.cli import beside
from striderule.cli.pictures import exif
from striderule.cli.pictures.model import Picture, PictureError
from striderule.errors import MissingExtra

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TIFF_SUFFIXES = (".tif", ".tiff", ".ome", ".btf", ".tf8")


def read(path: Path) -> Picture:
    """Return the picture in the file at `path`.

    Raises
    ------
    PictureError
        If the file does not exist, or is no picture that Pillow or tifffile reads in full depth.
    """
    _needs_packages()
    if not path.exists():
        raise PictureError(f"{path} does not exist")
    if path.is_dir():
        raise PictureError(f"{path} is a folder; name a picture file")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise PictureError(f"{path} is empty")
        if magic in TIFF_MAGIC:
            from striderule.cli.pictures import tiff

            return tiff.read(path)
        from striderule.cli.pictures import raster

        return raster.read(path)
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror or error}") from error


def format_of(path: Path) -> str:
    """Return Pillow's name of the format that the suffix of `path` stands for.

    Raises
    ------
    PictureError
        If nothing can be written under this suffix.
    """
    _needs_packages()
    from PIL import Image

    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return "TIFF"
    Image.init()
    form = Image.registered_extensions().get(suffix)
    if form is None or form not in Image.SAVE:
        raise PictureError(
            f"{path.name} must end in the suffix of a picture format that can be written, such as .png, .jpg, .tif, "
            f".webp or .gif; got {suffix or 'no suffix'}"
        )
    return form


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse a target that cannot or must not be written, before any work is done."""
    if path.is_dir():
        raise PictureError(f"{path} is a folder; name a file in it")
    format_of(path)
    if not path.parent.is_dir():
        raise PictureError(f"the folder {path.parent} does not exist; make it first")
    if path.exists() and not overwrite:
        raise PictureError(f"{path} exists; add --overwrite to replace it, or choose another name")


def check_kind(picture: Picture, path: Path) -> None:
    """Refuse pixels that the format of `path` cannot hold, with the way out."""
    form = format_of(path)
    if form != "TIFF":
        from striderule.cli.pictures import raster

        raster.check(picture.unstacked(), form, path.suffix)


def write(path: Path, picture: Picture, *, overwrite: bool = False, quality: int | None = None) -> None:
    """Write the picture under the suffix of `path`: into a new file beside it, renamed when it is complete.

    What the format cannot keep is added to the picture's notes.
    """
    check_target(path, overwrite)
    check_kind(picture, path)
    form = format_of(path)
    if picture.metadata.exif is not None:
        height, width = picture.frames[0].size
        metadata = replace(picture.metadata, exif=exif.for_upright(picture.metadata.exif, width, height))
        picture = replace(picture, metadata=metadata)
    with beside.replacing(path, overwrite=overwrite) as fresh:
        if form == "TIFF":
            from striderule.cli.pictures import tiff

            tiff.write(fresh, picture)
        else:
            from striderule.cli.pictures import raster

            raster.write(fresh, picture.unstacked(), form, quality)


def single_page(picture: Picture, number: int) -> Picture:
    """Return the picture with page `number` only, counted from 1."""
    pages = picture.unstacked()
    count = len(pages.frames)
    if not 1 <= number <= count:
        raise PictureError(f"--page must be between 1 and {count}, the number of pages in the file, got {number}")
    if picture.format == "TIFF":
        from striderule.cli.pictures import tiff

        return tiff.single_page(pages, number - 1)
    return replace(pages, frames=[pages.frames[number - 1]])


def _needs_packages() -> None:
    for module, package in (("PIL", "pillow"), ("tifffile", "tifffile")):
        # Asking for the package is much quicker than importing it, and most pictures need only one of the two.
        if importlib.util.find_spec(module) is None:
            raise MissingExtra.of("cli", needs=package)
