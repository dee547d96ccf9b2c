"""The explain command."""

import json

import pytest

import striderule as sr

LAYER = ("conv2d", "--input", "1,64,56,56", "--weight", "64,64,3,3", "--padding", 1)


def test_printed(command):
    result = command("explain", *LAYER)
    assert result.exit_code == 0, result.output
    plan = sr.explain(sr.conv2d, sr.Array((1, 64, 56, 56)), sr.Array((64, 64, 3, 3)), padding=1)
    assert result.stdout.rstrip("\n") == str(plan)


def test_json(command):
    found = json.loads(command("explain", *LAYER, "--json").stdout)
    assert found["operations"] == 115_605_504
    assert "measured_seconds" not in found


@pytest.mark.parametrize(
    "words",
    [
        ("conv2d", "--input", "1,3,8,8", "--weight", "4,3,3,3"),
        ("max_pool2d", "--input", "1,4,8,8", "--kernel-size", 3, "--stride", "2,1"),
        ("correlate", "--input", "9,9", "--weight", "3,3", "--boundary", "wrap", "--dtype", "uint8"),
        ("unfold", "--input", "1,2,7,7", "--kernel-size", 3),
        ("conv_transpose1d", "--input", "1,4,9", "--weight", "4,2,3", "--precision", "high"),
    ],
)
def test_every_candidate_is_measured(command, words):
    found = json.loads(command("explain", *words, "--run", "--json").stdout)
    able = [one for one in found["candidates"] if one["cost"]]
    able = {":".join(filter(None, (one["algorithm"], one["variant"]))) for one in able}
    assert set(found["measured_seconds"]) == able
    assert all(0 < seconds < 60 for seconds in found["measured_seconds"].values())


def test_measured_times_stand_beside_the_predicted_ones(command):
    result = command("explain", "conv1d", "--input", "1,2,16", "--weight", "2,2,3", "--run")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["candidate", "predicted", "measured", "error", "at", "most", "may", "be", "chosen"] in lines
    labels = [line[0] for line in lines if line[-1:] in (["yes"], ["no"])]
    # Processors differ in their dot products.
    labels = [label for label in labels if not label.startswith("dots")]
    assert labels == ["direct", "windows", "fourier", "reference"]


def test_passes_and_functions_without_a_choice(command):
    assert command("explain", "gradient", "--input", "9,9").stdout.startswith(
        "problem     convolution of 1x1x9x9 by 2x1"
    )
    assert command("explain", "relu", "--input", "9,9").stdout.startswith("relu: nothing to choose")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("conv9d", "--input", "3"), "operation must be one of adaptive_avg_pool1d, "),
        (("set_num_threads", "--input", "3"), "operation must be one of adaptive_avg_pool1d, "),
        (("conv2d", "--input", "1,a", "--weight", "1"), "--input must be whole numbers such as 1,64,56,56, got '1,a'"),
        (("conv2d", "--input", "1,3,8,8"), "conv2d needs --weight"),
        (("max_pool2d", "--input", "1,3,8,8"), "max_pool2d needs --kernel-size"),
        (("max_pool2d", "--input", "1,3,8,8", "--weight", "3"), "max_pool2d has no weight; leave --weight away"),
        (("conv2d", "--input", "1,3,8,8", "--weight", "4,2,3,3"), "so the input must have 2 channels, got 3"),
        (("conv2d", "--input", "1,3,8,8", "--weight", "4,3,3,3", "--dtype", "word"), "dtype must be a NumPy type"),
    ],
)
def test_refusals(refused, words, message):
    assert message in refused("explain", *words)
