"""Normalisations: hand-computed values, running statistics, both algorithms and refusals."""

import random

import numpy as np
import pytest

import striderule as sr
from striderule.algorithms.windows import blocks, normalization
from striderule.errors import InvalidArgument, InvalidType


def test_batch_norm_by_hand():
    x = np.array([[1.0, 10], [3, 30]])
    mean, var = np.zeros(2), np.ones(2)
    found = sr.batch_norm(x, mean, var, [1, 2], [0, 1], training=True, momentum=0.5, eps=3.0)
    np.testing.assert_allclose(found, [[-0.5, 1 - 20 / np.sqrt(103)], [0.5, 1 + 20 / np.sqrt(103)]])
    np.testing.assert_allclose(mean, [1, 10])
    np.testing.assert_allclose(var, [1.5, 100.5])  # half of 1 and half of the variance by n - 1: 2 and 200
    np.testing.assert_allclose(sr.batch_norm([[5.0]], [1.0], [4.0], eps=0), [[2]])


def test_local_response_norm_by_hand():
    x = np.array([[[1.0], [2], [3]]])
    for algorithm in ("windows", "reference"):
        found = sr.local_response_norm(x, 2, alpha=2.0, beta=1.0, k=1.0, algorithm=algorithm)
        np.testing.assert_allclose(found, [[[1 / 2], [2 / 6], [3 / 14]]])
        wide = sr.local_response_norm(x, 9, alpha=9.0, beta=1.0, k=1.0, algorithm=algorithm)
        np.testing.assert_allclose(wide, x / 15)


@pytest.mark.parametrize("block", [4, blocks.BLOCK_ELEMENTS])
def test_algorithms_agree(block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", block)
    monkeypatch.setattr(normalization, "BLOCK_ELEMENTS", block)
    draw = random.Random(block)
    for _ in range(80):
        generator = np.random.default_rng(draw.randrange(2**32))
        dtype = draw.choice(["float16", "float32", "float64", "int8", "int64", "bool"])
        shape = (draw.randint(2, 4), *(draw.randint(1, 4) for _ in range(draw.randint(1, 4))))
        x = generator.normal(1, 3, shape).astype(dtype)[::-1]
        channels = shape[1]
        tolerance = {"rtol": 2e-3, "atol": 2e-3} if dtype == "float16" else {"rtol": 1e-5, "atol": 1e-6}
        words = {"training": draw.random() < 0.5, "eps": 0.1}
        statistics = [
            (generator.normal(size=channels).astype("f4"), generator.uniform(0.5, 2, channels)) for _ in range(1)
        ] * 2
        copies = [[array.copy() for array in pair] for pair in statistics]
        found, expected = (
            sr.batch_norm(x, *pair, **words, algorithm=algorithm)
            for pair, algorithm in zip(copies, ("windows", "reference"), strict=True)
        )
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, **tolerance)
        for one, other in zip(*copies, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
        if len(shape) > 2:
            arguments = (draw.randint(1, 6), draw.uniform(0, 1), draw.uniform(-1, 1), draw.uniform(0.5, 2))
            found, expected = (
                sr.local_response_norm(x, *arguments, algorithm=algorithm) for algorithm in ("windows", "reference")
            )
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, **tolerance)


def test_what_has_no_quotient():
    for algorithm in ("windows", "reference"):
        x = np.array([[[0.0], [2.0]]])
        found = sr.local_response_norm(x, 1, alpha=0.0, beta=1.0, k=0.0, algorithm=algorithm)
        np.testing.assert_array_equal(found, [[[np.nan], [np.inf]]])
        np.testing.assert_array_equal(
            sr.local_response_norm(x, 1, alpha=0.0, beta=0.5, k=-1.0, algorithm=algorithm), [[[np.nan], [np.nan]]]
        )
        np.testing.assert_array_equal(
            sr.local_response_norm(x, 1, alpha=0.0, beta=-1.0, k=0.0, algorithm=algorithm)[0, 0], [0]
        )


def test_types_and_out():
    x = np.ones((2, 3, 4), np.float32)
    assert sr.batch_norm(x, np.zeros(3), np.ones(3)).dtype == np.float32
    assert sr.batch_norm(x, np.zeros(3), np.ones(3), out=x) is x
    assert sr.local_response_norm(x, 3, out=x) is x
    half = np.ones((2, 3), np.float16)
    assert sr.batch_norm(half, None, None, training=True).dtype == np.float16


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "mixed"])
def test_later_calls_do_what_the_first_did(kind):
    """Statistics of every type, new ones in each call; parameters that are there or not; out, and x itself."""
    rng = np.random.default_rng(3)
    for shape in ((3, 4), (2, 4, 5), (2, 4, 3, 7)):
        for training in (False, True):
            for _ in range(3):
                x = rng.normal(size=shape).astype("f4")
                mean, var, weight, bias = rng.uniform(0.5, 2, (4, 4)).astype("f4" if kind == "mixed" else kind)
                mean = mean.astype("f8") if kind == "mixed" else mean
                for words in ({}, {"weight": weight}, {"weight": weight, "bias": bias}):
                    found, expected = [mean.copy(), var.copy()], [mean.copy(), var.copy()]
                    out = x.copy()
                    assert sr.batch_norm(out, *found, **words, training=training, out=out) is out
                    wanted = sr.batch_norm(x, *expected, **words, training=training, algorithm="reference")
                    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)
                    for one, other in zip(found, expected, strict=True):
                        np.testing.assert_allclose(one, other, rtol=1e-3 if kind == "f2" else 1e-6)
                with pytest.raises(InvalidArgument, match="out overlaps an input"):
                    sr.batch_norm(x, mean, var, training=training, out=x[..., ::-1])


def test_later_calls_are_checked_for_overlap():
    """Arrays like those of an earlier call, but over one another: refused as they were the first time."""
    room = np.zeros(4 * 6 * 7 + 8 + 4 * 4 * 5, np.float32)
    x, out = room[: 4 * 4 * 5].reshape(1, 4, 4, 5), np.zeros((1, 4, 6, 7), np.float32)
    sr.pad(x, 1, out=out)
    with pytest.raises(InvalidArgument, match="out overlaps an input"):
        sr.pad(x, 1, out=room[8 : 8 + out.size].reshape(out.shape))
    closed = np.zeros_like(out)
    closed.flags.writeable = False
    with pytest.raises(InvalidArgument, match="read-only"):
        sr.pad(x, 1, out=closed)
    mean, var = np.zeros(4, np.float32), np.ones(4, np.float32)
    same = np.zeros_like(x)
    sr.batch_norm(x, mean, var, out=same)
    with pytest.raises(InvalidArgument, match="out overlaps an input"):
        sr.batch_norm(x, same.ravel()[4:8], var, out=same)


def test_empty_batch_leaves_the_statistics_alone():
    mean, var = np.zeros(3), np.ones(3)
    assert sr.batch_norm(np.ones((0, 3, 2)), mean, var, training=True).shape == (0, 3, 2)
    assert (mean == 0).all()
    assert (var == 1).all()
    assert sr.local_response_norm(np.ones((0, 3, 2)), 2).shape == (0, 3, 2)
    assert sr.batch_norm(np.ones((2, 0, 2)), np.ones(0), np.ones(0)).shape == (2, 0, 2)


def read_only():
    array = np.zeros(3)
    array.setflags(write=False)
    return array


BATCH = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sr.batch_norm(np.ones(3), None, None, training=True), "needs an array \\(batch, channels"),
        (lambda: sr.batch_norm(BATCH, None, None), "must be given; or pass training=True"),
        (lambda: sr.batch_norm(BATCH, np.ones(3), None), "both be given or both be None"),
        (lambda: sr.batch_norm(BATCH, np.ones(2), np.ones(3)), "running_mean must have one value for each of the 3"),
        (lambda: sr.batch_norm(BATCH, np.ones(3), np.ones(3), [1]), "weight must have one value for each"),
        (lambda: sr.batch_norm(BATCH, np.ones(3), np.ones(3), None, [1]), "bias must have one value for each"),
        (lambda: sr.batch_norm(BATCH, np.ones(3), np.ones(3), eps=-1), "eps must be at least 0, got -1"),
        (lambda: sr.batch_norm(BATCH, None, None, training=True, eps=0), "eps must be above 0 in training"),
        (lambda: sr.batch_norm(BATCH[:1], None, None, training=True), "more than one value per channel"),
        (lambda: sr.batch_norm(BATCH, read_only(), np.ones(3), training=True), "read-only; pass running_mean.copy"),
        (lambda: sr.batch_norm(BATCH, *[np.ones(3)] * 2, training=True), "must not share memory"),
        (lambda: sr.local_response_norm(BATCH, 2), "at least 3 axes"),
        (lambda: sr.local_response_norm(BATCH[None], 0), "size must be at least 1, got 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sr.batch_norm(BATCH * 1j, np.ones(3), np.ones(3)), "complex numbers is not defined"),
        (lambda: sr.batch_norm(BATCH, np.ones(3) * 1j, np.ones(3)), "running_mean must hold real numbers"),
        (lambda: sr.batch_norm(BATCH, [0.0] * 3, np.ones(3), training=True), "must be a NumPy array of floats"),
        (lambda: sr.batch_norm(BATCH, np.ones(3, int), np.ones(3), training=True), "must be a NumPy array of floats"),
        (lambda: sr.batch_norm(BATCH, np.ones(3), np.ones(3), momentum=None), "momentum must be a number"),
        (lambda: sr.local_response_norm(BATCH[None], 2.0), "size must be an integer"),
    ],
)
def test_refused_kinds(call, message):
    with pytest.raises(InvalidType, match=message):
        call()
