"""Laying out the inputs of a task in planes, where every tap lies at one distance from all output positions.

A plane holds a run of inputs for each row that some tap meets (`planning.schedule`). Here the runs are copied: in any
order of memory, from any type, with what stands beyond the borders. Nothing else is known of padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from striderule.codegen.tile import ELEMENTS, Condition, Mask, Pointer, Routine, Size, Vector

# Vectors whose masks stand in one word.
MASKED = 4
# Where a row begins that is beyond the border: below zero are those of arrays whose rows stand in reverse.
OUTSIDE = -(1 << 62)
# What a block keeps, where taps that meet only zeros are left out: the first words of its table say where it stands.
KEPT = ("slots", "shifts", "chains", "terms")


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code of a routine depends on besides the target: everything else is told at run time.

    `element` is the arithmetic; `source`, `weights` and `result` are what stands in memory. `rows` output channels by
    `vectors` of positions stay in registers; `merged` says that a task has several images, or a part of the columns,
    which are parted at the end.
    `in_place` reads the input where it is; else it is copied, `step` columns apart (1, 2 or 4; 0: at any distance, told
    at run time), and `borders` says that more than a fill value stands outside. `panel` is the distance between two
    rows of weights. `parameters` are those of the activation: a word, or None for a number that is told at run time.
    `last` says that channels stand next to each other, and columns do not; `narrow` counts the last positions that are
    summed along their terms. `skips` says that tasks leave out taps (`tables.kept_of`). `flat` copies rows that follow
    one another as one, under masks. `shared` says that tasks of a first phase lay out what several blocks of channels
    read. With a `unit` of `codegen.dots` all operands are words, whose numbers it multiplies, `turned` where those of
    the inputs are its first ones (without a sign); `tiles` names what writes the tiles that these make, in
    `codegen.tiles`. `around` counts the taps of weights that are read where they stand, but in the order of weights
    turned around: 0 where they are not.
    """

    element: str
    source: str
    weights: str
    result: str
    rows: int
    vectors: int
    panel: int
    in_place: bool
    step: int
    borders: bool
    activation: str | None = None
    parameters: tuple[str | None, ...] = ()
    merged: bool = False
    last: bool = False
    narrow: int = 0
    skips: bool = False
    flat: bool = False
    shared: bool = False
    unit: str = ""
    turned: bool = False
    tiles: str = ""
    around: int = 0

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"direct_{self.tiles}{self.unit or self.element}_{self.rows}x{self.vectors}"


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the input a task sees: images, group, position on the outer axes, first output row and column.

    `block` counts blocks of rows and columns.
    """

    image: Size
    images: Size
    group: Size
    outer: Size
    row: Size
    column: Size
    block: Size

    def kept(self, r: Routine, word: str) -> Pointer:
        """Return the list of what this block keeps; see `tables.kept_of`."""
        table = r.table("kept")
        return table + r.entry(table, self.block * len(KEPT) + KEPT.index(word))


@contextmanager
def tasks_that_sweep(r: Routine, form: Form, number: Size) -> Iterator[None]:
    """Run the body for a task that sweeps; where planes are shared, those of a first phase lay them out instead."""
    if not form.shared:
        yield
        return
    with r.either(r.size("lays").equals(1)) as (first, second):
        with first:
            _lay_out_piece(r, form, number)
        with second:
            yield


def _lay_out_piece(r: Routine, form: Form, number: Size) -> None:
    """Lay out a piece of a chunk, a vector of planes, for all blocks of channels: pieces vary first, then chunks."""
    (piece, chunk), block = r.digits(number, ("pieces", "chunks"))
    digits = ("column_blocks", "row_blocks", "outer", "groups")
    (column, row, outer, group), image = r.digits(block + r.size("first_block"), digits)
    before = piece * r.lanes
    first = chunk * r.size("chunk") + before
    count = (r.size("planes") - first).smaller(r.size("chunk") - before).smaller(r.lanes)
    image = image * r.size("images")
    images = (r.size("batch") - image).smaller(r.size("images"))
    window = Window(
        image, images, group, outer, row * r.size("rows"), column * r.size("columns"),
        row * r.size("column_blocks") + column,
    )  # fmt: skip
    goal = r.pointer("laid") + (block * r.size("chunks") + chunk) * r.size("chunk_step")
    lay_out(r, form, window, first, count, goal + before * r.size("plane"))


def lay_out(r: Routine, form: Form, window: Window, first: Size, count: Size, room: Pointer) -> None:
    """Lay out `count` planes from number `first` on. A vector behind the end of each may be written too."""
    if form.flat:
        _lay_out_flat(r, window, first, count, room)
        return
    begin = window.column * r.size("column_step") - r.size("before")
    image = r.pointer("x", ELEMENTS[form.source]) + window.image * r.size("x_image")
    kept = window.kept(r, "shifts") if form.skips else None
    with r.loop(r.size("shift_count") if kept is None else r.entry(kept, 0)) as turn:
        shift = turn if kept is None else r.entry(kept, turn + 1)
        columns = _columns(r, form, begin + r.entry(r.table("shifts"), shift))
        # As many channels at a time as stand next to each other, in a vector.
        with r.loop(count, step=r.lanes if form.last else 1) as i:
            number, tap = (first + i) // r.size("outer_taps"), (first + i) % r.size("outer_taps")
            outer = r.entry(r.table("outer_places"), window.outer * r.size("outer_taps") + tap)
            channel = image + (window.group * r.size("inputs") + number) * r.size("x_channel") + outer
            plane = room + (i * r.size("plane") + shift * r.size("slot_count") * r.size("run"))
            channels = (count - i).smaller(r.lanes) if form.last else r.whole(1)
            _lay_out_run(r, form, Run(window, columns, channels, channel, outer.equals(OUTSIDE), plane))


def _lay_out_flat(r: Routine, window: Window, first: Size, count: Size, room: Pointer) -> None:
    """Copy all rows of a shift at once, where output rows are as long as those of the input, with columns in between.

    What the masks leave out is zero: rows beyond the borders, and the ends of the rows before and after.
    """
    place = window.row * r.size("width") + r.size("origin")
    channel = window.group * r.size("inputs") + first
    image = r.pointer("x") + (window.image * r.size("x_image") + channel * r.size("x_channel") + place)
    length = r.size("slot_count") * r.size("run")
    masks = r.table("masks") + window.row // r.size("rows") * r.size("shift_count") * r.size("words")
    with r.loop(count) as i, r.loop(r.size("shift_count")) as shift:
        source = image + (i * r.size("x_channel") + r.entry(r.table("shifts"), shift))
        goal = room + (i * r.size("plane") + shift * length)
        with r.loop(r.size("words")) as n:
            word = r.entry(masks, shift * r.size("words") + n)
            for v in range(MASKED):
                here = n * (MASKED * r.lanes) + v * r.lanes
                r.store(r.load(source + here, r.lanes_of(word, v * r.lanes)), goal + here)


@dataclass(frozen=True, slots=True)
class Run:
    """The runs of one shift: their columns, and of how many channels; where these begin, and where the runs go."""

    window: Window
    columns: Columns
    channels: Size
    source: Pointer
    outside: Condition
    goal: Pointer


def _lay_out_run(r: Routine, form: Form, run: Run) -> None:
    """Copy a run for every slot."""
    columns, channels = run.columns, run.channels

    def each(copy: Callable[[Pointer, Pointer], None], otherwise: Callable[[Pointer], None]) -> None:
        kept = run.window.kept(r, "slots") if form.skips else None
        with r.loop(r.size("slot_count") if kept is None else r.entry(kept, 0)) as turn:
            slot = turn if kept is None else r.entry(kept, turn + 1)
            row = run.window.row * r.size("row_step") + r.entry(r.table("slots"), slot)
            place = r.entry(r.table("row_places"), row)
            goal, source = run.goal + slot * r.size("run"), run.source + place
            missing = place.equals(OUTSIDE) | run.outside
            if form.merged:
                other = r.entry(r.table("slot_images"), slot)
                missing, source = missing | ~other.below(run.window.images), source + other * r.size("x_image")
            with r.either(missing) as (outside, inside):
                with outside:
                    otherwise(goal)
                with inside:
                    copy(source, goal)

    def fill(goal: Pointer) -> None:
        with r.loop(channels) as c, r.loop(r.size("run"), step=r.lanes) as j:
            r.store(r.number("fill"), goal + (c * r.size("plane") + j))

    one_by_one = partial(_copy_each, r, columns)
    if form.last:
        each(partial(_copy_transposed, r, columns, channels), fill)
    elif form.step:
        with r.either(columns.simple) as (simple, other):
            with simple:
                each(partial(_copy_vectors, r, form, columns), fill)
            with other:
                each(one_by_one, fill)
    else:
        each(one_by_one, fill)
    if form.borders:
        each(partial(_copy_borders, r, columns, channels), lambda _: None)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a run, which begins at column `begin`: places first <= i < end are inside a row of the input.

    They are `simple` where at most the first and the last vector are partly outside; `head` and `tail` are the lanes of
    these that are inside, and `last` is where the last one begins. `heads` and `tails` are the lanes of the vectors
    that are read for them, by how far ahead these are.
    """

    begin: Size
    first: Size
    end: Size
    last: Size
    head: Mask
    tail: Mask
    simple: Condition
    heads: dict[int, Mask]
    tails: dict[int, Mask]


def _columns(r: Routine, form: Form, begin: Size) -> Columns:
    step, length = r.size("column_step"), r.size("run")
    first = ((0 - begin).larger(0) + (step - 1)) // step
    end = ((r.size("input_width") - begin).larger(0) + (step - 1)) // step
    first = first.smaller(length)
    end = end.smaller(length).larger(first)
    last = (length - 1) // r.lanes * r.lanes
    head = r.lanes_from(first) & r.first_lanes(end)
    tail = r.lanes_from(first - last) & r.first_lanes(end - last)
    simple = ~first.above(r.lanes) & ~end.below(last)

    def read(place: Size, ahead: int) -> Mask:
        at = begin + (place * form.step + ahead)
        return r.lanes_from(0 - at) & r.first_lanes(r.size("input_width") - at)

    if form.step < 2:
        return Columns(begin, first, end, last, head, tail, simple, {0: head}, {0: tail})
    aheads = [part * (r.lanes - 1) for part in range(form.step)]
    heads, tails = ({ahead: read(place, ahead) for ahead in aheads} for place in (r.whole(0), last))
    return Columns(begin, first, end, last, head, tail, simple, heads, tails)


def _copy_vectors(r: Routine, form: Form, columns: Columns, source: Pointer, goal: Pointer) -> None:
    """Copy a run by vectors. The last one goes on behind its end, where the next run is written afterwards."""
    fill = r.number("fill")

    def some(i: Size, here: Mask, read: dict[int, Mask]) -> None:
        at = source + (columns.begin + i * form.step)

        def load(ahead: int) -> Vector:
            return r.load(at + ahead, read[ahead])

        r.store(r.select(here, r.convert(_every(r, form.step, load), r.element), fill), goal + i)

    def all_of(i: Size) -> None:
        at = source + (columns.begin + i * form.step)
        r.store(r.convert(_every(r, form.step, lambda ahead: r.load(at + ahead)), r.element), goal + i)

    with r.when(columns.last.above(0)):
        some(r.whole(0), columns.head, columns.heads)
        with r.loop(columns.last - r.lanes, step=r.lanes) as i:
            all_of(i + r.lanes)
    some(columns.last, columns.tail, columns.tails)


def _every(r: Routine, step: int, load: Callable[[int], Vector], ahead: int = 0) -> Vector:
    """Return the numbers 0, step, 2 step ... from `ahead` on, for a step that is a power of two.

    Every second of every second is every fourth; the other half begins with the last number of the one.
    """
    if step == 1:
        return load(ahead)
    half = step // 2
    return r.even(_every(r, half, load, ahead), _every(r, half, load, ahead + half * (r.lanes - 1)))


def _copy_transposed(r: Routine, columns: Columns, channels: Size, source: Pointer, goal: Pointer) -> None:
    """Copy a run of up to a vector of channels, which stand next to each other: read columns, write channels."""
    here, fill, edge = r.first_lanes(channels), r.number("fill"), r.size("input_width") - 1
    with r.loop(r.size("run"), step=r.lanes) as i:
        read = []
        for lane in range(r.lanes):
            # Columns outside are read as the nearest inside, and then covered.
            column = (columns.begin + (i + lane) * r.size("column_step")).larger(0).smaller(edge)
            read.append(r.convert(r.load(source + column * r.size("x_column"), here), r.element))
        inside = r.lanes_from(columns.first - i) & r.first_lanes(columns.end - i)
        for lane, values in enumerate(r.transpose(read)):
            with r.when(channels.above(lane)):
                r.store(r.select(inside, values, fill), goal + (lane * r.size("plane") + i))


def _copy_each(r: Routine, columns: Columns, source: Pointer, goal: Pointer) -> None:
    """Copy columns at any distance one by one."""
    step = r.size("column_step")
    one = r.shuffle(r.number("fill"), r.number("fill"), [0])
    with r.loop(columns.first) as i:
        r.store(one, goal + i)
    with r.loop(columns.end - columns.first) as i:
        at = (columns.begin + (columns.first + i) * step) * r.size("x_column")
        r.store(r.convert(r.load(source + at, lanes=1), r.element), goal + (columns.first + i))
    with r.loop(r.size("run") - columns.end) as i:
        r.store(one, goal + (columns.end + i))


def _copy_borders(r: Routine, columns: Columns, channels: Size, source: Pointer, goal: Pointer) -> None:
    """Write what stands beyond the borders, looked up in the table of columns."""
    one = r.shuffle(r.number("fill"), r.number("fill"), [0])

    def look_up(i: Size) -> None:
        column = columns.begin + i * r.size("column_step")
        place = r.entry(r.table("column_places"), column + r.size("before"))
        with r.loop(channels) as c:
            where = goal + (c * r.size("plane") + i)
            with r.either(place.below(0)) as (nothing, something):
                with nothing:
                    r.store(one, where)
                with something:
                    value = r.load(source + (c * r.size("x_channel") + place * r.size("x_column")), lanes=1)
                    r.store(r.convert(value, r.element), where)

    with r.loop(columns.first) as i:
        look_up(i)
    with r.loop(r.size("run") - columns.end) as i:
        look_up(columns.end + i)
