"""The benchmark harness: its grammar, its lists, its turns, its sums, and that it runs."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks import big, chart, draws, exact, model, neighbours, start
from benchmarks.limits import Limits
from benchmarks.shapes import FOLDER, Options, parse, read
from benchmarks.tables import Row, Summary, measure, number, overall, sentence, summaries, table
from benchmarks.turns import DISCARDED, Timing, take_turns
from benchmarks.ways import FAMILIES, OURS, Contest, Setting, Way, contest
from benchmarks.ways.contest import drawn, relative

import striderule as sr

LIMITS = Limits(2, {"float32": 2e10, "float64": 1e10}, ((1 << 10, 1e10), (1 << 20, 1e10)))
LISTS = sorted(FOLDER.glob("*.txt"))
# Published multiply-adds of an image of 224x224, without the fully connected layers, in units of 1e9.
NETWORKS = {"resnet-50": (4.09, 53), "vgg-16": (15.35, 13), "mobilenet-v2": (0.30, 52), "convnext-t": (4.46, 58)}


def test_a_shape_in_full():
    shape = parse('mb2g4ic8ih10iw12oc16oh3ow11kh3kw2sh2sw1ph0pw0dh1dw0n"all, named*5"')
    assert (shape.batch, shape.groups, shape.channels, shape.name, shape.count) == (2, 4, (8, 16), "all, named", 5)
    assert (shape.size, shape.kernel, shape.stride) == ((10, 12), (3, 2), (2, 1))
    assert (shape.padding, shape.dilation) == ((0, 0), (2, 1))
    assert shape.output == (3, 11)
    assert shape.of_batch(7).output_shape == (7, 16, 3, 11)
    assert (shape.in_bfloat16().dtypes, shape.in_bfloat16().least_bytes) == (("bfloat16",) * 3, shape.least_bytes // 2)


def test_what_is_left_out_of_a_shape():
    shape = parse("ic64ih56oc64oh56kh3ph1")
    assert (shape.batch, shape.groups, shape.size, shape.stride, shape.count) == (1, 1, (56, 56), (1, 1), 1)
    assert shape.multiply_adds == 64 * 64 * 9 * 56 * 56
    assert shape.least_bytes == 4 * (2 * 64 * 56 * 56 + 64 * 64 * 9)


@pytest.mark.parametrize(
    ("line", "size", "kernel", "output"),
    [
        ("ic2iw9oc3kw3sw2", (9,), (3,), (4,)),
        ("ic2ih9oc3kh3", (9, 9), (3, 3), (7, 7)),
        ("ic2id5ih9oc3kd3pd1", (5, 9, 9), (3, 3, 3), (5, 9, 9)),
        ("ic2id5ih9iw7oc3kd1kh3kw2", (5, 9, 7), (1, 3, 2), (5, 7, 6)),
    ],
)
def test_one_to_three_axes(line, size, kernel, output):
    shape = parse(line)
    assert (shape.size, shape.kernel, shape.output, shape.rank) == (size, kernel, output, len(size))


@pytest.mark.parametrize(
    "line", ["ic3ih8kh3", "ic3ih8oc4oh8kh3", "ic3ih8oc4kh3qq9", "conv 3x3", "ic3ih8oc4", "oc4ih8kh3"]
)
def test_a_wrong_shape_is_refused(line):
    with pytest.raises(ValueError, match=r"grammar|the output is"):
        parse(line)


def test_options_hold_until_they_are_replaced():
    options = Options().after("--deconv --dt=f64")
    shape = parse("ic4ih8oc6oh16kh3sh2ph1", "", options)
    assert (shape.driver, shape.dtypes) == ("deconv", ("float64",) * 3)
    assert (shape.output_padding, shape.weight_shape) == ((1, 1), (4, 6, 3, 3))
    assert shape.multiply_adds == 4 * 6 * 9 * 8 * 8
    assert options.after("--dt=u8:s8:s32").dtypes == ("uint8", "int8", "int32")
    assert options.after("--pool --alg=avg").kind == "avg"
    assert options.after("--reset") == Options()
    for wrong in ("--alg", "--dt=f16", "--dt=u8:s8", "--conv=1", "--axis=-1", "--strange"):
        with pytest.raises(ValueError, match="not an option"):
            options.after(wrong)


def test_shapes_without_weights():
    pool = parse("ic8ih9kh3sh2ph1", "", Options().after("--pool"))
    assert (pool.output_shape, pool.multiply_adds, pool.least_bytes) == ((1, 8, 5, 5), 0, 4 * 8 * (81 + 25))
    adaptive = parse("ic8ih13oh6", "", Options().after("--pool --alg=adaptive_avg"))
    assert adaptive.output_shape == (1, 8, 6, 6)
    with pytest.raises(ValueError, match="adaptive"):
        parse("ic8ih13", "", Options().after("--pool --alg=adaptive_avg"))
    plain = parse('4x16x7x9n"plain"', "", Options().after("--softmax --axis=3"))
    assert (plain.input_shape, plain.output_shape, plain.extent) == ((4, 16, 7, 9), (4, 16, 7, 9), 3)
    assert parse("64x1000", "", Options().after("--softmax")).input_shape == (64, 1000)
    columns = parse("ic2ih6kh3", "", Options().after("--fold"))
    assert (columns.input_shape, columns.output_shape) == ((1, 18, 16), (1, 2, 6, 6))
    assert parse("ic2ih6ph1", "", Options().after("--pad")).output_shape == (1, 2, 8, 8)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_the_lists_are_read_and_distinct(path):
    shapes = read(path)
    assert shapes
    assert len({shape.name for shape in shapes}) == len(shapes)
    assert len({(*shape.input_shape, str(shape)) for shape in shapes}) == len(shapes)
    assert path.read_text(encoding="utf-8").startswith("# ")  # says where the shapes come from
    for shape in shapes:
        assert min(shape.output_shape) >= 1
        assert shape.least_bytes > 0
        assert shape.driver in FAMILIES


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_whole(name):
    billions, layers = NETWORKS[name]
    shapes = read(FOLDER / f"{name}.txt")
    assert sum(shape.count for shape in shapes) == layers
    assert sum(shape.count * shape.multiply_adds for shape in shapes) / 1e9 == pytest.approx(billions, rel=0.01)
    assert {shape.batch for shape in shapes} == {1}
    assert len({(shape.channels, shape.size, shape.kernel, shape.stride, shape.groups) for shape in shapes}) == len(
        shapes
    )


def test_ways_take_turns_and_first_calls_do_not_count():
    calls = []

    def way(name, pause):
        return lambda: (calls.append(name), time.sleep(pause))

    timings = take_turns({"a": way("a", 0.002), "b": way("b", 0.001)}, rounds=2, burst=0.02)
    turns = [name for name, before in zip(calls, [None, *calls], strict=False) if name != before]
    assert turns == ["a", "b", "a", "b"]
    assert calls.count("a") > 2 * DISCARDED
    assert 0.002 <= timings["a"].best <= timings["a"].median


def test_one_long_call_is_discarded_and_one_counts():
    calls = []
    take_turns({"long": lambda: (calls.append(1), time.sleep(0.004))}, rounds=1, burst=0.002)
    assert len(calls) == 2


def row(ours, name="few", count=1, error=1e-7, **peers):
    timings = {OURS: Timing(ours, ours), **{peer: Timing(best, best) for peer, best in peers.items()}}
    errors = {OURS: error, **dict.fromkeys(peers, 1e-7)}
    return Row(parse(f'ic1ih4oc1kh3n"{ours}*{count}"', name), timings, errors)


def test_the_ratio_is_to_the_fastest_peer():
    assert row(2.0, slow=9.0, quick=4.0).ratio == 2.0
    assert row(2.0, slow=9.0, quick=4.0).peer == "quick"
    assert row(2.0).ratio is None


def test_an_error_of_more_than_twice_the_peers_is_marked():
    assert row(1.0, quick=1.0, error=2.1e-7).exceeds
    assert not row(1.0, quick=1.0, error=1.9e-7).exceeds
    assert not row(1.0, error=1.0).exceeds
    rows = [row(1.0, quick=1.0, error=1.0)]
    assert sentence(Summary.of(rows)).endswith("1 with more than twice the peer's error")
    assert rows[0].to_dict(LIMITS)["error_exceeds"]


def test_the_summary_of_a_list():
    rows = [row(1.0, peer=4.0), row(2.0, count=3, peer=0.5), row(3.0, "other")]
    few, other = summaries(rows)
    assert sentence(few) == "ratio: geometric mean 1.00; worst 0.25 (2.0); 1 of 2 rows below 1"
    assert (few.ours, few.peers) == (7.0, 5.5)
    assert sentence(other) == "no peer to compare with"
    assert (other.rows, other.ours, other.peers) == (1, 3.0, None)
    assert table(rows, LIMITS, "few").row_count == 3
    assert overall([few, other]).row_count == 2


def test_numbers_of_tables():
    assert [number(value) for value in (None, 1.234, 0.5, 0.0123, 206.78)] == ["-", "1.23", "0.50", "0.012", "206.78"]


def test_the_limit_is_the_slower_of_arithmetic_and_memory():
    shape = parse("ic64ih56oc64kh3ph1")
    assert LIMITS.seconds(shape) == 2 * shape.multiply_adds / 2e10
    moved = parse("1x64x56x56", "", Options().after("--eltwise"))
    assert LIMITS.seconds(moved) == moved.least_bytes / 1e10
    integers = parse("ic64ih56oc64kh3ph1", "", Options().after("--dt=s8:s8:s32"))
    assert LIMITS.seconds(integers) == integers.least_bytes / 1e10
    assert row(0.5).share(LIMITS) == LIMITS.seconds(row(0.5).shape) / 0.5


def test_bandwidth_between_measured_sizes():
    limits = Limits(1, {}, ((100, 8.0), (10_000, 4.0), (1_000_000, 2.0)))
    found = [limits.bandwidth(size) for size in (1, 100, 1000, 10_000, 100_000, 1 << 40)]
    assert found == pytest.approx([8, 8, 6, 4, 3, 2])
    better = limits.better(Limits(1, {}, ((100, 5.0), (10_000, 9.0), (1_000_000, 1.0))))
    assert better.copies == ((100, 8.0), (10_000, 9.0), (1_000_000, 2.0))


TINY = [
    ("--conv", "g2ic4ih8oc6kh3sh2ph1dh1"),
    ("--conv", "ic3iw20oc4kw5sw2pw1"),
    ("--conv", "ic2id4ih6oc3kd3pd1"),
    ("--conv --dt=f64", "ic4ih8oc6kh3"),
    ("--conv --dt=u8:s8:s32", "ic4ih8oc6kh3ph1"),
    ("--conv --dt=s16:s8:s32", "ic4iw8oc6kw3"),
    ("--deconv", "g2ic4ih5oc6oh10kh3sh2ph1"),
    ("--deconv", "ic4iw5oc6kw4sw3dw1"),
    ("--filter", "ic1ih16iw20oc1kh3ph1"),
    ("--filter", "g3ic3ih16iw20oc3kh5ph2"),
    *((f"--pool --alg={kind}", "ic4ih8kh2sh2") for kind in ("max", "max_indices", "avg", "lp")),
    *((f"--pool --alg={kind}", "ic4iw8kw2sw2") for kind in ("max", "max_indices", "avg", "lp")),
    *((f"--pool --alg=adaptive_{kind}", "ic4id4ih7oh3od2") for kind in ("avg", "max")),
    *((f"--eltwise --alg={kind}", "2x3x5x4") for kind in ("relu", "gelu", "gelu_tanh", "prelu", "softsign")),
    ("--softmax --axis=3", "2x3x5x4"),
    ("--softmax --alg=logsoftmax", "5x9"),
    ("--bnorm", "2x3x5x4"),
    ("--lrn", "ic6ih5ls3"),
    *((f"--pad --alg={kind}", "ic2ih5ph2") for kind in ("constant", "reflect", "replicate", "circular")),
    ("--unfold", "ic2ih6kh3sh2ph1"),
    ("--fold", "ic2ih6kh3sh2ph1"),
]


@pytest.mark.parametrize(
    "setting", [Setting(), Setting(compiled=True, precision="medium"), Setting(channels_last=True)], ids=str
)
@pytest.mark.parametrize(("options", "line"), TINY, ids=lambda word: word)
def test_our_ways_compute_the_shape(setting, options, line):
    shape = parse(f'{line}n"tiny"', "tiny", Options().after(options))
    found = contest(shape, setting)
    assert found.errors()[OURS] <= (0.0 if shape.dtypes[2] == "int32" else 1e-6)
    whole = found.ways[OURS].array(found.ways[OURS].call())
    if shape.kind != "max_indices" and shape.driver != "filter":
        assert whole.shape == shape.output_shape


def test_a_shape_is_measured():
    found = measure(parse('g2ic2ih8oc2kh3ph1n"tiny"', "layers"), Setting(), rounds=1)
    assert found.timings[OURS].best > 0
    assert found.errors[OURS] < 1e-6


def test_who_computes_something_else_is_found_out():
    right = np.ones((2, 3))
    ways = {OURS: Way(lambda: right), "other": Way(lambda: right + 0.1)}
    with pytest.raises(ValueError, match=r"other is 1\.0e-01 from the exact result"):
        Contest(ways, right).errors()
    with pytest.raises(ValueError, match="shape"):
        Contest({OURS: Way(lambda: right), "other": Way(lambda: right.T)}, right).errors()
    # An error outside of what is picked is found by comparing whole results.
    apart = right.copy()
    apart[1, 2] = 2
    with pytest.raises(ValueError, match="other"):
        Contest({OURS: Way(lambda: right), "other": Way(lambda: apart)}, right[:1], lambda whole: whole[:1]).errors()


@pytest.mark.parametrize("line", ["g2ic4ih9iw7oc6kh3kw2sh2ph1dh1", "ic3iw20oc4kw5sw2pw1", "ic2id4ih6oc3kd3kh2pd1"])
@pytest.mark.parametrize("driver", ["conv", "deconv"])
def test_exact_results_are_those_of_the_loops(line, driver):
    shape = parse(line, "", Options(driver=driver)).of_batch(2)
    x, weight = drawn(shape.input_shape, "float32", 0), drawn(shape.weight_shape, "float32", 1)
    pick, right = exact.convolution(shape, x, weight)
    words = {"stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups}
    name = f"{'conv_transpose' if driver == 'deconv' else 'conv'}{shape.rank}d"
    loops = getattr(sr, name)(x.astype(float), weight.astype(float), algorithm="reference", **words)
    assert right.shape[1] == shape.channels[1]
    np.testing.assert_allclose(right, pick(loops), rtol=1e-12, atol=1e-12)


def test_drawn_numbers_are_no_zeros():
    assert np.count_nonzero(drawn((1000,), "float32", 0)) == 1000
    assert drawn((1000,), "int8", 0).max() > 100
    assert abs(drawn((1000,), "int16", 0).astype(int)).max() <= 128
    assert relative(np.zeros(3), np.zeros(3)) == 0


def test_others_on_the_machine_are_noticed(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu 1000 0 0 1000 0 0 0 0 0 0\n")
    watch = neighbours.Watch(stat)
    assert watch.others() is None
    stat.write_text("cpu 901000 0 0 101000 0 0 0 0 0 0\n")
    assert watch.others() == pytest.approx(0.9, abs=0.01)
    assert "90 %" in neighbours.told(watch.others())
    assert neighbours.Watch(tmp_path / "none").others() is None
    assert neighbours.told(None) == neighbours.told(0.01) == ""


def test_cases_are_drawn_by_their_seed():
    first = draws.cases(seed=3, count=1)
    assert [case.family for case in first] == list(draws.FAMILIES)
    assert draws.cases(seed=3, count=1) == first
    assert draws.cases(seed=4, count=1) != first


def test_the_model_is_told_how_good_it_is():
    right = model.Outcome("a", "small", "x", {"x": 1.0, "y": 2.0}, {"x": 1.0, "y": 3.0})
    wrong = model.Outcome("b", "large", "x", {"x": 1.0, "y": 2.0}, {"x": 4.0, "y": 1.0})
    assert (right.fastest, right.loss, right.right) == ("x", 1.0, True)
    assert (wrong.fastest, wrong.loss, wrong.right) == ("y", 4.0, False)
    assert model.geometric_mean([1.0, 4.0]) == 2.0
    assert model.by_family([right, wrong]).row_count == 3
    assert model.by_algorithm([right, wrong]).row_count == 2
    assert wrong.to_dict()["loss"] == 4.0


def test_a_case_is_observed():
    case = draws.Case("dense", "conv2d", ((1, 8, 20, 20), (8, 8, 3, 3)), {"padding": 1})
    found = model.observe(case, rounds=1)
    if found is not None:  # where no code can be generated there is nothing to choose
        assert found.measured.keys() <= found.predicted.keys()
        assert found.chosen in found.measured
        assert found.problem.startswith("convolution of 1x8x20x20")


def test_the_start_of_a_process(tmp_path):
    taken = start.fresh(start._IMPORT, tmp_path)
    assert set(taken) == {"numpy", "striderule", "functions"}
    one = {"conv2d": "sr.conv2d(x, w(16, 8, 3, 3), padding=1)"}
    found = start.fresh(start._CALLS, tmp_path / "kept", structures=one, times=20)
    assert found["calls"]["conv2d"] > 0
    assert found["memory"].keys() >= {"numpy", "striderule", "the first call", "varying shapes, at the end"}
    with pytest.raises(SystemExit, match="a fresh process failed"):
        start.fresh("raise ValueError", tmp_path)


def test_every_structure_can_be_started():
    rng = np.random.default_rng(0)
    place = {"sr": sr, "x": rng.standard_normal((1, 8, 40, 40), dtype=np.float32)}
    place["w"] = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    for text in start.STRUCTURES.values():
        assert np.isfinite(eval(text, place)).all()


def test_a_chart_is_drawn(tmp_path):
    rows = [row(1.0, count=2, peer=4.0), row(2.0, peer=0.5), row(3.0, "other", peer=3.0), row(4.0, "other")]
    chart.draw(rows, "a heading " * 20, tmp_path / "chart.svg")
    text = (tmp_path / "chart.svg").read_text()
    assert text.count("<path") > 10
    with pytest.raises(SystemExit, match="no peer"):
        chart.draw([row(1.0)], "", tmp_path / "none.png")


def run(*words):
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, words)], capture_output=True, text=True, cwd=root, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_runs_and_writes(tmp_path):
    code, said = run("--smoke", "mobilenet-v2", "elementwise", "--batch", 2, "--json", tmp_path / "all.json")
    assert code == 0, said
    data = json.loads((tmp_path / "all.json").read_text())
    assert [found["list_name"] for found in data["lists"]] == ["mobilenet-v2", "elementwise"]
    assert [found["shape"]["batch"] for found in data["rows"]] == [2, 2]
    assert data["limits"]["operations"]["float32"] > 0
    assert "of limit" in said


@pytest.mark.parametrize(
    ("words", "answer"),
    [(["resnet"], "no list 'resnet'"), (["--batch", 0], "--batch must be"), (["model", "--count", 0], "at least 1")],
)
def test_wrong_words_of_the_command_are_refused(words, answer):
    code, said = run(*words)
    assert code == 2
    assert answer in said


def test_a_mapped_file_beside_its_copy(tmp_path, capsys):
    words = ["--gigapixels", "0.001", "--folder", str(tmp_path), "--rounds", "1", "--json", str(tmp_path / "big.json")]
    big.main(words)
    assert "gaussian, sigma 2" in capsys.readouterr().out
    data = json.loads((tmp_path / "big.json").read_text())
    assert [one["name"] for one in data["results"]] == ["copy, mapped", "copy, read and written", "gaussian, sigma 2"]
    assert all(one["seconds"] > 0 for one in data["results"])
    assert [path.name for path in tmp_path.iterdir()] == ["big.json"]
