"""Inputs of tiles, transformed: V = B' x B, for runs of tiles beside each other and a vector of channels at a time.

The rows under a run are transformed downwards first, column by column, into a strip of n rows; tiles beside each other
share its columns. Then each tile's columns are transformed across, and go to V. Vectors run along channels: where
columns stand side by side in memory, squares of them are turned in registers. Nothing else is known of padding; what is
constant outside is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.winograd.structure import OUTSIDE, PLANE, Form, Run, applied, runs
from striderule.codegen.tile import ELEMENTS, Condition, Mask, Pointer, Routine, Size, Vector


@dataclass(frozen=True, slots=True)
class Source:
    """A vector of channels under a run: the first channel in its plane, how many there are, and the strip.

    `rows` and `columns_at` are where the tables of rows and columns begin for the run.
    """

    run: Run
    rows: Pointer
    columns_at: Pointer
    image: Pointer
    channels: Size
    strip: Pointer
    columns: Size


def transform_inputs(
    r: Routine,
    form: Form,
    first: Size,
    count: Size,
    group: Size,
    vectors: tuple[Size, Size],
    v: Pointer,
    strip: Pointer,
) -> None:
    """Write V for `count` tiles from number `first` on, and for vectors of channels: (first, how many)."""
    each = (r.size("inputs") + (r.lanes - 1)) // r.lanes
    with runs(r, form, first, count) as run, r.loop(vectors[1]) as i:
        met, channel = (vectors[0] + i) // each, (vectors[0] + i) % each * r.lanes
        plane = r.entry(run.plane, met + len(PLANE))
        image = r.pointer("x", ELEMENTS[form.read]) + (
            plane + (group * r.size("inputs") + channel) * r.size("x_channel")
        )
        rows = r.table("row_places") + (run.told(r, "rows") + run.row)
        columns_at = r.table("column_places") + (run.told(r, "columns") + run.column)
        columns = run.tiles * form.tile[1] + (form.kernel[1] - 1)
        channels = (r.size("inputs") - channel).smaller(r.lanes)
        source = Source(run, rows, columns_at, image, channels, strip, columns)
        with r.either(plane.equals(OUTSIDE)) as (outside, there):
            with outside:
                _read_nothing(r, form, source)
            with there:
                if form.source == "columns":
                    _read_columns(r, form, source)
                else:
                    _read_channels(r, form, source)
        chain = channel // r.size("chain")
        within = run.slot * form.pitch + (channel - chain * r.size("chain"))
        _across(r, form, source, v + ((met * r.size("plane_chains") + chain) * r.size("v_chain") + within))


def _read_nothing(r: Routine, form: Form, source: Source) -> None:
    """Fill the strip with zeros."""
    with r.loop(form.down.inputs) as i, r.loop(source.columns) as column:
        r.store(r.constant(0), source.strip + (i * _width(form) + column) * r.lanes)


def _row(r: Routine, source: Source, row: Size | int) -> Size:
    """Return where a row of the strip begins in its channel, or `OUTSIDE`."""
    return r.entry(source.rows, row)


def _place(r: Routine, source: Source, column: Size) -> Size:
    """Return which column of the input a column of the strip shows, below zero nothing."""
    return r.entry(source.columns_at, column)


def _width(form: Form) -> int:
    """Return the columns of a strip: those of the longest run, in whole vectors of any target."""
    return -(-(form.run * form.tile[1] + form.kernel[1] - 1) // 16) * 16


def strip_size(form: Form, lanes: int) -> int:
    """Return the elements of a strip of inputs."""
    return (form.down.inputs * _width(form) + 1) * lanes


def _down(r: Routine, form: Form, source: Source, column: Size, rows: list[Vector]) -> None:
    """Transform one column of inputs downwards, and write it to the strip."""
    for i, value in enumerate(applied(r, form.down.input_program, rows)):
        r.store(value, source.strip + (column * r.lanes + i * _width(form) * r.lanes))


def _read_channels(r: Routine, form: Form, source: Source) -> None:
    """Read where channels stand side by side, or neither these nor columns do."""
    zeros = source.strip + form.down.inputs * _width(form) * r.lanes
    r.store(r.constant(0), zeros)
    nothing = zeros.of(source.image.element)
    mask = r.first_lanes(source.channels)
    with r.loop(source.columns) as column:
        place = _place(r, source, column)
        rows = []
        for i in range(form.down.inputs):
            row = _row(r, source, i)
            here = source.image + (row + place * r.size("x_column"))
            outside = row.equals(OUTSIDE) | place.below(0)
            if form.source == "channels":
                rows.append(r.convert(r.load(r.nearer(outside, nothing, here), mask), r.element))
            else:
                step = r.choose(outside, 1, r.size("x_channel"))
                rows.append(r.convert(r.gather(r.nearer(outside, nothing, here), step, source.channels), r.element))
        _down(r, form, source, column, rows)


def _read_columns(r: Routine, form: Form, source: Source) -> None:
    """Read where columns stand side by side: squares of channels by columns are turned."""
    begin = source.run.column - r.size("before")
    with r.loop(source.columns, step=r.lanes) as column:
        left = begin + column
        inside = r.lanes_from(0 - left) & r.first_lanes(r.size("input_width") - left)
        whole = left.above(-1) & ~(left + r.lanes).above(r.size("input_width"))
        with r.loop(form.down.inputs) as i:
            place = _row(r, source, i)
            goal = source.strip + (i * _width(form) + column) * r.lanes
            with r.either(place.equals(OUTSIDE)) as (outside, there):
                with outside, r.loop(r.lanes) as lane:
                    r.store(r.constant(0), goal + lane * r.lanes)
                with there:
                    _turn(r, source, source.image + (place + left), goal, inside, whole)
    if form.borders:
        _read_borders(r, form, source)
    with r.loop(source.columns) as column:
        here = source.strip + column * r.lanes
        _down(r, form, source, column, [r.load(here + i * _width(form) * r.lanes) for i in range(form.down.inputs)])


def _turn(r: Routine, source: Source, where: Pointer, goal: Pointer, inside: Mask, whole: Condition) -> None:
    """Read a square of channels by columns, and write it column after column."""
    # Channels that are not there repeat the last one: what comes of them meets no weight.
    places = [where + (source.channels - 1).smaller(lane) * r.size("x_channel") for lane in range(r.lanes)]

    def turned(rows: list[Vector]) -> None:
        for lane, values in enumerate(r.transpose([r.convert(row, r.element) for row in rows])):
            r.store(values, goal + lane * r.lanes)

    if r.lanes == 16:  # masks cost nothing
        turned([r.load(place, inside) for place in places])
        return
    with r.either(whole) as (simple, other):
        with simple:
            turned([r.load(place) for place in places])
        with other:
            turned([r.load(place, inside) for place in places])


def _read_borders(r: Routine, form: Form, source: Source) -> None:
    """Write what stands beyond the first and last column, looked up in the table of columns."""
    with r.loop(source.columns) as column:
        left = source.run.column + column - r.size("before")
        place = _place(r, source, column)
        beyond = left.below(0) | ~left.below(r.size("input_width"))
        with r.when(beyond & ~place.below(0)), r.loop(form.down.inputs) as i:
            row = _row(r, source, i)
            with r.when(~row.equals(OUTSIDE)):
                values = r.gather(source.image + (row + place), r.size("x_channel"), source.channels)
                r.store(r.convert(values, r.element), source.strip + (i * _width(form) + column) * r.lanes)


def _across(r: Routine, form: Form, source: Source, goal: Pointer) -> None:
    """Transform the tiles of a strip across, into V."""
    across = form.across
    with r.loop(source.run.tiles) as tile, r.loop(form.down.inputs) as i:
        here = source.strip + (i * _width(form) + tile * form.tile[1]) * r.lanes
        values = applied(r, across.input_program, [r.load(here + j * r.lanes) for j in range(across.inputs)])
        point = goal + (tile * form.pitch + i * across.inputs * r.size("v_point"))
        for value in values:
            r.store(value, point)
            point = point + r.size("v_point")
