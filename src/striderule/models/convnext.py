"""ConvNeXt-T, 2022: what a convolution learns from transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule import nn

# Channels and blocks of the four stages.
STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))
EPSILON, SCALE = 1e-6, 1e-6
LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def _block(channels: int, rng: np.random.Generator) -> nn.Layer:
    """A depthwise 7x7, then two dense layers at every position, scaled and added to the input."""
    body = nn.Sequential(
        nn.Conv2d(channels, channels, 7, padding=3, groups=channels, seed=rng),
        nn.Permute(LAST),
        nn.LayerNorm(channels, eps=EPSILON),
        nn.Linear(channels, 4 * channels, seed=rng),
        nn.GELU(),
        nn.Linear(4 * channels, channels, seed=rng),
        nn.Permute(FIRST),
    )
    return nn.Residual(
        nn.Sequential(("block", body), (".scale", nn.LayerScale(channels, SCALE))), names=(".body", "shortcut")
    )


def _norm(name: str, channels: int) -> list[tuple[str, nn.Layer]]:
    """Normalise the channels of each position; the parameters bear the name of the norm alone."""
    return [(".last", nn.Permute(LAST)), (name, nn.LayerNorm(channels, eps=EPSILON)), (".first", nn.Permute(FIRST))]


def convnext_tiny(classes: int = 1000, *, seed: Any = None) -> nn.Sequential:
    """Return ConvNeXt-T: a residual network whose every choice was taken from transformers, but for attention.

    Patches instead of a stem with pooling, few blocks in the first stages and many in the third, depthwise 7x7 in the
    place of attention, a wide dense layer at every position, layer norm, GELU, and fewer of both. It is as good as a
    Swin transformer of its size. 28,589,128 parameters.

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
    Preprocessing: as for `vgg16`, from a shorter side of 236. Liu, Mao, Wu, Feichtenhofer, Darrell and Xie,
    arXiv:2201.03545. Blocks are dropped at random in its training; here they never are.

    Examples
    --------
    >>> convnext_tiny(10, seed=0).parameters()["features.1.0.block.0.weight"].shape
    (96, 1, 7, 7)
    """
    rng = np.random.default_rng(seed)
    first = STAGES[0][0]
    # A patch of 4x4 pixels, and later of 2x2 positions, makes one.
    features: list[nn.Layer] = [nn.Sequential(("0", nn.Conv2d(3, first, 4, stride=4, seed=rng)), *_norm("1", first))]
    before = first
    for channels, count in STAGES:
        if channels != before:
            patches = nn.Conv2d(before, channels, 2, stride=2, seed=rng)
            features.append(nn.Sequential(*_norm("0", before), ("1", patches)))
        features.append(nn.Sequential(*(_block(channels, rng) for _ in range(count))))
        before = channels
    return nn.Sequential(
        ("features", nn.Sequential(*features)),
        ("avgpool", nn.AdaptiveAvgPool2d(1)),
        (
            "classifier",
            nn.Sequential(
                *_norm("0", before),
                ("1", nn.Flatten()),
                ("2", nn.Linear(before, classes, seed=rng)),
            ),
        ),
    )
