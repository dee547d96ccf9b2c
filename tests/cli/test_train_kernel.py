"""``striderule train kernel``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striderule import filters
from striderule.cli import kernel_page
from striderule.cli.kernel_training import planes
from striderule.learning.one_kernel import learn


@pytest.fixture
def photo(command, noise):
    """A soft picture of noise in colours."""
    soft = filters.gaussian(noise((50, 60, 3), np.float64), 1, channel_axis=-1)
    Image.fromarray(np.uint8(np.rint(255 * (soft - soft.min()) / np.ptp(soft)))).save("photo.png")


def test_sobel_is_found_again(photo, command):
    assert command("filter", "photo.png", "edges.png", "--kernel", "sobel:axis=1").exit_code == 0
    result = command("train", "kernel", "--from", "photo.png", "--to", "edges.png", "--size", 3)
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    assert last.startswith("closest kernel: sobel:axis=1, times ")
    assert last.endswith("cosine 1.00000")
    kernel = np.load("kernel/kernel.npy")
    times = float(last.split("times ")[1].split(",")[0])
    np.testing.assert_allclose(kernel / times, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], atol=1e-2)
    page = Path("kernel/index.html").read_text(encoding="utf-8")
    for words in ("Sobel&#x27;s", "least squares", "photo.png", "sobel:axis=1"):
        assert words.replace("&#x27;", "'") in page or words in page
    assert page.count("<img") == 10


def test_what_is_no_kernel_leaves_a_rest(photo, command):
    command("filter", "photo.png", "lengths.png", "--kernel", "sobel")
    words = ("train", "kernel", "--from", "photo.png", "--to", "lengths.png", "--steps", 50)
    found = json.loads(command(*words, "--json", "--size", "2,4").stdout)
    assert np.shape(found["kernel"]) == np.shape(found["least_squares"]) == (2, 4)
    assert found["unexplained"] > 0.3
    before, after, limits, _ = planes(Path("photo.png"), Path("lengths.png"))
    result = kernel_page.result(learn(before, after, (3, 3), limits=limits, steps=2), before, after)
    assert any("no kernel of this size does all of it" in line for line in kernel_page.rest(result))


def test_colours_and_grey(photo):
    Image.open("photo.png").convert("L").save("grey.png")
    before, after, limits, notes = planes(Path("photo.png"), Path("grey.png"))
    assert before.shape == after.shape == (1, 50, 60)
    assert limits == (0, 255)
    assert "taken as their mean" in notes[0]
    assert planes(Path("photo.png"), Path("photo.png"))[0].shape == (3, 50, 60)


def test_refusals(photo, refused):
    Image.new("L", (9, 9)).save("small.png")
    words = ("train", "kernel", "--from", "photo.png", "--to")
    assert "pictures of one size, got photo.png of 60 x 50 and small.png of 9 x 9" in refused(*words, "small.png")
    assert "gone.png does not exist" in refused(*words, "gone.png")
    assert "--size must be a whole number" in refused(*words, "photo.png", "--size", "x")
    assert "size must be 1 to 15" in refused(*words, "photo.png", "--size", "16")
