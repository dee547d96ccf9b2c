"""Direct convolution on generated code, on every target that this machine runs."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles import cutting
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import call as calls
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct.laying import Form
from striderule.algorithms.direct.product import product_routine
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import jit, target
from striderule.errors import CompilerMissing, InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import Machine, cost
from striderule.planning import schedule as schedules
from striderule.planning.register_tiles import register_tiles
from striderule.planning.schedule import CHAIN, CHUNK

TARGETS = target.available()
BOUNDARIES = ["constant", "constant", "edge", "mirror", "symmetric", "wrap"]


def tiles_for(machine):
    return register_tiles(machine.registers)


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    cutting.forget()
    cutting.on_target(monkeypatch, request.param)
    yield request.param
    cutting.forget()


def drawn(rng, largest_rank=3, batch=3, channels=6, size=14):
    """Draw a problem that has an output."""
    while True:
        rank = int(rng.integers(1, largest_rank + 1))
        groups = int(rng.integers(1, 4))
        x = (
            int(rng.integers(0, batch)),
            groups * int(rng.integers(1, channels)),
            *rng.integers(1, size, rank).tolist(),
        )
        weight = (groups * int(rng.integers(1, 15)), x[1] // groups, *rng.integers(1, 5, rank).tolist())
        words = {
            "stride": rng.integers(1, 4, rank).tolist(),
            "dilation": rng.integers(1, 4, rank).tolist(),
            "padding": [tuple(pair) for pair in rng.integers(-1, 4, (rank, 2)).tolist()],
            "boundary": [tuple(pair) for pair in rng.choice(BOUNDARIES, (rank, 2)).tolist()],
        }
        try:
            return Convolution.from_shapes(
                x, weight, groups=groups, dtype=str(rng.choice(["float32", "float64"])), **words
            )
        except InvalidArgument:
            continue


def operands(problem, rng):
    x = rng.normal(size=(problem.batch, problem.in_channels, *problem.size)).astype(problem.dtype)
    per_group = problem.in_channels // problem.groups
    return x, rng.normal(size=(problem.out_channels, per_group, *problem.kernel)).astype(problem.dtype)


def check(problem, x, weight, expected, got):
    """Compare with a bound on rounding: the length of the sums times the unit roundoff, of |x| * |w|."""
    assert got.dtype == problem.dtype
    assert got.shape == expected.shape
    scale = windows.convolution(problem, np.abs(x), np.abs(weight), 0.5)
    chains = min(problem.terms, CHAIN) + CHUNK // CHAIN + problem.terms // (CHUNK // 2)
    bound = 2 * (chains + 2) * np.finfo(problem.dtype).eps * scale
    assert (np.abs(got.astype(float) - expected) <= bound).all()


@pytest.mark.parametrize("seed", range(7))
def test_equals_the_loops_on_small_problems(machine, seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng, largest_rank=2, batch=2, channels=3, size=8)
    x, weight = operands(problem, rng)
    check(
        problem, x, weight, reference.convolution(problem, x, weight, 0.5), direct.convolution(problem, x, weight, 0.5)
    )


@pytest.mark.parametrize("seed", range(10))
def test_equals_windows_on_larger_ones(machine, seed):
    rng = np.random.default_rng(1000 + seed)
    problem = drawn(rng, size=24)
    x, weight = operands(problem, rng)
    wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0.5)
    check(problem, x, weight, wide, direct.convolution(problem, x, weight, 0.5))


@pytest.mark.parametrize("tile", tiles_for(TARGETS[0]), ids=str)
def test_every_tile_at_every_edge(machine, monkeypatch, tile):
    """Rows and columns one less than, equal to and one more than whole tiles, with one, two and many chains."""
    if tile not in tiles_for(machine):
        pytest.skip("a tile of another target")
    monkeypatch.setattr(schedules, "register_tile", lambda *_: tile)
    cutting.forget()
    rng = np.random.default_rng(3)
    height, width = tile[0], tile[1] * machine.lanes(4)
    for rows in {1, height - 1, height, height + 1} - {0}:
        for length in (1, width - 1, width, width + 1, 2 * width + 3):
            for terms in (1, CHAIN + 1, CHUNK + 1):
                problem = Convolution.from_shapes((1, terms, length), (rows, terms, 1))
                x, weight = operands(problem, rng)
                wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
                check(problem, x, weight, wide, direct.convolution(problem, x, weight, 0))


WAYS = [
    ((2, 3, 5, 160), (3, 3), {"stride": 1, "dilation": 3}),
    ((2, 2, 4, 5, 167), (2, 3, 1), {"stride": 2, "dilation": 2}),
    ((2, 60, 29, 40), (3, 5), {"stride": 3}),
]


@pytest.mark.parametrize(("shape", "kernel", "words"), WAYS, ids=["shared runs", "volumes", "several chunks"])
def test_every_way_to_cut_gives_the_same_bits(machine, monkeypatch, shape, kernel, words):
    """Blocks, runs that taps share or not, lines: all a matter of speed. Each sum is formed in the same order."""
    problem = Convolution.from_shapes(shape, (9, shape[1], *kernel), padding=1, **words)
    x, weight = operands(problem, np.random.default_rng(6))
    wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
    width, height = problem.output_size[-1], problem.output_size[-2]
    monkeypatch.setattr(schedules, "narrow_of", lambda *_: 0)  # which is a part of the order
    results = []
    for cut in ((1, 16, 0), (2, width, 1), (height, width, 0), (3, width, 1), (height, width, 2)):
        with monkeypatch.context() as changed:
            cutting.cut_so(changed, cut)
            results.append(direct.convolution(problem, x, weight, 0))
        check(problem, x, weight, wide, results[-1])
    assert all((one == results[0]).all() for one in results)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_last_positions_are_summed_along_their_terms(machine, dtype):
    """Images of a few vectors and a bit: in one chunk and in several, with more and fewer terms than whole vectors."""
    lanes = machine.lanes(4 if dtype != "float64" else 8)
    rng = np.random.default_rng(16)
    for rest in range(1, lanes // 4 + 1):
        for terms in (1, lanes + 1, 600):
            problem = Convolution.from_shapes(
                (2, terms, 1, 2 * lanes + rest), (13, terms, 1, 1), dtype=dtype, bound=9**9
            )
            assert schedules.narrow_of(problem, lanes) == rest
            x, weight = (4 * value for value in operands(replace(problem, dtype="float64"), rng))
            x, weight = x.astype(dtype), weight.astype(dtype)
            got = direct.convolution(problem, x, weight, 0)
            if dtype == "int64":
                assert (got == windows.convolution(problem, x, weight, 0)).all()
            else:
                wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
                check(problem, x, weight, wide, got)
                last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
                assert (direct.convolution(problem, last, weight, 0) == got).all()


def test_the_same_bits_for_any_batch_and_memory_order(machine):
    rng = np.random.default_rng(7)
    x, weight = rng.normal(size=(5, 20, 9, 30)).astype("f"), rng.normal(size=(33, 20, 3, 3)).astype("f")

    def result(images):
        problem = Convolution.from_shapes(images.shape, weight.shape, padding=1)
        return direct.convolution(problem, images, weight, 0)

    together = result(x)
    assert all((result(x[n : n + 1]) == together[n : n + 1]).all() for n in range(5))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert (result(last) == together).all()
    assert (result(x[::-1])[::-1] == together).all()


@pytest.mark.parametrize("shape", [(0, 2, 5), (2, 0, 5), (2, 2, 5), (2, 2, 0)])
@pytest.mark.parametrize("dtype", ["float64", "complex64", "int64"])
def test_nothing_to_sum(shape, dtype):
    weight = np.ones((0 if shape == (2, 2, 5) else 3, shape[1], 3), dtype)
    problem = Convolution.from_shapes(shape, weight.shape, dtype=dtype, padding=int(shape[2] == 0) * 3)
    result = direct.convolution(problem, np.ones(shape, dtype), weight, 0)
    assert result.shape == problem.output_shape
    assert result.dtype == dtype
    assert not result.any()


@pytest.mark.parametrize("size", [(5, 0), (0, 5)])
def test_inputs_of_nothing_are_not_read(size):
    """Between the borders there is nothing that a routine could look for."""
    problem = Convolution.from_shapes((1, 40, *size), (3, 40, 3, 3), padding=2)
    x, out = (ArrayInfo.of(np.empty(shape, "f")) for shape in ((1, 40, *size), problem.output_shape))
    words = {"bias": False, "residual": None, "activation": None, "out": out}
    weight = ArrayInfo.of(np.ones((3, 40, 3, 3), "f"))
    assert direct.bind(problem, 1, x=x, weight=weight, **words) is None
    result = direct.convolution(problem, np.empty((1, 40, *size), "f"), np.ones((3, 40, 3, 3), "f"), 1)
    assert (result == 40 * 9).all()


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_, **__):
        raise CompilerMissing("no compiler today")

    monkeypatch.setattr(calls.proof, "compiled", fails)
    cutting.forget()
    giving_way._warn_once.cache_clear()
    rng = np.random.default_rng(11)
    problem = Convolution.from_shapes((1, 3, 8, 8), (4, 3, 3, 3))
    x, weight = operands(problem, rng)
    with pytest.warns(RuntimeWarning, match="no compiler today"):
        result = direct.convolution(problem, x, weight, 0)
    assert (result == windows.convolution(problem, x, weight, 0)).all()
    direct.convolution(problem, x, weight, 0)  # warnings are errors here: there is no second one


def test_special_values_stand_where_the_definition_puts_them(machine):
    rng = np.random.default_rng(9)
    x, weight = rng.normal(size=(1, 3, 9, 11)).astype("f"), rng.normal(size=(6, 3, 3, 3)).astype("f")
    x[0, 1, 4, 5], x[0, 2, 0, 0] = np.nan, np.inf
    problem = Convolution.from_shapes(x.shape, weight.shape, padding=1)
    for infinite in (False, True):
        if infinite:
            weight[2, 0, 0, 0] = np.inf  # meets zero padding, where it contributes nothing
        expected = reference.convolution(problem, x, weight, 0)
        got = direct.convolution(problem, x, weight, 0)
        assert (np.isnan(expected) == np.isnan(got)).all()
        assert (np.isinf(expected) == np.isinf(got)).all()


EPILOGUES = [
    ((2, 3, 9, 21), (3, 3), None),
    ((1, 150, 7, 7), (3, 3), ("relu",)),
    ((3, 70, 5, 13), (1, 1), ("leaky_relu", 0.2)),
    ((2, 3, 9, 21), (3, 3), ("gelu", "none")),
    ((1, 150, 7, 7), (3, 3), ("tanh",)),
]


@pytest.mark.parametrize(("sizes", "kernel", "activation"), EPILOGUES)
def test_bias_residual_and_activation_are_part_of_it(machine, sizes, kernel, activation):
    rng = np.random.default_rng(12)
    for with_residual in (False, True):
        problem = Convolution.from_shapes(sizes, (11, sizes[1], *kernel), padding=kernel[0] // 2)
        x, weight = operands(problem, rng)
        bias = rng.normal(size=11).astype("f")
        residual = rng.normal(size=problem.output_shape).astype("f") if with_residual else None
        out = np.empty(problem.output_shape, "f")
        info = None if residual is None else ArrayInfo.of(residual)
        words = {"bias": True, "residual": info, "activation": activation, "out": ArrayInfo.of(out)}
        bound = direct.bind(problem, 0, x=ArrayInfo.of(x), weight=ArrayInfo.of(weight), **words)
        bound.run(x, weight, bias, residual, out)
        sums = windows.convolution(problem, x.astype(float), weight.astype(float), 0) + bias[:, None, None]
        sums = sums if residual is None else sums + residual
        wide = sums if activation is None else elementwise.apply(activation[0], sums, np.dtype(float), activation[1:])
        np.testing.assert_allclose(out, wide, rtol=1e-4, atol=1e-4)
        again = np.empty_like(out) if residual is None else residual.copy()
        packed = bound.packed(weight)
        packed.run(x, np.empty(0), bias, None if residual is None else again, again)
        assert (again == out).all()


@pytest.mark.parametrize(
    "kinds", [("int8", "int8"), ("uint8", "int8"), ("int16", "uint8"), ("bool", "int16"), ("uint32", "int64")]
)
@pytest.mark.parametrize("bound", [None, 2**31 - 1], ids=["64 bits", "32 bits"])
def test_integers_are_exact(machine, kinds, bound):
    """Equal to the loops: 64-bit sums, and of 32 bits where the bound says that they fit."""
    rng = np.random.default_rng(13)
    sizes = (1, 4, 5, 19)
    low, high = (-50, 50) if bound else (-(2**15), 2**28)
    x = drawn_integers(rng, kinds[0], low, high, sizes)
    weight = drawn_integers(rng, kinds[1], low, high, (3 * 2, 2, 3, 3))
    problem = Convolution.from_shapes(sizes, weight.shape, padding=1, groups=2, dtype="int64", bound=bound)
    got = direct.convolution(problem, x, weight, 7)
    assert got.dtype == (np.int32 if bound else np.int64)
    assert (got == reference.convolution(problem, x, weight, 7)).all()


def drawn_integers(rng, kind, low, high, shape):
    if kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    info = np.iinfo(kind)
    return rng.integers(max(low, info.min), min(high, info.max), shape).astype(kind)


def test_float16_is_computed_in_float32(machine):
    rng = np.random.default_rng(14)
    x, weight = rng.normal(size=(1, 40, 8, 19)).astype("e"), rng.normal(size=(7, 40, 3, 3)).astype("e")
    problem = Convolution.from_shapes(x.shape, weight.shape, padding=1)
    wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
    check(problem, x.astype("f"), weight.astype("f"), wide, direct.convolution(problem, x, weight, 0))


@pytest.mark.parametrize("terms", [100, 600, 4608, 17_000])
def test_long_sums_keep_the_stated_error(machine, terms):
    """Constants, for which the errors of one chain all point the same way: 4.2e-5 for one of 4,608 terms."""
    problem = Convolution.from_shapes((1, terms, 1, 40), (9, terms, 1, 1))
    x, weight = np.full((1, terms, 1, 40), 0.1, "f"), np.full((9, terms, 1, 1), 0.7, "f")
    exact = float(x.flat[0]) * float(weight.flat[0]) * terms
    stated = cost.direct(problem, cost.work_of(problem, "float32"), Machine.of(machine.name)).error
    worst = np.abs(direct.convolution(problem, x, weight, 0) / exact - 1).max()
    # Without a fused instruction each product is rounded, too.
    assert worst <= stated + (0 if machine.fma else 2.0**-24)
    assert worst <= 1e-5


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_by_real_sums(machine, dtype):
    rng = np.random.default_rng(15)
    problem = Convolution.from_shapes((2, 4, 7, 9), (6, 2, 3, 2), padding=1, groups=2, dtype=dtype)
    x = (rng.normal(size=(2, 4, 7, 9)) + 1j * rng.normal(size=(2, 4, 7, 9))).astype(dtype)
    weight = (rng.normal(size=(6, 2, 3, 2)) + 1j * rng.normal(size=(6, 2, 3, 2))).astype(dtype)
    for fill in (0, 1 + 2j):
        expected = reference.convolution(problem, x, weight, fill)
        np.testing.assert_allclose(direct.convolution(problem, x, weight, fill), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_inner_loop_keeps_its_tile_in_registers(machine, dtype):
    """No access to the stack between the multiply-adds but the weights' panel, and vectors of the target's width."""
    if not machine.fma:
        pytest.skip("SSE2 is to be right, not tuned")
    for rows, vectors in tiles_for(machine)[: None if dtype == "float32" else 2]:
        form = Form(dtype, dtype, dtype, dtype, rows, vectors, 528, False, 1, False)
        assembly = jit.assembly(product_routine(form, machine), machine)
        assert inner_loop_is_clean(assembly, machine, rows * vectors), (form, machine.name)


def inner_loop_is_clean(assembly, machine, sums):
    register = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[machine.vector_bytes]
    operation = "vfmadd" if machine.fma else "mul"
    blocks, block = [], []
    for line in assembly.splitlines():
        if line.startswith(".L"):
            blocks.append(block)
            block = []
        else:
            block.append(line)
    inner = [b for b in blocks if sum(operation in line for line in b) >= sums]
    stores = [
        line
        for b in inner
        for line in b[: next(i for i, text in enumerate(b) if "\tj" in text) + 1]
        if "mov" in line and register in line and line.rstrip().endswith("(%rsp)")
    ]
    return len(inner) >= 2 and not stores and all(any(register in line for line in b) for b in inner)
