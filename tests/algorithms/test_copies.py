"""pad, unfold, fold and pixel shuffle on generated code, on every target that this machine runs."""

import itertools
import mmap
import random

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import KINDS, guarded, other_memory
from striderule.algorithms.direct import copying, giving_way, padding, shuffle, unfold
from striderule.algorithms.direct.copy_routine import Copy, copy_routine
from striderule.algorithms.direct.fold_routine import Fold, fold_routine
from striderule.algorithms.direct.shuffle_routine import FACTORS, Mix, mix_routine
from striderule.algorithms.reference import padding as reference_padding
from striderule.algorithms.reference import shuffle as reference_shuffle
from striderule.algorithms.reference import unfold as reference_unfold
from striderule.algorithms.windows import padding as windows_padding
from striderule.algorithms.windows import unfold as windows_unfold
from striderule.codegen import jit, target, workers
from striderule.errors import CompilerMissing, StrideruleError
from striderule.geometry.extension import Extension
from striderule.geometry.problem import Unfold

TARGETS = target.available()
MODES = ("constant", "reflect", "replicate", "circular", "edge", "symmetric", "mirror", "wrap")
WORDS = ("constant", "edge", "mirror", "symmetric", "wrap")
TYPES = ("bool", "u1", "i2", "f2", "f4", "i8", "c8", "c16")
needs_guards = pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param.name)
    return request.param


def numbers(shape, dtype):
    return (np.arange(int(np.prod(shape))) % 251 + 1).reshape(shape).astype(dtype)


def outputs(shape, dtype):
    """Yield arrays to write to: compact, with the first axis fastest, turned and with gaps."""
    yield np.empty(shape, dtype)
    yield np.empty(shape[::-1], dtype).T
    yield np.empty([2 * n for n in shape], dtype)[(slice(None, None, -2),) * len(shape)]


def extension(draw, largest, rank=4):
    """Draw a problem of pad that is allowed, and has elements."""
    while True:
        shape = [draw.choice((1, 2, 3, 5, 9, 17, 33, 70)) for _ in range(draw.randint(1, rank))]
        pad = [draw.choice((-2, -1, 0, 1, 2, 3, 20)) for _ in range(2 * draw.randint(0, len(shape)))]
        try:
            problem = Extension.from_pad(tuple(shape), pad, draw.choice(MODES))
        except StrideruleError:
            continue
        inner = [n - sum(crop) for n, crop in zip(problem.shape, problem.crop, strict=True)]
        if np.prod(inner) and 0 < np.prod(problem.output_shape) <= largest:
            return problem


def columns(draw, largest):
    """Draw a problem of unfold and fold."""
    while True:
        rank = draw.randint(1, 3)
        shape = (draw.randint(1, 3), draw.randint(1, 4), *(draw.choice((1, 2, 5, 8, 20, 40)) for _ in range(rank)))
        try:
            problem = Unfold.from_shape(
                shape,
                [draw.randint(1, 4) for _ in range(rank)],
                dilation=[draw.randint(1, 3) for _ in range(rank)],
                stride=[draw.randint(1, 3) for _ in range(rank)],
                padding=[(draw.randint(-1, 3), draw.randint(-1, 3)) for _ in range(rank)],
                boundary=[(draw.choice(WORDS), draw.choice(WORDS)) for _ in range(rank)],
            )
        except StrideruleError:
            continue
        if np.prod(problem.columns_shape) <= largest:
            return problem


def shape_of(problem):
    return (problem.batch, problem.channels, *problem.size)


@pytest.mark.parametrize("seed", range(30))
def test_pad_equals_the_loops(machine, seed):
    draw = random.Random(seed)
    problem, dtype = extension(draw, 3000), draw.choice(TYPES)
    x = other_memory(numbers(problem.shape, dtype), draw.randrange(KINDS))
    fill = 1 if problem.boundary == "constant" else 0
    expected = reference_padding.pad(problem, x, fill)
    found = padding.pad(problem, x, fill)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    for out in outputs(expected.shape, x.dtype):
        assert padding.pad(problem, x, fill, out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("seed", range(100))
def test_pad_equals_windows_on_larger_arrays(machine, seed):
    draw = random.Random(1000 + seed)
    problem, dtype = extension(draw, 200_000), draw.choice(TYPES)
    x = other_memory(numbers(problem.shape, dtype), draw.randrange(KINDS))
    np.testing.assert_array_equal(padding.pad(problem, x, 0), windows_padding.pad(problem, x, 0))


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8", "c16"])
def test_every_length_of_a_row_with_every_border(machine, dtype):
    """One less than, equal to and one more than all widths of vectors, and borders from none to more than one."""
    widest = machine.vector_bytes // np.dtype(dtype).itemsize
    for length in sorted({n + k for n in (1, 2, 4, 8, 16, widest, 2 * widest, 3 * widest) for k in (-1, 0, 1)} - {0}):
        x = numbers((3, length), dtype)
        for sides in ((0, 0), (1, 1), (0, 3), (widest, 1), (widest + 1, 2), (2, widest + 1)):
            for mode in ("constant", "edge"):
                problem = Extension.from_pad(x.shape, (*sides, 1, 0), mode)
                np.testing.assert_array_equal(padding.pad(problem, x, 0), windows_padding.pad(problem, x, 0))


def test_pad_of_long_rows_is_cut_into_tasks(machine):
    for x in (numbers((400_000,), "f4"), numbers((3, 90_001), "f8"), numbers((5, 700, 33), "u1")):
        for mode in ("constant", "reflect"):
            problem = Extension.from_pad(x.shape, (3, 5), mode)
            np.testing.assert_array_equal(padding.pad(problem, x, 2), windows_padding.pad(problem, x, 2))


@pytest.mark.parametrize("seed", range(30))
def test_unfold_and_fold_equal_the_loops(machine, seed):
    draw = random.Random(seed)
    problem, dtype = columns(draw, 4000), draw.choice(TYPES)
    x = other_memory(numbers(shape_of(problem), dtype), draw.randrange(KINDS))
    expected = reference_unfold.unfold(problem, x, 1)
    np.testing.assert_array_equal(unfold.unfold(problem, x, 1), expected)
    for out in outputs(expected.shape, x.dtype):
        assert unfold.unfold(problem, x, 1, out) is out
        np.testing.assert_array_equal(out, expected)
    # Small integers, of which all sums are exact.
    for kind in ("f4", "f8", "i8", "c8"):
        summed = other_memory(numbers(expected.shape, kind), draw.randrange(KINDS))
        sums = reference_unfold.fold(problem, summed)
        np.testing.assert_array_equal(unfold.fold(problem, summed), sums)
        for out in outputs(sums.shape, summed.dtype):
            assert unfold.fold(problem, summed, out) is out
            np.testing.assert_array_equal(out, sums)


@pytest.mark.parametrize("seed", range(60))
def test_unfold_and_fold_equal_windows_on_larger_arrays(machine, seed):
    draw = random.Random(1000 + seed)
    problem = columns(draw, 300_000)
    x = other_memory(numbers(shape_of(problem), draw.choice(TYPES)), draw.randrange(KINDS))
    np.testing.assert_array_equal(unfold.unfold(problem, x, 0), windows_unfold.unfold(problem, x, 0))
    dtype = draw.choice(("f4", "f8"))
    summed = np.random.default_rng(seed).normal(size=problem.columns_shape).astype(dtype)
    bound = np.finfo(dtype).eps * np.prod(problem.kernel) * windows_unfold.fold(problem, np.abs(summed))
    assert (np.abs(unfold.fold(problem, summed) - windows_unfold.fold(problem, summed)) <= bound).all()


@needs_guards
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((48, 80), 16, 16, 0), ((9, 100), (2, 19), (2, 3), 0), ((7, 61), (3, 17), (1, 20), (1, 9)), ((90,), 33, 5, (40,))],
    ids=["patches", "overlapping", "cropped", "1-D"],
)
def test_fold_of_wide_windows_equals_the_loops(machine, dtype, size, kernel, stride, padding):
    problem = Unfold.from_shape((2, 2, *size), kernel, stride=stride, padding=padding)
    summed = numbers(problem.columns_shape, dtype)  # small integers, of which all sums are exact
    columns = guarded(summed, before=False)
    for before in (False, True):
        out = guarded(np.empty(shape_of(problem), dtype), before=before)
        assert unfold.bind_fold(problem, columns, out) is not None
        np.testing.assert_array_equal(unfold.fold(problem, columns, out), reference_unfold.fold(problem, summed))


def test_fold_gives_nan_and_infinity_where_they_are(machine):
    problem = Unfold.from_shape((1, 2, 9, 9), 3, padding=1)
    summed = np.random.default_rng(0).normal(size=problem.columns_shape).astype("f4")
    summed[0, 3, 40], summed[0, 10, 7], summed[0, 10, 8] = np.nan, np.inf, -np.inf
    expected, found = reference_unfold.fold(problem, summed), unfold.fold(problem, summed)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))


@pytest.mark.parametrize("seed", range(30))
def test_pixel_shuffle_equals_the_loops(machine, seed):
    draw = random.Random(seed)
    factor = draw.choice((1, 2, 2, 3, 4, 5))
    lead = tuple(draw.randint(1, 3) for _ in range(draw.randint(0, 2)))
    shape = (*lead, draw.randint(1, 2) * factor**2, draw.choice((1, 2, 3)), draw.choice((1, 2, 7, 14, 33)))
    coarse = other_memory(numbers(shape, draw.choice(TYPES)), draw.randrange(KINDS), channel=len(lead))
    fine = reference_shuffle.pixel_shuffle(coarse, factor)
    np.testing.assert_array_equal(shuffle.pixel_shuffle(coarse, factor), fine)
    for out in outputs(fine.shape, fine.dtype):
        assert shuffle.pixel_shuffle(coarse, factor, out) is out
        np.testing.assert_array_equal(out, fine)
    turned = other_memory(fine, draw.randrange(KINDS), channel=len(lead))
    np.testing.assert_array_equal(shuffle.pixel_unshuffle(turned, factor), coarse)
    for out in outputs(coarse.shape, coarse.dtype):
        assert shuffle.pixel_unshuffle(turned, factor, out) is out
        np.testing.assert_array_equal(out, coarse)


@needs_guards
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "f4", "c16"])
def test_nothing_is_touched_outside(machine, dtype, before):
    for length in (1, 3, 16, 31, 65):
        x = guarded(numbers((2, 4, 3, length), dtype), before=before)
        for mode in ("constant", "edge"):
            problem = Extension.from_pad(x.shape, (2, 1, 1, 0), mode)
            out = guarded(np.empty(problem.output_shape, dtype), before=before)
            np.testing.assert_array_equal(padding.pad(problem, x, 0, out), windows_padding.pad(problem, x, 0))
        problem = Unfold.from_shape(x.shape, (2, 1), padding=1, stride=(1, 2))
        out = guarded(np.empty(problem.columns_shape, dtype), before=before)
        np.testing.assert_array_equal(unfold.unfold(problem, x, 0, out), windows_unfold.unfold(problem, x, 0))
        out = guarded(np.empty((2, 1, 6, 2 * length), dtype), before=before)
        np.testing.assert_array_equal(shuffle.pixel_shuffle(x, 2, out), reference_shuffle.pixel_shuffle(x, 2))
        back = guarded(np.empty(x.shape, dtype), before=before)
        np.testing.assert_array_equal(shuffle.pixel_unshuffle(out, 2, back), x)
    for stride in (1, 2):
        problem = Unfold.from_shape((2, 3, 5, 37), 3, padding=1, stride=stride)
        summed = guarded(numbers(problem.columns_shape, "f4"), before=before)
        out = guarded(np.empty(shape_of(problem), "f4"), before=before)
        np.testing.assert_array_equal(unfold.fold(problem, summed, out), windows_unfold.fold(problem, summed))


def test_the_same_for_any_number_of_threads(machine):
    x = np.random.default_rng(0).normal(size=(4, 32, 40, 41)).astype("f4")
    problem, cut = Extension.from_pad(x.shape, (1, 2, 3, 1), "mirror"), Unfold.from_shape(x.shape, 3, padding=1)
    expected = windows_padding.pad(problem, x, 0), windows_unfold.unfold(cut, x, 0)
    sums = []
    before = workers.get_num_threads()
    try:
        for threads in (1, 2, 3):
            workers.set_num_threads(threads)
            np.testing.assert_array_equal(padding.pad(problem, x, 0), expected[0])
            np.testing.assert_array_equal(unfold.unfold(cut, x, 0), expected[1])
            sums.append(unfold.fold(cut, expected[1]))
    finally:
        workers.set_num_threads(before)
    assert all((one == sums[0]).all() for one in sums)


def test_results_stand_in_memory_as_images_do():
    """Channels that come last stay last, so that nothing is transposed on the way."""
    x = np.moveaxis(numbers((2, 5, 6, 8), "f4"), -1, 1)
    for result in (padding.pad(Extension.from_pad(x.shape, 1), x, 0), shuffle.pixel_shuffle(x, 2)):
        assert result.strides[1] == 4
        assert result.transpose(0, 2, 3, 1).flags.c_contiguous


def test_pixels_of_few_channels_are_rows_of_elements():
    """Channels that follow each other are joined with the columns, border and all."""
    x = np.moveaxis(numbers((2, 5, 600, 3), "u1"), -1, 1)
    for mode in ("constant", "edge"):
        problem = Extension.from_pad(x.shape, 1, mode)
        plan = padding._plan(problem, x.strides, padding.pad(problem, x, 0).strides, 1)
        assert plan.words[["x", "y", "plan", *copying.SIZES].index("columns")] == 3 * 602


def test_borders_without_limit_are_left_to_numpy():
    problem = Extension.from_pad((3,), (70_000, 2), "wrap")
    x = numbers((3,), "f4")
    assert padding.bind(problem, x, 0, np.empty(problem.output_shape, "f4")) is None
    np.testing.assert_array_equal(padding.pad(problem, x, 0), windows_padding.pad(problem, x, 0))
    out = np.empty(problem.output_shape, "f4")
    assert padding.pad(problem, x, 0, out) is out
    np.testing.assert_array_equal(out, windows_padding.pad(problem, x, 0))


def test_sums_of_many_taps_are_left_to_numpy():
    problem = Unfold.from_shape((1, 1, 20, 20), 12)
    summed = numbers(problem.columns_shape, "f4")
    assert unfold.bind_fold(problem, summed, np.empty((1, 1, 20, 20), "f4")) is None
    np.testing.assert_array_equal(unfold.fold(problem, summed), windows_unfold.fold(problem, summed))


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_):
        raise CompilerMissing("no compiler for copies")

    monkeypatch.setattr(jit, "compiled", fails)
    giving_way._warn_once.cache_clear()
    x = numbers((1, 4, 3, 3), "f4")
    problem, cut = Extension.from_pad(x.shape, 1), Unfold.from_shape(x.shape, 2)
    with pytest.warns(RuntimeWarning, match="no compiler for copies"):
        np.testing.assert_array_equal(padding.pad(problem, x, 0), windows_padding.pad(problem, x, 0))
    # Warnings are errors here: there is no second one.
    np.testing.assert_array_equal(unfold.unfold(cut, x, 0), windows_unfold.unfold(cut, x, 0))
    summed = windows_unfold.unfold(cut, x, 0)
    np.testing.assert_array_equal(unfold.fold(cut, summed), windows_unfold.fold(cut, summed))
    np.testing.assert_array_equal(shuffle.pixel_shuffle(x, 2), reference_shuffle.pixel_shuffle(x, 2))


@pytest.mark.parametrize("name", target.TARGETS)
def test_routines_call_nothing(name):
    """A loop that copies could become a call of memcpy: a third of the structures on each target."""
    machine = target.named(name)
    ways = ("dense", "turned", "strided")
    either = (True, False)
    kinds = [
        (copy_routine, Copy, itertools.product((1, 2, 4, 8, 16), either, either)),
        (fold_routine, Fold, itertools.product(unfold.ADDED, ways)),
        (mix_routine, Mix, itertools.product((1, 8), FACTORS, either)),
    ]
    structures = [(routine, form(*words)) for routine, form, each in kinds for words in each]
    first = list(target.TARGETS).index(name) % 3
    for text in [routine(structure, machine) for routine, structure in structures[first::3]]:
        assembly = jit.assembly(text, machine)
        assert "\tcall" not in assembly
        assert "\tbl\t" not in assembly
