"""How gradients of weights are cut into tiles: everything is summed once, and errors are bounded for any size."""

import itertools

import numpy as np
import pytest

from striderule.geometry.gradients import weight_gradient
from striderule.geometry.problem import Convolution
from striderule.planning import tile_sums as plans
from striderule.planning.rules import PROMISES

SHAPES = [(1, 4, 4, 4), (16, 64, 56, 64), (3, 65, 300, 70), (128, 512, 7, 512), (1000, 64, 112, 64), (5, 7, 13, 200)]


def gradient_of(batch, channels, size, outputs):
    return weight_gradient(Convolution.from_shapes((batch, channels, size, size), (outputs, channels, 3, 3), padding=1))


def test_the_transforms_give_the_sums_of_the_definition():
    at, g, bt = (np.array(matrix, object) for matrix in plans.transform())
    rng = np.random.default_rng(0)
    x, gy = rng.integers(-9, 10, 4), rng.integers(-9, 10, 2)
    expected = [sum(gy[q] * x[t + q] for q in range(2)) for t in range(3)]
    assert list(at @ ((g @ gy) * (bt @ x))) == expected
    assert all(number.denominator == 1 for number in g.flat)


def test_growth_is_the_norm_that_numpy_finds():
    way = plans._way()
    most = np.zeros((3, 3))
    for t, q in itertools.product(range(3), range(2)):
        left = np.abs(np.array(way.at, float)) @ np.abs(
            np.array(way.g, float)[:, q] * np.array(way.bt, float)[:, t + q]
        )
        most[:, t] = np.maximum(most[:, t], left)
    assert plans.growth() == pytest.approx(np.linalg.norm(most, 2))


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_cuts_cover_everything_and_keep_the_promise(shape, lanes):
    problem = gradient_of(*shape)
    cut = plans.tile_sums(problem, lanes, 32 if lanes == 16 else 16)
    batch, channels, _, outputs = shape
    assert cut.channels * cut.channel_blocks >= channels
    assert cut.output_blocks * cut.panels * cut.vectors * lanes >= outputs
    assert cut.columns * cut.column_bands >= cut.width
    assert cut.lines * cut.line_bands >= cut.height
    assert cut.bands >= -(-batch // cut.images) * cut.line_bands * cut.column_bands
    assert cut.part * (cut.parts - 1) < cut.bands <= cut.part * cut.parts
    bound, random = plans.errors(cut)
    assert bound <= PROMISES["high"][1]
    assert random <= 0.1 * PROMISES["high"][0]
    assert plans.products(problem, cut) == 16 * batch * cut.height * cut.width * channels * outputs
