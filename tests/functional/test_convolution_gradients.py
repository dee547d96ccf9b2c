"""`conv_input_grad` and `conv_weight_grad`: what `vjp` of `conv` pulls back, and what they refuse."""

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.gradients.convolution import input_gradient
from striderule.functional.gradients.ways import input_way
from striderule.geometry.problem import Convolution

LAYERS = [
    ((2, 4, 9), (6, 2, 3), {"groups": 2, "stride": 2, "padding": "same"}),
    ((2, 3, 7, 6), (4, 3, 3, 2), {"padding": ((1, 2), (0, 1)), "boundary": ("mirror", "wrap")}),
    ((3, 7, 6), (4, 3, 3, 2), {"dilation": 2, "padding": "full", "stride": (2, 1)}),
    ((7, 6), (3, 3), {"padding": 1}),
    ((5, 4, 6, 2), (3, 2, 2, 2, 3), {"layout": "NDHWC"}),
]


@pytest.mark.parametrize(("size", "kernel", "words"), LAYERS, ids=str)
def test_they_are_what_vjp_pulls_back(size, kernel, words):
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(size), rng.standard_normal(kernel)
    y, pullback = sr.vjp(sr.conv, x, weight, **words)
    gy = rng.standard_normal(y.shape)
    gx, gw = pullback(gy)
    np.testing.assert_array_equal(sr.conv_input_grad(size, weight, gy, **words), gx)
    np.testing.assert_array_equal(sr.conv_weight_grad(x, kernel, gy, **words), gw)


def test_each_is_the_transpose_of_the_convolution():
    rng = np.random.default_rng(1)
    words = {"stride": 2, "padding": 1, "dilation": (1, 2)}
    x, weight = rng.standard_normal((2, 3, 8, 9)), rng.standard_normal((4, 3, 3, 2))
    y = sr.conv(x, weight, **words)
    gy = rng.standard_normal(y.shape)
    product = float((gy * y).sum())
    gx = sr.conv_input_grad(x.shape, weight, gy, 2, 1, (1, 2))
    gw = sr.conv_weight_grad(x, weight.shape, gy, 2, 1, (1, 2))
    assert float((gx * x).sum()) == pytest.approx(product)
    assert float((gw * weight).sum()) == pytest.approx(product)


def test_types_and_the_fill_value():
    x, gy = np.ones((1, 1, 4), np.float16), np.ones((1, 1, 6), np.float16)
    assert sr.conv_input_grad((1, 1, 4), np.ones((1, 1, 1), np.float16), gy[..., :4]).dtype == np.float16
    found = sr.conv_weight_grad(x, (1, 1, 1), gy, padding=1, fill=10)
    assert found.dtype == np.float16
    assert found.tolist() == [[[24]]]
    assert sr.conv_weight_grad(input=x, weight_size=(1, 1, 1), grad_output=gy, padding=1).tolist() == [[[4]]]


def test_precision_is_that_of_the_plan():
    rng = np.random.default_rng(2)
    x, w, gy = (rng.standard_normal(n).astype(np.float32) for n in ((1, 8, 12, 12), (8, 8, 3, 3), (1, 8, 10, 10)))
    exact = sr.conv_input_grad(x.shape, w.astype(float), gy.astype(float))
    for word in ("highest", "medium"):
        found = sr.conv_input_grad(x.shape, w, gy, precision=word)
        assert np.linalg.norm(found - exact) <= 5e-3 * np.linalg.norm(exact)
    with pytest.raises(InvalidArgument, match="precision must be"):
        sr.conv_input_grad(x.shape, w, gy, precision="good")


def test_what_a_call_is_promised_holds_for_its_gradients():
    """The same bits as under a precision that holds around it: other ones than the default's, where tiles transform."""
    rng = np.random.default_rng(3)
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((4, 64, 20, 20), (64, 64, 3, 3)))
    y, pullback = sr.vjp(sr.conv2d, x, w, padding=1, precision="high")
    gy = rng.standard_normal(y.shape, np.float32)
    with sr.precision("high"):
        around = sr.vjp(sr.conv2d, x, w, padding=1)[1](gy)
    plain = sr.vjp(sr.conv2d, x, w, padding=1)[1](gy)
    found = pullback(gy)
    for one, expected in zip(found, around, strict=True):
        np.testing.assert_array_equal(one, expected)
    assert any((one != other).any() for one, other in zip(found, plain, strict=True))


def test_refusals():
    x, w, gy = np.ones((1, 3, 8, 8)), np.ones((4, 3, 3, 3)), np.ones((1, 4, 6, 6))
    with pytest.raises(InvalidArgument, match=r"grad_output must have the shape of the output \(1, 4, 6, 6\), got"):
        sr.conv_input_grad(x.shape, w, gy[..., 1:])
    with pytest.raises(InvalidArgument, match=r"grad_output must have the shape of the output \(1, 4, 6, 6\), got"):
        sr.conv_weight_grad(x, w.shape, gy[:, 1:])
    with pytest.raises(InvalidArgument, match="the input must have 3 channels"):
        sr.conv_input_grad((1, 2, 8, 8), w, gy)
    with pytest.raises(InvalidType, match="input_size must be a shape"):
        sr.conv_input_grad(x, w, gy)
    with pytest.raises(InvalidArgument, match="no negative"):
        sr.conv_weight_grad(x, (4, 3, -3, 3), gy)
    with pytest.raises(InvalidType, match="weight must hold real floats"):
        sr.conv_input_grad(x.shape, w.astype(int), gy)
    with pytest.raises(InvalidType, match="write boundary="):
        sr.conv_weight_grad(x, w.shape, gy, padding_mode="zeros")


def test_weights_that_are_read_only_are_bound_as_others_are():
    """Those of layers are; what the gradient of their input is bound to is kept for the next call."""
    pytest.importorskip("llvmlite")
    rng = np.random.default_rng(0)
    weight, g = rng.standard_normal((5, 4, 1, 1), np.float32), rng.standard_normal((2, 5, 6, 6), np.float32)
    problem = Convolution.from_shapes((2, 4, 6, 6), weight.shape)
    expected = input_gradient(problem, g, weight)
    weight.setflags(write=False)
    way = input_way(problem, g, weight)
    assert way is not None
    assert way is input_way(problem, g, weight.copy())
    np.testing.assert_array_equal(input_gradient(problem, g, weight), expected)
