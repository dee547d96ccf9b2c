"""Canny's edges band by band: the same as of the whole, whatever winds through the bands."""

from itertools import pairwise

import numpy as np
import pytest

from striderule import filters
from striderule.algorithms import table
from striderule.algorithms.edges.joining import Bands
from striderule.algorithms.edges.picture import STRONG
from striderule.errors import InvalidArgument
from striderule.filters import canny_bands
from striderule.filters.canny import link
from striderule.filters.quantiles import quantiles
from striderule.functional import bands


@pytest.fixture
def small(monkeypatch):
    """Cut everything that has more than a few elements, unless there is much room."""

    def set_room(room):
        monkeypatch.setattr(bands, "ROOM", room)
        monkeypatch.setattr(bands, "LARGE", 8 if room < 1 << 20 else 1 << 30)

    return set_room


def pictures():
    rng = np.random.default_rng(3)
    smooth = filters.gaussian(rng.random((150, 61)), 1.5)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return {
        "uint8": (smooth * 255).astype(np.uint8),
        "int16": (smooth * 9000 - 4000).astype(np.int16),
        "float32": smooth.astype(np.float32),
        "float64": smooth,
    }


@pytest.mark.parametrize("code", [True, False])
@pytest.mark.parametrize("dtype", list(pictures()))
def test_bands_equal_the_whole(dtype, code, small, monkeypatch):
    if not code:
        monkeypatch.setattr(table, "generated", lambda name: None)
    image = pictures()[dtype]
    top = float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else 1.0
    boundaries = ["constant", "wrap", (("edge", "wrap"), "mirror")] if code else ["constant", "wrap"]
    for boundary in boundaries:
        for words in ({}, {"sigma": (2, 0)}, {"low_threshold": 0.02 * top, "high_threshold": 0.25 * top}):
            small(1 << 20)
            expected = filters.canny(image, boundary=boundary, **words)
            for room in (700, 2500):
                small(room)
                found = filters.canny(image, boundary=boundary, **words)
                assert found.dtype == bool
                np.testing.assert_array_equal(found.view(np.uint8), expected)
    assert expected.any()


def test_masks_quantiles_planes_types_and_out(small):
    rng = np.random.default_rng(4)
    image = pictures()["float32"].copy()
    mask = rng.random(image.shape) < 0.99
    holes = np.where(rng.random(image.shape) < 0.99, image, np.float32(np.nan))
    stack = np.stack((image, 1 - image[::-1]))
    calls = [
        (image, {"mask": mask}),
        (holes, {"nan": "normalize", "low_threshold": 0.05}),
        (image, {"use_quantiles": True, "low_threshold": 0.7, "high_threshold": 0.9}),
        (holes, {"use_quantiles": True, "low_threshold": 0.7, "high_threshold": 0.9}),
        (image, {"use_quantiles": True, "low_threshold": 0.0, "high_threshold": 1.0, "like": "skimage"}),
        (stack, {"axes": (2, 1), "dtype": np.float32}),
        (np.moveaxis(stack, 0, -1), {"channel_axis": -1, "fill": 0.5}),
        (image > 0.5, {"sigma": 0.7}),
    ]
    for given, words in calls:
        small(1 << 20)
        expected = filters.canny(given, **words)
        small(1500)
        np.testing.assert_array_equal(filters.canny(given, **words), expected)
        out = np.ones(expected.shape[::-1], expected.dtype).T
        assert filters.canny(given, **words, out=out) is out
        np.testing.assert_array_equal(out, expected)
    source = image > 0.5
    assert filters.canny(source, sigma=0.7, out=source) is source
    np.testing.assert_array_equal(source, expected)


def test_wrong_arguments_write_nothing(small):
    small(500)
    image = pictures()["uint8"]
    out = np.ones(image.shape, bool)
    for words, match in (
        ({"sigma": -1}, "sigma"),
        ({"low_threshold": 9, "high_threshold": 3}, "low_threshold must be at most"),
        ({"mask": np.ones((3, 3), bool)}, "mask must have the shape"),
        ({"confidence": True}, "confidence"),
        ({"boundary": "far"}, "boundary"),
    ):
        with pytest.raises(InvalidArgument, match=match):
            filters.canny(image, out=out, **words)
    with pytest.raises(InvalidArgument, match="out must have the type"):
        filters.canny(image, out=out, dtype=np.uint8)
    with pytest.raises(InvalidArgument, match="overlaps"):
        filters.canny(out[1:], out=out[:-1])
    assert out.all()


def linked_by_bands(marks, cuts):
    joined, parts = Bands(), []
    for start, stop in pairwise(cuts):
        parts.append(canny_bands._linked(marks[start:stop].copy()))
        joined.add(*parts[-1])
    result = np.zeros(marks.shape, bool)
    for (found, pending), seeds, start in zip(parts, joined.reached(), cuts[:-1], strict=True):
        rest = pending.astype(np.uint8)
        for row, columns in zip((0, -1), seeds, strict=True):
            rest[row, columns] = STRONG
        result[start : start + len(rest)] = found | link(rest)
    return result


def snake(rows, columns):
    """Return a line that goes up and down through all rows, from one side to the other."""
    picture = np.zeros((rows, columns), np.uint8)
    picture[1:-1, 1:-1:2] = 1
    picture[1, 3:-1:4] = picture[-2, 1:-1:4] = 1
    picture[-2, 2:-1:4] = picture[1, 4:-1:4] = 1
    return picture


@pytest.mark.parametrize("seed", range(6))
def test_drawn_marks_are_linked_over_any_cuts(seed):
    rng = np.random.default_rng(seed)
    marks = snake(31, 42) if seed == 0 else (rng.random((40, 50)) < (0.25, 0.35, 0.45)[seed % 3]).astype(np.uint8)
    marks[:, [0, -1]] = 0
    places = np.argwhere(marks)
    for row, column in places[rng.choice(len(places), 1 if seed == 0 else 5)]:
        marks[row, column] = STRONG
    expected = link(marks.copy())
    if seed == 0:
        assert expected.sum() == (marks > 0).sum()
    for cuts in ([0, len(marks)], list(range(len(marks) + 1)), [0, 7, 8, 21, len(marks)]):
        np.testing.assert_array_equal(linked_by_bands(marks, cuts), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantiles_are_those_of_numpy(dtype):
    rng = np.random.default_rng(5)
    for size in (2, 3, 17, 1000):
        for numbers in (
            rng.random(size),
            rng.integers(0, 3, size) * 0.3,
            np.full(size, np.inf),
            1e9 * rng.random(size),
        ):
            values = numbers.astype(dtype)
            parts = [*rng.random(5).tolist(), 0.0, 0.5, 1.0]
            with np.errstate(invalid="ignore"):
                expected = np.percentile(values, [100.0 * part for part in parts])
                found = quantiles(lambda values=values: np.array_split(values, 3), size, parts)
            np.testing.assert_array_equal(found, expected)
    values[3] = np.nan
    assert np.isnan(quantiles(lambda: [values], size, [0.1, 0.9])).all()
