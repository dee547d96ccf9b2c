"""Windows added back into an image, in the tile language.

A row of the image is zeros, to which the rows of columns that meet it are added one after the other: for each tap of
the outer axes that has a window here (a line of `lines`, from `starts` of the row to `starts` of the next), and for
each tap of the last axis (three words of `taps`: the first window that falls inside, how many do, and the first one's
place). So every element is a sum over the taps in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size

POINTERS = ("x", "y", "lines", "starts", "taps")
# Steps in bytes: of x from image to image, channel to channel and tap to tap, of y likewise and from row to row.
SIZES = (
    "channels", "x_image", "x_channel", "x_tap", "y_image", "y_channel", "y_row",
    "rows", "length", "tap_count", "stride", "windows", "before", "task_rows", "row_tasks",
)  # fmt: skip

Way = Literal["dense", "turned", "strided"]


@dataclass(frozen=True, slots=True)
class Fold:
    """The structure: the type of the elements, and how the windows of a line are added.

    "dense" windows follow each other at every element, so those of a tap are added to a row as they stand; "turned"
    ones have many neighbouring taps, which are put side by side by turning squares of taps and windows; of "strided"
    ones every element is added by itself.
    """

    dtype: str
    way: Way

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"fold_{self.dtype}_{self.way}"


def fold_routine(fold: Fold, target: Target) -> str:
    """Return the routine as LLVM IR. A task is `task_rows` rows of one channel of one image."""
    r = Routine(fold.name, target, ELEMENTS[fold.dtype], pointers=POINTERS, sizes=SIZES)
    lines, starts = r.table("lines"), r.table("starts")
    with r.tasks() as task:
        first = task % r.size("row_tasks") * r.size("task_rows")
        plane = task // r.size("row_tasks")
        image, channel = plane // r.size("channels"), plane % r.size("channels")
        x = r.pointer("x").skip(image * r.size("x_image") + channel * r.size("x_channel"))
        y = r.pointer("y").skip(image * r.size("y_image") + channel * r.size("y_channel"))
        with r.loop((r.size("rows") - first).smaller(r.size("task_rows"))) as k:
            row = first + k
            target_row = y.skip(row * r.size("y_row"))
            _zeros(r, target_row)
            start = r.entry(starts, row)
            with r.loop(r.entry(starts, row + 1) - start) as i:
                _add_line(r, fold, x.skip(r.entry(lines, start + i)), target_row)
    return r.finish()


def _zeros(r: Routine, y: Pointer) -> None:
    with r.loop(r.size("length"), step=r.lanes) as i:
        r.store(r.constant(0), y + i, r.first_lanes(r.size("length") - i))


def _add_line(r: Routine, fold: Fold, x: Pointer, y: Pointer) -> None:
    """Add the windows of one line, tap after tap."""
    if fold.way == "turned":
        _add_turned(r, x, y)
        return
    taps = r.table("taps")
    with r.loop(r.size("tap_count")) as t:
        window, count, place = (r.entry(taps, t * 3 + field) for field in range(3))
        source, target = x.skip(t * r.size("x_tap")) + window, y + place
        if fold.way == "dense":
            _add_vectors(r, source, target, count)
        else:
            with r.loop(count) as i:
                here = target + i * r.size("stride")
                r.store(r.load(here, lanes=1) + r.load(source + i, lanes=1), here)


def _add_turned(r: Routine, x: Pointer, y: Pointer) -> None:
    """Add the windows of one line, a square of taps and windows at a time.

    An element meets a later tap in an earlier window: so blocks of taps go forwards, and windows backwards.
    """
    size, lanes = r.size, r.lanes
    blocks = (size("windows") + (lanes - 1)) // lanes
    with r.loop(size("tap_count"), step=lanes) as tap, r.loop(blocks) as turn:
        first = (blocks - 1 - turn) * lanes
        there, last = r.first_lanes(size("windows") - first), size("tap_count") - 1
        # Taps behind the last one are not added below, so it is read again in their place.
        square = [r.load(x.skip((tap + t).smaller(last) * size("x_tap")) + first, there) for t in range(lanes)]
        columns = r.transpose(square)
        taps = r.first_lanes(size("tap_count") - tap)
        for j in reversed(range(lanes)):
            place = (first + j) * size("stride") + tap - size("before")
            with r.when((first + j).below(size("windows"))):
                here = taps & r.lanes_from(0 - place) & r.first_lanes(size("length") - place)
                r.store(r.load(y + place, here) + columns[j], y + place, here)


def _add_vectors(r: Routine, x: Pointer, y: Pointer, count: Size) -> None:
    whole = count.larger(0) // r.lanes * r.lanes
    with r.loop(whole, step=r.lanes) as i:
        r.store(r.load(y + i) + r.load(x + i), y + i)
    with r.when(count.above(whole)):
        mask = r.first_lanes(count - whole)
        r.store(r.load(y + whole, mask) + r.load(x + whole, mask), y + whole, mask)
