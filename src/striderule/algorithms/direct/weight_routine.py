"""The routine of a weight's gradient, in the tile language; `planning.weight_sums` says what it does and why.

    gw[o, k] = sum over positions q of gy[o, q] * x[q's own place + distance[k]]

k runs over the input channels of a block and the taps, q over images and output positions, o over the lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT64, Pointer, Register, Routine, Size
from striderule.planning.weight_sums import CHAINS

POINTERS = (
    "x", "gy", "gw", "work", "flags", "status",
    # Distances of the terms of a block; for each outer position and outer tap where its plane of x begins, or NOWHERE;
    # for each outer position where its plane of gy does.
    "distances", "outer_places", "gradient_places",
)  # fmt: skip
SIZES = (
    # Of a group: output channels, input channels; taps, terms of one output; groups and images.
    "outputs", "inputs", "taps", "terms", "groups", "batch",
    # Outputs along the last two axes, positions and taps of the outer ones.
    "height", "width", "outer", "outer_taps",
    # Distances in elements.
    "x_image", "x_channel", "x_row", "x_column", "gy_image", "gy_channel", "gy_row", "gy_column",
    # Steps of the last two axes, and positions added before them; inputs along them, and the kernel's extents.
    "row_step", "column_step", "top", "left", "input_height", "input_width", "row_extent", "column_extent",
    # The cut: see `WeightSums`; bands of a part.
    "output_blocks", "panels", "channels", "channel_blocks", "images", "lines", "columns", "line_bands", "column_bands",
    "bands", "parts", "part",
    # Threads, and the room of each, in elements; where in it the planes, the sums of some bands and those of all begin;
    # in a plane the distance of two rows, and of two planes; of two panels, and of the sums of two.
    "threads", "room", "planes_at", "sums_at", "totals_at", "pitch", "plane", "panel_size", "sums_size",
    # Elements of a part's result; whether rows of gy, and of x, follow each other in memory.
    "whole", "joined", "x_joined",
)  # fmt: skip

# Where there is no plane: distances may be negative.
NOWHERE = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target.

    `laid` tells that inputs are laid out with their padding, else they are read in place; `dense` that columns of x
    stand side by side. `across` says what stands side by side in gy: "positions", "channels" or "nothing". `turned`
    tells that x and gy have changed places, so that outputs, not terms, follow each other in the result.
    """

    element: str
    rows: int
    vectors: int
    laid: bool
    dense: bool
    across: str
    turned: bool = False

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"weight_sums_{self.element}_{self.rows}x{self.vectors}_{self._how}_{self.across}"

    @property
    def _how(self) -> str:
        return "laid" if self.laid else "turned" if self.turned else "read"


@dataclass(frozen=True, slots=True)
class Band:
    """Some positions of a task: images, outer position, lines and columns, from the first on; and their inputs."""

    image: Size
    images: Size
    outer: Size
    line: Size
    lines: Size
    column: Size
    columns: Size


def weight_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES)
    bad = r.register(r.constant(0))
    slot = r.claim(r.table("flags"), r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    with r.tasks() as number:
        digits, part = r.digits(number, ("channel_blocks", "output_blocks", "groups"))
        block, output_block, group = digits
        first_channel = block * r.size("channels")
        channels = (r.size("inputs") - first_channel).smaller(r.size("channels"))
        width = form.vectors * r.lanes
        output = output_block * r.size("panels") * width
        outputs = r.size("outputs") - output
        panels = ((outputs + (width - 1)) // width).smaller(r.size("panels"))
        first_band = part * r.size("part")
        bands = (r.size("bands") - first_band).smaller(r.size("part"))
        _clear(r, room + r.size("sums_at"))
        _clear(r, room + r.size("totals_at"))
        with r.loop(bands) as turn:
            band = _band(r, first_band + turn)
            with r.loop(panels) as panel:
                first = output + panel * width
                _panel(r, form, band, group, first, room + panel * r.size("panel_size"), bad)
            x = r.pointer("x") + (group * r.size("inputs") + first_channel) * r.size("x_channel")
            if form.laid:
                _lay_out(r, form, band, x, channels, room)
            following = _band(r, (first_band + turn + 1).smaller(r.size("bands") - 1))
            with r.loop(panels) as panel:
                ahead = _gradients(r, following, group, output + panel * width)
                _multiply(r, form, band, x, channels * r.size("taps"), room, panel, ahead)
            full = ((turn + 1) % CHAINS).equals(0) | (turn + 1).equals(bands)
            with r.when(full):
                _join(r, room)
        goal = r.pointer("gw") + part * r.size("whole")
        output_step = r.whole(1) if form.turned else r.size("terms")
        term_step = r.size("outputs") if form.turned else r.whole(1)
        goal = goal + ((group * r.size("outputs") + output) * output_step + first_channel * r.size("taps") * term_step)
        with r.loop(panels) as panel:
            totals = room + (r.size("totals_at") + panel * r.size("sums_size"))
            there = goal + panel * width * output_step
            write = _write_turned if form.turned else _write
            write(r, form, totals, there, outputs - panel * width, channels * r.size("taps"))
    if form.laid:
        with r.when(r.any(bad.value.is_nan())):
            r.store(r.constant(1, INT64, 1), r.table("status"))
    r.give_back(r.table("flags"), slot)
    return r.finish()


def _band(r: Routine, number: Size) -> Band:
    """Find out which positions a band has: columns vary first, then lines, outer positions, images."""
    (column_band, line_band, outer), images = r.digits(number, ("column_bands", "line_bands", "outer"))
    image, line, column = images * r.size("images"), line_band * r.size("lines"), column_band * r.size("columns")
    return Band(
        image, (r.size("batch") - image).smaller(r.size("images")),
        outer,
        line, (r.size("height") - line).smaller(r.size("lines")),
        column, (r.size("width") - column).smaller(r.size("columns")),
    )  # fmt: skip


def _clear(r: Routine, sums: Pointer) -> None:
    zero = r.constant(0)
    with r.loop(r.size("panels") * r.size("sums_size"), step=r.lanes) as i:
        r.store(zero, sums + i)


# Output gradients: position after position, the channels of a block side by side -------------------------------------


def _gradients(r: Routine, band: Band, group: Size, output: Size) -> Pointer:
    """Return where the output gradients of a band begin."""
    return r.pointer("gy") + (
        band.image * r.size("gy_image")
        + (group * r.size("outputs") + output) * r.size("gy_channel")
        + r.entry(r.table("gradient_places"), band.outer)
        + band.line * r.size("gy_row")
        + band.column * r.size("gy_column")
    )


def _panel(r: Routine, form: Form, band: Band, group: Size, output: Size, panel: Pointer, bad: Register) -> None:
    """Lay the output gradients of a band out."""
    width = form.vectors * r.lanes
    gy = _gradients(r, band, group, output)
    joined = r.size("joined").equals(1)
    runs = r.choose(joined, 1, band.lines)
    length = r.choose(joined, band.lines * band.columns, band.columns)
    left = r.size("outputs") - output
    with r.loop(band.images) as image, r.loop(runs) as run:
        source = gy + (image * r.size("gy_image") + run * r.size("gy_row"))
        goal = panel + (image * (band.lines * band.columns) + run * length) * width
        if form.across == "positions":
            _turn(r, form, source, goal, length, left, bad)
        else:
            _gather(r, form, source, goal, length, left, bad)


def _gather(r: Routine, form: Form, source: Pointer, goal: Pointer, length: Size, left: Size, bad: Register) -> None:
    """Copy the channels of one position after the other."""
    with r.loop(length) as q:
        for v in range(form.vectors):
            here = source + (q * r.size("gy_column") + r.size("gy_channel") * (v * r.lanes))
            few = left - v * r.lanes
            if form.across == "channels":
                values = r.load(here, r.first_lanes(few))
            else:
                values = r.gather(here, r.size("gy_channel"), few)
            _look(r, form, values, bad)
            r.store(values, goal + (q * (form.vectors * r.lanes) + v * r.lanes))


def _turn(r: Routine, form: Form, source: Pointer, goal: Pointer, length: Size, left: Size, bad: Register) -> None:
    """Turn rows of positions into columns. Up to a vector of positions behind the last may be written."""
    width = form.vectors * r.lanes
    with r.loop(length, step=r.lanes) as q:
        here = r.first_lanes(length - q)
        for v in range(form.vectors):
            rows = []
            for lane in range(r.lanes):
                # Channels beyond the last repeat it, so that nothing outside is read; their sums are not written.
                channel = (left - 1).smaller(v * r.lanes + lane)
                rows.append(r.load(source + (channel * r.size("gy_channel") + q), here))
                _look(r, form, rows[-1], bad)
            for lane, column in enumerate(r.transpose(rows)):
                r.store(column, goal + ((q + lane) * width + v * r.lanes))


def _look(r: Routine, form: Form, values: object, bad: Register) -> None:
    """Leave NaN in `bad` where a value is no number, or infinite: on padding it must contribute nothing."""
    if form.laid:
        bad.set(r.multiply_add(values, r.constant(0), bad.value))  # type: ignore[arg-type]


# Inputs: rows with their padding --------------------------------------------------------------------------------------


def _lay_out(r: Routine, form: Form, band: Band, x: Pointer, channels: Size, room: Pointer) -> None:
    """Copy the inputs that a band meets, plane by plane, with zeros around them."""
    rows = (band.lines - 1) * r.size("row_step") + r.size("row_extent")
    count = (band.columns - 1) * r.size("column_step") + r.size("column_extent")
    first_row = band.line * r.size("row_step") - r.size("top")
    start = band.column * r.size("column_step") - r.size("left")
    before = (0 - start).larger(0).smaller(count)
    inside = ((start + count).smaller(r.size("input_width")) - start - before).larger(0)
    planes = room + r.size("planes_at")
    each = r.size("channels") * r.size("outer_taps") * r.size("plane")
    zero = r.constant(0)
    with r.loop(band.images) as image, r.loop(channels) as c, r.loop(r.size("outer_taps")) as tap:
        place = r.entry(r.table("outer_places"), band.outer * r.size("outer_taps") + tap)
        source = x + ((band.image + image) * r.size("x_image") + c * r.size("x_channel") + place)
        goal = planes + (image * each + (c * r.size("outer_taps") + tap) * r.size("plane"))
        with r.loop(rows) as i:
            row, line = first_row + i, goal + i * r.size("pitch")
            there = place.above(NOWHERE) & row.above(-1) & row.below(r.size("input_height"))
            with r.either(there) as (copied, empty):
                with copied:
                    here = source + (row * r.size("x_row") + (start + before) * r.size("x_column"))
                    with r.loop(before, step=r.lanes) as k:
                        r.store(zero, line + k, r.first_lanes(before - k))
                    _copy(r, form, here, line + before, inside)
                    with r.loop(count - before - inside, step=r.lanes) as k:
                        r.store(zero, line + (before + inside + k), r.first_lanes(count - before - inside - k))
                with empty, r.loop(count, step=r.lanes) as k:
                    r.store(zero, line + k, r.first_lanes(count - k))


def _copy(r: Routine, form: Form, source: Pointer, goal: Pointer, count: Size) -> None:
    with r.loop(count, step=r.lanes) as k:
        here = r.first_lanes(count - k)
        if form.dense:
            r.store(r.load(source + k, here), goal + k, here)
        else:
            step = r.size("x_column")
            r.store(r.gather(source + k * step, step, count - k), goal + k, here)


# Products -------------------------------------------------------------------------------------------------------------


def _multiply(
    r: Routine, form: Form, band: Band, x: Pointer, terms: Size, room: Pointer, panel: Size, ahead: Pointer
) -> None:
    """Add a band to the sums of all terms of the task with the outputs of a panel, a tile of terms at a time.

    Beside the products, ask for the output gradients of the band that follows, `ahead`: a line of 16 channels for each
    of as many positions. They are short rows of many planes, which nothing foresees.
    """
    width = form.vectors * r.lanes
    if form.laid:
        source = room + r.size("planes_at")
        image_step = r.size("channels") * r.size("outer_taps") * r.size("plane")
        row_step, column_step = r.size("row_step") * r.size("pitch"), r.size("column_step")
    else:
        place = r.entry(r.table("outer_places"), band.outer * r.size("outer_taps"))
        source = x + (
            band.image * r.size("x_image")
            + place
            + (band.line * r.size("row_step") - r.size("top")) * r.size("x_row")
            + (band.column * r.size("column_step") - r.size("left")) * r.size("x_column")
        )
        image_step = r.size("x_image")
        row_step, column_step = r.size("row_step") * r.size("x_row"), r.size("column_step") * r.size("x_column")
    lines, columns = band.lines, band.columns
    if not form.laid:
        joined = r.size("x_joined").equals(1)
        lines, columns = r.choose(joined, 1, lines), r.choose(joined, lines * columns, columns)
    panels, sums_at = room + panel * r.size("panel_size"), r.size("sums_at") + panel * r.size("sums_size")
    with r.loop((terms + (form.rows - 1)) // form.rows) as tile:
        away = _distances(r, form, tile, terms)
        sums = r.tile(form.rows, form.vectors)
        with r.loop(band.images) as image, r.loop(lines) as line:
            begin = source + (image * image_step + line * row_step)
            if not form.laid:
                with r.when(panel.equals(0) & r.size("x_column").equals(1)):
                    _ask(r, begin, _distances(r, form, tile + 1, terms), columns * column_step)
            inputs = [begin + distance for distance in away]
            gradients = panels + (image * lines + line) * columns * width
            first = tile % form.vectors * r.lanes * r.size("gy_channel")
            asked = ahead + (image * r.size("gy_image") + line * r.size("gy_row") + first)
            with r.loop(columns) as q:
                if form.across == "positions":
                    lane = q % r.lanes
                    r.prefetch(asked + (q - lane + lane * r.size("gy_channel")))
                values = [r.load(gradients + (q * width + v * r.lanes)) for v in range(form.vectors)]
                step = q * column_step
                for m in range(form.rows):
                    number = r.broadcast(inputs[m] + step)
                    for v in range(form.vectors):
                        sums[m][v].add_product(number, values[v])
        goal = room + (sums_at + tile * (form.rows * width))
        for m in range(form.rows):
            for v in range(form.vectors):
                total = goal + (m * width + v * r.lanes)
                r.store(r.load(total) + sums[m][v].value, total)


def _distances(r: Routine, form: Form, tile: Size, terms: Size) -> list[Size]:
    """Return where the terms of a tile are. Those beyond the last repeat it; their sums are not written."""
    return [r.entry(r.table("distances"), (terms - 1).smaller(tile * form.rows + m)) for m in range(form.rows)]


def _ask(r: Routine, begin: Pointer, distances: list[Size], count: Size) -> None:
    """Ask for the inputs of the tile that follows: its rows are short and far apart, so that nothing foresees them."""
    with r.loop(count, step=64 // r.element.itemsize) as k:
        for distance in distances:
            r.prefetch(begin + (distance + k))


def _join(r: Routine, room: Pointer) -> None:
    """Add the sums of some bands to those of all, and begin anew."""
    sums, totals, zero = room + r.size("sums_at"), room + r.size("totals_at"), r.constant(0)
    with r.loop(r.size("panels") * r.size("sums_size"), step=r.lanes) as i:
        r.store(r.load(totals + i) + r.load(sums + i), totals + i)
        r.store(zero, sums + i)


def _write(r: Routine, form: Form, totals: Pointer, goal: Pointer, outputs: Size, terms: Size) -> None:
    """Write the sums: terms follow each other in memory, outputs are `terms` of all apart."""
    width = form.vectors * r.lanes
    with r.loop(terms, step=r.lanes) as k:
        for v in range(form.vectors):
            rows = [r.load(totals + ((k + lane) * width + v * r.lanes)) for lane in range(r.lanes)]
            for lane, row in enumerate(r.transpose(rows)):
                output = v * r.lanes + lane
                count = r.choose(outputs.above(output), terms - k, 0)
                r.store(row, goal + (output * r.size("terms") + k), r.first_lanes(count))


def _write_turned(r: Routine, form: Form, totals: Pointer, goal: Pointer, outputs: Size, terms: Size) -> None:
    """Write the sums: outputs follow each other in memory, terms are all outputs apart."""
    with r.loop(terms) as k:
        for v in range(form.vectors):
            total = r.load(totals + (k * (form.vectors * r.lanes) + v * r.lanes))
            here = goal + (k * r.size("outputs") + v * r.lanes)
            r.store(total, here, r.first_lanes(outputs - v * r.lanes))
