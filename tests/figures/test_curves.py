"""Curves of trainings."""

import numpy as np
import pytest

from striderule.errors import InvalidArgument
from striderule.figures import curves


def test_the_curves_have_the_numbers():
    ax = curves({"loss": [3, 2, 1], "validation": [4, 3]}, title="both", xlabel="step")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[3, 2, 1], [4, 3]]
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2, 3], [1, 2]]
    assert [text.get_text() for text in ax.texts] == ["loss", "validation"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_yscale()) == ("both", "step", "linear")
    assert len({line.get_color() for line in ax.lines}) == 2


def test_the_users_axes_and_places(user_axes):
    ax = curves([1.0, 0.1], x=[10, 20], ax=user_axes, log=True)
    assert ax is user_axes
    assert ax.lines[0].get_xdata().tolist() == [10, 20]
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ({}, "1 to 4 curves, got 0"),
        ({str(k): [1] for k in range(5)}, "1 to 4 curves, got 5"),
        ({"loss": []}, "series 'loss' must be at least one number"),
        ([1, np.nan], "finite"),
        ([1, 0], "above 0"),
    ],
)
def test_refusals(series, words):
    with pytest.raises(InvalidArgument, match=words):
        curves(series, log=True)
    with pytest.raises(InvalidArgument, match="x must have as many numbers"):
        curves([1, 2], x=[1])
