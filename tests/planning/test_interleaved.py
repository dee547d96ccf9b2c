"""Dilated convolutions taken apart into dense ones, whose outputs fill the whole."""

import numpy as np
import pytest

from striderule.algorithms.windows import convolution as windows
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import choose
from striderule.planning.interleaved import parts_of
from striderule.planning.machine import Machine


@pytest.mark.parametrize("seed", range(30))
def test_the_parts_are_the_whole(seed):
    rng = np.random.default_rng(seed)
    rank = 1 + seed % 2
    kernel, dilation, size = (rng.integers(low, high, rank).tolist() for low, high in ((1, 5), (1, 6), (5, 14)))
    padding = [tuple(pair) for pair in rng.integers(-1, 9, (rank, 2)).tolist()]
    try:
        words = {"padding": padding, "dilation": dilation, "dtype": "float64"}
        problem = Convolution.from_shapes((2, 3, *size), (4, 3, *kernel), **words)
    except InvalidArgument:  # the kernel is larger than the input
        return
    x, weight = rng.normal(size=(2, 3, *size)), rng.normal(size=(4, 3, *kernel))
    got = np.full(problem.output_shape, np.nan)
    for part in parts_of(problem):
        assert x[part.inputs].shape[2:] == part.problem.size
        assert got[part.outputs].shape == part.problem.output_shape
        assert np.isnan(got[part.outputs]).all()
        got[part.outputs] = windows.convolution(part.problem, x[part.inputs], weight, 0)
    np.testing.assert_allclose(got, windows.convolution(problem, x, weight, 0), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"padding": 2, "dilation": 2, "boundary": "edge"}, "know nothing of each other"),
        ({"padding": 9, "dilation": 9}, "up to 64 parts"),
        ({"padding": 2, "dilation": 2, "stride": 2}, "every output"),
    ],
    ids=str,
)
def test_what_is_not_taken_apart(words, why):
    problem = Convolution.from_shapes((1, 32, 20, 20), (32, 32, 3, 3), **words)
    with pytest.raises(InvalidArgument, match=why):
        choose(problem, "high", "winograd:F2", Machine.of("avx512"))


def test_a_dilated_layer_takes_fewer_products():
    problem = Convolution.from_shapes((1, 128, 28, 28), (128, 128, 3, 3), padding=2, dilation=2)
    plan = choose(problem, "high", None, Machine.of("avx512"))
    assert plan.algorithm == "winograd"
    assert plan.cost.operations < problem.multiply_adds / 2
