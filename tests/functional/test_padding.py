"""`pad`: values by hand, both algorithms over drawn widths, memory, refusals."""

import random

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType, StrideruleError

MODES = ("constant", "reflect", "replicate", "circular", "edge", "symmetric", "mirror", "wrap", "zeros", "periodic")


def test_the_deck():
    """Chapter 3: every side of every axis."""
    square = np.zeros((5, 5), int)
    square[1:4, 1:4] = 1
    np.testing.assert_array_equal(sr.pad(square, 1), np.pad(square, 1))


@pytest.mark.parametrize(
    ("mode", "pad", "expected"),
    [
        ("constant", (1, 2), [0, 1, 2, 3, 0, 0]),
        ("reflect", (2, 2), [3, 2, 1, 2, 3, 2, 1]),
        ("replicate", (2, 1), [1, 1, 1, 2, 3, 3]),
        ("circular", (3, 1), [1, 2, 3, 1, 2, 3, 1]),
        ("symmetric", (4, 1), [3, 3, 2, 1, 1, 2, 3, 3]),
        ("mirror", (5, 0), [2, 1, 2, 3, 2, 1, 2, 3]),
        ("wrap", (0, 5), [1, 2, 3, 1, 2, 3, 1, 2]),
        ("constant", (-1, 1), [2, 3, 0]),
        ("wrap", (-1, 2), [2, 3, 1, 2]),
        ("circular", (-1, 2), [2, 3, 2, 3]),  # crops first
        ("reflect", (2, -2), [3, 2, 1]),
        ("edge", (-4, 2), [3]),
        ("constant", (-1, -2), []),
    ],
)
def test_by_hand(mode, pad, expected):
    for algorithm in ("windows", "reference"):
        np.testing.assert_array_equal(sr.pad([1, 2, 3], pad, mode, algorithm=algorithm), expected)


def test_the_last_axis_comes_first():
    x = np.arange(24).reshape(2, 3, 4)
    assert sr.pad(x, (1, 2)).shape == (2, 3, 7)
    assert sr.pad(x, (1, 2, 3, 0)).shape == (2, 6, 7)
    assert sr.pad(x, (1, 2, 3, 0, 0, 5)).shape == (7, 6, 7)
    assert sr.pad(np.ones((2, 3, 4, 5)), 1).shape == (2, 3, 6, 7)
    assert sr.pad(input=np.ones(3), pad=1, value=7)[0] == 7


def test_algorithms_agree():
    draw = random.Random(0)
    compared = 0
    for _ in range(200):
        shape = [draw.randint(0, 4) for _ in range(draw.randint(0, 4))]
        dtype = draw.choice(["uint8", ">i4", "float16", "complex64"])
        x = np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)
        x = x[::-1] if shape and draw.random() < 0.5 else x.T
        pad = [draw.randint(-2, 4) for _ in range(2 * draw.randint(0, len(shape)))]
        mode = draw.choice(MODES)
        value = draw.choice([None, 3]) if mode in ("constant", "zeros") else None
        try:
            expected = sr.pad(x, pad, mode, value, algorithm="reference")
        except StrideruleError:
            with pytest.raises(StrideruleError):
                sr.pad(x, pad, mode, value)
            continue
        found = sr.pad(x, pad, mode, value)
        assert found.dtype == expected.dtype
        assert not np.shares_memory(found, x)
        np.testing.assert_array_equal(found, expected)
        compared += 1
    assert compared > 150


def test_out():
    x = np.ones((2, 2))
    out = np.empty((4, 4))
    assert sr.pad(x, 1, out=out) is out
    assert out.sum() == 4
    with pytest.raises(InvalidArgument, match="out overlaps an input"):
        sr.pad(x, 0, out=x)
    with pytest.raises(InvalidArgument, match="shape of the result"):
        sr.pad(x, 2, out=out)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sr.pad([1, 2], (1, 1), "reflect", 3), "value belongs to mode='constant'"),
        (lambda: sr.pad([1, 2], (2, 0), "reflect"), "must be at most 1 on axis 0"),
        (lambda: sr.pad([1, 2], (3, 0), "circular"), "must be at most 2 on axis 0"),
        (lambda: sr.pad(np.ones((0, 3)), (0, 0, 1, 0), "replicate"), "cannot extend axis 0"),
        (lambda: sr.pad([1, 2], (1,)), "even number of entries"),
        (lambda: sr.pad([1, 2], (1, 1, 1, 1)), "at most 2 entries"),
        (lambda: sr.pad([1, 2], (-3, 0)), "crops more than the 2 elements"),
        (lambda: sr.pad([1, 2], 1, "reflect_102"), "mode must be one of"),
        (lambda: sr.pad(np.ones(2, np.uint8), 1, value=-1), "value must be an integer from 0 to 255"),
        (lambda: sr.pad(np.ones((2, 2, 2)), 1), "does not say which of the 3 axes are spatial"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_refused_kinds():
    with pytest.raises(InvalidType, match="each entry of pad must be an integer"):
        sr.pad([1, 2], (1.0, 1))
    with pytest.raises(InvalidType, match="pad must be an integer"):
        sr.pad([1, 2], 1.5)
    with pytest.raises(InvalidType, match="mode must be a word"):
        sr.pad([1, 2], 1, None)


def test_complex_fill():
    assert sr.pad(np.ones(1, complex), (1, 0), value=2j)[0] == 2j
