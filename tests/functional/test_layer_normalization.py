"""Layer and group normalisation, and what central differences of one call do not show of the gradients."""

import numpy as np
import pytest

import striderule as sr
from oracles.memories import KINDS, other_memory
from striderule.errors import InvalidArgument, InvalidType


def noise(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def normalized(x, axes, eps=1e-5):
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)


@pytest.mark.parametrize("kind", range(KINDS))
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_layers(kind, dtype):
    x = noise(3, 5, 4, 18) * 3 + 7
    tolerance = {"f2": 4e-3, "f4": 2e-6, "f8": 1e-13}[dtype]
    weight, bias = noise(4, 18), noise(4, 18, seed=1)
    found = sr.layer_norm(other_memory(x.astype(dtype), kind), (4, 18), weight, bias)
    assert found.dtype == dtype
    expected = normalized(x.astype(dtype).astype("f8"), (2, 3)) * weight + bias
    np.testing.assert_allclose(found, expected, atol=10 * tolerance)
    across = sr.layer_norm(other_memory(x.astype(dtype), kind), 5, axis=1)
    np.testing.assert_allclose(across, normalized(x.astype(dtype).astype("f8"), 1), atol=4 * tolerance)


@pytest.mark.parametrize("kind", range(KINDS))
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_groups(kind, groups):
    x = noise(3, 6, 4, 5) + np.arange(6)[:, None, None] * 100
    expected = normalized(x.reshape(3, groups, -1), 2).reshape(x.shape)
    np.testing.assert_allclose(sr.group_norm(other_memory(x, kind), groups), expected, atol=1e-12)


def test_one_value_is_its_own_mean():
    x, weight, bias = np.full((1, 1, 1), 3.0), np.full(1, 2.0), np.full(1, 5.0)
    for name, words in (("layer_norm", (1,)), ("group_norm", (1,))):
        y, pullback = sr.vjp(getattr(sr, name), x, *words, weight, bias)
        assert y.item() == 5
        gx, _, gw, gb = pullback(np.ones_like(x))
        assert (gx.item(), gw.item(), gb.item()) == (0, 0, 1)


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0), (2, 0, 3)])
def test_nothing(shape):
    channels = shape[1]
    numbers = np.ones(channels), np.ones(channels)
    calls = [
        (sr.layer_norm, (shape[2],), {}),
        (sr.layer_norm, (channels, *numbers), {"axis": 1}),
        (sr.batch_norm, (*numbers, *numbers), {}),
        (sr.batch_norm, (None, None, *numbers), {"training": True}),
        (sr.local_response_norm, (2,), {}),
    ]
    if channels:
        calls.append((sr.group_norm, (2, *numbers), {}))
    for op, args, words in calls:
        y, pullback = sr.vjp(op, np.ones(shape), *args, **words)
        assert y.shape == shape
        gx, *others = pullback(y)
        assert gx.shape == shape
        assert all(one is None or not one.any() for one in others)


def test_training_in_float32_keeps_what_is_promised():
    """Far from zero, and of many values: float32 through the fast routines, beside float64."""
    x, weight, gy = noise(8, 20, 33, 31) + 300, noise(20), noise(8, 20, 33, 31, seed=1)
    wide = sr.vjp(sr.batch_norm, x, None, None, weight, None, True)[1](gy)
    narrow = [one.astype("f4") for one in (x, weight, gy)]
    found = sr.vjp(sr.batch_norm, narrow[0], None, None, narrow[1], None, True)[1](narrow[2])
    exact = sr.vjp(sr.batch_norm, *(narrow[0].astype("f8"), None, None, narrow[1].astype("f8"), None, True))[1](
        narrow[2].astype("f8")
    )
    for got, expected, loose in zip(found, exact, wide, strict=True):
        if got is not None:
            assert float(np.abs(got - expected).max()) <= 3e-6 * float(np.abs(expected).max())
            assert float(np.abs(got - loose).max()) <= 1e-3 * float(np.abs(loose).max())


def test_gradients_do_not_depend_on_memory():
    x, gy = noise(3, 6, 7, 5).astype("f4"), noise(3, 6, 7, 5, seed=1).astype("f4")
    calls = [
        (sr.batch_norm, (None, None, noise(6)), {"training": True}), (sr.group_norm, (3, noise(6)), {}),
        (sr.layer_norm, (5, noise(5)), {}), (sr.layer_norm, (6, noise(6)), {"axis": 1}),
        (sr.local_response_norm, (3, 0.1), {}),
    ]  # fmt: skip
    for op, args, words in calls:
        plain = sr.vjp(op, x, *args, **words)[1](gy)
        for kind in range(1, KINDS):
            for moved in ((other_memory(x, kind), gy), (x, other_memory(gy, kind))):
                found = sr.vjp(op, moved[0], *args, **words)[1](moved[1])
                for one, other in zip(plain, found, strict=True):
                    if one is not None:
                        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def test_gradients_have_the_same_bits_for_any_number_of_threads():
    x, gy = noise(4, 40, 30, 31).astype("f4"), noise(4, 40, 30, 31, seed=1).astype("f4")
    before, found = sr.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            sr.set_num_threads(threads)
            found.append([
                *sr.vjp(sr.batch_norm, x, None, None, noise(40), noise(40), True)[1](gy),
                *sr.vjp(sr.layer_norm, x, 40, noise(40), noise(40), axis=1)[1](gy),
                *sr.vjp(sr.layer_norm, x, 31, noise(31), noise(31))[1](gy),
                *sr.vjp(sr.group_norm, x, 4, noise(40), noise(40))[1](gy),
            ])  # fmt: skip
    finally:
        sr.set_num_threads(before)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


def test_the_result_may_be_written_over_the_input():
    for name, args in (("layer_norm", (5, noise(5))), ("group_norm", (2, noise(4))), ("local_response_norm", (3,))):
        x = noise(3, 4, 5)
        expected, pullback = sr.vjp(getattr(sr, name), x.copy(), *args)
        y, over = sr.vjp(getattr(sr, name), x, *args, out=x)
        assert y is x
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(pullback(np.ones(y.shape))[0], over(np.ones(y.shape))[0])


def test_refusals():
    x = noise(2, 4, 3)
    for shape, words in ((4, {}), ((2, 3), {}), ((), {}), (3, {"axis": 1}), (4, {"axis": 3}), ((2, 4, 3, 1), {})):
        with pytest.raises(InvalidArgument, match=r"normalized_shape|axis"):
            sr.layer_norm(x, shape, **words)
    with pytest.raises(InvalidArgument, match=r"weight must have the shape \(3,\), got \(4,\)"):
        sr.layer_norm(x, 3, np.ones(4))
    with pytest.raises(InvalidType, match="bias must hold real"):
        sr.layer_norm(x, 3, None, np.ones(3, complex))
    with pytest.raises(InvalidArgument, match="eps must be at least 0"):
        sr.group_norm(x, 2, eps=-1)
    for groups in (0, 3, 8):
        with pytest.raises(InvalidArgument, match="must divide the 4 channels"):
            sr.group_norm(x, groups)
    with pytest.raises(InvalidArgument, match="group_norm needs an array"):
        sr.group_norm(np.ones(3), 1)
