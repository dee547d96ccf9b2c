"""What a problem costs by each algorithm: operations, bytes, workspace, predicted time, error bound.

A prediction is made of a few rates, which are round figures measured on present processors (the NumPy ones on one core,
in seconds). They rank algorithms; they are no promise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from striderule.geometry.gradients import WeightGradient
from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning import dots, image_cost, tile_sums, transforms, weight_sums
from striderule.planning.interleaved import parts_of
from striderule.planning.machine import Machine, itemsize
from striderule.planning.phases import interleaved_operations, interleaved_terms, interleaves, phases
from striderule.planning.plane_sums import WIDE, plane_sums, room_of
from striderule.planning.plane_sums import operations as plane_sums_operations
from striderule.planning.planes import MASKS, plane_operations, plane_tile, rolling_tile, rolls
from striderule.planning.runs import flattened, joined
from striderule.planning.schedule import CHAIN, products, schedule, sums_type
from striderule.planning.spreading import additions, as_convolution, spreading, terms_of
from striderule.planning.winograd import (
    VARIANTS,
    any_error,
    met_planes,
    packing_operations,
    random_error,
    tiling,
)
from striderule.planning.work import Cost, Work, work_of

# Elements of the blocks of `windows`: the matrix of columns, 2 MiB of float32 for the second-level cache, and a sweep
# tap by tap, which stays in the first or second between taps.
COLUMNS, SWEEP = 1 << 19, 1 << 15
# `windows`: seconds a call, a NumPy operation, an element copied into columns, an element multiplied and added in a
# sweep, an element of the result; the part of the peak that its matrix product reaches.
CALL, OPERATION, COPIED, SWEPT, STORED, PRODUCT = 60e-6, 3e-6, 1.5e-9, 0.7e-9, 1e-9, 0.5
# `reference`: seconds an operation of the definition.
INTERPRETED = 3e-6
# `direct`: seconds a call, and the part of the peak that its vector operations reach.
DIRECT_CALL, DIRECT_LOOP = 5e-6, 0.9
# `direct`: seconds a call of a pooling; how many operations of the peak a window element takes.
POOL_CALL, POOLED = 5e-6, 16.0
# `dots`: seconds a call, and vector operations to pack a vector of words.
DOTS_CALL, PACKED = 10e-6, 16.0
# `dots`: what a product in tiles takes beside one in vectors: an eighth, 16 cycles for 256 of them, and some for loads.
TILED = 1 / 6
# `depthwise`: the same as for `direct`; seconds of a further phase of a transposed convolution, and to write an output
# that stands alone.
PLANES_CALL, PLANES_LOOP, PHASE_CALL, SCATTERED = 5e-6, 0.8, 2e-6, 0.45e-9
# What `direct` takes for a transposed convolution of channels by themselves, as a multiple of the prediction: its
# products have a single term, so that all is laying out and adding up.
SPREAD_ALONE = 1.8
# `winograd`: seconds a call, and the part of the peak that its vector operations reach; how much longer those take that
# transform weights, which are written far apart, and seconds to find out whether borders let them be transformed.
WINOGRAD_CALL, WINOGRAD_LOOP = 10e-6, 0.84
WINOGRAD_PACKED, WINOGRAD_LOOKED = 3.0, 60e-6
# The parts of complex numbers.
_REAL = {"complex64": "float32", "complex128": "float64"}


def windows(problem: Any, work: Work, machine: Machine) -> Cost:
    """NumPy: windows copied into columns and multiplied as matrices, or a sweep for each tap."""
    size = itemsize(work.dtype)
    if work.kind in ("pooling", "unfold") or _is_swept(problem):
        passes = 1 if work.kind in ("pooling", "unfold") else 2 * work.operations // max(1, work.outputs)
        seconds = CALL + SWEPT * size / 4 * (work.operations + work.outputs) + OPERATION * passes
        moved = work.least_bytes + 2 * passes * min(SWEEP, work.outputs) * size
        return Cost(work.operations, moved, min(SWEEP, work.outputs) * size, seconds, *work.pairwise)
    if work.kind == "transposed":
        copied = work.operations // max(1, problem.in_channels // problem.groups)
        taps = prod(problem.kernel)
        workspace = (copied // max(1, taps) + 2 * work.outputs // max(1, problem.batch)) * size
        calls = 4 * taps * problem.batch
    elif work.kind == "weight gradient":  # a copy of both operands, and a product of matrices, for each tap
        plain, taps = problem.plain, prod(problem.plain.kernel)
        copied = taps * plain.batch * (plain.in_channels + plain.out_channels) * prod(plain.output_size)
        workspace, calls = copied // taps * size, 10 * taps
    else:
        plain = problem if isinstance(problem, Convolution) else problem.plain
        copied = plain.batch * prod(plain.output_size) * plain.terms * plain.groups
        padded = plain.in_channels * prod(plain.padded_size)
        workspace = (min(COLUMNS, copied // max(1, plain.batch)) + padded) * size
        blocks = plain.batch + copied // COLUMNS
        calls = 10 * blocks if work.kind == "convolution" else 10 * plain.batch * prod(problem.tile)
    product = 2 * work.operations / (PRODUCT * machine.peak(work.dtype))
    unshared = work.kind == "local" and problem.tile == problem.plain.output_size
    if unshared:  # no matrix: weights and windows are multiplied one by one
        product, calls = work.operations * SWEPT * size / 4, 5 * problem.plain.batch * problem.out_channels
    if work.dtype not in ("float32", "float64"):  # integers have no matrix product but NumPy's own loops
        product = work.operations * SWEPT
    seconds = CALL + product + (COPIED * copied + STORED * work.outputs) * size / 4 + OPERATION * calls
    return Cost(work.operations, work.least_bytes + 2 * copied * size, workspace, seconds, *work.pairwise)


def _is_swept(problem: Any) -> bool:
    """Tell whether `windows` goes tap by tap: in images, and where sums are short."""
    if not isinstance(problem, Convolution):
        return False
    per_group = problem.in_channels // problem.groups * (problem.out_channels // problem.groups)
    return problem.zero_taps == "skip" or per_group <= 4


def reference(_: Any, work: Work, __: Machine) -> Cost:
    """Plain loops over Python numbers, which are objects of their own."""
    held = 32 * (work.inputs + work.weights + work.outputs)
    # Floats are summed in 64 bits, in the order of the definition, and rounded once.
    return Cost(work.operations, held, held, CALL + INTERPRETED * (work.operations + work.outputs), *work.pairwise)


def direct(problem: Any, work: Work, machine: Machine) -> Cost:
    """Generated code: products in tiles of registers, windows and copies at the speed of memory."""
    if work.kind == "pooling":
        return _pooled(work, machine)
    if work.operations == 0:
        return Cost(0, work.least_bytes, 0, DIRECT_CALL, 0.0, 0.0)
    if work.kind == "unfold":
        seconds = DIRECT_CALL + work.least_bytes / machine.bandwidth
        return Cost(work.operations, work.least_bytes, 0, seconds, *work.pairwise)
    if work.kind == "transposed":
        turned = as_convolution(problem)
        return _spread(problem, work, machine) if turned is None else _product(turned, work, machine)
    if work.kind == "weight gradient":
        return _weight_sums(problem, work, machine)
    return _product(problem, work, machine)


def _weight_sums(problem: WeightGradient, work: Work, machine: Machine) -> Cost:
    """A tile of terms by vectors of output channels stays in registers while positions go by."""
    size, lanes = itemsize(work.dtype), machine.lanes(work.dtype)
    apart = weight_sums.taps_apart(problem, lanes, machine.registers)
    if apart:
        found = [_weight_sums(tap.problem, work_of(tap.problem, work.dtype), machine) for tap in apart]
        total = {word: sum(getattr(one, word) for one in found) for word in ("operations", "bytes_moved", "seconds")}
        return replace(max(found, key=lambda one: one.error), **total)
    problem, plan, turned = weight_sums.oriented(problem, lanes, machine.registers)
    plain, operations = problem.plain, weight_sums.operations(problem, plan)
    taps, width = prod(plain.kernel), plan.vectors * lanes
    positions = plain.batch * prod(plain.output_size)
    rate = machine.peak(work.dtype) / (2 * lanes) * min(1.0, plan.tasks / machine.cores)
    # Every block of the ones reads all of the others.
    outputs = positions * plain.out_channels
    moved = (plan.output_blocks * (work.inputs - outputs) + plan.channel_blocks * outputs + work.outputs) * size
    seconds = DIRECT_CALL + max(operations / (DIRECT_LOOP * rate), moved / machine.bandwidth)
    width *= plan.panels
    workspace = (plan.positions * (width + plan.channels * taps) + 2 * plan.channels * taps * width) * size
    workspace = min(plan.tasks, machine.cores) * workspace + (plan.parts > 1) * plan.parts * work.outputs * size
    words = f"{plan.rows} terms x {plan.vectors} vectors of {lanes} {'input' if turned else 'output'} channels"
    return Cost(work.operations, moved, workspace, seconds, *work.errors(plan.roundings), words)


def _pooled(work: Work, machine: Machine) -> Cost:
    """Pooling goes at the speed of memory, or of comparisons and additions; results are rounded once."""
    rate = machine.peak(work.dtype) / POOLED
    seconds = POOL_CALL + max(work.least_bytes / machine.bandwidth, (work.operations + work.inputs) / rate)
    return Cost(work.operations, work.least_bytes, 0, seconds, *work.errors(1))


def _product(problem: Convolution, work: Work, machine: Machine) -> Cost:
    """A tile of output channels by vectors of output positions stays in registers."""
    problem = replace(problem, dtype=_REAL.get(problem.dtype, problem.dtype))
    kind = sums_type(problem)
    size, lanes = itemsize(kind), machine.lanes(kind)
    problem = flattened(problem)
    plan = schedule(replace(problem, bound=None), lanes, machine.registers, size)
    images = problem.batch * problem.groups
    # Complex numbers: twice the channels on both sides, half the sums each.
    factor = 4 if work.dtype in _REAL else 1
    tasks = -(-images // plan.images) * prod(problem.output_size[:-2]) * plan.tasks
    rate = machine.peak(kind) / (2 * lanes) * min(1.0, tasks / machine.cores)
    seconds = factor * images * plan.operations / (DIRECT_LOOP * rate)
    seconds = DIRECT_CALL + max(seconds, work.least_bytes / machine.bandwidth)
    unfinished = plan.channels * plan.positions if problem.terms > plan.chunk * len(plan.taps) else 0
    shared = plan.plane * problem.terms // len(plan.taps)
    workspace = (min(tasks, machine.cores) * (plan.planes + unfinished) + plan.wave * shared) * size
    laid = tasks // plan.channel_blocks * shared if plan.wave else tasks * plan.planes
    moved = work.least_bytes + 2 * laid * size
    words = f"{plan.tile[0]} output channels x {plan.tile[1]} vectors of {lanes} positions"
    # Chains are added in their order within a chunk, and chunks in theirs.
    chunk = plan.chunk * len(plan.taps)
    roundings = plan.chain + -(-chunk // plan.chain) + max(0, -(-problem.terms // chunk) - 1)
    computed = factor * products(problem, plan, lanes)
    return Cost(computed, moved, workspace, seconds, *work.errors(roundings), words)


def _spread(problem: TransposedConvolution, work: Work, machine: Machine) -> Cost:
    """What every tap spreads is a product of matrices, which is added up where it falls."""
    kind = sums_type(replace(problem, dtype=_REAL.get(problem.dtype, problem.dtype)))
    # Complex numbers: twice the channels on both sides.
    factor = 4 if work.dtype in _REAL else 1
    size, lanes = itemsize(kind), machine.lanes(kind)
    plan = spreading(replace(problem, dtype=kind, bound=None), lanes, machine.registers, size)
    rate = machine.peak(kind) / (2 * lanes) * min(1.0, plan.tasks / machine.cores)
    slower = SPREAD_ALONE if problem.in_channels == problem.groups else 1.0
    seconds = DIRECT_CALL + slower * factor * plan.operations / (DIRECT_LOOP * rate)
    workspace = min(plan.tasks, machine.cores) * plan.room * size
    moved = work.least_bytes + 2 * plan.tasks * plan.room * size
    words = f"{plan.tile[0]} channels and taps x {plan.tile[1]} vectors of {lanes} positions"
    terms = terms_of(problem, rows_inside=plan.rows_inside)
    chain = min(plan.chunk, terms) + -(-terms // plan.chunk) - 1
    added = additions(problem, rows_inside=plan.rows_inside)[1]
    return Cost(factor * work.operations, moved, workspace, seconds, *work.errors(chain + added), words)


def dot_products(problem: Convolution, work: Work, machine: Machine) -> tuple[Cost, ...]:
    """Direct convolution of words, which are packed before: see `planning.dots`."""
    if work.operations == 0:
        found = [Cost(0, work.least_bytes, 0, DOTS_CALL, 0.0, 0.0)]
    else:
        found = [_of_words(problem, work, machine, variant) for variant in dots.variants(problem)]
    return tuple(replace(cost, variant=word) for cost, word in zip(found, dots.variants(problem), strict=False))


def _of_words(problem: Convolution, work: Work, machine: Machine, variant: str | None) -> Cost:
    unit = dots.unit_of(problem, machine)
    assert unit is not None  # the rule has seen to it
    tiled = dots.is_tiled(problem, unit, machine.units)
    words = dots.in_words(problem, unit, variant, tiled=tiled)
    lanes = machine.lanes("int32")
    plan = schedule(words, lanes, machine.registers, 4, every=True)
    images = problem.batch * problem.groups
    tasks = -(-images // plan.images) * prod(problem.output_size[:-2]) * plan.tasks
    packed = problem.batch * words.in_channels * prod(problem.size)
    taken = prod((problem.out_channels, words.in_channels // problem.groups, *problem.kernel))
    operations = dots.operations_of(unit) * images * plan.operations + PACKED * packed / lanes
    if tiled:  # of the products alone, which take about nine tenths of it
        operations = images * plan.operations * (0.1 + 0.9 * TILED) + PACKED * packed / lanes
    rate = machine.peak("int32") / (2 * lanes) * min(1.0, tasks / machine.cores)
    # Integers are read as bytes; words are written, then read, but seldom beyond the caches.
    stored = work.least_bytes if variant else work.inputs + work.weights + 4 * work.outputs
    moved = stored + 8 * (packed + taken)
    packing = PACKED * taken / lanes / rate
    seconds = DOTS_CALL + packing + max(operations / (DIRECT_LOOP * rate), stored / machine.bandwidth)
    tile = f"{plan.tile[0]} output channels x {plan.tile[1]} vectors of {lanes} positions"
    # Each word is rounded twice, in chains that are added in their order within a chunk, and chunks in theirs.
    chain, chunk = dots.chain_of(variant, plan.chain), plan.chunk * len(plan.taps)
    roundings = 2 * chain + -(-chunk // chain) + max(0, -(-words.terms // chunk) - 1)
    if tiled:  # 16 words at a time in two sums, which are added to those before
        chunk = dots.chunk_of_tiles(words) * len(plan.taps)
        roundings = 18 + chunk // 16 + words.terms // chunk
    left = dots.left_out(problem, variant)
    sums = work.errors(roundings)
    errors = left[0] + sums[0], left[1] + sums[1]
    computed = products(words, plan, lanes) * dots.NUMBERS[unit]
    tile = f"32 output channels x {2 * lanes} positions in tiles" if tiled else tile
    words_of = f"{tile}, {dots.NUMBERS[unit]} channels a word"
    workspace, kept = 4 * (packed + taken), 4 * taken
    return Cost(computed, moved, workspace, seconds, *errors, words_of, packing=packing, packed_bytes=kept)


def depthwise(problem: Convolution | TransposedConvolution | WeightGradient, work: Work, machine: Machine) -> Cost:
    """Generated code: a block of rows of one plane stays in registers, and every input is read where it stands."""
    if isinstance(problem, WeightGradient):
        return _plane_sums(problem, work, machine)
    if isinstance(problem, TransposedConvolution):
        return _phases(problem, work, machine)
    if work.operations == 0:
        return Cost(0, work.least_bytes, 0, PLANES_CALL, 0.0, 0.0)
    lanes = machine.lanes(work.dtype)
    wide = -(-problem.output_size[-1] // lanes)
    rolled = machine.name in MASKS and rolls(problem, machine.registers)
    tile = rolling_tile(problem, wide=wide) if rolled else plane_tile(problem, machine.registers, wide=wide)
    operations = problem.batch * plane_operations(problem, machine.registers, lanes, rolled=rolled)
    seconds = operations / (PLANES_LOOP * machine.peak(work.dtype) / (2 * lanes))
    words = (
        f"{tile.rows} row{'s' * (tile.rows > 1)} x {tile.vectors} vector{'s' * (tile.vectors > 1)} of {lanes} columns"
    )
    # Chains are full but for a part of what is unrolled, and are added in their order.
    roundings = min(work.terms, CHAIN) + max(0, -(-work.terms // (CHAIN - tile.taps * tile.over + 1)) - 1)
    seconds = PLANES_CALL + max(seconds, work.least_bytes / machine.bandwidth)
    return Cost(work.operations, work.least_bytes, 0, seconds, *work.errors(roundings), words)


def _phases(problem: TransposedConvolution, work: Work, machine: Machine) -> Cost:
    """Return the cost of all phases of the outputs at once, or of a convolution for each: written between others."""
    if machine.name in MASKS and interleaves(problem):
        lanes = machine.lanes(work.dtype)
        rate = PLANES_LOOP * machine.peak(work.dtype) / (2 * lanes)
        seconds = max(interleaved_operations(problem, lanes) / rate, work.least_bytes / machine.bandwidth)
        words, errors = f"{prod(problem.stride)} phases of outputs at once", work.errors(interleaved_terms(problem))
        return Cost(work.operations, work.least_bytes, 0, PLANES_CALL + seconds, *errors, words)
    parts = [depthwise(phase.problem, work_of(phase.problem, work.dtype), machine) for phase in phases(problem)]
    apart = work.outputs if problem.stride[-1] > 1 else 0
    seconds = sum(part.seconds - PLANES_CALL + PHASE_CALL for part in parts) + PLANES_CALL + SCATTERED * apart
    error = max((part.error for part in parts), default=0.0)
    random_error = max((part.random_error for part in parts), default=0.0)
    words = f"{len(parts)} phases of outputs"
    return Cost(work.operations, work.least_bytes, 0, seconds, error, random_error, words)


def _plane_sums(problem: WeightGradient, work: Work, machine: Machine) -> Cost:
    """A block of taps of one plane stays in registers while rows of the input and of the gradient go by."""
    lanes, size = machine.lanes(work.dtype), itemsize(work.dtype)
    if work.operations == 0:
        return Cost(0, work.least_bytes, 0, PLANES_CALL, 0.0, 0.0)
    plan = plane_sums(problem, lanes, machine.registers, wide=machine.vector_bytes >= WIDE)
    rate = PLANES_LOOP * machine.peak(work.dtype) / (2 * lanes) * min(1.0, plan.tasks / machine.cores)
    seconds = max(plane_sums_operations(problem, plan, lanes) / rate, work.least_bytes / machine.bandwidth)
    words = f"{plan.down.size} x {plan.over.size} taps, each a vector of {plan.lanes} columns"
    workspace = min(plan.tasks, machine.cores) * room_of(problem, plan) * size
    workspace += (plan.parts > 1) * plan.parts * work.outputs * size
    errors = work.errors(plan.roundings)
    return Cost(work.operations, work.least_bytes, workspace, PLANES_CALL + seconds, *errors, words)


def fourier(problem: Convolution, work: Work, machine: Machine) -> Cost:
    """Generated transforms of tiles of images; of signals NumPy's, of blocks of float64, on one thread."""
    if problem.rank == 2:
        return image_cost.tiles(problem, work, machine)
    length = transforms.block_length(replace(problem, batch=1))
    count = problem.batch * transforms.block_count(problem, length)
    pairs = problem.out_channels * (problem.in_channels // problem.groups)
    # A transform takes 2.5 n log2(n) operations of arithmetic, a product of spectra 4 n; two make a multiply-add.
    levels = 1.25 * length * math.log2(length)
    channels = problem.in_channels + problem.out_channels
    operations = int((count * channels + pairs) * levels + 2 * count * pairs * length)
    held = problem.in_channels * (problem.padded_size[0] * itemsize(work.dtype) + 40 * length)
    workspace = held + transforms.spectra_bytes(replace(problem, batch=1))
    moved = work.least_bytes + 16 * count * channels * length
    # The error of transforms is relative to norms, and held to the promise image by image; float32 is rounded once.
    error = transforms.error(length) + (work.unit if work.dtype == "float32" else 0.0)
    seconds = CALL + transforms.seconds(problem, length)
    return Cost(operations, moved, workspace, seconds, error, error, f"blocks of {length} inputs")


def winograd(problem: Convolution | WeightGradient, work: Work, machine: Machine) -> tuple[Cost, ...]:
    """Generated code: tiles transformed, multiplied at each point, and transformed back."""
    if isinstance(problem, WeightGradient):
        return (_tile_sums(problem, work, machine),)
    return tuple(_tiled(joined(problem), work, machine, variant) for variant in VARIANTS)


def _tiled(problem: Convolution, work: Work, machine: Machine, variant: str) -> Cost:
    lanes = machine.lanes(work.dtype)
    plan = tiling(problem, variant, lanes, machine.registers)
    rate = WINOGRAD_LOOP * machine.peak(work.dtype) / (2 * lanes)
    inputs, outputs = problem.in_channels * met_planes(problem), problem.out_channels
    weights = plan.points * inputs * (outputs // problem.groups) * itemsize(work.dtype)
    packing = WINOGRAD_PACKED * packing_operations(problem, variant, lanes) / rate
    packing += WINOGRAD_LOOKED * len({part.problem for part in parts_of(problem)}) + weights / machine.bandwidth
    seconds = plan.operations / (rate * min(1.0, plan.tasks / machine.cores))
    seconds = WINOGRAD_CALL + packing + max(seconds, work.least_bytes / machine.bandwidth)
    down, across = plan.tile
    words = (
        f"F({down} x {across}, {plan.kernel[0]} x {plan.kernel[1]}): a product for {plan.saved:.3g} of the definition; "
        f"{plan.rows} tiles x {plan.vectors} vectors of {lanes} output channels"
    )
    tiles = plan.planes * prod(plan.counts)
    products = tiles * plan.points * inputs * (outputs // problem.groups)
    # V and M are written and read once. Of M a task holds a block, in V there is room for a wave where it is shared.
    read, made = (4 * plan.points * channels for channels in (inputs, outputs))
    near = min(tiles, plan.block * machine.cores)
    workspace = weights + (min(tiles, plan.wave) if plan.shared else near) * read + near * made
    moved = work.least_bytes + 2 * tiles * (read + made) + weights
    errors = any_error(problem, variant), random_error(problem, variant)
    return Cost(products, moved, workspace, seconds, *errors, words, variant, packing, weights)


def _tile_sums(problem: WeightGradient, work: Work, machine: Machine) -> Cost:
    """Transformed tiles of inputs and output gradients, multiplied and added up at each point."""
    plain, lanes = problem.plain, machine.lanes(work.dtype)
    plan = tile_sums.tile_sums(problem, lanes, machine.registers)
    rate = DIRECT_LOOP * machine.peak(work.dtype) / (2 * lanes) * min(1.0, plan.tasks / machine.cores)
    outputs, met = plain.batch * prod(plain.output_shape[1:]), met_planes(plain)
    moved = (plan.output_blocks * (work.inputs - outputs) + plan.channel_blocks * outputs) * met * 4 + work.outputs * 4
    seconds = tile_sums.operations(problem, plan, lanes) / rate
    seconds = WINOGRAD_CALL + max(seconds, moved / machine.bandwidth)
    workspace = min(plan.tasks, machine.cores) * tile_sums.held(plan, lanes)
    workspace += (plan.parts > 1) * plan.parts * work.outputs * 4
    words = f"F(3 x 3, 2 x 2); {plan.rows} input channels x {plan.vectors} vectors of {lanes} output channels"
    found = tile_sums.products(problem, plan)
    return Cost(found, moved, workspace, seconds, *tile_sums.errors(plan), words, variant="F2")


# algorithm -> what it costs; one that has variants gives the costs of those that can serve the problem
COSTS: dict[str, Callable[[Any, Work, Machine], Cost | tuple[Cost, ...]]] = {
    "windows": windows,
    "reference": reference,
    "direct": direct,
    "depthwise": depthwise,
    "dots": dot_products,
    "fourier": fourier,
    "separable": image_cost.separable,
    "stencil": image_cost.stencil,
    "winograd": winograd,
}
