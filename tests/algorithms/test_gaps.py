"""What is done element by element around missing pixels, on every target, against NumPy; guard pages; threads."""

import contextlib

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms import memory
from striderule.algorithms.gaps import call
from striderule.algorithms.gaps.routine import STRETCH, Form
from striderule.codegen import target, workers

SHAPES = [(1,), (7,), (3, 21), (0, 3), (2, STRETCH + 5)]


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


@pytest.fixture
def between_pages(monkeypatch):
    monkeypatch.setattr(memory, "empty", lambda shape, dtype: guarded(np.zeros(shape, dtype)))


def drawn(shape, dtype="float32", holes=False):
    rng = np.random.default_rng((*shape, np.dtype(dtype).num))
    x = (rng.random(shape) * 100).astype(dtype)
    if holes:
        x[rng.random(shape) < 0.2] = np.nan
        x[rng.random(shape) < 0.2] = np.inf
    return x


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.usefixtures("between_pages")
def test_marks_stand_where_no_number_is(machine, dtype, shape):
    x, before = drawn(shape, dtype, holes=True), drawn(shape) < 10
    for marked in (None, guarded(before)):
        gaps, found = call.marks(guarded(x), marked)
        expected = np.isnan(x) if marked is None else np.isnan(x) | before
        np.testing.assert_array_equal(gaps, expected)
        assert found == expected.any()
    gaps, found = call.marks(guarded(np.full_like(x, np.inf)), None)
    assert not gaps.any()
    assert not found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "int32", "float32", "uint64", "float64"])
@pytest.mark.usefixtures("between_pages")
def test_images_are_zero_where_pixels_are_missing(machine, dtype, shape):
    x, gaps = drawn(shape, dtype, holes=np.dtype(dtype).kind == "f"), drawn(shape) < 30
    pixels, there = call.laying(guarded(x), guarded(gaps))
    np.testing.assert_array_equal(pixels, np.where(gaps, x.dtype.type(0), x))
    np.testing.assert_array_equal(there, ~gaps)
    assert (pixels.dtype, there.dtype) == (x.dtype, np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.usefixtures("between_pages")
def test_sums_are_corrected_where_something_is_missing(machine, dtype, shape):
    rng = np.random.default_rng(len(shape))
    s, a, u = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    v = (rng.integers(0, 5, shape) / 4 * 3).astype(dtype)
    for rest in (None, (guarded(a), guarded(u))):
        got = call.mending(guarded(s), guarded(v), rest, (3.0, 0.5, 3.0, 0.25, -7.0))
        with np.errstate(all="ignore"):
            corrected = s + (s / v * (3 - v) if rest is None else a / v * (dtype_of(dtype, 0.5) - u))
        expected = np.where(v <= 0.25, dtype_of(dtype, -7), np.where(v < 3, corrected, s))
        np.testing.assert_allclose(got, expected, rtol=16 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(got[v == 3], s[v == 3])  # to the last bit
        assert got.dtype == dtype


def dtype_of(dtype, number):
    return np.dtype(dtype).type(number)


def test_memory_and_threads_do_not_matter(machine):
    x, gaps = drawn((3, STRETCH), holes=True), drawn((3, STRETCH)) < 30
    expected = call.laying(x, gaps)
    for threads in (1, 2):
        for kind in range(KINDS):
            with threads_of(threads):
                for one, other in zip(call.laying(other_memory(x, kind), gaps), expected, strict=True):
                    np.testing.assert_array_equal(one, other)
                np.testing.assert_array_equal(call.marks(other_memory(x, kind), None)[0], np.isnan(x))
    swapped = x.astype(x.dtype.newbyteorder())
    np.testing.assert_array_equal(call.marks(swapped, None)[0], np.isnan(x))


@contextlib.contextmanager
def threads_of(count):
    before = workers.get_num_threads()
    workers.set_num_threads(count)
    try:
        yield
    finally:
        workers.set_num_threads(before)


def test_what_is_not_served_is_left_to_numpy():
    assert call.marks(np.ones(3, complex), None) is None
    assert call.laying(np.ones(3, complex), np.ones(3, bool)) is None
    ones = np.ones(3, np.float32)
    assert call.mending(ones, ones.astype(float), None, (1.0, 1.0, 1.0, 0.0, 0.0)) is None


@pytest.mark.parametrize("form", [
    Form(work, dtype, more)
    for work, dtype, more in [
        ("marks", "float32", False), ("marks", "float16", True), ("laying", "uint8", False),
        ("laying", "float64", False), ("mending", "float32", False), ("mending", "float64", True),
    ]
], ids=lambda form: form.name)  # fmt: skip
def test_trials_pass(machine, form):
    assert call._agrees(form)
