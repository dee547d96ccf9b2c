"""What is predicted: operations by the definition, and figures that follow from the shapes."""

import itertools
from dataclasses import replace

import pytest

from striderule.algorithms.windows import convolution as windows
from striderule.errors import InvalidArgument
from striderule.geometry.pooling import AdaptivePooling, Pooling
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution, Unfold
from striderule.planning import Machine, cost
from striderule.planning.machine import DEFAULTS, itemsize
from striderule.planning.register_tiles import register_tiles
from striderule.planning.rules import PROMISES, keeps_promise
from striderule.planning.schedule import CHAIN, MOST_PLANES, PLANES, SHARED, schedule
from striderule.planning.work import Cost, work_of

LAYER = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
PROBLEMS = (
    LAYER,
    Convolution.from_shapes((2, 8, 9), (8, 1, 3), groups=8, dtype="float64"),
    Convolution.from_shapes((1, 1, 20, 20), (1, 1, 5, 5), zero_taps="skip", dtype="int32"),
    Convolution.from_shapes((0, 4, 8, 8), (4, 4, 3, 3)),
    LocalConvolution.from_shapes((1, 2, 5), (3, 2, 3, 3), tile="output"),
    TransposedConvolution.from_shapes((1, 4, 8), (4, 2, 3), stride=2),
    Unfold.from_shape((1, 2, 9, 9), 3),
    Pooling.from_shape("max", (1, 4, 8, 8), 2),
    AdaptivePooling.from_shape("average", (1, 4, 9, 9), (3, 3)),
)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_machine_of_a_target(name):
    machine = Machine.of(name, cores=4)
    assert (machine.name, machine.cores, machine.model.cores) == (name, 4, 1)
    assert machine.lanes("float32") == 2 * machine.lanes("float64") == machine.vector_bytes // 4
    assert machine.peak("float32") == 2 * machine.peak("float64") == 4 * machine.model.peak("float32")


def test_measured_rates_change_the_prediction_and_not_what_decides():
    machine = Machine("avx2", 32, 16, cores=2, measured=(("float32", 1e12),))
    assert machine.peak("float32") == 2e12
    assert machine.model == Machine.of("avx2")
    with pytest.raises(InvalidArgument, match="machine must be one of amx, avx512, avx2, sse2, neon, got 'x'"):
        Machine.of("x")


@pytest.mark.parametrize(("dtype", "size"), [("bool", 1), ("uint8", 1), ("float16", 2), ("int64", 8), ("complex64", 8)])
def test_itemsize(dtype, size):
    assert itemsize(dtype) == size


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_work_counts_what_the_definition_says(problem):
    work = work_of(problem, "float32")
    if hasattr(problem, "multiply_adds"):
        assert work.operations == problem.multiply_adds
        assert work.flops == 2 * work.operations
    for name, machine in itertools.product(("windows", "reference"), map(Machine.of, DEFAULTS)):
        found = cost.COSTS[name](problem, work, machine)
        assert found.operations >= work.operations
        assert found.seconds >= work.limit(machine)
        assert found.bytes_moved >= work.least_bytes
        assert found.workspace >= 0


def test_pooling_counts_the_elements_of_its_windows():
    assert work_of(PROBLEMS[-2], "uint8").operations == 4 * 4 * 4 * 4
    assert work_of(PROBLEMS[-2], "uint8").least_bytes == 4 * 64 + 4 * 16
    assert work_of(PROBLEMS[-1], "uint8").operations == 4 * 81


@pytest.mark.parametrize("name", DEFAULTS)
def test_direct_computes_the_edges_of_its_tiles_too(name):
    machine = Machine.of(name)
    work = work_of(LAYER, "float32")
    found = cost.direct(LAYER, work, machine)
    assert work.operations <= found.operations < 1.2 * work.operations
    assert work.limit(machine) < found.seconds < cost.windows(LAYER, work, machine).seconds
    assert f"vectors of {machine.lanes('float32')} positions" in found.tile
    # What stays in registers: the sums and a row of inputs; a weight may be read from memory in the multiply-add.
    assert all(rows * vectors + vectors <= machine.registers for rows, vectors in register_tiles(machine.registers))


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("size", [1, 3, 5, 17, 40])
def test_direct_counts_what_its_tiles_compute_beyond_the_edges(name, size):
    """Rows of tiles beyond the last channel, and lanes beyond the last position: counted one by one here."""
    machine = Machine.of(name)
    problem = Convolution.from_shapes((3, 4, size, size), (14, 2, 3, 3), padding=1, groups=2)
    found = cost.direct(problem, work_of(problem, "float32"), machine)
    lanes = machine.lanes("float32")
    cut = schedule(problem, lanes, machine.registers, 4)
    tiles = sum(-(-min(cut.channels, 7 - first) // cut.tile[0]) for first in range(0, 7, cut.channels))
    computed = 0
    cuts = (3, size, size), (cut.images, cut.rows, cut.columns)
    for image, row, column in itertools.product(*map(range, (0, 0, 0), *cuts)):
        images, rows, columns = min(cut.images, 3 - image), min(cut.rows, size - row), min(cut.columns, size - column)
        met = list(itertools.product((-1, 0, 1), repeat=2))
        if cut.met < 1:  # taps that meet only zeros are left out
            met = [
                (t, u)
                for t, u in met
                if any(0 <= row + i + t < size for i in range(rows))
                and any(0 <= column + j + u < size for j in range(columns))
            ]
        apart, beside = (1, images) if cut.merged else (images, 1)
        for length in apart * ([beside * rows * columns] if cut.together else [columns] * (beside * rows)):
            # Last positions may be summed one by one; the others are vectors.
            computed += 2 * len(met) * (-(-(length - cut.narrow) // lanes) * lanes + cut.narrow)
    assert found.operations == 2 * tiles * cut.tile[0] * computed


def test_planes_are_shared_where_blocks_of_channels_would_repeat_them():
    layer = Convolution.from_shapes((1, 256, 28, 28), (256, 256, 3, 3), stride=2, padding=1)
    cut = schedule(layer, 16, 32, 4)
    assert (cut.wave, cut.planes) == (1, 0)
    assert cut.channel_blocks > 1
    assert replace(cut, wave=2).waves(5) == ((0, 2), (2, 2), (4, 1))
    # So many blocks at a time that what is shared stays bounded, whatever the batch.
    many = schedule(replace(layer, batch=4), 16, 32, 4)
    for one in (cut, many):
        assert one.wave * one.plane * layer.in_channels * 4 <= SHARED
    # Small images are laid out together.
    small = schedule(Convolution.from_shapes((16, 256, 4, 4), (512, 256, 3, 3), stride=2, padding=1), 16, 32, 4)
    assert small.merged
    assert small.wave * small.plane * 256 * 4 <= SHARED
    assert small.wave > 0
    # One block of channels repeats nothing, and single taps of stride 1 are read where they are.
    assert schedule(replace(layer, out_channels=8), 16, 32, 4).wave == 0
    assert schedule(Convolution.from_shapes((1, 256, 28, 28), (256, 256, 1, 1)), 16, 32, 4).wave == 0


@pytest.mark.parametrize("lanes", [8, 16])
def test_flat_planes_may_be_larger_where_the_second_level_cache_is(lanes):
    """Rows that reach far are copied as one in blocks of many rows alone."""
    cut = schedule(Convolution.from_shapes((1, 512, 33, 33), (64, 512, 3, 3), padding=6, dilation=6), lanes, 32, 4)
    held = cut.met * cut.plane * cut.chunk * 4
    assert PLANES < held <= MOST_PLANES if lanes == 16 else held <= PLANES
    assert cut.flat == (lanes == 16)


def test_more_work_takes_longer():
    def seconds(name, channels):
        words = {"dtype": "int64", "stored": ("int8", "int8")} if name == "dots" else {}
        problem = Convolution.from_shapes((1, channels, 28, 28), (channels, channels, 3, 3), **words)
        machine = Machine.of("avx2", units=("dot16",))
        found = cost.COSTS[name](problem, work_of(problem, "float32"), machine)
        return min(one.seconds for one in (found if isinstance(found, tuple) else (found,)))

    for name in set(cost.COSTS) - {"separable"}:  # that filters single channels
        times = [seconds(name, channels) for channels in (16, 32, 64, 128)]
        assert times == sorted(set(times))


def test_the_blocks_are_those_of_windows():
    assert (CHAIN, cost.COLUMNS, cost.SWEEP) == (windows.CHAIN, windows.COLUMNS, windows.SWEEP)


def test_error_bounds_keep_the_promise_for_any_size():
    for channels in (1, 100, 100_000):
        problem = Convolution.from_shapes((1, channels, 8, 8), (1, channels, 3, 3))
        error, random_error = work_of(problem, "float32").pairwise
        assert 0 < error <= PROMISES["highest"][1]
        assert 0 < random_error <= PROMISES["highest"][0]
        assert keeps_promise("highest", "float32", error, random_error) is None
    assert work_of(PROBLEMS[2], "float32").pairwise == (0, 0)


@pytest.mark.parametrize(
    ("word", "dtype", "errors", "reason"),
    [
        ("highest", "float32", (1e-5, 1e-6), None),
        ("highest", "float32", (3e-5, 1e-7), "its error may reach 3.0e-05 of |x| * |w|, more than the 1e-05 that"),
        ("highest", "float32", (1e-6, 2e-6), "its error on random data is 2.0e-06, more than the 1e-06 that 'highest'"),
        ("high", "float32", (3e-5, 2e-6), None),
        ("high", "float32", (6e-5, 2e-6), "its error may reach 6.0e-05"),
        ("medium", "float32", (9e-3, 5e-3), None),
        ("medium", "float32", (9e-3, 6e-3), "its error on random data is 6.0e-03, more than the 5e-03"),
        ("medium", "float64", (1e-13, 1e-15), None),
        ("medium", "float64", (1e-6, 1e-7), "its error on random data is 1.0e-07, and float64 keeps 1e-14"),
        ("medium", "int64", (0.0, 0.0), None),
        ("medium", "int64", (1e-9, 0.0), "its error may reach 1.0e-09 of |x| * |w|, and integers are exact"),
        ("medium", "complex64", (1e-2, 1e-2), None),
    ],
)
def test_both_errors_are_held_to_the_promise(word, dtype, errors, reason):
    found = keeps_promise(word, dtype, *errors)
    assert found is None if reason is None else found.startswith(reason)


def test_weights_that_are_packed_before_cost_nothing():
    found = Cost(1, 2, 3, 5.0, 1e-7, 1e-8, packing=2.0).with_packed_weights()
    assert (found.seconds, found.packing) == (3.0, 0.0)
