"""Gradients of `correlate` equal those of PyTorch's padding and convolution."""

import numpy as np
import pytest

import striderule as sr

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance

MODES = {"mirror": "reflect", "edge": "replicate", "wrap": "circular", "constant": "constant"}


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_correlate(boundary, stride, dilation):
    rng = np.random.default_rng(0)
    image, kernel = rng.standard_normal((11, 12)), rng.standard_normal((3, 5))
    y, pullback = sr.vjp(sr.correlate, image, kernel, boundary=boundary, stride=stride, dilation=dilation)
    gy = rng.standard_normal(y.shape)
    x, w = (torch.tensor(one, requires_grad=True) for one in (image, kernel))
    wide = F.pad(x[None, None], [2 * dilation, 2 * dilation, dilation, dilation], mode=MODES[boundary])
    theirs = F.conv2d(wide, w[None, None], stride=stride, dilation=dilation)
    theirs.backward(torch.tensor(gy)[None, None])
    np.testing.assert_allclose(y, theirs.detach().numpy()[0, 0], rtol=0, atol=1e-13)
    for found, tensor in zip(pullback(gy), (x, w), strict=True):
        np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=0, atol=1e-12)


def test_lengths_of_gradients():
    image = np.random.default_rng(1).standard_normal((9, 10))
    y, pullback = sr.vjp(sr.filters.sobel, image, boundary="edge")
    x = torch.tensor(image, requires_grad=True)
    down = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]], dtype=torch.float64)
    wide = F.pad(x[None, None], [1] * 4, mode="replicate")
    parts = F.conv2d(wide, torch.stack([down, down.T])[:, None])
    length = torch.linalg.vector_norm(parts, dim=1)
    length.sum().backward()
    np.testing.assert_allclose(y, length.detach().numpy()[0], rtol=1e-13)
    np.testing.assert_allclose(pullback(np.ones(y.shape))[0], x.grad.numpy(), rtol=0, atol=1e-12)
