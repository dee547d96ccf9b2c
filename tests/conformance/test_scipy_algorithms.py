"""Image filters by every algorithm that may serve them, against SciPy in float64.

What lies outside is put there by NumPy, so that every mixture of boundaries has its answer.
"""

import numpy as np
import pytest

import striderule as sr
from oracles.memories import KINDS as MEMORIES
from oracles.memories import other_memory

pytestmark = pytest.mark.conformance

ndimage = pytest.importorskip("scipy.ndimage")

MODES = {"symmetric": "symmetric", "mirror": "reflect", "edge": "edge", "wrap": "wrap", "constant": "constant"}
KINDS = ("random", "separable", "sparse", "even", "larger", "row", "column", "one", "equal", "rank2")
FLOATS, INTEGERS = ("float32", "float64"), ("uint8", "int16", "uint16", "int32")
# Of |image| correlated with |kernel|: several roundings of each type.
BOUNDS = {"float32": 2e-6, "float64": 1e-14}


def drawn_kernel(rng, kind, size):
    k, m = (int(n) for n in rng.integers(1, 6, 2) * 2 + 1)
    taps = {
        "even": lambda: rng.standard_normal((k + 1, m + 1)),
        "larger": lambda: rng.standard_normal((size[0] + 3, 3)) if size[0] < 40 else rng.standard_normal((2, 2)),
        "row": lambda: rng.standard_normal((1, 4 * m)),
        "column": lambda: rng.standard_normal((4 * k, 1)),
        "one": lambda: rng.standard_normal((1, 1)),
        "equal": lambda: np.full((k, m), 1 / (k * m)),
        "separable": lambda: np.outer(rng.standard_normal(k), rng.standard_normal(m)),
        "rank2": lambda: rng.standard_normal((k + 8, 2)) @ rng.standard_normal((2, m + 8)),
        "sparse": lambda: rng.standard_normal((k, m)) * (rng.random((k, m)) < 0.3),
    }
    return taps.get(kind, lambda: rng.standard_normal((k, m)))()


def surrounded(image, reach, boundary, fill):
    """Return the image with `reach` more on each side: a word for each side of each axis."""
    for axis, (more, words) in enumerate(zip(reach, boundary, strict=True)):
        ends = []
        for side, word in enumerate(words):
            pads = [(more, more) if i == axis else (0, 0) for i in range(image.ndim)]
            wide = np.pad(image, pads, mode=MODES[word], **({"constant_values": fill} if word == "constant" else {}))
            kept = slice(0, more) if side == 0 else slice(wide.shape[axis] - more, None)
            ends.append(wide[(slice(None),) * axis + (kept,)])
        image = np.concatenate([ends[0], image, ends[1]], axis=axis)
    return image


def by_scipy(image, kernel, boundary, fill):
    """Return the correlation and that of the magnitudes, both in float64."""
    reach = kernel.shape
    wide = surrounded(image.astype(np.float64), reach, boundary, fill)
    inner = tuple(slice(more, more + n) for more, n in zip(reach, image.shape, strict=True))
    exact = ndimage.correlate(wide, kernel.astype(np.float64), mode="constant")[inner]
    return exact, ndimage.correlate(np.abs(wide), np.abs(kernel).astype(np.float64), mode="constant")[inner]


def drawn_image(rng, dtype):
    size = [int(n) for n in rng.choice([1, 2, 3, 7, 16, 33, 50, 70], 2)]
    if dtype in FLOATS:
        return rng.standard_normal(size).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min, -(2**15)), min(limits.max, 2**15) + 1, size).astype(dtype)


def able(image, kernel, **words):
    """Return the labels of the algorithms that can serve a call."""
    plan = sr.explain(sr.correlate, image, kernel, **words)
    return [one.label for one in plan.candidates if one.cost is not None and one.name != "reference"]


def case(rng):
    dtype = str(rng.choice(FLOATS + INTEGERS))
    image, fill = drawn_image(rng, dtype), int(rng.integers(0, 5))
    words = [tuple(str(word) for word in rng.choice(list(MODES), 2)) for _ in range(2)]
    if rng.random() < 0.5:
        words = [(word[0], word[0]) for word in words]
    return image, fill, tuple(words)


@pytest.mark.parametrize("kind", KINDS)
def test_floats_by_every_algorithm(kind):
    rng = np.random.default_rng([1, *map(ord, kind)])
    for turn in range(15):
        image, fill, words = case(rng)
        wide = np.float64 if image.dtype in ("float64", "int32") else np.float32
        kernel = drawn_kernel(rng, kind, image.shape).astype(wide)
        given = other_memory(image, turn % MEMORIES)
        exact, scale = by_scipy(image, kernel, words, fill)
        for algorithm in able(given, kernel, boundary=words, fill=fill):
            result = sr.correlate(given, kernel, boundary=words, fill=fill, algorithm=algorithm)
            assert result.dtype == wide
            worst = np.max(np.abs(result - exact) / np.maximum(scale.max(), 1e-30), initial=0)
            assert worst <= BOUNDS[np.dtype(wide).name], (algorithm, image.shape, image.dtype, kernel.shape, words)


@pytest.mark.parametrize("kind", KINDS)
def test_integers_are_exact_and_cut_to_their_type(kind):
    rng = np.random.default_rng([2, *map(ord, kind)])
    for _ in range(8):
        image, fill, words = case(rng)
        if image.dtype in FLOATS:
            continue
        kernel = np.rint(3 * drawn_kernel(rng, kind, image.shape)).astype(np.int8)
        exact, _ = by_scipy(image, kernel, words, fill)
        limits = np.iinfo(image.dtype)
        for algorithm in able(image, kernel, boundary=words, fill=fill):
            how = {"boundary": words, "fill": fill, "algorithm": algorithm}
            np.testing.assert_array_equal(sr.correlate(image, kernel, **how), exact.astype(np.int64))
            narrow = sr.correlate(image, kernel, dtype=image.dtype, **how)
            np.testing.assert_array_equal(narrow, np.clip(exact, limits.min, limits.max).astype(image.dtype))
            wrapped = sr.correlate(image, kernel, dtype=image.dtype, overflow="wrap", **how)
            np.testing.assert_array_equal(wrapped, exact.astype(np.int64).astype(image.dtype))


@pytest.mark.parametrize("kind", ["random", "separable", "equal", "row"])
def test_sums_are_rounded_once_half_to_even_and_saturated(kind):
    """float32 sums, so that only a sum next to a tie may be rounded to either side."""
    rng = np.random.default_rng([3, *map(ord, kind)])
    for _ in range(20):
        image = rng.integers(0, 256, rng.integers(1, 60, 2)).astype(np.uint8)
        kernel = drawn_kernel(rng, kind, image.shape).astype(np.float32)
        exact, scale = by_scipy(image, kernel, (("mirror",) * 2,) * 2, 0)
        for algorithm in able(image, kernel, boundary="mirror", dtype="uint8"):
            result = sr.correlate(image, kernel, boundary="mirror", dtype="uint8", algorithm=algorithm)
            far = np.abs(result - np.clip(exact, 0, 255))
            assert np.all(far <= 0.5 + BOUNDS["float32"] * scale.max()), (algorithm, image.shape, kernel.shape)
    quarters = np.arange(0, 12, dtype=np.uint8)[None]
    assert sr.correlate(quarters, [[0.5]], dtype="uint8").tolist() == [[0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6]]
