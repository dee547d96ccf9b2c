"""The pyramid of a receptive field."""

import numpy as np
import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.figures import receptive_field
from striderule.figures.receptive import levels
from striderule.geometry.receptive import Window
from striderule.geometry.receptive import receptive_field as field_of


def seen_by_loops(chain):
    """Return the input positions that output 0 depends on, by pushing a mark down layer by layer."""
    marked = {0}
    for kernel, stride, dilation, padding in reversed(chain):
        marked = {u * stride - padding + t * dilation for u in marked for t in range(kernel)}
    return sorted(marked)


def test_units_equal_the_loops():
    rng = np.random.default_rng(2)
    for _ in range(60):
        chain = [tuple(int(n) for n in rng.integers((1, 1, 1, 0), (5, 4, 4, 4))) for _ in range(rng.integers(0, 5))]
        windows = [Window(k, s, d, p) for k, s, d, p in chain]
        rows = levels(windows, 0)
        assert list(rows[0].units) == seen_by_loops(chain)
        field = field_of(windows)
        assert (rows[0].units[0], rows[0].units[-1] + 1) == field.interval(0, 0)
        for row in rows:  # every unit lies in the middle of what it sees
            assert rows[0].units[0] <= row.x(row.units[0]) <= row.x(row.units[-1]) <= rows[0].units[-1]


def test_labels_give_the_numbers_of_each_layer():
    ax = receptive_field([Window(7, 2, padding=3), Window(3, 2, padding=1), Window(3, dilation=2)], title="stem")
    shown = [text.get_text() for text in ax.texts]
    assert "layer 1: kernel 7, stride 2; sees 7, step 2" in shown
    assert "layer 2: kernel 3, stride 2; sees 11, step 4" in shown
    assert "layer 3: kernel 3, dilation 2; sees 27, step 4" in shown
    assert shown[-1] == (
        "One output sees 27 positions of the input, −5 to 21, beginning in the padding; "
        "the next one begins 4 further on."
    )
    assert {"−5", "21"} <= set(shown)
    assert ax.get_title() == "stem"


def test_one_dot_a_unit_and_hollow_ones_for_the_skipped():
    ax = receptive_field([Window(2), Window(2, dilation=3)])
    filled = [len(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == line.get_color()]
    assert sorted(filled) == [1, 2, 4]
    hollow = [len(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() != line.get_color()]
    assert max(hollow) == 2


def test_wide_fields_are_drawn_as_bars():
    ax = receptive_field([Window(3, 2)] * 6)
    assert ax.patches
    assert "One output sees 127 positions" in ax.texts[-1].get_text()


def test_an_axis_is_chosen():
    chain = [Window((3, 5)), Window(3)]
    assert "sees 5 positions" in receptive_field(chain).texts[-1].get_text()
    for axis in (1, -1):
        assert "sees 7 positions" in receptive_field(chain, axis=axis).texts[-1].get_text()
    assert "sees 7 positions" in receptive_field(chain[::-1], axis=1).texts[-1].get_text()
    with pytest.raises(InvalidArgument, match="axis must be one of the 2 axes of the chain, got 2"):
        receptive_field(chain, axis=2)


def test_an_empty_chain_sees_itself(user_axes):
    ax = receptive_field([], ax=user_axes)
    assert ax is user_axes
    assert ax.texts[-1].get_text().startswith("One output sees 1 position of the input, 0 to 0;")


def test_nothing_runs_out_of_the_picture():
    for chain in ([Window(3)], [Window(7, 2, padding=3)] * 3, [Window(3, dilation=4, stride=2)] * 3):
        ax = receptive_field(chain)
        ax.figure.canvas.draw()
        for text in ax.texts:
            box = text.get_window_extent()
            assert ax.figure.bbox.x0 <= box.x0
            assert box.x1 <= ax.figure.bbox.x1


def test_refusals():
    with pytest.raises(
        InvalidType, match=r"chain must hold striderule.geometry.Window values, got 3; write Window\(3\)"
    ):
        receptive_field([3])
    with pytest.raises(InvalidType, match="chain must be a sequence of Window values, got Window"):
        receptive_field(Window(3))
    with pytest.raises(InvalidArgument, match="chain must have at most 64 layers to be drawn, got 65"):
        receptive_field([Window(1)] * 65)
    with pytest.raises(InvalidArgument, match="chain must see at most 4096 positions to be drawn, got 8191"):
        receptive_field([Window(3, 2)] * 12)
    with pytest.raises(InvalidArgument, match="kernel must be at least 1"):
        receptive_field([Window(0)])
