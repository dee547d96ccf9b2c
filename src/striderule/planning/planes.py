"""Blocks of outputs of one plane: what `depthwise` holds in registers."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from striderule.geometry.problem import Convolution

# Rows of a block: few numbers, so that few routines serve all heights. More than eight do not share more inputs.
HEIGHTS = (8, 7, 6, 4, 2, 1)
# Rows of a kernel that are unrolled at most, and the largest stride between the rows of a block.
UNROLLED, STEP = 7, 2
# Terms of a chain; see `cost.CHAIN`.
CHAIN = 128


@dataclass(frozen=True, slots=True)
class PlaneTile:
    """What is held in registers: `rows` rows of outputs, `gap` apart, by `vectors` vectors.

    `taps` rows of the kernel are unrolled; `step` is the stride between the rows, in units of the distance between two
    of these taps.
    """

    taps: int
    step: int
    gap: int
    rows: int
    vectors: int

    @property
    def reach(self) -> int:
        """Number of rows of inputs under a block."""
        return (self.rows - 1) * self.step + self.taps


def plane_tile(problem: Convolution, registers: int, *, wide: int) -> PlaneTile:
    """Return the block for the planes of a problem, of which a row has `wide` vectors.

    With stride s and dilation d, output rows d / g apart (g their common divisor) meet the same rows of inputs, s / g
    taps further: so the inputs of a block of such rows are read once, whatever the dilation.

    >>> problem = Convolution.from_shapes((1, 8, 56, 56), (8, 1, 3, 3), padding=1, groups=8)
    >>> plane_tile(problem, 32, wide=4)
    PlaneTile(taps=3, step=1, gap=1, rows=8, vectors=1)
    """
    if problem.rank == 1:
        height, kernel, stride, dilation = 1, 1, 1, 1
    else:
        height, kernel = problem.output_size[-2], problem.kernel[-2]
        stride, dilation = problem.stride[-2], problem.dilation[-2]
    common = gcd(stride, dilation)
    gap, step = dilation // common, stride // common
    chains = 2 if problem.terms > CHAIN else 1
    if 2 <= kernel <= UNROLLED and step <= STEP and height > gap:
        # Beside the sums there are the weights of a column of the kernel, an input, and a mask or two.
        most = (registers - kernel - 3) // chains
        return PlaneTile(kernel, step, gap, _rows(-(-height // gap), kernel, step, most), 1)
    most = (registers - 4) // chains
    if height < 4 and wide > 1:
        return PlaneTile(1, 1, 1, 1, min(8, most))
    return PlaneTile(1, 1, 1, _rows(height, 1, 1, most), 1)


def _rows(height: int, taps: int, step: int, most: int) -> int:
    """Return the rows of a block for which a plane takes the least time."""

    def time(rows: int) -> float:
        # A multiply-add a cycle; beside it a row of inputs in half of one.
        return -(-height // rows) * (rows * taps + ((rows - 1) * step + taps) / 2 + 2)

    return min((rows for rows in HEIGHTS if rows <= max(1, most)), key=time)
