"""LeNet-5, 1998: kernels are learned, and shared over the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule import nn


def lenet5(
    classes: int = 10, *, channels: int = 1, size: int = 32, activation: str = "tanh", seed: Any = None
) -> nn.Sequential:
    """Return LeNet-5: two convolutions with pooling between, and three dense layers.

    Before it, features were made by hand and a classifier learned on top; here the kernels are learned by the same
    gradient descent as the rest. Sharing a kernel over all positions is what makes that possible with few weights:
    61,706 for images of 32x32 (all maps of the second layer see all of the first, as is usual today; the paper connects
    some of them).

    Parameters
    ----------
    classes
        Numbers that come out, one for each class. Default 10.
    channels, size
        Of the images, which are square. Default: 1 and 32; at least 16.
    activation
        ``"tanh"`` (default, as in the paper) or ``"relu"``.
    seed
        An integer or a `numpy.random.Generator` for the same weights every time.

    Returns
    -------
    nn.Sequential
        From (batch, channels, size, size) to (batch, classes): logits, before any softmax.

    Notes
    -----
    Preprocessing: digits of 28x28 stand in the middle of 32x32; background -0.1 and ink 1.175, so that the mean is
    about 0 and the variance about 1. LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86 (1998).

    Examples
    --------
    >>> sum(value.size for value in lenet5(seed=0).parameters().values())
    61706
    """
    rng = np.random.default_rng(seed)
    active = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    left = ((size - 4) // 2 - 4) // 2
    return nn.Sequential(
        ("conv1", nn.Conv2d(channels, 6, 5, seed=rng)),
        ("active1", active()),
        ("pool1", nn.AvgPool2d(2)),
        ("conv2", nn.Conv2d(6, 16, 5, seed=rng)),
        ("active2", active()),
        ("pool2", nn.AvgPool2d(2)),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(16 * left * left, 120, seed=rng)),
        ("active3", active()),
        ("fc2", nn.Linear(120, 84, seed=rng)),
        ("active4", active()),
        ("fc3", nn.Linear(84, classes, seed=rng)),
    )
