"""Direct convolution on generated code, on every target that this machine runs."""

import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct.planes import layout_of
from striderule.algorithms.direct.routine import CHAIN, Tile, product_routine
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import jit, target
from striderule.errors import CompilerMissing, InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import cost
from striderule.planning.cost import register_tiles

TARGETS = target.available()


def tiles_for(machine):
    return tuple(Tile(*tile) for tile in register_tiles(machine.registers))


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(direct, "current", lambda: request.param)
    return request.param


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
            "boundary": str(rng.choice(["constant", "edge", "mirror", "symmetric", "wrap"])),
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
    bound = 2 * (min(problem.terms, CHAIN) + problem.terms // CHAIN + 2) * np.finfo(problem.dtype).eps * scale
    assert (np.abs(got.astype(float) - expected) <= bound).all()


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_loops_on_small_problems(machine, seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng, largest_rank=2, batch=2, channels=3, size=8)
    x, weight = operands(problem, rng)
    check(
        problem, x, weight, reference.convolution(problem, x, weight, 0.5), direct.convolution(problem, x, weight, 0.5)
    )


@pytest.mark.parametrize("seed", range(150))
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
    monkeypatch.setattr(direct, "register_tile", lambda *_: (tile.rows, tile.vectors))
    rng = np.random.default_rng(3)
    width = tile.vectors * machine.lanes(4)
    for rows in {1, tile.rows - 1, tile.rows, tile.rows + 1} - {0}:
        for length in (1, width - 1, width, width + 1, 2 * width + 3):
            for terms in (1, CHAIN, CHAIN + 1):
                problem = Convolution.from_shapes((1, terms, length), (rows, terms, 1))
                x, weight = operands(problem, rng)
                wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
                check(problem, x, weight, wide, direct.convolution(problem, x, weight, 0))


@pytest.mark.parametrize("length", [0, 1])
def test_rows_one_by_one_or_together_give_the_same_bits(machine, monkeypatch, length):
    """Whether a row of outputs is swept by itself is a matter of speed: each sum is formed in the same order."""
    results = []
    for long in (1, 10**6):
        monkeypatch.setattr(cost, "LONG", long)
        results.append([])
        for shape, kernel in (((2, 3, 5, 70), (3, 3)), ((1, 2, 4, 5, 67), (2, 3, 1)), ((1, 2, 9, 200), (1, 5))):
            problem = Convolution.from_shapes(
                shape, (9, shape[1], *kernel), padding=1, stride=1 + length, dilation=1 + length
            )
            x, weight = operands(problem, np.random.default_rng(6))
            results[-1].append(direct.convolution(problem, x, weight, 0))
            wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
            check(problem, x, weight, wide, results[-1][-1])
    assert all((one == other).all() for one, other in zip(*results, strict=True))


def guarded(values):
    """Return a copy whose last element is the last before a page that cannot be read, and the map that holds it."""
    pages = -(-values.nbytes // mmap.PAGESIZE) + 1
    room = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    whole = np.frombuffer(room, np.uint8)
    import ctypes

    address = whole.ctypes.data + pages * mmap.PAGESIZE
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    assert protect(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    start = pages * mmap.PAGESIZE - values.nbytes
    copy = whole[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy, room


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize(
    ("shape", "kernel"),
    [((5, 49), (1,)), ((3, 7), (1,)), ((130, 63), (1,)), ((2, 200), (5,)), ((3, 6, 110), (3, 3)), ((2, 5, 40), (3, 2))],
)
@pytest.mark.parametrize("rows", [1, 5, 13])
def test_nothing_is_read_beyond_the_operands(machine, shape, kernel, rows):
    """Without padding the input is read in place; a page that cannot be read follows both operands."""
    rng = np.random.default_rng(5)
    problem = Convolution.from_shapes((1, *shape), (rows, shape[0], *kernel))
    x, weight = operands(problem, rng)
    near_x, keep_x = guarded(x)
    near_weight, keep_weight = guarded(weight)
    result = direct.convolution(problem, near_x, near_weight, 0)
    wide = windows.convolution(problem, x.astype(float), weight.astype(float), 0)
    check(problem, x, weight, wide, result)
    assert keep_x is not None
    assert keep_weight is not None


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


@pytest.mark.parametrize("shape", [(0, 2, 5), (2, 0, 5), (2, 2, 5)])
def test_nothing_to_sum(shape):
    weight = np.ones((0 if shape == (2, 2, 5) else 3, shape[1], 3))
    problem = Convolution.from_shapes(shape, weight.shape, dtype="float64")
    result = direct.convolution(problem, np.ones(shape), weight, 0)
    assert result.shape == problem.output_shape
    assert not result.any()


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_):
        raise CompilerMissing("no compiler today")

    monkeypatch.setattr(direct.jit, "compiled", fails)
    giving_way._warn_once.cache_clear()
    rng = np.random.default_rng(11)
    problem = Convolution.from_shapes((1, 3, 8, 8), (4, 3, 3, 3))
    x, weight = operands(problem, rng)
    with pytest.warns(RuntimeWarning, match="no compiler today"):
        result = direct.convolution(problem, x, weight, 0)
    assert (result == windows.convolution(problem, x, weight, 0)).all()
    direct.convolution(problem, x, weight, 0)  # warnings are errors here: there is no second one


def test_large_batches_are_cut_to_the_workspace(machine, monkeypatch):
    rng = np.random.default_rng(8)
    x, weight = rng.normal(size=(7, 4, 12, 12)), rng.normal(size=(5, 4, 3, 3))
    problem = Convolution.from_shapes(x.shape, weight.shape, padding=1, dtype="float64")
    whole = direct.convolution(problem, x, weight, 0)
    monkeypatch.setattr(direct, "WORKSPACE", 1)
    assert (direct.convolution(problem, x, weight, 0) == whole).all()


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


def test_strided_inputs_are_split_into_the_phases_that_taps_meet():
    problem = Convolution.from_shapes((1, 2, 16, 16), (1, 2, 1, 3), stride=(2, 2))
    layout = layout_of(problem)
    assert layout.phases == ((0, 0), (0, 1))
    assert not layout.in_place
    assert layout_of(Convolution.from_shapes((1, 2, 16, 16), (1, 2, 1, 1))).in_place


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_inner_loop_keeps_its_tile_in_registers(machine, dtype):
    """No access to the stack between the multiply-adds but the weights' panel, and vectors of the target's width."""
    if not machine.fma:
        pytest.skip("SSE2 is to be right, not tuned")
    for tile in tiles_for(machine):
        assembly = jit.assembly(product_routine("product", machine, dtype, tile), machine)
        assert inner_loop_is_clean(assembly, machine, tile), (tile, machine.name)


def inner_loop_is_clean(assembly, machine, tile: Tile):
    register = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[machine.vector_bytes]
    operation = "vfmadd" if machine.fma else "mul"
    blocks, block = [], []
    for line in assembly.splitlines():
        if line.startswith(".L"):
            blocks.append(block)
            block = []
        else:
            block.append(line)
    inner = [b for b in blocks if sum(operation in line for line in b) >= tile.rows * tile.vectors]
    stores = [
        line
        for b in inner
        for line in b[: next(i for i, text in enumerate(b) if "\tj" in text) + 1]
        if "mov" in line and register in line and line.rstrip().endswith("(%rsp)")
    ]
    return len(inner) >= 2 and not stores and all(any(register in line for line in b) for b in inner)
