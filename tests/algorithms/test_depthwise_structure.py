"""The structures of depthwise convolution: borders, registers, how few there are, what they cost and serve."""

import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import channels_last
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.depthwise import schedule
from striderule.algorithms.depthwise.routine import plane_routine
from striderule.algorithms.depthwise.schedule import Axis, Layout
from striderule.codegen import jit, target
from striderule.errors import InvalidArgument
from striderule.geometry.padding import source_index
from striderule.geometry.problem import Convolution
from striderule.planning import choose, cost, planes
from striderule.planning.machine import Machine
from striderule.planning.rules import FEW

TARGETS = target.available()


def layers(shape, weight, **words):
    """Return the problem of a depthwise layer."""
    return Convolution.from_shapes(shape, weight, groups=shape[1] // weight[1], **words)


@pytest.mark.parametrize("word", ["constant", "edge", "mirror", "symmetric", "wrap"])
def test_the_table_of_what_lies_beyond_an_axis(word):
    axis = Axis(5, 3, 1, 1, 7, 4, (word, word), 14)
    last, *elements = axis.beyond
    expected = [source_index(position, 5, word) for position in (*range(-7, 0), *range(5, 9))]
    assert elements[: last + 1] == ([] if word == "constant" else expected)
    inner = range(*axis.inner)
    assert list(inner) == [j for j in range(14) if j >= 7 and j + 2 - 7 < 5]


LAYERS = [
    ((56, 56), (3, 3), {"padding": 1}),
    ((56, 56), (7, 7), {"padding": 3}),
    ((57, 57), (3, 3), {"padding": 1, "stride": 2}),
    ((28, 28), (9, 9), {"padding": 4}),
    ((500,), (31,), {"padding": 15}),
]


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("machine", TARGETS, ids=lambda machine: machine.name)
@pytest.mark.parametrize(("size", "kernel", "words"), LAYERS, ids=[str(kernel) for _, kernel, _ in LAYERS])
def test_sums_stay_in_registers(machine, size, kernel, words, last):
    """Hardly a vector goes to the stack or comes from it beside the products, and nothing is called."""
    if not machine.fma:
        pytest.skip("SSE2 is to be right, not tuned")
    register = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[machine.vector_bytes]
    problem = layers((1, 64, *size), (64, 1, *kernel), **words)
    info, other = (
        schedule.with_rows(ArrayInfo.of(channels_last(each) if last else each))
        for each in (np.empty((1, 64, *size), "f"), np.empty(problem.output_shape, "f"))
    )
    layout = Layout(problem, "channels" if last else "columns", info, other, None, Axis.all_of(problem), machine)
    structure = layout.structure(bias=True, activation=())
    assembly = jit.assembly(plane_routine("planes", machine, structure), machine)
    assert not re.search(r"\tcall", assembly)
    blocks = [block.splitlines() for block in re.split(r"\n\.L\w+:", assembly)]
    products = [block for block in blocks if any("vfmadd" in line and register in line for line in block)]
    count = sum("vfmadd" in line for block in products for line in block)
    assert count >= structure.rows * structure.vectors * structure.down.taps
    moved = [line for block in products for line in block if "vmov" in line and register in line]
    stack = [line for line in moved if re.search(r"\(%r[sb]p\)", line)]
    # Without registers for masks, those of the border are vectors, and may have to wait.
    assert len(stack) <= (count // 8 if machine.registers == 32 else count // 3)


def test_few_structures_serve_many_sizes():
    """A hundred sizes of one kind of layer ask for a few routines at most."""
    machine = TARGETS[0]
    found = set()
    for size in range(8, 108):
        problem = layers((1, 16, size, size), (16, 1, 3, 3), padding=1)
        info = ArrayInfo.of(np.empty((1, 16, size, size), "f"))
        layout = Layout(problem, "columns", info, info, None, Axis.all_of(problem), machine)
        found.add(layout.structure(bias=False, activation=()))
    assert len(found) <= 8


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2", "neon"])
def test_the_cost_counts_every_product_and_states_the_order_of_summation(name):
    machine = Machine.of(name)
    for kernel, chains in (((3, 3), 1), ((31, 31), 8)):
        problem = layers((1, 8, 40, 40), (8, 1, *kernel), padding=kernel[0] // 2)
        work = cost.work_of(problem, "float32")
        found = cost.depthwise(problem, work, machine)
        assert found.operations == work.operations
        assert found.seconds >= work.operations / (machine.peak("float32") / 2)
        assert found.error <= 2.0**-24 * (planes.CHAIN + chains)
        assert found.tile.endswith("columns")


def test_groups_of_many_channels_are_for_other_algorithms():
    machine = Machine.of("avx512")
    few, many = (Convolution.from_shapes((1, 4 * n, 9, 9), (4, n, 3, 3), groups=4) for n in (FEW, FEW + 1))
    assert choose(few, algorithm="depthwise", machine=machine).algorithm == "depthwise"
    with pytest.raises(InvalidArgument, match="at most 8 channels a group, and this has 9"):
        choose(many, algorithm="depthwise", machine=machine)
    layer = layers((1, 96, 56, 56), (96, 1, 7, 7), padding=3)
    assert choose(layer, machine=machine).algorithm == "depthwise"
