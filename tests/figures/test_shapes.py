"""Window geometry: the formula, the windows and what no window reads."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from striderule.errors import InvalidArgument
from striderule.figures import geometry
from striderule.figures.blocks import TAP, runs
from striderule.figures.extents import Shape
from striderule.geometry.window import output_size


def texts(ax):
    return [text.get_text() for text in ax.texts]


def taps(ax):
    """Return the (x, y) of all cells filled as taps, without the legend's and the output's."""
    found = [p for p in ax.patches if p.get_facecolor() == to_rgba(TAP)]
    return sorted(
        (round(p.get_x(), 6), round(p.get_y(), 6)) for p in found if p.get_width() == 1 and p.get_linewidth() < 1
    )


def formula_value(text):
    """Return the value of a written formula, computed from its words, and the result that it states."""
    left, right = text.split(": ")[-1].rsplit(" = ", 1)
    plain = left.replace("−", "-").replace("·", "*").replace("⌊", "(").replace("⌋", ")").replace(" / ", " // ")
    return eval(plain), int(right)


@pytest.mark.parametrize(
    "how",
    [
        {"size": 5, "kernel": 3},
        {"size": 224, "kernel": 7, "stride": 2, "padding": 3},
        {"size": 7, "kernel": 3, "stride": 2, "padding": ((2, 0),), "dilation": 2},
        {"size": 9, "kernel": 2, "padding": -1},
        {"size": (5, 6), "kernel": 3, "padding": "same", "stride": 2},
        {"size": (7, 8), "kernel": (3, 2), "stride": (1, 2), "padding": ((0, 2), 1), "dilation": (2, 1)},
        {"size": 5, "kernel": (3, 3)},
        {"size": 300, "kernel": 257},
        {"size": (40, 40), "kernel": (21, 21)},
    ],
)
def test_the_formula_states_the_output_size_and_evaluates_to_it(how):
    ax = geometry(**how)
    rank = 2 if any(isinstance(how[name], tuple) for name in ("size", "kernel")) else 1
    stated = [formula_value(text) for text in texts(ax)[-rank:]]
    assert all(value == result for value, result in stated)
    if how.get("padding") != "same":
        expected = output_size(
            *(how[name] for name in ("size", "kernel")),
            how.get("stride", 1),
            how.get("padding", 0),
            how.get("dilation", 1),
        )
        assert [result for _, result in stated] == ([expected] if rank == 1 else list(expected))


def test_one_axis_draws_every_window_where_it_stands():
    ax = geometry(7, 3, stride=2, padding=((2, 0),), dilation=2)
    lines = {}
    for x, y in taps(ax):
        lines.setdefault(y, []).append(x)
    origin = min(min(xs) for xs in lines.values())  # the first tap of the first window: position -2
    assert [[x - origin - 2 for x in lines[y]] for y in sorted(lines)] == [[-2, 0, 2], [0, 2, 4], [2, 4, 6]]
    assert "input 7, kernel 3, padding 2 + 0, dilation 2 (reaches 5)" in texts(ax)
    assert "output 3" in texts(ax)


def test_many_windows_are_left_out_in_the_middle():
    shown = texts(geometry(224, 7, stride=2, padding=3))
    assert "⋮" in shown
    assert {"0", "4", "111"} <= set(shown)
    assert "5" not in shown


def test_two_axes_draw_the_first_window_with_its_gaps():
    ax = geometry((7, 8), (3, 2), stride=(1, 2), padding=((0, 2), 1), dilation=(2, 1))
    drawn = np.array(taps(ax))
    assert (drawn - drawn.min(axis=0)).tolist() == [[0, 0], [0, 2], [0, 4], [1, 0], [1, 2], [1, 4]]
    assert {"input 7 × 8", "kernel 3 × 2", "output 5 × 5", "padding 0 + 2, 1", "stride 1, 2"} <= set(texts(ax))
    assert "dilation 2, 1: reaches 5 × 2" in texts(ax)


def test_what_is_not_read():
    assert Shape.of(5, 2, 2, 0, 1).unread(0) == [4]
    assert Shape.of(9, 2, 3, -1, 1).unread(0) == [0, 3, 6, 7, 8]
    assert Shape.of(5, 3, 1, 1, 1).unread(0) == []
    assert "not read" in texts(geometry((5, 5), 2, stride=2))
    assert "not read" not in texts(geometry((5, 5), 3))
    assert runs([0, 1, 4, 6, 7]) == [(0, 2), (4, 1), (6, 2)]


@pytest.mark.parametrize("size", [6, (6, 6)])
def test_the_legend_names_only_what_occurs(size):
    plain = " ".join(texts(geometry(size, 6)))
    assert "padding 1" not in plain
    assert "stride 1" not in plain
    full = texts(geometry(size, 3, stride=2, padding=1))
    assert {"padding", "stride 2"} <= set(full)


def test_drawing_into_the_users_axes(user_axes):
    assert geometry(5, 3, ax=user_axes, title="mine") is user_axes
    assert user_axes.get_title() == "mine"


def test_nothing_runs_out_of_the_picture():
    for ax in (
        geometry(5, 3, title="t"),
        geometry((5, 5), 3, padding=1),
        geometry((224, 100), (7, 5), stride=2),
        geometry(40, 3),
    ):
        ax.figure.canvas.draw()
        page = ax.figure.bbox
        for text in [*ax.texts, ax.title]:
            box = text.get_window_extent()
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
            assert page.y0 <= box.y0
            assert box.y1 <= page.y1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (4, 4, 4), "kernel": 3}, "geometry draws one axis or two, got 3"),
        ({"size": 5, "kernel": 3, "stride": 0}, "stride must be at least 1 in every axis, got 0"),
        ({"size": 2, "kernel": 3}, "no output is left on axis 0"),
        ({"size": 5000, "kernel": 3}, "size must be at most 4096 to be drawn, got 5000"),
        ({"size": 5, "kernel": 3, "padding": 5000}, "padding must be at most 4096 to be drawn, got 5000"),
        ({"size": (5, 5), "kernel": (3, 3), "stride": (1, 1, 1)}, "got 3"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        geometry(**arguments)
