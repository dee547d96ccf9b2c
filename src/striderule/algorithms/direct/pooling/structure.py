"""What a pooling routine is specialised on, and the words that it is called with."""

from __future__ import annotations

from dataclasses import dataclass

from striderule.codegen.tile import ELEMENTS, FLOAT32, FLOAT64, INT32, INT64, Element

# Numbers that a task holds between the two steps of pooling along rows: some rows, each reduced over the other axes.
ROOM = 2048
# Positions of the longest window that is pooled so.
LONGEST = 512
# Positions of the largest plane that is pooled together with others: so many vectors stay in the first cache.
POSITIONS = 384
# Taps that are unrolled, along rows and over the axis before.
UNROLLED = 5
# Distances between outputs of a row that are taken apart by shuffles.
SHUFFLED = 4

POINTERS = ("x", "y", "where", "windows0", "windows1", "windows2", "reach", "scale0", "scale1", "scale2")
SIZES = (
    # Steps from one image, channel, position of each axis and lane to the next, in elements.
    "x_outer", "x_inner", "x0", "x1", "x2", "x_lane",
    "y_outer", "y_inner", "y0", "y1", "y2", "y_lane",
    "where_outer", "where_inner", "where0", "where1", "where2", "where_lane",
    # Numbers of inner planes; lanes in all and of one plane; outputs of the last two axes; planes, rows.
    "inner", "lanes", "plane_lanes", "outputs1", "outputs2", "planes", "rows",
    # Positions of the last axis, and its taps, dilation and padding; dilations of the others; positions of a plane.
    "n2", "taps2", "d2", "before2", "d0", "d1", "positions",
    # Rows that are held at a time, the distance between them, and whether their outputs follow one another everywhere.
    "held", "pitch", "joined",
    # Flat places from one position of an axis to the next.
    "place0", "place1",
    # Entries of the tables of windows from one plane to the next; how far the last scale moves with an output.
    "plane0", "plane1", "plane2", "scale_step",
    # Tasks and their pieces.
    "row_tasks", "column_tasks", "task_planes", "task_rows", "task_columns", "chunk",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Structure:
    """All that the code of a pooling depends on.

    `kind` is what becomes of a window: "max", "argmax" (the largest and its place), "sum", "root" (of the sum of
    squares), "most" and "least" (absolute value). `mode` is where the lanes lie:

    - "across" many windows, along an axis that is not pooled (channels that stand last);
    - "along" the outputs of a row: windows are reduced over all axes but the last first, then along it, at equal steps;
    - "table": the same, but the windows of the last axis begin where a table says, and are taken one by one;
    - "planes": across small planes of two axes that have few outputs in a row;
    - "within" the windows, each by itself;
    - "whole": the same for planes that are one window each, several at a time.

    `outer` counts the pooled axes before the last; `rows` are the taps of the nearest of them (0: a loop). `stride` and
    `taps` are those of the last axis for "along" (no taps: a loop, with any dilation), and for "planes" where all
    windows have them. `x_apart` and `y_apart` tell that lanes do not stand side by side in the input or the results.
    `divides` tells that sums are divided by the scales, not multiplied. With `near` windows stand side by side along a
    row, and are pooled in registers where they are read. `filled` tells that every window has an element.
    """

    kind: str
    x: str
    y: str
    mode: str
    outer: int
    rows: int = 0
    stride: int = 1
    taps: int = 0
    x_apart: bool = False
    y_apart: bool = False
    divides: bool = False
    near: bool = False
    filled: bool = False

    @property
    def name(self) -> str:
        """What the routine is called."""
        words = "pool", self.kind, self.x, self.y, self.mode
        numbers = f"o{self.outer}", f"r{self.rows}", f"s{self.stride}", f"t{self.taps}"
        flags = (self.x_apart, "x"), (self.y_apart, "y"), (self.divides, "d"), (self.near, "n"), (self.filled, "f")
        return "_".join([*words, *numbers, *(word for flag, word in flags if flag)])

    @property
    def sums(self) -> bool:
        """Whether windows are added up."""
        return self.kind in ("sum", "root")

    @property
    def places(self) -> bool:
        """Whether the places of the largest are wanted."""
        return self.kind == "argmax"

    @property
    def work(self) -> Element:
        """What is computed with: float64 for sums; comparisons keep the type, or widen it for 32-bit places."""
        element = ELEMENTS[self.x]
        if self.kind not in ("max", "argmax"):
            return FLOAT64
        if element.kind == "s":
            return FLOAT32
        if self.places and element.itemsize < 4:
            return INT32
        return element

    @property
    def place(self) -> Element:
        """The integers that count places: as wide as the numbers, so that both have the same lanes."""
        return INT64 if self.work.itemsize == 8 else INT32
