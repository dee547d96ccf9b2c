"""Which taps blocks of outputs meet inputs with, against a walk over all of them."""

import itertools

import pytest

from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution
from striderule.planning.runs import met_taps, part_met


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [(0, 0), (9, 9), (20, 3), (-2, 7)])
@pytest.mark.parametrize("boundary", [("constant", "constant"), ("edge", "constant"), ("constant", "wrap")])
def test_taps_that_meet_inputs(stride, padding, boundary):
    for size, taps, dilation in itertools.product((4, 13), (1, 3, 4), (1, 5)):
        words = {"stride": (1, stride), "padding": ((0, 0), padding), "boundary": (("constant",) * 2, boundary)}
        if sum(padding) + size <= (taps - 1) * dilation:
            continue
        problem = Convolution.from_shapes((1, 1, 3, size), (1, 1, 1, taps), dilation=(1, dilation), **words)
        sources = boundary_indices(size, *padding, boundary)
        outputs = problem.output_size[1]
        for each in (1, 2, 5, 40):
            blocks = [range(first, min(outputs, first + each)) for first in range(0, outputs, each)]
            expected = [
                [t for t in range(taps) if any(sources[j * stride + t * dilation] is not None for j in block)]
                for block in blocks
            ]
            found = met_taps(problem, -1, each)
            assert found == expected
            assert part_met(problem, -1, each) == pytest.approx(sum(map(len, found)) / (len(blocks) * taps))


def test_an_axis_that_is_not_there_has_one_tap():
    problem = Convolution.from_shapes((1, 1, 9), (1, 1, 3), padding=4)
    assert met_taps(problem, -2, 1) == [[0]]
    assert part_met(problem, -2, 1) == 1
