"""Pooling on generated code, on every target that this machine runs: values, places, memory, structures."""

import mmap
import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import striderule as sr
from oracles.memories import guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import pooling as direct
from striderule.algorithms.direct.pooling import call as calls
from striderule.algorithms.direct.pooling.recipe import recipe_of
from striderule.algorithms.direct.pooling.routine import pooling_routine
from striderule.algorithms.direct.pooling.structure import LONGEST, ROOM, Structure
from striderule.algorithms.reference import pooling as reference
from striderule.algorithms.windows import pooling as windows
from striderule.codegen import jit, target
from striderule.errors import CompilerMissing, InvalidArgument
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling

TARGETS = target.available()
FLOATS = ("float16", "float32", "float64")
TYPES = (*FLOATS, "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
LAYOUTS = ("plain", "channels last", "images last", "turned", "reversed", "apart", "repeated")


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def laid_out(x, layout):
    """Return the same values in another memory order."""
    if layout == "channels last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    if layout == "images last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    if layout == "turned":
        return np.asfortranarray(x)
    if layout == "reversed":
        return x[..., ::-1].copy()[..., ::-1]
    if layout == "apart":
        wide = np.zeros((*x.shape[:-1], 3 * x.shape[-1]), x.dtype)
        wide[..., ::3] = x
        return wide[..., ::3]
    if layout == "repeated":
        return np.broadcast_to(x[:, :1], x.shape)
    return x


def values(rng, shape, dtype):
    """Return numbers with many ties, and for floats NaN and infinities of both signs."""
    x = rng.integers(-3, 4, shape) if np.dtype(dtype).kind != "u" else rng.integers(0, 4, shape)
    x = x.astype(dtype)
    if x.dtype.kind == "f" and rng.random() < 0.6:
        for number in (np.nan, np.inf, -np.inf):
            x[rng.random(shape) < 0.08] = number
    return x


def drawn(rng, kind, rank, largest, channels=4):
    """Draw a problem that has an output."""
    while True:
        size = rng.integers(1, largest, rank).tolist()
        shape = (int(rng.integers(1, 3)), int(rng.integers(1, channels)), *size)
        if kind != "lp" and rng.random() < 0.2:
            return AdaptivePooling.from_shape(kind, shape, [int(rng.integers(1, n + 2)) for n in size])
        kernel = rng.integers(1, 6, rank).tolist()
        words = {
            "stride": rng.integers(1, 6, rank).tolist(),
            "padding": [tuple(rng.integers(0, k // 2 + 1, 2).tolist()) for k in kernel],
            "dilation": rng.integers(1, 4, rank).tolist() if rng.random() < 0.4 else 1,
            "ceil_mode": bool(rng.random() < 0.5),
        }
        if kind == "average":
            words["count_include_pad"] = bool(rng.random() < 0.5)
            words["divisor_override"] = None if rng.random() < 0.8 else -3
        if kind == "lp":
            words |= {"norm": float(rng.choice([1, 2, np.inf, -np.inf])), "padding": 0, "dilation": 1}
        try:
            return Pooling.from_shape(kind, shape, kernel, **words)
        except InvalidArgument:
            continue


def shape_of(problem):
    return problem.batch, problem.channels, *problem.size


def check_max(problem, x, twin):
    for indices in (False, True):
        expected, where = twin.max_pool(problem, x, indices)
        found, places = direct.max_pool(problem, x, indices)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == x.dtype
        if indices:
            np.testing.assert_array_equal(places, where)
            assert places.dtype == np.int64


def check_average(problem, x, twin, dtype):
    function = "lp_pool" if problem.kind == "lp" else "average_pool"
    expected = getattr(twin, function)(problem, x, np.dtype(dtype)).astype(float)
    found = getattr(direct, function)(problem, x, np.dtype(dtype))
    assert found.dtype == dtype
    # Once rounded, of sums in float64; infinite where the definition is, but for what float16 cannot hold.
    bound = 2 * np.finfo(dtype).eps * np.abs(expected) + 1e-12
    same = (found == expected.astype(dtype)) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        assert (same | (np.abs(found.astype(float) - expected) <= bound)).all()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(2))
def test_the_largest_equals_the_loops(machine, rank, seed):
    rng = np.random.default_rng([seed, rank, TARGETS.index(machine)])
    turn = 12 * rank + 6 * seed + 2 * TARGETS.index(machine)
    for dtype in (TYPES[turn % len(TYPES)], TYPES[(turn + 1) % len(TYPES)]):  # together all of them
        problem = drawn(rng, "max", rank, (40, 16, 8)[rank - 1])
        x = laid_out(values(rng, shape_of(problem), dtype), rng.choice(LAYOUTS))
        check_max(problem, x, reference)


@pytest.mark.parametrize("kind", ["average", "lp"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(2))
def test_averages_and_norms_equal_the_loops(machine, kind, rank, seed):
    rng = np.random.default_rng([seed, rank, len(kind), TARGETS.index(machine)])
    # Every type in its turn, and another drawn beside it for means, whose structures are more.
    turn = TYPES[(6 * rank + 3 * seed + TARGETS.index(machine)) % len(TYPES)]
    for dtype in (turn, *rng.choice(TYPES, 1 if kind == "average" else 0)):
        problem = drawn(rng, kind, rank, (40, 16, 8)[rank - 1])
        x = laid_out(values(rng, shape_of(problem), dtype), rng.choice(LAYOUTS))
        check_average(problem, x, reference, str(rng.choice(FLOATS)))


@pytest.mark.parametrize("layout", ["plain", "channels last"])
def test_rows_longer_than_a_task_holds_and_windows_longer_still(machine, layout):
    """Several pieces of a row, windows of whole rows, windows by themselves, and many channels."""
    rng = np.random.default_rng(1)
    cases = (
        ((1, 2, 2 * ROOM + 77), 3, 2, 1),
        ((1, 1, 3, 2 * ROOM + 5), (2, 4), (1, 4), 0),
        ((1, 2, ROOM + 13), 7, 5, 3),
        ((1, 1, 3 * LONGEST), LONGEST + 1, 3, 10),
        ((2, 70, 9, 7), (9, 7), 1, 0),
        ((2, 70, 9, 7), (3, 7), (2, 7), 0),
        ((1, 200, 5, 6), 3, 1, 1),
        ((1, 3, 60, 100), 2, 2, 0),
    )
    # With channels last every other one, the rest on the next target.
    for shape, kernel, stride, padding in cases if layout == "plain" else cases[TARGETS.index(machine) % 2 :: 2]:
        problem = Pooling.from_shape("max", shape, kernel, stride, padding)
        x = laid_out(values(rng, shape, "float32"), layout)
        check_max(problem, x, windows)
        average = Pooling.from_shape("average", shape, kernel, stride, padding)
        check_average(average, np.nan_to_num(x, posinf=5, neginf=3), windows, "float64")


def test_uneven_windows(machine):
    rng = np.random.default_rng(2)
    for size, outputs in (((15, 15), (7, 4)), ((3 * ROOM,), (7,)), ((ROOM,), (ROOM - 1,)), ((5, 2, 9), (8, 3, 2))):
        x = values(rng, (2, 3, *size), "float32")
        check_max(AdaptivePooling.from_shape("max", x.shape, outputs), x, windows)
        x = np.nan_to_num(x, posinf=4, neginf=2)
        check_average(AdaptivePooling.from_shape("average", x.shape, outputs), x, windows, "float32")


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_fractional_windows(machine, rank):
    rng = np.random.default_rng(rank)
    for layout in LAYOUTS[(rank + TARGETS.index(machine)) % 2 : 5 : 2]:  # the others on the next target
        size = rng.integers(4, 12, rank).tolist() if rank > 1 else [int(rng.choice([9, 2 * ROOM]))]
        kernel = rng.integers(1, 4, rank).tolist()
        outputs = [int(rng.integers(1, n - k + 2)) for n, k in zip(size, kernel, strict=True)]
        x = laid_out(values(rng, (2, 3, *size), "float32"), layout)
        problem = FractionalPooling.from_shape(x.shape, kernel, outputs)
        samples = rng.random((2, 3, rank)).astype("float32")
        for indices in (False, True):
            found = direct.fractional_max_pool(problem, x, samples, indices)
            expected = windows.fractional_max_pool(problem, x, samples, indices)
            np.testing.assert_array_equal(found[0], expected[0])
            assert not indices or (found[1] == expected[1]).all()


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize("last", [False, True])
def test_nothing_outside_the_operands_is_touched(machine, last):
    rng = np.random.default_rng(5)
    # How the ends of rows are touched goes by the target and the size of an element. Each target meets a case in one
    # memory order, the next target in the other, with every size of an element among them.
    dtypes = ("float32", "float64", "uint8", "float16")
    for number, (size, kernel, stride, padding, dilation) in enumerate(
        (
            ((5, 7), 2, 2, 0, 1),
            ((6, 70), 3, 2, 1, 1),
            ((9, 33), 3, 1, 1, 2),
            ((64,), 4, 4, 0, 1),
            ((131,), 7, 6, 2, 1),
            ((4, 5, 18), 2, 1, 1, 1),
            ((7, 7), 7, 1, 0, 1),
        )
    ):
        if (number + TARGETS.index(machine) + last) % 2:
            continue
        dtype = dtypes[(number // 2 + 2 * TARGETS.index(machine) + last) % 4]
        problem = Pooling.from_shape("max", (2, 3, *size), kernel, stride, padding, dilation)
        x = values(rng, (2, 3, *size), dtype)
        expected, where = windows.max_pool(problem, x, indices=True)
        for low in (False, True):
            inside = guarded(np.moveaxis(x, 1, -1) if last else x, before=low)
            out = guarded(np.zeros(np.moveaxis(expected, 1, -1).shape if last else expected.shape, dtype), before=low)
            places = guarded(np.zeros(out.shape, np.int64), before=low)
            near = [np.moveaxis(array, -1, 1) if last else array for array in (inside, out, places)]
            direct.max_pool(problem, near[0], indices=True, out=near[1], places=near[2])
            np.testing.assert_array_equal(near[1], expected)
            np.testing.assert_array_equal(near[2], where)
            near[1][...] = 0
            direct.max_pool(problem, near[0], indices=False, out=near[1])
            np.testing.assert_array_equal(near[1], expected)
            average = Pooling.from_shape("average", (2, 3, *size), kernel, stride, padding, dilation)
            wide = guarded(np.zeros(out.shape), before=low)
            direct.average_pool(average, near[0], np.dtype(float), np.moveaxis(wide, -1, 1) if last else wide)


@pytest.mark.parametrize("layout", LAYOUTS[:6])
def test_results_are_written_to_out_and_nowhere_else(machine, layout):
    rng = np.random.default_rng(6)
    x = laid_out(values(rng, (2, 5, 9, 22), "float32"), layout)
    for words in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1}, {"kernel_size": (9, 22)}):
        expected, where = sr.max_pool2d(x, **words, return_indices=True, algorithm="windows")
        room = np.full((*expected.shape[:-1], 2 * expected.shape[-1]), 77, "float32")
        places = np.full(room.shape, 77, np.int64)
        found = sr.max_pool2d(x, **words, return_indices=True, out=(room[..., ::2], places[..., ::2][..., ::-1]))
        np.testing.assert_array_equal(found[0], expected)
        np.testing.assert_array_equal(found[1], where)
        assert (room[..., 1::2] == 77).all()
        assert (places[..., 1::2] == 77).all()
        out = np.empty_like(expected)
        assert sr.max_pool2d(x, **words, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_the_same_bits_for_any_threads_and_batch_and_repetition(machine):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(6, 40, 30, 31))
    before = sr.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            sr.set_num_threads(threads)
            results.append(sr.avg_pool2d(x, 3, 2, 1))
            results.append(np.concatenate([sr.avg_pool2d(image[None], 3, 2, 1) for image in x]))
    finally:
        sr.set_num_threads(before)
    assert all((result == results[0]).all() for result in results)
    last = laid_out(x, "channels last")
    np.testing.assert_array_equal(sr.max_pool2d(last, 3, 2, 1), sr.max_pool2d(x, 3, 2, 1))


# Two outputs a row, and one at last, of a single number: with so few they share vectors on every target.
SMALL = (
    ((5, 5), {"stride": 3}, (14, 8)),
    ((3, 2), {"stride": 2, "padding": 1, "count_include_pad": False}, (9, 3)),
    ((6, 3), {"stride": (1, 9), "padding": (3, 1), "ceil_mode": True, "dilation": (1, 2)}, (19, 10)),
    ((1, 3), {"stride": (1, 5), "divisor_override": -2}, (2, 8)),
    ((3, 1), {"stride": 2}, (9, 2)),
)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64", "float16"])
def test_small_planes_share_vectors(machine, dtype):
    """For numbers of planes that vectors divide and do not, with nothing touched around them, to the same bits."""
    rng, lanes = np.random.default_rng(11), machine.lanes(8)
    final = np.dtype("float32" if dtype == "uint8" else dtype)
    for number, (kernel, words, size) in enumerate(SMALL):
        shape = (3, lanes + number, *size)
        x = values(rng, shape, dtype)
        problem = Pooling.from_shape("average", shape, kernel, **words)
        check_average(problem, x, windows, final)
        low = bool(number % 2)
        inside = guarded(x, before=low)
        out = guarded(np.zeros(problem.output_shape, final), before=low)
        direct.average_pool(problem, inside, final, out)
        alone = Pooling.from_shape("average", (1, 1, *size), kernel, **words)
        assert (mode_of(problem, machine) == "planes") == (problem.output_shape[-1] < lanes)
        for image, channel in ((0, 0), (2, lanes - 1 + number)):
            one = direct.average_pool(alone, x[image : image + 1, channel : channel + 1], final)
            np.testing.assert_array_equal(out[image, channel], one[0, 0])


def mode_of(problem, machine):
    x, y = (ArrayInfo.of(np.empty(shape, "float32")) for shape in (shape_of(problem), problem.output_shape))
    steps = tuple(tuple(step // 4 for step in info.strides) for info in (x, y, y))
    layout = calls.layout_of(x.shape, steps[0], any_order=False)
    return recipe_of("sum", problem, ("float32", "float32"), steps, layout, machine).structure.mode


def test_norms_of_small_planes(machine):
    x = np.random.default_rng(12).normal(size=(2, machine.lanes(8), 6, 5)).astype("float32")
    problem = Pooling.from_shape("lp", x.shape, (3, 5), (2, 5), norm=2.0)
    check_average(problem, x, windows, "float32")


def test_results_lie_in_memory_as_the_input_does(machine):
    x = np.zeros((2, 8, 6, 6), "float32")
    assert sr.max_pool2d(x, 2).flags.c_contiguous
    assert np.moveaxis(sr.max_pool2d(laid_out(x, "channels last"), 2), 1, -1).flags.c_contiguous


def test_elements_between_multiples_of_their_size(machine):
    """Misaligned arrays, and strides that are no multiples of an element, go to NumPy."""
    rng = np.random.default_rng(8)
    x = values(rng, (1, 2, 6, 9), "float32")
    packed = np.zeros(x.shape, np.dtype([("a", "u1"), ("x", "f4")]))
    packed["x"] = x
    np.testing.assert_array_equal(sr.max_pool2d(packed["x"], 2), sr.max_pool2d(x, 2))
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view("float32").reshape(x.shape)
    shifted[...] = x
    np.testing.assert_array_equal(sr.max_pool2d(shifted, 2), sr.max_pool2d(x, 2))
    np.testing.assert_array_equal(sr.max_pool2d(x, 2), sr.max_pool2d(shifted, 2))


def test_many_sizes_of_one_structure_are_one_routine(machine):
    def structure(height, width):
        problem = Pooling.from_shape("max", (1, 3, height, width), 3, 2, 1)
        x, y = (ArrayInfo.of(np.empty(shape, "float32")) for shape in (shape_of(problem), problem.output_shape))
        steps = tuple(tuple(step // 4 for step in info.strides) for info in (x, y, y))
        layout = calls.layout_of(x.shape, steps[0], any_order=True)
        return recipe_of("max", problem, ("float32", "float32"), steps, layout, machine).structure

    assert len({structure(h, w) for h in range(4, 40, 5) for w in range(5, 900, 61)}) == 1


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_):
        raise CompilerMissing("no compiler for pools today")

    monkeypatch.setattr(calls.proof, "compiled", fails)
    monkeypatch.setattr(calls, "_kept_call", calls._call_for)
    giving_way._warn_once.cache_clear()
    x = values(np.random.default_rng(9), (1, 2, 9, 9), "float32")
    problem = Pooling.from_shape("max", x.shape, 3)
    with pytest.warns(RuntimeWarning, match="no compiler for pools today"):
        found, _ = direct.max_pool(problem, x, indices=False)
    np.testing.assert_array_equal(found, windows.max_pool(problem, x, indices=False)[0])
    direct.max_pool(problem, x, indices=False)  # warnings are errors here: there is no second one


def test_a_routine_is_compared_with_numpy_where_no_test_has_run_it(machine, monkeypatch):
    calls._kept_call.cache_clear()
    monkeypatch.setattr(calls.proof, "PROVED", ())
    asked = []
    agrees = calls._agrees
    monkeypatch.setattr(calls, "_agrees", lambda *words: asked.append(agrees(*words)) or asked[-1])
    calls.proof.forget()
    rng = np.random.default_rng(10)
    x = values(rng, (3, 4, 11, 12), "float32")
    try:
        for layout in ("plain", "channels last", "images last"):
            array = laid_out(x, layout)
            check_max(Pooling.from_shape("max", x.shape, 3, 2, 1), array, windows)
            check_average(Pooling.from_shape("average", x.shape, 2), np.nan_to_num(array), windows, "float32")
            check_average(Pooling.from_shape("lp", x.shape, 2, norm=2.0), np.nan_to_num(array), windows, "float64")
        problem = FractionalPooling.from_shape(x.shape, 2, 5)
        direct.fractional_max_pool(problem, x, rng.random((3, 4, 2)).astype("float32"), indices=True)
    finally:
        calls.proof.forget()
        calls._kept_call.cache_clear()
    assert len(asked) == 9  # channels last and images last are one structure
    assert all(asked)


STRUCTURES = [
    Structure("max", "float32", "float32", "along", 1, 3, 2, 3),
    Structure("max", "uint8", "uint8", "along", 2, 0, 4, 0),
    Structure("argmax", "float16", "float16", "along", 1, 2, 3, 2),
    Structure("argmax", "float64", "float64", "across", 2, 3),
    Structure("argmax", "int16", "int16", "table", 1, 3),
    Structure("sum", "float32", "float32", "along", 1, 3, 1, 3),
    Structure("sum", "uint64", "float64", "across", 1, 2, divides=True),
    Structure("sum", "float16", "float16", "planes", 1, 3, 1, 3, filled=True),
    Structure("root", "int32", "float64", "planes", 1),
    Structure("root", "float32", "float16", "within", 1, 0),
    Structure("least", "int8", "float32", "table", 0, x_apart=True),
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.name)
def test_no_routine_calls_a_function(structure):
    names = ("avx512", "avx2", "sse2", "neon")
    for name in names[STRUCTURES.index(structure) % 2 :: 2]:  # neighbours are alike
        machine = target.named(name)
        assembly = jit.assembly(pooling_routine(machine, structure), machine)
        assert not re.search(r"^\s+(call|bl)q?\s", assembly, re.MULTILINE)


def test_plain_rows_are_reduced_in_registers_of_the_targets_width():
    """The loop over the vectors of a row has full-width maxima and no running value on the stack."""
    for machine in TARGETS:
        register = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[machine.vector_bytes]
        assembly = jit.assembly(pooling_routine(machine, STRUCTURES[0]), machine)
        largest = [line for line in assembly.splitlines() if re.search(r"\bv?maxps\b", line)]
        assert len(largest) > 20
        assert all(register in line for line in largest)
