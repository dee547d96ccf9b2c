"""Windows added back into an image, in the tile language.

A row of the image is zeros, to which the rows of columns that meet it are added one after the other: for each tap of
the outer axes that has a window here (a line of `lines`, from `starts` of the row to `starts` of the next), and for
each tap of the last axis (three words of `taps`: the first window that falls inside, how many do, and the first one's
place). So every element is a sum over the taps in their order.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size

POINTERS = ("x", "y", "lines", "starts", "taps")
# Steps in bytes: of x from image to image, channel to channel and tap to tap, of y likewise and from row to row.
SIZES = (
    "channels", "x_image", "x_channel", "x_tap", "y_image", "y_channel", "y_row",
    "rows", "length", "tap_count", "stride", "task_rows", "row_tasks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fold:
    """The structure: the type of the elements, and whether windows follow each other at every element."""

    dtype: str
    dense: bool

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"fold_{self.dtype}_{'dense' if self.dense else 'strided'}"


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
    taps = r.table("taps")
    with r.loop(r.size("tap_count")) as t:
        window, count, place = (r.entry(taps, t * 3 + field) for field in range(3))
        source, target = x.skip(t * r.size("x_tap")) + window, y + place
        if fold.dense:
            _add_vectors(r, source, target, count)
        else:
            with r.loop(count) as i:
                here = target + i * r.size("stride")
                r.store(r.load(here, lanes=1) + r.load(source + i, lanes=1), here)


def _add_vectors(r: Routine, x: Pointer, y: Pointer, count: Size) -> None:
    whole = count.larger(0) // r.lanes * r.lanes
    with r.loop(whole, step=r.lanes) as i:
        r.store(r.load(y + i) + r.load(x + i), y + i)
    with r.when(count.above(whole)):
        mask = r.first_lanes(count - whole)
        r.store(r.load(y + whole, mask) + r.load(x + whole, mask), y + whole, mask)
