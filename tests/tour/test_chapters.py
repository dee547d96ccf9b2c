"""Every chapter gives the deck's numbers, agrees with the deck's functions written anew, and holds its own checks."""

import json
from pathlib import Path

import numpy as np
import pytest

from striderule.tour import contents
from tour import deck_functions as deck

VALUES = json.loads((Path(__file__).parents[1] / "data" / "deck-values.json").read_text(encoding="utf-8"))
IMAGE = np.array(VALUES["1"]["image"])
EDGE = np.array(VALUES["1"]["kernel"])
CHAPTERS = contents()
NUMBERED = [chapter for chapter in CHAPTERS if chapter.number is not None]
TITLES = [
    "Introduction",
    "Basic convolution",
    "Padding",
    "Stride",
    "Many input channels",
    "Many output channels",
    "Activation functions",
    "Pooling",
    "A convolutional layer",
    "Edges, and why kernels are flipped",
    "Gaussian blur",
    "Dilation",
    "Depthwise separable convolution",
    "Learning a kernel",
    "Learning to read digits",
    "What to read",
]


def agree(found, *expected):
    for one in expected:
        assert np.shape(found) == np.shape(one)
        np.testing.assert_allclose(found, one, rtol=1e-13, atol=1e-13)


@pytest.fixture
def left(built):
    """Return a function: the variable that a chapter left behind."""
    return lambda number, name: built.runs[number].variables[name]


def test_the_order_is_the_decks():
    assert [chapter.title for chapter in CHAPTERS] == TITLES
    assert [chapter.number for chapter in CHAPTERS] == [*range(1, 16), None]


@pytest.mark.parametrize("chapter", NUMBERED, ids=lambda chapter: chapter.slug)
def test_every_chapter_has_all_its_parts(built, chapter):
    run = built.runs[chapter.number]
    kinds = [cell.kind for cell in chapter.cells]
    assert {"markdown", "code", "figure", "shape", "check"} == set(kinds)
    assert kinds[0] == "markdown"
    assert kinds[-1] == "check"
    for shown in run.shown:
        if shown.cell.kind in ("shape", "check"):
            assert shown.printed.strip()
        if shown.cell.kind == "figure":
            assert shown.cell.caption
            assert len(shown.shots) == len(shown.cell.drawings) > 0
            assert all(len(drawing.alt) > 20 for drawing in shown.cell.drawings)
        else:
            assert not shown.shots


@pytest.mark.parametrize("chapter", NUMBERED, ids=lambda chapter: chapter.slug)
def test_every_check_holds(built, chapter):
    checks = built.runs[chapter.number].checks
    assert checks
    for name, found in checks.items():
        assert found.holds, name
        assert found.allowed < 1e-3  # an allowance that allows anything checks nothing


@pytest.mark.parametrize("chapter", [chapter for chapter in NUMBERED if chapter.number > 1], ids=lambda c: c.slug)
def test_every_chapter_from_the_second_checks_a_photograph(built, chapter):
    assert any(name.startswith("photograph") for name in built.runs[chapter.number].checks)


@pytest.mark.parametrize("chapter", NUMBERED, ids=lambda chapter: chapter.slug)
def test_code_fits_the_page_on_a_laptop(chapter):
    for cell in chapter.cells:
        if cell.kind in ("code", "shape"):
            assert max(map(len, cell.source.splitlines())) <= 89, cell.source


def test_1_introduction(left):
    agree(left(1, "image"), IMAGE)
    agree(left(1, "kernel"), EDGE)
    assert left(1, "image").dtype.kind == "i"
    assert left(1, "products").sum() == VALUES["2"]["result"][0][0]


def test_2_basic_convolution(left):
    agree(left(2, "result"), VALUES["2"]["result"], deck.convolve2d(IMAGE, EDGE))


def test_2_says_that_the_decks_function_correlates(built):
    prose = " ".join(cell.source for cell in built.runs[2].chapter.cells if cell.kind == "markdown")
    assert "`convolve2d(image, kernel)`" in prose
    assert "correlation" in prose


def test_3_padding(left):
    agree(left(3, "padded"), VALUES["3"]["padded"], deck.pad_image(IMAGE, 1))
    agree(left(3, "result"), VALUES["3"]["result"], deck.convolve2d(deck.pad_image(IMAGE, 1), EDGE))


def test_4_stride(left):
    agree(left(4, "result"), VALUES["4"]["result_stride_2"], deck.strided_convolve2d(IMAGE, EDGE, 2))


def test_5_both_readings_of_the_kernel(left):
    image, kernel = left(5, "image"), left(5, "kernel")
    agree(image, VALUES["5"]["image_hwc"])
    agree(kernel, VALUES["5"]["kernel"])
    literal, intended = (
        VALUES["5"][f"result_kernel_read_as_{axes}"] for axes in ("height_width_channel", "channel_height_width")
    )
    agree(left(5, "literal"), literal, deck.convolve3d(image, kernel))
    agree(left(5, "intended"), intended, deck.convolve3d(image, kernel.transpose(1, 2, 0)))


def test_6_many_output_channels(left):
    agree(left(6, "kernels"), VALUES["6"]["kernels"])
    agree(left(6, "maps"), VALUES["6"]["results"], deck.multi_kernel_convolve2d(IMAGE, left(6, "kernels")))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_7_activations(left, name):
    result = deck.convolve2d(IMAGE, EDGE)
    agree(left(7, "activated")[name], VALUES["7"][name], getattr(deck, name)(result))


def test_8_pooling(left):
    agree(left(8, "largest"), VALUES["8"]["max_2x2"], deck.pool2d(IMAGE, (2, 2), "max"))
    agree(left(8, "average"), VALUES["8"]["avg_2x2"], deck.pool2d(IMAGE, (2, 2), "avg"))
    assert left(8, "image").dtype.kind == "i"
    assert left(8, "average").dtype.kind == "f"


def test_9_convolutional_layer(left):
    x, layer, y = left(9, "x"), left(9, "layer"), left(9, "y")
    assert list(x.shape) == VALUES["9"]["input_shape"]
    assert list(y.shape) == VALUES["9"]["output_shape"]
    settings = VALUES["9"]["layer"]
    theirs = deck.ConvLayer(**settings)
    theirs.weights = layer.weight.astype(np.float64)
    expected = theirs.forward(x.astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * expected.max())
    assert abs(layer.weight.std() - 1) < 0.15  # unscaled, as the deck draws them


def test_10_edges(left):
    image = left(10, "image")
    horizontal, vertical, magnitude = (left(10, name) for name in ("horizontal", "vertical", "magnitude"))
    kernels = [np.array(VALUES["10"][f"{name}_kernel"]) for name in ("horizontal", "vertical")]
    theirs = [deck.scipy_convolve2d(image, kernel, "symm") for kernel in kernels]
    agree(horizontal, theirs[0])
    agree(vertical, theirs[1])
    agree(magnitude, np.sqrt(theirs[0] ** 2 + theirs[1] ** 2))
    agree(horizontal[18:23, 50], VALUES["10"]["horizontal_rows_18_to_22_column_50"])
    agree(horizontal[78:83, 50], VALUES["10"]["horizontal_rows_78_to_82_column_50"])
    agree(vertical[50, 18:23], VALUES["10"]["vertical_row_50_columns_18_to_22"])
    agree(magnitude[18:22, 18:22], VALUES["10"]["magnitude_corner_rows_18_to_21_columns_18_to_21"])
    agree(magnitude.sum(), VALUES["10"]["magnitude_sum"])
    agree(magnitude.max(), VALUES["10"]["magnitude_max"])
    agree(left(10, "correlated")[18:23, 50], -horizontal[18:23, 50])


def test_11_blur(left):
    noise, kernel, blurred = left(11, "noise"), left(11, "kernel"), left(11, "blurred")
    agree(kernel, VALUES["11"]["kernel"], deck.gaussian_kernel(5, 1))
    agree(blurred, deck.scipy_convolve2d(noise, kernel, "symm"))
    agree(blurred[:3, :5], VALUES["11"]["blurred_rows_0_to_2_columns_0_to_4"])
    agree(blurred.mean(), VALUES["11"]["blurred_mean"])
    agree(blurred.std(), VALUES["11"]["blurred_std"])
    source = "\n".join(cell.source for cell in CHAPTERS[10].cells)
    assert "sr.kernels.gaussian(1, size=5)" in source


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_12_dilation(left, rate):
    result, expected = left(12, "results")[rate], VALUES["12"][f"rate_{rate}"]
    agree(result, deck.dilated_convolve2d(left(12, "image"), left(12, "kernel"), rate))
    assert list(result.shape) == expected["shape"]
    agree(result[5], expected["row_5"])
    agree(result.sum(), expected["sum"])


def test_13_depthwise_separable(left):
    image, kernels, weights = left(13, "image"), left(13, "kernels"), left(13, "weights")
    shapes = VALUES["13"]
    assert list(image.shape) == shapes["input_shape_hwc"]
    assert list(kernels.shape) == shapes["depthwise_kernels_shape_c_kh_kw"]
    assert list(weights.shape) == shapes["pointwise_kernel_shape"]
    theirs = deck.depthwise_conv(image, kernels)
    agree(left(13, "depthwise").transpose(1, 2, 0), theirs)
    agree(left(13, "final")[0], deck.pointwise_conv(theirs, weights))
    assert list(left(13, "depthwise").transpose(1, 2, 0).shape) == shapes["depthwise_output_shape"]
    assert list(left(13, "final")[0].shape) == shapes["final_output_shape"]
    assert len(left(13, "maps")) > 1


def test_13_counts_what_is_saved(built):
    printed = " ".join(shown.printed for shown in built.runs[13].shown)
    assert f"{9 * 512 * 512:,}    266,752     8.8\n" in printed  # 9 · 512 + 512 · 512 = 266,752


def test_14_finds_the_secret_kernel(left):
    np.testing.assert_allclose(left(14, "learned"), left(14, "secret"), atol=0.02)
    assert left(14, "losses")[-1] < 1e-4 * left(14, "losses")[0]


def test_15_reads_most_digits(left):
    assert (left(15, "answers") == left(15, "right")).mean() > 0.93


def test_the_closing_page_names_the_decks_sources():
    text = CHAPTERS[-1].cells[0].source
    for source in ("deeplearningbook.org", "cs231n", "1901.06032", "1603.07285", "tensorflow.org", "pytorch.org"):
        assert source in text
