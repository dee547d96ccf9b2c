"""What the routine of planes is told, what it is made for, and the values that it is written with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from striderule.codegen.tile import Condition, Mask, Pointer, Size

POINTERS = ("x", "w", "y", "bias", "residual", "outer", "beyond_rows", "beyond_columns")
SIZES = (
    # Tasks, from the fastest to the slowest: bands of columns and of rows, positions on the outer axes, channels.
    "column_tasks", "column_task", "single_task", "row_tasks", "row_blocks", "row_task", "outers", "channels",
    "channel_tasks", "channel_task",
    # Columns: those that vectors serve, those under which no tap leaves the input, and all.
    "first", "last", "inner_first", "inner_last", "columns",
    # Rows: all outputs, phases, distance between two in registers; distance between their inputs, in rows; up to
    # where no tap leaves the input below.
    "rows", "phases", "row_gap", "input_gap", "inner_rows",
    # Geometry of rows and columns.
    "row_stride", "row_dilation", "row_before", "row_size", "row_taps",
    "column_stride", "column_dilation", "column_before", "column_size", "column_taps",
    # Taps on the outer axes, channels that a sum runs over, outputs of a group, weights of one output and the distance
    # between two of them.
    "outer_taps", "depth", "outputs", "terms", "w_step",
    # Steps in bytes: images, channels, rows and columns of x, y and the residual.
    "x_image", "x_channel", "x_row", "x_column", "y_image", "y_channel", "y_row", "y_column",
    "r_image", "r_channel", "r_row", "r_column",
    # Steps along the lanes, in elements.
    "y_step", "r_step",
)  # fmt: skip
# The offset of what does not exist: those of elements are multiples of their size.
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Unrolled:
    """How to go over the taps of an axis: `taps` are unrolled, in a loop if they are but a part; then `rest` more."""

    taps: int
    parts: bool
    rest: int


@dataclass(frozen=True, slots=True)
class Structure:
    """What a routine is made for.

    `along` is the axis that vectors run along. `down` tells of the rows of the kernel, `over` of its columns; `step` is
    the stride of the rows of a block in row taps; `rows` and `vectors` of outputs are held in registers, or, if it is
    `rolled`, as many rows as are unfinished at a time (`rolling`), in `pairs` of planes in one vector. `column_step`
    is the stride along columns where vectors run along these, 0 where none do. `masks` says that the target loads parts
    of vectors, so that vectors serve the columns at the border too; `singles` that some columns are served one by one;
    `reached` that positions outside an axis show elements inside. `chained` says that sums have more terms than a
    chain, `compact` that outputs and residual lie side by side along the lanes. `narrow` asks for vectors of half the
    target's width. `activation` is a word and further words that it takes. Sums are formed in `dtype`; inputs are
    `read`, and results and the residual `written`, in the types that stand in memory.
    """

    dtype: str
    read: str
    written: str
    along: Literal["columns", "channels"]
    down: Unrolled
    over: Unrolled
    step: int
    rolled: bool
    pairs: bool
    rows: int
    vectors: int
    column_step: int
    masks: bool
    singles: bool
    reached: bool
    chained: bool
    compact: bool
    narrow: bool
    bias: bool
    residual: bool
    activation: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Some columns of a block of rows, and how they are read.

    "inside" are vectors of columns that no tap leaves the input from, "border" ones of which lanes may; "single" is one
    column, read as such. "channels" is one column of a vector of channels, "across" several that no tap leaves the
    input from. `masks` are the lanes that exist of each vector, or of every one.
    """

    kind: Literal["inside", "border", "single", "channels", "across"]
    column: Size
    vectors: int
    lanes: int
    masks: tuple[Mask | None, ...] = (None,)

    def mask(self, v: int) -> Mask | None:
        """Return the lanes that exist of a vector, None for all."""
        return self.masks[v if len(self.masks) > 1 else 0]

    @property
    def of_channels(self) -> bool:
        """Whether lanes are channels."""
        return self.kind in ("channels", "across")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the operands of a block stand: one output channel (the first of a vector) of one image."""

    x: Pointer
    w: Pointer
    y: Pointer
    residual: Pointer
    channel: Size
    outer: Size
    # The place of the other plane of a pair, and whether it exists; if not, it is another name of this one.
    other: Place | None = None
    paired: Condition | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a block: the first output, and the input rows under it for the first taps, if these are all.

    `count` tells how many rows of a task follow one another, where they are rolled.
    """

    first: Size
    inputs: tuple[tuple[Condition, Size], ...] | None
    count: Size
