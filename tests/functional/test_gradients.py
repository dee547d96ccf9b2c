"""Gradients of every differentiable function against central differences in float64, and what vjp promises of calls."""

import numpy as np
import pytest

import striderule as sr
from functional.operations import CALLS
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.gradients import vjp as vjps
from striderule.functional.gradients.vjp import differentiated

DIFFERENTIABLE = [call for call in CALLS if call.name in vjps.rules()]


def wide(call):
    """Return the operands of a call as float64 where they are floats."""
    return {
        name: value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for name, value in call.operands.items()
    }


@pytest.mark.parametrize("call", DIFFERENTIABLE, ids=str)
def test_central_differences(call):
    """<gy, f(x + h v) - f(x - h v)> / 2h is <gx, v> for any direction v, to the square of h."""
    operands = wide(call)
    floats = {name for name, value in operands.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"}
    rng = np.random.default_rng(len(str(call)))
    y, pull = differentiated(call.function, {**operands, **call.words}, frozenset(floats))
    y = y[0] if isinstance(y, tuple) else y
    gy = rng.standard_normal(y.shape)
    found = {name: gradient for name, gradient in pull(gy).items() if gradient is not None}
    assert found
    for name, gradient in found.items():
        assert gradient.shape == operands[name].shape
        direction, step = rng.standard_normal(gradient.shape), 1e-6
        moved = [call({**operands, name: operands[name] + sign * step * direction}) for sign in (1, -1)]
        ahead, behind = (each[0] if isinstance(each, tuple) else each for each in moved)
        expected = float(np.nansum(gy * (ahead - behind))) / (2 * step)  # NaN: every pixel was missing
        size = float(np.abs(gy).sum() * np.abs(direction).max())
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=2e-6, abs=1e-7 * size), name


GEOMETRIES = [
    {"boundary": boundary, "padding": padding, "stride": stride, "dilation": dilation}
    for boundary in ("edge", "symmetric", "mirror", "wrap", (("constant", "edge"), ("wrap", "mirror")))
    for padding in (((2, 1), (0, 3)), "same", ((-1, 2), (3, -2)))
    for stride, dilation in ((1, 1), (2, 1), (1, 2))
]


def check(op, operands, words, tolerance=1e-7):
    """Compare the gradients of all operands with central differences in a drawn direction each."""
    rng = np.random.default_rng(3)
    y, pullback = sr.vjp(op, *operands, **words)
    gy = rng.standard_normal(y.shape)
    for place, gradient in enumerate(pullback(gy)):
        direction, step = rng.standard_normal(operands[place].shape), 1e-5
        sides = []
        for sign in (1, -1):
            moved = list(operands)
            moved[place] = operands[place] + sign * step * direction
            sides.append(op(*moved, **words))
        expected = float((gy * (sides[0] - sides[1])).sum()) / (2 * step)
        scale = float(np.linalg.norm(gradient) * np.linalg.norm(direction)) + 1
        assert abs(float((gradient * direction).sum()) - expected) < tolerance * scale, place


@pytest.mark.parametrize("words", GEOMETRIES, ids=str)
def test_boundaries_of_convolutions(words):
    rng = np.random.default_rng(0)
    operands = [rng.standard_normal(shape) for shape in ((2, 4, 7, 6), (6, 2, 3, 2), (6,))]
    check(sr.conv2d, operands, {**words, "groups": 2})


@pytest.mark.parametrize("op", ["locally_connected2d", "tiled_conv2d"])
@pytest.mark.parametrize("boundary", ["constant", "wrap"])
def test_weights_that_change_with_the_position(op, boundary):
    rng = np.random.default_rng(1)
    shares = (4, 3) if op == "locally_connected2d" else (2, 3)
    operands = [rng.standard_normal(shape) for shape in ((2, 4, 7, 5), (6, 2, *shares, 3, 2))]
    check(getattr(sr, op), operands, {"groups": 2, "stride": 2, "padding": ((1, 1), (1, 1)), "boundary": boundary})


def test_fill_is_what_weights_see_outside():
    rng = np.random.default_rng(2)
    operands = [rng.standard_normal(shape) for shape in ((2, 3, 5, 5), (2, 3, 3, 3))]
    check(sr.conv2d, operands, {"padding": 1, "fill": 0.7})


@pytest.mark.parametrize("activation", ["tanh", "gelu", ("leaky_relu", 0.3), "hardswish"])
def test_epilogues(activation):
    rng = np.random.default_rng(4)
    x, weight, bias = (rng.standard_normal(shape) for shape in ((2, 3, 6, 6), (4, 3, 3, 3), (4,)))
    check(sr.conv2d, [x, weight, bias], {"activation": activation, "residual": rng.standard_normal((2, 4, 4, 4))})


def test_the_gradient_of_a_residual_is_that_of_the_sums():
    x, weight = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    residual = np.array([[[[-9.0, 1.0], [1.0, -9.0]]]])
    words = {"x": x, "weight": weight, "residual": residual, "activation": "relu"}
    _, pull = differentiated(sr.conv2d, words, frozenset({"residual"}))
    assert pull(np.full((1, 1, 2, 2), 5.0))["residual"].tolist() == [[[[0, 5], [5, 0]]]]


def test_layouts_and_missing_axes():
    rng = np.random.default_rng(5)
    image, weight = rng.standard_normal((6, 5, 3)), rng.standard_normal((4, 3, 3, 3))
    check(sr.conv2d, [image, weight], {"layout": "NHWC"})
    check(sr.conv2d, [image[..., 0], weight[0, 0]], {"padding": 1})
    check(sr.conv_transpose2d, [image, np.ascontiguousarray(weight.swapaxes(0, 1))], {"layout": "NHWC", "stride": 2})


def test_a_tuple_with_an_entry_for_each_positional_argument():
    x, weight = np.ones((1, 1, 4), np.float32), np.ones((1, 1, 2))
    y, pullback = sr.vjp(sr.conv1d, x, weight, None, 2, padding=1)
    gx, gw, *others = pullback(np.ones(y.shape))
    assert others == [None, None]
    assert (gx.dtype, gw.dtype) == (np.float32, np.float64)
    assert gx.tolist() == [[[1, 1, 1, 1]]]
    assert gw.tolist() == [[[2, 2]]]
    assert sr.vjp(sr.conv1d, np.ones(4, np.int64), [0.5, 0.25])[1](np.ones(3))[0] is None


def test_it_may_be_pulled_twice_and_gives_memory_of_its_own():
    _, pullback = sr.vjp(sr.relu, np.array([-1.0, 2.0]))
    gy = np.ones(2)
    first, second = pullback(gy)[0], pullback(2 * gy)[0]
    assert first.tolist() == [0, 1]
    assert second.tolist() == [0, 2]
    assert not np.may_share_memory(first, gy)


def test_the_result_may_be_written_over_the_input():
    x = np.array([-1.0, 2.0])
    y, pullback = sr.vjp(sr.relu, x, out=x)
    assert y is x
    assert pullback(np.ones(2))[0].tolist() == [0, 1]


def test_refusals():
    with pytest.raises(InvalidType, match="functions of striderule"):
        sr.vjp(np.sin, np.ones(3))
    with pytest.raises(InvalidType, match="functions of striderule"):
        sr.vjp(lambda x: x, np.ones(3))
    with pytest.raises(InvalidType, match="complex"):
        sr.vjp(sr.conv1d, np.ones(3, complex), np.ones(2))
    with pytest.raises(InvalidType, match="no gradient"):
        sr.vjp(sr.conv1d, np.arange(3), np.arange(2))
    with pytest.raises(InvalidType, match="does not take these"):
        sr.vjp(sr.conv1d, np.ones(3), np.ones(2), strides=3)
    _, pullback = sr.vjp(sr.conv1d, np.ones(3), np.ones(2))
    with pytest.raises(InvalidArgument, match=r"shape of the result \(2,\), got \(3,\)"):
        pullback(np.ones(3))


def test_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(6)
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 20, 17, 19), (24, 20, 3, 3)))
    before, found = sr.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            sr.set_num_threads(threads)
            y, pullback = sr.vjp(sr.conv2d, x, weight, padding=1)
            found.append([y, *pullback(y)])
    finally:
        sr.set_num_threads(before)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)
