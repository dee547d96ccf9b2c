"""Linear layers, resampling, losses, softmax, padding and columns equal PyTorch's, with their gradients."""

import random

import numpy as np
import pytest

import striderule as sr

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance


def compare(ours, theirs, arrays, *, words=None, others=None, rtol=1e-12, fixed=()):
    """Compare results and gradients; `fixed` are further positional arguments."""
    tensors = [torch.tensor(one, requires_grad=one.dtype.kind == "f") for one in arrays]
    expected = theirs(*tensors, *fixed, **(others if others is not None else words or {}))
    y, pullback = sr.vjp(ours, *arrays, *fixed, **(words or {}))
    scale = float(np.abs(expected.detach().numpy()).max())
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=rtol, atol=rtol * scale)
    gy = np.random.default_rng(9).standard_normal(y.shape).astype(y.dtype)
    expected.backward(torch.tensor(gy))
    for got, tensor in zip(pullback(gy), tensors, strict=False):
        if tensor.grad is not None:
            gradient = tensor.grad.numpy()
            scale = float(np.abs(gradient).max())
            np.testing.assert_allclose(got, gradient, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5)])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-6), ("float64", 1e-13)])
def test_linear(shape, dtype, rtol):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(each).astype(dtype) for each in (shape, (6, 5), (6,))]
    compare(sr.linear, F.linear, arrays, rtol=rtol)


@pytest.mark.parametrize("seed", range(30))
def test_interpolate(seed):
    draw = random.Random(seed)
    rank = draw.randint(1, 3)
    size = [draw.randint(1, 9) for _ in range(rank)]
    mode = draw.choice(("nearest", "nearest-exact", ("linear", "bilinear", "trilinear")[rank - 1]))
    words = {"mode": mode}
    if draw.random() < 0.5:
        words["size"] = tuple(draw.randint(1, 17) for _ in range(rank))
    else:
        words["scale_factor"] = tuple(draw.choice((0.5, 0.7, 1.3, 2.0, 3.0, 2.5)) for _ in range(rank))
        if any(int(n * s) < 1 for n, s in zip(size, words["scale_factor"], strict=True)):
            words["scale_factor"] = (2.0,) * rank
    if not mode.startswith("nearest"):
        words["align_corners"] = draw.random() < 0.5
    x = np.random.default_rng(seed).standard_normal((2, 3, *size))
    if any(n == int(n * s) and s != 1 for n, s in zip(size, words.get("scale_factor", ()), strict=False)):
        # PyTorch's gradient passes over a scale that leaves the size as it is, which its result does not.
        del words["scale_factor"]
        words["size"] = tuple(2 * n for n in size)
    compare(sr.interpolate, F.interpolate, [x], words=words)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (3, 5, 2, 3), (4,)])
def test_cross_entropy(reduction, smoothing, weighted, shape):
    rng = np.random.default_rng(1)
    z, classes = rng.standard_normal(shape), shape[min(len(shape) - 1, 1)]
    weight = rng.random(classes) if weighted else None
    t = np.asarray(rng.integers(0, classes, (*shape[:1], *shape[2:]) if len(shape) > 1 else ()))
    words = {"reduction": reduction, "label_smoothing": smoothing}
    others = {**words, "weight": None if weight is None else torch.tensor(weight)}
    for targets in (t, np.where(np.arange(t.size).reshape(t.shape) == 1, -100, t), rng.random(shape)):
        compare(sr.cross_entropy, F.cross_entropy, [z, targets], words={**words, "weight": weight}, others=others)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(reduction):
    x, target = np.random.default_rng(2).standard_normal((2, 4, 5))
    compare(sr.mse_loss, F.mse_loss, [x, target], words={"reduction": reduction})


@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-6), ("float64", 1e-12)])
def test_softmax(name, axis, dtype, rtol):
    x = (np.random.default_rng(3).standard_normal((5, 37, 9)) * 3).astype(dtype)
    compare(getattr(sr, name), getattr(F, name), [x], words={"dim": axis}, rtol=rtol)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("pad", [(1, 2), (2, 0, 1, 3), (-1, 2, 0, -2)])
def test_pad(mode, pad):
    x = np.random.default_rng(4).standard_normal((2, 3, 6, 5) if len(pad) > 2 else (2, 3, 6))
    compare(sr.pad, F.pad, [x], fixed=(pad, mode))


@pytest.mark.parametrize(
    "words", [{"kernel_size": (3, 2)}, {"kernel_size": 2, "padding": 1, "stride": 2, "dilation": 2}]
)
def test_columns(words):
    x = np.random.default_rng(5).standard_normal((2, 3, 7, 8))
    compare(sr.unfold, F.unfold, [x], words=words)
    columns = np.random.default_rng(6).standard_normal(sr.unfold(x, **words).shape)
    compare(sr.fold, F.fold, [columns], words={**words, "output_size": (7, 8)})


def test_shuffles():
    x = np.random.default_rng(7).standard_normal((2, 8, 4, 6))
    compare(sr.pixel_shuffle, F.pixel_shuffle, [x], fixed=(2,))
    compare(sr.pixel_unshuffle, F.pixel_unshuffle, [x], fixed=(2,))
