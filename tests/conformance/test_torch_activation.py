"""Activations and softmax equal PyTorch's over drawn parameters: values, special values and refusals."""

import random
import warnings

import numpy as np
import pytest

import striderule as sr
from striderule.errors import StrideruleError

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance

SPECIAL = np.array([-np.inf, -1000, -100, -20, -3, -1, -0.0, 0, 1, 3, 20, 100, 1000, np.inf, np.nan])

# name -> how to draw its parameters
PARAMETERS = {
    "relu": lambda draw: (),
    "leaky_relu": lambda draw: (draw.uniform(-0.5, 1),),
    "relu6": lambda draw: (),
    "elu": lambda draw: (draw.uniform(0.1, 2),),
    "selu": lambda draw: (),
    "celu": lambda draw: (draw.uniform(0.1, 2),),
    "gelu": lambda draw: (),
    "silu": lambda draw: (),
    "mish": lambda draw: (),
    "sigmoid": lambda draw: (),
    "tanh": lambda draw: (),
    "hardtanh": lambda draw: tuple(sorted(draw.uniform(-3, 3) for _ in range(2))),
    "hardswish": lambda draw: (),
    "hardsigmoid": lambda draw: (),
    "softplus": lambda draw: (draw.uniform(0.2, 3), draw.choice([20, 5, 1])),
    "softsign": lambda draw: (),
    "logsigmoid": lambda draw: (),
    "tanhshrink": lambda draw: (),
    "hardshrink": lambda draw: (draw.uniform(0, 2),),
    "softshrink": lambda draw: (draw.uniform(0, 2),),
    "threshold": lambda draw: (draw.uniform(-2, 2), draw.uniform(-5, 5)),
}
TOLERANCE = {
    "float64": {"rtol": 1e-13, "atol": 1e-14},
    "float32": {"rtol": 2e-6, "atol": 3e-7},
    "float16": {"rtol": 2e-3, "atol": 1e-3},
}


def with_special_values(draw, dtype):
    generator = np.random.default_rng(draw.randrange(2**32))
    shape = tuple(draw.randint(0, 7) for _ in range(draw.randint(0, 4)))
    x = generator.normal(0, draw.choice([1, 5, 30]), shape)
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", sorted(TOLERANCE))
@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_drawn_values(name, dtype):
    draw = random.Random(name + dtype)
    for _ in range(40):
        x, parameters = with_special_values(draw, dtype), PARAMETERS[name](draw)
        found = getattr(sr, name)(x, *parameters)
        expected = getattr(F, name)(torch.from_numpy(x), *parameters).numpy()
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, **tolerance(name, dtype))


def tolerance(name, dtype):
    """PyTorch's float32 gelu adds 1 and erf, which cancel where x is negative."""
    return {"rtol": 2e-6, "atol": 1e-6} if (name, dtype) == ("gelu", "float32") else TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_special_values(name, dtype):
    x = SPECIAL.astype(dtype)
    found = getattr(sr, name)(x, *PARAMETERS[name](random.Random(1)))
    expected = getattr(F, name)(torch.from_numpy(x), *PARAMETERS[name](random.Random(1))).numpy()
    if name == "gelu":
        # inf * Phi(inf) = inf * 1; PyTorch's vectorised code gives NaN there.
        expected = np.where(x == np.inf, np.inf, expected)
    if name == "threshold":
        # NaN stays NaN; PyTorch replaces it where its vectorised loop ends.
        expected = np.where(np.isnan(x), np.nan, expected)
    np.testing.assert_allclose(found, expected, **tolerance(name, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_gelu_by_tanh(dtype):
    draw = random.Random(dtype)
    for _ in range(60):
        x = with_special_values(draw, dtype)
        expected = F.gelu(torch.from_numpy(x), approximate="tanh").numpy()
        np.testing.assert_allclose(sr.gelu(x, approximate="tanh"), expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu", "softsign", "tanhshrink"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers(name, dtype):
    generator = np.random.default_rng(3)
    x = (generator.normal(0, 1.5, (40, 5)) + 1j * generator.normal(0, 1.5, (40, 5))).astype(dtype)
    expected = getattr(F, name)(torch.from_numpy(x)).numpy()
    found = getattr(sr, name)(x)
    assert found.dtype == dtype
    tight = {"rtol": 1e-12, "atol": 1e-13} if dtype == "complex128" else {"rtol": 3e-5, "atol": 1e-6}
    np.testing.assert_allclose(found, expected, **tight)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_integers_stay(name, dtype):
    x = np.arange(-9, 12).astype(dtype)
    parameters = [(), (-2.5, 3.7), (1, 4)] if name == "hardtanh" else [()]
    for arguments in parameters:
        expected = getattr(F, name)(torch.from_numpy(x), *arguments).numpy()
        found = getattr(sr, name)(x, *arguments)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_prelu():
    draw = random.Random(7)
    outcomes = []
    for _ in range(300):
        generator = np.random.default_rng(draw.randrange(2**32))
        shape = tuple(draw.randint(1, 5) for _ in range(draw.randint(1, 4)))
        x = generator.normal(size=shape).astype("float32")
        channels = shape[1] if len(shape) > 1 else 1
        slopes = draw.choice([(), (1,), (channels,), (channels,), (channels + 1,), (1, channels), (0,)])
        weight = generator.normal(size=slopes).astype("float32")
        try:
            expected = F.prelu(torch.from_numpy(x), torch.from_numpy(np.asarray(weight))).numpy()
        except RuntimeError:
            with pytest.raises(StrideruleError):
                sr.prelu(x, weight)
            outcomes.append("refused")
            continue
        np.testing.assert_allclose(sr.prelu(x, weight), expected, rtol=1e-6)
        outcomes.append("equal")
    assert outcomes.count("equal") > 100
    assert outcomes.count("refused") > 30


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax(name):
    draw = random.Random(name)
    outcomes = []
    for _ in range(400):
        dtype = draw.choice(sorted(TOLERANCE))
        x = with_special_values(draw, dtype)
        if x.size and draw.random() < 0.2:
            x.flat[draw.randrange(x.size)] = draw.choice([np.inf, -np.inf, np.nan])
        dim = draw.randint(-5, 4)
        try:
            expected = getattr(F, name)(torch.from_numpy(x), dim).numpy()
        except IndexError:
            with pytest.raises(StrideruleError):
                getattr(sr, name)(x, dim)
            outcomes.append("refused")
            continue
        found = getattr(sr, name)(x, dim)
        assert found.dtype == expected.dtype
        wide = {"rtol": 1e-3, "atol": 2e-3} if dtype == "float16" else TOLERANCE[dtype]
        np.testing.assert_allclose(found, expected, **{**wide, "rtol": 4 * wide["rtol"]})
        outcomes.append("equal")
    assert outcomes.count("equal") > 150
    assert outcomes.count("refused") > 50


def test_softmax_in_another_type():
    x = np.arange(6).reshape(2, 3)
    expected = F.softmax(torch.from_numpy(x), 1, dtype=torch.float64).numpy()
    np.testing.assert_allclose(sr.softmax(x, 1, dtype=np.float64), expected, rtol=1e-14)
    with pytest.raises(StrideruleError, match="dtype must be a float type"):
        sr.softmax(x, 1, dtype=np.int64)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("celu", (0.0,)),
        ("hardtanh", (1, -1)),
        ("gelu", ("sigmoid",)),
        ("softshrink", (-1.0,)),
        ("softmax", (1.0,)),
        ("relu", (None,)),
    ],
)
def test_refusals(name, arguments):
    x = np.ones(3, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name not in ("gelu", "relu"):
            with pytest.raises((RuntimeError, ValueError, TypeError)):
                getattr(F, name)(torch.from_numpy(x), *arguments)
    with pytest.raises(StrideruleError):
        getattr(sr, name)(x, *arguments)


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) - {"sigmoid", "tanh", "silu", "softsign", "tanhshrink"}))
def test_complex_numbers_are_refused(name):
    x = np.ones(3, np.complex64)
    parameters = PARAMETERS[name](random.Random(1))
    with pytest.raises((RuntimeError, NotImplementedError)):
        getattr(F, name)(torch.from_numpy(x), *parameters)
    with pytest.raises(StrideruleError, match="complex"):
        getattr(sr, name)(x, *parameters)
