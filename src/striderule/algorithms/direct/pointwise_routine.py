"""The routine of single taps whose weights stand input by input, in the tile language; see `planning.pointwise`.

    y[n, m, q * stride] = sum over k of w[k, m] * x[n, k, q], and zeros between

A first phase copies the weights into panels, those of a tile's rows side by side. A task of the second one multiplies
the inputs of a block of positions with all its panels. They are read in place, or laid out before, where a block has
positions of several images. With a stride, rows of products are kept until they are whole, and written with the zeros
that are between them.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Condition, Pointer, Register, Routine, Size

POINTERS = ("w", "x", "y", "work", "flags", "panels")
SIZES = (
    # Output channels, terms, positions of an image and of all.
    "channels", "terms", "plane", "positions",
    # Distances in elements.
    "x_image", "x_channel", "y_image", "y_channel",
    # The cut: positions of a block, blocks of a task, tiles of a part, parts; terms of a chain; see `Pointwise`.
    "block", "blocks", "tiles", "parts", "chain",
    # Threads, the room of each, the distance of two planes in it, and where rows of products begin.
    "threads", "room", "pitch", "rows_at",
    # Of strides: inputs of a row, and rows of an image; steps of outputs, and outputs along the two axes.
    "width", "height", "row_step", "column_step", "output_height", "output_width",
    # Whether this is the phase that copies weights, and whether results are written past the caches: 0 or 1.
    "packs", "streams",
)  # fmt: skip
# Terms of a task of the first phase; planes between the one that is copied and that which is asked for.
PACKED, AHEAD = 32, 8
# Writing: positions as they are; every second column, zeros between; any other strides.
PLAIN, ZIPPED, APART = "plain", "zipped", "apart"


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target: `rows` by `vectors` stay in registers.

    `laid` tells that inputs are laid out, else they are read in place; `written` how results are.
    """

    element: str
    rows: int
    vectors: int
    laid: bool
    written: str

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"pointwise_{self.element}_{self.rows}x{self.vectors}_{'laid' if self.laid else 'read'}_{self.written}"


@dataclass(frozen=True, slots=True)
class Block:
    """Positions of a task: the first, counted over all images; its image and place there; how many.

    And where their inputs are, how far apart those of two terms, and where rows of products are kept.
    """

    first: Size
    image: Size
    place: Size
    count: Size
    inputs: Pointer
    step: Size
    rows: Pointer
    # Where the next block of this task is read from: what follows is asked for while this one is computed.
    following: Pointer


@dataclass(frozen=True, slots=True)
class Asked:
    """Lines that are asked for: that of the first tile, the distance from term to term, and whether there are any."""

    begin: Pointer
    step: Size
    used: Condition


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of sums: its first row, and its weights; its first position within the block; its vectors of these."""

    row: Size
    panel: Pointer
    column: Size
    vectors: int


def pointwise_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES)
    totals = r.scratch(form.rows * form.vectors * r.lanes)
    slot = r.claim(r.table("flags"), r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    with r.tasks() as number, r.either(r.size("packs").equals(1)) as (first, second):
        with first:
            _pack(r, form, number * PACKED)
        with second:
            _compute(r, form, number, room, totals)
    if form.written == PLAIN:
        with r.when(r.size("streams").equals(1)):
            r.settle()
    r.give_back(r.table("flags"), slot)
    return r.finish()


def _pack(r: Routine, form: Form, first: Size) -> None:
    """Copy some terms of all panels."""
    count = (r.size("terms") - first).smaller(PACKED)
    w, channels = r.pointer("w") + first * r.size("channels"), r.size("channels")
    whole = channels // form.rows
    with r.loop(whole) as tile, r.loop(count) as k:
        goal = r.pointer("panels") + (tile * r.size("terms") + first + k) * form.rows
        r.store(r.load(w + (k * channels + tile * form.rows), lanes=form.rows), goal)
    left = channels - whole * form.rows
    with r.when(left.above(0)), r.loop(count) as k:
        goal = r.pointer("panels") + (whole * r.size("terms") + first + k) * form.rows
        some = r.first_lanes(left, form.rows)
        r.store(r.load(w + (k * channels + whole * form.rows), some, form.rows), goal)


def _compute(r: Routine, form: Form, number: Size, room: Pointer, totals: Pointer) -> None:
    """Multiply the blocks of a task, one after the other, with its panels."""
    part, stretch = number % r.size("parts"), number // r.size("parts")
    first_tile = part * r.size("tiles")
    tiles = ((r.size("channels") + (form.rows - 1)) // form.rows - first_tile).smaller(r.size("tiles"))
    begin = stretch * r.size("blocks") * r.size("block")
    count = (r.size("positions") - begin).smaller(r.size("blocks") * r.size("block"))
    with r.loop((count + (r.size("block") - 1)) // r.size("block")) as turn:
        block = _block(r, form, begin + turn * r.size("block"), room)
        if form.laid:
            _lay_out(r, block)
        with r.loop(tiles) as tile:
            panel = r.pointer("panels") + (first_tile + tile) * r.size("terms") * form.rows
            asked = _asked(r, form, block, tile, tiles, panel + r.size("terms") * form.rows)
            _sweep(r, form, block, ((first_tile + tile) * form.rows, panel), asked, totals)


def _block(r: Routine, form: Form, first: Size, room: Pointer) -> Block:
    plane, following = r.size("plane"), (first + r.size("block")).smaller(r.size("positions") - 1)
    image, place = first // plane, first % plane
    after = r.pointer("x") + (following // plane * r.size("x_image") + following % plane)
    count, rows = (r.size("positions") - first).smaller(r.size("block")), room + r.size("rows_at")
    if form.laid:
        return Block(first, image, place, count, room, r.size("pitch"), rows, after)
    here = r.pointer("x") + (image * r.size("x_image") + place)
    return Block(first, image, place, count, here, r.size("x_channel"), rows, after)


def _asked(r: Routine, form: Form, block: Block, number: Size, tiles: Size, panel: Pointer) -> list[Asked]:
    """Return what sweep `number` of so many asks for: lines of the next block, which come from far away.

    Each of the first sweeps asks for a vector of every tile, or where there are few sweeps for several. What else might
    be asked for are the weights of the next sweep, in `panel`.
    """
    columns = [number + tiles * i for i in range(form.vectors)]
    used = [column.below(form.vectors) for column in columns]
    return [
        Asked(
            r.nearer(one, block.following + column * r.lanes, panel),
            r.choose(one, r.size("x_channel"), form.rows),
            one,
        )
        for column, one in zip(columns, used, strict=True)
    ]


def _lay_out(r: Routine, block: Block) -> None:
    """Copy the inputs of a block, term by term. Up to a vector behind the end of each run may be written, too."""
    plane = r.size("plane")
    images = (block.place + block.count + (plane - 1)) // plane
    with r.loop(r.size("terms")) as k:
        source, goal = r.pointer("x") + k * r.size("x_channel"), block.inputs + k * r.size("pitch")
        with r.loop(images) as i:
            start = (i * plane - block.place).larger(0)
            length = ((i + 1) * plane - block.place).smaller(block.count) - start
            here = source + ((block.image + i) * r.size("x_image") + (block.place + start - i * plane))
            whole = length // r.lanes * r.lanes
            with r.loop(whole, step=r.lanes) as q:
                r.prefetch(here + q + r.size("x_channel") * AHEAD)
                r.store(r.load(here + q), goal + (start + q))
            with r.when(length.above(whole)):
                r.store(r.load(here + whole, r.first_lanes(length - whole)), goal + (start + whole))


def _sweep(
    r: Routine, form: Form, block: Block, rows: tuple[Size, Pointer], asked: list[Asked], totals: Pointer
) -> None:
    """Form the sums of one tile's rows at all positions of a block, and write them."""
    width = form.vectors * r.lanes
    vectors = (block.count + (r.lanes - 1)) // r.lanes
    whole, rest = vectors // form.vectors, vectors % form.vectors

    def form_sums(column: Size, count: int) -> None:
        tile = Tile(*rows, column, count)
        sums = _sums(r, form, tile, block, asked, totals)
        if form.written == PLAIN:
            _write(r, form, block, tile, sums)
            return
        for m in range(form.rows):
            for v in range(count):
                r.store(sums[m][v].value, block.rows + (r.size("pitch") * m + column + v * r.lanes))

    with r.loop(whole) as turn:
        form_sums(turn * width, form.vectors)
    for count in range(1, form.vectors):
        with r.when(rest.equals(count)):
            form_sums(whole * width, count)
    if form.written != PLAIN:
        _spread(r, form, block, rows[0])


def _sums(
    r: Routine, form: Form, tile: Tile, block: Block, asked: list[Asked], totals: Pointer
) -> list[list[Register]]:
    """Return the sums of a tile, chain after chain."""
    sums = r.tile(form.rows, tile.vectors)
    places = [
        (totals + (m * tile.vectors + v) * r.lanes, sums[m][v]) for m in range(form.rows) for v in range(tile.vectors)
    ]
    chains = (r.size("terms") + (r.size("chain") - 1)) // r.size("chain")
    for _, total in places:
        total.set(r.constant(0))
    with r.loop(chains) as chain:
        first = chain * r.size("chain")
        with r.when(chain.above(1)):
            for where, total in places:
                total.set(r.load(where) + total.value)
        with r.when(chain.above(0)):
            for where, total in places:
                r.store(total.value, where)
                total.set(r.constant(0))
        inputs, weights = block.inputs + (first * block.step + tile.column), tile.panel + first * form.rows
        lines = [(one.begin + (first * one.step + r.choose(one.used, tile.column, 0)), one.step) for one in asked]
        with r.loop((r.size("terms") - first).smaller(r.size("chain"))) as k:
            here = inputs + k * block.step
            for line, step in lines:
                r.prefetch(line + k * step)
            values = [r.load(here + v * r.lanes) for v in range(tile.vectors)]
            for m in range(form.rows):
                weight = r.broadcast(weights + k * form.rows + m)
                for v in range(tile.vectors):
                    sums[m][v].add_product(weight, values[v])
    with r.when(chains.above(1)):
        for where, total in places:
            total.set(r.load(where) + total.value)
    return sums


def _write(r: Routine, form: Form, block: Block, tile: Tile, sums: list[list[Register]]) -> None:
    """Write a tile's sums: all of them to one image, or to that and the next."""
    plane = r.size("plane")
    position = block.first + tile.column
    image, place = position // plane, position % plane
    count = (block.count - tile.column).smaller(tile.vectors * r.lanes)
    rows = (r.size("channels") - tile.row).smaller(form.rows)
    y = r.pointer("y") + (image * r.size("y_image") + tile.row * r.size("y_channel") + place)
    inside = (plane - place).smaller(count)
    with r.either(inside.equals(tile.vectors * r.lanes) & rows.equals(form.rows)) as (simple, other):
        with simple, r.either(r.size("streams").equals(1)) as (far, near):
            for body, store in ((far, r.stream), (near, r.store)):
                with body:
                    for m in range(form.rows):
                        for v in range(tile.vectors):
                            store(sums[m][v].value, y + (r.size("y_channel") * m + v * r.lanes))
        with other:
            there = y + (r.size("y_image") - plane)
            steps = range(0, tile.vectors * r.lanes, r.lanes)
            masks = [(r.first_lanes(inside - s), r.lanes_from(inside - s) & r.first_lanes(count - s)) for s in steps]
            for m in range(form.rows):
                with r.when(rows.above(m)):
                    for v, (here, after) in enumerate(masks):
                        at = r.size("y_channel") * m + v * r.lanes
                        r.store(sums[m][v].value, y + at, here)
                        r.store(sums[m][v].value, there + at, after)


def _spread(r: Routine, form: Form, block: Block, row: Size) -> None:
    """Write the rows of a block with zeros between: the columns' here, and those of whole rows up to the next one."""
    width, length, height = r.size("width"), r.size("output_width"), r.size("height")
    first = block.first // width
    with r.loop((r.size("channels") - row).smaller(form.rows)) as m, r.loop(block.count // width) as i:
        values = block.rows + (m * r.size("pitch") + i * width)
        image, line = (first + i) // height, (first + i) % height
        top = line * r.size("row_step")
        bottom = r.choose((line + 1).below(height), top + r.size("row_step"), r.size("output_height"))
        goal = r.pointer("y") + (
            image * r.size("y_image") + (row + m) * r.size("y_channel") + top * r.size("output_width")
        )
        if form.written == ZIPPED:
            _zip(r, values, goal, width, length)
        else:
            _clear(r, goal, length)
            with r.loop(width) as j:
                r.store(r.load(values + j, lanes=1), goal + j * r.size("column_step"))
        _clear(r, goal + length, (bottom - top - 1) * length)


def _zip(r: Routine, values: Pointer, goal: Pointer, count: Size, length: Size) -> None:
    """Write numbers with a zero behind each, and zeros up to a length."""
    low = [lane for i in range(r.lanes // 2) for lane in (i, r.lanes + i)]
    high = [lane + r.lanes // 2 for lane in low]
    with r.loop(count, step=r.lanes) as j:
        some = r.load(values + j, r.first_lanes(count - j))
        for number, order in enumerate((low, high)):
            at = j * 2 + number * r.lanes
            r.store(r.shuffle(some, r.constant(0), order), goal + at, r.first_lanes(length - at))
    written = (count + (r.lanes - 1)) // r.lanes * (2 * r.lanes)
    _clear(r, goal + written, length - written)


def _clear(r: Routine, goal: Pointer, count: Size) -> None:
    with r.loop(count, step=r.lanes) as i:
        r.store(r.constant(0), goal + i, r.first_lanes(count - i))
