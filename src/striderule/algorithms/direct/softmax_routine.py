"""Softmax in the tile language, over lines that stand side by side in memory, or across which one vector reaches.

Algorithm: for each line the largest number m, the sum of exp(x - m), and exp(x - m) / sum, or x - m - log(sum).
Schedule: lines are read again for each of the three, so those of a task stay in a cache. In a line whose numbers are
side by side ("run") lanes are numbers; else lanes are lines that begin side by side ("across").

Both add in one order, so that results do not depend on where the numbers stand: with L lanes, every L-th number of a
piece of CHAIN * L is added up one after the other, then the L sums, halves to halves, then the pieces in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

from striderule.algorithms.direct.elementwise_routine import at_place
from striderule.codegen import vmath
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, Element, Mask, Pointer, Register, Routine, Size, Vector

POINTERS = ("x", "y", "table")
# Of `lines` lines those of a task begin `y_line` and `x_line` elements apart; a line has `length` numbers, `y_step` and
# `x_step` apart.
SIZES = ("rank", "lines", "task_lines", "line_tasks", "length", "y_line", "x_line", "y_step", "x_step")
# Terms of a chain; chains are added in float64.
CHAIN = 128


@dataclass(frozen=True, slots=True)
class Form:
    """What the code depends on: where lanes lie, the types in memory and of the arithmetic, and what is wanted."""

    kind: Literal["run", "across"]
    source: str
    result: str
    element: str
    logarithm: bool

    @property
    def title(self) -> str:
        """The routine's name."""
        word = "log_softmax" if self.logarithm else "softmax"
        return f"{word}_{self.kind}_{self.source}_{self.result}_{self.element}"

    @property
    def chain(self) -> Element:
        """The type of a chain of sums. A logarithm of little more than 1 needs all digits of what is added to the 1."""
        return FLOAT64 if self.logarithm else ELEMENTS[self.element]

    @property
    def keeps(self) -> bool:
        """Whether exponentials can wait in the result."""
        return not self.logarithm and self.result == self.element


def softmax_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.title, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES)
    with r.tasks() as task:
        line_task, place = task % r.size("line_tasks"), task // r.size("line_tasks")
        first = line_task * r.size("task_lines")
        count = (r.size("lines") - first).smaller(r.size("task_lines"))
        pointers = [r.pointer("y", ELEMENTS[form.result]), r.pointer("x", ELEMENTS[form.source])]
        y, x = at_place(r, pointers, place)
        y, x = y + first * r.size("y_line"), x + first * r.size("x_line")
        if form.kind == "run":
            with r.loop(count) as i:
                _Run(r, form, y + i * r.size("y_line"), x + i * r.size("x_line")).write()
        else:
            _across(r, form, y, x, count)
    return r.finish()


@dataclass(frozen=True, slots=True)
class _Line:
    """What both kinds share: the numbers, and what becomes of them."""

    r: Routine
    form: Form
    y: Pointer
    x: Pointer

    def number(self, at: Size, mask: Mask | None) -> Vector:
        """Return numbers; lanes outside the mask hold what counts for nothing."""
        r = self.r
        found = r.convert(r.load(self.x + at, mask), r.element)
        return found if mask is None else r.select(mask, found, found.like(-inf))

    def result(self, shifted: Vector, last: Vector) -> Vector:
        """Return the result of x - m; `last` is the logarithm of the sum, or its inverse."""
        if self.form.logarithm:
            return shifted - last
        return vmath.exp_of_negative(self.r, shifted) * last

    def last(self, total: Vector) -> Vector:
        """Return what `result` is told of the sum, which comes in float64: the logarithm would not do with less."""
        r = self.r
        if self.form.logarithm:
            return r.convert(vmath.log(r, total), r.element)
        return 1 / r.convert(total, r.element)


class _Run(_Line):
    """One line whose numbers stand side by side."""

    def write(self) -> None:
        """Compute the whole line."""
        r = self.r
        largest = self._largest()
        total = self._total(largest)
        last = self.last(total)
        last = r.shuffle(last, last, [0] * r.lanes)

        def finish(at: Size, mask: Mask | None) -> None:
            if self.form.keeps:
                value = r.load(self.y + at, mask) * last
            else:
                value = self.result(self.number(at, mask) - largest, last)
            r.store(r.convert(value, ELEMENTS[self.form.result]), self.y + at, mask)

        self._vectors(r.whole(0), r.size("length"), 2, lambda at, _, mask: finish(at, mask))

    def _vectors(self, start: Size, count: Size, turns: int, body: Callable[[Size, int, Mask | None], None]) -> None:
        """Write the body for `turns` vectors at a time, which it is told the number of, then for the rest, masked."""
        r = self.r
        width = turns * r.lanes
        whole = count // width * width
        with r.loop(whole, step=width) as i:
            for turn in range(turns):
                body(start + i + turn * r.lanes, turn, None)
        with r.loop(count - whole, step=r.lanes) as i:
            body(start + whole + i, 0, r.first_lanes(count - whole - i))

    def _largest(self) -> Vector:
        r = self.r
        found = [r.register(r.constant(-inf)) for _ in range(4)]

        def compare(at: Size, turn: int, mask: Mask | None) -> None:
            # NaN is never larger; it comes back with the sum.
            found[turn].set(r.at_least(found[turn].value, self.number(at, mask)))

        self._vectors(r.whole(0), r.size("length"), 4, compare)
        a, b, c, d = (one.value for one in found)
        return r.folded(r.at_least(r.at_least(a, b), r.at_least(c, d)), r.at_least)

    def _total(self, largest: Vector) -> Vector:
        """Return the sum of the exponentials, in a vector of float64; they wait in the result where they can."""
        r = self.r
        few = min(r.lanes, r.target.lanes(8))
        total, chain = r.register(r.constant(0.0, FLOAT64, few)), r.register(r.constant(0.0, self.form.chain))
        _reset([total], 0.0)
        piece = CHAIN * r.lanes

        def add(at: Size, _: int, mask: Mask | None) -> None:
            power = vmath.exp_of_negative(r, self.number(at, mask) - largest)
            if self.form.keeps:
                r.store(power, self.y + at, mask)
            chain.set(chain.value + r.convert(power, self.form.chain))

        with r.loop(r.size("length"), step=piece) as start:
            _reset([chain], 0.0)
            self._vectors(start, (r.size("length") - start).smaller(piece), 2, add)
            whole = r.sum(chain.value)
            total.set(total.value + r.convert(r.shuffle(whole, whole, [0] * few), FLOAT64))
        return total.value


def _across(r: Routine, form: Form, y: Pointer, x: Pointer, lines: Size) -> None:
    """Compute lines that begin side by side, two vectors of them at a time."""
    width = 2 * r.lanes
    whole = lines // width * width
    with r.loop(whole, step=width) as i:
        _columns(r, form, [(_Line(r, form, y + (i + v * r.lanes), x + (i + v * r.lanes)), None) for v in range(2)])
    with r.loop(lines - whole, step=r.lanes) as i:
        at = whole + i
        _columns(r, form, [(_Line(r, form, y + at, x + at), r.first_lanes(lines - at))])


def _columns(r: Routine, form: Form, lines: list[tuple[_Line, Mask | None]]) -> None:
    """Compute one line in each lane of some vectors."""
    length, y_step, x_step = r.size("length"), r.size("y_step"), r.size("x_step")
    largest = [r.register(r.constant(-inf)) for _ in lines]
    _reset(largest, -inf)
    with r.loop(length) as k:
        for (line, mask), found in zip(lines, largest, strict=True):
            found.set(r.at_least(found.value, line.number(k * x_step, mask)))
    totals = _totals(r, form, lines, [one.value for one in largest])
    last = [line.last(total) for (line, _), total in zip(lines, totals, strict=True)]
    with r.loop(length) as k:
        for (line, mask), found, end in zip(lines, largest, last, strict=True):
            if form.keeps:
                value = r.load(line.y + k * y_step, mask) * end
            else:
                value = line.result(line.number(k * x_step, mask) - found.value, end)
            r.store(r.convert(value, ELEMENTS[form.result]), line.y + k * y_step, mask)


def _totals(r: Routine, form: Form, lines: list[tuple[_Line, Mask | None]], largest: list[Vector]) -> list[Vector]:
    """Return the sums of the exponentials in float64, which wait in the result where they can.

    The sums of every L-th number stand in room on the stack: lane by lane they are what the lanes of a run are.
    """
    length, width = r.size("length"), len(lines) * r.lanes
    chains = r.scratch(r.lanes * width, form.chain)
    totals = [r.register(r.constant(0.0, FLOAT64)) for _ in lines]
    _reset(totals, 0.0)
    with r.loop(length, step=CHAIN * r.lanes) as start:
        with r.loop(r.lanes * len(lines)) as j:
            r.store(r.constant(0.0, form.chain), chains + j * r.lanes)
        with r.loop((length - start).smaller(CHAIN * r.lanes)) as i:
            k = start + i
            for v, ((line, mask), found) in enumerate(zip(lines, largest, strict=True)):
                power = vmath.exp_of_negative(r, line.number(k * r.size("x_step"), mask) - found)
                if form.keeps:
                    r.store(power, line.y + k * r.size("y_step"), mask)
                chain = chains + ((i % r.lanes) * width + v * r.lanes)
                r.store(r.load(chain) + r.convert(power, form.chain), chain)
        half = r.lanes // 2
        while half:
            with r.loop(half * len(lines)) as j:
                chain = chains + j * r.lanes
                r.store(r.load(chain) + r.load(chain + half * width), chain)
            half //= 2
        for v, total in enumerate(totals):
            total.set(total.value + r.convert(r.load(chains + v * r.lanes), FLOAT64))
    return [total.value for total in totals]


def _reset(registers: list[Register], number: float) -> None:
    """Begin anew: a register in a loop is made once."""
    for one in registers:
        one.set(one.value.like(number))
