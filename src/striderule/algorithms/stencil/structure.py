"""What a routine of image correlation is made for, and the words that it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

POINTERS = (
    "x", "y", "weights",
    # Tables: where positions of rows and elements of lines are found; the places of outer taps; bands and parts.
    "row_sources", "line_sources", "outer", "walk", "bands", "parts",
    # How many bytes behind the first each result stands.
    "results",
    # Taps that are gone over in loops, and how they are grouped.
    "taps", "segments",
    # A line of fill values in the type of the sums, and one fill value in that of the image.
    "blank_line", "blank",
    # What each thread writes to: its room, the flags of who has which, and a truth that the caller reads.
    "room", "flags", "status",
)  # fmt: skip
SIZES = (
    "part_count", "band_count", "outers", "outer_taps", "walks", "threads", "room_size",
    # Rows: how many a band lays out for an outer tap at most, how far the kernel reaches beyond a row of outputs, and
    # the distance between two of them on the row table. Steps of y in bytes.
    "band_rows", "row_taps", "row_gap", "y_row", "y_line", "out_gap",
    # Lines: where their own elements begin and end among those laid out, phases, elements between two in the table and
    # in the room, and between lines there.
    "inner_first", "inner_last", "phases", "phase_size", "phase_pitch", "pitch",
    "segment_count",
)  # fmt: skip
OUTSIDE = -(1 << 62)
"""The distance of what does not exist."""
PART = 4
"""Words of a part of a line: first element and number of outputs, elements laid out (0: read in place), and whether
it is."""
BAND = 3
"""Words of a band: its first place on the row table, its first row of outputs, and how many it has."""


class Meet(NamedTuple):
    """A tap that meets a line: under which row of outputs, of which kernel, and the number of its weight."""

    row: int
    kernel: int
    weight: int


class Load(NamedTuple):
    """What is read at a time: the number of the line under a block, elements from the outputs, and who meets it."""

    line: int
    offset: int
    meets: tuple[Meet, ...]


Results = tuple[str, ...]
"""What is written of the sums of several kernels: words of "sums", each by itself, "length", and "direction"."""
SUMS: Results = ("sums",)


@dataclass(frozen=True, slots=True)
class Structure:
    """What a routine is made for.

    `source`, `work` and `final` are the types of image, sums and result; of integers `overflow` says what becomes of
    those that do not fit. `rows` of outputs by `vectors` are held in registers for each of `kernels`; two rows of
    outputs lie `step` rows of the kernel apart, which has `row_taps`. `loads` are written out; with none, they are gone
    over in loops. Some lines are read `in_place`, some are `laid` out, from elements side by side if the image is
    `compact`; so are results where `side_by_side` says so. `refuses` says that a NaN is to be told of. Of what several
    kernels give the `results` are written, each to where it stands; they may be `streamed` past the caches. Weights are
    `held` in registers, or else stand in memory once for each row.
    """

    source: str
    work: str
    final: str
    overflow: str
    rows: int
    vectors: int
    step: int
    row_taps: int
    outer_taps: int
    loads: tuple[Load, ...]
    in_place: bool
    laid: bool
    compact: bool
    side_by_side: bool
    refuses: bool
    kernels: int = 1
    results: Results = SUMS
    streamed: bool = False
    held: bool = True

    @property
    def slots(self) -> int:
        """How many rows of inputs a block reads for each outer tap."""
        return (self.rows - 1) * self.step + self.row_taps

    @property
    def name(self) -> str:
        """The name of the routine."""
        kind = f"{len(self.loads)}" if self.loads else "any"
        past = "_streamed" if self.streamed else ""
        return f"stencil_{self.source}_{self.work}_{self.final}_{kind}_{self.rows}x{self.vectors}{past}"
