"""The measurement of what a call costs runs, with and without PyTorch."""

import json
import re

import numpy as np
import pytest
from benchmarks import calls


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr(calls, "BURST", 1e-4)
    monkeypatch.setattr(calls, "_torch_calls", lambda *arrays: {"relu": lambda: np.maximum(arrays[0], 0)})


def test_the_table_is_printed_and_written(tmp_path, capsys):
    calls.main(["--rounds", "1", "--json", str(tmp_path / "calls.json")])
    printed = capsys.readouterr().out
    assert re.search(r"\| conv2d\(x, w\) +\| +[\d.]+ \| +- \| +- \| +8.0 \|", printed)
    assert re.search(r"\| relu\(x\) +\| +[\d.]+ \| +[\d.]+ \| +[\d.]+ \| +- \|", printed)
    found = json.loads((tmp_path / "calls.json").read_text())
    assert len(found) == len(calls.rows())
    assert all(row["ours"] > 0 for row in found)


def test_every_row_computes():
    for row in calls.rows():
        assert isinstance(row.ours(), np.ndarray), row.name


def test_wrong_words(capsys):
    with pytest.raises(SystemExit):
        calls.main(["--rounds", "0"])
    assert "must be at least 1" in capsys.readouterr().err
