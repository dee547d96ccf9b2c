"""Gradients of pooling equal PyTorch's, over drawn parameters, with ties and NaN, in both orders of memory."""

import random

import numpy as np
import pytest

import striderule as sr
from oracles.memories import channels_last

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


def drawn(seed, least=1):
    """Return a generator, a rank, an input of whole numbers (so that there are ties), and who draws."""
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    rank = draw.choice((1, 2, 2, 3))
    size = [draw.randint(least, (70, 36, 9)[rank - 1]) for _ in range(rank)]
    x = rng.integers(-3, 4, (draw.randint(1, 3), draw.randint(1, 20), *size))
    x = x.astype(draw.choice(("float32", "float64")))
    if draw.random() < 0.4:
        x = channels_last(x)
    return rng, rank, x, draw


def compare(name, x, rng, *words, ours=None):
    """Compare the gradient of a call with PyTorch's; `ours` are our words where they differ."""
    tensor = torch.tensor(x, requires_grad=True)
    theirs = getattr(F, name)(tensor, *words)
    y, pullback = sr.vjp(getattr(sr, name), x, *(words if ours is None else ours))
    assert y.shape == tuple(theirs.shape)
    gy = rng.standard_normal(y.shape).astype(x.dtype)
    theirs.backward(torch.tensor(gy))
    got, expected = pullback(gy)[0], tensor.grad.numpy()
    assert got.dtype == expected.dtype
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0)) + 1e-30
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE[x.dtype.name], atol=TOLERANCE[x.dtype.name] * scale)


def geometry(draw, x, rank):
    """Return kernel, stride, padding, dilation and rounding that leave an output and no window without elements."""
    kernel = [draw.randint(1, min(4, n)) for n in x.shape[2:]]
    stride = [draw.randint(1, 3) for _ in range(rank)]
    padding = [draw.randint(0, k // 2) for k in kernel]
    return kernel, stride, padding, draw.random() < 0.5


@pytest.mark.parametrize("seed", range(30))
def test_maximum(seed):
    rng, rank, x, draw = drawn(seed)
    kernel, stride, padding, up = geometry(draw, x, rank)
    gaps = [draw.choice((1, 2)) if 2 * k <= n and not up else 1 for k, n in zip(kernel, x.shape[2:], strict=True)]
    if draw.random() < 0.3:
        x[rng.random(x.shape) < 0.1] = np.nan
    compare(f"max_pool{rank}d", x, rng, kernel, stride, padding, gaps, up)


@pytest.mark.parametrize("seed", range(30))
def test_average(seed):
    rng, rank, x, draw = drawn(100 + seed)
    words = [*geometry(draw, x, rank), draw.random() < 0.5]
    if rank > 1 and draw.random() < 0.3:
        words.append(draw.choice((-2, 5)))
    compare(f"avg_pool{rank}d", x, rng, *words)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive(seed, kind):
    rng, rank, x, draw = drawn(200 + seed)
    compare(f"adaptive_{kind}_pool{rank}d", x, rng, [draw.choice((1, 1, 2, 5, 7)) for _ in range(rank)])


@pytest.mark.parametrize("seed", range(30))
def test_norms(seed):
    rng, rank, x, draw = drawn(300 + seed, 4)
    p = draw.choice((1.0, 2.0, 3.0, 4.0))
    x = x if p in (1.0, 2.0, 4.0) else np.abs(x)
    x[0, 0] = 0
    compare(f"lp_pool{rank}d", x, rng, p, draw.randint(1, 3), draw.choice((None, 2)), draw.random() < 0.5)


@pytest.mark.parametrize("rank", [2, 3])
def test_fractional(rank):
    rng = np.random.default_rng(rank)
    x, samples = rng.integers(-3, 4, (2, 3, *(9, 8, 7)[:rank])) * 1.0, rng.random((2, 3, rank))
    tensor, gy = torch.tensor(x, requires_grad=True), rng.standard_normal((2, 3, *(4,) * rank))
    name = f"fractional_max_pool{rank}d"
    getattr(F, name)(tensor, 3, 4, _random_samples=torch.tensor(samples)).backward(torch.tensor(gy))
    got = sr.vjp(getattr(sr, name), x, 3, 4, _random_samples=samples)[1](gy)[0]
    np.testing.assert_allclose(got, tensor.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling(rank):
    rng = np.random.default_rng(rank)
    # Windows overlap, so that some places are named twice.
    values, places = getattr(sr, f"max_pool{rank}d")(
        rng.standard_normal((2, 3, *(9,) * rank)), 3, 2, return_indices=True
    )
    tensor, gy = torch.tensor(values, requires_grad=True), rng.standard_normal((2, 3, *(9,) * rank))
    name = f"max_unpool{rank}d"
    getattr(F, name)(tensor, torch.tensor(places), 3, 2).backward(torch.tensor(gy))
    gx, none = sr.vjp(getattr(sr, name), values, places, 3, 2)[1](gy)[:2]
    assert none is None
    np.testing.assert_array_equal(gx, tensor.grad.numpy())
