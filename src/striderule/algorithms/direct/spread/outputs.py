"""The second half of a task of `spread.routine`: products are added up, and outputs written, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.algorithms.direct.spread.form import Spread, Task
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size, Vector

# Activations of few instructions.
CHEAP = ("relu", "relu6", "leaky_relu", "hardtanh", "threshold")


def add_up(r: Routine, task: Task, channel: Size, image: Size, row: Size) -> None:
    """Add the products that fall on a row of outputs, tap after tap, in a row of sums for each remainder.

    Where very many taps meet, at most `taps_together` of a row of them are added in a chain, and then the chains.
    """
    size = r.size("stride") * r.size("sums_pitch")
    totals = task.room + r.size("sums_at")
    _clear(r, totals, size)
    words = [r.entry(r.table("row_taps"), (task.rows.first + row) * 3 + i) for i in range(3)]
    met = r.choose(task.terms.above(0), words[0], 0)
    places = task.columns.count
    together = r.size("taps_together")
    in_chains = together.below(r.size("columns_of_taps"))
    sums = r.nearer(in_chains, totals + size, totals)
    with r.loop(met) as i:
        tap, source_row = words[1] + i * r.size("tap_step"), words[2] - i * r.size("input_step")
        number = channel * r.size("taps") + tap * r.size("columns_of_taps")
        position = (image * task.rows.count + (source_row - task.rows.start)) * places
        products = task.room + (r.size("products_at") + number * r.size("pitch") + position)
        with r.loop((r.size("columns_of_taps") + (together - 1)) // together) as part:
            first = part * together
            with r.when(in_chains):
                _clear(r, sums, size)
            with r.loop((r.size("columns_of_taps") - first).smaller(together)) as k:
                goal = sums + (r.entry(r.table("column_taps"), first + k) + task.sums_from)
                _add_row(r, products + (first + k) * r.size("pitch"), goal, places)
            with r.when(in_chains), r.loop(size, step=r.lanes) as at:
                r.store(r.load(totals + at) + r.load(sums + at), totals + at)


def _clear(r: Routine, sums: Pointer, size: Size) -> None:
    with r.loop(size, step=r.lanes) as i:
        r.store(r.constant(0), sums + i)


def _add_row(r: Routine, products: Pointer, sums: Pointer, count: Size) -> None:
    whole = count // r.lanes * r.lanes
    with r.loop(whole, step=r.lanes) as i:
        r.store(r.load(sums + i) + r.load(products + i), sums + i)
    with r.when(count.above(whole)):
        # Behind the end stand products of the next row.
        rest = r.select(r.first_lanes(count - whole), r.load(products + whole), r.constant(0))
        r.store(r.load(sums + whole) + rest, sums + whole)


def write(r: Routine, form: Spread, task: Task, channel: Size, image: Size, row: Size) -> None:
    """Write a row of outputs: activation(sum + bias + residual), in the type of the result."""
    length = task.columns.end - task.columns.first
    line = _interleaved(r, form, task, length) + task.line_from
    number = task.group * r.size("channels") + task.channel + channel
    place = (task.outer * r.size("height") + task.rows.first + row) * r.size("width") + task.columns.first
    y, residual = (
        r.pointer(word, ELEMENTS[form.result])
        + ((task.image + image) * r.size(f"{word}_image") + number * r.size(f"{word}_channel") + place)
        for word in ("y", "residual")
    )
    with r.when(r.size("has_residual").equals(1)), r.loop(length, step=r.lanes) as i:
        other = r.load(residual + i, r.first_lanes(length - i))
        r.store(r.load(line + i) + r.convert(other, r.element), line + i)
    bias = r.broadcast(r.pointer("bias") + number)
    long = form.activation is not None and form.activation not in CHEAP
    if long:
        with r.loop(length, step=r.lanes) as i:  # one copy of a long function
            r.store(_active(r, form, r.load(line + i) + bias), line + i)

    def finished(i: Size) -> Vector:
        value = r.load(line + i) if long else _active(r, form, r.load(line + i) + bias)
        return r.convert(value, ELEMENTS[form.result])

    whole = length // r.lanes * r.lanes
    with r.loop(whole, step=r.lanes) as i:
        r.prefetch(y + i + r.size("y_channel"))
        r.store(finished(i), y + i)
    with r.when(length.above(whole)):
        r.store(finished(whole), y + whole, r.first_lanes(length - whole))


def _active(r: Routine, form: Spread, value: Vector) -> Vector:
    if form.activation is None:
        return value
    parameters = [word or r.number(f"number_{i}") for i, word in enumerate(form.parameters)]
    return ACTIVATIONS[form.activation](r, value, *parameters)


def _interleaved(r: Routine, form: Spread, task: Task, length: Size) -> Pointer:
    """Return the sums of all remainders as one line, from the first whole stride of the task's columns on."""
    sums = task.room + (r.size("sums_at") + r.size("margin"))
    if form.stride == 1:
        return sums
    line, stride = task.room + r.size("line_at"), r.size("stride")
    turns = (task.line_from + length + (stride - 1)) // stride
    if form.stride:
        with r.loop(turns, step=r.lanes) as i:
            rows = [r.load(sums + phase * r.size("sums_pitch") + i) for phase in range(form.stride)]
            for number, vector in enumerate(_zipped(r, rows)):
                r.store(vector, line + i * form.stride + number * r.lanes)
    else:
        with r.loop(stride) as phase:
            row, goal = sums + phase * r.size("sums_pitch"), line + phase
            with r.loop(turns) as i:
                r.store(r.load(row + i, lanes=1), goal + i * stride)
    return line


def _zipped(r: Routine, rows: Sequence[Vector]) -> list[Vector]:
    """Return vectors, a power of two of them, with their lanes in turn: first all first ones, then all second ones."""
    if len(rows) == 1:
        return list(rows)
    lanes = r.lanes
    low = [lane for i in range(lanes // 2) for lane in (i, lanes + i)]
    high = [lane + lanes // 2 for lane in low]
    pairs = zip(_zipped(r, rows[0::2]), _zipped(r, rows[1::2]), strict=True)
    return [r.shuffle(even, odd, pattern) for even, odd in pairs for pattern in (low, high)]
