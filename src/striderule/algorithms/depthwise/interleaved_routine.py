"""Transposed convolution of small groups with a stride along the columns, all phases of the outputs at once.

    y[o, i * s + u - p, j * s' + t - p'] += w[c, o, u, t] * x[c, i, j]

With rows u = g + s * m and columns t = h + s' * k, the output (I * s + g - p, J * s' + h - p') sums over c, m and k

    w[c, o, g + s * m, h + s' * k] * x[c, I - m, J - k]

so vectors of s' phases h stand for columns that follow one another, and are put into each other's gaps before they are
stored. Inputs that do not exist meet no weight. A vector that is read serves some outputs of its group; where channels
are by themselves their weights stay in registers while rows go by.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.depthwise.structure import NOWHERE
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Condition, Mask, Pointer, Register, Routine, Size, Vector

POINTERS = (
    "x", "weight", "y", "bias",
    # For each outer position and outer tap where its plane of x begins, or NOWHERE; where each one of y does. In bytes.
    "outer_places", "result_places",
)  # fmt: skip
SIZES = (
    # Blocks of outputs, how many of them a task has, and tasks of all; outputs and inputs of a group; positions and
    # taps of the outer axes; inputs and outputs along the last two.
    "blocks", "task", "parts", "shared", "depth", "outers", "outer_taps",
    "height", "width", "result_height", "result_width",
    # The first I and J, how many there are of each, how many I of a task, and tasks of a plane; padding before.
    "first_row", "first_column", "rows", "columns", "band", "bands", "top", "left",
    # Distances in bytes.
    "x_image", "x_channel", "x_row", "y_image", "y_channel", "y_row",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target: kernel and stride are those of the last two axes.

    A block has `outputs` of a group. `held` says that sums have the taps of one plane alone, whose weights stay in
    registers. `joined` puts vectors of two phases into one of twice the lanes.
    """

    element: str
    lanes: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    bias: bool
    outputs: int
    held: bool
    joined: bool

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        sizes = "_".join(f"{a}x{b}" for a, b in (self.kernel, self.stride))
        return f"interleaved_{self.element}_{self.lanes}_{sizes}_{self.outputs}"


def interleaved_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES)
    r.lanes = form.lanes
    with r.tasks() as number:
        (band, outer, part), image = r.digits(number, ("bands", "outers", "parts"))
        first, start = band * r.size("band"), part * r.size("task")
        rows = (r.size("rows") - first).smaller(r.size("band"))
        blocks = (r.size("blocks") - start).smaller(r.size("task"))
        x = r.pointer("x").skip(image * r.size("x_image"))
        y = r.pointer("y").skip(image * r.size("y_image") + r.entry(r.table("result_places"), outer))
        with r.loop(r.size("columns"), step=r.lanes) as column:
            columns = _Columns(r, form, column)
            with r.loop(blocks) as block:
                _Block(columns, outer, (start + block) * form.outputs).add(x, y, r.size("first_row") + first, rows)
    return r.finish()


class _Columns:
    """A vector of every phase of the columns: which inputs and which outputs exist."""

    def __init__(self, r: Routine, form: Form, column: Size) -> None:
        self.r, self.form = r, form
        self.down, self.over = (-(-kernel // step) for kernel, step in zip(form.kernel, form.stride, strict=True))
        start = r.size("first_column") + column
        self.places = [(start - k, self._within(start - k, r.size("width"), r.lanes)) for k in range(self.over)]
        there = start * form.stride[1] - r.size("left")
        lanes = r.lanes * (2 if form.joined else 1)
        ends = [there + n for n in range(0, form.stride[1] * r.lanes, lanes)]
        self.results = [(end, self._within(end, r.size("result_width"), lanes)) for end in ends]

    def _within(self, start: Size, size: Size, lanes: int) -> Mask:
        """Return the lanes of a vector from `start` on that stand on an axis."""
        return self.r.lanes_from(0 - start, lanes) & self.r.first_lanes(size - start, lanes)


class _Block:
    """Some outputs of a group, row by row."""

    def __init__(self, columns: _Columns, outer: Size, channel: Size) -> None:
        self.columns, self.r, self.form = columns, columns.r, columns.form
        self.outer, self.channel = outer, channel
        r = self.r
        self.taps = self.form.kernel[0] * self.form.kernel[1]
        group = channel // r.size("shared")
        self.source = group * r.size("depth")
        # Weights stand as [input, output of the group, outer tap, tap].
        self.first = (self.source * r.size("shared") + channel - group * r.size("shared")) * r.size("outer_taps")
        weight = r.pointer("weight") + self.first * self.taps
        self.weights = [r.broadcast(weight + tap) for tap in range(self.taps)] if self.form.held else []

    def add(self, x: Pointer, y: Pointer, first: Size, rows: Size) -> None:
        """Form the sums of rows of x from `first` on, and store them."""
        r = self.r
        x, y = x.skip(self.source * r.size("x_channel")), y.skip(self.channel * r.size("y_channel"))
        with r.loop(rows) as row:
            self._row(x, y, first + row)

    def _exists(self, row: Size, size: Size) -> Condition:
        return row.above(-1) & row.below(size)

    def _row(self, x: Pointer, y: Pointer, row: Size) -> None:
        """Form the sums of the rows that begin with a row of x, and store them."""
        r, (down, over) = self.r, self.form.stride
        sums = [
            [[r.register(r.constant(0)) for _ in range(over)] for _ in range(down)] for _ in range(self.form.outputs)
        ]
        if self.form.held:
            self._plane(x, r.pointer("weight"), row, sums)
        else:
            taps = r.size("outer_taps")
            with r.loop(r.size("depth")) as c, r.loop(taps) as z:
                place = r.entry(r.table("outer_places"), self.outer * taps + z)
                weight = r.pointer("weight") + (self.first + c * r.size("shared") * taps + z) * self.taps
                with r.when(~place.equals(NOWHERE)):
                    self._plane(x.skip(c * r.size("x_channel") + place), weight, row, sums)
        for g in range(down):
            there = row * down + g - r.size("top")
            with r.when(self._exists(there, r.size("result_height"))):
                for o in range(self.form.outputs):
                    self._store([self._whole(one.value, o) for one in sums[o][g]], y.skip(there * r.size("y_row")), o)

    def _whole(self, total: Vector, output: int) -> Vector:
        """Return a sum with its bias, which comes last as where it is added by itself."""
        if not self.form.bias:
            return total
        return total + self.r.broadcast(self.r.pointer("bias") + (self.channel + output))

    def _plane(self, x: Pointer, weight: Pointer, row: Size, sums: list[list[list[Register]]]) -> None:
        """Add the products of a plane of x."""
        r = self.r
        for m in range(self.columns.down):
            with r.when(self._exists(row - m, r.size("height"))):
                line = x.skip((row - m) * r.size("x_row"))
                for k, (column, mask) in enumerate(self.columns.places):
                    self._products(r.load(line + column, mask), mask, weight, (m, k), sums)

    def _products(
        self, value: Vector, mask: Mask, weight: Pointer, turn: tuple[int, int], sums: list[list[list[Register]]]
    ) -> None:
        """Add the products of a vector of x, whose row and columns are the `turn`-th before those of the sums."""
        r, (height, width), (down, over) = self.r, self.form.kernel, self.form.stride
        for o, of_output in enumerate(sums):
            near = weight + o * r.size("outer_taps") * self.taps if o else weight
            for g, of_row in enumerate(of_output):
                for h, total in enumerate(of_row):
                    u, t = g + down * turn[0], h + over * turn[1]
                    if u < height and t < width:
                        tap = u * width + t
                        factor = self.weights[tap] if self.form.held else r.broadcast(near + tap)
                        total.set(r.select(mask, r.multiply_add(factor, value, total.value), total.value))

    def _store(self, values: list[Vector], line: Pointer, output: int) -> None:
        """Store a row of outputs."""
        r = self.r
        line = line.skip(r.size("y_channel") * output) if output else line
        lanes = range(2 * r.lanes)
        if self.form.joined:
            vectors = [r.shuffle(values[0], values[1], [lane // 2 + lane % 2 * r.lanes for lane in lanes])]
        else:
            vectors = _into_gaps(r, values)
        for (column, mask), vector in zip(self.columns.results, vectors, strict=True):
            r.store(vector, line + column, mask)


def _into_gaps(r: Routine, values: list[Vector]) -> list[Vector]:
    """Return vectors that follow one another of which every `len(values)`-th lane is of the same one."""
    count, lanes = len(values), values[0].lanes
    found = []
    for n in range(count):
        elements = [n * lanes + lane for lane in range(lanes)]
        vector = values[0]
        for other in range(1, count):
            before = [e // count if other == 1 else lane for lane, e in enumerate(elements)]
            pattern = [lanes + e // count if e % count == other else b for e, b in zip(elements, before, strict=True)]
            vector = r.shuffle(vector, values[other], pattern)
        found.append(vector)
    return found
