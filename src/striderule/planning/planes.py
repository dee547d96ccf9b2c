"""Blocks of outputs of one plane: what `depthwise` holds in registers."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from striderule.geometry.problem import Convolution

# Rows of a block: few numbers, so that few routines serve all heights. More than eight do not share more inputs.
HEIGHTS = (8, 7, 6, 4, 2, 1)
# Vectors beside each other.
WIDTHS = (1, 2, 4, 8)
# Rows of a kernel that are unrolled at most at a time, and the largest stride between the rows of a block.
UNROLLED, STEP = 7, 2
# Terms of a chain; see `cost.CHAIN`.
CHAIN = 128


@dataclass(frozen=True, slots=True)
class PlaneTile:
    """What is held in registers: `rows` rows of outputs, `gap` apart, by `vectors` vectors.

    `taps` rows of the kernel at a time are unrolled, and `rest` where these remain of a larger one; `step` is the
    stride between the rows, in units of the distance between two of these taps.
    """

    taps: int
    rest: int
    step: int
    gap: int
    rows: int
    vectors: int


def plane_tile(problem: Convolution, registers: int, *, wide: int) -> PlaneTile:
    """Return the block for the planes of a problem, of which a row has `wide` vectors.

    With stride s and dilation d, output rows d / g apart (g their common divisor) meet the same rows of inputs, s / g
    taps further: so the inputs of a block of such rows are read once, whatever the dilation.

    >>> problem = Convolution.from_shapes((1, 8, 56, 56), (8, 1, 3, 3), padding=1, groups=8)
    >>> plane_tile(problem, 32, wide=4)
    PlaneTile(taps=3, rest=0, step=1, gap=1, rows=8, vectors=2)
    """
    if problem.rank == 1:
        height, kernel, stride, dilation = 1, 1, 1, 1
    else:
        height, kernel = problem.output_size[-2], problem.kernel[-2]
        stride, dilation = problem.stride[-2], problem.dilation[-2]
    common = gcd(stride, dilation)
    gap, step = dilation // common, stride // common
    taps, rest = _unrolled(kernel)
    if taps == 1 or step > STEP or height <= gap:
        taps, rest, step, gap = 1, 0, 1, 1
    # Beside the sums there are the weights of some taps, an input, and masks.
    most = max(1, registers - taps - 3)
    positions = -(-height // gap)
    shapes = [(rows, vectors) for rows in HEIGHTS for vectors in WIDTHS if rows * vectors <= most]

    def time(shape: tuple[int, int]) -> float:
        rows, vectors = shape
        reach = (rows - 1) * step + taps

        def block(count: int) -> float:
            # A multiply-add a cycle, which takes four until the next one may add to its sum; beside it a vector of
            # inputs in one. A row of inputs is looked for, and a column of taps begun.
            return max(count * rows * taps, count * reach, 4 * taps) + reach / 2 + 2 if count else 0

        return -(-positions // rows) * (wide // vectors * block(vectors) + wide % vectors * block(1))

    return PlaneTile(taps, rest, step, gap, *min(shapes, key=time))


def _unrolled(kernel: int) -> tuple[int, int]:
    """Return how many rows of a kernel to unroll at a time, and how many remain: in few parts of about one size.

    >>> [_unrolled(kernel) for kernel in (1, 7, 9, 10, 31)]
    [(1, 0), (7, 0), (5, 4), (5, 0), (7, 3)]
    """
    taps = -(-kernel // -(-kernel // UNROLLED))
    return taps, kernel % taps
