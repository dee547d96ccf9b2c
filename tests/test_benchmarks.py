"""The benchmark harness: its grammar, its turns, its sums, and that it runs."""

import time

import numpy as np
import pytest
from benchmarks.__main__ import Row, measure, summary, table
from benchmarks.shapes import FOLDER, parse, read
from benchmarks.turns import DISCARDED, Limits, Timing, take_turns
from benchmarks.ways import OURS, ways

import striderule as sr

LIMITS = Limits(multiply_adds=1e10, bytes=1e10)


def test_a_shape_in_full():
    shape = parse('mb2g4ic8ih10iw12oc16oh3ow11kh3kw2sh2sw1ph0pw0dh1dw0n"all, named"')
    assert (shape.batch, shape.groups, shape.channels, shape.name) == (2, 4, (8, 16), "all, named")
    assert (shape.size, shape.kernel, shape.stride) == ((10, 12), (3, 2), (2, 1))
    assert (shape.padding, shape.dilation) == ((0, 0), (2, 1))
    assert shape.output == (3, 11)


def test_what_is_left_out_of_a_shape():
    shape = parse("ic64ih56oc64oh56kh3ph1")
    assert (shape.batch, shape.groups, shape.size, shape.stride) == (1, 1, (56, 56), (1, 1))
    assert shape.multiply_adds == 64 * 64 * 9 * 56 * 56
    assert shape.elements == 2 * 64 * 56 * 56 + 64 * 64 * 9


@pytest.mark.parametrize("line", ["ic3ih8kh3", "ic3ih8oc4oh8kh3", "ic3ih8oc4kh3qq9", "conv 3x3"])
def test_a_wrong_shape_is_refused(line):
    with pytest.raises(ValueError, match=r"grammar|the output is"):
        parse(line)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_lists_are_read_and_distinct(path):
    shapes = read(path)
    assert shapes
    assert len({shape.name for shape in shapes}) == len(shapes)


def test_ways_take_turns_and_first_calls_do_not_count():
    calls = []

    def way(name, pause):
        return lambda: (calls.append(name), time.sleep(pause))

    timings = take_turns({"a": way("a", 0.002), "b": way("b", 0.001)}, rounds=2, burst=0.004)
    turns = [name for name, before in zip(calls, [None, *calls], strict=False) if name != before]
    assert turns == ["a", "b", "a", "b"]
    assert calls.count("a") > 2 * DISCARDED
    assert 0.002 <= timings["a"].best <= timings["a"].median


def row(ours, **peers):
    timings = {OURS: Timing(ours, ours), **{name: Timing(best, best) for name, best in peers.items()}}
    return Row(parse(f'ic1ih4oc1kh3n"{ours}"', "few"), timings, 1e-7, 0.5)


def test_the_ratio_is_to_the_fastest_peer():
    assert row(2.0, slow=9.0, quick=4.0).ratio == 2.0
    assert row(2.0, slow=9.0, quick=4.0).peer == "quick"
    assert row(2.0).ratio is None


def test_the_summary_of_a_table():
    rows = [row(1.0, peer=4.0), row(2.0, peer=0.5), row(3.0)]
    assert summary(rows) == "ratio: geometric mean 1.00; worst 0.25 (few: 2.0); 1 of 2 rows below 1"
    assert summary([row(1.0)]) == "no peer to compare with"
    assert table(rows).row_count == 3


@pytest.mark.parametrize("name", ["images", "layers"])
def test_a_shape_is_measured(name):
    found = measure(parse('g2ic2ih8oc2kh3ph1n"tiny"', name), {}, LIMITS, rounds=1)
    assert found.timings[OURS].best > 0
    assert found.error < 1e-6
    assert found.share > 0


def test_our_ways_compute_the_shape():
    x_shape = parse('mb2g2ic4ih9oc6kh3sh2ph1dh1n"layer"', "layers")
    found, exact = ways(x_shape, {})
    assert exact.shape == (2, 6, *x_shape.output)
    np.testing.assert_allclose(found[OURS](), exact, rtol=1e-4, atol=1e-5)
    assert x_shape.output == sr.geometry.output_size((9, 9), 3, 2, 1, 2)
