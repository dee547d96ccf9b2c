"""What travels beside the pixels: kept byte for byte, made true again, or said to be lost."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from striderule.cli.pictures import exif, png
from striderule.cli.pictures.model import upright

SHAPE = (6, 8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


@pytest.fixture(scope="module")
def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def camera():
    """Return an EXIF block with a maker's note, a preview directory, and the given orientation."""

    def make(orientation, order="<"):
        def entry(tag, kind, count, value):
            return struct.pack(order + "HHI", tag, kind, count) + value

        def short(value):
            return struct.pack(order + "HH", value, 0)

        def long(value):
            return struct.pack(order + "I", value)

        first = entry(274, 3, 1, short(orientation)) + entry(34665, 4, 1, long(38))
        inner = entry(37500, 7, 4, b"MAKE") + entry(40962, 4, 1, long(8)) + entry(40963, 3, 1, short(6))
        preview = entry(259, 3, 1, short(6))
        return (
            (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
            + struct.pack(order + "H", 2) + first + long(38 + 2 + 36 + 4)
            + struct.pack(order + "H", 3) + inner + long(0)
            + struct.pack(order + "H", 1) + preview + long(0)
        )  # fmt: skip

    return make


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "tif"])
def test_profile_and_resolution(filtered, noise, opened, profile, suffix):
    Image.fromarray(noise((*SHAPE, 3))).save("in.png", icc_profile=profile, dpi=(300, 150))
    said = filtered("in.png", f"out.{suffix}", "--kernel", "box:3")
    result = opened(f"out.{suffix}")
    assert result.info["icc_profile"] == profile
    if suffix in ("webp", "avif"):
        assert f"{suffix.upper()} cannot keep the resolution" in said
    else:
        assert np.allclose([float(value) for value in result.info["dpi"]], (300, 150), atol=0.02)


def test_what_a_format_cannot_keep_is_said(filtered, noise, profile, camera):
    image = Image.fromarray(noise((*SHAPE, 3)))
    image.save("in.jpg", icc_profile=profile, dpi=(72, 72), exif=exif.PREFIX + camera(1), xmp=XMP)
    said = filtered("in.jpg", "out.bmp", "--kernel", "box:3")
    assert "BMP cannot keep the colour profile, the EXIF data, the XMP data" in said
    said = filtered("in.jpg", "out.tif", "--kernel", "box:3")
    assert "the EXIF data is not carried into TIFF" in said


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation(filtered, noise, opened, camera, turn):
    pixels = noise((*SHAPE, 3))
    Image.fromarray(pixels).save("in.png", exif=camera(turn), dpi=(200, 100))
    filtered("in.png", "out.png", "--kernel", "identity")
    result = opened("out.png")
    block = exif.bare(result.info["exif"])
    shown = upright(pixels, turn, channels=True)
    assert np.array_equal(np.asarray(result), shown)
    assert exif.orientation(block) == 1
    # One more witness of the turn than our own table: Pillow's.
    assert np.array_equal(np.asarray(result), np.asarray(_transposed("in.png")))
    across, down = (200, 100) if turn < 5 else (100, 200)
    assert np.allclose([float(value) for value in result.info["dpi"]], (across, down), atol=0.02)
    assert struct.unpack_from("<I", block, 38 + 2 + 12 + 8)[0] == shown.shape[1]
    assert struct.unpack_from("<H", block, 38 + 2 + 24 + 8)[0] == shown.shape[0]


def _transposed(path):
    from PIL import ImageOps

    with Image.open(path) as image:
        return ImageOps.exif_transpose(image)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_is_changed_in_place(camera, order):
    block = camera(6, order)
    changed = exif.for_upright(block, 1000, 500)
    assert len(changed) == len(block)
    assert exif.orientation(block) == 6
    assert exif.orientation(changed) == 1
    assert b"MAKE" in changed
    start = 10 + 24
    assert struct.unpack_from(order + "I", block, start)[0] != 0
    assert struct.unpack_from(order + "I", changed, start)[0] == 0  # the old preview is cut off
    same = [index for index in range(len(block)) if block[index] == changed[index]]
    assert len(block) - len(same) <= 8


@pytest.mark.parametrize("block", [None, b"", b"Exif\0\0", b"II*\0\xff\xff\xff\xff" + bytes(8), b"MM\0*" + bytes(20)])
def test_broken_exif_says_nothing(block):
    assert exif.orientation(exif.bare(block)) == 1


def test_orientation_in_jpeg_and_xmp(filtered, noise, opened, camera):
    pixels = np.repeat(np.repeat(noise((2, 3, 3)), 16, 0), 16, 1)
    Image.fromarray(pixels).save("in.jpg", quality=100, subsampling=0, exif=exif.PREFIX + camera(6), xmp=XMP)
    filtered("in.jpg", "out.jpg", "--kernel", "identity", "--quality", "100")
    result = opened("out.jpg")
    assert result.size == (32, 48)
    assert result.getexif()[274] == 1
    assert b'tiff:Orientation="1"' in result.info["xmp"]
    assert np.abs(np.asarray(result).astype(int) - np.rot90(pixels, -1)).max() <= 4


def test_png_chunks(filtered, noise, profile):
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "A cup")
    text.add(b"gAMA", struct.pack(">I", 45455))
    Image.fromarray(noise((*SHAPE, 3))).save("in.png", pnginfo=text, icc_profile=profile, dpi=(254, 254))
    for source, target in (("in.png", "out.png"), ("in.png", "deep.png"), ("deep.png", "again.png")):
        filtered(source, target, "--kernel", "identity", "--dtype", "uint16" if "deep" in target else "same")
        with open(target, "rb") as file:  # noqa: PTH123
            found = dict(png.chunks(file.read()))
        assert found[b"tEXt"] == b"Title\0A cup"
        assert found[b"gAMA"] == struct.pack(">I", 45455)
        assert found[b"pHYs"] == struct.pack(">IIB", 10000, 10000, 1)
        assert zlib.decompress(found[b"iCCP"].partition(b"\0")[2][1:]) == profile


def test_resolution_follows_the_stride(filtered, noise, opened):
    Image.fromarray(noise(SHAPE)).save("in.png", dpi=(508, 254))
    filtered("in.png", "out.png", "--kernel", "box:2", "--stride", "2,4")
    assert np.allclose([float(value) for value in opened("out.png").info["dpi"]], (127, 127))
    assert opened("out.png").size == (2, 3)


def test_private_tags_keep_type_and_bytes(filtered, noise):
    tags = [
        (65000, 7, 5, b"\1\2\3\4\5", True),
        (65001, 12, 2, (0.1, -2.5), True),
        (306, 2, 0, "2024:01:02 03:04:05", True),
        (271, 2, 0, "Maker", True),
        (33432, 2, 0, "Someone", True),
    ]
    for order, big in (("<", False), (">", False), ("<", True)):
        tifffile.imwrite(
            "in.tif", noise(SHAPE), byteorder=order, bigtiff=big, extratags=tags, metadata=None, description="words",
            resolution=((7, 3), (5, 2)), resolutionunit=3, software="Our own", compression="zlib", predictor=True,
        )  # fmt: skip
        filtered("in.tif", "out.tif", "--kernel", "box:3", "--overwrite")
        with tifffile.TiffFile("in.tif") as before, tifffile.TiffFile("out.tif") as after:
            assert (after.byteorder, after.is_bigtiff) == (order, big)
            kept = (65000, 65001, 306, 271, 33432, 270, 305, 282, 283, 296, 259, 317)
            for code in kept:
                one, other = before.pages[0].tags[code], after.pages[0].tags[code]
                assert (one.dtype, one.value) == (other.dtype, other.value)


def test_tiff_profile_and_xmp(filtered, noise, profile):
    tifffile.imwrite(
        "in.tif", noise((*SHAPE, 3)), iccprofile=profile, extratags=[(700, 1, len(XMP), XMP, True)], metadata=None
    )
    filtered("in.tif", "out.tif", "--kernel", "box:3")
    with tifffile.TiffFile("out.tif") as result:
        assert result.pages[0].iccprofile == profile
        assert result.pages[0].tags[700].value == XMP


def test_tiff_orientation(filtered, noise):
    pixels = noise(SHAPE)
    tifffile.imwrite("in.tif", pixels, extratags=[(274, 3, 1, 6, True)], metadata=None, resolution=(30, 20))
    filtered("in.tif", "out.tif", "--kernel", "identity")
    with tifffile.TiffFile("out.tif") as result:
        page = result.pages[0]
        assert np.array_equal(page.asarray(), np.rot90(pixels, -1))
        assert page.tags[274].value == 1
        assert page.tags[282].value == (20, 1)


GEO = [
    (33550, 12, 3, (10.0, 20.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4000000.0, 0.0), True),
    (42113, 2, 0, "-9999", True),
]


@pytest.mark.parametrize("raster", [1, 2], ids=["area", "point"])
def test_geotiff(filtered, noise, raster):
    keys = (34735, 3, 8, (1, 1, 0, 1, 1025, 0, 1, raster), True)
    tifffile.imwrite("in.tif", noise((8, 8), np.float32), extratags=[*GEO, keys], metadata=None)
    said = filtered("in.tif", "same.tif", "--kernel", "box:3")
    assert "the file marks -9999 as no data; such pixels are filtered like any other value" in said
    with tifffile.TiffFile("in.tif") as before, tifffile.TiffFile("same.tif") as after:
        for code in (33550, 33922, 34735, 42113):
            assert before.pages[0].tags[code].value == after.pages[0].tags[code].value
    filtered("in.tif", "half.tif", "--kernel", "box:3", "--stride", 2)
    with tifffile.TiffFile("half.tif") as after:
        tags = after.pages[0].tags
        assert tags[33550].value == (20.0, 40.0, 0.0)
        column, row, _, east, north, _ = tags[33922].value
    # The centre of the first output pixel is where the centre of the first input pixel was.
    centre = 0.5 if raster == 1 else 0.0
    assert east + (centre - column) * 20 == 500000 + centre * 10
    assert north - (centre - row) * 40 == 4000000 - centre * 20


def test_geotiff_transformation(filtered, noise):
    matrix = (3.0, 1.0, 0.0, 100.0, -1.0, 2.0, 0.0, 200.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    tifffile.imwrite("in.tif", noise((8, 8)), extratags=[(34264, 12, 16, matrix, True)], metadata=None)
    filtered("in.tif", "out.tif", "--kernel", "box:3", "--stride", "2,4")
    with tifffile.TiffFile("out.tif") as after:
        moved = np.reshape(after.pages[0].tags[34264].value, (4, 4))
    old = np.reshape(matrix, (4, 4))
    for row, column in ((0, 0), (1, 2), (3, 1)):
        there = moved @ [column + 0.5, row + 0.5, 0, 1]
        assert np.allclose(there, old @ [4 * column + 0.5, 2 * row + 0.5, 0, 1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_imagej_hyperstack(filtered, noise, nearest, loops, dtype):
    data = noise((2, 3, *SHAPE), dtype)
    details = {
        "axes": "ZCYX",
        "unit": "um",
        "spacing": 2.5,
        "Labels": [f"plane {n}" for n in range(6)],
        "Info": "made up",
    }
    tifffile.imwrite("in.tif", data, imagej=True, resolution=(4, 4), metadata=details)
    filtered("in.tif", "out.tif", "--kernel", "[[0,0,1]]", "--stride", 2)
    with tifffile.TiffFile("out.tif") as result:
        assert result.is_imagej
        assert result.series[0].axes == "ZCYX"
        found, kept = result.asarray(), result.imagej_metadata
        assert result.pages[0].tags[282].value == (2, 1)
    assert {key: kept[key] for key in ("unit", "spacing", "Labels", "Info")} == {
        key: details[key] for key in ("unit", "spacing", "Labels", "Info")
    }
    for z in range(2):
        for c in range(3):
            assert np.allclose(found[z, c], loops(data[z, c], [[0, 0, 1]], stride=2))


def test_imagej_palette_is_only_for_display(filtered, noise):
    data = noise(SHAPE)
    colours = np.stack([np.arange(256), np.zeros(256), 255 - np.arange(256)]).astype(np.uint16) * 257
    tifffile.imwrite("in.tif", data, imagej=True, colormap=colours)
    filtered("in.tif", "out.tif", "--kernel", "identity")
    with tifffile.TiffFile("out.tif") as result:
        assert np.array_equal(result.asarray(), data)
        assert np.array_equal(result.pages[0].colormap, colours)


def test_ome(filtered, noise):
    data = noise((2, 3, *SHAPE), np.uint16)
    details = {"axes": "TCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "µm",
               "Channel": {"Name": ["a", "b", "c"]}}  # fmt: skip
    tifffile.imwrite("in.ome.tif", data, ome=True, metadata=details)
    filtered("in.ome.tif", "same.ome.tif", "--kernel", "identity")
    with tifffile.TiffFile("in.ome.tif") as before, tifffile.TiffFile("same.ome.tif") as after:
        assert after.is_ome
        assert after.ome_metadata == before.ome_metadata
        assert np.array_equal(after.asarray(), data)
    filtered("in.ome.tif", "out.ome.tif", "--kernel", "identity", "--stride", 2, "--dtype", "float32")
    with tifffile.TiffFile("out.ome.tif") as after:
        assert after.series[0].axes == "TCYX"
        assert np.array_equal(after.asarray(), data[..., ::2, ::2].astype(np.float32))
        for words in (
            'SizeX="4"',
            'SizeY="3"',
            'Type="float"',
            'PhysicalSizeX="1.0"',
            'PhysicalSizeY="0.5"',
            'Name="c"',
        ):
            assert words in after.ome_metadata
    said = filtered("in.ome.tif", "one.tif", "--kernel", "identity", "--page", 4)
    assert "the description of the stack (OME, ImageJ) is left out" in said
    assert np.array_equal(tifffile.imread("one.tif"), data[1, 0])


def test_shaped_stacks_keep_their_axes(filtered, noise):
    data = noise((2, 3, *SHAPE), np.uint16)
    tifffile.imwrite("in.tif", data, metadata={"axes": "QZYX"}, photometric="minisblack")
    filtered("in.tif", "out.tif", "--kernel", "identity", "--stride", 2)
    assert np.array_equal(tifffile.imread("out.tif"), data[..., ::2, ::2])
    with tifffile.TiffFile("out.tif") as result:
        assert result.series[0].axes == "QZYX"
    tifffile.imwrite("packed.tif", data, truncate=True, photometric="minisblack")
    filtered("packed.tif", "unpacked.tif", "--kernel", "identity")
    assert np.array_equal(tifffile.imread("unpacked.tif"), data)


def test_tiles_and_compression(filtered, noise):
    data = noise((40, 50, 3))
    tifffile.imwrite("in.tif", data, tile=(16, 32), compression="lzw", metadata=None)
    filtered("in.tif", "out.tif", "--kernel", "identity")
    with tifffile.TiffFile("out.tif") as result:
        assert result.pages[0].tile == (16, 32)
        assert result.pages[0].compression == tifffile.COMPRESSION.LZW
        assert np.array_equal(result.asarray(), data)
    tifffile.imwrite("in.tif", data, compression="jpeg", metadata=None)
    said = filtered("in.tif", "out.tif", "--kernel", "identity", "--overwrite")
    assert "JPEG compression is not repeated; the copy uses Deflate, which loses nothing" in said
    assert np.array_equal(tifffile.imread("out.tif"), tifffile.imread("in.tif"))


def test_smaller_copies_are_left_out_and_said(filtered, noise):
    with tifffile.TiffWriter("in.tif") as writer:
        writer.write(noise((32, 32)), subifds=1, metadata=None)
        writer.write(noise((16, 16)), subfiletype=1, metadata=None)
    said = filtered("in.tif", "out.tif", "--kernel", "identity")
    assert "smaller copies in the file (previews, pyramid levels) are left out" in said


def test_sixteen_bit_transparent_colour(filtered, noise):
    pixels = noise((*SHAPE, 3), np.uint16)
    data = imagecodecs.png_encode(pixels)
    key = struct.pack(">3H", *pixels[2, 3].tolist())
    with open("in.png", "wb") as file:  # noqa: PTH123
        file.write(png.with_chunks(data, [(b"tRNS", key)]))
    filtered("in.png", "out.png", "--kernel", "identity")
    with open("out.png", "rb") as file:  # noqa: PTH123
        found = imagecodecs.png_decode(file.read())
    assert np.array_equal(found[..., :3], pixels)
    assert found[2, 3, 3] == 0
    assert (found[..., 3] == 0).sum() == 1


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_stacks(filtered, noise, planar):
    data = noise((4, *SHAPE, 3))
    stored = np.moveaxis(data, -1, 1) if planar == "separate" else data
    tifffile.imwrite("in.tif", stored, photometric="rgb", planarconfig=planar)
    filtered("in.tif", "out.tif", "--kernel", "identity", "--stride", 2)
    with tifffile.TiffFile("out.tif") as result:
        assert result.pages[0].planarconfig.name.lower() == planar
        assert np.array_equal(result.asarray(), stored[..., ::2, ::2] if planar == "separate" else data[:, ::2, ::2])


def test_a_stack_becomes_pages_elsewhere(filtered, noise, opened):
    data = noise((2, 3, *SHAPE))
    tifffile.imwrite("in.tif", data, imagej=True, metadata={"axes": "ZCYX"})
    filtered("in.tif", "out.webp", "--kernel", "identity")
    with Image.open("out.webp") as result:
        assert result.n_frames == 6
    filtered("in.tif", "one.png", "--kernel", "identity", "--page", 5)
    assert np.array_equal(np.asarray(opened("one.png")), data[1, 1])
    said = filtered("in.tif", "one.tif", "--kernel", "identity", "--page", 5)
    assert "the description of the stack (OME, ImageJ) is left out" in said
    assert np.array_equal(tifffile.imread("one.tif"), data[1, 1])


@pytest.mark.parametrize(
    ("suffix", "kept"), [("jpg", True), ("gif", True), ("jp2", True), ("png", True), ("webp", False)]
)
def test_comments(filtered, noise, opened, suffix, kept):
    Image.fromarray(noise((*SHAPE, 3)) // 128 * 255).save("in.jpg", comment="a cup of coffee")
    said = filtered("in.jpg", f"out.{suffix}", "--kernel", "identity")
    assert ("cannot keep the comment" in said) is not kept
    info = opened(f"out.{suffix}").info
    assert (info.get("comment", info.get("Comment")) in (b"a cup of coffee", "a cup of coffee")) is kept


def test_volumes_are_filtered_plane_by_plane(filtered, noise):
    data = noise((16, 32, 32))
    tifffile.imwrite("in.tif", data, tile=(16, 16, 16), volumetric=True, photometric="minisblack", metadata=None)
    filtered("in.tif", "out.tif", "--kernel", "identity")
    with tifffile.TiffFile("out.tif") as result:
        assert len(result.pages) == 1
        assert result.pages[0].tile == (16, 16, 16)
        assert np.array_equal(result.asarray(), data)
