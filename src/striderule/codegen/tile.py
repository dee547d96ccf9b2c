"""The tile language: vectors, fused multiply-add, loops as context managers. It knows no convolution.

A routine is written as its mathematics, in Python, and comes out as LLVM IR::

    r = Routine("scale", target, FLOAT32, pointers=("x", "y"), sizes=("length",), numbers=("factor",))
    x, y, length = r.pointer("x"), r.pointer("y"), r.size("length")
    factor = r.number("factor")
    with r.tasks() as task:
        with r.loop(length, step=r.lanes) as i:
            here = r.first_lanes(length - i)
            value = r.load(x + task * length + i, here)
            r.store(value * factor + 1.0, y + task * length + i, here)
    text = r.finish()

Python ``for`` loops unroll; `Routine.loop` makes a loop of the machine. `Routine.register` holds a vector from one turn
of a loop to the next. Every routine is ``void name(i64* args, i64 first, i64 last)``: it runs the tasks from `first` up
to, but not including, `last`, and finds its words in `args`: pointers, sizes, then numbers (the bits of a float64, or
an integer), in the order of their names.

A vector has `Routine.lanes` lanes unless told otherwise, whatever its element: as many as a register of the machine
holds of the routine's own element. So bytes are read with a narrow load, and `Routine.convert` widens them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from striderule.codegen import storage
from striderule.codegen.target import Target
from striderule.codegen.values import (
    BFLOAT16,
    BOOL,
    ELEMENTS,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    I1,
    I32,
    I64,
    INT8,
    INT16,
    INT32,
    INT64,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    Condition,
    Count,
    Element,
    Mask,
    Pointer,
    Register,
    Size,
    Vector,
)

__all__ = [
    "BFLOAT16", "BOOL", "ELEMENTS", "FLOAT16", "FLOAT32", "FLOAT64", "INT8", "INT16", "INT32", "INT64", "UINT8",
    "UINT16", "UINT32", "UINT64", "Condition", "Count", "Element", "Mask", "Pointer", "Register", "Routine", "Size",
    "Vector",
]  # fmt: skip


class Routine:
    """One routine while it is written."""

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

    # Arguments ------------------------------------------------------------------------------------------------------

    def pointer(self, word: str, element: Element | None = None) -> Pointer:
        """Return the pointer argument `word`, to the routine's elements unless told otherwise."""
        kind = element or self.element
        return Pointer(self, kind, self.build.inttoptr(self._arguments[word], kind.type.as_pointer()))

    def table(self, word: str) -> Pointer:
        """Return the pointer argument `word` to a table of 64-bit integers."""
        return Pointer(self, None, self.build.inttoptr(self._arguments[word], I64.as_pointer()))

    def size(self, word: str) -> Size:
        """Return the size argument `word`."""
        return Size(self, self._arguments[word])

    def number(self, word: str, element: Element | None = None) -> Vector:
        """Return the number argument `word` in every lane: a float64's bits, or an integer for integer elements."""
        kind, bits = element or self.element, self._arguments[word]
        if kind.kind == "f":
            number = self.build.bitcast(bits, ir.DoubleType())
            number = self.build.fptrunc(number, kind.type) if kind.itemsize < 8 else number
        else:
            number = self.build.trunc(bits, kind.type) if kind.itemsize < 8 else bits
        return Vector(self, self._spread(number, ir.VectorType(kind.type, self.lanes)), kind)

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

    # Lanes ----------------------------------------------------------------------------------------------------------

    def constant(self, number: float, element: Element | None = None, lanes: int | None = None) -> Vector:
        """Return a vector with the same number in every lane."""
        kind = element or self.element
        value = float(number) if kind.kind == "f" else int(number)
        vector = ir.VectorType(kind.type, lanes or self.lanes)
        return Vector(self, ir.Constant(vector, [value] * vector.count), kind)

    def numbered(self, element: Element = INT64, lanes: int | None = None) -> Vector:
        """Return the vector 0, 1, 2 ... of integers."""
        vector = ir.VectorType(element.type, lanes or self.lanes)
        return Vector(self, ir.Constant(vector, list(range(vector.count))), element)

    def spread(self, size: Size, element: Element = INT64, lanes: int | None = None) -> Vector:
        """Return a size in every lane, as an integer or a float."""
        build = self.build
        if element.kind == "f":
            number = build.sitofp(size.value, element.type)
        else:
            number = size.value if element.itemsize == 8 else build.trunc(size.value, element.type)
        return Vector(self, self._spread(number, ir.VectorType(element.type, lanes or self.lanes)), element)

    def first_lanes(self, count: Size | int, lanes: int | None = None) -> Mask:
        """Return the mask of the first `count` lanes: all of them for a large count, none for zero and less."""
        size = count if isinstance(count, Size) else Size(self, ir.Constant(I64, count))
        # Lanes are compared as 32-bit numbers, which takes half as many instructions as with those of a size.
        few = size.larger(0).smaller(lanes or self.lanes)
        return self.numbered(INT32, lanes).less(self.spread(few, INT32, lanes))

    def lanes_from(self, start: Size, lanes: int | None = None) -> Mask:
        """Return the mask of all lanes but the first `start`."""
        few = start.larger(0).smaller(lanes or self.lanes)
        return self.numbered(INT32, lanes).greater_equal(self.spread(few, INT32, lanes))

    def between(self, first: Size, last: Size) -> Size:
        """Return the number of which the bits first <= i < last are set: of 0 to 62, with first <= last."""
        one = ir.Constant(I64, 1)
        low, high = (self.build.shl(one, end.larger(0).smaller(63).value) for end in (first, last))
        return Size(self, self.build.sub(high, low))

    def lanes_of(self, bits: Size, first: int = 0, lanes: int | None = None) -> Mask:
        """Return the mask of the lanes l for which bit first + l of a number is set."""
        count = lanes or self.lanes
        here = self.build.trunc(self.build.lshr(bits.value, ir.Constant(I64, first)), ir.IntType(count))
        return Mask(self, self.build.bitcast(here, ir.VectorType(I1, count)))

    def both(self, a: Mask, b: Mask) -> Mask:
        """Return the lanes that both masks have."""
        return a & b

    # Memory ---------------------------------------------------------------------------------------------------------

    def load(self, where: Pointer, mask: Mask | None = None, lanes: int | None = None) -> Vector:
        """Return the lanes at `where`, at any alignment; with a mask the others are zero, and are not read."""
        kind = where.element or INT64
        vector = ir.VectorType(kind.type, lanes or self.lanes)
        place = self.build.bitcast(where.value, vector.as_pointer())
        if mask is None:
            return Vector(self, self.build.load(place, align=kind.itemsize), kind)
        zeros = ir.Constant(vector, [0] * vector.count)
        arguments = [place, ir.Constant(I32, kind.itemsize), mask.value, zeros]
        name = f"llvm.masked.load.v{vector.count}{kind.code}.p0"
        return Vector(self, self._call(name, vector, arguments), kind)

    def store(self, vector: Vector, where: Pointer, mask: Mask | None = None) -> None:
        """Write the lanes to `where`, at any alignment; with a mask the others are not touched."""
        kind = vector.element
        place = self.build.bitcast(where.value, vector.value.type.as_pointer())
        if mask is None:
            self.build.store(vector.value, place, align=kind.itemsize)
            return
        arguments = [vector.value, place, ir.Constant(I32, kind.itemsize), mask.value]
        self._call(f"llvm.masked.store.v{vector.lanes}{kind.code}.p0", ir.VoidType(), arguments)

    def gather(self, where: Pointer, step: Size, count: Size, lanes: int | None = None) -> Vector:
        """Return `count` numbers (at most all lanes) that stand `step` elements apart; the other lanes are zero."""
        kind = where.element or INT64
        vector = ir.VectorType(kind.type, lanes or self.lanes)
        room = self._room(vector)
        self.build.store(ir.Constant(vector, [0] * vector.count), room)
        first = Pointer(self, kind, self.build.bitcast(room, kind.type.as_pointer()))
        with self.loop(count.smaller(vector.count)) as i:
            self.build.store(self.build.load((where + i * step).value), (first + i).value)
        return Vector(self, self.build.load(room), kind)

    def scatter(self, vector: Vector, where: Pointer, step: Size, count: Size) -> None:
        """Write the first `count` lanes to places `step` elements apart."""
        room = self._room(vector.value.type)
        self.build.store(vector.value, room)
        first = Pointer(self, vector.element, self.build.bitcast(room, vector.element.type.as_pointer()))
        with self.loop(count.smaller(vector.lanes)) as i:
            self.build.store(self.build.load((first + i).value), (where + i * step).value)

    def load_even(self, where: Pointer, lanes: int | None = None) -> Vector:
        """Return the numbers at where, where + 2, where + 4 ...; nothing behind the last of them is read."""
        count = lanes or self.lanes
        return self.even(self.load(where, lanes=count), self.load(where + (count - 1), lanes=count))

    def even(self, low: Vector, high: Vector) -> Vector:
        """Return every second number of two vectors, the other of which begins with the last lane of the one."""
        # The odd lanes of the other go on where the even lanes of the one end.
        return self.shuffle(low, high, [*range(0, low.lanes, 2), *range(low.lanes + 1, 2 * low.lanes, 2)])

    def broadcast(self, where: Pointer, lanes: int | None = None) -> Vector:
        """Return the one number that stands at `where`, in every lane."""
        kind = where.element or INT64
        number = self.build.load(where.value)
        return Vector(self, self._spread(number, ir.VectorType(kind.type, lanes or self.lanes)), kind)

    def store_first(self, vector: Vector, where: Pointer) -> None:
        """Write the first lane alone."""
        self.build.store(self.build.extract_element(vector.value, ir.Constant(I32, 0)), where.value)

    def entry(self, table: Pointer, index: Size | int) -> Size:
        """Return an entry of a table of integers."""
        return Size(self, self.build.load((table + index).value))

    def prefetch(self, where: Pointer) -> None:
        """Ask for the cache line of `where`, which need not exist."""
        place = self.build.bitcast(where.value, ir.IntType(8).as_pointer())
        arguments = [place, ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)]
        self._call("llvm.prefetch.p0", ir.VoidType(), arguments)

    # Arithmetic -----------------------------------------------------------------------------------------------------

    def multiply_add(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """Return a * b + c: floats are rounded once where the target has a fused instruction, else twice."""
        if a.element.kind != "f" or not self.target.fma:
            return a * b + c
        return self._of("llvm.fma", a, b, c)

    def maximum(self, a: Vector, b: Vector) -> Vector:
        """Return the larger number in every lane; NaN where either is NaN."""
        if a.element.kind != "f":
            return self.select(a.greater(b), a, b)
        return self.select(a.greater(b) | a.is_nan(), a, b)

    def minimum(self, a: Vector, b: Vector) -> Vector:
        """Return the smaller number in every lane; NaN where either is NaN."""
        if a.element.kind != "f":
            return self.select(a.less(b), a, b)
        return self.select(a.less(b) | a.is_nan(), a, b)

    def at_least(self, a: Vector, low: Vector | float) -> Vector:
        """Return a, or `low` where a is less. One instruction, which keeps NaN of a."""
        limit = low if isinstance(low, Vector) else a.like(low)
        return self.select(limit.greater(a), limit, a)

    def at_most(self, a: Vector, high: Vector | float) -> Vector:
        """Return a, or `high` where a is greater. One instruction, which keeps NaN of a."""
        limit = high if isinstance(high, Vector) else a.like(high)
        return self.select(limit.less(a), limit, a)

    def select(self, mask: Mask | Condition, a: Vector, b: Vector) -> Vector:
        """Return a where the mask holds, else b; with a condition one of them whole."""
        return Vector(self, self.build.select(mask.value, a.value, b.value), a.element)

    def absolute(self, a: Vector) -> Vector:
        """Return a without its sign."""
        if a.element.kind != "f":
            return self.select(a.less(0), -a, a)
        return self._of("llvm.fabs", a)

    def copy_sign(self, size: Vector, sign: Vector) -> Vector:
        """Return `size` with the sign of `sign`."""
        return self._of("llvm.copysign", size, sign)

    def square_root(self, a: Vector) -> Vector:
        """Return the square root of floats."""
        return self._of("llvm.sqrt", a)

    def scale(self, a: Vector, exponent: Vector) -> Vector:
        """Return floats times 2 to the power of whole floats, rounded once: for whole vectors of AVX-512 alone."""
        kind, lanes = a.element, a.lanes
        letter = "ps" if kind.itemsize == 4 else "pd"
        every = ir.Constant(ir.IntType(lanes), -1)
        arguments = [a.value, exponent.value, a.value, every, ir.Constant(I32, 4)]  # 4: rounded as everything is
        name = f"llvm.x86.avx512.mask.scalef.{letter}.512"
        return Vector(self, self._call(name, a.value.type, arguments), kind)

    def bits(self, a: Vector, element: Element) -> Vector:
        """Return the same bits as lanes of another element of the same size."""
        return Vector(self, self.build.bitcast(a.value, ir.VectorType(element.type, a.lanes)), element)

    def nearest(self, a: Vector) -> Vector:
        """Return floats rounded to whole numbers, half to even; those that are whole already stay, as NaN does."""
        # Above 2**23 (2**52) all floats are whole; adding and taking that much away rounds the others.
        large = 2.0 ** (23 if a.element.itemsize == 4 else 52)
        size = self.absolute(a)
        return self.select(size.less(large), self.copy_sign(size + large - large, a), a)

    def convert(self, a: Vector, element: Element) -> Vector:
        """Return the numbers in another element.

        Integers become narrower by losing their upper bits; floats must fit the integer, and lose what is behind the
        point. float16 and bfloat16 come from and go to float32, rounded half to even.
        """
        build, before = self.build, a.element
        vector = ir.VectorType(element.type, a.lanes)
        if before == element or (before.kind in "iu" and element.kind in "iu" and before.itemsize == element.itemsize):
            return Vector(self, a.value, element)
        if "s" in (before.kind, element.kind):
            return storage.converted(self, a, element)
        if before.kind == "f" and element.kind == "f":
            change = build.fpext if element.itemsize > before.itemsize else build.fptrunc
        elif before.kind == "f":
            change = build.fptosi if element.kind == "i" else build.fptoui
        elif element.kind == "f":
            change = build.sitofp if before.kind == "i" else build.uitofp
        elif element.itemsize < before.itemsize:
            change = build.trunc
        else:
            change = build.sext if before.kind == "i" else build.zext
        return Vector(self, change(a.value, vector), element)

    def any(self, mask: Mask) -> Condition:
        """Return whether the mask holds in some lane."""
        bits = self.build.bitcast(mask.value, ir.IntType(mask.value.type.count))
        return Condition(self, self.build.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0)))

    # Across lanes ---------------------------------------------------------------------------------------------------

    def shuffle(self, a: Vector, b: Vector, pattern: Sequence[int]) -> Vector:
        """Return the lanes that `pattern` names, those of b counted on behind those of a."""
        wanted = ir.Constant(ir.VectorType(I32, len(pattern)), list(pattern))
        return Vector(self, self.build.shuffle_vector(a.value, b.value, wanted), a.element)

    def folded(self, a: Vector, combine: Any) -> Vector:
        """Return what `combine` makes of all lanes, in every lane: halves with halves, always in the same order."""
        half = a.lanes // 2
        while half:
            a = combine(a, self.shuffle(a, a, [i ^ half for i in range(a.lanes)]))
            half //= 2
        return a

    def sum(self, a: Vector) -> Vector:
        """Return the sum of all lanes, in every lane."""
        return self.folded(a, lambda one, other: one + other)

    def transpose(self, rows: Sequence[Vector]) -> list[Vector]:
        """Return the columns of a square of as many vectors as each has lanes."""
        square, half = list(rows), len(rows) // 2
        lanes = len(rows)
        while half:
            # Swap the off-diagonal blocks of `half` x `half` within blocks of twice that.
            for i in (i for i in range(lanes) if not i & half):
                a, b = square[i], square[i + half]
                square[i] = self.shuffle(a, b, [j if not j & half else lanes + j - half for j in range(lanes)])
                square[i + half] = self.shuffle(a, b, [j + half if not j & half else lanes + j for j in range(lanes)])
            half //= 2
        return square

    # Room that threads share ------------------------------------------------------------------------------------------

    def claim(self, flags: Pointer, count: Size) -> Size:
        """Return the number of one of `count` flags that this thread alone holds, until it is given back.

        There must be as many as threads: it looks again and again until one is free.
        """
        before = self.build.block
        look, found = self._function.append_basic_block("look"), self._function.append_basic_block("found")
        self.build.branch(look)
        self.build.position_at_end(look)
        index = self.build.phi(I64)
        index.add_incoming(ir.Constant(I64, 0), before)
        here = self.build.gep(flags.value, [index])
        held = self.build.atomic_rmw("xchg", here, ir.Constant(I64, 1), "acquire")
        following = Size(self, self.build.add(index, ir.Constant(I64, 1)))
        index.add_incoming((following % count).value, look)
        self.build.cbranch(self.build.icmp_unsigned("==", held, ir.Constant(I64, 0)), found, look)
        self.build.position_at_end(found)
        return Size(self, index)

    def give_back(self, flags: Pointer, number: Size) -> None:
        """Give a claimed flag back."""
        self.build.store_atomic(ir.Constant(I64, 0), (flags + number).value, "release", 8)

    # Registers and room ---------------------------------------------------------------------------------------------

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

    # The end --------------------------------------------------------------------------------------------------------

    def finish(self) -> str:
        """Close the routine and return it as LLVM IR."""
        self.build.ret_void()
        self._registers.branch(self._body)
        return str(self._module)

    def _room(self, vector: Any) -> Any:
        place = self._registers.alloca(vector)
        place.align = 64
        return place

    def _of(self, intrinsic: str, *vectors: Vector) -> Vector:
        """Call an intrinsic whose arguments and result are of one type."""
        first = vectors[0]
        name = f"{intrinsic}.v{first.lanes}{first.element.code}"
        return Vector(self, self._call(name, first.value.type, [one.value for one in vectors]), first.element)

    def _call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        known = self._module.globals.get(name)
        if known is None:
            known = ir.Function(self._module, ir.FunctionType(result, [one.type for one in arguments]), name)
        return self.build.call(known, arguments)

    def _spread(self, number: Any, kind: Any) -> Any:
        one = self.build.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(I32, 0))
        pattern = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
        return self.build.shuffle_vector(one, ir.Constant(kind, ir.Undefined), pattern)
