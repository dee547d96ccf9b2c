"""Functions of vectors: within their stated errors on every target, right at their ends, and without calls."""

import ctypes
import functools
import math
import re
from decimal import Decimal, localcontext

import numpy as np
import pytest

from oracles import polynomials

pytest.importorskip("llvmlite")

from striderule.codegen import coefficients, jit, target, vmath
from striderule.codegen.tile import ELEMENTS, Routine

TARGETS = target.available()
# What the module states.
BOUNDS = {
    "exp": 1.25,
    "expm1": 2.25,
    "log": 1.25,
    "log1p": 1.75,
    "log1p_exp": 2.25,
    "tanh": 1.75,
    "sigmoid": 2.5,
    "erf": 2.5,
    "normal": 4.5,
}
BOUND_OF_ANGLES = 2.5
# Where the functions bend: for float32 and float64.
RANGES = {
    "exp": ((-105, 89), (-746, 710)),
    "expm1": ((-20, 89), (-40, 710)),
    "log1p_exp": ((-105, 89), (-746, 100)),
    "tanh": ((-10, 10), (-20, 20)),
    "sigmoid": ((-105, 20), (-746, 40)),
    "erf": ((-5, 5), (-7, 7)),
    "normal": ((-15, 8), (-39, 10)),
}
ELEMENTARY = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log1p_exp": lambda x: np.logaddexp(0, x),
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x > 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x))),
    "erf": np.vectorize(math.erf, [np.float64]),
    "normal": np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2, [np.float64]),
}
DECIMAL = {
    "exp": lambda x: x.exp(),
    "expm1": lambda x: x.exp() - 1,
    "log": lambda x: x.ln(),
    "log1p": lambda x: (1 + x).ln(),
    "log1p_exp": lambda x: (1 + x.exp()).ln(),
    "tanh": polynomials.tanh,
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "erf": polynomials.erf,
    "normal": lambda x: (1 + polynomials.erf(x / Decimal(2).sqrt())) / 2,
}


def text_of(name, machine, dtype):
    r = Routine("apply", machine, ELEMENTS[dtype], pointers=("x", "y"), sizes=("length",))
    with r.tasks(), r.loop(r.size("length"), step=r.lanes) as i:
        here = r.first_lanes(r.size("length") - i)
        r.store(getattr(vmath, name)(r, r.load(r.pointer("x") + i, here)), r.pointer("y") + i, here)
    return r.finish()


def text_of_two(name, machine, dtype):
    r = Routine("apply", machine, ELEMENTS[dtype], pointers=("y", "x", "result"), sizes=("length",))
    with r.tasks(), r.loop(r.size("length"), step=r.lanes) as i:
        here = r.first_lanes(r.size("length") - i)
        operands = [r.load(r.pointer(word) + i, here) for word in "yx"]
        r.store(getattr(vmath, name)(r, *operands), r.pointer("result") + i, here)
    return r.finish()


def applied_to_two(name, machine, y, x):
    key = ("vmath of two", name, x.dtype)
    routine = jit.compiled("apply", key, lambda: text_of_two(name, machine, str(x.dtype)), machine)
    result = np.empty_like(x)
    words = np.array([y.ctypes.data, x.ctypes.data, result.ctypes.data, x.size], np.int64)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(routine.address)
    function(words.ctypes.data, 0, 1)
    return result


def applied(name, machine, x):
    routine = jit.compiled("apply", ("vmath", name, x.dtype), lambda: text_of(name, machine, str(x.dtype)), machine)
    y = np.empty_like(x)
    words = np.array([x.ctypes.data, y.ctypes.data, x.size], np.int64)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(routine.address)
    function(words.ctypes.data, 0, 1)
    return y


def arguments(name, dtype, count, seed):
    """Draw numbers over the whole range, near zero, and of every size."""
    rng = np.random.default_rng(seed)
    exponents = rng.uniform(-100, 88, count) if dtype == "float32" else rng.uniform(-700, 700, count)
    if name not in RANGES:  # the logarithms
        near = [rng.uniform(-0.99, 1, count), rng.uniform(-0.01, 0.01, count)]
        shift = 1 if name == "log" else 0
        return np.concatenate([np.exp(exponents), *(shift + one for one in near)]).astype(dtype)
    low, high = RANGES[name][dtype == "float64"]
    sizes = np.exp(np.minimum(exponents, 2)) * rng.choice([-1, 1], count)
    parts = [rng.uniform(low, high, count), rng.uniform(-1.5, 1.5, count), rng.normal(0, 3, count), sizes]
    return np.clip(np.concatenate(parts), low, high).astype(dtype)


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request):
    return request.param


@pytest.mark.parametrize("name", BOUNDS)
def test_error_in_float32(name, machine):
    """Against float64, whose own error is a millionth of a unit."""
    x = arguments(name, "float32", 2_000 if name in ("erf", "normal") else 100_000, 1)
    with np.errstate(over="ignore", under="ignore"):
        expected = ELEMENTARY[name](x.astype(np.float64))
        unit = np.spacing(np.maximum(np.abs(expected), np.finfo(np.float32).tiny).astype(np.float32))
    fits = np.abs(expected) < np.finfo(np.float32).max
    found = applied(name, machine, x)
    assert np.isinf(found[~fits]).all()
    error = np.abs(found.astype(float) - expected)[fits] / unit[fits]
    assert error.max() <= BOUNDS[name]
    assert error.max() > 0.4  # it was measured in the right unit


@functools.cache
def decimals(name, *values):
    """Return a function's values, whose many digits take longer than anything else here."""
    with localcontext(prec=400):  # differences from 1 lose as many digits as the result has zeros
        return [DECIMAL[name](Decimal(value)) for value in values]


@pytest.mark.parametrize("name", BOUNDS)
def test_error_in_float64(name, machine):
    """Against decimal arithmetic of enough digits."""
    x = arguments(name, "float64", 30 if name in ("erf", "normal") else 100, 2)
    x = x[(np.abs(x) > 1e-30) | (x == 0)]
    found = applied(name, machine, x)
    with localcontext(prec=400):
        for value, result, expected in zip(x.tolist(), found.tolist(), decimals(name, *x.tolist()), strict=True):
            if abs(expected) > Decimal(np.finfo(np.float64).max):
                assert math.isinf(result)
                continue
            unit = Decimal(math.ulp(max(abs(float(expected)), np.finfo(np.float64).tiny)))
            assert abs(Decimal(result) - expected) <= Decimal(BOUNDS[name]) * unit, (value, result)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "erf"])
def test_small_numbers_are_their_own_results(name, dtype, machine):
    """f(x) = x (1 + O(x)), so nothing is lost, nor the sign of zero; erf has the slope 2 / sqrt(pi)."""
    tiny, least = np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal
    x = np.array([least, -least, 3 * least, -tiny / 3, tiny, -tiny, 1e-30, -1e-30, 0.0, -0.0], dtype)
    found = applied(name, machine, x)
    expected = x * (2 / math.sqrt(math.pi) if name == "erf" else 1)
    assert (np.abs(found - expected) <= np.maximum(np.spacing(np.abs(x)), least)).all()
    if name != "erf":
        assert (found == x).all()
    assert (np.signbit(found) == np.signbit(x)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "points", "expected"),
    [
        ("exp", [-np.inf, -1e30, 0, -0.0, 1e30, np.inf], [0, 0, 1, 1, np.inf, np.inf]),
        ("expm1", [-np.inf, -1e30, 1e30, np.inf], [-1, -1, np.inf, np.inf]),
        ("log", [-np.inf, -1, 0, -0.0, 1, np.inf], [np.nan, np.nan, -np.inf, -np.inf, 0, np.inf]),
        ("log1p", [-np.inf, -2, -1, 0, np.inf], [np.nan, np.nan, -np.inf, 0, np.inf]),
        ("log1p_exp", [-np.inf, -1e30, 1e30, np.inf], [0, 0, 1e30, np.inf]),
        ("tanh", [-np.inf, -1e30, 1e30, np.inf], [-1, -1, 1, 1]),
        ("sigmoid", [-np.inf, -1e30, 0, 1e30, np.inf], [0, 0, 0.5, 1, 1]),
        ("erf", [-np.inf, -1e30, 1e30, np.inf], [-1, -1, 1, 1]),
        ("normal", [-np.inf, -1e30, 0, 1e30, np.inf], [0, 0, 0.5, 1, 1]),
    ],
)
def test_ends(name, points, expected, dtype, machine):
    np.testing.assert_array_equal(applied(name, machine, np.array(points, dtype)), np.array(expected, dtype))
    assert np.isnan(applied(name, machine, np.array([np.nan, -np.nan], dtype))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_around_its_thresholds(dtype, machine):
    """The last finite result, the first infinite one, the last normal, the least denormal, the first zero."""
    limits = np.finfo(dtype)
    for edge in (math.log(limits.max), math.log(limits.tiny), math.log(limits.smallest_subnormal / 2 or 2.0**-1074)):
        middle = np.array(edge, dtype)
        x = middle + np.spacing(middle) * np.arange(-40, 41, dtype=dtype)
        with np.errstate(over="ignore", under="ignore"):
            expected = np.exp(x.astype(np.longdouble)).astype(dtype)
        found = applied("exp", machine, x)
        finite = np.isfinite(expected)
        assert (np.isinf(found) == ~finite).sum() >= x.size - 1  # the last finite result may be rounded up
        unit = np.spacing(np.maximum(expected[finite], limits.tiny))
        assert (np.abs(found[finite] - expected[finite]) <= 1.5 * unit).all()


def angles(dtype, count):
    """Draw points in all directions and of every size, near the axes, and near where the formula changes."""
    rng = np.random.default_rng(3)
    limits = np.finfo(dtype)
    sizes = 10.0 ** rng.uniform(np.log10(limits.tiny) - 5, np.log10(limits.max), (2, count))
    plain = rng.standard_normal((2, count))
    ratio = np.tan(np.pi / 8 * rng.integers(0, 9, count)) * (1 + rng.integers(-9, 10, count) * limits.eps)
    near = np.stack([plain[0] * ratio, plain[0]])
    grid = np.stack(np.meshgrid(np.arange(-60, 61), np.arange(-60, 61))).reshape(2, -1)
    points = np.concatenate([sizes * np.sign(plain), plain, near, near[::-1], grid], axis=1)
    return points.clip(-limits.max, limits.max).astype(dtype)


def test_angles_in_float32(machine):
    """Against float64, whose own error is a millionth of a unit."""
    y, x = angles("float32", 100_000)
    expected = np.arctan2(y.astype(float), x.astype(float))
    unit = np.spacing(np.maximum(np.abs(expected), np.finfo(np.float32).tiny).astype(np.float32))
    error = np.abs(applied_to_two("arctan2", machine, y, x) - expected) / unit
    assert 0.4 < error.max() <= BOUND_OF_ANGLES


def test_angles_in_float64(machine):
    """Against decimal arithmetic: where the tangent of the expected angle is that of the point, it is the angle."""
    y, x = angles("float64", 40)
    found = applied_to_two("arctan2", machine, y, x)
    with localcontext(prec=60):
        for up, along, angle in zip(y.tolist()[:160], x.tolist()[:160], found.tolist(), strict=False):
            expected = polynomials.arctan2(Decimal(up), Decimal(along))
            unit = Decimal(math.ulp(max(abs(float(expected)), np.finfo(np.float64).tiny)))
            assert abs(Decimal(angle) - expected) <= Decimal(BOUND_OF_ANGLES) * unit, (up, along)
    usual = np.arctan2(y, x)
    assert (np.abs(found - usual) <= (BOUND_OF_ANGLES + 1) * np.spacing(np.abs(usual))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_angles_of_zeros_infinities_and_nan(dtype, machine):
    limits = np.finfo(dtype)
    sizes = [0.0, limits.smallest_subnormal, limits.tiny, 1.0, limits.max, np.inf, np.nan]
    points = np.array([*sizes, *(-size for size in sizes)], dtype)
    y, x = (np.ascontiguousarray(each.ravel()) for each in np.meshgrid(points, points))
    found, expected = applied_to_two("arctan2", machine, y, x), np.arctan2(y, x)
    np.testing.assert_allclose(found, expected, rtol=3 * limits.eps, atol=0)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("name", ["sse2", "avx2", "avx512", "neon"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_function_is_called(name, dtype):
    assert re.search(r"^\s*(?:call|bl)\w*\s", jit.assembly(text_of_two("arctan2", target.named(name), dtype),
                     target.named(name)), re.MULTILINE) is None  # fmt: skip
    call = re.compile(r"^\s*(?:call|bl)\w*\s", re.MULTILINE)
    kind = target.named(name)
    for function in BOUNDS:
        found = call.search(jit.assembly(text_of(function, kind, dtype), kind))
        assert found is None, (function, found)


def test_coefficients_are_those_derived():
    for name in (*polynomials.TABLE, *polynomials.QUOTIENTS):
        single, double = polynomials.coefficients(name)
        assert getattr(coefficients, name) == {"float32": single, "float64": double}
