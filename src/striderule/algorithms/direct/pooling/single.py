"""Pooling window by window: lanes across many windows, within each of them, or along whole planes."""

from __future__ import annotations

from striderule.algorithms.direct.pooling.pool import BLOCK, Part, Pool, Row
from striderule.algorithms.direct.pooling.running import Running, nowhere
from striderule.codegen.tile import INT64, Pointer, Size


class AcrossWindows(Pool):
    """Lanes along an axis that is not pooled: channels that stand last."""

    def compute(self, planes: Part, rows: Part, columns: Part) -> None:
        """Compute these planes, rows and columns of outputs."""
        r = self.r
        with self.planes(planes) as plane, r.loop(rows.count) as i:
            row = self.row(plane, rows.first + i)
            with r.loop(columns.count) as j:
                self.across(row, columns.first + j)

    def across(self, row: Row, j: Size) -> None:
        """Reduce one window for all lanes of a plane."""
        r, s, size = self.r, self.s, self.r.size
        first, length = self.window(row.windows, j)
        source, place = row.x + first * size("x2"), row.place + first
        step, hop = size("x_lane"), size("d2") * size("x2")
        scale = self.scales(row, j, 1)
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


class WithinWindows(Pool):
    """Lanes within a window, which is large, or alone in its row."""

    def compute(self, planes: Part, rows: Part, columns: Part) -> None:
        """Compute these planes, rows and columns of outputs."""
        r = self.r
        with self.planes(planes) as plane, r.loop(rows.count) as i:
            row = self.row(plane, rows.first + i)
            with r.loop(columns.count) as j:
                self.within(row, columns.first + j)

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
        self.store(single, row, (j * size("y2"), j * size("where2")), self.scales(row, j, 1), None)


class WholePlanes(Pool):
    """Small planes that are one window each: lanes along them, and several planes together."""

    def compute(self, planes: Part, rows: Part, columns: Part) -> None:  # noqa: ARG002 - a plane has one of each
        """Reduce planes that are one window each, as many at a time as there are registers for."""
        r, s, size, lanes = self.r, self.s, self.r.size, self.lanes
        together = min(lanes, r.target.registers // 2)
        length, numbers = size("n2"), r.numbered(s.place) if s.places else None
        whole = length // lanes
        end = whole * lanes
        with r.loop((planes.count + (together - 1)) // together) as turn:
            begin, left = planes.first + turn * together, planes.count - turn * together
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
            self.store(self._gathered(runs), row, (self.zero, self.zero), self.scales(row, self.zero), count)

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
