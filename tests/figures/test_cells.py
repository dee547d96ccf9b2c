"""Colours, scales and the arrays that can be drawn."""

import matplotlib as mpl
import numpy as np
import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.figures.canvas import CHALK, INK, contrast_ink, ink, luminance
from striderule.figures.cells import SIGNED, fitting_points, plane, real_array, scale_for, signed_scale


def contrast(a, b):
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", ["gray", "signed", "viridis"])
def test_every_cell_is_written_readably(name):
    scale = scale_for(np.array([[-1.0, 1.0]]), cmap=name)
    colours = scale.paint(np.linspace(-1, 1, 301))
    assert min(contrast(colour, contrast_ink(colour)) for colour in colours) >= 4.5


def test_the_signed_scale_is_centred_on_zero_and_even():
    scale = signed_scale(np.array([[-1, 8]]))
    assert (scale.norm.vmin, scale.norm.vmax) == (-8, 8)
    centre, negative, positive = scale.paint(np.array([0.0, -5.0, 5.0]))
    assert luminance(centre) > 0.9
    assert luminance(negative) == pytest.approx(luminance(positive), abs=0.06)
    assert negative[2] > negative[0]  # blue below zero
    assert positive[0] > positive[2]  # orange above


def test_a_kernel_of_zeros_has_a_scale():
    assert signed_scale(np.zeros((2, 2))).norm.vmax == 1


def test_grey_goes_from_the_least_to_the_greatest_value():
    scale = scale_for(np.array([[3.0, 7.0, np.nan, np.inf]]))
    assert (scale.norm.vmin, scale.norm.vmax) == (3, 7)


@pytest.mark.parametrize(("value", "limits"), [(0, (0, 1)), (1, (0, 1)), (-4, (-4, 1)), (9, (0, 9))])
def test_one_value_only_is_shown_against_zero_and_one(value, limits):
    norm = scale_for(np.full((2, 2), value)).norm
    assert (norm.vmin, norm.vmax) == limits


def test_not_a_number_has_a_colour_of_its_own():
    for name in ("gray", "signed"):
        colour = scale_for(np.array([[-1.0, 1.0]]), cmap=name).paint(np.array([np.nan]))[0]
        assert colour[3] == 1
        assert colour[2] > colour[1]


def test_limits_that_do_not_increase_are_refused():
    with pytest.raises(InvalidArgument, match="vmin must be below vmax, got vmin=2 and vmax=1"):
        scale_for(np.array([[0, 1]]), vmin=2, vmax=1)


def test_colour_maps_by_name_and_by_value():
    assert scale_for(np.ones((1, 1)), cmap="signed").colours is SIGNED
    viridis = mpl.colormaps["viridis"]
    assert scale_for(np.ones((1, 1)), cmap=viridis).colours is viridis
    with pytest.raises(InvalidArgument, match=r"cmap must be 'signed' or a name that matplotlib knows.*'greyish'"):
        scale_for(np.ones((1, 1)), cmap="greyish")
    with pytest.raises(InvalidType, match="cmap must be the name of a colour map"):
        scale_for(np.ones((1, 1)), cmap=3)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([[1j]], InvalidType, r"x must hold real numbers, got complex128; draw abs\(x\), x.real or x.imag"),
        ([["a"]], InvalidType, "x must be a NumPy array"),
        (np.zeros((0, 3)), InvalidArgument, r"x must have at least one element to draw, got shape \(0, 3\)"),
    ],
)
def test_what_cannot_be_drawn(value, kind, message):
    with pytest.raises(kind, match=message):
        real_array(value, "x")


def test_a_plane_has_two_axes():
    assert plane([[True, False]], "x").dtype == np.uint8
    with pytest.raises(InvalidArgument, match=r"rows, columns\), got shape \(2,\); write x\[np.newaxis\]"):
        plane([1, 2], "x")
    with pytest.raises(InvalidArgument, match=r"got shape \(1, 2, 2\); choose one map, such as x\[0\]"):
        plane(np.zeros((1, 2, 2)), "x")


def test_long_texts_are_written_smaller():
    assert fitting_points(30, 1) > fitting_points(30, 5) > fitting_points(30, 9)
    assert fitting_points(1000, 1) == 13


def test_writing_beside_the_cells_follows_the_background(user_axes):
    assert ink(user_axes) == INK
    user_axes.figure.set_facecolor("black")
    assert ink(user_axes) == CHALK
    user_axes.figure.set_facecolor((0, 0, 0, 0))  # transparent: a page is taken to be light
    assert ink(user_axes) == INK
