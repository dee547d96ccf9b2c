"""Several filters in one command, filters that are no kernel, and before and after side by side."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from striderule import filters
from striderule.cli.chain import APART, filter_names, usage


def test_a_chain_does_not_round_between_its_filters(filtered, noise):
    pixels = noise((40, 31))
    tifffile.imwrite("in.tif", pixels)
    said = filtered("in.tif", "out.tif", "-k", "gaussian:1.5", "--then", "sobel:axis=1", "--dtype", "float32")
    assert "gaussian:1.5, then sobel:axis=1 (13 x 13, 3 x 3)" in said
    exact = filters.sobel(filters.gaussian(pixels.astype(float), 1.5), 1)
    np.testing.assert_allclose(tifffile.imread("out.tif"), exact, atol=1e-3)


def test_only_the_last_filter_leaves_rows_out(filtered, noise):
    pixels = noise((41, 30))
    tifffile.imwrite("in.tif", pixels)
    words = ["-k", "[[1,2,1]]", "-k", "[[1],[2],[1]]", "--stride", "2,3", "--dtype", "int32"]
    filtered("in.tif", "out.tif", *words, "--boundary", "wrap")
    wide = pixels.astype(int)
    along = np.roll(wide, 1, 1) + 2 * wide + np.roll(wide, -1, 1)
    both = np.roll(along, 1, 0) + 2 * along + np.roll(along, -1, 0)
    np.testing.assert_array_equal(tifffile.imread("out.tif"), both[::2, ::3])


def test_what_is_signed_stays_signed_after_a_blur(filtered, noise, opened):
    Image.fromarray(noise((20, 20))).save("in.png")
    assert "signed: 128 is 0" in filtered("in.png", "out.png", "-k", "sobel:axis=0", "-k", "gaussian:1")


@pytest.mark.parametrize(
    ("text", "name", "keywords"),
    [
        ("unsharp_mask:2,0.5", "unsharp_mask", {"radius": 2, "amount": 0.5}),
        ("gradient_magnitude:1", "gradient_magnitude", {"sigma": 1}),
        ("corner_harris:sigma=1", "corner_harris", {"sigma": 1}),
        ("std:5", "std", {"size": 5}),
        ("variance:5", "variance", {"size": 5}),
    ],
)
def test_filters_that_are_no_kernel(filtered, noise, text, name, keywords):
    pixels = noise((25, 20), np.float32)
    tifffile.imwrite("in.tif", pixels)
    filtered("in.tif", "out.tif", "--kernel", text)
    expected = getattr(filters, name)(pixels, **keywords)
    np.testing.assert_allclose(tifffile.imread("out.tif"), expected, rtol=1e-4, atol=1e-6)


def test_edges_are_white(filtered, noise, opened):
    pixels = filters.gaussian(noise((50, 60)), 2)
    pixels = (pixels - pixels.min()) * np.uint8(2)
    Image.fromarray(pixels).save("in.png")
    assert "255 is an edge" in filtered("in.png", "out.png", "-k", "canny:1")
    expected = filters.canny(pixels, 1, boundary="symmetric")
    assert expected.any()
    np.testing.assert_array_equal(np.asarray(opened("out.png")), expected * np.uint8(255))
    # After a blur the numbers are rounded to the picture's type again, in which Canny's thresholds are meant.
    filtered("in.png", "blurred.png", "-k", "gaussian:1", "-k", "canny:1")
    expected = filters.canny(filters.gaussian(pixels, 1), 1, boundary="symmetric")
    np.testing.assert_array_equal(np.asarray(opened("blurred.png")), expected * np.uint8(255))


def test_one_of_several_results(filtered, refused, noise):
    pixels = noise((25, 20), np.float32)
    tifffile.imwrite("in.tif", pixels)
    filtered("in.tif", "out.tif", "-k", "structure_tensor:1,part=2")
    np.testing.assert_allclose(tifffile.imread("out.tif"), filters.structure_tensor(pixels, 1)[2], rtol=1e-4, atol=1e-6)
    line = refused("filter", "in.tif", "none.tif", "-k", "structure_tensor:1")
    assert line == "structure_tensor gives 3 pictures, numbered from 0; choose one with structure_tensor:part=0"


def test_a_template_is_a_picture(filtered, refused, noise, opened):
    pixels = noise((30, 40))
    Image.fromarray(pixels).save("in.png")
    Image.fromarray(pixels[8:15, 20:31]).save("part.png")
    filtered("in.png", "found.tif", "-k", "match_template:'part.png'", "--dtype", "float32")
    found = tifffile.imread("found.tif")
    assert np.unravel_index(found.argmax(), found.shape) == (11, 25)
    assert "match_template is written" in refused("filter", "in.png", "none.png", "-k", "match_template:3")


def test_every_filter_is_reachable_or_says_why_not(refused, noise):
    from striderule.cli.specs import names

    assert set(filters.__all__) <= set(names()) | set(filter_names()) | set(APART)
    Image.fromarray(noise((8, 8))).save("in.png")
    for name, reason in APART.items():
        line = refused("filter", "in.png", "out.png", "-k", name)
        assert line == f"{name} cannot be used here: {reason}"
    line = refused("filter", "in.png", "out.png", "-k", "unsharp_mask:2,colour=1")
    assert line == f"unsharp_mask is written {usage('unsharp_mask')}: it has no 'colour' here"
    assert "did you mean canny?" in refused("filter", "in.png", "out.png", "-k", "cany")


def test_before_and_after_stand_side_by_side(filtered, refused, noise, opened):
    pixels = noise((60, 80, 3))
    Image.fromarray(pixels).save("in.png")
    filtered("in.png", "out.png", "-k", "box:5", "--compare", "both.png")
    sheet = np.asarray(opened("both.png"))
    after = np.asarray(opened("out.png"))
    assert sheet.shape[0] > 60 + 2 * 12
    assert sheet.shape[1] >= 2 * 80 + 3 * 12
    rows = sheet[12:72]
    places = [at for at in range(sheet.shape[1] - 79) if np.array_equal(rows[:, at : at + 80], pixels)]
    others = [at for at in range(sheet.shape[1] - 79) if np.array_equal(rows[:, at : at + 80], after)]
    assert len(places) == len(others) == 1
    assert places[0] + 80 + 12 <= others[0]
    assert (sheet[74:] < 128).any()  # the labels
    assert "both.png exists" in refused("filter", "in.png", "new.png", "-k", "box:5", "--compare", "both.png")


@pytest.mark.parametrize("kind", ["uint16", "float32", "rgba", "strided"])
def test_every_kind_can_be_compared(filtered, noise, opened, kind):
    words = ["-k", "gaussian:1", "--compare", "both.jpg"]
    if kind == "rgba":
        Image.fromarray(noise((30, 40, 4))).save("in.png")
        filtered("in.png", "out.png", *words)
    else:
        tifffile.imwrite("in.tif", noise((30, 40), np.dtype(kind if kind != "strided" else "uint8")))
        filtered("in.tif", "out.tif", *words, *(["--stride", 2] if kind == "strided" else []))
    assert opened("both.jpg").size[1] > 30
