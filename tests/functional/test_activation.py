"""Activations: published and hand-computed values, both algorithms, safety at large numbers, types and refusals."""

import math
import random
import warnings

import numpy as np
import pytest

import striderule as sr
from striderule.algorithms.windows.erf import SINGLE, erfc_positive
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.activation import ELEMENTWISE

DECK = np.array([[5.0, 3, 5], [3, 0, 3], [5, 3, 5]])  # the result of chapter 2
PARAMETERS = {
    "leaky_relu": (0.2,),
    "elu": (1.5,),
    "celu": (0.7,),
    "hardtanh": (-2, 1.5),
    "softplus": (2.0, 3.0),
    "hardshrink": (0.7,),
    "softshrink": (0.7,),
    "threshold": (0.5, 7),
}
KEEP_INTEGERS = ("relu", "relu6", "hardtanh", "threshold")
COMPLEX = ("sigmoid", "tanh", "silu", "softsign", "tanhshrink")


def test_the_deck():
    """Chapter 7."""
    np.testing.assert_array_equal(sr.relu(DECK), DECK)
    corner, edge, middle = 0.9933071490757153, 0.9525741268224334, 0.5
    expected = [[corner, edge, corner], [edge, middle, edge], [corner, edge, corner]]
    np.testing.assert_allclose(sr.sigmoid(DECK), expected, rtol=1e-15)
    corner, edge = 0.9999092042625951, 0.9950547536867305
    expected = [[corner, edge, corner], [edge, 0, edge], [corner, edge, corner]]
    np.testing.assert_allclose(sr.tanh(DECK), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "arguments", "x", "expected"),
    [
        ("relu", (), [-2.0, 0, 3], [0, 0, 3]),
        ("leaky_relu", (), [-2.0, 3], [-0.02, 3]),
        ("relu6", (), [-1.0, 2, 9], [0, 2, 6]),
        ("elu", (2.0,), [-1.0, 1], [2 * math.expm1(-1), 1]),
        ("selu", (), [-1.0, 1], [-1.1113307378125625, 1.0507009873554805]),
        ("celu", (2.0,), [-1.0, 1], [2 * math.expm1(-0.5), 1]),
        ("gelu", (), [-1.0, 1], [-0.15865525393145707, 0.8413447460685429]),
        ("gelu", ("tanh",), [1.0], [0.8411919906082768]),
        ("silu", (), [1.0], [0.7310585786300049]),
        ("mish", (), [1.0], [0.8650983882673103]),
        ("hardtanh", (), [-3.0, 0.5, 3], [-1, 0.5, 1]),
        ("hardswish", (), [-4.0, 1, 4], [0, 2 / 3, 4]),
        ("hardsigmoid", (), [-4.0, 1, 4], [0, 2 / 3, 1]),
        ("softplus", (), [0.0, 21], [math.log(2), 21]),
        ("softsign", (), [-3.0], [-0.75]),
        ("logsigmoid", (), [0.0], [-math.log(2)]),
        ("tanhshrink", (), [1.0], [1 - math.tanh(1)]),
        ("hardshrink", (), [-0.5, 0.6], [0, 0.6]),
        ("softshrink", (), [-2.0, 0.2, 2], [-1.5, 0, 1.5]),
        ("threshold", (1, 9), [1.0, 2], [9, 2]),
        ("prelu", (0.25,), [-4.0, 4], [-1, 4]),
        ("softmax", (0,), [0.0, math.log(3)], [0.25, 0.75]),
        ("softmin", (0,), [0.0, math.log(3)], [0.75, 0.25]),
        ("log_softmax", (0,), [0.0, math.log(3)], [-math.log(4), math.log(0.75)]),
    ],
)
def test_by_hand(name, arguments, x, expected):
    for algorithm in ("windows", "reference"):
        np.testing.assert_allclose(getattr(sr, name)(x, *arguments, algorithm=algorithm), expected, rtol=4e-15)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64", "bool"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_algorithms_agree(name, dtype):
    generator = np.random.default_rng(0)
    x = generator.normal(0, 4, (3, 4, 5))
    x = (np.abs(x) if dtype == "uint16" else x).astype(dtype)
    if dtype.startswith("float"):
        x.flat[:3] = np.nan, 300.0, -300.0
    function, parameters = getattr(sr, name), PARAMETERS.get(name, ())
    if name == "threshold" and dtype == "bool":
        parameters = (0.5, 1)
    expected = function(x, *parameters, algorithm="reference")
    tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float16" else {"rtol": 2e-6, "atol": 3e-7}
    if expected.dtype == np.float64:
        tolerance = {"rtol": 1e-13, "atol": 1e-14}
    for layout in (x, x[::-1, :, ::2].copy()[::-1], np.asfortranarray(x), x.astype(x.dtype.newbyteorder())):
        found = function(layout, *parameters)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected if layout.shape == x.shape else expected[:, :, ::2], **tolerance)
    assert (found.dtype == dtype) == (dtype.startswith("float") or name in KEEP_INTEGERS)


@pytest.mark.parametrize("name", sorted(set(ELEMENTWISE) | {"prelu", "softmax", "log_softmax", "softmin"}))
def test_large_numbers_warn_of_nothing(name):
    x = np.array([-1e300, -1000.0, 0, 1000, 1e300])
    arguments = PARAMETERS.get(name, (0,) if "soft" in name and name.endswith(("max", "min")) else ())
    arguments = (0.1,) if name == "prelu" else arguments
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        found = getattr(sr, name)(x, *arguments)
        single = getattr(sr, name)(np.array([-1e30, 88, 1e30], np.float32), *arguments)
    assert np.isfinite(found).all() or name == "gelu"
    assert not np.isnan(found).any()
    assert not np.isnan(single).any()


def test_limits():
    assert sr.sigmoid(-1000.0) == 0
    assert sr.sigmoid(np.array([-1000.0], np.float32))[0] == 0
    assert sr.logsigmoid(-1000.0) == -1000
    np.testing.assert_array_equal(sr.log_softmax([1000.0, 0, -1000], 0), [0, -1000, -2000])
    np.testing.assert_array_equal(sr.softmax([-np.inf, 0], 0), [0, 1])
    for algorithm in ("windows", "reference"):
        assert np.isnan(sr.softmax([np.inf, 0], 0, algorithm=algorithm)).any()
        np.testing.assert_array_equal(sr.log_softmax([-np.inf, -np.inf], 0, algorithm=algorithm), [np.nan, np.nan])
    assert sr.gelu(np.inf) == np.inf
    np.testing.assert_array_equal(sr.relu([np.nan, -np.inf, np.inf]), [np.nan, 0, np.inf])
    assert sr.softplus(1e6, threshold=1e9) == 1e6


def test_error_of_erfc():
    x = np.linspace(0, 30, 20001)
    expected = np.array([math.erfc(value) for value in x])
    assert np.abs(erfc_positive(x) - expected).max() < 6e-16
    assert np.abs(erfc_positive(x, SINGLE) - expected).max() < 1e-8


def test_error_of_gelu():
    x = np.linspace(-12, 12, 20001)
    expected = np.array([value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in x])
    assert np.abs(sr.gelu(x) - expected).max() < 2e-15
    single = x.astype(np.float32)
    expected = np.array([value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in single.astype(float)])
    assert (np.abs(sr.gelu(single) - expected) <= np.maximum(np.abs(expected) * 1e-7, 1e-7)).all()


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers(name):
    generator = np.random.default_rng(1)
    x = generator.normal(size=20) + 1j * generator.normal(size=20)
    expected = getattr(sr, name)(x, algorithm="reference")
    np.testing.assert_allclose(getattr(sr, name)(x), expected, rtol=1e-13)
    assert getattr(sr, name)(x.astype(np.complex64)).dtype == np.complex64


@pytest.mark.parametrize("name", sorted((set(ELEMENTWISE) - set(COMPLEX)) | {"softmax", "prelu"}))
def test_complex_numbers_are_refused(name):
    arguments = PARAMETERS.get(name, (0,) if name in ("softmax", "prelu") else ())
    with pytest.raises(InvalidType, match=f"{name} of complex numbers is not defined"):
        getattr(sr, name)(np.ones(2, complex), *arguments)


def test_large_arrays_go_in_blocks():
    x = np.random.default_rng(0).normal(size=(5, 70_001))
    np.testing.assert_array_equal(sr.sigmoid(x), np.stack([sr.sigmoid(row) for row in x]))
    np.testing.assert_array_equal(sr.sigmoid(x.T), sr.sigmoid(x).T)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_empty_and_bare_numbers(name):
    function, parameters = getattr(sr, name), PARAMETERS.get(name, ())
    assert function(np.empty((0, 3)), *parameters).shape == (0, 3)
    number = function(1.5, *parameters)
    assert number.shape == ()
    assert number == function([1.5], *parameters)[0]
    assert function(input=[1.5], **({"threshold": 0, "value": 1} if name == "threshold" else {})).shape == (1,)


def test_out_may_be_the_input():
    x = np.array([-1.0, 2])
    assert sr.relu(x, out=x) is x
    np.testing.assert_array_equal(x, [0, 2])
    y = np.array([[0.0, 0.0]])
    assert sr.softmax(y, 1, out=y) is y
    np.testing.assert_array_equal(y, [[0.5, 0.5]])
    z = np.array([[-4.0]])
    assert sr.prelu(z, 0.5, out=z)[0, 0] == -2


def test_out_that_overlaps():
    x = np.arange(5.0)
    with pytest.raises(InvalidArgument, match="out overlaps an input"):
        sr.relu(x[:4], out=x[1:])
    with pytest.raises(InvalidArgument, match="must have the type of the result float64"):
        sr.sigmoid(np.arange(3), out=np.empty(3, np.float32))


def test_prelu_of_channels():
    x = np.full((2, 3, 4), -1.0, np.float32)
    slopes = np.array([0.1, 0.2, 0.3], np.float32)
    for algorithm in ("windows", "reference"):
        found = sr.prelu(x, slopes, algorithm=algorithm)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, -np.broadcast_to(slopes[:, None], x.shape), rtol=1e-6)
    assert sr.prelu(x, [0.1, 0.2, 0.3]).dtype == np.float32
    assert sr.prelu(x, slopes.astype(float)).dtype == np.float64
    assert sr.prelu(np.array([-3], np.int8), np.array([2])).dtype == np.float64


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_algorithms_agree(name):
    draw = random.Random(name)
    for _ in range(60):
        generator = np.random.default_rng(draw.randrange(2**32))
        shape = tuple(draw.randint(0, 4) for _ in range(draw.randint(0, 4)))
        dtypes = ["float16", "float32", "float64", "int8", "uint8", "bool"]
        x = generator.normal(0, 9, shape).astype(draw.choice(dtypes))
        dim = draw.randint(-max(len(shape), 1), max(len(shape), 1) - 1)
        expected = getattr(sr, name)(x, dim, algorithm="reference")
        found = getattr(sr, name)(x, dim)
        assert found.dtype == expected.dtype
        assert found.shape == shape
        tolerance = 3e-3 if x.dtype == np.float16 else 3e-6
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    assert sr.softmax(np.ones(2, np.int8), 0, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sr.relu([1.0], inplace=True), "inplace must be False, got True; .* relu\\(x, out=x\\)"),
        (lambda: sr.relu([1.0], True), "inplace must be False"),
        (lambda: sr.celu([1.0], 0), "alpha must not be 0"),
        (lambda: sr.hardtanh([1.0], 2, 1), "min_val must be at most max_val, got 2 and 1"),
        (lambda: sr.softplus([1.0], 0), "beta must not be 0"),
        (lambda: sr.softshrink([1.0], -1), "lambd must be at least 0, got -1"),
        (lambda: sr.gelu([1.0], approximate="erf"), "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: sr.leaky_relu([1.0], float("nan")), "negative_slope must be a real number"),
        (lambda: sr.elu([1.0], 1j), "alpha must be a real number"),
        (lambda: sr.threshold(np.ones(1, np.uint8), 0, 300), "value must be an integer from 0 to 255"),
        (lambda: sr.threshold(np.ones(1, int), 0, 0.5), "value must be an integer"),
        (lambda: sr.threshold(np.ones(1, bool), 0, 2), "value must be an integer from 0 to 1"),
        (lambda: sr.threshold(np.ones(1, np.float32), 0, 1e60), "value does not fit the array's type float32"),
        (lambda: sr.threshold([1.0], 0, 1j), "value must be real"),
        (lambda: sr.prelu(np.ones((1, 3)), [1, 2]), "one for each of the 3 channels, got the shape"),
        (lambda: sr.prelu([1.0], [[1.0]]), "weight must be one number"),
        (lambda: sr.prelu([1.0], 1j), "weight must hold real numbers"),
        (lambda: sr.softmax([1.0]), "dim must be given"),
        (lambda: sr.softmax([1.0], 1), "dim must be from -1 to 0"),
        (lambda: sr.softmax([1.0], 0, dtype=int), "dtype must be a float type"),
        (lambda: sr.relu([1.0], algorithm="gpu"), "algorithm must be None or one of"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_refused_kinds():
    with pytest.raises(InvalidType, match="dim must be an integer"):
        sr.softmax([1.0], 0.0)
    with pytest.raises(InvalidType, match="negative_slope must be a number"):
        sr.leaky_relu([1.0], "0.1")


def test_limits_of_integers_are_rounded_towards_zero():
    x = np.arange(-4, 5)
    np.testing.assert_array_equal(sr.hardtanh(x, -2.5, 1.9), np.clip(x, -2, 1))
    np.testing.assert_array_equal(sr.hardtanh(np.arange(5, dtype=np.uint8), -3, 2), [0, 1, 2, 2, 2])
    np.testing.assert_array_equal(sr.hardtanh(x, -np.inf, np.inf), x)
    assert sr.hardtanh([True, False], 0, 1).dtype == bool
