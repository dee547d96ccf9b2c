"""Outputs of tiles: y = A' M A, then bias, residual and activation, written in any order of memory.

Vectors run along output channels. The outputs of a run of tiles go to a strip first; where columns stand side by side
in memory, squares of it are turned in registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.algorithms.winograd.structure import Form, Run, applied, runs
from striderule.codegen.tile import ELEMENTS, INT32, INT64, Pointer, Register, Routine, Size, Vector

# An image whose largest sum of squares of a tile's results is below this, in every channel, is left to the definition's
# products: there transformed weights and inputs may have lost digits to underflow.
LEAST = 2.0**-100
_INFINITY, _LEAST, _SIGN = 0x7F800000, (127 - 100) << 23, 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Goal:
    """A vector of output channels of a run: the first one, how many there are, where they are written."""

    run: Run
    channel: Size
    channels: Size
    y: Pointer
    residual: Pointer
    strip: Pointer


def transform_outputs(
    r: Routine,
    form: Form,
    first: Size,
    count: Size,
    group: Size,
    vectors: tuple[Size, Size],
    m: Pointer,
    strip: Pointer,
) -> None:
    """Write the outputs of `count` tiles from number `first` on, for vectors of channels: (first, how many)."""
    bits = r.register(r.constant(0, INT32))
    with runs(r, form, first, count) as run:
        bits.set(r.constant(0, INT32))
        with r.loop(vectors[1]) as i:
            channel = (vectors[0] + i) * r.lanes
            number = group * r.size("channels") + channel
            y, residual = (
                r.pointer(word, ELEMENTS[form.written]) + (run.told(r, word) + number * r.size(f"{word}_channel"))
                for word in ("y", "residual")
            )
            goal = Goal(run, number, (r.size("channels") - channel).smaller(r.lanes), y, residual, strip)
            with r.loop(run.tiles) as tile:
                here = m + ((run.slot + tile) * r.size("m_tile") + i * r.lanes)
                _back(r, form, here, strip + tile * form.tile[1] * r.lanes, bits)
            _write(r, form, goal)
        _note(r, run, bits.value)


def _back(r: Routine, form: Form, m: Pointer, strip: Pointer, bits: Register) -> None:
    """Transform the products of a tile into its outputs, and keep the size of the largest sum of their squares."""
    down, across = form.down, form.across
    rows, here = [], m
    for _ in range(down.inputs):
        products = []
        for _ in range(across.inputs):
            products.append(r.load(here))
            here = here + r.size("m_point")
        rows.append(applied(r, across.output_program, products))
    squares = r.constant(0)
    for j in range(form.tile[1]):
        values = applied(r, down.output_program, [row[j] for row in rows])
        for i, value in enumerate(values):
            squares = r.multiply_add(value, value, squares)
            r.store(value, strip + (i * _width(form) + j) * r.lanes)
    # The bits of floats without a sign are ordered as the floats are, with infinity and NaN above all.
    found = r.bits(squares, INT32) & _SIGN
    bits.set(r.select(found.greater(bits.value), found, bits.value))


def _width(form: Form) -> int:
    """Return the columns of a strip of outputs, in whole vectors of any target."""
    return -(-(form.run * form.tile[1]) // 16) * 16


def strip_size(form: Form, lanes: int) -> int:
    """Return the elements of a strip of outputs, and of a square behind it."""
    return form.tile[0] * _width(form) * lanes + lanes * lanes


def _note(r: Routine, run: Run, bits: Vector) -> None:
    """Note whether a run has results that are not finite, and whether it has any that are not tiny."""
    found = r.table("found") + run.told(r, "note") * 2
    with r.when(r.any(bits.greater_equal(_INFINITY))):
        r.store(r.constant(1, INT64, 1), found)
    with r.when(r.any(bits.greater_equal(_LEAST))):
        r.store(r.constant(1, INT64, 1), found + 1)


def _write(r: Routine, form: Form, goal: Goal) -> None:
    """Write the strip, row by row."""
    run = goal.run
    # The last tiles of a plane that is smaller than others have nothing to write.
    columns = (run.told(r, "width") - run.column).smaller(run.tiles * form.tile[1])
    with r.loop((run.told(r, "height") - run.row).smaller(form.tile[0])) as i:
        strip = goal.strip + i * (_width(form) * r.lanes)
        y = goal.y + ((run.row + i) * r.size("y_row") + run.column * r.size("y_column"))
        residual = goal.residual + ((run.row + i) * r.size("residual_row") + run.column * r.size("residual_column"))
        if form.result == "columns":
            _write_columns(r, form, goal, strip, columns, y, residual)
        else:
            _write_channels(r, form, goal, strip, columns, y, residual)


def _write_columns(
    r: Routine, form: Form, goal: Goal, strip: Pointer, columns: Size, y: Pointer, residual: Pointer
) -> None:
    square = goal.strip + form.tile[0] * _width(form) * r.lanes
    with r.loop(columns, step=r.lanes) as column:
        here = strip + column * r.lanes
        turned = r.transpose([r.load(here + lane * r.lanes) for lane in range(r.lanes)])
        for lane, values in enumerate(turned):
            r.store(values, square + lane * r.lanes)
        mask = r.first_lanes(columns - column)
        with r.loop(goal.channels) as c:
            total = r.register(r.load(square + c * r.lanes) + r.broadcast(r.pointer("bias") + (goal.channel + c)))
            with r.when(r.size("has_residual").equals(1)):
                other = residual + (c * r.size("residual_channel") + column * r.size("residual_column"))
                if form.aligned:
                    added = r.load(other, mask)
                else:
                    added = r.gather(other, r.size("residual_column"), columns - column)
                total.set(total.value + r.convert(added, r.element))
            where = y + (c * r.size("y_channel") + column)
            r.store(_active(r, form, total.value, where), where, mask)


def _write_channels(
    r: Routine, form: Form, goal: Goal, strip: Pointer, columns: Size, y: Pointer, residual: Pointer
) -> None:
    mask = r.first_lanes(goal.channels)
    bias = r.load(r.pointer("bias") + goal.channel, mask)
    with r.loop(columns) as column:
        value = r.load(strip + column * r.lanes) + bias
        other, where = residual + column * r.size("residual_column"), y + column * r.size("y_column")
        total = r.register(value)
        with r.when(r.size("has_residual").equals(1)):
            if form.aligned and form.result == "channels":
                added = r.load(other, mask)
            else:
                added = r.gather(other, r.size("residual_channel"), goal.channels)
            total.set(total.value + r.convert(added, r.element))
        active = _active(r, form, total.value, where)
        if form.result == "channels":
            r.store(active, where, mask)
        else:
            r.scatter(active, where, r.size("y_channel"), goal.channels)


def _active(r: Routine, form: Form, value: Vector, where: Pointer) -> Vector:
    """Return the activation of sums, in the type that is written there."""
    if form.activation is not None:
        parameters = [word or r.number(f"number_{i}") for i, word in enumerate(form.parameters)]
        value = ACTIVATIONS[form.activation](r, value, *parameters)
    return r.convert(value, where.element or r.element)
