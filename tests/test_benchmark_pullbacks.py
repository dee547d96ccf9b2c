"""The measurement of pullbacks runs, and gives what it says."""

import json
import re

import pytest
from benchmarks import pullbacks, turns
from rich.console import Console


def test_the_table_is_printed_and_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(turns, "BURST", 1e-4)
    names = ["max_pool2d", "max_unpool2d", "batch_norm", "layer_norm", "prelu"]
    pullbacks.main(["--smoke", "--channels-last", "--of", *names, "--json", str(tmp_path / "found.json")])
    assert re.search(r"\| max_unpool2d\(x, 2\) +\| 1x6x14x14 +\| +[\d.]+ \| +- \|", capsys.readouterr().out)
    rows = json.loads((tmp_path / "found.json").read_text())
    assert {row["call"].partition("(")[0] for row in rows} == set(names)
    assert all(row["seconds"]["striderule"] > 0 for row in rows)


def test_ratios_are_to_the_quicker_way(capsys):
    seconds = {"striderule": 2e-6, "autograd": 8e-6, "node": 4e-6}
    pullbacks.show(Console(width=200), [{"family": "pooling", "call": "f(x)", "shape": (2, 3), "seconds": seconds}])
    found = capsys.readouterr().out
    assert "pooling: 1 rows, geometric mean 2.00, worst 2.00 (f(x) of 2x3); to autograd.grad 4.00" in found


def test_wrong_words(capsys):
    for words, message in ((["nothing"], "no family 'nothing'"), (["--rounds", "0"], "must be at least 1")):
        with pytest.raises(SystemExit):
            pullbacks.main(words)
        assert message in capsys.readouterr().err
