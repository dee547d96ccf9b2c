"""How the gradient of a 3x3 weight is formed of transformed tiles, and how far it errs: pure arithmetic on sizes.

The gradient correlates the input with the output gradient, and has as few results as the kernel has taps. A tile is
two outputs along each axis, which meet four inputs and give three results: F(3, 2), with four products instead of six
along each axis. The products of all tiles are added up before they are transformed back:

    gw = A' (sum over tiles of (G g G') * (B' x B)) A

so that each of the sixteen points is a product of matrices. G is multiplied by 2 where it halves, and A' divided, so
that numbers stay exact where they are tiny. Of three and more axes the last two are tiled: each position of the others
is a plane of output gradients, which meets a plane of inputs for each of their taps, and each of these taps has sums of
its own.

Products are added in chains of `CHAIN` tiles in registers, those `JOINED` at a time in float32, and those in float64,
in which tiles are transformed back: so the roundings do not grow with the number of images. A task has a block of
channels on both sides and a part of the bands of tiles; parts are added in pairs. All of this depends on the problem
and the processor's vectors alone.

The bound for any finite data: a pair of an input and an output gradient that meets in tap t leaves in tap j at most
M[j, t] times its rounding errors, M the largest of sum over points k of |A'[j, k] G[k, q] B'[k, p]| over the pairs
(p, q) with p - q = t. Pairs that meet in no tap meet in no point, so borders take nothing away. Along each axis errors
grow by at most the spectral norm of M, of the norm of |x| correlated with |g|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from striderule.geometry.gradients import WeightGradient
from striderule.planning.cooktoom import Matrix, Transform, cook_toom
from striderule.planning.weight_sums import FEW, TASKS, even, register_tile
from striderule.planning.winograd import MARGIN, MEAN_SQUARE, ROUNDINGS, met_planes

# Taps and outputs of a tile along each axis.
TAPS, TILE = 3, 2
# Tiles of a band, which are laid out together, and of a chain; chains that are added up in float32.
BAND, CHAIN, JOINED = 56, 28, 10
# Channels of a block: enough to make transforms little beside products, few enough to keep the sums near.
INPUTS, PANELS = 66, 2
# Vector operations: to transform a vector of tiles of one input channel, and of one output channel, in one row of
# points; to add a vector of sums of a chain to those before, one of a chunk to the totals, and to transform these back.
TRANSFORMED, TURNED, FLUSHED, ADDED, ENDED = 28.0, 32.0, 4.0, 6.0, 4.0


@dataclass(frozen=True, slots=True)
class TileSums:
    """A cut. `rows` input channels by `vectors` of output channels stay in registers."""

    rows: int
    vectors: int
    # Panels of output channels of a block, and blocks of a group; input channels of a block, and blocks of these.
    panels: int
    output_blocks: int
    channels: int
    channel_blocks: int
    # Rows and columns of tiles of a plane, and planes of all images; planes, rows and columns of a band, and how many
    # bands along each, in all.
    height: int
    width: int
    planes: int
    images: int
    lines: int
    columns: int
    line_bands: int
    column_bands: int
    bands: int
    # Tiles of a chain; bands of a chunk, whose chains are added in float32; bands of a part, and parts.
    chain: int
    chunk: int
    part: int
    parts: int
    tasks: int

    @property
    def tiles(self) -> int:
        """Most tiles of a band."""
        return self.images * self.lines * self.columns

    @property
    def chains(self) -> int:
        """Chains of a chunk."""
        return min(self.chunk, self.part) * -(-self.tiles // self.chain)

    @property
    def roundings(self) -> int:
        """Roundings that a product passes at most: of transforms, chains, chunks, the result, and parts."""
        return 4 + self.chain + self.chains + 1 + (self.parts - 1).bit_length()


@lru_cache(maxsize=1)
def transform() -> tuple[Matrix, Matrix, Matrix]:
    """Return A', G and B' of a tile, where G holds whole numbers.

    >>> [[str(number) for number in row] for row in transform()[0]]
    [['-1', '1/2', '1/2', '0'], ['0', '1/2', '-1/2', '0'], ['0', '1/2', '1/2', '1']]
    """
    found = _way()
    factors = [math.lcm(*(number.denominator for number in row)) for row in found.g]
    scales = [-factor if max(row) <= 0 else factor for factor, row in zip(factors, found.g, strict=True)]
    g = tuple(tuple(number * scale for number in row) for row, scale in zip(found.g, scales, strict=True))
    at = tuple(tuple(number / scale for number, scale in zip(row, scales, strict=True)) for row in found.at)
    return at, g, found.bt


def _way() -> Transform:
    return cook_toom(TAPS, TILE)


@lru_cache(maxsize=1)
def growth() -> float:
    """Return the spectral norm of M, of one axis: its powers, multiplied and scaled, end in it.

    >>> round(growth(), 3)
    3.732
    """
    found = _way()
    most = [[0.0] * TAPS for _ in range(TAPS)]
    for p in range(found.inputs):
        for q in range(TILE):
            paths = [abs(g[q] * b[p]) for g, b in zip(found.g, found.bt, strict=True)]
            left = [float(sum(abs(a) * path for a, path in zip(row, paths, strict=True))) for row in found.at]
            if 0 <= p - q < TAPS:
                for j, one in enumerate(left):
                    most[j][p - q] = max(most[j][p - q], one)
            else:
                assert not any(left)  # else borders would have to be looked at
    vector, size = [1.0] * TAPS, 1.0
    for _ in range(60):
        there = [sum(a * b for a, b in zip(row, vector, strict=True)) for row in most]
        back = [sum(most[j][t] * there[j] for j in range(TAPS)) for t in range(TAPS)]
        size = math.sqrt(max(back))
        vector = [one / max(back) for one in back]
    return size


def errors(plan: TileSums) -> tuple[float, float]:
    """Return the bound for any finite data, of the norm of |x| correlated with |g|, and the error of random data.

    Random data as in `planning.winograd.random_error`: each rounding adds an independent error, and those of sums are
    of half of them.
    """
    sums = plan.roundings - 4
    random = _way().random ** 2 * math.sqrt((ROUNDINGS + sums / 2) * MEAN_SQUARE)
    return 2.0**-24 * growth() ** 2 * plan.roundings, MARGIN * 2.0**-24 * random


@lru_cache(maxsize=1024)
def tile_sums(problem: WeightGradient, lanes: int, registers: int) -> TileSums:
    """Return how the gradient of a weight is cut for vectors of `lanes`.

    >>> from striderule.geometry.gradients import weight_gradient
    >>> from striderule.geometry.problem import Convolution
    >>> layer = Convolution.from_shapes((16, 64, 56, 56), (64, 64, 3, 3), padding=1)
    >>> cut = tile_sums(weight_gradient(layer), lanes=16, registers=32)
    >>> cut.rows, cut.vectors, cut.tiles, cut.chain, cut.tasks
    (6, 4, 56, 28, 16)
    >>> errors(cut)[0] < 4e-5
    True
    """
    plain = problem.plain
    outputs, inputs = plain.out_channels // plain.groups, plain.in_channels // plain.groups
    rows, vectors = register_tile(outputs, lanes, registers)
    needed = -(-outputs // lanes)
    channels, channel_blocks = even(inputs, INPUTS)
    wanted, others = max(1, PANELS * 4 * 16 // (vectors * lanes)), channel_blocks * met_planes(plain) * plain.groups
    panels, blocks = even(-(-needed // vectors), wanted if wanted * others >= FEW else PANELS)
    height, width = (-(-n // TILE) for n in plain.output_size[-2:])
    planes = plain.batch * prod(plain.output_size[:-2])
    columns, column_bands = even(width, BAND)
    lines, line_bands = even(height, BAND // columns)
    images, image_bands = even(planes, BAND // (columns * height) if line_bands == column_bands == 1 else 1)
    bands = image_bands * line_bands * column_bands
    tiles = images * lines * columns
    chains = -(-tiles // CHAIN)
    chunk = max(1, JOINED // chains)
    blocks_in_all = blocks * others
    part, parts = even(bands, bands // max(1, min(-(-bands // chunk), -(-TASKS // blocks_in_all))))
    return TileSums(
        rows, vectors, panels, blocks, channels, channel_blocks, height, width, planes, images, lines, columns,
        line_bands, column_bands, bands, -(-tiles // chains), chunk, part, parts, blocks_in_all * parts,
    )  # fmt: skip


def operations(problem: WeightGradient, plan: TileSums, lanes: int) -> float:
    """Return the vector operations of a cut."""
    plain = problem.plain
    blocks = plain.groups * plan.output_blocks * plan.channel_blocks * met_planes(plain)
    tiles = plan.planes * plan.height * plan.width
    # Vectors of tiles, which do not go on from row to row.
    vectors = plan.planes * plan.height * plan.column_bands * -(-plan.columns // lanes)
    rows, side = -(-plan.channels // plan.rows) * plan.rows, TILE + TAPS - 1
    wide = plan.panels * plan.vectors
    chains = plan.bands * -(-plan.tiles // plan.chain)
    sums = side**2 * rows * wide
    chunks = plan.parts * -(-plan.part // plan.chunk)
    total = blocks * sums * (tiles + FLUSHED * chains + ADDED * chunks + ENDED * plan.parts)
    into = side * vectors * (plan.channels * TRANSFORMED + wide * lanes * TURNED)
    return total + blocks * into


def held(plan: TileSums, lanes: int) -> int:
    """Return the bytes of a thread's room, about."""
    width = plan.panels * plan.vectors * lanes
    side = TILE + TAPS - 1
    return 4 * (side * plan.tiles * (plan.channels + width) + plan.channels * width * (side + 2 * side**2 + TAPS**2))


def products(problem: WeightGradient, plan: TileSums) -> int:
    """Return the multiply-adds of a cut."""
    tiles = plan.planes * plan.height * plan.width
    return (TILE + TAPS - 1) ** 2 * tiles * prod(problem.output_shape[:-2])
