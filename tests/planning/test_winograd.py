"""How tiles are cut, and what borders leave out: arithmetic on sizes."""

import itertools

import pytest

from striderule.geometry.problem import Convolution
from striderule.planning import winograd
from striderule.planning.edges import kinds_of

LAYER = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("variant", winograd.VARIANTS)
@pytest.mark.parametrize("shape", [(1, 64, 56, 56), (3, 48, 7, 9), (16, 512, 14, 14), (1, 20, 300)])
def test_every_way_covers_all_tiles_and_channels(shape, variant, lanes):
    problem = Convolution.from_shapes(shape, (70, shape[1], *(3,) * (len(shape) - 2)), padding=1)
    ways = winograd.Ways(problem, variant, lanes)
    tiles, wide = ways.tiles, -(-70 // lanes)
    for sums in winograd.register_tiles(16 if lanes < 16 else 32):
        for plan in itertools.chain(ways.shared(*sums), ways.own(*sums)):
            assert plan.output_vectors * plan.output_blocks * plan.output_tasks >= wide
            assert plan.output_vectors % plan.vectors == plan.chain % lanes == 0
            assert plan.chain * plan.chains >= shape[1] > plan.chain * (plan.chains - 1)
            assert plan.pitch >= plan.chain
            assert 0 < plan.wave <= tiles
            assert plan.operations > 0
    assert winograd.tiling(problem, variant, lanes, 16).saved > 1


def test_chains_do_not_depend_on_the_batch():
    for batch in (1, 2, 100):
        problem = Convolution.from_shapes((batch, 200, 14, 14), (64, 200, 3, 3))
        plan = winograd.tiling(problem, "F4", 16, 32)
        assert (plan.chain, plan.chains) == winograd.chains_of(200, "F4", 16)


def test_inside_every_input_meets_every_tap():
    for padding, border in ((0, 5), (1, 3), (2, 1)):
        problem = Convolution.from_shapes((1, 4, 40, 40), (4, 4, 3, 3), padding=padding)
        rows, columns = kinds_of(problem, "F4")
        assert len(rows) == len(columns) == border
        assert (1.0, 1.0, 1.0) in {met for _, met in rows}


def test_the_first_input_of_all_leaves_no_trace_of_taps_that_it_does_not_meet():
    """Its transform is a single point, where the others are not."""
    problem = Convolution.from_shapes((1, 4, 40, 40), (4, 4, 3, 3))
    growth = {met: growths for growths, met in kinds_of(problem, "F4")[0]}[1.0, 0.0, 0.0]
    assert growth[0] > 0
    assert growth[1:] == (0.0, 0.0)


def test_what_a_boundary_repeats_meets_more():
    problem = Convolution.from_shapes((1, 4, 40), (4, 4, 3), padding=1, boundary="edge")
    assert {met for _, met in kinds_of(problem, "F2")[1]} == {(1.0, 1.0, 1.0), (2.0, 1.0, 0.0), (0.0, 1.0, 2.0)}
