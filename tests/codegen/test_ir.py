"""LLVM's language as text: how numbers and types are written, and that LLVM reads what is put together."""

import pytest

pytest.importorskip("llvmlite")

from striderule.codegen import ir, jit, target
from striderule.errors import CompilationFailed

I32, I64 = ir.integer(32), ir.integer(64)


def test_of_each_type_there_is_one():
    assert ir.integer(32) is I32
    assert ir.vector(I32, 4) is ir.vector(I32, 4)
    assert ir.vector(I32, 4) is not ir.array(I32, 4)
    assert I32.as_pointer().as_pointer().part is I32.as_pointer()
    assert [kind.text for kind in (ir.vector(ir.FLOAT, 8), ir.array(ir.BFLOAT, 3), I64.as_pointer())] == [
        "<8 x float>",
        "[3 x bfloat]",
        "ptr",
    ]


# The bits of a float64 (IEEE 754-2019); 0.1 of float32 is 13421773 / 2**27.
NUMBERS = [
    (ir.DOUBLE, 0.1, "0x3fb999999999999a"),
    (ir.FLOAT, 0.1, "0x3fb99999a0000000"),
    (ir.FLOAT, -0.0, "0x8000000000000000"),
    (ir.DOUBLE, float("-inf"), "0xfff0000000000000"),
    (I32, -7, "-7"),
    (ir.integer(1), True, "1"),
    (ir.vector(I32, 3), (1, -2, 3), "<i32 1, i32 -2, i32 3>"),
    (ir.vector(I32, 2), 5, "<i32 5, i32 5>"),
    (ir.vector(ir.FLOAT, 2), 0.0, "zeroinitializer"),
    (ir.vector(ir.FLOAT, 2), -0.0, "<float 0x8000000000000000, float 0x8000000000000000>"),
]


@pytest.mark.parametrize(("kind", "number", "text"), NUMBERS)
def test_numbers(kind, number, text):
    assert ir.constant(kind, number).text == text


def some():
    """Return a function under way, and what writes its body."""
    function = ir.Function("some", target.host().triple, I64.as_pointer(), I64, I64)
    return function, ir.Builder(function, function.block("body"))


def test_llvm_reads_it():
    function, build = some()
    words, first, last = function.args
    before, turn, after = build.block, function.block("turn"), function.block("after")
    build.branch(turn)
    build.block = turn
    index = build.phi(I64)
    index.add_incoming(first, before)
    following = build.add_nsw(index, ir.constant(I64, 1))
    index.add_incoming(following, turn)
    build.cbranch(build.icmp_signed("<", following, last), turn, after)
    build.block = after
    four = ir.vector(ir.FLOAT, 4)
    place = build.bitcast(words, four.as_pointer())
    assert place.text == words.text  # pointers need no instruction to point to something else
    assert build.gep(place, ir.constant(I64, 0)) is place
    a = build.load(place, align=8)
    with build.if_then(build.icmp_unsigned("==", index, ir.constant(I64, 3))):
        build.store(build.call("llvm.fabs.v4f32", four, [a], ("nsz",)), place, align=16, stream=True)
    with build.if_else(build.extract_element(build.fcmp_ordered("<=", a, ir.constant(four, 2)), 3)) as (here, there):
        with here:
            build.store(build.shuffle_vector(build.insert_element(a, ir.constant(ir.FLOAT, 1), 2), a, (0, 7)), place)
        with there:
            build.store(build.shuffle_vector(a, ir.undefined(four), 8), place)
    build.store_atomic(build.atomic_rmw("xchg", words, build.not_(index), "acquire"), words, "release", 8)
    build.ret_void()
    assert "some" in jit.assembly(function.text(), target.host())


def test_what_is_wrong_is_refused_by_llvm():
    function, build = some()
    build.fadd(*function.args[1:])
    build.ret_void()
    with pytest.raises(CompilationFailed, match="invalid operand type"):
        jit.assembly(function.text(), target.host())
