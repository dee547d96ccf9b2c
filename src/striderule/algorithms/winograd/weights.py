"""Weights, transformed: U = G w G', in panels that the products read one vector after the other.

    panels[group, point, block of output channels, plane that is met, input channel, output channel of the block]

Vectors run along output channels; the weights of a vector of these by a vector of input channels are turned in
registers. Sums tell of every input channel, in every plane that is met, how large its weights are:

    sums[group, input channel, plane, tap] = sum over outputs of (SCALE w)^2, and behind the last tap the sum of all |w|

The gradient of an input takes weights turned around. These are read where they stand: a vector then runs along the
input channels in memory, and taps go backwards.
"""

from __future__ import annotations

from math import prod

from striderule.algorithms.winograd.structure import applied
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT32, Pointer, Routine, Size
from striderule.planning.cooktoom import cook_toom

POINTERS = ("w", "panels", "sums")
SIZES = ("inputs", "channels", "blocks", "panel_blocks")
# Sums of squares are formed of weights times this, so that small ones do not vanish.
SCALE = 2.0**32


def weight_routine(
    name: str,
    target: Target,
    tile: tuple[int, int],
    kernel: tuple[int, int],
    vectors: int,
    stored: str,
    around: bool = False,
    met: int = 1,
) -> str:
    """Return the routine as LLVM IR: each task transforms the weights of a vector of input channels of a group.

    They are of the type `stored`, and `around` says that they stand as [input, output, taps backwards], of one group.
    Taps are those of the `kernel` for each of the planes that are `met`.
    """
    r = Routine(name, target, FLOAT32, pointers=POINTERS, sizes=SIZES)
    taps = met * prod(kernel)
    each = taps + met
    turned, squares = r.scratch(taps * r.lanes * r.lanes), r.scratch(each * r.lanes * r.lanes)
    with r.tasks() as task:
        group, first = task // r.size("blocks"), task % r.size("blocks") * r.lanes
        with r.loop(each * r.lanes) as i:
            r.store(r.constant(0), squares + i * r.lanes)
        count = (r.size("inputs") - first).smaller(r.lanes)
        with r.loop(r.size("channels"), step=r.lanes) as output:
            if around:
                _turn_around(r, r.pointer("w", ELEMENTS[stored]), taps, (first, count, output), turned)
            else:
                _turn(r, r.pointer("w", ELEMENTS[stored]), taps, (group, first, output), turned)
            with r.loop(met) as plane:
                _transform(r, tile, kernel, vectors, (group, first, output), count, (plane, met), turned, squares)
        with r.loop(count * each) as i:
            total = r.sum(r.load(squares + i * r.lanes))
            r.store_first(total, r.pointer("sums") + ((group * r.size("inputs") + first) * each + i))
    return r.finish()


def _turn(r: Routine, weights: Pointer, taps: int, place: tuple[Size, Size, Size], turned: Pointer) -> None:
    """Read the weights of a vector of output channels by a vector of input channels: turned[channel, tap, output]."""
    (group, first, output), terms = place, r.size("inputs") * taps
    start = weights + (group * r.size("channels") * terms + first * taps)
    with r.loop(taps) as i:
        mask = r.first_lanes(terms - first * taps - i * r.lanes)
        rows = []
        for lane in range(r.lanes):
            # Output channels that are not there repeat the last one.
            channel = (output + lane).smaller(r.size("channels") - 1)
            rows.append(r.convert(r.load(start + (channel * terms + i * r.lanes), mask), r.element))
        for lane, values in enumerate(r.transpose(rows)):
            r.store(values, turned + (i * r.lanes + lane) * r.lanes)


def _turn_around(r: Routine, weights: Pointer, taps: int, place: tuple[Size, Size, Size], turned: Pointer) -> None:
    """Do the same for weights that stand as [input channel, output channel, taps backwards]."""
    first, count, output = place
    with r.loop(count) as c:
        start, goal = weights + (first + c) * r.size("channels") * taps, turned + c * (taps * r.lanes)
        for begin in range(0, taps, r.lanes):
            here = min(r.lanes, taps - begin)
            mask = r.first_lanes(here)
            rows = []
            for lane in range(r.lanes):
                channel = (output + lane).smaller(r.size("channels") - 1)
                rows.append(r.convert(r.load(start + (channel * taps + begin), mask), r.element))
            for i, values in enumerate(r.transpose(rows)[:here]):
                r.store(values, goal + (taps - 1 - begin - i) * r.lanes)


def _transform(
    r: Routine,
    tile: tuple[int, int],
    kernel: tuple[int, int],
    vectors: int,
    place: tuple[Size, Size, Size],
    count: Size,
    planes: tuple[Size, int],
    turned: Pointer,
    squares: Pointer,
) -> None:
    """Transform those of one of the planes that are met, (number, how many), channel by channel."""
    (group, first, output), taps = place, prod(kernel)
    plane, met = planes
    down, across = (cook_toom(m, k) for m, k in zip(tile, kernel, strict=True))
    width = vectors * r.lanes
    block = output // width
    number = group * (down.inputs * across.inputs) * r.size("panel_blocks") + block
    goal = r.pointer("panels") + (
        ((number * met + plane) * r.size("inputs") + first) * width + (output - block * width)
    )
    point = r.size("panel_blocks") * met * r.size("inputs") * width
    real = r.first_lanes(r.size("channels") - output)
    with r.loop(count) as c:
        here = [turned + ((c * met + plane) * taps + t) * r.lanes for t in range(taps)]
        weights = [r.load(one) for one in here]
        totals = squares + (c * met + plane) * ((taps + 1) * r.lanes)
        size = r.load(totals + taps * r.lanes)
        for t, weight in enumerate(weights):
            counted = r.select(real, weight, r.constant(0))
            size, scaled = size + r.absolute(counted), counted * SCALE
            r.store(r.multiply_add(scaled, scaled, r.load(totals + t * r.lanes)), totals + t * r.lanes)
        r.store(size, totals + taps * r.lanes)
        columns = [applied(r, down.weight_program, weights[b :: kernel[1]]) for b in range(kernel[1])]
        where = goal + c * width
        for i in range(down.inputs):
            for value in applied(r, across.weight_program, [column[i] for column in columns]):
                r.store(value, where)
                where = where + point
