"""Rarer kinds of files: what each becomes, and what is said about it."""

import numpy as np
import pytest
import tifffile
from PIL import Image

SHAPE = (6, 8)
IDENTITY = ("--kernel", "identity")


@pytest.fixture
def ink(noise):
    return noise((*SHAPE, 4))


def test_cmyk_jpeg_stays_cmyk(filtered, ink, opened):
    Image.frombytes("CMYK", SHAPE[::-1], (ink // 128 * 255).tobytes()).save("in.jpg", quality=100)
    filtered("in.jpg", "out.jpg", *IDENTITY, "--quality", 100)
    result = opened("out.jpg")
    assert result.mode == "CMYK"
    assert np.abs(np.asarray(result).astype(int) - np.asarray(opened("in.jpg"))).max() <= 3


def test_further_pictures_of_a_phone_are_left_out(filtered, noise, opened):
    first = Image.fromarray(np.full((16, 16, 3), 90, np.uint8))
    first.save("in.mpo", save_all=True, append_images=[Image.fromarray(noise((16, 16, 3)))])
    said = filtered("in.mpo", "out.jpg", *IDENTITY)
    assert "only the main picture is filtered; 1 more in the MPO file are left out" in said
    assert np.abs(np.asarray(opened("out.jpg")).astype(int) - 90).max() <= 1


@pytest.mark.parametrize("wide", [False, True], ids=["8-bit colours", "16-bit colours"])
def test_palette_tiff(filtered, noise, wide):
    colours = noise((3, 256)).astype(np.uint16) * 257 + (1 if wide else 0) * np.uint16(3)
    index = noise(SHAPE)
    tifffile.imwrite("in.tif", index, photometric="palette", colormap=colours, metadata=None)
    said = filtered("in.tif", "out.tif", *IDENTITY)
    assert "palette picture: filtered and written as full colour" in said
    looked_up = np.stack([plane[index] for plane in colours], axis=-1)
    found = tifffile.imread("out.tif")
    assert found.dtype == (np.uint16 if wide else np.uint8)
    assert np.array_equal(found, looked_up if wide else looked_up >> 8)


@pytest.mark.parametrize("compression", [None, "group4"])
def test_fax(filtered, noise, compression):
    bits = noise((16, 16)) > 128
    Image.fromarray(bits).save("in.tif", compression=compression)
    said = filtered("in.tif", "out.tif", *IDENTITY)
    assert "black-and-white picture (1 bit): filtered and written as 8-bit grey" in said
    assert np.array_equal(tifffile.imread("out.tif"), bits * np.uint8(255))


def test_twelve_bits_keep_their_values(filtered, noise):
    data = noise(SHAPE, np.uint16) % 4096
    tifffile.imwrite("in.tif", data, bitspersample=12, photometric="minisblack", metadata=None)
    said = filtered("in.tif", "out.tif", *IDENTITY)
    assert "12-bit samples keep their values and are written in 16 bits" in said
    assert np.array_equal(tifffile.imread("out.tif"), data)


def test_jpeg_inside_tiff(filtered):
    Image.new("RGB", (16, 16), (200, 90, 40)).save("in.tif", compression="jpeg")
    filtered("in.tif", "out.tif", *IDENTITY)
    found = tifffile.imread("out.tif").astype(int)
    assert np.abs(found - (200, 90, 40)).max() <= 3


def test_camera_data_inside_tiff_is_said_to_be_left_out(filtered, noise):
    # Pointers by name, as tifffile writes none by number; both lead to the first directory, which is one after all.
    tags = [("ExifTag", 4, 1, 8, True), ("GPSTag", 4, 1, 8, True)]
    tifffile.imwrite("in.tif", noise(SHAPE), extratags=tags, metadata=None)
    said = filtered("in.tif", "out.tif", *IDENTITY)
    assert "the EXIF directory and the GPS directory of the file cannot be copied by tifffile and is left out" in said


def test_orientation_of_a_map_is_left_alone(filtered, noise):
    data = noise(SHAPE)
    tags = [(274, 3, 1, 6, True), (33550, 12, 3, (1.0, 1.0, 0.0), True)]
    tifffile.imwrite("in.tif", data, extratags=tags, metadata=None)
    said = filtered("in.tif", "out.tif", *IDENTITY)
    assert "the orientation tag is left as it is" in said
    assert np.array_equal(tifffile.imread("out.tif"), data)


def test_one_file_of_several_is_refused(refused, noise, tmp_path):
    data = noise((2, *SHAPE))
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="6" SizeZ="2" '
        'SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData FirstZ="0" IFD="0"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="1" IFD="0"><UUID FileName="b.ome.tif">urn:uuid:2</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    for name, plane, number in (("a.ome.tif", data[0], 1), ("b.ome.tif", data[1], 2)):
        own = text.replace("<OME ", f'<OME UUID="urn:uuid:{number}" ', 1)
        tifffile.imwrite(tmp_path / name, plane, description=own, metadata=None)
    assert "a.ome.tif is one part of a picture that spans several files" in refused(
        "filter", "a.ome.tif", "out.tif", *IDENTITY
    )


def test_float_and_colour_pictures_of_netpbm(filtered, noise, opened):
    data = noise(SHAPE, np.float32)
    Image.fromarray(data).save("in.pfm")
    filtered("in.pfm", "out.pfm", *IDENTITY)
    assert np.array_equal(np.asarray(opened("out.pfm")), data)
    colours = noise((*SHAPE, 3))
    Image.fromarray(colours).save("in.ppm")
    filtered("in.ppm", "out.ppm", *IDENTITY)
    assert np.array_equal(np.asarray(opened("out.ppm")), colours)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("in.ppm", "out.pgm", ".pgm does not hold RGB, uint8 pixels; write .ppm"),
        ("in.ppm", "out.pfm", ".pfm does not hold RGB, uint8 pixels; write .ppm"),
        ("in.ppm", "out.pbm", ".pbm does not hold RGB, uint8 pixels; write .ppm"),
        ("in.pgm", "out.PPM", ".ppm does not hold grey, uint8 pixels; write .pgm"),
        ("in.pgm", "out.pfm", ".pfm does not hold grey, uint8 pixels; write .pgm, or add --dtype float32"),
        ("in.pgm", "out.pbm", ".pbm does not hold grey, uint8 pixels; write .pgm"),
        ("in.pfm", "out.pgm", ".pgm does not hold grey, float32 pixels; write .pfm, or add --dtype uint8"),
        ("in.pfm", "out.pnm", ".pnm does not hold grey, float32 pixels; write .pfm"),
    ],
)
def test_suffixes_of_netpbm_hold_what_they_promise(refused, noise, tmp_path, source, target, said):
    for name, pixels in (
        ("in.ppm", noise((*SHAPE, 3))),
        ("in.pgm", noise(SHAPE)),
        ("in.pfm", noise(SHAPE, np.float32)),
    ):
        Image.fromarray(pixels).save(tmp_path / name)
    assert refused("filter", source, target, *IDENTITY) == said
    assert not (tmp_path / target).exists()


def test_any_portable_map_may_be_called_pnm(filtered, noise, tmp_path):
    for magic, pixels in ((b"P6", noise((*SHAPE, 3))), (b"P5", noise(SHAPE)), (b"P5", noise(SHAPE, np.uint16))):
        Image.fromarray(pixels).save(tmp_path / "in.png")
        filtered("in.png", "out.pnm", *IDENTITY, "--overwrite")
        assert (tmp_path / "out.pnm").read_bytes().startswith(magic)


@pytest.mark.parametrize("suffix", ["png", "webp", "gif"])
def test_animations_with_transparency(filtered, noise, suffix):
    frames = []
    for _ in range(2):
        pixels = noise((*SHAPE, 4)) // 128 * 255
        frames.append(Image.fromarray(pixels))
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    frames[0].save(f"in.{suffix}", save_all=True, append_images=frames[1:], duration=100, **options)
    filtered(f"in.{suffix}", f"out.{suffix}", *IDENTITY)
    with Image.open(f"in.{suffix}") as before, Image.open(f"out.{suffix}") as after:
        assert after.n_frames == before.n_frames == 2
        for index in range(2):
            before.seek(index)
            after.seek(index)
            one, other = np.asarray(before.convert("RGBA")), np.asarray(after.convert("RGBA"))
            assert np.array_equal(one[..., 3], other[..., 3])
            seen = one[..., 3] > 0
            assert np.array_equal(one[seen], other[seen])
