"""Activations on generated code, on every target that this machine runs: values, strides, types, in place, guards."""

import functools
import mmap
import re
from decimal import Decimal, localcontext

import numpy as np
import pytest

from oracles import polynomials
from oracles.memories import guarded

pytest.importorskip("llvmlite")

from striderule.algorithms.direct import elementwise as direct
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct.activation import ACTIVATIONS, PARAMETERS
from striderule.algorithms.direct.elementwise_routine import PIECE, elementwise_routine
from striderule.algorithms.reference import elementwise as reference
from striderule.algorithms.windows import elementwise as windows
from striderule.codegen import jit, target, workers
from striderule.errors import CompilerMissing

TARGETS = target.available()
VALUES = {
    "leaky_relu": (0.2,),
    "hardtanh": (-2.0, 1.5),
    "elu": (1.5,),
    "celu": (0.7,),
    "softplus": (2.0, 3.0),
    "hardshrink": (0.7,),
    "softshrink": (0.7,),
    "threshold": (0.5, 7.0),
}
NAMES = [(name, VALUES.get(name, ())) for name in ACTIVATIONS if name != "gelu"]
NAMES += [("gelu", ("none",)), ("gelu", ("tanh",))]
# In units in the last place of the result: those of the functions, and of what is done with them.
UNITS = {"mish": 7, "softplus": 4, "silu": 4, "sigmoid": 3, "gelu": 5, "celu": 5, "elu": 4, "selu": 4}
# Large parts cancel: the unit is that of x.
CANCELLING = ("tanhshrink", "softshrink")
SPECIAL = [-np.inf, -1e30, -1000, -100, -13.2, -1e-30, -0.0, 0, 1e-30, 0.5, 0.7, 1.5, 100, 1000, 1e30, np.inf, np.nan]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


# float16 is float32 with conversions around it, which some formulas try on every target: see `test_prelu`.
FORMS = [(machine, dtype) for machine in TARGETS for dtype in ("float32", "float64")] + [(TARGETS[0], "float16")]
# Each width and each sign on every target, and all of them on the widest one.
INTEGERS = [(machine, dtype) for machine in TARGETS for dtype in ("int8", "uint16", "int32", "uint64", "bool")]
INTEGERS += [(TARGETS[0], dtype) for dtype in ("uint8", "int16", "uint32", "int64")]
every_form, every_integer = (
    pytest.mark.parametrize(
        ("machine", "dtype"), cases, ids=[f"{machine.name}-{dtype}" for machine, dtype in cases], indirect=["machine"]
    )
    for cases in (FORMS, INTEGERS)
)


def ids(case):
    return case if isinstance(case, str) else ("-".join(map(str, case)) or "none")


@functools.cache  # for all targets
def exact_gelu(value):
    with localcontext(prec=400):
        share = (1 + polynomials.erf(Decimal(value) / Decimal(2).sqrt())) / 2
        return np.longdouble(str(Decimal(value) * share))


def exact(name, parameters, x):
    """Return the activation with digits to spare."""
    wide = x.astype(np.longdouble)
    if parameters == ("tanh",):
        with np.errstate(over="ignore"):
            return wide / (1 + np.exp(-2 * inner(wide)))
    if parameters == ("none",):
        return np.array([exact_gelu(value) for value in x.tolist()])
    return reference.apply(name, x, np.dtype("float64"), parameters).astype(np.longdouble)


def inner(x):
    return np.sqrt(2 / np.longdouble(np.pi)) * (x + np.longdouble("0.044715") * x**3)


def unit_of(name, parameters, x, wide):
    """Return the unit that errors are counted in: the last place of the result, where nothing is lost on the way."""
    limits = np.finfo(wide.dtype)
    unit = np.spacing(np.maximum(np.abs(wide), limits.tiny))
    if name in CANCELLING:
        return np.maximum(unit, np.spacing(np.abs(x)))
    if name in ("silu", "mish"):  # exp(x), to be multiplied with x, may be denormal
        return np.maximum(unit, np.abs(x) * limits.smallest_subnormal)
    if parameters == ("tanh",):  # so does a rounded exponent
        return np.maximum(
            unit * (1 + 2 * np.abs(inner(x.astype(np.longdouble)))), np.abs(x) * limits.smallest_subnormal
        )
    return unit


def check(name, parameters, x, found):
    expected = exact(name, parameters, x)
    with np.errstate(over="ignore", under="ignore"):
        wide = expected.astype(found.dtype)
    finite = np.isfinite(wide)
    np.testing.assert_array_equal(found[~finite], wide[~finite])
    error = np.abs(found.astype(np.longdouble) - expected)[finite] / unit_of(name, parameters, x, wide)[finite]
    assert error.max(initial=0) <= UNITS.get(name, 3), (x[finite][error.argmax()], found[finite][error.argmax()])


@every_form
@pytest.mark.parametrize(("name", "parameters"), NAMES, ids=ids)
def test_equals_the_definition(machine, name, parameters, dtype):
    rng = np.random.default_rng(5)
    parts = [rng.normal(0, scale, 150) for scale in (0.1, 1, 5, 40)]
    x = rng.permutation(np.concatenate([*parts, rng.uniform(-1, 1, 100)])).astype(dtype)
    if parameters == ("none",):  # whose oracle is slow
        x = x[:25]
    work = np.dtype("float32") if dtype == "float16" else x.dtype
    found = direct.apply(name, x, work, parameters)
    assert found.dtype == dtype
    if name in VALUES and dtype != "float64":  # parameters are rounded to the type of the arithmetic
        parameters = tuple(float(np.float32(number)) for number in parameters)
    check(name, parameters, x, found)


@every_form
@pytest.mark.parametrize(("name", "parameters"), NAMES, ids=ids)
def test_special_values_stand_where_windows_has_them(machine, name, parameters, dtype):
    with np.errstate(over="ignore"):
        x = np.array(SPECIAL).astype(dtype)
    work = np.dtype("float32") if dtype == "float16" else x.dtype
    found = direct.apply(name, x, work, parameters)
    with np.errstate(all="ignore"):
        expected = windows.apply(name, x, work, parameters).astype(dtype)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    finite = np.isfinite(expected)
    rtol = {"float64": 1e-13, "float32": 2e-6, "float16": 2e-3}[dtype]
    np.testing.assert_allclose(found[finite], expected[finite], rtol=rtol, atol=3e-7 if dtype != "float64" else 1e-15)


def views(rng, dtype):
    """Yield arrays that stand in memory in every way."""
    x = rng.integers(-9, 10, (6, 7, 5, 19)).astype(dtype)
    yield from (
        x,
        x.T,
        x[::2],
        x[:, ::-1],
        x[..., ::-1],
        x[..., ::3],
        x[..., :3],
        x[:, :, 1:4, 2:],
        np.asfortranarray(x),
    )
    yield from (
        x.transpose(0, 3, 1, 2),
        x[2, 3, 4, 5:6],
        x[2, 3, 4, 5:6].reshape(()),
        x[:0],
        x[:, :, :, 4],
        x[::-2, 1::3],
    )
    yield np.broadcast_to(x[:, :1], (6, 4, 5, 19))
    yield np.broadcast_to(x[:, :, :, :1], (6, 7, 5, 19))
    for size in (1, 15, 16, 17, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5):
        yield np.resize(x, 2 * size)[::2]
        yield np.resize(x, size)
    yield np.resize(x, (2, 70_000))[:, ::2]


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int8", "uint8", "int16", "uint32", "int64", "bool"]
)
def test_arrays_at_any_strides(machine, dtype):
    rng = np.random.default_rng(6)
    final = {"float16": "float32", "int8": "float32", "uint8": "float32", "int16": "float32", "bool": "float32"}
    work = np.dtype(final.get(dtype, "float64") if dtype != "float32" else dtype)
    for x in views(rng, dtype):
        expected = windows.apply("leaky_relu", x, work, (0.25,))
        found = direct.apply("leaky_relu", x, work, (0.25,))
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == (dtype if dtype == "float16" else work)
        wide = np.full((*x.shape, 2), 77, found.dtype)
        for out in (wide[..., 0], np.full(x.shape[::-1], 77, found.dtype).T):
            assert direct.apply("leaky_relu", x, work, (0.25,), out=out) is out
            np.testing.assert_array_equal(out, expected)
        assert (wide[..., 1] == 77).all()


@every_integer
def test_integers_stay_exact(machine, dtype):
    kind = np.dtype(dtype)
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(kind).min, np.iinfo(kind).max)
    numbers = [low, low + 1, high - 1, high, 0, 1, 5 if high > 5 else 1, 7 if high > 7 else 0, *range(3)]
    x = np.array([number for number in numbers if low <= number <= high], kind)
    x = np.resize(x, 300)
    cases = [("relu", ()), ("relu6", ()), ("hardtanh", (min(1, high), min(100, high))), ("hardtanh", (low, high))]
    cases += [
        ("threshold", (limit, value)) for limit in (0.5, -0.5, -1e30, 1e30, -np.inf, np.inf, 2) for value in (low, high)
    ]
    for name, parameters in cases:
        expected = reference.apply(name, x, kind, parameters)
        found = direct.apply(name, x, kind, parameters)
        assert found.dtype == kind
        np.testing.assert_array_equal(found, expected, err_msg=f"{name} {parameters}")


def test_in_place(machine):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(40, 5, 300)).astype(np.float32)
    for view in (lambda a: a, lambda a: a[::2, :, ::-3], lambda a: a.transpose(2, 0, 1), lambda a: a[..., :3]):
        for name in ("relu", "tanh"):
            mine = x.copy()
            part = view(mine)
            expected = direct.apply(name, part.copy(), x.dtype)
            assert direct.apply(name, part, x.dtype, out=part) is part
            np.testing.assert_array_equal(part, expected)
            rest = np.ones(x.shape, bool)
            view(rest)[...] = False
            np.testing.assert_array_equal(mine[rest], x[rest])


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_long_rows_wherever_the_result_begins(machine, dtype):
    x = np.random.default_rng(3).integers(-9, 9, 700).astype(dtype)
    kind = np.dtype("float32" if dtype == "float16" else dtype)
    for offset in (0, 1, 5, 31, 63):
        for count in (127, 257, 600):
            room = np.full(700, 99, dtype)
            direct.apply("relu", x[:count], kind, (), room[offset : offset + count])
            np.testing.assert_array_equal(room[offset : offset + count], np.maximum(x[:count], 0))
            assert (room[:offset] == 99).all()
            assert (room[offset + count :] == 99).all()
            direct.apply("relu", room, kind, (), room)
            assert (room >= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
def test_prelu(machine, dtype):
    rng = np.random.default_rng(8)
    shapes = [
        ((3, 7, 5, 6), (7, 1, 1)),
        ((9, 33), (33,)),
        ((9, 33), ()),
        ((4,), ()),
        ((2, 3, 0), (3, 1)),
        ((2, 1, 40), (1, 1)),
    ]
    for shape, slopes in shapes:
        x, weight = (4 * rng.normal(size=shape)).astype(dtype), rng.normal(size=slopes)
        work = np.dtype("float64" if dtype in ("float64", "int32") else "float32")
        layouts = [
            x,
            np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if x.ndim > 1 else x,
            x[..., ::-1],
        ]
        for one in layouts:
            expected = windows.prelu(one, weight, work)
            found = direct.prelu(one, weight, work)
            assert found.dtype == work
            np.testing.assert_array_equal(found, expected)
            if dtype != "int32":
                out = np.empty_like(one)
                assert direct.prelu(one, weight, work, out=out) is out
                np.testing.assert_array_equal(out, expected.astype(dtype))


def test_threads_and_repetition_change_nothing(machine):
    x = np.random.default_rng(9).normal(0, 3, (3, 100_001)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        before = workers.get_num_threads()
        workers.set_num_threads(threads)
        try:
            results += [direct.apply("gelu", x, x.dtype, ("none",)), direct.apply("gelu", x[:, 1:], x.dtype, ("none",))]
        finally:
            workers.set_num_threads(before)
    for whole, part in zip(results[::2], results[1::2], strict=True):
        assert whole.tobytes() == results[0].tobytes()
        assert part.tobytes() == results[0][:, 1:].tobytes()


@pytest.mark.skipif(not hasattr(mmap, "PAGESIZE") or not hasattr(mmap, "MAP_PRIVATE"), reason="needs mprotect")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
def test_nothing_outside_is_touched(machine, dtype):
    rng = np.random.default_rng(10)
    work = np.dtype("float64" if dtype == "float64" else "float32")
    for size in (1, 3, 17, 63, 64, 65, 200):
        for step in (1, 3):
            for front in (False, True):
                values = rng.integers(-5, 5, size).astype(dtype)
                x = guarded(values, before=front)[::step]
                final = np.zeros(size, dtype if dtype == "float16" else work)
                out = guarded(final, before=front)[::step]
                direct.apply("silu", x, work, (), out=out)
                np.testing.assert_array_equal(out, direct.apply("silu", values[::step], work))
                slopes = np.zeros(x.shape, work)
                direct.prelu(x, slopes, work, out=out)
                assert (out >= 0).all()


@pytest.mark.parametrize("name", ["sse2", "avx2", "avx512", "neon"])
def test_code_calls_nothing(name):
    """Nothing of the mathematics library: LLVM would take a vector apart for it."""
    kind = target.named(name)
    call = re.compile(r"^\s*(?:call|bl)\w*\s+(\S+)", re.MULTILINE)
    for activation, parameters in NAMES:
        # Where functions differ by type they are looked at one by one: see `tests/codegen/test_vmath.py`.
        for dtype in map(np.dtype, ("float32", "float64") if activation == "gelu" else ("float32",)):
            word = parameters[0] if activation == "gelu" else ""
            form = direct._form(activation, word, dtype, dtype, dtype)
            found = call.findall(jit.assembly(elementwise_routine(form, kind), kind))
            assert all("mem" in callee for callee in found), (activation, found)


def test_gives_way_to_windows(monkeypatch):
    x = np.random.default_rng(11).normal(size=(3, 4))
    assert direct.apply("sigmoid", x * 1j, np.dtype(complex)).dtype == complex
    odd = np.zeros(1, [("skip", "u1"), ("x", "f8", (9,))])["x"][0]
    assert not odd.flags.aligned
    np.testing.assert_array_equal(direct.apply("relu", odd, odd.dtype), odd)
    assert direct.apply("relu", x.ravel()[:9], x.dtype, out=odd) is odd
    np.testing.assert_array_equal(odd, np.maximum(x.ravel()[:9], 0))

    def missing(*_):
        raise CompilerMissing("none here")

    monkeypatch.setattr(direct.proof, "compiled", missing)
    giving_way._warn_once.cache_clear()
    shape = (3, 4, 1)  # one that was not planned before
    with pytest.warns(RuntimeWarning, match="none here"):
        found = direct.apply("celu", x.reshape(shape)[::2], x.dtype, (0.3,))
    np.testing.assert_array_equal(found, windows.apply("celu", x.reshape(shape)[::2], x.dtype, (0.3,)))
    out = np.empty((4, 3))
    assert direct.prelu(x.T, np.float64(0.5), x.dtype, out=out) is out
    np.testing.assert_array_equal(out, windows.prelu(x.T, np.float64(0.5), x.dtype))


def test_every_activation_knows_its_numbers():
    assert set(VALUES) == set(PARAMETERS)
    assert all(len(VALUES[name]) == len(words) for name, words in PARAMETERS.items())
    assert set(ACTIVATIONS) == set(windows._BLOCKS)


def test_sizes_compile_nothing_new(machine):
    x = np.zeros(40_000, np.float32)
    direct.apply("mish", x, x.dtype)
    direct.apply("mish", x[::2], x.dtype)
    made = jit.structures()
    for size in range(1, 100):
        direct.apply("mish", x[: 7 * size], x.dtype)
        direct.apply("mish", x[: 60 * size : 3].reshape(size, 20).T, x.dtype)
    assert jit.structures() == made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lengths_overflow_where_their_result_does(monkeypatch, dtype):
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    for machine in target.available():
        monkeypatch.setenv("STRIDERULE_TARGET", machine.name)
        target.forget()
        sizes = 10.0 ** rng.uniform(info.minexp * 0.3, info.maxexp * 0.3, (37, 61))  # all powers of ten but the last
        a, b = (np.clip(sizes * rng.normal(size=sizes.shape), -info.max / 2, info.max / 2).astype(dtype) for _ in "ab")
        a[:3, :3], b[1:3, 2:5] = 0, 0
        with np.errstate(all="ignore"):
            expected = np.hypot(a.astype(np.longdouble), b.astype(np.longdouble))
        tiny = float(info.smallest_subnormal)
        for one, other in ((a, b), (a.T, b.T), (a[:, ::-2], b[:, ::-2])):
            found = direct.length(one, other)
            wide = {(61, 37): expected.T, (37, 31): expected[:, ::-2]}.get(one.shape, expected)
            np.testing.assert_allclose(found, wide, rtol=3 * float(info.eps), atol=4 * tiny)
        assert direct.length(a, b, out=b) is b
        special = np.array([np.nan, np.inf, -np.inf, 3], dtype)
        assert np.isnan(direct.length(special, special[::-1].copy())[0])
        np.testing.assert_array_equal(direct.length(special[1:], np.array([1, 2, 4], dtype)), [np.inf, np.inf, 5])
        assert direct.length(special[:0], special[:0]).size == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_directions_of_two_arrays(machine, dtype):
    rng = np.random.default_rng(12)
    down, right = rng.standard_normal((2, 5, 300)).astype(dtype)
    for one, other in ((down, right), (down[:, ::-3], right[:, ::-3]), (down.T, right.T), (down[:0], right[:0])):
        found = direct.direction(one, other)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, np.arctan2(one, other), rtol=3 * np.finfo(dtype).eps)
    assert direct.direction(down, right, out=right) is right
