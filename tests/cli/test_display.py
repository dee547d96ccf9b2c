"""From numbers to brightness."""

import numpy as np
import pytest

from striderule.cli import display
from striderule.cli.display import Range
from striderule.errors import InvalidArgument

U8, U16, I16, F32 = (np.dtype(name) for name in ("uint8", "uint16", "int16", "float32"))


def shown(show, numbers, source=U8, target=U8, gain=None):
    numbers = np.asarray(numbers)
    chosen = display.choose(show, display.range_of([numbers]), source, target, gain)
    values, beyond = display.apply(chosen, numbers, target)
    assert values.dtype == target
    return values.tolist(), beyond


@pytest.mark.parametrize(
    ("show", "numbers", "target", "expected"),
    [
        ("raw", [0.0, 12.4, 255.0], U8, [0, 12, 255]),
        ("raw", [0.5, 1.5, 2.5, 3.5], U8, [0, 2, 2, 4]),
        ("raw", [0, 255], U16, [0, 65535]),
        ("raw", [-3.0, 2.6], I16, [-3, 3]),
        ("raw", [-3.25, 2.5], F32, [-3.25, 2.5]),
        ("signed", [-10.0, 0.0, 10.0], U8, [1, 128, 255]),
        ("signed", [-20, 0, 10], U8, [1, 128, 192]),
        ("signed", [-1.0, 0.0, 1.0], U16, [1, 32768, 65535]),
        ("signed", [-4.0, 4.0], I16, [-32767, 32767]),
        ("signed", [-4.0, 4.0], F32, [-4.0, 4.0]),
        ("signed", [0, 0], U8, [128, 128]),
        ("magnitude", [-10, 5, 0], U8, [255, 128, 0]),
        ("magnitude", [-10.0, 5.0], F32, [10.0, 5.0]),
        ("scaled", [-1.0, 0.0, 1.0], U8, [0, 128, 255]),
        ("scaled", [3.0, 5.0], F32, [0.0, 1.0]),
        ("scaled", [7, 7], U8, [0, 0]),
    ],
)
def test_maps(show, numbers, target, expected):
    assert shown(show, numbers, target=target) == (expected, 0)


def test_clipping_is_counted():
    assert shown("raw", [-1, 0, 255, 256, 300]) == ([0, 0, 255, 255, 255], 3)
    assert shown("raw", [-0.4, 255.4, 255.6]) == ([0, 255, 255], 1)
    assert shown("signed", [-100, 0, 100], gain=2) == ([0, 128, 255], 2)


@pytest.mark.parametrize("dtype", ["uint32", "int32", "uint64", "int64"])
def test_wide_types_saturate(dtype):
    info = np.iinfo(dtype)
    values, beyond = shown("raw", [-1e30, 1e30], np.dtype(dtype), np.dtype(dtype))
    assert beyond == 2
    assert values[0] == info.min
    assert info.max - 2048 <= values[1] <= info.max


def test_infinity_has_no_part_in_the_range():
    assert display.range_of([np.array([np.inf, 1.0, -2.0]), np.array([np.nan]), np.array([])]) == Range(-2.0, 1.0)
    assert display.range_of([]) == Range(0.0, 0.0)


def test_nan_is_refused_for_integers():
    with pytest.raises(
        InvalidArgument, match=r"2 samples of the result are not numbers \(NaN\), which uint8 does not hold"
    ):
        shown("raw", [np.nan, 1.0, np.nan])


def test_depth_of_opacity():
    def changed(values, source, target):
        return display.change_depth(np.array(values, source), np.dtype(target)).tolist()

    assert changed([0, 128, 255], "uint8", "uint16") == [0, 128 * 257, 65535]
    assert changed([0, 65535], "uint16", "uint8") == [0, 255]
    assert changed([0, 255], "uint8", "float32") == [0.0, 1.0]
    assert changed([0.0, 1.0, 2.0], "float32", "uint8") == [0, 255, 255]
