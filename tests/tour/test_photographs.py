"""Reading pictures of all kinds."""

from importlib import resources

import numpy as np
import pytest
from PIL import Image

from striderule.errors import InvalidArgument
from striderule.tour import photograph

RAMP = np.arange(64, dtype=np.uint8)[None, :].repeat(48, axis=0) * 4


@pytest.fixture
def saved(tmp_path):
    def save(picture, name="picture.png", **more):
        path = tmp_path / name
        picture.save(path, **more)
        return path

    return save


def test_the_shipped_one():
    photo = photograph()
    assert photo.shape == (320, 480, 3)
    assert photo.dtype == np.float64
    assert 0 <= photo.min() < 0.1
    assert 0.9 < photo.max() <= 1
    note = (resources.files("striderule.tour") / "data" / "LICENSE.md").read_text(encoding="utf-8")
    assert "CC0" in note
    assert "Rachel Michetti" in note


def test_its_file_is_small():
    assert len((resources.files("striderule.tour") / "data" / "coffee.jpg").read_bytes()) < 300_000


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK", "1", "I", "F", "I;16"])
def test_every_mode(saved, mode):
    special = {
        "I;16": lambda base: Image.fromarray(RAMP.astype(np.uint16) * 257),
        "P": lambda base: base.convert("RGB").quantize(64),
        "CMYK": lambda base: base.convert("RGB").convert("CMYK"),
    }
    picture = special.get(mode, lambda base: base.convert(mode))(Image.fromarray(RAMP))
    assert picture.mode == mode
    found = photograph(saved(picture, "picture.tif" if mode in ("F", "I", "CMYK") else "picture.png"))
    assert found.shape == (48, 64, 3)
    assert found.min() >= 0
    assert found.max() <= 1
    left, right = found[:, :16].mean(), found[:, -16:].mean()
    assert right - left > 0.5
    assert np.ptp(found, axis=2).max() < 0.1  # grey stays grey


def test_sixteen_bits_are_not_clipped(saved):
    found = photograph(saved(Image.fromarray(RAMP.astype(np.uint16) * 257)))
    np.testing.assert_allclose(found[0, :, 0], RAMP[0] / 255, atol=1 / 255)


def test_transparency_is_laid_on_white(saved):
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert photograph(saved(picture)).min() == 1.0


def test_orientation(saved):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    found = photograph(saved(Image.fromarray(RAMP), "turned.jpg", exif=exif))
    assert found.shape == (64, 48, 3)
    assert found[-1].mean() > found[0].mean() + 0.5


@pytest.mark.parametrize(
    ("size", "shape"),
    [((2000, 1000), (240, 480, 3)), ((100, 50), (50, 100, 3)), ((5, 3), (32, 32, 3)), ((3000, 9), (32, 480, 3))],
)
def test_size_is_bounded(saved, size, shape):
    assert photograph(saved(Image.new("RGB", size))).shape == shape


def test_a_large_jpeg_is_read(saved):
    assert photograph(saved(Image.new("RGB", (6000, 4000)), "large.jpg")).shape == (320, 480, 3)


def test_refusals(tmp_path):
    with pytest.raises(InvalidArgument, match=r"got '.*', which is a folder; check the path"):
        photograph(tmp_path)
    with pytest.raises(InvalidArgument, match="which does not exist"):
        photograph(tmp_path / "none.png")
    half = tmp_path / "half.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99), dtype=np.uint8)).save(half)
    half.write_bytes(half.read_bytes()[:500])
    with pytest.raises(InvalidArgument, match=r"image must be a picture that Pillow reads.*save it as PNG or JPEG"):
        photograph(half)
    huge = tmp_path / "huge.png"
    huge.write_bytes(_png_header(60_000, 60_000))
    with pytest.raises(InvalidArgument, match="image must be a picture that Pillow reads"):
        photograph(huge)


def _png_header(width, height):
    """Return the start of a PNG file that claims a size."""
    import zlib

    head = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + head + zlib.crc32(head).to_bytes(4)
