"""Passes around gaps, taken band by band with what is there, on every target: against loops, memory and threads."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.images import looped_with_gaps
from striderule import correlate, filters
from striderule.algorithms.gaps import smoothing
from striderule.codegen import target, workers

# name: the filter, and its kernel. Taps written out, taps of lines that stand on end, windows; along one axis alone.
GAUSSIAN = np.exp(-(np.arange(-8.0, 9.0) ** 2) / 8) / np.exp(-(np.arange(-8.0, 9.0) ** 2) / 8).sum()
FILTERS = {
    "short": (lambda x, **words: filters.box(x, 4, algorithm="separable", **words), np.full((4, 4), 1 / 16)),
    "turned": (lambda x, **words: filters.gaussian(x, 2.0, **words), np.outer(GAUSSIAN, GAUSSIAN)),
    "window": (lambda x, **words: filters.box(x, (9, 21), **words), np.full((9, 21), 1 / 189)),
}


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    smoothing._call_for.cache_clear()
    yield request.param
    smoothing._call_for.cache_clear()


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """Notes the results of passes that were taken together; None for those that were not."""
    found, smooth = [], smoothing.smooth
    monkeypatch.setattr(smoothing, "smooth", lambda *args, **words: found.append(smooth(*args, **words)) or found[-1])
    return found


def drawn(shape, dtype, share=0.3):
    rng = np.random.default_rng((*shape, np.dtype(dtype).num))
    return (rng.random(shape) * 100).astype(dtype), rng.random(shape) >= share


@pytest.mark.parametrize("name", FILTERS)
def test_against_loops(machine, taken, name):
    """Each target meets both types, and so does each filter."""
    check(taken, name, ("uint8", "float32")[(list(FILTERS).index(name) + target.available().index(machine)) % 2])


@pytest.mark.parametrize(("name", "dtype"), [("turned", "float64"), ("short", "float16"), ("window", "int16")])
def test_other_types(taken, name, dtype):
    check(taken, name, dtype)


def check(taken, name, dtype):
    function, kernel = FILTERS[name]
    x, valid = drawn((30, 43), dtype)
    result = function(x, mask=valid, dtype=np.float64 if dtype == "float64" else np.float32)
    expected = looped_with_gaps(x.astype(float), kernel, ~valid)
    np.testing.assert_allclose(result, expected, rtol=1e-12 if dtype == "float64" else 3e-6)
    rounded = function(x, mask=valid)
    assert rounded.dtype == dtype
    if rounded.dtype.kind in "iu":
        assert np.abs(rounded - expected).max() <= 0.5 + 1e-3
    assert all(one is not None for one in taken)
    assert len(taken) == 2
    if x.dtype.kind == "f":
        np.testing.assert_array_equal(function(np.where(valid, x, np.nan).astype(dtype), nan="normalize"), rounded)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("words", [
    {"boundary": "constant", "fill": 7}, {"boundary": ("constant", "wrap"), "fill": np.nan, "nan": "normalize"},
    {"boundary": (("edge", "mirror"), "constant")},
], ids=str)  # fmt: skip
def test_borders(taken, name, words):
    function, kernel = FILTERS[name]
    for shape in ((23, 37), (5, 3)):
        x, valid = drawn(shape, "float32", 0.6)
        result, shares = function(x, mask=valid, confidence=True, **words)
        told = {"boundary": words["boundary"], "fill": words.get("fill", 0), "outside_missing": "nan" in words}
        expected = looped_with_gaps(x.astype(float), kernel, ~valid, **told)
        np.testing.assert_allclose(result, expected, rtol=3e-6)
        outside = {"boundary": words["boundary"], "fill": 0.0 if "nan" in words else 1.0}
        there = correlate(valid.astype(float), kernel, algorithm="windows", **outside)
        np.testing.assert_allclose(shares, there / kernel.sum(), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(function(x, mask=valid, **words), result)
    assert taken[0] is not None


def test_windows_without_gaps_are_plain_and_empty_ones_know_nothing(taken):
    for name, (function, _) in FILTERS.items():
        x, valid = drawn((80, 90), "float32", 0.0)
        valid[20:60, 20:60] = False
        result = function(x, mask=valid)
        assert np.isnan(result[40, 40])
        assert np.isnan(result).sum() < 1600
        np.testing.assert_array_equal(result[:, 71:], function(x)[:, 71:], err_msg=name)
        pixels = x.astype(np.uint8)
        assert function(pixels, mask=valid, fill=9)[40, 40] == 9
    assert all(one is not None for one in taken)


def test_layouts_and_threads_do_not_matter(taken):
    x, valid = drawn((3, 60, 50), "float32")
    before = workers.get_num_threads()
    for function, _ in FILTERS.values():
        expected = [function(plane, mask=there) for plane, there in zip(x, valid, strict=True)]
        for threads in (1, 2):
            workers.set_num_threads(threads)
            planes = function(x, mask=valid, channel_axis=0)
            last = function(np.moveaxis(x, 0, -1).copy(), mask=np.moveaxis(valid, 0, -1), channel_axis=-1)
            shared = function(x, mask=valid[0], channel_axis=0)
            out = np.empty(x.shape[1:], np.float32)
            assert function(x[0], mask=valid[0], out=out) is out
        workers.set_num_threads(before)
        np.testing.assert_array_equal(planes, expected)
        np.testing.assert_array_equal(last, np.moveaxis(planes, 0, -1))
        np.testing.assert_array_equal(shared[0], expected[0])
        np.testing.assert_array_equal(out, expected[0])
    assert all(one is not None for one in taken)


def test_infinity_stays_in_reach_and_large_means_are_numbers():
    x, valid = drawn((60, 60), "float32", 0.1)
    valid[30, 30], x[30, 30] = True, np.inf
    for function, kernel in FILTERS.values():
        result = function(x, mask=valid)
        wide = np.isinf(result)
        assert wide.sum() == kernel.size
        assert wide[30, 30]
    huge = np.full((40, 40), 3e38, np.float32)
    for function, _ in FILTERS.values():
        np.testing.assert_allclose(function(huge, mask=valid[:40, :40]), huge, rtol=1e-5)
