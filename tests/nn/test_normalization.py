"""Layers that normalise: modes, running statistics that are read-only outside, gradients."""

import copy
import pickle

import numpy as np
import pytest

import striderule as sr
from striderule import nn
from striderule.errors import InvalidArgument

LAYERS = [
    (lambda: nn.BatchNorm(6), (4, 6, 5, 3)), (lambda: nn.BatchNorm1d(6), (4, 6)),
    (lambda: nn.BatchNorm1d(6), (4, 6, 5)),
    (lambda: nn.BatchNorm2d(6, affine=False), (4, 6, 5, 3)), (lambda: nn.BatchNorm3d(6), (4, 6, 2, 3, 3)),
    (lambda: nn.BatchNorm2d(6, track_running_stats=False), (4, 6, 5, 3)), (lambda: nn.LayerNorm(6), (4, 6)),
    (lambda: nn.LayerNorm((5, 3), bias=False), (4, 6, 5, 3)), (lambda: nn.LayerNorm(6, axis=1), (4, 6, 5, 3)),
    (lambda: nn.GroupNorm(3, 6), (4, 6, 5, 3)), (lambda: nn.LocalResponseNorm(3), (4, 6, 5, 3)),
]  # fmt: skip


def noise(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_forward_and_backward_are_those_of_the_function(make, shape):
    layer, x, gy = make(), noise(*shape) + 2, noise(*shape, seed=1)
    for name, one in layer.parameters().items():
        setattr(layer, name, noise(*one.shape, seed=2))
    op, words = layer.operation()
    words = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in words.items()}
    y = layer(x)
    np.testing.assert_array_equal(y, op(x, **words))
    gx = layer.backward(gy)
    for name in ("running_mean", "running_var"):
        if words.get(name) is not None:
            np.testing.assert_array_equal(getattr(layer, name), words[name])
    rng = np.random.default_rng(3)
    wide = {
        name: np.asarray(value, np.float64) if isinstance(value, np.ndarray) else value for name, value in words.items()
    }
    for name, gradient in ({"x": gx} | layer.gradients()).items():
        direction, step = rng.standard_normal(gradient.shape), 1e-5
        sides = []
        for sign in (1, -1):
            moved = {"x": x.astype(np.float64), **wide}
            moved[name] = moved[name] + sign * step * direction
            sides.append(op(**moved))
        expected = float((gy * (sides[0] - sides[1])).sum()) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_evaluation_copies_and_files(make, shape):
    layer, x = make(), noise(*shape)
    layer(x)
    layer.eval()
    y = layer(x)
    np.testing.assert_array_equal(layer(x), y)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), make().load_state(layer.state()).eval()):
        np.testing.assert_array_equal(twin(x), y)
    assert repr(layer).startswith(type(layer).__name__ + "(")
    assert type(sr.explain(nn.Sequential(layer), x)).__name__ == "Plans"


def test_running_statistics_follow_and_stay_read_only():
    layer, x = nn.BatchNorm2d(2), noise(4, 2, 3, 3) + 5
    seen = layer.running_mean
    layer(x)
    np.testing.assert_allclose(seen, 0.1 * x.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * x.var(axis=(0, 2, 3), ddof=1), rtol=1e-6)
    assert layer.num_batches_tracked.tolist() == 1
    for one in layer.state().values():
        assert not one.flags.writeable
        with pytest.raises(ValueError, match=r"read-only|writeable|WRITEABLE"):
            one.flags.writeable = True
    assert set(layer.parameters()) == {"weight", "bias"}
    assert list(layer.state()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def test_evaluation_sees_every_change_of_the_statistics():
    layer, x = nn.BatchNorm2d(2), noise(4, 2, 3, 3) + 5
    first = layer.eval()(x)
    layer.train()(x)
    second = layer.eval()(x)
    assert abs(first - second).max() > 0.1
    layer.running_mean = [9, 9]
    assert abs(layer(x) - second).max() > 1
    assert layer.num_batches_tracked.tolist() == 1
    sr.explain(layer.train(), x)
    assert layer.num_batches_tracked.tolist() == 1
    assert layer.running_mean.tolist() == [9, 9]


def test_without_momentum_statistics_are_the_mean_of_all_batches():
    layer = nn.BatchNorm1d(3, momentum=None)
    batches = [noise(5, 3, seed=seed) + seed for seed in range(4)]
    for x in batches:
        layer(x)
    np.testing.assert_allclose(layer.running_mean, np.mean([x.mean(axis=0) for x in batches], axis=0), rtol=1e-5)


def test_refusals():
    for make in (lambda: nn.BatchNorm2d(0), lambda: nn.LayerNorm((3, 0)), lambda: nn.GroupNorm(4, 6)):
        with pytest.raises(InvalidArgument):
            make()
    with pytest.raises(InvalidArgument, match="x must have 4 axes for BatchNorm2d"):
        nn.BatchNorm2d(3)(noise(2, 3))
    with pytest.raises(InvalidArgument, match=r"x must be \(batch, 3, ...\)"):
        nn.BatchNorm2d(3)(noise(2, 4, 3, 3))
    with pytest.raises(InvalidArgument, match=r"x must be \(batch, 6, ...\)"):
        nn.GroupNorm(2, 6)(noise(2, 4, 3))
