"""Steps against the formulas in float64, one element after the other; schedules against PyTorch's closed forms."""

import math

import numpy as np
import pytest

from striderule import nn
from striderule.algorithms.windows.update import PIECE
from striderule.errors import InvalidArgument

SIZE = 3 * PIECE // 2 + 5


def model_and_gradients(steps=4):
    rng = np.random.default_rng(0)
    layer = nn.PReLU(SIZE)
    layer.weight = rng.standard_normal(SIZE)
    return layer, [rng.standard_normal(SIZE).astype(np.float32) for _ in range(steps)]


def stepped(optimiser, layer, gradients):
    for gradient in gradients:
        layer.held()["weight"].gradient = gradient
        optimiser.step()
    return layer.weight


def sgd(p, gradients, lr, momentum, dampening, decay, nesterov):
    p, v = p.astype(np.float64), None
    for g in gradients:
        d = g + decay * p
        if momentum:
            v = d if v is None else momentum * v + (1 - dampening) * d
            d = d + momentum * v if nesterov else v
        p = p - lr * d
    return p


@pytest.mark.parametrize(
    ("momentum", "dampening", "decay", "nesterov"),
    [(0, 0, 0, False), (0, 0, 0.1, False), (0.9, 0, 0, False), (0.9, 0.5, 0.01, False), (0.8, 0, 0.01, True)],
)
def test_sgd(momentum, dampening, decay, nesterov):
    layer, gradients = model_and_gradients()
    expected = sgd(layer.weight, gradients, 0.1, momentum, dampening, decay, nesterov)
    optimiser = nn.SGD(layer, 0.1, momentum, dampening, decay, nesterov)
    np.testing.assert_allclose(stepped(optimiser, layer, gradients), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0, 0.1])
def test_adamw(decay):
    layer, gradients = model_and_gradients()
    p, m, v = layer.weight.astype(np.float64), 0, 0
    for t, g in enumerate(gradients, 1):
        wide = g.astype(np.float64)
        p = p * (1 - 0.01 * decay)
        m, v = 0.9 * m + 0.1 * wide, 0.999 * v + 0.001 * wide * wide
        p = p - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    found = stepped(nn.AdamW(layer, 0.01, weight_decay=decay), layer, gradients)
    np.testing.assert_allclose(found, p, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [nn.AdamW, lambda layer: nn.SGD(layer, 0.1, 0.9)])
def test_going_on_gives_the_same_bits(make):
    layer, gradients = model_and_gradients()
    whole = stepped(make(layer), layer, gradients).copy()
    layer, _ = model_and_gradients()
    first = make(layer)
    stepped(first, layer, gradients[:2])
    second = make(layer)
    second.load_state({name: value.copy() for name, value in first.state().items()})
    np.testing.assert_array_equal(stepped(second, layer, gradients[2:]), whole)


def test_what_is_frozen_or_has_no_gradient_stays():
    model = nn.Sequential(nn.PReLU(2), nn.PReLU(2), nn.PReLU(2))
    model[0].freeze()
    for number in (0, 2):
        model[number].held()["weight"].gradient = np.ones(2, np.float32)
    nn.AdamW(model, 0.1).step()
    assert model[0].weight.tolist() == model[1].weight.tolist() == [0.25, 0.25]
    assert model[2].weight[0] < 0.25
    model.freeze(False)
    assert model[0].held()["weight"].trained


def test_a_layer_that_stands_twice_makes_one_step():
    shared = nn.PReLU(1)
    optimiser = nn.SGD(nn.Sequential(shared, shared), 1.0)
    shared.held()["weight"].gradient = np.ones(1, np.float32)
    optimiser.step()
    assert shared.weight.tolist() == [-0.75]


def test_schedules():
    cosine = nn.CosineSchedule(20, least=0.01)
    for epoch in (0, 3, 10, 20, 25):
        part = min(epoch, 20) / 20
        assert cosine(0.1, epoch) == pytest.approx(0.01 + 0.045 * (1 + math.cos(math.pi * part)))
    assert nn.CosineSchedule(10, warmup=2)(0.1, 1) == pytest.approx(0.05)
    assert nn.CosineSchedule(10, warmup=2)(0.1, 2) == pytest.approx(0.1)
    assert [round(nn.StepSchedule(2)(1.0, epoch), 9) for epoch in (0, 1.9, 2, 5)] == [1, 1, 0.1, 0.01]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda layer: nn.SGD(layer, -1), "lr must be at least 0, got -1"),
        (lambda layer: nn.SGD(layer, nesterov=True), "nesterov needs momentum"),
        (lambda layer: nn.AdamW(layer, betas=(0.9, 1.0)), "betas must be from 0 to below 1"),
        (lambda layer: nn.AdamW(layer, eps=math.nan), "eps must be at least 0"),
        (lambda layer: nn.SGD(layer).load_state({"w:momentum": np.ones(1)}), "'w:momentum' of the shape"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InvalidArgument, match=message):
        make(nn.PReLU())
