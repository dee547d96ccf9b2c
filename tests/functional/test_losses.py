"""Losses and dropout: what they say of themselves, against formulas in float64."""

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType


def logs(z):
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def test_cross_entropy_of_classes():
    rng = np.random.default_rng(0)
    z, t, weight = rng.standard_normal((4, 5, 3)), rng.integers(0, 5, (4, 3)), rng.random(5)
    t[1, 2] = -1
    one = np.eye(5)[np.where(t < 0, 0, t)].transpose(0, 2, 1) * (t >= 0)[:, None]
    q = one * 0.9 + 0.02 * (t >= 0)[:, None]
    losses = -(q * weight[:, None] * logs(z)).sum(axis=1)
    words = {"ignore_index": -1, "label_smoothing": 0.1}
    np.testing.assert_allclose(sr.cross_entropy(z, t, weight, **words, reduction="none"), losses, rtol=1e-13)
    assert float(sr.cross_entropy(z, t, weight, **words, reduction="sum")) == pytest.approx(losses.sum())
    expected = losses.sum() / (one * weight[:, None]).sum()
    assert float(sr.cross_entropy(z, t, weight, **words)) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_large_logits_overflow_nothing(dtype):
    z = np.array([[1e4, 0, -1e4], [0, 0, 6e4]], dtype)
    y, pullback = sr.vjp(sr.cross_entropy, z, np.array([0, 2]))
    assert y.dtype == dtype
    assert (y.shape, float(y)) == ((), 0)
    np.testing.assert_array_equal(pullback(1.0)[0], np.zeros((2, 3)))


def check(op, operands, place, words, gy=None):
    y, pullback = sr.vjp(op, *operands, **words)
    rng = np.random.default_rng(1)
    gy = rng.standard_normal(y.shape) if gy is None else gy
    gradient, step = pullback(gy)[place], 1e-6
    assert gradient.shape == operands[place].shape
    direction = rng.standard_normal(gradient.shape)
    moved = [list(operands), list(operands)]
    for sign, each in zip((1, -1), moved, strict=True):
        each[place] = operands[place] + sign * step * direction
    expected = (gy * (op(*moved[0], **words) - op(*moved[1], **words))).sum() / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(expected), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_cross_entropy(reduction, smoothing, weighted):
    rng = np.random.default_rng(2)
    z, t, weight = rng.standard_normal((4, 5, 3)), rng.integers(0, 5, (4, 3)), rng.random(5) if weighted else None
    t[0, 0] = -100
    words = {"reduction": reduction, "label_smoothing": smoothing}
    check(sr.cross_entropy, [z, t, weight], 0, words)
    q = rng.random(z.shape)
    for place in (0, 1):
        check(sr.cross_entropy, [z, q, weight], place, words)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(reduction):
    rng = np.random.default_rng(3)
    x, target = rng.standard_normal((2, 3, 4))
    squares = (x - target) ** 2
    expected = squares if reduction == "none" else getattr(squares, reduction)()
    np.testing.assert_allclose(sr.mse_loss(x, target, reduction=reduction), expected, rtol=1e-14)
    for place in (0, 1):
        check(sr.mse_loss, [x, target], place, {"reduction": reduction})


def test_losses_of_nothing_are_as_in_pytorch():
    assert np.isnan(sr.mse_loss(np.zeros((0, 3)), np.zeros((0, 3))))
    z = np.zeros((2, 3))
    y, pullback = sr.vjp(sr.cross_entropy, z, np.array([-100, -100]))
    assert np.isnan(y)
    np.testing.assert_array_equal(pullback(1.0)[0], z)


def test_refusals_of_losses():
    z = np.zeros((2, 3))
    for targets in ([0, 3], [0, -1]):
        with pytest.raises(InvalidArgument, match="classes from 0 to 2"):
            sr.cross_entropy(z, targets)
    with pytest.raises(InvalidArgument, match="targets must have the shape"):
        sr.cross_entropy(z, [0, 1, 2])
    with pytest.raises(InvalidType, match="targets must be integers"):
        sr.cross_entropy(z, [0.0, 1.0])
    with pytest.raises(InvalidArgument, match="weight must be one real number for each of the 3"):
        sr.cross_entropy(z, [0, 1], np.ones(2))
    for words in ({"reduction": "median"}, {"label_smoothing": 1.5}):
        with pytest.raises(InvalidArgument, match=next(iter(words))):
            sr.cross_entropy(z, [0, 1], **words)
    with pytest.raises(InvalidArgument, match="target must have the shape"):
        sr.mse_loss(z, z[0])


@pytest.mark.parametrize("p", [0.5, 0.25, 0.3, 0.001])
def test_dropout_drops_the_share_that_it_says(p):
    x = np.ones((200, 1000), np.float32)
    y, pullback = sr.vjp(sr.dropout, x, p, seed=5)
    dropped = float((y == 0).mean())
    assert abs(dropped - p) < 5 * (p * (1 - p) / x.size) ** 0.5
    np.testing.assert_array_equal(y[y != 0], np.float32(1 / (1 - p)))
    gradient, none = pullback(np.full(x.shape, 3.0))
    assert none is None
    np.testing.assert_array_equal(gradient, 3 * y)


def test_the_mask_of_dropout_belongs_to_the_seed():
    x = np.arange(24.0).reshape(4, 6) + 1
    plain = sr.dropout(x, seed=3)
    np.testing.assert_array_equal(sr.dropout(np.asfortranarray(x), seed=3), plain)
    rng = np.random.default_rng(0)
    assert (sr.dropout(x, seed=rng) != sr.dropout(x, seed=rng)).any()
    out = x.copy()
    assert sr.dropout(out, seed=3, out=out) is out
    np.testing.assert_array_equal(out, plain)


def test_dropout_of_all_and_of_none():
    x = np.array([1.0, np.nan, 3.0])
    np.testing.assert_array_equal(sr.dropout(x, 0.5, False), x)
    np.testing.assert_array_equal(sr.dropout(x, 0), x)
    np.testing.assert_array_equal(sr.dropout(x, 1), [0, np.nan, 0])
    assert not np.may_share_memory(sr.dropout(x, 0), x)
    assert sr.dropout(np.arange(4, dtype=np.int8), 0).dtype == np.float32
    for p, seed, kind in ((1.5, 0, InvalidArgument), (0.5, 0.5, InvalidType), (0.5, -1, InvalidArgument)):
        with pytest.raises(kind):
            sr.dropout(x, p, seed=seed)
