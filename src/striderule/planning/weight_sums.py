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

from dataclasses import dataclass
from math import prod

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
    wide = 4 if registers >= 32 else 2
    needed = -(-outputs // lanes)
    vectors = min(range(1, wide + 1), key=lambda v: (-(-needed // v) * v, -v))
    rows = min(12, (24 if registers >= 32 else 12) // vectors)
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
