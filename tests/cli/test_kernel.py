"""The kernel command."""

import json

import numpy as np
import pytest

from striderule import kernels


def test_without_argument_it_lists_all(command):
    result = command("kernel")
    assert result.exit_code == 0
    for name in kernels.__all__:
        assert (name in result.stdout) is True
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert json.loads(command("kernel", "--json").stdout)["box"]["usage"] == "box:size"


def test_values_are_shown(command):
    said = command("kernel", "sobel:axis=0", "--show").stdout
    assert "3 x 3, int16, centre at (1, 1)" in said
    assert "sums to 0: answers to changes, flat areas give 0" in said
    rows = [line.split() for line in said.splitlines()]
    for row in (["0", "-1", "-2", "-1"], ["1", "0", "0", "0"], ["2", "1", "2", "1"]):
        assert row in rows


def test_wide_kernels_are_printed_as_multiples(command):
    said = command("kernel", "gaussian:2", "--show").stdout
    assert "each number times 1e-4" in said
    assert "sums to 1: keeps the brightness of flat areas" in said
    assert max(len(line) for line in said.splitlines()) <= 80
    rows = [line.split() for line in said.splitlines()]
    middle = [str(round(value * 1e4)) for value in kernels.gaussian(2)[8]]
    assert ["8", *middle] in rows


def test_very_wide_kernels_come_in_blocks(command):
    said = command("kernel", "[" + str(list(range(100, 160))) + "]", "--show").stdout
    assert max(len(line) for line in said.splitlines()) <= 80
    words = said.split()
    for value in range(100, 160):
        assert str(value) in words


@pytest.mark.parametrize("words", [("--show",), ("--save", "down.npy")])
def test_options_of_one_kernel_need_one(refused, tmp_path, words):
    assert refused("kernel", *words) == f"{words[0]} needs a KERNEL, such as gaussian:2; none was given"
    assert not list(tmp_path.iterdir())


def test_json_and_saving(command, refused, tmp_path):
    found = json.loads(command("kernel", "gaussian:1,size=3", "--json").stdout)
    assert np.allclose(found["parts"][0]["values"], kernels.gaussian(1, size=3))
    command("kernel", "gaussian:1,size=3", "--save", "k.npy")
    assert np.array_equal(np.load(tmp_path / "k.npy"), kernels.gaussian(1, size=3))
    assert "k.npy exists; add --overwrite" in refused("kernel", "box:3", "--save", "k.npy")
    assert command("kernel", "box:3", "--save", "k.npy", "--overwrite").exit_code == 0
    assert "--save must name a .npy file, got k.txt" in refused("kernel", "box:3", "--save", "k.txt")
    assert "--save writes one kernel and sobel is two" in refused("kernel", "sobel", "--save", "s.npy")
    said = refused("kernel", "box:3", "--save", "no/k.npy")
    assert said == "the folder no does not exist; make it first"
    (tmp_path / "d.npy").mkdir()
    assert refused("kernel", "box:3", "--save", "d.npy") == "d.npy is a folder; name a file in it"
    assert "unknown kernel 'boks'" in refused("kernel", "boks")


def test_a_kernel_that_cannot_be_saved_whole_leaves_the_old_file(command, refused, tmp_path, monkeypatch):
    command("kernel", "gaussian:1,size=3", "--save", "k.npy")
    before = (tmp_path / "k.npy").read_bytes()

    def crash(path, *_, **__):
        path.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", crash)
    said = refused("kernel", "box:3", "--save", "k.npy", "--overwrite")
    assert said == "k.npy cannot be written: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["k.npy"]
    assert (tmp_path / "k.npy").read_bytes() == before
