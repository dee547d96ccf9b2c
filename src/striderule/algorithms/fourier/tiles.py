"""Correlation of planes by spectra of tiles, in the tile language.

    y[i, j] = sum over t, u of w[t, u] x[i + t - before, j + u - before]

Algorithm: overlap-save in two dimensions (Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7.3). The
transform of a tile of inputs is multiplied by the conjugate of that of the taps, and transformed back; of what comes
out, tile - extent + 1 rows and columns do not wrap around. The taps are real and a correlation is linear, so two tiles
are transformed as one: the real and the imaginary part of complex numbers.

Schedule: a task is two tiles beside each other. Their rows are laid in room that a thread keeps (`_read`), in columns
as wide as a vector, which are transformed downwards. Then, for as many rows as a vector has lanes: squares are turned
in registers into a strip of which the lanes are rows; it is transformed, multiplied, transformed back and returned. So
every pass is over neighbours in the nearest cache. `butterflies` are the passes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from striderule.algorithms.direct.native import followed
from striderule.algorithms.fourier.butterflies import Complex, backward, forward, product, there_and_back
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT32, INT64, Condition, Pointer, Routine, Size, Vector

POINTERS = ("x", "y", "spectrum", "room", "power", "flags", "found", "rows", "columns", "down", "across", "walk")
SIZES = (
    "kernel", "threads", "apart", "pairs", "tiles", "beside", "step_down", "step_across", "before", "width", "end",
    "height_out", "width_out", "x_column", "y_row", "y_column", "walks", "top", "bottom", "left", "right",
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
    x and of y are neighbours in memory.
    """

    dtype: str
    source: str
    result: str
    down: tuple[int, ...]
    across: tuple[int, ...]
    beside: bool
    beside_out: bool

    @property
    def name(self) -> str:
        """The routine's name."""
        return f"spectra_{self.dtype}_{self.source}_{self.result}_{prod(self.down)}x{prod(self.across)}"


def pitch(rows: int, lanes: int) -> int:
    """Return the elements of a column of vectors: a cache line more, so that columns lie apart in the caches."""
    return (2 * rows + 1) * lanes


def room(form: Form, lanes: int) -> int:
    """Return the elements that a thread needs: those of two tiles, and of a strip."""
    rows, columns = prod(form.down), prod(form.across)
    return columns // lanes * pitch(rows, lanes) + 2 * columns * lanes


def tile_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR; where its size `kernel` is 1 it writes the spectrum of x, which is the kernel."""
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
        with r.loop(rows // r.lanes) as block:
            _rows(r, form, tile, block, kernel)
        with r.when(~kernel):
            with r.loop(groups) as g:
                backward(r, tile + g * apart, form.down, r.pointer("down"))
            _write(r, form, tile, pair * 2, plane, y_plane)
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


def _rows(r: Routine, form: Form, tile: Pointer, block: Size, kernel: Condition) -> None:
    """Transform a block of rows, multiply by the spectrum of the taps, and transform back; or write that spectrum."""
    rows, columns = prod(form.down), prod(form.across)
    strip = tile + columns // r.lanes * pitch(rows, r.lanes)
    near = tile + block * (2 * r.lanes * r.lanes)
    spectrum = r.pointer("spectrum") + block * (2 * columns * r.lanes)
    before, last = slice(0, -1), slice(len(form.across) - 1, None)

    def multiplied(values: list[Complex], first: Size) -> list[Complex]:
        places = [spectrum + (first + k) * (2 * r.lanes) for k in range(len(values))]
        pairs = [(r.load(here), r.load(here + r.lanes)) for here in places]
        return [product(r, value, pair) for value, pair in zip(values, pairs, strict=True)]

    _turn(r, form, near, strip, back=False)
    forward(r, strip, form.across, r.pointer("across"), before)
    with r.either(kernel) as (taps, image):
        with taps:
            forward(r, strip, form.across, r.pointer("across"), last)
            # The conjugate, divided by the size of the tile here, since neither way does.
            with r.loop(columns * 2, step=2) as i:
                for part, scale in enumerate((1 / (rows * columns), -1 / (rows * columns))):
                    place = (i + part) * r.lanes
                    r.store(r.load(strip + place) * scale, spectrum + place)
        with image:
            there_and_back(r, strip, form.across[-1], columns, multiplied)
            backward(r, strip, form.across, r.pointer("across"), before)
            _turn(r, form, near, strip, back=True)


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


def _write(r: Routine, form: Form, tile: Pointer, first: Size, plane: Size, y_plane: Size) -> None:
    """Write what does not wrap around, and note the tiles of which it is not finite."""
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
                    value = r.load(tile + (j // r.lanes * apart + (part + i * 2) * r.lanes))
                    value = r.select(here, value, r.constant(0))
                    trace.add_product(value, r.constant(0))
                    value = _rounded(r, form, value)
                    if form.beside_out:
                        r.store(value, goal + j, here)
                    else:
                        r.scatter(value, goal + j * r.size("y_column"), r.size("y_column"), columns - j)
            with r.when(r.any(trace.value.differs(0))):
                r.store(r.constant(1, INT64, 1), r.table("found") + (plane * r.size("tiles") + number))


def _rounded(r: Routine, form: Form, value: Vector) -> Vector:
    """Return a vector of results in their type: rounded half to even, and saturated."""
    if form.result in NARROW:
        low, high = NARROW[form.result]
        value = r.convert(r.at_most(r.at_least(r.nearest(value), low), high), INT32)
    return r.convert(value, ELEMENTS[form.result])
