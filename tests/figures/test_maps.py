"""Grids of feature maps."""

import numpy as np
import pytest

from oracles.drawings import block
from striderule.errors import InvalidArgument, InvalidType
from striderule.figures import feature_maps

MAPS = np.arange(-6, 12).reshape(3, 2, 3)


def test_each_map_has_its_numbers_and_its_title():
    ax = feature_maps(MAPS, titles=["one", "two", "three"])
    assert len(ax.child_axes) == 3
    for inner, drawn, name in zip(ax.child_axes, MAPS, ["one", "two", "three"], strict=True):
        assert (block(inner, (0, 0), (2, 3)) == drawn).all()
        assert inner.get_title() == name


def test_each_map_has_its_own_scale_and_says_which():
    maps = np.linspace(0, 1, 2 * 20 * 20).reshape(2, 20, 20)
    ax = feature_maps(maps)
    for inner in ax.child_axes:
        grey = inner.images[0].get_array()[..., 0]
        assert (grey.min(), grey.max()) == (0, 1)
    assert [inner.texts[0].get_text() for inner in ax.child_axes] == ["0 to 0.5", "0.5 to 1"]


def test_a_shared_scale_has_one_bar():
    ax = feature_maps(MAPS, shared_scale=True)
    assert len(ax.child_axes) == 4
    assert ax.child_axes[-1].get_ylim() == (-11, 11)
    ax = feature_maps(np.abs(MAPS), shared_scale=True)
    assert ax.child_axes[-1].get_ylim() == (0, 11)
    brightest = [inner.images[0].get_array()[..., 0].max() for inner in ax.child_axes[:3]]
    assert brightest == pytest.approx([6 / 11, 5 / 11, 1], abs=0.01)


def test_signs_are_coloured_only_where_there_are_any():
    grey = feature_maps(np.abs(MAPS)).child_axes[0].images[0].get_array()
    assert (grey[..., 0] == grey[..., 2]).all()
    signed = feature_maps(MAPS).child_axes[0].images[0].get_array()
    assert (signed[..., 0] < signed[..., 2]).all()
    forced = feature_maps(MAPS, cmap="gray").child_axes[0].images[0].get_array()
    assert (forced[..., 0] == forced[..., 2]).all()


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(3, None, 1), (4, None, 1), (5, None, 2), (16, None, 4), (5, 2, 3), (2, 9, 1)]
)
def test_the_grid(count, columns, rows):
    ax = feature_maps(np.zeros((count, 4, 4)), columns=columns)
    tops = {round(inner.get_position().y0, 6) for inner in ax.child_axes}
    ax.figure.canvas.draw()
    tops = {round(inner.get_window_extent().y0) for inner in ax.child_axes}
    assert len(tops) == rows


def test_sizes_may_differ_and_nothing_overlaps():
    sizes = [(15, 15), (13, 13), (4, 9), (9, 4), (1, 1)]
    ax = feature_maps([np.zeros(size) for size in sizes], values=False, titles=[str(size) for size in sizes])
    ax.figure.canvas.draw()
    boxes = [inner.get_tightbbox() for inner in ax.child_axes]
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])
        assert ax.figure.bbox.x0 <= box.x0
        assert box.x1 <= ax.figure.bbox.x1
        assert box.y1 <= ax.figure.bbox.y1
    assert boxes[2].width > boxes[2].height


def test_drawing_into_the_users_axes(user_axes):
    assert feature_maps(MAPS, ax=user_axes, shared_scale=True) is user_axes
    assert len(user_axes.figure.axes) == 1


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (
            np.zeros((1, 3, 4, 4)),
            r"maps must have the shape \(maps, rows, columns\), got .*one image of the batch: maps\[0\]",
        ),
        (np.zeros((4, 4)), r"maps must have the shape \(maps, rows, columns\), got \(4, 4\)"),
        ([np.zeros((4, 4, 3))], r"maps\[0\] must have the two axes"),
        ([], "maps must be 1 to 256 feature maps, got 0"),
        (np.zeros((257, 1, 1)), "maps must be 1 to 256 feature maps, got 257"),
    ],
)
def test_other_shapes_are_refused(maps, message):
    with pytest.raises(InvalidArgument, match=message):
        feature_maps(maps)


def test_other_arguments_are_refused():
    with pytest.raises(InvalidArgument, match=r"titles must be one for each of the 3 maps, got \['a'\]"):
        feature_maps(MAPS, titles=["a"])
    with pytest.raises(InvalidArgument, match="titles must be one for each of the 3 maps, got 'abc'"):
        feature_maps(MAPS, titles="abc")
    with pytest.raises(InvalidArgument, match="columns must be at least 1, got 0"):
        feature_maps(MAPS, columns=0)
    with pytest.raises(InvalidType, match=r"columns must be an integer, got 1\.5"):
        feature_maps(MAPS, columns=1.5)
