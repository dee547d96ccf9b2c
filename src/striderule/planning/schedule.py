"""How `direct` cuts its work: pure arithmetic on sizes, for the cost model and for the routine alike.

A task computes a block of output channels at a block of output positions of one image and group. It lays the inputs
that it needs out in planes, one for each channel (with the taps of the outer axes of a kernel of three and more axes
counted as channels), so that every tap of the last two axes lies at one distance from all output positions:

    plane[run, slot, i]        a run of inputs along the last axis, for each row of inputs that some tap meets

*Together*, rows of outputs are swept as one line: each tap of the last axis has a run of its own, exactly as long as a
row of outputs, so that the positions of all rows follow each other. *Row by row*, taps of the last axis share runs (one
for each remainder of the stride), which are longer than a row of outputs. Few copies or no gaps: the cost decides.

Small images of a batch are swept *together*, too, where a single one would leave lanes empty.

The few last positions of a small image that would fill a vector badly are summed with the vector along the terms.

The terms of a sum are added in chains: `chunk` channels at a time in chains of at most `CHAIN` terms. That order, which
decides the bits, follows from the problem alone; everything else is schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from striderule.geometry.problem import Convolution, TransposedConvolution

# Sums are formed in chains of at most so many terms, and of at most so many in a chunk of channels.
CHAIN, CHUNK = 128, 512
# Bytes of planes, and of unfinished sums, that a task keeps in the second-level cache.
PLANES, SUMS = 1 << 18, 3 << 17
# Bytes of weights that stay in the first-level cache while inputs stream by.
NEAR = 20 << 10
# Positions of a task, at most, unless a single row has more.
POSITIONS = 1024
# Vector operations that are worth more than one task.
WORTH = 50_000
# Vector operations to copy a vector into a plane, to add one of sums up, and to write one when images part; those to
# begin a run, a task, a tile, a turn of the inner loop.
COPY, SUM, PART, RUN, TASK, TILE, TURN = 3, 4, 6, 10, 1000, 40, 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """How one group of one image is computed."""

    # Registers: output channels by vectors of positions.
    tile: tuple[int, int]
    # Output rows and columns of a task, and how many such blocks there are.
    rows: int
    columns: int
    row_blocks: int
    column_blocks: int
    # Output channels of a task, whole tiles, and how many such blocks.
    channels: int
    channel_blocks: int
    # Whether the rows of a task are swept together.
    together: bool
    # Channels (and outer taps) laid out at a time; terms of a chain.
    chunk: int
    chain: int
    # In planes: input rows relative to the first of the task, first columns of the runs, length of a run, distance of
    # each tap, elements of a plane.
    slots: tuple[int, ...]
    shifts: tuple[int, ...]
    run: int
    taps: tuple[int, ...]
    plane: int
    # Predicted vector operations for one image.
    operations: int
    # Images of a task, and of which of them each slot is a row.
    images: int
    slot_images: tuple[int, ...]
    # Last positions of an image that are summed along their terms.
    narrow: int

    @property
    def positions(self) -> int:
        """Output positions of a task."""
        return self.images * self.rows * self.columns

    @property
    def tasks(self) -> int:
        """Tasks of one position of the outer axes, of as many images as a task has."""
        return self.row_blocks * self.column_blocks * self.channel_blocks


def sums_type(problem: Convolution | TransposedConvolution) -> str:
    """Return the type in which sums are formed: integers of 32 bits where the bound proves that they fit.

    >>> sums_type(Convolution.from_shapes((1, 3, 8, 8), (4, 3, 3, 3), dtype="int64", bound=1000))
    'int32'
    """
    fits = problem.dtype == "int64" and problem.bound is not None and problem.bound < 2**31
    return "int32" if fits else problem.dtype


def chunks_of(problem: Convolution) -> tuple[int, int]:
    """Return (channels of a chunk, terms of a chain): the order of summation, which decides the bits.

    >>> chunks_of(Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3)))
    (32, 96)
    """
    taps = prod(problem.kernel[-2:])
    channels = problem.terms // taps
    parts = -(-channels // max(1, CHUNK // taps))
    chunk = -(-channels // parts)
    terms = chunk * taps
    return chunk, -(-terms // -(-terms // CHAIN))


@lru_cache(maxsize=1024)
def schedule(
    problem: Convolution,
    lanes: int,
    registers: int,
    itemsize: int,
    copied: bool = False,
) -> Schedule:
    """Return the quickest schedule, as far as a simple count can tell; operations are those of one group of one image.

    With `copied` inputs are laid out where they could else be read in place.

    >>> schedule(Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1), 16, 32, 4).tile
    (8, 3)
    """
    width = problem.output_size[-1]
    height = problem.output_size[-2] if problem.rank > 1 else 1
    narrow = narrow_of(problem, lanes)
    shapes = [(rows, width, images) for rows in _divisions(height, POSITIONS // width) for images in (0, 1)]
    shapes += [(height, width, images) for images in (2, 4, 8, 16) if _merges(problem, images)]
    for length in (POSITIONS, POSITIONS // 2, POSITIONS // 4, POSITIONS // 8):
        columns = _up(-(-width // -(-width // length)), lanes)
        if columns < width:
            shapes.append((1, columns, 0))
    shapes = [(height, width, 1)] if narrow else shapes
    options = [Blocks.of(problem, lanes, registers, itemsize, *shape, copied=copied) for shape in dict.fromkeys(shapes)]
    chunk, chain = chunks_of(problem)
    fitting = [one for one in options if chunk * one.plane * itemsize <= PLANES]
    best = min(fitting or options, key=lambda one: one.score if fitting else one.plane)
    return best.schedule(chunk, chain, narrow)


def narrow_of(problem: Convolution, lanes: int) -> int:
    """Return how many last positions of each image are summed along their terms: a part of the order of summation.

    >>> narrow_of(Convolution.from_shapes((1, 64, 7, 7), (64, 64, 1, 1)), 16)
    1
    """
    positions = prod(problem.output_size[-2:])
    rest = positions % lanes
    return rest if lanes <= positions < 13 * lanes and rest <= lanes // 4 else 0


def _merges(problem: Convolution, images: int) -> bool:
    """Tell whether so many whole images may be swept together."""
    return images <= problem.batch and images * prod(problem.output_size[-2:]) <= POSITIONS


def products(problem: Convolution, plan: Schedule, lanes: int) -> int:
    """Return the multiply-adds that the tiles compute for all images and groups: also those beyond the edges.

    >>> one = Convolution.from_shapes((1, 3, 8), (1, 3, 2))
    >>> plan = schedule(one, 8, 16, 4)
    >>> one.multiply_adds == 7 * 6, products(one, plan, 8) == 8 * 6 * plan.tile[0]
    (True, True)
    """
    height = problem.output_size[-2] if problem.rank > 1 else 1
    cuts = (problem.batch, plan.images), (height, plan.rows), (problem.output_size[-1], plan.columns)
    positions = 0
    for block in product(*(_blocks(size, each) for size, each in cuts)):
        (images, rows, columns), counts = zip(*block, strict=True)
        lines, length = (1, images * rows * columns) if plan.together else (images * rows, columns)
        positions += prod(counts) * lines * (_up(length - plan.narrow, lanes) + plan.narrow)
    channels = problem.groups * _up(problem.out_channels // problem.groups, plan.tile[0])
    return prod(problem.output_size[:-2]) * positions * channels * problem.terms


def _blocks(size: int, each: int) -> tuple[tuple[int, int], ...]:
    """Return (length, count) of the blocks that cut a size: the whole ones, and the last one that is not."""
    return (each, size // each), (size % each, int(size % each > 0))


def register_tiles(registers: int) -> tuple[tuple[int, int], ...]:
    """Return the (rows, vectors) of sums that leave registers for a row of inputs and a weight."""
    if registers >= 32:
        return (8, 3), (12, 2), (4, 5), (2, 8), (1, 8)
    return (4, 3), (6, 2), (2, 4), (1, 6)


def register_tile(rows: int, vectors: int, registers: int, weights: int, most: int) -> tuple[int, int]:
    """Return the tile with the least predicted time for `rows` channels by `vectors` of positions; of equals the first.

    `weights` counts the bytes of one channel's weights that are read again and again. A tile has at most `most` vectors
    if there is one.

    >>> register_tile(64, 28, 32, 2048, 28), register_tile(1, 196, 32, 100, 196)
    ((8, 3), (1, 8))
    """
    tiles = register_tiles(registers)
    narrow = [tile for tile in tiles if tile[1] <= most]
    return min(narrow or tiles, key=lambda tile: _sweep(rows, vectors, tile, weights))


def _sweep(rows: int, vectors: int, tile: tuple[int, int], weights: int) -> float:
    """Return the cycles of one term for `rows` channels by `vectors` of positions."""
    height, width = tile
    slow = 1.25 if height * weights > NEAR else 1

    def time(wide: int) -> float:
        # Each cycle takes one multiply-add of vectors, and beside it one vector of inputs or two weights.
        return max(height * wide, wide + height / 2 + 1, 4) * slow + TURN if wide else 0

    return -(-rows // height) * (vectors // width * time(width) + time(vectors % width))


def _divisions(height: int, most: int) -> list[int]:
    """Return numbers of rows that cut `height` into about equal blocks of at most `most` rows."""
    least = -(-height // max(1, most))
    parts = {least, least + 1, *(least + (height - least) * step // 8 for step in range(1, 9))}
    return sorted({-(-height // count) for count in parts})


@dataclass(frozen=True, slots=True)
class Blocks:
    """One way to cut, and what it costs: blocks of `rows` x `columns` output positions of `images`, swept together.

    No images: of one, row by row.
    """

    rows: int
    columns: int
    images: int
    counts: tuple[int, int]
    slots: tuple[int, ...]
    shifts: tuple[int, ...]
    run: int
    taps: tuple[int, ...]
    plane: int
    tile: tuple[int, int]
    tiles: int
    parts: int
    operations: int
    score: float

    @classmethod
    def of(
        cls,
        problem: Convolution,
        lanes: int,
        registers: int,
        itemsize: int,
        rows: int,
        columns: int,
        images: int,
        *,
        copied: bool = False,
    ) -> Blocks:
        """Return the blocks with the number of blocks of channels that suits them."""
        width = problem.output_size[-1]
        height = problem.output_size[-2] if problem.rank > 1 else 1
        counts = (-(-height // rows), -(-width // columns))
        blocks = prod(counts) * prod(problem.output_size[:-2])
        slots, places = _slots(problem, rows, max(1, images))
        shifts, run, reach = _runs(problem, columns, together=images > 0)
        taps = tuple((phase * len(slots) + place) * run + beyond for place in places for phase, beyond in reach)
        lines, length = (1, images * rows * columns) if images else (rows, columns)
        narrow = narrow_of(problem, lanes)
        vectors, channels = (
            (length - narrow) // lanes if narrow else -(-length // lanes),
            problem.out_channels // problem.groups,
        )
        terms = chunks_of(problem)[0] * len(taps)
        # Single taps without padding are read where they are, if a line is as long as a tile is wide.
        alone = prod(problem.kernel) == prod(problem.stride) == rows == 1 and problem.padded_size == problem.size
        alone = alone and images < 2 and not copied
        most = max(1, length // lanes) if alone else vectors
        tile = register_tile(channels, vectors, registers, terms * itemsize, most)
        tiles = -(-channels // tile[0])
        sweep = blocks * (lines * _sweep(channels, vectors, tile, terms * itemsize) + channels / 4) * problem.terms
        finished = lines * tiles * -(-vectors // tile[1]) * -(-problem.terms // terms)
        sweep += blocks * finished * (TILE + SUM * prod(tile))
        sweep += blocks * tiles * narrow * (problem.terms * tile[0] / lanes + TILE)
        copies = len(shifts) * len(slots) * (RUN + COPY * -(-run // lanes)) * (problem.terms // len(taps))
        copies = 0 if alone and tile[1] * lanes <= length else copies
        copies += 2 * narrow * problem.terms
        kept = images > 1 or problem.terms > terms
        least = -(-channels * lines * length * itemsize // SUMS) if kept else 1
        shares = max(1, images)
        times = -(-problem.batch // shares) * problem.groups
        parting = PART * channels * -(-columns * rows // lanes) if images > 1 else 0

        def operations(parts: int) -> float:
            return (sweep + blocks * parts * (copies + TASK)) / shares + blocks * parting

        def score(parts: int) -> float:
            # Tasks that are few are shared badly; a problem that is small is not shared.
            total = operations(parts)
            return total * (1 + 1 / (times * blocks * parts)) if times * shares * total > WORTH else total

        wanted = {min(tiles, max(least, parts)) for parts in (1, 2, 3, 4, 6, 8, 12, 16)}
        # Blocks of whole tiles, all of about the same size.
        fair = {-(-tiles // -(-tiles // parts)) for parts in wanted}
        parts = min(sorted(fair), key=score)
        plane = _pitch(len(shifts) * len(slots) * run + lanes)
        return cls(
            rows, columns, images, counts, slots, shifts, run, taps, plane, tile, tiles, parts,
            int(operations(parts)), score(parts),
        )  # fmt: skip

    def schedule(self, chunk: int, chain: int, narrow: int) -> Schedule:
        """Return the schedule of these blocks."""
        each = -(-self.tiles // self.parts) * self.tile[0]
        return Schedule(
            self.tile, self.rows, self.columns, *self.counts, each, self.parts, self.images > 0, chunk, chain,
            self.slots, self.shifts, self.run, self.taps, self.plane, self.operations, max(1, self.images),
            self.slot_images, narrow,
        )  # fmt: skip

    @property
    def slot_images(self) -> tuple[int, ...]:
        """The image of every slot."""
        if self.images < 2:
            return (0,) * len(self.slots)
        taps = range(len(self.slots) // (self.images * self.rows))
        return tuple(image for _ in taps for image in range(self.images) for _ in range(self.rows))


def _slots(problem: Convolution, rows: int, images: int) -> tuple[tuple[int, ...], list[int]]:
    """Return the input rows that `rows` output rows need, and where each tap's begin among them.

    Output row i meets input row i * stride + t * dilation at tap t. Either each tap has rows of its own, or taps of
    one remainder share: those are every stride-th row from the first tap to the last one's last. Of several images each
    tap has rows of its own, one image after the other.
    """
    if problem.rank == 1:
        return (0,) * images, [0]
    down, stride, dilation = problem.kernel[-2], problem.stride[-2], problem.dilation[-2]
    reach = [t * dilation for t in range(down)]
    shared: list[int] = []
    starts = {}
    for phase in sorted({at % stride for at in reach}):
        turns = [at // stride for at in reach if at % stride == phase]
        starts[phase] = len(shared) - turns[0]
        shared += [turn * stride + phase for turn in range(turns[0], turns[-1] + rows)]
    if images == 1 and len(shared) <= down * rows:
        return tuple(shared), [starts[at % stride] + at // stride for at in reach]
    own = tuple(at + i * stride for at in reach for _ in range(images) for i in range(rows))
    return own, [t * images * rows for t in range(down)]


def _runs(problem: Convolution, columns: int, *, together: bool) -> tuple[tuple[int, ...], int, list[tuple[int, int]]]:
    """Return the first columns of the runs, their length, and for each tap of the last axis its run and place in it."""
    across, stride, dilation = problem.kernel[-1], problem.stride[-1], problem.dilation[-1]
    reach = [t * dilation for t in range(across)]
    if together:
        return tuple(reach), columns, [(t, 0) for t in range(across)]
    phases = sorted({at % stride for at in reach})
    return tuple(phases), columns + reach[-1] // stride, [(phases.index(at % stride), at // stride) for at in reach]


def _pitch(size: int) -> int:
    """Return a distance of at least `size` elements whose multiples fall into different sets of the cache.

    That is an odd number of 16 elements: a cache line of float32, two of float64.
    """
    lines = -(-size // 16)
    return 16 * (lines + 1 - lines % 2)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
