"""How the sums of a weight's gradient are cut where planes meet one by one: channels by themselves, or in small groups.

    gw[o, c, u, t] = sum over n, i, j of gy[n, o, i, j] * x[n, c, i * s + u * d - p, j * s' + t * d' - p']

Vectors run along the columns j. A block of taps stays in registers, a vector of sums for each, while rows of gy and x
go by: every vector of x that is read meets as many rows of gy as the block has rows of taps. With stride s and dilation
d of the rows, rows of gy that are d / g apart (g their common divisor) meet the same rows of x, s / g taps further; so
they are taken in d / g *phases*.

A *piece* is some images, a position of the outer axes, a band of rows and of columns. The sums of one vector of columns
of a piece are a chain, of `CHAIN` rows at most; `CHAINS` chains are added up before they join the others. Tasks have a
group, or some that follow one another in memory where planes are small, and a part of the pieces; parts are added in
pairs. All of this depends on the problem and the processor's vectors
alone, never on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from striderule.geometry.gradients import WeightGradient
from striderule.geometry.problem import Convolution
from striderule.planning.weight_sums import CHAIN, CHAINS, PART, plane

# Taps of an axis that are unrolled at most.
UNROLLED = 8
# Bytes of vectors whose halves are as quick, two for one, and the least tasks that keep some processors busy.
WIDE, TASKS = 64, 8
# Elements of inputs that are laid out at a time, where several images have room.
LAID = 1 << 14
# Elements of gradients of one image that a task reads in a row, and tasks below which it has single groups.
IN_A_ROW, MANY = 1 << 10, 64
# Vector operations to lay a vector out, and of a row of a block beside its products; cycles that a sum waits for the
# one before it.
COPIED, TURN, LATENCY = 4.0, 4.0, 4.0


@dataclass(frozen=True, slots=True)
class Split:
    """An axis of taps in blocks as equal as can be: `full` of `size` taps, then `rest` of one tap less."""

    size: int
    full: int
    rest: int

    @classmethod
    def of(cls, taps: int, blocks: int) -> Split:
        """Return the split into so many blocks.

        >>> Split.of(7, 3)
        Split(size=3, full=1, rest=2)
        """
        size = -(-taps // blocks)
        full = taps - blocks * (size - 1)
        return cls(size, full, blocks - full)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """How many taps blocks have, and how many blocks have as many."""
        return [(size, count) for size, count in ((self.size, self.full), (self.size - 1, self.rest)) if count]


@dataclass(frozen=True, slots=True)
class PlaneSums:
    """A cut. Blocks of `down` by `over` taps stay in registers; `lanes` columns are in a vector."""

    lanes: int
    down: Split
    over: Split
    # Rows of taps that follow one another from one row of gy to the next of a phase, and phases.
    step: int
    gap: int
    # Images, rows and columns of a piece; bands; pieces, how many of them are summed before they join the others, and
    # how many a part has.
    images: int
    rows: int
    columns: int
    row_bands: int
    column_bands: int
    pieces: int
    together: int
    part: int
    parts: int
    # Groups of a task, how many such spans there are, and tasks.
    span: int
    spans: int
    tasks: int

    @property
    def wide(self) -> int:
        """Vectors of a row of a piece."""
        return -(-self.columns // self.lanes)

    @property
    def roundings(self) -> int:
        """Roundings that a term passes at most."""
        joined = self.together * self.wide + -(-self.part // self.together)
        return self.images * self.rows + joined + (self.lanes - 1).bit_length() + (self.parts - 1).bit_length()


def _even(count: int, most: int) -> tuple[int, int]:
    """Return the size of pieces of at most `most`, as equal as can be, and how many there are."""
    pieces = -(-count // max(1, most))
    return -(-count // pieces), pieces


def _row_axis(problem: Convolution) -> tuple[int, int, int]:
    """Return kernel, stride and dilation of the rows; there is one where there is one axis."""
    return (problem.kernel[-2], problem.stride[-2], problem.dilation[-2]) if problem.rank > 1 else (1, 1, 1)


def operations_of_row(down: Split, over: Split, step: int) -> float:
    """Return the vector operations that a vector of a row of gy takes, with all blocks of taps."""
    found = 0.0
    for u, down_count in down.sizes:
        for t, over_count in over.sizes:
            # Vectors of x are read across two cache lines.
            loads = 2 * min(step, u) * t + 1
            found += down_count * over_count * (max(u * t, loads, LATENCY) + TURN)
    return found


def _blocks(problem: Convolution, registers: int) -> tuple[Split, Split, int, int]:
    """Return the blocks of taps that take the fewest operations, the step of their rows, and the phases."""
    kernel, stride, dilation = _row_axis(problem)
    common = gcd(stride, dilation)
    step, gap = stride // common, dilation // common
    splits = [
        [Split.of(taps, -(-taps // size)) for size in range(1, min(taps, UNROLLED) + 1)]
        for taps in (kernel, problem.kernel[-1])
    ]
    pairs = [
        (down, over)
        for down in splits[0]
        for over in splits[1]
        # Sums, the rows of gy that they wait for, and a vector of x.
        if down.size * over.size + -(-down.size // step) + 1 < registers
    ]
    down, over = min(pairs, key=lambda pair: operations_of_row(pair[0], pair[1], step))
    return down, over, step, gap


def plane_sums(problem: WeightGradient, lanes: int, registers: int, *, wide: bool) -> PlaneSums:
    """Return how the gradient of a weight is cut for vectors of `lanes`; with `wide` ones halves are as quick.

    >>> from striderule.geometry.gradients import weight_gradient
    >>> layer = Convolution.from_shapes((16, 96, 56, 56), (96, 1, 7, 7), padding=3, groups=96)
    >>> cut = plane_sums(weight_gradient(layer), lanes=16, registers=32, wide=True)
    >>> cut.down.sizes, cut.over.sizes, cut.rows, cut.columns, cut.tasks
    ([(7, 1)], [(3, 1), (2, 2)], 56, 56, 96)
    """
    plain = problem.plain
    height, width = plane(plain)
    half = lanes // 2
    if wide and -(-width // half) * half < -(-width // lanes) * lanes:
        lanes = half
    down, over, step, gap = _blocks(plain, registers)
    columns, column_bands = _even(width, CHAINS * lanes)
    rows, row_bands = _even(height, CHAIN)
    room = max(1, LAID // (prod(plain.stride[-2:]) * rows * columns))
    images, image_bands = _even(plain.batch, min(CHAIN // rows, room))
    pieces = image_bands * prod(plain.output_size[:-2]) * row_bands * column_bands
    together = max(1, CHAINS * lanes // columns)
    chains = pieces * -(-columns // lanes)
    parts = min(pieces, max(-(-TASKS // plain.groups), -(-chains // PART)))
    part = -(-pieces // parts)
    parts = -(-pieces // part)
    span = max(1, min(IN_A_ROW // prod(plain.output_size), plain.groups * parts // MANY))
    spans = -(-plain.groups // span)
    return PlaneSums(
        lanes, down, over, step, gap, images, rows, columns, row_bands, column_bands, pieces, together, part, parts,
        span, spans, spans * parts,
    )  # fmt: skip


def operations(problem: WeightGradient, cut: PlaneSums, lanes: int) -> float:
    """Return the operations of vectors of `lanes` that all products, and laying inputs out, take."""
    plain = problem.plain
    inputs, outputs = plain.in_channels // plain.groups, plain.out_channels // plain.groups
    vectors = cut.pieces * cut.images * cut.rows * cut.wide
    taps = prod(plain.kernel[:-2])
    products = outputs * operations_of_row(cut.down, cut.over, cut.step) * vectors
    laid = COPIED * vectors * prod(plain.stride[-2:])
    # Each chain is added to the sums in memory.
    flushed = 3 * outputs * prod(plain.kernel[-2:]) * cut.pieces * cut.wide
    ends = 16 * outputs * prod(plain.kernel[-2:]) * cut.parts
    return plain.groups * inputs * taps * (products + laid + flushed + ends) * cut.lanes / lanes


def room_of(problem: WeightGradient, cut: PlaneSums) -> int:
    """Return about how many elements a task lays out and keeps sums in."""
    plain = problem.plain
    pairs = plain.in_channels * plain.out_channels // plain.groups**2
    laid = cut.images * prod(plain.stride[-2:]) * cut.rows * cut.wide * cut.lanes
    return laid + 2 * pairs * prod(plain.kernel) * cut.lanes
