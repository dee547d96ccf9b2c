"""Gradients of softmax in the tile language, over lines that stand side by side, or across which a vector reaches.

Algorithm: for each line the sum s of g * y, and y * (g - s); of logarithms the sum s of g, and g - exp(y) * s.
Schedule as in `softmax_routine`. Order of sums: with L numbers of float64 in a register every L-th term is added up,
and then the L sums, halves to halves, wherever the numbers stand. Across, L sums of one vector of lines stay in
registers, and while it is computed the next one's numbers are asked for: those of a line are far apart. Long lines that
have a piece of memory to themselves are read as they stand, and their sums stand in room on the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from striderule.algorithms.direct.elementwise_routine import at_place
from striderule.codegen import vmath
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, Condition, Mask, Pointer, Register, Routine, Size, Vector

# x is the gradient that is written; y is what softmax gave, and g its gradient.
OPERANDS = ("x", "y", "g")
POINTERS = (*OPERANDS, "table")
# The lines of a task begin `*_line` elements apart; a line has `length` numbers, `*_step` apart.
# Across, as many lines as sums stand on the stack for, and how long they are where that is worth it.
MOST, LONG = 256, 128
_STEPS = tuple(f"{one}_{axis}" for axis in ("line", "step") for one in OPERANDS)
SIZES = ("rank", "lines", "task_lines", "line_tasks", "length", *_STEPS)


@dataclass(frozen=True, slots=True)
class Form:
    """What the code depends on: where lanes lie, the type, whether y are logarithms, and whether x was negated."""

    kind: Literal["run", "across"]
    element: str
    logarithm: bool
    negative: bool

    @property
    def title(self) -> str:
        """The routine's name."""
        word = "log_softmax" if self.logarithm else "softmin" if self.negative else "softmax"
        return f"{word}_gradient_{self.kind}_{self.element}"


def softmax_gradient_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.title, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES)
    with r.tasks() as task:
        line_task, place = task % r.size("line_tasks"), task // r.size("line_tasks")
        first = line_task * r.size("task_lines")
        count = (r.size("lines") - first).smaller(r.size("task_lines"))
        starts = at_place(r, [r.pointer(one, ELEMENTS[form.element]) for one in OPERANDS], place)
        starts = [start + first * r.size(f"{one}_line") for one, start in zip(OPERANDS, starts, strict=True)]
        if form.kind == "run":
            with r.loop(count) as i:
                _run(r, form, [at + i * r.size(f"{one}_line") for one, at in zip(OPERANDS, starts, strict=True)])
        else:
            with r.either(_stand_whole(r, count)) as (whole, apart):
                with whole:
                    _Rows(r, form, starts, count).write()
                with apart, r.loop(count, step=r.lanes) as i:
                    _column(r, form, [start + i for start in starts], r.first_lanes(count - i))
    return r.finish()


def _stand_whole(r: Routine, count: Size) -> Condition:
    """Return whether memory that is read in its order is that of `count` lines, which are long enough for it."""
    steps = [r.size(f"{one}_step").equals(count) for one in OPERANDS]
    return steps[0] & steps[1] & steps[2] & count.below(MOST + 1) & r.size("length").above(LONG - 1)


def _term(r: Routine, form: Form, y: Vector, g: Vector) -> Vector:
    """Return what is summed: nothing in lanes that are not read."""
    return r.convert(g if form.logarithm else g * y, FLOAT64)


def _result(r: Routine, form: Form, y: Vector, g: Vector, total: Vector) -> Vector:
    if form.logarithm:
        return g - vmath.exp_of_negative(r, y) * total
    return y * (total - g if form.negative else g - total)


def _run(r: Routine, form: Form, line: list[Pointer]) -> None:
    """Compute one line whose numbers stand side by side."""
    x, y, g = line
    length = r.size("length")
    whole = length // r.lanes * r.lanes
    few = r.target.lanes(8)
    sums = r.register(r.constant(0.0, FLOAT64, few))

    def add(at: Size, mask: Mask | None) -> None:
        term = _term(r, form, r.load(y + at, mask), r.load(g + at, mask))
        for first in range(0, r.lanes, few):
            sums.set(sums.value + r.shuffle(term, term, range(first, first + few)))

    with r.loop(whole, step=r.lanes) as i:
        add(i, None)
    with r.when(length.above(whole)):
        add(whole, r.first_lanes(length - whole))
    whole_sum = r.sum(sums.value)
    total = r.convert(r.shuffle(whole_sum, whole_sum, [0] * r.lanes), r.element)
    with r.loop(whole, step=r.lanes) as i:
        r.store(_result(r, form, r.load(y + i), r.load(g + i), total), x + i)
    with r.when(length.above(whole)):
        mask = r.first_lanes(length - whole)
        r.store(_result(r, form, r.load(y + whole, mask), r.load(g + whole, mask), total), x + whole, mask)


def _column(r: Routine, form: Form, starts: list[Pointer], mask: Mask) -> None:
    """Compute lines that begin side by side, one in each lane."""
    x, y, g = starts
    length, steps = r.size("length"), [r.size(f"{one}_step") for one in OPERANDS]
    few = r.target.lanes(8)
    sums = [r.register(r.constant(0.0, FLOAT64)) for _ in range(few)]

    def add(k: Size, total: Register) -> None:
        here = y + k * steps[1], g + k * steps[2]
        total.set(total.value + _term(r, form, *(r.load(where, mask) for where in here)))
        for where in here:
            r.prefetch(where + r.lanes)

    whole = length // few * few
    with r.loop(whole, step=few) as k:
        for j, one in enumerate(sums):
            add(k + j, one)
    for j, one in enumerate(sums[:-1]):
        with r.when(length.above(whole + j)):
            add(whole + j, one)
    found = [one.value for one in sums]
    while len(found) > 1:
        half = len(found) // 2
        found = [one + other for one, other in zip(found[:half], found[half:], strict=True)]
    total = r.convert(found[0], r.element)
    with r.loop(length) as k:
        result = _result(r, form, r.load(y + k * steps[1], mask), r.load(g + k * steps[2], mask), total)
        r.store(result, x + k * steps[0], mask)


class _Rows:
    """Long lines that stand whole, at most MOST of them: memory is read in its order, twice."""

    def __init__(self, r: Routine, form: Form, starts: list[Pointer], count: Size) -> None:
        self.r, self.form, self.count = r, form, count
        self.x, self.y, self.g = starts
        self.few = r.target.lanes(8)
        self.sums, self.totals = r.scratch(self.few * MOST, FLOAT64), r.scratch(MOST)
        # Sums of one row of numbers, to whole vectors.
        self.width = (count + (r.lanes - 1)) // r.lanes * r.lanes

    def write(self) -> None:
        """Compute the lines."""
        r, few, width = self.r, self.few, self.width
        with r.loop(width * few, step=r.lanes) as j:
            r.store(r.constant(0.0, FLOAT64), self.sums + j)
        with r.loop(r.size("length")) as k:
            self._vectors(partial(self._add, k))
        half = few // 2
        while half:
            with r.loop(width * half, step=r.lanes) as j:
                here, other = self.sums + j, self.sums + (j + width * half)
                r.store(r.load(here) + r.load(other), here)
            half //= 2
        with r.loop(width, step=r.lanes) as j:
            r.store(r.convert(r.load(self.sums + j), r.element), self.totals + j)
        with r.loop(r.size("length")) as k:
            self._vectors(partial(self._finish, k))

    def _vectors(self, body: Callable[[Size, Mask | None], None]) -> None:
        """Write a body for all vectors of lines."""
        r = self.r
        whole = self.count // r.lanes * r.lanes
        with r.loop(whole, step=r.lanes) as i:
            body(i, None)
        with r.when(self.count.above(whole)):
            body(whole, r.first_lanes(self.count - whole))

    def _add(self, k: Size, i: Size, mask: Mask | None) -> None:
        r = self.r
        room = self.sums + (k % self.few * self.width + i)
        r.store(r.load(room) + _term(r, self.form, *self._read(k, i, mask)), room)

    def _finish(self, k: Size, i: Size, mask: Mask | None) -> None:
        r = self.r
        result = _result(r, self.form, *self._read(k, i, mask), r.load(self.totals + i))
        r.store(result, self.x + k * r.size("x_step") + i, mask)

    def _read(self, k: Size, i: Size, mask: Mask | None) -> tuple[Vector, Vector]:
        r = self.r
        return r.load(self.y + k * r.size("y_step") + i, mask), r.load(self.g + k * r.size("g_step") + i, mask)
