"""Laying out the inputs of a task in planes, where every tap lies at one distance from all output positions.

A plane holds a run of inputs for each row that some tap meets (`planning.schedule`). Here the runs are copied: in any
order of memory, from any type, with what stands beyond the borders. Nothing else is known of padding.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size, Vector


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code of a routine depends on besides the target: everything else is told at run time.

    `element` is the arithmetic; `source`, `weights` and `result` are what stands in memory. `rows` output channels by
    `vectors` of positions stay in registers; `together` says that a task's rows of outputs are swept as one line.
    `in_place` reads the input where it is; else it is copied, `step` columns apart (1 or 2; 0: at any distance, told at
    run time), and `borders` says that more than a fill value stands outside. `panel` is the distance between two rows
    of weights. `parameters` are those of the activation: a word, or None for a number that is told at run time.
    """

    element: str
    source: str
    weights: str
    result: str
    rows: int
    vectors: int
    panel: int
    together: bool
    in_place: bool
    step: int
    borders: bool
    activation: str | None = None
    parameters: tuple[str | None, ...] = ()

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"direct_{self.element}_{self.rows}x{self.vectors}"


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the input a task sees: image, group, position on the outer axes, first output row and column."""

    image: Size
    group: Size
    outer: Size
    row: Size
    column: Size


def lay_out(r: Routine, form: Form, window: Window, first: Size, count: Size, room: Pointer) -> None:
    """Lay out `count` planes from number `first` on. A vector behind their end may be written too."""
    begin = window.column * r.size("column_step") - r.size("before")
    image = r.pointer("x", ELEMENTS[form.source]) + window.image * r.size("x_image")
    with r.loop(count) as i:
        number, tap = (first + i) // r.size("outer_taps"), (first + i) % r.size("outer_taps")
        outer = r.entry(r.table("outer_places"), window.outer * r.size("outer_taps") + tap)
        channel = image + (window.group * r.size("inputs") + number) * r.size("x_channel") + outer.larger(0)
        plane = room + i * r.size("plane")
        with r.loop(r.size("shift_count")) as shift, r.loop(r.size("slot_count")) as slot:
            row = window.row * r.size("row_step") + r.entry(r.table("slots"), slot)
            place = r.entry(r.table("row_places"), row)
            outside = place.below(0) | outer.below(0)
            run = Run(
                channel + place.larger(0),
                begin + r.entry(r.table("shifts"), shift),
                r.choose(outside, 0, r.size("input_width")),
                plane + (shift * r.size("slot_count") + slot) * r.size("run"),
            )
            _copy(r, form, run)


@dataclass(frozen=True, slots=True)
class Run:
    """A run to copy: from column `begin` of a row of `width` columns (none: all is outside), every `column_step`."""

    source: Pointer
    begin: Size
    width: Size
    goal: Pointer


def _copy(r: Routine, form: Form, run: Run) -> None:
    """Copy a run, with the fill value where the row has no column."""
    fill = r.number("fill")
    if form.step:
        with r.loop(r.size("run"), step=r.lanes) as i:
            # The fill value goes a vector too far at the end of a run, where the next one is written afterwards.
            _copy_vector(r, form, run, i, fill)
    else:
        _copy_each(r, run, fill)
    if form.borders:
        with r.when(run.width.above(0)):
            _copy_borders(r, run, fill)


def _copy_vector(r: Routine, form: Form, run: Run, i: Size, fill: Vector) -> None:
    at, step = run.begin + i * form.step, form.step
    source = run.source + at
    with r.either(~at.below(0) & ~(at + ((r.lanes - 1) * step + 1)).above(run.width)) as (inside, edge):
        with inside:
            values = r.load(source) if step == 1 else r.load_even(source)
            r.store(r.convert(values, r.element), run.goal + i)
        with edge:
            here = r.lanes_from(_steps(0 - at, step)) & r.first_lanes(_steps(run.width - at, step))
            values = r.load(source, here) if step == 1 else _even_inside(r, source, at, run.width)
            r.store(r.select(here, r.convert(values, r.element), fill), run.goal + i)


def _even_inside(r: Routine, source: Pointer, at: Size, width: Size) -> Vector:
    """Return every second column from `at` on, and zero for those outside."""

    def part(ahead: int) -> Vector:
        begin = at + ahead
        return r.load(source + ahead, r.lanes_from(0 - begin) & r.first_lanes(width - begin))

    return r.even(part(0), part(r.lanes - 1))


def _copy_each(r: Routine, run: Run, fill: Vector) -> None:
    """Copy columns at any distance one by one."""
    step = r.size("column_step")
    first, end = _inside(r, run)
    one = r.shuffle(fill, fill, [0])
    with r.loop(first) as i:
        r.store(one, run.goal + i)
    with r.loop(end - first) as i:
        at = (run.begin + (first + i) * step) * r.size("x_column")
        r.store(r.convert(r.load(run.source + at, lanes=1), r.element), run.goal + (first + i))
    with r.loop(r.size("run") - end) as i:
        r.store(one, run.goal + (end + i))


def _copy_borders(r: Routine, run: Run, fill: Vector) -> None:
    """Write what stands beyond the borders, looked up in the table of columns."""
    first, end = _inside(r, run)
    one = r.shuffle(fill, fill, [0])

    def look_up(i: Size) -> None:
        column = run.begin + i * r.size("column_step")
        place = r.entry(r.table("column_places"), column + r.size("before"))
        with r.either(place.below(0)) as (nothing, something):
            with nothing:
                r.store(one, run.goal + i)
            with something:
                value = r.load(run.source + place * r.size("x_column"), lanes=1)
                r.store(r.convert(value, r.element), run.goal + i)

    with r.loop(first) as i:
        look_up(i)
    with r.loop(r.size("run") - end) as i:
        look_up(end + i)


def _inside(r: Routine, run: Run) -> tuple[Size, Size]:
    """Return the first place of a run that is inside its row, and the first behind these."""
    step, length = r.size("column_step"), r.size("run")
    first = ((0 - run.begin).larger(0) + (step - 1)) // step
    end = ((run.width - run.begin).larger(0) + (step - 1)) // step
    first = first.smaller(length)
    return first, end.smaller(length).larger(first)


def _steps(distance: Size, step: int) -> Size:
    """Return how many steps reach a distance; none for a negative one."""
    return distance if step == 1 else (distance.larger(0) + (step - 1)) // step
