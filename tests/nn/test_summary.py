"""The table of a model: numbers worked out by hand."""

import json

import numpy as np
import pytest

from striderule import nn
from striderule.errors import InvalidArgument


def residual():
    body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
    return nn.Sequential(
        ("stem", nn.ConvLayer(3, 8, 7, 2, 3, pooling=nn.MaxPool2d(3, 2, 1))),
        ("block", nn.Residual(body, activation="relu")),
        ("inception", nn.Concat(None, nn.Conv2d(8, 4, 5, padding=2))),
        ("pool", nn.GlobalAvgPool2d()),
        ("flat", nn.Flatten()),
    )


def test_rows_and_totals():
    model = residual().train()
    model["stem"].freeze()
    found = nn.summary(model, (1, 3, 64, 64))
    rows = {row.name: row for row in found.rows}
    assert list(rows) == [
        "stem", "stem.pooling", "block.body.0", "block.body.1", "block.body.2", "inception.1", "pool", "flat",
    ]  # fmt: skip
    assert rows["stem"].output_shape == (1, 8, 16, 16)
    assert rows["stem"].parameters == 3 * 8 * 49 + 8
    assert rows["stem"].multiply_adds == 32 * 32 * 8 * 3 * 49
    assert rows["stem"].sees == (7, 7)
    assert rows["stem"].algorithm
    assert rows["stem.pooling"].sees == (11, 11)
    assert rows["block.body.0"].multiply_adds == 16 * 16 * 8 * 8 * 9
    # 11 + 2 * 2 * 4 after two 3x3 at a step of 4, and 4 * 4 more by 5x5.
    assert rows["block.body.2"].sees == (27, 27)
    assert rows["inception.1"].input_shape == (1, 8, 16, 16)
    assert rows["inception.1"].sees == (43, 43)
    assert rows["inception.1"].bytes == 4 * (8 * 256 + 4 * 256 + 8 * 4 * 25 + 4)
    assert rows["pool"].sees == (43 + 15 * 4,) * 2
    assert rows["flat"].output_shape == (1, 12)
    assert rows["flat"].sees == ()
    assert found.parameters == sum(value.size for value in model.parameters().values())
    assert found.trained == found.parameters - rows["stem"].parameters
    assert found.multiply_adds == sum(row.multiply_adds for row in found.rows)
    assert model.training
    assert "forward" not in vars(model["stem"])
    assert model.eval()["stem"](np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 8, 16, 16)


def test_the_table():
    text = str(nn.summary(residual(), (1, 3, 64, 64)))
    lines = text.splitlines()
    assert lines[0] == "Sequential"
    assert lines[1].split() == ["layer", "kind", "output", "parameters", "multiply-adds", "bytes", "sees", "algorithm"]
    assert "1,204,224" in next(line for line in lines if line.startswith("stem "))
    assert lines[-1].startswith("total")
    assert max(map(len, lines)) <= 120
    json.dumps(nn.summary(residual(), (1, 3, 64, 64)).to_dict())


def test_transposed_layers_see_less_often():
    model = nn.Sequential(nn.Conv2d(1, 1, 4, 2, 1), nn.ConvTranspose2d(1, 1, 4, 2, 1), nn.Conv2d(1, 1, 3))
    assert [row.sees for row in nn.summary(model, (1, 1, 16, 16)).rows] == [(4, 4), (6, 6), (8, 8)]


def test_layers_are_as_before_after_an_error():
    model = residual()
    with pytest.raises(InvalidArgument, match="x must be"):
        nn.summary(model, (1, 5, 64, 64))
    assert all("forward" not in vars(layer) and layer.training for _, layer in model.layers())
