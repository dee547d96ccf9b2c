"""Transposed convolution on generated code, on every target that this machine runs."""

import functools
import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from algorithms.test_direct import drawn_integers
from oracles.memories import guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import call as calls
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct import transposed as direct
from striderule.algorithms.direct.spread import call as spread_calls
from striderule.algorithms.direct.spread.form import Spread
from striderule.algorithms.direct.spread.routine import spread_routine
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import jit, target, workers
from striderule.errors import CompilerMissing, InvalidArgument
from striderule.geometry.problem import TransposedConvolution
from striderule.planning import spreading as plans
from striderule.planning.register_tiles import register_tiles
from striderule.planning.spreading import additions, chunk_of

TARGETS = target.available()


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    for module in (direct, calls):
        monkeypatch.setattr(module, "current", lambda: request.param)
    return request.param


@pytest.fixture(autouse=True)
def fresh():
    """Calls and plans are kept; tests that change how they are made need their own."""
    yield
    forget()


def forget():
    spread_calls.call_for.cache_clear()
    plans.spreading.cache_clear()
    calls._call_for.cache_clear()


def drawn(rng, largest_rank=3, size=14):
    """Draw a problem that has an output."""
    while True:
        rank, groups = int(rng.integers(1, largest_rank + 1)), int(rng.integers(1, 4))
        x = (int(rng.integers(0, 4)), groups * int(rng.integers(1, 6)), *rng.integers(1, size, rank).tolist())
        words = {
            "stride": rng.integers(1, 6, rank).tolist(),
            "dilation": rng.integers(1, 4, rank).tolist(),
            "padding": [tuple(pair) for pair in rng.integers(-2, 5, (rank, 2)).tolist()],
            "output_padding": rng.integers(0, 3, rank).tolist(),
        }
        weight = (x[1], int(rng.integers(1, 15)), *rng.integers(1, 6, rank).tolist())
        dtype = str(rng.choice(["float32", "float64"]))
        try:
            return TransposedConvolution.from_shapes(x, weight, groups=groups, dtype=dtype, **words)
        except InvalidArgument:
            continue


def shapes(problem):
    per_group = problem.out_channels // problem.groups
    return (problem.batch, problem.in_channels, *problem.size), (problem.in_channels, per_group, *problem.kernel)


def operands(problem, rng):
    return tuple(rng.normal(size=shape).astype(problem.dtype) for shape in shapes(problem))


def check(problem, x, weight, expected, got):
    """Compare with a bound on rounding: the length of the chains times the unit roundoff, of |x| * |w|."""
    assert got.dtype == problem.dtype
    assert got.shape == expected.shape
    scale = windows.transposed_convolution(problem, np.abs(x), np.abs(weight))
    chains = problem.terms // chunk_of(problem, rows_inside=False) + 1
    chains += chunk_of(problem, rows_inside=False) + additions(problem, rows_inside=False)[1]
    bound = 2 * (chains + problem.kernel[0] + 2) * np.finfo(problem.dtype).eps * scale
    assert (np.abs(got.astype(float) - expected) <= bound).all()


def wide(problem, x, weight):
    return windows.transposed_convolution(problem, x.astype(float), weight.astype(float))


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_loops_on_small_problems(machine, seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng, largest_rank=2, size=6)
    x, weight = operands(problem, rng)
    expected = reference.transposed_convolution(problem, x, weight)
    check(problem, x, weight, expected, direct.transposed_convolution(problem, x, weight))


@pytest.mark.parametrize("seed", range(24))
def test_equals_windows_on_larger_ones(machine, seed):
    rng = np.random.default_rng(1000 + seed)
    problem = drawn(rng, size=24 if seed % 3 else 9, largest_rank=2 + (seed % 3 == 0))
    x, weight = operands(problem, rng)
    check(problem, x, weight, wide(problem, x, weight), direct.transposed_convolution(problem, x, weight))


CASES = {
    "2x2 stride 2": ((2, 20, 9, 13), (20, 9, 2, 2), {"stride": 2}),
    "4x4 stride 2, many terms": ((1, 300, 5, 6), (300, 7, 4, 4), {"stride": 2, "padding": 1}),
    "long rows, in blocks": ((1, 3, 3000), (3, 2, 7), {"stride": 2, "padding": 3}),
    "many rows, in blocks": ((1, 70, 60, 50), (70, 5, 5, 3), {"stride": (2, 3), "dilation": (3, 2), "padding": 1}),
    "stride 8": ((2, 5, 70), (5, 6, 16), {"stride": 8, "padding": 4}),
    "stride 4": ((1, 5, 6, 7), (5, 3, 4, 6), {"stride": 4}),
    "stride 32": ((1, 3, 4, 5), (3, 3, 64, 64), {"stride": 32}),
    "remainders without taps": ((1, 3, 5, 5), (3, 4, 2, 2), {"stride": 5, "output_padding": 4}),
    "more taps than a chain": ((1, 2, 9, 40), (2, 3, 9, 9), {"padding": 4}),
    "very many taps": ((1, 1, 50), (1, 2, 301), {"padding": 20}),
    "volumes": ((2, 9, 5, 4, 6), (9, 5, 2, 2, 2), {"stride": 2}),
    "volumes, dilated": ((1, 9, 5, 4, 6), (9, 2, 3, 2, 3), {"stride": (2, 1, 3), "dilation": (3, 2, 2), "padding": 2}),
    "four axes": ((1, 2, 3, 2, 3, 4), (2, 3, 2, 2, 2, 2), {"stride": 2}),
    "channels alone": ((2, 5, 6, 7), (5, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 5}),
    "stride 1, of many outputs": ((2, 9, 33, 40), (9, 8, 3, 5), {"padding": ((1, 2), (0, 3)), "dilation": (2, 1)}),
    "stride 1, in groups": ((1, 6, 1500), (6, 4, 5), {"groups": 3}),
    "all cropped but a little": ((1, 4, 6, 6), (4, 4, 3, 3), {"stride": 2, "padding": ((6, 6), (0, 12))}),
    "extended": ((1, 4, 6, 6), (4, 4, 3, 3), {"stride": 2, "padding": ((-6, -3), (-20, 4))}),
}


@pytest.mark.parametrize("name", CASES)
def test_kinds_of_problems(machine, name):
    x_shape, weight_shape, words = CASES[name]
    rng = np.random.default_rng(4)
    problem = TransposedConvolution.from_shapes(x_shape, weight_shape, **words)
    x, weight = operands(problem, rng)
    check(problem, x, weight, wide(problem, x, weight), direct.transposed_convolution(problem, x, weight))


@pytest.mark.parametrize("tile", register_tiles(TARGETS[0].registers), ids=str)
def test_every_tile_at_every_edge(machine, monkeypatch, tile):
    """Rows and positions one less than, equal to and one more than whole tiles, with one and several chains."""
    if tile not in register_tiles(machine.registers):
        pytest.skip("a tile of another target")
    monkeypatch.setattr(plans, "register_tiles", lambda *_: (tile,))
    forget()
    rng = np.random.default_rng(3)
    height, width = tile[0], tile[1] * machine.lanes(4)
    for rows in {1, height - 1, height, height + 1, 3 * height + 2} - {0}:
        for length in (1, width - 1, width, width + 1, 2 * width + 3):
            for terms in (1, 257):
                problem = TransposedConvolution.from_shapes((1, terms, length), (terms, rows, 1))
                x, weight = operands(problem, rng)
                check(problem, x, weight, wide(problem, x, weight), direct.transposed_convolution(problem, x, weight))


@pytest.mark.parametrize(
    "name", ["4x4 stride 2, many terms", "many rows, in blocks", "volumes", "more taps than a chain"]
)
def test_every_way_to_cut_gives_the_same_bits(machine, monkeypatch, name):
    """Blocks of rows, columns, channels and images are a matter of speed. Each sum is formed in the same order."""
    x_shape, weight_shape, words = CASES[name]
    problem = TransposedConvolution.from_shapes((3, *x_shape[1:]), weight_shape, **words)
    x, weight = operands(problem, np.random.default_rng(6))
    inside = plans.spreading(problem, machine.lanes(4), machine.registers, 4).rows_inside
    _, rows, columns = plans.inner_axes(problem, rows_inside=inside)
    results = []
    for row_block, column_block, channels in ((rows.outputs, columns.outputs, 3), (3, 7, 1), (2, columns.outputs, 2)):

        def cut(one, lanes, registers, itemsize, sizes=(row_block, column_block, channels)):
            cuts = plans.cut(rows, min(sizes[0], rows.outputs)), plans.cut(columns, min(sizes[1], columns.outputs))
            return plans.Blocks(one, inside, *cuts, lanes, itemsize).spreading(sizes[2], registers)[1]

        monkeypatch.setattr(spread_calls, "spreading", cut)
        forget()
        results.append(direct.transposed_convolution(problem, x, weight))
        check(problem, x, weight, wide(problem, x, weight), results[-1])
    assert all((one == results[0]).all() for one in results)


def test_the_same_bits_for_any_batch_threads_and_memory_order(machine):
    rng = np.random.default_rng(7)
    x, weight = rng.normal(size=(5, 140, 4, 9)).astype("f"), rng.normal(size=(140, 9, 4, 4)).astype("f")

    def result(images):
        problem = TransposedConvolution.from_shapes(images.shape, weight.shape, stride=2, padding=1)
        return direct.transposed_convolution(problem, images, weight)

    together = result(x)
    assert all((result(x[n : n + 1]) == together[n : n + 1]).all() for n in range(5))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert (result(last) == together).all()
    assert (result(x[::-1])[::-1] == together).all()
    assert (result(np.repeat(x, 2, axis=3)[..., ::2]) == together).all()
    still = np.broadcast_to(x[:, :1], x.shape)
    assert (result(still) == result(still.copy())).all()
    threads = workers.get_num_threads()
    try:
        workers.set_num_threads(1)
        assert (result(x) == together).all()
    finally:
        workers.set_num_threads(threads)


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_touched_beyond_the_operands(machine, name):
    """A page that can be neither read nor written follows each operand, and the result."""
    x_shape, weight_shape, words = CASES[name]
    problem = TransposedConvolution.from_shapes(x_shape, weight_shape, **words)
    x, weight = operands(problem, np.random.default_rng(5))
    near_x, near_weight = guarded(x), guarded(weight)
    out, residual = (guarded(np.zeros(problem.output_shape, "f")) for _ in range(2))
    info = {"x": ArrayInfo.of(near_x), "weight": ArrayInfo.of(near_weight), "residual": ArrayInfo.of(residual)}
    bound = direct.bind_transposed(problem, **info, bias=False, activation=None, out=ArrayInfo.of(out))
    bound.run(near_x, near_weight, None, residual, out)
    check(problem, x, weight, wide(problem, x, weight), out)


@pytest.mark.parametrize("shape", [(0, 2, 5), (2, 0, 5), (2, 2, 0)])
@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64"])
def test_nothing_to_add(shape, dtype):
    weight = np.ones((shape[1], 3, 3))
    problem = TransposedConvolution.from_shapes(shape, weight.shape, padding=-2, dtype=dtype)
    result = direct.transposed_convolution(problem, np.ones(shape), weight)
    assert result.shape == problem.output_shape
    assert not result.any()


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_):
        raise CompilerMissing("no compiler today")

    monkeypatch.setattr(spread_calls.proof, "compiled", fails)
    forget()
    giving_way._warn_once.cache_clear()
    problem = TransposedConvolution.from_shapes((1, 3, 8, 8), (3, 4, 3, 3))
    x, weight = operands(problem, np.random.default_rng(11))
    with pytest.warns(RuntimeWarning, match="no compiler today"):
        result = direct.transposed_convolution(problem, x, weight)
    assert (result == windows.transposed_convolution(problem, x, weight)).all()
    direct.transposed_convolution(problem, x, weight)  # warnings are errors here: there is no second one


@functools.cache
def special(stride, wide):
    """Return a problem, its operands with special values, and what the loops, which are slow, make of them."""
    rng = np.random.default_rng(9)
    x, weight = rng.normal(size=(2, 3, 9, wide)).astype("f"), rng.normal(size=(3, 6, 4, 3)).astype("f")
    x[0, 1, 4, 5], x[0, 2, 0, 0], x[0, 0, 8, 10], x[1, 0, 2, 2] = np.nan, np.inf, np.inf, 0
    weight[2, 0, 0, 0], weight[0, 3, 3, 1], weight[1, 5, 1, 1] = np.inf, -np.inf, np.nan
    problem = TransposedConvolution.from_shapes(x.shape, weight.shape, stride=stride, padding=1)
    return problem, x, weight, reference.transposed_convolution(problem, x, weight)


@pytest.mark.parametrize(("stride", "wide"), [(1, 11), (1, 130), (2, 11), (3, 11)])
def test_special_values_stand_where_the_definition_puts_them(machine, stride, wide):
    """An infinite weight meets inputs alone: no zeros are put between them, nor beyond the borders."""
    problem, x, weight, expected = special(stride, wide)
    got = direct.transposed_convolution(problem, x, weight)
    assert (np.isnan(expected) == np.isnan(got)).all()
    assert (np.isposinf(expected) == np.isposinf(got)).all()
    assert (np.isneginf(expected) == np.isneginf(got)).all()


ACTIVATIONS = [None, ("relu",), ("leaky_relu", 0.2), ("gelu", "none"), ("tanh",)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("with_residual", [False, True])
def test_bias_residual_and_activation_are_part_of_it(machine, activation, with_residual):
    rng = np.random.default_rng(12)
    names = ["2x2 stride 2", "4x4 stride 2, many terms", "stride 4", "stride 1, of many outputs", "volumes"]
    # Half of the kinds of problems for each target, the rest for the next; what follows the sums meets them all.
    for name in names[(ACTIVATIONS.index(activation) + with_residual + TARGETS.index(machine)) % 2 :: 2]:
        x_shape, weight_shape, words = CASES[name]
        problem = TransposedConvolution.from_shapes(x_shape, weight_shape, **words)
        x, weight = operands(problem, rng)
        bias = rng.normal(size=problem.out_channels).astype("f")
        residual = rng.normal(size=problem.output_shape).astype("f") if with_residual else None
        out = np.empty(problem.output_shape, "f")
        info = None if residual is None else ArrayInfo.of(residual)
        given = {"bias": True, "residual": info, "activation": activation, "out": ArrayInfo.of(out)}
        bound = direct.bind_transposed(problem, x=ArrayInfo.of(x), weight=ArrayInfo.of(weight), **given)
        bound.run(x, weight, bias, residual, out)
        sums = wide(problem, x, weight) + bias.reshape(-1, *(1,) * problem.rank)
        sums = sums if residual is None else sums + residual
        exact = sums if activation is None else elementwise.apply(activation[0], sums, np.dtype(float), activation[1:])
        np.testing.assert_allclose(out, exact, rtol=1e-4, atol=2e-4)
        again = np.empty_like(out) if residual is None else residual.copy()
        packed = bound.packed(weight)
        packed.run(x, np.empty(0), bias, None if residual is None else again, again)
        assert (again == out).all()


@pytest.mark.parametrize(
    "kinds", [("int8", "int8"), ("uint8", "int8"), ("int16", "uint8"), ("bool", "int16"), ("int32", "int64")]
)
def test_integers_are_exact(machine, kinds):
    rng = np.random.default_rng(13)
    for bound in (None, 2**31 - 1):
        sizes, kernel = (2, 6, 9, 23), (6, 5, 3, 4)
        low, high = (-50, 50) if bound else (-(2**15), 2**15)
        x, weight = (
            drawn_integers(rng, kind, low, high, shape) for kind, shape in zip(kinds, (sizes, kernel), strict=True)
        )
        problem = TransposedConvolution.from_shapes(
            sizes, kernel, stride=2, padding=1, groups=2, dtype="int64", bound=bound
        )
        got = direct.transposed_convolution(problem, x, weight)
        assert got.dtype == (np.int32 if bound else np.int64)
        assert (got == windows.transposed_convolution(problem, x.astype("q"), weight.astype("q"))).all()


def test_float16_is_computed_in_float32(machine):
    rng = np.random.default_rng(14)
    x, weight = rng.normal(size=(1, 40, 8, 19)).astype("e"), rng.normal(size=(40, 7, 3, 3)).astype("e")
    problem = TransposedConvolution.from_shapes(x.shape, weight.shape, stride=2)
    got = direct.transposed_convolution(problem, x, weight)
    check(problem, x.astype("f"), weight.astype("f"), wide(problem, x, weight), got)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_by_real_sums(machine, dtype):
    rng = np.random.default_rng(15)
    problem = TransposedConvolution.from_shapes((2, 4, 7, 9), (4, 3, 3, 2), stride=2, groups=2, dtype=dtype)
    x, weight = (
        (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype) for shape in ((2, 4, 7, 9), (4, 3, 3, 2))
    )
    expected = reference.transposed_convolution(problem, x, weight)
    np.testing.assert_allclose(direct.transposed_convolution(problem, x, weight), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_inner_loop_keeps_its_tile_in_registers(machine, dtype):
    """No access to the stack between the multiply-adds, and vectors of the target's width."""
    if not machine.fma:
        pytest.skip("SSE2 is to be right, not tuned")
    for rows, vectors in register_tiles(machine.registers):
        form = Spread(dtype, dtype, dtype, dtype, rows, vectors, 2, True)
        assembly = jit.assembly(spread_routine(form, machine), machine)
        assert not [line for line in assembly.splitlines() if "\tcall" in line], (form, machine.name)
        loops = [block for block in assembly.split("\n.L") if block.count("\tvfmadd") >= rows * vectors]
        assert loops, (form, machine.name)
        for loop in loops:
            inner = loop[: loop.index("\tj")]
            assert {64: "%zmm", 32: "%ymm"}[machine.vector_bytes] in inner
            assert not [line for line in inner.splitlines() if "(%rsp)" in line and "mm" in line], (form, machine.name)
