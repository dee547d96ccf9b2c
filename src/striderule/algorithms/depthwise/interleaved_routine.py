"""Transposed convolution of channels by themselves with a stride along the columns, all phases of the outputs at once.

    y[o, i * s + u - p, j * s' + t - p'] += w[o, u, t] * x[c, i, j]

With rows u = g + s * m and columns t = h + s' * k, the output (I * s + g - p, J * s' + h - p') sums over m and k

    w[o, g + s * m, h + s' * k] * x[c, I - m, J - k]

so vectors of s' phases h stand for columns that follow one another, and are put into each other's gaps before they are
stored. Inputs that do not exist meet no weight.
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
    # Outputs, and how many of them see the same input; positions and taps of the outer axes; inputs and outputs along
    # the last two.
    "channels", "shared", "outers", "outer_taps", "height", "width", "result_height", "result_width",
    # The first I and J, how many there are of each, how many I of a task, and tasks of a plane; padding before.
    "first_row", "first_column", "rows", "columns", "band", "bands", "top", "left",
    # Distances in bytes.
    "x_image", "x_channel", "x_row", "y_image", "y_channel", "y_row",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target: kernel and stride are those of the last two axes."""

    element: str
    lanes: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    bias: bool

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        sizes = "_".join(f"{a}x{b}" for a, b in (self.kernel, self.stride))
        return f"interleaved_{self.element}_{self.lanes}_{sizes}"


def interleaved_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.name, target, ELEMENTS[form.element], pointers=POINTERS, sizes=SIZES)
    r.lanes = form.lanes
    with r.tasks() as number:
        (band, outer, channel), image = r.digits(number, ("bands", "outers", "channels"))
        x = r.pointer("x").skip(image * r.size("x_image") + channel // r.size("shared") * r.size("x_channel"))
        place = r.entry(r.table("result_places"), outer)
        y = r.pointer("y").skip(image * r.size("y_image") + channel * r.size("y_channel") + place)
        first = band * r.size("band")
        rows = (r.size("rows") - first).smaller(r.size("band"))
        with r.loop(r.size("columns"), step=r.lanes) as column:
            block = _Block(r, form, channel, outer, column)
            with r.loop(rows) as row:
                block.add(x, y, r.size("first_row") + first + row)
    return r.finish()


class _Block:
    """A vector of every phase of the columns, for a row of every phase."""

    def __init__(self, r: Routine, form: Form, channel: Size, outer: Size, column: Size) -> None:
        self.r, self.form, self.channel, self.outer = r, form, channel, outer
        turns = [-(-kernel // stride) for kernel, stride in zip(form.kernel, form.stride, strict=True)]
        self.down, self.over = turns
        start = r.size("first_column") + column
        self.places = [(start - k, self._within(start - k, r.size("width"))) for k in range(self.over)]
        there = start * form.stride[1] - r.size("left")
        ends = [there + n * r.lanes for n in range(form.stride[1])]
        self.results = [(end, self._within(end, r.size("result_width"))) for end in ends]

    def _within(self, start: Size, size: Size) -> Mask:
        """Return the lanes of a vector from `start` on that stand on an axis."""
        return self.r.lanes_from(0 - start) & self.r.first_lanes(size - start)

    def _exists(self, row: Size, size: Size) -> Condition:
        return row.above(-1) & row.below(size)

    def add(self, x: Pointer, y: Pointer, row: Size) -> None:
        """Form the sums of the rows that begin with a row of x, and store them."""
        r, (down, over) = self.r, self.form.stride
        zero = r.broadcast(r.pointer("bias") + self.channel) if self.form.bias else r.constant(0)
        sums = [[r.register(zero) for _ in range(over)] for _ in range(down)]
        taps = r.size("outer_taps")
        with r.loop(taps) as z:
            place = r.entry(r.table("outer_places"), self.outer * taps + z)
            size = self.form.kernel[0] * self.form.kernel[1]
            weight = r.pointer("weight") + (self.channel * taps + z) * size
            with r.when(~place.equals(NOWHERE)):
                for m in range(self.down):
                    with r.when(self._exists(row - m, r.size("height"))):
                        self._products(x.skip(place + (row - m) * r.size("x_row")), weight, m, sums)
        for g in range(down):
            there = row * down + g - r.size("top")
            with r.when(self._exists(there, r.size("result_height"))):
                line = y.skip(there * r.size("y_row"))
                values = [one.value for one in sums[g]]
                for (column, mask), vector in zip(self.results, _into_gaps(r, values), strict=True):
                    r.store(vector, line + column, mask)

    def _products(self, line: Pointer, weight: Pointer, m: int, sums: list[list[Register]]) -> None:
        """Add the products of a row of x, which is the `m`-th before the one that the sums begin with."""
        r, (height, width), (down, over) = self.r, self.form.kernel, self.form.stride
        for k, (column, mask) in enumerate(self.places):
            value = r.load(line + column, mask)
            for g in range(down):
                for h in range(over):
                    u, t = g + down * m, h + over * k
                    if u < height and t < width:
                        total = sums[g][h]
                        added = r.multiply_add(r.broadcast(weight + (u * width + t)), value, total.value)
                        total.set(r.select(mask, added, total.value))


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
