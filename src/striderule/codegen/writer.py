"""A routine while it is written: its loops, registers and room, and what instructions are put in with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from striderule.codegen.target import Target
from striderule.codegen.values import I32, I64, Condition, Count, Element, Pointer, Register, Size, Vector


class Writer:
    """What every instruction needs; `tile.Routine` is the whole."""

    def __init__(
        self,
        name: str,
        target: Target,
        element: Element,
        *,
        pointers: Sequence[str],
        sizes: Sequence[str],
        numbers: Sequence[str] = (),
    ) -> None:
        self.name, self.target, self.element = name, target, element
        self.lanes = target.lanes(element.itemsize)
        self._module = ir.Module(name)
        self._module.triple = target.triple
        signature = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64, I64])
        self._function = ir.Function(self._module, signature, name)
        # Registers are made in the first block, so that one inside a loop takes no more room with every turn.
        self._first_block = self._function.append_basic_block("registers")
        self._body = self._function.append_basic_block("body")
        self._registers = ir.IRBuilder(self._first_block)
        self.build = ir.IRBuilder(self._body)
        self._arguments = {
            word: self.build.load(self.build.gep(self._function.args[0], [ir.Constant(I64, i)]))
            for i, word in enumerate((*pointers, *sizes, *numbers))
        }

    # Control ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, count: Size | int, step: int = 1) -> Iterator[Size]:
        """Run the body for 0, step, 2 step ... below count; not at all where count is zero or less."""
        end = count.value if isinstance(count, Size) else ir.Constant(I64, count)
        before = self.build.block
        turn, after = self._function.append_basic_block("turn"), self._function.append_basic_block("after")
        self.build.cbranch(self.build.icmp_signed(">", end, ir.Constant(I64, 0)), turn, after)
        self.build.position_at_end(turn)
        index = self.build.phi(I64)
        index.add_incoming(ir.Constant(I64, 0), before)
        yield Size(self, index)
        following = self.build.add(index, ir.Constant(I64, step), flags=["nsw"])
        index.add_incoming(following, self.build.block)
        self.build.cbranch(self.build.icmp_signed("<", following, end), turn, after)
        self.build.position_at_end(after)

    @contextmanager
    def during(self, count: Count) -> Iterator[None]:
        """Run the body again and again, as long as the count is above zero."""
        look, turn, after = (self._function.append_basic_block(word) for word in ("look", "turn", "after"))
        self.build.branch(look)
        self.build.position_at_end(look)
        self.build.cbranch(count.value.above(0).value, turn, after)
        self.build.position_at_end(turn)
        yield
        self.build.branch(look)
        self.build.position_at_end(after)

    @contextmanager
    def when(self, condition: Condition) -> Iterator[None]:
        """Run the body where the condition holds."""
        with self.build.if_then(condition.value):
            yield

    @contextmanager
    def either(self, condition: Condition) -> Iterator[tuple[Any, Any]]:
        """Give two bodies, each a ``with`` of its own: where the condition holds, and where it does not."""
        with self.build.if_else(condition.value) as bodies:
            yield bodies

    def choose(self, condition: Condition, a: Size | int, b: Size | int) -> Size:
        """Return the size a where the condition holds, else b."""
        pair = (one.value if isinstance(one, Size) else ir.Constant(I64, one) for one in (a, b))
        return Size(self, self.build.select(condition.value, *pair))

    def whole(self, number: int) -> Size:
        """Return a number as a size."""
        return Size(self, ir.Constant(I64, number))

    def nearer(self, condition: Condition, a: Pointer, b: Pointer) -> Pointer:
        """Return the pointer a where the condition holds, else b."""
        return Pointer(self, a.element, self.build.select(condition.value, a.value, b.value))

    # Constants and products -------------------------------------------------------------------------------------------

    def constant(self, number: float, element: Element | None = None, lanes: int | None = None) -> Vector:
        """Return a vector with the same number in every lane."""
        kind = element or self.element
        value = float(number) if kind.kind == "f" else int(number)
        vector = ir.VectorType(kind.type, lanes or self.lanes)
        return Vector(self, ir.Constant(vector, [value] * vector.count), kind)

    def multiply_add(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """Return a * b + c: floats are rounded once where the target has a fused instruction, else twice."""
        if a.element.kind != "f" or not self.target.fma:
            return a * b + c
        return self._of("llvm.fma", a, b, c)

    # Registers and room -----------------------------------------------------------------------------------------------

    def register(self, start: Vector) -> Register:
        """Return a register that holds `start`."""
        place = self._registers.alloca(start.value.type)
        self.build.store(start.value, place)
        return Register(self, place, start.element)

    def count(self, start: Size | int) -> Count:
        """Return a size that may change, and is `start` now."""
        counter = Count(self, self._registers.alloca(I64))
        counter.set(start)
        return counter

    def tile(self, rows: int, columns: int, element: Element | None = None) -> list[list[Register]]:
        """Return rows x columns registers of zeros."""
        zero = self.constant(0, element)
        return [[self.register(zero) for _ in range(columns)] for _ in range(rows)]

    def scratch(self, count: int, element: Element | None = None) -> Pointer:
        """Return room for `count` elements on the stack, aligned to a cache line; its contents are undefined."""
        kind = element or self.element
        room = self._registers.alloca(ir.ArrayType(kind.type, count))
        room.align = 64
        return Pointer(self, kind, self.build.bitcast(room, kind.type.as_pointer()))

    # The end ----------------------------------------------------------------------------------------------------------

    def finish(self) -> str:
        """Close the routine and return it as LLVM IR."""
        self.build.ret_void()
        self._registers.branch(self._body)
        return str(self._module)

    def _room(self, vector: Any) -> Any:
        place = self._registers.alloca(vector)
        place.align = 64
        return place

    def _of(self, intrinsic: str, *vectors: Vector, flags: Sequence[str] = ()) -> Vector:
        """Call an intrinsic whose arguments and result are of one type; `flags` say what its floats may ignore."""
        first = vectors[0]
        name = f"{intrinsic}.v{first.lanes}{first.element.code}"
        return Vector(self, self._call(name, first.value.type, [one.value for one in vectors], flags), first.element)

    def call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """Return what a function of LLVM's makes of LLVM's values: for instructions of one kind of processor."""
        return self._call(name, result, arguments)

    def _call(self, name: str, result: Any, arguments: Sequence[Any], flags: Sequence[str] = ()) -> Any:
        known = self._module.globals.get(name)
        if known is None:
            known = ir.Function(self._module, ir.FunctionType(result, [one.type for one in arguments]), name)
        return self.build.call(known, arguments, fastmath=flags)

    def _spread(self, number: Any, kind: Any) -> Any:
        one = self.build.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(I32, 0))
        pattern = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
        return self.build.shuffle_vector(one, ir.Constant(kind, ir.Undefined), pattern)
