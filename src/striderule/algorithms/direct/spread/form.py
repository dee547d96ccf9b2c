"""What the routine of transposed convolution is told: its structure, its words, and the task that a number means."""

from __future__ import annotations

from dataclasses import dataclass

from striderule.codegen.tile import Pointer, Routine, Size

POINTERS = (
    "x", "w", "bias", "residual", "y", "work", "flags",
    # Blocks of rows and of columns (`ROW_WORDS` and `COLUMN_WORDS` each); for each output row how many taps meet at it,
    # the first tap and its input; where the products of each tap of the last axis go; the pairs of outer axes: where
    # those of each output begin, and for each pair the distances to its input and to its tap.
    "row_blocks_at", "column_blocks_at", "row_taps", "column_taps", "pair_starts", "pairs",
)  # fmt: skip
SIZES = (
    # Of a group: output channels, input channels; taps of the last two axes, of the last one, of all.
    "channels", "inputs", "taps", "columns_of_taps", "all_taps",
    # Groups, images, positions of the outer axes, outputs along the last two axes.
    "groups", "images_in_all", "outer", "height", "width",
    # Distances in elements, of x, y and residual; of w from input channel to input channel.
    "x_image", "x_channel", "x_row", "x_column", "y_image", "y_channel", "residual_image", "residual_channel",
    "w_channel",
    # Distance of two taps that meet at a row, and of their inputs.
    "tap_step", "input_step",
    # Blocks of a task: channels, images, and how many blocks there are.
    "block", "images", "channel_blocks", "column_blocks", "row_blocks",
    # Terms of a chain; whether rows of inputs follow each other; tiles whose weights are copied together; taps of a row
    # that are added one after the other.
    "chunk", "collapsed", "tiles_together", "taps_together",
    # Threads, and the room that each has, in elements; in it the distances of planes, of rows of products and of sums,
    # where products, weights, sums and the finished line begin, and what comes before the sums; the last axis's stride.
    "threads", "room", "plane", "pitch", "sums_pitch",
    "products_at", "panel_at", "sums_at", "line_at", "margin", "stride",
    # Whether the weights come in panels, and whether there is a residual: 0 or 1.
    "packed", "has_residual",
)  # fmt: skip
ROW_WORDS, COLUMN_WORDS = 4, 6
# Bytes of weights of an input channel that are copied together: some cache lines, which are fetched ahead.
STREAM = 1 << 10
# Strides whose remainders are interleaved by shuffles; those of others are stored one by one.
SHUFFLED = (1, 2, 4, 8)


def most_together(rows: int, itemsize: int) -> int:
    """Return how many tiles have their weights copied together, at most."""
    return max(1, STREAM // (rows * itemsize))


@dataclass(frozen=True, slots=True)
class Spread:
    """All that the code of a routine depends on besides the target: everything else is told at run time.

    `element` is the arithmetic; `source`, `weights` and `result` are what stands in memory. `rows` of products by
    `vectors` of positions stay in registers. `stride` is that of the last axis if it is one of `SHUFFLED`, else 0;
    `dense` says that inputs stand side by side. `parameters` are those of the activation: a word, or None for a number
    that is told at run time.
    """

    element: str
    source: str
    weights: str
    result: str
    rows: int
    vectors: int
    stride: int
    dense: bool
    activation: str | None = None
    parameters: tuple[str | None, ...] = ()

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"spread_{self.element}_{self.rows}x{self.vectors}_{self.stride or 'any'}"


@dataclass(frozen=True, slots=True)
class Block:
    """Outputs of an axis: first and end; the inputs that reach them: first and how many."""

    first: Size
    end: Size
    start: Size
    count: Size


@dataclass(frozen=True, slots=True)
class Task:
    """What a task computes: its group, images, output channels, place on the outer axes, rows and columns; its room."""

    group: Size
    image: Size
    images: Size
    channel: Size
    channels: Size
    outer: Size
    rows: Block
    columns: Block
    # Where the sums of the first input begin among those of a remainder, and the outputs in a finished line.
    sums_from: Size
    line_from: Size
    first_pair: Size
    terms: Size
    block: Size
    room: Pointer


def task_of(r: Routine, number: Size, room: Pointer) -> Task:
    """Find out what task `number` is: blocks of channels vary first, then columns, rows, outer axes, groups, images."""
    digits, number = r.digits(number, ("channel_blocks", "column_blocks", "row_blocks", "outer", "groups"))
    block, column_block, row_block, outer, group = digits
    row_words = _entries(r, "row_blocks_at", row_block, ROW_WORDS)
    *columns, sums_from, line_from = _entries(r, "column_blocks_at", column_block, COLUMN_WORDS)
    first_pair = r.entry(r.table("pair_starts"), outer)
    pairs = r.entry(r.table("pair_starts"), outer + 1) - first_pair
    channel, image = block * r.size("block"), number * r.size("images")
    return Task(
        group,
        image,
        (r.size("images_in_all") - image).smaller(r.size("images")),
        channel,
        (r.size("channels") - channel).smaller(r.size("block")),
        outer,
        Block(*row_words),
        Block(*columns),
        sums_from,
        line_from,
        first_pair,
        pairs * r.size("inputs"),
        block,
        room,
    )


def _entries(r: Routine, table: str, number: Size, count: int) -> list[Size]:
    """Return the entries of one block in a table of blocks."""
    return [r.entry(r.table(table), number * count + i) for i in range(count)]
