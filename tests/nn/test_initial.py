"""Random weights: their spread, their kind and their seeds."""

import numpy as np
import pytest

from striderule import nn
from striderule.errors import InvalidArgument, InvalidType

SHAPE = (128, 64, 3, 3)


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        ("he", (2 / (64 * 9)) ** 0.5),
        ("he_uniform", (2 / (64 * 9)) ** 0.5),
        ("xavier", (2 / (64 * 9 + 128 * 9)) ** 0.5),
        ("xavier_uniform", (2 / (64 * 9 + 128 * 9)) ** 0.5),
        ("normal", 1.0),
    ],
)
def test_spread(init, deviation):
    weight = nn.random_weight(SHAPE, init, seed=5) / deviation
    assert weight.dtype == np.float32
    # 73,728 draws: five deviations of the mean and of the deviation of unit normals.
    assert abs(weight.mean()) < 0.019
    assert abs(weight.std() - 1) < 0.013
    if init.endswith("uniform"):
        assert abs(np.abs(weight).max() - 3**0.5) < 1e-3
        assert abs((np.abs(weight) < 1).mean() - 1 / 3**0.5) < 0.01
    else:
        assert abs((np.abs(weight) < 1).mean() - 0.6827) < 0.009


def test_groups_count_the_inputs_of_one():
    weight = nn.DepthwiseConv2d(4096, 3, init="xavier", seed=0).weight
    assert abs(weight.std() * 3 - 1) < 0.02  # 2 / (9 + 9) = 1 / 9
    transposed = nn.ConvTranspose2d(64, 64, 4, stride=2, seed=0).weight
    assert abs(transposed.std() * (64 * 16 / 4 / 2) ** 0.5 - 1) < 0.02


def test_seeds_and_functions():
    first, again, other = (nn.random_weight((4, 3), "xavier", seed) for seed in (1, np.random.default_rng(1), 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert nn.Conv2d(2, 3, 1, init=lambda shape, rng: np.ones(shape)).weight.tolist() == np.ones((3, 2, 1, 1)).tolist()
    with pytest.raises(InvalidArgument, match=r"init must give weights of the shape \(3, 2\), got \(2, 3\)"):
        nn.random_weight((3, 2), lambda shape, rng: np.ones(shape[::-1]))
    with pytest.raises(InvalidArgument, match=r"init must be one of 'he'.*got 'glorot'"):
        nn.random_weight((3, 2), "glorot")
    with pytest.raises(InvalidType, match="seed must be"):
        nn.random_weight((3, 2), "he", "lucky")
