"""Everything that the filter command refuses: one line, exit code 2, and no file left behind."""

import os
import signal
import subprocess
import sys
import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from striderule.cli.pictures import raster


@pytest.fixture(autouse=True)
def pictures(tmp_path, noise):
    Image.fromarray(noise((6, 8, 4))).save(tmp_path / "rgba.png")
    Image.fromarray(noise((6, 8, 3))).save(tmp_path / "rgb.png")
    tifffile.imwrite(tmp_path / "float.tif", noise((6, 8), np.float32))
    tifffile.imwrite(tmp_path / "stack.tif", noise((3, 6, 9)), photometric="minisblack")
    tifffile.imwrite(tmp_path / "cmyk.tif", noise((6, 8, 4)), photometric="separated")
    (tmp_path / "words.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "broken.tif").write_bytes(b"II*\0\xff\xff\xff\0")
    (tmp_path / "folder.png").mkdir()
    whole = (tmp_path / "rgb.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])


BOX = ("--kernel", "box:3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.png", "out.png", *BOX), "missing.png does not exist"),
        (("folder.png", "out.png", *BOX), "folder.png is a folder; name a picture file"),
        (("empty.png", "out.png", *BOX), "empty.png is empty"),
        (("words.png", "out.png", *BOX), "words.png is not a picture that Pillow or tifffile can read"),
        (("cut.png", "out.png", *BOX), "cut.png cannot be read: "),
        (("broken.tif", "out.tif", *BOX), "broken.tif cannot be read: it holds no page"),
        (("rgb.png", "rgba.png", *BOX), "rgba.png exists; add --overwrite to replace it, or choose another name"),
        (("rgb.png", "rgb.png", *BOX), "rgb.png exists; add --overwrite"),
        (("rgb.png", "folder.png", *BOX), "folder.png is a folder; name a file in it"),
        (("rgb.png", "", *BOX), ". is a folder; name a file in it"),
        (("rgb.png", "out.icns", *BOX), "ICNS would be stretched to a size of its own, and the picture has 8 x 6"),
        (("rgb.png", "out.png", *BOX, "--fill", "0.5"), "--fill must be a whole number between 0 and 255, the values"),
        (("rgb.png", "out.png", *BOX, "--fill", "300"), "the values of uint8, got 300"),
        (("rgb.png", "out.png", *BOX, "--fill", "nan"), "the values of uint8, got nan"),
        (("rgb.png", "out.png", *BOX, "--fill", "much"), "got 'much'; see striderule filter --help"),
        (("rgb.png", "out.png", *BOX, "--quality=0"), "got '0'; see striderule filter --help"),
        (("rgb.png", "no/such/out.png", *BOX), "the folder no/such does not exist; make it first"),
        (("rgb.png", "out", *BOX), "out must end in the suffix of a picture format that can be written, such as .png"),
        (("rgb.png", "out.xyz", *BOX), "got .xyz"),
        (("rgba.png", "out.jpg", *BOX), "JPEG holds no transparency; write .png or .tif, or add --alpha drop"),
        (("float.tif", "out.png", *BOX), "PNG does not hold grey, float32 pixels; write .tif, or add --dtype uint8"),
        (
            ("rgb.png", "out.jpg", *BOX, "--dtype", "uint16"),
            "JPEG does not hold RGB, uint16 pixels; write .tif or .png",
        ),
        (("cmyk.tif", "out.png", *BOX), "PNG (.png) does not hold CMYK, uint8 pixels; write .tif or .jpg"),
        (("stack.tif", "out.jpg", *BOX), "the picture has 3 pages and JPEG holds one; write .gif, .png, .webp or .tif"),
        (
            ("stack.tif", "out.tif", *BOX, "--page", "4"),
            "--page must be between 1 and 3, the number of pages in the file",
        ),
        (("rgb.png", "out.png", *BOX, "--boundary", "reflect"), "--boundary='reflect' means two things"),
        (("rgb.png", "out.png", *BOX, "--boundary", "wrong"), "--boundary must be one of constant, edge"),
        (("rgb.png", "out.png", *BOX, "--stride", "0"), "--stride must be at least 1, got 0"),
        (("rgb.png", "out.png", *BOX, "--stride", "two"), "--stride must be a whole number, or two as rows,columns"),
        (("rgb.png", "out.png", *BOX, "--gain", "0"), "--gain must be a finite number above 0, got 0"),
        (("rgb.png", "out.png", *BOX, "--gain", "-1"), "--gain must be a finite number above 0, got -1"),
        (("rgb.png", "out.png", *BOX, "--algorithm", "magic"), "magic"),
        (("rgb.png", "out.png", *BOX, "--show", "odd"), "invalid value for '--show': 'odd' is not one of 'auto'"),
        (("rgb.png", "out.png", *BOX, "--quality", "101"), "invalid value for '--quality'"),
        (("rgb.png", "out.png"), "missing option '--kernel'"),
        (("rgb.png",), "missing argument 'OUT'"),
        (("rgb.png", "out.png", "--kernel", "sobel", "--show", "signed"), "choose a direction: sobel:axis=0"),
        (("rgb.png", "out.png", "--kernel", "sobbel"), "unknown kernel 'sobbel'; did you mean sobel? known: box"),
        (("rgb.png", "out.png", *BOX, "--wrong"), "no such option: --wrong; see striderule filter --help"),
    ],
)
def test_one_line_and_no_file(refused, tmp_path, words, message):
    before = sorted(path.name for path in tmp_path.iterdir())
    said = refused("filter", *words)
    assert message.lower() in said.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_nan_has_no_place_in_integers(refused, command):
    data = np.ones((5, 5), np.float32)
    data[2, 2] = np.nan
    tifffile.imwrite("nan.tif", data)
    assert "9 samples of the result are not numbers (NaN), which uint8 does not hold" in refused(
        "filter", "nan.tif", "out.png", *BOX, "--dtype", "uint8"
    )
    assert command("filter", "nan.tif", "out.tif", *BOX).exit_code == 0
    assert np.isnan(tifffile.imread("out.tif")).sum() == 9


def test_depth_is_never_cut_silently(refused, tmp_path, noise):
    deep = noise((6, 8, 3), np.uint16)
    (tmp_path / "deep.ppm").write_bytes(b"P6\n# note\n8 6\n65535\n" + deep.astype(">u2").tobytes())
    assert "deep.ppm holds 16 bits a sample and Pillow reads only 8 of them" in refused(
        "filter", "deep.ppm", "out.png", *BOX
    )
    (tmp_path / "deep.jp2").write_bytes(imagecodecs.jpeg2k_encode(deep, level=0))
    assert "deep.jp2 holds 16 bits a sample" in refused("filter", "deep.jp2", "out.png", *BOX)
    (tmp_path / "deep.avif").write_bytes(imagecodecs.avif_encode(deep >> 6, bitspersample=10))
    assert "deep.avif holds 10 bits a sample" in refused("filter", "deep.avif", "out.png", *BOX)


def test_sixteen_bit_grey_survives_where_pillow_has_it(filtered, noise, opened):
    deep = noise((6, 8), np.uint16)
    with open("deep.pgm", "wb") as file:  # noqa: PTH123
        file.write(b"P5 8 6 65535\n" + deep.astype(">u2").tobytes())
    filtered("deep.pgm", "out.pgm", "--kernel", "identity")
    assert np.array_equal(np.asarray(opened("out.pgm")), deep)


def test_unfilterable_kinds(refused, noise):
    tifffile.imwrite("waves.tif", np.ones((5, 5), np.complex64))
    assert "waves.tif is stored as complex64 samples, which is not filtered" in refused(
        "filter", "waves.tif", "out.tif", *BOX
    )
    tifffile.imwrite("lab.tif", noise((6, 8, 3)), photometric="cielab", metadata=None)
    assert "lab.tif is stored as CIELAB, which is not filtered; convert it to RGB or grey first" in refused(
        "filter", "lab.tif", "out.tif", *BOX
    )


def test_a_crash_while_writing_leaves_nothing(refused, command, tmp_path, monkeypatch):
    def crash(path, *_):
        path.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    before = sorted(path.name for path in tmp_path.iterdir())
    original = (tmp_path / "rgb.png").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(raster, "write", crash)
        said = refused("filter", "rgb.png", "out.png", *BOX)
        assert said == "out.png cannot be written: No space left on device"
        refused("filter", "rgb.png", "rgb.png", *BOX, "--overwrite")

        def interrupt(path, *_):
            path.write_bytes(b"half a fi")
            raise KeyboardInterrupt

        patch.setattr(raster, "write", interrupt)
        result = command("filter", "rgb.png", "rgb.png", *BOX, "--overwrite")
        assert (result.exit_code, result.stderr) == (130, "striderule: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "rgb.png").read_bytes() == original


def test_a_file_that_appears_meanwhile_is_not_replaced(refused, tmp_path, monkeypatch):
    def slow(path, *_):
        path.write_bytes(b"new")
        (tmp_path / "out.png").write_bytes(b"another's")

    monkeypatch.setattr(raster, "write", slow)
    assert "out.png has appeared meanwhile; add --overwrite" in refused("filter", "rgb.png", "out.png", *BOX)
    assert (tmp_path / "out.png").read_bytes() == b"another's"


def test_permissions_follow_the_user(filtered, tmp_path):
    (tmp_path / "rgba.png").chmod(0o640)
    filtered("rgba.png", "rgba.png", *BOX, "--overwrite")
    assert (tmp_path / "rgba.png").stat().st_mode & 0o777 == 0o640
    before = os.umask(0o027)
    try:
        filtered("rgb.png", "out.png", *BOX)
    finally:
        os.umask(before)
    assert (tmp_path / "out.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing(tmp_path, number, code):
    """A process that is stopped in the middle of writing takes its half file away."""
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where the tests run in the background
        "from striderule.cli.pictures import raster\n"
        "def write(path, *_):\n"
        "    path.write_bytes(b'half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
        "raster.write = write\n"
        "from striderule.__main__ import main\n"
        "main()\n"
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    words = [sys.executable, "-c", program, "filter", "rgb.png", "out.png", *BOX]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == len(before) + 1
        time.sleep(0.1)
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
    assert process.returncode == code, error
    assert "Traceback" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before
