"""Steps of optimisers in the tile language: every array is read and written once, of all parameters in one call.

Algorithm: the formulas of `striderule.algorithms.windows.update`, in the same order, without fused multiply-adds, so
that both give the same bits. Schedule: a task is a piece of one parameter; memory takes longer than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.algorithms.windows.update import KEPT, NUMBERS, OWN
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, Mask, Pointer, Routine, Size, Vector

# Of each parameter `parts` has the addresses of value, gradient and what is kept, `own` its numbers. Of each piece
# `pieces` has the parameter, the first element, and their number.
POINTERS = ("parts", "own", "pieces")
PIECE_WORDS = 3
# Vectors that are computed at a time.
VECTORS = 4


@dataclass(frozen=True, slots=True)
class Form:
    """What the code depends on; `decays` says that the rule, other than adamw, has weight decay."""

    rule: str
    dtype: str
    decays: bool

    @property
    def name(self) -> str:
        """The routine's name."""
        return "_".join(filter(None, ("update", self.rule, "decay" if self.decays else "", self.dtype)))

    @property
    def arrays(self) -> int:
        """How many arrays a parameter has."""
        return 2 + KEPT[self.rule]


def update_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    element, words = ELEMENTS[form.dtype], NUMBERS[form.rule]
    r = Routine(form.name, target, element, pointers=POINTERS, sizes=(), numbers=words)
    numbers = {word: r.number(word) for word in words}
    with r.tasks() as task:
        part, first, count = (r.entry(r.table("pieces"), task * PIECE_WORDS + i) for i in range(PIECE_WORDS))
        addresses = [r.entry(r.table("parts"), part * form.arrays + i) for i in range(form.arrays)]
        arrays = [r.pointed(address, element) + first for address in addresses]
        own = [
            r.convert(r.broadcast(r.pointer("own", FLOAT64) + (part * len(OWN[form.rule]) + i)), element)
            for i in range(len(OWN[form.rule]))
        ]
        given = numbers | dict(zip(OWN[form.rule], own, strict=True))
        rule = _adamw if form.rule == "adamw" else _descent
        whole = count // (VECTORS * r.lanes) * (VECTORS * r.lanes)
        with r.loop(whole, step=VECTORS * r.lanes) as i:
            _write(r, form, rule, given, arrays, [i + v * r.lanes for v in range(VECTORS)], None)
        with r.loop(count - whole, step=r.lanes) as i:
            _write(r, form, rule, given, arrays, [whole + i], r.first_lanes(count - whole - i))
    return r.finish()


Rule = Callable[[Routine, Form, dict[str, Vector], list[Vector]], list[Vector]]


def _write(
    r: Routine, form: Form, rule: Rule, numbers: dict[str, Vector], arrays: list[Pointer], places: list[Size],
    mask: Mask | None,
) -> None:  # fmt: skip
    """Compute some vectors: all is read before anything is written."""
    results = [rule(r, form, numbers, [r.load(array + at, mask) for array in arrays]) for at in places]
    value, _, *kept = arrays
    for at, result in zip(places, results, strict=True):
        for array, vector in zip((value, *kept), result, strict=True):
            r.store(vector, array + at, mask)


def _descent(_: Routine, form: Form, numbers: dict[str, Vector], vectors: list[Vector]) -> list[Vector]:
    value, direction, *kept = vectors
    if form.decays:
        direction = value * numbers["decay"] + direction
    if kept:
        kept[0] = kept[0] * numbers["momentum"] + direction * numbers["share"]
        direction = kept[0] * numbers["momentum"] + direction if form.rule == "nesterov" else kept[0]
    return [value - direction * numbers["lr"], *kept]


def _adamw(r: Routine, _: Form, numbers: dict[str, Vector], vectors: list[Vector]) -> list[Vector]:
    value, gradient, mean, square = vectors
    mean = mean + (gradient - mean) * numbers["first"]
    square = square * numbers["second"] + gradient * gradient * numbers["rest"]
    size = r.square_root(square) / numbers["root"] + numbers["eps"]
    return [value * numbers["shrink"] - mean / size * numbers["rate"], mean, square]
