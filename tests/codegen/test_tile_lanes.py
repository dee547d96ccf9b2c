"""Elements, conversions and lanes of the tile language, on every target that this machine runs."""

import ctypes

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.codegen import jit, target
from striderule.codegen.tile import BFLOAT16, ELEMENTS, FLOAT16, FLOAT32, FLOAT64, INT64, Routine

TARGETS = target.available()


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request):
    return request.param


def run(r, arrays, sizes=(), tasks=1):
    routine = jit.load(r.name, r.finish(), r.target)
    words = np.array([a.ctypes.data for a in arrays] + list(sizes), np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(routine.address)(
        words.ctypes.data, 0, tasks
    )


def mapped(machine, function, x, kind, main=FLOAT32):
    """Return what `function` of the routine and a vector makes of x, lane by lane, with masked ends."""
    r = Routine("mapped", machine, main, pointers=("x", "y"), sizes=("length",))
    source, element = ELEMENTS[str(x.dtype)], ELEMENTS[kind] if isinstance(kind, str) else kind
    with r.tasks(), r.loop(r.size("length"), step=r.lanes) as i:
        here = r.first_lanes(r.size("length") - i)
        value = function(r, r.load(r.pointer("x", source) + i, here))
        r.store(value, r.pointer("y", element) + i, here)
    y = np.zeros(x.size, np.uint16 if element == BFLOAT16 else element.name)
    run(r, (x, y), (x.size,))
    return y


def test_every_float16_comes_and_goes(machine):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    single = mapped(machine, lambda r, v: r.convert(v, FLOAT32), every, "float32")
    np.testing.assert_array_equal(single, every.astype(np.float32))
    assert (np.signbit(single) == np.signbit(every)).all()
    again = mapped(machine, lambda r, v: r.convert(v, FLOAT16), single, "float16")
    numbers = ~np.isnan(every)
    assert (again[numbers].view(np.uint16) == every[numbers].view(np.uint16)).all()
    assert np.isnan(again[~numbers]).all()


def test_float16_is_rounded_half_to_even(machine):
    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (finite[:-1] + finite[1:]) / 2
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    edges = np.array([65504, 65519.996, 65520, 1e9, np.inf, 2**-25, 2**-25 * 1.0001, 1e-30, 0], np.float32)
    x = np.concatenate([middle, np.nextafter(middle, np.float32(9)), np.nextafter(middle, np.float32(0)), edges, drawn])
    x = np.concatenate([x, -x])
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    got = mapped(machine, lambda r, v: r.convert(v, FLOAT16), x, "float16")
    np.testing.assert_array_equal(got, expected)
    assert (np.signbit(got) == np.signbit(expected))[~np.isnan(expected)].all()


def test_bfloat16_is_the_upper_half_rounded(machine):
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2**32, 30_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([x, np.array([1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, np.inf, -np.inf, np.nan, 0], np.float32)])
    stored = mapped(machine, lambda r, v: r.convert(v, BFLOAT16), x, BFLOAT16)
    value = (stored.astype(np.uint32) << 16).view(np.float32)
    assert np.isnan(value[np.isnan(x)]).all()
    assert (value[np.isinf(x)] == x[np.isinf(x)]).all()
    x, value, stored = (each[np.isfinite(x)] for each in (x, value, stored))
    low = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
    high = ((x.view(np.uint32) & 0xFFFF0000) + 0x10000).view(np.float32)
    next_power = np.where(np.isinf(high), np.copysign(2.0**128, x.astype(float)), high)
    below, above = np.abs(x - low.astype(float)), np.abs(next_power - x)
    nearest = np.where(below < above, low, high)
    tie = below == above
    assert (value[~tie] == nearest[~tie]).all()
    assert tie.any()
    assert (stored[tie] % 2 == 0).all()
    assert (np.abs(value[tie].astype(float) - x[tie]) == below[tie]).all()


@pytest.mark.parametrize("source", ["int8", "uint8", "int16", "uint16", "int32", "bool"])
@pytest.mark.parametrize("kind", ["int32", "int64", "float32", "float64"])
def test_integers_widen(machine, source, kind):
    info = (0, 1) if source == "bool" else (np.iinfo(source).min, np.iinfo(source).max)
    x = np.array([*info, 0, 1, info[1] // 3, info[0] // 3] * 11, source)
    y = mapped(machine, lambda r, v: r.convert(v, ELEMENTS[kind]), x, kind)
    np.testing.assert_array_equal(y, x.astype(kind))


@pytest.mark.parametrize("main", [FLOAT32, FLOAT64])
def test_floats_round_to_nearest_and_become_integers(machine, main):
    x = np.array([0.5, 1.5, -0.5, -2.5, 2.4999, 7e4, 8388609.0, -8388607.5, 0.0] * 5, main.name)
    y = mapped(machine, lambda r, v: r.nearest(v), x, main.name, main)
    np.testing.assert_array_equal(y, np.rint(x))
    assert (np.signbit(y) == np.signbit(np.rint(x))).all()
    whole = mapped(machine, lambda r, v: r.convert(r.nearest(v), ELEMENTS["int32"]), x, "int32", main)
    np.testing.assert_array_equal(whole, np.rint(x).astype(np.int32))
    special = np.array([np.nan, np.inf, -np.inf] * 9, main.name)
    np.testing.assert_array_equal(mapped(machine, lambda r, v: r.nearest(v), special, main.name, main), special)


@pytest.mark.parametrize("main", [FLOAT32, FLOAT64])
def test_extremes_and_nan(machine, main):
    x = np.array([np.nan, 1, -2, np.inf, -np.inf, 0.25] * 7, main.name)
    for name, expected in (
        ("maximum", np.maximum(x, np.asarray(0.5, main.name))),
        ("minimum", np.minimum(x, np.asarray(0.5, main.name))),
        ("at_least", np.maximum(x, np.asarray(0.5, main.name))),
        ("at_most", np.minimum(x, np.asarray(0.5, main.name))),
    ):
        y = mapped(machine, lambda r, v, name=name: getattr(r, name)(v, v.like(0.5)), x, main.name, main)
        np.testing.assert_array_equal(y, expected)
    y = mapped(machine, lambda r, v: r.maximum(v.like(0.5), v), x, main.name, main)
    np.testing.assert_array_equal(y, np.maximum(x, np.asarray(0.5, main.name)))
    y = mapped(machine, lambda r, v: r.select(v.is_nan(), v.like(9), r.absolute(v)), x, main.name, main)
    np.testing.assert_array_equal(y, np.where(np.isnan(x), 9, np.abs(x)))


@pytest.mark.parametrize("name", ["float32", "float64", "int32", "uint8"])
def test_lanes_move(machine, name):
    """Transposing, loading every second, gathering and scattering, folding."""
    element = ELEMENTS[name]
    r = Routine("moves", machine, element, pointers=("x", "square", "even", "far", "sum"), sizes=("step", "count"))
    n = min(r.lanes, 16)
    x = r.pointer("x")
    with r.tasks():
        for i, column in enumerate(r.transpose([r.load(x + i * n, lanes=n) for i in range(n)])):
            r.store(column, r.pointer("square") + i * n)
        r.store(r.even(r.load(x, lanes=n), r.load(x + (n - 1), lanes=n)), r.pointer("even"))
        r.scatter(r.gather(x, r.size("step"), r.size("count"), n), r.pointer("far"), r.size("step"), r.size("count"))
        r.store(r.sum(r.load(x, lanes=n)), r.pointer("sum"))
    data = np.random.default_rng(3).integers(0, 200, n * n + 64).astype(name)
    square, even, far, total = np.zeros((n, n), name), np.zeros(n, name), np.zeros(4 * n, name), np.zeros(n, name)
    run(r, (data, square, even, far, total), (3, n - 1))
    assert (square == data[: n * n].reshape(n, n).T).all()
    assert (even == data[: 2 * n : 2]).all()
    expected = np.zeros(4 * n, name)
    expected[: 3 * (n - 1) : 3] = data[: 3 * (n - 1) : 3]
    assert (far == expected).all()
    assert (total == data[:n].sum().astype(name)).all()


def test_numbers_and_counters_and_bytes(machine):
    r = Routine("count", machine, FLOAT32, pointers=("y",), sizes=("turns",), numbers=("a",))
    counter = r.count(1)
    with r.tasks():
        with r.loop(r.size("turns")):
            counter.set(counter.value * 2)
        with r.when((counter.value.above(5) & counter.value.below(10)) | ~counter.value.above(0)):
            r.store(r.number("a") * 2 + r.spread(counter.value, FLOAT32), r.pointer("y").skip(4))
    y = np.zeros(r.lanes + 1, np.float32)
    run(r, (y,), (3, np.float64(1.25).view(np.int64)))
    assert y[0] == 0
    assert (y[1:] == 10.5).all()


def test_nothing_is_called(machine):
    """What a target lacks is done with what it has: a call would leave the process to chance."""
    for name in ("neon", *(one.name for one in TARGETS)):
        goal = target.named(name)
        r = Routine("all", goal, FLOAT32, pointers=("x", "y"), sizes=("n",))
        with r.tasks():
            here = r.first_lanes(r.size("n"))
            v = r.load(r.pointer("x"), here)
            for kind in (FLOAT16, BFLOAT16):
                r.store(r.convert(v, kind), r.pointer("y", kind), here)
                v = v + r.convert(r.load(r.pointer("x", kind), here), FLOAT32)
            v = r.square_root(r.copy_sign(r.nearest(v), r.absolute(v))) + r.convert(
                r.load(r.pointer("x", INT64)), FLOAT32
            )
            r.store(v, r.pointer("y"), here)
        lines = [line.split() for line in jit.assembly(r.finish(), goal).splitlines()]
        assert not [words for words in lines if words and words[0] in ("call", "callq", "bl", "jmpq")]


def test_lanes_of_the_bits_of_a_range(machine):
    for first, last in ((0, 5), (-9, 4), (7, 7), (4, 80), (-5, -2), (70, 90), (0, 63)):
        r = Routine("lanes", machine, FLOAT32, pointers=("y",), sizes=("first", "last"))
        with r.tasks():
            bits = r.between(r.size("first"), r.size("last"))
            for part in range(2):
                ones = r.select(r.lanes_of(bits, 3 + part * r.lanes), r.constant(1), r.constant(0))
                r.store(ones, r.pointer("y") + part * r.lanes)
        y = np.full(2 * r.lanes, 9, np.float32)
        run(r, (y,), (first, last))
        places = np.arange(3, 3 + 2 * r.lanes)
        assert (y == ((places >= first) & (places < min(last, 63)))).all()


def test_masks_side_by_side(machine):
    r = Routine("halves", machine, FLOAT32, pointers=("y",), sizes=("some", "others"))
    lanes = 2 * r.lanes
    with r.tasks():
        both = r.joined(r.first_lanes(r.size("some")), r.lanes_from(r.size("others")))
        ones = r.select(both, r.constant(1, lanes=lanes), r.constant(0, lanes=lanes))
        r.store(ones, r.pointer("y"))
    y = np.full(lanes, 9, np.float32)
    run(r, (y,), (1, 2))
    assert y.tolist() == [1] + [0] * (r.lanes + 1) + [1] * (r.lanes - 2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["int8", "uint16", "float16", "int32", "float32", "float64"])
def test_what_lies_behind_a_known_mask_is_not_written(machine, kind, count):
    """A compiler that knows a mask may turn the write into others, of too many bytes."""
    element = ELEMENTS[kind]
    r = Routine("known", machine, FLOAT32, pointers=("x", "y"), sizes=())
    with r.tasks():
        value = r.load(r.pointer("x", FLOAT32), lanes=r.lanes)
        r.store(r.convert(value, element), r.pointer("y", element), r.first_lanes(count))
    x, y = np.arange(1, r.lanes + 1, dtype=np.float32), np.full(r.lanes, 99, kind)
    run(r, (x, y))
    few = min(count, r.lanes)
    assert y.tolist() == [*range(1, few + 1), *[99] * (r.lanes - few)]
