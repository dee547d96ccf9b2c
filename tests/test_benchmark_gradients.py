"""The measurement of gradients of layers runs, and its exact results are those of the derivative."""

import json
import re

import numpy as np
import pytest
from benchmarks import exact, gradients, turns
from benchmarks.shapes import Options, parse
from benchmarks.ways import Setting
from benchmarks.ways.gradients import OPERANDS, contest

import striderule as sr


def test_the_tables_are_printed_and_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(turns, "BURST", 1e-4)
    gradients.main(["mobilenet-v2", "--smoke", "--json", str(tmp_path / "found.json")])
    assert re.search(r"\| block 14, depthwise, stride 2 +\| +1 \| +[\d.]+ \| +- \|", capsys.readouterr().out)
    found = json.loads((tmp_path / "found.json").read_text())
    names = [row["shape"]["list_name"] for row in found["rows"]]
    assert names == [f"mobilenet-v2: {operand} gradients" for operand in OPERANDS]
    assert all(row["errors"]["striderule"] < 1e-6 for row in found["rows"])


@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize(
    ("line", "driver"),
    [
        ("mb2g2ic4ih7iw6oc6kh3kw2sh2sw1ph1pw0dh0dw1", "conv"),
        ("mb2g2ic4iw9oc6kw3sw2pw1", "conv"),
        ("mb2g2ic4ih5iw6oc6kh3kw2sh2sw1ph1pw0", "deconv"),
    ],
)
def test_exact_results_are_those_of_the_derivative(line, driver, operand):
    shape = parse(line, "drawn", Options(driver=driver))
    rng = np.random.default_rng(0)
    x, weight, gy = (rng.standard_normal(one) for one in (shape.input_shape, shape.weight_shape, shape.output_shape))
    contest(shape, operand, Setting()).errors()
    pick, right = exact.gradient(shape, operand, x, weight, gy)
    op = getattr(sr, f"conv{'_transpose' if driver == 'deconv' else ''}{shape.rank}d")
    words = {"stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups}
    change = {"input": x, "weight": weight, "bias": np.zeros(shape.channels[1])}[operand]
    whole = np.zeros_like(change)
    for at in np.ndindex(
        *change.shape
    ):  # the result is linear in each operand, so differences are exact but for rounding
        one = np.zeros_like(change)
        one[at] = 1
        y = op(one, weight, **words) if operand == "input" else op(x, one, **words) if operand == "weight" else None
        whole[at] = (gy * y).sum() if y is not None else gy[:, at[0]].sum()
    np.testing.assert_allclose(pick(whole), right.astype(float), rtol=1e-9, atol=1e-12)


def test_wrong_words(capsys):
    with pytest.raises(SystemExit):
        gradients.main(["no-such-list"])
    assert "no list 'no-such-list'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gradients.main(["--batch", "0"])
    assert "must be at least 1" in capsys.readouterr().err
