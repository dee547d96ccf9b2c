"""ConvLayer: the deck's layer, against loops written from the definition."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.nn import ConvLayer, Layer

DECK = json.loads((Path(__file__).parents[1] / "data" / "deck-values.json").read_text(encoding="utf-8"))["9"]


def loops(x, weight, bias, stride=(1, 1), padding=(0, 0)):
    """Return the sums of the layer, before the activation, in float64."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    rows, columns = weight.shape[2:]
    high = (padded.shape[2] - rows) // stride[0] + 1
    wide = (padded.shape[3] - columns) // stride[1] + 1
    out = np.zeros((x.shape[0], weight.shape[0], high, wide))
    for n, o, i, j in np.ndindex(out.shape):
        out[n, o, i, j] = bias[o]
        for c, u, v in itertools.product(range(x.shape[1]), range(rows), range(columns)):
            out[n, o, i, j] += weight[o, c, u, v] * padded[n, c, i * stride[0] + u, j * stride[1] + v]
    return out


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_the_decks_layer():
    layer = ConvLayer(**DECK["layer"], init="normal", seed=1)
    x = random(DECK["input_shape"])
    y = layer.forward(x)
    assert list(y.shape) == DECK["output_shape"]
    assert y.dtype == np.float32
    expected = np.maximum(loops(x, layer.weight, layer.bias, padding=(1, 1)), 0)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding"),
    [(1, 1, 0), (3, 2, 1), ((2, 3), (1, 2), (0, 2)), (5, 3, 2), ((1, 4), 1, (2, 1))],
)
def test_geometry(kernel_size, stride, padding):
    layer = ConvLayer(2, 4, kernel_size, stride, padding, activation=None, seed=2)
    layer.bias = [1, -1, 0.5, 0]
    x = random((2, 2, 9, 8))
    pairs = [value if isinstance(value, tuple) else (value, value) for value in (stride, padding)]
    expected = loops(x, layer.weight, layer.bias, *pairs)
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-5)


def test_same_padding_keeps_the_size():
    assert ConvLayer(1, 1, (3, 5), padding="same", seed=0)(random((1, 1, 7, 6))).shape == (1, 1, 7, 6)


def test_calling_is_forward():
    layer = ConvLayer(3, 2, 3, seed=3)
    x = random((1, 3, 6, 6))
    np.testing.assert_array_equal(layer(x), layer.forward(x))


def test_one_image_needs_no_batch():
    layer = ConvLayer(3, 2, 3, seed=3)
    x = random((3, 6, 6))
    np.testing.assert_array_equal(layer(x), layer(x[None])[0])


def test_activations():
    x = random((1, 2, 6, 6))
    sums = ConvLayer(2, 3, 3, activation=None, seed=4)(x)
    assert sums.min() < 0
    np.testing.assert_array_equal(ConvLayer(2, 3, 3, seed=4)(x), np.maximum(sums, 0))
    np.testing.assert_allclose(ConvLayer(2, 3, 3, activation="tanh", seed=4)(x), np.tanh(sums), rtol=1e-5, atol=1e-6)
    leaky = ConvLayer(2, 3, 3, activation=("leaky_relu", 0.5), seed=4)(x)
    np.testing.assert_allclose(leaky, np.where(sums > 0, sums, sums / 2), rtol=1e-6)


def test_types_follow_the_input():
    layer = ConvLayer(1, 1, 2, seed=0)
    assert layer(random((1, 1, 4, 4))).dtype == np.float32
    assert layer(random((1, 1, 4, 4)).astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize(("init", "deviation"), [("he", (2 / (64 * 9)) ** 0.5), ("normal", 1.0)])
def test_initial_weights(init, deviation):
    layer = ConvLayer(64, 128, 3, init=init, seed=5)
    weight = layer.weight / deviation
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    assert layer.weight.shape == (128, 64, 3, 3)
    # With 73,728 draws the mean of unit normals varies by 0.0037 and their deviation by 0.0026: five of these.
    assert abs(weight.mean()) < 0.019
    assert abs(weight.std() - 1) < 0.013
    assert abs((np.abs(weight) < 1).mean() - 0.6827) < 0.009  # normal, not uniform
    np.testing.assert_array_equal(layer.bias, np.zeros(128))


def test_he_is_the_default_and_keeps_the_signal():
    np.testing.assert_array_equal(ConvLayer(2, 2, 3, seed=0).weight, ConvLayer(2, 2, 3, init="he", seed=0).weight)
    x = random((1, 32, 24, 24))
    power = float((x**2).mean())
    for seed in range(8):
        x = ConvLayer(32, 32, 3, padding=1, seed=seed)(x)
    assert 0.1 < float((x**2).mean()) / power < 3  # zeros at the borders take a little each time


def test_seeds():
    first, again, other = (ConvLayer(2, 3, 3, seed=seed).weight for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(ConvLayer(2, 3, 3).weight, ConvLayer(2, 3, 3).weight)
    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(ConvLayer(2, 3, 3, seed=generator).weight, first)
    assert not np.array_equal(ConvLayer(2, 3, 3, seed=generator).weight, first)  # it went on


def test_it_is_a_layer_with_parameters():
    layer = ConvLayer(2, 3, 3, seed=0)
    assert isinstance(layer, Layer)
    parameters = layer.parameters()
    assert list(parameters) == ["weight", "bias"]
    assert parameters["weight"] is layer.weight
    with layer.edit():
        layer.weight[:] = 0
        layer.bias[:] = [1, -1, 2]
    np.testing.assert_array_equal(layer(random((2, 5, 5)))[:, 0, 0], [1, 0, 2])


def test_a_layer_must_define_forward():
    with pytest.raises(TypeError, match="abstract"):
        Layer()

    class Double(Layer):
        def forward(self, x):
            return 2 * np.asarray(x)

    assert Double()([1, 2]).tolist() == [2, 4]
    assert Double().parameters() == {}


def test_repr():
    assert repr(ConvLayer(3, 16, 3, padding="same", activation=None)) == (
        "ConvLayer(3, 16, kernel_size=(3, 3), stride=(1, 1), padding='same', activation=None)"
    )


@pytest.mark.parametrize(
    ("arguments", "words", "error", "message"),
    [
        ((0, 1, 3), {}, InvalidArgument, "in_channels must be at least 1, got 0"),
        ((1, -2, 3), {}, InvalidArgument, "out_channels must be at least 1, got -2"),
        ((1.5, 1, 3), {}, InvalidType, "in_channels must be an integer, got 1.5"),
        ((1, 1, 0), {}, InvalidArgument, "kernel_size must be at least 1 in every axis, got 0"),
        ((1, 1, (3, 3, 3)), {}, InvalidArgument, "kernel_size must be one integer or one for each of the 2"),
        ((1, 1, 3), {"stride": (2, 0)}, InvalidArgument, r"stride must be at least 1 in every axis, got \(2, 0\)"),
        ((1, 1, 3), {"padding": "some"}, InvalidArgument, "padding must be numbers or one of valid, same"),
        ((1, 1, 3), {"padding": 0.5}, InvalidType, "padding must be an integer, got 0.5"),
        ((1, 1, 3), {"activation": "rilu"}, InvalidArgument, "activation must be one of .*relu.*, got 'rilu'"),
        ((1, 1, 3), {"init": "zeros"}, InvalidArgument, "init must be one of 'he', .*'normal' or .* got 'zeros'"),
        ((1, 1, 3), {"init": ["he"]}, InvalidArgument, r"init must be one of 'he', .*'normal' or .* got \['he'\]"),
        ((1, 1, 3), {"seed": -1}, InvalidArgument, "seed must be an integer of at least 0, .* got -1"),
        ((1, 1, 3), {"seed": "lucky"}, InvalidType, "seed must be an integer of at least 0, .* got 'lucky'"),
    ],
)
def test_refusals_when_it_is_made(arguments, words, error, message):
    with pytest.raises(error, match=message):
        ConvLayer(*arguments, **words)


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (8, 8), (1, 1, 3, 8, 8), (2, 8, 8)])
def test_inputs_that_do_not_fit_are_refused(shape):
    with pytest.raises(InvalidArgument, match=r"x must be \(batch, 3, rows, columns\) or \(3, rows, columns\).*shape"):
        ConvLayer(3, 4, 3, seed=0)(np.zeros(shape))


def test_an_input_smaller_than_the_kernel_is_refused():
    with pytest.raises(InvalidArgument, match="kernel is larger than the padded input"):
        ConvLayer(1, 1, 5, seed=0)(np.zeros((1, 1, 3, 3)))
