"""The filter command on every kind of picture: values against plain loops, and what is kept as it was."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

SHARPEN = "[[0,-1,0],[-1,5,-1],[0,-1,0]]"
SHARPEN_VALUES = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
UNEVEN = [[1, 2, 0], [0, 3, 1], [1, 0, 2]]
MEAN = np.array(UNEVEN) / 10.24
SHAPE = (9, 12)


@pytest.fixture
def mean(tmp_path):
    path = tmp_path / "mean.npy"
    np.save(path, MEAN)
    return path


@pytest.mark.parametrize(("mode", "channels"), [("L", ()), ("RGB", (3,)), ("CMYK", (4,))], ids=["grey", "rgb", "cmyk"])
def test_eight_bits(filtered, noise, loops, nearest, mean, mode, channels, opened):
    pixels = noise(SHAPE + channels)
    suffix = "tif" if mode == "CMYK" else "png"
    if mode == "CMYK":
        tifffile.imwrite("in.tif", pixels, photometric="separated")
    else:
        Image.fromarray(pixels).save(f"in.{suffix}")
    filtered(f"in.{suffix}", f"out.{suffix}", "--kernel", mean)
    result = opened(f"out.{suffix}")
    assert result.mode == mode
    nearest(np.asarray(result), loops(pixels, MEAN))


@pytest.mark.parametrize(("mode", "colours"), [("LA", 1), ("RGBA", 3)])
def test_alpha_is_left_alone_and_subsampled(filtered, noise, loops, nearest, mean, mode, colours, opened):
    pixels = noise((*SHAPE, colours + 1))
    Image.fromarray(pixels).save("in.png")
    filtered("in.png", "out.png", "--kernel", mean, "--stride", 2)
    result = opened("out.png")
    assert result.mode == mode
    found = np.asarray(result)
    assert np.array_equal(found[..., -1], pixels[::2, ::2, -1])
    nearest(found[..., :-1], loops(pixels[..., :-1], MEAN, stride=2))


def test_alpha_can_be_filtered_or_dropped(filtered, noise, loops, nearest, mean, opened):
    pixels = noise((*SHAPE, 4))
    Image.fromarray(pixels).save("in.png")
    expected = loops(pixels, MEAN)
    filtered("in.png", "all.png", "--kernel", mean, "--alpha", "filter")
    nearest(np.asarray(opened("all.png")), expected)
    filtered("in.png", "none.jpg", "--kernel", mean, "--alpha", "drop", "--quality", 100)
    assert opened("none.jpg").mode == "RGB"


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["grey", "grey+alpha", "rgb", "rgba"])
def test_sixteen_bit_png(filtered, noise, loops, nearest, mean, channels):
    pixels = noise(SHAPE + channels, np.uint16) // 256 * 256
    Path("in.png").write_bytes(imagecodecs.png_encode(pixels))
    filtered("in.png", "out.png", "--kernel", mean)
    found = imagecodecs.png_decode(Path("out.png").read_bytes())
    assert found.dtype == np.uint16
    alpha = channels in ((2,), (4,))
    colours = pixels[..., :-1] if alpha else pixels
    expected = loops(colours, MEAN)
    # Sums of 16-bit values in float32 round at about 1/256.
    assert np.abs((found[..., :-1] if alpha else found) - np.clip(expected, 0, 65535)).max() <= 0.51
    if alpha:
        assert np.array_equal(found[..., -1], pixels[..., -1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_tiff_types(filtered, noise, loops, dtype):
    pixels = noise(SHAPE, dtype) if dtype[0] in "uf" else noise(SHAPE, np.uint8).astype(dtype) - 100
    tifffile.imwrite("in.tif", pixels)
    filtered("in.tif", "out.tif", "--kernel", "[[1,2,1]]", "--boundary", "mirror", "--show", "raw")
    found = tifffile.imread("out.tif")
    expected = loops(pixels, [[1, 2, 1]], "mirror")
    if dtype[0] != "f":
        expected = np.clip(expected, np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert found.dtype == dtype
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("boundary", ["constant", "edge", "symmetric", "mirror", "wrap"])
def test_options_reach_the_library(filtered, noise, loops, boundary):
    pixels = noise(SHAPE, np.float32)
    tifffile.imwrite("in.tif", pixels)
    words = ["--boundary", boundary, "--fill", 0.25, "--stride", 2, "--dilation", 2]
    filtered("in.tif", "out.tif", "--kernel", str(UNEVEN), *words)
    assert np.allclose(tifffile.imread("out.tif"), loops(pixels, UNEVEN, boundary, 0.25, 2, 2), atol=1e-5)
    filtered("in.tif", "flip.tif", "--kernel", str(UNEVEN), *words, "--convolve")
    flipped = np.array(UNEVEN)[::-1, ::-1]
    assert np.allclose(tifffile.imread("flip.tif"), loops(pixels, flipped, boundary, 0.25, 2, 2), atol=1e-5)


@pytest.mark.parametrize("boundary", ["constant", "mirror"])
def test_large_kernels_in_two_passes_give_the_same(filtered, noise, loops, boundary):
    pixels = noise((14, 13), np.float32)
    tifffile.imwrite("in.tif", pixels)
    profile = np.exp(-((np.arange(9) - 4) ** 2) / 8)
    kernel = np.outer(profile, profile) / profile.sum() ** 2
    words = ["--boundary", boundary, "--fill", 0.5, "--stride", 2]
    filtered("in.tif", "out.tif", "--kernel", "gaussian:2,size=9", *words)
    assert np.allclose(tifffile.imread("out.tif"), loops(pixels, kernel, boundary, 0.5, 2), atol=1e-5)


@pytest.mark.parametrize("algorithm", ["windows", "reference"])
def test_algorithm_can_be_forced(filtered, noise, loops, nearest, algorithm, opened):
    pixels = noise(SHAPE)
    Image.fromarray(pixels).save("in.png")
    filtered("in.png", "out.png", "--kernel", SHARPEN, "--algorithm", algorithm)
    nearest(np.asarray(opened("out.png")), loops(pixels, SHARPEN_VALUES))


def test_palette_becomes_full_colour(filtered, noise, opened):
    image = Image.fromarray(noise(SHAPE) % 4).copy()
    image.putpalette([10, 20, 30, 200, 100, 0, 5, 250, 90, 255, 255, 255] + [0] * 756)
    image.save("in.png")
    said = filtered("in.png", "out.png", "--kernel", "identity")
    assert "palette picture: filtered and written as full colour" in said
    assert np.array_equal(np.asarray(opened("out.png")), np.asarray(opened("in.png").convert("RGB")))


def test_one_bit_becomes_grey(filtered, noise, opened):
    Image.fromarray(noise(SHAPE) > 128).save("in.png")
    said = filtered("in.png", "out.png", "--kernel", "identity")
    assert "black-and-white picture (1 bit): filtered and written as 8-bit grey" in said
    assert np.array_equal(np.asarray(opened("out.png")), np.asarray(opened("in.png").convert("L")))


def test_transparent_colour_becomes_alpha(filtered, noise, opened):
    pixels = noise((*SHAPE, 3))
    pixels[2:4, 2:5] = (1, 2, 3)
    Image.fromarray(pixels).save("in.png", transparency=(1, 2, 3))
    filtered("in.png", "out.png", "--kernel", "identity")
    found = np.asarray(opened("out.png"))
    assert found.shape[-1] == 4
    assert (found[2:4, 2:5, 3] == 0).all()
    assert np.array_equal(found[..., :3], pixels)


def test_animation_keeps_frames_and_timing(filtered, noise, tmp_path):
    frames = [Image.fromarray((noise(SHAPE) > 128) * np.uint8(200)) for _ in range(3)]
    frames[0].save("in.gif", save_all=True, append_images=frames[1:], duration=[40, 80, 120], loop=3)
    filtered("in.gif", "out.gif", "--kernel", "identity")
    with Image.open("out.gif") as result:
        assert result.n_frames == 3
        assert result.info["loop"] == 3
        for index, frame in enumerate(frames):
            result.seek(index)
            assert result.info["duration"] == (index + 1) * 40
            assert np.array_equal(np.asarray(result.convert("L")), np.asarray(frame))


def test_gif_says_that_colours_were_nearest(filtered, noise):
    Image.fromarray(noise((32, 32, 3))).save("in.png")
    assert "GIF holds 256 colours a frame" in filtered("in.png", "out.gif", "--kernel", "identity")


def test_pages_of_a_tiff(filtered, noise, loops, nearest, mean, opened):
    pages = [noise((7, 8)), noise((5, 9, 3)), noise((6, 6))]
    with tifffile.TiffWriter("in.tif") as writer:
        for page in pages:
            writer.write(page)
    filtered("in.tif", "out.tif", "--kernel", mean)
    with tifffile.TiffFile("out.tif") as result:
        assert len(result.pages) == 3
        for page, source in zip(result.pages, pages, strict=True):
            nearest(page.asarray(), loops(source, MEAN))
    filtered("in.tif", "second.png", "--kernel", "identity", "--page", 2)
    assert np.array_equal(np.asarray(opened("second.png")), pages[1])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_of_a_tiff(filtered, noise, loops, nearest, mean, planar):
    pixels = noise((*SHAPE, 6))
    data = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
    tifffile.imwrite(
        "in.tif", data, photometric="rgb", planarconfig=planar, extrasamples=["unspecified"] * 3, metadata=None
    )
    filtered("in.tif", "out.tif", "--kernel", mean)
    with tifffile.TiffFile("out.tif") as result:
        page = result.pages[0]
        assert page.planarconfig.name.lower() == planar
        assert page.extrasamples == (0, 0, 0)
        found = page.asarray()
    found = np.moveaxis(found, 0, -1) if planar == "separate" else found
    nearest(found, loops(pixels, MEAN))


def test_white_is_zero_looks_the_same(filtered, noise, opened):
    pixels = noise(SHAPE)
    tifffile.imwrite("in.tif", 255 - pixels, photometric="miniswhite")
    filtered("in.tif", "out.png", "--kernel", "identity")
    assert np.array_equal(np.asarray(opened("out.png")), pixels)
    filtered("in.tif", "out.tif", "--kernel", "identity")
    assert np.array_equal(np.asarray(opened("out.tif")), pixels)


def test_jpeg_keeps_its_quality(filtered, noise, opened):
    smooth = np.repeat(np.repeat(noise((4, 4, 3)), 8, 0), 8, 1)
    Image.fromarray(smooth).save("in.jpg", quality=37, subsampling=2)
    filtered("in.jpg", "out.jpg", "--kernel", "identity")
    assert opened("out.jpg").quantization == opened("in.jpg").quantization
    filtered("in.jpg", "better.jpg", "--kernel", "identity", "--quality", 95)
    assert opened("better.jpg").quantization != opened("in.jpg").quantization


def test_webp_stays_lossless(filtered, noise, opened):
    pixels = noise((*SHAPE, 3))
    Image.fromarray(pixels).save("in.webp", lossless=True)
    filtered("in.webp", "out.webp", "--kernel", "identity")
    assert np.array_equal(np.asarray(opened("out.webp")), pixels)


def test_sobel_is_a_magnitude(filtered, noise, loops, opened):
    pixels = noise(SHAPE)
    Image.fromarray(pixels).save("in.png")
    down = loops(pixels, [[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    right = loops(pixels, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    magnitude = np.sqrt(down**2 + right**2)
    said = filtered("in.png", "out.png", "--kernel", "sobel")
    assert f"magnitude: 0 is 0, 255 is {magnitude.max():.6g}" in said
    assert np.abs(np.asarray(opened("out.png")) - magnitude * 255 / magnitude.max()).max() <= 0.51
    filtered("in.png", "out.tif", "--kernel", "sobel", "--dtype", "float32")
    assert np.allclose(tifffile.imread("out.tif"), magnitude, rtol=1e-5)


def test_one_direction_is_signed(filtered, noise, loops, opened):
    pixels = noise(SHAPE)
    Image.fromarray(pixels).save("in.png")
    right = loops(pixels, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    peak = np.abs(right).max()
    said = filtered("in.png", "out.png", "--kernel", "sobel:axis=1")
    assert f"signed: 128 is 0, 255 is {peak:g}, smaller is darker" in said
    assert np.abs(np.asarray(opened("out.png")) - (128 + right * 127 / peak)).max() <= 0.51
    said = filtered("in.png", "scaled.png", "--kernel", "sobel:axis=1", "--show", "scaled")
    assert f"scaled: 0 is {right.min():g}, 255 is {right.max():g}" in said
    stretched = (right - right.min()) * 255 / (right.max() - right.min())
    assert np.abs(np.asarray(opened("scaled.png")) - stretched).max() <= 0.51


def test_clipping_is_counted(filtered, noise, loops, nearest, opened):
    pixels = noise(SHAPE)
    Image.fromarray(pixels).save("in.png")
    numbers = loops(pixels, SHARPEN_VALUES)
    beyond = int(((numbers < 0) | (numbers > 255)).sum())
    said = filtered("in.png", "out.png", "--kernel", SHARPEN)
    assert (
        f"{beyond} of {numbers.size} samples ({100 * beyond / numbers.size:.2f} %) were beyond 0..255 and clipped"
        in said
    )
    assert "--dtype float32 with .tif keeps them" in said
    nearest(np.asarray(opened("out.png")), numbers)
    assert "clipped" not in filtered("in.png", "out.tif", "--kernel", SHARPEN, "--dtype", "float32")
    assert np.array_equal(tifffile.imread("out.tif"), numbers)


def test_gain_fixes_the_scale(filtered, noise, loops, opened):
    pixels = noise(SHAPE) // 8
    Image.fromarray(pixels).save("in.png")
    filtered("in.png", "out.png", "--kernel", "[[-1,0,1]]", "--gain", 2)
    expected = 128 + 2 * loops(pixels, [[-1, 0, 1]])
    assert np.array_equal(np.asarray(opened("out.png")), expected)


def test_depth_changes_keep_white_white(filtered, noise, opened):
    pixels = noise((*SHAPE, 4))
    Image.fromarray(pixels).save("in.png")
    filtered("in.png", "deep.png", "--kernel", "identity", "--dtype", "uint16")
    assert np.array_equal(imagecodecs.png_decode(Path("deep.png").read_bytes()), pixels.astype(np.uint16) * 257)
    filtered("deep.png", "back.png", "--kernel", "identity", "--dtype", "uint8")
    assert np.array_equal(np.asarray(opened("back.png")), pixels)


def test_icons_are_never_resized(filtered, noise, opened):
    Image.fromarray(noise((200, 256, 3))).save("in.png")
    filtered("in.png", "out.ico", "--kernel", "box:3")
    assert opened("out.ico").size == (256, 200)


def test_rounding_of_floats_is_said(filtered, noise, opened):
    tifffile.imwrite("in.tif", noise((6, 8), np.float32))
    said = filtered("in.tif", "flat.png", "--kernel", "identity", "--dtype", "uint8")
    assert "numbers are rounded to whole ones (results reach from 0." in said
    assert "rounded" not in filtered("in.tif", "out.png", "--kernel", "identity", "--dtype", "uint8", "--gain", "255")
    assert np.abs(np.asarray(opened("out.png")) - 255.0 * tifffile.imread("in.tif")).max() <= 0.5001


def test_in_may_be_out(filtered, noise, tmp_path, opened):
    pixels = noise(SHAPE)
    Image.fromarray(pixels).save("same.png")
    filtered("same.png", "same.png", "--kernel", "[[1,0,0]]", "--boundary", "wrap", "--overwrite")
    assert np.array_equal(np.asarray(opened("same.png")), np.roll(pixels, 1, axis=1))
    assert [path.name for path in tmp_path.iterdir()] == ["same.png"]


def test_a_link_stays_a_link(filtered, noise, tmp_path):
    Image.fromarray(noise(SHAPE)).save("real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    before = (tmp_path / "real.png").read_bytes()
    filtered("real.png", "link.png", "--kernel", "box:3", "--overwrite")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes() != before


def test_quiet_prints_nothing(filtered, noise):
    Image.fromarray(noise(SHAPE)).save("in.png")
    assert filtered("in.png", "out.png", "--kernel", "sobel", "--quiet") == ""


def test_three_megapixels_from_a_process(noise, tmp_path, opened):
    y, x = np.mgrid[:1536, :2048]
    waves = [120 + 80 * np.sin(x / 200 + phase) + 40 * np.cos(y / 77 * phase) for phase in range(3)]
    Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).save(tmp_path / "in.jpg")
    words = ["filter", "in.jpg", "out.jpg", "--kernel", "gaussian:1,size=5", "--algorithm", "windows"]
    # The time is measured apart from the tests; this only guards against a slip by an order of magnitude.
    done = subprocess.run(
        [sys.executable, "-m", "striderule", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert opened(tmp_path / "out.jpg").size == (2048, 1536)


def test_a_picture_is_read_by_its_content(filtered, noise, opened):
    pixels = noise(SHAPE)
    Image.fromarray(pixels).save("in.dat", "PNG")
    filtered("in.dat", "out.png", "--kernel", "identity")
    assert np.array_equal(np.asarray(opened("out.png")), pixels)
