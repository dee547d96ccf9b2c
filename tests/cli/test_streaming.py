"""TIFF files larger than memory: the same file as when it is loaded whole, and a clean stop."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from striderule import filters
from striderule.cli import comparing, room, streaming
from striderule.cli.pictures import strips
from striderule.cli.pictures.strips import Rows
from striderule.cli.pictures.tiff import Samples

STORED = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "deflate": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
    "tiles": {"tile": (64, 48), "compression": "zlib"},
}
CHAINS = [
    ["-k", "gaussian:2"],
    ["-k", "sobel"],
    ["-k", "gaussian:1", "--then", "sobel:axis=1", "--boundary", "wrap"],
    ["-k", "unsharp_mask:2", "--stride", "2,3"],
    ["-k", "box:4", "--then", "[[1,-1]]", "--show", "raw", "--dtype", "float32", "--stride", "3"],
]


@pytest.fixture
def row_by_row(monkeypatch):
    """Filter everything row by row; gives a list that grows with every file that was."""
    done = []
    write = streaming._Run.write

    def noted(self, *words):
        done.append(self)
        return write(self, *words)

    def start(room=60_000):
        monkeypatch.setattr(streaming, "LARGE", 10)
        monkeypatch.setattr(streaming, "ROOM", room)
        monkeypatch.setattr(streaming._Run, "write", noted)
        return done

    return start


@pytest.mark.parametrize("words", CHAINS, ids=lambda words: words[1])
@pytest.mark.parametrize("stored", STORED)
def test_the_file_is_that_of_the_whole(filtered, noise, row_by_row, stored, words):
    shapes = [(301, 257), (301, 257, 4), (4, 301, 257)]
    del shapes[(CHAINS.index(words) + list(STORED).index(stored)) % 3]  # of which others have it
    for number, shape in enumerate(shapes):
        options = dict(STORED[stored]) | {"metadata": None}
        if len(shape) == 3:
            planar = "contig" if shape[2] == 4 else "separate"
            options |= {"photometric": "rgb", "planarconfig": planar, "extrasamples": ["unassalpha"]}
        else:
            options |= {"photometric": "miniswhite"}
        tifffile.imwrite(f"in{number}.tif", noise(shape), resolution=(300, 200), **options)
    said = [filtered(f"in{number}.tif", f"whole{number}.tif", *words) for number in range(2)]
    done = row_by_row()
    for number in range(2):
        again = filtered(f"in{number}.tif", f"rows{number}.tif", *words)
        assert again.partition(" s note")[2] == said[number].partition(" s note")[2]
        with tifffile.TiffFile(f"whole{number}.tif") as whole, tifffile.TiffFile(f"rows{number}.tif") as rows:
            for code in (258, 259, 262, 277, 282, 283, 284, 317, 338):
                assert rows.pages[0].tags.valueof(code) == whole.pages[0].tags.valueof(code), code
            np.testing.assert_array_equal(rows.asarray(), whole.asarray())
    assert len(done) == 2


def test_pages_of_several_sizes(filtered, noise, row_by_row):
    with tifffile.TiffWriter("in.tif") as writer:
        for shape in [(90, 41), (70, 33, 3)]:
            writer.write(noise(shape), metadata=None)
    filtered("in.tif", "whole.tif", "-k", "sobel:axis=0")
    assert row_by_row(3000) == []
    filtered("in.tif", "rows.tif", "-k", "sobel:axis=0")
    with tifffile.TiffFile("whole.tif") as whole, tifffile.TiffFile("rows.tif") as rows:
        for one, other in zip(rows.pages, whole.pages, strict=True):
            np.testing.assert_array_equal(one.asarray(), other.asarray())


def test_what_must_be_loaded_is(filtered, noise, row_by_row):
    done = row_by_row()
    tifffile.imwrite("in.tif", noise((64, 64)))
    filtered("in.tif", "canny.tif", "-k", "canny:1")
    filtered("in.tif", "other.png", "-k", "box:3")
    tifffile.imwrite("turned.tif", noise((64, 64)), extratags=[(274, "H", 1, 6, True)])
    filtered("turned.tif", "out.tif", "-k", "box:3")
    tifffile.imwrite("stack.tif", noise((5, 64, 64)), photometric="minisblack")
    filtered("stack.tif", "stacked.tif", "-k", "box:3")
    assert done == []


def test_rows_are_decoded_once(noise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = noise((200, 100))
    tifffile.imwrite("in.tif", pixels, tile=(16, 16), compression="zlib")
    with tifffile.TiffFile("in.tif") as file:
        rows, decoded = Rows("in.tif", file.pages[0], Samples(np.dtype(np.uint8))), []

        class Kept(dict):
            def __setitem__(self, number, found):
                decoded.append(number)
                super().__setitem__(number, found)

        rows._kept = Kept()
        for low in range(0, 180, 20):
            np.testing.assert_array_equal(rows(low, low + 28)[..., 0], pixels[low : low + 28])
    assert len(decoded) == len(set(decoded))


ODD = {
    "bits": {"bilevel": True},
    "inverted bits": {"bilevel": True, "photometric": "miniswhite", "compression": "zlib"},
    "palette": {"photometric": "palette", "rowsperstrip": 9},
    "palette in tiles": {"photometric": "palette", "tile": (64, 48), "compression": "zlib"},
    "inverted 16 bits": {"photometric": "miniswhite", "rowsperstrip": 5},
}


@pytest.mark.parametrize("kind", ODD)
def test_palettes_and_bits_are_filtered_row_by_row(filtered, noise, row_by_row, kind):
    options = dict(ODD[kind])
    pixels = noise((301, 133), np.uint16 if "16" in kind else np.uint8)
    if options.pop("bilevel", False):
        pixels = pixels > 99
    if "palette" in kind:
        options["colormap"] = noise((3, 256), np.uint16) >> 8 << 8
    options.setdefault("rowsperstrip", None if "tile" in options else 11)
    tifffile.imwrite("in.tif", pixels, metadata=None, **options)
    said = filtered("in.tif", "whole.tif", "-k", "gaussian:2")
    done = row_by_row()
    again = filtered("in.tif", "rows.tif", "-k", "gaussian:2")
    assert len(done) == 1
    assert again.partition(" s note")[2] == said.partition(" s note")[2]
    with tifffile.TiffFile("whole.tif") as whole, tifffile.TiffFile("rows.tif") as rows:
        for code in (258, 262, 277, 320):
            assert rows.pages[0].tags.valueof(code) == whole.pages[0].tags.valueof(code), code
        np.testing.assert_array_equal(rows.asarray(), whole.asarray())


def packed(values, bits):
    """Return rows of samples of a few bits, each row filled up to whole bytes."""
    planes = (values[..., np.newaxis] >> np.arange(bits)[::-1]) & 1
    return np.packbits(planes.reshape(len(values), -1).astype(np.uint8), axis=1)


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_samples_of_a_few_bits(filtered, row_by_row, bits):
    pytest.importorskip("imagecodecs")
    values = np.random.default_rng(7).integers(0, 1 << bits, (200, 61), np.uint16)
    strips = [packed(values[row : row + 8], bits).tobytes() for row in range(0, 200, 8)]
    plain = np.zeros((200, packed(values, bits).shape[1]), np.uint8)
    with tifffile.TiffWriter("in.tif") as writer:
        writer.write(plain, rowsperstrip=8, metadata=None, photometric="minisblack")
    with tifffile.TiffFile("in.tif", mode="r+b") as file:
        page = file.pages[0]
        for offset, strip in zip(page.dataoffsets, strips, strict=True):
            file.filehandle.seek(offset)
            file.filehandle.write(strip)
        page.tags[256].overwrite(61)
        page.tags[258].overwrite(bits)
    said = filtered("in.tif", "whole.tif", "-k", "box:3")
    done = row_by_row(4_000)
    assert filtered("in.tif", "rows.tif", "-k", "box:3").partition("note")[2] == said.partition("note")[2]
    assert len(done) == 1
    np.testing.assert_array_equal(tifffile.imread("rows.tif"), tifffile.imread("whole.tif"))


def test_one_page_of_many(filtered, refused, noise, row_by_row, monkeypatch):
    monkeypatch.setattr(strips, "STRIP", 100)
    with tifffile.TiffWriter("in.tif") as writer:
        for shape, rows in [((90, 41), 90), ((270, 33, 3), 9)]:
            writer.write(noise(shape), metadata=None, rowsperstrip=rows, compression="zlib")
    words = ("-k", "sobel:axis=0", "--page", 2)
    said = filtered("in.tif", "whole.tif", *words)
    done = row_by_row(9_000)
    again = filtered("in.tif", "rows.tif", *words)
    assert len(done) == 1
    assert again.partition(" s note")[2] == said.partition(" s note")[2]
    with tifffile.TiffFile("whole.tif") as whole, tifffile.TiffFile("rows.tif") as rows:
        assert len(rows.pages) == 1
        np.testing.assert_array_equal(rows.asarray(), whole.asarray())
    assert "--page must be between 1 and 2" in refused("filter", "in.tif", "x.tif", "-k", "box:3", "--page", 3)


def test_before_and_after_of_large_pictures(filtered, noise, row_by_row, monkeypatch):
    monkeypatch.setattr(comparing, "LARGEST", 100)
    pixels = filters.gaussian(noise((240, 270, 3)), 9, channel_axis=-1)
    tifffile.imwrite("in.tif", pixels, photometric="rgb", compression="zlib", rowsperstrip=8)
    filtered("in.tif", "whole.tif", "-k", "identity", "--compare", "whole.png")
    done = row_by_row()
    filtered("in.tif", "rows.tif", "-k", "identity", "--compare", "rows.png")
    assert len(done) == 1
    whole, rows = (np.asarray(Image.open(name), np.int64) for name in ("whole.png", "rows.png"))
    assert whole.shape == rows.shape
    assert np.abs(whole - rows).max() <= 2


def test_what_does_not_fit_is_refused_before_it_is_loaded(refused, filtered, noise, row_by_row, monkeypatch):
    tifffile.imwrite("in.tif", noise((256, 128)))
    row_by_row()
    monkeypatch.setattr(room, "free", lambda: 100_000)
    told = refused("filter", "in.tif", "out.tif", "-k", "canny:2")
    assert "in.tif must be loaded whole, as canny:2 depends on all of it; that takes about 0.0 GiB" in told
    assert "numpy.memmap" in told
    assert "let OUT end in .tif" in refused("filter", "in.tif", "out.png", "-k", "box:3")
    monkeypatch.setattr(room, "free", lambda: None)
    filtered("in.tif", "out.png", "-k", "box:3")


def test_what_takes_much_is_told(capsys, monkeypatch):
    monkeypatch.setattr(room, "free", lambda: 9 << 30)
    room.check("in.tif", 3 << 30, "it is stored turned", "store it upright first", quiet=False)
    assert capsys.readouterr().err == (
        "striderule: in.tif must be loaded whole, as it is stored turned; that takes about 3.0 GiB of memory\n"
    )
    room.check("in.tif", 3 << 30, "it is stored turned", "store it upright first", quiet=True)
    room.check("in.tif", 1 << 20, "it is stored turned", "store it upright first", quiet=False)
    assert capsys.readouterr().err == ""
    assert room.needed([(1000, np.dtype(np.uint8)), (10, np.dtype(np.float64))]) == 10_320


SLOW = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background ignore it
from striderule.cli import streaming
streaming.LARGE, streaming.ROOM = 10, 200_000
from striderule.__main__ import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="sends a signal of POSIX")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_interrupt_leaves_nothing_behind(tmp_path, noise, compression):
    tifffile.imwrite(tmp_path / "in.tif", noise((20_000, 1000)), compression=compression, rowsperstrip=64)
    (tmp_path / "old.tif").write_bytes(b"as it was")
    # So wide that there is time to interrupt it.
    words = ["filter", "in.tif", "old.tif", "--overwrite", "-k", "gaussian:90", "--then", "gaussian:90"]
    running = subprocess.Popen(
        [sys.executable, "-c", SLOW, *words], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        # Once the file beside the final one grows, the work is under way.
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in tmp_path.glob(".old-*")):
            assert time.monotonic() < deadline
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        said, told = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, said, told) == (130, "", "striderule: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "old.tif"]
    assert (tmp_path / "old.tif").read_bytes() == b"as it was"


def test_the_bar_is_shown_on_a_terminal_alone(capsys, monkeypatch):
    from striderule.cli.progress import bar

    with bar(10) as advance:
        advance(5)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bar(10) as advance:
        advance(10)
    shown = capsys.readouterr().err
    assert "filtering" in shown
    assert "100%" in shown
