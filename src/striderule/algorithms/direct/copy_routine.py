"""Copies between strided arrays in the tile language, where each output may stand beyond the border of the input.

The outputs are numbered by *walks*, one for each axis of the output: a walk has a size, a step in the output, and a
pace on one axis of the input, its *source*. So the position on a source is a sum over the walks on it,

    p = start + sum of pace * i

(an axis of a padded array has one walk of pace 1; one of the windows of a convolution has two, taps and outputs). A
position inside the source stands `step * p` bytes into the input. Around it a table says where to look instead, or that
nothing is there and the fill value stands.

Two walks are the routine's own loops: columns, which move in vectors, and rows. All others, of whatever number, are
taken apart from the number of the task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.codegen.target import Target
from striderule.codegen.tile import INT64, UINT8, UINT16, UINT32, UINT64, Pointer, Routine, Size, Vector

POINTERS = ("x", "y", "plan")
SIZES = (
    "fill", "fill_high", "walks", "sources",
    "rows", "row_pace", "row_step", "row_tasks", "task_rows",
    "columns", "column_pace", "column_step", "column_tasks", "task_columns",
)  # fmt: skip
# Words in the plan for a walk (size, source, pace, step) and for a source (start, size, step, before, table).
WALK, SOURCE = 4, 5
# The first sources of a plan: bytes that walks without a border add; the source of the columns; that of the rows.
PLAIN, COLUMNS, ROWS = 0, 1, 2
MOST_SOURCES = 80
# Where the fill value stands, in place of a distance in bytes. No sum of distances and up to MOST_SOURCES of it is
# taken for a distance, or too large for a word.
BLANK = -(1 << 56)
# Rows that are written before their borders are looked up column by column: they are still in the first cache then.
GROUP = 16

_UNITS = {1: UINT8, 2: UINT16, 4: UINT32, 8: UINT64, 16: UINT64}


@dataclass(frozen=True, slots=True)
class Copy:
    """The structure of a copy.

    `itemsize` in bytes; `run`: columns lie side by side in both arrays; `blank`: beyond the borders of the columns'
    source stands nothing but the fill value.
    """

    itemsize: int
    run: bool
    blank: bool

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"copy{self.itemsize}_{'run' if self.run else 'steps'}_{'blank' if self.blank else 'table'}"


def copy_routine(copy: Copy, target: Target) -> str:
    """Return the routine as LLVM IR: `x` and `y` are the first elements, and all steps are in bytes.

    `plan` holds the words of the walks that are neither columns nor rows, the innermost first, then those of the
    sources, then their tables. A task is `task_rows` rows by `task_columns` columns.
    """
    return _Writer(copy, target).text()


@dataclass(frozen=True, slots=True)
class _Line:
    """Positions of a task along columns or rows: those of [low, high) of `count` are inside the source."""

    first: Size  # position on the source
    count: Size
    low: Size
    high: Size

    @property
    def beyond(self) -> Size:
        """How many positions are beyond the end."""
        return self.count - self.high


class _Writer:
    """Writes one routine."""

    def __init__(self, copy: Copy, target: Target) -> None:
        self.copy = copy
        self.unit = _UNITS[copy.itemsize]
        # Complex numbers of 16 bytes move as two words.
        self.parts = copy.itemsize // self.unit.itemsize
        # AVX-512 reads and writes parts of vectors of any element.
        self.masks = target.vector_bytes == 64
        self.r = Routine(copy.name, target, self.unit, pointers=POINTERS, sizes=SIZES)
        self.plan = self.r.table("plan")
        self.sources = self.plan + self.r.size("walks") * WALK
        self.fill = self._fill()

    def text(self) -> str:
        """Return the routine: a task is rows that read the table, at both ends, and the rows between."""
        r, size = self.r, self.r.size
        positions = r.scratch(MOST_SOURCES, INT64)
        with r.tasks() as task:
            first_column = task % size("column_tasks") * size("task_columns")
            rest = task // size("column_tasks")
            first_row = rest % size("row_tasks") * size("task_rows")
            out = self._place(positions, rest // size("row_tasks"))
            line = self._line(positions, COLUMNS, "column", first_column)
            rows = self._line(positions, ROWS, "row", first_row)
            y = r.pointer("y").skip(out + first_row * size("row_step") + first_column * size("column_step"))
            outer = self._outer(positions)
            with r.loop(rows.low + rows.beyond) as k:
                row = r.choose(k.below(rows.low), k, k - rows.low + rows.high)
                distance = outer + self._found(self._source(ROWS), rows.first + row * size("row_pace"))
                with r.either(distance.below(BLANK // 2)) as (nothing, something):
                    with nothing:
                        self._fill_run(y.skip(row * size("row_step")), line.count)
                    with something:
                        self._row(line, r.pointer("x").skip(distance), y.skip(row * size("row_step")))
            inside = rows.high - rows.low
            with r.when(inside.above(0)):
                row_step = r.entry(self._source(ROWS), 2)
                distance = outer + (rows.first + rows.low * size("row_pace")) * row_step
                y = y.skip(rows.low * size("row_step"))
                with r.either(distance.below(BLANK // 2)) as (nothing, something):
                    with nothing, r.loop(inside) as k:
                        self._fill_run(y.skip(k * size("row_step")), line.count)
                    with something:
                        self._rows(line, inside, r.pointer("x").skip(distance), y, row_step * size("row_pace"))
        return r.finish()

    # The place of a task ----------------------------------------------------------------------------------------------

    def _place(self, positions: Pointer, number: Size) -> Size:
        """Write the position on every source of the task `number`, and return its place in y in bytes."""
        r = self.r
        with r.loop(r.size("sources")) as s:
            self._put(positions + s, r.entry(self.sources, s * SOURCE))
        rest, out = r.count(number), r.count(0)
        with r.loop(r.size("walks")) as w:
            size, source, pace, step = (r.entry(self.plan, w * WALK + field) for field in range(WALK))
            index = rest.value % size
            rest.set(rest.value // size)
            self._put(positions + source, r.entry(positions, source) + index * pace)
            out.set(out.value + index * step)
        return out.value

    def _outer(self, positions: Pointer) -> Size:
        """Return the distance in x, in bytes, that the sources besides those of columns and rows add up to."""
        r = self.r
        total = r.count(r.entry(positions, PLAIN))
        with r.loop(r.size("sources") - (ROWS + 1)) as s:
            number = s + (ROWS + 1)
            total.set(total.value + self._found(self._source(number), r.entry(positions, number)))
        return total.value

    def _source(self, number: Size | int) -> Pointer:
        return self.sources + number * SOURCE

    def _found(self, source: Pointer, position: Size) -> Size:
        """Return the distance of a position on a source in bytes, or BLANK; both ways are taken, and one is chosen."""
        r = self.r
        size, step, before, table = (r.entry(source, field) for field in range(1, SOURCE))
        inside = ~position.below(0) & position.below(size)
        beyond = r.choose(position.below(0), position + before, position + before - size)
        looked_up = r.entry(self.plan, r.choose(inside, table, table + beyond))
        return r.choose(inside, position * step, looked_up)

    def _line(self, positions: Pointer, source: int, word: str, first: Size) -> _Line:
        """Return the positions of a task from the column or row `first` on."""
        r = self.r
        pace, size = r.size(f"{word}_pace"), r.entry(self._source(source), 1)
        position = r.entry(positions, source) + first * pace
        count = (r.size(f"{word}s") - first).smaller(r.size(f"task_{word}s"))
        low, high = r.count((0 - position).larger(0)), r.count((size - position).larger(0))
        with r.when(pace.above(1)):  # divisions take long
            low.set((low.value + (pace - 1)) // pace)
            high.set((high.value + (pace - 1)) // pace)
        return _Line(position, count, low.value.smaller(count), high.value.smaller(count))

    # Rows -------------------------------------------------------------------------------------------------------------

    def _row(self, line: _Line, x: Pointer, y: Pointer) -> None:
        """Write one row of a task, whose source begins at x."""
        if self.copy.blank:
            self._fill_run(y, line.low)
            self._fill_run(self._column(y, line.high), line.beyond)
        else:
            self._look_up(line, 0, line.low, self.r.size("rows") * 0 + 1, x, y)
            self._look_up(line, line.high, line.beyond, self.r.size("rows") * 0 + 1, x, y)
        self._middle(line, x, y)

    def _middle(self, line: _Line, x: Pointer, y: Pointer) -> None:
        self._copy_run(x.skip(self._inside(line)), self._column(y, line.low), line.high - line.low)

    def _inside(self, line: _Line) -> Size:
        """Return the distance in x from where a row's source begins to its first column inside."""
        return (line.first + line.low * self.r.size("column_pace")) * self.r.entry(self._source(COLUMNS), 2)

    def _rows(self, line: _Line, count: Size, x: Pointer, y: Pointer, step: Size) -> None:
        """Write `count` rows whose sources stand `step` bytes apart."""
        r, lanes = self.r, self.r.lanes // self.parts
        if not self.copy.blank:
            with r.loop(count, step=GROUP) as first:
                few = (count - first).smaller(GROUP)
                source, target = x.skip(first * step), y.skip(first * r.size("row_step"))
                with r.loop(few) as k:
                    self._middle(line, source.skip(k * step), target.skip(k * r.size("row_step")))
                self._look_up(line, 0, line.low, few, source, target, step)
                self._look_up(line, line.high, line.beyond, few, source, target, step)
            return
        if not self.copy.run:
            with r.loop(count) as k:
                self._row(line, x.skip(k * step), y.skip(k * r.size("row_step")))
            return
        narrow = line.low.below(lanes + 1) & line.beyond.below(lanes + 1)
        with r.either(narrow & line.count.above(lanes - 1)) as (whole, other):
            with whole:
                self._framed(line, count, x, y, step)
            with other, r.loop(count) as k:
                self._row(line, x.skip(k * step), y.skip(k * r.size("row_step")))

    def _framed(self, line: _Line, count: Size, x: Pointer, y: Pointer, step: Size) -> None:
        """Write rows of at least one vector, with at most one vector of the fill value at each end."""
        r, row_step = self.r, self.r.size("row_step")
        last = line.count * self.parts - r.lanes
        if not self.masks:
            with r.loop(count) as k:
                row = y.skip(k * row_step)
                with r.when(line.low.above(0)):
                    r.store(self.fill, row)
                with r.when(line.beyond.above(0)):
                    r.store(self.fill, row + last)
                self._middle(line, x.skip(k * step), row)
            return
        # The first and the last vector are partly the fill value; the latter may overlap the one before it.
        low, high = line.low * self.parts, line.high * self.parts
        x = x.skip(self._inside(line)) + (0 - low)
        masks = [(at, r.lanes_from(low - at) & r.first_lanes(high - at)) for at in (low * 0, last)]
        with r.loop(count) as k:
            source, row = x.skip(k * step), y.skip(k * row_step)
            with r.loop(last - r.lanes, step=r.lanes) as i:
                r.store(r.load(source + i + r.lanes), row + i + r.lanes)
            for at, mask in masks:
                r.store(r.select(mask, r.load(source + at, mask), self.fill), row + at)

    def _look_up(
        self, line: _Line, first: Size | int, count: Size, rows: Size, x: Pointer, y: Pointer, step: Size | int = 0
    ) -> None:
        """Copy `count` columns beyond a border one by one, each in all rows."""
        r = self.r
        with r.loop(count) as i:
            column = i + first
            distance = self._found(self._source(COLUMNS), line.first + column * r.size("column_pace"))
            target, row_step = self._column(y, column), r.size("row_step")
            with r.either(distance.below(BLANK // 2)) as (nothing, something):
                with nothing, r.loop(rows) as k:
                    self._move(None, target.skip(k * row_step))
                with something, r.loop(rows) as k:
                    self._move(x.skip(distance + k * step), target.skip(k * row_step))

    def _copy_run(self, x: Pointer, y: Pointer, count: Size) -> None:
        r = self.r
        if self.copy.run:
            self._vectors(y, count * self.parts, lambda at, lanes: r.store(r.load(x + at, lanes=lanes), y + at))
            return
        step = r.entry(self._source(COLUMNS), 2) * r.size("column_pace")
        unroll = 4
        with r.loop(count - (unroll - 1), step=unroll) as i:
            for k in range(unroll):
                self._move(x.skip((i + k) * step), self._column(y, i + k))
        done = count.larger(0) // unroll * unroll
        with r.loop(count - done) as i:
            self._move(x.skip((done + i) * step), self._column(y, done + i))

    def _fill_run(self, y: Pointer, count: Size) -> None:
        r = self.r
        if self.copy.run:
            self._vectors(y, count * self.parts, lambda at, lanes: r.store(self._narrow(lanes), y + at))
            return
        with r.loop(count) as i:
            self._move(None, self._column(y, i))

    def _vectors(self, y: Pointer, count: Size, move: Callable[[Size | int, int], None]) -> None:
        """Move `count` units to y: whole vectors, the last of which ends with the last unit; fewer by two that overlap.

        Many vectors stand at multiples of their size, but the first and the last, which overlap those beside them:
        stores that cross cache lines take twice as long.
        """
        r = self.r

        def narrower(lanes: int) -> None:
            with r.either(count.above(lanes - 1)) as (fits, too_wide):
                with fits:
                    move(0, lanes)
                    move(count - lanes, lanes)
                with too_wide:
                    if lanes > self.parts:
                        narrower(lanes // 2)

        with r.either(count.above(r.lanes - 1)) as (many, few):
            with many:
                move(0, r.lanes)
                first = self._to_line(y)
                with r.loop(count - r.lanes - first, step=r.lanes) as i:
                    move(first + i, r.lanes)
                move(count - r.lanes, r.lanes)
            with few:
                narrower(r.lanes // 2)

    def _to_line(self, y: Pointer) -> Size:
        """Return how many units from y, at least one, the next multiple of a vector's size is."""
        size = self.unit.itemsize
        return 0 - y.address % (self.r.lanes * size) // size + self.r.lanes

    # Single items -----------------------------------------------------------------------------------------------------

    def _column(self, y: Pointer, column: Size) -> Pointer:
        return y + column * self.parts if self.copy.run else y.skip(column * self.r.size("column_step"))

    def _move(self, x: Pointer | None, y: Pointer) -> None:
        """Copy one item, or write the fill value."""
        r = self.r
        value = self._narrow(self.parts) if x is None else r.load(x, lanes=self.parts)
        r.store(value, y)

    def _fill(self) -> Vector:
        r = self.r
        low, high = (r.spread(r.size(word), self.unit) for word in ("fill", "fill_high"))
        if self.parts == 1:
            return low
        return r.shuffle(low, high, [i if i % 2 == 0 else r.lanes for i in range(r.lanes)])

    def _narrow(self, lanes: int) -> Vector:
        return self.r.shuffle(self.fill, self.fill, range(lanes))

    def _put(self, place: Pointer, size: Size) -> None:
        self.r.store(self.r.spread(size, lanes=1), place)
