"""Pullbacks that are bound to the first gradient serve others too: any order, any alignment, any number of times."""

import numpy as np
import pytest

import striderule as sr
from striderule.functional.gradients.again import again
from striderule.functional.gradients.vjp import differentiated, signature_of

RANDOM = np.random.default_rng(6)
X = RANDOM.standard_normal((2, 3, 6, 8)).astype(np.float32)
VALUES, PLACES = sr.max_pool2d(X, 2, return_indices=True)
CALLS = {
    "relu": (sr.relu, (X,)),
    "gelu": (sr.gelu, (X,)),
    "turned": (sr.tanh, (X.transpose(0, 2, 3, 1),)),
    "prelu": (sr.prelu, (X, X[0, :, 0, 0])),
    "one slope": (sr.prelu, (X, X[0, 0, 0, :1])),
    "softmax": (sr.softmax, (X, 1)),
    "log_softmax": (sr.log_softmax, (X, -1)),
    "max_pool2d": (sr.max_pool2d, (X, 3, 2, 1)),
    "one image": (sr.max_pool2d, (X[0], 2)),
    "one plane": (sr.avg_pool2d, (X[0, 0], 2)),
    "avg_pool2d": (sr.avg_pool2d, (X, 3, 1, 1)),
    "max_unpool2d": (sr.max_unpool2d, (VALUES, PLACES, 2)),
    "channels last": (sr.max_pool2d, (np.moveaxis(X, -1, 1), 2)),
    "batch_norm": (sr.batch_norm, (X, *(abs(X[0, :, 0, i]) for i in range(4)))),
    "batch_norm in training": (sr.batch_norm, (X, None, None, X[0, :, 0, 0], X[0, :, 0, 1], True)),
    "group_norm": (sr.group_norm, (X, 3, X[0, :, 0, 0], X[0, :, 0, 1])),
    "layer_norm": (sr.layer_norm, (X, (8,), X[0, 0, 0], X[0, 0, 1])),
    "layer_norm across": (sr.layer_norm, (X[:, :, 0, 0], (3,))),
}


def standing(gy):
    """Give the same gradient in other places of memory."""
    yield gy
    yield gy.copy()
    yield np.ascontiguousarray(gy.T).T
    yield np.repeat(gy, 2, -1)[..., ::2]
    room = np.empty(gy.nbytes + 1, np.uint8)[1:].view(gy.dtype).reshape(gy.shape)
    room[...] = gy
    yield room
    yield np.flip(np.flip(gy, 0).copy(), 0)
    yield gy


@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_those_of_a_new_pullback_however_they_stand(name):
    function, arguments = CALLS[name]
    y, pullback = sr.vjp(function, *arguments)
    gy = np.random.default_rng(2).standard_normal(y.shape).astype(y.dtype)
    expected = [one for one in pullback(gy) if one is not None]
    kept = [one.copy() for one in expected]
    for place in standing(gy):
        found = [one for one in pullback(place) if one is not None]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
            assert not np.may_share_memory(one, place)
            assert not np.may_share_memory(one, other)
    twice = [one for one in pullback(2 * gy) if one is not None]
    for one, other, same in zip(twice, expected, kept, strict=True):
        np.testing.assert_allclose(one, 2 * other, rtol=1e-5, atol=2e-5)
        np.testing.assert_array_equal(other, same)  # what was given before is left alone


@pytest.mark.parametrize("name", [name for name in CALLS if name != "turned"])
def test_rules_take_gradients_of_other_types(name):
    """What layers are given is not looked at before."""
    function, arguments = CALLS[name]
    words = dict(zip(signature_of(function).parameters, arguments, strict=False))
    y, pull = differentiated(function, words, frozenset({"x"}))
    gy = np.random.default_rng(2).standard_normal(y.shape)
    expected = pull(gy.astype(np.float32))["x"]
    np.testing.assert_allclose(pull(gy)["x"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(pull(gy.astype(np.float32))["x"], expected)


def test_what_is_not_bound_is_computed_each_time():
    assert again(None, len) is len
    asked = []
    pull = again(lambda gy: asked.append(gy.shape), lambda gy: {"x": gy + 1})
    for _ in range(3):
        assert pull(np.zeros(2))["x"].tolist() == [1, 1]
    pull(np.zeros(3))
    assert asked == [(2,), (3,)]
