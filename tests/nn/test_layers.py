"""Every layer: its gradients against central differences, its shapes, its words, copies of it."""

import inspect

import numpy as np
import pytest

import striderule as sr
from striderule import nn
from striderule.errors import InvalidArgument, InvalidType

SEED = {"seed": 0}
IMAGE, SEQUENCE, VOLUME = (2, 4, 9, 8), (2, 4, 11), (1, 4, 5, 6, 5)
# Layers, and the shapes of inputs and outputs; these are arithmetic.
WEIGHTED = [
    (lambda: nn.Conv1d(4, 6, 3, 2, 1, groups=2, **SEED), SEQUENCE, (2, 6, 6)),
    (lambda: nn.Conv2d(4, 6, 3, 2, 1, **SEED), IMAGE, (2, 6, 5, 4)),
    (lambda: nn.Conv2d(4, 6, (3, 1), dilation=2, bias=False, activation="tanh", **SEED), IMAGE, (2, 6, 5, 8)),
    (lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular", **SEED), IMAGE, (2, 2, 9, 8)),
    (lambda: nn.Conv2d(4, 2, 3, padding="same", padding_mode="reflect", **SEED), IMAGE, (2, 2, 9, 8)),
    (lambda: nn.Conv3d(4, 2, 3, padding=1, **SEED), VOLUME, (1, 2, 5, 6, 5)),
    (lambda: nn.ConvTranspose1d(4, 2, 3, 2, 1, 1, **SEED), SEQUENCE, (2, 2, 22)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, **SEED), IMAGE, (2, 6, 18, 16)),
    (lambda: nn.ConvTranspose3d(4, 1, 2, 2, bias=False, **SEED), VOLUME, (1, 1, 10, 12, 10)),
    (lambda: nn.DepthwiseConv2d(4, 3, padding=1, multiplier=2, **SEED), IMAGE, (2, 8, 9, 8)),
    (lambda: nn.DepthwiseSeparableConv2d(4, 6, 3, 2, 1, activation="silu", **SEED), IMAGE, (2, 6, 5, 4)),
    (lambda: nn.LocallyConnected2d(4, 2, (9, 8), 3, 2, **SEED), IMAGE, (2, 2, 4, 3)),
    (lambda: nn.ConvLayer(4, 3, 3, activation="gelu", **SEED), IMAGE, (2, 3, 7, 6)),
    (lambda: nn.PReLU(4), IMAGE, IMAGE),
]
ACTIVATIONS = [
    nn.ReLU(inplace=True), nn.LeakyReLU(0.2), nn.ReLU6(), nn.ELU(0.5), nn.SELU(), nn.CELU(2.0), nn.GELU(),
    nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.Tanhshrink(),
    nn.Hardtanh(-0.5, 0.7), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardshrink(), nn.Softshrink(0.1), nn.Softplus(2.0),
    nn.Softsign(), nn.Threshold(0.1, 3.0),
]  # fmt: skip
CASES = [*WEIGHTED, *((lambda layer=layer: layer, IMAGE, IMAGE) for layer in ACTIVATIONS)]
CASES += [
    (lambda: nn.Linear(8, 5, **SEED), IMAGE, (2, 4, 9, 5)),
    (lambda: nn.Linear(8, 5, bias=False, init="xavier", **SEED), (3, 8), (3, 5)),
    (lambda: nn.Upsample(scale_factor=2), IMAGE, (2, 4, 18, 16)),
    (lambda: nn.Upsample((12, 9), mode="bilinear"), IMAGE, (2, 4, 12, 9)),
    (lambda: nn.Upsample(20, mode="linear", align_corners=True), SEQUENCE, (2, 4, 20)),
]
CASES += [(nn.Flatten, IMAGE, (2, 288)), (lambda: nn.Flatten(2), IMAGE, (2, 4, 72))]


def inner(one, other):
    return float((one.astype(np.float64) * other.astype(np.float64)).sum())


def check_gradients(layer, x, steps=(1e-6, 1e-3)):
    """Compare gradients with central differences in a drawn direction; parameters are float32, so steps are longer."""
    rng = np.random.default_rng(1)
    y = layer.train()(x)
    gy = rng.standard_normal(y.shape)
    gx = layer.backward(gy)
    assert gx.shape == x.shape
    direction = rng.standard_normal(x.shape)
    ahead, behind = (layer(x + sign * steps[0] * direction) for sign in (1, -1))
    size = np.linalg.norm(gx) * np.linalg.norm(direction) + 1
    assert abs(inner(gx, direction) - inner(gy, ahead - behind) / (2 * steps[0])) < 1e-7 * size
    state, gradients = {name: value.copy() for name, value in layer.state().items()}, layer.gradients()
    for name, gradient in gradients.items():
        moved, found = [], []
        direction = rng.standard_normal(gradient.shape)
        for sign in (1, -1):
            layer.load_state(state | {name: state[name] + np.float32(sign * steps[1]) * direction})
            moved.append(layer.state()[name].astype(np.float64))
            found.append(layer(x))
        layer.load_state(state)
        distance = moved[0] - moved[1]
        size = np.linalg.norm(gradient) * np.linalg.norm(distance) + steps[1]
        assert gradient.dtype == np.float32
        assert abs(inner(gradient, distance) - inner(gy, found[0] - found[1])) < 3e-5 * size, name


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: repr(CASES[number][0]()).split("\n")[0])
def test_layers(number):
    make, shape, expected = CASES[number]
    x = np.random.default_rng(0).standard_normal(shape)
    layer = make()
    assert layer(x).shape == expected
    check_gradients(layer, x)
    narrow = x.astype(np.float32)
    result = layer.train()(narrow)
    assert result.dtype == np.float32
    np.testing.assert_allclose(layer.eval()(narrow), result, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(layer(narrow), layer(narrow))
    np.testing.assert_allclose(layer(narrow), layer(x), rtol=1e-4, atol=1e-4)


POOLS = [
    (nn.MaxPool1d(2), SEQUENCE, (2, 4, 5)),
    (nn.MaxPool2d(3, 2, 1), IMAGE, (2, 4, 5, 4)),
    (nn.MaxPool2d(2, ceil_mode=True), IMAGE, (2, 4, 5, 4)),
    (nn.MaxPool3d(2), VOLUME, (1, 4, 2, 3, 2)),
    (nn.AvgPool1d(3, 1), SEQUENCE, (2, 4, 9)),
    (nn.AvgPool2d((3, 2), 2, (1, 0), count_include_pad=False), IMAGE, (2, 4, 5, 4)),
    (nn.AvgPool3d(2), VOLUME, (1, 4, 2, 3, 2)),
    (nn.LPPool1d(2, 3), SEQUENCE, (2, 4, 3)),
    (nn.LPPool2d(4.0, 2), IMAGE, (2, 4, 4, 4)),
    (nn.LPPool3d(2, 2), VOLUME, (1, 4, 2, 3, 2)),
    (nn.AdaptiveAvgPool1d(3), SEQUENCE, (2, 4, 3)),
    (nn.AdaptiveAvgPool2d((3, 4)), IMAGE, (2, 4, 3, 4)),
    (nn.AdaptiveAvgPool3d(2), VOLUME, (1, 4, 2, 2, 2)),
    (nn.AdaptiveMaxPool1d(3), SEQUENCE, (2, 4, 3)),
    (nn.AdaptiveMaxPool2d(2), IMAGE, (2, 4, 2, 2)),
    (nn.AdaptiveMaxPool3d(2), VOLUME, (1, 4, 2, 2, 2)),
    (nn.GlobalAvgPool1d(), SEQUENCE, (2, 4, 1)),
    (nn.GlobalAvgPool2d(), IMAGE, (2, 4, 1, 1)),
    (nn.GlobalAvgPool3d(), VOLUME, (1, 4, 1, 1, 1)),
    (nn.GlobalMaxPool1d(), SEQUENCE, (2, 4, 1)),
    (nn.GlobalMaxPool2d(), IMAGE, (2, 4, 1, 1)),
    (nn.GlobalMaxPool3d(), VOLUME, (1, 4, 1, 1, 1)),
]


@pytest.mark.parametrize(("layer", "shape", "expected"), POOLS, ids=str)
def test_pooling_layers(layer, shape, expected):
    x = np.random.default_rng(0).standard_normal(shape)
    op, words = layer.operation()
    np.testing.assert_array_equal(layer.eval()(x), op(x, **words))
    assert layer(x).shape == expected
    check_gradients(layer, x)


def test_dropout():
    x = np.ones((50, 40))
    layer, again = nn.Dropout(0.25, seed=1), nn.Dropout(0.25, seed=1)
    y = layer(x)
    np.testing.assert_array_equal(y, again(x))
    assert set(np.unique(y)) == {0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 0.05
    np.testing.assert_array_equal(layer.backward(2 * x), 2 * y)
    assert not np.array_equal(layer(x), y)
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_the_decks_layer_pools():
    plain = nn.ConvLayer(4, 3, 3, seed=0).eval()
    x = np.random.default_rng(0).standard_normal(IMAGE).astype(np.float32)
    for pooling, expected in [
        (2, sr.max_pool2d(plain(x), 2)),
        (("avg", 2), sr.avg_pool2d(plain(x), 2)),
        (nn.MaxPool2d(3, 1), sr.max_pool2d(plain(x), 3, 1)),
    ]:
        layer = nn.ConvLayer(4, 3, 3, pooling=pooling, seed=0).eval()
        np.testing.assert_array_equal(layer(x), expected)
        np.testing.assert_array_equal(sr.compile(layer, x)(x), expected)
        assert list(layer.parameters()) == ["weight", "bias"]
    with pytest.raises(InvalidArgument, match="pooling must be a size"):
        nn.ConvLayer(4, 3, 3, pooling=("median", 2))


def test_signatures_are_real():
    assert list(inspect.signature(nn.LeakyReLU).parameters) == ["negative_slope", "inplace"]
    assert list(inspect.signature(nn.Conv2d).parameters)[:9] == [
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias", "padding_mode",
    ]  # fmt: skip
    assert repr(nn.LeakyReLU(0.3)) == "LeakyReLU(negative_slope=0.3)"
    with pytest.raises(InvalidType, match="ReLU does not take these arguments"):
        nn.ReLU(slope=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups must divide in_channels and out_channels, got groups=2"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode must be one of zeros, reflect"),
        (lambda: nn.Conv1d(3, 0, 3), "out_channels must be at least 1, got 0"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=-1), "output_padding must be at least 0"),
        (lambda: nn.LocallyConnected2d(1, 1, 4, 5), "kernel is larger than the padded input"),
        (lambda: nn.Conv1d(3, 4, 3)(np.ones((1, 4, 9))), r"x must be \(batch, 3, length\) or \(3, length\)"),
        (lambda: nn.Conv3d(3, 4, 3)(np.ones((3, 4, 9))), r"x must be \(batch, 3, planes, rows, columns\)"),
        (lambda: nn.Flatten(3)(np.ones((1, 4))), "start_dim and end_dim must be axes of x"),
        (lambda: nn.Flatten().backward(np.ones(3)), "backward of Flatten needs a forward"),
        (lambda: nn.Tanh().backward(np.ones(3)), "backward of Tanh needs a forward in training mode"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InvalidArgument, match=message):
        make()
