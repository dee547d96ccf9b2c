"""Layers that are one with what stands behind them: the bits of single layers, which stay layers."""

import copy
import pickle

import numpy as np
import pytest

from striderule import nn
from striderule.errors import InvalidArgument

SHAPE = (4, 9, 6, 5)


def noise(seed):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def pair(activation=nn.ReLU):
    return nn.Sequential(nn.BatchNorm2d(9), activation(), nn.BatchNorm2d(9))


def residual(activation, shortcut):
    other = nn.Sequential(nn.BatchNorm2d(9)) if shortcut else None
    return nn.Sequential(nn.BatchNorm2d(9), nn.Residual(pair(nn.ReLU6), other, activation=activation))


def convolutions():
    layers = [nn.Conv2d(9, 9, 3, padding=1, seed=0), nn.ReLU(), nn.Conv2d(9, 9, 1, bias=False, seed=1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.Residual(nn.Conv2d(9, 9, 3, padding=1, seed=2), activation="relu"))


MAKES = [
    convolutions,
    pair,
    lambda: pair(nn.ReLU6),
    lambda: residual(None, shortcut=False),
    lambda: residual("relu", shortcut=True),
    lambda: residual("relu6", shortcut=False),
    lambda: residual("tanh", shortcut=False),
    lambda: nn.Residual(nn.BatchNorm2d(9), activation="relu"),
    lambda: nn.Sequential(nn.BatchNorm2d(9, affine=False, track_running_stats=False), nn.ReLU()),
    lambda: nn.Sequential(nn.BatchNorm2d(9, momentum=None), nn.ReLU()),
    lambda: nn.Sequential(nn.BatchNorm(9), nn.LeakyReLU(), nn.BatchNorm(9)),
]


def trained(model, x, gy):
    """Return result and gradients of two steps, and what the model holds then."""
    found = []
    for _ in range(2):
        found += [model(x), model.backward(gy)]
    return [*found, *model.gradients().values(), *model.state().values()]


@pytest.mark.parametrize("make", MAKES)
def test_bits_are_those_of_single_layers(make, monkeypatch):
    x, gy = noise(1), noise(2)
    found = trained(make(), x, gy)
    for kind in (nn.BatchNorm, nn.Conv2d):
        monkeypatch.setattr(kind, "_joined", lambda *_: None)
    for one, other in zip(found, trained(make(), x, gy), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [pair, lambda: nn.Sequential(nn.Conv2d(9, 9, 3, padding=1, seed=0), nn.ReLU())])
def test_layers_can_be_pulled_back_one_by_one(make):
    x, gy = noise(1), noise(2)
    model, other = make(), make()
    model(x)
    gradient = gy
    for layer in reversed(list(model)):
        gradient = layer.backward(gradient)
    other(x)
    np.testing.assert_array_equal(gradient, other.backward(gy))
    with pytest.raises(InvalidArgument, match="needs a forward in training mode"):
        model.backward(gy)


def test_a_body_can_be_pulled_back_by_itself():
    block, plain = nn.Residual(nn.BatchNorm2d(9), activation="relu"), nn.BatchNorm2d(9)
    block(noise(1)), plain(noise(1))
    np.testing.assert_array_equal(block.body.backward(noise(2)), plain.backward(noise(2)))


def test_copies_are_layers_without_a_past():
    model = residual("relu", shortcut=False)
    model(noise(1))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with pytest.raises(InvalidArgument, match="needs a forward"):
            other.backward(noise(2))
    assert model.backward(noise(2)) is not None


def test_weights_may_change_before_the_backward_pass():
    model, other = pair(), pair()
    model(noise(1)), other(noise(1))
    model[0].weight = np.full(9, 7)
    np.testing.assert_array_equal(model.backward(noise(2)), other.backward(noise(2)))


def test_what_is_patched_or_frozen_is_called():
    model, seen = pair(), []
    act = model[1]
    act.forward = lambda x: seen.append("act") or nn.ReLU.forward(act, x)
    model(noise(1))
    model.backward(noise(2))
    assert seen == ["act"]
    model = pair()
    model[0].eval()
    model(noise(1))
    assert int(model[0].num_batches_tracked) == 0
    assert int(model[2].num_batches_tracked) == 1


def test_arrays_of_other_kinds_take_the_steps():
    model, x = pair(), noise(1)
    expected = model(x)
    for other in (x.astype(np.float64), x.transpose(3, 1, 0, 2).copy().transpose(2, 1, 3, 0), x.tolist()):
        np.testing.assert_allclose(model(other), expected, rtol=1e-4, atol=1e-5)


def test_refusals():
    model = pair()
    with pytest.raises(InvalidArgument, match="must be"):
        model(noise(1)[:, :5])
    model(noise(1))
    with pytest.raises(InvalidArgument, match="shape"):
        model.backward(noise(2)[:2])
