"""Pictures that Pillow reads and writes: everything but TIFF."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence, JpegImagePlugin, UnidentifiedImageError

from striderule.cli.pictures import exif, png
from striderule.cli.pictures.depth import sample_bits
from striderule.cli.pictures.model import Frame, Metadata, Picture, PictureError, upright

# Formats whose further pictures are previews, layers or sizes of the first one, not a sequence.
ONE_PICTURE = ("MPO", "PSD", "ICO", "ICNS")
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")

# What each format holds without changing the values; "L" and "RGB" where a format is not listed.
MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("L", "LA", "RGB", "RGBA", "I;16", "RGB;16", "LA;16", "RGBA;16"),
    "WEBP": ("L", "LA", "RGB", "RGBA"),
    "AVIF": ("L", "LA", "RGB", "RGBA"),
    "GIF": ("L", "LA", "RGB", "RGBA"),
    "BMP": ("L", "RGB", "RGBA"),
    "TGA": ("L", "LA", "RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
    "PPM": ("L", "RGB", "I;16", "F"),
}

# The suffixes of one format that stand for a kind of pixels each: Pillow writes any kind under any of them.
NETPBM = {
    ".pbm": (),
    ".pgm": ("L", "I;16"),
    ".ppm": ("RGB",),
    ".pfm": ("F",),
    ".pnm": ("L", "RGB", "I;16"),
}

# Pillow resizes, without a word, what is not of a size that icons have: heights and widths by format.
ICONS = {
    "ICO": frozenset(itertools.product(range(1, 257), repeat=2)),
    "ICNS": frozenset({(1024, 1024)}),
}

# The metadata that is written into each format.
KEEPS = {
    "JPEG": ("icc", "exif", "xmp", "resolution", "comment"),
    "JPEG2000": ("comment",),
    "GIF": ("comment",),
    "PNG": ("icc", "exif", "xmp", "resolution", "texts", "comment"),
    "WEBP": ("icc", "exif", "xmp"),
    "AVIF": ("icc", "exif", "xmp"),
    "BMP": ("resolution",),
    "TGA": (),
}

_NAMES = {"L": ("grey", None), "LA": ("grey", 1), "RGB": ("rgb", None), "RGBA": ("rgb", 3), "CMYK": ("cmyk", None)}


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Let Pillow open pictures of any size: the limit guards servers, and here the user names the file."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read(path: Path) -> Picture:
    """Read a picture file with Pillow, upright, with its metadata."""
    data = path.read_bytes()
    try:
        with _any_size(), Image.open(io.BytesIO(data)) as image:
            return _read(path, data, image)
    except UnidentifiedImageError:
        raise PictureError(f"{path} is not a picture that Pillow or tifffile can read") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise PictureError(f"{path} cannot be read: {error}") from error


def _read(path: Path, data: bytes, image: Image.Image) -> Picture:
    form = image.format or ""
    picture = Picture([], "JPEG" if form == "MPO" else form)
    bits = sample_bits(form, data)
    if form == "PNG" and png.is_deep(data):
        picture.frames = [png.read_deep(data)]
    elif bits > 8 and image.mode not in ("I", "I;16", "I;16B", "F"):
        raise PictureError(
            f"{path} holds {bits} bits a sample and Pillow reads only 8 of them; "
            "convert it to a 16-bit TIFF or PNG first"
        )
    else:
        picture.frames = [_frame(picture, page) for page in _pages(picture, form, image)]
    picture.metadata = _metadata(image)
    if form == "PNG":
        picture.settings["chunks"] = png.kept_chunks(data)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        picture.settings.update(_jpeg_settings(image))
    if form == "WEBP":
        picture.settings["lossless"] = _is_lossless(data)
    if "loop" in image.info:
        picture.settings["loop"] = image.info["loop"]
    _stand_up(picture, image)
    return picture


def _pages(picture: Picture, form: str, image: Image.Image) -> Iterator[Image.Image]:
    count = getattr(image, "n_frames", 1)
    if form in ONE_PICTURE:
        if count > 1:
            picture.note(f"only the main picture is filtered; {count - 1} more in the {form} file are left out")
        yield image
    elif count == 1:
        yield image
    else:
        yield from ImageSequence.Iterator(image)


def _frame(picture: Picture, image: Image.Image) -> Frame:
    """Return the pixels of the current frame; palettes and single bits become plain values."""
    image.load()
    duration = image.info.get("duration")
    mode, form = image.mode, picture.format
    if mode == "1":
        picture.note("black-and-white picture (1 bit): filtered and written as 8-bit grey")
        image = image.convert("L")
    elif mode in ("P", "PA"):
        image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
        if form != "GIF":
            picture.note("palette picture: filtered and written as full colour")
    elif mode in ("L", "RGB") and "transparency" in image.info:
        picture.note("the transparent colour was turned into an alpha channel")
        image = image.convert(mode + "A")
    elif mode in ("YCbCr", "HSV", "RGBX", "RGBa", "La"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, "RGB"))
    pixels = np.asarray(image)
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N") or (image.mode == "I" and form == "PPM"):
        return Frame(pixels.astype(np.uint16), "grey", None, duration)
    if image.mode in ("I", "F"):
        return Frame(pixels, "grey", None, duration)
    if image.mode not in _NAMES:
        raise PictureError(f"pictures of Pillow's mode {image.mode} cannot be filtered; convert it to RGB first")
    colour, alpha = _NAMES[image.mode]
    if form == "GIF" and alpha is not None and pixels[..., alpha].min() == 255:
        return Frame(pixels[..., :3], "rgb", None, duration)
    return Frame(pixels, colour, alpha, duration)


def _metadata(image: Image.Image) -> Metadata:
    info = image.info
    found = Metadata(icc=info.get("icc_profile") or None)
    raw = info.get("exif")
    if raw is None and "Raw profile type exif" in info:
        raw = image.getexif().tobytes()
    found.exif = exif.bare(raw)
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp")
    found.xmp = packet.encode() if isinstance(packet, str) else packet
    if "dpi" in info and info.get("jfif_unit") != 0:
        x, y = (Fraction(value).limit_denominator(10**6) for value in info["dpi"])
        if x > 0 and y > 0:
            found.resolution, found.unit = (x, y), "inch"
    elif "aspect" in info:
        found.resolution = (Fraction(info["aspect"][0]), Fraction(info["aspect"][1]))
    texts = dict(getattr(image, "text", {}))
    if "comment" in info:
        comment = info["comment"]
        found.comment = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    found.texts = {key: text for key, text in texts.items() if not key.startswith(("XML:com", "Raw profile"))}
    return found


def _jpeg_settings(image: JpegImagePlugin.JpegImageFile) -> dict[str, Any]:
    """Return the encoder's settings, so that a filtered JPEG is neither coarser nor larger than its source."""
    settings: dict[str, Any] = {"qtables": image.quantization, "progressive": "progressive" in image.info}
    subsampling = JpegImagePlugin.get_sampling(image)
    if subsampling >= 0:
        settings["subsampling"] = subsampling
    return settings


def _is_lossless(webp: bytes) -> bool:
    """Tell from the first bitstream in a WebP file, "VP8L" or "VP8 ", whether it is the lossless one."""
    lossless, lossy = webp.find(b"VP8L"), webp.find(b"VP8 ")
    return lossless >= 0 and (lossy < 0 or lossless < lossy)


def _stand_up(picture: Picture, image: Image.Image) -> None:
    """Turn the frames upright and make the metadata say so."""
    metadata = picture.metadata
    turn = exif.orientation(metadata.exif)
    if metadata.exif is None and "xmp" in image.info:
        turn = int(image.getexif().get(exif.ORIENTATION, 1))
    if turn not in range(2, 9):
        return
    for frame in picture.frames:
        frame.pixels = upright(frame.pixels, turn, frame.has_channels)
    if turn >= 5 and metadata.resolution is not None:
        metadata.resolution = metadata.resolution[::-1]
    if metadata.xmp is not None:
        metadata.xmp = exif.xmp_for_upright(metadata.xmp)


def _mode(frame: Frame) -> str | None:
    """Return the name of the frame's kind of pixels in `MODES`, or None if Pillow has none."""
    dtype = frame.pixels.dtype
    names = {("grey", None): "L", ("grey", 1): "LA", ("rgb", None): "RGB", ("rgb", 3): "RGBA", ("cmyk", None): "CMYK"}
    name = names.get((frame.colour, frame.alpha))
    if name is None or frame.pixels.ndim > 3:
        return None
    if dtype == np.uint8:
        return name
    if dtype == np.uint16:
        return "I;16" if name == "L" else name + ";16"
    return "F" if dtype == np.float32 and name == "L" else None


def check(picture: Picture, form: str, suffix: str) -> None:
    """Refuse what the format cannot hold, with the way out; called before the work is done."""
    accepted = MODES.get(form, ("L", "RGB"))
    if len(picture.frames) > 1 and form not in ANIMATED:
        many = ".gif, .png, .webp or .tif"
        raise PictureError(
            f"the picture has {len(picture.frames)} pages and {form} holds one; write {many}, or choose one with --page"
        )
    for frame in picture.frames:
        if form in ICONS and frame.size not in ICONS[form]:
            raise PictureError(
                f"{form} would be stretched to a size of its own, and the picture has {frame.size[1]} x "
                f"{frame.size[0]}; write .png"
            )
        if len(picture.frames) > 1 and frame.pixels.dtype != np.uint8:
            raise PictureError(f"several pages of {frame.pixels.dtype} fit only TIFF; write .tif, or add --dtype uint8")
        if _mode(frame) in accepted:
            _check_netpbm(frame, suffix.lower())
            continue
        if frame.alpha is not None and _mode(frame.without_alpha()) in accepted:
            raise PictureError(f"{form} holds no transparency; write .png or .tif, or add --alpha drop")
        if frame.pixels.dtype != np.uint8:
            ways = "write .tif" + (" or .png" if frame.pixels.dtype == np.uint16 and form != "PNG" else "")
            raise PictureError(
                f"{form} does not hold {frame.kind} pixels; {ways}, or add --dtype uint8"
                + (" or --dtype uint16" if form == "PNG" else "")
            )
        ways = ".tif or .jpg" if frame.colour == "cmyk" else ".tif"
        raise PictureError(f"{form} ({suffix}) does not hold {frame.kind} pixels; write {ways}")


def _check_netpbm(frame: Frame, suffix: str) -> None:
    """Refuse a suffix of Netpbm that promises another kind of pixels."""
    mode = _mode(frame)
    if mode in NETPBM.get(suffix, (mode,)):
        return
    fitting = next(name for name, modes in NETPBM.items() if mode in modes)
    other = {".pgm": "uint8", ".pfm": "float32"}.get(suffix) if frame.colour == "grey" else None
    way = f", or add --dtype {other}" if other is not None else ""
    raise PictureError(f"{suffix} does not hold {frame.kind} pixels; write {fitting}{way}")


def write(path: Path, picture: Picture, form: str, quality: int | None) -> None:
    """Write the picture to `path` (a new file) in Pillow's format `form`."""
    _tell_losses(picture, form)
    options = _options(picture, form, quality)
    images = [_image(frame, form) for frame in picture.frames]
    if form == "PNG":
        path.write_bytes(_png(picture, images, options))
        return
    first, *rest = images
    if rest:
        options.update(save_all=True, append_images=rest)
    try:
        first.save(path, format=form, **options)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise PictureError(f"Pillow cannot write {picture.frames[0].kind} pixels as {form}: {error}") from error


def _image(frame: Frame, form: str) -> Image.Image:
    pixels = np.ascontiguousarray(frame.pixels)
    if frame.colour == "cmyk":
        return Image.frombytes("CMYK", frame.size[::-1], pixels.tobytes())
    if form == "PNG" and pixels.dtype == np.uint16:
        # Pillow has no such pixels: the real ones are encoded by `png.encode_deep`, this only stands for them.
        return Image.new("L", (1, 1))
    if form == "PPM" and pixels.dtype == np.uint16:
        return Image.fromarray(pixels.astype(np.int32))
    return Image.fromarray(pixels)


def _png(picture: Picture, images: list[Image.Image], options: dict[str, Any]) -> bytes:
    pixels = picture.frames[0].pixels
    if pixels.dtype == np.uint16:
        data = png.encode_deep(pixels)
    else:
        first, *rest = images
        if rest:
            options.update(save_all=True, append_images=rest)
        buffer = io.BytesIO()
        first.save(buffer, format="PNG", **options)
        data = buffer.getvalue()
    return png.with_chunks(data, png.metadata_chunks(picture))


def _options(picture: Picture, form: str, quality: int | None) -> dict[str, Any]:
    metadata, keeps = picture.metadata, KEEPS.get(form, ())
    options: dict[str, Any] = {}
    if form == "PNG":
        options["compress_level"] = png.LEVEL
    else:
        if "icc" in keeps and metadata.icc is not None:
            options["icc_profile"] = metadata.icc
        if "exif" in keeps and metadata.exif is not None:
            options["exif"] = exif.PREFIX + metadata.exif
        if "xmp" in keeps and metadata.xmp is not None:
            options["xmp"] = metadata.xmp
        if "comment" in keeps and metadata.comment:
            options["comment"] = metadata.comment
        inches = metadata.per_inch()
        if "resolution" in keeps and inches is not None:
            options["dpi"] = tuple(float(value) for value in inches)
    if form in ("JPEG", "WEBP", "AVIF"):
        options.update(_encoder(picture, form, quality))
    if form == "ICO":
        options["sizes"] = [picture.frames[0].size[::-1]]
    if form == "JPEG2000":
        options["irreversible"] = False
    if len(picture.frames) > 1:
        durations = [frame.duration for frame in picture.frames]
        if all(duration is not None for duration in durations):
            options["duration"] = durations
        if "loop" in picture.settings:
            options["loop"] = picture.settings["loop"]
    if form == "GIF" and any(frame.alpha is not None for frame in picture.frames):
        options["disposal"] = 2
    return options


def _encoder(picture: Picture, form: str, quality: int | None) -> dict[str, Any]:
    if quality is not None:
        return {"quality": quality} | ({"subsampling": 0} if form == "JPEG" else {})
    if form == "JPEG":
        same = picture.format == "JPEG" and picture.frames[0].colour != "grey"
        return dict(picture.settings) if same and "qtables" in picture.settings else {"quality": 95, "subsampling": 0}
    if form == "WEBP":
        lossy = picture.format == "WEBP" and not picture.settings.get("lossless", True)
        # Of a lossless file `quality` is the effort: a photograph of 3 megapixels is 0.3 % larger than at the usual
        # effort, and written three times as fast.
        return {"quality": 95} if lossy else {"lossless": True, "exact": True, "quality": 20, "method": 1}
    return {"quality": 95}


def _tell_losses(picture: Picture, form: str) -> None:
    """Note the metadata and the colours that the format cannot keep."""
    lost = [words for field, words in picture.metadata.held().items() if field not in KEEPS.get(form, ())]
    if lost:
        picture.note(f"{form} cannot keep {', '.join(lost)}")
    if form == "GIF" and any(_colours_exceed(frame) for frame in picture.frames):
        picture.note("GIF holds 256 colours a frame: colours were rounded to the nearest of a palette")


def _colours_exceed(frame: Frame) -> bool:
    return frame.colour == "rgb" and Image.fromarray(np.ascontiguousarray(frame.pixels)).getcolors(256) is None
