"""Two routines that follow places in planes, in the tile language.

- "spread": large[p, where[p, j]] += small[p, j], zeros where nothing comes; places outside the plane are none. The
  gradient of a maximum. Planes are cleared just before, a few at a time, so that they stand in the first cache, and
  what goes to two planes is added by turns: what goes to one place waits for what came before.
- "found": small[p, j] = large[p, where[p, j]]. The gradient of unpooling. Its places were looked at when it was done;
  whoever writes over them gets some numbers of the plane.

Numbers are added in the order of the outputs, as in `gradient_routine`.
"""

from __future__ import annotations

from typing import Literal

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT64, Pointer, Routine, Size

Kind = Literal["spread", "found"]

POINTERS = ("small", "where", "large")
# Planes; elements of each in small and in large; planes and elements of a task, how many tasks a plane is cut into, and
# how many planes are cleared together.
SIZES = ("planes", "count", "volume", "task_planes", "task_count", "plane_tasks", "cleared")
# Numbers that are followed one behind the other without a look at the end, and vectors that are cleared so.
TOGETHER = 4


def places_routine(name: str, kind: Kind, element: str, target: Target) -> str:
    """Return a routine as LLVM IR."""
    r = Routine(name, target, ELEMENTS[element], pointers=POINTERS, sizes=SIZES)
    room = r.scratch(r.lanes)
    with r.tasks() as task:
        first = task // r.size("plane_tasks") * r.size("task_planes")
        planes = (r.size("planes") - first).smaller(r.size("task_planes"))
        if kind == "spread":
            together = r.size("cleared")
            with r.loop((planes + (together - 1)) // together) as number:
                start = number * together
                _group(r, first + start, (planes - start).smaller(together), room)
        else:
            start = task % r.size("plane_tasks") * r.size("task_count")
            count = (r.size("count") - start).smaller(r.size("task_count"))
            with r.loop(planes) as number:
                _found(r, first + number, start, count)
    return r.finish()


def _group(r: Routine, first: Size, planes: Size, room: Pointer) -> None:
    """Write some planes."""
    _clear(r, r.pointer("large") + first * r.size("volume"), planes * r.size("volume"))
    with r.loop(planes // 2) as pair:
        _spread(r, first + pair * 2, 2, room)
    with r.loop(planes % 2):
        _spread(r, first + (planes - 1), 1, room)


def _spread(r: Routine, plane: Size, planes: int, room: Pointer) -> None:
    """Add what goes to one or two planes."""
    count, volume = r.size("count"), r.size("volume")
    large = r.pointer("large") + plane * volume
    small, where = (one + plane * count for one in (r.pointer("small"), r.pointer("where", INT64)))
    with r.loop(count) as j:
        for number in range(planes):
            at = j + count * number
            place = r.integer(where + at)
            outside = place.below(0) | ~place.below(volume)
            target = r.nearer(outside, room, large + (volume * number + place))
            r.store(r.load(target, lanes=1) + r.load(small + at, lanes=1), target)


def _clear(r: Routine, where: Pointer, count: Size) -> None:
    """Write zeros."""
    width = TOGETHER * r.lanes
    whole = count // width * width
    with r.loop(whole, step=width) as i:
        for vector in range(TOGETHER):
            r.store(r.constant(0), where + (i + vector * r.lanes))
    with r.loop(count - whole, step=r.lanes) as i:
        r.store(r.constant(0), where + (whole + i), r.first_lanes(count - whole - i))


def _found(r: Routine, plane: Size, start: Size, count: Size) -> None:
    """Find some numbers of one plane."""
    large, at = r.pointer("large") + plane * r.size("volume"), plane * r.size("count") + start
    small, where = r.pointer("small") + at, r.pointer("where", INT64) + at

    def find(j: Size) -> None:
        place = r.integer(where + j).larger(0).smaller(r.size("volume") - 1)
        r.store(r.load(large + place, lanes=1), small + j)

    whole = count // TOGETHER * TOGETHER
    with r.loop(whole, step=TOGETHER) as j:
        for number in range(TOGETHER):
            find(j + number)
    with r.loop(count - whole) as j:
        find(whole + j)
