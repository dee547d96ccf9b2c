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
from copy import copy

from striderule.codegen import ir
from striderule.codegen.access import Access
from striderule.codegen.values import (
    BFLOAT16,
    BOOL,
    ELEMENTS,
    FLOAT16,
    FLOAT32,
    FLOAT64,
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


class Routine(Access):
    """One routine while it is written.

    Loops, registers and constants are those of `Writer`, arithmetic that of `Arithmetic`, lanes and memory of `Access`.
    """

    # Arguments --------------------------------------------------------------------------------------------------------

    def pointer(self, word: str, element: Element | None = None) -> Pointer:
        """Return the pointer argument `word`, to the routine's elements unless told otherwise."""
        kind = element or self.element
        return Pointer(self, kind, self.build.inttoptr(self._arguments[word], kind.type.as_pointer()))

    def pointed(self, address: Size, element: Element | None = None) -> Pointer:
        """Return the pointer to what stands at an address: an element, or a table of 64-bit integers."""
        kind = I64 if element is None else element.type
        return Pointer(self, element, self.build.inttoptr(address.value, kind.as_pointer()))

    def table(self, word: str) -> Pointer:
        """Return the pointer argument `word` to a table of 64-bit integers."""
        return Pointer(self, None, self.build.inttoptr(self._arguments[word], I64.as_pointer()))

    def size(self, word: str) -> Size:
        """Return the size argument `word`."""
        return Size(self, self._arguments[word])

    def digits(self, number: Size, words: Sequence[str]) -> tuple[list[Size], Size]:
        """Return the digits of a number, of which the sizes `words` say how many there are, the fastest first.

        And what is left of the number.
        """
        found = []
        for word in words:
            found.append(number % self.size(word))
            number = number // self.size(word)
        return found, number

    def number(self, word: str, element: Element | None = None) -> Vector:
        """Return the number argument `word` in every lane: a float64's bits, or an integer for integer elements."""
        kind, bits = element or self.element, self._arguments[word]
        if kind.kind == "f":
            number = self.build.bitcast(bits, ir.DOUBLE)
            number = self.build.fptrunc(number, kind.type) if kind.itemsize < 8 else number
        else:
            number = self.build.trunc(bits, kind.type) if kind.itemsize < 8 else bits
        return Vector(self, self._spread(number, ir.vector(kind.type, self.lanes)), kind)

    def part(self, prefix: str, element: Element) -> Routine:
        """Return what writes a part of this routine that has elements of its own: its words are those with the prefix.

        They are named without it there, so that code for a routine of its own can be written into a larger one.
        """
        made = copy(self)
        made.element, made.lanes = element, self.target.lanes(element.itemsize)
        made._arguments = {  # noqa: SLF001 - another of this class
            word.removeprefix(prefix): value for word, value in self._arguments.items() if word.startswith(prefix)
        }
        return made

    # Tasks ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def tasks(self) -> Iterator[Size]:
        """Run the body for every task that this call was given."""
        first, last = Size(self, self._function.args[1]), Size(self, self._function.args[2])
        with self.loop(last - first) as i:
            yield first + i

    # Room that threads share ------------------------------------------------------------------------------------------

    def claim(self, flags: Pointer, count: Size) -> Size:
        """Return the number of one of `count` flags that this thread alone holds, until it is given back.

        There must be as many as threads: it looks again and again until one is free.
        """
        before = self.build.block
        look, found = self._function.block("look"), self._function.block("found")
        self.build.branch(look)
        self.build.block = look
        index = self.build.phi(I64)
        index.add_incoming(ir.constant(I64, 0), before)
        here = self.build.gep(flags.value, index)
        held = self.build.atomic_rmw("xchg", here, ir.constant(I64, 1), "acquire")
        following = Size(self, self.build.add(index, ir.constant(I64, 1)))
        index.add_incoming((following % count).value, look)
        self.build.cbranch(self.build.icmp_unsigned("==", held, ir.constant(I64, 0)), found, look)
        self.build.block = found
        return Size(self, index)

    def give_back(self, flags: Pointer, number: Size) -> None:
        """Give a claimed flag back."""
        self.build.store_atomic(ir.constant(I64, 0), (flags + number).value, "release", 8)
