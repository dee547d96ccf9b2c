"""Pooling along rows: windows are reduced over all axes but the last first, and then along it.

The largest of a window is the largest of the largest of its columns, and so for sums; k x k taps take 2 k steps. What
stands between the two steps is held in a little room, for some rows at a time, with what counts for nothing (the least
number, or zero) where the padding would be. Windows that stand side by side need no room.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from striderule.algorithms.direct.pooling.pool import BLOCK, Part, Plane, Pool, Row
from striderule.algorithms.direct.pooling.running import Running, nowhere
from striderule.algorithms.direct.pooling.structure import ROOM, SHUFFLED, Structure
from striderule.codegen.target import Target
from striderule.codegen.tile import Pointer, Routine, Size, Vector

# What may be read behind the rows that a task holds: the last vector of outputs, and all that it is taken from.
SLACK = 64 * (SHUFFLED + 1)


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


class AlongRows(Pool):
    """Rows that are held between the two steps; their windows stand at equal steps, or where a table says."""

    def __init__(self, target: Target, s: Structure) -> None:
        super().__init__(target, s)
        self._values = self.r.scratch(ROOM + SLACK, s.work)
        self._places = self.r.scratch(ROOM + SLACK, s.place) if s.places else None

    def compute(self, planes: Part, rows: Part, columns: Part) -> None:
        """Compute these planes, rows and columns of outputs, as many columns at a time as there is room for."""
        with self.chunks(columns) as chunk:
            strip = self.strip(chunk.first, chunk.count)
            with self.planes(planes) as plane:
                self.rows_of(plane, strip, rows.first, rows.count)

    @contextmanager
    def chunks(self, columns: Part) -> Iterator[Part]:
        """Run the body for as many outputs at a time as the room for a row serves."""
        r, chunk = self.r, self.r.size("chunk")
        with r.loop((columns.count + chunk - 1) // chunk) as number:
            done = number * chunk
            yield Part(columns.first + done, (columns.count - done).smaller(chunk))

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
                self.store(run, row, (j * r.size("y2"), j * r.size("where2")), self.scales(row, j), count)

        self.blocks(outputs, body, () if s.places else (2,))

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
        return [picked(r, vectors, [i * stride + tap for i in range(lanes)]) for tap in range(taps)]

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
        self.store(run, row, (j * r.size("y2"), j * r.size("where2")), self.scales(row, j, 1), None)


class SideBySide(Pool):
    """Windows that stand side by side along rows: inputs of all lanes first, then these by shuffles."""

    def compute(self, planes: Part, rows: Part, columns: Part) -> None:
        """Compute these planes, rows and columns of outputs."""
        with self.planes(planes) as plane, self.r.loop(rows.count) as i:
            self.near(self.row(plane, rows.first + i), columns.first, columns.count)

    def near(self, row: Row, begin: Size, outputs: Size) -> None:
        """Pool some windows of a row."""
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
                self.store(run, row, (j * r.size("y2"), j * r.size("where2")), self.scales(row, j), count)

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
            value, place = picked(r, values, pattern), picked(r, places, pattern) if places else None
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


def picked(r: Routine, vectors: list[Vector], numbers: list[int]) -> Vector:
    """Return the numbers of these places in some vectors, one behind the other; one to each lane."""
    lanes = vectors[0].lanes
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
