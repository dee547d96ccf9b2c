"""Canny's edges on generated code, on every target that this machine runs, against NumPy's definition to the bit."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import guarded
from striderule.algorithms import memory
from striderule.algorithms.edges import detection, linking, thinning
from striderule.algorithms.edges.detection_routine import Form
from striderule.algorithms.edges.picture import Picture
from striderule.algorithms.windows.extend import extend
from striderule.codegen import target, workers

TARGETS = target.available()
SHAPES = [(1, 1), (2, 3), (3, 2), (3, 3), (9, 40), (70, 5), (5, 1100), (150, 530), (67, 513)]
WORDS = [("constant", "constant"), ("edge", "wrap"), ("symmetric", "constant"), ("mirror", "mirror")]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def gaussian(sigma):
    x = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def smoothed(x, weights, words):
    """Return x smoothed axis by axis, the sums in float64 in the order that is promised."""
    dtype = x.dtype
    for axis, (taps, sides) in enumerate(zip(weights, words, strict=True)):
        half, n = len(taps) // 2, x.shape[axis]
        wide = extend(np.moveaxis(x, axis, -1), ((half, half),), (sides,), 0, np.float64)
        total = wide[..., half : half + n] * taps[half]
        for i in range(half, 0, -1):
            pair = wide[..., half - i : half - i + n] + wide[..., half + i : half + i + n]
            total += pair * taps[half - i]
        x = np.moveaxis(total, -1, axis).astype(dtype)
    return x


def drawn(seed, dtype, shape):
    """Return a picture of flat shapes and some noise, with ties."""
    rng = np.random.default_rng([seed, *shape])
    picture = np.zeros(shape)
    for _ in range(6):
        i, j = (int(rng.integers(n)) for n in shape)
        picture[i : i + 30, j : j + 25] += 1 + rng.integers(3)
    picture += rng.integers(0, 2, shape) * (seed % 2)
    if np.issubdtype(dtype, np.integer):
        return (picture * 20 - (30 if np.issubdtype(dtype, np.signedinteger) else 0)).astype(dtype)
    return (picture / 7).astype(dtype)


def case(seed, dtype, shape):
    """Return (a picture, what its floats are, its smoothed floats)."""
    image = drawn(seed, dtype, shape)
    words = tuple((word, word) for word in WORDS[seed % 4]) if seed % 3 else (("edge", "constant"), ("wrap", "edge"))
    weights = gaussian((0.4, 1.0, 2.2)[seed % 3]), gaussian((1.0, 0.6)[seed % 2])
    scale = 1.0 / 255 if image.dtype.kind in "iu" else 1.0
    floats = image if image.dtype.kind == "f" else image * scale
    if image.dtype.kind == "i":
        floats = np.maximum(floats, -1.0)
    soft = smoothed(floats, weights, words)
    share = None
    if any("constant" in pair for pair in words):
        rows = min(shape[0], len(weights[0]))
        share = smoothed(np.ones((rows, shape[1]), floats.dtype), weights, words)
        below = shape[0] - rows
        middle = np.repeat(share[len(weights[0]) // 2][np.newaxis], below, axis=0) if below else share[:0]
        half = len(weights[0]) // 2
        soft = soft / np.concatenate([share[:half], middle, share[half:]]) if below else soft / share
    return Picture(image, scale, words, weights, share), soft


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_definition(machine, shape, dtype):
    for seed in range(4 if shape[0] * shape[1] < 1000 else 1):
        picture, soft = case(seed, dtype, shape)
        down, right, size = thinning.gradients(soft)
        np.testing.assert_array_equal(detection.length(picture), size)
        low, high = 0.05, 0.2
        ridges = thinning.thinned(down, right, size, np.ones(shape, bool), low)
        limit = np.float32(high) if soft.dtype == np.float32 else high
        expected = np.where(ridges >= limit, 3, (ridges > 0).astype(np.uint8))
        found = detection.marks(picture, thinning.threshold(low), float(limit))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(detection.linked(found), linking.linked(expected > 0, expected == 3))


def test_threads_and_memory_do_not_show(monkeypatch):
    picture, _ = case(1, np.float32, (150, 530))
    expected = detection.marks(picture, 0.05, 0.2)
    before = workers.get_num_threads()
    try:
        for threads in (1, 3):
            workers.set_num_threads(threads)
            np.testing.assert_array_equal(detection.marks(picture, 0.05, 0.2), expected)
    finally:
        workers.set_num_threads(before)
    for before in (False, True):
        monkeypatch.setattr(detection, "extend", lambda *words, b=before: guarded(extend(*words), before=b))
        monkeypatch.setattr(memory, "empty", lambda shape, dtype, b=before: guarded(np.zeros(shape, dtype), before=b))

        def room(_, size, b=before):
            bytes_ = guarded(np.zeros(size, np.uint8), before=b)
            return memory.Room(bytes_, size, memory.address(bytes_))

        monkeypatch.setattr(memory, "room", room)
        np.testing.assert_array_equal(detection.marks(picture, 0.05, 0.2), expected)
        assert detection.length(picture).shape == (150, 530)


def test_marks_are_linked_over_the_borders_of_bands(machine, monkeypatch):
    monkeypatch.setattr(detection, "MARKS", 100)
    rng = np.random.default_rng(4)
    for shape in [(40, 33), (33, 101), (3, 64), (90, 20)]:
        marks = (rng.random(shape) < 0.45).astype(np.uint8)
        marks[rng.random(shape) < 0.02] = 3
        marks[[0, -1], :] = marks[:, [0, -1]] = 0
        expected = linking.linked(marks > 0, marks == 3)
        np.testing.assert_array_equal(detection.linked(marks), expected)
    comb = np.zeros((64, 64), np.uint8)
    comb[1:-1, 1:-1:2] = 1
    comb[1, 1:-2:4] = comb[-2, 3:-2:4] = comb[1, 2:-2:4] = comb[-2, 4:-2:4] = 1
    comb[1, 1] = 3
    np.testing.assert_array_equal(detection.linked(comb.copy()), linking.linked(comb > 0, comb == 3))


def test_without_generated_code_numpy_computes(monkeypatch):
    from striderule import filters
    from striderule.algorithms.direct import giving_way

    image = drawn(1, np.uint8, (40, 50))
    expected = filters.canny(image)
    quantiles = filters.canny(image, 1, 0.5, 0.8, use_quantiles=True)
    monkeypatch.setattr(giving_way, "attempt", lambda *_: None)
    np.testing.assert_array_equal(filters.canny(image), expected)
    np.testing.assert_array_equal(filters.canny(image, 1, 0.5, 0.8, use_quantiles=True), quantiles)


def test_the_trials_on_unproved_targets_hold():
    assert detection._links()
    for form in (Form("uint8", "float64", True, "marks"), Form("float32", "float32", False, "length")):
        assert detection._detects(form)
