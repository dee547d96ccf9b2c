"""The tile language: vectors, fused multiply-add, loops as context managers. It knows no convolution.

A routine is written as its mathematics, in Python, and comes out as LLVM IR::

    r = Routine("scale", target, FLOAT32, pointers=("x", "y"), sizes=("blocks", "length"))
    x, y = r.pointer("x"), r.pointer("y")
    with r.tasks() as task:
        with r.loop(r.size("length"), step=r.lanes) as i:
            value = r.load(x + task * r.size("length") + i)
            r.store(value * r.constant(2.0), y + task * r.size("length") + i)
    text = r.finish()

Python ``for`` loops unroll; `Routine.loop` makes a loop of the machine. `Routine.register` holds a vector from one turn
of a loop to the next. Every routine is ``void name(i64* args, i64 first, i64 last)``: it runs the tasks from `first` up
to, but not including, `last`, and finds its pointers and sizes in `args`, pointers first, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from striderule.codegen.target import Target

_I64, _I32, _I1 = ir.IntType(64), ir.IntType(32), ir.IntType(1)


@dataclass(frozen=True, slots=True)
class Element:
    """The type of one number in memory and in a lane."""

    name: str
    itemsize: int
    # What LLVM calls it in the names of its intrinsics.
    code: str

    @property
    def type(self) -> Any:
        """The type in LLVM's terms."""
        return ir.FloatType() if self.code == "f32" else ir.DoubleType()


FLOAT32 = Element("float32", 4, "f32")
FLOAT64 = Element("float64", 8, "f64")
ELEMENTS = {element.name: element for element in (FLOAT32, FLOAT64)}


@dataclass(frozen=True, slots=True)
class Size:
    """An integer of the machine: a size, an index, a distance counted in elements."""

    routine: Routine
    value: Any

    def _other(self, other: Size | int) -> Any:
        return other.value if isinstance(other, Size) else ir.Constant(_I64, other)

    def __add__(self, other: Size | int) -> Size:
        return Size(self.routine, self.routine.build.add(self.value, self._other(other)))

    def __sub__(self, other: Size | int) -> Size:
        return Size(self.routine, self.routine.build.sub(self.value, self._other(other)))

    def __mul__(self, other: Size | int) -> Size:
        return Size(self.routine, self.routine.build.mul(self.value, self._other(other)))

    def __floordiv__(self, other: Size | int) -> Size:
        """Divide numbers that are not negative."""
        return Size(self.routine, self.routine.build.udiv(self.value, self._other(other)))

    def __mod__(self, other: Size | int) -> Size:
        """Take the rest of numbers that are not negative."""
        return Size(self.routine, self.routine.build.urem(self.value, self._other(other)))

    __radd__ = __add__
    __rmul__ = __mul__

    def smaller(self, other: Size | int) -> Size:
        """Return the smaller of two numbers."""
        test = self.routine.build.icmp_signed("<", self.value, self._other(other))
        return Size(self.routine, self.routine.build.select(test, self.value, self._other(other)))

    def larger(self, other: Size | int) -> Size:
        """Return the larger of two numbers."""
        test = self.routine.build.icmp_signed(">", self.value, self._other(other))
        return Size(self.routine, self.routine.build.select(test, self.value, self._other(other)))

    def below(self, other: Size | int) -> Condition:
        """Return the condition self < other."""
        return Condition(self.routine.build.icmp_signed("<", self.value, self._other(other)))

    def equals(self, other: Size | int) -> Condition:
        """Return the condition self == other."""
        return Condition(self.routine.build.icmp_signed("==", self.value, self._other(other)))


@dataclass(frozen=True, slots=True)
class Condition:
    """A truth of the machine, for `Routine.when`."""

    value: Any


@dataclass(frozen=True, slots=True)
class Mask:
    """Which lanes of a vector count, for `Routine.load` and `Routine.store`."""

    value: Any


@dataclass(frozen=True, slots=True)
class Pointer:
    """The address of an element; adding moves it by elements."""

    routine: Routine
    element: Element | None
    value: Any

    def __add__(self, distance: Size | int) -> Pointer:
        step = distance.value if isinstance(distance, Size) else ir.Constant(_I64, distance)
        return Pointer(self.routine, self.element, self.routine.build.gep(self.value, [step], inbounds=True))


@dataclass(frozen=True, slots=True)
class Vector:
    """Lanes of numbers of the routine's element type."""

    routine: Routine
    value: Any

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.routine, self.routine.build.fadd(self.value, other.value))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.routine, self.routine.build.fsub(self.value, other.value))

    def __mul__(self, other: Vector) -> Vector:
        return Vector(self.routine, self.routine.build.fmul(self.value, other.value))


@dataclass(frozen=True, slots=True)
class Register:
    """A vector that changes from one turn of a loop to the next."""

    routine: Routine
    place: Any

    @property
    def value(self) -> Vector:
        """The vector that it holds now."""
        return Vector(self.routine, self.routine.build.load(self.place))

    def set(self, vector: Vector) -> None:
        """Hold another vector."""
        self.routine.build.store(vector.value, self.place)

    def add_product(self, a: Vector, b: Vector) -> None:
        """Add a * b, rounded once where the target can."""
        self.set(self.routine.multiply_add(a, b, self.value))


class Routine:
    """One routine while it is written."""

    def __init__(
        self, name: str, target: Target, element: Element, *, pointers: Sequence[str], sizes: Sequence[str]
    ) -> None:
        self.name, self.target, self.element = name, target, element
        self.lanes = target.lanes(element.itemsize)
        self.vector_type = ir.VectorType(element.type, self.lanes)
        self._module = ir.Module(name)
        self._module.triple = target.triple
        signature = ir.FunctionType(ir.VoidType(), [_I64.as_pointer(), _I64, _I64])
        self._function = ir.Function(self._module, signature, name)
        # Registers are made in the first block, so that one inside a loop takes no more room with every turn.
        self._first_block = self._function.append_basic_block("registers")
        self._body = self._function.append_basic_block("body")
        self._registers = ir.IRBuilder(self._first_block)
        self.build = ir.IRBuilder(self._body)
        self._arguments = {
            word: self.build.load(self.build.gep(self._function.args[0], [ir.Constant(_I64, i)]))
            for i, word in enumerate((*pointers, *sizes))
        }
        self._pointers = frozenset(pointers)

    # Arguments ------------------------------------------------------------------------------------------------------

    def pointer(self, word: str, element: Element | None = None) -> Pointer:
        """Return the pointer argument `word`, to the routine's elements unless told otherwise."""
        kind = element or self.element
        return Pointer(self, kind, self.build.inttoptr(self._arguments[word], kind.type.as_pointer()))

    def table(self, word: str) -> Pointer:
        """Return the pointer argument `word` to a table of 64-bit integers."""
        return Pointer(self, None, self.build.inttoptr(self._arguments[word], _I64.as_pointer()))

    def size(self, word: str) -> Size:
        """Return the size argument `word`."""
        return Size(self, self._arguments[word])

    # Control --------------------------------------------------------------------------------------------------------

    @contextmanager
    def tasks(self) -> Iterator[Size]:
        """Run the body for every task that this call was given."""
        first, last = Size(self, self._function.args[1]), Size(self, self._function.args[2])
        with self.loop(last - first) as i:
            yield first + i

    @contextmanager
    def loop(self, count: Size | int, step: int = 1) -> Iterator[Size]:
        """Run the body for 0, step, 2 step ... below count; not at all where count is zero or less."""
        end = count.value if isinstance(count, Size) else ir.Constant(_I64, count)
        before = self.build.block
        turn, after = self._function.append_basic_block("turn"), self._function.append_basic_block("after")
        self.build.cbranch(self.build.icmp_signed(">", end, ir.Constant(_I64, 0)), turn, after)
        self.build.position_at_end(turn)
        index = self.build.phi(_I64)
        index.add_incoming(ir.Constant(_I64, 0), before)
        yield Size(self, index)
        following = self.build.add(index, ir.Constant(_I64, step), flags=["nsw"])
        index.add_incoming(following, self.build.block)
        self.build.cbranch(self.build.icmp_signed("<", following, end), turn, after)
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

    # Vectors --------------------------------------------------------------------------------------------------------

    def constant(self, number: float) -> Vector:
        """Return a vector with the same number in every lane."""
        return Vector(self, ir.Constant(self.vector_type, [number] * self.lanes))

    def first_lanes(self, count: Size) -> Mask:
        """Return the mask of the first `count` lanes: all of them for a large count, none for zero and less."""
        kind = ir.VectorType(_I64, self.lanes)
        numbers = ir.Constant(kind, list(range(self.lanes)))
        return Mask(self.build.icmp_signed("<", numbers, self._spread(count.value, kind)))

    def lanes_from(self, start: Size) -> Mask:
        """Return the mask of all lanes but the first `start`."""
        kind = ir.VectorType(_I64, self.lanes)
        numbers = ir.Constant(kind, list(range(self.lanes)))
        return Mask(self.build.icmp_signed(">=", numbers, self._spread(start.value, kind)))

    def both(self, a: Mask, b: Mask) -> Mask:
        """Return the lanes that both masks have."""
        return Mask(self.build.and_(a.value, b.value))

    def load(self, where: Pointer, mask: Mask | None = None) -> Vector:
        """Return the lanes at `where`, at any alignment; with a mask the others are zero, and are not read."""
        place = self.build.bitcast(where.value, self.vector_type.as_pointer())
        if mask is None:
            return Vector(self, self.build.load(place, align=self.element.itemsize))
        zeros = self.constant(0.0).value
        arguments = [place, ir.Constant(_I32, self.element.itemsize), mask.value, zeros]
        masked = self._intrinsic(
            f"llvm.masked.load.v{self.lanes}{self.element.code}.p0", self.vector_type, [a.type for a in arguments]
        )
        return Vector(self, self.build.call(masked, arguments))

    def store(self, vector: Vector, where: Pointer, mask: Mask | None = None) -> None:
        """Write the lanes to `where`, at any alignment; with a mask the others are not touched."""
        place = self.build.bitcast(where.value, self.vector_type.as_pointer())
        if mask is None:
            self.build.store(vector.value, place, align=self.element.itemsize)
            return
        arguments = [vector.value, place, ir.Constant(_I32, self.element.itemsize), mask.value]
        masked = self._intrinsic(
            f"llvm.masked.store.v{self.lanes}{self.element.code}.p0", ir.VoidType(), [a.type for a in arguments]
        )
        self.build.call(masked, arguments)

    def broadcast(self, where: Pointer) -> Vector:
        """Return the one number that stands at `where`, in every lane."""
        return Vector(self, self._spread(self.build.load(where.value), self.vector_type))

    def entry(self, table: Pointer, index: Size | int) -> Size:
        """Return an entry of a table of integers."""
        return Size(self, self.build.load((table + index).value))

    def multiply_add(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """Return a * b + c: rounded once where the target has a fused instruction, else twice."""
        if not self.target.fma:
            return a * b + c
        fused = self._intrinsic(f"llvm.fma.v{self.lanes}{self.element.code}", self.vector_type, [self.vector_type] * 3)
        return Vector(self, self.build.call(fused, [a.value, b.value, c.value]))

    def maximum(self, a: Vector, b: Vector) -> Vector:
        """Return the larger number in every lane; NaN where either is NaN."""
        kind = f"llvm.maximum.v{self.lanes}{self.element.code}"
        function = self._intrinsic(kind, self.vector_type, [self.vector_type] * 2)
        return Vector(self, self.build.call(function, [a.value, b.value]))

    def register(self, start: Vector) -> Register:
        """Return a register that holds `start`."""
        place = self._registers.alloca(self.vector_type)
        self.build.store(start.value, place)
        return Register(self, place)

    def tile(self, rows: int, columns: int) -> list[list[Register]]:
        """Return rows x columns registers of zeros."""
        zero = self.constant(0.0)
        return [[self.register(zero) for _ in range(columns)] for _ in range(rows)]

    def scratch(self, count: int) -> Pointer:
        """Return room for `count` elements on the stack, aligned to a cache line; its contents are undefined."""
        room = self._registers.alloca(ir.ArrayType(self.element.type, count))
        room.align = 64
        return Pointer(self, self.element, self.build.bitcast(room, self.element.type.as_pointer()))

    # The end --------------------------------------------------------------------------------------------------------

    def finish(self) -> str:
        """Close the routine and return it as LLVM IR."""
        self.build.ret_void()
        self._registers.branch(self._body)
        return str(self._module)

    def _intrinsic(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        known = self._module.globals.get(name)
        return known if known is not None else ir.Function(self._module, ir.FunctionType(result, arguments), name)

    def _spread(self, number: Any, kind: Any) -> Any:
        one = self.build.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(_I32, 0))
        pattern = ir.Constant(ir.VectorType(_I32, kind.count), [0] * kind.count)
        return self.build.shuffle_vector(one, ir.Constant(kind, ir.Undefined), pattern)
