"""Copies of images whose axes lie in the other order, on every target."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms.images import squares
from striderule.codegen import target

TARGETS = [one.name for one in target.available() if one.name != "amx"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("name", TARGETS)
def test_an_image_is_copied_to_the_other_order(name, dtype, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", name)
    target.forget()
    rng = np.random.default_rng(3)
    for shape in ((16, 16), (17, 33), (100, 70), (65, 130)):
        x = guarded(rng.integers(0, 100, shape).astype(dtype))
        y = guarded(np.zeros(shape[::-1], dtype)).T
        assert squares.turn(x, y)
        assert np.array_equal(x, y)
        assert squares.turn(x[::-1], y)
        assert np.array_equal(x[::-1], y)
    monkeypatch.undo()
    target.forget()


def test_what_has_no_square_is_left_alone():
    y = np.zeros((3, 40), np.float32, order="F")
    assert not squares.turn(np.ones((3, 40), np.float32), y)
    assert not squares.turn(np.ones((40, 40), complex), np.zeros((40, 40), complex, order="F"))
    assert not y.any()
