"""Networks: as many parameters as published, the shapes that they promise, and names that are torchvision's."""

import numpy as np
import pytest

from striderule import models

# Parameters as published: torchvision's documentation, and for U-Net the sum over figure 1 of arXiv:1505.04597.
COUNTS = {
    "convnext_tiny": 28_589_128,
    "densenet121": 7_978_856,
    "lenet5": 61_706,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "unet": 31_030_658,
    "vgg16": 138_357_544,
}
# Some names as torchvision's files have them, and shapes.
NAMES = {
    "convnext_tiny": {
        "features.0.0.weight": (96, 3, 4, 4), "features.0.1.bias": (96,), "features.1.2.layer_scale": (96, 1, 1),
        "features.1.0.block.0.weight": (96, 1, 7, 7), "features.1.0.block.3.weight": (384, 96),
        "features.2.0.weight": (96,), "features.2.1.weight": (192, 96, 2, 2), "classifier.2.weight": (1000, 768),
    },
    "densenet121": {
        "features.conv0.weight": (64, 3, 7, 7), "features.denseblock2.denselayer3.conv2.weight": (32, 128, 3, 3),
        "features.transition1.conv.weight": (128, 256, 1, 1), "features.norm5.weight": (1024,),
        "classifier.weight": (1000, 1024),
    },
    "mobilenet_v2": {
        "features.0.0.weight": (32, 3, 3, 3), "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.2.conv.1.0.weight": (96, 1, 3, 3), "features.17.conv.3.weight": (320,), "classifier.1.bias": (1000,),
    },
    "resnet18": {
        "conv1.weight": (64, 3, 7, 7), "layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.1.bn2.bias": (512,),
        "fc.weight": (1000, 512),
    },
    "resnet50": {"layer1.0.conv3.weight": (256, 64, 1, 1), "layer3.5.conv2.weight": (256, 256, 3, 3)},
    "vgg16": {"features.28.weight": (512, 512, 3, 3), "classifier.6.weight": (1000, 4096)},
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name):
    network = getattr(models, name)(seed=0)
    parameters = network.parameters()
    assert sum(value.size for value in parameters.values()) == COUNTS[name]
    assert {word: parameters[word].shape for word in NAMES.get(name, {})} == NAMES.get(name, {})


def test_every_network_is_counted():
    assert set(models.__all__) == set(COUNTS)


SMALL = {
    "convnext_tiny": ((2, 3, 64, 64), (2, 7)),
    "densenet121": ((1, 3, 64, 64), (1, 7)),
    "lenet5": ((3, 1, 32, 32), (3, 7)),
    "mobilenet_v2": ((1, 3, 64, 64), (1, 7)),
    "resnet18": ((2, 3, 64, 64), (2, 7)),
    "resnet50": ((1, 3, 64, 64), (1, 7)),
}


@pytest.mark.parametrize("name", SMALL)
def test_shapes(name):
    shape, expected = SMALL[name]
    network = getattr(models, name)(7, seed=0).eval()
    y = network(np.random.default_rng(0).standard_normal(shape, np.float32))
    assert y.shape == expected
    assert np.isfinite(y).all()


def test_u_net_keeps_the_size():
    network = models.unet(2, 3, width=4, depth=3, seed=0).eval()
    assert network(np.zeros((1, 2, 16, 24), np.float32)).shape == (1, 3, 16, 24)


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_the_same_seed_gives_the_same_weights(name):
    one, same, other = (getattr(models, name)(3, seed=seed).state() for seed in (1, 1, 2))
    assert all((one[word] == same[word]).all() for word in one)
    assert any((one[word] != other[word]).any() for word in one)
