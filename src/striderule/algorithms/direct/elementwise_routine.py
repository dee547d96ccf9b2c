"""One function of every element, in the tile language: y[i] = f(x[i]), or f(x[i], slope[i]), at any strides.

Algorithm: the formulas of `activation`, or of gradients f(x[i], g[i]) and f(x[i], g[i], slope[i]) those of
`activation_gradient`. Schedule: an array is seen as outer places, rows and columns. A task computes
some columns of some rows at one outer place. Columns that are not side by side in memory pass through room on the
stack, in pieces, so that there is one body for all strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striderule.algorithms.direct import activation_gradient
from striderule.algorithms.direct.activation import ACTIVATIONS, PARAMETERS
from striderule.codegen import vmath
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Mask, Pointer, Routine, Size, Vector

# Elements that are brought side by side at a time.
PIECE = 512
SIZES = ("rank", "rows", "columns", "task_rows", "task_columns", "row_tasks", "column_tasks")
# Formulas of few instructions wait for memory, and those of many for their own results: both gain from several vectors
# at a time, but code is made faster from fewer.
LIGHT = frozenset(
    (
        "relu",
        "leaky_relu",
        "relu6",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "hardshrink",
        "threshold",
        "prelu",
        "length",
    )
)


@dataclass(frozen=True, slots=True)
class Form:
    """What the code depends on.

    `name` is the activation, "prelu", "length" or "direction", `word` the parameter that is no number; `sources` and
    `result` name the elements in memory, `element` that of the arithmetic. `level` says that the last operand is the
    same for all columns, `gradient` that the gradient of the activation is wanted.
    """

    name: str
    word: str
    sources: tuple[str, ...]
    result: str
    element: str
    level: bool = False
    gradient: bool = False

    @property
    def title(self) -> str:
        """The routine's name."""
        kind = "gradient" if self.gradient else ""
        words = (self.name, kind, self.word, *self.sources, self.result, "level" if self.level else "")
        return "_".join(filter(None, words))

    @property
    def operands(self) -> tuple[str, ...]:
        """The pointers, the result first."""
        names = ("y", "x", "other", "slope") if self.gradient else ("y", "x", "slope")
        return names[: 1 + len(self.sources)]

    @property
    def light(self) -> bool:
        """Whether the formula has few instructions."""
        return self.name in (activation_gradient.LIGHT if self.gradient else LIGHT)

    @property
    def words(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The names of the pointers, sizes and numbers, in their order: x is the first of all.

        For every operand there are its steps, in elements, between rows and between columns.
        """
        steps = tuple(f"{one}_{axis}" for one in self.operands for axis in ("row", "column"))
        y, x, *rest = self.operands
        return (x, y, *rest, "table"), (*SIZES, *steps), PARAMETERS.get(self.name, ())


def elementwise_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    pointers, sizes, numbers = form.words
    r = Routine(form.title, target, ELEMENTS[form.element], pointers=pointers, sizes=sizes, numbers=numbers)
    parameters = [r.number(word) for word in numbers]
    room = [r.scratch(PIECE, ELEMENTS[kind]) for kind in (form.result, *form.sources)]
    with r.tasks() as task:
        column_task, rest = task % r.size("column_tasks"), task // r.size("column_tasks")
        row_task, place = rest % r.size("row_tasks"), rest // r.size("row_tasks")
        column, row = column_task * r.size("task_columns"), row_task * r.size("task_rows")
        columns = (r.size("columns") - column).smaller(r.size("task_columns"))
        rows = (r.size("rows") - row).smaller(r.size("task_rows"))
        kinds = (form.result, *form.sources)
        begin = [r.pointer(one, ELEMENTS[kind]) for one, kind in zip(form.operands, kinds, strict=True)]
        starts = at_place(r, begin, place)
        with r.loop(rows) as turn:
            here = [
                start + (row + turn) * r.size(f"{one}_row") + column * r.size(f"{one}_column")
                for one, start in zip(form.operands, starts, strict=True)
            ]
            _line(r, form, here, columns, room, parameters)
    return r.finish()


def at_place(r: Routine, pointers: Sequence[Pointer], place: Size) -> list[Pointer]:
    """Return where every operand begins at an outer place, in whose number the first axis of the table runs fastest.

    The table holds, for each of `rank` axes, its size and the step of every operand.
    """
    distances = [r.count(0) for _ in pointers]
    left, entry = r.count(place), r.count(0)
    with r.loop(r.size("rank")):
        size = r.entry(r.table("table"), entry.value)
        index = left.value % size
        for number, distance in enumerate(distances):
            distance.set(distance.value + index * r.entry(r.table("table"), entry.value + (1 + number)))
        left.set(left.value // size)
        entry.set(entry.value + (1 + len(distances)))
    return [pointer + distance.value for pointer, distance in zip(pointers, distances, strict=True)]


def _line(
    r: Routine, form: Form, here: list[Pointer], columns: Size, room: list[Pointer], parameters: Sequence[Vector]
) -> None:
    """Compute `columns` elements of one row."""
    steps = [r.size(f"{one}_column") for one in form.operands]
    moved = len(steps) - form.level  # a level operand is read where it stands
    together = [step.equals(1) for step in steps]
    whole = together[0]
    for condition in together[1:moved]:
        whole = whole & condition
    piece = r.choose(whole, columns, columns.smaller(PIECE))
    with r.loop((columns + (piece - 1)) // piece) as number:
        start = number * piece
        count = (columns - start).smaller(piece)
        places = [pointer + start * step for pointer, step in zip(here, steps, strict=True)]
        compact = [
            r.nearer(condition, place, beside) if k < moved else place
            for k, (condition, place, beside) in enumerate(zip(together, places, room, strict=True))
        ]
        for k in range(1, moved):
            with r.when(~together[k]):
                _copy(r, places[k], steps[k], room[k], r.whole(1), count)
        _compute(r, form, compact, count, parameters)
        with r.when(~together[0]):
            _copy(r, room[0], r.whole(1), places[0], steps[0], count)


def _copy(r: Routine, source: Pointer, step: Size, target: Pointer, pace: Size, count: Size) -> None:
    """Copy elements one by one."""
    with r.loop(count) as i:
        r.store(r.load(source + i * step, lanes=1), target + i * pace)


def _compute(r: Routine, form: Form, places: list[Pointer], count: Size, parameters: Sequence[Vector]) -> None:
    """Compute `count` elements that stand side by side."""
    vectors = 4 if form.light else 2
    width = vectors * r.lanes
    slope = r.convert(r.broadcast(places[-1]), ELEMENTS[form.element]) if form.level else None
    # Stores that cross cache lines take twice as long: long rows go on from the first whole vector of the result.
    unit = ELEMENTS[form.result].itemsize
    distance = (unit * r.lanes - places[0].address % (unit * r.lanes)) % (unit * r.lanes) // unit
    before = r.choose(count.above(2 * width), distance, 0)
    with r.when(before.above(0)):
        here = r.first_lanes(before)
        r.store(_value(r, form, places, r.whole(0), here, slope, parameters), places[0], here)
    whole = (count - before) // width
    with r.loop(whole) as block:
        # All is read before anything is written, so that loads need not wait for stores to the same array.
        starts = [before + block * width + v * r.lanes for v in range(vectors)]
        results = [_value(r, form, places, start, None, slope, parameters) for start in starts]
        for start, result in zip(starts, results, strict=True):
            r.store(result, places[0] + start)
    first = before + whole * width
    with r.loop(count - first, step=r.lanes) as i:
        here = r.first_lanes(count - first - i)
        r.store(_value(r, form, places, first + i, here, slope, parameters), places[0] + (first + i), here)


def _value(
    r: Routine,
    form: Form,
    places: list[Pointer],
    i: Size,
    mask: Mask | None,
    slope: Vector | None,
    parameters: Sequence[Vector],
) -> Vector:
    """Return the results of the elements from i on."""
    kind = ELEMENTS[form.element]
    x = r.convert(r.load(places[1] + i, mask), kind)
    if form.gradient:
        result = _gradient(r, form, x, places, i, mask, slope, parameters)
    elif form.name == "length":
        other = r.convert(r.load(places[2] + i, mask), kind) if slope is None else slope
        result = _length(r, x, other)
    elif form.name == "direction":
        result = vmath.arctan2(r, x, r.convert(r.load(places[2] + i, mask), kind))
    elif form.name == "prelu":
        steepness = r.convert(r.load(places[2] + i, mask), kind) if slope is None else slope
        result = ACTIVATIONS["leaky_relu"](r, x, steepness)
    else:
        result = ACTIVATIONS[form.name](r, x, *parameters, *((form.word,) if form.word else ()))
    return r.convert(result, ELEMENTS[form.result])


def _gradient(
    r: Routine,
    form: Form,
    x: Vector,
    places: list[Pointer],
    i: Size,
    mask: Mask | None,
    level: Vector | None,
    parameters: Sequence[Vector],
) -> Vector:
    """Return the gradients with respect to the elements from i on."""
    kind = ELEMENTS[form.element]
    read = places[2:-1] if level is not None else places[2:]
    others = [r.convert(r.load(place + i, mask), kind) for place in read]
    g, *slope = others if level is None else [*others, level]
    if form.name == "prelu":
        return activation_gradient.GRADIENTS["leaky_relu"](r, x, g, *slope)
    function = activation_gradient.GRADIENTS[form.name]
    return function(r, x, g, *parameters, *((form.word,) if form.word else ()))


def _length(r: Routine, x: Vector, other: Vector) -> Vector:
    """Return sqrt(x^2 + other^2), both scaled by a power of two where the squares would overflow or vanish."""
    far, step = (2.0**60, 2.0**100) if x.element.itemsize == 4 else (2.0**500, 2.0**600)
    size = r.maximum(r.absolute(x), r.absolute(other))
    large, small = size.greater(far), size.less(1 / far)

    def chosen(where_large: float, where_small: float) -> Vector:
        return r.select(large, x.like(where_large), r.select(small, x.like(where_small), x.like(1.0)))

    down, up = chosen(1 / step, step), chosen(step, 1 / step)
    x, other = x * down, other * down
    return r.square_root(r.multiply_add(x, x, other * other)) * up
