"""How the sums of a weight's gradient are cut: tiles of registers, bands of positions, blocks of channels.

    gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j * stride + t * dilation - before]

Vectors run along the output channels o, of which a panel is laid out for each *band* of positions (n, j); the terms
(c, t) are the rows of a tile, each a number of x at a constant distance from the position's own, so that any stride and
dilation is as good as another. A band is one chain of sums, `CHAIN` positions at most. Chains are added up `CHAINS` at
a time, and those sums once more, so that roundings grow slowly. A task has a block of output channels, some panels, a
block of input channels with all their taps, and a part of the bands; parts are added in pairs.

All of this depends on the problem and the processor's vectors alone, never on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

from striderule.geometry.gradients import WeightGradient
from striderule.geometry.problem import Convolution

# Positions of a band, which are summed in one chain, and chains that are added up before they join the others: few
# enough that the bound of the roundings keeps what `highest` promises.
CHAIN, CHAINS = 112, 20
# Terms of a task: enough that laying a panel out is little beside them, and few enough that their sums stay in the
# second-level cache.
TERMS = 320
# Panels of a task at most: inputs are read and laid out once for all of them, but their sums must stay near.
PANELS = 2
# Tasks that keep few processors busy, and such that keep some busy; bands of a part at most, where there are many.
FEW, TASKS, PART = 8, 16, CHAINS**2
# Vector operations to call for a tap by itself; to lay out a vector of output gradients, and to add a vector of sums to
# those of the bands before.
APART, PANEL, FLUSHED = 300_000, 6.0, 3.0


@dataclass(frozen=True, slots=True)
class WeightSums:
    """A cut. `rows` terms by `vectors` of output channels stay in registers."""

    rows: int
    vectors: int
    # Panels of output channels of a block, and blocks of a group; input channels of a block, and blocks of these.
    panels: int
    output_blocks: int
    channels: int
    channel_blocks: int
    # Images, lines and columns of a band, and how many bands there are along each and in all; parts of them.
    images: int
    lines: int
    columns: int
    image_bands: int
    line_bands: int
    column_bands: int
    bands: int
    parts: int
    tasks: int

    @property
    def positions(self) -> int:
        """Most positions of a band."""
        return self.images * self.lines * self.columns

    @property
    def roundings(self) -> int:
        """Roundings that a term passes at most."""
        bands = -(-self.bands // self.parts)
        return self.positions + min(bands, CHAINS) + -(-bands // CHAINS) + (self.parts - 1).bit_length()


def even(count: int, most: int) -> tuple[int, int]:
    """Return the size of pieces of at most `most`, as equal as can be, and how many there are."""
    pieces = -(-count // max(1, most))
    return -(-count // pieces), pieces


def _panels(panels: int, others: int) -> tuple[int, int]:
    """Return how many panels a task takes, and blocks of them: inputs are read once a block, so few, but enough."""
    most = next((most for most in range(PANELS, 1, -1) if -(-panels // most) * others >= FEW), 1)
    return even(panels, most)


def register_tile(outputs: int, lanes: int, registers: int) -> tuple[int, int]:
    """Return terms by vectors of output channels of which the sums stay in registers.

    More terms are slower: each has an address of its own, and addresses must stay in registers, too.
    """
    needed = -(-outputs // lanes)
    vectors = min(range(1, (4 if registers >= 32 else 2) + 1), key=lambda v: (-(-needed // v) * v, -v))
    return 8 if vectors == 1 else 6, vectors


def plane(problem: Convolution) -> tuple[int, int]:
    """Return the outputs along the last two axes; one line where there is one axis."""
    return problem.output_size[-2] if problem.rank > 1 else 1, problem.output_size[-1]


def weight_sums(problem: WeightGradient, lanes: int, registers: int) -> WeightSums:
    """Return how the gradient of a weight is cut for vectors of `lanes`.

    >>> from striderule.geometry.gradients import weight_gradient
    >>> layer = Convolution.from_shapes((16, 64, 56, 56), (64, 64, 3, 3), padding=1)
    >>> cut = weight_sums(weight_gradient(layer), lanes=16, registers=32)
    >>> cut.rows, cut.vectors, cut.lines, cut.columns, cut.tasks
    (6, 4, 2, 56, 16)
    """
    plain = problem.plain
    outputs, inputs = plain.out_channels // plain.groups, plain.in_channels // plain.groups
    rows, vectors = register_tile(outputs, lanes, registers)
    needed = -(-outputs // lanes)
    taps = prod(plain.kernel)
    channels, channel_blocks = even(inputs, TERMS // taps)
    panels, blocks = _panels(-(-needed // vectors), plain.groups * channel_blocks)
    height, width = plane(plain)
    columns, column_bands = even(width, CHAIN)
    lines, line_bands = even(height, CHAIN // columns)
    images, image_bands = even(plain.batch, CHAIN // (columns * height) if line_bands == column_bands == 1 else 1)
    bands = image_bands * prod(plain.output_size[:-2]) * line_bands * column_bands
    blocks_in_all = plain.groups * blocks * channel_blocks
    parts = max(1, min(bands, max(-(-TASKS // blocks_in_all), -(-bands // PART))))
    return WeightSums(
        rows, vectors, panels, blocks, channels, channel_blocks, images, lines, columns, image_bands, line_bands,
        column_bands, bands, parts, blocks_in_all * parts,
    )  # fmt: skip


def operations(problem: WeightGradient, plan: WeightSums) -> float:
    """Return the vector operations of a cut.

    For each position of a panel its products, and laying it out; for each band the sums of the tiles.
    """
    plain = problem.plain
    tiles = -(-plan.channels * prod(plain.kernel) // plan.rows)
    positions = plain.batch * prod(plain.output_size)
    panels = plain.groups * plan.output_blocks * plan.channel_blocks * plan.panels
    total = panels * positions * (tiles * plan.rows * plan.vectors + PANEL * plan.vectors)
    return total + panels * plan.bands * tiles * plan.rows * plan.vectors * FLUSHED


def turned_over(problem: WeightGradient) -> WeightGradient | None:
    """Return the gradient of a layer in the other direction, of which the given one is the transpose, if there is one.

    A single tap is as much a sum of output gradients times inputs as one of inputs times output gradients.
    """
    plain = problem.plain
    padded = any(side != 0 for pair in plain.padding for side in pair)
    if prod(plain.kernel) > 1 or max(plain.stride) > 1 or padded or plain.groups > 1:
        return None
    return WeightGradient(replace(plain, in_channels=plain.out_channels, out_channels=plain.in_channels))


def oriented(problem: WeightGradient, lanes: int, registers: int) -> tuple[WeightGradient, WeightSums, bool]:
    """Return the gradient that is computed, its cut, and whether inputs and output gradients have changed places.

    They do where that is quicker: few channels in the lanes are laid out at once, and many rows use them.

    >>> from striderule.geometry.gradients import weight_gradient
    >>> expanding = weight_gradient(Convolution.from_shapes((1, 32, 28, 28), (192, 32, 1, 1)))
    >>> turned, cut, places_changed = oriented(expanding, lanes=16, registers=32)
    >>> turned.output_shape, cut.vectors, places_changed
    ((32, 192, 1, 1), 2, True)
    """
    plan, turned = weight_sums(problem, lanes, registers), turned_over(problem)
    if turned is not None:
        other = weight_sums(turned, lanes, registers)
        if operations(turned, other) < operations(problem, plan):
            return turned, other, True
    return problem, plan, False


class Tap(NamedTuple):
    """A tap by itself: its number, the gradient of a single tap that it is, the inputs and outputs that it meets."""

    number: int
    problem: WeightGradient
    inputs: tuple[slice, ...]
    outputs: tuple[slice, ...]


@lru_cache(maxsize=256)
def taps_apart(problem: WeightGradient, lanes: int, registers: int) -> tuple[Tap, ...]:
    """Return the taps of a kernel of one column, each by itself, where that is quicker; else none. None meets padding.

    Each is a product of matrices: inputs and output gradients may change places, and nothing is laid out with a border.

    >>> from striderule.geometry.gradients import weight_gradient
    >>> layer = Convolution.from_shapes((16, 256, 32, 32), (21, 256, 3, 1), padding=(1, 0))
    >>> [tap.inputs[0] for tap in taps_apart(weight_gradient(layer), lanes=16, registers=32)]
    [slice(0, 31, 1), slice(0, 32, 1), slice(1, 32, 1)]
    """
    plain = problem.plain
    alone = plain.kernel[-1] == plain.stride[-1] == 1 and tuple(plain.padding[-1]) == (0, 0)
    if not alone or prod(plain.kernel) == 1 or plain.groups > 1:
        return ()
    found = []
    for number, places in enumerate(product(*map(range, plain.kernel))):
        met = [_met(plain, axis, tap) for axis, tap in enumerate(places)]
        size = tuple(len(range(one.start, one.stop)) for _, one in met)
        if 0 not in size:
            ones, sides = (1,) * plain.rank, ((0, 0),) * plain.rank
            single = replace(plain, size=size, kernel=ones, stride=ones, dilation=ones, padding=sides)
            inputs, outputs = zip(*met, strict=True)
            found.append(Tap(number, WeightGradient(single), inputs, outputs))
    together = operations(problem, oriented(problem, lanes, registers)[1])
    by_themselves = sum(APART + operations(*oriented(tap.problem, lanes, registers)[:2]) for tap in found)
    return tuple(found) if by_themselves < together else ()


def _met(plain: Convolution, axis: int, tap: int) -> tuple[slice, slice]:
    """Return the inputs and the outputs of an axis that meet in a tap."""
    step, shift = plain.stride[axis], tap * plain.dilation[axis] - plain.padding[axis][0]
    first = max(0, -(shift // step))
    end = max(first, min(plain.output_size[axis], (plain.size[axis] - 1 - shift) // step + 1))
    begin = first * step + shift
    return slice(begin, begin + (end - first - 1) * step + 1, step), slice(first, end)
