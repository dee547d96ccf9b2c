"""Notebooks show a drawing that a cell ends with, as the protocol of IPython asks: `_repr_png_`."""

import io

import numpy as np
import pytest
from PIL import Image

import striderule as sr
from striderule import figures, geometry

DRAWINGS = {
    "image": lambda **more: figures.image(np.eye(4), **more),
    "kernel": lambda **more: figures.kernel(np.eye(3), **more),
    "window": lambda **more: figures.window(np.eye(5), np.ones((3, 3)), (1, 1), **more),
    "feature_maps": lambda **more: figures.feature_maps(np.ones((3, 4, 4)), **more),
    "geometry": lambda **more: figures.geometry((5, 5), (3, 3), padding=1, **more),
    "receptive_field": lambda **more: figures.receptive_field([geometry.Window(3)], **more),
    "activation": lambda **more: figures.activation("relu", **more),
    "curves": lambda **more: figures.curves({"loss": [3.0, 1.0, 0.5]}, **more),
    "surroundings": lambda **more: figures.surroundings(np.eye(3), **more),
    "roofline": lambda **more: figures.roofline(sr.explain(sr.conv2d, np.ones((9, 9)), np.ones((3, 3))), **more),
}


@pytest.mark.parametrize("name", sorted(set(figures.__all__) - {"animate"}))
def test_axes_and_their_figure_are_shown(name):
    ax = DRAWINGS[name]()
    wide, high = ax.figure.get_size_inches() * ax.figure.dpi
    for shown in (ax, ax.figure):
        with Image.open(io.BytesIO(shown._repr_png_())) as picture:
            assert picture.format == "PNG"
            assert np.abs(np.subtract(picture.size, (wide, high))).max() <= 1
            assert len(np.unique(np.asarray(picture))) > 1


@pytest.mark.parametrize("name", sorted(set(figures.__all__) - {"animate"}))
def test_axes_of_the_user_are_left_to_the_user(name, user_axes):
    ax = DRAWINGS[name](ax=user_axes)
    assert ax is user_axes
    assert not hasattr(ax, "_repr_png_")
