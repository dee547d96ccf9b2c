"""LLVM's language as text: types, values, and the instructions that a routine is made of.

An instruction is one line of its block, written when it is asked for; what it gives is known by its name and its type.
Nothing is checked here: LLVM reads the text, and refuses what is wrong. A package for it keeps an object for each
instruction, checks and prints them later, which takes several times as long as all that is computed in between.

Pointers know what they point to, though LLVM's do not: loads and steps are written with that type.

References: LLVM Language Reference Manual, https://llvm.org/docs/LangRef.html.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

_SIGNED = {"<": "slt", "<=": "sle", ">": "sgt", ">=": "sge", "==": "eq", "!=": "ne"}
_UNSIGNED = {"<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "==": "eq", "!=": "ne"}
_FLOATS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """A type; of each there is one object. Vectors and arrays have `count` parts, pointers point to their part."""

    text: str
    part: Type | None = None
    count: int = 0

    def as_pointer(self) -> Type:
        """Return the type of pointers to this one."""
        return _pointer(self)


VOID, FLOAT, DOUBLE, BFLOAT = (Type(word) for word in ("void", "float", "double", "bfloat"))


@functools.cache
def integer(bits: int) -> Type:
    """Return the type of integers of so many bits."""
    return Type(f"i{bits}")


@functools.cache
def vector(part: Type, lanes: int) -> Type:
    """Return the type of vectors."""
    return Type(f"<{lanes} x {part.text}>", part, lanes)


@functools.cache
def array(part: Type, length: int) -> Type:
    """Return the type of arrays in memory."""
    return Type(f"[{length} x {part.text}]", part, length)


@functools.cache
def _pointer(part: Type) -> Type:
    return Type("ptr", part)


_I1, _I32 = integer(1), integer(32)


class Value:
    """What an instruction gives, an argument, or a constant: as it is written, and its type."""

    __slots__ = ("text", "type")

    def __init__(self, text: str, kind: Type) -> None:
        self.text, self.type = text, kind


def constant(kind: Type, number: float | Sequence[int]) -> Value:
    """Return a number; of a vector a number for each lane, or the same for all."""
    if kind.part is None:
        return Value(_literal(kind, number), kind)
    if isinstance(number, Sequence):
        return Value("<" + ", ".join([f"{kind.part.text} {one}" for one in number]) + ">", kind)
    return _same(kind, _literal(kind.part, number))


def undefined(kind: Type) -> Value:
    """Return a value of which nothing is known."""
    return Value("undef", kind)


def _literal(kind: Type, number: object) -> str:
    """Return a number as it is written: floats by the bits of a float64, in float32 of one that float32 has."""
    if kind is FLOAT:
        (number,) = struct.unpack("<f", struct.pack("<f", number))
    if kind is FLOAT or kind is DOUBLE:
        return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016x}"
    return str(int(number))  # type: ignore[call-overload]  # a Python number


@functools.cache
def _same(kind: Type, literal: str) -> Value:
    """Return the vector with one number in every lane."""
    if literal in {"0", "0x0000000000000000"}:
        return Value("zeroinitializer", kind)
    assert kind.part is not None
    return Value("<" + ", ".join([f"{kind.part.text} {literal}"] * kind.count) + ">", kind)


class Block:
    """Instructions that follow one another, behind a name."""

    __slots__ = ("lines", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[str] = []


class Phi(Value):
    """A value that depends on the block that the machine comes from."""

    __slots__ = ("_block", "_line", "_pairs")

    def __init__(self, text: str, kind: Type, block: Block) -> None:
        super().__init__(text, kind)
        self._block, self._line = block, len(block.lines)
        self._pairs: list[str] = []
        block.lines.append("")

    def add_incoming(self, value: Value, block: Block) -> None:
        """Let it be `value` where the machine comes from `block`."""
        self._pairs.append(f"[ {value.text}, %{block.name} ]")
        self._block.lines[self._line] = f"{self.text} = phi {self.type.text} {', '.join(self._pairs)}"


class Function:
    """One function of a module of its own, which returns nothing, and what it calls."""

    def __init__(self, name: str, triple: str, *kinds: Type) -> None:
        self.args = [Value(f"%a{i}", kind) for i, kind in enumerate(kinds)]
        self.numbers = count()
        self._name, self._triple = name, triple
        self._blocks: list[Block] = []
        self._declared: dict[str, str] = {}
        self._streams = False

    def block(self, word: str) -> Block:
        """Return a new block behind all others."""
        made = Block(f"{word}{len(self._blocks)}")
        self._blocks.append(made)
        return made

    def declare(self, name: str, result: Type, arguments: Sequence[Value]) -> None:
        """Let a function of LLVM's be known."""
        if name not in self._declared:
            kinds = ", ".join([one.type.text for one in arguments])
            self._declared[name] = f"declare {result.text} @{name}({kinds})"

    def streamed(self) -> str:
        """Return what is written behind an instruction that passes the caches by."""
        self._streams = True
        return ", !nontemporal !0"

    def text(self) -> str:
        """Return the module."""
        kinds = ", ".join([f"{one.type.text} {one.text}" for one in self.args])
        lines = [f'target triple = "{self._triple}"', f'define void @"{self._name}"({kinds}) {{']
        for block in self._blocks:
            lines.append(f"{block.name}:")
            lines += block.lines
        lines += ["}", *self._declared.values()]
        if self._streams:
            lines.append("!0 = !{ i32 1 }")
        return "\n".join(lines) + "\n"


def _binary(word: str) -> Callable[[Builder, Value, Value], Value]:
    def write(self: Builder, a: Value, b: Value) -> Value:
        return self._put(a.type, f"{word} {a.type.text} {a.text}, {b.text}")

    return write


def _cast(word: str) -> Callable[[Builder, Value, Type], Value]:
    def write(self: Builder, a: Value, kind: Type) -> Value:
        return self._put(kind, f"{word} {a.type.text} {a.text} to {kind.text}")

    return write


def _comparison(word: str, relations: dict[str, str]) -> Callable[[Builder, str, Value, Value], Value]:
    def write(self: Builder, relation: str, a: Value, b: Value) -> Value:
        kind = vector(_I1, a.type.count) if a.type.count else _I1
        return self._put(kind, f"{word}{relations[relation]} {a.type.text} {a.text}, {b.text}")

    return write


class Builder:
    """Writes instructions at the end of a block."""

    def __init__(self, function: Function, block: Block) -> None:
        self.function, self.block = function, block

    def _put(self, kind: Type, words: str) -> Value:
        made = Value(f"%v{next(self.function.numbers)}", kind)
        self.block.lines.append(f"{made.text} = {words}")
        return made

    def _do(self, words: str) -> None:
        self.block.lines.append(words)

    # Arithmetic -------------------------------------------------------------------------------------------------------

    add, sub, mul, udiv, urem = (_binary(word) for word in ("add", "sub", "mul", "udiv", "urem"))
    fadd, fsub, fmul, fdiv = (_binary(word) for word in ("fadd", "fsub", "fmul", "fdiv"))
    and_, or_, xor = (_binary(word) for word in ("and", "or", "xor"))
    shl, lshr, ashr = (_binary(word) for word in ("shl", "lshr", "ashr"))
    add_nsw = _binary("add nsw")
    trunc, zext, sext, inttoptr, ptrtoint = (_cast(word) for word in ("trunc", "zext", "sext", "inttoptr", "ptrtoint"))
    fptrunc, fpext, sitofp, uitofp = (_cast(word) for word in ("fptrunc", "fpext", "sitofp", "uitofp"))
    fptosi, fptoui = (_cast(word) for word in ("fptosi", "fptoui"))
    icmp_signed, icmp_unsigned = (_comparison("icmp ", words) for words in (_SIGNED, _UNSIGNED))
    fcmp_ordered, fcmp_unordered = (_comparison(f"fcmp {letter}", _FLOATS) for letter in "ou")

    def neg(self, a: Value) -> Value:
        """Write 0 - a."""
        return self.sub(constant(a.type, 0), a)

    def fneg(self, a: Value) -> Value:
        """Write -a, of floats."""
        return self._put(a.type, f"fneg {a.type.text} {a.text}")

    def not_(self, a: Value) -> Value:
        """Write a with every bit turned."""
        return self.xor(a, constant(a.type, -1))

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """Write a where the condition holds, else b."""
        words = [f"{one.type.text} {one.text}" for one in (condition, a, b)]
        return self._put(a.type, f"select {', '.join(words)}")

    def bitcast(self, a: Value, kind: Type) -> Value:
        """Write the same bits as another type; another type of pointers takes no instruction."""
        if kind is a.type:
            return a
        if kind.text == a.type.text:
            return Value(a.text, kind)
        return self._put(kind, f"bitcast {a.type.text} {a.text} to {kind.text}")

    # Lanes ------------------------------------------------------------------------------------------------------------

    def extract_element(self, a: Value, lane: int) -> Value:
        """Write the number of a lane."""
        assert a.type.part is not None
        return self._put(a.type.part, f"extractelement {a.type.text} {a.text}, i32 {lane}")

    def insert_element(self, a: Value, number: Value, lane: int) -> Value:
        """Write a vector with another number in a lane."""
        return self._put(a.type, f"insertelement {a.type.text} {a.text}, {number.type.text} {number.text}, i32 {lane}")

    def shuffle_vector(self, a: Value, b: Value, pattern: Sequence[int] | int) -> Value:
        """Write the lanes of a and b that the pattern names: lane 0 of a alone for a number of lanes."""
        assert a.type.part is not None
        lanes = pattern if isinstance(pattern, int) else len(pattern)
        kind = vector(_I32, lanes)
        wanted = constant(kind, 0 if isinstance(pattern, int) else pattern)
        words = [f"{one.type.text} {one.text}" for one in (a, b, wanted)]
        return self._put(vector(a.type.part, lanes), f"shufflevector {', '.join(words)}")

    # Memory -----------------------------------------------------------------------------------------------------------

    def alloca(self, kind: Type, align: int = 0) -> Value:
        """Write room on the stack."""
        return self._put(kind.as_pointer(), f"alloca {kind.text}{f', align {align}' if align else ''}")

    def gep(self, where: Value, distance: Value, *, inbounds: bool = False) -> Value:
        """Write a pointer moved by so many of what it points to."""
        if distance.text == "0":
            return where
        assert where.type.part is not None
        word = "getelementptr inbounds" if inbounds else "getelementptr"
        step = f"{distance.type.text} {distance.text}"
        return self._put(where.type, f"{word} {where.type.part.text}, ptr {where.text}, {step}")

    def load(self, where: Value, align: int = 0) -> Value:
        """Write what stands at a place."""
        kind = where.type.part
        assert kind is not None
        return self._put(kind, f"load {kind.text}, ptr {where.text}{f', align {align}' if align else ''}")

    def store(self, a: Value, where: Value, align: int = 0, *, stream: bool = False) -> None:
        """Write a value to a place, past the caches if told so."""
        ends = f"{f', align {align}' if align else ''}{self.function.streamed() if stream else ''}"
        self._do(f"store {a.type.text} {a.text}, ptr {where.text}{ends}")

    def store_atomic(self, a: Value, where: Value, order: str, align: int) -> None:
        """Write a value to a place at once."""
        self._do(f"store atomic {a.type.text} {a.text}, ptr {where.text} {order}, align {align}")

    def atomic_rmw(self, word: str, where: Value, a: Value, order: str) -> Value:
        """Change what stands at a place at once, and give what stood there."""
        return self._put(a.type, f"atomicrmw {word} ptr {where.text}, {a.type.text} {a.text} {order}")

    # Control ----------------------------------------------------------------------------------------------------------

    def call(self, name: str, result: Type, arguments: Sequence[Value], flags: Sequence[str] = ()) -> Value:
        """Call a function of LLVM's; `flags` say what its floats may ignore."""
        self.function.declare(name, result, arguments)
        given = ", ".join([f"{one.type.text} {one.text}" for one in arguments])
        words = f"{' '.join(('call', *flags))} {result.text} @{name}({given})"
        if result is VOID:
            self._do(words)
            return undefined(VOID)
        return self._put(result, words)

    def phi(self, kind: Type) -> Phi:
        """Write a value that depends on the block before; at the beginning of a block."""
        return Phi(f"%v{next(self.function.numbers)}", kind, self.block)

    def branch(self, block: Block) -> None:
        """Go on in a block."""
        self._do(f"br label %{block.name}")

    def cbranch(self, condition: Value, yes: Block, no: Block) -> None:
        """Go on in one of two blocks."""
        self._do(f"br i1 {condition.text}, label %{yes.name}, label %{no.name}")

    def ret_void(self) -> None:
        """Return."""
        self._do("ret void")

    @contextmanager
    def if_then(self, condition: Value) -> Iterator[None]:
        """Write a body for where the condition holds."""
        yes, after = self.function.block("if"), self.function.block("endif")
        self.cbranch(condition, yes, after)
        with self._within(yes, after):
            yield
        self.block = after

    @contextmanager
    def if_else(self, condition: Value) -> Iterator[tuple[object, object]]:
        """Give two bodies, each a ``with`` of its own: where the condition holds, and where it does not."""
        yes, no, after = (self.function.block(word) for word in ("if", "else", "endif"))
        self.cbranch(condition, yes, no)
        yield self._within(yes, after), self._within(no, after)
        self.block = after

    @contextmanager
    def _within(self, block: Block, after: Block) -> Iterator[None]:
        self.block = block
        yield
        self.branch(after)
