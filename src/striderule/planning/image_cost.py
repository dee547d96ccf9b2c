"""What filters of images cost: every tap, passes along the axes, and spectra of tiles, all in generated code."""

from __future__ import annotations

import math
from math import prod

from striderule.geometry.problem import Convolution
from striderule.planning import passes, spectra
from striderule.planning.forms import KernelForm
from striderule.planning.machine import Machine, itemsize
from striderule.planning.schedule import CHAIN
from striderule.planning.work import Cost, Work

# Seconds a call of `separable` or `stencil`, which must not differ: see `_moved`.
CALL = 15e-6
# `separable`: the part of the peak that its vector operations reach.
PASSES_LOOP = 0.45
# `stencil`: how many products at the peak a product takes, and a vector of a line, most of which cross the lines of the
# cache.
MULTIPLIED, LOADED = 1.35, 1.5
# The part of the peak that its operations reach where several kernels share a reading: their weights do not stay in
# registers.
STENCIL_SHARED = 0.3
# `fourier` of images: seconds a call.
SPECTRA_CALL = 250e-6


def stencil(problem: Convolution, work: Work, machine: Machine) -> Cost:
    """Generated code: lines read where they stand, or laid out once a task, for the sums of several rows."""
    taps = getattr(problem.form, "taps", prod(problem.kernel))
    operations = work.outputs * taps
    moved, streamed = _moved(problem, work)
    each = MULTIPLIED + LOADED * _loads(problem, taps, machine.registers)
    seconds = 2 * operations * each / machine.peak(work.dtype)
    # Terms of a chain follow one another, and so do the sums of chains.
    errors = work.errors(min(taps, CHAIN) + max(0, -(-taps // CHAIN) - 1))
    return Cost(operations, moved, 0, CALL + max(seconds, streamed / machine.bandwidth), *errors)


def _moved(problem: Convolution, work: Work) -> tuple[int, int]:
    """Return the bytes of inputs and results, and those that the inner part of an image takes for as many results.

    Time goes by the latter, and calls take the same in either way: so it is the kernel that decides between products
    and passes, and not how large an image is, and parts of an image have the bits of the whole.
    """
    source, final = (itemsize(one) for one in problem.stored or (work.dtype, work.dtype))
    each = prod(problem.stride) * source + final
    return work.inputs * source + work.outputs * final, work.outputs * each


def _loads(problem: Convolution, taps: int, registers: int) -> float:
    """Return how many vectors of lines are read for each that is multiplied: some rows of outputs share them.

    Taps that are zero leave fewer rows to share what the others need.
    """
    down, step = (problem.kernel[-2], problem.stride[-2]) if problem.rank > 1 else (1, 1)
    if down <= step or taps == 0:
        return 1.0
    rows = registers // 8
    dense = ((rows - 1) * step + down) / (rows * down)
    return min(1.0, dense * prod(problem.kernel) / taps)


def gains_by_sharing(problem: Convolution, taps: int, machine: Machine) -> bool:
    """Tell whether kernels of so many taps wait for memory, and gain where several are summed in one reading."""
    seconds = 2 * taps / (STENCIL_SHARED * machine.peak(problem.dtype))
    moved = sum(itemsize(one) for one in problem.stored or (problem.dtype, problem.dtype))
    return seconds < moved / machine.bandwidth


def separable(problem: Convolution, work: Work, machine: Machine) -> tuple[Cost, ...]:
    """Generated code: a pass along each axis for every outer product of the kernel."""
    form = problem.form
    assert isinstance(form, KernelForm)  # else it cannot serve
    moved, streamed = _moved(problem, work)
    dtype = work.dtype if work.dtype.startswith("float") else "float64"
    costs = []
    for rank in form.ranks:
        operations = int(work.outputs * passes.operations(problem, rank))
        seconds = CALL + max(2 * operations / (PASSES_LOOP * machine.peak(dtype)), streamed / machine.bandwidth)
        error, random_error = work.errors(passes.roundings(problem))
        errors = error * rank.growth + rank.left, random_error * rank.growth + rank.random_left
        costs.append(Cost(operations, moved, 0, seconds, *errors, passes.words(problem, rank), passes.variant_of(rank)))
    return tuple(costs)


def tiles(problem: Convolution, work: Work, machine: Machine) -> Cost:
    """Generated code: each task transforms two tiles, multiplies them by the spectrum of the taps, and goes back."""
    lanes, size = machine.lanes(work.dtype), itemsize(work.dtype)
    plan = spectra.tiling(problem, lanes, machine.registers)
    assert plan is not None  # the rule has seen to it
    tasks = problem.batch * plan.pairs
    rate = machine.peak(work.dtype) / (2 * lanes) * min(1.0, tasks / machine.cores)
    seconds = SPECTRA_CALL + max(problem.batch * plan.operations / rate, work.least_bytes / machine.bandwidth)
    # A transform of n complex numbers takes about 5 n log2(n) operations of arithmetic, a product 6 n; two make a
    # multiply-add.
    operations = int(tasks * plan.points * (5 * math.log2(plan.points) + 3))
    held = 2 * size * plan.points
    words = f"{plan.count} tiles of {plan.size[0]} x {plan.size[1]} inputs for {plan.step[0]} x {plan.step[1]} outputs"
    moved = work.least_bytes + 4 * tasks * held
    errors = spectra.PROMISED[work.dtype], spectra.random_error(plan.points, work.dtype)
    return Cost(operations, moved, held * (1 + min(tasks, machine.cores)), seconds, *errors, words)
