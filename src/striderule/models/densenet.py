"""DenseNet-121, 2016: every layer sees all layers before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule import nn

GROWTH, BOTTLENECK, COUNTS = 32, 4, (6, 12, 24, 16)


def _layer(channels: int, rng: np.random.Generator) -> nn.Layer:
    """Join `GROWTH` new channels, made of all before, to these."""
    wide = BOTTLENECK * GROWTH
    new = nn.Sequential(
        ("norm1", nn.BatchNorm2d(channels)),
        ("relu1", nn.ReLU()),
        ("conv1", nn.Conv2d(channels, wide, 1, bias=False, seed=rng)),
        ("norm2", nn.BatchNorm2d(wide)),
        ("relu2", nn.ReLU()),
        ("conv2", nn.Conv2d(wide, GROWTH, 3, padding=1, bias=False, seed=rng)),
    )
    return nn.Concat(None, (".new", new))


def _transition(channels: int, rng: np.random.Generator) -> nn.Layer:
    """Halve channels and size."""
    return nn.Sequential(
        ("norm", nn.BatchNorm2d(channels)),
        ("relu", nn.ReLU()),
        ("conv", nn.Conv2d(channels, channels // 2, 1, bias=False, seed=rng)),
        ("pool", nn.AvgPool2d(2)),
    )


def densenet121(classes: int = 1000, *, seed: Any = None) -> nn.Sequential:
    """Return DenseNet-121: four blocks of layers, each of which adds 32 channels to all that it was given.

    Where a residual block adds to its input, a dense layer keeps it: nothing has to be learned twice, and every layer
    is a step away from the loss. 7,978,856 parameters.

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
    Preprocessing: as for `vgg16`. Huang, Liu, van der Maaten and Weinberger, arXiv:1608.06993, table 1.

    Examples
    --------
    >>> densenet121(10, seed=0).parameters()["features.denseblock1.denselayer2.conv1.weight"].shape
    (128, 96, 1, 1)
    """
    rng = np.random.default_rng(seed)
    features: list[tuple[str, nn.Layer]] = [
        ("conv0", nn.Conv2d(3, 2 * GROWTH, 7, stride=2, padding=3, bias=False, seed=rng)),
        ("norm0", nn.BatchNorm2d(2 * GROWTH)),
        ("relu0", nn.ReLU()),
        ("pool0", nn.MaxPool2d(3, stride=2, padding=1)),
    ]
    channels = 2 * GROWTH
    for number, count in enumerate(COUNTS, 1):
        layers = [(f"denselayer{i + 1}", _layer(channels + i * GROWTH, rng)) for i in range(count)]
        features.append((f"denseblock{number}", nn.Sequential(*layers)))
        channels += count * GROWTH
        if number < len(COUNTS):
            features.append((f"transition{number}", _transition(channels, rng)))
            channels //= 2
    features.append(("norm5", nn.BatchNorm2d(channels)))
    return nn.Sequential(
        ("features", nn.Sequential(*features)),
        ("relu", nn.ReLU()),
        ("avgpool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("classifier", nn.Linear(channels, classes, seed=rng)),
    )
