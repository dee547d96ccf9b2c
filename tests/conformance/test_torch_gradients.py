"""Gradients equal PyTorch's: convolutions over drawn parameters, activations at their kinks too."""

import random

import numpy as np
import pytest

import striderule as sr
from striderule.functional.activation import ELEMENTWISE

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


def drawn(seed):
    """Return the name of a convolution, its arrays, and its words by position."""
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    while True:
        rank, groups = draw.choice((1, 2, 2, 3)), draw.choice((1, 1, 2, 4))
        inputs, outputs = groups * draw.choice((1, 2, 3, 8)), groups * draw.choice((1, 2, 5, 16))
        kernel, stride = ([draw.randint(1, 4) for _ in range(rank)] for _ in range(2))
        dilation, padding = ([draw.randint(low, low + 2) for _ in range(rank)] for low in (1, 0))
        size = [draw.randint(1, 14 if rank < 3 else 7) for _ in range(rank)]
        dtype = draw.choice(("float32", "float64"))
        batch = draw.randint(1, 4)
        transposed = draw.random() < 0.4
        if transposed:
            extra = [draw.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]
            shapes = (batch, inputs, *size), (inputs, outputs // groups, *kernel), (outputs,)
            words = (stride, padding, extra, groups, dilation)
        else:
            shapes = (batch, inputs, *size), (outputs, inputs // groups, *kernel), (outputs,)
            words = (stride, padding, dilation, groups)
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        name = f"conv{'_transpose' if transposed else ''}{rank}d"
        try:
            getattr(sr, name)(*arrays, *words)
        except sr.errors.InvalidArgument:
            continue
        return name, arrays, words, dtype


@pytest.mark.parametrize("seed", range(60))
def test_convolutions(seed):
    name, arrays, words, dtype = drawn(seed)
    tensors = [torch.tensor(one, requires_grad=True) for one in arrays]
    theirs = getattr(F, name)(*tensors, *words)
    y, pullback = sr.vjp(getattr(sr, name), *arrays, *words)
    gy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    theirs.backward(torch.tensor(gy))
    for got, tensor in zip(pullback(gy), tensors, strict=False):
        expected = tensor.grad.numpy()
        assert got.dtype == expected.dtype
        scale = float(np.linalg.norm(expected)) or 1.0
        assert float(np.linalg.norm(got - expected)) <= TOLERANCE[dtype] * scale


PARAMETERS = {
    "elu": (0.7,), "celu": (1.3,), "leaky_relu": (0.2,), "hardtanh": (-0.5, 0.8), "softplus": (2.0, 3.0),
    "hardshrink": (0.4,), "softshrink": (0.4,), "threshold": (0.1, 2.0),
}  # fmt: skip
KINKS = [0.0, -0.0, 3, -3, 6, 0.5, -0.5, 0.8, 0.4, -0.4, 0.1, -0.1, 50, -50, np.nan]


def of_torch(name, x, gy):
    tensor = torch.tensor(x, requires_grad=True)
    getattr(F, name)(tensor, *PARAMETERS.get(name, ())).backward(torch.tensor(gy))
    return tensor.grad.numpy()


def ours(name, x, gy):
    return sr.vjp(getattr(sr, name), x, *PARAMETERS.get(name, ()))[1](gy)[0]


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations(name, dtype):
    rng = np.random.default_rng(0)
    x, gy = ((rng.standard_normal(500) * scale).astype(dtype) for scale in (3, 1))
    expected = of_torch(name, x.astype(np.float64), gy.astype(np.float64))
    # PyTorch holds some constants as float32 in float64 too.
    rtol, atol = (2e-7, 1e-9) if dtype == "float64" else (2e-6, 2e-7)
    np.testing.assert_allclose(ours(name, x, gy), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kinks(name, dtype):
    x = np.array(KINKS, dtype)
    gy = np.arange(1, x.size + 1).astype(dtype)
    np.testing.assert_allclose(ours(name, x, gy), of_torch(name, x, gy), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("slopes", [1, 3])
def test_prelu(slopes):
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((2, 3, 5)), rng.standard_normal(slopes)
    pair = [torch.tensor(one, requires_grad=True) for one in (x, weight)]
    gy = rng.standard_normal(x.shape)
    F.prelu(*pair).backward(torch.tensor(gy))
    for got, tensor in zip(sr.vjp(sr.prelu, x, weight)[1](gy), pair, strict=True):
        np.testing.assert_allclose(got, tensor.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_as_functions_of_their_own(rank):
    rng = np.random.default_rng(rank)
    size, kernel = ((2, 4, *(9, 8, 7)[:rank]), (6, 2, *(3, 2, 2)[:rank]))
    words = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
    x, weight = rng.standard_normal(size), rng.standard_normal(kernel)
    gy = rng.standard_normal(sr.conv(x, weight, **words).shape)
    for name, ours, one, other in (
        ("input", sr.conv_input_grad, size, weight),
        ("weight", sr.conv_weight_grad, x, kernel),
    ):
        theirs = getattr(torch.nn.grad, f"conv{rank}d_{name}")
        operands = [torch.tensor(value) if isinstance(value, np.ndarray) else value for value in (one, other, gy)]
        expected = theirs(*operands, **words).numpy()
        np.testing.assert_allclose(ours(one, other, gy, **words), expected, rtol=0, atol=1e-13)


def test_gradients_of_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(0)
    weight, gy = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((4, 3, 3, 3), (2, 4, 6, 6)))
    found = sr.conv_input_grad((2, 3, 8, 8), weight, gy)
    assert found.dtype == weight.dtype
    wide = sr.conv_input_grad((2, 3, 8, 8), weight.astype(np.float32), gy.astype(np.float32))
    np.testing.assert_array_equal(found, wide.astype(weight.dtype))
