"""Plans in words, and as plain data."""

import json
from dataclasses import replace

import pytest

from striderule.geometry.pooling import FractionalPooling, Pooling, Unpooling
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution, Unfold
from striderule.planning import Machine, Plans, choose, report
from striderule.planning.rules import RULES

# A stride leaves it to the definition's products.
LAYER = Convolution.from_shapes((1, 64, 112, 112), (64, 64, 3, 3), padding=1, stride=2)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (LAYER, "convolution of 1x64x112x112 by 64x64x3x3, stride 2, padding 1, gives 1x64x56x56, float32"),
        (
            Convolution.from_shapes((1, 2, 9, 9), (4, 1, 3, 3), stride=(2, 1), groups=2, padding=((0, 1), 2)),
            "convolution of 1x2x9x9 by 4x1x3x3, stride 2x1, padding 0+1x2, groups 2, gives 1x4x4x11, float32",
        ),
        (
            TransposedConvolution.from_shapes((1, 4, 8), (4, 2, 3), stride=2, padding=1, output_padding=1),
            "transposed convolution of 1x4x8 by 4x2x3, stride 2, padding 1, output_padding 1, gives 1x2x16, float32",
        ),
        (
            LocalConvolution.from_shapes((1, 2, 5), (3, 2, 3, 3), tile="output"),
            "local convolution of 1x2x5 by 3x2x3, gives 1x3x3, float32, tile 3",
        ),
        (Unfold.from_shape((1, 2, 5, 5), 3), "windows of 1x2x5x5 by 3x3, gives 1x18x9"),
        (Pooling.from_shape("max", (1, 2, 8, 8), 2), "max pooling of 1x2x8x8 by 2x2, stride 2, gives 1x2x4x4"),
        (FractionalPooling.from_shape((1, 2, 8), 2, 5), "fractional max pooling of 1x2x8 by 2, gives 1x2x5"),
        (Unpooling.from_shape((1, 2, 4), 2, None, 0, None), "unpooling of 1x2x4, gives 1x2x8"),
    ],
)
def test_a_problem_in_one_line(problem, words):
    assert report.describe(problem) == words


def test_the_printed_plan_tells_everything():
    plan = choose(LAYER, machine=Machine.of("avx512", cores=2))
    lines = {line[:12].strip(): line[12:] for line in str(plan).splitlines()}
    assert lines["problem"] == report.describe(LAYER)
    assert lines["chosen"].startswith(f"{plan.algorithm}: ")
    assert lines["operations"].startswith("115,605,504 multiply-adds")
    expected = "at most 6.0e-06 of |x| * |w|, 3.0e-07 of random results; 'highest' promises 1e-05 and 1e-06"
    assert lines["error"] == expected
    assert "reference: it is the oracle" in lines["not chosen"]
    assert lines["machine"] == "avx512, 2 cores: 320 GFLOP/s, 16 GB/s"
    assert {"predicted", "bytes moved", "workspace"} <= set(lines)
    assert "% of the limit" in lines["predicted"]


def test_plain_data_is_json():
    plan = choose(LAYER)
    found = json.loads(json.dumps(plan.to_dict()))
    assert found["algorithm"] == plan.algorithm
    assert found["operations"] == LAYER.multiply_adds
    assert found["seconds"] == plan.cost.seconds
    assert [candidate["algorithm"] for candidate in found["candidates"]] == list(RULES)
    assert found["machine"]["name"] == plan.machine.name
    assert found["promised"] == {"random_error": 1e-6, "error": 1e-5}
    assert found["random_error"] == plan.cost.random_error
    assert choose(replace(LAYER, dtype="float64")).to_dict()["promised"] is None


def test_every_candidate_is_told_with_its_bound():
    plan = choose(LAYER, "high")
    for other in plan.others:
        told = dict(report.rejected(plan))[other.label]
        assert (f"error at most {other.cost.error:.1e}" in told) if other.cost else (told == other.reason)


def test_passes_that_are_alike_are_told_once():
    one, other = choose(LAYER), choose(Unfold.from_shape((1, 2, 5, 5), 3))
    text = str(Plans("chain", (one, one, other)))
    assert text.startswith("chain: 3 passes, ")
    assert "passes 1 to 2, alike" in text
    assert "pass 3\nproblem     windows" in text
    assert str(Plans("relu", (), "nothing to choose")) == "relu: nothing to choose"
    assert Plans("chain", (one, one)).algorithm == one.algorithm
    assert len(Plans("chain", (one, other)).to_dict()["passes"]) == 2


def test_integers_are_exact_and_forced_algorithms_are_marked():
    problem = Convolution.from_shapes((1, 1, 8), (1, 1, 3), dtype="int64")
    plan = choose(problem, algorithm="reference")
    assert "chosen      reference (asked for): " in str(plan)
    assert "error       none: exact" in str(plan)


def test_a_tile_is_shown():
    plan = choose(LAYER, machine=Machine.of("avx512", cores=3))
    assert plan.algorithm == "direct"
    assert "tile        8 output channels x 3 vectors of 16 positions" in str(plan)
    assert "not chosen  windows: " in str(plan)
