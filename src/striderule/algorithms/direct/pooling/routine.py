"""A pooling in the tile language: tasks, planes, rows, and the four ways to go through their windows.

Positions outside the input never cost a comparison: tables hold the part of every window that is inside, and a row that
is pooled along has what counts for nothing (the least number, or zero) where the padding would be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from striderule.algorithms.direct.pooling.running import Running, nothing, nowhere
from striderule.algorithms.direct.pooling.structure import POINTERS, ROOM, SHUFFLED, SIZES, Structure
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT64, INT64, Condition, Pointer, Routine, Size, Vector

# Vectors that are computed together, where there are as many.
BLOCK = 4
# What may be read behind the row that a task holds: the last vector of outputs, and all that it is taken from.
SLACK = 64 * (SHUFFLED + 1)

Take = Callable[[Size, Size, bool], None]
Body = Callable[[list[Size], "Size | None"], None]


def pooling_routine(target: Target, s: Structure) -> str:
    """Return the routine of a structure as LLVM IR. Its words are `structure.POINTERS` and `structure.SIZES`."""
    pool = Pool(target, s)
    r, size = pool.r, pool.r.size
    with r.tasks() as task:
        column_task, rest = task % size("column_tasks"), task // size("column_tasks")
        row_task, plane_task = rest % size("row_tasks"), rest // size("row_tasks")
        first_plane, planes = pool.part(plane_task, "task_planes", "planes")
        if s.mode == "whole":
            pool.whole(first_plane, planes)
        else:
            first_row, rows = pool.part(row_task, "task_rows", "rows")
            with pool.chunks(*pool.part(column_task, "task_columns", "outputs2")) as (begin, count):
                strip = pool.strip(begin, count) if pool.holds_rows else None
                with pool.planes(first_plane, planes) as plane:
                    if strip is not None:
                        pool.rows_of(plane, strip, first_row, rows)
                    else:
                        pool.windows_of(plane, begin, count, first_row, rows)
    return r.finish()


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a plane begins in the input, the values and the places; its number, and how many lanes it has."""

    x: Pointer
    y: Pointer
    where: Pointer
    number: Size
    lanes: Size


@dataclass(frozen=True, slots=True)
class Row:
    """Some outputs with the same windows on all axes but the last: where they and their inputs begin.

    `counts` are the lengths of these windows, `place` the flat place where they begin, `scale` what their sums are
    multiplied with or divided by.
    """

    x: Pointer
    y: Pointer
    where: Pointer
    counts: list[Size]
    place: Size
    scale: Vector | None
    windows: Pointer
    lanes: Size


@dataclass(frozen=True, slots=True)
class Strip:
    """The outputs of rows that a task holds the inputs of: from `begin` on, as many as `outputs`.

    The inputs begin at `low`, maybe in the padding; `count` of them stand inside, `skip` behind `low`.
    """

    low: Size
    skip: Size
    count: Size
    begin: Size
    outputs: Size


class Pool:
    """A routine while it is written, and the structure that it is written for."""

    def __init__(self, target: Target, s: Structure) -> None:
        self.s = s
        self.r = Routine(s.name, target, s.work, pointers=POINTERS, sizes=SIZES)
        self.x, self.y = ELEMENTS[s.x], ELEMENTS[s.y]
        self.lanes = self.r.lanes
        self.zero, self.full = Size(self.r, INT64.type(0)), Size(self.r, INT64.type(self.lanes))
        self.nothing = nothing(s.work, s.sums)
        self.holds_rows = s.mode in ("along", "table") and not s.near
        self.outer = range(2 - s.outer, 2)
        if self.holds_rows:
            self._values = self.r.scratch(ROOM + SLACK, s.work)
            self._places = self.r.scratch(ROOM + SLACK, s.place) if s.places else None

    # Pieces -----------------------------------------------------------------------------------------------------------

    def part(self, number: Size, piece: str, whole: str) -> tuple[Size, Size]:
        """Return where a piece of a task begins, and how much it has."""
        first = number * self.r.size(piece)
        return first, (self.r.size(whole) - first).smaller(self.r.size(piece))

    @contextmanager
    def chunks(self, first: Size, columns: Size) -> Iterator[tuple[Size, Size]]:
        """Run the body for as many outputs at a time as the room for a row serves."""
        r = self.r
        if not self.holds_rows:
            yield first, columns
            return
        chunk = r.size("chunk")
        with r.loop((columns + chunk - 1) // chunk) as number:
            done = number * chunk
            yield first + done, (columns - done).smaller(chunk)

    @contextmanager
    def planes(self, first: Size, count: Size) -> Iterator[Plane]:
        """Run the body for some planes. Counting them takes less time than dividing their numbers."""
        r, size = self.r, self.r.size
        outer, inner = r.count(first // size("inner")), r.count(first % size("inner"))
        with r.loop(count) as number:
            yield self._plane(first + number, outer.value, inner.value)
            following = inner.value + 1
            over = following.equals(size("inner"))
            inner.set(r.choose(over, 0, following))
            outer.set(outer.value + r.choose(over, 1, 0))

    def _plane(self, number: Size, outer: Size, inner: Size) -> Plane:
        r, size = self.r, self.r.size
        x = r.pointer("x", self.x) + outer * size("x_outer") + inner * size("x_inner")
        y = r.pointer("y", self.y) + outer * size("y_outer") + inner * size("y_inner")
        where = r.pointer("where", INT64) + outer * size("where_outer") + inner * size("where_inner")
        lanes = (size("lanes") - inner * size("plane_lanes")).smaller(size("plane_lanes"))
        return Plane(x, y, where, number, lanes)

    def row(self, plane: Plane, number: Size) -> Row:
        """Return a row of outputs of a plane."""
        r, size = self.r, self.r.size
        x, y, where = plane.x, plane.y, plane.where
        numbers = {1: number}
        if self.s.outer == 2:
            numbers = {0: number // size("outputs1"), 1: number % size("outputs1")}
        counts, place, scale = [], self.zero, None
        for axis in self.outer:
            j = numbers[axis]
            start, count = self.window(self.table(axis, plane.number), j)
            counts.append(count)
            place = place + start * size(f"place{axis}")
            x, y = x + start * size(f"x{axis}"), y + j * size(f"y{axis}")
            where = where + j * size(f"where{axis}")
            if self.s.sums:
                factor = r.broadcast(r.pointer(f"scale{axis}", FLOAT64) + j)
                scale = factor if scale is None else scale * factor
        return Row(x, y, where, counts, place, scale, self.table(2, plane.number), plane.lanes)

    def table(self, axis: int, plane: Size) -> Pointer:
        """Return the windows of an axis: pairs of a start and a length."""
        return self.r.table(f"windows{axis}") + plane * self.r.size(f"plane{axis}")

    def window(self, table: Pointer, j: Size) -> tuple[Size, Size]:
        """Return where the window of an output begins, and its length, both of what is inside the input."""
        return self.r.entry(table, j * 2), self.r.entry(table, j * 2 + 1)

    def taps(self, counts: list[Size], body: Take) -> None:
        """Run the body for every tap of the axes before the last: body(distance in x, in flat places, whether first).

        Only the first tap of windows that are never empty is told to be the first.
        """
        r, size = self.r, self.r.size
        distance = place = self.zero
        with ExitStack() as loops:
            for axis, count in zip(self.outer, counts, strict=True):
                if axis == 1 and self.s.rows:
                    break
                tap = loops.enter_context(r.loop(count)) * size(f"d{axis}")
                distance, place = distance + tap * size(f"x{axis}"), place + tap * size(f"place{axis}")
            if not self.s.rows:
                body(distance, place, self.s.filled and not counts)
            for number in range(self.s.rows):
                tap = size("d1") * number
                far = distance + tap * size("x1"), place + tap * size("place1")
                if self.s.filled and number == 0:
                    body(*far, len(counts) == 1)
                else:
                    with r.when(counts[-1].above(number)):
                        body(*far, False)

    def blocks(self, count: Size, body: Body, widths: Sequence[int] = (BLOCK, 2)) -> None:
        """Run body(starts, None) for vectors that cover `count` elements, none of them reaching behind the last.

        There are as many starts at a time as the first of `widths` where there are enough, then as the next, then one.
        Where all are less than a vector holds, body([0], count) once.
        """
        r, lanes = self.r, self.lanes
        with r.either(count.above(lanes - 1)) as (full, few):
            with full:
                vectors, end = (count + (lanes - 1)) // lanes, count - lanes

                def some(first: Size, number: int) -> None:
                    body([((first + v) * lanes).smaller(end) for v in range(number)], None)

                done = self.zero
                for width in widths:
                    # One vector too many costs less than one turn more.
                    whole = (vectors - done + width // 4).larger(0) // width
                    with r.loop(whole) as block:
                        some(done + block * width, width)
                    done = done + whole * width
                with r.loop(vectors - done) as block:
                    some(done + block, 1)
            with few:
                body([self.zero], count)

    # Elements ---------------------------------------------------------------------------------------------------------

    def fetch(self, where: Pointer, step: Size, count: Size | None = None, lanes: int | None = None) -> Vector:
        """Return lanes of the input as they are computed with; those behind `count` are zero."""
        r = self.r
        if self.s.x_apart and lanes is None:
            found = r.gather(where, step, self.full if count is None else count)
        else:
            found = r.load(where, None if count is None else r.first_lanes(count), lanes)
        value = r.convert(found, self.s.work)
        if self.s.kind == "root":
            return value * value
        if self.s.kind in ("most", "least"):
            value = r.absolute(value)
            return -value if self.s.kind == "least" else value
        return value

    def store(self, run: Running, row: Row, moves: tuple[Size, Size], scale: Vector | None, count: Size | None) -> None:
        """Write what windows have come to; `moves` are the distances from the row in y and in the places."""
        r, s = self.r, self.s
        value = run.value
        if s.sums and scale is not None:
            value = value + 0.0  # a sum of negative zeros is zero
            scale = r.shuffle(scale, scale, [0]) if value.lanes == 1 < scale.lanes else scale
            value = value / scale if s.divides else value * scale
        value = r.square_root(value) if s.kind == "root" else -value if s.kind == "least" else value
        self._write(r.convert(value, self.y), row.y + moves[0], r.size(self._step("y")), count)
        if s.places:
            where = r.convert(run.where, INT64)
            if not s.filled:
                where = r.select(run.where.equals(nowhere(s.place)), where.like(-1), where)
            self._write(where, row.where + moves[1], r.size(self._step("where")), count)

    def _write(self, value: Vector, where: Pointer, step: Size, count: Size | None) -> None:
        r = self.r
        if value.lanes == 1:
            r.store(value, where)
        elif self.s.y_apart:
            r.scatter(value, where, step, self.full if count is None else count)
        else:
            r.store(value, where, None if count is None else r.first_lanes(count))

    def _step(self, word: str) -> str:
        return {"across": f"{word}_lane", "whole": f"{word}_inner"}.get(self.s.mode, f"{word}2")

    def nonempty(self, counts: list[Size]) -> Condition | None:
        """Return whether all of the windows have elements."""
        found = None
        for count in counts:
            some = count.above(0)
            found = some if found is None else found & some
        return found

    def first_places(self, place: Size, numbers: Vector | None, counts: list[Size]) -> Vector:
        """Return the place of the first element, and `nowhere` where there is none."""
        r, kind = self.r, self.s.place
        first = r.spread(place, kind)
        first = first if numbers is None else first + numbers
        some = self.nonempty(counts)
        if some is None or self.s.filled:
            return first
        return r.select(r.spread(r.choose(some, 1, 0), kind).equals(1), first, first.like(nowhere(kind)))

    # Along rows -------------------------------------------------------------------------------------------------------

    def strip(self, begin: Size, outputs: Size) -> Strip:
        """Return the room for the inputs of some outputs, with nothing where the padding would be."""
        r, s, size = self.r, self.s, self.r.size
        if s.mode == "table":
            reach, number = r.table("reach"), begin // size("chunk")
            low, high = r.entry(reach, number * 2), r.entry(reach, number * 2 + 1)
            return Strip(low, self.zero, high - low, begin, outputs)
        low = begin * s.stride - size("before2")
        span = (outputs - 1) * s.stride + (size("taps2") - 1) * size("d2") + 1
        skip = (0 - low).larger(0).smaller(span)
        end = (size("n2") - low).smaller(span).larger(skip)
        with r.loop(size("held")) as held:
            for start, stop in ((self.zero, skip), (end, span)):
                with r.loop(stop - start, step=self.lanes) as i:
                    at = held * size("pitch") + start + i
                    r.store(r.constant(self.nothing, s.work), self._values + at)
                    if self._places is not None:
                        r.store(r.constant(nowhere(s.place), s.place), self._places + at)
        return Strip(low, skip, end - skip, begin, outputs)

    def rows_of(self, plane: Plane, strip: Strip, first: Size, rows: Size) -> None:
        """Pool some rows: as many as there is room for over the other axes, then these along the last one."""
        r, size = self.r, self.r.size
        held = size("held")
        with r.loop((rows + held - 1) // held) as turn:
            begin = first + turn * held
            count = (rows - turn * held).smaller(held)
            with r.loop(count) as i:
                self.reduce_rows(self.row(plane, begin + i), strip, i * size("pitch"))
            # Rows whose outputs follow one another are as good as one long row.
            joined = size("joined").equals(1)
            lines, outputs = r.choose(joined, 1, count), r.choose(joined, count * strip.outputs, strip.outputs)
            with r.loop(lines) as i:
                self.reduce_along(self.row(plane, begin + i), strip, i * size("pitch"), outputs)

    def windows_of(self, plane: Plane, begin: Size, columns: Size, first: Size, rows: Size) -> None:
        """Pool some rows window by window."""
        r = self.r
        with r.loop(rows) as i:
            row = self.row(plane, first + i)
            if self.s.near:
                self.near(row, begin, columns)
            else:
                with r.loop(columns) as j:
                    (self.across if self.s.mode == "across" else self.within)(row, begin + j)

    def reduce_rows(self, row: Row, strip: Strip, held: Size) -> None:
        """Reduce the windows over all axes but the last, for every position of the strip; keep them at `held`."""
        r, s, step = self.r, self.s, self.r.size("x2")
        first = strip.low + strip.skip
        source = row.x + first * step
        lane = r.numbered(s.place) if s.places else None

        def body(starts: list[Size], count: Size | None) -> None:
            runs = [Running(r, s) for _ in starts]
            columns = [None if lane is None else lane + r.spread(first + start, s.place) for start in starts]
            for run, numbers in zip(runs, columns, strict=True):
                if numbers is not None:
                    run.start_at(self.first_places(row.place, numbers, row.counts))

            def take(distance: Size, place: Size, first: bool) -> None:
                for run, start, numbers in zip(runs, starts, columns, strict=True):
                    value = self.fetch(source + distance + start * step, step, count)
                    where = None if numbers is None else numbers + r.spread(row.place + place, s.place)
                    (run.put if first else run.take)(value, where)

            self.taps(row.counts, take)
            for run, start in zip(runs, starts, strict=True):
                self._keep(run, held + strip.skip + start, count)

        with r.when(strip.count.above(0)):
            self.blocks(strip.count, body)

    def _keep(self, run: Running, at: Size, count: Size | None) -> None:
        """Write to the room; lanes behind the inputs become nothing."""
        r, s = self.r, self.s
        value, places = run.value, run.where if s.places else None
        if count is not None:
            here = r.first_lanes(count)
            value = r.select(here, value, value.like(self.nothing))
            places = None if places is None else r.select(here, places, places.like(nowhere(s.place)))
        r.store(value, self._values + at)
        if places is not None and self._places is not None:
            r.store(places, self._places + at)

    def reduce_along(self, row: Row, strip: Strip, held: Size, outputs: Size) -> None:
        """Reduce what is kept at `held` along the last axis and write the outputs."""
        if self.s.mode == "table":
            with self.r.loop(outputs) as j:
                self._one_by_one(row, strip, held, strip.begin + j)
            return
        r, s, size = self.r, self.s, self.r.size
        rooms = self._rooms

        def body(starts: list[Size], count: Size | None) -> None:
            runs = [Running(r, s) for _ in starts]
            for run, start in zip(runs, starts, strict=True) if s.taps else ():
                self._take_taps(run, held + start * s.stride)
            if not s.taps:
                with r.loop(size("taps2")) as tap:
                    for run, start in zip(runs, starts, strict=True):
                        at = held + start * s.stride + tap * size("d2")
                        run.meet(*(self._under(room + at, 1)[0] for room in rooms))
            for run, start in zip(runs, starts, strict=True):
                j = strip.begin + start
                self.store(run, row, (j * r.size("y2"), j * r.size("where2")), self._scales(row, j), count)

        self.blocks(outputs, body, () if s.places else (2,))

    def near(self, row: Row, begin: Size, outputs: Size) -> None:
        """Pool windows that stand side by side along a row: inputs of all lanes first, then these by shuffles."""
        r, s, lanes = self.r, self.s, self.lanes
        numbers = r.numbered(s.place) if s.places else None

        def body(starts: list[Size], count: Size | None) -> None:
            vectors = [(start, v) for start in starts for v in range(s.stride)]
            counts = [None if count is None else count * s.stride - v * lanes for _, v in vectors]
            first = [(begin + start) * s.stride + v * lanes for start, v in vectors]
            runs = [Running(r, s) for _ in vectors]
            columns = [None if numbers is None else numbers + r.spread(column, s.place) for column in first]
            for run, column in zip(runs, columns, strict=True):
                if column is not None:
                    run.start_at(self.first_places(row.place, column, row.counts))

            def take(distance: Size, place: Size, alone: bool) -> None:
                for run, column, some, each in zip(runs, first, counts, columns, strict=True):
                    value = self.fetch(row.x + distance + column, r.size("x2"), some)
                    where = None if each is None else each + r.spread(row.place + place, s.place)
                    (run.put if alone else run.take)(value, where)

            self.taps(row.counts, take)
            for number, start in enumerate(starts):
                run = self._side_by_side(runs[number * s.stride : (number + 1) * s.stride])
                j = begin + start
                self.store(run, row, (j * r.size("y2"), j * r.size("where2")), self._scales(row, j), count)

        self.blocks(outputs, body, [BLOCK // s.stride] if s.stride < BLOCK else ())

    def _side_by_side(self, runs: list[Running]) -> Running:
        """Return what windows come to whose numbers follow one another through some vectors."""
        r, s, lanes = self.r, self.s, self.lanes
        values = [run.value for run in runs]
        places = [run.where for run in runs] if s.places else []
        if s.taps == s.stride == 4:
            # Neighbours first, and then neighbouring pairs: half as many shuffles.
            return self._side_by_side_pairs([self._side_by_side_pairs(runs[:2]), self._side_by_side_pairs(runs[2:])])
        result = Running(r, s)
        for tap in range(s.taps):
            pattern = [i * s.stride + tap for i in range(lanes)]
            value, place = self._picked(values, pattern), self._picked(places, pattern) if places else None
            if tap == 0:
                result.put(value, place)
            else:
                result.meet(value, place)
        return result

    def _side_by_side_pairs(self, runs: list[Running]) -> Running:
        """Return what each two neighbours of two vectors come to."""
        r, s, lanes = self.r, self.s, self.lanes
        result = Running(r, s)
        for tap in range(2):
            pattern = range(tap, 2 * lanes, 2)
            value = r.shuffle(runs[0].value, runs[1].value, pattern)
            place = r.shuffle(runs[0].where, runs[1].where, pattern) if s.places else None
            if tap == 0:
                result.put(value, place)
            else:
                result.meet(value, place)
        return result

    def _picked(self, vectors: list[Vector], numbers: list[int]) -> Vector:
        """Return the numbers of these places in some vectors, one behind the other; one to each lane."""
        r, lanes = self.r, self.lanes
        found = r.shuffle(vectors[0], vectors[0], [at if at < lanes else 0 for at in numbers])
        for number, vector in enumerate(vectors[1 : max(numbers) // lanes + 1], 1):
            # Lanes that stand in this vector replace what the pattern left open; those found already stay.
            first = number == 1
            source = vectors[0] if first else found
            pattern = [
                lanes + at % lanes if at // lanes == number else at if first and at < lanes else i
                for i, at in enumerate(numbers)
            ]
            found = r.shuffle(source, vector, pattern)
        return found

    @property
    def _rooms(self) -> list[Pointer]:
        """What a task holds: values, and maybe their places."""
        return [self._values] if self._places is None else [self._values, self._places]

    def _take_taps(self, run: Running, at: Size) -> None:
        """Take all taps of a vector of windows, the first of which begins at `at`."""
        taps = zip(*(self._under(room + at, self.s.taps) for room in self._rooms), strict=True)
        for number, tap in enumerate(taps):
            (run.meet if number else run.put)(*tap)

    def _under(self, where: Pointer, taps: int) -> list[Vector]:
        """Return what stands under each of some neighbouring taps of a vector of windows, the first at `where`."""
        r, stride, lanes = self.r, self.s.stride, self.lanes
        if stride == 1:
            return [r.load(where + tap) for tap in range(taps)]
        vectors = [r.load(where + number * lanes) for number in range(-(-((lanes - 1) * stride + taps) // lanes))]
        return [self._picked(vectors, [i * stride + tap for i in range(lanes)]) for tap in range(taps)]

    def _one_by_one(self, row: Row, strip: Strip, held: Size, j: Size) -> None:
        """Reduce one window, number by number."""
        r, s = self.r, self.s
        start, count = self.window(row.windows, j)
        begin = held + (start - strip.low)
        run = Running(r, s, 1)
        with r.loop(count) as tap:
            at = begin + tap * r.size("d2")
            places = None if self._places is None else r.load(self._places + at, lanes=1)
            run.meet(r.load(self._values + at, lanes=1), places)
        self.store(run, row, (j * r.size("y2"), j * r.size("where2")), self._scales(row, j, 1), None)

    def _scales(self, row: Row, j: Size, lanes: int | None = None) -> Vector | None:
        """Return the scales of the outputs from `j` on."""
        r = self.r
        if not self.s.sums:
            return None
        last = r.load(r.pointer("scale2", FLOAT64) + j * r.size("scale_step"), lanes=lanes)
        if row.scale is None:
            return last
        return last * (r.shuffle(row.scale, row.scale, [0]) if lanes == 1 else row.scale)

    # Across windows ---------------------------------------------------------------------------------------------------

    def across(self, row: Row, j: Size) -> None:
        """Reduce one window for all lanes of a plane."""
        r, s, size = self.r, self.s, self.r.size
        first, length = self.window(row.windows, j)
        source, place = row.x + first * size("x2"), row.place + first
        step, hop = size("x_lane"), size("d2") * size("x2")
        scale = self._scales(row, j, 1)
        scale = None if scale is None else r.shuffle(scale, scale, [0] * self.lanes)
        moves = j * size("y2"), j * size("where2")

        def body(starts: list[Size], count: Size | None) -> None:
            runs = [Running(r, s) for _ in starts]
            for run in runs if s.places else ():
                run.start_at(self.first_places(place, None, [*row.counts, length]))

            def take(distance: Size, far: Size, _: bool) -> None:
                with r.loop(length) as tap:
                    here = r.spread(place + far + tap * size("d2"), s.place) if s.places else None
                    for run, start in zip(runs, starts, strict=True):
                        run.take(self.fetch(source + distance + tap * hop + start * step, step, count), here)

            self.taps(row.counts, take)
            for run, lane in zip(runs, starts, strict=True):
                away = moves[0] + lane * size("y_lane"), moves[1] + lane * size("where_lane")
                self.store(run, row, away, scale, count)

        self.blocks(row.lanes, body, (2 * BLOCK, 2) if r.target.registers > 16 and not s.places else (BLOCK, 2))

    # Within windows ---------------------------------------------------------------------------------------------------

    def within(self, row: Row, j: Size) -> None:
        """Reduce one window, its lanes along the last axis."""
        r, s, size, lanes = self.r, self.s, self.r.size, self.lanes
        first, length = self.window(row.windows, j)
        source, step = row.x + first * size("x2"), size("x2") * size("d2")
        runs = [Running(r, s) for _ in range(BLOCK)]
        numbers = r.numbered(s.place) if s.places else None

        def take(run: Running, source: Pointer, start: Size, place: Size, count: Size | None) -> None:
            value = self.fetch(source + start * step, step, count)
            where = None
            if numbers is not None:
                where = (numbers + r.spread(start, s.place)) * r.spread(size("d2"), s.place) + r.spread(place, s.place)
            if count is not None and not s.sums:
                here = r.first_lanes(count)
                value = r.select(here, value, value.like(self.nothing))
                where = None if where is None else r.select(here, where, where.like(nowhere(s.place)))
            run.meet(value, where)

        def sweep(distance: Size, far: Size, _: bool) -> None:
            place, begin = row.place + first + far, source + distance
            whole = length // (BLOCK * lanes)
            with r.loop(whole) as block:
                for v, run in enumerate(runs):
                    take(run, begin, (block * BLOCK + v) * lanes, place, None)
            done = whole * (BLOCK * lanes)
            with r.loop((length - done) // lanes) as block:
                take(runs[0], begin, done + block * lanes, place, None)
            done = length // lanes * lanes
            with r.when(length.above(done)):
                take(runs[0], begin, done, place, length - done)

        self.taps(row.counts, sweep)
        for run in runs[1:]:
            runs[0].meet(run.value, run.where if s.places else None)
        total = runs[0].folded()
        single = Running(r, s, 1)
        place = r.shuffle(total.where, total.where, [0]) if s.places else None
        single.put(r.shuffle(total.value, total.value, [0]), place)
        self.store(single, row, (j * size("y2"), j * size("where2")), self._scales(row, j, 1), None)

    # Whole planes -----------------------------------------------------------------------------------------------------

    def whole(self, first: Size, planes: Size) -> None:
        """Reduce planes that are one window each, as many at a time as there are registers for."""
        r, s, size, lanes = self.r, self.s, self.r.size, self.lanes
        together = min(lanes, r.target.registers // 2)
        length, numbers = size("n2"), r.numbered(s.place) if s.places else None
        whole = length // lanes
        end = whole * lanes
        with r.loop((planes + (together - 1)) // together) as turn:
            begin, left = first + turn * together, planes - turn * together
            x = r.pointer("x", self.x) + begin * size("x_inner")
            # Where there are fewer planes the last is read again, and not written.
            sources = [x + (left - 1).smaller(number) * size("x_inner") for number in range(together)]
            runs = [Running(r, s) for _ in sources]
            if numbers is not None:
                for run in runs:
                    run.start_at(numbers)
            with r.loop(whole) as block:
                here = None if numbers is None else numbers + r.spread(block * lanes, s.place)
                for run, source in zip(runs, sources, strict=True):
                    run.take(self.fetch(source + block * lanes, size("x2")), here)
            with r.when(length.above(end)):
                inside = r.first_lanes(length - end)
                here = None if numbers is None else numbers + r.spread(end, s.place)
                for run, source in zip(runs, sources, strict=True):
                    value = self.fetch(source + end, size("x2"), length - end)
                    run.take(value if s.sums else r.select(inside, value, value.like(self.nothing)), here)
            row = Row(
                x,
                r.pointer("y", self.y) + begin * size("y_inner"),
                r.pointer("where", INT64) + begin * size("where_inner"),
                [],
                self.zero,
                None,
                r.table("windows2"),
                self.zero,
            )
            count = left.smaller(together)
            self.store(self._gathered(runs), row, (self.zero, self.zero), self._scales(row, self.zero), count)

    def _gathered(self, runs: list[Running]) -> Running:
        """Return what the lanes of each come to, side by side: halves meet halves, of two vectors at a time."""
        r, s, lanes = self.r, self.s, self.lanes
        half, count = lanes // 2, len(runs)
        while len(runs) > 1:
            middle = len(runs) // 2
            low = [lane if not lane & half else lanes + lane - half for lane in range(lanes)]
            high = [lane + half if not lane & half else lanes + lane for lane in range(lanes)]
            pairs = zip(runs[:middle], runs[middle:], strict=True)
            runs, half = [self._met(one, other, low, high) for one, other in pairs], half // 2
        (run,) = runs
        while half:
            same, other = list(range(lanes)), [lane ^ half for lane in range(lanes)]
            run, half = self._met(run, run, same, other), half // 2
        # The numbers of the vectors are the upper bits of those of the lanes.
        pattern = [min(lane, count - 1) * (lanes // count) for lane in range(lanes)]
        result = run.like()
        result.put(
            r.shuffle(run.value, run.value, pattern), r.shuffle(run.where, run.where, pattern) if s.places else None
        )
        return result

    def _met(self, one: Running, other: Running, low: list[int], high: list[int]) -> Running:
        """Return what two patterns of the lanes of two vectors come to."""
        r, result = self.r, one.like()
        for pattern, move in ((low, result.put), (high, result.meet)):
            place = r.shuffle(one.where, other.where, pattern) if self.s.places else None
            move(r.shuffle(one.value, other.value, pattern), place)
        return result
