"""The routine of direct convolution, in the tile language.

    y[o, q] = activation(sum over k of w[o, k] * x[q + distance[k]] + bias[o] + residual[o, q])

k runs over channels and taps, q over output positions. Algorithm: every product of the definition. Schedule: tiles of
registers, and the blocks of `planning.schedule.Schedule`: a task lays out the inputs that it needs, a chunk of channels
at a time (`laying`), or finds them laid out, and sweeps them with every tile of its output channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from striderule.algorithms.direct import panels, tiled
from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.algorithms.direct.laying import Form, Window, lay_out, tasks_that_sweep
from striderule.codegen.dots import dot
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT64, Mask, Pointer, Register, Routine, Size, Vector
from striderule.codegen.tiles import Amx, Plain

POINTERS = (
    "x", "w", "bias", "residual", "y", "work", "flags", "status", "laid",
    "row_places", "column_places", "outer_places", "slots", "slot_images", "shifts", "distances", "masks", "kept",
)  # fmt: skip
SIZES = (
    # Of a group: output channels, input channels, these with the outer taps of each, taps of the last two axes, terms.
    "channels", "inputs", "planes", "taps", "terms",
    # Groups, positions of the outer axes, taps of the outer axes, outputs and inputs along the last two axes.
    "groups", "outer", "outer_taps", "height", "width", "input_width",
    # Distances in elements, of x, y and residual: from image to image, channel to channel; of x from column to column.
    "x_image", "x_channel", "x_column", "y_image", "y_channel", "residual_image", "residual_channel",
    # Steps of the output, and positions added before the first column.
    "row_step", "column_step", "before",
    # The blocks of a task: rows, columns, channels, and how many of each there are.
    "rows", "columns", "block", "row_blocks", "column_blocks", "channel_blocks", "images", "batch",
    # Elements from the inputs of one image of a task to those of the next.
    "image_step",
    # Of copies under masks: words of masks of a run, elements from an output position's own input to the first tap's.
    "words", "origin",
    # Planes of a chunk, chunks, terms of a chain; rows and runs of a plane, lengths of a run and of a plane.
    "chunk", "chunks", "chain", "slot_count", "shift_count", "run", "plane",
    # Threads, and the room that each has, in elements; where in it the weights, the inputs of the last positions and
    # the unfinished sums begin; the distance between two rows of these.
    "threads", "room", "panel_at", "tail_at", "sums_at", "pitch",
    # Of planes that tasks share: pieces of a chunk, elements from chunk to chunk, the first block of positions, and
    # whether this is the phase that lays them out: 0 or 1.
    "pieces", "chunk_step", "first_block", "lays",
    # Whether rows are swept as one line, weights come in panels, and there is a residual: 0 or 1.
    "together", "packed", "has_residual",
)  # fmt: skip
# Activations of few instructions, which are repeated for every vector.
CHEAP = ("relu", "relu6", "leaky_relu", "hardtanh", "threshold")


@dataclass(frozen=True, slots=True)
class Task:
    """Where a task works: its output channels, the positions that it sweeps, its operands and its room.

    There are `stack` images one after the other, of `lines` lines; where images are swept together that is one. `rows`
    and `columns` are those of the block.
    """

    window: Window
    rows: Size
    columns: Size
    first: Size
    channels: Size
    stack: Size
    lines: Size
    length: Size
    y: Pointer
    residual: Pointer
    room: Pointer
    laid: Pointer


@dataclass(frozen=True, slots=True)
class Sweep:
    """A chunk of a task: which, its terms, and where they are read."""

    task: Task
    chunk: Size
    first_term: Size
    terms: Size
    inputs: Pointer
    bad: Register
    tiles: Amx | Plain | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A tile of sums: its first channel within the task, image, line, column, and the lanes that count (None: all)."""

    row: Size
    image: Size
    line: Size
    column: Size
    masks: list[Mask | None]


def product_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    numbers = ("fill", *(f"number_{i}" for i, word in enumerate(form.parameters) if word is None))
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES, numbers=numbers)
    flags = r.table("flags")
    totals = r.scratch(form.rows * form.vectors * r.lanes)
    bad = r.register(r.constant(0))
    slot = r.claim(flags, r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    tiles = tiled.tiles_of(r, form)
    with tiled.configured(tiles), r.tasks() as number, tasks_that_sweep(r, form, number):
        task = _task(r, form, number, room)
        with r.loop(r.size("chunks")) as chunk:
            sweep = replace(_sweep(r, form, task, chunk, bad), tiles=tiles)
            with r.loop((task.channels + (form.rows - 1)) // form.rows) as block:
                _channels(r, form, sweep, block * form.rows, totals)
        if form.merged:
            _part(r, form, task, totals)
    if r.element.kind == "f" and not form.unit:
        with r.when(r.any(bad.value.is_nan())):
            r.store(r.constant(1, INT64, 1), r.table("status"))
    r.give_back(flags, slot)
    return r.finish()


def _task(r: Routine, form: Form, number: Size, room: Pointer) -> Task:
    """Find out what task `number` is: blocks of channels vary first, then columns, rows, outer axes, groups, images."""
    planes = number // r.size("channel_blocks") * r.size("chunks") * r.size("chunk_step")
    number = number + r.size("first_block") * r.size("channel_blocks")
    digits, number = r.digits(number, ("channel_blocks", "column_blocks", "row_blocks", "outer", "groups"))
    block, column_block, row_block, outer, group = digits
    row, column = row_block * r.size("rows"), column_block * r.size("columns")
    rows = (r.size("height") - row).smaller(r.size("rows"))
    columns = (r.size("width") - column).smaller(r.size("columns"))
    first = group * r.size("channels") + block * r.size("block")
    place = (outer * r.size("height") + row) * r.size("width") + column
    number = number * r.size("images")
    images = (r.size("batch") - number).smaller(r.size("images"))
    together = r.size("together").equals(1)
    # A merged line has room for whole blocks of columns.
    positions = images * rows * r.size("columns") if form.merged else rows * columns
    y, residual = (
        r.pointer(word, ELEMENTS[form.result])
        + (number * r.size(f"{word}_image") + first * r.size(f"{word}_channel") + place)
        for word in ("y", "residual")
    )
    return Task(
        Window(number, images, group, outer, row, column, row_block * r.size("column_blocks") + column_block),
        rows,
        columns,
        first,
        (r.size("channels") - block * r.size("block")).smaller(r.size("block")),
        r.whole(1) if form.merged else images,
        r.choose(together, 1, rows),
        r.choose(together, positions, columns),
        y,
        residual,
        room,
        r.pointer("laid") + planes if form.shared else room,
    )


def _sweep(r: Routine, form: Form, task: Task, chunk: Size, bad: Register) -> Sweep:
    """Lay out the inputs of a chunk, unless they are read where they are, or were laid out before."""
    first = chunk * r.size("chunk")
    count = (r.size("planes") - first).smaller(r.size("chunk"))
    if form.in_place:
        channel = task.window.group * r.size("inputs") + first
        inputs = r.pointer("x") + (task.window.image * r.size("x_image") + channel * r.size("x_channel"))
        inputs = inputs + task.window.column
    else:
        inputs = task.laid + chunk * r.size("chunk_step") if form.shared else task.room
    if not form.in_place and not form.shared:
        with r.loop(task.stack) as i:
            window = replace(task.window, image=task.window.image + i)
            lay_out(r, form, window, first, count, inputs + i * r.size("image_step"))
    sweep = Sweep(task, chunk, first * r.size("taps"), count * r.size("taps"), inputs, bad)
    if form.narrow:
        _copy_tail(r, form, sweep)
    return sweep


def _channels(r: Routine, form: Form, sweep: Sweep, row: Size, totals: Pointer) -> None:
    """Add a chunk of terms to one tile's rows of channels, at all positions of the task."""
    task, width = sweep.task, form.vectors * r.lanes
    panel = panels.panel_of(r, form, sweep, row)
    length = task.length - form.narrow
    whole = length // width
    rest = length - whole * width
    with r.loop(task.stack) as image, r.loop(task.lines) as line:
        with r.loop(whole) as number:
            place = Place(row, image, line, number * width, [None] * form.vectors)
            _tile(r, form, sweep, place, panel, totals)
        for vectors in range(1, form.vectors + 1):
            with r.when(((rest + (r.lanes - 1)) // r.lanes).equals(vectors)):
                place = _edge(r, form, task, Place(row, image, line, whole * width, []), vectors)
                _tile(r, form, sweep, place, panel, totals)
        if form.narrow:
            _tail(r, form, sweep, Place(row, image, line, length, [r.first_lanes(form.narrow)]), panel, totals)


def _edge(r: Routine, form: Form, task: Task, place: Place, vectors: int) -> Place:
    """Return the place of the last tile of a line. Inputs in place are not read behind their end: it moves back."""
    if form.narrow:  # whole vectors
        return replace(place, masks=[None] * vectors)
    if not form.in_place:
        last = r.first_lanes(task.length - place.column - (vectors - 1) * r.lanes)
        return replace(place, masks=[None] * (vectors - 1) + [last])
    start = task.length - vectors * r.lanes
    steps = range(0, vectors * r.lanes, r.lanes)
    masks: list[Mask | None] = [
        r.lanes_from(place.column - start - step) & r.first_lanes(task.length - start - step) for step in steps
    ]
    return replace(place, column=start, masks=masks)


def _tile(r: Routine, form: Form, sweep: Sweep, place: Place, panel: Pointer, totals: Pointer) -> None:
    """Form the sums of one tile over a chunk, chain after chain, and deliver them."""
    if form.tiles:
        tiled.add_up(r, form, sweep, place, panel, totals)
        _deliver(r, form, sweep, place, totals)
        return
    vectors = len(place.masks)
    inputs = sweep.inputs + place.image * r.size("image_step") + place.line * r.size("run") + place.column
    with r.loop((sweep.terms + (r.size("chain") - 1)) // r.size("chain")) as chain:
        start = chain * r.size("chain")
        distances, weights = r.table("distances") + start, panel + start
        count = (sweep.terms - start).smaller(r.size("chain"))
        if form.skips:
            weights, (distances, count) = panel, _kept_terms(r, sweep, chain)
        sums = r.tile(form.rows, vectors)
        with r.loop(count) as k:
            under = inputs + r.entry(distances, 2 * k if form.skips else k)
            values = [r.load(under + v * r.lanes) for v in range(vectors)]
            for v in range(form.vectors if form.in_place else 0):  # the next tile's, which may come from far away
                r.prefetch(under + (form.vectors + v) * r.lanes)
            term = r.entry(distances, 2 * k + 1) if form.skips else k
            for m in range(form.rows):
                weight = r.broadcast(weights + term + m * form.panel)
                for v in range(vectors):
                    _add_products(r, form, sums[m][v], weight, values[v])
        places = [(totals + (m * vectors + v) * r.lanes, sums[m][v]) for m in range(form.rows) for v in range(vectors)]
        with r.when(chain.above(0)):
            for where, total in places:
                total.set(r.load(where) + total.value)
        for where, total in places:
            r.store(total.value, where)
    _deliver(r, form, sweep, place, totals)


def _kept_terms(r: Routine, sweep: Sweep, chain: Size) -> tuple[Pointer, Size]:
    """Return where the terms of a chain stand that a block keeps, each a distance and a number, and how many."""
    chains, terms = (sweep.task.window.kept(r, word) for word in ("chains", "terms"))
    first = r.entry(chains, chain)
    # Of a chunk that is not whole a chain may end before; every plane keeps as many terms.
    last = r.entry(chains, chain + 1).smaller(sweep.terms // r.size("taps") * r.entry(terms, 0))
    return terms + (first * 2 + 1), last - first


def _add_products(r: Routine, form: Form, total: Register, weights: Vector, inputs: Vector) -> None:
    """Add the products of numbers, or of the numbers in words."""
    if form.unit:
        total.set(dot(r, form.unit, total.value, *(weights, inputs)[:: -1 if form.turned else 1]))
    else:
        total.add_product(weights, inputs)


def _copy_tail(r: Routine, form: Form, sweep: Sweep) -> None:
    """Copy the inputs of the last positions, term by term, and zeros up to a whole vector."""
    task, whole = sweep.task, sweep.task.length - form.narrow
    rounded = (sweep.terms + (r.lanes - 1)) // r.lanes * r.lanes
    zero = r.constant(0, lanes=1)
    with r.loop(task.stack) as image:
        inputs = sweep.inputs + image * r.size("image_step") + whole
        goal = task.room + (r.size("tail_at") + image * (form.narrow * form.panel))
        with r.loop(sweep.terms) as k:
            under = inputs + r.entry(r.table("distances"), k)
            for position in range(form.narrow):
                r.store(r.load(under + position, lanes=1), goal + (position * form.panel + k))
        for position in range(form.narrow):
            with r.loop(rounded - sweep.terms) as k:
                r.store(zero, goal + (position * form.panel + sweep.terms + k))


def _tail(r: Routine, form: Form, sweep: Sweep, place: Place, panel: Pointer, totals: Pointer) -> None:
    """Form the sums of the last positions, the vector along the terms, and deliver them."""
    tail = sweep.task.room + (r.size("tail_at") + place.image * (form.narrow * form.panel))
    sums = r.tile(form.rows, form.narrow)
    with r.loop(sweep.terms, step=r.lanes) as k:
        values = [r.load(tail + (position * form.panel + k)) for position in range(form.narrow)]
        for m in range(form.rows):
            weights = r.load(panel + (m * form.panel + k))
            for position, value in enumerate(values):
                _add_products(r, form, sums[m][position], weights, value)
    for m in range(form.rows):
        total = r.sum(sums[m][0].value)
        for position in range(1, form.narrow):
            total = r.select(r.first_lanes(position), total, r.sum(sums[m][position].value))
        r.store(total, totals + m * r.lanes)
    _deliver(r, form, sweep, place, totals)


def _deliver(r: Routine, form: Form, sweep: Sweep, place: Place, totals: Pointer) -> None:
    """Add the sums of the chunks before; keep them for the next, or after the last write the result."""
    task, vectors = sweep.task, len(place.masks)
    each = r.size("rows") * r.size("columns")
    unfinished = task.room + (r.size("sums_at") + place.image * each + place.line * task.length + place.column)
    behind = place.line * r.size("width") + place.column
    residual = task.residual + (place.image * r.size("residual_image") + behind)
    y = task.y + (place.image * r.size("y_image") + behind)
    # Several images part when all chunks are done.
    last_chunk = r.whole(-1) if form.merged else r.size("chunks") - 1
    with r.loop((task.channels - place.row).smaller(form.rows)) as m:
        row = place.row + m
        lanes = [(totals + (m * vectors + v) * r.lanes, v * r.lanes, mask) for v, mask in enumerate(place.masks)]
        before = unfinished + row * r.size("pitch")
        with r.when(sweep.chunk.above(0)):
            for total, step, mask in lanes:
                r.store(r.load(before + step, mask) + r.load(total), total)
        with r.either(sweep.chunk.equals(last_chunk)) as (last, more):
            with last:
                other = residual + row * r.size("residual_channel")
                _finish(r, form, task.first + row, other, y + row * r.size("y_channel"), lanes)
            with more:
                for total, step, mask in lanes:
                    r.store(r.load(total), before + step, mask)


def _part(r: Routine, form: Form, task: Task, totals: Pointer) -> None:
    """Write the results of several images, or of a part of the columns, whose sums follow one another."""
    together = r.size("columns").equals(r.size("width"))
    # Whole images are lines; else rows are.
    rows = task.rows
    lines, length = r.choose(together, 1, rows), r.choose(together, rows * r.size("width"), task.columns)
    with r.loop(task.channels) as row, r.loop(task.window.images) as image, r.loop(lines) as line:
        begin = r.size("sums_at") + row * r.size("pitch") + (image * rows + line) * r.size("columns")
        behind = line * r.size("width")
        residual = task.residual + (row * r.size("residual_channel") + image * r.size("residual_image") + behind)
        y = task.y + (row * r.size("y_channel") + image * r.size("y_image") + behind)
        with r.loop(length, step=r.lanes) as i:
            r.store(r.load(task.room + (begin + i)), totals)
            _finish(r, form, task.first + row, residual + i, y + i, [(totals, 0, r.first_lanes(length - i))])


def _finish(
    r: Routine, form: Form, channel: Size, residual: Pointer, y: Pointer, lanes: list[tuple[Pointer, int, Mask | None]]
) -> None:
    """Write activation(sum + bias + residual), in the type of the result."""
    bias, alone = r.broadcast(r.pointer("bias") + channel), r.size("has_residual").equals(0)
    with r.when(~alone):
        for total, step, mask in lanes:
            other = r.convert(r.load(residual + step, mask), r.element)
            r.store(r.load(total) + bias + other, total)
    bias = r.select(alone, bias, r.constant(0))
    if form.activation and form.activation not in CHEAP:
        with r.loop(len(lanes)) as v:  # one copy of a long function, on sums that are near
            where = lanes[0][0] + v * r.lanes
            r.store(_active(r, form, r.load(where) + bias), where)
    for total, step, mask in lanes:
        value = r.load(total)
        if form.activation in (None, *CHEAP):
            value = _active(r, form, value + bias)
        r.store(r.convert(value, y.element or r.element), y + step, mask)


def _active(r: Routine, form: Form, value: Vector) -> Vector:
    if form.activation is None:
        return value
    parameters = [word or r.number(f"number_{i}") for i, word in enumerate(form.parameters)]
    return ACTIVATIONS[form.activation](r, value, *parameters)
