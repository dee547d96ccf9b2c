"""Models saved and loaded: names, old names, counts that files lack, and what does not fit."""

import re

import numpy as np
import pytest

from striderule import models, nn
from striderule.errors import InvalidArgument


def small(seed=0, classes=2):
    first = nn.Conv2d(1, 2, 3, seed=seed)
    body = nn.Sequential(first, nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
    return nn.Sequential(("features", body), ("fc", nn.Linear(32, classes, seed=seed)))


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "x.safetensors"
    model = small()
    model(np.ones((2, 1, 6, 6), np.float32))  # the statistics move
    nn.save(model, path, {"note": "a"})
    assert nn.read_tensors(path)[1] == {"format": "pt", "note": "a"}
    other = nn.load(small(1), path)
    for name, value in model.state().items():
        np.testing.assert_array_equal(other.state()[name], value)
    assert other["features"][1].num_batches_tracked == 1


def test_other_types_and_counts(tmp_path):
    path = tmp_path / "x.safetensors"
    state = dict(small().state())
    nn.write_tensors(path, {name: value.astype(np.float16) for name, value in state.items() if value.dtype.kind == "f"})
    model = small(1)
    model(np.ones((2, 1, 6, 6), np.float32))
    nn.load(model, path)
    assert model["fc"].weight.dtype == np.float32
    np.testing.assert_array_equal(model["fc"].weight, state["fc.weight"].astype(np.float16))
    assert model["features"][1].num_batches_tracked == 1
    nn.write_tensors(path, state | {"features.7.num_batches_tracked": np.array(3)})
    assert nn.load(model, path)["features"][1].num_batches_tracked == 0


def test_what_does_not_fit_is_named_and_nothing_is_changed(tmp_path):
    path = tmp_path / "x.safetensors"
    nn.save(small(classes=5), path)
    model = small(1)
    shapes = r"fc.weight has the shape (5, 32), the layer's has (2, 32)"
    with pytest.raises(InvalidArgument, match=rf"x.safetensors: .*{re.escape(shapes)}"):
        nn.load(model, path)
    nn.write_tensors(path, {"fc.weight": np.ones((2, 32)), "head.weight": np.ones(1)})
    with pytest.raises(InvalidArgument, match=r"missing: fc.bias, features.0.bias, .*; unknown: head.weight"):
        nn.load(model, path)
    np.testing.assert_array_equal(model["fc"].weight, small(1)["fc"].weight)


def test_old_names_of_densenet(tmp_path):
    """As in the files that torchvision publishes: a dot before the number, and no counts."""
    network, path = models.densenet121(3, seed=0), tmp_path / "x.safetensors"
    state = network.state()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock4.denselayer16.norm.2.running_var" in old
    assert "features.norm5.weight" in old
    nn.write_tensors(path, old)
    loaded = nn.load(models.densenet121(3, seed=1), path).state()
    assert all(np.array_equal(value, loaded[name]) for name, value in state.items())
    one = "features.denseblock1.denselayer1.norm1.weight"
    nn.write_tensors(path, old | {one: state[one]})
    with pytest.raises(InvalidArgument, match=r"unknown: features.denseblock1.denselayer1.norm.1.weight"):
        nn.load(network, path)
