"""How `direct` cuts a transposed convolution: pure arithmetic on sizes, for the cost model and for the routine alike.

    out[n, o, i * stride + t * dilation - before] += x[n, c, i] * weight[c, o, t]

No zeros are inserted anywhere. A task first forms what every tap spreads, products[(o, t), i] = sum over c of
weight[c, o, t] * x[c, i], which is a plain product of matrices: so each multiply-add is one of the definition, whatever
the stride. Then it adds the products up where they fall, and writes the outputs.

It does so for a block of outputs, and for all inputs that reach them: those at the edge of two blocks are multiplied
for both. Axes before the last two go another way: an output there has a list of pairs (input, tap) that meet at it, and
the products are sums over these, too. With `rows_inside` false the rows are treated likewise, which suits tall kernels.

The terms of a product are added in chains of `chunk`, and the products in the order of their taps. That order, which
decides the bits, follows from the problem of one image; everything else is schedule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd, prod

from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning.register_tiles import register_tiles
from striderule.planning.schedule import CHAIN

# Bytes of inputs and of products that a task keeps in the second-level cache, or mostly: blocks of rows share a row of
# inputs, which is multiplied for both, and each has its weights copied anew.
PLANES, PRODUCTS = 420 << 10, 560 << 10
# Products that are added one after the other: those of a row of taps, where more than so many meet at an output.
TAPS = 32
# Positions of a task, at most, unless a single row has more; rows that are longer are cut.
POSITIONS = 1024
# Outputs of one image from which on turning the weights costs less than it saves.
TURNED = 1024
# Vector operations that are worth more than one task.
WORTH = 50_000
# Vector operations: to begin a task, a run of inputs or products; to copy a vector of inputs, to add one of products,
# to write one of outputs; and to copy a weight
# that stands beside those of other taps, or one that does not.
TASK, RUN, COPY, ADD, WRITE, WEIGHT, GATHERED = 1000, 10, 6, 3, 6, 1.2, 2


def as_convolution(problem: TransposedConvolution) -> Convolution | None:
    """Return the convolution that a transposed one of stride 1 is, where that is quicker.

    out[o, p] = sum over c and t of weight[c, o, t] * x[c, p + before - t * dilation] is, with t = kernel - 1 - u, the
    sum over c and u of turned[o, c, u] * x[c, p + u * dilation - ((kernel - 1) * dilation - before)].

    >>> problem = TransposedConvolution.from_shapes((1, 8, 64, 64), (8, 4, 3, 3), padding=1)
    >>> as_convolution(problem).padding
    ((1, 1), (1, 1))
    """
    if set(problem.stride) != {1} or prod(problem.output_size) < TURNED:
        return None
    reach = ((k - 1) * d for k, d in zip(problem.kernel, problem.dilation, strict=True))
    axes = zip(reach, problem.padding, problem.output_padding, strict=True)
    padding = tuple((far - before, far - after + extra) for far, (before, after), extra in axes)
    if any(side < 0 for pair in padding for side in pair):
        return None
    words = (("constant", "constant"),) * problem.rank
    return Convolution(
        problem.batch, problem.in_channels, problem.out_channels, problem.size, problem.kernel, problem.stride,
        problem.dilation, padding, problem.groups, words, "count", problem.dtype, problem.bound,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: inputs, taps, stride, dilation, what is cropped before, outputs."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    outputs: int

    @property
    def met(self) -> int:
        """How many taps meet at an output, at most: every (stride / gcd of stride and dilation)-th."""
        return -(-self.kernel // (self.stride // gcd(self.stride, self.dilation)))

    def reached(self, first: int, end: int) -> tuple[int, int]:
        """Return the first input that reaches the outputs first <= p < end, and how many may."""
        start = max(0, -(-(first + self.before - (self.kernel - 1) * self.dilation) // self.stride))
        stop = min(self.size, (end - 1 + self.before) // self.stride + 1)
        return start, max(0, stop - start)

    def pairs(self, place: int) -> list[tuple[int, int]]:
        """Return the (input, tap) that meet at an output, in the order of the taps.

        >>> Axis(4, 4, 2, 1, 1, 8).pairs(3)
        [(2, 0), (1, 2)]
        """
        reach = ((divmod(place + self.before - tap * self.dilation, self.stride), tap) for tap in range(self.kernel))
        return [(i, tap) for (i, rest), tap in reach if rest == 0 and 0 <= i < self.size]


@dataclass(frozen=True, slots=True)
class Cut:
    """A block of an axis: its outputs first <= p < end, the first input that reaches them, and how many do."""

    first: int
    end: int
    start: int
    count: int


def axes_of(problem: TransposedConvolution) -> list[Axis]:
    """Return the axes of a problem."""
    before = (pair[0] for pair in problem.padding)
    numbers = (problem.size, problem.kernel, problem.stride, problem.dilation, before, problem.output_size)
    return [Axis(*each) for each in zip(*numbers, strict=True)]


def cut(axis: Axis, block: int) -> tuple[Cut, ...]:
    """Return the blocks of `block` outputs, which begin where the fewest inputs reach each."""

    def cuts(back: int) -> tuple[Cut, ...]:
        bounds = range(-back, axis.outputs, block)
        pairs = ((max(first, 0), min(first + block, axis.outputs)) for first in bounds)
        return tuple(Cut(first, end, *axis.reached(first, end)) for first, end in pairs)

    ways = [cuts(back) for back in range(min(axis.stride, block) if block < axis.outputs else 1)]
    return min(ways, key=lambda way: sum(one.count for one in way))


@dataclass(frozen=True, slots=True)
class Spreading:
    """How a transposed convolution is computed."""

    # Registers: rows of products by vectors of positions.
    tile: tuple[int, int]
    rows_inside: bool
    rows: tuple[Cut, ...]
    columns: tuple[Cut, ...]
    # Images, output channels and positions (at most) of a task; how many blocks of channels there are.
    images: int
    channels: int
    channel_blocks: int
    positions: int
    # Rows of products of a task.
    products: int
    # Terms of a chain, and taps of a row whose products are added in one.
    chunk: int
    taps: int
    # Predicted vector operations for all tasks, and how many tasks.
    operations: int
    tasks: int

    @property
    def room(self) -> int:
        """Elements of inputs and products that a thread keeps."""
        return self.positions * (self.chunk + self.products)


@lru_cache(maxsize=1024)
def spreading(problem: TransposedConvolution, lanes: int, registers: int, itemsize: int) -> Spreading:
    """Return the quickest way to cut a problem, as far as a simple count can tell.

    >>> problem = TransposedConvolution.from_shapes((1, 64, 32, 32), (64, 32, 4, 4), stride=2, padding=1)
    >>> plan = spreading(problem, 16, 32, 4)
    >>> plan.tile, plan.rows_inside, plan.chunk
    ((8, 3), True, 64)
    """
    one = replace(problem, batch=1)
    ways = [_quickest(one, lanes, registers, itemsize, rows_inside=way) for way in (True, False)[problem.rank == 1 :]]
    best = min(ways, key=lambda way: way[0])[1]
    if problem.batch == 1:
        return best
    return _quickest(problem, lanes, registers, itemsize, rows_inside=best.rows_inside)[1]


def inner_axes(problem: TransposedConvolution, *, rows_inside: bool) -> tuple[list[Axis], Axis, Axis]:
    """Return the outer axes, rows and columns; an axis that there is not has one place."""
    axes = axes_of(problem)
    if rows_inside:
        return axes[:-2], axes[-2], axes[-1]
    return axes[:-1], Axis(1, 1, 1, 1, 0, 1), axes[-1]


def terms_of(problem: TransposedConvolution, *, rows_inside: bool) -> int:
    """Return how many terms a product has at most."""
    outer = inner_axes(problem, rows_inside=rows_inside)[0]
    return problem.in_channels // problem.groups * prod(axis.met for axis in outer)


def chunk_of(problem: TransposedConvolution, *, rows_inside: bool) -> int:
    """Return the terms of a chain: of the longest sum about equal parts."""
    longest = max(1, terms_of(problem, rows_inside=rows_inside))
    return -(-longest // -(-longest // CHAIN))


def additions(problem: TransposedConvolution, *, rows_inside: bool) -> tuple[int, int]:
    """Return how many taps of a row are added in one chain, and the length of the longest chains of products.

    >>> additions(TransposedConvolution.from_shapes((1, 64, 32, 32), (64, 32, 4, 4), stride=2), rows_inside=True)
    (4, 4)
    """
    _, rows, columns = inner_axes(problem, rows_inside=rows_inside)
    down, across = rows.met, columns.met
    if down * across <= TAPS:
        return columns.kernel, down * across
    return TAPS, min(across, TAPS) + down * -(-columns.kernel // TAPS)


def _quickest(
    problem: TransposedConvolution, lanes: int, registers: int, itemsize: int, *, rows_inside: bool
) -> tuple[float, Spreading]:
    """Return the best of the ways to cut, and what speaks against it."""
    _, rows, columns = inner_axes(problem, rows_inside=rows_inside)
    room = PLANES // (chunk_of(problem, rows_inside=rows_inside) * itemsize)
    found = []
    for across in _ways(columns, POSITIONS):
        wide = max(1, *(one.count for one in across))
        for down in _ways(rows, max(1, min(room, POSITIONS) // wide)):
            blocks = Blocks(problem, rows_inside, down, across, lanes, itemsize)
            found += [blocks.spreading(each, registers) for each in blocks.shares()]
    return min(found, key=lambda one: one[0])


def _ways(axis: Axis, most: int) -> list[tuple[Cut, ...]]:
    """Return ways to cut an axis into about equal blocks that some `most` inputs reach, and smaller ones."""
    each = -(-axis.outputs // axis.stride)
    least = -(-each // most)
    sizes = dict.fromkeys(-(-each // min(each, least * parts)) for parts in (1, 2, 3, 4))
    return [cut(axis, size * axis.stride if size < each else axis.outputs) for size in sizes]


@dataclass(frozen=True, slots=True)
class Blocks:
    """One way to cut the positions, and what that costs."""

    problem: TransposedConvolution
    rows_inside: bool
    rows: tuple[Cut, ...]
    columns: tuple[Cut, ...]
    lanes: int
    itemsize: int

    @property
    def axes(self) -> tuple[list[Axis], Axis, Axis]:
        """The outer axes, rows and columns."""
        return inner_axes(self.problem, rows_inside=self.rows_inside)

    @property
    def taps(self) -> int:
        """Taps of the inner axes."""
        return self.axes[1].kernel * self.axes[2].kernel

    @property
    def places(self) -> int:
        """Positions of one image, at most."""
        return max(one.count for one in self.rows) * max(one.count for one in self.columns)

    @property
    def images(self) -> int:
        """Images of a task: several that are small."""
        whole = len(self.rows) == len(self.columns) == 1
        return max(1, min(self.problem.batch, POSITIONS // 2 // max(1, self.places))) if whole else 1

    @property
    def chunk(self) -> int:
        """Terms of a chain."""
        return chunk_of(self.problem, rows_inside=self.rows_inside)

    def shares(self) -> list[int]:
        """Return how many output channels a task may have: their products, if there are several, fit the cache."""
        channels = self.problem.out_channels // self.problem.groups
        products = self.taps * self.images * self.places * self.itemsize
        least = -(-channels // max(1, min(channels, PRODUCTS // max(1, products))))
        parts = (min(channels, max(least, few)) for few in (1, 2, 3, 4, 6, 8, 12, 16))
        return list(dict.fromkeys(-(-channels // count) for count in parts))

    def spreading(self, channels: int, registers: int) -> tuple[float, Spreading]:
        """Return the way to compute with `channels` of a task, and what speaks against it."""
        problem, outer = self.problem, self.axes[0]
        images, chunk = self.images, self.chunk
        positions, products = images * self.places, channels * self.taps
        parts = -(-(problem.out_channels // problem.groups) // channels)
        vectors = -(-positions // self.lanes)
        turns = -(-problem.batch // images) * problem.groups * prod(axis.outputs for axis in outer)
        tasks = turns * len(self.rows) * len(self.columns) * parts
        tile = min(register_tiles(registers), key=lambda one: _sweep(products, vectors, one))
        terms = problem.in_channels // problem.groups * prod(axis.kernel / axis.stride for axis in outer)
        weights = products * (GATHERED if outer else WEIGHT)
        runs = (
            min(images * -(-self.places // max(one.count for one in self.columns)), 2 * vectors) if self.places else 0
        )
        each = terms * (_sweep(products, vectors, tile) + weights + runs * RUN + vectors * COPY) + TASK
        total = (
            tasks * each + problem.batch * problem.out_channels * prod(axis.outputs for axis in outer) * self._adding()
        )
        against = total * (1 + 1 / tasks if total > WORTH else 1.0)
        against *= max(1.0, products * positions * self.itemsize / PRODUCTS, chunk * positions * self.itemsize / PLANES)
        taps = additions(problem, rows_inside=self.rows_inside)[0]
        return against, Spreading(
            tile, self.rows_inside, self.rows, self.columns, images, channels, parts, positions, products, chunk, taps,
            int(total), tasks,
        )  # fmt: skip

    def _adding(self) -> float:
        """Return the vector operations that add up and write the rows and columns of one channel of one image."""
        rows, columns = self.axes[1:]
        met = rows.kernel / rows.stride * columns.kernel
        widths = [(-(-one.count // self.lanes), (one.end - one.first) / self.lanes) for one in self.columns]
        return rows.outputs * sum(met * (RUN + ADD * inputs) + WRITE * outputs + RUN for inputs, outputs in widths)


def _sweep(rows: int, vectors: int, tile: tuple[int, int]) -> float:
    """Return the cycles of one term for `rows` of products by `vectors` of positions."""
    height, width = tile

    def time(wide: int) -> float:
        # Each cycle takes one multiply-add of vectors, and beside it one vector of inputs or two weights.
        return max(height * wide, wide + height / 2 + 1, 4) + 1 if wide else 0

    return -(-rows // height) * (vectors // width * time(width) + time(vectors % width))
