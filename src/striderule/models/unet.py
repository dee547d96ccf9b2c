"""U-Net, 2015: down to see far, up to see where, with bridges between."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule import nn


def _double(inputs: int, outputs: int, rng: np.random.Generator) -> nn.Sequential:
    """Two convolutions of 3x3 that keep the size."""
    return nn.Sequential(
        ("conv1", nn.Conv2d(inputs, outputs, 3, padding=1, seed=rng)),
        ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(outputs, outputs, 3, padding=1, seed=rng)),
        ("relu2", nn.ReLU()),
    )


def _level(inputs: int, width: int, depth: int, rng: np.random.Generator) -> nn.Layer:
    """Two convolutions, and two more that see what the levels below make of the halved image, too."""
    double = _double(inputs, width, rng)
    if depth == 0:
        return double
    below = nn.Sequential(
        ("pool", nn.MaxPool2d(2)),
        ("level", _level(width, 2 * width, depth - 1, rng)),
        ("up", nn.ConvTranspose2d(2 * width, width, 2, stride=2, seed=rng)),
    )
    return nn.Sequential(
        ("down", double), ("bridge", nn.Concat(None, ("below", below))), ("join", _double(2 * width, width, rng))
    )


def unet(channels: int = 1, classes: int = 2, *, width: int = 64, depth: int = 4, seed: Any = None) -> nn.Sequential:
    """Return U-Net: for every pixel a number for each class.

    Pooling lets a network see far and forget where; here each level on the way up gets the features of the same level
    on the way down beside those from below, so that borders stay sharp. 31,030,658 parameters for 1 channel and 2
    classes. Convolutions are padded so that sizes stay the same, as is usual today; the paper's are not, and lose the
    borders.

    Parameters
    ----------
    channels, classes
        Of the image and of the result. Default 1 and 2.
    width
        Channels of the first level, twice as many on each below. Default 64.
    depth
        How often the image is halved; its sides must be multiples of 2**depth. Default 4.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time.

    Returns
    -------
    nn.Sequential
        From (batch, channels, height, width) to (batch, classes, height, width): logits.

    Notes
    -----
    Preprocessing: pixels of mean 0 and variance 1. Ronneberger, Fischer and Brox, arXiv:1505.04597, figure 1.

    Examples
    --------
    >>> sum(value.size for value in unet(width=4, seed=0).parameters().values())
    121658
    """
    rng = np.random.default_rng(seed)
    whole = _level(channels, width, depth, rng)
    return nn.Sequential(("level", whole), ("last", nn.Conv2d(width, classes, 1, seed=rng)))
