"""The routine of a weight's gradient plane by plane; `planning.plane_sums` says what it does and why.

    gw[o, c, u, t] = sum over i, j of gy[o, i, j] * x[c, i * s + u * d - p, j * s' + t * d' - p']

Rows of x are read where they stand; where their columns are far apart, or parts of vectors cannot be read, they are
laid out with zeros around them, columns that are a stride apart side by side. Numbers that stand in for what does not
exist are zero on both sides; where the number that they meet is not finite the sum is not either, which the caller
looks for.
"""

from __future__ import annotations

from striderule.algorithms.depthwise.plane_products import Form, Piece, add_plane
from striderule.algorithms.direct.weight_routine import NOWHERE
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size, Vector

POINTERS = (
    "x", "gy", "gw", "work", "flags",
    # For each outer position and outer tap where its plane of x begins, or NOWHERE; for each outer position where its
    # plane of gy does; for each tap of a row how far its columns are from the first one's; which columns of a stride
    # are laid out.
    "outer_places", "gradient_places", "column_places", "residues",
)  # fmt: skip
SIZES = (
    # Of a group: output and input channels; terms of one output, taps of a plane and of a row; groups, how many of
    # them a task has, spans of so many, and images.
    "outputs", "inputs", "terms", "taps", "row_taps", "groups", "span", "spans", "batch",
    # Outputs along the last two axes, positions and taps of the outer ones.
    "height", "width", "outer", "outer_taps",
    # Distances in elements.
    "x_image", "x_channel", "x_row", "x_column", "gy_image", "gy_channel", "gy_row", "gy_column",
    # Steps of the last two axes, dilation of the rows, positions added before them; inputs along them.
    "row_step", "row_gap", "column_step", "top", "left", "input_height", "input_width",
    # The cut: see `PlaneSums`; how many blocks of taps are full, and how many have one less.
    "gap", "images", "rows", "columns", "row_bands", "column_bands", "pieces", "together", "part",
    "full_down", "less_down", "full_over", "less_over",
    # Threads, the room of each in elements, and where in it zeros, gradients and sums begin. In a row that is laid out
    # the columns, and rows; elements of an image laid out, and how many residues of columns it has.
    "threads", "room", "zeros_at", "gradients_at", "sums_at", "totals_at", "sums_size",
    "pitch", "reach", "plane", "each", "residue_count", "gradient_pitch", "gradient_each",
    # Elements of a part's result.
    "whole",
)  # fmt: skip
# The largest stride of columns that shuffles put side by side.
STEP = 4


def weight_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    element = ELEMENTS[form.element]
    r = Routine(form.name, target, element, pointers=POINTERS, sizes=SIZES)
    r.lanes = form.lanes
    slot = r.claim(r.table("flags"), r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    r.store(r.constant(0), room + r.size("zeros_at"))
    with r.tasks() as number:
        (span,), part = r.digits(number, ("spans",))
        begin = span * r.size("span")
        with r.loop((r.size("groups") - begin).smaller(r.size("span"))) as i:
            _sum_group(r, form, begin + i, part, room)
    r.give_back(r.table("flags"), slot)
    return r.finish()


def _sum_group(r: Routine, form: Form, group: Size, part: Size, room: Pointer) -> None:
    """Form the sums of a group over a part of the pieces."""
    sums, totals = room + r.size("sums_at"), room + r.size("totals_at")
    _clear(r, sums)
    _clear(r, totals)
    first = part * r.size("part")
    pieces = (r.size("pieces") - first).smaller(r.size("part"))
    with r.loop(pieces) as turn:
        _add_piece(r, form, group, _piece(r, first + turn), room)
        full = ((turn + 1) % r.size("together")).equals(0) | (turn + 1).equals(pieces)
        with r.when(full):
            _join(r, sums, totals)
    goal = r.pointer("gw") + (part * r.size("whole") + group * r.size("outputs") * r.size("terms"))
    with r.loop(r.size("outputs") * r.size("terms")) as k:
        r.store_first(r.sum(r.load(totals + k * r.lanes)), goal + k)


def _piece(r: Routine, number: Size) -> Piece:
    """Find out which positions a piece has: columns vary first, then rows, outer positions, images."""
    (column_band, row_band, outer), images = r.digits(number, ("column_bands", "row_bands", "outer"))
    image, row, column = images * r.size("images"), row_band * r.size("rows"), column_band * r.size("columns")
    return Piece(
        image, (r.size("batch") - image).smaller(r.size("images")),
        outer,
        row, (r.size("height") - row).smaller(r.size("rows")),
        column, (r.size("width") - column).smaller(r.size("columns")),
    )  # fmt: skip


def _clear(r: Routine, sums: Pointer) -> None:
    zero = r.constant(0)
    with r.loop(r.size("sums_size"), step=r.lanes) as i:
        r.store(zero, sums + i)


def _join(r: Routine, sums: Pointer, totals: Pointer) -> None:
    """Add the sums of some chains to those of all, and begin anew."""
    zero = r.constant(0)
    with r.loop(r.size("sums_size"), step=r.lanes) as i:
        joined = r.load(totals + i) + r.load(sums + i)
        r.store(joined, totals + i)
        r.store(zero, sums + i)


def _add_piece(r: Routine, form: Form, group: Size, piece: Piece, room: Pointer) -> None:
    """Add a piece to the sums of every pair of channels."""
    outputs, inputs, outer_taps = r.size("outputs"), r.size("inputs"), r.size("outer_taps")
    gy = r.pointer("gy") + (
        piece.image * r.size("gy_image")
        + group * outputs * r.size("gy_channel")
        + r.entry(r.table("gradient_places"), piece.outer)
        + piece.row * r.size("gy_row")
        + piece.column * r.size("gy_column")
    )
    if form.gradients_laid:
        _lay_gradients(r, piece, gy, room + r.size("gradients_at"))
    with r.loop(outer_taps) as tap:
        place = r.entry(r.table("outer_places"), piece.outer * outer_taps + tap)
        with r.when(place.above(NOWHERE)), r.loop(inputs) as channel:
            x = r.pointer("x") + (
                piece.image * r.size("x_image") + (group * inputs + channel) * r.size("x_channel") + place
            )
            if form.inputs_laid:
                _lay_inputs(r, form, piece, x, room)
            with r.loop(outputs) as output:
                term = output * r.size("terms") + (channel * outer_taps + tap) * r.size("taps")
                if form.gradients_laid:
                    near = room + (r.size("gradients_at") + output * r.size("images") * r.size("gradient_each"))
                else:
                    near = gy + output * r.size("gy_channel")
                add_plane(r, form, piece, near, x, room, room + (r.size("sums_at") + term * r.lanes))


# Inputs: rows with their padding, columns of a stride side by side ----------------------------------------------------


def _lay_inputs(r: Routine, form: Form, piece: Piece, x: Pointer, room: Pointer) -> None:
    """Copy the rows of a plane that a piece meets, of all its images."""
    begin = piece.row * r.size("row_step") - r.size("top")
    first = begin.larger(0)
    last = (begin + r.size("reach")).smaller(r.size("input_height"))
    start = piece.column * r.size("column_step") - r.size("left")
    with r.loop(piece.images) as image, r.loop(last - first) as i:
        source = x + (image * r.size("x_image") + (first + i) * r.size("x_row"))
        goal = room + (image * r.size("each") + (first + i - begin) * r.size("pitch"))
        if form.column_step:
            _lay_row(r, form, source, start, goal)
        else:
            with r.loop(r.size("residue_count")) as k:
                column = start + r.entry(r.table("residues"), k)
                steps = r.size("column_step"), r.size("x_column"), r.size("input_width")
                _gather(r, source, column, steps, goal + k * r.size("plane"), r.size("pitch"))


def _lay_row(r: Routine, form: Form, source: Pointer, start: Size, goal: Pointer) -> None:
    """Copy columns that stand side by side, from `start` on, which may be outside; every residue to its own row."""
    step, lanes, width = form.column_step, r.lanes, r.size("input_width")
    with r.loop(r.size("pitch"), step=lanes) as k:
        column = start + k * step
        loaded = []
        for n in range(step):
            here = column + n * lanes
            inside = r.lanes_from(0 - here, lanes) & r.first_lanes(width - here, lanes)
            loaded.append(r.load(source + here, inside))
        for number, residue in enumerate(form.residues):
            r.store(_every(r, loaded, residue, step), goal + (r.size("plane") * number + k))


def _every(r: Routine, loaded: list[Vector], first: int, step: int) -> Vector:
    """Return every `step`-th element of vectors that follow one another."""
    lanes = loaded[0].lanes
    elements = [first + lane * step for lane in range(lanes)]
    found = r.shuffle(loaded[0], loaded[0], [e % lanes for e in elements]) if step > 1 else loaded[0]
    for n in range(1, step):
        pattern = [lanes + e % lanes if e // lanes == n else lane for lane, e in enumerate(elements)]
        found = r.shuffle(found, loaded[n], pattern)
    return found


def _gather(
    r: Routine, source: Pointer, start: Size, steps: tuple[Size, Size, Size], goal: Pointer, count: Size
) -> None:
    """Copy columns one by one, from `start` on, which may be outside; `steps` are their stride, distance and number."""
    stride, distance, width = steps
    zero = r.constant(0)
    with r.loop(count, step=r.lanes) as k:
        r.store(zero, goal + k)
    before = ((0 - start).larger(0) + stride - 1) // stride
    end = ((width - start).larger(0) + stride - 1) // stride
    with r.loop(end.smaller(count) - before) as k:
        column = start + (before + k) * stride
        r.store_first(r.broadcast(source + column * distance, lanes=1), goal + (before + k))


def _lay_gradients(r: Routine, piece: Piece, gy: Pointer, goal: Pointer) -> None:
    """Copy the gradients of a piece, of all outputs of the group."""
    each = r.size("gradient_each")
    with r.loop(r.size("outputs")) as output, r.loop(piece.images) as image, r.loop(piece.rows) as row:
        source = gy + (output * r.size("gy_channel") + image * r.size("gy_image") + row * r.size("gy_row"))
        to = goal + ((output * r.size("images") + image) * each + row * r.size("gradient_pitch"))
        steps = r.whole(1), r.size("gy_column"), piece.columns
        _gather(r, source, r.whole(0), steps, to, r.size("gradient_pitch"))
