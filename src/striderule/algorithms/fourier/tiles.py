"""Correlation of planes by spectra of tiles, in the tile language.

    y[i, j] = sum over t, u of w[t, u] x[i + t - before, j + u - before]

Algorithm: overlap-save in two dimensions (Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7.3). The
transform of a tile of inputs is multiplied by the conjugate of that of the taps, and transformed back; of what comes
out, tile - extent + 1 rows and columns do not wrap around. The taps are real and a correlation is linear, so two tiles
are transformed as one: the real and the imaginary part of complex numbers.

Schedule: a task is two tiles beside each other. Their rows are laid in room that a thread keeps (`_read`), in columns
as wide as a vector, which are transformed downwards. Then, for as many rows as a vector has lanes: squares are turned
in registers into a strip of which the lanes are rows; it is transformed, multiplied, transformed back and returned. So
every pass is over neighbours in the nearest cache. `butterflies` are the passes. For several kernels the spectrum of
the tiles is kept, and for each of them multiplied and transformed back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from striderule.algorithms.direct.native import followed
from striderule.algorithms.fourier.butterflies import (
    Complex,
    backward,
    forward,
    product,
    product_and_back,
    there_and_back,
)
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT32, INT64, Pointer, Routine, Size, Vector

POINTERS = (
    "x",
    "y",
    "spectrum",
    "room",
    "power",
    "flags",
    "found",
    "rows",
    "columns",
    "down",
    "across",
    "walk",
    "places",
)
SIZES = (
    "kernel", "threads", "apart", "pairs", "tiles", "beside", "step_down", "step_across", "before", "width", "end",
    "height_out", "width_out", "x_column", "y_row", "y_column", "walks", "top", "bottom", "left", "right",
    "kernels", "planes",
)  # fmt: skip
# What stands in the tables of rows and columns for places outside: the fill value, or, beyond what any output needs,
# zero.
FILL, NOTHING = 1 << 62, (1 << 62) + 1
# Rows whose cache lines are asked for so long before they are read: tiles are too narrow for the processor to foresee.
AHEAD = 8
# Results that are rounded and saturated as they are written; others leave the sums to `casting`.
NARROW = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


@dataclass(frozen=True, slots=True)
class Form:
    """What the code of the routine depends on.

    `down` and `across` are the radices of the passes along each axis, whose products are the sizes of a tile. `source`
    is the type of x, `dtype` that of the arithmetic, `result` that of y; `beside` and `beside_out` say that columns of
    x and of y are neighbours in memory. `several` kernels are served at once, whose results stand so many elements
    behind the first one's as the table of `places` says; if they are `paired`, those of every second one stand between
    those of the one before it, as the parts of complex numbers do.
    """

    dtype: str
    source: str
    result: str
    down: tuple[int, ...]
    across: tuple[int, ...]
    beside: bool
    beside_out: bool
    several: bool = False
    paired: bool = False

    @property
    def name(self) -> str:
        """The routine's name."""
        kind = "spectra_of_pairs" if self.paired else "spectra_of_several" if self.several else "spectra"
        return f"{kind}_{self.dtype}_{self.source}_{self.result}_{prod(self.down)}x{prod(self.across)}"


def pitch(rows: int, lanes: int) -> int:
    """Return the elements of a column of vectors: a cache line more, so that columns lie apart in the caches."""
    return (2 * rows + 1) * lanes


def room(form: Form, lanes: int) -> int:
    """Return the elements that a thread needs: those of two tiles, of a strip, and of the spectrum that is kept.

    And of two more tiles for pairs.
    """
    tile = prod(form.across) // lanes * pitch(prod(form.down), lanes)
    return _beyond(form, lanes) + (tile if form.paired else 0)


def _beyond(form: Form, lanes: int) -> int:
    """Return how far behind a tile stands that of the second kernel of a pair."""
    rows, columns = prod(form.down), prod(form.across)
    kept = 2 * rows * columns if form.several else 0
    return columns // lanes * pitch(rows, lanes) + 2 * columns * lanes + kept


def tile_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR; where its size `kernel` is 1 it writes the spectra of x, which are the kernels."""
    r = Routine(form.name, target, ELEMENTS[form.dtype], pointers=POINTERS, sizes=SIZES, numbers=("fill",))
    slot = r.claim(r.table("flags"), r.size("threads"))
    tile = r.pointer("room") + slot * r.size("apart")
    rows, groups = prod(form.down), prod(form.across) // r.lanes
    apart, kernel = pitch(rows, r.lanes), r.size("kernel").equals(1)
    with r.tasks() as task:
        pair, plane = task % r.size("pairs"), task // r.size("pairs")
        x_plane, y_plane = followed(r, plane, 0, 0)
        with r.either(kernel) as (taps, image):
            with taps:
                _read(r, replace(form, source=form.dtype, beside=True), tile, pair * 2, plane, x_plane)
            with image:
                _read(r, form, tile, pair * 2, plane, x_plane)
        with r.loop(groups) as g:
            forward(r, tile + g * apart, form.down, r.pointer("down"))
        with r.either(kernel) as (taps, image):
            with taps, r.loop(rows // r.lanes) as block:
                _spectrum(r, form, tile, block, y_plane)
            with image:
                if form.several:
                    _several(r, form, tile, pair * 2, plane, y_plane)
                else:
                    with r.loop(rows // r.lanes) as block:
                        _rows(r, form, tile, block)
                    with r.loop(groups) as g:
                        backward(r, tile + g * apart, form.down, r.pointer("down"))
                    _write(r, form, (tile,), pair * 2, (plane,), y_plane)
    r.give_back(r.table("flags"), slot)
    return r.finish()


# Inputs ---------------------------------------------------------------------------------------------------------------


def _read(r: Routine, form: Form, tile: Pointer, first: Size, plane: Size, x_plane: Size) -> None:
    """Lay two tiles out, one as real and the other as imaginary parts, and note the sums of their squares.

    Those of all inputs, and of the ones that stand between `top` and `bottom`, and `left` and `right`, of the padded
    image.
    """
    rows, groups, apart = prod(form.down), prod(form.across) // r.lanes, pitch(prod(form.down), r.lanes)
    x = r.pointer("x", ELEMENTS[form.source]) + x_plane
    with r.loop(2) as part:
        number = first + part
        there, place = number.below(r.size("tiles")), number.smaller(r.size("tiles") - 1)
        down, across = place // r.size("beside") * r.size("step_down"), place % r.size("beside") * r.size("step_across")
        squares, inner = r.register(r.constant(0)), r.register(r.constant(0))
        with r.loop(rows) as i:
            row = r.choose(there, r.entry(r.table("rows"), down + i), NOTHING)
            following = r.entry(r.table("rows"), down + (i + AHEAD).smaller(rows - 1))
            goal = tile + (part + i * 2) * r.lanes
            with r.either(row.below(FILL)) as (inside, outside):
                with inside, r.loop(groups) as g:
                    column = across + g * r.lanes
                    _vector(r, form, x + row, column, goal + g * apart)
                    r.prefetch(x + (following + column))
                with outside:
                    value = r.select(row.equals(FILL), r.number("fill"), r.constant(0))
                    with r.loop(groups) as g:
                        r.store(value, goal + g * apart)
            between = ~(down + i).below(r.size("top")) & (down + i).below(r.size("bottom"))
            with r.loop(groups) as g:
                value, column = r.load(goal + g * apart), across + g * r.lanes
                squares.add_product(value, value)
                here = r.lanes_from(r.size("left") - column) & r.first_lanes(r.size("right") - column)
                value = r.select(between, r.select(here, value, r.constant(0)), r.constant(0))
                inner.add_product(value, value)
        with r.when(there):
            power = r.pointer("power") + (plane * r.size("tiles") + number) * 2
            r.store_first(r.sum(squares.value), power)
            r.store_first(r.sum(inner.value), power + 1)


def _vector(r: Routine, form: Form, row: Pointer, column: Size, goal: Pointer) -> None:
    """Read a vector of columns of the padded input: at once where all stand in memory side by side."""
    left = column - r.size("before")
    if form.beside:
        whole = left.above(-1) & ~(left + r.lanes).above(r.size("width"))
        with r.either(whole) as (simple, other):
            with simple:
                r.store(r.convert(r.load(row + left), r.element), goal)
            with other:
                _singly(r, row, column, goal)
        return
    _singly(r, row, column, goal)


def _singly(r: Routine, row: Pointer, column: Size, goal: Pointer) -> None:
    """Read columns one by one, each from where the table says."""
    r.store(r.constant(0), goal)
    with r.loop((r.size("end") - column).smaller(r.lanes)) as lane:
        place = r.entry(r.table("columns"), column + lane)
        with r.either(place.below(FILL)) as (inside, outside):
            with inside:
                r.store(r.convert(r.load(row + place, lanes=1), r.element), goal + lane)
            with outside:
                r.store_first(r.number("fill"), goal + lane)


# Rows -----------------------------------------------------------------------------------------------------------------


def _strip(r: Routine, form: Form, tile: Pointer, block: Size) -> tuple[Pointer, Pointer]:
    """Return the room for a block of rows, and where these rows stand in a tile."""
    rows, columns = prod(form.down), prod(form.across)
    return tile + columns // r.lanes * pitch(rows, r.lanes), tile + block * (2 * r.lanes * r.lanes)


def _spectrum(r: Routine, form: Form, tile: Pointer, block: Size, place: Size) -> None:
    """Transform a block of rows of taps, and write what they are multiplied with."""
    rows, columns = prod(form.down), prod(form.across)
    strip, near = _strip(r, form, tile, block)
    goal = r.pointer("spectrum") + (place + block * (2 * columns * r.lanes))
    _turn(r, form, near, strip, back=False)
    forward(r, strip, form.across, r.pointer("across"))
    # The conjugate, divided by the size of the tile here, since neither way does.
    with r.loop(columns * 2, step=2) as i:
        for part, scale in enumerate((1 / (rows * columns), -1 / (rows * columns))):
            at = (i + part) * r.lanes
            r.store(r.load(strip + at) * scale, goal + at)


def _rows(r: Routine, form: Form, tile: Pointer, block: Size) -> None:
    """Transform a block of rows, multiply by the spectrum of the taps, and transform back."""
    columns = prod(form.across)
    strip, near = _strip(r, form, tile, block)
    spectrum = r.pointer("spectrum") + block * (2 * columns * r.lanes)
    before = slice(0, -1)

    def multiplied(values: list[Complex], first: Size) -> list[Complex]:
        places = [spectrum + (first + k) * (2 * r.lanes) for k in range(len(values))]
        pairs = [(r.load(here), r.load(here + r.lanes)) for here in places]
        return [product(r, value, pair) for value, pair in zip(values, pairs, strict=True)]

    _turn(r, form, near, strip, back=False)
    forward(r, strip, form.across, r.pointer("across"), before)
    there_and_back(r, strip, form.across[-1], columns, multiplied)
    backward(r, strip, form.across, r.pointer("across"), before)
    _turn(r, form, near, strip, back=True)


def _several(r: Routine, form: Form, tile: Pointer, first: Size, plane: Size, y_plane: Size) -> None:
    """Transform all rows and keep their spectrum; multiply it by those of each kernel, transform back, and write."""
    rows, columns = prod(form.down), prod(form.across)
    size = 2 * columns * r.lanes
    with r.loop(rows // r.lanes) as block:
        strip, near = _strip(r, form, tile, block)
        kept = strip + size + block * size
        _turn(r, form, near, kept, back=False)
        forward(r, kept, form.across, r.pointer("across"))
    parts, far = 2 if form.paired else 1, _beyond(form, r.lanes)
    with r.loop(r.size("kernels") // parts) as number:
        with r.loop(parts) as part:
            spectrum, goal = r.pointer("spectrum") + (number * parts + part) * (2 * rows * columns), tile + part * far
            with r.loop(rows // r.lanes) as block:
                strip, _ = _strip(r, form, tile, block)
                kept = strip + size + block * size
                product_and_back(r, kept, spectrum + block * size, strip, form.across[-1], columns)
                backward(r, strip, form.across, r.pointer("across"), slice(0, -1))
                _turn(r, form, _strip(r, form, goal, block)[1], strip, back=True)
            with r.loop(columns // r.lanes) as g:
                backward(r, goal + g * pitch(rows, r.lanes), form.down, r.pointer("down"))
        planes = tuple((number * parts + part) * r.size("planes") + plane for part in range(parts))
        place = y_plane + r.entry(r.table("places"), number * parts)
        _write(r, form, (tile, tile + far)[:parts], first, planes, place)


def _turn(r: Routine, form: Form, near: Pointer, strip: Pointer, *, back: bool) -> None:
    """Turn squares of a block of rows into the strip, or back."""
    rows, columns = prod(form.down), prod(form.across)
    with r.loop(columns // r.lanes) as g, r.loop(2) as part:
        wide = near + (g * pitch(rows, r.lanes) + part * r.lanes)
        tall = strip + (g * (2 * r.lanes * r.lanes) + part * r.lanes)
        source, goal = (tall, wide) if back else (wide, tall)
        square = [r.load(source + i * (2 * r.lanes)) for i in range(r.lanes)]
        for i, values in enumerate(r.transpose(square)):
            r.store(values, goal + i * (2 * r.lanes))


# Outputs --------------------------------------------------------------------------------------------------------------


def _write(
    r: Routine, form: Form, sources: Sequence[Pointer], first: Size, planes: Sequence[Size], y_plane: Size
) -> None:
    """Write what does not wrap around, and note the tiles of which it is not finite; two sources are parts of pairs."""
    apart = pitch(prod(form.down), r.lanes)
    with r.loop(2) as part:
        number = first + part
        with r.when(number.below(r.size("tiles"))):
            down = number // r.size("beside") * r.size("step_down")
            across = number % r.size("beside") * r.size("step_across")
            columns = (r.size("width_out") - across).smaller(r.size("step_across"))
            # Zero times what is not finite is no number.
            trace = r.register(r.constant(0))
            with r.loop((r.size("height_out") - down).smaller(r.size("step_down"))) as i:
                place = y_plane + (down + i) * r.size("y_row") + across * r.size("y_column")
                goal = r.pointer("y", ELEMENTS[form.result]) + place
                with r.loop(columns, step=r.lanes) as j:
                    here = r.first_lanes(columns - j)
                    values = []
                    for tile in sources:
                        value = r.load(tile + (j // r.lanes * apart + (part + i * 2) * r.lanes))
                        value = r.select(here, value, r.constant(0))
                        trace.add_product(value, r.constant(0))
                        values.append(_rounded(r, form, value))
                    if form.paired:
                        _interleave(r, values, goal + j * 2, (columns - j) * 2)
                    elif form.beside_out:
                        r.store(values[0], goal + j, here)
                    else:
                        r.scatter(values[0], goal + j * r.size("y_column"), r.size("y_column"), columns - j)
            with r.when(r.any(trace.value.differs(0))):
                for plane in planes:
                    r.store(r.constant(1, INT64, 1), r.table("found") + (plane * r.size("tiles") + number))


def _interleave(r: Routine, values: Sequence[Vector], goal: Pointer, count: Size) -> None:
    """Write the lanes of two vectors in turn, `count` of them at most."""
    for half in range(2):
        first = half * r.lanes // 2
        pattern = [lane + part for lane in range(first, first + r.lanes // 2) for part in (0, r.lanes)]
        where = r.first_lanes(count - half * r.lanes)
        r.store(r.shuffle(values[0], values[1], pattern), goal + half * r.lanes, where)


def _rounded(r: Routine, form: Form, value: Vector) -> Vector:
    """Return a vector of results in their type: rounded half to even, and saturated."""
    if form.result in NARROW:
        low, high = NARROW[form.result]
        value = r.convert(r.at_most(r.at_least(r.nearest(value), low), high), INT32)
    return r.convert(value, ELEMENTS[form.result])
