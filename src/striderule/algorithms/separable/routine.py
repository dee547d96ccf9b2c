"""The routine of passes, in the tile language: bands of rows, each as blocks of lines that stay in the cache.

y[i, j] = sum over terms, t, u of v[t] * h[u] * x[i * stride + t * dilation - before, j + u * dilation - before]

A block of rows is summed down its columns into lines (`down`, `windows`), which are extended to both sides and summed
along (`across`, `doubling`; `turning` where lines stand on end). So each row is read in place, and what is between the
passes never leaves the cache.
"""

from __future__ import annotations

from collections.abc import Callable

from striderule.algorithms.direct.native import followed
from striderule.algorithms.separable.across import Across, Line
from striderule.algorithms.separable.doubling import Doubling
from striderule.algorithms.separable.down import Down, Room
from striderule.algorithms.separable.running import Running
from striderule.algorithms.separable.structure import NUMBERS, POINTERS, SIZES, Structure
from striderule.algorithms.separable.turning import Turning
from striderule.algorithms.separable.windows import Windows
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT64, Pointer, Routine, Size

WRITERS = {"taps": Across, "turned": Turning, "window": Doubling, "running": Running}


def passes_routine(name: str, target: Target, s: Structure) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(name, target, ELEMENTS[s.work], pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)
    flags = r.table("flags")
    slot = r.claim(flags, r.size("threads"))
    room, across = in_room(r, s, r.pointer("work") + slot * r.size("room"))
    with r.tasks() as task:
        band, plane = task % r.size("bands"), task // r.size("bands")
        if s.down.kind == "blocks":
            part, plane = plane % r.size("parts"), plane // r.size("parts")
        x_at, y_at = followed(r, plane, 0, 0)
        x = r.pointer("x", ELEMENTS[s.source]).skip(x_at)
        y = r.pointer("y", ELEMENTS[s.result]).skip(y_at)
        if s.down.kind == "blocks":
            first = part * r.size("part")
            x, y = x + first, y + first
            across.size = _narrowed(r, first)
        write_band(r, s, room, across, band, x, y)
    if across.watch is not None:
        with r.when(r.any(across.watch.value.is_nan())):
            r.store(r.constant(1, INT64, 1), r.table("watched"))
    r.give_back(flags, slot)
    return r.finish()


def _narrowed(r: Routine, first: Size) -> Callable[[str], Size]:
    """Return the sizes of a part of each line that begins at `first`."""
    lengths = {word: (r.size(word) - first).smaller(r.size("part")) for word in ("width", "outputs")}
    return lambda word: lengths[word] if word in lengths else r.size(word)


def in_room(r: Routine, s: Structure, work: Pointer) -> tuple[Room, Across]:
    """Return a thread's room from `work` on, and what writes the pass across there."""
    lines, state, suffix, sums = (work + r.size(f"{word}_at") for word in ("lines", "state", "suffix", "sums"))
    room = Room(lines.of(ELEMENTS[s.held]), state.of(ELEMENTS[s.held]), suffix, sums)
    return room, WRITERS[s.across.kind](r, s, room)


def write_band(r: Routine, s: Structure, room: Room, across: Across, band: Size, x: Pointer, y: Pointer) -> None:
    """Write a band of rows of a plane."""
    first = band * r.size("band")
    count = (r.size("height") - first).smaller(r.size("band"))
    if isinstance(across, Turning):
        tall = r.size("stack") * r.lanes
        with r.loop((count + (tall - 1)) // tall) as turn:
            across.rows(x, y, first + turn * tall, (count - turn * tall).smaller(tall))
        return
    rows = s.down.rows
    windows = Windows(r, s, room) if s.down.kind in ("run", "blocks") else None
    if windows is not None:
        windows.size = across.size
        windows.begin(x, first)
    with r.loop((count + (rows - 1)) // rows) as turn:
        row = first + turn * rows
        if windows is not None:
            windows.lines(x, row, turn)
        else:
            Down(r, s, room).block(x, row)
        wanted = (count - turn * rows).smaller(rows)
        # The rows of a part of an image before its first are not its own.
        skipped = r.whole(0)
        if windows is not None and not windows.runs:
            skipped = (r.size("lead") - row).larger(0).smaller(wanted)
            row = row - r.size("lead")
        with r.loop(wanted - skipped) as turned:
            number = turned + skipped
            line = room.lines + number * r.size("line")
            with r.loop(r.size("terms") if s.terms else 1) as term:
                across.extend(line + term * (r.size("line") * rows), term)
            across.line(Line(line, y.skip((row + number) * r.size("y_row"))))
