"""VGG-16, 2014: depth, by nothing but 3x3."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule import nn

# Output channels of the convolutions; 0 is a pooling that halves both sides.
CHANNELS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def vgg16(classes: int = 1000, *, dropout: float = 0.5, seed: Any = None) -> nn.Sequential:
    """Return VGG-16: thirteen convolutions of 3x3 in five blocks, and three dense layers.

    Two 3x3 see as far as one 5x5, three as far as one 7x7, with fewer weights and a nonlinearity between; so the
    network is as uniform as can be, and its depth is what counts. 138,357,544 parameters, most of them in the dense
    layers.

    Parameters
    ----------
    classes
        Numbers that come out. Default 1000.
    dropout
        Share of the dense layers' values that is dropped in training. Default 0.5.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time.

    Returns
    -------
    nn.Sequential
        From (batch, 3, height, width), at least 32x32, to (batch, classes): logits. Names are torchvision's.

    Notes
    -----
    Preprocessing: RGB in [0, 1], 224x224 from the middle of an image whose shorter side is 256; minus (0.485, 0.456,
    0.406), over (0.229, 0.224, 0.225). Simonyan and Zisserman, arXiv:1409.1556, configuration D.

    Examples
    --------
    >>> [width for width in CHANNELS if width]
    [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    """
    rng = np.random.default_rng(seed)
    features: list[nn.Layer] = []
    before = 3
    for channels in CHANNELS:
        if channels:
            features += [nn.Conv2d(before, channels, 3, padding=1, seed=rng), nn.ReLU()]
            before = channels
        else:
            features.append(nn.MaxPool2d(2))
    return nn.Sequential(
        ("features", nn.Sequential(*features)),
        ("avgpool", nn.AdaptiveAvgPool2d(7)),
        ("flatten", nn.Flatten()),
        (
            "classifier",
            nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096, seed=rng),
                nn.ReLU(),
                nn.Dropout(dropout, seed=rng),
                nn.Linear(4096, 4096, seed=rng),
                nn.ReLU(),
                nn.Dropout(dropout, seed=rng),
                nn.Linear(4096, classes, seed=rng),
            ),
        ),
    )
