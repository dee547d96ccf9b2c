"""ResNet-18 and ResNet-50, 2015: layers learn what to add to their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striderule import nn

Generator = np.random.Generator
# A block: input channels, width, stride, and the generator of its weights.
Block = Callable[[int, int, int, Generator], nn.Layer]


def _conv(inputs: int, outputs: int, kernel: int, rng: Generator, stride: int = 1) -> nn.Layer:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False, seed=rng)


def _around(body: nn.Layer, inputs: int, outputs: int, stride: int, rng: Generator) -> nn.Layer:
    """Return relu(body(x) + x), where x passes a 1x1 convolution if its channels or its size change."""
    shortcut = None
    if stride > 1 or inputs != outputs:
        shortcut = nn.Sequential(_conv(inputs, outputs, 1, rng, stride), nn.BatchNorm2d(outputs))
    return nn.Residual(body, shortcut, activation="relu", names=(".body", "downsample"))


def _basic(inputs: int, width: int, stride: int, rng: Generator) -> nn.Layer:
    """Two convolutions of 3x3."""
    body = nn.Sequential(
        ("conv1", _conv(inputs, width, 3, rng, stride)),
        ("bn1", nn.BatchNorm2d(width)),
        ("relu", nn.ReLU()),
        ("conv2", _conv(width, width, 3, rng)),
        ("bn2", nn.BatchNorm2d(width)),
    )
    return _around(body, inputs, width, stride, rng)


def _bottleneck(inputs: int, width: int, stride: int, rng: Generator) -> nn.Layer:
    """A 3x3 between two 1x1, which make the channels fewer for it and more again."""
    body = nn.Sequential(
        ("conv1", _conv(inputs, width, 1, rng)),
        ("bn1", nn.BatchNorm2d(width)),
        ("relu1", nn.ReLU()),
        ("conv2", _conv(width, width, 3, rng, stride)),
        ("bn2", nn.BatchNorm2d(width)),
        ("relu2", nn.ReLU()),
        ("conv3", _conv(width, 4 * width, 1, rng)),
        ("bn3", nn.BatchNorm2d(4 * width)),
    )
    return _around(body, inputs, 4 * width, stride, rng)


def _resnet(block: Block, wider: int, counts: tuple[int, ...], classes: int, seed: Any) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    channels, stages = 64, []
    for stage, count in enumerate(counts):
        width, blocks = 64 << stage, []
        for number in range(count):
            blocks.append(block(channels, width, 2 if stage and not number else 1, rng))
            channels = wider * width
        stages.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
    return nn.Sequential(
        ("conv1", _conv(3, 64, 7, rng, stride=2)),
        ("bn1", nn.BatchNorm2d(64)),
        ("relu", nn.ReLU()),
        ("maxpool", nn.MaxPool2d(3, stride=2, padding=1)),
        *stages,
        ("avgpool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(channels, classes, seed=rng)),
    )


def resnet18(classes: int = 1000, *, seed: Any = None) -> nn.Sequential:
    """Return ResNet-18: eight blocks of two 3x3 convolutions, each of which adds to its input.

    Deeper plain networks trained worse, on the training images too: what should be the identity is hard to learn as a
    stack of layers. With x + body(x) the identity is what a block does when it has learned nothing, and gradients pass
    unchanged. 11,689,512 parameters.

    Parameters
    ----------
    classes
        Numbers that come out. Default 1000.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time.

    Returns
    -------
    nn.Sequential
        From (batch, 3, height, width) to (batch, classes): logits. Names are torchvision's.

    Notes
    -----
    Preprocessing: as for `vgg16`. He, Zhang, Ren and Sun, arXiv:1512.03385, table 1.

    Examples
    --------
    >>> sum(value.size for value in resnet18(seed=0).parameters().values())
    11689512
    """
    return _resnet(_basic, 1, (2, 2, 2, 2), classes, seed)


def resnet50(classes: int = 1000, *, seed: Any = None) -> nn.Sequential:
    """Return ResNet-50: sixteen blocks of 1x1, 3x3, 1x1, where the 3x3 sees a quarter of the channels.

    The stride is in the 3x3 ("version 1.5"), as torchvision has it. 25,557,032 parameters.

    Parameters
    ----------
    classes, seed
        As for `resnet18`.

    Returns
    -------
    nn.Sequential
        From (batch, 3, height, width) to (batch, classes): logits. Names are torchvision's.

    Notes
    -----
    Preprocessing: as for `vgg16`. He, Zhang, Ren and Sun, arXiv:1512.03385, table 1.

    Examples
    --------
    >>> resnet50(10, seed=0).parameters()["layer1.0.conv3.weight"].shape
    (256, 64, 1, 1)
    """
    return _resnet(_bottleneck, 4, (3, 4, 6, 3), classes, seed)
