"""Blocks of outputs of one plane: what `depthwise` holds in registers."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from striderule.geometry.problem import Convolution

# Rows of a block: few numbers, so that few routines serve all heights. More than eight do not share more inputs.
HEIGHTS = (8, 7, 6, 4, 2, 1)
# Vectors beside each other: more in a single row, where no input is shared.
WIDTHS, WIDEST = (1, 2), 8
# Taps of an axis that are unrolled at most at a time, and the largest stride between the rows of a block.
UNROLLED, STEP = 7, 2
# The largest stride of columns that vectors serve: shuffles put the columns of a vector side by side.
COLUMN_STEP = 4
# Targets that load parts of vectors.
MASKS = ("amx", "avx512", "avx2")
# Terms of a chain; see `cost.CHAIN`.
CHAIN = 128


@dataclass(frozen=True, slots=True)
class PlaneTile:
    """What is held in registers: `rows` rows of outputs, `gap` apart, by `vectors` vectors.

    `taps` rows of the kernel at a time are unrolled, and `rest` where these remain of a larger one; `over` columns of
    it, and `over_rest`. `step` is the stride between the rows, in units of the distance between two row taps.
    """

    taps: int
    rest: int
    over: int
    over_rest: int
    step: int
    gap: int
    rows: int
    vectors: int

    def operations(self, height: int, wide: int, stride: int) -> float:
        """Return the vector operations of the unrolled taps, for a plane of `height` rows of `wide` vectors.

        `stride` is that of the columns.
        """
        reach = (self.rows - 1) * self.step + self.taps

        def block(vectors: int) -> float:
            # Vectors of inputs are read across two cache lines, and put together by shuffles.
            shuffles = self.over * (stride - 1) if self.over == 1 else self.over
            inputs = vectors * (2 * stride + shuffles) * reach
            # Multiply-adds, each of which waits for the fourth before it; inputs are read beside them. Rows of inputs
            # are looked for, and a column of taps is begun.
            products = self.taps * self.over
            return max(vectors * self.rows * products, inputs, 4 * products) + reach / 2 + 2

        phase = -(-height // self.gap)
        each = wide // self.vectors * block(self.vectors) + wide % self.vectors * block(1)
        return self.gap * -(-phase // self.rows) * each

    def registers(self, stride: int) -> int:
        """Return how many registers hold sums, weights, inputs, and masks or so."""
        inputs = self.vectors * stride if self.over > 1 else stride
        return self.rows * self.vectors + self.taps * self.over + inputs + 2


def plane_tile(problem: Convolution, registers: int, *, wide: int, by_rows: bool = False) -> PlaneTile:
    """Return the block for the planes of a problem, of which a row has `wide` vectors.

    With `by_rows` sums go over the taps row by row, in the order of those that are rolled (`rolls`).

    With stride s and dilation d, output rows d / g apart (g their common divisor) meet the same rows of inputs, s / g
    taps further: so the inputs of a block of such rows are read once, whatever the dilation.

    >>> problem = Convolution.from_shapes((1, 8, 56, 56), (8, 1, 3, 3), padding=1, groups=8)
    >>> plane_tile(problem, 32, wide=4)
    PlaneTile(taps=3, rest=0, over=1, over_rest=0, step=1, gap=1, rows=8, vectors=2)
    """
    if problem.rank == 1:
        height, kernel, stride, dilation = 1, 1, 1, 1
    else:
        height, kernel = problem.output_size[-2], problem.kernel[-2]
        stride, dilation = problem.stride[-2], problem.dilation[-2]
    common = gcd(stride, dilation)
    gap, step = dilation // common, stride // common
    taps, rest = _unrolled(kernel, UNROLLED)
    if taps == 1 or step > STEP or height <= gap:
        taps, rest, step, gap = 1, 0, 1, 1
    most = problem.kernel[-1] if by_rows else _side_by_side(problem, taps, registers)
    over, over_rest = _unrolled(problem.kernel[-1], most)
    shapes = [(rows, vectors) for rows in HEIGHTS for vectors in WIDTHS]
    tiles = [
        PlaneTile(taps, rest, over, over_rest, step, gap, rows, vectors)
        for rows, vectors in (*shapes, *((1, WIDEST) for _ in range(taps == 1)))
    ]
    columns = problem.stride[-1]
    fitting = [tile for tile in tiles if tile.registers(columns) <= registers]
    # Of equals the first, so the one with the most rows.
    return min(fitting or tiles[-1:], key=lambda tile: tile.operations(height, wide, columns))


def rolls(problem: Convolution, registers: int) -> bool:
    """Return whether rows of outputs may be finished one after the other, every row of inputs being read once.

    The weights, which every row meets again, must fit into half of the registers, beside unfinished rows; and each
    channel have but one input, with no taps apart and nothing but zeros around it.

    >>> problem = Convolution.from_shapes((1, 8, 56, 56), (8, 1, 3, 3), padding=1, groups=8)
    >>> rolls(problem, 32)
    True
    """
    if problem.rank != 2 or problem.in_channels != problem.groups or max(problem.dilation) > 1:
        return False
    (taps, over), (stride, step) = problem.kernel, problem.stride
    around = zip(problem.padding, problem.boundary, strict=True)
    if any(n > 0 and word != "constant" for pair in around for n, word in zip(*pair, strict=True)):
        return False
    # Rows above the input are left out before the first row of outputs alone.
    plain = stride <= taps and step <= COLUMN_STEP and problem.padding[0][0] <= taps - stride
    return plain and taps > 1 and taps * over <= registers // 2


def rolling_tile(problem: Convolution, *, wide: int) -> PlaneTile:
    """Return the block for planes whose rows are finished one after the other (`rolls`)."""
    (taps, over), stride = problem.kernel, problem.stride[0]
    return PlaneTile(taps, 0, over, 0, stride, 1, 1, min(wide, WIDTHS[-1]))


def _rolling_operations(problem: Convolution, wide: int) -> int:
    """Return the vector operations of one plane whose rows are finished one after the other."""
    (taps, over), (stride, step) = problem.kernel, problem.stride
    # Loads cross cache lines; a row takes some instructions more.
    row = wide * max(taps * over, 2 * stride * step * over) + 4 * -(-wide // WIDTHS[-1])
    return (problem.output_size[0] + -(-taps // stride) - 1) * row + 40


def _side_by_side(problem: Convolution, taps: int, registers: int) -> int:
    """Return how many columns of the kernel may be unrolled, so that their inputs are loaded once.

    It pays where inputs are what takes long: for kernels of one row, and where columns have a stride.
    """
    stride = problem.stride[-1]
    if problem.dilation[-1] > 1 or stride > COLUMN_STEP or (taps > 1 and stride == 1):
        return 1
    # Of longer strides a vector's inputs are many already.
    return max(1, min(registers // 3 // taps, UNROLLED if stride < 3 else 3))


def _unrolled(kernel: int, most: int) -> tuple[int, int]:
    """Return how many taps of an axis to unroll at a time, and how many remain: in few parts of about one size.

    >>> [_unrolled(kernel, 7) for kernel in (1, 7, 9, 10, 31)]
    [(1, 0), (7, 0), (5, 4), (5, 0), (7, 3)]
    """
    taps = -(-kernel // -(-kernel // most))
    return taps, kernel % taps


def plane_operations(problem: Convolution, registers: int, lanes: int, *, rolled: bool) -> int:
    """Return the vector operations of one image: what the blocks of all planes take, and columns one by one.

    Or what its rows take, where these are `rolled`.
    """
    columns = problem.output_size[-1]
    wide = -(-columns // lanes)
    sides = zip(problem.padding[-1], problem.boundary[-1], strict=True)
    if any(side > 0 and word != "constant" for side, word in sides):
        # Columns at the border are served one by one.
        wide += min(columns, sum(max(side, 0) // problem.stride[-1] for side in problem.padding[-1]))
    if rolled:
        return problem.out_channels * _rolling_operations(problem, wide)
    tile = plane_tile(problem, registers, wide=wide)
    height = problem.output_size[-2] if problem.rank > 1 else 1
    planes = problem.out_channels * prod(problem.output_size[:-2])
    # Each block is set up and stored.
    blocks = planes * -(-height // tile.rows) * wide
    turns = -(-problem.terms // (tile.taps * tile.over))
    return int(planes * turns * tile.operations(height, wide, problem.stride[-1]) + blocks * 2 * tile.rows)
