"""Products of a plane of gradients with one of inputs, in the tile language: see `planning.plane_sums`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from striderule.algorithms.depthwise.inputs import Border
from striderule.codegen.tile import Mask, Pointer, Register, Routine, Size, Vector


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target.

    Blocks have `down` by `over` taps; `less_down` and `less_over` tell that there are blocks of one less. `step` rows
    of taps follow one another with every row of gy. `column_step` is the stride of columns that stand side by side in
    memory, of which `residues` are met, or 0 where each is looked for. `inputs_laid` and `gradients_laid` tell which of
    x and gy are laid out; the others are read where they stand. `ahead` asks for the next image's planes meanwhile.
    `line` says that there is a single row.
    """

    element: str
    lanes: int
    down: int
    less_down: bool
    over: int
    less_over: bool
    step: int
    column_step: int
    residues: tuple[int, ...]
    inputs_laid: bool
    gradients_laid: bool
    ahead: bool
    line: bool

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"plane_sums_{self.element}_{self.lanes}_{self.down}x{self.over}_by{self.step}x{self.column_step}"

    @property
    def downs(self) -> list[tuple[int, str]]:
        """Rows of taps of blocks, and the word for how many there are."""
        return [(self.down, "full_down"), *([(self.down - 1, "less_down")] if self.less_down else [])]

    @property
    def overs(self) -> list[tuple[int, str]]:
        """Columns of taps of blocks, and the word for how many there are."""
        return [(self.over, "full_over"), *([(self.over - 1, "less_over")] if self.less_over else [])]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some positions of a task: images, outer position, rows and columns, from the first on."""

    image: Size
    images: Size
    outer: Size
    row: Size
    rows: Size
    column: Size
    columns: Size


def add_plane(r: Routine, form: Form, piece: Piece, gy: Pointer, x: Pointer, room: Pointer, sums: Pointer) -> None:
    """Add the products of two planes, of all images of a piece, block of taps by block of taps."""
    first_down = r.whole(0)
    for down, down_word in form.downs:
        with r.loop(r.size(down_word)) as i:
            u = first_down + i * down
            first_over = r.whole(0)
            for over, over_word in form.overs:
                with r.loop(r.size(over_word)) as k:
                    t = first_over + k * over
                    goal = sums + (u * r.size("row_taps") + t) * r.lanes
                    _Block(r, form, piece, (down, over), (u, t)).add(gy, x, room, goal)
                first_over = first_over + r.size(over_word) * over
        first_down = first_down + r.size(down_word) * down


class _Block:
    """Some rows and columns of taps, whose sums stay in registers while a vector of columns goes down the rows."""

    def __init__(self, r: Routine, form: Form, piece: Piece, taps: tuple[int, int], first: tuple[Size, Size]) -> None:
        self.r, self.form, self.piece = r, form, piece
        (self.down, self.over), (self.u, t) = taps, first
        self.waiting = -(-self.down // form.step)
        self.places = [r.entry(r.table("column_places"), t + k) for k in range(self.over)]

    def add(self, gy: Pointer, x: Pointer, room: Pointer, goal: Pointer) -> None:
        """Add the products, chain by chain."""
        r, form = self.r, self.form
        zero = r.constant(0)
        row, each = ("gradient_pitch", "gradient_each") if form.gradients_laid else ("gy_row", "gy_image")
        image_step = r.size("each" if form.inputs_laid else "x_image")
        with r.loop(self.piece.columns, step=r.lanes) as column:
            sums = [[r.register(zero) for _ in range(self.over)] for _ in range(self.down)]
            mask = None if form.gradients_laid else r.first_lanes(self.piece.columns - column)
            inputs = _Laid(self, room + column) if form.inputs_laid else _Inputs(self, x, column)
            if form.line:
                with r.loop(self.piece.images) as image:
                    self._add_line(gy + (image * r.size(each) + column), mask, inputs, image * image_step, sums)
            else:
                with r.loop(r.size("gap")) as phase:
                    turns = self._turns(phase)
                    with r.loop(self.piece.images) as image:
                        near = gy + (image * r.size(each) + phase * r.size(row) + column)
                        gradients = _Gradients(near, r.size("gap") * r.size(row), room + r.size("zeros_at"), mask)
                        self._go_down(turns, gradients, inputs, image * image_step, sums)
            for down in range(self.down):
                for over in range(self.over):
                    place = goal + (r.size("row_taps") * down + over) * r.lanes
                    r.store(r.load(place) + sums[down][over].value, place)

    def _add_line(
        self, gy: Pointer, mask: Mask | None, x: _Laid | _Inputs, image: Size, sums: list[list[Register]]
    ) -> None:
        """Add the products of the only row, which always exists."""
        r = self.r
        if self.form.ahead:
            r.prefetch(gy + r.size("gy_image"))
        gradients = r.load(gy, mask)
        for k, values in enumerate(x.read(image, r.whole(0), r.whole(0))):
            sums[0][k].add_product(values, gradients)

    def _turns(self, phase: Size) -> _Turns:
        """Find out which rows of gy of a phase there are, and which of those meet rows of x that all exist."""
        r, step = self.r, self.form.step
        count = (self.piece.rows - phase + r.size("gap") - 1) // r.size("gap")
        begin = phase * r.size("row_step") + self.u * r.size("row_gap")
        row = self.piece.row * r.size("row_step") - r.size("top") + begin
        pace, last = r.size("row_gap") * step, r.size("row_gap") * (min(step, self.down) - 1)
        first = (((0 - row).larger(0) + pace - 1) // pace).smaller(count)
        end = (((r.size("input_height") - row - last).larger(0) + pace - 1) // pace).smaller(count).larger(first)
        return _Turns(begin, row, count, first, end, count + (self.waiting - 1))

    def _go_down(
        self, turns: _Turns, gy: _Gradients, x: _Laid | _Inputs, image: Size, sums: list[list[Register]]
    ) -> None:
        """Go down the rows of gy of a phase; behind the last those of x that still meet some."""
        r = self.r
        waiting = [r.register(r.constant(0)) for _ in range(self.waiting)]

        def turn(m: Size, new: Vector, *, checked: bool) -> None:
            for later, earlier in zip(waiting[:0:-1], waiting[-2::-1], strict=True):
                later.set(earlier.value)
            waiting[0].set(new)
            self._add_rows(turns, m, x, image, (waiting, sums), checked=checked)

        # Rows at the top and at the bottom share their code.
        with r.loop(2) as bottom:
            start = r.choose(bottom.equals(0), 0, turns.end)
            with r.loop(r.choose(bottom.equals(0), turns.first, turns.all - turns.end)) as i:
                m = start + i
                place = r.nearer(m.below(turns.count), gy.place + m * gy.step, gy.zeros)
                turn(m, r.load(place, gy.mask), checked=True)
            with r.loop(r.choose(bottom.equals(0), turns.end - turns.first, 0)) as i:
                m = turns.first + i
                near = gy.place + m * gy.step
                if self.form.ahead:
                    r.prefetch(near + r.size("gy_image"))
                turn(m, r.load(near, gy.mask), checked=False)

    def _add_rows(
        self,
        turns: _Turns,
        m: Size,
        x: _Laid | _Inputs,
        image: Size,
        met: tuple[list[Register], list[list[Register]]],
        *,
        checked: bool,
    ) -> None:
        """Add the products of the rows of x that come with a row of gy; they may be outside if they are `checked`."""
        r, step = self.r, self.form.step
        waiting, sums = met
        for new in range(min(step, self.down)):
            away = (m * step + new) * r.size("row_gap")
            row = turns.row + away
            with r.when(row.above(-1) & row.below(r.size("input_height"))) if checked else nullcontext():
                for k, values in enumerate(x.read(image, row, turns.begin + away)):
                    for back in range(self.waiting):
                        if new + back * step < self.down:
                            sums[new + back * step][k].add_product(values, waiting[back].value)


@dataclass(frozen=True, slots=True)
class _Turns:
    """Rows of a phase: the first one of x, among those laid out and in x, and how many there are of gy.

    Those from `first` up to `end` meet rows of x that all exist. `all` counts those of x behind the last, too.
    """

    begin: Size
    row: Size
    count: Size
    first: Size
    end: Size
    all: Size


class _Gradients(NamedTuple):
    """A vector of columns of gy: that of the first row, the distance of two, one of zeros, and the lanes that exist."""

    place: Pointer
    step: Size
    zeros: Pointer
    mask: Mask | None


class _Laid:
    """Vectors of rows of x that are laid out, for each tap of a row of a block."""

    def __init__(self, block: _Block, rows: Pointer) -> None:
        self.r, self.places, self.rows = block.r, block.places, rows

    def read(self, image: Size, _: Size, line: Size) -> list[Vector]:
        """Return the vectors of a row, of which the number among those that are laid out is `line`."""
        here = self.rows + (image + line * self.r.size("pitch"))
        return [self.r.load(here + place) for place in self.places]


class _Inputs:
    """Vectors of rows of x where they stand, for each tap of a row of a block; what is outside is zero."""

    def __init__(self, block: _Block, x: Pointer, column: Size) -> None:
        r = self.r = block.r
        self.x, self.places, self.step = x, block.places, block.form.column_step
        self.ahead = block.form.ahead
        self.next = x + ((block.piece.column + column) * r.size("column_step") + r.size("x_image"))
        start = (block.piece.column + column) * r.size("column_step") - r.size("left")
        width = r.size("input_width")
        if self.step == 1:
            behind = [start + place for place in self.places]
            self.found = [(x + place, r.lanes_from(0 - place) & r.first_lanes(width - place)) for place in behind]
        else:
            first = start + self.places[0]
            self.border = Border(r, self.step, block.over, 1, x + first, first, width)

    def read(self, image: Size, row: Size, _: Size) -> list[Vector]:
        """Return the vectors of a row."""
        r = self.r
        away = image + row * r.size("x_row")
        if self.ahead:
            for k in range(self.step):
                r.prefetch(self.next + (away + k * r.lanes))
        if self.step == 1:
            return [r.load(place + away, mask) for place, mask in self.found]
        return [values for _, _, values, _ in self.border.read(away * r.element.itemsize)]
