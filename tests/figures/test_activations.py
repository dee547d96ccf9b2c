"""Curves of activation functions."""

import numpy as np
import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.figures import activation
from striderule.figures.activations import NAMES


def curve(ax):
    line = ax.lines[-1]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_the_curve_has_the_values_of_the_function():
    x, y = curve(activation(np.tanh, limits=(-3, 1)))
    assert (x[0], x[-1]) == (-3, 1)
    assert y == pytest.approx(np.tanh(x))


def test_by_name():
    ax = activation("relu")
    x, y = curve(ax)
    assert (y == np.maximum(x, 0)).all()
    assert ax.get_title() == "relu"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_draws(name):
    assert np.isfinite(curve(activation(name))[1]).all()


def test_titles_and_the_users_axes(user_axes):
    ax = activation(lambda x: x * x, ax=user_axes)
    assert ax is user_axes
    assert ax.get_title() == ""
    assert activation(np.tanh, title="mine").get_title() == "mine"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"function": "softmax"}, InvalidArgument, "function must be one of celu, .*, got 'softmax'"),
        ({"function": 3}, InvalidType, "function must be a name or a function, got 3"),
        ({"function": np.sum}, InvalidArgument, r"function must keep the shape of its argument, got \(\)"),
        ({"function": np.tanh, "limits": (1, 1)}, InvalidArgument, "limits must be two finite numbers that increase"),
        ({"function": np.tanh, "limits": 3}, InvalidArgument, "limits must be two numbers"),
        ({"function": np.tanh, "limits": (0, np.inf)}, InvalidArgument, "limits must be two finite numbers"),
    ],
)
def test_refusals(arguments, kind, message):
    with pytest.raises(kind, match=message):
        activation(**arguments)
