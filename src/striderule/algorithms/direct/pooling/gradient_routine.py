"""The routine of a pooling's gradient, in the tile language; `gradient_plan` says how it is cut and why.

Every position is written once, with what all outputs that look at it give: of an average gy[j] * scale[j], of a maximum
gy[j] where the place that won is this one. So nothing is cleared before, no two tasks write to one place, and sums
have the order of the outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from striderule.algorithms.direct.pooling.gradient_plan import POINTERS, SIZES, Form
from striderule.algorithms.direct.shuffle_routine import picked
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT32, INT64, Mask, Pointer, Register, Routine, Size, Vector

# Vectors of channels that are computed together.
BLOCK = 4


def gradient_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES)
    size, way = r.size, WAYS[form.mode](r, form)
    with r.tasks() as task:
        group = task % size("group_tasks") * size("task_groups")
        first = task // size("group_tasks") * size("task_planes")
        with r.loop((size("planes") - first).smaller(size("task_planes"))) as number:
            plane = first + number
            outputs = plane * size("output_rows") * size("outputs") * size("lanes")
            gy, where = r.pointer("gy") + outputs, r.pointer("where", INT64) + outputs
            with r.loop((size("group_count") - group).smaller(size("task_groups"))) as turn:
                entry = r.table("groups") + (group + turn) * 4
                row, count, term, terms = (r.entry(entry, place) for place in range(4))
                gx = r.pointer("gx") + (plane * size("rows") + row) * size("positions") * size("lanes")
                way.rows(Rows(gy, where, gx, row, count, term, terms))
    return r.finish()


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows with equal terms: gy and its places of the plane, gx of the first row, its number, how many; terms."""

    gy: Pointer
    where: Pointer
    gx: Pointer
    row: Size
    count: Size
    term: Size
    terms: Size


class Way(ABC):
    """A way to compute rows."""

    def __init__(self, r: Routine, form: Form) -> None:
        self.r, self.form, self.max = r, form, form.kind == "max"
        # Places are compared in lanes as wide as the numbers.
        self.place = INT32 if r.element.itemsize == 4 else INT64

    @abstractmethod
    def rows(self, rows: Rows) -> None:
        """Compute some rows with equal terms."""

    def places(self, where: Pointer, mask: Mask | None, lanes: int) -> Vector:
        """Return the places that won, as wide as the numbers."""
        return self.r.convert(self.r.load(where, mask, lanes), self.place)

    def write(self, rows: Rows, at: Size, vectors: list[Vector], masks: list[Mask | None]) -> None:
        """Write vectors, one behind the other, to all of the rows."""
        r, pitch = self.r, self.r.size("positions") * self.r.size("lanes")

        def put(target: Pointer) -> None:
            for number, (vector, mask) in enumerate(zip(vectors, masks, strict=True)):
                r.store(vector, target + number * vector.lanes, mask)

        if self.max:
            put(rows.gx + at)
            return
        with r.loop(rows.count) as k:
            put(rows.gx + (k * pitch + at))


class Listed(Way):
    """Positions one by one, each with the list of its outputs: lanes go along the channels, or there is one."""

    def rows(self, rows: Rows) -> None:
        """Compute some rows with equal terms."""
        r, many = self.r, self.r.size("lanes")
        with r.loop(r.size("positions")) as i:
            if self.form.mode == "lanes":
                self.across(rows, i, many)
            else:
                self.position(rows, i, many * 0, 1, 1, None)

    def across(self, rows: Rows, i: Size, many: Size) -> None:
        """Compute all lanes of one position."""
        r, lanes = self.r, self.r.lanes
        whole = many // (BLOCK * lanes)
        with r.loop(whole) as block:
            self.position(rows, i, block * (BLOCK * lanes), BLOCK, lanes, None)
        done = whole * (BLOCK * lanes)
        with r.loop((many - done) // lanes) as block:
            self.position(rows, i, done + block * lanes, 1, lanes, None)
        done = many // lanes * lanes
        with r.when(many.above(done)):
            self.position(rows, i, done, 1, lanes, r.first_lanes(many - done))

    def position(self, rows: Rows, i: Size, lane: Size, count: int, lanes: int, mask: Mask | None) -> None:
        """Compute some vectors of one position."""
        r, size, across = self.r, self.r.size, self.r.size("lanes")
        sums = [r.register(r.constant(0, r.element, lanes)) for _ in range(count)]
        here = r.spread(rows.row * size("positions") + i, self.place, lanes) if self.max else None
        first = r.entry(r.table("starts"), i)
        outputs = r.entry(r.table("starts"), i + 1) - first
        with r.loop(rows.terms) as t:
            line = r.entry(r.table("terms"), rows.term + t) * size("outputs")
            row_scale = None if self.max else r.broadcast(r.pointer("row_scales") + (rows.term + t), lanes)
            with r.loop(outputs) as k:
                j = r.entry(r.table("entries"), first + k)
                at = (line + j) * across + lane
                scale = None if row_scale is None else row_scale * r.broadcast(r.pointer("scales") + j, lanes)
                for number, total in enumerate(sums):
                    value = r.load(rows.gy + (at + number * lanes), mask, lanes)
                    if scale is not None:
                        total.add_product(value, scale)
                    if here is not None:
                        won = self.places(rows.where + (at + number * lanes), mask, lanes).equals(here)
                        total.set(total.value + r.select(won, value, value.like(0)))
        self.write(rows, i * across + lane, [total.value for total in sums], [mask] * count)


class Single(Way):
    """One output that looks at all positions of the rows."""

    def rows(self, rows: Rows) -> None:
        """Compute some rows with equal terms."""
        r, length = self.r, self.r.size("positions")
        done = length // r.lanes * r.lanes
        with r.loop(length // r.lanes) as block:
            self.fill(rows, block * r.lanes, None)
        with r.when(length.above(done)):
            self.fill(rows, done, r.first_lanes(length - done))

    def fill(self, rows: Rows, at: Size, mask: Mask | None) -> None:
        """Compute a vector of positions."""
        r = self.r
        total = r.register(r.constant(0))
        here = r.spread(rows.row * r.size("positions") + at, self.place) + r.numbered(self.place)
        with r.loop(rows.terms) as t:
            line = r.entry(r.table("terms"), rows.term + t)
            value = r.broadcast(rows.gy + line)
            if self.max:
                won = r.spread(r.integer(rows.where + line), self.place).equals(here)
                total.set(total.value + r.select(won, value, value.like(0)))
            else:
                scale = r.broadcast(r.pointer("row_scales") + (rows.term + t)) * r.broadcast(r.pointer("scales"))
                total.add_product(value, scale)
        self.write(rows, at, [total.value], [mask])


@dataclass(frozen=True, slots=True)
class Masks:
    """The outputs that there are, by their shift, and the positions that there are, vector by vector."""

    outputs: dict[int, Mask]
    positions: list[Mask]


class Phases(Way):
    """Blocks of neighbouring outputs and their shifts; what positions of each phase get is interleaved."""

    def __init__(self, r: Routine, form: Form) -> None:
        super().__init__(r, form)
        # The outputs of every phase in ascending order, which is that of falling shifts.
        taps = [(tap * form.dilation % form.stride, tap * form.dilation // form.stride) for tap in range(form.taps)]
        self.taps = sorted(taps, key=lambda tap: -tap[1])
        first, last = r.size("first"), r.size("first") + (r.size("blocks") - 1) * r.lanes
        self.front = self.masks(first) if form.front == 1 else None
        self.back = self.masks(last) if form.back == 1 else None

    def masks(self, q: Size) -> Masks:
        """Return what there is of the block that begins at output q."""
        r, size, lanes = self.r, self.r.size, self.r.lanes
        start = q * self.form.stride - size("before")

        def inside(first: Size, end: Size) -> Mask:
            return r.lanes_from(0 - first) & r.first_lanes(end - first)

        outputs = {shift: inside(q - shift, size("outputs")) for _, shift in self.taps}
        return Masks(outputs, [inside(start + m * lanes, size("positions")) for m in range(self.form.stride)])

    def rows(self, rows: Rows) -> None:
        """Compute some rows with equal terms."""
        r, size = self.r, self.r.size
        fast, slow, blocks = size("fast"), size("slow"), size("blocks")
        for masks, begin, end, always in (
            (self.front, r.whole(0), fast, self.form.front == 2),
            (None, fast, slow, False),
            (self.back, slow, blocks, self.form.back == 2),
        ):
            if masks is not None:
                self.block(rows, self.first_of(begin), masks)
                continue
            if begin is fast or always:
                with r.loop(end - begin) as number:
                    q = self.first_of(begin + number)
                    self.block(rows, q, self.masks(q) if always else None)

    def first_of(self, block: Size) -> Size:
        """Return the first output of a block."""
        return self.r.size("first") + block * self.r.lanes

    def block(self, rows: Rows, q: Size, masks: Masks | None) -> None:
        """Compute the positions that begin windows q and those after it, as many as a vector has lanes."""
        r, size, stride = self.r, self.r.size, self.form.stride
        sums = [r.register(r.constant(0)) for _ in range(stride)]
        start = q * stride - size("before")
        here = self.here(rows, start) if self.max else []
        with r.loop(rows.terms) as t:
            line = r.entry(r.table("terms"), rows.term + t) * size("outputs") + q
            scale = None if self.max else r.broadcast(r.pointer("row_scales") + (rows.term + t))
            values, wins = self.seen(rows, line, q, scale, masks)
            for phase, shift in self.taps:
                value, total = values[shift], sums[phase]
                if self.max:
                    value = r.select(wins[shift].equals(here[phase]), value, value.like(0))
                total.set(total.value + value)
        self.write(rows, start, interleaved(r, sums), [None] * stride if masks is None else list(masks.positions))

    def here(self, rows: Rows, start: Size) -> list[Vector]:
        """Return the places of the positions of each phase."""
        r, stride = self.r, self.form.stride
        first = rows.row * r.size("positions") + start
        numbers = r.numbered(self.place) * stride
        return [numbers + r.spread(first + phase, self.place) for phase in range(stride)]

    def seen(
        self, rows: Rows, line: Size, q: Size, scale: Vector | None, masks: Masks | None
    ) -> tuple[dict[int, Vector], dict[int, Vector]]:
        """Return for every shift what the outputs give, and the places that won."""
        r = self.r
        values, wins = {}, {}
        for shift in sorted({shift for _, shift in self.taps}):
            mask = None if masks is None else masks.outputs[shift]
            value = r.load(rows.gy + (line - shift), mask)
            if scale is None:
                wins[shift] = self.places(rows.where + (line - shift), mask, r.lanes)
            else:
                value = value * (r.load(r.pointer("scales") + (q - shift), mask) * scale)
            values[shift] = value
        return values, wins


def interleaved(r: Routine, sums: list[Register]) -> list[Vector]:
    """Return vectors in which lane k of vector v is at the place k * (number of vectors) + v of all."""
    vectors, stride, lanes = [total.value for total in sums], len(sums), r.lanes
    if stride == 1:
        return vectors
    places = [(place % stride, place // stride) for place in range(stride * lanes)]
    return [picked(r, vectors, places[m * lanes : (m + 1) * lanes]) for m in range(stride)]


WAYS: dict[str, type[Way]] = {"lanes": Listed, "table": Listed, "single": Single, "phases": Phases}
