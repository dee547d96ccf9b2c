"""Hysteresis in the tile language: from every strong mark on, the weak ones that touch are visited, and done.

Algorithm: a walk with a stack. A mark is put on the stack when it is reached for the first time, so it takes as long as
there are marks, whatever their shape. Schedule: bands of rows are walked at once, each within itself; then one thread
walks on from the done marks beside every border of two bands.
"""

from __future__ import annotations

from striderule.algorithms.edges.picture import STRONG, WEAK
from striderule.codegen.target import Target
from striderule.codegen.tile import INT64, UINT8, Count, Pointer, Routine, Size

NAME = "edges_linking"
POINTERS = ("marks", "stack")
# A task looks for marks `seed` in `rows` rows from `band` times its number plus `offset` on, and walks within its band,
# or with `everywhere` within the whole image.
SIZES = ("height", "width", "band", "offset", "rows", "everywhere", "seed")
DONE = 7


def linking_routine(target: Target) -> str:
    """Return the routine as LLVM IR. No mark stands on the image's border."""
    r = Routine(NAME, target, UINT8, pointers=POINTERS, sizes=SIZES)
    height, width = r.size("height"), r.size("width")
    marks, stack, depth = r.pointer("marks"), r.pointer("stack", INT64), r.count(0)
    with r.tasks() as task:
        top = task * r.size("band")
        everywhere = r.size("everywhere").equals(1)
        low = r.choose(everywhere, 0, top * width)
        high = r.choose(everywhere, height * width, (top + r.size("band")).smaller(height) * width)
        first = top + r.size("offset")
        begin = first * width
        count = (first + r.size("rows")).smaller(height) * width - begin
        # A band has as much of the stack as it has elements.
        walk = _Walk(r, marks, stack + low, depth, low, high)
        whole = count // r.lanes
        with r.loop(whole) as block:
            start = begin + block * r.lanes
            found = r.load(marks + start).equals(r.convert(r.spread(r.size("seed")), UINT8))
            with r.when(r.any(found)), r.loop(r.lanes) as lane:
                walk.from_seed(start + lane)
        with r.loop(count - whole * r.lanes) as rest:
            walk.from_seed(begin + whole * r.lanes + rest)
    return r.finish()


class _Walk:
    """A walk over marks between two places."""

    def __init__(self, r: Routine, marks: Pointer, stack: Pointer, depth: Count, low: Size, high: Size) -> None:
        self.r, self.marks, self.stack, self.depth, self.low, self.high = r, marks, stack, depth, low, high

    def from_seed(self, place: Size) -> None:
        """Walk from a place, if the mark that is looked for stands there."""
        r = self.r
        with r.when(r.integer(self.marks + place).equals(r.size("seed"))):
            self._put(place)
            with r.during(self.depth):
                top = self.depth.value - 1
                self.depth.set(top)
                here = r.integer(self.stack + top)
                for row in (-1, 0, 1):
                    for column in (-1, 0, 1):
                        if row or column:
                            self._reach(here + r.size("width") * row + column)

    def _reach(self, place: Size) -> None:
        """Put a place on the stack that is marked, and not done."""
        r = self.r
        with r.when(place.above(self.low - 1) & place.below(self.high)):
            mark = r.integer(self.marks + place)
            with r.when(mark.equals(WEAK) | mark.equals(STRONG)):
                self._put(place)

    def _put(self, place: Size) -> None:
        r = self.r
        r.store(r.constant(DONE, UINT8, 1), self.marks + place)
        r.store(r.spread(place, INT64, 1), self.stack + self.depth.value)
        self.depth.set(self.depth.value + 1)
