"""Layers, their gradients and optimisers against PyTorch's modules with the same weights."""

import numpy as np
import pytest

from striderule import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.conformance

PAIRS = [
    ("Conv1d", (4, 6, 3, 2, 1, 1, 2), {}, (2, 4, 11)),
    ("Conv2d", (4, 6, (3, 2), 2, 1, 1, 2), {"padding_mode": "reflect"}, (2, 4, 9, 8)),
    ("Conv2d", (4, 6, 3), {"padding": "same", "dilation": 2, "bias": False}, (2, 4, 9, 8)),
    ("Conv3d", (2, 3, 3), {"padding": 1}, (1, 2, 5, 6, 4)),
    ("ConvTranspose1d", (4, 2, 3, 2, 1, 1), {}, (2, 4, 7)),
    ("ConvTranspose2d", (4, 6, 3, 2, 1, 1, 2, True, 1), {}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (2, 3, 2, 2), {"bias": False}, (1, 2, 3, 4, 3)),
    ("Linear", (8, 5), {}, (3, 8)),
    ("PReLU", (4,), {}, (2, 4, 5, 5)),
    ("MaxPool2d", (3, 2, 1), {"ceil_mode": True}, (2, 4, 9, 8)),
    ("AvgPool2d", (3, 2, 1, False, False), {}, (2, 4, 9, 8)),
    ("AdaptiveAvgPool2d", ((3, 2),), {}, (2, 4, 9, 8)),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, (2, 4, 5, 4)),
    ("Flatten", (), {}, (2, 4, 5)),
    ("LeakyReLU", (0.2, True), {}, (2, 4, 5)),
    ("GELU", ("tanh",), {}, (2, 4, 5)),
    ("Softmax", (1,), {}, (2, 4, 5)),
]


@pytest.mark.parametrize(("name", "args", "words", "shape"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_layers(name, args, words, shape):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(nn, name)(*args, **words), getattr(torch.nn, name)(*args, **words)
    assert {key: tuple(value.shape) for key, value in theirs.state_dict().items()} == {
        key: value.shape for key, value in ours.state().items()
    }
    ours.load_state({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = rng.standard_normal(shape, dtype=np.float32)
    given = torch.tensor(x, requires_grad=True)
    expected = theirs(given * 1)
    y = ours(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    gy = rng.standard_normal(y.shape, dtype=np.float32)
    expected.backward(torch.tensor(gy))
    np.testing.assert_allclose(ours.backward(gy), given.grad.numpy(), rtol=1e-4, atol=1e-5)
    for key, value in theirs.named_parameters():
        np.testing.assert_allclose(ours.gradients()[key], value.grad.numpy(), rtol=1e-4, atol=1e-4)


OPTIMISERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "words"), OPTIMISERS, ids=str)
def test_optimisers(name, words):
    rng = np.random.default_rng(0)
    layer, value = nn.PReLU(1000), torch.full((1000,), 0.25, requires_grad=True)
    ours, theirs = getattr(nn, name)(layer, **words), getattr(torch.optim, name)([value], **words)
    for _ in range(5):
        gradient = rng.standard_normal(1000, dtype=np.float32)
        layer.held()["weight"].gradient, value.grad = gradient, torch.tensor(gradient)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(layer.weight, value.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_schedules():
    value = torch.zeros(1, requires_grad=True)
    for ours, make in [
        (nn.CosineSchedule(10, least=0.01), lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 10, 0.01)),
        (nn.StepSchedule(3, 0.5), lambda one: torch.optim.lr_scheduler.StepLR(one, 3, 0.5)),
    ]:
        optimiser = torch.optim.SGD([value], 0.1)
        schedule = make(optimiser)
        for epoch in range(10):
            assert ours(0.1, epoch) == pytest.approx(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step()
