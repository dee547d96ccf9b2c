"""The tile language: what each construct computes, on every target that this machine runs."""

import ctypes

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.codegen import jit, target
from striderule.codegen.tile import ELEMENTS, FLOAT32, Routine

TARGETS = target.available()


def run(text, name, machine, arrays, sizes, tasks):
    routine = jit.load(name, text, machine)
    words = np.array([a.ctypes.data for a in arrays] + list(sizes), np.int64)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(routine.address)
    function(words.ctypes.data, *tasks)


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def test_a_register_sums_over_a_loop_and_a_mask_keeps_the_rest(machine, dtype):
    """y[t, i] = sum over k of a[k] * x[k, i], row by row, with a masked end: no element beyond is read or written."""
    r = Routine("sums", machine, ELEMENTS[dtype], pointers=("a", "x", "y"), sizes=("terms", "length"))
    terms, length = r.size("terms"), r.size("length")
    with r.tasks() as task, r.loop(length, step=r.lanes) as i:
        mask = r.first_lanes(length - i)
        total = r.register(r.constant(0.0))
        with r.loop(terms) as k:
            total.add_product(r.broadcast(r.pointer("a") + k), r.load(r.pointer("x") + k * length + i, mask))
        r.store(total.value, r.pointer("y") + task * length + i, mask)
    text = r.finish()
    rng = np.random.default_rng(0)
    for n in (1, 3, r.lanes - 1, r.lanes, r.lanes + 1, 5 * r.lanes + 2):
        a, x = rng.normal(size=7).astype(dtype), rng.normal(size=(7, n)).astype(dtype)
        y = np.full((4, n), 99, dtype)
        run(text, "sums", machine, (a, x, y), (7, n), (1, 3))
        assert (y[[0, 3]] == 99).all()  # tasks that were not asked for
        np.testing.assert_allclose(y[1], a.astype(float) @ x.astype(float), rtol=10 * np.finfo(dtype).eps, atol=1e-5)
        assert (y[1] == y[2]).all()


def test_a_loop_of_nothing_runs_never(machine):
    r = Routine("none", machine, FLOAT32, pointers=("y",), sizes=("count",))
    with r.tasks(), r.loop(r.size("count")) as i:
        r.store(r.constant(1.0), r.pointer("y") + i)
    text = r.finish()
    for count in (0, -3):
        y = np.zeros(64, np.float32)
        run(text, "none", machine, (y,), (count,), (0, 1))
        assert not y.any()


def test_sizes_choose_and_divide(machine):
    """Integers of the machine: minimum, maximum, division, rest, conditions, tables."""
    r = Routine("sizes", machine, FLOAT32, pointers=("table", "y"), sizes=("a", "b"))
    a, b = r.size("a"), r.size("b")
    place = a.smaller(b) + a.larger(b) * 2 + a // b + a % b + r.entry(r.table("table"), 1)
    with r.tasks():
        with r.either(a.below(b)) as (less, not_less):
            with less:
                r.store(r.constant(1.0), r.pointer("y") + place, r.first_lanes(r.size("a") - (r.size("a") - 1)))
            with not_less:
                r.store(r.constant(2.0), r.pointer("y") + place, r.first_lanes(r.size("a") - (r.size("a") - 1)))
        with r.when(a.equals(b)):
            r.store(r.constant(3.0), r.pointer("y"), r.first_lanes(r.size("a") - (r.size("a") - 1)))
    text = r.finish()
    for first, second in ((5, 3), (3, 5), (4, 4)):
        y, table = np.zeros(64, np.float32), np.array([100, 7], np.int64)
        run(text, "sizes", machine, (table, y), (first, second), (0, 1))
        place = min(first, second) + 2 * max(first, second) + first // second + first % second + 7
        expected = np.zeros(64, np.float32)
        expected[place] = 1 if first < second else 2
        expected[0] = 3 if first == second else 0
        assert (y == expected).all()


def test_masks_meet_and_scratch_keeps(machine):
    """The lanes from the second to the last but one, through room on the stack."""
    r = Routine("masks", machine, FLOAT32, pointers=("x", "y"), sizes=("one", "end"))
    room = r.scratch(r.lanes)
    with r.tasks():
        r.store(r.load(r.pointer("x")) - r.constant(1.0), room)
        mask = r.both(r.lanes_from(r.size("one")), r.first_lanes(r.size("end")))
        r.store(r.maximum(r.load(room), r.constant(2.0)) * r.constant(2.0), r.pointer("y"), mask)
    x, y = np.arange(r.lanes, dtype=np.float32), np.full(r.lanes, -1, np.float32)
    run(r.finish(), "masks", machine, (x, y), (1, r.lanes - 1), (0, 1))
    expected = np.maximum(x - 1, 2) * 2
    expected[[0, -1]] = -1
    assert (y == expected).all()


def test_fused_targets_round_once():
    """a * b + c with a * b between two floats: only a fused instruction keeps what the product loses."""
    for machine in TARGETS:
        r = Routine("fused", machine, FLOAT32, pointers=("a", "y"), sizes=())
        with r.tasks():
            a = r.broadcast(r.pointer("a"))
            r.store(r.multiply_add(a, a, r.broadcast(r.pointer("a") + 1)), r.pointer("y"))
        a = np.array([1 + 2**-12, -(1 + 2**-11)], np.float32)
        y = np.zeros(r.lanes, np.float32)
        run(r.finish(), "fused", machine, (a, y), (), (0, 1))
        assert (y == (np.float32(2**-24) if machine.fma else 0)).all()


def test_a_body_runs_during_a_count_and_reads_integers_of_all_kinds(machine):
    """y[i] = the number of halvings until x[i] is 0: the count of turns is known only while it runs."""
    for name, values in (("uint8", [0, 1, 200]), ("int16", [5, -3, 1024])):
        r = Routine("halvings", machine, ELEMENTS[name], pointers=("x", "y"), sizes=("length",))
        with r.tasks(), r.loop(r.size("length")) as i:
            left, turns = r.count(r.integer(r.pointer("x") + i)), r.count(0)
            with r.during(left):
                left.set(left.value // 2)
                turns.set(turns.value + 1)
            r.store(r.spread(turns.value, ELEMENTS[name], 1), r.pointer("y") + i)
        x = np.array(values, name)
        y = np.zeros_like(x)
        run(r.finish(), "halvings", machine, (x, y), (3,), (0, 1))
        assert y.tolist() == [max(0, value).bit_length() for value in values]
