"""The photograph that the chapters work on: the one that comes with the library, or the reader's own."""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striderule.errors import InvalidArgument, MissingExtra

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHIPPED = "coffee.jpg"
CREDIT = "The cup of espresso is by Rachel Michetti (Pikolo Espresso Bar), dedicated to the public domain under CC0."

# Long enough to be pleasant to look at, small enough that fifteen chapters take seconds.
LONGEST = 480
# The largest window of the chapters (3 taps, 9 apart) and the crop for the loops fit into this.
SHORTEST = 32


def shipped() -> Path:
    """Return the path of the photograph that comes with the library."""
    return Path(str(resources.files("striderule.tour") / "data" / SHIPPED))


def photograph(path: str | Path | None = None) -> NDArray[np.float64]:
    """Return a picture as an array of (height, width, 3) in red, green, blue from 0 to 1.

    Parameters
    ----------
    path
        Any picture that Pillow reads: colour, grey, palette, transparent (laid on white), 8 or 16 bits. It is turned
        as its EXIF orientation says, and scaled so that its longer side has at most 480 pixels (and its shorter one at
        least 32). Default: the photograph that comes with the library.

    Returns
    -------
    numpy.ndarray
        float64, (height, width, 3).

    Raises
    ------
    InvalidArgument
        If there is no such file, or Pillow cannot read it.
    MissingExtra
        If Pillow is not installed.

    Examples
    --------
    >>> photograph().shape
    (320, 480, 3)
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingExtra.of("tour", needs="Pillow") from None

    file = shipped() if path is None else Path(path).expanduser()
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise InvalidArgument(f"image must be a picture file, got {str(path)!r}, which {what}; check the path")
    try:
        with warnings.catch_warnings():
            # Pillow warns of very large pictures; the reader chose this one, and it is scaled down at once.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                opened.draft("RGB", (4 * LONGEST, 4 * LONGEST))  # lets a JPEG decode at a fraction of its size
                upright = ImageOps.exif_transpose(opened)
                picture = _rgb(upright)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise InvalidArgument(
            f"image must be a picture that Pillow reads, got {str(path)!r} ({problem}); save it as PNG or JPEG first"
        ) from problem
    scale = min(1.0, LONGEST / max(picture.size))
    size = tuple(max(SHORTEST, round(side * scale)) for side in picture.size)
    if size != picture.size:
        picture = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    return np.asarray(picture, dtype=np.float64) / 255


def _rgb(picture: Any) -> Any:
    """Return a picture of any of Pillow's modes as 8-bit RGB."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):  # 16- and 32-bit grey: Pillow's own conversion clips at 255
        grey = np.asarray(picture, dtype=np.float64)
        low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (float(grey.min()), float(grey.max()))
        grey = (grey - low) / max(high - low, 1e-12)
        return Image.fromarray(np.rint(255 * grey.clip(0, 1)).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(paper, picture).convert("RGB")
    return picture.convert("RGB")
