"""Softmax on generated code, on every target that this machine runs."""

import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import softmax as direct
from striderule.algorithms.direct.softmax_routine import CHAIN, Form, softmax_routine
from striderule.algorithms.reference import normalization as reference
from striderule.algorithms.windows import normalization as windows
from striderule.codegen import jit, target, workers
from striderule.errors import CompilerMissing

TARGETS = target.available()
EPSILON = {"float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
SHAPES = [
    (7,),
    (1,),
    (3, 1),
    (1, 5),
    (5, 100),
    (3, 4, 5),
    (2, 33, 70),
    (3, 2 * CHAIN * 16 + 5),
    (2, 300, 17),
    (2, 3, 9, 20),
]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def drawn():
    """Yield arrays that stand in memory in every way, with each of their axes."""
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = rng.normal(0, 4, shape)
        for view in (x, x.T, x[::-1], x[..., ::-1], x[..., ::2], x[..., :3], np.asfortranarray(x)):
            for axis in range(view.ndim):
                yield view, axis
    yield np.broadcast_to(rng.normal(size=(4, 1, 6)), (4, 5, 6)), 1
    yield np.empty((3, 0, 4)), 1
    yield np.empty((3, 0, 4)), 2


def bound(x, expected, logarithm, dtype):
    """Return how far results may be off: a few units, and as many as x - m is wrong by when it is rounded."""
    spread = np.abs(x.astype(float)).max(initial=0) * 2
    unit = EPSILON["float32" if dtype == "float16" else dtype]
    if logarithm:
        # Sums of a chain are rounded in float64 with every term.
        least = max(2.0**-48, float(np.finfo(dtype).smallest_subnormal))
        return ((2 + spread / 2) * unit + EPSILON[dtype]) * np.abs(expected) + least
    relative = (3 + spread / 2) * unit + (EPSILON[dtype] if dtype == "float16" else 0)
    return relative * expected + float(np.finfo(dtype).smallest_subnormal)


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_equals_the_loops(machine, dtype, logarithm):
    for wide, axis in drawn():
        x = np.array(wide, dtype, order="K") if wide.flags.owndata else wide.astype(dtype, order="K")
        expected = (
            reference.softmax(x, axis, logarithm)
            if x.size < 5000
            else windows.softmax(x.astype(float), axis, logarithm)
        )
        found = direct.softmax(x, axis, logarithm)
        assert (found.dtype, found.shape) == (x.dtype, x.shape)
        apart = np.abs(found - expected) / bound(x, expected, logarithm, dtype)
        where = np.unravel_index(apart.argmax(), x.shape) if x.size else ()
        assert apart.max(initial=0) <= 1, (x.shape, x.strides, axis, where, found[where], expected[where])


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_out_at_any_strides_and_in_place(machine, dtype, logarithm):
    rng = np.random.default_rng(1)
    for shape in ((5, 40), (3, 17, 30), (2, 4, 5, 6)):
        x = rng.normal(0, 4, shape).astype(dtype)
        for axis in range(x.ndim):
            expected = direct.softmax(x, axis, logarithm).astype(float)
            room = np.full((*shape, 2), 77, dtype)
            for out in (room[..., 0], np.empty(shape[::-1], dtype).T, np.empty(shape, dtype), x.copy()):
                source = out if out.flags.c_contiguous and (out == x).all() else x
                assert direct.softmax(source, axis, logarithm, out=out) is out
                allowed = 2 * bound(x, np.abs(expected), logarithm, dtype)
                assert (np.abs(out - expected) <= allowed).all()
            assert (room[..., 1] == 77).all()
    narrow = np.empty((5, 40), np.float16)
    x = rng.normal(0, 4, (5, 40)).astype(np.float32)
    assert direct.softmax(x, 1, logarithm, out=narrow) is narrow
    np.testing.assert_array_equal(narrow, direct.softmax(x, 1, logarithm).astype(np.float16))


@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize("axis", [0, 1])
def test_special_values(machine, axis, count):
    inf, nan = np.inf, np.nan
    for line in (
        [inf, 0],
        [-inf, 0],
        [-inf, -inf],
        [nan, 1, 2],
        [1000, 0, -1000],
        [3e38, -3e38],
        [nan, -inf],
        [inf, inf, nan],
    ):
        x = np.repeat(np.array(line, np.float32)[:, None], count, 1)
        x = x if axis == 0 else np.ascontiguousarray(x.T)
        for logarithm in (False, True):
            expected = windows.softmax(x, axis, logarithm)
            np.testing.assert_array_equal(direct.softmax(x, axis, logarithm), expected)


def test_the_logarithm_of_a_share_near_one_keeps_its_digits(machine):
    for dtype in ("float32", "float64"):
        x = np.zeros((3, 50), dtype)
        x[:, 7] = 25
        for view, axis in ((x, 1), (x.T.copy(), 0)):
            found = direct.softmax(view, axis, True).max(axis)
            np.testing.assert_allclose(found, -np.log1p(49 * np.exp(-25.0)), rtol=1e-6 if dtype == "float32" else 1e-4)


def test_long_sums_stay_exact(machine):
    """A million equal shares: sums in a single float32 would stand still."""
    x = np.zeros((1 << 20) + 3, np.float32)
    np.testing.assert_allclose(direct.softmax(x, 0, False), 1 / x.size, rtol=3e-7)
    np.testing.assert_allclose(direct.softmax(np.stack([x] * 4, 1), 0, False), 1 / x.size, rtol=3e-7)


def test_threads_and_batch_change_nothing(machine):
    x = np.random.default_rng(2).normal(0, 3, (64, 700)).astype(np.float32)
    images = np.random.default_rng(3).normal(0, 3, (5, 40, 333)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        before = workers.get_num_threads()
        workers.set_num_threads(threads)
        try:
            results.append((direct.softmax(x, 1, False), direct.softmax(images, 1, True)))
        finally:
            workers.set_num_threads(before)
    for one, other in results:
        assert one.tobytes() == results[0][0].tobytes()
        assert other.tobytes() == results[0][1].tobytes()
    assert direct.softmax(x[3:4], 1, False).tobytes() == results[0][0][3:4].tobytes()
    assert direct.softmax(images[2:3], 1, True).tobytes() == results[0][1][2:3].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_where_numbers_stand_changes_nothing(machine, dtype):
    """Along lines and across them sums are formed in one order."""
    rng = np.random.default_rng(5)
    for length in (1, 2, 15, 16, 17, 50, CHAIN * machine.lanes(4) + 3):
        x = rng.normal(0, 3, (3, length, 37)).astype(dtype)
        for logarithm in (False, True):
            across = direct.softmax(x, 1, logarithm)
            lines = direct.softmax(np.ascontiguousarray(x.swapaxes(1, 2)), 2, logarithm)
            np.testing.assert_array_equal(across, lines.swapaxes(1, 2))
            np.testing.assert_array_equal(across[:, :, 3:4], direct.softmax(x[:, :, 3:4], 1, logarithm))
            np.testing.assert_array_equal(across[:, :, ::4], direct.softmax(x[:, :, ::4], 1, logarithm))


@pytest.mark.parametrize("name", ["sse2", "avx2", "avx512", "neon"])
def test_code_calls_nothing(name):
    kind = target.named(name)
    call = re.compile(r"^\s*(?:call|bl)\w*\s+(\S+)", re.MULTILINE)
    for shape in ("run", "across"):
        for logarithm in (False, True):
            for dtype in ("float32", "float64"):
                form = Form(shape, dtype, dtype, dtype, logarithm)
                assert all("mem" in found for found in call.findall(jit.assembly(softmax_routine(form, kind), kind)))


def test_gives_way_to_windows(monkeypatch):
    odd = np.zeros(1, [("skip", "u1"), ("x", "f8", (9,))])["x"][0]
    odd[...] = range(9)
    np.testing.assert_allclose(direct.softmax(odd, 0, False), windows.softmax(odd.copy(), 0, False), rtol=1e-14)

    def missing(*_):
        raise CompilerMissing("none here")

    monkeypatch.setattr(direct.proof, "compiled", missing)
    giving_way._warn_once.cache_clear()
    x = np.random.default_rng(4).normal(size=(3, 11, 2))
    out = np.empty_like(x)
    with pytest.warns(RuntimeWarning, match="none here"):
        assert direct.softmax(x, 1, False, out=out) is out
    np.testing.assert_array_equal(out, windows.softmax(x, 1, False))
