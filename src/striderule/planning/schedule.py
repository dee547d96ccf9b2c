"""How `direct` cuts its work: pure arithmetic on sizes, for the cost model and for the routine alike.

A task computes a block of output channels at a block of output positions of one image and group. It lays the inputs
that it needs out in planes, one for each channel (with the taps of the outer axes of a kernel of three and more axes
counted as channels), so that every tap of the last two axes lies at one distance from all output positions:

    plane[run, slot, i]        a run of inputs along the last axis, for each row of inputs that some tap meets

*Together*, rows of outputs are swept as one line: each tap of the last axis has a run of its own, exactly as long as a
row of outputs, so that the positions of all rows follow each other. *Row by row*, taps of the last axis share runs (one
for each remainder of the stride), which are longer than a row of outputs. Few copies or no gaps: the cost decides.

A task whose outputs meet some taps with nothing but zeros beyond the borders leaves these taps out. Where that is worth
it, tasks that sweep together have a part of the columns.

Small images of a batch are swept *together*, too, where a single one would leave lanes empty. Else a task may take
several images one after the other, which then share the weights that it has copied.

Inputs are read *in place* where they lie so already: single taps. Where rows follow one another and are as long as
those of the output, all rows of a run are copied *flat*, as one, under masks that leave out what is beyond the borders.

Where several blocks of channels would lay the same inputs out again, planes may be *shared*: for as many blocks of
positions as stay in the second-level caches, tasks of a first phase lay out what those of a second one read.

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
from striderule.planning.register_tiles import register_tile, sweep
from striderule.planning.runs import is_flat, is_single, part_met, pitch_of, runs_of, share_met, slots_of

# Sums are formed in chains of at most so many terms, and of at most so many in a chunk of channels.
CHAIN, CHUNK = 128, 512
# Bytes of planes, and of unfinished sums, that a task keeps in the second-level cache. Flat ones may have up to
# `MOST_PLANES` where vectors of 64 bytes tell that it holds 1 MiB, but are swept slower by the part `CROWDED` then.
PLANES, MOST_PLANES, SUMS, CROWDED = 1 << 18, 5 << 17, 3 << 17, 0.06
# Bytes of a cache line.
LINE = 64
# Positions of a task, at most, unless a single row has more.
POSITIONS = 1024
# Vector operations that are worth more than one task, and numbers of threads that should find about equal shares.
WORTH, THREADS = 50_000, (2, 4, 8)
# Vector operations to copy a vector into a plane, one of weights, to read one of inputs in place, to add one of sums
# up, and to write one when images part; those to begin a run, a task, a tile.
COPY, WEIGHT, READ, SUM, PART, RUN, TASK, TILE = 3, 6, 1, 4, 6, 14, 1000, 40
# Bytes of planes that tasks share, at most; vector operations to fetch a cache line of these, and to begin two phases.
SHARED, FETCH, PHASES = 3 << 19, 8, 20_000


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
    # Images of a task, whether they, or a part of the columns, are swept together, so that results are parted at the
    # end, and of which image each slot is a row.
    images: int
    merged: bool
    slot_images: tuple[int, ...]
    # Whether inputs are read where they are, and whether they are copied as one under masks.
    in_place: bool
    flat: bool
    # Last positions of an image that are summed along their terms.
    narrow: int
    # The part of the terms that are left, where tasks leave out taps that meet only zeros; 1 where none does.
    met: float
    # Blocks of positions whose inputs are laid out before their tasks, which share these planes; 0 where none does.
    wave: int

    @property
    def positions(self) -> int:
        """Output positions of a task."""
        return self.images * self.rows * self.columns

    @property
    def planes(self) -> int:
        """Elements of the planes that a task lays out at a time."""
        return 0 if self.in_place or self.wave else (1 if self.merged else self.images) * self.chunk * self.plane

    @property
    def tasks(self) -> int:
        """Tasks of one position of the outer axes, of as many images as a task has."""
        return self.row_blocks * self.column_blocks * self.channel_blocks

    def waves(self, blocks: int) -> tuple[tuple[int, int], ...]:
        """Return the (first, number) of blocks of positions that share planes at a time, in order, of so many."""
        firsts = range(0, blocks, self.wave) if self.wave else ()
        return tuple((first, min(self.wave, blocks - first)) for first in firsts)


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
    every: bool = False,
) -> Schedule:
    """Return the quickest schedule, as far as a simple count can tell; operations are those of one group of one image.

    With `copied` inputs are laid out where they could else be read in place; `every` tap counts, though it meets only
    what is beyond the borders.

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
    # Even single outputs may not leave out enough.
    every = every or bool(narrow) or share_met(problem, 1, 1) == 1
    if not every and problem.rank > 1:
        for columns in sorted({-(-width // parts) for parts in (2, 3, 4)}):
            if part_met(problem, -1, columns) < 1:
                shapes += [(rows, columns, 1) for rows in _divisions(height, POSITIONS // columns)]
    shapes = [(height, width, 1)] if narrow else shapes
    words = {"copied": copied, "every": every}
    options = [Blocks.of(problem, lanes, registers, itemsize, *shape, **words) for shape in dict.fromkeys(shapes)]
    chunk, chain = chunks_of(problem)
    wide = MOST_PLANES if lanes * itemsize >= LINE else PLANES
    fitting = [one for one in options if chunk * one.held * itemsize <= (wide if one.flat else PLANES)]
    best = min(fitting or options, key=lambda one: one.score if fitting else one.held)
    if best.images < 2:
        held = best.held * chunk * itemsize
        stacks = [count for count in (2, 4, 8, 16) if count <= problem.batch and count * held <= PLANES]
        shape = (best.rows, best.columns, best.images)
        more = [Blocks.of(problem, lanes, registers, itemsize, *shape, **words, stack=count) for count in stacks]
        best = min((best, *more), key=lambda one: one.score)
    for one in fitting or [best]:
        wave = one.wave_of(problem, itemsize) if one.parts > 1 else 0
        if wave:
            shape = (one.rows, one.columns, one.images)
            shared = Blocks.of(problem, lanes, registers, itemsize, *shape, **words, wave=wave)
            best = min((best, shared), key=lambda one: one.score)
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
        apart, length = (1, images) if plan.merged else (images, 1)
        lines, length = (apart, length * rows * columns) if plan.together else (apart * rows, columns)
        positions += prod(counts) * lines * (_up(length - plan.narrow, lanes) + plan.narrow)
    channels = problem.groups * _up(problem.out_channels // problem.groups, plan.tile[0])
    return int(prod(problem.output_size[:-2]) * positions * channels * problem.terms * plan.met)


def _blocks(size: int, each: int) -> tuple[tuple[int, int], ...]:
    """Return (length, count) of the blocks that cut a size: the whole ones, and the last one that is not."""
    return (each, size // each), (size % each, int(size % each > 0))


def _divisions(height: int, most: int) -> list[int]:
    """Return numbers of rows that cut `height` into about equal blocks of at most `most` rows."""
    least = -(-height // max(1, most))
    parts = {least, least + 1, *(least + (height - least) * step // 8 for step in range(1, 9))}
    return sorted({-(-height // count) for count in parts})


@dataclass(frozen=True, slots=True)
class Blocks:
    """One way to cut, and what it costs: blocks of `rows` x `columns` output positions of `images`, swept together.

    No images: of one, row by row. A task takes `stack` such blocks of as many images, one after the other.
    """

    rows: int
    columns: int
    images: int
    stack: int
    counts: tuple[int, int]
    slots: tuple[int, ...]
    shifts: tuple[int, ...]
    run: int
    taps: tuple[int, ...]
    plane: int
    tile: tuple[int, int]
    tiles: int
    in_place: bool
    flat: bool
    met: float
    parts: int
    wave: int
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
        every: bool = False,
        stack: int = 1,
        wave: int = 0,
    ) -> Blocks:
        """Return the blocks with the number of blocks of channels that suits them."""
        height = problem.output_size[-2] if problem.rank > 1 else 1
        counts = (-(-height // rows), -(-problem.output_size[-1] // columns))
        apart = images > 1 or (images == 1 and counts[1] > 1)
        stack = 1 if apart else stack
        blocks = prod(counts) * prod(problem.output_size[:-2])
        slots, places = slots_of(problem, rows, max(1, images))
        shifts, run, reach = runs_of(problem, columns, together=images > 0)
        taps = tuple((phase * len(slots) + place) * run + beyond for place in places for phase, beyond in reach)
        lines, length = (1, images * rows * columns) if images else (rows, columns)
        narrow, channels = narrow_of(problem, lanes), problem.out_channels // problem.groups
        vectors = (length - narrow) // lanes if narrow else -(-length // lanes)
        terms = chunks_of(problem)[0] * len(taps)
        met = 1.0 if every else share_met(problem, rows, columns)
        flat = images == 1 and not apart and not copied and is_flat(problem, rows, lanes * itemsize)
        # Single taps are read where they are if a line is as long as a tile is wide.
        alone = not copied and images < 2 and is_single(problem)
        most = max(1, length // lanes) if alone else vectors
        tile = register_tile(channels, vectors, registers, terms * itemsize, most)
        in_place = alone and tile[1] * lanes <= length
        tiles = -(-channels // tile[0])
        # Of one image of a block: all sums, and what every block of channels does again.
        swept = lines * sweep(channels, vectors, tile, terms * itemsize) * problem.terms * met
        swept += lines * tiles * -(-vectors // tile[1]) * -(-problem.terms // terms) * (TILE + SUM * prod(tile))
        swept += tiles * narrow * (problem.terms * tile[0] / lanes + TILE)
        swept += PART * channels * images * -(-columns * rows // lanes) if apart else 0
        # Every second column is picked from two vectors, every fourth from four; others are copied one by one.
        copy = COPY * {1: 1, 2: 2, 4: 4}.get(problem.stride[-1], lanes / 2)
        runs = len(shifts) * (len(slots) * (RUN + copy * -(-run // lanes)))
        runs = len(shifts) * (RUN + COPY * -(-len(slots) * run // lanes)) if flat else runs
        again = runs * (problem.terms // len(taps)) * met
        again = READ * lines * -(-length // lanes) * (problem.terms // len(taps)) if in_place else again
        once = 0.0
        if wave:
            planes = met * len(shifts) * len(slots) * run * problem.terms / len(taps)
            once = blocks * (again + PHASES / wave)
            again = FETCH * planes * itemsize / LINE
        again += 2 * narrow * problem.terms
        plane = pitch_of(len(shifts) * len(slots) * run + lanes)
        if flat and chunks_of(problem)[0] * met * plane * itemsize > PLANES:
            swept *= 1 + CROWDED
        weights = WEIGHT * channels * problem.terms / lanes
        shares = max(1, images) * stack
        kept = apart or problem.terms > terms
        least = -(-stack * channels * lines * length * itemsize // SUMS) if kept else 1
        images_together = -(-problem.batch // shares) * problem.groups
        # The work in whole tasks, if those of the edges were whole.
        whole = problem.batch / shares * problem.groups * prod(problem.output_size) / (rows * columns)

        def operations(parts: int) -> float:
            return once / shares + blocks * (stack * (swept + parts * again) + parts * TASK + weights) / shares

        def score(parts: int) -> float:
            # A problem that is small is not shared.
            total = operations(parts)
            if images_together * shares * total < WORTH:
                return total
            each, turns = -(-tiles // parts), -(-images_together * blocks // (wave or images_together * blocks))
            tasks = -(-images_together * blocks // turns) * parts
            longest = (max(1.0, turns * -(-tasks // n) * n * each / (whole * tiles)) for n in THREADS)
            return total * sum(longest) / len(THREADS)

        wanted = {min(tiles, max(least, parts)) for parts in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)}
        # Blocks of whole tiles, all of about the same size.
        fair = {-(-tiles // -(-tiles // parts)) for parts in wanted}
        parts = min(sorted(fair), key=score)
        return cls(
            rows, columns, images, stack, counts, slots, shifts, run, taps, plane, tile, tiles, in_place, flat, met,
            parts, wave, int(operations(parts)), score(parts),
        )  # fmt: skip

    @property
    def held(self) -> int:
        """Elements of a channel that a task reads again and again."""
        if self.met < 1:
            return int(self.met * len(self.shifts) * len(self.slots) * self.run)
        return self.rows * self.columns if self.in_place else self.plane

    def schedule(self, chunk: int, chain: int, narrow: int) -> Schedule:
        """Return the schedule of these blocks."""
        each = -(-self.tiles // self.parts) * self.tile[0]
        return Schedule(
            self.tile, self.rows, self.columns, *self.counts, each, self.parts, self.images > 0, chunk, chain,
            self.slots, self.shifts, self.run, self.taps, self.plane, self.operations, max(1, self.images) * self.stack,
            self.images > 1 or (self.images == 1 and self.counts[1] > 1), self.slot_images, self.in_place, self.flat,
            narrow, self.met, self.wave,
        )  # fmt: skip

    def wave_of(self, problem: Convolution, itemsize: int) -> int:
        """Return how many such blocks may share their planes, which are those of whole rows, copied by rows."""
        if self.in_place or self.flat or (self.images == 1 and self.counts[1] > 1):
            return 0
        blocks = prod(self.counts) * prod(problem.output_size[:-2]) * problem.groups
        blocks *= -(-problem.batch // max(1, self.images))
        return min(blocks, SHARED // (self.plane * (problem.terms // len(self.taps)) * itemsize))

    @property
    def slot_images(self) -> tuple[int, ...]:
        """The image of every slot."""
        if self.images < 2:
            return (0,) * len(self.slots)
        taps = range(len(self.slots) // (self.images * self.rows))
        return tuple(image for _ in taps for image in range(self.images) for _ in range(self.rows))


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
