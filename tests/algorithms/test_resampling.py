"""Resampling on generated code, on every target, against matrices made element by element, in float64."""

import math

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.images import outside
from oracles.memories import guarded
from striderule.algorithms import memory
from striderule.algorithms.resampling import call, maps
from striderule.algorithms.resampling.routine import Form
from striderule.codegen import target, workers

TARGETS = target.available()
PROFILES = [(1.0,), (0.25, 0.5, 0.25), (0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05)]
WORDS = [("symmetric", "symmetric"), ("constant", "mirror"), ("wrap", "wrap"), ("edge", "constant"), ("mirror", "edge")]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def matrix_of(size, words, places):
    """Return rows of (weight of each element, weight of the fill value) from (position, weight) pairs."""
    matrix = np.zeros((len(places), size + 1))
    for row, terms in enumerate(places):
        for position, weight in terms:
            index = outside(position, size, words[0 if position < 0 else 1])
            matrix[row, size if index is None else index] += weight
    return matrix


def interpolation(size, outputs, words):
    places = []
    for i in range(outputs):
        where = (i + 0.5) * size / outputs - 0.5
        low = math.floor(where)
        places.append([(p, w) for p, w in ((low, low + 1 - where), (low + 1, where - low)) if w])
    return matrix_of(size, words, places)


def blur(size, profile, words):
    reach = len(profile) // 2
    return matrix_of(size, words, [[(i + t - reach, w) for t, w in enumerate(profile)] for i in range(size)])


def after(second, first):
    """Return the matrix of one after the other; the fill value stays as it is."""
    return second[:, :-1] @ first + np.outer(second[:, -1], np.eye(first.shape[1])[-1])


def both(size, outputs, profile, words):
    """Return a map and its matrix."""
    work = np.dtype(np.float64)
    if outputs < size:
        matrix = after(interpolation(size, outputs, ("edge", "edge")), blur(size, profile, words))
        return maps.shrinking(size, outputs, profile, words, work), matrix
    matrix = after(blur(outputs, profile, words), interpolation(size, outputs, words))
    return maps.growing(size, outputs, profile, words, work), matrix


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize(("size", "outputs"), [(1, 2), (2, 1), (5, 3), (8, 4), (9, 3), (4, 9), (7, 14), (20, 11)])
def test_maps_are_matrices(size, outputs, words):
    for profile in PROFILES:
        found, matrix = both(size, outputs, profile, words)
        dense = np.zeros_like(matrix)
        cells = [*range(size), *(size if at < 0 else at for at in found.extras)]
        for row, (first, begin, count) in enumerate(found.entries):
            for k in range(count):
                dense[row, cells[first + k]] += found.weights[begin + k]
            assert (found.weights[begin : begin + count] != 0).all()
        np.testing.assert_allclose(dense, matrix, atol=1e-15)


def expected_of(x, axes, sizes, number, fill):
    """Return maps of the axes, and what they give."""
    steps, result = [], x.astype(np.float64)
    for axis, size in zip(axes, sizes, strict=True):
        found, matrix = both(x.shape[axis], size, PROFILES[(number + axis) % 3], WORDS[(number + axis) % 5])
        steps.append((axis, found))
        lines = np.moveaxis(result, axis, 0)
        result = np.moveaxis(np.tensordot(matrix[:, :-1], lines, 1), 0, axis)
        edge = fill * matrix[:, -1]
        result += edge.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return steps, result


CASES = [
    ((5, 7), (0, 1), (3, 4)), ((1, 1), (0, 1), (2, 2)), ((40, 37), (0, 1), (20, 70)), ((33, 130), (0, 1), (47, 65)),
    ((6, 21, 3), (0, 1), (3, 40)), ((2, 19, 33), (1, 2), (10, 17)), ((9, 8, 7), (0, 1, 2), (5, 16, 4)),
    ((30,), (0,), (15,)), ((18, 40), (0,), (9,)), ((18, 40), (1,), (21,)), ((12, 20, 3), (0,), (30,)),
    ((5, 20, 3), (1,), (9,)), ((6, 5, 40), (0, 2), (3, 80)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.float16])
@pytest.mark.parametrize("number", range(len(CASES)))
def test_equals_matrices(machine, number, dtype):
    shape, axes, sizes = CASES[number]
    x = (np.random.default_rng(number).random(shape) * 200).astype(dtype)
    work = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    steps, expected = expected_of(x, axes, sizes, number, 7)
    steps = [(axis, one._replace(weights=one.weights.astype(work))) for axis, one in steps]
    for before in (False, True):
        got = call.resampled(guarded(x, before=before), steps, 7, work, work)
        np.testing.assert_allclose(got, expected, rtol=1e-12 if work == np.float64 else 3e-6)
    out = guarded(np.zeros(expected.shape, dtype))
    assert call.resampled(x, steps, 7, work, np.dtype(dtype), out) is out
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        clear = np.abs(expected % 1 - 0.5) > 1e-3
        np.testing.assert_array_equal(out[clear], np.clip(np.rint(expected), info.min, info.max)[clear])
    else:
        np.testing.assert_allclose(out, expected, rtol=2e-3 if dtype == np.float16 else 3e-6)


def test_threads_and_memory_do_not_show():
    x = np.random.default_rng(0).random((67, 130)).astype(np.float32)
    steps, _ = expected_of(x, (0, 1), (34, 260), 0, 0)
    steps = [(axis, one._replace(weights=one.weights.astype(np.float32))) for axis, one in steps]
    work = np.dtype(np.float32)
    results, before = [], workers.get_num_threads()
    try:
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            results += [call.resampled(each, steps, 0, work, work) for each in (x, np.asfortranarray(x), x[::-1][::-1])]
    finally:
        workers.set_num_threads(before)
    assert all(np.array_equal(results[0], one) for one in results)


def test_nan_stays_where_it_is_read(machine):
    for outputs in (20, 21, 80, 83):
        x = np.zeros((40, 40), np.float32)
        x[13, 22] = np.nan
        found, matrix = both(40, outputs, PROFILES[2], WORDS[0])
        found = found._replace(weights=found.weights.astype(np.float32))
        work = np.dtype(np.float32)
        got = call.resampled(x, [(0, found), (1, found)], 0, work, work)
        read = np.outer(matrix[:, 13] != 0, matrix[:, 22] != 0)
        np.testing.assert_array_equal(np.isnan(got), read)


def test_what_is_left_to_numpy():
    work = np.dtype(np.float32)
    found = maps.same(3, work)
    assert call.resampled(np.ones(3, complex), [(0, found)], 0, work, work) is None
    assert call.resampled(np.ones(3, ">f4"), [(0, found)], 0, work, work) is None
    wide = maps.same(1 << 20, work)
    assert call.resampled(np.ones(1 << 20, np.float32), [(0, wide)], 0, work, work) is None
    assert not call.is_fused(work, work, np.dtype(np.uint8))
    assert not call.is_fused(np.dtype(np.uint8), work, np.dtype(np.int32))


def test_the_trial(machine):
    for across in (False, True):
        assert call._agrees(Form("uint8", "float32", "float32", across))
    assert memory.empty((1,), np.float32).size == 1


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_transposed_maps_in_numpy_and_in_generated_code(words):
    for make, outputs in ((maps.shrinking, 6), (maps.growing, 17)):
        one = make(11, outputs, PROFILES[2], words, np.dtype(float))
        matrix = maps.applied(np.eye(11), 0, maps.transposed(maps.transposed(one)))
        back = maps.transposed(one)
        np.testing.assert_allclose(maps.applied(np.eye(outputs), 0, back), matrix.T, rtol=0, atol=1e-15)
        if "constant" not in words:
            np.testing.assert_allclose(matrix, maps.applied(np.eye(11), 0, one), rtol=0, atol=1e-15)
        g = np.random.default_rng(0).standard_normal((2, outputs, 9))
        found = call.resampled(g, [(1, back)], 0.0, np.dtype(float), np.dtype(float))
        np.testing.assert_allclose(found, maps.applied(g, 1, back), rtol=0, atol=1e-14)
