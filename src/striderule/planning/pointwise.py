"""How the products of single taps are cut whose weights stand input by input: those of an input's gradient.

    y[n, m, q * stride] = sum over k of w[k, m] * x[n, k, q], and zeros between

That is a product of matrices for each image, and the positions of all images may follow one another: a block of them is
multiplied with all panels of weights, which are copied before. Its inputs are read in place where it is a part of one
image in whole vectors, else they are laid out side by side, so that small planes waste no lanes. Those of the next
block are asked for meanwhile.

The terms are added in chains of equal length. That order, which decides the bits, follows from their number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning.register_tiles import register_tiles
from striderule.planning.schedule import CHAIN, CHUNK, LINE, THREADS, WORTH

# Bytes of a block's inputs that stay in the second-level cache.
NEAR = 3 << 18
# Chains of sums of more than `CHUNK` terms: shorter ones, so that chains and their number together stay as few.
SHORTER = 96
# Vectors of positions of a block at most, and blocks of a task.
VECTORS, BLOCKS = 48, 16
# Vector operations: to lay a vector of inputs out, to read one in place, one that was not asked for, a line of weights;
# to begin a run of inputs, a tile, a task; to write a vector of sums, one with zeros between.
COPY, READ, MISSED, FETCH, RUN, TILE, TASK, WRITE, SPREAD = 12, 3, 6, 4, 10, 40, 1000, 2, 6


@dataclass(frozen=True, slots=True)
class Pointwise:
    """A cut. `tile` is rows by vectors of positions; `block` counts positions, which are `laid` out or in one image."""

    tile: tuple[int, int]
    laid: bool
    block: int
    # Blocks of a task, and tasks of a part; tiles of rows of a part, and parts.
    blocks: int
    stretches: int
    tiles: int
    parts: int
    chain: int
    # Vector operations of all tasks.
    operations: float

    @property
    def tasks(self) -> int:
        """Tasks that multiply."""
        return self.stretches * self.parts


def served(problem: Convolution | TransposedConvolution, lanes: int, registers: int, itemsize: int) -> bool:
    """Tell whether this is such a product, with blocks that fit the cache, and planes of at least a tile's width.

    >>> served(Convolution.from_shapes((16, 64, 7, 7), (256, 64, 1, 1)), 16, 32, 4)
    True
    """
    width = register_tiles(registers)[0][1] * lanes
    padded = any(side for pair in problem.padding for side in pair)
    if problem.groups > 1 or prod(problem.kernel) > 1 or padded or problem.in_channels * width * itemsize > NEAR:
        return False
    if max(problem.stride) == 1:
        return isinstance(problem, Convolution) and prod(problem.size) >= width
    row = problem.size[-1]
    return isinstance(problem, TransposedConvolution) and problem.rank < 3 and row <= VECTORS * lanes


def chain_of(terms: int, *, spread: bool) -> int:
    """Return the terms of a chain; those with a stride are as long as other transposed convolutions have them."""
    most = CHAIN if spread or terms <= CHUNK else SHORTER
    return -(-terms // -(-terms // most))


@lru_cache(maxsize=1024)
def pointwise(problem: Convolution | TransposedConvolution, lanes: int, registers: int, itemsize: int) -> Pointwise:
    """Return the quickest cut, as far as a simple count can tell.

    >>> cut = pointwise(Convolution.from_shapes((16, 512, 7, 7), (2048, 512, 1, 1)), 16, 32, 4)
    >>> cut.tile, cut.chain
    ((8, 3), 128)
    """
    tile = register_tiles(registers)[0]
    spread = isinstance(problem, TransposedConvolution)
    plane, step = prod(problem.size), problem.size[-1] if spread else lanes
    rows = -(-problem.out_channels // tile[0])
    chain = chain_of(problem.in_channels, spread=spread)
    most = max(1, min(VECTORS * lanes, NEAR // (problem.in_channels * itemsize)) // step)
    found = []
    for block in range(step, (most + 1) * step, step):
        laid = block % lanes > 0 or plane % block > 0
        vectors, count = -(-block // lanes), -(-problem.batch * plane // block)
        swept = (
            problem.in_channels * (_sweep(vectors, tile) + FETCH * tile[0] * itemsize / LINE)
            + -(-vectors // tile[1]) * TILE
        )
        swept += tile[0] * vectors * (prod(problem.stride) * SPREAD if spread else WRITE)
        runs = 1 + block / plane if laid else vectors / tile[1]
        copied = problem.in_channels * ((COPY if laid else READ) * vectors + RUN * runs)
        for tiles in {-(-rows // parts) for parts in (1, 2, 3, 4, 6, 8) if parts <= rows}:
            each, parts = copied + tiles * swept, -(-rows // tiles)
            for blocks in {min(count, blocks) for blocks in (1, 2, 4, 8, BLOCKS)}:
                stretches = -(-count // blocks)
                begun = TASK + problem.in_channels * MISSED * vectors
                tasks, time = stretches * parts, blocks * each + begun
                total = count * parts * each + tasks * begun
                longest = sum(max(total, n * -(-tasks // n) * time) for n in THREADS) / len(THREADS)
                cut = Pointwise(tile, laid, block, blocks, stretches, tiles, parts, chain, total)
                found.append((longest if total > WORTH else total, -block, blocks, cut))
    return min(found, key=lambda one: one[:3])[3]


def _sweep(vectors: int, tile: tuple[int, int]) -> float:
    """Return the cycles of one term for a tile's rows by so many vectors of positions."""
    height, width = tile

    def time(wide: int) -> float:
        # Each cycle takes one multiply-add of vectors, and beside it one vector of inputs or two weights.
        return max(height * wide, wide + height / 2 + 1, 4) + 1 if wide else 0

    return vectors // width * time(width) + time(vectors % width)
