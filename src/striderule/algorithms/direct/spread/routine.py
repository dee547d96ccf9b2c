"""The routine of transposed convolution, in the tile language; `planning.spreading` says what it does and why.

    products[(o, t), i] = sum over c of w[c, o, t] * x[c, i]
    y[o, p] = activation(sum over the (i, t) that meet at p of products[(o, t), i] + bias[o] + residual[o, p])

The products of a task are formed like those of two matrices, with tiles of registers, and stay in the cache. They are
added up in rows: one for each remainder of the output column modulo the stride, in which the products of a tap lie side
by side as the inputs do. The rows are interleaved when they are written.
"""

from __future__ import annotations

from striderule.algorithms.direct.spread.form import POINTERS, SIZES, Spread, Task, most_together, task_of
from striderule.algorithms.direct.spread.outputs import add_up, write
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT64, Pointer, Routine, Size


def spread_routine(form: Spread, target: Target) -> str:
    """Return the routine as LLVM IR."""
    numbers = tuple(f"number_{i}" for i, word in enumerate(form.parameters) if word is None)
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES, numbers=numbers)
    flags = r.table("flags")
    slot = r.claim(flags, r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    with r.tasks() as number:
        task = task_of(r, number, room)
        chunk = r.size("chunk")
        with r.loop((task.terms + (chunk - 1)) // chunk) as turn:
            first = turn * chunk
            count = (task.terms - first).smaller(chunk)
            _lay_out(r, form, task, first, count)
            _multiply(r, form, task, turn, count)
        rows = task.rows.end - task.rows.first
        with r.loop(task.channels) as channel, r.loop(task.images) as image, r.loop(rows) as row:
            add_up(r, task, channel, image, row)
            write(r, form, task, channel, image, row)
    r.give_back(flags, slot)
    return r.finish()


# Inputs ---------------------------------------------------------------------------------------------------------------


def _lay_out(r: Routine, form: Spread, task: Task, first: Size, count: Size) -> None:
    """Copy the inputs of `count` terms from number `first` on: a plane each, all positions of the task in a line."""
    source = r.pointer("x", ELEMENTS[form.source]) + (
        task.image * r.size("x_image")
        + task.rows.start * r.size("x_row")
        + task.columns.start * r.size("x_column")
        + task.group * r.size("inputs") * r.size("x_channel")
    )
    collapsed = r.size("collapsed").equals(1)
    all_places = task.rows.count * task.columns.count
    runs = r.choose(collapsed, r.choose(all_places.above(0), 1, 0), task.rows.count)
    length = r.choose(collapsed, all_places, task.columns.count)
    with r.loop(count) as k:
        pair, channel = (first + k) // r.size("inputs"), (first + k) % r.size("inputs")
        input_at = r.entry(r.table("pairs"), (task.first_pair + pair) * 2)
        plane = source + (channel * r.size("x_channel") + input_at)
        goal = task.room + k * r.size("plane")
        with r.loop(task.images) as image, r.loop(runs) as run:
            place = plane + (image * r.size("x_image") + run * r.size("x_row"))
            _copy_run(r, form, place, goal + (image * all_places + run * length), length)


def _copy_run(r: Routine, form: Spread, source: Pointer, goal: Pointer, length: Size) -> None:
    """Copy a run of inputs. Up to a vector behind its end may be written too."""
    if not form.dense:
        with r.loop(length) as i:
            value = r.load(source + i * r.size("x_column"), lanes=1)
            r.store(r.convert(value, r.element), goal + i)
        return
    whole = length // r.lanes * r.lanes
    with r.loop(whole, step=r.lanes) as i:
        r.prefetch(source + i + r.size("x_channel"))  # the next plane's, which lies far away
        r.store(r.convert(r.load(source + i), r.element), goal + i)
    with r.when(length.above(whole)):
        rest = r.load(source + whole, r.first_lanes(length - whole))
        r.store(r.convert(rest, r.element), goal + whole)


# Products -------------------------------------------------------------------------------------------------------------


def _multiply(r: Routine, form: Spread, task: Task, turn: Size, count: Size) -> None:
    """Add `count` terms to the products of all channels, taps and positions of the task."""
    rows = task.channels * r.size("taps")
    tiles = (rows + (form.rows - 1)) // form.rows
    positions = task.images * task.rows.count * task.columns.count
    vectors = (positions + (r.lanes - 1)) // r.lanes
    whole, rest = vectors // form.vectors, vectors % form.vectors
    together = r.size("tiles_together")
    with r.loop((tiles + (together - 1)) // together) as some:
        first = some * together
        number = (tiles - first).smaller(together)
        panels = _weights(r, form, task, turn, count, first, number)
        with r.loop(number) as i:
            tile, panel = first + i, panels + i * (r.size("chunk") * form.rows)
            with r.loop(whole) as block:
                _tile(r, form, task, turn, count, tile, panel, block * (form.vectors * r.lanes), form.vectors)
            for few in range(1, form.vectors):
                with r.when(rest.equals(few)):
                    _tile(r, form, task, turn, count, tile, panel, whole * (form.vectors * r.lanes), few)


def _weights(r: Routine, form: Spread, task: Task, turn: Size, count: Size, first: Size, number: Size) -> Pointer:
    """Return the weights of `number` tiles from `first` on: for each tile and term, those of the tile's rows.

    They are copied unless they came so: several tiles together, since what they read stands in the same cache lines.
    """
    room = task.room + r.size("panel_at")
    panel = r.size("chunk") * form.rows
    tiles = (r.size("block") * r.size("taps") + (form.rows - 1)) // form.rows
    chunks = (r.size("inputs") + (r.size("chunk") - 1)) // r.size("chunk")
    number_before = (task.group * r.size("channel_blocks") + task.block) * chunks + turn
    ready = r.pointer("w") + (number_before * tiles + first) * panel
    with r.when(r.size("packed").equals(0)), r.either(r.size("all_taps").equals(r.size("taps"))) as (joined, apart):
        with joined:
            _copy_weights(r, form, task, turn * r.size("chunk"), count, first, number, room)
        with apart:
            _gather_weights(r, form, task, turn * r.size("chunk"), count, first, number, room)
    return r.nearer(r.size("packed").equals(0), room, ready)


def _copy_weights(
    r: Routine, form: Spread, task: Task, first_term: Size, count: Size, first: Size, number: Size, room: Pointer
) -> None:
    """Copy weights whose rows, channels and taps, follow each other."""
    rows = task.channels * r.size("taps")
    source = r.pointer("w", ELEMENTS[form.weights]) + (
        (task.group * r.size("inputs") + first_term) * r.size("w_channel") + task.channel * r.size("taps")
    )
    # The last tile may have fewer rows.
    whole = (rows // form.rows - first).smaller(number)
    left = rows - (first + whole) * form.rows
    with r.loop(count) as k:
        here, panel = source + (k * r.size("w_channel") + first * form.rows), room + k * form.rows
        with r.loop(whole) as i:
            for step, lanes in _pieces(form.rows, r.lanes):
                place = here + i * form.rows + step
                # What the term after the next one needs comes from far away.
                r.prefetch(place + 2 * r.size("w_channel"))
                r.store(
                    r.convert(r.load(place, lanes=lanes), r.element), panel + i * (r.size("chunk") * form.rows) + step
                )
        with r.when(number.above(whole)):
            for step, lanes in _pieces(form.rows, r.lanes):
                values = r.load(here + whole * form.rows + step, r.first_lanes(left - step, lanes), lanes)
                r.store(r.convert(values, r.element), panel + whole * (r.size("chunk") * form.rows) + step)


def _pieces(count: int, lanes: int) -> list[tuple[int, int]]:
    """Return where the vectors begin that `count` numbers are made of, and their lanes: powers of two."""
    pieces, start = [], 0
    while start < count:
        width = min(lanes, 1 << (count - start).bit_length() - 1)
        pieces.append((start, width))
        start += width
    return pieces


def _gather_weights(
    r: Routine, form: Spread, task: Task, first_term: Size, count: Size, first: Size, number: Size, room: Pointer
) -> None:
    """Copy weights whose rows lie apart, because a channel has taps of outer axes too, one by one."""
    rows = task.channels * r.size("taps")
    # Where the weight of each row stands; rows beyond the last repeat it, so that nothing outside is read.
    places = r.scratch(most_together(form.rows, r.element.itemsize) * form.rows, INT64)
    with r.loop(number * form.rows) as i:
        row = (first * form.rows + i).smaller(rows - 1)
        channel, tap = row // r.size("taps"), row % r.size("taps")
        r.store(r.spread((task.channel + channel) * r.size("all_taps") + tap, lanes=1), places + i)
    source = r.pointer("w", ELEMENTS[form.weights]) + task.group * r.size("inputs") * r.size("w_channel")
    with r.loop(count) as k:
        pair, c = (first_term + k) // r.size("inputs"), (first_term + k) % r.size("inputs")
        here = source + (c * r.size("w_channel") + r.entry(r.table("pairs"), (task.first_pair + pair) * 2 + 1))
        with r.loop(number) as tile:
            goal = room + (tile * r.size("chunk") + k) * form.rows
            for m in range(form.rows):
                value = r.load(here + r.entry(places, tile * form.rows + m), lanes=1)
                r.store(r.convert(value, r.element), goal + m)


def _tile(
    r: Routine, form: Spread, task: Task, turn: Size, count: Size, tile: Size, panel: Pointer, at: Size, vectors: int
) -> None:
    """Add `count` terms to the products of one tile, in one chain."""
    sums = r.tile(form.rows, vectors)
    inputs = task.room + at
    with r.loop(count) as k:
        here, weights = inputs + k * r.size("plane"), panel + k * form.rows
        values = [r.load(here + v * r.lanes) for v in range(vectors)]
        for m in range(form.rows):
            weight = r.broadcast(weights + m)
            for v in range(vectors):
                sums[m][v].add_product(weight, values[v])
    products = task.room + (r.size("products_at") + tile * form.rows * r.size("pitch") + at)
    places = [
        (products + (m * r.size("pitch") + v * r.lanes), sums[m][v].value)
        for m in range(form.rows)
        for v in range(vectors)
    ]
    with r.either(turn.equals(0)) as (fresh, more):
        with fresh:
            for place, total in places:
                r.store(total, place)
        with more:
            for place, total in places:
                r.store(r.load(place) + total, place)
