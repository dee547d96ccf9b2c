"""Layer and group normalisation, and the gradients of all normalisations, equal PyTorch's over drawn parameters."""

import random

import numpy as np
import pytest

import striderule as sr
from oracles.memories import channels_last

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance
TOLERANCE = {"float32": 3e-6, "float64": 1e-13}


def drawn(seed, least=2):
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    dtype = draw.choice(("float32", "float64"))
    rest = [draw.choice((1, 2, 3, 7, 16, 33)) for _ in range(draw.randint(max(0, least - 2), 3))]
    shape = (draw.randint(2, 4), draw.choice((1, 2, 3, 6, 8, 18)), *rest)
    x = (rng.standard_normal(shape) * 2 + draw.choice((0, 5))).astype(dtype)
    if draw.random() < 0.4:
        x = channels_last(x)
    parameters = [rng.standard_normal(shape[1]).astype(dtype) if draw.random() < 0.8 else None for _ in range(2)]
    return draw, rng, x, parameters


def close(got, expected, dtype, scale=1.0):
    size = float(np.linalg.norm(expected)) + scale
    assert got.dtype == expected.dtype
    assert float(np.linalg.norm(got - expected)) <= TOLERANCE[dtype] * size


def compare(ours, theirs, arrays, rng, steep=1.0):
    """Compare results and gradients; `ours` gives the result and the pullback, `theirs` takes tensors.

    What cancels is of the size of what is added, which is gy times `steep`.
    """
    dtype = str(arrays[0].dtype)
    wide = [None if one is None else torch.tensor(one.astype(np.float64), requires_grad=True) for one in arrays]
    y, pullback = ours
    expected = theirs(*wide)
    close(y, expected.detach().numpy().astype(dtype), dtype)
    gy = rng.standard_normal(y.shape).astype(dtype)
    expected.backward(torch.tensor(gy.astype(np.float64)))
    found = pullback(gy)
    for got, tensor in zip(found, wide, strict=True):
        if tensor is None:
            assert got is None
        else:
            close(got, tensor.grad.numpy().astype(dtype), dtype, steep * float(np.linalg.norm(gy)))


@pytest.mark.parametrize("seed", range(30))
def test_batch_norm(seed):
    draw, rng, x, (weight, bias) = drawn(seed)
    training, eps = draw.random() < 0.6, draw.choice((1e-5, 1e-3))
    running = [rng.standard_normal(x.shape[1]).astype(x.dtype), rng.uniform(0.5, 2, x.shape[1]).astype(x.dtype)]
    mine = [one.copy() for one in running]
    y, pullback = sr.vjp(sr.batch_norm, x, *mine, weight, bias, training, 0.3, eps)

    def by_us(gy):
        gx, *nothing, gw, gb, _, _, _ = pullback(gy)
        assert nothing == [None, None]
        return gx, gw, gb

    def by_them(x, weight, bias):
        statistics = [torch.tensor(one.astype(np.float64)) for one in running]
        result = F.batch_norm(x, *statistics, weight, bias, training, 0.3, eps)
        for one, other in zip(mine, statistics, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-6, atol=1e-6)
        return result

    compare((y, by_us), by_them, (x, weight, bias), rng)


@pytest.mark.parametrize("seed", range(30))
def test_layer_norm(seed):
    draw, rng, x, _ = drawn(100 + seed)
    first = draw.randrange(x.ndim)
    shape = x.shape[first:]
    weight, bias = (rng.standard_normal(shape).astype(x.dtype) if draw.random() < 0.8 else None for _ in range(2))
    _, pullback = pair = sr.vjp(sr.layer_norm, x, shape, weight, bias, eps=1e-4)

    def by_us(gy):
        gx, nothing, gw, gb = pullback(gy)
        assert nothing is None
        return gx, gw, gb

    compare((pair[0], by_us), lambda x, w, b: F.layer_norm(x, shape, w, b, 1e-4), (x, weight, bias), rng)


@pytest.mark.parametrize("seed", range(30))
def test_layer_norm_of_channels(seed):
    _, rng, x, (weight, bias) = drawn(200 + seed)
    channels = x.shape[1]
    # Two values may be close to each other, and one is its own mean: 1 / sqrt(eps).
    steep = 320.0 if channels < 3 else 1.0
    _, pullback = pair = sr.vjp(sr.layer_norm, x, channels, weight, bias, axis=1)

    def by_them(x, weight, bias):
        return F.layer_norm(x.movedim(1, -1), (channels,), weight, bias).movedim(-1, 1)

    compare((pair[0], lambda gy: (pullback(gy)[0], *pullback(gy)[2:])), by_them, (x, weight, bias), rng, steep)


@pytest.mark.parametrize("seed", range(30))
def test_group_norm(seed):
    draw, rng, x, (weight, bias) = drawn(300 + seed, 3)
    x = np.concatenate((x, x + 1), axis=2)  # PyTorch refuses groups of one value
    if weight is None or bias is None:  # one without the other fails in PyTorch
        weight = bias = None
    groups = draw.choice([n for n in range(1, x.shape[1] + 1) if x.shape[1] % n == 0])
    _, pullback = pair = sr.vjp(sr.group_norm, x, groups, weight, bias)
    by_us = (pair[0], lambda gy: (pullback(gy)[0], *pullback(gy)[2:]))
    compare(by_us, lambda x, w, b: F.group_norm(x, groups, w, b), (x, weight, bias), rng)


@pytest.mark.parametrize("seed", range(30))
def test_local_response_norm(seed):
    draw, rng, x, _ = drawn(400 + seed, 3)
    words = (draw.randint(1, 6), draw.uniform(0, 0.5), draw.uniform(0.2, 1), draw.uniform(0.5, 2))
    _, pullback = pair = sr.vjp(sr.local_response_norm, x, *words)
    compare((pair[0], lambda gy: pullback(gy)[:1]), lambda x: F.local_response_norm(x, *words), (x,), rng)
