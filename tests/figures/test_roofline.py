"""The roofline of a plan."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType
from striderule.figures import roofline
from striderule.planning.rules import RULES


@pytest.fixture
def plan():
    return sr.explain(sr.conv2d, sr.Array((1, 64, 56, 56)), sr.Array((64, 64, 3, 3)), padding=1)


def test_the_roof_is_the_machines_and_every_candidate_lies_below(plan):
    ax = roofline(plan, title="a layer")
    roof, *points = ax.lines
    x, y = np.asarray(roof.get_xdata()), np.asarray(roof.get_ydata())
    peak, bandwidth = plan.machine.peak("float32") / 1e9, plan.machine.bandwidth / 1e9
    assert y.max() == pytest.approx(peak)
    assert y == pytest.approx(np.minimum(peak, bandwidth * x))
    able = [found for found in plan.candidates if found.cost is not None]
    assert len(points) == len(able)
    assert {text.get_text() for text in ax.texts} == {f"{found.label}, {found.cost.error:.0e}" for found in able}
    for point, found in zip(points, able, strict=True):
        (intensity,), (rate,) = point.get_xdata(), point.get_ydata()
        assert intensity == pytest.approx(plan.work.flops / found.cost.bytes_moved)
        assert rate == pytest.approx(plan.work.flops / found.cost.seconds / 1e9)
        # Only fewer or shorter products than those of the definition go beyond the peak.
        assert rate <= min(peak, bandwidth * intensity * 1.01) or RULES[found.name].reordered
    assert ax.get_title() == "a layer"


def test_names_do_not_overlap(plan):
    ax = roofline(plan)
    ax.figure.draw_without_rendering()  # which puts annotations where they stand
    # An annotation's own extent has the line to its point in it.
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    names = sorted((box.y0, box.y1) for box in boxes)
    assert all(above[0] >= below[1] for below, above in itertools.pairwise(names))
    assert all(box.x1 <= ax.figure.bbox.x1 for box in boxes)


def test_the_users_axes(plan, user_axes):
    assert roofline(plan, ax=user_axes) is user_axes


def test_refusals():
    with pytest.raises(InvalidType, match="plan must be the plan of one pass, got Plans; pass one of its passes"):
        roofline(sr.explain(sr.relu, sr.Array((3,))))
    with pytest.raises(InvalidArgument, match="plan must do arithmetic"):
        roofline(sr.explain(sr.conv2d, sr.Array((0, 1, 3, 3)), sr.Array((1, 1, 3, 3))))
