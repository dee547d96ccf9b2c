"""How `winograd` cuts its work, and how far it errs: pure arithmetic on sizes, for cost model and routine alike.

An image is cut into tiles of m x m outputs, numbered row by row and image after image. Their inputs are transformed
into V, which is multiplied at every point by the transformed weights into M, of which the outputs are made.

Of three and more axes the last two are tiled: each position of the others is a *plane*, computed as an image is, of the
planes of input that its taps meet, each of which counts as input channels of its own. So do the parts of a dilated
image (`interleaved`), which share the weights: all planes of all images are tiled alike, as the largest is.

*Shared*, V is made by tasks of its own for as many tiles as it has room for, and tasks that follow multiply it, each
for some output channels. *Own*, a task makes V for its block of tiles, which never leaves the second-level cache, and
multiplies it for all output channels. Few tiles or few weights: the cost decides. That is schedule alone; the terms of
a sum are added in chains of at most `CHAINS` channels, whatever the schedule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod

from striderule.geometry.problem import Convolution
from striderule.planning.cooktoom import Transform, cook_toom
from striderule.planning.interleaved import parts_of

# Outputs of a tile, along each axis with several taps, by the names of the ways.
VARIANTS = {"F2": 2, "F4": 4}
# Channels of a chain, at most. The transforms of larger tiles enlarge errors, so their chains are shorter.
CHAINS = {"F2": 128, "F4": 32}
# Columns of the inputs of tiles beside each other that are transformed together, at most.
STRIP = 32
# Bytes of V and M that a task keeps near, and of a shared V.
NEAR, SHARED = 640 << 10, 1 << 24
# Bytes a cycle of weights that come from the third-level cache, and from memory where they are more than `LARGE`.
STREAM, MEMORY, LARGE = 12.0, 3.0, 24 << 20
# Vector operations that a byte of a shared V takes, where it is not near.
FAR = 0.7
# Cycles to begin a task.
TASK = 1500
# Cache lines that 14 tiles beside each other may have each, and still meet in different ones of 64 sets.
FEW_LINES = 4
# What a rounding errs by in the mean of squares: a sixth of the square of the unit roundoff, since the last digit is
# uniformly distributed and the first ones are about logarithmically. Roundings on the way of a product, but for sums.
MEAN_SQUARE, ROUNDINGS = 1 / 6, 9
# The estimate for random data is that of the mean; a single problem comes within this factor.
MARGIN = 1.25
# Of the norm of |x| * |w|: where borders could make errors larger than this, the routine gives way.
HELD = 8e-6


@dataclass(frozen=True, slots=True)
class Tiling:
    """How tiles are computed."""

    # Outputs of a tile and taps of the kernel, along the last two axes; rows and columns of tiles of a plane, and
    # planes of all images.
    tile: tuple[int, int]
    kernel: tuple[int, int]
    counts: tuple[int, int]
    planes: int
    # Registers: tiles by vectors of output channels.
    rows: int
    vectors: int
    # Channels of a chain, and how many chains of all planes that are met; the distance between two tiles in V.
    chain: int
    chains: int
    pitch: int
    # Whether V is shared; how many tiles are computed before others are begun.
    shared: bool
    wave: int
    # Tiles of a task; where V is shared, tiles and vectors of input channels of a task that makes it.
    block: int
    input_block: int
    input_vectors: int
    # Vectors of output channels of a block; blocks of a task, tasks for all.
    output_vectors: int
    output_blocks: int
    output_tasks: int
    # Predicted vector operations for all images.
    operations: float
    tasks: int

    @property
    def points(self) -> int:
        """Products of a tile."""
        return prod(m + k - 1 for m, k in zip(self.tile, self.kernel, strict=True))

    @property
    def saved(self) -> float:
        """How many products of the definition one product stands for."""
        return prod(self.tile) * prod(self.kernel) / self.points


def in_two(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Return sizes of any axes as those of the last two.

    >>> in_two((9,)), in_two((2, 3, 4))
    ((1, 9), (3, 4))
    """
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[-2], sizes[-1])


def met_planes(problem: Convolution) -> int:
    """Return how many planes of input an output meets: the taps of the axes before the last two."""
    return prod(problem.kernel[:-2])


def tile_of(problem: Convolution, variant: str) -> tuple[int, int]:
    """Return the outputs of a tile: axes with a single tap are not tiled."""
    down, across = (VARIANTS[variant] if taps > 1 else 1 for taps in in_two(problem.kernel))
    return down, across


def transforms_of(problem: Convolution, variant: str) -> tuple[Transform, Transform]:
    """Return the transforms along rows and columns."""
    down, across = zip(tile_of(problem, variant), in_two(problem.kernel), strict=True)
    return cook_toom(*down), cook_toom(*across)


def chains_of(inputs: int, variant: str, lanes: int) -> tuple[int, int]:
    """Return (channels of a chain, chains): about equal parts, whole vectors.

    >>> chains_of(48, "F4", 16), chains_of(256, "F2", 16)
    ((32, 2), (128, 2))
    """
    chain = -(-inputs // -(-inputs // CHAINS[variant]))
    chain = -(-chain // lanes) * lanes
    return chain, -(-inputs // chain)


def random_error(problem: Convolution, variant: str) -> float:
    """Return the error of zero-mean random data, as a part of the norm of the result.

    Every rounding adds an independent error (Higham and Mary, SIAM J. Sci. Comput. 41, 2019): `ROUNDINGS` of transforms
    and products, and those of the sums, of which a partial sum of k terms in n errs by k / n of the whole: half as many
    as terms in the mean of squares. The transforms enlarge them by `Transform.random` along each axis.

    >>> round(random_error(Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3)), "F4") * 1e7, 1)
    8.0
    """
    inputs = problem.in_channels // problem.groups
    chain = CHAINS[variant]
    roundings = ROUNDINGS + (min(inputs, chain) + -(-inputs // chain) * met_planes(problem)) / 2
    growth = prod(one.random for one in transforms_of(problem, variant))
    return MARGIN * 2.0**-24 * growth * math.sqrt(roundings * MEAN_SQUARE)


def any_error(problem: Convolution, variant: str) -> float:
    """Return the bound for any finite data, as a part of the norm of |x| * |w|.

    The worst is a single input that meets a single tap: what the others lose to rounding, they add to |x| * |w|, too.
    Where a border leaves taps out, the weights decide whether the bound holds; see `edge_classes`.
    """
    return max(HELD, MARGIN * 2.0**-24 * prod(one.single for one in transforms_of(problem, variant)))


def register_tiles(registers: int) -> tuple[tuple[int, int], ...]:
    """Return the (tiles, vectors) of sums that leave registers for vectors of weights and a factor."""
    if registers >= 32:
        return (14, 2), (7, 4), (9, 3), (12, 2), (8, 3), (6, 4), (5, 5), (4, 6), (8, 2), (4, 4)
    return (6, 2), (4, 3), (5, 2), (2, 5), (4, 2)


@lru_cache(maxsize=1024)
def tiling(problem: Convolution, variant: str, lanes: int, registers: int) -> Tiling:
    """Return the quickest way to cut a problem, as far as a simple count can tell.

    >>> problem = Convolution.from_shapes((1, 128, 28, 28), (128, 128, 3, 3), padding=1)
    >>> plan = tiling(problem, "F4", 16, 32)
    >>> plan.counts, plan.saved
    ((7, 7), 4.0)
    """
    ways = Ways(problem, variant, lanes)
    found = [one for shape in register_tiles(registers) for one in (*ways.shared(*shape), *ways.own(*shape))]
    return min(found, key=lambda one: one.operations * (1 + 1 / one.tasks))


@dataclass(frozen=True)  # without slots, which kept properties need: each is asked for a hundred times
class Ways:
    """The ways to cut a problem, and what they cost in vector operations."""

    problem: Convolution
    variant: str
    lanes: int

    @cached_property
    def planes(self) -> int:
        """Planes of all images, and of their parts."""
        return max(1, self.problem.batch) * prod(self.problem.output_size[:-2]) * len(parts_of(self.problem))

    @cached_property
    def tiles(self) -> int:
        """Tiles of all of them."""
        return self.planes * prod(self.counts)

    @cached_property
    def shape(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Outputs of a tile, and taps of the kernel."""
        return tile_of(self.problem, self.variant), in_two(self.problem.kernel)

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles of a plane, of the largest part."""
        largest = parts_of(self.problem)[0].problem
        axes = zip(in_two(largest.output_size), tile_of(self.problem, self.variant), strict=True)
        down, across = (-(-size // m) for size, m in axes)
        return down, across

    @cached_property
    def channels(self) -> tuple[int, int]:
        """Input and output channels of a group."""
        return self.problem.in_channels // self.problem.groups, self.problem.out_channels // self.problem.groups

    @cached_property
    def wide(self) -> tuple[int, int]:
        """Vectors of these, those of the inputs of every plane that is met."""
        inputs, outputs = self.channels
        return -(-inputs // self.lanes) * met_planes(self.problem), -(-outputs // self.lanes)

    @cached_property
    def chains(self) -> tuple[int, int]:
        """Channels of a chain, and how many chains of all planes that are met."""
        chain, chains = chains_of(self.channels[0], self.variant, self.lanes)
        return chain, chains * met_planes(self.problem)

    @cached_property
    def points(self) -> int:
        """Products of a tile."""
        return prod(one.inputs for one in transforms_of(self.problem, self.variant))

    @cached_property
    def transformed(self) -> tuple[int, int]:
        """Vector operations that transform a tile: of a vector of inputs, and of outputs."""
        down, across = transforms_of(self.problem, self.variant)
        turned = down.inputs * across.outputs * 6
        into = turned + across.outputs * (down.input_program.operations + 2 * down.inputs)
        into += down.inputs * (across.input_program.operations + 3 * across.inputs)
        back = self.points + down.inputs * across.output_program.operations + down.outputs * across.outputs * 8
        back += across.outputs * down.output_program.operations
        return into, back

    def shared(self, rows: int, vectors: int) -> Iterator[Tiling]:
        """Return ways in which V is shared."""
        chain, chains = self.chains
        pitch = pitch_of(chain)
        each = self.points * chains * pitch * 4
        wide_inputs, wide_outputs = self.wide
        for count in (1, 2, 3, 4, 7):
            for panels in (1, 2):
                if self.points * rows * count * panels * vectors * self.lanes * 4 > NEAR:
                    continue
                block = min(rows * count, -(-self.tiles // rows) * rows)
                wave = min(self.tiles, max(1, SHARED // (each * block)) * block)
                # V is written once and read from another cache.
                moved = self.tiles * each * FAR if wave * each > 2 * NEAR else 0.0
                plan = Tiling(
                    *self.shape, self.counts, self.planes, rows, vectors, chain, chains, pitch, True, wave, block,
                    min(wave, 2 * run_of(self)), min(2, wide_inputs), panels * vectors, 1,
                    -(-wide_outputs // (panels * vectors)), 0, 0,
                )  # fmt: skip
                yield self._counted(plan, moved)

    def own(self, rows: int, vectors: int) -> Iterator[Tiling]:
        """Return ways in which each task has a V of its own."""
        chain, chains = self.chains
        pitch = pitch_of(chain)
        wide_inputs, wide_outputs = self.wide
        panels = -(-wide_outputs // vectors)
        for count in (1, 2, 3, 4, 6, 8):
            block = rows * count
            each = min(panels, max(1, 4 // vectors))
            near = self.points * block * (wide_inputs * self.lanes + each * vectors * self.lanes) * 4
            if near > NEAR or block >= self.tiles + rows:
                continue
            plan = Tiling(
                *self.shape, self.counts, self.planes, rows, vectors, chain, chains, pitch, False, self.tiles, block,
                block, wide_inputs, each * vectors, -(-panels // each), 1, 0, 0,
            )  # fmt: skip
            yield self._counted(plan, 0.0)

    def _counted(self, plan: Tiling, moved: float) -> Tiling:
        """Return the plan with its operations and tasks."""
        inputs, (wide_inputs, wide_outputs) = self.channels[0] * met_planes(self.problem), self.wide
        blocks = -(-self.tiles // plan.block)
        rows = blocks * -(-min(plan.block, self.tiles) // plan.rows)
        panels = -(-wide_outputs // plan.vectors)
        turn = max(plan.rows * plan.vectors, plan.rows + plan.vectors, 8) + 1
        ends = 3 * plan.rows * plan.vectors + 10
        products = float(self.points * rows * panels * (inputs * turn + plan.chains * ends))
        weights = 4 * self.points * inputs * wide_outputs * self.lanes
        streamed = blocks * weights / (STREAM if weights <= LARGE else MEMORY) if weights > NEAR else 0.0
        products = max(products, streamed) + 0.25 * min(products, streamed)
        into, back = self.transformed
        total = products + self.tiles * (wide_inputs * into + wide_outputs * back) + moved
        tasks = blocks * plan.output_tasks * self.problem.groups
        total = total * self.problem.groups + tasks * TASK
        return replace(plan, operations=total, tasks=tasks)


def run_of(ways: Ways) -> int:
    """Return how many tiles beside each other are transformed together."""
    return run_length(tile_of(ways.problem, ways.variant)[1], in_two(ways.problem.kernel)[1])


def run_length(tile: int, kernel: int) -> int:
    """Return how many tiles beside each other need at most `STRIP` columns.

    >>> run_length(4, 3)
    7
    """
    return (STRIP - kernel + 1) // tile


def pitch_of(chain: int) -> int:
    """Return the distance between two tiles in V.

    It is an odd number of cache lines, so that tiles meet in different sets; a few lines leave sets enough anyway.

    >>> pitch_of(32), pitch_of(128)
    (32, 144)
    """
    lines = -(-chain // 16)
    return 16 * (lines if lines <= FEW_LINES else lines + 1 - lines % 2)


def packing_operations(problem: Convolution, variant: str, lanes: int) -> float:
    """Return the vector operations that transform the weights."""
    down, across = transforms_of(problem, variant)
    taps = prod(in_two(problem.kernel))
    each = 9 * taps + across.kernel * down.weight_program.operations + down.inputs * across.weight_program.operations
    each += 2 * down.inputs * across.inputs
    inputs = problem.in_channels * met_planes(problem)
    return inputs * -(-(problem.out_channels // problem.groups) // lanes) * each
