"""The linear layer: products in float64, whatever the rows; and resampling of axes."""

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType


@pytest.mark.parametrize("rows", [0, 1, 2, 15, 16, 17, 33, 65, 100, 209])
def test_a_row_gives_the_same_bits_among_any_others(rows):
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((240, 70), (45, 70), (45,)))
    whole = sr.linear(x, weight, bias)
    np.testing.assert_array_equal(sr.linear(x[:rows], weight, bias), whole[:rows])
    exact = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    assert np.linalg.norm(whole - exact) < 1e-6 * np.linalg.norm(exact)
    gradients = [sr.vjp(sr.linear, x[:n], weight)[1](whole[:n])[0] for n in (rows, len(x))]
    np.testing.assert_array_equal(gradients[0], gradients[1][:rows])
    exact = whole.astype(np.float64) @ weight
    assert np.linalg.norm(gradients[1] - exact) < 1e-6 * np.linalg.norm(exact)


def test_any_axes_lead():
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((6, 5))
    np.testing.assert_allclose(sr.linear(x, weight), x @ weight.T, rtol=1e-13)
    np.testing.assert_allclose(sr.linear(x[0, 0, 0], weight), weight @ x[0, 0, 0], rtol=1e-13)
    np.testing.assert_allclose(sr.linear(x[..., ::-1, :], weight), x[..., ::-1, :] @ weight.T, rtol=1e-13)
    assert sr.linear(np.arange(3), np.eye(3, dtype=np.int64)).tolist() == [0, 1, 2]


def test_packed_and_explained():
    rng = np.random.default_rng(2)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((9, 20), (30, 20), (30,)))
    np.testing.assert_array_equal(sr.compile(sr.linear, x, weight, bias)(x), sr.linear(x, weight, bias))
    assert sr.explain(sr.linear, x, weight, bias).algorithm == "direct"


def test_refusals_of_linear():
    with pytest.raises(InvalidArgument, match="weight has 4 features"):
        sr.linear(np.ones((2, 3)), np.ones((5, 4)))
    with pytest.raises(InvalidArgument, match=r"needs a weight \(out features, features\)"):
        sr.linear(np.ones((2, 3)), np.ones((5, 3, 1)))


def test_interpolate_by_hand():
    x = np.array([[[[1.0, 3.0], [5.0, 9.0]]]])
    assert sr.interpolate(x, 3, mode="bilinear", align_corners=True).tolist() == [[[[1, 2, 3], [3, 4.5, 6], [5, 7, 9]]]]
    assert sr.interpolate(x, scale_factor=(2, 1)).tolist() == [[[[1, 3], [1, 3], [5, 9], [5, 9]]]]
    assert sr.interpolate(np.arange(6, dtype=np.uint8).reshape(1, 1, 6), 3).dtype == np.uint8
    assert sr.interpolate(np.arange(6).reshape(1, 1, 6), 3, mode="linear").tolist() == [[[0.5, 2.5, 4.5]]]


def test_refusals_of_interpolate():
    x = np.ones((1, 1, 4, 4))
    for words, message in (
        ({}, "either size or scale_factor"),
        ({"size": 3, "scale_factor": 2}, "either size or scale_factor"),
        ({"size": 3, "mode": "bicubic"}, "mode must be one of"),
        ({"size": 3, "mode": "linear"}, "1 spatial axes"),
        ({"size": 3, "align_corners": True}, "align_corners belongs"),
        ({"size": 0}, "at least 1"),
        ({"scale_factor": 0.1}, "cannot make"),
        ({"scale_factor": (1, 2, 3)}, "one number or 2"),
        ({"scale_factor": -1.0}, "above 0"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            sr.interpolate(x, **words)
    with pytest.raises(InvalidType, match="scale_factor must be one number"):
        sr.interpolate(x, scale_factor="2")
