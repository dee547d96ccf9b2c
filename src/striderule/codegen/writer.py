"""A routine while it is written: its loops, registers and room, and what instructions are put in with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from striderule.codegen import ir
from striderule.codegen.target import Target
from striderule.codegen.values import I64, Condition, Count, Element, Pointer, Register, Size, Vector


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
        self._function = ir.Function(name, target.triple, I64.as_pointer(), I64, I64)
        # Registers are made in the first block, so that one inside a loop takes no more room with every turn.
        self._registers = ir.Builder(self._function, self._function.block("registers"))
        self._body = self._function.block("body")
        self.build = ir.Builder(self._function, self._body)
        self._arguments = {
            word: self.build.load(self.build.gep(self._function.args[0], ir.constant(I64, i)))
            for i, word in enumerate((*pointers, *sizes, *numbers))
        }

    # Control ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, count: Size | int, step: int = 1) -> Iterator[Size]:
        """Run the body for 0, step, 2 step ... below count; not at all where count is zero or less."""
        end = count.value if isinstance(count, Size) else ir.constant(I64, count)
        before = self.build.block
        turn, after = self._function.block("turn"), self._function.block("after")
        self.build.cbranch(self.build.icmp_signed(">", end, ir.constant(I64, 0)), turn, after)
        self.build.block = turn
        index = self.build.phi(I64)
        index.add_incoming(ir.constant(I64, 0), before)
        yield Size(self, index)
        following = self.build.add_nsw(index, ir.constant(I64, step))
        index.add_incoming(following, self.build.block)
        self.build.cbranch(self.build.icmp_signed("<", following, end), turn, after)
        self.build.block = after

    @contextmanager
    def during(self, count: Count) -> Iterator[None]:
        """Run the body again and again, as long as the count is above zero."""
        look, turn, after = (self._function.block(word) for word in ("look", "turn", "after"))
        self.build.branch(look)
        self.build.block = look
        self.build.cbranch(count.value.above(0).value, turn, after)
        self.build.block = turn
        yield
        self.build.branch(look)
        self.build.block = after

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
        pair = (one.value if isinstance(one, Size) else ir.constant(I64, one) for one in (a, b))
        return Size(self, self.build.select(condition.value, *pair))

    def whole(self, number: int) -> Size:
        """Return a number as a size."""
        return Size(self, ir.constant(I64, number))

    def nearer(self, condition: Condition, a: Pointer, b: Pointer) -> Pointer:
        """Return the pointer a where the condition holds, else b."""
        return Pointer(self, a.element, self.build.select(condition.value, a.value, b.value))

    # Constants and products -------------------------------------------------------------------------------------------

    def constant(self, number: float, element: Element | None = None, lanes: int | None = None) -> Vector:
        """Return a vector with the same number in every lane."""
        kind = element or self.element
        value = float(number) if kind.kind == "f" else int(number)
        return Vector(self, ir.constant(ir.vector(kind.type, lanes or self.lanes), value), kind)

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
        room = self._registers.alloca(ir.array(kind.type, count), align=64)
        return Pointer(self, kind, self.build.bitcast(room, kind.type.as_pointer()))

    # The end ----------------------------------------------------------------------------------------------------------

    def finish(self) -> str:
        """Close the routine and return it as LLVM IR."""
        self.build.ret_void()
        self._registers.branch(self._body)
        return self._function.text()

    def _room(self, vector: Any) -> Any:
        return self._registers.alloca(vector, align=64)

    def _of(self, intrinsic: str, *vectors: Vector, flags: Sequence[str] = ()) -> Vector:
        """Call an intrinsic whose arguments and result are of one type; `flags` say what its floats may ignore."""
        first = vectors[0]
        name = f"{intrinsic}.v{first.lanes}{first.element.code}"
        made = self.build.call(name, first.value.type, [one.value for one in vectors], flags)
        return Vector(self, made, first.element)

    def call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """Return what a function of LLVM's makes of LLVM's values: for instructions of one kind of processor."""
        return self.build.call(name, result, arguments)

    def _spread(self, number: Any, kind: Any) -> Any:
        none = ir.undefined(kind)
        return self.build.shuffle_vector(self.build.insert_element(none, number, 0), none, kind.count)
