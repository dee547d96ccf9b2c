"""The routine of transposed convolution, in the tile language; `planning.spreading` says what it does and why.

    products[(o, t), i] = sum over c of w[c, o, t] * x[c, i]
    y[o, p] = activation(sum over the (i, t) that meet at p of products[(o, t), i] + bias[o] + residual[o, p])

The products of a task are formed like those of two matrices, with tiles of registers, and stay in the cache. They are
added up in rows: one for each remainder of the output column modulo the stride, in which the products of a tap lie side
by side as the inputs do. The rows are interleaved when they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size, Vector

POINTERS = (
    "x", "w", "bias", "residual", "y", "work", "flags",
    # Blocks of rows and of columns (`ROW_WORDS` and `COLUMN_WORDS` each); for each output row how many taps meet at it,
    # the first tap and its input; where the products of each tap of the last axis go; the pairs of outer axes: where
    # those of each output begin, and for each pair the distances to its input and to its tap.
    "row_blocks_at", "column_blocks_at", "row_taps", "column_taps", "pair_starts", "pairs",
)  # fmt: skip
SIZES = (
    # Of a group: output channels, input channels; taps of the last two axes, of the last one, of all.
    "channels", "inputs", "taps", "columns_of_taps", "all_taps",
    # Groups, images, positions of the outer axes, outputs along the last two axes.
    "groups", "images_in_all", "outer", "height", "width",
    # Distances in elements, of x, y and residual; of w from input channel to input channel.
    "x_image", "x_channel", "x_row", "x_column", "y_image", "y_channel", "residual_image", "residual_channel",
    "w_channel",
    # Distance of two taps that meet at a row, and of their inputs.
    "tap_step", "input_step",
    # Blocks of a task: channels, images, and how many blocks there are.
    "block", "images", "channel_blocks", "column_blocks", "row_blocks",
    # Terms of a chain; whether rows of inputs follow each other; tiles whose weights are copied together; taps of a row
    # that are added one after the other.
    "chunk", "collapsed", "tiles_together", "taps_together",
    # Threads, and the room that each has, in elements; in it the distances of planes, of rows of products and of sums,
    # where products, weights, sums and the finished line begin, and what comes before the sums; the last axis's stride.
    "threads", "room", "plane", "pitch", "sums_pitch",
    "products_at", "panel_at", "sums_at", "line_at", "margin", "stride",
    # Whether the weights come in panels, and whether there is a residual: 0 or 1.
    "packed", "has_residual",
)  # fmt: skip
ROW_WORDS, COLUMN_WORDS = 4, 6
# Strides whose remainders are interleaved by shuffles; those of others are stored one by one.
SHUFFLED = (1, 2, 4, 8)
# Activations of few instructions.
CHEAP = ("relu", "relu6", "leaky_relu", "hardtanh", "threshold")


@dataclass(frozen=True, slots=True)
class Spread:
    """All that the code of a routine depends on besides the target: everything else is told at run time.

    `element` is the arithmetic; `source`, `weights` and `result` are what stands in memory. `rows` of products by
    `vectors` of positions stay in registers. `stride` is that of the last axis if it is one of `SHUFFLED`, else 0;
    `dense` says that inputs stand side by side. `parameters` are those of the activation: a word, or None for a number
    that is told at run time.
    """

    element: str
    source: str
    weights: str
    result: str
    rows: int
    vectors: int
    stride: int
    dense: bool
    activation: str | None = None
    parameters: tuple[str | None, ...] = ()

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"spread_{self.element}_{self.rows}x{self.vectors}_{self.stride or 'any'}"


@dataclass(frozen=True, slots=True)
class Block:
    """Outputs of an axis: first and end; the inputs that reach them: first and how many."""

    first: Size
    end: Size
    start: Size
    count: Size


@dataclass(frozen=True, slots=True)
class Task:
    """What a task computes: its group, images, output channels, place on the outer axes, rows and columns; its room."""

    group: Size
    image: Size
    images: Size
    channel: Size
    channels: Size
    outer: Size
    rows: Block
    columns: Block
    # Where the sums of the first input begin among those of a remainder, and the outputs in a finished line.
    sums_from: Size
    line_from: Size
    first_pair: Size
    terms: Size
    block: Size
    room: Pointer


def spread_routine(form: Spread, target: Target) -> str:
    """Return the routine as LLVM IR."""
    numbers = tuple(f"number_{i}" for i, word in enumerate(form.parameters) if word is None)
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES, numbers=numbers)
    flags = r.table("flags")
    slot = r.claim(flags, r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    with r.tasks() as number:
        task = _task(r, number, room)
        chunk = r.size("chunk")
        with r.loop((task.terms + (chunk - 1)) // chunk) as turn:
            first = turn * chunk
            count = (task.terms - first).smaller(chunk)
            _lay_out(r, form, task, first, count)
            _multiply(r, form, task, turn, count)
        rows = task.rows.end - task.rows.first
        with r.loop(task.channels) as channel, r.loop(task.images) as image, r.loop(rows) as row:
            _add_up(r, task, channel, image, row)
            _write(r, form, task, channel, image, row)
    r.give_back(flags, slot)
    return r.finish()


def _task(r: Routine, number: Size, room: Pointer) -> Task:
    """Find out what task `number` is: blocks of channels vary first, then columns, rows, outer axes, groups, images."""
    digits = []
    for word in ("channel_blocks", "column_blocks", "row_blocks", "outer", "groups"):
        digits.append(number % r.size(word))
        number = number // r.size(word)
    block, column_block, row_block, outer, group = digits
    row_words = [r.entry(r.table("row_blocks_at"), row_block * ROW_WORDS + i) for i in range(ROW_WORDS)]
    column_words = [r.entry(r.table("column_blocks_at"), column_block * COLUMN_WORDS + i) for i in range(COLUMN_WORDS)]
    first_pair = r.entry(r.table("pair_starts"), outer)
    pairs = r.entry(r.table("pair_starts"), outer + 1) - first_pair
    channel, image = block * r.size("block"), number * r.size("images")
    return Task(
        group,
        image,
        (r.size("images_in_all") - image).smaller(r.size("images")),
        channel,
        (r.size("channels") - channel).smaller(r.size("block")),
        outer,
        Block(*row_words),
        Block(*column_words[:4]),
        *column_words[4:],
        first_pair,
        pairs * r.size("inputs"),
        block,
        room,
    )


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
    with r.loop(number) as i, r.loop(form.rows) as m:
        # Rows beyond the last repeat it, so that nothing outside is read; nobody adds them up.
        row = ((first + i) * form.rows + m).smaller(rows - 1)
        channel, tap = row // r.size("taps"), row % r.size("taps")
        source = r.pointer("w", ELEMENTS[form.weights]) + (
            (task.channel + channel) * r.size("all_taps") + tap + task.group * r.size("inputs") * r.size("w_channel")
        )
        goal = room + (i * (r.size("chunk") * form.rows) + m)
        with r.loop(count) as k:
            pair, c = (first_term + k) // r.size("inputs"), (first_term + k) % r.size("inputs")
            tap_at = r.entry(r.table("pairs"), (task.first_pair + pair) * 2 + 1)
            value = r.load(source + (c * r.size("w_channel") + tap_at), lanes=1)
            r.store(r.convert(value, r.element), goal + k * form.rows)


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


# Outputs --------------------------------------------------------------------------------------------------------------


def _add_up(r: Routine, task: Task, channel: Size, image: Size, row: Size) -> None:
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


def _write(r: Routine, form: Spread, task: Task, channel: Size, image: Size, row: Size) -> None:
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
