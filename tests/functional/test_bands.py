"""Large images in blocks and images that are written over: the same values, to the last bit, as computed whole."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from functional.test_images import draw_case
from oracles.images import looped
from striderule import Array, explain
from striderule.errors import InvalidArgument
from striderule.filters import unsharp_mask
from striderule.functional import bands, mapped
from striderule.functional.images import convolve, correlate


@pytest.fixture
def small(monkeypatch):
    """Cut everything that has more than a few elements."""

    def set_room(room):
        monkeypatch.setattr(bands, "ROOM", room)
        monkeypatch.setattr(bands, "LARGE", 8)

    return set_room


@pytest.mark.parametrize("function", [correlate, convolve])
def test_drawn_images_in_blocks_equal_the_loops(function, small):
    rng = np.random.default_rng(6)
    cut = 0
    for _ in range(60):
        image, kernel, keywords = draw_case(rng)
        image = np.tile(image, (6,) + (1,) * (image.ndim - 1))
        expected = looped(image, kernel, flip=function is convolve, **keywords)
        small(int(rng.integers(8, 80)))
        image = np.asfortranarray(image) if rng.random() < 0.3 else image[::-1].copy()[::-1]
        result = function(image, kernel, **keywords)
        np.testing.assert_array_equal(result, expected.astype(np.int64), err_msg=f"{image.shape} {kernel} {keywords}")
        out = np.empty_like(result)
        assert function(image, kernel, out=out, **keywords) is out
        np.testing.assert_array_equal(out, result)
        cut += image.size > bands.ROOM
    assert cut > 25


@pytest.mark.parametrize("boundary", ["constant", "edge", "symmetric", "mirror", "wrap", (("wrap", "edge"), "mirror")])
@pytest.mark.parametrize("shape", [(60, 7), (7, 60), (40, 31)])
def test_in_place(boundary, shape, small):
    rng = np.random.default_rng(7)
    for number, kernel_shape in enumerate([(3, 3), (4, 1), (1, 5), (5, 4)]):
        image, kernel = rng.standard_normal(shape), rng.standard_normal(kernel_shape)
        expected = correlate(image, kernel, boundary=boundary, fill=2)
        for turn, room in enumerate((70, 150, 600, 10000), number):  # another memory order for each room and kernel
            source = (image.copy(), image.T.copy().T, image[::-1].copy()[::-1])[turn % 3]
            small(room)
            assert correlate(source, kernel, boundary=boundary, fill=2, out=source) is source
            np.testing.assert_array_equal(source, expected)


def test_in_place_with_planes_and_channels(small):
    rng = np.random.default_rng(8)
    image, kernel = rng.standard_normal((3, 40, 11, 2)), rng.standard_normal((3, 3))
    words = {"axes": (1, 2), "boundary": "wrap"}
    expected = correlate(image, kernel, **words)
    for room in (100, 500, 2000):
        small(room)
        source = image.copy()
        correlate(source, kernel, out=source[...], **words)
        np.testing.assert_array_equal(source, expected)


@pytest.mark.parametrize("boundary", ["symmetric", "wrap", "constant"])
@pytest.mark.parametrize("shape", [(150, 37), (90, 21, 3), (40, 5000)])
@pytest.mark.parametrize("size", [(9, 4), (31, 9), (70, 1)])
def test_sums_of_floats_that_go_block_by_block_down_begin_at_the_rows_of_the_whole(shape, size, boundary, small):
    image, kernel = np.random.default_rng(11).random(shape, np.float32), np.ones(size, np.float32)
    if size[0] > shape[0]:
        image = np.ascontiguousarray(image.swapaxes(0, 1))
    words = {"boundary": boundary, "channel_axis": 2 if len(shape) > 2 else None}
    kernel = kernel[:, 0] if size[1] == 1 else kernel
    words |= {"axes": 0, "channel_axis": None} if size[1] == 1 else {}
    expected = {mode: correlate(image, kernel, mode=mode, **words) for mode in ("same", "full")}
    for room in (image.size // 2, image.size // 3 + 7):
        small(room)
        for mode, whole in expected.items():
            np.testing.assert_array_equal(correlate(image, kernel, mode=mode, **words), whole)
        source = image.copy()
        correlate(source, kernel, out=source, **words)
        np.testing.assert_array_equal(source, expected["same"])


def test_blocks_are_planned_as_the_whole_image(small):
    """Though each takes so few products that it would be computed by those of the definition."""
    image = np.random.default_rng(12).random((120, 94))
    expected = unsharp_mask(image, 1, 0.5)
    assert explain(unsharp_mask, image, 1, 0.5).algorithm == "separable"
    small(1500)
    np.testing.assert_array_equal(unsharp_mask(image, 1, 0.5), expected)


def test_in_place_needs_the_shape_and_the_type_of_the_image(small):
    image = np.ones((20, 20), np.uint8)
    for room in (50, 10000):
        small(room)
        with pytest.raises(InvalidArgument, match="type of the result int32"):
            correlate(image, np.ones((3, 3), np.int8), out=image)
        with pytest.raises(InvalidArgument, match="shape of the result"):
            correlate(image, np.ones((3, 3), np.int8), out=image, dtype=np.uint8, stride=2)
        with pytest.raises(InvalidArgument, match=r"^out overlaps an input"):
            correlate(image[1:], np.ones((3, 3), np.int8), out=image[:-1], dtype=np.uint8)
    assert (image == 1).all()


def test_masks_are_cut_with_the_image(small):
    rng = np.random.default_rng(9)
    image = rng.random((50, 20, 3), np.float32)
    image[rng.random(image.shape) < 0.1] = np.nan
    kernel = np.ones((5, 3))
    for mask in (rng.random((50, 20)) < 0.7, rng.random((50, 20, 1)) < 0.7, rng.random(image.shape) < 0.7):
        words = {"channel_axis": -1, "mask": mask, "nan": "normalize", "boundary": "wrap"}
        expected = correlate(image, kernel, **words)
        small(1200)
        np.testing.assert_array_equal(correlate(image, kernel, **words), expected)
        small(1 << 20)
    small(1200)
    with pytest.raises(InvalidArgument, match="mask must have the shape"):
        correlate(image, kernel, channel_axis=-1, mask=np.ones((4, 4), bool))


def test_wrong_arguments_are_answered_as_ever(small):
    small(50)
    image = np.ones((20, 20))
    with pytest.raises(TypeError, match=r"correlate\(\) got an unexpected keyword argument 'colour'"):
        correlate(image, np.ones((3, 3)), colour=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        correlate(image)
    with pytest.raises(InvalidArgument, match="kernel must have one axis"):
        correlate(image, np.ones(3))


def test_explain_is_of_the_whole(small):
    small(50)
    plan = explain(correlate, Array((300, 200)), np.ones((3, 3)))
    assert plan.work.operations == 9 * 300 * 200


def test_mapped_files(tmp_path, small):
    rng = np.random.default_rng(10)
    pixels = rng.integers(0, 256, (300, 4096), np.uint8)
    source = np.memmap(tmp_path / "in.raw", np.uint8, "w+", offset=100, shape=pixels.shape)
    source[...] = pixels
    source.flush()
    target = np.memmap(tmp_path / "out.raw", np.uint8, "w+", shape=pixels.shape)
    words = {"dtype": np.uint8, "boundary": "mirror"}
    kernel = np.full((5, 5), 0.04, np.float32)
    expected = correlate(pixels, kernel, **words)
    small(1 << 17)
    for mode in ("r", "r+", "c"):
        reopened = np.memmap(tmp_path / "in.raw", np.uint8, mode, offset=100, shape=pixels.shape)
        assert (mapped.mapping(reopened[3:]) is None) == (mode == "c")
        target[...] = 0
        assert correlate(reopened, kernel, out=target, **words) is target
        np.testing.assert_array_equal(target, expected)
        np.testing.assert_array_equal(reopened, pixels)
    target.flush()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out.raw", np.uint8).reshape(pixels.shape), expected)
    correlate(source, kernel, out=source, **words)
    np.testing.assert_array_equal(source, expected)
    mapped.give_back(pixels, 0, 0, 300)  # no mapped file: nothing happens


HELD = """
import sys, threading
import numpy as np
import striderule as sr

def held():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) << 10

shape = (8192, 16384)
image = np.memmap(sys.argv[1], np.uint8, "r", shape=shape)
out = np.memmap(sys.argv[2], np.uint8, "r+", shape=shape)
corner = image[:64, :64].copy()
mask = np.broadcast_to(np.arange(16384) % 100 > 0, shape)
calls = [
    lambda x, y, m: sr.correlate(x, np.ones((3, 3), np.int8), dtype=np.uint8, out=y),
    lambda x, y, m: sr.filters.gaussian(x, 1, out=y),
    lambda x, y, m: sr.filters.box(x, 3, mask=m, out=y),
]
most, over = 0, threading.Event()

def look():
    global most
    while not over.wait(0.005):
        most = max(most, held())

for call in calls:
    call(corner, np.empty_like(corner), mask[:64, :64])
before = held()
thread = threading.Thread(target=look)
thread.start()
for call in calls:
    call(image, out, mask)
over.set()
thread.join()
print(most - before, int(out[4000:4003, 5000].sum()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads what Linux tells of a process's memory")
def test_a_mapped_file_is_never_held_whole(tmp_path):
    shape = (8192, 16384)
    for name in ("in.raw", "out.raw"):  # full of holes: they take no room on the disk
        with (tmp_path / name).open("wb") as file:
            file.truncate(shape[0] * shape[1])
    image = np.memmap(tmp_path / "in.raw", np.uint8, "r+", shape=shape)
    image[4000:4003, 4999:5002] = 90
    image.flush()
    words = [str(tmp_path / "in.raw"), str(tmp_path / "out.raw")]
    done = subprocess.run([sys.executable, "-c", HELD, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held, total = (int(word) for word in done.stdout.split())
    assert total == 60 + 90 + 60  # column 5000 is among those that the mask leaves out, beside its neighbours
    # One copy of the image in float32 would be 512 MiB.
    assert held < 400 << 20
