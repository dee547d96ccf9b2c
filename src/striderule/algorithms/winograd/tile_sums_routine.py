"""The routine of a weight's gradient of transformed tiles, in the tile language; `planning.tile_sums` says why.

    gw[o, c] = A' (sum over tiles of (G g G') * (B' x B)) A

Both transforms are applied first down the rows, which takes two rows of inputs for each of the four rows of points, and
then across, to vectors of tiles that lie beside each other. Input channels are read one by one where they are
multiplied, so V is v[column point, channel, tile]; output channels are the lanes, so U is u[column point, tile,
output], for which the output gradients of some channels are collected and then turned.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.winograd.structure import OUTSIDE, applied
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, FLOAT64, INT64, Pointer, Register, Routine, Size, Vector
from striderule.planning.cooktoom import program
from striderule.planning.tile_sums import TAPS, TILE, transform

# Points along an axis.
SIDE = TILE + TAPS - 1
POINTERS = ("x", "gy", "gw", "work", "flags", "status", "planes", "row_points", "input_bits", "output_bits")
SIZES = (
    # Of a group: output channels, input channels; groups, planes of output gradients, those of inputs that one meets.
    "outputs", "inputs", "groups", "plane_count", "met",
    # Rows and columns of tiles, of inputs, of outputs; positions before the first.
    "tile_rows", "tile_columns", "input_height", "input_width", "height", "width", "top", "left",
    # Distances in elements; columns of both stand side by side.
    "x_channel", "x_row", "gy_channel", "gy_row",
    # The cut: see `TileSums`.
    "output_blocks", "panels", "channels", "channel_blocks", "images", "lines", "columns", "line_bands", "column_bands",
    "bands", "chain", "chunk", "part",
    # Threads, and the room of each in elements; where in it things begin, and the distances of two tiles, and points.
    "threads", "room", "collected_at", "u_at", "v_at", "sums_at", "totals_at", "found_at", "pitch", "u_point",
    "u_panel", "v_point",
    # The sums of a panel of a point, those of a point, and the elements of a part's result.
    "panel_sums", "point_sums", "whole",
)  # fmt: skip
# What `row_points` says of each row of points: the rows of a tile that are added up, and the factors that they get.
ENTRIES = 2 * 4


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target: the registers."""

    rows: int
    vectors: int

    @property
    def name(self) -> str:
        """A name that tells all of it."""
        return f"winograd_weight_sums_{self.rows}x{self.vectors}"


def row_points() -> list[int]:
    """Return the table: for each row of points two rows of x with factors, then two of gy.

    >>> row_points()[:8]
    [0, -1, 2, 1, 0, 1, 1, 0]
    """
    _, g, bt = transform()
    found: list[int] = []
    for inputs, outputs in zip(bt, g, strict=True):
        first, second = (i for i, number in enumerate(inputs) if number)
        found += [first, int(inputs[first]), second, int(inputs[second]), 0, int(outputs[0]), 1, int(outputs[1])]
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """What a task works on: its first input and output channel, counted over all groups, how many, and its room.

    `met` is which of the planes of inputs that an output gradient meets.
    """

    met: Size
    channel: Size
    channels: Size
    output: Size
    outputs: Size
    panels: Size
    room: Pointer


@dataclass(frozen=True, slots=True)
class Band:
    """Some tiles of a task: images (planes), rows and columns of tiles, from the first on."""

    image: Size
    images: Size
    line: Size
    lines: Size
    column: Size
    columns: Size

    @property
    def tiles(self) -> Size:
        """How many they are."""
        return self.images * self.lines * self.columns


def tile_sums_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.name, target, FLOAT32, pointers=POINTERS, sizes=SIZES)
    slot = r.claim(r.table("flags"), r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    bad, largest = r.register(r.constant(0)), r.register(r.constant(0))
    with r.tasks() as number:
        (block, met, output_block, group), part = r.digits(number, ("channel_blocks", "met", "output_blocks", "groups"))
        channel = block * r.size("channels")
        width = form.vectors * r.lanes
        output = output_block * r.size("panels") * width
        outputs = r.size("outputs") - output
        place = Place(
            met, group * r.size("inputs") + channel, (r.size("inputs") - channel).smaller(r.size("channels")),
            group * r.size("outputs") + output, outputs,
            ((outputs + (width - 1)) // width).smaller(r.size("panels")), room,
        )  # fmt: skip
        _clear(r, (room + r.size("totals_at")).of(FLOAT64), SIDE * r.size("point_sums") * SIDE)
        first = part * r.size("part")
        bands = (r.size("bands") - first).smaller(r.size("part"))
        with r.loop((bands + (r.size("chunk") - 1)) // r.size("chunk")) as chunk, r.loop(SIDE) as row:
            _clear(r, room + r.size("sums_at"), SIDE * r.size("point_sums"))
            done = chunk * r.size("chunk")
            with r.loop((bands - done).smaller(r.size("chunk"))) as turn:
                band = _band(r, first + done + turn)
                _collect(r, form, band, place, row)
                _turn(r, form, band, place)
                _lay_out(r, band, place, row)
                _multiply(r, form, band, place)
            _join(r, room, row)
        _finish(r, form, place, bad, largest)
        outputs = met * r.size("groups") * r.size("outputs") + place.output
        goal = r.pointer("gw") + (part * r.size("whole") + (outputs * r.size("inputs") + channel) * TAPS**2)
        _write(r, form, place, goal)
    with r.when(r.any(bad.value.is_nan())):
        r.store(r.constant(1, INT64, 1), r.table("status"))
    with r.when(r.any(largest.value.greater(LEAST))):
        r.store(r.constant(1, INT64, 1), r.table("status") + 1)
    r.give_back(r.table("flags"), slot)
    return r.finish()


# Results of which none is larger may have lost digits of products to underflow.
LEAST = 2.0**-70


def _band(r: Routine, number: Size) -> Band:
    """Find out which tiles a band has: columns vary first, then lines, images."""
    (column_band, line_band), images = r.digits(number, ("column_bands", "line_bands"))
    image, line, column = images * r.size("images"), line_band * r.size("lines"), column_band * r.size("columns")
    return Band(
        image, (r.size("plane_count") - image).smaller(r.size("images")),
        line, (r.size("tile_rows") - line).smaller(r.size("lines")),
        column, (r.size("tile_columns") - column).smaller(r.size("columns")),
    )  # fmt: skip


def _clear(r: Routine, where: Pointer, count: Size) -> None:
    zero = r.constant(0, where.element)
    with r.loop(count, step=r.lanes) as i:
        r.store(zero, where + i)


# Transforms ----------------------------------------------------------------------------------------------------------


def _plane(r: Routine, image: Size, word: Size | int) -> Size:
    """Return where the plane of output gradients begins (word 0), or one of inputs that it meets, or `OUTSIDE`."""
    return r.entry(r.table("planes"), image * (r.size("met") + 1) + word)


def _rows(
    r: Routine, start: Pointer, step: Size, line: Size, count: Size, entries: Size
) -> list[tuple[Pointer, Vector]]:
    """Return the two rows that a row of points takes, from `line` on, with their factors; 0 outside of `count` rows."""
    found = []
    for k in range(2):
        row = line + r.entry(r.table("row_points"), entries + 2 * k)
        inside = row.larger(0).smaller(count - 1)
        factor = r.choose(inside.equals(row), r.entry(r.table("row_points"), entries + (2 * k + 1)), 0)
        found.append((start + inside * step, r.spread(factor, FLOAT32)))
    return found


def _combined(r: Routine, rows: list[tuple[Pointer, Vector]], away: Size, bits: Size, numbers: range) -> list[Vector]:
    """Return vectors of the rows with their factors added up, which begin at `numbers` behind a place of both rows.

    `bits` tells which numbers there are; the others are zeros.
    """
    found = []
    for n in numbers:
        mask = r.lanes_of(bits, n)
        (first, one), (second, other) = [(r.load(start + (away + n), mask), factor) for start, factor in rows]
        found.append(r.multiply_add(second, other, first * one))
    return found


def _pairs(r: Routine, low: Vector, high: Vector) -> list[Vector]:
    """Return the even and the odd numbers of two vectors."""
    return [r.shuffle(low, high, range(n, 2 * r.lanes, 2)) for n in range(2)]


def _lay_out(r: Routine, band: Band, place: Place, row: Size) -> None:
    """Transform the inputs of a band for one row of points. Up to a vector of tiles behind the last is written."""
    steps = program(transform()[2])
    source = r.pointer("x") + place.channel * r.size("x_channel")
    with r.loop(band.images) as image, r.loop(band.lines) as line:
        plane = _plane(r, band.image + image, place.met + 1)
        outside = plane.equals(OUTSIDE)
        top = (band.line + line) * TILE - r.size("top")
        start = source + r.choose(outside, 0, plane)
        rows = _rows(r, start, r.size("x_row"), top, r.size("input_height"), row * ENTRIES)
        there = place.room + (r.size("v_at") + (image * band.lines + line) * band.columns)
        with r.loop(band.columns, step=r.lanes) as tile:
            column = band.column + tile
            bits = r.choose(outside, 0, r.entry(r.table("input_bits"), column))
            begin, goal = column * TILE - r.size("left"), there + tile
            with r.loop(place.channels) as c:
                numbers = range(0, 3 * r.lanes, r.lanes)
                low, high, last = _combined(r, rows, begin + c * r.size("x_channel"), bits, numbers)
                here = _pairs(r, low, high)
                # Those of the tiles that follow: the last tile's are the first numbers behind.
                after = [r.shuffle(one, last, [*range(1, r.lanes), r.lanes + n]) for n, one in enumerate(here)]
                for point, value in enumerate(applied(r, steps, [*here, *after])):
                    r.store(value, goal + (c * r.size("pitch") + r.size("v_point") * point))


def _collect(r: Routine, form: Form, band: Band, place: Place, row: Size) -> None:
    """Combine the rows of output gradients for one row of points, and set even and odd columns apart.

    Channels beyond the last repeat it, so that nothing outside is read; their sums are not written.
    """
    source = r.pointer("gy") + place.output * r.size("gy_channel")
    with r.loop(band.images) as image, r.loop(band.lines) as line:
        start, top = source + _plane(r, band.image + image, 0), (band.line + line) * TILE
        rows = _rows(r, start, r.size("gy_row"), top, r.size("height"), row * ENTRIES + 4)
        there = place.room + (r.size("collected_at") + (image * band.lines + line) * band.columns)
        with r.loop(band.columns, step=r.lanes) as tile:
            column = band.column + tile
            bits = r.entry(r.table("output_bits"), column)
            with r.loop(place.panels * (form.vectors * r.lanes)) as o:
                away = column * TILE + (place.outputs - 1).smaller(o) * r.size("gy_channel")
                pair = _combined(r, rows, away, bits, range(0, 2 * r.lanes, r.lanes))
                for n, values in enumerate(_pairs(r, *pair)):
                    r.store(values, there + (tile + (o * TILE + n) * r.size("pitch")))


def _turn(r: Routine, form: Form, band: Band, place: Place) -> None:
    """Turn what was collected, and transform it across. Up to a vector of tiles behind the last is written."""
    steps, width = program(transform()[1]), form.vectors * r.lanes
    with r.loop(place.panels * form.vectors) as vector, r.loop(band.tiles, step=r.lanes) as tile:
        here = place.room + (r.size("collected_at") + vector * (r.lanes * TILE * r.size("pitch")) + tile)
        columns = [
            r.transpose([r.load(here + (lane * TILE + n) * r.size("pitch")) for lane in range(r.lanes)])
            for n in range(TILE)
        ]
        panel, within = vector // form.vectors, vector % form.vectors
        goal = place.room + (r.size("u_at") + panel * r.size("u_panel") + tile * width + within * r.lanes)
        for lane in range(r.lanes):
            for point, value in enumerate(applied(r, steps, [column[lane] for column in columns])):
                r.store(value, goal + (lane * width + r.size("u_point") * point))


# Products ------------------------------------------------------------------------------------------------------------


def _multiply(r: Routine, form: Form, band: Band, place: Place) -> None:
    """Add the products of a band to the sums: sums[column point, panel, channel, output]."""
    tiles, width = band.tiles, form.vectors * r.lanes
    chains = (tiles + (r.size("chain") - 1)) // r.size("chain")
    with r.loop(SIDE) as point, r.loop(place.panels) as panel:
        u = place.room + (r.size("u_at") + point * r.size("u_point") + panel * r.size("u_panel"))
        v = place.room + (r.size("v_at") + point * r.size("v_point"))
        sums_at = r.size("sums_at") + point * r.size("point_sums") + panel * r.size("panel_sums")
        with r.loop((place.channels + (form.rows - 1)) // form.rows) as group:
            # Channels beyond the last repeat it; their sums are not written.
            numbers = [(place.channels - 1).smaller(group * form.rows + m) for m in range(form.rows)]
            rows = [v + number * r.size("pitch") for number in numbers]
            goal = place.room + (sums_at + group * (form.rows * width))
            with r.loop(chains) as chain:
                first = chain * r.size("chain")
                sums = r.tile(form.rows, form.vectors)
                with r.loop((tiles - first).smaller(r.size("chain"))) as k:
                    there = u + (first + k) * width
                    values = [r.load(there + n * r.lanes) for n in range(form.vectors)]
                    for m in range(form.rows):
                        number = r.broadcast(rows[m] + (first + k))
                        for n in range(form.vectors):
                            sums[m][n].add_product(number, values[n])
                for m in range(form.rows):
                    for n in range(form.vectors):
                        total = goal + (m * width + n * r.lanes)
                        r.store(r.load(total) + sums[m][n].value, total)


def _join(r: Routine, room: Pointer, row: Size) -> None:
    """Add the sums of a chunk to the totals of a row of points."""
    count = SIDE * r.size("point_sums")
    totals, sums = (room + r.size("totals_at")).of(FLOAT64) + row * count, room + r.size("sums_at")
    with r.loop(count, step=r.lanes) as i:
        r.store(r.load(totals + i) + r.convert(r.load(sums + i), FLOAT64), totals + i)


# The end -------------------------------------------------------------------------------------------------------------


def _finish(r: Routine, form: Form, place: Place, bad: Register, largest: Register) -> None:
    """Transform the totals back: found[panel, term, output]; terms are input channels and their taps."""
    steps, width = program(transform()[0]), form.vectors * r.lanes
    totals = (place.room + r.size("totals_at")).of(FLOAT64)
    zero = r.constant(0)
    with r.loop(place.panels) as panel, r.loop(place.channels) as c:
        goal = place.room + (r.size("found_at") + panel * r.size("panel_sums") * TAPS**2 + c * (TAPS**2 * width))
        for n in range(form.vectors):
            start = totals + (panel * r.size("panel_sums") + c * width + n * r.lanes)
            rows = [
                applied(r, steps, [r.load(start + (i * SIDE + k) * r.size("point_sums")) for k in range(SIDE)])
                for i in range(SIDE)
            ]
            columns = [applied(r, steps, list(column)) for column in zip(*rows, strict=True)]
            for b, column in enumerate(columns):
                for a, exact in enumerate(column):
                    value = r.convert(exact, FLOAT32)
                    bad.set(r.multiply_add(value, zero, bad.value))
                    largest.set(r.maximum(largest.value, r.absolute(value)))
                    r.store(value, goal + ((a * TAPS + b) * width + n * r.lanes))


def _write(r: Routine, form: Form, place: Place, goal: Pointer) -> None:
    """Write the results of a plane that is met: terms follow each other, outputs are those of all channels apart."""
    width, terms = form.vectors * r.lanes, place.channels * TAPS**2
    step = r.size("inputs") * TAPS**2
    with r.loop(place.panels) as panel, r.loop(terms, step=r.lanes) as k:
        found = place.room + (r.size("found_at") + panel * r.size("panel_sums") * TAPS**2 + k * width)
        for n in range(form.vectors):
            rows = [r.load(found + (lane * width + n * r.lanes)) for lane in range(r.lanes)]
            for lane, row in enumerate(r.transpose(rows)):
                output = panel * width + (n * r.lanes + lane)
                count = r.choose(place.outputs.above(output), terms - k, 0)
                r.store(row, goal + (output * step + k), r.first_lanes(count))
