"""docs/deck.md: each call of the library gives what the deck's function beside it gives."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import striderule as sr
from tour import deck_functions as deck

PAGE = (Path(__file__).parents[2] / "docs" / "deck.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+) \| `(.+)` \|$", PAGE, re.MULTILINE)
PAIRS = [(theirs.strip("`"), ours) for _, theirs, ours in ROWS if theirs.startswith("`")]


def names():
    random = np.random.default_rng(3)
    image = np.zeros((5, 5), dtype=int)
    image[1:4, 1:4] = 1
    kernel = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
    ours = {
        "image": image,
        "kernel": kernel,
        "kernels": random.standard_normal((4, 3, 3)),
        "kernel_3d": random.standard_normal((3, 3, 3)),
        "rgb": random.random((10, 9, 3)),
        "per_channel": random.random((3, 3, 3)),
        "weights": random.random((1, 1, 3)),
        "result": random.standard_normal((6, 7)),
        "sobel": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
        "noise": random.random((12, 11)),
        "gaussian": deck.gaussian_kernel(5, 1),
        "x": random.standard_normal((2, 3, 8, 8)),
        "signal": SimpleNamespace(convolve2d=deck.scipy_convolve2d),
        "sr": sr,
    }
    return {**vars(deck), **ours}


def test_every_function_of_the_deck_is_there():
    listed = " ".join(theirs for theirs, _ in PAIRS)
    functions = [name for name, value in vars(deck).items() if callable(value) and value.__module__ == deck.__name__]
    for name in set(functions) - {"gaussian_kernel", "scipy_convolve2d"}:
        assert f"{name}(" in listed
    assert len(PAIRS) == len(ROWS) - 1 == 16


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=[theirs for theirs, _ in PAIRS])
def test_the_calls_agree(theirs, ours):
    variables = names()
    if "dilat" in ours:  # a reach of five leaves one place on the small image
        variables["image"] = np.pad(variables["image"], 3)
    expected, found = eval(theirs, variables), eval(ours, variables)
    assert found.shape == expected.shape
    if "ConvLayer" not in ours:  # whose weights are random
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


def test_the_gaussian():
    np.testing.assert_allclose(sr.kernels.gaussian(1, size=5), deck.gaussian_kernel(5, 1), rtol=1e-14)


def test_the_intended_kernel_of_three_axes():
    variables = names()
    rgb, kernel = variables["rgb"], variables["kernel_3d"]
    intended = sr.correlate(rgb, kernel.transpose(1, 2, 0), mode="valid")[:, :, 0]
    expected = sum(deck.convolve2d(rgb[:, :, channel], kernel[channel]) for channel in range(3))
    np.testing.assert_allclose(intended, expected, rtol=1e-13, atol=1e-13)
