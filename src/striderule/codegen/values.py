"""What the tile language computes with: numbers in memory, sizes, pointers, vectors, masks, registers.

Each value knows the `tile.Routine` that it belongs to, and writes an instruction into it when it is computed with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from striderule.codegen import ir

if TYPE_CHECKING:
    from striderule.codegen.writer import Writer

I64, I8, I1 = ir.integer(64), ir.integer(8), ir.integer(1)


@dataclass(frozen=True, slots=True)
class Element:
    """The type of one number in memory and in a lane.

    `kind` is "f" for floats, "i" and "u" for integers with and without a sign, and "s" for the two floats of 16 bits,
    which are only stored: `Routine.convert` makes them float32 and back.
    """

    name: str
    itemsize: int
    kind: Literal["f", "i", "u", "s"]

    @property
    def code(self) -> str:
        """What LLVM calls it in the names of its intrinsics."""
        return f"{'f' if self.kind == 'f' else 'i'}{8 * self.itemsize}"

    @property
    def type(self) -> Any:
        """The type in LLVM's terms."""
        if self.kind == "f":
            return ir.FLOAT if self.itemsize == 4 else ir.DOUBLE
        return ir.integer(8 * self.itemsize)


FLOAT32, FLOAT64 = Element("float32", 4, "f"), Element("float64", 8, "f")
FLOAT16, BFLOAT16 = Element("float16", 2, "s"), Element("bfloat16", 2, "s")
INT8, INT16, INT32, INT64 = (Element(f"int{8 * n}", n, "i") for n in (1, 2, 4, 8))
UINT8, UINT16, UINT32, UINT64 = (Element(f"uint{8 * n}", n, "u") for n in (1, 2, 4, 8))
# NumPy's truths are bytes of 0 and 1.
BOOL = Element("bool", 1, "u")
_ALL = (FLOAT32, FLOAT64, FLOAT16, BFLOAT16, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, BOOL)
ELEMENTS = {element.name: element for element in _ALL}
"""The elements by the names of NumPy's types."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A truth of the machine, for `Routine.when`, `Routine.either` and `Routine.choose`."""

    routine: Writer
    value: Any

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.routine, self.routine.build.and_(self.value, other.value))

    def __or__(self, other: Condition) -> Condition:
        return Condition(self.routine, self.routine.build.or_(self.value, other.value))

    def __invert__(self) -> Condition:
        return Condition(self.routine, self.routine.build.not_(self.value))


@dataclass(frozen=True, slots=True)
class Size:
    """An integer of the machine: a size, an index, a distance counted in elements."""

    routine: Writer
    value: Any

    def _other(self, other: Size | int) -> Any:
        return other.value if isinstance(other, Size) else ir.constant(I64, other)

    def _is(self, relation: str, other: Size | int) -> Condition:
        return Condition(self.routine, self.routine.build.icmp_signed(relation, self.value, self._other(other)))

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

    def __rsub__(self, other: int) -> Size:
        return Size(self.routine, self.routine.build.sub(self._other(other), self.value))

    __radd__ = __add__
    __rmul__ = __mul__

    def smaller(self, other: Size | int) -> Size:
        """Return the smaller of two numbers."""
        return self.routine.choose(self.below(other), self, other)

    def larger(self, other: Size | int) -> Size:
        """Return the larger of two numbers."""
        return self.routine.choose(self.above(other), self, other)

    def below(self, other: Size | int) -> Condition:
        """Return the condition self < other."""
        return self._is("<", other)

    def above(self, other: Size | int) -> Condition:
        """Return the condition self > other."""
        return self._is(">", other)

    def equals(self, other: Size | int) -> Condition:
        """Return the condition self == other."""
        return self._is("==", other)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The address of an element; adding moves it by elements. Without an element it points to a table of sizes."""

    routine: Writer
    element: Element | None
    value: Any

    def __add__(self, distance: Size | int) -> Pointer:
        step = distance.value if isinstance(distance, Size) else ir.constant(I64, distance)
        return Pointer(self.routine, self.element, self.routine.build.gep(self.value, step, inbounds=True))

    @property
    def address(self) -> Size:
        """The address as a number."""
        return Size(self.routine, self.routine.build.ptrtoint(self.value, I64))

    def of(self, element: Element | None) -> Pointer:
        """Return the same address as one of an element of another kind."""
        kind = I64 if element is None else element.type
        return Pointer(self.routine, element, self.routine.build.bitcast(self.value, kind.as_pointer()))

    def skip(self, distance: Size | int) -> Pointer:
        """Return the pointer moved by `distance` bytes."""
        step = distance.value if isinstance(distance, Size) else ir.constant(I64, distance)
        build = self.routine.build
        moved = build.gep(build.bitcast(self.value, I8.as_pointer()), step, inbounds=True)
        return Pointer(self.routine, self.element, build.bitcast(moved, self.value.type))


@dataclass(frozen=True, slots=True)
class Mask:
    """A truth for every lane, for `Routine.load`, `Routine.store` and `Routine.select`.

    `known` is how many of the first lanes it has, where that is known as the routine is written.
    """

    routine: Writer
    value: Any
    known: int | None = None

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.routine, self.routine.build.and_(self.value, other.value))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.routine, self.routine.build.or_(self.value, other.value))

    def __invert__(self) -> Mask:
        return Mask(self.routine, self.routine.build.not_(self.value))


@dataclass(frozen=True, slots=True)
class Vector:
    """Lanes of numbers. Arithmetic takes a vector of the same element and lanes, or a Python number for every lane."""

    routine: Writer
    value: Any
    element: Element

    @property
    def lanes(self) -> int:
        """How many numbers it holds."""
        return int(self.value.type.count)

    def like(self, number: float) -> Vector:
        """Return a vector of the same element and lanes with `number` in every lane."""
        return self.routine.constant(number, self.element, self.lanes)

    def _other(self, other: Vector | float) -> Any:
        return other.value if isinstance(other, Vector) else self.like(other).value

    def _by(self, floats: str, integers: str, other: Vector | float, *, turned: bool = False) -> Vector:
        operation = getattr(self.routine.build, floats if self.element.kind == "f" else integers)
        pair = (self._other(other), self.value) if turned else (self.value, self._other(other))
        return Vector(self.routine, operation(*pair), self.element)

    def __add__(self, other: Vector | float) -> Vector:
        return self._by("fadd", "add", other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._by("fsub", "sub", other)

    def __rsub__(self, other: float) -> Vector:
        return self._by("fsub", "sub", other, turned=True)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._by("fmul", "mul", other)

    def __truediv__(self, other: Vector | float) -> Vector:
        """Divide floats."""
        return self._by("fdiv", "", other)

    def __rtruediv__(self, other: float) -> Vector:
        """Divide floats."""
        return self._by("fdiv", "", other, turned=True)

    def __neg__(self) -> Vector:
        build = self.routine.build
        return Vector(self.routine, (build.fneg if self.element.kind == "f" else build.neg)(self.value), self.element)

    __radd__ = __add__
    __rmul__ = __mul__

    # Bits of integers -------------------------------------------------------------------------------------------------

    def __and__(self, other: Vector | int) -> Vector:
        return self._by("", "and_", other)

    def __or__(self, other: Vector | int) -> Vector:
        return self._by("", "or_", other)

    def __xor__(self, other: Vector | int) -> Vector:
        return self._by("", "xor", other)

    def __lshift__(self, other: Vector | int) -> Vector:
        return self._by("", "shl", other)

    def __rshift__(self, other: Vector | int) -> Vector:
        """Shift to the right; integers with a sign keep it."""
        return self._by("", "ashr" if self.element.kind == "i" else "lshr", other)

    # Comparisons ------------------------------------------------------------------------------------------------------

    def _is(self, relation: str, other: Vector | float) -> Mask:
        build = self.routine.build
        if self.element.kind == "f":  # "!=" holds for NaN, all others do not
            compare = build.fcmp_unordered if relation == "!=" else build.fcmp_ordered
        else:
            compare = build.icmp_signed if self.element.kind == "i" else build.icmp_unsigned
        return Mask(self.routine, compare(relation, self.value, self._other(other)))

    def less(self, other: Vector | float) -> Mask:
        """Return where self < other; nowhere where one is NaN."""
        return self._is("<", other)

    def less_equal(self, other: Vector | float) -> Mask:
        """Return where self <= other; nowhere where one is NaN."""
        return self._is("<=", other)

    def greater(self, other: Vector | float) -> Mask:
        """Return where self > other; nowhere where one is NaN."""
        return self._is(">", other)

    def greater_equal(self, other: Vector | float) -> Mask:
        """Return where self >= other; nowhere where one is NaN."""
        return self._is(">=", other)

    def equals(self, other: Vector | float) -> Mask:
        """Return where self == other; nowhere where one is NaN."""
        return self._is("==", other)

    def differs(self, other: Vector | float) -> Mask:
        """Return where self != other, and where one is NaN."""
        return self._is("!=", other)

    def is_nan(self) -> Mask:
        """Return where there is no number."""
        return self.differs(self)


@dataclass(frozen=True, slots=True)
class Register:
    """A vector that changes from one turn of a loop to the next."""

    routine: Writer
    place: Any
    element: Element

    @property
    def value(self) -> Vector:
        """The vector that it holds now."""
        return Vector(self.routine, self.routine.build.load(self.place), self.element)

    def set(self, vector: Vector) -> None:
        """Hold another vector."""
        self.routine.build.store(vector.value, self.place)

    def add_product(self, a: Vector, b: Vector) -> None:
        """Add a * b, rounded once where the target can."""
        self.set(self.routine.multiply_add(a, b, self.value))


@dataclass(frozen=True, slots=True)
class Count:
    """A size that changes from one turn of a loop to the next."""

    routine: Writer
    place: Any

    @property
    def value(self) -> Size:
        """The size that it holds now."""
        return Size(self.routine, self.routine.build.load(self.place))

    def set(self, size: Size | int) -> None:
        """Hold another size."""
        value = size.value if isinstance(size, Size) else ir.constant(I64, size)
        self.routine.build.store(value, self.place)
