"""What the routines of Winograd are made for, what they are told, and how a transform is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from striderule.codegen.tile import Pointer, Routine, Size, Vector
from striderule.planning.cooktoom import Program, Transform, cook_toom
from striderule.planning.winograd import run_length

POINTERS = (
    "x", "panels", "bias", "residual", "y", "v", "work", "flags", "found", "planes", "row_places", "column_places",
)  # fmt: skip
SIZES = (
    # What to do: transform inputs, form the products; 0 or 1.
    "transforms", "multiplies",
    # Channels of a group, and all groups; planes of input that an output meets.
    "inputs", "channels", "groups", "met",
    # Tiles of a plane: rows and columns of tiles; inputs along the last axis; positions before the first.
    "tile_columns", "plane_tiles", "input_width", "before",
    # The tiles of this wave: the first, how many. Tiles of a task, how many such blocks, shares of channels.
    "first_tile", "tiles", "block", "blocks", "shares",
    # Vectors of input channels of a share, those of all planes that are met in a row; blocks of output channels of a
    # share, and vectors of a block.
    "input_vectors", "output_blocks", "output_vectors",
    # Steps in elements.
    "x_channel", "x_column", "y_channel", "y_row", "y_column", "residual_channel", "residual_row", "residual_column",
    # Channels of a chain, chains of a plane that is met and of all; distances in V between chains and between points,
    # whether it is shared (0 or 1).
    "chain", "plane_chains", "chains", "v_chain", "v_point", "shared",
    # Panels: blocks of `Form.vectors` vectors of a group.
    "panel_blocks",
    # Distances in M, between points and between tiles.
    "m_point", "m_tile",
    # Threads, the room of each in elements, and where in it V, M and the strip begin.
    "threads", "room", "v_at", "m_at", "strip_at",
    "has_residual",
)  # fmt: skip
# Where a row or a plane begins that is beyond the border; see `direct.laying`.
OUTSIDE = -(1 << 62)
# What the table of planes says of each: where what it finds is noted, where its results and residual begin, where its
# rows and columns do in the tables of these, its height and width. Then where each plane begins that it meets.
PLANE = ("note", "y", "residual", "rows", "columns", "height", "width")

Layout = Literal["columns", "channels", "apart"]


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code of a routine depends on besides the target.

    `tile` outputs and `kernel` taps of the last two axes. `source` and `result` say what stands side by side in memory:
    columns, channels, or neither. `rows` tiles by `vectors` of output channels stay in registers; `pitch` is the
    distance between two tiles in V. `borders` says that more than zeros stand outside. `parameters` are those
    of the activation: a word, or None for a number that is told at run time. `aligned` says that the residual, if there
    is one, stands side by side in memory as the result does. `read` and `written` are the types of inputs, and of
    results and residual, in memory.
    """

    tile: tuple[int, int]
    kernel: tuple[int, int]
    source: Layout
    result: Layout
    rows: int
    vectors: int
    pitch: int
    borders: bool
    activation: str | None = None
    parameters: tuple[str | None, ...] = ()
    aligned: bool = True
    read: str = "float32"
    written: str = "float32"

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"winograd_{self.tile[0]}x{self.tile[1]}_{self.kernel[0]}x{self.kernel[1]}"

    @property
    def down(self) -> Transform:
        """The transforms along rows of the image."""
        return cook_toom(self.tile[0], self.kernel[0])

    @property
    def across(self) -> Transform:
        """The transforms along its columns."""
        return cook_toom(self.tile[1], self.kernel[1])

    @property
    def points(self) -> int:
        """Products of a tile."""
        return self.down.inputs * self.across.inputs

    @property
    def run(self) -> int:
        """Tiles of a run: neighbours in a row that are transformed together."""
        return run_length(self.tile[1], self.kernel[1])


def applied(r: Routine, program: Program, values: Sequence[Vector]) -> list[Vector]:
    """Write a program for vectors, and return its outputs."""
    known = list(values)
    for step in program.steps:
        a, factor = known[step.a], float(step.factor)
        if step.sign == 0:
            known.append(a * factor)
        elif abs(factor) != 1:
            b = known[step.b] if step.sign > 0 else -known[step.b]
            known.append(r.multiply_add(a, a.like(factor), b))
        elif factor > 0:
            known.append(a + known[step.b] if step.sign > 0 else a - known[step.b])
        else:
            known.append(known[step.b] - a)
    zero = values[0].like(0)
    return [zero if place is None else known[place] for place in program.outputs]


@dataclass(frozen=True, slots=True)
class Run:
    """Some tiles beside each other: their plane, the first output row and column, how many, the first's place in V.

    `plane` is what the table says of it.
    """

    plane: Pointer
    row: Size
    column: Size
    tiles: Size
    slot: Size

    def told(self, r: Routine, word: str) -> Size:
        """Return what the table says of the plane: a word of `PLANE`."""
        return r.entry(self.plane, PLANE.index(word))


@contextmanager
def runs(r: Routine, form: Form, first: Size, count: Size) -> Iterator[Run]:
    """Write the body for every run of `count` tiles from number `first` on."""
    done = r.count(0)
    # There are at most as many runs as tiles.
    with r.loop(count):
        slot = done.value
        with r.when(slot.below(count)):
            number = first + slot
            plane, rest = number // r.size("plane_tiles"), number % r.size("plane_tiles")
            row, column = rest // r.size("tile_columns"), rest % r.size("tile_columns")
            tiles = (r.size("tile_columns") - column).smaller(count - slot).smaller(form.run)
            told = r.table("planes") + plane * (r.size("met") + len(PLANE))
            yield Run(told, row * form.tile[0], column * form.tile[1], tiles, slot)
            done.set(slot + tiles)
