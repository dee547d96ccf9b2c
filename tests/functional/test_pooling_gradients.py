"""What `vjp` promises of poolings: axes, types, order of memory, indices, and where results are written."""

import numpy as np
import pytest

import striderule as sr
from oracles.memories import KINDS, other_memory


def test_the_deck_example():
    x = np.array([[1.0, 5.0, 2.0, 0.0], [4.0, 3.0, 2.0, 7.0]])
    y, pullback = sr.vjp(sr.max_pool2d, x, 2)
    assert y.tolist() == [[5, 7]]
    assert pullback([[10.0, 20.0]])[0].tolist() == [[0, 10, 0, 0], [0, 0, 0, 20]]
    assert sr.vjp(sr.avg_pool2d, x, 2)[1]([[4.0, 8.0]])[0].tolist() == [[1, 1, 2, 2]] * 2


def test_equal_values_belong_to_the_first():
    for op in (sr.max_pool1d, sr.adaptive_max_pool1d):
        assert sr.vjp(op, [3.0, 3.0, 3.0, 3.0], 2)[1]([1.0, 2.0])[0].tolist() == [1, 0, 2, 0]


def test_with_indices_the_gradient_belongs_to_the_values():
    (values, places), pullback = sr.vjp(sr.max_pool1d, [1.0, 2.0, 4.0, 3.0], 2, return_indices=True)
    assert values.tolist() == [2, 4]
    assert places.tolist() == [1, 2]
    assert pullback([1.0, 2.0])[0].tolist() == [0, 1, 2, 0]


CALLS = {
    "max_pool2d": (3, 2, 1), "avg_pool2d": (2,), "adaptive_avg_pool2d": (1,), "adaptive_max_pool2d": (3,),
    "lp_pool2d": (2, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", range(KINDS))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_any_memory_and_type(name, kind, dtype):
    rng = np.random.default_rng(kind)
    x = rng.standard_normal((2, 5, 7, 9)).astype(dtype)
    y, pullback = sr.vjp(getattr(sr, name), other_memory(x, kind), *CALLS[name])
    gy = rng.standard_normal(y.shape).astype(dtype)
    got = pullback(other_memory(gy, (kind + 1) % KINDS))[0]
    # From the same x and y in float64.
    wide = sr.vjp(getattr(sr, name), x.astype(np.float64), *CALLS[name])[1](gy.astype(np.float64))[0]
    assert got.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got, wide, rtol=12 * eps, atol=4 * eps)


@pytest.mark.parametrize("name", CALLS)
def test_gradients_have_the_order_of_x(name):
    x = np.moveaxis(np.random.default_rng(0).standard_normal((2, 7, 9, 5)), -1, 1)
    y, pullback = sr.vjp(getattr(sr, name), x, *CALLS[name])
    assert pullback(y)[0].strides == x.strides


def test_missing_axes():
    x = np.random.default_rng(1).standard_normal((3, 4, 8, 9))
    whole = sr.vjp(sr.max_pool2d, x, 3)[1](np.ones((3, 4, 2, 3)))[0]
    np.testing.assert_array_equal(sr.vjp(sr.max_pool2d, x[1], 3)[1](np.ones((4, 2, 3)))[0], whole[1])
    np.testing.assert_array_equal(sr.vjp(sr.max_pool2d, x[1, 2], 3)[1](np.ones((2, 3)))[0], whole[1, 2])


def test_results_may_be_written_to_an_array():
    x = np.array([3.0, -1.0, 2.0])
    for op, words in ((sr.max_pool1d, (1,)), (sr.avg_pool1d, (1,)), (sr.lp_pool1d, (2, 1))):
        given = x.copy()
        y, pullback = sr.vjp(op, given, *words, out=np.empty(3))
        assert y.tolist() == (np.abs(x) if op is sr.lp_pool1d else x).tolist()
        np.testing.assert_allclose(pullback(np.ones(3))[0], np.sign(x) if op is sr.lp_pool1d else np.ones(3))


@pytest.mark.parametrize(("norm", "expected"), [(np.inf, [0, -1, 0]), (-np.inf, [0, 0, 1])])
def test_infinite_norms_belong_to_the_furthest_and_the_nearest(norm, expected):
    assert sr.vjp(sr.lp_pool1d, [2.0, -3.0, 1.0], norm, 3)[1]([1.0])[0].tolist() == expected


def test_norms_of_nothing_but_zeros_have_no_gradient():
    for norm in (1, 2, 3.0):
        assert sr.vjp(sr.lp_pool1d, np.zeros(4), norm, 2)[1](np.ones(2))[0].tolist() == [0] * 4
