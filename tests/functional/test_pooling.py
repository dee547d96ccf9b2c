"""Pooling: hand-computed values, both algorithms over drawn parameters, types, memory layouts and refusals."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import striderule as sr
from striderule.algorithms.windows import blocks
from striderule.algorithms.windows import pooling as windows
from striderule.errors import InvalidArgument, InvalidType, StrideruleError

SQUARE = np.zeros((5, 5), int)
SQUARE[1:4, 1:4] = 1


def test_the_deck():
    """Chapter 8: the remainder row and column are dropped, averages of integers are fractions."""
    np.testing.assert_array_equal(sr.max_pool2d(SQUARE, 2), [[1, 1], [1, 1]])
    np.testing.assert_array_equal(sr.avg_pool2d(SQUARE, 2), [[0.25, 0.5], [0.5, 1]])
    assert sr.max_pool2d(SQUARE, 2).dtype == SQUARE.dtype


def test_by_hand():
    x = np.array([1.0, 5, 2, 4, 3])
    np.testing.assert_array_equal(sr.max_pool1d(x, 3, 2, 1), [5, 5, 4])
    np.testing.assert_array_equal(sr.max_pool1d(x, 2, 1, 0, 2), [2, 5, 3])
    np.testing.assert_array_equal(sr.max_pool1d(x, 2, ceil_mode=True), [5, 4, 3])
    np.testing.assert_array_equal(sr.avg_pool1d(x, 3, 2, 1), [2, 11 / 3, 7 / 3])
    np.testing.assert_array_equal(sr.avg_pool1d(x, 3, 2, 1, count_include_pad=False), [3, 11 / 3, 3.5])
    np.testing.assert_array_equal(sr.avg_pool1d(x, 2, ceil_mode=True), [3, 3, 3])
    np.testing.assert_array_equal(sr.avg_pool1d(x, 2, divisor_override=-1), [-6, -6])
    np.testing.assert_array_equal(sr.lp_pool1d([3.0, 4, 0], 2, 2, 1), [5, 4])
    np.testing.assert_array_equal(sr.lp_pool1d([-3.0, 4, 0], np.inf, 2, 1), [4, 4])
    np.testing.assert_array_equal(sr.lp_pool1d([-3.0, 4, 0], -np.inf, 2, 1), [3, 0])
    np.testing.assert_array_equal(sr.adaptive_max_pool1d(x, 2), [5, 4])
    np.testing.assert_allclose(sr.adaptive_avg_pool1d(x, 2), [8 / 3, 3])


def test_sides_and_words_of_padding():
    x = np.array([1.0, 5, 2, 4, 3])
    np.testing.assert_array_equal(sr.max_pool1d(x, 3, 1, ((0, 1),)), [5, 5, 4, 4])
    np.testing.assert_array_equal(sr.max_pool1d(x, 3, 2, "same"), sr.max_pool1d(x, 3, 2, 1))


def test_nan_and_ties():
    values, where = sr.max_pool1d([1.0, np.nan, np.nan, 0, 2, 2], 3, return_indices=True)
    np.testing.assert_array_equal(values, [np.nan, 2])
    np.testing.assert_array_equal(where, [2, 4])
    values, where = sr.max_pool2d(np.full((2, 4), -np.inf), 2, return_indices=True)
    np.testing.assert_array_equal(where, [[0, 2]])


def test_a_window_without_elements():
    values, where = sr.max_pool1d([1.0, 2.0], 2, 2, 1, 3, ceil_mode=True, return_indices=True)
    np.testing.assert_array_equal(values, [-np.inf])
    np.testing.assert_array_equal(where, [-1])
    assert sr.avg_pool1d([1.0, 2.0], 2, 2, 1, True, False, dilation=3).tolist() == [0.0]
    for algorithm in ("windows", "reference"):
        found = sr.max_pool1d(np.array([1, 2], np.uint8), 2, 2, 1, 3, ceil_mode=True, algorithm=algorithm)
        assert found.tolist() == [0]


def draw_input(draw, rank):
    generator = np.random.default_rng(draw.randrange(2**32))
    lead = tuple(draw.randint(0, 2) for _ in range(draw.randint(0, 2)))
    x = generator.integers(-6, 7, (*lead, *(draw.randint(1, 7) for _ in range(rank)))) / 2
    dtype = draw.choice(["int8", "uint16", "int64", "bool", "float16", "float32", "float64"])
    if dtype.startswith("float") and draw.random() < 0.5:
        x[generator.random(x.shape) < 0.15] = np.nan
        x[generator.random(x.shape) < 0.1] = -np.inf
    x = np.abs(x) if dtype == "uint16" else x
    return scrambled(draw, x.astype(dtype))


def scrambled(draw, x):
    """Return the same values in another memory layout: reversed, transposed, strided, foreign byte order, read-only."""
    way = draw.randrange(6)
    if way == 0:
        return x[..., ::-1].copy()[..., ::-1]
    if way == 1:
        return np.asfortranarray(x)
    if way == 2:
        wide = np.zeros((*x.shape, 2), x.dtype)
        wide[..., 0] = x
        return wide[..., 0]
    if way == 3:
        return x.astype(x.dtype.newbyteorder())
    if way == 4:
        x.setflags(write=False)
    return x


def per_axis(draw, rank, low, high):
    return draw.randint(low, high) if draw.random() < 0.3 else tuple(draw.randint(low, high) for _ in range(rank))


def both(function, *arguments, algorithms=("windows", None), **words):
    """Return what NumPy, the algorithm chosen and the loops give, or None where they refuse (all must)."""
    try:
        expected = function(*arguments, **words, algorithm="reference")
    except StrideruleError as error:
        for algorithm in algorithms:
            with pytest.raises(type(error)):
                function(*arguments, **words, algorithm=algorithm)
        return None
    return *(function(*arguments, **words, algorithm=algorithm) for algorithm in algorithms), expected


def assert_same(answers, **tolerance):
    if answers is None:
        return 0
    *found, expected = answers
    pairs = [
        pair
        for each in found
        for pair in (zip(each, expected, strict=True) if isinstance(expected, tuple) else [(each, expected)])
    ]
    for mine, other in pairs:
        assert mine.dtype == other.dtype
        if tolerance:
            np.testing.assert_allclose(mine, other, **tolerance)
        else:
            np.testing.assert_array_equal(mine, other)
    return 1


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("piece", [4, 40, windows.PIECE_ELEMENTS])
def test_algorithms_agree_on_window_pooling(rank, piece, monkeypatch):
    """Pieces are NumPy's alone; what is chosen is generated code, in many forms, of which a few are compared once.

    ``tests/algorithms/test_pooling.py`` compares more of them on every target.
    """
    usual = piece == windows.PIECE_ELEMENTS
    monkeypatch.setattr(windows, "PIECE_ELEMENTS", piece)
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 3 * piece)
    draw = random.Random(100 * rank + piece)
    compared = 0
    for turn in range(40):
        algorithms = ("windows", None) if usual and turn % 4 == 1 else ("windows",)
        x = draw_input(draw, rank)
        kernel = tuple(draw.randint(1, 5) for _ in range(rank))
        stride = per_axis(draw, rank, 1, 4)
        padding = tuple((draw.randint(0, k // 2), draw.randint(0, k // 2)) for k in kernel)
        dilation, ceil_mode = draw.choice([1, 1, per_axis(draw, rank, 1, 3)]), draw.random() < 0.7
        words = {"ceil_mode": ceil_mode, "return_indices": draw.random() < 0.7}
        largest = getattr(sr, f"max_pool{rank}d")
        compared += assert_same(both(largest, x, kernel, stride, padding, dilation, **words, algorithms=algorithms))
        words = {"count_include_pad": draw.random() < 0.5, "divisor_override": draw.choice([None, 3])}
        average = getattr(sr, f"avg_pool{rank}d")
        tolerance = {"rtol": 1e-3 if x.dtype == np.float16 else 1e-6, "atol": 1e-6}
        words |= {"dilation": dilation, "algorithms": algorithms}
        answers = both(average, x, kernel, stride, padding, ceil_mode, **words)
        compared += assert_same(answers, **tolerance)
    assert compared > 25


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_algorithms_agree_on_the_others(rank):
    draw = random.Random(rank)
    compared = 0
    for turn in range(60):
        # What is chosen is generated code, in as many forms as there are types; NumPy's is the same for all.
        given = {"algorithms": ("windows",) if turn % 6 else ("windows", None)}
        x = draw_input(draw, rank)
        size, kernel = per_axis(draw, rank, 0, 8), per_axis(draw, rank, 1, 3)
        tolerance = {"rtol": 1e-3 if x.dtype == np.float16 else 1e-6, "atol": 1e-6}
        answers = both(getattr(sr, f"adaptive_max_pool{rank}d"), x, size, return_indices=draw.random() < 0.5, **given)
        compared += assert_same(answers)
        compared += assert_same(both(getattr(sr, f"adaptive_avg_pool{rank}d"), x, size, **given), **tolerance)
        words = {"seed": draw.randrange(99), "return_indices": True, **given}
        compared += assert_same(both(getattr(sr, f"fractional_max_pool{rank}d"), x, kernel, size, **words))
        norm = draw.choice([1, 2, 3, 0.5, -1, np.inf, -np.inf])
        positive = np.where(np.isfinite(x), np.abs(x), 1).astype(np.float32) + np.float32(0.25)
        compared += assert_same(both(getattr(sr, f"lp_pool{rank}d"), positive, norm, kernel, **given), rtol=1e-5)
    assert compared > 120


def test_lp_of_what_has_no_root():
    for algorithm in ("windows", "reference"):
        found = sr.lp_pool1d([-1.0, -1.0, 0.0, 0.0, np.nan, 1.0], 3, 2, algorithm=algorithm)
        np.testing.assert_array_equal(found, [np.nan, 0, np.nan])
        np.testing.assert_array_equal(sr.lp_pool1d([0.0, 1.0], -1, 2, algorithm=algorithm), [0])
        np.testing.assert_array_equal(sr.lp_pool1d([1e200, 1.0], 2, 2, algorithm=algorithm), [np.inf])
        np.testing.assert_array_equal(sr.lp_pool1d([-1e200, 0.0], 3, 2, algorithm=algorithm)[0] < 0, [False])
        np.testing.assert_array_equal(sr.lp_pool1d([np.nan, 1.0], np.inf, 2, algorithm=algorithm), [np.nan])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_undoes_pooling(rank):
    draw = random.Random(rank)
    pool, unpool = getattr(sr, f"max_pool{rank}d"), getattr(sr, f"max_unpool{rank}d")
    for _ in range(40):
        generator = np.random.default_rng(draw.randrange(2**32))
        x = generator.permutation(np.arange(1.0, 2 * 3 * 6**rank + 1)).reshape(2, 3, *(6,) * rank)
        kernel = draw.randint(1, 3)
        values, where = pool(x, kernel, return_indices=True)
        answers = both(unpool, values, where, kernel, output_size=x.shape)
        assert_same(answers)
        full = answers[0]
        assert full.shape == x.shape
        assert np.isin(full[full != 0], values).all()
        np.testing.assert_array_equal(full[full != 0], x[full != 0])
        assert (full != 0).sum() == values.size


def test_of_several_values_for_one_place_the_last_stays():
    for algorithm in ("windows", "reference"):
        found = sr.max_unpool1d([[1.0, 2.0]], np.array([[3, 3]], np.uint8), 2, algorithm=algorithm)
        np.testing.assert_array_equal(found, [[0, 0, 0, 2]])
    assert sr.max_unpool1d(np.array([1 + 2j]), [1], 2).dtype == np.complex128


@pytest.mark.parametrize("name", ["max_pool", "avg_pool", "lp_pool", "adaptive_avg_pool", "adaptive_max_pool"])
def test_axes_come_back_as_they_went_in(name):
    x = np.random.default_rng(0).random((2, 3, 6, 6))
    function = getattr(sr, f"{name}2d")
    arguments = (2, 2) if name == "lp_pool" else (2,)
    full = function(x, *arguments)
    np.testing.assert_array_equal(function(x[0], *arguments), full[0])
    np.testing.assert_array_equal(function(x[0, 0], *arguments), full[0, 0])
    words = {"output_size": 2} if "adaptive" in name else {"kernel_size": 2}
    words |= {"norm_type": 2} if name == "lp_pool" else {}
    np.testing.assert_array_equal(function(input=x[0, 0], **words), full[0, 0])


def test_types():
    for dtype in ("bool", "int8", "uint64", "float16", "float64"):
        assert sr.max_pool2d(np.ones((4, 4), dtype), 2).dtype == dtype
    for dtype, expected in (("bool", "f4"), ("int16", "f4"), ("int32", "f8"), ("float16", "f2"), ("complex64", "c8")):
        assert sr.avg_pool2d(np.ones((4, 4), dtype), 2).dtype == expected
        assert sr.adaptive_avg_pool2d(np.ones((4, 4), dtype), 2).dtype == expected
    rounded = sr.avg_pool1d(np.array([0, 1, 1, 2, 250, 255], np.uint8), 2, dtype=np.uint8)
    np.testing.assert_array_equal(rounded, np.array([0, 2, 252], np.uint8))
    assert sr.avg_pool1d([1.0, 2.0], 2, dtype="float32").dtype == np.float32
    big = np.array([2**24 + 1, 2**24 + 1], np.float64)
    assert sr.avg_pool1d(big.astype(np.int32), 2).tolist() == [2**24 + 1]


def test_float32_sums_are_formed_in_float64():
    x = np.full(10**6, 0.1, np.float32)
    assert sr.avg_pool1d(x, 10**6)[0] == np.float32(0.1)
    assert sr.adaptive_avg_pool1d(x, 1)[0] == np.float32(0.1)
    y = np.array([1e8, 1, -1e8, 1] * 2, np.float32)
    np.testing.assert_array_equal(sr.avg_pool1d(y, 4), [0.5, 0.5])


def test_zero_batch_and_zero_channels():
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4)):
        x = np.ones(shape, np.float32)
        assert sr.max_pool2d(x, 2).shape == (*shape[:2], 2, 2)
        assert sr.avg_pool2d(x, 2).shape == (*shape[:2], 2, 2)
        assert sr.adaptive_max_pool2d(x, 3, return_indices=True)[1].shape == (*shape[:2], 3, 3)
        assert sr.fractional_max_pool2d(x, 2, 2).shape == (*shape[:2], 2, 2)
        assert sr.max_unpool2d(x, np.zeros(shape, int), 2).shape == (*shape[:2], 8, 8)
    assert sr.adaptive_avg_pool2d(np.ones((4, 4)), 0).shape == (0, 0)


def test_out():
    x = np.arange(16.0).reshape(4, 4)
    out = np.empty((2, 2))
    assert sr.max_pool2d(x, 2, out=out) is out
    np.testing.assert_array_equal(out, [[5, 7], [13, 15]])
    places = np.empty((2, 2), np.int64)
    sr.max_pool2d(x, 2, return_indices=True, out=(out, places))
    np.testing.assert_array_equal(places, [[5, 7], [13, 15]])
    assert sr.avg_pool2d(x, 2, out=out) is out
    assert sr.max_unpool2d([[1.0]], [[0]], 2, out=out).sum() == 1


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda x: np.empty((3, 3)), "must have the shape of the result"),
        (lambda x: np.empty((2, 2), np.float32), "must have the type of the result"),
        (lambda x: x[:2, :2], "overlaps an input"),
    ],
)
def test_out_that_does_not_fit(out, message):
    x = np.arange(16.0).reshape(4, 4)
    for function in (sr.max_pool2d, sr.avg_pool2d):
        with pytest.raises(InvalidArgument, match=message):
            function(x, 2, out=out(x))


def test_pairs_of_out():
    x = np.arange(4.0)
    with pytest.raises(InvalidType, match="out must be a pair"):
        sr.max_pool1d(x, 2, return_indices=True, out=np.empty(2))
    memory = np.empty(2)
    with pytest.raises(InvalidArgument, match="same memory for values and indices"):
        sr.max_pool1d(x, 2, return_indices=True, out=(memory, memory.view(np.int64)))


def test_fractional_samples():
    x = np.arange(30.0).reshape(1, 1, 5, 6)
    assert (sr.fractional_max_pool2d(x, 2, 3, seed=1) == sr.fractional_max_pool2d(x, 2, 3, seed=1)).all()
    samples = np.full((3, 1, 2), 0.25)  # more images than needed are fine, as in PyTorch
    assert sr.fractional_max_pool2d(x, 2, 3, _random_samples=samples).shape == (1, 1, 3, 3)
    for arguments, message in (
        ({"_random_samples": samples, "seed": 1}, "both say how to draw"),
        ({"_random_samples": samples[..., :1]}, "must have the shape"),
        ({"_random_samples": samples + 1}, "real numbers from 0 to 1"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            sr.fractional_max_pool2d(x, 2, 3, **arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sr.max_pool2d(np.ones(4), 2), "needs an array of 4 axes .*got 1"),
        (lambda: sr.max_pool1d(np.ones((1, 1, 1, 4)), 2), "needs an array of 3 axes .*got 4"),
        (lambda: sr.max_pool2d(np.ones((4, 4)), 2, padding=2), "at most half the kernel size"),
        (lambda: sr.max_unpool1d([1.0, 2.0], [0, 9], 2), "indices must lie in 0 to 3.*got 9"),
        (lambda: sr.max_unpool1d([1.0, 2.0], [0, -1], 2), "indices must lie in 0 to 3.*got -1"),
        (lambda: sr.max_unpool1d([1.0, 2.0], [0], 2), "indices must have the shape of x"),
        (lambda: sr.max_unpool1d([1.0], [0], 2, padding=1), "no positions"),
        (lambda: sr.max_pool1d([1.0], 1, algorithm="fast"), "algorithm must be None or one of"),
        (lambda: sr.avg_pool1d(np.ones(2, complex), 2, dtype=float), "lose the imaginary part"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_refused_kinds():
    with pytest.raises(InvalidType, match="complex numbers is not defined"):
        sr.max_pool1d(np.ones(3, complex), 2)
    with pytest.raises(InvalidType, match="indices must be integers"):
        sr.max_unpool1d([1.0], [0.0], 2)
    with pytest.raises(InvalidType, match="return_indices must be True or False"):
        sr.max_pool1d([1.0], 1, return_indices=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_pooling_is_what_slices_give(values, kernel, stride, ceil_mode):
    """Without padding, output j is taken over values[j * stride : j * stride + kernel]."""
    x = np.array(values)
    try:
        found = sr.max_pool1d(x, kernel, stride, ceil_mode=ceil_mode)
    except InvalidArgument:
        assert len(values) < kernel
        return
    expected = [max(values[j * stride : j * stride + kernel]) for j in range(len(found))]
    assert found.tolist() == expected
    average = sr.avg_pool1d(x, kernel, stride, ceil_mode=ceil_mode)
    means = [np.mean(values[j * stride : j * stride + kernel]) for j in range(len(found))]
    np.testing.assert_allclose(average, means)
