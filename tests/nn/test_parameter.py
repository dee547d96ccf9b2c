"""Parameters are read-only outside, and what was packed of them is never stale."""

import copy
import pickle
import threading

import numpy as np
import pytest

import striderule as sr
from striderule import nn
from striderule.errors import InvalidArgument, InvalidType

X = np.random.default_rng(0).standard_normal((2, 8, 12, 12), dtype=np.float32)


def made():
    layer = nn.Conv2d(8, 16, 3, padding=1, seed=0).eval()
    layer.bias = np.linspace(-1, 1, 16)
    layer(X)
    layer(X)  # packed by now
    return layer


def fresh(layer):
    """Return what the function gives for the weights that the layer shows."""
    return sr.compile(sr.conv2d, X, layer.weight, layer.bias, padding=layer.padding)(X)


def test_values_are_read_only():
    layer = made()
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        layer.weight.setflags(write=True)
    view = layer.weight[1:].reshape(-1)
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.setflags(write=True)
    with pytest.raises(ValueError, match="read-only"):
        np.add(layer.weight, 1, out=layer.weight)
    for value in layer.parameters().values():
        assert not value.flags.writeable


def edited(layer):
    with layer.edit():
        layer.weight[0] *= 3


def drafted(layer):
    with layer.edit():
        layer.weight = layer.weight * 2
        layer.weight[1] = 0


def optimised(layer):
    layer.train()
    layer.backward(np.ones_like(layer(X)))
    for one in layer.all_held().values():
        one.store()[...] -= 0.01 * one.gradient
        one.changed()
    layer.eval()


def bias_exchanged(layer):
    layer.bias = None
    layer.bias = np.arange(16.0)


WAYS = {
    "assigned": lambda layer: setattr(layer, "weight", layer.weight + 1),
    "bias": lambda layer: setattr(layer, "bias", np.ones(16)),
    "no bias": lambda layer: setattr(layer, "bias", None),
    "bias exchanged": bias_exchanged,
    "edited": edited,
    "drafted": drafted,
    "loaded": lambda layer: layer.load_state({"weight": -layer.weight, "bias": layer.bias + 2}),
    "optimised": optimised,
    "other words": lambda layer: setattr(layer, "padding", 2),
    "through a copy": lambda layer: setattr(copy.copy(layer), "weight", layer.weight - 1),
    "through a parent": lambda layer: nn.Sequential(layer).load_state(
        {"0.weight": -layer.weight, "0.bias": layer.bias}
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_packed_is_renewed(way):
    layer = made()
    before = layer(X)
    WAYS[way](layer)
    np.testing.assert_array_equal(layer(X), fresh(layer))
    assert not np.array_equal(before, layer(X))
    np.testing.assert_array_equal(layer(X), fresh(layer))


def test_another_layers_parameters_are_not_mistaken():
    one, other = made(), nn.Conv2d(8, 16, 3, padding=1, seed=1).eval()
    one.held()["weight"], other.held()["weight"] = other.held()["weight"], one.held()["weight"]
    np.testing.assert_array_equal(one(X), fresh(one))


def test_inside_edit_the_draft_counts():
    layer = made()
    with layer.edit():
        layer.weight[...] = 0
        layer.bias[...] = 1
        assert (layer(X) == 1).all()
    assert (layer(X) == 1).all()


def test_an_exception_inside_edit_changes_nothing():
    model = nn.Sequential(made(), nn.PReLU())
    state = {name: value.copy() for name, value in model.state().items()}

    def wrongly():
        with model.edit():
            model[0].weight[...] = 0
            model[1].weight = [7.0]
            raise KeyError

    with pytest.raises(KeyError):
        wrongly()
    for name, value in model.state().items():
        np.testing.assert_array_equal(value, state[name])
    with model.edit():
        model[1].weight[...] = 2
    assert model[1].weight.tolist() == [2]


def test_what_edit_refuses():
    layer = made()
    with layer.edit():
        with pytest.raises(InvalidArgument, match="being edited already"), layer.edit():
            pass
        with pytest.raises(InvalidArgument, match="bias cannot come or go inside edit"):
            layer.bias = None
        with pytest.raises(InvalidArgument, match=r"weight must have the shape \(16, 8, 3, 3\), got \(3,\)"):
            layer.weight = np.ones(3)
        layer.bias[:] = 5
    assert layer.bias.tolist() == [5] * 16


def test_state_is_loaded_whole_or_not_at_all():
    model = nn.Sequential(nn.PReLU(2), nn.PReLU(1))
    for state, error, message in [
        ({"0.weight": np.ones(2)}, InvalidArgument, "missing: 1.weight"),
        ({"0.weight": np.ones(2), "1.weight": np.ones(1), "2.w": 1}, InvalidArgument, "unknown: 2.w"),
        ({"0.weight": np.ones(2), "1.weight": np.ones(3)}, InvalidArgument, r"1.weight has the shape \(3,\)"),
        ({"0.weight": np.ones(2), "1.weight": np.array(["a"])}, InvalidType, "1.weight is <U1"),
        ({"0.weight": np.ones(2), "1.weight": np.ones(1, complex)}, InvalidType, "1.weight is complex128"),
    ]:
        with pytest.raises(error, match=message):
            model.load_state(state)
        assert model[0].weight.tolist() == [0.25, 0.25]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_layers_of_their_own(clone):
    layer = made()
    layer.freeze()
    other = clone(layer)
    np.testing.assert_array_equal(other(X), layer(X))
    assert not other.held()["weight"].trained
    before = layer(X)
    other.weight = other.weight * 0
    other.bias = other.bias * 0
    assert not other(X).any()
    np.testing.assert_array_equal(layer(X), before)
    with pytest.raises(ValueError, match="read-only"):
        other.weight[0] = 1


def test_threads_that_assign_leave_nothing_stale():
    layer = nn.Conv2d(4, 4, 3, seed=0).eval()
    x = X[:, :4]
    values = [np.full((4, 4, 3, 3), number, np.float32) for number in range(6)]

    def change():
        for value in values:
            layer.weight = value
            layer(x)

    threads = [threading.Thread(target=change) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(layer(x), sr.compile(sr.conv2d, x, layer.weight, layer.bias)(x))
