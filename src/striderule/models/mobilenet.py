"""MobileNetV2, 2018: depthwise convolutions between narrow bottlenecks."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule import nn

Generator = np.random.Generator
# Of each stage: how much wider the depthwise convolution is, channels, blocks, stride of the first.
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def _active(inputs: int, outputs: int, kernel: int, rng: Generator, stride: int = 1, groups: int = 1) -> nn.Layer:
    """A convolution, normalised and cut to [0, 6]."""
    words: dict[str, Any] = {"stride": stride, "padding": kernel // 2, "groups": groups}
    convolution = nn.Conv2d(inputs, outputs, kernel, bias=False, seed=rng, **words)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


def _block(inputs: int, outputs: int, wider: int, stride: int, rng: Generator) -> nn.Layer:
    """Widen, look around in each channel by itself, narrow; the narrow ends are joined where they fit."""
    wide = wider * inputs
    body: list[nn.Layer] = [] if wider == 1 else [_active(inputs, wide, 1, rng)]
    body += [
        _active(wide, wide, 3, rng, stride, groups=wide),
        nn.Conv2d(wide, outputs, 1, bias=False, seed=rng),
        nn.BatchNorm2d(outputs),
    ]
    if stride == 1 and inputs == outputs:
        return nn.Residual(nn.Sequential(*body), names=("conv", "shortcut"))
    return nn.Sequential(("conv", nn.Sequential(*body)))


def mobilenet_v2(classes: int = 1000, *, dropout: float = 0.2, seed: Any = None) -> nn.Sequential:
    """Return MobileNetV2: seventeen inverted residual blocks.

    A depthwise convolution takes a tap of its own channel alone, so it costs little; the 1x1 on both sides mix the
    channels. What is kept between blocks is narrow and linear, for a ReLU in few channels would lose what they hold.
    3,504,872 parameters, 300 million multiply-adds for 224x224.

    Parameters
    ----------
    classes
        Numbers that come out. Default 1000.
    dropout
        Share of the last features that is dropped in training. Default 0.2.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time.

    Returns
    -------
    nn.Sequential
        From (batch, 3, height, width) to (batch, classes): logits. Names are torchvision's.

    Notes
    -----
    Preprocessing: as for `vgg16`. Sandler, Howard, Zhu, Zhmoginov and Chen, arXiv:1801.04381, table 2.

    Examples
    --------
    >>> mobilenet_v2(10, seed=0).parameters()["features.2.conv.1.0.weight"].shape
    (96, 1, 3, 3)
    """
    rng = np.random.default_rng(seed)
    features, channels = [_active(3, 32, 3, rng, stride=2)], 32
    for wider, outputs, count, stride in STAGES:
        for number in range(count):
            features.append(_block(channels, outputs, wider, 1 if number else stride, rng))
            channels = outputs
    features.append(_active(channels, 1280, 1, rng))
    return nn.Sequential(
        ("features", nn.Sequential(*features)),
        ("avgpool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("classifier", nn.Sequential(nn.Dropout(dropout, seed=rng), nn.Linear(1280, classes, seed=rng))),
    )
