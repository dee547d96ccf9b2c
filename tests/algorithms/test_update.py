"""Steps of optimisers on generated code: the bits of NumPy's, for every rule, type, target and size."""

import numpy as np
import pytest

import striderule as sr
from oracles.memories import guarded
from striderule.algorithms.direct import update
from striderule.algorithms.windows import update as windows
from striderule.algorithms.windows.update import KEPT, NUMBERS, OWN, PIECE, Part

SIZES = (1, 37, PIECE + 5, 64, 2 * PIECE)


def drawn(rule, dtype, *, hard=False):
    rng = np.random.default_rng(0)

    def one(size, kind):
        found = rng.standard_normal(size).astype(kind)
        if hard and size > 4:
            found[:4] = np.nan, np.inf, -np.inf, np.finfo(kind).tiny / 8
        return guarded(found) if size < PIECE else found

    kinds = [dtype] * 4 + ["float64" if dtype == "float32" else "float32"]
    return [
        Part(one(size, kind), one(size, kind), tuple(abs(one(size, kind)) for _ in range(KEPT[rule])),
             tuple(0.3 + 0.1 * number for number in range(len(OWN[rule]))))
        for size, kind in zip(SIZES, kinds, strict=True)
    ]  # fmt: skip


def arrays(parts):
    return [one for part in parts for one in (part.value, *part.kept)]


@pytest.mark.parametrize("target", ["avx512", "avx2", "sse2"])
@pytest.mark.parametrize(
    ("rule", "decay"),
    [("sgd", 0.0), ("sgd", 0.01), ("momentum", 0.0), ("momentum", 0.01), ("nesterov", 0.01), ("adamw", 0.0)],
)
def test_the_bits_of_numpy(rule, decay, target, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", target)
    numbers = tuple(decay if word == "decay" else 0.1 + 0.05 * i for i, word in enumerate(NUMBERS[rule]))
    before = sr.get_num_threads()
    for hard in (False, True):
        expected = drawn(rule, "float32", hard=hard)
        windows.step(rule, expected, numbers)
        for threads in (1, 3):
            found = drawn(rule, "float32", hard=hard)
            sr.set_num_threads(threads)
            update.step(rule, found, numbers)
            sr.set_num_threads(before)
            for got, right in zip(arrays(found), arrays(expected), strict=True):
                np.testing.assert_array_equal(got, right)


def test_types_without_code_and_nothing_at_all():
    update.step("sgd", [], (0.5, 0.0))
    value = np.ones(3, np.float16)
    empty = np.ones(0, np.float32)
    parts = [Part(one, np.ones_like(one), (), ()) for one in (value, empty)]
    update.step("sgd", parts, (0.5, 0.0))
    assert value.tolist() == [0.5] * 3
