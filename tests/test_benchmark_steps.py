"""The measurement of training steps runs, without PyTorch too, and counts memory that is held."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from benchmarks import steps, turns
from benchmarks.ways.networks import in_torch

import striderule as sr
from striderule import nn


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr(turns, "BURST", 1e-4)
    few = replace(steps.NETWORKS["lenet-5"], shape=(4, 1, 32, 32))
    monkeypatch.setattr(steps, "NETWORKS", {"lenet-5": few})
    monkeypatch.setattr(steps, "_in_a_process", lambda function, *words: 20_000_000)


def test_the_table_is_printed_and_written(tmp_path, capsys):
    steps.main(["--alone", "--memory", "--rounds", "1", "--json", str(tmp_path / "steps.json")])
    printed = capsys.readouterr().out
    assert re.search(r"\| lenet-5 +\| 4x1x32x32 +\| +[\d.]+ \| +- \| +- \| - +\| +20.0 \| +- \|", printed)
    (found,) = json.loads((tmp_path / "steps.json").read_text())
    assert found["seconds"]["striderule"] > 0
    assert found["memory"] == {"striderule": 20_000_000}


def test_peaks_are_of_the_network_alone(monkeypatch):
    words = "lenet-5", steps.OURS, sr.get_num_threads(), sr.get_default_precision()
    monkeypatch.setattr(steps, "_forget_peak", lambda: True)
    monkeypatch.setattr(steps, "_resident", {"VmRSS": 100, "VmHWM": 350}.get)
    assert steps.peak_memory(*words) == 250
    monkeypatch.setattr(steps, "_resident", lambda word: None)
    assert steps.peak_memory(*words) is None


@pytest.mark.conformance
def test_networks_are_the_same_in_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    body = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, activation="relu", seed=rng), nn.BatchNorm2d(4), nn.ReLU6(), nn.Dropout(0.0)
    )
    model = nn.Sequential(
        nn.ConvTranspose2d(2, 4, 2, stride=2, seed=rng),
        nn.Residual(body, activation="relu"),
        nn.Concat(None, nn.AvgPool2d(3, stride=1, padding=1)),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3, seed=rng),
        nn.Tanh(),
    )
    x = rng.standard_normal((2, 2, 8, 8), np.float32)
    found = in_torch(model, torch).train()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model(x), found, rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match="nothing is known of Mish"):
        in_torch(nn.Mish(), torch)


def test_wrong_words(capsys):
    with pytest.raises(SystemExit):
        steps.main(["no-such-network"])
    assert "no network 'no-such-network'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        steps.main(["--threads", "0"])
    assert "must be at least 1" in capsys.readouterr().err
